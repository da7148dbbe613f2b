//! Random runs of `get`: every fault that an upload survives, signals in the middle, and the run that
//! continues.
//!
//! Knows nothing of the plans of `put`. Invariants that are checked: a run that no signal stops
//! writes the object; a target holds the whole object or what it held before; stdout gets a
//! beginning of the object and nothing else. A seed always gives the same plan.

use emulator::Operation::{self, GetObject, HeadObject};
use emulator::fault::{Fault, FaultPlan, FaultResponse, FaultRule, Trigger};
use rustix::process::Signal;

use crate::common::run::Ocipipe;
use crate::common::store::Store;
use crate::common::stream::{PART, assert_same, ramp};
use crate::seeds;

/// The runs of `cargo test`.
const DEFAULT_RUNS: u64 = 24;
const MIB: u64 = 1 << 20;

#[derive(Debug)]
struct Plan {
    length: usize,
    checksum: &'static str,
    to_file: bool,
    options: String,
    faults: FaultPlan,
    /// After this many responses to GetObject.
    signal: Option<(usize, Signal)>,
}

impl Plan {
    fn of(seed: u64) -> Plan {
        let mut random = fastrand::Rng::with_seed(seed ^ 0x6765_7400);
        let random = &mut random;
        let length = match random.u8(..8) {
            0 => random.usize(1..5000),
            _ => random.usize(PART / 2..4 * PART),
        };
        let mut options = String::from("--stall-timeout 2s --debug");
        options += &format!(" --part-size {}MiB", random.u8(1..8));
        if random.bool() {
            options += &format!(" --parallel-download-count {}", random.u8(1..9));
        }
        if random.bool() {
            options += &format!(" --max-memory {}MiB", random.u8(2..40));
        }
        let to_file = random.u8(..3) > 0;
        let faults = (0..random.u8(1..5)).map(|_| rule(random)).collect();
        let signal = (to_file && random.bool()).then(|| {
            let signal = if random.bool() { Signal::KILL } else { Signal::TERM };
            (random.usize(1..6), signal)
        });
        let checksum = ["sha256", "crc32c", "md5", "sha384"][random.usize(..4)];
        Plan { length, checksum, to_file, options, faults: FaultPlan { faults }, signal }
    }

    fn run(&self, store: &Store) -> Ocipipe {
        store.ocipipe("get oci://backups/x").args(&self.options)
    }
}

/// A transient fault of reading, or of the look before it.
pub fn rule(random: &mut fastrand::Rng) -> FaultRule {
    let statuses = [429, 500, 502, 503, 504];
    let refusal = FaultResponse::status(statuses[random.usize(..statuses.len())]);
    let fault = match random.u8(..14) {
        0 => return FaultRule::spurious(random.u16(20..150), random.u64(..)),
        1 => Fault::Refuse(refusal),
        2 => Fault::Early(refusal),
        3 => Fault::EarlyReset(refusal),
        4 => Fault::Delay(random.u64(..500)),
        5 => Fault::ResetBeforeBody,
        6 => Fault::LoseAnswer,
        7 => Fault::StallAnswer { ms: None },
        8 => Fault::Garbage("this is not HTTP\r\n\r\n".to_owned()),
        9 => Fault::Html { status: [200, 403, 404, 502][random.usize(..4)] },
        10 => Fault::DistrustToken,
        _ => Fault::Truncate(random.u64(..4 * MIB)),
    };
    let operation: Operation = match fault {
        // The look before the first byte gives up sooner.
        Fault::Refuse(_) | Fault::ResetBeforeBody if random.u8(..4) == 0 => HeadObject,
        _ => GetObject,
    };
    let when = match fault {
        Fault::Truncate(_) | Fault::Delay(_) => Trigger::Requests(random.u64(1..8)),
        _ if random.bool() => Trigger::Request(random.u64(1..8)),
        _ => Trigger::Requests(random.u64(1..4)),
    };
    FaultRule::on(operation, fault).when(when)
}

/// Makes the run of a seed, and the one that continues it.
fn run_seed(seed: u64) -> String {
    let plan = Plan::of(seed);
    let store = Store::start();
    let sent = ramp(plan.length);
    let put = store.put("x").args(&format!("--checksum {}", plan.checksum));
    put.stdin(sent.as_slice()).run().exits(0);
    store.server().set_faults(plan.faults.clone());
    let target = store.folder().join("got");
    if !plan.to_file {
        let output = std::fs::File::create(&target).unwrap();
        let done = plan.run(&store).stdout_to(output).run();
        assert_eq!(done.status.code(), Some(0), "{plan:?}\n{}", done.stderr);
        assert_same(&std::fs::read(&target).unwrap(), &sent);
        return "to stdout".to_owned();
    }
    let mut result = "to a file".to_owned();
    if let Some((responses, signal)) = plan.signal {
        std::fs::write(&target, "before").unwrap();
        let run = plan.run(&store).arg("--file").arg(&target).start();
        store.wait_until_or_exit(&run, move |records, _| {
            records.iter().filter(|record| record.operation == GetObject).count() >= responses
        });
        run.signaller()(signal);
        let done = run.wait_with_open_stdin();
        let there = std::fs::read(&target).unwrap();
        result = format!("to a file, {}", done.status);
        match done.status.code() {
            Some(0) => assert_same(&there, &sent),
            // SIGKILL has no code.
            Some(143) | None => assert_eq!(there, b"before", "{plan:?}\n{}", done.stderr),
            _ => panic!("{}: {plan:?}\n{}", done.status, done.stderr),
        }
    }
    let done = plan.run(&store).arg("--file").arg(&target).run();
    assert_eq!(done.status.code(), Some(0), "{plan:?}\n{}", done.stderr);
    assert_same(&std::fs::read(&target).unwrap(), &sent);
    assert!(!store.folder().join(".got.ocipipe-part").exists());
    result
}

#[test]
fn whatever_happens_get_delivers_the_object_and_its_target_is_never_a_part_of_it() {
    seeds::run_all("get_delivers", 0..DEFAULT_RUNS, run_seed);
}
