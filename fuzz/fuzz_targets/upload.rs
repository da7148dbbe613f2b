//! The upload state machine against a small model of the service, both driven by the fuzzer's
//! bytes: what is read, which responses arrive, are lost, take effect late or are errors, and in
//! which order.
//!
//! When the bytes end, no more faults are injected, and then the run must end. Invariants: a commit
//! names every part, each acknowledged; a buffer is kept until its part is acknowledged; success is
//! reported only for an object that equals the stream; failure only if no such object exists; an
//! upload that stays open is named in a message.

#![no_main]

#[path = "upload/service_model.rs"]
mod service_model;

use std::collections::BTreeSet;
use std::sync::Mutex;
use std::time::Duration;

use bytes::Bytes;
use libfuzzer_sys::fuzz_target;
use proto::digest::{self, Algorithm};
use proto::error::{Error, ErrorKind};
use proto::part_number::PartNumber;
use proto::retry::{BucketStatus, Failure};
use proto::transport_error::TransportError;
use proto::upload::{
    Action, ApiCall, ConflictRule, Event, MessageContext, PreviousObject, StateKind, StoredObject,
    TRANSITIONS, TailRule, Upload, UploadCommand, UploadConfig,
};
use service_model::{Model, Sent, error_response};

/// The transitions that runs of this process have taken.
static TAKEN: Mutex<BTreeSet<(StateKind, StateKind)>> = Mutex::new(BTreeSet::new());

/// Prints the transitions of the table that no run has taken yet, whenever a run takes a new one.
fn report_transition(from: StateKind, to: StateKind) {
    let mut taken = TAKEN.lock().unwrap();
    if taken.insert((from, to)) {
        let table = TRANSITIONS.iter().map(|(from, to, _)| (*from, *to));
        let never: Vec<_> = table.filter(|pair| !taken.contains(pair)).collect();
        eprintln!("transitions never taken: {never:?}");
    }
}

struct Run {
    upload: Upload,
    model: Model,
    now: Duration,
    /// The stream, in the parts in which it is read.
    source: Vec<Bytes>,
    /// The same bytes, in the parts in which they are sent.
    stream: Vec<Bytes>,
    read: usize,
    reading: bool,
    sent: Vec<Sent>,
    late: Vec<Sent>,
    to_rehash: Vec<PartNumber>,
    split: Option<(PartNumber, Vec<Bytes>)>,
    buffers: BTreeSet<PartNumber>,
    acknowledged: BTreeSet<PartNumber>,
    ended: bool,
    /// Before this time no commit or put may start.
    not_before: Duration,
    end_proven: bool,
    messages: String,
}

impl Run {
    /// Performs the actions of the state machine; returns the result of the run if it has ended.
    fn perform_actions(&mut self) -> Option<Result<StoredObject, Error>> {
        while let Some(action) = self.upload.poll_action() {
            match action {
                Action::StartCall(call) => self.start_call(call),
                Action::Rehash(number) => self.to_rehash.push(number),
                Action::ReleasePart(number) => drop(self.buffers.remove(&number)),
                Action::ReadOn => {}
                Action::SplitTail { first, sizes, .. } => {
                    let rest = Bytes::from(self.stream.split_off(first.index()).concat());
                    assert_eq!(sizes.iter().sum::<u64>(), rest.len() as u64);
                    let mut at = 0;
                    let piece = |size: &u64| {
                        at += *size as usize;
                        rest.slice(at - *size as usize..at)
                    };
                    let pieces: Vec<Bytes> = sizes.iter().map(piece).collect();
                    self.stream.extend(pieces.clone());
                    self.split = Some((first, pieces));
                }
                Action::SplitQueue { .. }
                | Action::RecallParts(_)
                | Action::SetConnections { .. } => {
                    panic!("the number of connections is fixed")
                }
                Action::StopReading => self.reading = false,
                Action::Transition { from, to } => report_transition(from, to),
                Action::CancelParts => {
                    let parts = |sent: &Sent| matches!(sent.call, ApiCall::Part(_));
                    self.late.extend(self.sent.extract_if(.., |sent| parts(sent)));
                }
                Action::Warn(warning) => self.messages.push_str(&warning.text),
                Action::Finish(result) => return Some(result),
            }
        }
        assert!(self.upload.current_activity().is_some());
        None
    }

    fn start_call(&mut self, call: ApiCall) {
        let named: Vec<_> =
            self.upload.commit_parts().map(|(number, etag)| (number, etag.to_owned())).collect();
        let body = match call {
            ApiCall::Part(number) => {
                assert!(self.buffers.contains(&number), "part {number} has no buffer");
                self.stream[number.index()].clone()
            }
            ApiCall::Put => self.stream.first().cloned().unwrap_or_default(),
            _ => Bytes::new(),
        };
        if matches!(call, ApiCall::Put | ApiCall::Commit) {
            assert!(
                self.now >= self.not_before,
                "started before a signal after the end of the stream could arrive"
            );
        }
        match call {
            ApiCall::Commit => {
                assert!(self.ended, "a commit before the stream has ended");
                assert!(
                    PartNumber::all()
                        .take(self.stream.len())
                        .eq(named.iter().map(|(number, _)| *number))
                );
                assert_eq!(self.acknowledged.len(), self.stream.len());
            }
            ApiCall::Abort { .. } => {
                assert!(
                    !self.sent.iter().any(|sent| matches!(sent.call, ApiCall::Abort { .. })),
                    "two aborts"
                );
            }
            _ => {}
        }
        let upload = match &call {
            ApiCall::Abort { upload_id } => upload_id.clone(),
            _ => self.upload.upload_id().unwrap_or_default().to_owned(),
        };
        self.sent.push(Sent { call, upload, body, named });
    }

    fn handle(&mut self, event: Event) {
        if let Event::CallDone { call: ApiCall::Part(number), result: Ok(_) } = &event {
            self.acknowledged.insert(*number);
        }
        self.upload.handle_event(self.now, event);
    }

    fn read(&mut self) {
        if !self.reading {
            return;
        }
        if let Some(body) = self.source.get(self.read).cloned() {
            self.read += 1;
            let number = PartNumber::new(self.read as u32).unwrap();
            self.buffers.insert(number);
            let digest = digest::part(Algorithm::Sha256, &[body]);
            self.handle(Event::Part { number, digest });
            if self.read == 1 && self.source.len() > 1 {
                self.handle(Event::MultipartNeeded);
            }
            if self.read + 1 == self.source.len() && self.source.len() % 2 == 0 {
                self.handle(Event::LastPartNext);
            }
        } else {
            (self.reading, self.ended) = (false, true);
            if !self.end_proven {
                self.not_before = self.now + Duration::from_millis(100);
            }
            let bytes = self.source.concat();
            self.handle(Event::EndOfStream {
                bytes: bytes.len() as u64,
                crc32: crc32fast::hash(&bytes),
            });
        }
    }

    fn respond(&mut self, index: usize) {
        let sent = self.sent.remove(index);
        let result = self.model.perform(&sent);
        self.handle(Event::CallDone { call: sent.call, result });
    }

    fn fail(&mut self, index: usize, failure: Failure) -> Sent {
        let sent = self.sent.remove(index);
        self.handle(Event::CallDone { call: sent.call.clone(), result: Err(failure) });
        sent
    }

    fn rehash(&mut self) {
        if let Some((first, pieces)) = self.split.take() {
            self.buffers.retain(|number| *number < first);
            self.buffers.extend(first.and_after().take(pieces.len()));
            let digest = |body| digest::part(Algorithm::Sha256, &[body]);
            let digests = pieces.into_iter().map(digest).collect();
            return self.handle(Event::TailSplit { first, digests });
        }
        let Some(number) = self.to_rehash.pop() else { return };
        let body = [self.stream.get(number.index()).cloned().unwrap_or_default()];
        let (digest, md5) = (digest::part(Algorithm::Sha256, &body), digest::md5_of(&body));
        self.handle(Event::Rehashed { number, digest, md5 });
    }

    fn wait(&mut self) {
        if let Some(at) = self.upload.poll_timeout() {
            self.now = self.now.max(at);
            self.upload.handle_timeout(self.now);
        }
    }

    fn step(&mut self, byte: u8) {
        let lost = |kind| Failure::Transport { kind, text: "lost".to_owned() };
        let index = usize::from(byte >> 4);
        let any = !self.sent.is_empty();
        let index = if any { index % self.sent.len() } else { 0 };
        match byte & 15 {
            0 | 1 => self.read(),
            2 | 3 if any => self.respond(index),
            4 if any => drop(self.fail(index, lost(TransportError::Connect))),
            5 if any => {
                let sent = self.fail(index, lost(TransportError::ResponseLost));
                let _ = self.model.perform(&sent);
            }
            6 if any => {
                let sent = self.fail(index, lost(TransportError::Timeout));
                self.late.push(sent);
            }
            7 if any => drop(self.fail(index, error_response(503, "ServiceUnavailable"))),
            8 if any => {
                let sent = self.fail(index, error_response(500, "InternalServerError"));
                let _ = self.model.perform(&sent);
            }
            9 if any => drop(self.fail(index, error_response(401, "NotAuthenticated"))),
            // A spurious 404: the service does nothing.
            10 if any && byte & 16 != 0 => {
                let code =
                    if self.sent[index].call == ApiCall::Head { "" } else { "BucketNotFound" };
                drop(self.fail(index, error_response(404, code)));
            }
            10 if any && matches!(self.sent[index].call, ApiCall::Part(_) | ApiCall::Put) => {
                drop(self.fail(index, error_response(400, "UnmatchedContentSHA256")));
            }
            11 => {
                if let Some(sent) = self.late.pop() {
                    let _ = self.model.perform(&sent);
                }
            }
            12 => self.wait(),
            13 => self.rehash(),
            14 if byte >> 4 == 0 => {
                self.handle(Event::Stop(Error::new(ErrorKind::Signal(15), "stop")))
            }
            14 if byte >> 4 == 1 && self.reading => {
                self.reading = false;
                self.handle(Event::SourceFailed(Error::source("broken")));
            }
            14 if byte >> 4 == 2 && self.model.object.is_none() => {
                self.model.object = Some(("foreign".to_owned(), vec![Bytes::from_static(b"!")]));
            }
            15 => self.now += Duration::from_secs(1 << (byte >> 4)),
            _ => {}
        }
    }

    /// Without faults: every request gets its response until the run ends.
    fn finish(&mut self) -> Result<StoredObject, Error> {
        for _ in 0..10_000 {
            if let Some(result) = self.perform_actions() {
                return result;
            }
            if !self.to_rehash.is_empty() || self.split.is_some() {
                self.rehash();
            } else if !self.sent.is_empty() {
                self.respond(0);
            } else if self.reading {
                self.read();
            } else {
                assert!(self.upload.poll_timeout().is_some(), "the machine has no timer");
                self.wait();
            }
        }
        panic!("the run does not end; its activity is {:?}", self.upload.current_activity());
    }

    fn check(&self, result: &Result<StoredObject, Error>) {
        let stored = self.model.object.as_ref().filter(|(etag, _)| etag != "foreign");
        let object = stored.map(|(_, parts)| parts.concat());
        let mut messages = self.messages.clone();
        match result {
            Ok(stored) => {
                assert_eq!(object.as_deref(), Some(self.stream.concat().as_slice()));
                assert_eq!(stored.size, self.stream.concat().len() as u64);
            }
            Err(error) => {
                assert!(error.kind == ErrorKind::OutcomeUnknown || object.is_none(), "{error:?}");
                messages.push_str(&error.to_string());
            }
        }
        let unlisted = messages.contains("could not be listed");
        for id in self.model.uploads.keys() {
            assert!(messages.contains(id) || unlisted, "{id} is open and unnamed: {messages}");
        }
    }
}

fuzz_target!(|bytes: &[u8]| {
    let [parts, parallel, rest @ ..] = bytes else { return };
    let count = usize::from(*parts % 6);
    let end_proven = parallel & 32 != 0;
    let config = UploadConfig {
        auto: None,
        parallel: 1 + usize::from(*parallel % 4),
        retry_for: Duration::from_secs(600),
        long_attempt: Duration::from_secs(120),
        checksum: Algorithm::Sha256,
        allow_empty: true,
        min_size: 0,
        end_proven,
        always_multipart: parallel & 8 != 0,
        delete_on_mismatch: parallel & 64 != 0,
        previous_object: PreviousObject::Nothing,
        service_seen: parallel & 128 != 0,
        bucket: if parallel & 16 != 0 { BucketStatus::Seen } else { BucketStatus::Unknown },
        messages: MessageContext {
            object_url: "oci://b@n/o".to_owned(),
            abort_command: UploadCommand::new("abort ", ""),
            head_command: "head".to_owned(),
            resume_command: None,
        },
        seed: u64::from(*parallel),
        tail_split: TailRule {
            min_piece: 1,
            unit: 1,
            min_saving: Duration::ZERO,
            max_part_number: 10_000,
        },
        resume: None,
        expected_digests: Vec::new(),
        single_put: None,
        par: None,
        conflict: if parts & 64 == 0 { ConflictRule::End } else { ConflictRule::ReadOn },
    };
    let stream: Vec<Bytes> = (0..count).map(|n| Bytes::from(vec![n as u8; n + 1])).collect();
    let mut run = Run {
        upload: Upload::new(config),
        model: Model::default(),
        now: Duration::ZERO,
        source: stream.clone(),
        stream,
        read: 0,
        reading: true,
        sent: Vec::new(),
        late: Vec::new(),
        to_rehash: Vec::new(),
        split: None,
        buffers: BTreeSet::new(),
        acknowledged: BTreeSet::new(),
        ended: false,
        not_before: Duration::ZERO,
        end_proven,
        messages: String::new(),
    };
    for byte in rest.iter().take(400) {
        if let Some(result) = run.perform_actions() {
            return run.check(&result);
        }
        run.step(*byte);
    }
    let result = run.finish();
    run.check(&result);
});
