//! Makes the recording.

use std::io::Write;

use flate2::{Compression, write::GzEncoder};
use serde_json::{Value as Json, json};

use super::recording::reaction;
use super::*;
use crate::digest::PartDigest;
use crate::error::Error;
use crate::oci::api::{ListedPart, ListedUpload, Refusal};
use crate::retry::Failure;
use crate::upload::{Before, Question};

fn digest_json(digest: &PartDigest) -> Json {
    json!([digest.size, digest.crc32, digest.value.as_ref().map(Value::base64)])
}

fn held_json(held: &Held) -> Json {
    let mut map = serde_json::Map::new();
    let texts = [
        ("etag", &held.etag),
        ("last-modified", &held.last_modified),
        ("content-md5", &held.content_md5),
        ("content-sha256", &held.content_sha256),
        ("multipart-md5", &held.multipart_md5),
        ("multipart-sha256", &held.multipart_sha256),
    ];
    for (name, value) in texts {
        if let Some(value) = value {
            map.insert(name.to_owned(), json!(value));
        }
    }
    if let Some(size) = held.size {
        map.insert("size".to_owned(), json!(size));
    }
    assert!(
        held.content_sha384.is_none()
            && held.multipart_sha384.is_none()
            && held.content_crc32c.is_none()
            && held.request_id.is_none()
    );
    Json::Object(map)
}

fn call_event(call: &Call) -> Json {
    match call {
        Call::Create => json!(["CreateMultipartUpload"]),
        Call::Probe(Question::Free) => json!(["CreateIfNoneMatch"]),
        Call::Probe(Question::Etag(etag)) => json!(["CreateIfMatch", etag]),
        Call::Part(number) => json!(["UploadPart", number]),
        Call::Put => json!(["PutObject"]),
        Call::Commit => json!(["CommitMultipartUpload"]),
        Call::Head => json!(["HeadObject"]),
        Call::ListParts => json!(["ListMultipartUploadParts"]),
        Call::ListUploads => json!(["ListMultipartUploads"]),
        Call::Abort => json!(["AbortMultipartUpload"]),
        Call::Delete { etag } => json!(["DeleteObject", etag]),
    }
}

fn result_json(result: &Result<Outcome, Failure>) -> Json {
    match result {
        Ok(Outcome::Created { upload_id }) => json!(["created", upload_id]),
        Ok(Outcome::Stored { held, crc32 }) => json!(["stored", held_json(held), crc32]),
        Ok(Outcome::Committed(held)) => json!(["committed", held_json(held)]),
        Ok(Outcome::Object(held)) => json!(["object", held_json(held)]),
        Ok(Outcome::Parts(parts)) => json!([
            "parts",
            parts.iter().map(|p| json!([p.part_number, p.etag, p.size, p.md5])).collect::<Vec<_>>()
        ]),
        Ok(Outcome::Uploads(uploads)) => {
            json!(["uploads", uploads.iter().map(|u| &u.upload_id).collect::<Vec<_>>()])
        }
        Ok(Outcome::Gone) => json!(["removed"]),
        Err(Failure::Refused(refusal)) => json!([
            "response",
            refusal.status,
            refusal.code,
            refusal.request_id,
            refusal.retry_after
        ]),
        Err(Failure::Transport { how, .. }) => json!([match how {
            Break::Connect => "connect",
            Break::Untrusted => "certificate",
            Break::Denied => "proxy",
            Break::Unfinished => "request incomplete",
            Break::Lost => "response lost",
            Break::Stalled => "timeout",
            Break::Garbage => "invalid response",
        }]),
        Err(Failure::Credentials(error)) => json!(["credentials", error.kind.exit_code()]),
        Err(Failure::Local(error)) => json!(["local", error.kind.exit_code()]),
    }
}

pub fn event_json(event: &Event) -> Json {
    match event {
        Event::Part { number, digest } => json!(["part", number, digest_json(digest)]),
        Event::Continues => json!(["longer"]),
        Event::Ending => json!(["last next"]),
        Event::End { bytes, crc32 } => json!(["end", bytes, crc32]),
        Event::Broken(error) => json!(["broken", error.kind.exit_code()]),
        Event::Stop(error) => json!(["stop", error.kind.exit_code()]),
        Event::Cut { first, digests } => {
            json!(["split", first, digests.iter().map(digest_json).collect::<Vec<_>>()])
        }
        Event::Rehashed { number, digest, md5 } => {
            json!(["rehashed", number, digest_json(digest), md5.base64()])
        }
        Event::Done { call, result } => json!(["done", call_event(call), result_json(result)]),
    }
}

fn config_json(settings: &Settings) -> Json {
    assert!(settings.tail.worth != Duration::MAX);
    json!({
        "parallel": settings.parallel,
        "retry-for": settings.retry_for.as_nanos() as u64,
        "allow-empty": settings.allow_empty,
        "min-size": settings.min_size,
        "end-proven": settings.end_proven,
        "delete-on-mismatch": settings.delete_on_mismatch,
        "answered": settings.answered,
        "bucket-answered": settings.bucket_answered,
        "replaces": match &settings.before {
            Before::Nothing => json!("nothing"),
            Before::Unknown => json!("anything"),
            Before::Object(etag) => json!({ "etag": etag }),
        },
        "seed": settings.seed,
        "split": [settings.tail.least, settings.tail.worth.as_nanos() as u64, settings.tail.highest as u64],
        "always-multipart": settings.always_multipart,
    })
}

pub struct Recorder {
    config: Json,
    pub steps: Vec<Json>,
}

impl Recorder {
    pub fn new(settings: &Settings) -> Recorder {
        Recorder { config: config_json(settings), steps: Vec::new() }
    }
    pub fn line(&self, run: &str) -> String {
        serde_json::to_string(&json!({"run": run, "config": self.config, "steps": self.steps}))
            .unwrap()
    }
}

/// A service that answers at random.
struct Wild {
    dice: fastrand::Rng,
    made: u32,
    stream: Vec<Bytes>,
    etags: HashMap<u32, String>,
    id: Option<String>,
}
use std::collections::HashMap;

impl Wild {
    fn refuse(&mut self) -> Failure {
        let table: [(u16, &str, bool); 26] = [
            (400, "InvalidUploadPart", true),
            (400, "UnmatchedContentSHA256", true),
            (400, "UnmatchedContentMD5", true),
            (400, "InvalidParameter", true),
            (401, "NotAuthenticated", true),
            (403, "NotAuthorized", true),
            (403, "RetentionRuleViolation", true),
            (404, "UploadNotFound", true),
            (404, "ObjectNotFound", true),
            (404, "BucketNotFound", true),
            (404, "NotAuthorizedOrNotFound", true),
            (404, "", true),
            (404, "", false),
            (408, "RequestTimeout", true),
            (409, "ConcurrentObjectUpdate", true),
            (409, "NotEnoughQuota", true),
            (412, "IfNoneMatchFailed", true),
            (413, "", true),
            (429, "TooManyRequests", true),
            (500, "InternalServerError", true),
            (501, "NotImplemented", true),
            (502, "", false),
            (503, "ServiceUnavailable", true),
            (504, "", false),
            (307, "", false),
            (200, "", false),
        ];
        let (status, code, id) = table[self.dice.usize(..table.len())];
        Failure::Refused(Refusal {
            status,
            code: (!code.is_empty()).then(|| code.to_owned()),
            request_id: id.then(|| "id".to_owned()),
            retry_after: (self.dice.u32(..8) == 0).then(|| self.dice.u64(..400)),
            ..Refusal::default()
        })
    }

    fn etag(&mut self) -> String {
        self.made += 1;
        format!("e{}", self.made)
    }

    fn value(&self, number: u32) -> Option<Value> {
        let body = self.stream.get(number as usize - 1)?;
        digest::part(Algorithm::Sha256, std::slice::from_ref(body)).value
    }

    fn object(&mut self, multipart: bool) -> Held {
        let whole = self.stream.concat();
        let etag = match self.dice.u32(..4) {
            0 => "old".to_owned(),
            1 => "stable".to_owned(),
            _ => self.etag(),
        };
        let size = whole.len() as u64 + u64::from(self.dice.u32(..6) == 0);
        let values: Vec<Value> =
            (1..=self.stream.len() as u32).filter_map(|n| self.value(n)).collect();
        let wrong = self.dice.u32(..6) == 0;
        let silent = self.dice.u32(..4) == 0;
        let sum = |right: String| {
            Some(if wrong {
                Value::base64(
                    &digest::part(Algorithm::Sha256, &[Bytes::from_static(b"wrong")])
                        .value
                        .unwrap(),
                )
            } else {
                right
            })
            .filter(|_| !silent)
        };
        let md5 = digest::md5_of(&[Bytes::from(whole.clone())]).base64();
        Held {
            etag: (self.dice.u32(..12) != 0).then_some(etag),
            size: (self.dice.u32(..8) != 0).then_some(size),
            last_modified: (self.dice.u32(..3) == 0)
                .then(|| "Thu, 01 Jan 2026 00:00:00 GMT".to_owned()),
            content_md5: (!multipart && self.dice.bool()).then_some(md5),
            content_sha256: if multipart {
                None
            } else {
                values.first().and_then(|v| sum(v.base64()))
            },
            multipart_sha256: if multipart {
                sum(if wrong {
                    "d3Jvbmc=-2".to_owned()
                } else {
                    digest::multipart(Algorithm::Sha256, &values)
                })
            } else {
                None
            },
            ..Held::default()
        }
    }

    fn succeed(&mut self, call: &Call) -> Outcome {
        match call {
            Call::Create | Call::Probe(_) => {
                Outcome::Created { upload_id: format!("u{}", self.etag()) }
            }
            Call::Part(number) => {
                let etag = self.etag();
                self.etags.insert(*number, etag.clone());
                let body = self.stream.get(*number as usize - 1).cloned().unwrap_or_default();
                let bad = self.dice.u32(..20) == 0;
                let held = Held {
                    etag: Some(etag),
                    content_sha256: self
                        .value(*number)
                        .map(|v| v.base64())
                        .filter(|_| self.dice.u32(..5) != 0),
                    content_md5: Some(
                        digest::md5_of(&[if bad { Bytes::new() } else { body.clone() }]).base64(),
                    )
                    .filter(|_| self.dice.bool()),
                    ..Held::default()
                };
                Outcome::Stored {
                    held,
                    crc32: crc32fast::hash(&body) ^ u32::from(self.dice.u32(..30) == 0),
                }
            }
            Call::Put => {
                let body = self.stream.first().cloned().unwrap_or_default();
                Outcome::Stored {
                    held: Held { size: None, ..self.object(false) },
                    crc32: crc32fast::hash(&body) ^ u32::from(self.dice.u32(..30) == 0),
                }
            }
            Call::Commit => Outcome::Committed(Held { size: None, ..self.object(true) }),
            Call::Head => Outcome::Object(self.object(self.id.is_some())),
            Call::ListParts => {
                let mut listed = Vec::new();
                for number in 1..=self.stream.len() as u32 {
                    if self.dice.u32(..6) == 0 {
                        continue;
                    }
                    let body = self.stream[number as usize - 1].clone();
                    let etag = self.etags.get(&number).cloned().filter(|_| self.dice.u32(..4) != 0);
                    let etag = etag.unwrap_or_else(|| self.etag());
                    let size = body.len() as u64 + u64::from(self.dice.u32(..10) == 0);
                    let md5 =
                        Some(digest::md5_of(&[body]).base64()).filter(|_| self.dice.u32(..4) != 0);
                    listed.push(ListedPart { part_number: number, etag, size, md5 });
                }
                Outcome::Parts(listed)
            }
            Call::ListUploads => Outcome::Uploads(
                (0..self.dice.u32(..3))
                    .map(|n| ListedUpload {
                        bucket: None,
                        object: "o".to_owned(),
                        upload_id: format!("orphan{n}"),
                        time_created: None,
                        storage_tier: None,
                    })
                    .collect(),
            ),
            Call::Abort | Call::Delete { .. } => Outcome::Gone,
        }
    }

    fn fail(&mut self) -> Failure {
        match self.dice.u32(..20) {
            0..=10 => self.refuse(),
            n @ 11..=17 => {
                let how = [
                    Break::Connect,
                    Break::Untrusted,
                    Break::Denied,
                    Break::Unfinished,
                    Break::Lost,
                    Break::Stalled,
                    Break::Garbage,
                ][n as usize - 11];
                Failure::Transport { how, text: "wild".to_owned() }
            }
            18 => self.refuse(),
            _ if self.dice.u32(..5) == 0 => Failure::Credentials(Error::credentials("wild")),
            _ if self.dice.u32(..5) == 0 => Failure::Local(Error::usage("wild")),
            _ => self.refuse(),
        }
    }
}

fn wild(seed: u64) -> String {
    let mut dice = fastrand::Rng::with_seed(seed ^ 0x77_11d);
    let parts = dice.usize(..7);
    let settings = Settings {
        parallel: 1 + dice.usize(..5),
        retry_for: Duration::from_secs([3600, 600, 60, 5][dice.usize(..4)]),
        checksum: Algorithm::Sha256,
        allow_empty: dice.bool(),
        min_size: if dice.u32(..10) == 0 { 100 } else { 0 },
        end_proven: dice.bool(),
        delete_on_mismatch: dice.bool(),
        answered: true,
        bucket_answered: dice.bool(),
        before: match dice.u32(..3) {
            0 => Before::Object("old".to_owned()),
            1 => Before::Unknown,
            _ => Before::Nothing,
        },
        seed,
        tail: TailRule { least: 1, worth: Duration::from_millis(100), highest: 10_000 },
        always_multipart: dice.u32(..4) == 0,
        ..Settings::plain(1)
    };
    let stream: Vec<Bytes> =
        (0..parts).map(|i| Bytes::from(vec![i as u8; 1 + dice.usize(..5)])).collect();
    // How often a call succeeds, of 100: from mild to wild.
    let fair = [95, 80, 60, 40][dice.usize(..4)];
    let ends = dice.u32(..12);
    let source = stream.clone();
    let mut wild = Wild { dice, made: 0, stream, etags: HashMap::new(), id: None };
    let mut recorder = Recorder::new(&settings);
    let mut upload = Upload::new(settings);
    let mut now = Duration::ZERO;
    let (mut read, mut ended, mut reading) = (0, false, true);
    let mut queue: std::collections::VecDeque<Event> = Default::default();
    let mut calls: Vec<Call> = Vec::new();
    for _ in 0..400 {
        // What comes next: an event at once, something read, an answer, or a timeout.
        let event = if let Some(event) = queue.pop_front() {
            Some(event)
        } else {
            let choice = wild.dice.u32(..10);
            if choice < 4 && !calls.is_empty() {
                let index = wild.dice.usize(..calls.len());
                let call = calls.remove(index);
                let result = if wild.dice.u32(..100) < fair {
                    Ok(wild.succeed(&call))
                } else {
                    Err(wild.fail())
                };
                Some(Event::Done { call, result })
            } else if choice < 8 && !ended && reading {
                now += Duration::from_millis(wild.dice.u64(..2000));
                if read < source.len() {
                    read += 1;
                    if read == 1 && source.len() > 1 {
                        queue.push_back(Event::Continues);
                    }
                    if read + 1 == source.len() && wild.dice.bool() {
                        queue.push_back(Event::Ending);
                    }
                    let digest = digest::part(Algorithm::Sha256, &source[read - 1..read]);
                    Some(Event::Part { number: read as u32, digest })
                } else {
                    ended = true;
                    let whole = source.concat();
                    Some(match ends {
                        0 => Event::Broken(Error::source("wild")),
                        _ => {
                            Event::End { bytes: whole.len() as u64, crc32: crc32fast::hash(&whole) }
                        }
                    })
                }
            } else if choice == 8 && wild.dice.u32(..60) == 0 {
                Some(Event::Stop(Error::new(Kind::Signal(15), "stop")))
            } else {
                None
            }
        };
        let json = match event {
            Some(event) => {
                let json = event_json(&event);
                upload.handle(now, event);
                json
            }
            None => {
                // Now and then later than the machine has asked for.
                if let Some(at) = upload.next_timeout() {
                    now = now.max(at);
                }
                if wild.dice.u32(..10) == 0 {
                    now += Duration::from_millis(wild.dice.u64(..60_000));
                }
                upload.handle_timeout(now);
                json!(["timeout"])
            }
        };
        let reaction = reaction(&mut upload);
        let mut over = false;
        for action in reaction[0].as_array().unwrap() {
            match action[0].as_str().unwrap() {
                "start" => calls.push(super::recording::call(&action[1])),
                "rehash" => {
                    let number = action[1].as_u64().unwrap() as u32;
                    let body = wild.stream.get(number as usize - 1).cloned().unwrap_or_default();
                    let body =
                        if wild.dice.u32(..8) == 0 { Bytes::from_static(b"damaged") } else { body };
                    let digest = digest::part(Algorithm::Sha256, std::slice::from_ref(&body));
                    queue.push_back(Event::Rehashed {
                        number,
                        digest,
                        md5: digest::md5_of(&[body]),
                    });
                }
                "split" => {
                    let first = action[1].as_u64().unwrap() as usize;
                    let mut whole = Bytes::from(wild.stream.split_off(first - 1).concat());
                    for size in action[2].as_array().unwrap() {
                        wild.stream.push(whole.split_to(size.as_u64().unwrap() as usize));
                    }
                    let digests = wild.stream[first - 1..]
                        .iter()
                        .map(|b| digest::part(Algorithm::Sha256, std::slice::from_ref(b)))
                        .collect();
                    queue.push_back(Event::Cut { first: first as u32, digests });
                }
                "stop reading" => reading = false,
                "cancel parts" => calls.retain(|call| !matches!(call, Call::Part(_))),
                "stored" | "failed" => over = true,
                _ => {}
            }
        }
        wild.id = upload.upload_id().map(str::to_owned);
        recorder.steps.push(json!([now.as_nanos() as u64, json, reaction]));
        if over {
            break;
        }
        if wild.dice.u32(..4) == 0 {
            now += Duration::from_millis(wild.dice.u64(..500));
        }
    }
    recorder.line(&format!("wild {seed}"))
}

#[test]
#[ignore]
fn record() {
    let file = std::fs::File::create("src/upload/tests/recording.json.gz").unwrap();
    let mut gz = GzEncoder::new(file, Compression::best());
    let mut endings = std::collections::BTreeMap::<String, u32>::new();
    for seed in 0..3000 {
        let line = super::simulation::record(seed);
        let last = line.rsplit("[[[\"").next().unwrap_or_default()[..10].to_owned();
        *endings.entry(last).or_default() += 1;
        writeln!(gz, "{line}").unwrap();
    }
    println!("{endings:?}");
    endings.clear();
    for seed in 0..1000 {
        let line = wild(seed);
        let run: Json = serde_json::from_str(&line).unwrap();
        let steps = run["steps"].as_array().unwrap();
        let last =
            steps.last().unwrap()[2][0].as_array().unwrap().last().cloned().unwrap_or_default();
        let key =
            format!("{} {}", last[0], if last[0] == "failed" { &last[1] } else { &Json::Null });
        *endings.entry(key).or_default() += 1;
        writeln!(gz, "{line}").unwrap();
    }
    println!("{endings:?}");
    gz.finish().unwrap();
}
