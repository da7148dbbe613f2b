//! A response of the service or of a proxy: any head and body is parsed or refused, and the texts
//! for messages are printable. Through a pre-authenticated request too, where the address of an upload is one of
//! its object at its host.
//!
//! The input is the response as text: the status, header lines, an empty line, the body.

#![no_main]

use std::sync::LazyLock;

use libfuzzer_sys::fuzz_target;
use proto::api::response as api;
use proto::api::{
    ErrorResponse, ListedPart, ListedUpload, ObjectMeta, Response, parse_created, parse_page,
};
use proto::par::response::{self as par, StartError};
use proto::par::{GivenNames, ParObject, ParUrl};
use proto::retry::{Failure, Operation, RunStage, classify};

/// The response as the transport delivers it: names in lower case, values visible ASCII.
fn parse(bytes: &[u8]) -> Option<Response> {
    let end = bytes.windows(2).position(|two| two == b"\n\n")?;
    let (head, body) = (std::str::from_utf8(&bytes[..end]).ok()?, bytes[end + 2..].to_vec());
    let mut lines = head.lines();
    let status = lines.next()?.parse().ok()?;
    let header = |line: &str| {
        let (name, value) = line.split_once(": ")?;
        let visible = value.bytes().all(|byte| byte == b'\t' || (b' '..=b'~').contains(&byte));
        visible.then(|| (name.to_ascii_lowercase(), value.to_owned()))
    };
    Some(Response { status, headers: lines.map_while(header).collect(), body })
}

fn printable(text: &str) -> bool {
    !text.chars().any(|c| c.is_control() && c != '\t')
}

const PAR: &str = "https://objectstorage.eu-frankfurt-1.oraclecloud.com/p/OBJECT-SECRET-SECRET/n/ns/b/bucket/o/name";

static OBJECT: LazyLock<ParObject> = LazyLock::new(|| {
    let url = ParUrl::parse("a URL", PAR).expect("a good URL");
    url.object(&GivenNames::default()).expect("the URL of an object")
});

/// A response through a pre-authenticated request.
fn through_par(response: &Response) {
    match par::parse_started(&OBJECT, response) {
        Ok(uri) => assert!(!uri.upload_id.is_empty() && printable(&uri.upload_id)),
        Err(StartError::Invalid(why)) => assert!(printable(&why.0)),
        Err(StartError::Fatal(error)) => {
            assert!(printable(&error.message), "{error:?}");
            let body = String::from_utf8_lossy(&response.body);
            let secret = "OBJECT-SECRET-SECRET";
            assert!(!error.message.contains(secret) || body.contains(secret), "{error:?}");
        }
    }
    let stored = par::parse_stored(response);
    assert_eq!(stored.is_ok(), par::parse_removed(response).is_ok());
    if let Ok(object) = par::parse_object(response) {
        assert_eq!(stored, Ok(ObjectMeta { size: None, ..object }));
    }
}

/// Bytes: 10,000 parts of 50 GiB. A larger object is refused.
const MAX_OBJECT: u64 = 10_000 * (50 << 30);

const OPERATIONS: [Operation; 5] =
    [Operation::Create, Operation::Part, Operation::Commit, Operation::Put, Operation::Head];

fuzz_target!(|bytes: &[u8]| {
    let Some(response) = parse(bytes) else { return };
    through_par(&response);
    if let Ok(namespace) = api::parse_namespace(&response) {
        assert!(!namespace.is_empty() && !namespace.contains('/'));
    }
    if let Ok(id) = parse_created(&response) {
        assert!(!id.is_empty() && printable(&id));
    }
    let errors = [
        parse_page::<ListedPart>(&response).err(),
        parse_page::<ListedUpload>(&response).err(),
        api::parse_namespace(&response).err(),
    ];
    assert!(errors.iter().flatten().all(|why| printable(&why.0)));
    let meta = api::parse_object(&response).map(|meta| ObjectMeta { size: None, ..meta });
    let size = response.header("content-length").and_then(|text| text.parse::<u64>().ok());
    if size.is_some_and(|size| size > MAX_OBJECT) {
        assert!(meta.is_err());
    } else {
        assert_eq!(meta, api::parse_stored(&response));
        assert_eq!(meta.is_ok(), ObjectMeta::of(&response).etag.is_some());
    }
    let error = ErrorResponse::of(&response);
    assert!(printable(&error.to_string()), "{error:?}");
    let failure = Failure::ErrorResponse(error);
    for operation in OPERATIONS {
        for stage in [RunStage::Preflight, RunStage::Streaming] {
            let _ = classify(operation, stage, &failure);
        }
    }
    assert!(printable(&failure.message("a call")));
});
