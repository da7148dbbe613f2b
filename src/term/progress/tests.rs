//! Progress lines, their intervals, and messages on a stderr that is slow or broken.

use super::format::line;
use super::*;
use proptest::prelude::*;
use proto::units::{GIB, MIB};
use std::io::{self, Write};
use std::sync::Arc;

#[derive(Clone, Default)]
struct Sink(Arc<Mutex<Vec<u8>>>);

impl Write for Sink {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().unwrap().extend(bytes);
        Ok(bytes.len())
    }
    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// A stderr and the bytes written to it.
struct Captured {
    stderr: Stderr,
    sink: Sink,
}

impl Captured {
    fn new() -> Captured {
        let sink = Sink::default();
        Captured { stderr: Stderr::spawn_on(sink.clone()), sink }
    }

    fn text(&self) -> String {
        assert!(self.stderr.flush_timeout(Duration::from_secs(60)));
        String::from_utf8(self.sink.0.lock().unwrap().clone()).unwrap()
    }

    fn lines(&self) -> Vec<String> {
        self.text().lines().map(str::to_owned).collect()
    }
}

fn reporter(progress: ProgressMode, quiet: bool, debug: bool) -> (Reporter, Captured) {
    let captured = Captured::new();
    let options = OutputOptions { progress, quiet, debug };
    (Reporter::with_stderr(options, None, captured.stderr.clone()), captured)
}

fn at(seconds: u64, acknowledged: u64) -> ProgressSnapshot {
    ProgressSnapshot {
        read: acknowledged + 512 * MIB,
        acknowledged,
        parts_acknowledged: (acknowledged / (128 * MIB)) as u32,
        parts_in_flight: 4,
        elapsed: Duration::from_secs(seconds),
        ..ProgressSnapshot::default()
    }
}

#[test]
fn a_stream_of_unknown_size_shows_no_percentage() {
    let now = at(90, 10 * GIB);
    assert_eq!(
        line(&now, 200 * MIB),
        "10.0 GiB stored, 10.5 GiB read, 200 MiB/s, 4 in flight, 1m30s"
    );
}

#[test]
fn a_line_contains_every_known_number() {
    let now = ProgressSnapshot {
        retries: 3,
        token_left: Some(Duration::from_millis(2_040_900)),
        expected: Some(40 * GIB),
        waiting: Some("no connection to the service".to_owned()),
        ..at(90, 10 * GIB)
    };
    assert_eq!(
        line(&now, 200 * MIB),
        "10.0 GiB stored (25 % of about 40.0 GiB), 10.5 GiB read, 200 MiB/s, 4 in flight, \
         3 sent again, token for 34m, 1m30s, about 2m33s left; \
         waiting: no connection to the service"
    );
}

#[test]
fn a_stream_that_outgrows_its_hint_is_not_shown_as_done() {
    let now = ProgressSnapshot { expected: Some(10 * GIB), ..at(90, 10 * GIB) };
    assert!(line(&now, MIB).starts_with("10.0 GiB stored (about 10.0 GiB were expected)"));
    assert!(!line(&now, MIB).contains("left"));
}

#[test]
fn json_is_one_object_a_line_with_every_field() {
    let now = ProgressSnapshot { waiting: Some("a\nb".to_owned()), ..at(5, MIB) };
    let text = json(&now, 7);
    assert!(!text.contains('\n'));
    let value: serde_json::Value = serde_json::from_str(&text).unwrap();
    assert_eq!(value["event"], "progress");
    assert_eq!(value["acknowledged"], MIB);
    assert_eq!(value["seconds"], 5.0);
    assert_eq!(value["expected-size"], serde_json::Value::Null);
    assert_eq!(value.as_object().unwrap().len(), 11);
}

#[test]
fn without_a_terminal_a_line_comes_every_thirty_seconds() {
    for progress in [ProgressMode::Auto, ProgressMode::Bar, ProgressMode::Log] {
        let (reporter, captured) = reporter(progress, false, false);
        for tenth in 0..=950 {
            let elapsed = Duration::from_millis(tenth * 100);
            reporter.update(&ProgressSnapshot { elapsed, ..at(0, tenth * MIB) });
        }
        let lines = captured.lines();
        assert_eq!(lines.len(), 3, "{lines:?}");
        assert!(lines[0].starts_with("ocipipe: 300 MiB stored"), "{lines:?}");
    }
}

#[test]
fn json_mode_writes_nothing_but_json() {
    let (reporter, captured) = reporter(ProgressMode::Json, false, true);
    reporter.info("n");
    reporter.warn("w \"quoted\"");
    reporter.debug(|| "d".to_owned());
    reporter.update(&at(5, MIB));
    let events: Vec<String> = captured
        .lines()
        .iter()
        .map(|line| serde_json::from_str::<serde_json::Value>(line).unwrap()["event"].to_string())
        .collect();
    assert_eq!(events, ["\"note\"", "\"warning\"", "\"debug\"", "\"progress\""]);
}

#[test]
fn quiet_leaves_warnings_only() {
    for progress in [ProgressMode::Auto, ProgressMode::Log, ProgressMode::Json, ProgressMode::Bar] {
        let (reporter, captured) = reporter(progress, true, false);
        reporter.info("n");
        reporter.debug(|| unreachable!("no text is made without --debug"));
        reporter.update(&at(500, GIB));
        assert!(captured.lines().is_empty());
        reporter.warn("w");
        assert_eq!(captured.lines().len(), 1);
    }
}

#[test]
fn progress_none_still_writes_notes() {
    let (reporter, captured) = reporter(ProgressMode::None, false, false);
    reporter.update(&at(500, GIB));
    reporter.info("done");
    assert_eq!(captured.lines(), ["ocipipe: done"]);
}

#[test]
fn a_bar_is_cleared_for_a_warning_and_at_the_end() {
    let captured = Captured::new();
    let draw = ProgressDrawTarget::term_like(Box::new(QueuedTerm::new(captured.stderr.clone())));
    let reporter =
        Reporter::with_stderr(OutputOptions::default(), Some(draw), captured.stderr.clone());
    reporter.update(&at(1, GIB));
    assert!(captured.text().contains("1.0 GiB stored"), "{:?}", captured.text());
    reporter.warn("w");
    const CLEARED: &str = "\r\u{1b}[2K";
    let text = captured.text();
    let (before, after) = text.split_once("ocipipe: warning: w\n").expect(&text);
    assert!(before.ends_with(CLEARED), "{text:?}");
    assert!(after.contains("1.0 GiB stored"), "{text:?}");
    reporter.finish();
    assert!(captured.text().ends_with(CLEARED), "{:?}", captured.text());
}

/// A sink whose writes never return.
struct Stuck;

impl Write for Stuck {
    fn write(&mut self, _: &[u8]) -> io::Result<usize> {
        loop {
            std::thread::park();
        }
    }
    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[test]
fn a_stderr_that_is_never_read_delays_neither_bar_nor_lines() {
    for terminal in [true, false] {
        let stderr = Stderr::spawn_on(Stuck);
        let draw = ProgressDrawTarget::term_like(Box::new(QueuedTerm::new(stderr.clone())));
        let options = OutputOptions { debug: true, ..OutputOptions::default() };
        let reporter = Reporter::with_stderr(options, terminal.then_some(draw), stderr);
        for second in 0..20_000 {
            reporter.update(&at(second, GIB));
            reporter.warn("w");
            reporter.debug(|| "d".repeat(100));
        }
        reporter.finish();
    }
}

#[test]
fn dropped_lines_are_counted_at_their_place() {
    /// A sink that blocks until the channel is closed.
    struct Late(std::sync::mpsc::Receiver<()>, Sink);
    impl Write for Late {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            let _ = self.0.recv();
            self.1.write(bytes)
        }
        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }
    let (start, started) = std::sync::mpsc::channel();
    let sink = Sink::default();
    let captured = Captured { stderr: Stderr::spawn_on(Late(started, sink.clone())), sink };
    let reporter = Reporter::with_stderr(OutputOptions::default(), None, captured.stderr.clone());
    for n in 0..100 {
        reporter.warn(&format!("{n} {}", "w".repeat(10_000)));
    }
    drop(start);
    let before = captured.lines().len();
    assert!(before > 10 && before < 100, "{before}");
    reporter.warn("and on it goes");
    let lines = captured.lines();
    let missing = format!("here {} lines are missing: stderr was not read", 100 - before);
    assert_eq!(
        lines[before..],
        [format!("ocipipe: warning: {missing}"), "ocipipe: warning: and on it goes".to_owned()]
    );
}

#[test]
fn control_characters_are_escaped() {
    let (reporter, captured) = reporter(ProgressMode::Log, false, false);
    reporter.warn("a\u{1b}[2Jb\rc");
    assert_eq!(captured.lines(), ["ocipipe: warning: a\\u{1b}[2Jb\\rc"]);
}

#[test]
fn a_stderr_that_fails_does_not_fail_the_reporter() {
    struct Broken;
    impl Write for Broken {
        fn write(&mut self, _: &[u8]) -> io::Result<usize> {
            Err(io::ErrorKind::BrokenPipe.into())
        }
        fn flush(&mut self) -> io::Result<()> {
            Err(io::ErrorKind::BrokenPipe.into())
        }
    }
    let reporter = Reporter::with_stderr(OutputOptions::default(), None, Stderr::spawn_on(Broken));
    reporter.warn("w");
    reporter.update(&at(60, GIB));
    reporter.finish();
}

#[test]
fn the_rate_is_that_of_the_last_30_s_and_falls_while_nothing_moves() {
    let mut rate = RateEstimate::default();
    assert_eq!(rate.observe(Duration::ZERO, 0), 0);
    for second in 1..=120 {
        rate.observe(Duration::from_secs(second), second * 100 * MIB);
    }
    for second in 121..=240u64 {
        rate.observe(Duration::from_secs(second), 12_000 * MIB + (second - 120) * 10 * MIB);
    }
    let recent = rate.observe(Duration::from_secs(240), 13_200 * MIB);
    assert_eq!(recent, 10 * MIB, "{recent}");
    let stalled = rate.observe(Duration::from_secs(300), 13_200 * MIB);
    assert!(stalled < 6 * MIB, "{stalled}");
}

#[test]
fn whole_parts_on_a_slow_link_do_not_make_the_rate_jump() {
    let mut rate = RateEstimate::default();
    let mut rates = Vec::new();
    for second in 1..=3000u64 {
        // 128 MiB every 128 s: 1 MiB/s.
        let now = rate.observe(Duration::from_secs(second), second / 128 * 128 * MIB);
        if second > 1500 {
            rates.push(now);
        }
    }
    assert!(*rates.iter().min().unwrap() > MIB * 8 / 10, "{:?}", rates.iter().min());
    assert!(*rates.iter().max().unwrap() < MIB * 12 / 10, "{:?}", rates.iter().max());
}

proptest! {
    #[test]
    fn no_snapshot_makes_a_line_panic_or_claim_the_end(
        (read, acknowledged, expected) in (any::<u64>(), any::<u64>(), any::<Option<u64>>()),
        (seconds, token, rate) in (any::<u64>(), any::<Option<u64>>(), any::<u64>()),
    ) {
        let now = ProgressSnapshot {
            read,
            acknowledged,
            expected,
            token_left: token.map(Duration::from_secs),
            elapsed: Duration::from_secs(seconds),
            parts_in_flight: 1,
            ..ProgressSnapshot::default()
        };
        prop_assert!(!line(&now, rate).contains("(100 %"));
        let _ = json(&now, rate);
    }

    #[test]
    fn no_sequence_of_counts_makes_the_rate_panic(
        counts in proptest::collection::vec((any::<u64>(), any::<u64>()), 0..40),
    ) {
        let mut rate = RateEstimate::default();
        for (seconds, bytes) in counts {
            rate.observe(Duration::from_secs(seconds), bytes);
        }
    }
}
