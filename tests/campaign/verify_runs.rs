//! Random runs of `verify`: objects of every checksum, compared under every fault of reading.
//!
//! Knows nothing of the plans of `put`. Invariants that are checked: exit 0 only where the object is the
//! same, exit 7 only where it differs, whatever happens on the way; nothing is written, neither to the
//! store nor to stdout. A seed always gives the same plan.

use emulator::Operation::{GetNamespace, GetObject, HeadObject};
use emulator::fault::{Fault, FaultPlan, FaultResponse, FaultRule, Trigger};
use rustix::process::Signal;

use crate::common::run::{Done, Ocipipe};
use crate::common::store::Store;
use crate::common::stream::{PART, ramp};
use crate::invariants::log_line;
use crate::random_faults::pick;
use crate::{get_runs, seeds};

/// The runs of `cargo test`.
const DEFAULT_RUNS: u64 = 20;
const CHECKSUMS: [&str; 5] = ["sha256", "crc32c", "md5", "sha384", "none"];

/// How the object differs from what it is compared with. The receipt is that of the first upload.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Difference {
    None,
    /// The same bytes, uploaded again with another size of parts.
    OtherParts,
    OneByte(usize),
    Shorter(usize),
    Longer(usize),
    EveryByte,
    /// One bit on the service's disk, which no digest of the service shows.
    AtRest(usize),
}

/// What the object is compared with.
#[derive(Debug, Clone, Copy, PartialEq)]
enum With {
    Stdin,
    File,
    Receipt,
    ReceiptAndStdin,
    PartSizeAndStdin,
}

#[derive(Debug)]
struct Plan {
    length: usize,
    /// MiB.
    part_size: u8,
    checksum: &'static str,
    difference: Difference,
    with: With,
    options: &'static str,
    faults: FaultPlan,
    /// The service is out of reach for longer than the run may wait.
    outage: bool,
    /// After this many responses.
    stop: Option<usize>,
}

impl Plan {
    fn of(seed: u64) -> Plan {
        let mut rng = fastrand::Rng::with_seed(seed ^ 0x7665_7269);
        let random = &mut rng;
        let length = match random.u8(..8) {
            0 => 0,
            1 => random.usize(1..5000),
            _ => random.usize(PART / 2..4 * PART),
        };
        let with = *pick(
            random,
            &[
                With::Stdin,
                With::Stdin,
                With::File,
                With::Receipt,
                With::ReceiptAndStdin,
                With::PartSizeAndStdin,
            ],
        );
        let at = random.usize(..length.max(1));
        let difference = match random.u8(..14) {
            0..=5 => Difference::None,
            6 if with != With::PartSizeAndStdin => Difference::OtherParts,
            7 | 8 if length > 0 => Difference::OneByte(at),
            9 if length > 0 => Difference::Shorter(at),
            10 => Difference::Longer(1 + at),
            11 if length > 0 => Difference::EveryByte,
            12 if length > 0 => Difference::AtRest(at),
            _ => Difference::None,
        };
        let mut faults: Vec<_> = (0..random.u8(..5)).map(|_| rule(random)).collect();
        let outage = random.u8(..10) == 0;
        if outage {
            faults.push(outage_rule(random));
        }
        Plan {
            length,
            part_size: *pick(random, &[10, 11, 13, 20]),
            checksum: CHECKSUMS[random.usize(..CHECKSUMS.len())],
            difference,
            with,
            options: if outage { "--retry-for 2s" } else { "--max-memory 24MiB" },
            faults: FaultPlan { faults },
            outage,
            stop: (random.u8(..10) == 0).then(|| random.usize(1..6)),
        }
    }

    /// Stores the object. Returns the receipt of the first upload and the bytes to compare with.
    fn store_object(&self, store: &Store) -> (serde_json::Value, Vec<u8>) {
        let bytes = ramp(self.length);
        let put = |part_size: u8, bytes: &[u8]| {
            let put = store.ocipipe("put --force --allow-empty oci://backups/x");
            let options = format!("--checksum {} --part-size {part_size}", self.checksum);
            put.args(&options).stdin(bytes).run().exits(0).receipt()
        };
        let receipt = put(self.part_size, &bytes);
        let mut other = bytes.clone();
        match self.difference {
            Difference::None => return (receipt, bytes),
            Difference::AtRest(at) => {
                store.flip_at_rest("x", at);
                return (receipt, bytes);
            }
            Difference::OtherParts => {
                put(self.part_size + 1, &bytes);
                return (receipt, bytes);
            }
            Difference::OneByte(at) => other[at] ^= 1,
            Difference::Shorter(at) => other.truncate(at),
            Difference::Longer(by) => other.extend(ramp(by)),
            Difference::EveryByte => other.iter_mut().for_each(|byte| *byte = !*byte),
        }
        put(self.part_size, &other);
        (receipt, bytes)
    }

    fn command(&self, store: &Store, receipt: &serde_json::Value, bytes: &[u8]) -> Ocipipe {
        let run = store.ocipipe("verify oci://backups/x --debug --stall-timeout 2s");
        let run = run.args(self.options);
        let with_receipt =
            |run: Ocipipe| run.arg("--receipt").arg(store.file("receipt", receipt.to_string()));
        match self.with {
            With::Stdin => run.stdin(bytes),
            With::File => run.arg("--file").arg(store.file("compared", bytes)),
            With::Receipt => with_receipt(run),
            With::ReceiptAndStdin => with_receipt(run).args("--file -").stdin(bytes),
            With::PartSizeAndStdin => {
                run.args(&format!("--uploaded-part-size {}MiB", self.part_size)).stdin(bytes)
            }
        }
    }

    /// Panics where the run has no result that the plan allows.
    fn check(&self, done: &Done) {
        assert_eq!(done.stdout, "", "stdout");
        assert!(!done.stderr.contains("panicked"), "the program panicked");
        let code = done.status.code().expect("the program was killed");
        let same = match self.difference {
            Difference::None => true,
            // The receipt describes the parts too.
            Difference::OtherParts => {
                code == 0 || !matches!(self.with, With::Receipt | With::ReceiptAndStdin)
            }
            Difference::AtRest(_) => done.stderr.contains("the object was not read"),
            _ => false,
        };
        match code {
            0 => {
                assert!(same, "exit 0, and the object differs");
                let texts = ["is the same as", "verified by"];
                assert!(
                    texts.iter().all(|text| done.stderr.contains(text)),
                    "no evidence is named"
                );
            }
            7 => {
                assert!(!same, "exit 7, and the object is the same");
                assert!(done.stderr.contains("differs from"), "the difference is not named");
            }
            // Waiting may not last as long as the faults.
            3 | 4 => assert!(self.outage, "exit {code}, and each fault was transient"),
            143 => assert!(self.stop.is_some(), "no signal was sent"),
            other => panic!("exit {other}"),
        }
        if code != 0 {
            assert!(!done.stderr.contains("is the same as"), "exit {code}, and called the same");
        }
        if code != 7 {
            assert!(!done.stderr.contains("differs from"), "exit {code}, and called different");
        }
    }
}

/// A transient fault of reading, or of the look at the object.
fn rule(random: &mut fastrand::Rng) -> FaultRule {
    let few = Trigger::Requests(random.u64(1..4));
    match random.u8(..6) {
        // Without digests the object is compared by reading.
        0 => FaultRule::on(HeadObject, Fault::MissingChecksum),
        1 => FaultRule::on(GetNamespace, Fault::Refuse(FaultResponse::status(503))).when(few),
        2 => FaultRule::on(HeadObject, Fault::LoseAnswer).when(few),
        _ => get_runs::rule(random),
    }
}

/// An outage that does not end.
fn outage_rule(random: &mut fastrand::Rng) -> FaultRule {
    let fault = match random.u8(..3) {
        0 => Fault::Refuse(FaultResponse::status(503)),
        1 => Fault::ResetBeforeBody,
        _ => Fault::SpuriousNotFound,
    };
    FaultRule::on(*pick(random, &[GetObject, GetObject, HeadObject]), fault)
        .when(Trigger::RequestsFrom(random.u64(1..4)))
}

/// Makes the run of a seed; returns what happened.
fn run_seed(seed: u64) -> String {
    let plan = Plan::of(seed);
    let store = Store::start();
    let (receipt, bytes) = plan.store_object(&store);
    let etag = store.object_record("x")["etag"].clone();
    let earlier = store.server().arrived();
    store.server().set_faults(plan.faults.clone());
    let run = plan.command(&store, &receipt, &bytes).start();
    if let Some(responses) = plan.stop {
        let responses = responses as u64 + earlier;
        store.wait_until_or_exit(&run, move |records, _| records.len() as u64 >= responses);
        run.signaller()(Signal::TERM);
    }
    let done = run.wait_with_open_stdin();
    let records = store.requests();
    let records = records.iter().filter(|record| record.sequence > earlier);
    let result = std::panic::catch_unwind(|| plan.check(&done));
    if result.is_err() || seeds::is_traced() {
        let log: Vec<String> = records.clone().map(log_line).collect();
        eprintln!("seed {seed}\n{plan:?}\n{}\n{}\n{}", done.status, done.stderr, log.join("\n"));
    }
    if let Err(panic) = result {
        std::panic::resume_unwind(panic);
    }
    for record in records {
        let reads = ["GET", "HEAD"].contains(&record.method.as_str());
        assert!(reads || record.path.starts_with("/v1/"), "seed {seed}: {}", log_line(record));
    }
    assert_eq!(store.object_record("x")["etag"], etag, "seed {seed}");
    let difference = format!("{:?}", plan.difference);
    let difference = difference.split('(').next().unwrap_or_default();
    format!("{difference}: {}", done.status.code().unwrap_or(-1))
}

#[test]
fn whatever_happens_verify_calls_no_other_object_the_same_and_the_same_none_other() {
    seeds::run_all("verify_calls", 0..DEFAULT_RUNS, run_seed);
}
