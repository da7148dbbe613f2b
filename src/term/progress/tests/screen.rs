//! The lines of terminals of several sizes.

use super::super::screen::lines;
use super::*;
use proptest::prelude::*;

fn snapshot() -> ProgressSnapshot {
    ProgressSnapshot {
        retries: 3,
        token_left: Some(Duration::from_secs(2040)),
        expected: Some(40 * GIB),
        ..at(90, 10 * GIB)
    }
}

fn screen(now: &ProgressSnapshot, columns: usize, rows: usize) -> Vec<String> {
    let report = Report { now, rate: 200 * MIB, activity: TransferActivity::AwaitingProducer };
    lines(&report, ScreenSize { columns, rows })
}

#[test]
fn eighty_columns_have_a_bar_and_the_long_texts() {
    assert_eq!(
        screen(&snapshot(), 79, 23),
        [
            "[#############-----------------------------------------] 25 % of about 40.0 GiB",
            "10.0 GiB stored, waiting for the producer, 200 MiB/s now, 113 MiB/s on average,",
            "1m30s, about 2m33s left, token for 34m, 4 parts in flight, 10.5 GiB read,",
            "3 sent again",
        ]
    );
}

#[test]
fn twenty_columns_have_every_number_in_short_texts() {
    assert_eq!(
        screen(&snapshot(), 19, 23),
        [
            "10.0 GiB stored,",
            "25 % of 40.0 GiB,",
            "waits: producer,",
            "200 MiB/s now,",
            "113 MiB/s average,",
            "1m30s, 2m33s left,",
            "token for 34m,",
            "4 in flight,",
            "10.5 GiB read,",
            "3 sent again",
        ]
    );
}

#[test]
fn a_low_terminal_keeps_the_most_important_lines() {
    assert_eq!(
        screen(&snapshot(), 19, 3),
        ["10.0 GiB stored,", "25 % of 40.0 GiB,", "waits: producer,"]
    );
    // The bar yields to what the stream waits for.
    assert_eq!(
        screen(&snapshot(), 39, 2),
        ["10.0 GiB stored, 25 % of 40.0 GiB,", "waiting for the producer,"]
    );
}

proptest! {
    #[test]
    fn no_line_is_wider_than_the_terminal_and_none_claims_the_end(
        (read, done, expected) in (any::<u64>(), any::<u64>(), any::<Option<u64>>()),
        (seconds, token, rate) in (any::<u64>(), any::<Option<u64>>(), any::<u64>()),
        (columns, rows) in (1..200usize, 1..30usize),
        activity in 0..TransferActivity::ALL.len() - 1,
    ) {
        let now = ProgressSnapshot {
            read,
            done,
            expected,
            token_left: token.map(Duration::from_secs),
            elapsed: Duration::from_secs(seconds),
            ..ProgressSnapshot::default()
        };
        let report = Report { now: &now, rate, activity: TransferActivity::ALL[activity] };
        let lines = lines(&report, ScreenSize { columns, rows });
        prop_assert!(!lines.is_empty() && lines.len() <= rows);
        for line in lines {
            prop_assert!(line.len() <= columns && !line.contains("100 %"), "{line:?}");
            prop_assert!(line.chars().all(|c| c.is_ascii() && !c.is_control()), "{line:?}");
        }
    }
}
