//! Progress lines, their intervals, and messages on a stderr that is slow or broken.

mod format;
mod rate;
mod screen;

use super::activity::{Observation, TransferActivity, TransferStage};
use super::screen::ScreenSize;
use super::*;
use crate::term::log::LogFormat;
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
    let options = OutputOptions { progress, quiet, debug, ..OutputOptions::default() };
    (Reporter::with_stderr(options, None, captured.stderr.clone()), captured)
}

fn at(seconds: u64, done: u64) -> ProgressSnapshot {
    ProgressSnapshot {
        read: done + 512 * MIB,
        done,
        parts_acknowledged: (done / (128 * MIB)) as u32,
        in_flight: 4,
        elapsed: Duration::from_secs(seconds),
        ..ProgressSnapshot::default()
    }
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

/// A snapshot of an upload at this stage.
fn at_stage(seconds: u64, stage: TransferStage) -> ProgressSnapshot {
    let seen = Observation { stage, ..Observation::default() };
    ProgressSnapshot { seen, ..at(seconds, GIB) }
}

#[test]
fn a_line_comes_at_each_change_of_the_stage() {
    let (reporter, captured) = reporter(ProgressMode::Log, false, false);
    for (second, stage) in (0..).zip([
        TransferStage::Streaming,
        TransferStage::LastParts,
        TransferStage::LastParts,
        TransferStage::Committing,
        TransferStage::Verifying,
        TransferStage::Complete,
    ]) {
        reporter.update(&at_stage(second, stage));
    }
    let ends = ["; sending the last parts", "; committing", "; verifying"];
    let lines = captured.lines();
    assert_eq!(lines.len(), ends.len(), "{lines:?}");
    assert!(lines.iter().zip(ends).all(|(line, end)| line.ends_with(end)), "{lines:?}");
}

#[test]
fn a_snapshot_that_is_earlier_begins_a_phase_with_its_own_intervals() {
    let (reporter, captured) = reporter(ProgressMode::Log, false, false);
    for (second, lines) in [(0, 0), (29, 0), (31, 1), (0, 1), (29, 1), (30, 2)] {
        reporter.update(&at(second, GIB));
        assert_eq!(captured.lines().len(), lines, "{second}");
    }
}

#[test]
fn messages_and_progress_are_json_with_a_time_a_level_and_a_message() {
    for progress in [ProgressMode::Auto, ProgressMode::Log, ProgressMode::Json] {
        let captured = Captured::new();
        let options = OutputOptions {
            progress,
            debug: true,
            log_format: LogFormat::Json,
            ..OutputOptions::default()
        };
        let draw = Some(terminal(&captured.stderr));
        let reporter = Reporter::with_stderr(options, draw, captured.stderr.clone());
        let request = RequestFields { part: Some(3), status: Some(503), ..Default::default() };
        let request = Some(Box::new(request));
        reporter.info("n");
        reporter.warn_of(&Warning { text: "w \"q\"".to_owned(), request });
        reporter.debug(|| "d".to_owned());
        reporter.update(&at(30, MIB));
        let lines: Vec<serde_json::Value> =
            captured.lines().iter().map(|line| serde_json::from_str(line).unwrap()).collect();
        let levels: Vec<&str> = lines.iter().filter_map(|line| line["level"].as_str()).collect();
        assert_eq!(levels[..3], ["info", "warning", "debug"]);
        assert_eq!((&lines[1]["part"], &lines[1]["status"]), (&3.into(), &503.into()));
        assert_eq!(lines[1]["message"], "w \"q\"");
        let (progress, last) = match progress {
            ProgressMode::Json => (&lines[3], "progress"),
            _ => (&lines[3]["progress"], "info"),
        };
        assert_eq!(progress["acknowledged"], MIB);
        assert!([&lines[3]["event"], &lines[3]["level"]].contains(&&last.into()));
        let time = |line: &serde_json::Value| line["time"].as_str().unwrap().parse::<Timestamp>();
        assert!(lines.iter().all(|line| time(line).is_ok()), "{lines:?}");
    }
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

/// A terminal of 80 x 24.
fn terminal(stderr: &Stderr) -> (ProgressDrawTarget, TerminalSize) {
    let size: TerminalSize = || ScreenSize { columns: 80, rows: 24 };
    let term = Box::new(QueuedTerm::new(stderr.clone(), size));
    (ProgressDrawTarget::term_like(term), size)
}

#[test]
fn a_bar_is_cleared_for_a_warning_and_at_the_end() {
    let captured = Captured::new();
    let draw = terminal(&captured.stderr);
    let reporter =
        Reporter::with_stderr(OutputOptions::default(), Some(draw), captured.stderr.clone());
    reporter.update(&at(1, GIB));
    assert!(captured.text().contains("1.0 GiB stored"), "{:?}", captured.text());
    reporter.warn("w");
    const CLEARED: &str = "\r\u{1b}[2K\u{1b}[1A\u{1b}[2K";
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
        let draw = terminal.then(|| super::tests::terminal(&stderr));
        let options = OutputOptions { debug: true, ..OutputOptions::default() };
        let reporter = Reporter::with_stderr(options, draw, stderr);
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
