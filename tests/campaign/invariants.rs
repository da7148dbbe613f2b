//! What must hold after every run of the campaign.
//!
//! Owns the invariant: exit 0, identical bytes and a receipt that is true; or another code, the name
//! as it was before, and no upload open that stderr does not name. Knows nothing of how the run went
//! but what can be seen from outside.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use emulator::Operation::{CommitMultipartUpload, CreateMultipartUpload, HeadObject, PutObject};
use emulator::fault::Fault;
use emulator::{Record, SpuriousCounts};
use ring::digest::{SHA256, digest};
use std::time::Duration;

use crate::common::run::Done;
use crate::common::store::Store;
use crate::common::stream::assert_same;
use crate::plan::{Condition, Plan, Producer};

/// What stood at the name.
pub struct Before {
    pub object: Option<Vec<u8>>,
    pub etag: String,
}

pub struct Outcome<'a> {
    pub store: &'a Store,
    pub plan: &'a Plan,
    pub before: &'a Before,
    pub stream: &'a [u8],
    pub done: &'a Done,
    /// So many of the plan's signals were given.
    pub signalled: usize,
    /// How long after the end of the stream the program was told of the stop that had ended it.
    pub stopped: Option<Duration>,
    pub records: Vec<Record>,
}

/// The object at the name, compared with what was sent and with what stood there.
#[derive(Debug, PartialEq)]
enum Now {
    Unchanged,
    Whole,
    Gone,
    Other,
}

pub fn judge(outcome: &Outcome) {
    let Outcome { plan, done, records, .. } = outcome;
    let code = done.status.code().expect("it was killed");
    assert!(!done.stderr.contains("panicked"), "it panicked");
    assert!(code != 1 && code != 2, "nothing was unforeseen or used wrongly");
    let now = object(outcome);
    match code {
        0 => succeeded(outcome),
        3 => {
            assert_eq!(now, Now::Unchanged, "exit 3");
            assert!(plan.has(about_credentials), "nothing was wrong with the credentials");
        }
        4 => {
            assert_eq!(now, Now::Unchanged, "exit 4");
            let wrong = !plan.faults.faults.is_empty() || !plan.may_store(several(outcome));
            assert!(wrong, "nothing went wrong");
            if plan.faults.faults.is_empty() {
                assert!(done.stderr.contains("OBJECT_"), "the missing right is not named");
            }
        }
        5 => {
            assert_eq!(now, Now::Unchanged, "exit 5");
            assert!(!sound(plan), "nothing was wrong with the source");
        }
        6 => {
            assert_eq!(now, Now::Unchanged, "exit 6");
            let forbidden = plan.stands && plan.condition == Condition::Absent
                || plan.condition == Condition::Mismatch;
            assert!(forbidden, "the name was free to be used");
        }
        7 => integrity(outcome, now),
        8 => unknown(outcome, now),
        129 | 130 | 143 => {
            assert_eq!(now, Now::Unchanged, "exit {code}");
            let given = plan.signals[..outcome.signalled].iter().map(|(_, signal)| *signal);
            let stop = plan.stopped.filter(|_| outcome.stopped.is_some()).map(|(_, signal)| signal);
            let named = given.chain(stop).any(|signal| signal.as_raw() + 128 == code);
            assert!(named, "no such signal was given");
        }
        other => panic!("no exit code is {other}"),
    }
    if code != 0 {
        assert_eq!(done.stdout, "", "stdout is for the receipt alone");
        assert!(done.stderr.contains("ocipipe: "), "no reason is given");
    }
    let passes = plan.mild || plan.faults.faults.is_empty() && plan.signals.is_empty();
    let passes = passes && plan.stopped.is_none();
    if passes && sound(plan) && allowed(plan) && plan.may_store(several(outcome)) {
        assert!(
            code == 0 || never_shown(records, done),
            "everything passed, and the stream was lost"
        );
    }
    stopped(outcome, code);
    if outcome.signalled > 0 || outcome.stopped.is_some() {
        // Without the time until the signal, which is not known here, but is short.
        assert!(done.took < Duration::from_secs(60), "a stop may take 10 s");
    }
    uploads(outcome, code);
}

/// Whether a multipart upload was asked for.
fn several(outcome: &Outcome) -> bool {
    outcome.records.iter().any(|record| record.operation == CreateMultipartUpload)
}

/// Whether nothing has shown the bucket: the first four answers were spurious, and it was given up with
/// the words for that.
pub fn never_shown(records: &[Record], done: &Done) -> bool {
    let said = done.stderr.contains("the bucket has given no other answer");
    done.status.code() == Some(4) && SpuriousCounts::among(records).at_first >= 4 && said
}

/// A stream whose end a stop has caused is stored only if the program was told too late for that to be
/// promised, and then nothing is said of stopping.
fn stopped(outcome: &Outcome, code: i32) {
    // What is promised is 100 ms; so much less does the clock of this test tell for certain.
    const PROMISED: Duration = Duration::from_millis(90);
    let Some(apart) = outcome.stopped else { return };
    if apart <= PROMISED {
        assert!(code != 0 && code != 8, "told {apart:?} after the end, and what was sent counts");
    }
    let says = outcome.done.stderr.lines().any(|line| line.contains("stops the upload"));
    assert!(code != 0 || !says, "exit 0, and it speaks of stopping");
}

fn object(outcome: &Outcome) -> Now {
    let etag = || outcome.store.object_record("x")["etag"].as_str().unwrap().to_owned();
    match (&outcome.before.object, outcome.store.object("x")) {
        (None, None) => Now::Unchanged,
        (Some(_), None) => Now::Gone,
        (Some(before), Some(now)) if *before == now && etag() == outcome.before.etag => {
            Now::Unchanged
        }
        (_, Some(now)) if now == outcome.stream => Now::Whole,
        _ => Now::Other,
    }
}

fn about_credentials(action: &Fault) -> bool {
    match action {
        Fault::RevokeToken | Fault::MoveClock(_) => true,
        Fault::Refuse(reply) => reply.status == 401,
        _ => false,
    }
}

fn lies(action: &Fault) -> bool {
    use Fault::{CorruptPart, DropPart, NothingStored, SwapParts, WrongChecksum};
    match action {
        WrongChecksum | CorruptPart | SwapParts(..) | DropPart(_) | NothingStored => true,
        Fault::Refuse(reply) => reply.code.as_ref().is_some_and(|c| c.starts_with("Unmatched")),
        _ => false,
    }
}

/// Whether the producer wrote a stream that may be stored.
fn sound(plan: &Plan) -> bool {
    let ended_well = !matches!(plan.producer, Producer::Exits(1..) | Producer::Killed);
    ended_well && (plan.length > 0 || plan.empty_allowed)
}

/// Whether the condition lets the object be stored.
fn allowed(plan: &Plan) -> bool {
    match plan.condition {
        Condition::Absent => !plan.stands,
        Condition::Force => true,
        Condition::Match => plan.stands,
        Condition::Mismatch => false,
    }
}

fn succeeded(outcome: &Outcome) {
    let Outcome { store, plan, stream, done, .. } = outcome;
    assert_same(&store.object("x").expect("exit 0, and there is no object"), stream);
    assert!(sound(plan), "exit 0, and the source had failed");
    assert!(allowed(plan), "exit 0, and the object was not allowed to be stored");
    let (receipt, about) = (done.receipt(), store.object_record("x"));
    assert_eq!(receipt["size"], stream.len());
    let late = |action: &Fault| {
        matches!(action, Fault::LateLanding { .. } | Fault::SilentLateLanding { .. })
    };
    if !plan.has(late) {
        assert_eq!(receipt["etag"], about["etag"]);
    }
    assert_eq!(receipt["name"], "x");
    let whole = digest(&SHA256, stream);
    let hex: String = whole.as_ref().iter().map(|byte| format!("{byte:02x}")).collect();
    if let Some(sha256) = receipt.get("sha256") {
        assert_eq!(*sha256, hex);
    }
    let multipart = receipt.get("upload-id").is_some();
    // Parts may be smaller for want of memory, and it is said then.
    if !done.stderr.contains("--part-size") {
        assert_eq!(multipart, stream.len() > plan.part_size);
        assert_eq!(receipt["parts"], stream.len().div_ceil(plan.part_size).max(1));
    }
    let checksum = receipt.get("checksum");
    assert_eq!(checksum.is_none(), plan.checksum == "none");
    if let Some(checksum) = checksum {
        let value = checksum["value"].as_str().unwrap();
        if plan.checksum == "sha256" && !multipart {
            assert_eq!(value, STANDARD.encode(whole));
        }
        assert!(holds(&about["checks"], value), "{checksum} is not in {about}");
    }
}

/// Whether a checksum, as the service writes it, is among those that the store keeps of an object.
fn holds(checks: &serde_json::Value, value: &str) -> bool {
    let kept = checks.to_string();
    // Of parts the number is told too, and the whole is kept as text; bytes and numbers otherwise.
    let Ok(bytes) = STANDARD.decode(value) else { return kept.contains(value) };
    let number = <[u8; 4]>::try_from(bytes.as_slice()).map(u32::from_be_bytes);
    let shown = number.map_or_else(|_| format!("{bytes:?}").replace(' ', ""), |n| n.to_string());
    kept.contains(value) || kept.contains(&shown)
}

fn integrity(outcome: &Outcome, now: Now) {
    let Outcome { store, plan, done, .. } = outcome;
    assert!(plan.has(lies), "everything was as it should be");
    let deletes = plan.options.contains("--delete-on-mismatch");
    match now {
        Now::Unchanged => {}
        Now::Gone => assert!(done.stderr.contains("was deleted"), "it was not said to be deleted"),
        Now::Whole | Now::Other => {
            let etag = store.object_record("x")["etag"].as_str().unwrap().to_owned();
            assert!(done.stderr.contains(&etag), "the etag {etag} is not named");
            assert!(done.stderr.contains("was committed"), "it is not said to be committed");
            let left = !deletes || done.stderr.contains("could not be deleted");
            assert!(left, "it was not deleted");
        }
    }
}

/// Exit 8 is for a commit whose outcome was in doubt, and for nothing else.
fn unknown(outcome: &Outcome, now: Now) {
    let Outcome { plan, done, records, .. } = outcome;
    let decisive =
        |record: &&Record| [CommitMultipartUpload, PutObject].contains(&record.operation);
    let doubtful = |record: &Record| record.fault.is_some() || record.status != 200;
    let sent = records.iter().filter(decisive).any(doubtful);
    let committed = records.iter().filter(decisive).any(|record| record.status == 200);
    let asked = records.iter().filter(|r| r.operation == HeadObject).any(doubtful);
    let signalled = outcome.signalled > 0 || outcome.stopped.is_some();
    let in_doubt = sent || committed && (asked || signalled);
    assert!(in_doubt, "no commit was in doubt");
    let words = ["unknown", "could not be verified"];
    assert!(words.iter().any(|word| done.stderr.contains(word)), "it is not said to be unknown");
    assert!(done.stderr.contains("oci os object head"), "it is not said how to find out");
    assert!(now != Now::Gone, "the old object is gone");
    assert!(now != Now::Other || plan.has(lies), "another object has appeared");
}

/// What costs money is gone, or named.
fn uploads(outcome: &Outcome, code: i32) {
    let Outcome { store, done, records, .. } = outcome;
    // Of a create whose answer was lost, and of which no list could be had, no id is known.
    let lost = |r: &Record| r.operation == CreateMultipartUpload && r.fault.is_some();
    let nameless = records.iter().any(lost) && done.stderr.contains("ocipipe uploads list");
    for (_, _, id) in store.server().open_uploads() {
        let named = done.stderr.contains(&id) && done.stderr.contains("uploads abort");
        assert!(named || nameless, "exit {code}: the upload {id} is open, and not named");
    }
}

/// A request, for the log of a run that failed.
pub fn shown(record: &Record) -> String {
    let part = record.part.map(|part| format!(" {part}")).unwrap_or_default();
    let fault = record.fault.as_deref().unwrap_or_default();
    format!(
        "{:3} {:?}{part}: {} ({} bytes) {fault}",
        record.sequence, record.operation, record.status, record.body
    )
}
