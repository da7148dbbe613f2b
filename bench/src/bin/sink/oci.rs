//! The calls of OCI Object Storage that uploading clients make.
//!
//! Owns their paths, headers and documents, written from the service's documentation. Invariant:
//! the digests of a whole object are computed here from those of the parts that the client sent.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use md5::{Digest, Md5};
use serde_json::{Value, json};

use super::http::{Answer, Head, Received};
use super::ledger::{Arrival, Ledger, Part, Upload};

const NAMESPACE: &str = "benchns";
const DATE: &str = "Thu, 01 Jan 2026 00:00:00 GMT";
const ETAG: &str = "0c710a65-b01f-478f-8756-7beb7012d7d4";
const JSON: &str = "application/json";

pub fn is_ours(head: &Head) -> bool {
    head.path() == "/n" || head.path() == "/n/" || head.path().starts_with("/n/")
}

pub fn answer(ledger: &Ledger, head: &Head, body: &Received, arrival: Arrival) -> Answer {
    // "", n, NAMESPACE, b, BUCKET, then o or u, and all the rest is the name.
    let segments: Vec<&str> = head.path().splitn(7, '/').collect();
    let name = || decoded(segments.get(6).copied().unwrap_or_default());
    let id = head.query("uploadId").map(decoded);
    let kind = segments.get(5).copied().unwrap_or_default();
    match (head.method.as_str(), kind, id) {
        ("GET", "", _) if segments.len() < 4 => {
            Answer::new(200).body(JSON, json!(NAMESPACE).to_string())
        }
        ("GET" | "HEAD", "", _) => bucket(segments.get(4).copied().unwrap_or_default()),
        ("POST", "u", None) => {
            let request: Value = serde_json::from_slice(&body.document).unwrap_or_default();
            let object = request["object"].as_str().unwrap_or_default();
            let id = ledger.create(object);
            let made = json!({
                "namespace": NAMESPACE, "bucket": segments.get(4), "object": object,
                "uploadId": id, "timeCreated": "2026-01-01T00:00:00.000Z",
                "storageTier": "Standard",
            });
            Answer::new(200).body(JSON, made.to_string())
        }
        ("PUT", "u", Some(id)) => {
            let number = head.query("uploadPartNum").and_then(|n| n.parse().ok()).unwrap_or(0);
            let part = Part { size: body.size, claims: body.claims.clone(), arrival };
            if !ledger.part(&id, number, part) {
                return missing_upload();
            }
            echoed(Answer::new(200).with("etag", format!("part-{number}")), body)
        }
        ("POST", "u", Some(id)) => {
            let request: Value = serde_json::from_slice(&body.document).unwrap_or_default();
            let parts = request["partsToCommit"].as_array().map(Vec::as_slice).unwrap_or_default();
            let numbers: Vec<u32> =
                parts.iter().filter_map(|p| Some(p["partNum"].as_u64()? as u32)).collect();
            match ledger.commit("oci", &id, &numbers) {
                Some(upload) => whole(Answer::new(200).with("etag", ETAG), &upload),
                None => missing_upload(),
            }
        }
        ("DELETE", "u", Some(id)) => {
            ledger.abort(&id);
            Answer::new(204)
        }
        ("GET", "u", _) => Answer::new(200).body(JSON, "[]"),
        ("PUT", "o", _) => {
            let part = Part { size: body.size, claims: body.claims.clone(), arrival };
            ledger.put("oci", &name(), part);
            let answer = Answer::new(200).with("etag", ETAG).with("last-modified", DATE);
            echoed(answer, body)
        }
        ("HEAD" | "GET", "o", _) if segments.len() > 6 => match ledger.object(&name()) {
            Some(upload) => {
                let mut answer = whole(Answer::new(200).with("etag", ETAG), &upload);
                answer.length = Some(upload.size());
                answer
            }
            None => Answer::error(404, "ObjectNotFound", "no such object"),
        },
        ("GET", "o", _) => Answer::new(200).body(JSON, r#"{"objects":[],"prefixes":[]}"#),
        _ => Answer::error(404, "NotFound", "the sink does not know this call"),
    }
}

fn missing_upload() -> Answer {
    Answer::error(404, "UploadNotFound", "No such upload")
}

fn bucket(name: &str) -> Answer {
    let about = json!({
        "namespace": NAMESPACE, "name": name, "compartmentId": "ocid1.compartment.oc1..bench",
        "createdBy": "bench", "timeCreated": "2026-01-01T00:00:00.000Z", "etag": ETAG,
        "storageTier": "Standard", "publicAccessType": "NoPublicAccess",
    });
    Answer::new(200).body(JSON, about.to_string())
}

/// The digests of a part are echoed as they were sent; `--verify` checks them.
fn echoed(mut answer: Answer, body: &Received) -> Answer {
    for (name, value) in &body.claims {
        answer = match name.as_str() {
            "content-md5" => answer.with("opc-content-md5", value),
            "opc-content-sha256" => answer.with("opc-content-sha256", value),
            "opc-content-sha384" => answer.with("opc-content-sha384", value),
            "opc-content-crc32c" => answer.with("opc-content-crc32c", value),
            _ => answer,
        };
    }
    answer
}

/// The digests of an object, computed from those of its parts.
fn whole(answer: Answer, upload: &Upload) -> Answer {
    let mut answer = answer.with("last-modified", DATE);
    if let Some(values) = upload.values("content-md5") {
        answer = answer.with("opc-multipart-md5", of_values(&values, |b| Md5::digest(b).to_vec()));
    }
    for (claim, name, algorithm) in [
        ("opc-content-sha256", "opc-multipart-sha256", &ring::digest::SHA256),
        ("opc-content-sha384", "opc-multipart-sha384", &ring::digest::SHA384),
    ] {
        if let Some(values) = upload.values(claim) {
            let hash = |bytes: &[u8]| ring::digest::digest(algorithm, bytes).as_ref().to_vec();
            answer = answer.with(name, of_values(&values, hash));
        }
    }
    if let Some(values) = upload.values("opc-content-crc32c") {
        let sizes = upload.parts.values().map(|part| part.size);
        let crc = values.iter().zip(sizes).fold(0, |whole, (value, size)| {
            let bytes = STANDARD.decode(value).ok().and_then(|b| b.try_into().ok());
            let crc = bytes.map(u32::from_be_bytes).unwrap_or_default();
            crc32c::crc32c_combine(whole, crc, size as usize)
        });
        answer = answer.with("opc-content-crc32c", STANDARD.encode(crc.to_be_bytes()));
    }
    answer
}

fn of_values(values: &[&str], hash: impl Fn(&[u8]) -> Vec<u8>) -> String {
    let joined: Vec<u8> =
        values.iter().flat_map(|v| STANDARD.decode(v).unwrap_or_default()).collect();
    format!("{}-{}", STANDARD.encode(hash(&joined)), values.len())
}

/// Percent-decoding.
pub fn decoded(text: &str) -> String {
    let bytes = text.as_bytes();
    let (mut out, mut at) = (Vec::new(), 0);
    while at < bytes.len() {
        let code = text.get(at + 1..at + 3).and_then(|t| u8::from_str_radix(t, 16).ok());
        match (bytes[at], code) {
            (b'%', Some(byte)) => {
                out.push(byte);
                at += 3;
            }
            (byte, _) => {
                out.push(byte);
                at += 1;
            }
        }
    }
    String::from_utf8_lossy(&out).into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeMap;

    #[test]
    fn the_digests_of_an_object_are_those_of_the_worked_example() {
        let arrival = Arrival { connection: 0, began: 0.0, ended: 0.0 };
        let part = |size, value: &str| Part {
            size,
            claims: vec![("content-md5".to_owned(), value.to_owned())],
            arrival,
        };
        let parts = BTreeMap::from([
            (1, part(5, "WU+AOzgKQTlu1j3KOVA1Qg==")),
            (2, part(3, "CPjgJgxkQYUQzvsrBu7lzQ==")),
        ]);
        let upload = Upload { parts, ..Upload::default() };
        let md5 = of_values(&upload.values("content-md5").unwrap(), |b| Md5::digest(b).to_vec());
        assert_eq!(md5, "ctJ6+sji+9NmKGG51gegLA==-2");
        assert_eq!(upload.values("opc-content-sha256"), None);
        assert_eq!(decoded("dir%20a%2F%C3%B6"), "dir a/\u{f6}");
    }
}
