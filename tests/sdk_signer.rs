//! Random requests are signed as the official SDK's signer signs them.
//!
//! Ignored by default, because it needs the SDK; `.ci/run` installs it and runs this test.

#![allow(clippy::unwrap_used)]

use std::io::Write;
use std::path::Path;
use std::process::{Command, Stdio};

use proto::api::{ObjectLocation, Precondition, PutOptions, Request, RequestPayload, request};
use proto::key::Key;
use proto::part_number::PartNumber;
use proto::sign::{self, KeyId};
use serde_json::{Value, json};

/// A name of characters that are special in paths and shells.
///
/// Never one or two dots alone: ocipipe sends these as `%2E`, but the SDK's HTTP library decodes
/// them before the SDK signs, and removes them from the path. The SDK cannot check them.
fn name(rng: &mut fastrand::Rng) -> String {
    let letters: Vec<char> =
        "abzAZ09-_.~/ +&?#%=;:@!$'()*,[]\u{f6}\u{20ac}\u{1f600}".chars().collect();
    loop {
        let name: String =
            (0..rng.usize(1..40)).map(|_| letters[rng.usize(..letters.len())]).collect();
        if name != "." && name != ".." {
            return name;
        }
    }
}

fn any_request(rng: &mut fastrand::Rng) -> Request {
    let location = ObjectLocation { namespace: name(rng), bucket: name(rng), object: name(rng) };
    let upload = name(rng);
    let condition = Precondition::IfNoneMatch;
    let options = PutOptions {
        condition: condition.clone(),
        content_disposition: Some(name(rng)),
        metadata: vec![("k".to_owned(), name(rng))],
        ..PutOptions::default()
    };
    let part_number = |number| PartNumber::new(number).unwrap();
    let etags = [(part_number(1), name(rng)), (part_number(2), name(rng))];
    match rng.u32(..9) {
        0 => request::namespace(),
        1 => request::head_object(&location, &None),
        2 => request::create_upload(&location, &options),
        3 => request::upload_part(
            &location,
            &options,
            &upload,
            part_number(rng.u32(1..10_000)),
            7,
            &None,
        ),
        4 => {
            let parts = etags.iter().map(|(number, etag)| (*number, etag.as_str()));
            request::commit(&location, &condition, &upload, parts, &[])
        }
        5 => request::abort(&location, &upload),
        6 => request::list_parts(&location, &upload, Some(&upload)),
        7 => request::put_object(&location, &options, 7, &None),
        _ => request::list_uploads(&location, None),
    }
}

#[test]
#[ignore = "needs the official SDK in OCIPIPE_REFEREES; run by .ci/run"]
fn requests_made_at_random_are_signed_as_the_official_sdk_signs_them() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let referees =
        std::env::var("OCIPIPE_REFEREES").expect("OCIPIPE_REFEREES names the SDK's folder");
    let vectors = std::fs::read_to_string(root.join("tests/data/signing-vectors.json")).unwrap();
    let vectors: Value = serde_json::from_str(&vectors).unwrap();
    let text = |value: &Value| value.as_str().unwrap().to_owned();
    let (tenancy, user) = (text(&vectors["tenancy"]), text(&vectors["user"]));
    let fingerprint = text(&vectors["key_fingerprint_md5"]);
    let pem = text(&vectors["keys"]["pkcs8"]["pem"]);
    let token = text(&vectors["session_token"]);
    let key = Key::from_pem(pem.as_bytes(), None).unwrap();

    let seed =
        std::env::var("OCIPIPE_SEED").map_or_else(|_| fastrand::u64(..), |s| s.parse().unwrap());
    println!("OCIPIPE_SEED={seed}");
    let mut rng = fastrand::Rng::with_seed(seed);
    let mut input = json!({
        "tenancy": tenancy, "user": user, "fingerprint": fingerprint, "key": pem, "token": token,
    })
    .to_string();
    let mut signatures = Vec::new();
    for _ in 0..300 {
        let request = any_request(&mut rng);
        let host = ["objectstorage.us-ashburn-1.oraclecloud.com", "127.0.0.1:8080"][rng.usize(..2)];
        let at = std::time::UNIX_EPOCH + std::time::Duration::from_secs(rng.u64(..4_000_000_000));
        let date = httpdate::fmt_http_date(at);
        let by_token = rng.bool();
        let body = match &request.body {
            RequestPayload::Json(bytes) => Some(String::from_utf8(bytes.clone()).unwrap()),
            _ => None,
        };
        let key_id = if by_token {
            KeyId::security_token(&token)
        } else {
            KeyId::api_key(&tenancy, &user, &fingerprint)
        };
        let signed_body = body
            .as_ref()
            .map(|b| sign::SignedBody { content_type: "application/json", bytes: b.as_bytes() });
        let request_to_sign = sign::SignedRequest {
            method: request.method,
            path_and_query: &request.target,
            host: Some(host),
            date: &date,
            delegation: None,
            body: signed_body,
        };
        let signed = sign::authorize(&key_id, &key, &request_to_sign);
        signatures.push((request.target.clone(), signed.headers.last().unwrap().1.clone()));
        let line = json!({
            "method": request.method, "url": format!("http://{host}{}", request.target),
            "date": date, "body": body, "by_token": by_token,
        });
        input.push_str(&format!("\n{line}"));
    }

    let mut python = Command::new(Path::new(&referees).join("bin/python"))
        .arg(root.join("tests/interop/signer.py"))
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut stdin = python.stdin.take().unwrap();
    let writer = std::thread::spawn(move || stdin.write_all(input.as_bytes()));
    let output = python.wait_with_output().unwrap();
    writer.join().unwrap().unwrap();
    assert!(output.status.success());
    let expected = String::from_utf8(output.stdout).unwrap();
    assert_eq!(expected.lines().count(), signatures.len());
    for ((target, signature), expected) in signatures.iter().zip(expected.lines()) {
        assert_eq!(signature, expected, "{target}");
    }
}
