//! Simulated runs, each made from a seed, that combine everything that can go wrong: lost, rejected
//! and late requests, spurious 404s, signals (also at the end of the stream), missing permissions,
//! a service that discards objects, and another client's object.
//!
//! Owns the choice of a run and its checks. Must not know the states of the upload. Invariant: the
//! seed determines the run.
//!
//! `cargo test` makes 1,500 runs. `OCIPIPE_SIMULATION=10000` makes 10,000 runs, and
//! `OCIPIPE_SEED=17` makes one run and prints it.

use super::model::other_object;
use super::scripted::stop;
use super::*;
use crate::api::Precondition;

/// The number of runs without `OCIPIPE_SIMULATION`.
const DEFAULT_RUNS: u64 = 1500;
/// The longest time from a stop to the end of a run.
const MAX_STOP_DURATION: Duration = Duration::from_secs(10);

/// One run, and what its checks need.
struct Run {
    harness: Harness,
    /// The content of the object before the run.
    previous_content: Option<Bytes>,
    source_fails: bool,
    other_object_at: Option<Duration>,
    stop_at: Option<Duration>,
    /// When the stream ends.
    end_at: Duration,
    description: String,
}

/// The service's faults, by a seed's random numbers.
fn random_service(rng: &mut fastrand::Rng, seed: u64, parts: usize) -> Harness {
    let percent = [0, 0, 5, 20, 40, 60][rng.usize(..6)];
    let fault_rate = FaultRate { percent, until: Duration::from_secs(rng.u64(..1200)) };
    let mut harness = Harness::new(seed, parts, fault_rate);
    harness.model.discards_objects = rng.u32(..10) == 0;
    harness.upload.core.config.end_proven = rng.u32(..4) == 0;
    // A service that discards objects has fewer spurious 404s, since several in a row look like a
    // forbidden probe.
    let spurious = if harness.model.discards_objects { [0, 7] } else { [7, 30] };
    harness.spurious_percent = if rng.bool() { spurious[rng.usize(..2)] } else { 0 };
    harness.model.head_status = [Some(404), Some(403), None, None, None][rng.usize(..5)];
    harness
}

/// Chooses the configuration and the object before the run. Returns the content of that object.
fn choose_config(rng: &mut fastrand::Rng, harness: &mut Harness) -> Option<Bytes> {
    let mut config = harness.upload.core.config.clone();
    config.bucket = if rng.bool() { BucketStatus::Seen } else { BucketStatus::Unknown };
    config.delete_on_mismatch = rng.bool();
    config.retry_for = Duration::from_secs([3600, 3600, 300, 5][rng.usize(..4)]);
    let mut previous_content = None;
    if rng.u32(..3) == 0 {
        harness.precondition = Precondition::None;
        let etag_known = rng.bool();
        config.previous_object = if etag_known {
            PreviousObject::Object("old".to_owned())
        } else {
            PreviousObject::Unknown
        };
        if etag_known || rng.bool() {
            previous_content = Some(Bytes::from_static(b"old"));
            harness.model.object = Some(("old".to_owned(), Bytes::from_static(b"old")));
        }
    }
    harness.upload = Upload::new(config);
    previous_content
}

fn choose_forbidden(rng: &mut fastrand::Rng, harness: &mut Harness) {
    use Operation::{Abort, Create, Head, ListParts, ListUploads};
    if rng.u32(..8) == 0 {
        let sets = [vec![Abort], vec![Head, ListParts], vec![ListUploads], vec![Create]];
        harness.forbidden = sets[rng.usize(..4)].clone();
        // Without HEAD and probes, the response to the commit is the only evidence.
        harness.model.discards_objects &= harness.forbidden != [Create];
    }
}

/// The time of a stop, for about every third run.
fn random_stop(rng: &mut fastrand::Rng, end_at: Duration) -> Option<Duration> {
    match rng.u32(..6) {
        0 => Some(Duration::from_millis(rng.u64(..30_000))),
        // From 50 ms before the end of the stream to 200 ms after it.
        1 => Some((end_at + Duration::from_millis(rng.u64(..250))).saturating_sub(SECOND / 20)),
        2 if rng.bool() => Some(end_at),
        _ => None,
    }
}

impl Run {
    fn new(seed: u64) -> Run {
        let mut rng = fastrand::Rng::with_seed(seed ^ 0x0c1_919e);
        let parts = 1 + rng.usize(..9);
        let mut harness = random_service(&mut rng, seed, parts);
        let previous_content = choose_config(&mut rng, &mut harness);
        choose_forbidden(&mut rng, &mut harness);
        let source_fails = rng.u32(..12) == 0;
        let last = if source_fails {
            Event::SourceFailed(Error::source("killed"))
        } else {
            harness.end_of_stream()
        };
        harness.schedule_stream(last);
        let end_at = harness.queue.keys().last().map(|(at, _)| *at).unwrap_or_default();
        let stop_at = random_stop(&mut rng, end_at);
        if let Some(at) = stop_at {
            harness.schedule(at, Scheduled::Event(stop()));
        }
        // To a probe, another client's object looks like the one that the service discarded.
        let creates = harness.precondition == Precondition::IfNoneMatch;
        let other_object_at = (creates && !harness.model.discards_objects && rng.u32(..10) == 0)
            .then(|| Duration::from_millis(rng.u64(..30_000)));
        let description = format!(
            "{parts} parts, {} % faults until {:?}, {} % spurious 404s, discards objects: {}, HEAD \
             status {:?}, forbidden {:?}, previous object {:?}, source fails: {source_fails}, stop \
             at {stop_at:?}, other object at {other_object_at:?}, retry for {:?}",
            harness.fault_rate.percent,
            harness.fault_rate.until,
            harness.spurious_percent,
            harness.model.discards_objects,
            harness.model.head_status,
            harness.forbidden,
            harness.upload.core.config.previous_object,
            harness.upload.core.config.retry_for,
        );
        Run {
            harness,
            previous_content,
            source_fails,
            other_object_at,
            stop_at,
            end_at,
            description,
        }
    }

    /// Runs to the end and asserts the invariants.
    fn check(&mut self, seed: u64) -> Result<StoredObject, Error> {
        self.harness.other_object_at = self.other_object_at;
        let result = self.harness.run();
        let case =
            format!("seed {seed}: {}: {result:?}: {:?}", self.description, self.harness.warnings);
        self.check_object(&result, &case);
        self.check_stop(&result, &case);
        self.check_availability(&result, &case);
        self.harness.check_open_uploads(seed, &result);
        result
    }

    /// Whether this run has stored nothing.
    fn is_nothing_stored(&self) -> bool {
        let object = self.harness.model.object.as_ref().map(|(_, body)| body.clone());
        object == self.previous_content || object == Some(other_object())
    }

    /// Success means that the stream is stored; a certain failure means that nothing is.
    fn check_object(&self, result: &Result<StoredObject, Error>, case: &str) {
        let harness = &self.harness;
        match result {
            Ok(stored) => {
                assert!(!self.source_fails, "success although the source failed: {case}");
                let object = harness.model.object.as_ref().map(|(_, body)| body.clone());
                assert_eq!(object, Some(harness.stream_bytes()), "a false success: {case}");
                assert_eq!(stored.size, harness.stream_bytes().len() as u64, "{case}");
            }
            Err(error) if error.kind == ErrorKind::OutcomeUnknown => {
                assert!(!self.source_fails, "{case}");
            }
            Err(_) => assert!(self.is_nothing_stored(), "an object was stored: {case}"),
        }
        if self.source_fails {
            assert_eq!(harness.commits, 0, "{case}");
        }
    }

    /// A stop ends the run in time. It stores nothing if it arrives with the end of the stream, as
    /// the signal may have caused that end.
    fn check_stop(&self, result: &Result<StoredObject, Error>, case: &str) {
        let harness = &self.harness;
        let Some(at) = self.stop_at else { return };
        if let Err(error) = result {
            let early = error.kind == ErrorKind::Signal(15) && harness.now < at;
            assert!(!early, "a signal is reported before it arrived: {case}");
        }
        if !harness.upload.core.config.end_proven && at < self.end_at + SECOND / 10 {
            let nothing_stored = harness.commits == 0 && self.is_nothing_stored();
            assert!(nothing_stored, "an object was stored in spite of a signal: {case}");
        }
        let late = harness.now.saturating_sub(at);
        assert!(late <= MAX_STOP_DURATION, "the run ended {late:?} after the stop: {case}");
    }

    /// A stream that can be stored is stored.
    fn check_availability(&self, result: &Result<StoredObject, Error>, case: &str) {
        let harness = &self.harness;
        let config = &harness.upload.core.config;
        let undisturbed =
            self.stop_at.is_none() && self.other_object_at.is_none() && !self.source_fails;
        let unhindered = harness.forbidden.is_empty() && !harness.model.discards_objects;
        let faultless = harness.fault_rate.percent == 0;
        let bucket_known = config.bucket == BucketStatus::Seen || !harness.bucket_seems_missing();
        if faultless && unhindered && undisturbed && config.retry_for > 200 * SECOND && bucket_known
        {
            assert!(result.is_ok(), "a stream without faults was not stored: {case}");
        }
        if unhindered
            && config.bucket == BucketStatus::Seen
            && undisturbed
            && config.retry_for > 3000 * SECOND
        {
            let stored_or_unknown =
                result.as_ref().err().is_none_or(|error| error.kind == ErrorKind::OutcomeUnknown);
            assert!(stored_or_unknown, "transient faults lost the stream: {case}");
        }
    }
}

fn env_number(name: &str) -> Option<u64> {
    std::env::var(name).ok()?.parse().ok()
}

#[test]
fn under_all_faults_together_results_are_true_and_open_uploads_are_named() {
    if let Some(seed) = env_number("OCIPIPE_SEED") {
        let mut run = Run::new(seed);
        println!("seed {seed}: {}", run.description);
        println!("{:?}", run.check(seed));
        return;
    }
    let mut outcomes = std::collections::BTreeMap::<String, u32>::new();
    for seed in 0..env_number("OCIPIPE_SIMULATION").unwrap_or(DEFAULT_RUNS) {
        let mut run = Run::new(seed);
        let outcome = match run.check(seed) {
            Ok(_) => "stored".to_owned(),
            Err(error) => format!("{:?}", error.kind),
        };
        *outcomes.entry(outcome).or_default() += 1;
    }
    println!("{outcomes:?}");
    // The runs have every outcome.
    for outcome in
        ["stored", "Service", "Source", "Exists", "Integrity", "OutcomeUnknown", "Signal(15)"]
    {
        assert!(outcomes.contains_key(outcome), "{outcomes:?}");
    }
}
