//! Messages about failures: they name the call that failed, and a hint that fits.

mod common;

use common::run::ocipipe;
use common::store::Store;
use common::stream::{PART, ramp};
use emulator::Operation::{AbortMultipartUpload, CommitMultipartUpload};
use emulator::fault::{Fault, FaultResponse, FaultRule, Trigger};
use rustix::fs::{Mode, OFlags};

#[test]
fn a_lost_response_to_the_commit_is_reported_with_the_commit_and_not_the_head_after_it() {
    let rule = FaultRule::on(CommitMultipartUpload, Fault::LoseAnswer).when(Trigger::Attempt(1));
    let store = Store::failing([rule]);
    let done = store.put("x").stdin(ramp(PART + 1)).run().exits(0);
    done.stderr_has(&["CommitMultipartUpload, attempt 1: the connection was lost"])
        .stderr_lacks("HeadObject");
}

#[test]
fn force_is_not_suggested_for_an_etag_that_does_not_match() {
    let store = Store::start();
    store.put("x").args("--if-match nosuch").stdin("new").run().fails(6).stderr_lacks("--force");
    store.assert_not_stored("x");
}

#[test]
fn a_folder_as_stdin_is_refused_with_a_command_that_works() {
    let store = Store::start();
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
    let folder = rustix::fs::open(store.folder(), flags, Mode::empty()).unwrap();
    store.put("x").stdin_from(folder).run().fails(5).stderr_has(&["tar c FOLDER | ocipipe put"]);
}

#[test]
fn an_endpoint_that_is_an_address_is_named_once() {
    let line = "put oci://backups@ns/x --endpoint http://127.0.0.1:1 --retry-for 1s";
    let store = Store::start();
    let done = ocipipe(line.split_whitespace())
        .arg("--config-file")
        .arg(store.server().config_path())
        .stdin("x")
        .run()
        .fails(4)
        .stderr_has(&["127.0.0.1:1: Connection refused"]);
    done.stderr_lacks("127.0.0.1:1: 127.0.0.1:1");
}

/// Control characters that must not reach a terminal: an escape, its one-byte form, a change of
/// text direction.
const CONTROL: &str = "a\u{1b}[2Jb\u{9b}2Jc\u{202e}d";

#[track_caller]
fn assert_escaped(done: &common::run::Done) {
    let is_control = |c: char| c != '\n' && proto::printable::is_terminal_control(c);
    assert!(!done.stderr.contains(is_control), "{:?}", done.stderr);
    assert!(!done.stdout.contains(is_control), "{:?}", done.stdout);
    assert!(done.stderr.contains("\\u{1b}[2J"), "{:?}", done.stderr);
}

#[test]
fn no_text_from_outside_moves_the_cursor_in_the_last_error() {
    let store = Store::start();
    let object = format!("oci://backups/{CONTROL}");
    store.put(CONTROL).stdin("x").run().exits(0);
    let with = |words: &[&str]| {
        let run = words.iter().skip(1).fold(store.ocipipe(words[0]), |run, word| run.arg(word));
        run.stdin("x").run()
    };
    let missing = format!("{object}-missing");
    let path = format!("/nonexistent/{CONTROL}");
    for (done, code) in [
        (with(&["put", &object]), 6),
        (with(&["put --progress json", &object]), 6),
        (with(&["get", &missing]), 4),
        (with(&["put", &format!("--{CONTROL}")]), 2),
        (with(&["put", &object, "--file", &path]), 5),
        (with(&["put", &object, "--content-type", CONTROL]), 2),
        (with(&["put", &object, "--part-size", CONTROL]), 2),
        (with(&["put", &object, CONTROL]), 2),
        (with(&["get", &object, "--profile", CONTROL]), 2),
        (with(&["get", &object, "--file", &path]), 2),
        (with(&["put oci://backups/new", "--", &path]), 5),
        (with(&["session show", "--profile", CONTROL]), 2),
        (ocipipe(["get", "oci://b/n", "--config-file", &path]).run(), 2),
        (ocipipe([CONTROL]).run(), 2),
        (ocipipe(["help", CONTROL]).run(), 2),
        (ocipipe(["serve", "--dir", &format!("/dev/null/{CONTROL}")]).run(), 2),
    ] {
        assert_escaped(&done.fails(code));
    }
}

#[test]
fn a_suggested_cleanup_command_works_whatever_the_name_of_the_object() {
    let refused = FaultRule::on(CommitMultipartUpload, Fault::Refuse(FaultResponse::status(400)));
    let kept = FaultRule::on(AbortMultipartUpload, Fault::Refuse(FaultResponse::status(403)));
    let store = Store::failing([refused, kept.when(Trigger::First(1))]);
    let name = "it's a\u{1b}[2Jname";
    let done = store.put(name).stdin(ramp(PART + 1)).run().fails(4);
    assert!(!done.stderr.contains('\u{1b}'), "{:?}", done.stderr);
    let line = done.stderr.lines().find(|line| line.contains("ocipipe uploads abort")).unwrap();
    let command = &line[line.find("ocipipe uploads abort").unwrap()..];
    let command = command.split('`').next().unwrap();
    let words = std::process::Command::new("bash")
        .args(["-c", &format!("set -- {command}; printf '%s\\n' \"$@\"")])
        .output()
        .unwrap();
    let words = String::from_utf8(words.stdout).unwrap();
    assert!(words.lines().any(|word| word == name), "{words:?}");
    let words: Vec<&str> = words.lines().skip(1).collect();
    let run = words.iter().fold(store.ocipipe(""), |run, word| run.arg(word));
    let done = run.run().exits(0);
    assert!(done.stdout.contains("\\u001b[2Jname"), "{}", done.stdout);
    store.assert_no_open_upload();
}
