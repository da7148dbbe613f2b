//! The few calls of S3 that `s5cmd pipe` and `aws s3 cp -` make, for addressing by path.
//!
//! Owns their queries and documents. Invariant: an ETag is quoted, as those clients expect.

use super::http::{Answer, Head, Received};
use super::ledger::{Arrival, Ledger, Part};
use super::oci::decoded;

const XML: &str = "application/xml";
const ETAG: &str = "\"9b2cf535f27731c974343645a3985328\"";

pub fn answer(ledger: &Ledger, head: &Head, body: &Received, arrival: Arrival) -> Answer {
    let (bucket, key) = match head.path().trim_start_matches('/').split_once('/') {
        Some((bucket, key)) => (decoded(bucket), decoded(key)),
        None => (decoded(head.path().trim_start_matches('/')), String::new()),
    };
    let id = head.query("uploadId").map(decoded);
    let part = || Part { size: body.size, claims: body.claims.clone(), arrival };
    let named = format!("<Bucket>{bucket}</Bucket><Key>{key}</Key>");
    match (head.method.as_str(), id) {
        ("POST", None) if head.query("uploads").is_some() => {
            let id = ledger.create(&key);
            document("InitiateMultipartUploadResult", &format!("{named}<UploadId>{id}</UploadId>"))
        }
        ("PUT", Some(id)) => {
            let number = head.query("partNumber").and_then(|n| n.parse().ok()).unwrap_or(0);
            match ledger.part(&id, number, part()) {
                true => Answer::new(200).with("etag", ETAG),
                false => error(404, "NoSuchUpload"),
            }
        }
        ("POST", Some(id)) => match ledger.commit("s3", &id, &numbers(&body.document)) {
            Some(_) => document(
                "CompleteMultipartUploadResult",
                &format!("{named}<ETag>&quot;e-1&quot;</ETag><Location>sink</Location>"),
            ),
            None => error(404, "NoSuchUpload"),
        },
        ("DELETE", Some(id)) => {
            ledger.abort(&id);
            Answer::new(204)
        }
        ("PUT", None) if !key.is_empty() => {
            ledger.put("s3", &key, part());
            Answer::new(200).with("etag", ETAG)
        }
        ("GET", _) if head.query("location").is_some() => document("LocationConstraint", ""),
        ("HEAD", _) if key.is_empty() => Answer::new(200).with("x-amz-bucket-region", "us-east-1"),
        ("HEAD", _) => match ledger.object(&key) {
            Some(upload) => {
                let mut answer = Answer::new(200)
                    .with("etag", ETAG)
                    .with("last-modified", "Thu, 01 Jan 2026 00:00:00 GMT");
                answer.length = Some(upload.size());
                answer
            }
            None => Answer::new(404),
        },
        _ => error(404, "NoSuchKey"),
    }
}

fn document(root: &str, inner: &str) -> Answer {
    let space = "xmlns=\"http://s3.amazonaws.com/doc/2006-03-01/\"";
    let text =
        format!("<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<{root} {space}>{inner}</{root}>");
    Answer::new(200).body(XML, text)
}

fn error(status: u16, code: &str) -> Answer {
    Answer::new(status).body(XML, format!("<Error><Code>{code}</Code></Error>"))
}

/// The part numbers of a completion document.
fn numbers(document: &[u8]) -> Vec<u32> {
    let text = String::from_utf8_lossy(document);
    let tagged = text.split("<PartNumber>").skip(1);
    tagged.filter_map(|rest| rest.split('<').next()?.trim().parse().ok()).collect()
}
