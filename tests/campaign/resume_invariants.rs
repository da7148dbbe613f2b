//! What must hold after a run with `--resume`.
//!
//! Owns the invariants: exit 0 only if the object is the stream of this run; after other codes nothing
//! has appeared or changed, and the upload stays open and is named where the contract requires it. Knows
//! only what is visible from outside.

use std::collections::BTreeSet;

use emulator::Operation::{
    CommitMultipartUpload, HeadObject, ListMultipartUploadParts, PutObject, UploadPart,
};
use emulator::Record;
use emulator::fault::Fault;

use crate::common::run::Done;
use crate::common::store::Store;
use crate::common::stream::{assert_same, part_sizes};
use crate::invariants::{affects_credentials, bucket_never_seen, falsifies};
use crate::resume_plan::{Plan, Relation};
use crate::resume_runs::open;

/// Another run with the same upload.
pub struct Rival {
    pub stream: Vec<u8>,
    pub done: Done,
}

pub struct Outcome<'a> {
    pub store: &'a Store,
    pub plan: &'a Plan,
    pub stream: &'a [u8],
    pub open_before: &'a BTreeSet<String>,
    pub object_before: Option<&'a [u8]>,
    pub done: &'a Done,
    pub rival: Option<Rival>,
    pub first_records: &'a [Record],
    /// Of the second run and its rival.
    pub records: &'a [Record],
}

impl Outcome<'_> {
    fn code(&self) -> i32 {
        self.done.status.code().expect("the program was killed by a signal")
    }

    /// The object is that of before, or the first run's, whose commit may land late.
    fn is_unchanged(&self) -> bool {
        let object = self.store.object("x");
        let first = || self.plan.first_may_commit() && object == Some(self.plan.first_stream());
        object.as_deref() == self.object_before || first()
    }

    fn is_stream(&self) -> bool {
        self.store.object("x").as_deref() == Some(self.stream)
    }

    /// Whether the run got to know the upload that it continues.
    fn knows_upload(&self) -> bool {
        let listed = |r: &Record| r.operation == ListMultipartUploadParts && r.status == 200;
        self.open_before.len() == 1 && self.records.iter().any(listed)
    }

    fn has_sent_parts(&self) -> bool {
        self.records.iter().any(|record| record.operation == UploadPart)
    }

    fn committed(&self) -> bool {
        let stores = [CommitMultipartUpload, PutObject];
        let stored = |r: &Record| stores.contains(&r.operation) && r.status == 200;
        // A commit that lands late has no response.
        self.records.iter().any(stored) || self.done.stderr.contains("was committed (etag")
    }
}

pub fn check(outcome: &Outcome) {
    let Outcome { plan, done, .. } = outcome;
    let code = outcome.code();
    assert!(!done.stderr.contains("panicked"), "the program panicked");
    if let Some(rival) = &outcome.rival {
        return check_rivals(outcome, rival);
    }
    match code {
        0 => check_success(outcome),
        2 => check_several(outcome),
        3 => assert!(plan.has(affects_credentials), "no fault affected the credentials"),
        4 => assert!(!plan.faults.faults.is_empty(), "no fault was injected"),
        5 => assert_eq!(plan.relation, Relation::Empty, "the source was valid"),
        6 => check_precondition(outcome),
        7 => check_difference(outcome),
        8 => check_unknown(outcome),
        129 | 130 | 143 => assert!(plan.signal.is_some(), "no signal was sent"),
        other => panic!("exit {other}"),
    }
    if code != 0 {
        assert_eq!(done.stdout, "", "stdout is for the receipt only");
        assert!(done.stderr.contains("ocipipe: "), "no reason is given");
    }
    if !matches!(code, 0 | 7 | 8) {
        assert!(outcome.is_unchanged(), "exit {code}, and the object is another one");
    }
    check_left_open(outcome);
    let must_succeed = plan.mild
        && plan.relation != Relation::Empty
        && !plan.other_content_type
        && outcome.open_before.len() <= 1
        && (outcome.object_before.is_none() || plan.object_exists);
    if must_succeed && code != 6 {
        // Before the stream is read, rejected credentials and the page of a proxy end the run.
        let page = |r: &Record| matches!(r.fault, Some(Fault::Html { .. }));
        let rejected = !outcome.has_sent_parts()
            && (code == 3 && plan.has(affects_credentials)
                || code == 4 && outcome.records.iter().any(page));
        let excused = rejected || bucket_never_seen(outcome.records, done);
        assert!(code == 0 || excused, "only transient faults, and the stream was lost");
    }
}

fn check_success(outcome: &Outcome) {
    let Outcome { store, plan, stream, done, .. } = outcome;
    assert_ne!(plan.relation, Relation::Empty, "exit 0 with an empty stream");
    assert_same(&store.object("x").expect("exit 0 without an object"), stream);
    let receipt = done.receipt();
    assert_eq!(receipt["size"], stream.len());
    part_sizes(&receipt);
    let open_before = outcome.open_before;
    assert!(open_before.len() < 2 || plan.names_upload, "one of several uploads was guessed");
    if open_before.len() == 1 {
        let id = open_before.first().unwrap();
        assert_eq!(receipt["upload-id"], **id, "the open upload was not continued");
        assert!(!plan.other_content_type, "exit 0 with the content type of another run");
    }
    let used = receipt["upload-id"].as_str().unwrap_or_default();
    assert!(!open(store).contains(used), "the upload is open after its commit");
    if plan.faults.faults.is_empty() {
        check_parts_sent(outcome);
    }
}

/// Parts of one full size that the service held, with bytes of this stream, are not sent again.
fn check_parts_sent(outcome: &Outcome) {
    let Outcome { plan, stream, .. } = outcome;
    let size = u64::from(plan.first_part_size) << 20;
    let stored = |r: &&Record| r.operation == UploadPart && r.status == 200;
    let parts: Vec<&Record> = outcome.first_records.iter().filter(stored).collect();
    // One part behind a hole does not show how the stream was cut.
    let cut_known = parts.len() > 1 || parts.iter().any(|part| part.part == Some(1));
    let one_size = parts.iter().all(|part| part.body == size);
    if plan.never_idle() || outcome.open_before.len() != 1 || !cut_known || !one_size {
        return;
    }
    let first = plan.first_stream();
    for number in parts.iter().filter_map(|record| record.part) {
        let range = (number as usize - 1) * size as usize..number as usize * size as usize;
        if stream.get(range.clone()).is_some_and(|bytes| bytes == &first[range]) {
            let again = |r: &Record| r.operation == UploadPart && r.part == Some(number);
            assert!(!outcome.records.iter().any(again), "part {number} was sent again");
        }
    }
}

/// Exit 2: several uploads are open, and none was chosen.
fn check_several(outcome: &Outcome) {
    let Outcome { plan, done, open_before, .. } = outcome;
    assert!(
        open_before.len() > 1 && !plan.names_upload,
        "exit 2 with {} uploads",
        open_before.len()
    );
    for id in *open_before {
        assert!(done.stderr.contains(id), "the upload {id} is not named");
    }
    assert_eq!(open(outcome.store), **open_before, "an upload was changed");
}

/// Exit 6: an object exists, or the upload is another run's.
fn check_precondition(outcome: &Outcome) {
    let exists = outcome.object_before.is_some() && !outcome.plan.object_exists;
    // The first run's commit or one of its parts has landed late.
    let late = outcome.plan.never_idle() || outcome.plan.first_may_commit();
    assert!(exists || late, "exit 6, and the precondition was met");
}

fn check_difference(outcome: &Outcome) {
    let Outcome { plan, done, .. } = outcome;
    let falsified = plan.has(falsifies);
    assert!(plan.other_content_type || falsified, "exit 7, and nothing differs");
    if done.stderr.contains("was committed (etag") {
        let named = done.stderr.contains("content-type") && plan.other_content_type;
        assert!(falsified || named && outcome.is_stream(), "the difference is not named");
    } else {
        assert!(outcome.is_unchanged(), "exit 7 without a commit, and the object is another one");
    }
}

fn check_unknown(outcome: &Outcome) {
    let Outcome { plan, done, records, .. } = outcome;
    let in_doubt = |r: &Record| {
        let about = [CommitMultipartUpload, PutObject, HeadObject].contains(&r.operation);
        about && (r.fault.is_some() || r.status != 200)
    };
    assert!(records.iter().any(in_doubt) || plan.signal.is_some(), "no commit was in doubt");
    assert!(done.stderr.contains("oci os object head"), "no command finds out");
    let known = outcome.is_unchanged() || outcome.is_stream();
    assert!(known || plan.has(falsifies), "another object exists");
}

/// Which uploads are open after the run, and whether they are named.
fn check_left_open(outcome: &Outcome) {
    let Outcome { plan, done, open_before, .. } = outcome;
    let after = open(outcome.store);
    let code = outcome.code();
    let names = |id: &str| done.stderr.contains(id);
    let gone_late = plan.first_may_commit();
    if code != 0 && code != 8 && !outcome.committed() {
        // Only the run that began an upload may abort it.
        let kept = gone_late || open_before.is_subset(&after);
        assert!(kept, "exit {code}: an upload that was open is gone");
    }
    if code == 0 {
        return;
    }
    if outcome.knows_upload() && after.is_superset(open_before) {
        let id = open_before.first().unwrap();
        let resumes = names(id) && done.stderr.contains("put --resume --upload-id");
        assert!(resumes, "exit {code}: the upload {id} is open, and no command goes on with it");
    }
    // Uploads that this run began.
    for id in after.difference(open_before) {
        let lost = done.stderr.contains("ocipipe uploads list");
        assert!(names(id) || lost, "exit {code}: the upload {id} is open, and not named");
        let worthless = matches!(code, 5 | 7) && plan.faults.faults.is_empty();
        assert!(!worthless, "exit {code}: the upload {id} is worth nothing, and open");
    }
}

/// Of two runs with one upload at most one stores its stream, and nothing is mixed.
fn check_rivals(outcome: &Outcome, rival: &Rival) {
    let Outcome { store, plan, stream, done, .. } = outcome;
    let codes = [outcome.code(), rival.done.status.code().expect("the rival was killed")];
    let expected = |code: &i32| match code {
        0 | 6 => true,
        2 => outcome.open_before.len() > 1,
        5 => plan.relation == Relation::Empty,
        7 => plan.other_content_type,
        _ => false,
    };
    assert!(codes.iter().all(expected), "{codes:?}");
    let stored = |code: i32, done: &Done| code == 0 || done.stderr.contains("was committed (etag");
    let (own, other) = (stored(codes[0], done), stored(codes[1], &rival.done));
    match (own, other) {
        (false, false) => assert!(outcome.is_unchanged(), "{codes:?}, and the object is another"),
        (true, false) => assert_same(&store.object("x").unwrap(), stream),
        (false, true) => assert_same(&store.object("x").unwrap(), &rival.stream),
        // One run after the other replaces the object.
        (true, true) => {
            assert!(plan.object_exists, "{codes:?}: both have stored an object");
            let object = store.object("x").unwrap();
            assert!(object == *stream || object == rival.stream, "the object is mixed");
        }
    }
}

/// Where the upload is still open, a run without faults stores the stream.
pub fn check_third_run(outcome: &Outcome, run: impl FnOnce() -> Done) {
    let Outcome { store, plan, stream, .. } = outcome;
    let after = open(store);
    if outcome.code() == 0 || after.len() != 1 || plan.relation == Relation::Empty {
        return;
    }
    // The faults may have left a revoked token or one that the clock has passed.
    store.server().set_clock_offset(0);
    store.server().log_in().unwrap();
    let replaceable = store.object("x").is_none() || plan.object_exists;
    let done = run();
    match done.status.code() {
        Some(0) => assert_same(&store.object("x").unwrap(), stream),
        Some(6) => assert!(!replaceable || plan.first_may_commit() || plan.never_idle(), "exit 6"),
        Some(7) => assert!(plan.other_content_type, "exit 7"),
        code => panic!("the third run ends with {code:?}:\n{}", done.stderr),
    }
}
