//! Replays the recorded runs of the upload state machine and compares every action.
//!
//! Owns the reading of `recording.json.gz`: 3,000 runs of the simulation and 1,000 runs against a
//! service that answers at random, made before the state machine was restructured. The file names
//! nothing of this code: calls are the operations of the API, and all else has names of its own.
//! The texts of warnings and errors are not in it. Invariant: the file is never made again. A wanted
//! change of behaviour is listed beside the run that it concerns, with its reason.

use std::io::{BufRead, BufReader};

use flate2::read::GzDecoder;
use serde_json::{Value as Json, json};

use super::*;
use crate::error::Error;
use crate::oci::api::{ListedPart, ListedUpload, Refusal};
use crate::retry::Failure;
use crate::upload::{Before, Named, Question};

const RECORDING: &[u8] = include_bytes!("recording.json.gz");

fn text(json: &Json) -> Option<String> {
    json.as_str().map(str::to_owned)
}

fn number(json: &Json) -> u64 {
    json.as_u64().unwrap_or_else(|| panic!("{json} is not a number"))
}

fn time(json: &Json) -> Duration {
    Duration::from_nanos(number(json))
}

fn error(json: &Json) -> Error {
    let code = number(json);
    let kind = match code {
        1 => Kind::Unforeseen,
        2 => Kind::Usage,
        3 => Kind::Credentials,
        4 => Kind::Service,
        5 => Kind::Source,
        6 => Kind::Exists,
        7 => Kind::Integrity,
        8 => Kind::Unknown,
        _ => Kind::Signal(code as i32 - 128),
    };
    Error::new(kind, "recorded")
}

fn digest(json: &Json) -> PartDigest {
    let value = json[2].as_str().map(|text| {
        Value::from_base64(Algorithm::Sha256, text).expect("the recording has SHA-256 values")
    });
    PartDigest { size: number(&json[0]), crc32: number(&json[1]) as u32, value }
}

fn digests(json: &Json) -> Vec<PartDigest> {
    json.as_array().expect("a list").iter().map(digest).collect()
}

fn held(json: &Json) -> Held {
    Held {
        etag: text(&json["etag"]),
        last_modified: text(&json["last-modified"]),
        size: json["size"].as_u64(),
        content_md5: text(&json["content-md5"]),
        content_sha256: text(&json["content-sha256"]),
        multipart_md5: text(&json["multipart-md5"]),
        multipart_sha256: text(&json["multipart-sha256"]),
        ..Held::default()
    }
}

fn call(json: &Json) -> Call {
    match json[0].as_str().expect("the name of a call") {
        "CreateMultipartUpload" => Call::Create,
        "CreateIfNoneMatch" => Call::Probe(Question::Free),
        "CreateIfMatch" => Call::Probe(Question::Etag(text(&json[1]).expect("an etag"))),
        "UploadPart" => Call::Part(number(&json[1]) as u32),
        "PutObject" => Call::Put,
        "CommitMultipartUpload" => Call::Commit,
        "HeadObject" => Call::Head,
        "ListMultipartUploadParts" => Call::ListParts,
        "ListMultipartUploads" => Call::ListUploads,
        "AbortMultipartUpload" => Call::Abort,
        "DeleteObject" => Call::Delete { etag: text(&json[1]).expect("an etag") },
        other => panic!("{other} is not a call"),
    }
}

fn result(json: &Json) -> Result<Outcome, Failure> {
    let list = |json: &Json| json.as_array().expect("a list").clone();
    Ok(match json[0].as_str().expect("the name of a result") {
        "created" => Outcome::Created { upload_id: text(&json[1]).expect("an id") },
        "stored" => Outcome::Stored { held: held(&json[1]), crc32: number(&json[2]) as u32 },
        "committed" => Outcome::Committed(held(&json[1])),
        "object" => Outcome::Object(held(&json[1])),
        "parts" => Outcome::Parts(
            list(&json[1])
                .iter()
                .map(|part| ListedPart {
                    part_number: number(&part[0]) as u32,
                    etag: text(&part[1]).expect("an etag"),
                    size: number(&part[2]),
                    md5: text(&part[3]),
                })
                .collect(),
        ),
        "uploads" => Outcome::Uploads(
            list(&json[1])
                .iter()
                .map(|id| ListedUpload {
                    bucket: None,
                    object: "o".to_owned(),
                    upload_id: text(id).expect("an id"),
                    time_created: None,
                    storage_tier: None,
                })
                .collect(),
        ),
        "removed" => Outcome::Gone,
        "response" => {
            return Err(Failure::Refused(Refusal {
                status: number(&json[1]) as u16,
                code: text(&json[2]),
                request_id: text(&json[3]),
                retry_after: json[4].as_u64(),
                ..Refusal::default()
            }));
        }
        "credentials" => return Err(Failure::Credentials(error(&json[1]))),
        "local" => return Err(Failure::Local(error(&json[1]))),
        transport => {
            let how = match transport {
                "connect" => Break::Connect,
                "certificate" => Break::Untrusted,
                "proxy" => Break::Denied,
                "request incomplete" => Break::Unfinished,
                "response lost" => Break::Lost,
                "timeout" => Break::Stalled,
                "invalid response" => Break::Garbage,
                other => panic!("{other} is not a result"),
            };
            return Err(Failure::Transport { how, text: "recorded".to_owned() });
        }
    })
}

/// `None` is a timeout.
fn event(json: &Json) -> Option<Event> {
    Some(match json[0].as_str().expect("the name of an event") {
        "timeout" => return None,
        "part" => Event::Part { number: number(&json[1]) as u32, digest: digest(&json[2]) },
        "longer" => Event::Continues,
        "last next" => Event::Ending,
        "end" => Event::End { bytes: number(&json[1]), crc32: number(&json[2]) as u32 },
        "broken" => Event::Broken(error(&json[1])),
        "stop" => Event::Stop(error(&json[1])),
        "split" => Event::Cut { first: number(&json[1]) as u32, digests: digests(&json[2]) },
        "rehashed" => Event::Rehashed {
            number: number(&json[1]) as u32,
            digest: digest(&json[2]),
            md5: Value::from_base64(Algorithm::Md5, json[3].as_str().expect("an MD5"))
                .expect("an MD5"),
        },
        "done" => Event::Done { call: call(&json[1]), result: result(&json[2]) },
        other => panic!("{other} is not an event"),
    })
}

fn config(json: &Json) -> Settings {
    let flag = |name: &str| json[name].as_bool().expect("a flag");
    Settings {
        parallel: number(&json["parallel"]) as usize,
        retry_for: time(&json["retry-for"]),
        checksum: Algorithm::Sha256,
        allow_empty: flag("allow-empty"),
        min_size: number(&json["min-size"]),
        end_proven: flag("end-proven"),
        delete_on_mismatch: flag("delete-on-mismatch"),
        answered: flag("answered"),
        bucket_answered: flag("bucket-answered"),
        before: match json["replaces"].as_str() {
            Some("nothing") => Before::Nothing,
            Some("anything") => Before::Unknown,
            _ => Before::Object(text(&json["replaces"]["etag"]).expect("an etag")),
        },
        named: Named {
            object: "oci://b@n/o".to_owned(),
            abort: "ABORT {}".to_owned(),
            head: "HEAD".to_owned(),
        },
        seed: number(&json["seed"]),
        tail: TailRule {
            least: number(&json["split"][0]),
            worth: time(&json["split"][1]),
            highest: number(&json["split"][2]) as u32,
        },
        always_multipart: flag("always-multipart"),
    }
}

fn call_json(upload: &Upload, call: &Call) -> Json {
    let id = upload.upload_id();
    match call {
        Call::Create => json!(["CreateMultipartUpload"]),
        Call::Probe(Question::Free) => json!(["CreateIfNoneMatch"]),
        Call::Probe(Question::Etag(etag)) => json!(["CreateIfMatch", etag]),
        Call::Part(number) => json!(["UploadPart", number, id]),
        Call::Put => json!(["PutObject"]),
        Call::Commit => {
            json!(["CommitMultipartUpload", id, upload.commit_parts().collect::<Vec<_>>()])
        }
        Call::Head => json!(["HeadObject"]),
        Call::ListParts => json!(["ListMultipartUploadParts", id]),
        Call::ListUploads => json!(["ListMultipartUploads"]),
        Call::Abort => json!(["AbortMultipartUpload", id]),
        Call::Delete { etag } => json!(["DeleteObject", etag]),
    }
}

fn action_json(upload: &Upload, action: &Action) -> Option<Json> {
    Some(match action {
        Action::Begin(call) => json!(["start", call_json(upload, call)]),
        Action::Rehash(number) => json!(["rehash", number]),
        Action::Cut { first, sizes, saves } => {
            json!(["split", first, sizes, saves.as_nanos() as u64])
        }
        Action::Free(number) => json!(["release", number]),
        Action::StopReading => json!(["stop reading"]),
        Action::CancelParts => json!(["cancel parts"]),
        Action::Note(_) => json!(["warn"]),
        Action::Finish(Ok(stored)) => json!([
            "stored",
            stored.held.etag,
            stored.size,
            stored.upload_id,
            stored.parts,
            stored.checksum,
            stored.sha256,
            stored.verified_by.0,
        ]),
        Action::Finish(Err(error)) => {
            json!(["failed", error.kind.exit_code(), error.next.is_some()])
        }
    })
}

/// What the state machine shows after an event: its actions, its next timeout, and its counts.
fn reaction(upload: &mut Upload) -> Json {
    let mut actions = Vec::new();
    while let Some(action) = upload.next_action() {
        actions.extend(action_json(upload, &action));
    }
    let mut reaction = json!([actions, null, 0, 0, 0, 0]);
    counts(upload, &mut reaction);
    reaction
}

fn counts(upload: &Upload, reaction: &mut Json) {
    let (parts, bytes) = upload.acknowledged();
    reaction[1] = json!(upload.next_timeout().map(|at| at.as_nanos() as u64));
    reaction[2] = json!(parts);
    reaction[3] = json!(bytes);
    reaction[4] = json!(upload.in_flight());
    reaction[5] = json!(upload.retries());
}

fn replay(run: &Json) {
    let mut upload = Upload::new(config(&run["config"]));
    let steps = run["steps"].as_array().expect("a list");
    for (index, step) in steps.iter().enumerate() {
        let now = time(&step[0]);
        match event(&step[1]) {
            Some(event) => upload.handle(now, event),
            None => upload.handle_timeout(now),
        }
        let got = reaction(&mut upload);
        assert_eq!(got, step[2], "run {}, step {index}: {}", run["run"], step[1]);
    }
}

#[test]
fn the_state_machine_acts_as_it_did_when_it_was_recorded() {
    let lines = BufReader::new(GzDecoder::new(RECORDING)).lines();
    let mut runs = 0;
    for line in lines {
        let line = line.expect("the recording is whole");
        replay(&serde_json::from_str(&line).expect("a run is JSON"));
        runs += 1;
    }
    assert_eq!(runs, 4000);
}
