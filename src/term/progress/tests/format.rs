//! Lines for people and JSON objects.

use super::super::format::{self, line};
use super::*;
use proptest::prelude::*;

fn report(now: &ProgressSnapshot, rate: u64, activity: TransferActivity) -> Report<'_> {
    Report { now, rate, activity }
}

fn streaming(now: &ProgressSnapshot) -> String {
    line(&report(now, 200 * MIB, TransferActivity::Streaming))
}

#[test]
fn a_stream_of_unknown_size_shows_no_percentage() {
    assert_eq!(
        streaming(&at(90, 10 * GIB)),
        "10.0 GiB stored, 200 MiB/s now, 113 MiB/s on average, 1m30s, 4 parts in flight, \
         10.5 GiB read"
    );
}

#[test]
fn a_line_contains_every_known_number() {
    let now = ProgressSnapshot {
        retries: 3,
        token_left: Some(Duration::from_millis(2_040_900)),
        expected: Some(40 * GIB),
        ..at(90, 10 * GIB)
    };
    assert_eq!(
        line(&report(&now, 200 * MIB, TransferActivity::AwaitingService)),
        "10.0 GiB stored (25 % of about 40.0 GiB), 200 MiB/s now, 113 MiB/s on average, 1m30s, \
         about 2m33s left, token for 34m, 4 parts in flight, 10.5 GiB read, 3 sent again; \
         waiting for the service"
    );
}

#[test]
fn get_shows_what_was_written_and_read_and_verify_what_was_compared() {
    let now = ProgressSnapshot {
        transfer: Transfer::Write,
        expected: Some(20 * GIB),
        ..at(100, 10 * GIB)
    };
    assert_eq!(
        line(&report(&now, 100 * MIB, TransferActivity::AwaitingOutput)),
        "10.0 GiB written (50 % of 20.0 GiB), 100 MiB/s now, 102 MiB/s on average, 1m40s, \
         about 1m42s left, 4 ranges in flight, 10.5 GiB read; waiting for the output"
    );
    let now = ProgressSnapshot {
        transfer: Transfer::Compare,
        in_flight: 0,
        read: 10 * GIB,
        ..at(100, 10 * GIB)
    };
    assert_eq!(streaming(&now), "10.0 GiB compared, 200 MiB/s now, 102 MiB/s on average, 1m40s");
}

#[test]
fn what_an_earlier_run_has_written_does_not_count_for_the_average() {
    let now = ProgressSnapshot {
        transfer: Transfer::Write,
        already: 10 * GIB,
        ..at(10, 10 * GIB + 100 * MIB)
    };
    assert!(streaming(&now).contains(", 10.0 MiB/s on average,"), "{}", streaming(&now));
}

#[test]
fn only_a_verified_transfer_reaches_100_percent() {
    let now = ProgressSnapshot { expected: Some(10 * GIB), ..at(90, 10 * GIB) };
    for activity in TransferActivity::ALL {
        let shown = line(&report(&now, MIB, activity));
        assert_eq!(shown.contains("100 %"), activity == TransferActivity::Complete, "{shown}");
        assert_eq!(shown.contains("complete"), activity == TransferActivity::Complete, "{shown}");
    }
}

#[test]
fn a_stream_that_outgrows_its_hint_has_no_percentage_and_no_end() {
    let now = ProgressSnapshot { expected: Some(10 * GIB), ..at(90, 11 * GIB) };
    let shown = streaming(&now);
    assert!(shown.starts_with("11.0 GiB stored (expected about 10.0 GiB), "), "{shown}");
    assert!(!shown.contains("left") && !shown.contains('%'), "{shown}");
}

#[test]
fn json_is_one_object_a_line_and_names_what_is_awaited() {
    let now = at(5, MIB);
    let text =
        format::json(&report(&now, 7, TransferActivity::AwaitingLine), Timestamp::UNIX_EPOCH);
    assert!(!text.contains('\n'));
    let value: serde_json::Value = serde_json::from_str(&text).unwrap();
    assert_eq!(value["event"], "progress");
    assert_eq!(value["time"], "1970-01-01T00:00:00.000Z");
    assert_eq!(value["state"], "waiting-for-line");
    assert_eq!(value["waiting"], "the line");
    assert_eq!(value["acknowledged"], MIB);
    assert_eq!(value["seconds"], 5.0);
    assert_eq!(value["expected-size"], serde_json::Value::Null);
}

proptest! {
    #[test]
    fn no_snapshot_makes_a_line_panic_or_claim_the_end(
        (read, done, expected) in (any::<u64>(), any::<u64>(), any::<Option<u64>>()),
        (seconds, token, rate) in (any::<u64>(), any::<Option<u64>>(), any::<u64>()),
        activity in 0..TransferActivity::ALL.len() - 1,
    ) {
        let now = ProgressSnapshot {
            read,
            done,
            expected,
            token_left: token.map(Duration::from_secs),
            elapsed: Duration::from_secs(seconds),
            in_flight: 1,
            ..ProgressSnapshot::default()
        };
        let report = report(&now, rate, TransferActivity::ALL[activity]);
        prop_assert!(!line(&report).contains("(100 %"));
        let _ = format::json(&report, Timestamp::UNIX_EPOCH);
    }
}
