//! An answer of the service, or of whoever sits between: any head and body is read or refused, and
//! what is shown of it to a person is printable.
//!
//! The input is the answer as text: the status, header lines, an empty line, the body.

#![no_main]

use libfuzzer_sys::fuzz_target;
use proto::api::{Answer, Held, ListedPart, ListedUpload, Refusal, answer};
use proto::retry::{Failure, Operation, Stage, judge};

/// The answer as the transport would hand it over: names in lower case, values visible ASCII.
fn read(bytes: &[u8]) -> Option<Answer> {
    let end = bytes.windows(2).position(|two| two == b"\n\n")?;
    let (head, body) = (std::str::from_utf8(&bytes[..end]).ok()?, bytes[end + 2..].to_vec());
    let mut lines = head.lines();
    let status = lines.next()?.parse().ok()?;
    let header = |line: &str| {
        let (name, value) = line.split_once(": ")?;
        let visible = value.bytes().all(|byte| byte == b'\t' || (b' '..=b'~').contains(&byte));
        visible.then(|| (name.to_ascii_lowercase(), value.to_owned()))
    };
    Some(Answer { status, headers: lines.map_while(header).collect(), body })
}

fn printable(text: &str) -> bool {
    !text.chars().any(|c| c.is_control() && c != '\t')
}

const OPERATIONS: [Operation; 5] =
    [Operation::Create, Operation::Part, Operation::Commit, Operation::Put, Operation::Head];

fuzz_target!(|bytes: &[u8]| {
    let Some(read) = read(bytes) else { return };
    if let Ok(namespace) = answer::read_namespace(&read) {
        assert!(!namespace.is_empty() && !namespace.contains('/'));
    }
    if let Ok(id) = answer::read_created(&read) {
        assert!(!id.is_empty() && printable(&id));
    }
    let unreadable = [
        answer::read_page::<ListedPart>(&read).err(),
        answer::read_page::<ListedUpload>(&read).err(),
        answer::read_namespace(&read).err(),
    ];
    assert!(unreadable.iter().flatten().all(|why| printable(&why.0)));
    let held = answer::read_object(&read).map(|held| Held { size: None, ..held });
    assert_eq!(held, answer::read_stored(&read));
    assert_eq!(held.is_ok(), Held::of(&read).etag.is_some());
    let refusal = Refusal::of(&read);
    assert!(printable(&refusal.to_string()), "{refusal:?}");
    let failure = Failure::Refused(refusal);
    for operation in OPERATIONS {
        for stage in [Stage::Start, Stage::UnderWay] {
            let _ = judge(operation, stage, &failure);
        }
    }
    assert!(printable(&failure.what("a call")));
});
