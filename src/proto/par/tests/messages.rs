//! The requests, and the responses that are accepted.

use super::*;
use crate::api::Precondition;
use crate::api::{Request, RequestPayload, Response};
use crate::digest::{self, Algorithm, BufferCrc};
use crate::part_number::PartNumber;
use response::StartError;

fn uri(id: &str) -> String {
    format!("/p/{OTHER_SECRET}/n/ax/b/backups/u/db%2Fx.dump/id/{id}/")
}

fn upload() -> UploadUri {
    UploadUri::parse(&object(), Some("u1"), &uri("u1")).unwrap()
}

fn header<'a>(request: &'a Request, name: &str) -> Option<&'a str> {
    request.headers.iter().find(|(known, _)| known == name).map(|(_, value)| value.as_str())
}

fn sent_path(request: &Request) -> String {
    request.secret.as_ref().unwrap().path(&request.target).to_string()
}

#[test]
fn a_multipart_upload_is_started_and_ended_as_documented() {
    let start = request::start_multipart(&object(), &options());
    assert_eq!(start.method, "PUT");
    assert_eq!(sent_path(&start), format!("/p/{SECRET}/n/ax/b/backups/o/db/x.dump"));
    for (name, value) in [
        ("opc-multipart", "true"),
        ("content-type", "a/b"),
        ("opc-meta-host", "db1"),
        ("storage-tier", "Archive"),
        ("if-none-match", "*"),
        ("opc-checksum-algorithm", "SHA256"),
    ] {
        assert_eq!(header(&start, name), Some(value), "{name}");
    }
    // An empty body, with a length.
    assert_eq!(start.body, RequestPayload::Stream { size: 0, crc: BufferCrc::Crc32 });
    let value = digest::part(Algorithm::Sha256, &[]).value;
    let part = request::part(&upload(), &options(), PartNumber::FIRST, 7, &value);
    let path = format!("/p/{OTHER_SECRET}/n/ax/b/backups/u/db%2Fx.dump/id/u1/");
    assert_eq!((part.method, sent_path(&part)), ("PUT", format!("{path}1")));
    assert_eq!(header(&part, "content-type"), Some("application/octet-stream"));
    // Properties go with the start only.
    for name in ["opc-multipart", "opc-meta-host", "storage-tier", "if-none-match"] {
        assert_eq!(header(&part, name), None, "{name}");
    }
    assert!(header(&part, "opc-content-sha256").is_some());
    let commit = request::commit(&upload(), &Precondition::IfNoneMatch);
    assert_eq!((commit.method, sent_path(&commit)), ("POST", path.clone()));
    assert_eq!(commit.body, RequestPayload::Stream { size: 0, crc: BufferCrc::Crc32 });
    assert_eq!(header(&commit, "if-none-match"), Some("*"));
    let abort = request::abort(&upload());
    assert_eq!((abort.method, sent_path(&abort)), ("DELETE", path));
}

#[test]
fn a_put_carries_all_properties_and_no_mark_of_a_multipart_upload() {
    let value = digest::part(Algorithm::Md5, &[]).value;
    let put =
        request::put(&object(), &PutOptions { checksum: Algorithm::Md5, ..options() }, 0, &value);
    assert_eq!(header(&put, "content-md5"), Some("1B2M2Y8AsgTpgAmY7PhCfg=="));
    assert_eq!(header(&put, "opc-meta-host"), Some("db1"));
    assert_eq!(header(&put, "opc-multipart"), None);
}

#[test]
fn no_debug_output_of_a_request_shows_a_secret() {
    let (start, head) =
        (request::start_multipart(&object(), &options()), request::head(&object(), &None));
    let requests = [start, head, request::abort(&upload())];
    let shown = format!("{requests:?} {:?} {:?}", upload(), object());
    assert!(!shown.contains(SECRET) && !shown.contains(OTHER_SECRET), "{shown}");
    assert_eq!(requests[0].shown_target(), "/p/***/n/ax/b/backups/o/db/x.dump");
}

#[test]
fn an_address_of_an_upload_is_used_only_at_the_host_and_for_the_object_of_the_par() {
    let object = object();
    let parse = |uri: &str| UploadUri::parse(&object, Some("u1"), uri);
    let origin = "https://objectstorage.eu-zurich-1.oraclecloud.com";
    for same in [
        uri("u1"),
        uri("u1").trim_end_matches('/').to_owned(),
        uri("u1").replace("%2F", "/"),
        uri("u%31"),
        format!("{origin}{}", uri("u1")),
    ] {
        let upload = parse(&same).unwrap_or_else(|reason| panic!("{same}: {reason}"));
        assert_eq!(upload.upload_id, "u1");
        assert!(upload.target.ends_with('/'));
    }
    for other in [
        String::new(),
        uri("u2"),
        uri(""),
        uri(".."),
        uri("a/u1").replace("/id/a/", "/id/a%2f/"),
        format!("https://evil.example{}", uri("u1")),
        format!("//evil.example{}", uri("u1")),
        format!("{origin}.evil.example{}", uri("u1")),
        format!("{origin}@evil.example{}", uri("u1")),
        format!("{origin}:444{}", uri("u1")),
        uri("u1").replace("/p/", "/"),
        uri("u1").replace("ax", "bx"),
        uri("u1").replace("backups", "other"),
        uri("u1").replace("x.dump", "y.dump"),
        uri("u1").replace("/u/", "/o/"),
        format!("{}?x", uri("u1")),
        format!("{}#x", uri("u1")),
        format!("{} x", uri("u1")),
        format!("{}\r\nx: y", uri("u1")),
        format!("/p/{OTHER_SECRET}/{}/id/u1/", "n/ax/b/backups/u/db%2Fx.dump".repeat(400)),
    ] {
        let reason = parse(&other).expect_err(&other);
        assert!(!reason.contains(OTHER_SECRET));
    }
    // A name with `/id/` in it is a name all the same.
    let odd = super::parse(&url("a/id/b")).object(&GivenNames::default()).unwrap();
    let uri = format!("/p/{OTHER_SECRET}/n/ax/b/backups/u/a/id/b/id/u1/");
    assert!(UploadUri::parse(&odd, Some("u1"), &uri).is_ok());
}

fn answer(headers: &[(&str, &str)], body: &str) -> Response {
    let headers = headers.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned()));
    Response { status: 200, headers: headers.collect(), body: body.as_bytes().to_vec() }
}

#[test]
fn the_answer_to_a_start_is_read_and_never_shown() {
    let started = |body: &str, headers: &[(&str, &str)]| {
        response::parse_started(&object(), &answer(headers, body))
    };
    let whole = format!(
        r#"{{"namespace":"ax","bucket":"backups","object":"db/x.dump","uploadId":"u1",
            "timeCreated":"2026-01-01T00:00:00Z","storageTier":"Archive","accessUri":"{}"}}"#,
        uri("u1")
    );
    assert_eq!(started(&whole, &[]).unwrap().upload_id, "u1");
    let short = format!(r#"{{"accessUri":"{}"}}"#, uri("u1"));
    assert_eq!(started(&short, &[]).unwrap().upload_id, "u1");
    for body in ["", "<html>", "[]", r#"{"uploadId":"u1"}"#, &whole[..40]] {
        assert!(matches!(started(body, &[]), Err(StartError::Invalid(_))), "{body}");
    }
    let elsewhere = whole.replace("/p/Zz9", "https://evil.example/p/Zz9");
    for body in [&elsewhere, &whole.replace("backups/u", "other/u")] {
        let Err(error @ StartError::Fatal(_)) = started(body, &[]) else { panic!("{body}") };
        let shown = format!("{error:?}");
        assert!(shown.contains("u1") && !shown.contains("second_secret"), "{shown}");
    }
    // The header that makes it a multipart upload was ignored.
    let Err(StartError::Fatal(error)) = started("", &[("etag", "e")]) else { panic!() };
    assert_eq!(error.kind.exit_code(), 8);
}

#[test]
fn a_success_may_lack_headers_and_is_not_the_page_of_a_proxy() {
    for headers in [&[][..], &[("etag", "e")], &[("opc-content-md5", "m")]] {
        assert!(response::parse_stored(&answer(headers, "")).is_ok());
    }
    assert!(response::parse_stored(&answer(&[("opc-request-id", "r")], "{}")).is_ok());
    assert!(response::parse_stored(&answer(&[], "<html>welcome")).is_err());
    assert!(response::parse_removed(&Response { status: 204, ..Response::default() }).is_ok());
    assert!(response::parse_removed(&answer(&[("opc-request-id", "r")], "")).is_ok());
    let head = response::parse_object(&answer(&[("content-length", "5"), ("etag", "e")], ""));
    assert_eq!(head.unwrap().size, Some(5));
    assert!(response::parse_object(&answer(&[("content-length", "5")], "")).is_err());
}
