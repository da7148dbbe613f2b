//! Every signature of the client is valid for the emulator, which shares no code with it.

#![no_main]

use std::sync::LazyLock;

use emulator::parsers::{
    Authorization, Coverage, PublicKey, SignedHead, check_coverage, signed_text,
};
use hyper::HeaderMap;
use hyper::header::{HeaderName, HeaderValue};
use libfuzzer_sys::fuzz_target;
use proto::key::Key;
use proto::sign::{self, KeyId, SignedBody, SignedRequest};

static KEY: LazyLock<Key> = LazyLock::new(|| {
    Key::from_pem(include_bytes!("../../src/emulator/testkey.pem"), None).expect("a good key")
});

fuzz_target!(|input: (&str, u8, &[u8], bool)| {
    let (target, method, bytes, with_body) = input;
    // Only targets that are possible in a request line.
    if !target.bytes().all(|byte| byte.is_ascii_graphic()) {
        return;
    }
    let method = ["GET", "PUT", "POST", "HEAD", "DELETE"][usize::from(method) % 5];
    let body = with_body.then_some(SignedBody { content_type: "application/json", bytes });
    let request = SignedRequest {
        method,
        path_and_query: target,
        host: Some("127.0.0.1:1"),
        date: "Thu, 01 Jan 2026 00:00:00 GMT",
        delegation: None,
        body,
    };
    let signed = sign::authorize(&KeyId::raw("a/b/c"), &KEY, &request);
    let headers: HeaderMap = signed
        .headers
        .iter()
        .map(|(name, value)| {
            (HeaderName::from_static(name), HeaderValue::try_from(value.as_str()).unwrap())
        })
        .collect();
    let given = Authorization::parse(headers["authorization"].to_str().unwrap()).unwrap();
    assert_eq!(given.key_id, "a/b/c");
    let coverage = if with_body { Coverage::HeadAndBody } else { Coverage::HeadOnly };
    assert!(check_coverage(&given, coverage).is_ok());
    let text =
        signed_text(&given.headers, &SignedHead { method, target, headers: &headers }).unwrap();
    let key = PublicKey { n: KEY.modulus().to_vec(), e: vec![1, 0, 1] };
    assert!(key.verify(&text, &given.signature));
});
