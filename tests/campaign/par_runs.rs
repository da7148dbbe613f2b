//! Random runs of `put` through a pre-authenticated request (PAR): faults of the transport, spurious
//! 404s, late parts, a PAR that is deleted or expires in the middle, and a second upload to the same
//! name, with every answer that the service's documentation leaves open.
//!
//! Knows nothing of signed uploads. Invariants that are checked: the exit code tells what became of the
//! object; a commit follows the success of every part that was sent; no output has a secret. A seed
//! always gives the same plan.

use std::collections::BTreeMap;
use std::os::unix::fs::PermissionsExt;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};

use emulator::Operation::{self, *};
use emulator::fault::{Fault, FaultPlan, FaultResponse, FaultRule, Trigger};
use emulator::{
    AbortStatus, AccessType, NewPar, ParConditions, ParOptions, ParRefusal, PartListing, Record,
};
use rustix::process::Signal;

use crate::common::run::{Done, ocipipe};
use crate::common::store::{BUCKET, Store};
use crate::common::stream::{PART, ramp};
use crate::random_faults::pick;
use crate::{PARALLEL_RUNS, invariants, number};

/// The runs of `cargo test`.
const DEFAULT_RUNS: u64 = 24;

/// What is stored under the name before the run, and by another client in its middle.
const PREVIOUS: &[u8] = b"the previous object";
const OTHER: &str = "the object of another client";

#[derive(Debug)]
struct Plan {
    /// Whether the faults are transient, so that the stream must be stored.
    mild: bool,
    length: usize,
    par: NewPar,
    options: ParOptions,
    faults: FaultPlan,
    force: bool,
    object_exists: bool,
    /// After this many responses.
    signal: Option<(usize, Signal)>,
}

impl Plan {
    fn of(seed: u64) -> Plan {
        let mut random = fastrand::Rng::with_seed(seed ^ 0x7061_7200);
        let random = &mut random;
        let mild = random.bool();
        let length = match random.u8(..6) {
            0 => random.usize(1..5000),
            _ => random.usize(PART / 2..3 * PART),
        };
        let reads = random.bool();
        let par = match (random.u8(..3), reads) {
            (0, true) => NewPar::object(BUCKET, "a/x"),
            (0, false) => NewPar::object(BUCKET, "a/x").access(AccessType::ObjectWrite),
            (1, true) => NewPar::prefix(BUCKET, "a/"),
            (1, false) => NewPar::prefix(BUCKET, "a/").access(AccessType::AnyObjectWrite),
            (_, true) => NewPar::bucket(BUCKET),
            (_, false) => NewPar::bucket(BUCKET).access(AccessType::AnyObjectWrite),
        };
        let rules = random.u8(1..5);
        let faults = (0..rules).map(|_| rule(random, mild)).collect();
        let object_exists = !mild && random.u8(..4) == 0;
        Plan {
            mild,
            length,
            par,
            options: options(random),
            faults: FaultPlan { faults },
            force: random.bool(),
            object_exists,
            signal: (!mild && random.u8(..6) == 0)
                .then(|| (random.usize(1..5), *pick(random, &[Signal::TERM, Signal::INT]))),
        }
    }

    fn has(&self, of: impl Fn(&Fault) -> bool) -> bool {
        self.faults.faults.iter().any(|rule| of(&rule.action))
    }

    fn reads(&self) -> bool {
        self.par.access.reads()
    }
}

fn options(random: &mut fastrand::Rng) -> ParOptions {
    use ParRefusal::*;
    let refusals = [NotAuthenticated, BucketNotFound, NotAuthorizedOrNotFound];
    let mut likely = || random.u8(..3) > 0;
    let (request_checksums, part_etag, part_checksums) = (likely(), likely(), likely());
    let (object_etag, object_checksums) = (likely(), likely());
    let (uploads_outlive, forget_ended_uploads, head_write_only) =
        (!likely(), !likely(), !likely());
    let conditions = [ParConditions::Honoured, ParConditions::NotAtCommit, ParConditions::Ignored];
    let list_parts = [PartListing::NotFound, PartListing::MethodNotAllowed, PartListing::Listed];
    ParOptions {
        invalid: *pick(random, &refusals),
        not_allowed: *pick(random, &refusals),
        conditions: *pick(random, &conditions),
        request_checksums,
        part_etag,
        part_checksums,
        object_etag,
        object_checksums,
        list_parts: *pick(random, &list_parts),
        abort: *pick(random, &[AbortStatus::NoContent, AbortStatus::Ok]),
        uploads_outlive,
        forget_ended_uploads,
        head_write_only,
        ..ParOptions::default()
    }
}

const OPERATIONS: [Operation; 9] = [
    UploadPart,
    UploadPart,
    UploadPart,
    CommitMultipartUpload,
    CommitMultipartUpload,
    PutObject,
    CreateMultipartUpload,
    HeadObject,
    AbortMultipartUpload,
];

fn rule(random: &mut fastrand::Rng, mild: bool) -> FaultRule {
    if random.u8(..8) == 0 {
        return FaultRule::spurious(random.u16(20..100), random.u64(..)).par(true);
    }
    let operation = *pick(random, &OPERATIONS);
    let harsh = !mild && random.u8(..2) == 0;
    let fault = if harsh { harsh_fault(random) } else { transient_fault(random, operation) };
    let rule = FaultRule::on(operation, fault).par(true);
    rule.when(match random.u8(..4) {
        0 => Trigger::Attempt(random.u64(1..3)),
        1 => Trigger::Requests(random.u64(1..3)),
        _ => Trigger::Request(random.u64(1..4)),
    })
}

fn transient_fault(random: &mut fastrand::Rng, operation: Operation) -> Fault {
    let refusal = FaultResponse::status(*pick(random, &[429, 500, 502, 503, 504]));
    let within = random.u64(..PART as u64);
    match random.u8(..16) {
        0 => Fault::Refuse(refusal),
        1 => Fault::Early(refusal),
        2 => Fault::EarlyReset(refusal),
        3 => Fault::Delay(random.u64(..500)),
        4 => Fault::ResetBeforeBody,
        5 | 6 => Fault::LoseAnswer,
        7 => Fault::StallAnswer { ms: None },
        8 => Fault::Truncate(random.u64(..400)),
        9 => Fault::Garbage("this is not HTTP\r\n\r\n".to_owned()),
        10 => Fault::Html { status: *pick(random, &[200, 403, 502]) },
        11 if operation.streams_its_body() => Fault::ResetInBody(within),
        12 if operation.streams_its_body() => Fault::StallBody { bytes: within, ms: None },
        13 if operation == UploadPart => Fault::LateLanding { after: None },
        14 if operation == UploadPart => Fault::LateLanding { after: Some(CommitMultipartUpload) },
        _ => Fault::ResetBeforeBody,
    }
}

fn harsh_fault(random: &mut fastrand::Rng) -> Fault {
    match random.u8(..9) {
        0 | 1 => Fault::DeletePars,
        2 => Fault::MoveClock(7_200),
        3 | 4 => Fault::StoreOther(OTHER.to_owned()),
        5 => Fault::WrongChecksum,
        6 => Fault::LateLanding { after: Some(HeadObject) },
        7 => Fault::Refuse(FaultResponse::status(*pick(random, &[401, 403, 404]))),
        _ => Fault::SilentLateLanding { after: None },
    }
}

/// Makes the run of a seed; returns its exit code.
fn run_seed(seed: u64) -> i32 {
    let plan = Plan::of(seed);
    let store = Store::start();
    store.server().set_par_options(plan.options);
    if plan.object_exists {
        store.server().store_object(BUCKET, "a/x", PREVIOUS).unwrap();
    }
    let url = store.server().create_par(plan.par.clone()).unwrap().url;
    let file = store.file("par", &url);
    std::fs::set_permissions(&file, PermissionsExt::from_mode(0o600)).unwrap();
    store.server().set_faults(plan.faults.clone());
    let stream = ramp(plan.length);
    let mut put = ocipipe("put --part-size 10MiB --debug --stall-timeout 2s --par-file".split(' '))
        .arg(file)
        .args("--retry-for 30s")
        .within(store.folder());
    if !plan.par.access.is_for_one_object() {
        put = put.args("--name a/x");
    }
    if plan.force {
        put = put.arg("--force");
    }
    let run = put.stdin(stream.as_slice()).start();
    if let Some((responses, signal)) = plan.signal {
        store.wait_until_or_exit(&run, move |records, _| records.len() >= responses);
        run.signaller()(signal);
    }
    let done = run.wait();
    let records = store.requests();
    let checked = catch_unwind(AssertUnwindSafe(|| check(&store, &plan, &stream, &done, &url)));
    if checked.is_err() || std::env::var_os("OCIPIPE_SEED").is_some() {
        let log: Vec<String> = records.iter().map(invariants::log_line).collect();
        eprintln!(
            "seed {seed}\n{plan:#?}\nexit {:?} after {:?}\nstderr:\n{}stdout: {}\n{}\n",
            done.status.code(),
            done.took,
            done.stderr,
            done.stdout,
            log.join("\n")
        );
    }
    if let Err(panic) = checked {
        std::panic::resume_unwind(panic);
    }
    done.status.code().unwrap()
}

fn check(store: &Store, plan: &Plan, stream: &[u8], done: &Done, url: &str) {
    let secret = url.split('/').nth(4).unwrap();
    let shown = format!("{}{}", done.stdout, done.stderr);
    assert!(!shown.contains(secret), "the secret is shown");
    for (at, _) in shown.match_indices("/p/") {
        assert!(shown[at..].starts_with("/p/***/"), "a secret is shown");
    }
    let records = store.requests();
    check_commits(&records);
    let object = store.object("a/x");
    let is_stream = object.as_deref() == Some(stream);
    let is_known = match object.as_deref() {
        None => !plan.object_exists,
        Some(bytes) => bytes == PREVIOUS && plan.object_exists || bytes == OTHER.as_bytes(),
    };
    assert!(is_stream || is_known, "the object is a part of the stream");
    let in_doubt = records.iter().any(|record| {
        let stores = [CommitMultipartUpload, PutObject].contains(&record.operation);
        stores && (record.fault.is_some() || record.status != 200)
    });
    let other = plan.has(|fault| matches!(fault, Fault::StoreOther(_)));
    let code = done.status.code().expect("no signal kills it");
    match code {
        // Another client may replace the object after the commit, which only a PAR that reads sees.
        0 => assert!(is_stream || other && !plan.reads(), "a false success"),
        3..=6 | 130 | 143 => assert!(!is_stream, "exit {code} with the object stored"),
        7 => assert!(
            plan.has(|fault| matches!(fault, Fault::WrongChecksum | Fault::StoreOther(_))),
            "nothing falsified anything"
        ),
        8 => {
            let heads = records.iter().any(|r| r.operation == HeadObject && r.status != 200);
            assert!(in_doubt || heads || plan.signal.is_some(), "nothing was in doubt");
            assert!(done.stderr.contains("oci os object head"), "no command finds out");
        }
        _ => panic!("exit {code}"),
    }
    if plan.mild {
        assert!(code == 0 || code == 8 && in_doubt, "a mild plan ends with exit {code}");
    }
    if code == 3 {
        let ends = |fault: &Fault| {
            matches!(fault, Fault::DeletePars | Fault::MoveClock(_) | Fault::Refuse(_))
        };
        assert!(plan.has(ends), "nothing ended the PAR");
    }
}

/// A commit follows only a success of each part of its upload that was sent, from 1 on.
fn check_commits(records: &[Record]) {
    for commit in records.iter().filter(|record| record.operation == CommitMultipartUpload) {
        let mut parts: BTreeMap<u32, bool> = BTreeMap::new();
        let before =
            |record: &&Record| record.upload == commit.upload && record.sequence < commit.sequence;
        for record in records.iter().filter(before) {
            if let Some(part) = record.part {
                *parts.entry(part).or_default() |= record.status == 200;
            }
        }
        let numbers: Vec<u32> = parts.keys().copied().collect();
        let expected: Vec<u32> = (1..).take(numbers.len()).collect();
        assert_eq!(numbers, expected, "a commit with other parts");
        assert!(parts.values().all(|stored| *stored), "a commit without a success of {parts:?}");
    }
}

#[test]
fn whatever_happens_a_par_gives_no_false_success_and_loses_no_stream_that_can_be_stored() {
    let seeds = match (number("OCIPIPE_SEED"), number("OCIPIPE_CAMPAIGN")) {
        (None, None) => 0..DEFAULT_RUNS,
        (first, count) => {
            let first = first.unwrap_or_else(|| fastrand::u64(..1 << 40));
            first..first + count.unwrap_or(1)
        }
    };
    println!("runs through a PAR from seed {} to {}", seeds.start, seeds.end - 1);
    let (next, failures) = (AtomicU64::new(seeds.start), Mutex::new(Vec::new()));
    let exit_codes = Mutex::new(BTreeMap::<i32, u64>::new());
    std::thread::scope(|scope| {
        for _ in 0..PARALLEL_RUNS {
            scope.spawn(|| {
                loop {
                    let seed = next.fetch_add(1, Ordering::SeqCst);
                    if seed >= seeds.end {
                        return;
                    }
                    match catch_unwind(AssertUnwindSafe(|| run_seed(seed))) {
                        Ok(code) => *exit_codes.lock().unwrap().entry(code).or_default() += 1,
                        Err(_) => failures.lock().unwrap().push(seed),
                    }
                }
            });
        }
    });
    println!("exit codes: {:?}", exit_codes.into_inner().unwrap());
    let failures = failures.into_inner().unwrap();
    assert!(
        failures.is_empty(),
        "repeat one with OCIPIPE_SEED={} cargo test --test campaign par_gives\nall of them: \
         {failures:?}",
        failures[0]
    );
}
