//! An answer of the service, or of whoever sits between: any head and body is read or refused, and
//! what is shown of it to a person is printable.
//!
//! The input is the answer as text: the status, header lines, an empty line, the body.

#![no_main]

use libfuzzer_sys::fuzz_target;
use proto::api::{ErrorResponse, ListedPart, ListedUpload, ObjectMeta, Response, response};
use proto::retry::{Failure, Operation, RunStage, classify};

/// The answer as the transport would hand it over: names in lower case, values visible ASCII.
fn read(bytes: &[u8]) -> Option<Response> {
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
    let Some(read) = read(bytes) else { return };
    if let Ok(namespace) = response::parse_namespace(&read) {
        assert!(!namespace.is_empty() && !namespace.contains('/'));
    }
    if let Ok(id) = response::parse_created(&read) {
        assert!(!id.is_empty() && printable(&id));
    }
    let unreadable = [
        response::parse_page::<ListedPart>(&read).err(),
        response::parse_page::<ListedUpload>(&read).err(),
        response::parse_namespace(&read).err(),
    ];
    assert!(unreadable.iter().flatten().all(|why| printable(&why.0)));
    let meta = response::parse_object(&read).map(|meta| ObjectMeta { size: None, ..meta });
    assert_eq!(meta, response::parse_stored(&read));
    assert_eq!(meta.is_ok(), ObjectMeta::of(&read).etag.is_some());
    let error = ErrorResponse::of(&read);
    assert!(printable(&error.to_string()), "{error:?}");
    let failure = Failure::ErrorResponse(error);
    for operation in OPERATIONS {
        for stage in [RunStage::Preflight, RunStage::Streaming] {
            let _ = classify(operation, stage, &failure);
        }
    }
    assert!(printable(&failure.message("a call")));
});
