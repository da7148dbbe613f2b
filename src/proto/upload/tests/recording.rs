//! Replays the recorded runs of the upload state machine and compares every action.
//!
//! Owns the format of `recording.json.gz`: 3,000 runs of the simulation and 1,000 runs against a
//! service with random responses, recorded before the state machine was restructured. Calls have
//! the names of the API's operations, and the other values have names that do not depend on this
//! code. The recording has no texts of warnings and errors. Must not know how the runs were made.
//! Invariant: the file is not recorded again. An intended change of behaviour is listed beside its
//! run, with the reason.

use std::io::{BufRead, BufReader};

use flate2::read::GzDecoder;
use serde_json::{Value as Json, json};

use super::*;
use crate::api::{ErrorResponse, ListedPart, ListedUpload};
use crate::error::Error;
use crate::retry::{BucketStatus, Failure};
use crate::upload::{MessageContext, PreviousObject, ProbeCondition, UploadCommand};

/// The transitions that the runs take.
type TransitionSet = std::collections::BTreeSet<(StateKind, StateKind)>;

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
        1 => ErrorKind::Internal,
        2 => ErrorKind::Usage,
        3 => ErrorKind::Credentials,
        4 => ErrorKind::Service,
        5 => ErrorKind::Source,
        6 => ErrorKind::Exists,
        7 => ErrorKind::Integrity,
        8 => ErrorKind::OutcomeUnknown,
        _ => ErrorKind::Signal(code as i32 - 128),
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

fn object_meta(json: &Json) -> ObjectMeta {
    ObjectMeta {
        etag: text(&json["etag"]),
        last_modified: text(&json["last-modified"]),
        size: json["size"].as_u64(),
        content: Digests {
            md5: text(&json["content-md5"]),
            sha256: text(&json["content-sha256"]),
            ..Digests::default()
        },
        multipart: Digests {
            md5: text(&json["multipart-md5"]),
            sha256: text(&json["multipart-sha256"]),
            ..Digests::default()
        },
        ..ObjectMeta::default()
    }
}

fn call(json: &Json) -> ApiCall {
    match json[0].as_str().expect("a call has a name") {
        "CreateMultipartUpload" => ApiCall::Create,
        "CreateIfNoneMatch" => ApiCall::ConditionalCreate(ProbeCondition::NoObject),
        "CreateIfMatch" => ApiCall::ConditionalCreate(ProbeCondition::ObjectWithEtag(
            text(&json[1]).expect("an etag"),
        )),
        "UploadPart" => ApiCall::Part(nth(number(&json[1]) as u32)),
        "PutObject" => ApiCall::Put,
        "CommitMultipartUpload" => ApiCall::Commit,
        "HeadObject" => ApiCall::Head,
        "ListMultipartUploadParts" => ApiCall::ListParts,
        "ListMultipartUploads" => ApiCall::ListUploads,
        "AbortMultipartUpload" => ApiCall::Abort { upload_id: String::new() },
        "DeleteObject" => ApiCall::Delete { etag: text(&json[1]).expect("an etag") },
        other => panic!("{other} is not a call"),
    }
}

fn result(json: &Json) -> Result<Outcome, Failure> {
    let list = |json: &Json| json.as_array().expect("a list").clone();
    Ok(match json[0].as_str().expect("the name of a result") {
        "created" => Outcome::Created { upload_id: text(&json[1]).expect("an id") },
        "stored" => Outcome::Stored { meta: object_meta(&json[1]), crc32: number(&json[2]) as u32 },
        "committed" => Outcome::Committed(object_meta(&json[1])),
        "object" => Outcome::Object(object_meta(&json[1])),
        "parts" => Outcome::Parts(
            list(&json[1])
                .iter()
                .map(|part| ListedPart {
                    part_number: nth(number(&part[0]) as u32),
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
        "removed" => Outcome::Removed,
        "response" => {
            return Err(Failure::ErrorResponse(ErrorResponse {
                status: number(&json[1]) as u16,
                code: text(&json[2]),
                request_id: text(&json[3]),
                retry_after: json[4].as_u64(),
                ..ErrorResponse::default()
            }));
        }
        "credentials" => return Err(Failure::Credentials(error(&json[1]))),
        "local" => return Err(Failure::Local(error(&json[1]))),
        transport => {
            let kind = match transport {
                "connect" => TransportError::Connect,
                "certificate" => TransportError::UntrustedCertificate,
                "proxy certificate" => TransportError::UntrustedProxyCertificate,
                "proxy" => TransportError::ProxyAuthRequired,
                "proxy rules" => TransportError::ProxyRefused,
                "request incomplete" => TransportError::RequestIncomplete,
                "response lost" => TransportError::ResponseLost,
                "timeout" => TransportError::Timeout,
                "invalid response" => TransportError::InvalidResponse,
                other => panic!("{other} is not a result"),
            };
            return Err(Failure::Transport { kind, text: "recorded".to_owned() });
        }
    })
}

/// `None` stands for a timeout.
fn event(json: &Json) -> Option<Event> {
    Some(match json[0].as_str().expect("the name of an event") {
        "timeout" => return None,
        "part" => Event::Part { number: nth(number(&json[1]) as u32), digest: digest(&json[2]) },
        "longer" => Event::MultipartNeeded,
        "last next" => Event::LastPartNext,
        "end" => Event::EndOfStream { bytes: number(&json[1]), crc32: number(&json[2]) as u32 },
        "broken" => Event::SourceFailed(error(&json[1])),
        "stop" => Event::Stop(error(&json[1])),
        "split" => {
            Event::TailSplit { first: nth(number(&json[1]) as u32), digests: digests(&json[2]) }
        }
        "rehashed" => Event::Rehashed {
            number: nth(number(&json[1]) as u32),
            digest: digest(&json[2]),
            md5: Value::from_base64(Algorithm::Md5, json[3].as_str().expect("an MD5"))
                .expect("an MD5"),
        },
        "done" => Event::CallDone { call: call(&json[1]), result: result(&json[2]) },
        other => panic!("{other} is not an event"),
    })
}

fn config(json: &Json) -> UploadConfig {
    let flag = |name: &str| json[name].as_bool().expect("a flag");
    UploadConfig {
        auto: None,
        parallel: number(&json["parallel"]) as usize,
        retry_for: time(&json["retry-for"]),
        long_attempt: crate::upload::long_attempt(SECOND),
        checksum: Algorithm::Sha256,
        allow_empty: flag("allow-empty"),
        min_size: number(&json["min-size"]),
        end_proven: flag("end-proven"),
        delete_on_mismatch: flag("delete-on-mismatch"),
        service_seen: flag("answered"),
        bucket: if flag("bucket-answered") { BucketStatus::Seen } else { BucketStatus::Unknown },
        previous_object: match json["replaces"].as_str() {
            Some("nothing") => PreviousObject::Nothing,
            Some("anything") => PreviousObject::Unknown,
            _ => PreviousObject::Object(text(&json["replaces"]["etag"]).expect("an etag")),
        },
        messages: MessageContext {
            object_url: "oci://b@n/o".to_owned(),
            abort_command: UploadCommand::new("ABORT ", ""),
            head_command: "HEAD".to_owned(),
            resume_command: None,
        },
        seed: number(&json["seed"]),
        tail_split: TailRule {
            min_piece: number(&json["split"][0]),
            // The recorded parts have 1 to 5 bytes, of which 1 byte is the unit. A real upload has
            // parts of MiB and a unit of 1 MiB.
            unit: 1,
            min_saving: time(&json["split"][1]),
            max_part_number: number(&json["split"][2]) as u32,
        },
        always_multipart: flag("always-multipart"),
        resume: None,
        expected_digests: Vec::new(),
        single_put: None,
        conflict: ConflictRule::End,
        par: None,
    }
}

fn call_json(upload: &Upload, call: &ApiCall) -> Json {
    let id = upload.upload_id();
    match call {
        ApiCall::Create => json!(["CreateMultipartUpload"]),
        ApiCall::ConditionalCreate(ProbeCondition::NoObject) => json!(["CreateIfNoneMatch"]),
        ApiCall::ConditionalCreate(ProbeCondition::ObjectWithEtag(etag)) => {
            json!(["CreateIfMatch", etag])
        }
        ApiCall::Part(number) => json!(["UploadPart", number, id]),
        ApiCall::Put => json!(["PutObject"]),
        ApiCall::Commit => {
            json!(["CommitMultipartUpload", id, upload.commit_parts().collect::<Vec<_>>()])
        }
        ApiCall::Head => json!(["HeadObject"]),
        ApiCall::ListParts => json!(["ListMultipartUploadParts", id]),
        ApiCall::ListUploads => json!(["ListMultipartUploads"]),
        ApiCall::Abort { upload_id } => json!(["AbortMultipartUpload", upload_id]),
        ApiCall::Delete { etag } => json!(["DeleteObject", etag]),
    }
}

fn action_json(upload: &Upload, action: &Action) -> Option<Json> {
    Some(match action {
        Action::StartCall(call) => json!(["start", call_json(upload, call)]),
        Action::Rehash(number) => json!(["rehash", number]),
        Action::SplitTail { first, sizes, saves } => {
            json!(["split", first, sizes, saves.as_nanos() as u64])
        }
        Action::ReleasePart(number) => json!(["release", number]),
        Action::ReadOn => json!(["read-on"]),
        Action::SplitQueue { .. } | Action::RecallParts(_) | Action::SetConnections { .. } => {
            unreachable!("the number is fixed")
        }
        Action::StopReading => json!(["stop reading"]),
        Action::CancelParts => json!(["cancel parts"]),
        Action::Warn(_) => json!(["warn"]),
        Action::Transition { .. } => return None,
        Action::Finish(Ok(stored)) => json!([
            "stored",
            stored.meta.etag,
            stored.size,
            stored.upload_id,
            stored.parts,
            stored.checksum,
            stored.sha256,
            stored.evidence.to_string(),
        ]),
        Action::Finish(Err(error)) => {
            json!(["failed", error.kind.exit_code(), error.hint.is_some()])
        }
    })
}

/// The output of the state machine after an event: its actions, its next timeout, and its counts.
fn output(upload: &mut Upload, transitions: &mut TransitionSet) -> Json {
    let mut actions = Vec::new();
    while let Some(action) = upload.poll_action() {
        if let Action::Transition { from, to } = action {
            transitions.insert((from, to));
        }
        actions.extend(action_json(upload, &action));
    }
    let mut output = json!([actions, null, 0, 0, 0, 0]);
    add_counts(upload, &mut output);
    output
}

/// Adds the next timeout in nanoseconds and the counts.
fn add_counts(upload: &Upload, output: &mut Json) {
    let (parts, bytes) = upload.acknowledged();
    output[1] = json!(upload.poll_timeout().map(|at| at.as_nanos() as u64));
    output[2] = json!(parts);
    output[3] = json!(bytes);
    output[4] = json!(upload.in_flight());
    output[5] = json!(upload.retries());
}

/// The recorded output, with the hints that errors have got since: those of answers that are not from the
/// service.
fn with_new_hints(recorded: &Json, actual: &Json) -> Json {
    let mut recorded = recorded.clone();
    let actions = recorded[0].as_array_mut().expect("a list");
    for (action, actual) in actions.iter_mut().zip(actual[0].as_array().expect("a list")) {
        if action[0] == "failed" && action[2] == false && actual[2] == true {
            action[2] = true.into();
        }
    }
    recorded
}

/// Whether an event is a response with `retry-after`.
fn asks_to_wait(event: &Json) -> bool {
    event[2][0] == "response" && !event[2][4].is_null()
}

/// Whether the stream ends empty in a run that has to be a multipart upload.
fn is_empty_multipart(config: &Json, event: &Json) -> bool {
    let may_be_empty = config["allow-empty"] == true;
    may_be_empty && event[0] == "end" && event[1] == 0 && config["always-multipart"] == true
}

/// Whether an output has this action.
fn has(output: &Json, action: &str) -> bool {
    output[0].as_array().expect("a list").iter().any(|it| it[0] == action)
}

/// The number of warnings in an output.
fn warnings(output: &Json) -> usize {
    output[0].as_array().expect("a list").iter().filter(|it| it[0] == "warn").count()
}

/// Compares a run, and returns the number of its steps that were compared: those before a response with
/// `retry-after`, after which the random part of the pause was shorter when the run was recorded, and before
/// the end of an empty stream whose properties headers cannot carry, which was stored by a put then, and
/// before a failure ended the run although another part was being sent for the first time, and before a run whose
/// commit has no answer ended without naming its upload or looking whether it is open.
fn replay(run: &Json, transitions: &mut TransitionSet) -> usize {
    let mut upload = Upload::new(config(&run["config"]));
    let mut aborted_id = String::new();
    let steps = run["steps"].as_array().expect("a list");
    for (index, step) in steps.iter().enumerate() {
        if asks_to_wait(&step[1]) || is_empty_multipart(&run["config"], &step[1]) {
            return index;
        }
        let now = time(&step[0]);
        match event(&step[1]) {
            // The recording has the id of the upload at the start of the abort only.
            Some(Event::CallDone { call: ApiCall::Abort { .. }, result }) => {
                let call = ApiCall::Abort { upload_id: aborted_id.clone() };
                upload.handle_event(now, Event::CallDone { call, result });
            }
            Some(event) => upload.handle_event(now, event),
            None => upload.handle_timeout(now),
        }
        let actual = output(&mut upload, transitions);
        for action in step[2][0].as_array().expect("a list") {
            if action[1][0] == "AbortMultipartUpload" {
                aborted_id = text(&action[1][1]).unwrap_or_default();
            }
        }
        let without = |action: &str| has(&step[2], action) && !has(&actual, action);
        let lists = without("stored") && upload.kind() == StateKind::ListingOrphans;
        let names = has(&step[2], "stored") && warnings(&actual) > warnings(&step[2]);
        if without("cancel parts") || lists || names {
            return index;
        }
        let expected = with_new_hints(&step[2], &actual);
        assert_eq!(actual, expected, "run {}, step {index}: {}", run["run"], step[1]);
    }
    steps.len()
}

#[test]
fn the_state_machine_returns_the_recorded_actions() {
    let lines = BufReader::new(GzDecoder::new(RECORDING)).lines();
    let (mut runs, mut compared, mut transitions) = (0, 0, TransitionSet::new());
    for line in lines {
        let line = line.expect("the recording is whole");
        compared += replay(&serde_json::from_str(&line).expect("a run is JSON"), &mut transitions);
        runs += 1;
    }
    // 91 of the runs have a response with `retry-after`: 687 steps follow one. 183 more follow the end of an empty
    // stream that has to be a multipart upload, 9 a failure that does not end the run any more, and 43 a commit
    // without an answer whose object shows that it has taken effect.
    assert_eq!((runs, compared), (4000, 92_639 - 687 - 183 - 9 - 43));
    let missing: Vec<_> =
        TRANSITIONS.iter().filter(|(from, to, _)| !transitions.contains(&(*from, *to))).collect();
    let missing: Vec<_> = missing.into_iter().map(|(from, to, _)| (*from, *to)).collect();
    assert_eq!(missing, super::transitions::UNRECORDED, "transitions that no recorded run takes");
}
