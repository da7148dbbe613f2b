//! Tests of the comparison with each `--checksum`: what proves an object, and what contradicts it.

use super::scripted::{ScriptedRun, meta_of_size, response_lost};
use super::*;
use crate::upload::compare::Comparison;

const PART: &[u8] = b"abc";
const ALL: [Algorithm; 5] =
    [Algorithm::Sha256, Algorithm::Sha384, Algorithm::Md5, Algorithm::Crc32c, Algorithm::None];

fn config(checksum: Algorithm) -> UploadConfig {
    UploadConfig { checksum, ..test_config(1, 2) }
}

fn digest_of(algorithm: Algorithm, bytes: &'static [u8]) -> PartDigest {
    digest::part(algorithm, &[Bytes::from_static(bytes)])
}

fn base64(algorithm: Algorithm, bytes: &'static [u8]) -> Option<String> {
    digest_of(algorithm, bytes).value.map(|value| value.base64())
}

fn md5() -> Value {
    digest::md5_of(&[Bytes::from_static(PART)])
}

/// Digests that have only one of these algorithms.
fn only(algorithm: Algorithm, value: Option<String>) -> Digests {
    let of = |wanted| value.clone().filter(|_| algorithm == wanted);
    Digests {
        md5: of(Algorithm::Md5),
        sha256: of(Algorithm::Sha256),
        sha384: of(Algorithm::Sha384),
        crc32c: of(Algorithm::Crc32c),
    }
}

/// The response to a part or put, with its digest and its MD5.
fn stored(algorithm: Algorithm, etag: &str) -> Outcome {
    let content = only(algorithm, base64(algorithm, PART));
    let content = content.or(only(Algorithm::Md5, Some(md5().base64())));
    let meta = ObjectMeta { etag: Some(etag.to_owned()), content, ..ObjectMeta::default() };
    Outcome::Stored { meta, crc32: digest_of(algorithm, PART).crc32 }
}

/// A run of two parts whose commit was acknowledged without a digest.
fn committed(algorithm: Algorithm) -> ScriptedRun {
    let mut run = ScriptedRun::new(config(algorithm));
    for number in [1, 2] {
        let digest = digest_of(algorithm, PART);
        run.handle_event(Event::Part { number: nth(number), digest });
    }
    run.handle_event(Event::MultipartNeeded);
    run.succeed(ApiCall::Create, Outcome::Created { upload_id: "u".to_owned() });
    let crc32 = digest_of(algorithm, b"abcabc").crc32;
    run.handle_event(Event::EndOfStream { bytes: 6, crc32 });
    for number in [1, 2] {
        run.succeed(ApiCall::Part(nth(number)), stored(algorithm, &format!("e{number}")));
    }
    let meta = ObjectMeta { etag: Some("new".to_owned()), ..ObjectMeta::default() };
    run.succeed(ApiCall::Commit, Outcome::Committed(meta));
    assert_eq!(run.last_call(), &ApiCall::Head);
    run
}

/// The digest that the service computes of an object of two parts.
fn of_two_parts(algorithm: Algorithm) -> Option<String> {
    match algorithm {
        Algorithm::None => None,
        Algorithm::Crc32c => base64(algorithm, b"abcabc"),
        _ => {
            let value = digest_of(algorithm, PART).value.unwrap();
            Some(digest::multipart(algorithm, &[value.clone(), value]))
        }
    }
}

/// The metadata in which HEAD reports this digest of an object of two parts.
fn object(algorithm: Algorithm, value: Option<String>) -> ObjectMeta {
    let digests = only(algorithm, value);
    match algorithm {
        Algorithm::Crc32c => ObjectMeta { content: digests, ..meta_of_size("new", 6) },
        _ => ObjectMeta { multipart: digests, ..meta_of_size("new", 6) },
    }
}

#[test]
fn an_object_of_parts_is_proved_by_the_chosen_digest_and_refuted_by_another() {
    for (algorithm, evidence) in ALL.into_iter().zip([
        "opc-multipart-sha256",
        "opc-multipart-sha384",
        "opc-multipart-md5",
        "opc-content-crc32c",
        "content-length",
    ]) {
        let mut run = committed(algorithm);
        let value = of_two_parts(algorithm);
        run.succeed(ApiCall::Head, Outcome::Object(object(algorithm, value.clone())));
        let stored = run.result().as_ref().unwrap();
        assert_eq!((stored.evidence.to_string().as_str(), &stored.checksum), (evidence, &value));
        if algorithm == Algorithm::None {
            continue;
        }
        let mut run = committed(algorithm);
        let other = object(algorithm, base64(algorithm, b"abd"));
        run.succeed(ApiCall::Head, Outcome::Object(other));
        assert_eq!(run.error_kind(), ErrorKind::Integrity, "{algorithm:?}");
    }
}

#[test]
fn the_md5s_of_the_parts_prove_an_object_that_lacks_the_chosen_digest() {
    let value = of_two_parts(Algorithm::Md5);
    for algorithm in ALL {
        let mut run = committed(algorithm);
        run.succeed(ApiCall::Head, Outcome::Object(object(Algorithm::Md5, value.clone())));
        // Without a digest of what was read they prove which upload the object is of, and not its bytes.
        let evidence = run.result().as_ref().unwrap().evidence;
        let name = match algorithm {
            Algorithm::None => "content-length",
            _ => "opc-multipart-md5",
        };
        assert_eq!((evidence.to_string().as_str(), evidence.is_strong()), (name, true));
        let mut run = committed(algorithm);
        let other = object(Algorithm::Md5, base64(Algorithm::Md5, b"abd"));
        run.succeed(ApiCall::Head, Outcome::Object(other));
        assert_eq!(run.error_kind(), ErrorKind::Integrity, "{algorithm:?}");
    }
}

#[test]
fn an_unknown_outcome_names_the_size_and_the_digest_to_compare() {
    for algorithm in ALL {
        let mut run = committed(algorithm);
        let other = ObjectMeta { etag: Some("other".to_owned()), ..ObjectMeta::default() };
        run.succeed(ApiCall::Head, Outcome::Object(other));
        assert_eq!(run.error_kind(), ErrorKind::OutcomeUnknown);
        let summary = match of_two_parts(algorithm) {
            Some(value) => format!("(6 bytes, {} {value})", algorithm.name()),
            None => "(6 bytes)".to_owned(),
        };
        let hint = run.result().as_ref().unwrap_err().hint.clone().unwrap();
        assert!(hint.contains(&summary), "{hint}");
    }
}

/// A put whose response was lost and whose repetition is refused, so that the object is looked at.
fn looked_up(algorithm: Algorithm) -> ScriptedRun {
    let mut run = ScriptedRun::new(config(algorithm));
    let digest = digest_of(algorithm, PART);
    let crc32 = digest.crc32;
    run.handle_event(Event::Part { number: nth(1), digest });
    run.handle_event(Event::EndOfStream { bytes: 3, crc32 });
    run.fail(ApiCall::Put, response_lost());
    run.wait();
    run.reject(ApiCall::Put, 412, "IfNoneMatchFailed");
    assert_eq!(run.last_call(), &ApiCall::Head);
    run
}

#[test]
fn the_md5_of_the_buffer_proves_or_refutes_a_put_whose_answer_was_lost() {
    for algorithm in [Algorithm::Sha256, Algorithm::Crc32c, Algorithm::None] {
        for (bytes, same) in [(PART, true), (b"abd", false)] {
            let mut run = looked_up(algorithm);
            let content = only(Algorithm::Md5, base64(Algorithm::Md5, bytes));
            let meta = ObjectMeta { content, ..meta_of_size("e", 3) };
            run.succeed(ApiCall::Head, Outcome::Object(meta));
            let digest = digest_of(algorithm, PART);
            run.handle_event(Event::Rehashed { number: nth(1), digest, md5: md5() });
            if same {
                let stored = run.result().as_ref().unwrap();
                assert_eq!(stored.evidence.to_string(), "opc-content-md5");
            } else {
                assert_eq!(run.error_kind(), ErrorKind::Exists, "{algorithm:?}");
            }
        }
    }
}

/// Without a digest of what was read, the MD5s are those that the service has computed of what it got.
#[test]
fn the_md5s_of_the_service_alone_prove_nothing_of_the_stream() {
    let md5s = digest::multipart(Algorithm::Md5, &[md5(), md5()]);
    let object = |size, md5s: &str| ObjectMeta {
        etag: Some("new".to_owned()),
        size,
        multipart: only(Algorithm::Md5, Some(md5s.to_owned())),
        ..ObjectMeta::default()
    };
    let of_read = committed(Algorithm::Sha256).upload;
    let evidence = Some(Evidence::Multipart(Algorithm::Md5));
    assert_eq!(of_read.proof_of(&object(Some(6), &md5s)), evidence);
    let upload = committed(Algorithm::None).upload;
    assert_eq!(upload.proof_of(&object(Some(6), &md5s)), None);
    let compare = |size, md5s: &str| upload.core.compare(&object(size, md5s));
    assert!(matches!(compare(Some(6), &md5s), Comparison::Same(Evidence::Composition)));
    assert!(matches!(compare(None, &md5s), Comparison::NothingToCompare));
    let Comparison::Differs(text) = compare(Some(6), "other-2") else { panic!("it is the same") };
    assert_eq!(text, format!("opc-multipart-md5 is other-2, of what was read {md5s}"));
}
