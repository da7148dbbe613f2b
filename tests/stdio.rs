//! Promises about the standard descriptors, with real processes.

#![allow(clippy::unwrap_used)]

use std::fs::OpenOptions;
use std::process::{Command, Output, Stdio};

const BINARY: &str = env!("CARGO_BIN_EXE_ocipipe");

/// Runs `put --local` with these redirections and a folder that cannot exist.
fn put(redirections: &str) -> Output {
    let line = format!("exec \"$0\" put --local /dev/null/no oci://b/n {redirections}");
    Command::new("sh").args(["-c", &line, BINARY]).output().unwrap()
}

fn refused(output: &Output) -> Option<String> {
    let text = String::from_utf8_lossy(&output.stderr).into_owned();
    let refused = output.status.code() == Some(2) && text.contains(" is closed: ");
    (refused || text.contains(" is a terminal: ")).then_some(text)
}

#[test]
fn a_closed_stdin_is_refused_before_anything_happens() {
    let text = refused(&put("<&-")).unwrap();
    assert!(text.starts_with("ocipipe: stdin is closed: there is no stream to read\n"), "{text}");
}

#[test]
fn a_closed_stdout_is_refused_before_anything_is_read() {
    let text = refused(&put("</dev/null >&-")).unwrap();
    assert!(
        text.starts_with("ocipipe: stdout is closed: the result cannot be printed\n"),
        "{text}"
    );
}

#[test]
fn a_terminal_as_stdin_is_refused_and_never_read() {
    // The controlling side of a pseudo terminal is a terminal too.
    let text = refused(&put("</dev/ptmx")).unwrap();
    assert!(text.starts_with("ocipipe: stdin is a terminal: "), "{text}");
}

#[test]
fn dev_null_is_open_however_it_was_opened() {
    for redirections in ["</dev/null", "<>/dev/null", "</dev/null >/dev/null 2>/dev/null"] {
        assert_eq!(refused(&put(redirections)), None, "{redirections}");
    }
    // Python's DEVNULL and systemd pass it open for reading and writing on all three descriptors.
    let null = || OpenOptions::new().read(true).write(true).open("/dev/null").unwrap();
    let status = Command::new(BINARY)
        .args(["put", "--local", "/dev/null/no", "oci://b/n"])
        .stdin(null())
        .stdout(null())
        .stderr(Stdio::piped())
        .output()
        .unwrap();
    assert_eq!(refused(&status), None);
}

#[test]
fn a_closed_stdin_is_accepted_if_it_is_not_the_stream() {
    for line in [
        "exec \"$0\" put --local /dev/null/no oci://b/n --file /etc/hostname <&-",
        "exec \"$0\" put --local /dev/null/no oci://b/n <&- -- true",
    ] {
        let output = Command::new("sh").args(["-c", line, BINARY]).output().unwrap();
        assert_eq!(refused(&output), None, "{line}");
    }
}

#[test]
fn a_closed_stderr_changes_no_exit_code() {
    let line = "exec \"$0\" put --zzz 2>&-";
    let output = Command::new("sh").args(["-c", line, BINARY]).output().unwrap();
    assert_eq!(output.status.code(), Some(2));
    let line = "exec \"$0\" put --zzz 2>/dev/full";
    let output = Command::new("sh").args(["-c", line, BINARY]).output().unwrap();
    assert_eq!(output.status.code(), Some(2));
}

#[test]
fn a_closed_stdout_of_help_is_no_error_but_a_full_disk_is() {
    let line = "(trap '' PIPE; \"$0\" help put; echo $? >&2) | true";
    let output = Command::new("sh").args(["-c", line, BINARY]).output().unwrap();
    assert_eq!(String::from_utf8_lossy(&output.stderr), "0\n");
    let line = "exec \"$0\" completions bash >/dev/full";
    let output = Command::new("sh").args(["-c", line, BINARY]).output().unwrap();
    assert_eq!(output.status.code(), Some(1));
}

#[test]
fn a_pipe_that_is_stdin_or_an_output_is_no_file_of_settings() {
    for (option, pipe, reason) in [
        ("--cli-rc-file", "/dev/fd/0", "this is stdin, which is data only"),
        ("--cli-rc-file", "/dev/fd/2", "this is the output of this process"),
        ("--config-file", "/dev/fd/2", "this is the output of this process"),
    ] {
        let put = format!("\"$0\" put oci://b/n --endpoint https://127.0.0.1:9 {option} {pipe}");
        let line = format!("set -o pipefail; echo stream | {put} 2>&1 >/dev/null | cat");
        let output = Command::new("bash").args(["-c", &line, BINARY]).output().unwrap();
        let text = String::from_utf8_lossy(&output.stdout).into_owned();
        assert_eq!(output.status.code(), Some(2), "{option} {pipe}: {text}");
        assert!(text.contains(reason), "{option} {pipe}: {text}");
    }
}
