//! When the queue of an upload with `auto` may be cut, and how its refusals are reported.
//!
//! Owns a line that each doubling of the connections doubles. Must not know the controller.

use super::super::scripted::ScriptedRun;
use super::super::*;
use crate::api::ExpectedProperties;

const GB: u64 = 1_000_000_000;
const MS: Duration = Duration::from_millis(1);

fn config(min_piece: u64) -> UploadConfig {
    let auto = AutoConfig {
        most: 64,
        min_piece,
        unit: 1,
        split_until: 100,
        split_numbers: 100,
        memory: 100 * GB,
    };
    UploadConfig { auto: Some(auto), checksum: Algorithm::None, ..UploadConfig::plain(4) }
}

fn continuing(min_piece: u64) -> UploadConfig {
    let continued = ContinuedUpload {
        upload_id: "u".to_owned(),
        parts: Vec::new(),
        properties: ExpectedProperties::default(),
    };
    UploadConfig { resume: Some(ResumeConfig { continued: Some(continued) }), ..config(min_piece) }
}

/// An upload whose parts are of 10 GB, and the actions that change parts.
struct LargeParts {
    upload: Upload,
    now: Duration,
    cuts: Vec<String>,
}

impl LargeParts {
    fn new(config: UploadConfig, parts: u32) -> LargeParts {
        let mut run = LargeParts { upload: Upload::new(config), now: SECOND, cuts: Vec::new() };
        for number in 1..=parts {
            run.read(number);
        }
        if run.upload.upload_id().is_none() {
            run.handle(Event::MultipartNeeded);
            let result = Ok(Outcome::Created { upload_id: "u".to_owned() });
            run.handle(Event::CallDone { call: ApiCall::Create, result });
        }
        run
    }

    fn handle(&mut self, event: Event) {
        self.upload.handle_event(self.now, event);
        while let Some(action) = self.upload.poll_action() {
            match action {
                Action::SplitQueue { first, sizes } => {
                    self.cuts.push(format!("cut {first} into {}", sizes.len()));
                }
                Action::RecallParts(first) => {
                    self.cuts.push(format!("recall {first}"));
                    let nothing = Event::PartsRecalled { first: None };
                    self.upload.handle_event(self.now, nothing);
                }
                Action::Finish(result) => panic!("{result:?}"),
                _ => {}
            }
        }
    }

    fn read(&mut self, number: u32) {
        let digest = PartDigest { size: 10 * GB, crc32: 0, value: None };
        self.handle(Event::Part { number: nth(number), digest });
    }

    /// A sample at a time at which the stream has waited all the time.
    fn sample(&mut self, at: Duration, sent: u64) {
        self.now = at;
        self.handle(Event::Sample { sent, waited: at });
    }
}

type Change = fn(&mut LargeParts);

#[test]
fn the_queue_is_cut_for_more_connections_unless_the_parts_are_fixed() {
    let nothing: Change = |_| {};
    let last_next: Change = |run| run.handle(Event::LastPartNext);
    let ended: Change = |run| run.handle(Event::EndOfStream { bytes: 50 * GB, crc32: 0 });
    for (config, change, cuts) in [
        (config(5 * GB), nothing, vec!["cut 5 into 2"]),
        // The end of the stream is split by other rules.
        (config(5 * GB), last_next, vec![]),
        (config(5 * GB), ended, vec![]),
        // Parts that the service holds match only if the stream is cut as it was.
        (continuing(5 * GB), nothing, vec![]),
    ] {
        let mut run = LargeParts::new(config, 5);
        change(&mut run);
        run.sample(2 * SECOND, GB);
        assert_eq!(run.upload.core.parts.count(), 5);
        assert_eq!(run.cuts, cuts);
    }
}

#[test]
fn parts_are_recalled_for_more_connections_unless_the_parts_are_fixed() {
    let nothing: Change = |_| {};
    let last_next: Change = |run| run.handle(Event::LastPartNext);
    for (config, change, cuts) in [
        (config(10 * GB), nothing, vec!["recall 1"]),
        (config(10 * GB), last_next, vec![]),
        (continuing(10 * GB), nothing, vec![]),
    ] {
        let mut run = LargeParts::new(config, 4);
        run.sample(2 * SECOND, GB / 5);
        for number in 5..=8 {
            run.read(number);
        }
        change(&mut run);
        run.sample(2500 * MS, 3 * GB / 10);
        run.sample(5 * SECOND, 8 * GB / 10);
        assert_eq!(run.cuts, cuts);
    }
}

/// Reads small parts, and starts to send all of them.
fn small_parts(count: u32) -> ScriptedRun {
    let mut run = ScriptedRun::new(config(GB));
    for number in 1..=count {
        let digest = digest::part(Algorithm::None, &[Bytes::from_static(b"abc")]);
        run.handle_event(Event::Part { number: nth(number), digest });
    }
    run.handle_event(Event::MultipartNeeded);
    run.succeed(ApiCall::Create, Outcome::Created { upload_id: "u".to_owned() });
    run
}

fn acknowledge(run: &mut ScriptedRun, number: u32) {
    let meta = response_meta(&format!("e{number}"), &Bytes::from_static(b"abc"));
    let stored = Outcome::Stored { meta, crc32: crc32fast::hash(b"abc") };
    run.succeed(ApiCall::Part(nth(number)), stored);
}

#[test]
fn a_refusal_is_reported_at_once_unless_other_parts_are_in_flight() {
    // Then fewer connections follow, which has a warning of its own.
    for (parts, warnings) in [(1, 1), (2, 0)] {
        let mut run = small_parts(parts);
        run.reject(ApiCall::Part(nth(1)), 429, "TooManyRequests");
        assert_eq!(run.warnings.len(), warnings, "{parts} in flight: {:?}", run.warnings);
    }
    // A refused commit has no other request beside it.
    let mut run = small_parts(2);
    run.reject(ApiCall::Part(nth(1)), 429, "TooManyRequests");
    acknowledge(&mut run, 2);
    assert_eq!(run.last_call(), &ApiCall::Part(nth(1)), "there is room for it now");
    acknowledge(&mut run, 1);
    run.now += 61 * SECOND;
    let crc32 = crc32fast::hash(b"abcabc");
    run.handle_event(Event::EndOfStream { bytes: 6, crc32 });
    assert_eq!((run.last_call(), run.warnings.len()), (&ApiCall::Commit, 0));
    run.reject(ApiCall::Commit, 429, "TooManyRequests");
    assert_eq!(run.warnings.len(), 1, "{:?}", run.warnings);
}
