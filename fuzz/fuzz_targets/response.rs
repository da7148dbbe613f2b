//! A response of the service or of a proxy: any head and body is parsed or refused, and the texts
//! for messages are printable.
//!
//! The input is the response as text: the status, header lines, an empty line, the body.

#![no_main]

use libfuzzer_sys::fuzz_target;
use proto::api::response as api;
use proto::api::{
    ErrorResponse, ListedPart, ListedUpload, ObjectMeta, Response, parse_created, parse_page,
};
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

const OPERATIONS: [Operation; 5] =
    [Operation::Create, Operation::Part, Operation::Commit, Operation::Put, Operation::Head];

fuzz_target!(|bytes: &[u8]| {
    let Some(response) = parse(bytes) else { return };
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
    assert_eq!(meta, api::parse_stored(&response));
    assert_eq!(meta.is_ok(), ObjectMeta::of(&response).etag.is_some());
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
