//! `put --metrics-file`: what is written at the end of each kind of run, and what is left alone.

#![allow(clippy::unwrap_used)]

mod common;

use std::collections::{BTreeMap, BTreeSet};
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::Path;
use std::time::{SystemTime, UNIX_EPOCH};

use common::run::{Ocipipe, ocipipe};
use common::store::Store;
use common::stream::{PART, ramp};
use emulator::Operation::UploadPart;
use emulator::fault::{Fault, FaultResponse, FaultRule, Trigger};
use rustix::process::Signal;

/// The values of a file by metric; asserts that this job is the only label.
#[track_caller]
fn metrics(file: &Path, job: &str) -> BTreeMap<String, f64> {
    let text = std::fs::read_to_string(file).unwrap();
    let label = format!("{{job=\"{job}\"}}");
    let samples = text.lines().filter(|line| !line.starts_with('#'));
    let values = samples.map(|line| {
        let (name, value) = line.rsplit_once(' ').unwrap();
        let name = name.strip_suffix(&label).unwrap_or_else(|| panic!("{line}"));
        (name.strip_prefix("ocipipe_").unwrap().to_owned(), value.parse().unwrap())
    });
    values.collect()
}

fn now() -> f64 {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs_f64()
}

fn put(store: &Store, name: &str) -> Ocipipe {
    store.put(name).args("--metrics-file mydb.prom")
}

const SUCCESS: &str = "last_success_timestamp_seconds";
const EXIT_CODE: &str = "last_run_exit_code";

#[test]
fn a_success_is_described() {
    let refused = Fault::Refuse(FaultResponse::status(503));
    let rule = FaultRule::on(UploadPart, refused).part(2).when(Trigger::Attempt(1));
    let store = Store::failing([rule]);
    let before = now();
    put(&store, "x").stdin(ramp(2 * PART + 5)).run().exits(0);
    let file = store.folder().join("mydb.prom");
    let values = metrics(&file, "mydb");
    for (name, want) in [
        (EXIT_CODE, 0.0),
        ("last_run_object_bytes", (2 * PART + 5) as f64),
        ("last_run_parts", 3.0),
        ("last_run_identical", 0.0),
        ("last_run_retries", 1.0),
    ] {
        assert_eq!(values[name], want, "{name}");
    }
    // The stamps have milliseconds.
    let (success, run) = (values[SUCCESS], values["last_run_timestamp_seconds"]);
    assert!(success == run && success >= before - 0.001 && success <= now(), "{values:?}");
    assert!(values["last_run_duration_seconds"] <= now() - before, "{values:?}");
    assert!(values["token_expiry_timestamp_seconds"] > now(), "{values:?}");
    assert_eq!(file.metadata().unwrap().permissions().mode() & 0o7777, 0o644);
    let mut names = std::fs::read_dir(store.folder()).unwrap().map(|entry| entry.unwrap());
    assert!(!names.any(|entry| entry.file_name().to_str().unwrap().contains(".tmp")));
}

#[test]
fn each_failure_keeps_the_time_of_the_last_success() {
    let store = Store::start();
    put(&store, "x").stdin("1").run().exits(0);
    let file = store.folder().join("mydb.prom");
    let first = metrics(&file, "mydb");
    let unwritten = |run: Ocipipe, code: i32| {
        run.run().fails(code);
        let values = metrics(&file, "mydb");
        assert_eq!(values[SUCCESS], first[SUCCESS], "{code}");
        assert_eq!(values[EXIT_CODE], f64::from(code));
        assert!(values["last_run_timestamp_seconds"] > first["last_run_timestamp_seconds"]);
        assert_eq!(values["last_run_object_bytes"], 0.0);
    };
    unwritten(put(&store, "x").stdin("2"), 6);
    unwritten(put(&store, "y").stdin(""), 5);
    unwritten(put(&store, "y").args("-- sh -c").arg("echo some; exit 3"), 5);
    unwritten(put(&store, "y").stdin("2").args("--profile NONE"), 2);
    unwritten(put(&store, "y").stdin_closed(), 2);
    unwritten(put(&store, "x").stdin("2").arg("--identical-ok"), 6);
    // Success again, of a command, of an identical object and of a continued upload.
    let mut last = first[SUCCESS];
    for (run, identical) in [
        (put(&store, "y").args("-- echo some"), 0.0),
        (put(&store, "y").stdin("some\n").arg("--identical-ok"), 1.0),
        (put(&store, "z").stdin("some\n").arg("--resume"), 0.0),
    ] {
        run.run().exits(0);
        let values = metrics(&file, "mydb");
        assert!(values[SUCCESS] > last, "{values:?}");
        assert_eq!(
            (values["last_run_identical"], values["last_run_object_bytes"]),
            (identical, 5.0)
        );
        last = values[SUCCESS];
    }
}

#[test]
fn a_signal_is_described() {
    let store = Store::start();
    let mut run = put(&store, "x").stdin_pipe().start();
    run.write(&ramp(PART + 1));
    store.wait_for_requests(UploadPart, 1);
    run.signal(Signal::TERM);
    run.wait_with_open_stdin().fails(143);
    let values = metrics(&store.folder().join("mydb.prom"), "mydb");
    assert_eq!((values[EXIT_CODE], values[SUCCESS]), (143.0, 0.0));
}

#[test]
fn the_local_store_has_metrics_too_and_a_job_has_a_name_of_its_own() {
    let folder = tempfile::tempdir().unwrap();
    let run = ocipipe(["put", "--local", "store", "oci://b/x", "--metrics-file", "m.prom"]);
    run.args("--metrics-job").arg("the db").within(folder.path()).stdin("x").run().exits(0);
    assert_eq!(metrics(&folder.path().join("m.prom"), "the db")["last_run_object_bytes"], 1.0);
}

#[test]
fn a_file_that_is_not_of_this_job_is_left_alone_with_a_warning() {
    let store = Store::start();
    put(&store, "0").args("--metrics-job other").stdin("x").run().exits(0);
    let others = std::fs::read_to_string(store.folder().join("mydb.prom")).unwrap();
    store.file("foreign.prom", "node_load1 0.5\n");
    store.file("target", "");
    symlink("target", store.folder().join("link.prom")).unwrap();
    std::fs::create_dir(store.folder().join("folder.prom")).unwrap();
    for (name, file, reason) in [
        ("1", "mydb.prom", "it is of another job"),
        ("2", "foreign.prom", "it has lines that ocipipe did not write"),
        ("3", "link.prom", "it is a link"),
        ("4", "folder.prom", "it is no regular file"),
        ("5", "none/m.prom", "its folder: No such file or directory"),
        ("6", "/proc/m.prom", "No such file or directory"),
    ] {
        let run = store.put(name).args("--metrics-file").arg(file).stdin("x").run().exits(0);
        run.stderr_has(&["warning: the metrics of this run were not written", file, reason]);
        let run = store.put(name).args("--metrics-file").arg(file).stdin("x").run().fails(6);
        run.stderr_has(&["exists", "warning: the metrics of this run", reason]);
    }
    let after = |name: &str| std::fs::read_to_string(store.folder().join(name)).unwrap();
    assert_eq!(after("mydb.prom"), others);
    assert_eq!(after("foreign.prom"), "node_load1 0.5\n");
    assert_eq!(after("target"), "");
}

#[test]
fn a_job_without_a_file_and_a_file_without_a_name_are_usage_errors() {
    for (options, message) in [
        ("--metrics-job j", "--metrics-job without --metrics-file"),
        ("--metrics-file /", "--metrics-file"),
        ("--metrics-file m.prom --metrics-job=", "--metrics-job"),
    ] {
        let run = ocipipe(["put", "oci://b/x"]).args(options).stdin("x").run().fails(2);
        run.stderr_has(&[message]);
    }
}

#[test]
fn the_page_lists_exactly_the_metrics_with_their_help() {
    let page = std::fs::read_to_string("docs/monitoring.md").unwrap();
    let rows = page.lines().filter_map(|line| line.strip_prefix("| `ocipipe_"));
    let documented: BTreeSet<(String, String)> = rows
        .map(|row| {
            let (name, rest) = row.split_once("` | ").unwrap();
            (format!("ocipipe_{name}"), rest.trim_end_matches(" |").to_owned())
        })
        .collect();
    // A token that was handed over as a text ends for good, so that every metric is there.
    let every = proto::run_metrics::RunMetrics {
        token_expiry: Some(std::time::Duration::ZERO),
        credentials_end: Some(std::time::Duration::ZERO),
        ..Default::default()
    };
    let text = every.text("j", &proto::run_metrics::Former::Nothing);
    let helps = text.lines().filter_map(|line| line.strip_prefix("# HELP "));
    let written = helps.map(|line| line.split_once(' ').unwrap());
    let written = written.map(|(name, help)| (name.to_owned(), help.to_owned())).collect();
    assert_eq!(documented, written);
    for name in ["prometheus-rules.yml", "prometheus-rules-test.yml"] {
        let rules = std::fs::read_to_string(format!("docs/examples/{name}")).unwrap();
        for word in rules.split(|c: char| !c.is_ascii_alphanumeric() && c != '_') {
            let known = documented.iter().any(|(metric, _)| metric == word);
            assert!(known || !word.starts_with("ocipipe_"), "{name} has {word}");
        }
    }
}
