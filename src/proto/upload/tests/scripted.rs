//! A machine that is told one history, answer by answer.

use super::*;

/// A machine, and what it has asked for so far.
pub struct ScriptedRun {
    pub upload: Upload,
    pub now: Duration,
    pub calls: Vec<ApiCall>,
    pub notes: Vec<String>,
    pub cut: Option<(u32, Vec<u64>)>,
    pub finish: Option<Result<StoredObject, Error>>,
    pub transitions: Vec<(StateKind, StateKind)>,
}

pub fn lost() -> Failure {
    Failure::Transport { kind: TransportError::ResponseLost, text: "reset".to_owned() }
}

pub fn stop() -> Event {
    Event::Stop(Error::new(ErrorKind::Signal(15), "stopped by SIGTERM"))
}

/// An object of so many bytes of which the service tells nothing else.
pub fn sized(etag: &str, size: u64) -> ObjectMeta {
    ObjectMeta { etag: Some(etag.to_owned()), size: Some(size), ..ObjectMeta::default() }
}

/// The abort of the upload of most stories.
pub fn abort() -> ApiCall {
    abort_of("u")
}

pub fn abort_of(upload_id: &str) -> ApiCall {
    ApiCall::Abort { upload_id: upload_id.to_owned() }
}

impl ScriptedRun {
    pub fn new(settings: UploadConfig) -> ScriptedRun {
        let (calls, notes) = (Vec::new(), Vec::new());
        let upload = Upload::new(settings);
        ScriptedRun {
            upload,
            now: SECOND,
            calls,
            notes,
            cut: None,
            finish: None,
            transitions: Vec::new(),
        }
    }

    pub fn tell(&mut self, event: Event) {
        self.upload.handle_event(self.now, event);
        self.act();
    }

    pub fn act(&mut self) {
        while let Some(action) = self.upload.poll_action() {
            match action {
                Action::StartCall(call) => self.calls.push(call),
                Action::Warn(text) => self.notes.push(text),
                Action::SplitTail { first, sizes, .. } => self.cut = Some((first, sizes)),
                Action::Transition { from, to } => self.transitions.push((from, to)),
                Action::Finish(result) => self.finish = Some(result),
                _ => {}
            }
        }
    }

    pub fn ok(&mut self, call: ApiCall, outcome: Outcome) {
        self.tell(Event::CallDone { call, result: Ok(outcome) });
    }

    pub fn fails(&mut self, call: ApiCall, failure: Failure) {
        self.tell(Event::CallDone { call, result: Err(failure) });
    }

    /// Each look at the object is answered 404, until something else is asked.
    #[track_caller]
    pub fn hidden(&mut self) {
        while self.last() == &ApiCall::Head {
            self.refused(ApiCall::Head, 404, "");
            if self.upload.core.call.scheduled.is_some() {
                self.wait();
            }
        }
    }

    pub fn refused(&mut self, call: ApiCall, status: u16, code: &str) {
        self.fails(call, Model::refuse(status, code));
    }

    /// Lets time pass until the machine begins something or ends.
    #[track_caller]
    pub fn wait(&mut self) {
        let before = self.calls.len();
        while self.calls.len() == before && self.finish.is_none() {
            let at = self.upload.poll_timeout().expect("it waits for nothing");
            self.now = self.now.max(at);
            self.upload.handle_timeout(self.now);
            self.act();
        }
    }

    #[track_caller]
    pub fn last(&self) -> &ApiCall {
        assert!(self.finish.is_none(), "{:?}", self.finish);
        self.calls.last().unwrap()
    }

    #[track_caller]
    pub fn ended(&self) -> &Result<StoredObject, Error> {
        self.finish.as_ref().unwrap_or_else(|| panic!("no end after {:?}", self.calls))
    }

    #[track_caller]
    pub fn kind(&self) -> ErrorKind {
        self.ended().as_ref().unwrap_err().kind
    }

    /// The commit of a stream of two parts, three bytes each, is on its way.
    pub fn committing(settings: UploadConfig) -> ScriptedRun {
        let mut run = ScriptedRun::new(settings);
        run.creating();
        run.ok(ApiCall::Create, Outcome::Created { upload_id: "u".to_owned() });
        run.finish_parts();
        run
    }

    pub fn creating(&mut self) {
        let body = Bytes::from_static(b"abc");
        self.tell(Event::Part { number: 1, digest: digest::part(Algorithm::Sha256, &[body]) });
        self.tell(Event::MultipartNeeded);
    }

    pub fn finish_parts(&mut self) {
        let body = Bytes::from_static(b"abc");
        let digest = digest::part(Algorithm::Sha256, std::slice::from_ref(&body));
        self.tell(Event::Part { number: 2, digest });
        self.tell(Event::EndOfStream { bytes: 6, crc32: crc32fast::hash(b"abcabc") });
        for number in [1, 2] {
            let held = held(&format!("e{number}"), &body, false);
            let stored = Outcome::Stored { meta: held, crc32: crc32fast::hash(&body) };
            self.ok(ApiCall::Part(number), stored);
        }
        assert_eq!(self.calls.last(), Some(&ApiCall::Commit));
    }

    /// The put of a stream of three bytes is on its way.
    pub fn putting(settings: UploadConfig) -> ScriptedRun {
        let mut run = ScriptedRun::new(settings);
        let body = Bytes::from_static(b"abc");
        let digest = digest::part(Algorithm::Sha256, std::slice::from_ref(&body));
        run.tell(Event::Part { number: 1, digest });
        run.tell(Event::EndOfStream { bytes: 3, crc32: crc32fast::hash(&body) });
        assert_eq!(run.last(), &ApiCall::Put);
        run
    }

    /// What the committed object looks like.
    pub fn ours(&self, etag: &str) -> ObjectMeta {
        let sha256 = self.upload.core.whole_checksum();
        let multipart = Digests { sha256, ..Digests::default() };
        ObjectMeta { multipart, ..sized(etag, 6) }
    }
}
