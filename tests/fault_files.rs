//! The fault plans in `tests/faults`, each with the real `serve` and the real `put`, and their
//! page.
//!
//! Knows the plans by their files only. Invariant: every file has a test of its own or a row that
//! `tests/rehearsal.rs` runs, and a line in `docs/fault-plan.md`, and page and code have the same names.

#![allow(clippy::unwrap_used)]

mod common;

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use common::stream::{PART, ramp};
use emulator::fault::{Fault, FaultRule, Trigger};
use emulator::{BucketProtection, Operation, Permission, Retention, ServerConfig};
use serde_json::Value;

const PAGE: &str = include_str!("../docs/fault-plan.md");

fn plan_path(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/faults").join(name)
}

/// A process `ocipipe serve` that runs a fault plan.
struct Serve(common::serve::Serve);

impl Serve {
    fn start(plan: &str) -> Serve {
        let path = plan_path(plan);
        Serve(common::serve::Serve::start(["--faults".as_ref(), path.as_os_str()]))
    }

    /// Stores a stream of several parts and a small one, and reads both back.
    fn stores_and_returns_streams(&self) {
        for (name, length) in [("large", 3 * PART + 17), ("small", 1234)] {
            let put = format!("put --part-size 10MiB oci://backups/{name}");
            let done = self.0.command(&put).stdin(ramp(length)).run().exits(0);
            assert_eq!(done.receipt()["size"], length, "{name}");
            let copy = self.0.dir().join(name);
            let get = self.0.command(&format!("get oci://backups/{name}"));
            get.arg("--file").arg(&copy).run().exits(0);
            assert!(std::fs::read(copy).unwrap() == ramp(length), "{name} has other bytes");
        }
        self.0.command("uploads list --bucket-name backups").run().exits(0).stderr_lacks("large");
    }

    /// The records of the log, after the server has stopped.
    fn stop(self) -> Vec<Value> {
        self.0.stop()
    }
}

/// The name of an action in a fault plan, which is its only key where it has fields.
fn action_name(action: &Value) -> Option<&str> {
    action.as_str().or_else(|| action.as_object()?.keys().next().map(String::as_str))
}

/// The operations that had a fault of this name, in the order of completion.
fn operations_with(log: &[Value], fault: &str) -> Vec<String> {
    let of = |record: &&Value| action_name(&record["fault"]) == Some(fault);
    log.iter().filter(of).map(|record| record["operation"].as_str().unwrap().to_owned()).collect()
}

#[track_caller]
fn assert_injected(log: &[Value], fault: &str, operations: &[&str]) {
    let operations_hit = operations_with(log, fault);
    for operation in operations {
        assert!(
            operations_hit.iter().any(|name| name == operation),
            "{operation} had no {fault}: {operations_hit:?}"
        );
    }
}

#[test]
fn flaky_network() {
    let serve = Serve::start("flaky-network.json");
    serve.stores_and_returns_streams();
    let log = serve.stop();
    assert_injected(&log, "reset_before_body", &["CreateMultipartUpload", "CommitMultipartUpload"]);
    assert_injected(&log, "reset_in_body", &["UploadPart", "PutObject"]);
    assert_injected(&log, "lose_answer", &["UploadPart"]);
    assert_injected(&log, "truncate", &["UploadPart"]);
}

#[test]
fn throttling() {
    let serve = Serve::start("throttling.json");
    serve.stores_and_returns_streams();
    let log = serve.stop();
    assert_injected(&log, "refuse", &["UploadPart", "PutObject"]);
    let throttled = log.iter().filter(|record| record["status"] == 429).count();
    assert_eq!(throttled, 5, "three parts and two attempts at the small stream");
}

#[test]
fn the_log_has_the_action_of_the_plan_that_each_request_met() {
    let name = "throttling.json";
    let serve = Serve::start(name);
    serve.stores_and_returns_streams();
    let plan = std::fs::read(plan_path(name)).unwrap();
    let plan: Value = serde_json::from_slice(&plan).unwrap();
    let log = serve.stop();
    for rule in plan["faults"].as_array().unwrap() {
        let met = |record: &&Value| record["fault"] == rule["action"];
        let record = log.iter().find(met).unwrap_or_else(|| panic!("no record has {rule}"));
        assert_eq!(record["operation"], rule["operation"]);
    }
    assert!(log.iter().any(|record| record["fault"] == Value::Null));
}

#[test]
fn expired_token() {
    let serve = Serve::start("expired-token.json");
    serve.stores_and_returns_streams();
    let log = serve.stop();
    assert_injected(&log, "distrust_token", &["UploadPart", "PutObject"]);
    assert_injected(&log, "refuse", &["RefreshToken"]);
    let refreshed =
        |record: &&Value| record["operation"] == "RefreshToken" && record["status"] == 200;
    assert!(log.iter().filter(refreshed).count() >= 2, "a refresh for each of the two tokens");
}

#[test]
fn lost_commit_response() {
    let serve = Serve::start("lost-commit-response.json");
    serve.stores_and_returns_streams();
    let log = serve.stop();
    assert_injected(&log, "lose_answer", &["CommitMultipartUpload", "PutObject"]);
    let commits = log.iter().filter(|record| record["operation"] == "CommitMultipartUpload");
    assert_eq!(commits.count(), 1, "the object was found, so there is no second commit");
}

#[test]
fn spurious_not_found() {
    let serve = Serve::start("spurious-not-found.json");
    serve.stores_and_returns_streams();
    let log = serve.stop();
    assert_injected(&log, "spurious_not_found", &["HeadObject", "UploadPart", "PutObject"]);
}

/// The first cell of each row of the table with this header, without its back-ticks.
fn first_column(header: &str) -> Vec<&'static str> {
    let (_, table) = PAGE.split_once(header).unwrap_or_else(|| panic!("no table {header}"));
    let table = table.split("\n\n").next().unwrap();
    let cells = table.lines().filter_map(|line| line.strip_prefix("| `"));
    cells.map(|cell| cell.split("` |").next().unwrap()).collect()
}

/// The names that serde knows, from its message on a name that it does not know.
fn names<T: serde::de::DeserializeOwned>(json: &str) -> BTreeSet<String> {
    let Err(error) = serde_json::from_str::<T>(json) else { panic!("{json} is accepted") };
    let error = error.to_string();
    let (_, expected) = error.split_once("expected").unwrap();
    expected.split('`').skip(1).step_by(2).map(str::to_owned).collect()
}

fn variants<T: serde::de::DeserializeOwned>() -> BTreeSet<String> {
    names::<T>(r#""no such name""#)
}

fn fields<T: serde::de::DeserializeOwned>() -> BTreeSet<String> {
    names::<T>(r#"{"no such name": 1}"#)
}

#[test]
fn every_ready_file_has_a_test_and_a_line_in_the_page() {
    let this = include_str!("fault_files.rs");
    let listed: BTreeSet<&str> = first_column("| File | What it shows |").into_iter().collect();
    let mut files = BTreeSet::new();
    for entry in std::fs::read_dir(plan_path("")).unwrap() {
        let path = entry.unwrap().path();
        ServerConfig::parse(&std::fs::read(&path).unwrap()).unwrap();
        let name = path.file_name().unwrap().to_str().unwrap();
        let rehearsed = include_str!("../docs/rehearsal.md").contains(&format!("/{name}` |"));
        let tested = this.contains(&format!("Serve::start(\"{name}\")"));
        assert!(rehearsed || tested, "{name} has no test");
        files.insert(format!("tests/faults/{name}"));
    }
    assert_eq!(files.iter().map(String::as_str).collect::<BTreeSet<_>>(), listed);
}

#[test]
fn the_page_names_every_field_and_no_other() {
    let column = |header| -> BTreeSet<String> {
        first_column(header).into_iter().map(str::to_owned).collect()
    };
    assert_eq!(column("| Field | Type |"), fields::<ServerConfig>());
    assert_eq!(column("| Field of a rule |"), fields::<FaultRule>());
    assert_eq!(
        column("| Field of an error response |"),
        fields::<emulator::fault::FaultResponse>()
    );
    assert_eq!(column("| Field of a bucket |"), fields::<BucketProtection>());
    assert_eq!(column("| Field of `pars` |"), fields::<emulator::ParOptions>());
}

#[test]
fn the_page_names_every_trigger_and_action_and_each_example_is_valid() {
    let (triggers, actions) =
        (first_column("| `when` | Chooses |"), first_column("| `action` | Handled |"));
    let key = |json: &&str| -> String {
        match serde_json::from_str(json).unwrap() {
            Value::String(name) => name,
            Value::Object(object) => object.keys().next().unwrap().clone(),
            other => panic!("{other}"),
        }
    };
    for trigger in &triggers {
        serde_json::from_str::<Trigger>(trigger).unwrap_or_else(|e| panic!("{trigger}: {e}"));
    }
    for action in &actions {
        serde_json::from_str::<Fault>(action).unwrap_or_else(|e| panic!("{action}: {e}"));
    }
    assert_eq!(triggers.iter().map(key).collect::<BTreeSet<_>>(), variants::<Trigger>());
    let logins = first_column("| Value of `login` |");
    let logins: BTreeSet<String> =
        logins.iter().map(|json| serde_json::from_str(json).unwrap()).collect();
    assert_eq!(logins, variants::<emulator::fault::LoginFault>());
    assert_eq!(actions.iter().map(key).collect::<BTreeSet<_>>(), variants::<Fault>());
}

#[test]
fn the_page_names_every_operation_right_and_protection_and_its_example_is_valid() {
    let names = variants::<Operation>()
        .into_iter()
        .chain(variants::<Permission>())
        .chain(variants::<Retention>());
    for name in names {
        assert!(PAGE.contains(&format!("`{name}`")), "{name} is not named");
    }
    let example = PAGE.split("```json\n").nth(1).unwrap().split("```").next().unwrap();
    let config = ServerConfig::parse(example.as_bytes()).unwrap();
    assert!(config.faults.len() == 3 && config.buckets.len() == 2);
}
