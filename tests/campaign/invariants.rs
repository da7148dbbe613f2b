//! What must hold after every run of the campaign.
//!
//! Owns the invariants: after exit 0 the object has the stream's bytes and the receipt is true;
//! after any other code the previous object is unchanged, and stderr names each upload that is
//! open. Knows only what is visible from outside: the plan, the store, the requests and the output.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use emulator::Operation::{CommitMultipartUpload, CreateMultipartUpload, HeadObject, PutObject};
use emulator::fault::Fault;
use emulator::{Record, SpuriousCounts};
use ring::digest::{SHA256, digest};
use std::time::Duration;

use crate::common::run::Done;
use crate::common::store::Store;
use crate::common::stream::{assert_same, part_sizes};
use crate::plan::{Condition, Plan, Producer};

/// The object before the run.
pub struct PreviousObject {
    pub object: Option<Vec<u8>>,
    pub etag: String,
}

pub struct Outcome<'a> {
    pub store: &'a Store,
    pub plan: &'a Plan,
    pub previous: &'a PreviousObject,
    pub stream: &'a [u8],
    pub done: &'a Done,
    /// The number of the plan's signals that were sent.
    pub signals_sent: usize,
    /// The time between the end of the stream and the signal to the program, if a stop ended both.
    pub stopped_after: Option<Duration>,
    pub records: Vec<Record>,
}

/// The object after the run, compared with the stream and with the previous object.
#[derive(Debug, PartialEq)]
enum ObjectState {
    Unchanged,
    EqualsStream,
    Deleted,
    Other,
}

pub fn check(outcome: &Outcome) {
    let Outcome { plan, done, records, .. } = outcome;
    let code = done.status.code().expect("the program was killed by a signal");
    assert!(!done.stderr.contains("panicked"), "the program panicked");
    assert!(code != 1 && code != 2, "exit 1 or 2 is an internal or a usage error");
    let state = object_state(outcome);
    match code {
        0 => check_success(outcome),
        3 => {
            assert_eq!(state, ObjectState::Unchanged, "exit 3");
            assert!(plan.has(affects_credentials), "no fault affected the credentials");
        }
        4 => {
            assert_eq!(state, ObjectState::Unchanged, "exit 4");
            let cause = !plan.faults.faults.is_empty() || !plan.may_store(is_multipart(outcome));
            assert!(cause, "no fault was injected");
            if plan.faults.faults.is_empty() {
                assert!(done.stderr.contains("OBJECT_"), "the missing right is not named");
            }
        }
        5 => {
            assert_eq!(state, ObjectState::Unchanged, "exit 5");
            assert!(!source_is_valid(plan), "the source was valid");
        }
        6 => {
            assert_eq!(state, ObjectState::Unchanged, "exit 6");
            let forbidden = plan.object_exists && plan.condition == Condition::Absent
                || plan.condition == Condition::Mismatch;
            assert!(forbidden, "the precondition was met");
        }
        7 => check_integrity_failure(outcome, state),
        8 => check_unknown_outcome(outcome, state),
        129 | 130 | 143 => {
            assert_eq!(state, ObjectState::Unchanged, "exit {code}");
            let given = plan.signals[..outcome.signals_sent].iter().map(|(_, signal)| *signal);
            let stop = plan
                .stop_after_end
                .filter(|_| outcome.stopped_after.is_some())
                .map(|(_, signal)| signal);
            let sent = given.chain(stop).any(|signal| signal.as_raw() + 128 == code);
            assert!(sent, "no such signal was sent");
        }
        other => panic!("unknown exit code {other}"),
    }
    if code != 0 {
        assert_eq!(done.stdout, "", "stdout is for the receipt only");
        assert!(done.stderr.contains("ocipipe: "), "no reason is given");
    }
    let must_succeed = plan.mild || plan.faults.faults.is_empty() && plan.signals.is_empty();
    let must_succeed = must_succeed && plan.stop_after_end.is_none();
    if must_succeed
        && source_is_valid(plan)
        && precondition_holds(plan)
        && plan.may_store(is_multipart(outcome))
    {
        assert!(
            code == 0 || bucket_never_seen(records, done),
            "only transient faults, and the stream was lost"
        );
    }
    check_stop(outcome, code);
    if outcome.signals_sent > 0 || outcome.stopped_after.is_some() {
        // Includes the time before the signal, which is short.
        assert!(done.took < Duration::from_secs(60), "a stop may take 10 s");
    }
    check_open_uploads(outcome, code);
}

/// Whether the run requested a multipart upload.
fn is_multipart(outcome: &Outcome) -> bool {
    outcome.records.iter().any(|record| record.operation == CreateMultipartUpload)
}

/// Whether the run ended because the bucket gave no other response: the first four were spurious,
/// and the message states it.
pub fn bucket_never_seen(records: &[Record], done: &Done) -> bool {
    let reported = done.stderr.contains("the bucket has given no other answer");
    done.status.code() == Some(4) && SpuriousCounts::among(records).at_first >= 4 && reported
}

/// A stream that ended because of a stop is stored only if the signal reached the program later
/// than promised, and then no message is about stopping.
fn check_stop(outcome: &Outcome, code: i32) {
    // The promise is 100 ms; the test measures with a tolerance of 10 ms.
    const PROMISED: Duration = Duration::from_millis(90);
    let Some(gap) = outcome.stopped_after else { return };
    if gap <= PROMISED {
        assert!(
            code != 0 && code != 8,
            "signal {gap:?} after the end, and the stream was committed"
        );
    }
    let reported = outcome.done.stderr.lines().any(|line| line.contains("stops the upload"));
    assert!(code != 0 || !reported, "exit 0, and a message about stopping");
}

fn object_state(outcome: &Outcome) -> ObjectState {
    let etag = || outcome.store.object_record("x")["etag"].as_str().unwrap().to_owned();
    match (&outcome.previous.object, outcome.store.object("x")) {
        (None, None) => ObjectState::Unchanged,
        (Some(_), None) => ObjectState::Deleted,
        (Some(previous), Some(current))
            if *previous == current && etag() == outcome.previous.etag =>
        {
            ObjectState::Unchanged
        }
        (_, Some(current)) if current == outcome.stream => ObjectState::EqualsStream,
        _ => ObjectState::Other,
    }
}

pub fn affects_credentials(action: &Fault) -> bool {
    match action {
        Fault::RevokeToken | Fault::MoveClock(_) => true,
        Fault::Refuse(reply) => reply.status == 401,
        _ => false,
    }
}

pub fn falsifies(action: &Fault) -> bool {
    use Fault::{CorruptPart, DropPart, NothingStored, SwapParts, WrongChecksum};
    match action {
        WrongChecksum | CorruptPart | SwapParts(..) | DropPart(_) | NothingStored => true,
        Fault::Refuse(reply) => reply.code.as_ref().is_some_and(|c| c.starts_with("Unmatched")),
        _ => false,
    }
}

/// Whether the producer succeeded with a stream that may be stored.
fn source_is_valid(plan: &Plan) -> bool {
    let succeeded = !matches!(plan.producer, Producer::Exits(1..) | Producer::Killed);
    succeeded && (plan.length > 0 || plan.empty_allowed)
}

/// Whether the precondition allows the object to be stored.
fn precondition_holds(plan: &Plan) -> bool {
    match plan.condition {
        Condition::Absent => !plan.object_exists,
        Condition::Force => true,
        Condition::Match => plan.object_exists,
        Condition::Mismatch => false,
    }
}

fn check_success(outcome: &Outcome) {
    let Outcome { store, plan, stream, done, .. } = outcome;
    assert_same(&store.object("x").expect("exit 0 without an object"), stream);
    assert!(source_is_valid(plan), "exit 0 although the source failed");
    assert!(precondition_holds(plan), "exit 0 although the precondition was not met");
    let (receipt, record) = (done.receipt(), store.object_record("x"));
    assert_eq!(receipt["size"], stream.len());
    part_sizes(&receipt);
    let late = |action: &Fault| {
        matches!(action, Fault::LateLanding { .. } | Fault::SilentLateLanding { .. })
    };
    if !plan.has(late) {
        assert_eq!(receipt["etag"], record["etag"]);
    }
    assert_eq!(receipt["name"], "x");
    let sha256 = digest(&SHA256, stream);
    let hex: String = sha256.as_ref().iter().map(|byte| format!("{byte:02x}")).collect();
    if let Some(value) = receipt.get("sha256") {
        assert_eq!(*value, hex);
    }
    let multipart = receipt.get("upload-id").is_some();
    // Parts may be smaller if memory is scarce; then a warning names the option.
    if !done.stderr.contains("--part-size") {
        assert_eq!(multipart, stream.len() > plan.part_size);
        assert_eq!(receipt["parts"], stream.len().div_ceil(plan.part_size).max(1));
    }
    let checksum = receipt.get("checksum");
    assert_eq!(checksum.is_none(), plan.checksum == "none");
    if let Some(checksum) = checksum {
        let value = checksum["value"].as_str().unwrap();
        if plan.checksum == "sha256" && !multipart {
            assert_eq!(value, STANDARD.encode(sha256));
        }
        assert!(has_checksum(&record["checks"], value), "{checksum} is not in {record}");
    }
}

/// Whether the store's record of an object has this checksum, given as the service writes it.
fn has_checksum(checks: &serde_json::Value, value: &str) -> bool {
    let recorded = checks.to_string();
    // The record has a checksum of parts (with their count) as text, others as bytes or as a
    // number.
    let Ok(bytes) = STANDARD.decode(value) else { return recorded.contains(value) };
    let number = <[u8; 4]>::try_from(bytes.as_slice()).map(u32::from_be_bytes);
    let shown = number.map_or_else(|_| format!("{bytes:?}").replace(' ', ""), |n| n.to_string());
    recorded.contains(value) || recorded.contains(&shown)
}

fn check_integrity_failure(outcome: &Outcome, state: ObjectState) {
    let Outcome { store, plan, done, .. } = outcome;
    assert!(plan.has(falsifies), "no fault falsified anything");
    let deletes = plan.options.contains("--delete-on-mismatch");
    match state {
        ObjectState::Unchanged => {}
        ObjectState::Deleted => {
            assert!(done.stderr.contains("was deleted"), "the deletion is not reported")
        }
        ObjectState::EqualsStream | ObjectState::Other => {
            let etag = store.object_record("x")["etag"].as_str().unwrap().to_owned();
            assert!(done.stderr.contains(&etag), "the etag {etag} is not named");
            assert!(done.stderr.contains("was committed"), "the commit is not reported");
            let kept = !deletes || done.stderr.contains("could not be deleted");
            assert!(kept, "the object was not deleted");
        }
    }
}

/// Exit 8 requires a commit or put whose outcome was in doubt.
fn check_unknown_outcome(outcome: &Outcome, state: ObjectState) {
    let Outcome { plan, done, records, .. } = outcome;
    let is_commit =
        |record: &&Record| [CommitMultipartUpload, PutObject].contains(&record.operation);
    let has_fault = |record: &Record| record.fault.is_some() || record.status != 200;
    let commit_fault = records.iter().filter(is_commit).any(has_fault);
    let committed = records.iter().filter(is_commit).any(|record| record.status == 200);
    let head_fault = records.iter().filter(|r| r.operation == HeadObject).any(has_fault);
    let stopped = outcome.signals_sent > 0 || outcome.stopped_after.is_some();
    let in_doubt = commit_fault || committed && (head_fault || stopped);
    assert!(in_doubt, "no commit was in doubt");
    let texts = ["unknown", "could not be verified"];
    assert!(texts.iter().any(|text| done.stderr.contains(text)), "the doubt is not reported");
    assert!(done.stderr.contains("oci os object head"), "no command finds out");
    assert!(state != ObjectState::Deleted, "the previous object was deleted");
    assert!(state != ObjectState::Other || plan.has(falsifies), "another object exists");
}

/// Each open upload is named, unless its id cannot be known.
fn check_open_uploads(outcome: &Outcome, code: i32) {
    let Outcome { store, done, records, .. } = outcome;
    // The id is unknown if the response to a create was lost and the uploads could not be listed.
    let lost = |r: &Record| r.operation == CreateMultipartUpload && r.fault.is_some();
    let id_unknown = records.iter().any(lost) && done.stderr.contains("ocipipe uploads list");
    for (_, _, id) in store.server().open_uploads() {
        let named = done.stderr.contains(&id) && done.stderr.contains("uploads abort");
        assert!(named || id_unknown, "exit {code}: the upload {id} is open, and not named");
    }
}

/// A request as a line in the log of a failed run.
pub fn log_line(record: &Record) -> String {
    let part = record.part.map(|part| format!(" {part}")).unwrap_or_default();
    let fault = record.fault.as_ref().map(|fault| format!("{fault:?}")).unwrap_or_default();
    format!(
        "{:3} {:?}{part}: {} ({} bytes) {fault}",
        record.sequence, record.operation, record.status, record.body
    )
}
