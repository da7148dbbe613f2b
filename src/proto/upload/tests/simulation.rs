//! Whole runs made of a seed, in which everything that may go wrong goes wrong together: requests that
//! are lost, refused, declined by mistake or land late, signals (at the end of the stream too), rights
//! that are missing, a service that lies, somebody else's object.
//!
//! `cargo test` makes a slice of the runs. `OCIPIPE_SIMULATION=10000` makes that many, and
//! `OCIPIPE_SEED=17` makes one and tells of it.

use super::scripted::stop;
use super::*;

/// What `cargo test` makes of it.
const SLICE: u64 = 1500;
const STOP_WITHIN: Duration = Duration::from_secs(10);

/// One run, and what it is to be judged by.
struct Run {
    world: Harness,
    before: Option<Bytes>,
    broken: bool,
    foreign: Option<Duration>,
    stopped: Option<Duration>,
    /// When the stream ends.
    end: Duration,
    told: String,
}

/// Somebody else's object.
fn theirs() -> Bytes {
    Bytes::from_static(b"somebody else's")
}

impl Run {
    fn new(seed: u64) -> Run {
        let mut rng = fastrand::Rng::with_seed(seed ^ 0x0c1_919e);
        let parts = 1 + rng.usize(..9);
        let faults = [0, 0, 5, 20, 40, 60][rng.usize(..6)];
        let fault_rate = FaultRate { faults, until: Duration::from_secs(rng.u64(..1200)) };
        let mut world = Harness::new(seed, parts, fault_rate);
        world.model.lies = rng.u32(..10) == 0;
        world.upload.core.config.end_proven = rng.u32(..4) == 0;
        // With a service that lies besides, a handful of answers in a row would be beyond anybody.
        let spurious = if world.model.lies { [0, 7] } else { [7, 30] };
        world.spurious = if rng.bool() { spurious[rng.usize(..2)] } else { 0 };
        world.model.hides = [Some(404), Some(403), None, None, None][rng.usize(..5)];
        let mut settings = world.upload.core.config.clone();
        settings.bucket_seen = rng.bool();
        settings.delete_on_mismatch = rng.bool();
        settings.retry_for = Duration::from_secs([3600, 3600, 300, 5][rng.usize(..4)]);
        let mut before = None;
        if rng.u32(..3) == 0 {
            world.condition = false;
            let replaced = rng.bool();
            settings.previous_object = match replaced {
                true => PreviousObject::Object("old".to_owned()),
                false => PreviousObject::Unknown,
            };
            if replaced || rng.bool() {
                before = Some(Bytes::from_static(b"old"));
                world.model.object = Some(("old".to_owned(), Bytes::from_static(b"old")));
            }
        }
        world.upload = Upload::new(settings);
        if rng.u32(..8) == 0 {
            use Operation::{Abort, Create, Head, ListParts, ListUploads};
            let right = [vec![Abort], vec![Head, ListParts], vec![ListUploads], vec![Create]];
            world.forbidden = right[rng.usize(..4)].clone();
            // Who may neither look nor ask has the service's word, and nothing else.
            world.model.lies &= world.forbidden != [Create];
        }
        let broken = rng.u32(..12) == 0;
        let last = match broken {
            true => Event::SourceFailed(Error::source("killed")),
            false => world.end(),
        };
        world.read(last);
        let end = world.due.keys().last().map(|(at, _)| *at).unwrap_or_default();
        let stopped = match rng.u32(..6) {
            0 => Some(Duration::from_millis(rng.u64(..30_000))),
            // With the end of the stream, or a moment before or after it.
            1 => Some((end + Duration::from_millis(rng.u64(..250))).saturating_sub(SECOND / 20)),
            2 if rng.bool() => Some(end),
            _ => None,
        };
        if let Some(at) = stopped {
            world.after(at, Due::Event(stop()));
        }
        // To a question, somebody else's object in the place of one that was not kept looks like it.
        let foreign = (world.condition && !world.model.lies && rng.u32(..10) == 0)
            .then(|| Duration::from_millis(rng.u64(..30_000)));
        let told = format!(
            "{parts} parts, {faults} % faults until {:?}, {} % spurious, lies {}, hides {:?}, \
             forbidden {:?}, before {:?}, broken {broken}, stopped {stopped:?}, foreign {foreign:?}, \
             retry for {:?}",
            world.fault_rate.until,
            world.spurious,
            world.model.lies,
            world.model.hides,
            world.forbidden,
            world.upload.core.config.previous_object,
            world.upload.core.config.retry_for,
        );
        Run { world, before, broken, foreign, stopped, end, told }
    }

    fn judge(&mut self, seed: u64) -> Result<StoredObject, Error> {
        self.world.foreign = self.foreign;
        let result = self.world.run();
        let (world, told) = (&self.world, &self.told);
        let object = world.model.object.as_ref().map(|(_, body)| body.clone());
        let case = || format!("seed {seed}: {told}: {result:?}: {:?}", world.notes);
        match &result {
            Ok(stored) => {
                assert!(!self.broken, "a broken source: {}", case());
                assert_eq!(object, Some(world.whole()), "a false success: {}", case());
                assert_eq!(stored.size, world.whole().len() as u64, "{}", case());
            }
            Err(error) if error.kind == ErrorKind::OutcomeUnknown => {
                assert!(!self.broken, "{}", case())
            }
            Err(_) => {
                let unchanged = object == self.before || object == Some(theirs());
                assert!(unchanged, "an object appeared: {}", case());
            }
        }
        if self.broken {
            assert_eq!(world.commits, 0, "{}", case());
        }
        if let (Some(at), Err(error)) = (self.stopped, &result) {
            let ended = error.kind == ErrorKind::Signal(15) && world.now < at;
            assert!(!ended, "a signal that has not come: {}", case());
        }
        // What is told to stop with the end of its stream may have got that end from who stops it.
        if let Some(at) = self.stopped
            && !world.upload.core.config.end_proven
            && at < self.end + SECOND / 10
        {
            let nothing = world.commits == 0 && (object == self.before || object == Some(theirs()));
            assert!(nothing, "it was told to stop: {}", case());
        }
        if let Some(at) = self.stopped {
            assert!(world.now <= at + STOP_WITHIN, "{:?} later: {}", world.now - at, case());
        }
        let calm = world.fault_rate.faults == 0 && world.forbidden.is_empty() && !world.model.lies;
        let undisturbed = self.stopped.is_none() && self.foreign.is_none() && !self.broken;
        let patient = world.upload.core.config.retry_for > 200 * SECOND;
        let known = world.upload.core.config.bucket_seen;
        if calm && undisturbed && patient && (known || !world.never_answered()) {
            assert!(result.is_ok(), "a stream that could be saved: {}", case());
        }
        let unhindered = world.forbidden.is_empty() && !world.model.lies && known;
        if unhindered && undisturbed && world.upload.core.config.retry_for > 3000 * SECOND {
            let fair =
                result.as_ref().err().is_none_or(|error| error.kind == ErrorKind::OutcomeUnknown);
            assert!(fair, "a stream that was lost for good: {}", case());
        }
        world.judge_uploads(seed, &result);
        result
    }
}

/// A number from the environment of the test.
fn asked(name: &str) -> Option<u64> {
    std::env::var(name).ok()?.parse().ok()
}

#[test]
fn whatever_goes_wrong_together_success_is_true_failure_is_true_and_what_is_left_is_named() {
    if let Some(seed) = asked("OCIPIPE_SEED") {
        let mut run = Run::new(seed);
        println!("seed {seed}: {}", run.told);
        println!("{:?}", run.judge(seed));
        return;
    }
    let mut outcomes = std::collections::BTreeMap::<String, u32>::new();
    for seed in 0..asked("OCIPIPE_SIMULATION").unwrap_or(SLICE) {
        let mut run = Run::new(seed);
        let outcome = match run.judge(seed) {
            Ok(_) => "stored".to_owned(),
            Err(error) => format!("{:?}", error.kind),
        };
        *outcomes.entry(outcome).or_default() += 1;
    }
    println!("{outcomes:?}");
    // The runs are worth making: every ending is among them.
    for ending in
        ["stored", "Service", "Source", "Exists", "Integrity", "OutcomeUnknown", "Signal(15)"]
    {
        assert!(outcomes.contains_key(ending), "{outcomes:?}");
    }
}
