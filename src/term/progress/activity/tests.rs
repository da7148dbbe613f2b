//! Activities from series of observations, in virtual time.

use super::*;
use proptest::prelude::*;

const TICK: Duration = Duration::from_millis(250);

/// The activities after each tick of 250 ms, in which the stream is blocked as `causes` lists.
fn activities(causes: &[(Blocked, u32)]) -> Vec<TransferActivity> {
    let mut tracker = ActivityTracker::default();
    let causes = causes.iter().flat_map(|(cause, ticks)| (0..*ticks).map(|_| *cause));
    let observe = |(tick, blocked)| {
        tracker.observe(TICK * tick, Observation { blocked, ..Observation::default() })
    };
    (0..).zip(causes).map(observe).collect()
}

#[test]
fn a_stream_whose_reads_block_waits_for_the_producer_and_one_without_buffers_for_the_line() {
    for (cause, activity) in [
        (Blocked::BySource, TransferActivity::AwaitingProducer),
        (Blocked::ByLine, TransferActivity::AwaitingLine),
        (Blocked::ByOutput, TransferActivity::AwaitingOutput),
        (Blocked::No, TransferActivity::Streaming),
    ] {
        let seen = activities(&[(cause, 40)]);
        assert_eq!(seen[..8], [TransferActivity::Streaming; 8], "{cause:?}: too early to decide");
        assert!(seen[8..].iter().all(|seen| *seen == activity), "{cause:?}: {seen:?}");
    }
}

#[test]
fn a_wait_ends_within_five_seconds_and_another_cause_takes_its_place() {
    let seen = activities(&[(Blocked::BySource, 40), (Blocked::ByLine, 40)]);
    let changes = seen.iter().fold(Vec::new(), |mut changes, activity| {
        if changes.last() != Some(activity) {
            changes.push(*activity);
        }
        changes
    });
    use TransferActivity::{AwaitingLine, AwaitingProducer, Streaming};
    assert_eq!(changes, [Streaming, AwaitingProducer, Streaming, AwaitingLine]);
    assert_eq!(seen[60], TransferActivity::AwaitingLine);
}

#[test]
fn short_and_alternating_waits_change_nothing() {
    let alternating = [(Blocked::BySource, 1), (Blocked::ByLine, 1)].repeat(100);
    assert!(
        activities(&alternating).iter().all(|activity| *activity == TransferActivity::Streaming)
    );
    let hiccup = [(Blocked::ByLine, 40), (Blocked::No, 8), (Blocked::ByLine, 40)];
    assert!(activities(&hiccup)[8..].iter().all(|seen| *seen == TransferActivity::AwaitingLine));
}

#[test]
fn a_cause_of_half_of_the_samples_stays_and_of_less_ends() {
    // 21 samples lie within five seconds.
    let last = |free: u32| {
        let samples = [(Blocked::ByLine, 40), (Blocked::No, free)];
        activities(&samples).pop()
    };
    assert_eq!(last(10), Some(TransferActivity::AwaitingLine));
    assert_eq!(last(11), Some(TransferActivity::Streaming));
    // Of eight samples, more of which do not exist yet, four are enough.
    let mut tracker = ActivityTracker { current: Blocked::ByLine, ..ActivityTracker::default() };
    for tick in 0..10 {
        let blocked = if tick % 2 == 0 { Blocked::ByLine } else { Blocked::No };
        let seen = tracker.observe(TICK * tick, Observation { blocked, ..Observation::default() });
        assert_eq!(seen, TransferActivity::AwaitingLine, "{tick}");
    }
}

#[test]
fn the_token_comes_before_the_service_and_both_before_the_stage() {
    let seen = |stage, outage, awaits_token| {
        let seen = Observation { stage, outage, awaits_token, blocked: Blocked::BySource };
        ActivityTracker::default().observe(Duration::ZERO, seen)
    };
    for stage in [
        TransferStage::Streaming,
        TransferStage::LastParts,
        TransferStage::Committing,
        TransferStage::Verifying,
    ] {
        assert_eq!(seen(stage, true, true), TransferActivity::AwaitingToken);
        assert_eq!(seen(stage, true, false), TransferActivity::AwaitingService);
    }
    assert_eq!(seen(TransferStage::Committing, false, false), TransferActivity::Committing);
    assert_eq!(seen(TransferStage::Complete, true, true), TransferActivity::Complete);
}

#[test]
fn every_activity_has_a_name_of_its_own_and_a_phrase_that_fits_into_19_columns() {
    let names: std::collections::BTreeSet<_> =
        TransferActivity::ALL.iter().map(|a| a.name()).collect();
    assert_eq!(names.len(), TransferActivity::ALL.len());
    for activity in TransferActivity::ALL {
        assert_eq!(activity.phrase().is_none(), activity == TransferActivity::Streaming);
        assert!(activity.short_phrase().unwrap_or_default().len() <= 19, "{activity:?}");
    }
}

/// The seconds at which a line is due, where the activity from each second on is listed.
fn due(
    every_change: bool,
    until: u64,
    changes: &[(u64, TransferActivity)],
) -> Vec<(u64, TransferActivity)> {
    let mut schedule = LineSchedule::new(Duration::from_secs(30), every_change);
    let at = |second| changes.iter().rfind(|(from, _)| *from <= second);
    let activity =
        |second| at(second).map_or(TransferActivity::Streaming, |(_, activity)| *activity);
    let seconds = (0..=until).map(|second| (second, activity(second)));
    seconds.filter(|(s, activity)| schedule.is_due(Duration::from_secs(*s), *activity)).collect()
}

#[test]
fn a_line_is_due_every_30_s_and_at_each_change() {
    use TransferActivity::*;
    let changes = [(10, AwaitingProducer), (50, Streaming), (60, SendingLastParts)];
    assert_eq!(
        due(false, 95, &changes),
        [
            (10, AwaitingProducer),
            (40, AwaitingProducer),
            (50, Streaming),
            (60, SendingLastParts),
            (90, SendingLastParts)
        ]
    );
}

#[test]
fn an_outage_of_less_than_five_seconds_has_no_line() {
    use TransferActivity::*;
    assert_eq!(due(false, 29, &[(3, AwaitingService), (7, Streaming)]), []);
    let lasting = [(3, AwaitingToken), (20, Streaming)];
    assert_eq!(due(false, 29, &lasting), [(8, AwaitingToken), (20, Streaming)]);
    assert_eq!(due(true, 29, &lasting), [(3, AwaitingToken), (20, Streaming)]);
}

#[test]
fn an_object_of_one_request_has_a_line_only_after_30_s() {
    use TransferActivity::*;
    let run = [(1, Storing), (2, Verifying), (3, Complete)];
    assert_eq!(due(false, 3, &run), []);
    assert_eq!(due(true, 3, &run), run);
    let slow = [(1, Storing), (40, Verifying), (41, Complete)];
    assert_eq!(due(false, 41, &slow), [(30, Storing)]);
    let parts = [(1, SendingLastParts), (2, Committing), (3, Verifying), (4, Complete)];
    assert_eq!(due(false, 4, &parts), parts[..3]);
}

proptest! {
    #[test]
    fn only_a_verified_transfer_is_complete(
        samples in proptest::collection::vec((0..7usize, 0..4usize, any::<bool>(), any::<bool>()), 1..99),
    ) {
        let stages = [
            TransferStage::Streaming, TransferStage::LastParts, TransferStage::Storing, TransferStage::Committing,
            TransferStage::Verifying, TransferStage::CleaningUp, TransferStage::Restoring,
        ];
        let causes = [Blocked::No, Blocked::BySource, Blocked::ByLine, Blocked::ByOutput];
        let mut tracker = ActivityTracker::default();
        for (tick, (stage, blocked, outage, awaits_token)) in (0..).zip(samples) {
            let (stage, blocked) = (stages[stage], causes[blocked]);
            let seen = Observation { stage, blocked, outage, awaits_token };
            prop_assert_ne!(tracker.observe(TICK * tick, seen), TransferActivity::Complete);
        }
    }
}
