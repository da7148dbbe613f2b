//! stderr as JSON: every line of real runs is one object, and its fields are those of `docs/output.md`.

#![allow(clippy::unwrap_used)]

mod common;

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use common::run::{Done, ocipipe};
use common::store::Store;
use common::stream::{PART, ramp};
use emulator::Operation::{CommitMultipartUpload, PutObject, RefreshToken, UploadPart};
use emulator::fault::{Fault, FaultResponse, FaultRule, Trigger};
use serde_json::Value;

const LONG: usize = 2 * PART + 17;

/// The types of each field, by the table below this heading of the page.
fn documented(heading: &str) -> BTreeMap<String, BTreeSet<String>> {
    let page = std::fs::read_to_string("docs/output.md").unwrap();
    let table = page.split(heading).nth(1).unwrap_or_else(|| panic!("no {heading:?}"));
    let rows = table.lines().skip(2).take_while(|line| line.starts_with('|'));
    let fields = rows.map(|row| {
        let cells: Vec<&str> = row.split('|').map(str::trim).collect();
        let types = cells[2].split(" or ").map(str::to_owned).collect();
        (cells[1].trim_matches('`').to_owned(), types)
    });
    fields.collect()
}

fn type_of(value: &Value) -> &'static str {
    match value {
        Value::Null => "null",
        Value::Number(number) if number.is_u64() => "integer",
        Value::Number(_) => "number",
        Value::String(_) => "string",
        Value::Object(_) => "object",
        Value::Bool(_) | Value::Array(_) => "other",
    }
}

/// The fields of objects that were printed, with the types of their values.
#[derive(Default)]
struct Seen(BTreeMap<String, BTreeSet<String>>);

impl Seen {
    fn add(&mut self, object: &Value) {
        for (field, value) in object.as_object().unwrap() {
            let types = self.0.entry(field.clone()).or_default();
            types.insert(type_of(value).to_owned());
        }
    }

    /// Asserts that the fields and types are those of the table below this heading.
    #[track_caller]
    fn assert_documented(&self, heading: &str) {
        assert_eq!(self.0, documented(heading), "printed, and documented below {heading:?}");
    }
}

/// The objects on stderr, one a line.
#[track_caller]
fn objects(done: &Done) -> Vec<Value> {
    let parse = |line| serde_json::from_str(line).unwrap_or_else(|e| panic!("{line:?}: {e}"));
    done.stderr.lines().map(parse).collect()
}

#[track_caller]
fn assert_time(object: &Value) {
    let time = object["time"].as_str().unwrap();
    assert!(time.ends_with('Z') && time.len() == 24, "{time}");
    time.parse::<jiff::Timestamp>().unwrap();
}

fn refuse(times: u64) -> FaultRule {
    let refuse = Fault::Refuse(FaultResponse::status(503));
    FaultRule::on(UploadPart, refuse).when(Trigger::Requests(times))
}

#[test]
fn the_fields_of_progress_are_those_that_are_documented() {
    let store = Store::failing([refuse(6)]);
    let with = |options: &str, name: &str| {
        let run = store.put(name).args("--progress json").args(options);
        objects(&run.stdin(ramp(LONG)).run().exits(0))
    };
    let mut seen = Seen::default();
    for objects in [with("--expected-size 1GiB", "x"), with("--profile API_KEY", "y")] {
        let progress = objects.iter().filter(|object| object["event"] == "progress");
        let progress: Vec<&Value> = progress.collect();
        progress.iter().for_each(|object| {
            assert_time(object);
            seen.add(object);
        });
        let states: Vec<&str> = progress.iter().map(|o| o["state"].as_str().unwrap()).collect();
        assert!(states.ends_with(&["committing", "verifying", "complete"]), "{states:?}");
        let page = std::fs::read_to_string("docs/output.md").unwrap();
        let undocumented = states.iter().find(|state| !page.contains(&format!("`{state}`")));
        assert_eq!(undocumented, None);
        let last = progress.last().unwrap();
        assert_eq!((&last["read"], &last["acknowledged"]), (&LONG.into(), &LONG.into()));
    }
    // A whole number of seconds is printed as 5.0, which is no integer.
    seen.assert_documented("| Field of `progress`");
}

#[test]
fn the_fields_of_messages_are_those_that_are_documented() {
    let store = Store::failing([
        refuse(3),
        FaultRule::on(PutObject, Fault::Refuse(FaultResponse::status(403))),
    ]);
    let put = |name: &str, options: &str| {
        store.put(name).args("--log-format json").args(options).stdin(ramp(LONG))
    };
    let full = std::fs::File::options().write(true).open("/dev/full").unwrap();
    let runs = [
        put("x", "--debug --retry-for 60s").run().exits(0),
        put("x", "--quiet").run().fails(6),
        put("x", "--no-such-option").run().fails(2),
        store.put("y").args("--log-format=json").stdin("short").run().fails(4),
        put("z", "--quiet").stdout_to(full).run().exits(0),
    ];
    let mut seen = Seen::default();
    for object in runs.iter().flat_map(objects) {
        assert_time(&object);
        seen.add(&object);
        if let Some(progress) = object.get("progress") {
            let mut fields = documented("| Field of `progress`");
            fields.retain(|field, _| field != "event" && field != "time");
            assert!(progress.as_object().unwrap().keys().eq(fields.keys()), "{progress}");
        }
    }
    seen.assert_documented("| Field of a message");

    let outage = objects(&runs[0]).into_iter().find(|object| object["level"] == "warning");
    let outage = outage.unwrap();
    assert_eq!(outage["operation"], "UploadPart");
    assert_eq!((&outage["attempt"], &outage["status"]), (&1.into(), &503.into()));
    let refused = objects(&runs[3]).pop().unwrap();
    assert_eq!((&refused["level"], &refused["exit-code"]), (&"error".into(), &4.into()));
    assert_eq!((&refused["operation"], &refused["status"]), (&"PutObject".into(), &403.into()));
    assert_eq!(refused["attempt"], 1);
    let lost = objects(&runs[4]).pop().unwrap();
    assert_eq!(lost["result"]["size"], LONG);
}

#[test]
fn an_error_of_a_commit_has_the_number_of_its_attempt() {
    let refuse = |status| Fault::Refuse(FaultResponse::status(status));
    let store = Store::failing([
        FaultRule::on(CommitMultipartUpload, refuse(503)).when(Trigger::First(2)),
        FaultRule::on(CommitMultipartUpload, refuse(403)),
    ]);
    let done = store.put("x").args("--log-format json").stdin(ramp(LONG)).run().fails(4);
    let error = objects(&done).pop().unwrap();
    assert_eq!(error["operation"], "CommitMultipartUpload", "{error}");
    assert_eq!((&error["attempt"], &error["status"]), (&3.into(), &403.into()), "{error}");
}

#[test]
fn a_message_about_a_token_has_the_status_of_the_auth_service() {
    let store = Store::with(|options| {
        options.token_ttl = Duration::from_secs(6);
        let refuse = Fault::Refuse(FaultResponse::status(503));
        options.faults.faults = vec![FaultRule::on(RefreshToken, refuse)];
    });
    let mut run = store.put("x").args("--log-format json --retry-for 1s").stdin_pipe().start();
    run.write(&ramp(PART + 1));
    run.wait_for_stderr("could not be refreshed");
    let done = run.wait();
    let all = objects(&done);
    let message = all.iter().find(|object| {
        object["message"].as_str().is_some_and(|text| text.contains("could not be refreshed"))
    });
    let message = message.unwrap();
    assert_eq!(message["status"], 503, "{message}");
    assert!(message["opc-request-id"].is_string(), "{message}");
}

#[test]
fn get_and_verify_write_the_same_fields() {
    let store = Store::start();
    store.put("x").stdin(ramp(LONG)).run().exits(0);
    for command in ["get", "verify"] {
        let run = store.ocipipe(command).arg("oci://backups/x").stdin(ramp(LONG));
        let file = store.folder().join("copy");
        let run = if command == "get" { run.arg("--file").arg(file) } else { run };
        let done = run.args("--progress json --log-format json").run().exits(0);
        let objects = objects(&done);
        let (progress, messages): (Vec<_>, Vec<_>) =
            objects.iter().partition(|object| object["event"] == "progress");
        assert!(messages.iter().all(|object| object["level"].is_string()), "{messages:?}");
        let last = progress.last().unwrap();
        assert_eq!(last["state"], "complete", "{command}");
        assert_eq!(last["acknowledged"], LONG, "{command}");
        let token = last["token-seconds-left"].as_u64().unwrap();
        assert!((3000..=3600).contains(&token), "{command}: {token}");
    }
}

#[test]
fn a_verification_that_finds_a_difference_is_never_complete() {
    let store = Store::start();
    store.put("x").stdin(ramp(LONG)).run().exits(0);
    let mut other = ramp(LONG);
    other[LONG - 1] ^= 1;
    let run = store.ocipipe("verify").arg("oci://backups/x").args("--progress json").stdin(other);
    run.run().fails(7).stderr_lacks("\"complete\"");
}

#[test]
fn a_usage_error_is_text_without_the_option_and_for_the_words_of_a_producer() {
    for line in ["put --no-such", "put oci://b/n --no-such -- sh --log-format json"] {
        let done = ocipipe(line.split(' ')).run().fails(2);
        assert!(done.stderr.starts_with("ocipipe: "), "{}", done.stderr);
    }
    let done = ocipipe("put --no-such --log-format json".split(' ')).run().fails(2);
    assert_eq!(objects(&done)[0]["exit-code"], 2);
    let done = ocipipe("put oci://b/n --log-format xml".split(' ')).run().fails(2);
    done.stderr_has(&["--log-format \"xml\": there is no such value"]);
}
