//! The progress on terminals of several sizes, as a terminal emulator shows it, and the lines where
//! stderr is none.

#![allow(clippy::unwrap_used)]

mod common;

use std::fs::File;
use std::io::Read;
use std::os::fd::OwnedFd;
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use common::pipes::terminal;
use common::run::{Ocipipe, Running};
use common::store::Store;
use common::stream::{PART, ramp};
use emulator::Operation::{CommitMultipartUpload, HeadObject, UploadPart};
use emulator::fault::{Fault, FaultRule, Trigger};
use rustix::termios::{Winsize, tcsetwinsize};

const ROWS: u16 = 20;
/// The end of each sequence that erases a row.
const CLEARED: &str = "\u{1b}[2K";
const LIMIT: Duration = Duration::from_secs(60);

/// A run whose stderr is a terminal.
struct OnTerminal {
    run: Running,
    control: OwnedFd,
    parser: Arc<Mutex<vt100::Parser>>,
    /// Every byte that was written.
    bytes: Arc<Mutex<Vec<u8>>>,
    reader: JoinHandle<()>,
}

impl OnTerminal {
    fn start(run: Ocipipe, columns: u16) -> OnTerminal {
        let (control, stderr) = terminal();
        resize(&control, columns);
        let parser = Arc::new(Mutex::new(emulator_of(columns)));
        let bytes = Arc::new(Mutex::new(Vec::new()));
        let mut output = File::from(control.try_clone().unwrap());
        let (shown, written) = (parser.clone(), bytes.clone());
        let reader = std::thread::spawn(move || {
            let mut piece = [0; 4096];
            // The terminal is gone once the program and this side have closed it.
            while let Ok(length @ 1..) = output.read(&mut piece) {
                shown.lock().unwrap().process(&piece[..length]);
                written.lock().unwrap().extend_from_slice(&piece[..length]);
            }
        });
        let run = run.stderr_to(stderr).start();
        OnTerminal { run, control, parser, bytes, reader }
    }

    fn rows(&self) -> Vec<String> {
        let parser = self.parser.lock().unwrap();
        let (_, columns) = parser.screen().size();
        let rows: Vec<String> = parser.screen().rows(0, columns.get()).collect();
        rows.iter().map(|row| row.trim_end().to_owned()).filter(|row| !row.is_empty()).collect()
    }

    /// Waits until the screen has a row with this text, and returns the rows.
    #[track_caller]
    fn wait_for(&self, text: &str) -> Vec<String> {
        let started_at = Instant::now();
        loop {
            let rows = self.rows();
            if rows.iter().any(|row| row.contains(text)) {
                return rows;
            }
            assert!(started_at.elapsed() < LIMIT, "no {text:?} in {rows:#?}");
            std::thread::sleep(Duration::from_millis(20));
        }
    }

    /// Asserts that no row from the one with this text on continues in the next one.
    #[track_caller]
    fn assert_nothing_wraps_from(&self, text: &str) {
        let parser = self.parser.lock().unwrap();
        let screen = parser.screen();
        let first = screen.rows(0, screen.size().1.get()).position(|row| row.contains(text));
        let first = u16::try_from(first.unwrap()).unwrap();
        let wrapped = (first..ROWS).find(|row| screen.row_wrapped(*row));
        assert_eq!(wrapped, None, "{}", screen.contents());
    }

    /// Ends stdin and waits for the end; returns the last screen and all that was written.
    #[track_caller]
    fn finish(self, code: i32) -> (Vec<String>, String) {
        let OnTerminal { run, control, parser, bytes, reader } = self;
        run.wait().exits(code);
        drop(control);
        reader.join().unwrap();
        let contents = parser.lock().unwrap().screen().contents();
        let rows = contents.lines().map(|row| row.trim_end().to_owned()).collect();
        (rows, String::from_utf8(bytes.lock().unwrap().clone()).unwrap())
    }
}

fn emulator_of(columns: u16) -> vt100::Parser {
    vt100::Parser::new(ROWS.try_into().unwrap(), columns.try_into().unwrap(), 0)
}

fn resize(terminal: &OwnedFd, columns: u16) {
    let size = Winsize { ws_row: ROWS, ws_col: columns, ws_xpixel: 0, ws_ypixel: 0 };
    tcsetwinsize(terminal, size).unwrap();
}

/// The length of the longest line that is no message.
fn widest(bytes: &str) -> usize {
    let lines = bytes.split(['\r', '\n']).filter(|line| !line.starts_with("ocipipe: "));
    lines.map(|line| line.rsplit(CLEARED).next().unwrap().len()).max().unwrap()
}

/// A store whose commit waits for 1.5 s and whose last HEAD for 1 s, so that both can be seen.
fn slow_store() -> Store {
    Store::failing([
        FaultRule::on(CommitMultipartUpload, Fault::Delay(1500)),
        FaultRule::on(HeadObject, Fault::Delay(1000)).when(Trigger::From(2)),
    ])
}

#[test]
fn no_line_is_wider_than_the_terminal_and_100_percent_comes_after_the_verification() {
    for columns in [20, 80] {
        let store = slow_store();
        let file = store.file("stream", ramp(3 * PART));
        let run = store.put("x").var("TERM", "xterm").arg("--file").arg(file);
        let shown = OnTerminal::start(run, columns);
        for text in ["committing", "verifying"] {
            let rows = shown.wait_for(text);
            assert!(rows.iter().any(|row| row.contains("99 % of ")), "{rows:#?}");
            shown.assert_nothing_wraps_from("% of ");
        }
        let (rows, bytes) = shown.finish(0);
        let (unverified, verified) = bytes.split_at(bytes.rfind("verifying").unwrap());
        assert!(!unverified.contains("100 %") && !unverified.contains("complete"), "{bytes:?}");
        assert!(verified.contains("100 % of ") && verified.contains("complete"), "{bytes:?}");
        let (before, last) = bytes.split_once("ocipipe: stored and verified by ").unwrap();
        assert!(widest(before) < usize::from(columns), "{columns}: {before:?}");
        assert!(before.ends_with(CLEARED), "the bar is cleared first: {before:?}");
        assert!(!last.contains('\u{1b}'), "{last:?}");
        let screen = rows.concat();
        assert!(screen.contains("stored and verified") && !screen.contains("flight"), "{rows:#?}");
    }
}

#[test]
fn what_the_stream_waits_for_is_shown_and_a_resized_terminal_keeps_no_remains() {
    let store = Store::start();
    let run = store.put("x").var("TERM", "xterm").stdin_pipe();
    let mut shown = OnTerminal::start(run, 80);
    shown.run.write(&ramp(PART + 1));
    let rows = shown.wait_for("waiting for the producer");
    assert_eq!(rows.iter().filter(|row| row.contains("stored")).count(), 1, "{rows:#?}");
    resize(&shown.control, 20);
    shown.wait_for("waits: producer");
    let (_, bytes) = shown.finish(0);
    let (before, _) = bytes.split_once("waits: producer").unwrap();
    let (wide, erased) = before.rsplit_once("\r\u{1b}[2K").unwrap();
    let (_, wide) = wide.rsplit_once(CLEARED).unwrap();
    // A terminal that wraps lines anew shows the wide frame in this many rows.
    let rows: usize = wide.split("\r\n").map(|line| line.len().div_ceil(20)).sum();
    assert!(rows > wide.lines().count(), "{wide:?}");
    assert_eq!(erased.matches("\u{1b}[1A\u{1b}[2K").count(), rows - 1, "{wide:?}");
    // tmux moves a screen that is cleared at once into its history.
    assert!(!bytes.contains("\u{1b}[J"), "{bytes:?}");
}

#[test]
fn no_colour_a_dumb_terminal_and_a_locale_without_utf_8_get_plain_ascii() {
    let store = slow_store();
    for (name, vars) in [
        ("colour", [("TERM", "xterm"), ("NO_COLOR", "1")]),
        ("locale", [("TERM", "xterm"), ("LC_ALL", "C")]),
        ("dumb", [("TERM", "dumb"), ("LC_ALL", "en_US.UTF-8")]),
        ("unset", [("LC_ALL", "C"), ("NO_COLOR", "")]),
    ] {
        let run = vars.iter().fold(store.put(name), |run, (name, value)| run.var(name, *value));
        let shown = OnTerminal::start(run.stdin(ramp(PART + 1)), 80);
        let (_, bytes) = shown.finish(0);
        assert!(bytes.is_ascii(), "{name}: {bytes:?}");
        let coloured = bytes.split('\u{1b}').skip(1).any(|piece| {
            piece
                .trim_start_matches(['[', ';', '0', '1', '2', '3', '4', '5', '6', '7', '8', '9'])
                .starts_with('m')
        });
        assert!(!coloured, "{name}: {bytes:?}");
        let draws = ["colour", "locale"].contains(&name);
        assert_eq!(bytes.contains('\u{1b}'), draws, "{name}: {bytes:?}");
        assert_eq!(bytes.contains("ocipipe: 10.0 MiB stored"), !draws, "{name}: {bytes:?}");
    }
}

#[test]
fn only_stderr_decides_whether_a_bar_is_drawn() {
    let store = slow_store();
    let (control, stdout) = terminal();
    let run = store.put("x").var("TERM", "xterm").args("--progress bar").stdin(ramp(PART + 1));
    let done = run.stdout_to(stdout).run().exits(0);
    drop(control);
    assert!(!done.stderr.contains(['\u{1b}', '\r']), "{:?}", done.stderr);
    assert_lines(&done.stderr);
}

/// Asserts the lines of an upload of two parts whose commit and HEAD are slow.
#[track_caller]
fn assert_lines(stderr: &str) {
    let ends = ["; sending the last parts", "; committing", "; verifying"];
    let lines: Vec<&str> = stderr.lines().collect();
    let found: Vec<&str> =
        lines.iter().filter_map(|line| ends.into_iter().find(|end| line.ends_with(end))).collect();
    assert_eq!(found, ends, "{stderr}");
    // The journal adds the time.
    assert!(lines.iter().all(|line| line.starts_with("ocipipe: ")), "{stderr}");
    assert!(!stderr.contains("100 %") && !stderr.contains("20 :"), "{stderr}");
    assert!(lines.last().unwrap().starts_with("ocipipe: stored and verified by "), "{stderr}");
}

#[test]
fn elsewhere_a_line_comes_at_each_change_and_names_what_the_stream_waits_for() {
    let store = slow_store();
    let mut run = store.put("x").args("--part-size 10MiB").stdin_pipe().start();
    run.write(&ramp(PART + 1));
    run.wait_for_stderr("; waiting for the producer\n");
    let done = run.wait().exits(0);
    assert_lines(&done.stderr);
}

#[test]
fn a_stream_that_the_network_holds_up_waits_for_the_line() {
    let hold = Fault::StallAnswer { ms: Some(8000) };
    let store = Store::failing([FaultRule::on(UploadPart, hold)]);
    let run = store.put("x").args("--parallel-upload-count 1 --max-memory 20MiB");
    let run = run.stdin(ramp(4 * PART)).start();
    run.wait_for_stderr("; waiting for the line\n");
    run.wait().exits(0);
}

#[test]
fn get_waits_for_its_output_and_shows_what_was_written() {
    let store = Store::start();
    let bytes = ramp(3 * PART);
    store.put("x").stdin(bytes).run().exits(0);
    let (reader, writer) = common::pipes::pipe();
    let run = store.ocipipe("get").arg("oci://backups/x").stdout_to(writer).start();
    run.wait_for_stderr("; waiting for the output\n");
    let mut copy = Vec::new();
    File::from(reader).read_to_end(&mut copy).unwrap();
    let done = run.wait().exits(0).stderr_lacks("stored");
    assert!(done.stderr.contains(" written ("), "{}", done.stderr);
    assert_eq!(copy.len(), 3 * PART);
}

#[test]
fn verify_shows_what_was_compared_also_while_nothing_arrives() {
    let store = Store::start();
    store.put("x").stdin(ramp(PART)).run().exits(0);
    let mut run = store.ocipipe("verify").arg("oci://backups/x").stdin_pipe().start();
    run.write(&ramp(PART)[..PART / 2]);
    run.wait_for_stderr("; waiting for the producer\n");
    run.write(&ramp(PART)[PART / 2..]);
    let done = run.wait().exits(0).stderr_lacks("stored");
    assert!(done.stderr.contains(" compared (50 % of "), "{}", done.stderr);
}

#[test]
fn a_token_that_is_waited_for_is_named() {
    let store = Store::with(|options| options.token_ttl = Duration::from_secs(8));
    let mut run = store.put("x").args("--no-refresh --retry-for 60s").stdin_pipe().start();
    run.write(&ramp(PART + 1));
    run.wait_for_stderr("the credentials have expired");
    run.write(&ramp(PART));
    run.wait_for_stderr("; waiting for a valid token\n");
    run.signal(rustix::process::Signal::TERM);
    run.wait_with_open_stdin().fails(143);
}
