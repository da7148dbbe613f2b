//! A run whose events are scripted: each test gives the responses one by one.
//!
//! Owns the streams that the scripts begin with. Must not know the model's state. Invariant: every
//! action is taken from the state machine before the script goes on.

use super::*;
use crate::api::ListedPart;

/// A state machine, and the actions that it has returned so far.
pub(super) struct ScriptedRun {
    pub upload: Upload,
    pub now: Duration,
    pub calls: Vec<ApiCall>,
    pub warnings: Vec<String>,
    /// The first part and the sizes in bytes of the last tail split.
    pub tail_split: Option<(u32, Vec<u64>)>,
    pub finish: Option<Result<StoredObject, Error>>,
    pub transitions: Vec<(StateKind, StateKind)>,
}

pub(super) fn response_lost() -> Failure {
    transport_failure(TransportError::ResponseLost, "reset")
}

/// A stop by SIGTERM.
pub(super) fn stop() -> Event {
    Event::Stop(Error::new(ErrorKind::Signal(15), "stopped by SIGTERM"))
}

/// Object metadata with an etag and a size in bytes, and without digests.
pub(super) fn meta_of_size(etag: &str, size: u64) -> ObjectMeta {
    ObjectMeta { etag: Some(etag.to_owned()), size: Some(size), ..ObjectMeta::default() }
}

/// The abort of the upload `u`, which most scripts create.
pub(super) fn abort() -> ApiCall {
    abort_of("u")
}

pub(super) fn abort_of(upload_id: &str) -> ApiCall {
    ApiCall::Abort { upload_id: upload_id.to_owned() }
}

/// The list of the two parts that `committing` and `finish_parts` send.
pub(super) fn both_parts() -> Outcome {
    let part = |part_number| ListedPart {
        part_number,
        etag: format!("e{part_number}"),
        size: 3,
        md5: None,
    };
    Outcome::Parts(vec![part(nth(1)), part(nth(2))])
}

/// The result that a finished state machine returns.
pub(super) fn take_result(upload: &mut Upload) -> Option<Result<StoredObject, Error>> {
    std::iter::from_fn(|| upload.poll_action()).find_map(|action| match action {
        Action::Finish(result) => Some(result),
        _ => None,
    })
}

impl ScriptedRun {
    pub(super) fn new(config: UploadConfig) -> ScriptedRun {
        ScriptedRun {
            upload: Upload::new(config),
            now: SECOND,
            calls: Vec::new(),
            warnings: Vec::new(),
            tail_split: None,
            finish: None,
            transitions: Vec::new(),
        }
    }

    pub(super) fn handle_event(&mut self, event: Event) {
        self.upload.handle_event(self.now, event);
        self.take_actions();
    }

    pub(super) fn take_actions(&mut self) {
        while let Some(action) = self.upload.poll_action() {
            match action {
                Action::StartCall(call) => self.calls.push(call),
                Action::Warn(warning) => self.warnings.push(warning.text),
                Action::SplitTail { first, sizes, .. } => {
                    self.tail_split = Some((first.get(), sizes))
                }
                Action::Transition { from, to } => self.transitions.push((from, to)),
                Action::Finish(result) => self.finish = Some(result),
                _ => {}
            }
        }
    }

    pub(super) fn succeed(&mut self, call: ApiCall, outcome: Outcome) {
        self.handle_event(Event::CallDone { call, result: Ok(outcome) });
    }

    pub(super) fn fail(&mut self, call: ApiCall, failure: Failure) {
        self.handle_event(Event::CallDone { call, result: Err(failure) });
    }

    pub(super) fn reject(&mut self, call: ApiCall, status: u16, code: &str) {
        self.fail(call, Model::rejection(status, code));
    }

    /// Answers each HEAD with 404, until another call starts.
    #[track_caller]
    pub(super) fn reject_heads(&mut self) {
        while self.last_call() == &ApiCall::Head {
            self.reject(ApiCall::Head, 404, "");
            if self.upload.core.call.scheduled.is_some() {
                self.wait();
            }
        }
    }

    /// Advances the time until a call starts or the run finishes.
    #[track_caller]
    pub(super) fn wait(&mut self) {
        let started = self.calls.len();
        while self.calls.len() == started && self.finish.is_none() {
            let at = self.upload.poll_timeout().expect("no timer runs");
            self.now = self.now.max(at);
            self.upload.handle_timeout(self.now);
            self.take_actions();
        }
    }

    /// The last call that started; panics if the run is finished.
    #[track_caller]
    pub(super) fn last_call(&self) -> &ApiCall {
        assert!(self.finish.is_none(), "{:?}", self.finish);
        self.calls.last().unwrap()
    }

    /// The result of the run; panics if it is not finished.
    #[track_caller]
    pub(super) fn result(&self) -> &Result<StoredObject, Error> {
        self.finish.as_ref().unwrap_or_else(|| panic!("not finished after {:?}", self.calls))
    }

    /// The kind of the error of the run; panics if it succeeded.
    #[track_caller]
    pub(super) fn error_kind(&self) -> ErrorKind {
        self.result().as_ref().unwrap_err().kind
    }

    /// A run that has read two parts of three bytes each, and has its commit in flight.
    pub(super) fn committing(config: UploadConfig) -> ScriptedRun {
        let mut run = ScriptedRun::new(config);
        run.start_create();
        run.succeed(ApiCall::Create, Outcome::Created { upload_id: "u".to_owned() });
        run.finish_parts();
        run
    }

    /// Reads the first part of a longer stream, so that the create is in flight.
    pub(super) fn start_create(&mut self) {
        let body = Bytes::from_static(b"abc");
        let digest = digest::part(Algorithm::Sha256, &[body]);
        self.handle_event(Event::Part { number: nth(1), digest });
        self.handle_event(Event::MultipartNeeded);
    }

    /// Reads the second part and the end of the stream, and acknowledges both parts.
    pub(super) fn finish_parts(&mut self) {
        let body = Bytes::from_static(b"abc");
        let digest = digest::part(Algorithm::Sha256, std::slice::from_ref(&body));
        self.handle_event(Event::Part { number: nth(2), digest });
        self.handle_event(Event::EndOfStream { bytes: 6, crc32: crc32fast::hash(b"abcabc") });
        for number in [1, 2] {
            let meta = response_meta(&format!("e{number}"), &body);
            let stored = Outcome::Stored { meta, crc32: crc32fast::hash(&body) };
            self.succeed(ApiCall::Part(nth(number)), stored);
        }
        assert_eq!(self.calls.last(), Some(&ApiCall::Commit));
    }

    /// A run that has read a stream of three bytes, and has its put in flight.
    pub(super) fn storing(config: UploadConfig) -> ScriptedRun {
        let mut run = ScriptedRun::new(config);
        let body = Bytes::from_static(b"abc");
        let digest = digest::part(Algorithm::Sha256, std::slice::from_ref(&body));
        run.handle_event(Event::Part { number: nth(1), digest });
        run.handle_event(Event::EndOfStream { bytes: 3, crc32: crc32fast::hash(&body) });
        assert_eq!(run.last_call(), &ApiCall::Put);
        run
    }

    /// The metadata of the committed object in the response to a HEAD.
    pub(super) fn object_meta(&self, etag: &str) -> ObjectMeta {
        let sha256 = self.upload.core.whole_checksum();
        let multipart = Digests { sha256, ..Digests::default() };
        ObjectMeta { multipart, ..meta_of_size(etag, 6) }
    }

    /// The metadata of the committed object in the response to the commit. It has no size.
    pub(super) fn commit_meta(&self, etag: &str) -> ObjectMeta {
        ObjectMeta { size: None, ..self.object_meta(etag) }
    }
}
