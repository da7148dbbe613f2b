//! A machine that is told one history, answer by answer.

use super::*;
use crate::api::Digests;

/// A machine, and what it has asked for so far.
pub struct Story {
    pub upload: Upload,
    pub now: Duration,
    pub calls: Vec<ApiCall>,
    pub notes: Vec<String>,
    pub cut: Option<(u32, Vec<u64>)>,
    pub finish: Option<Result<StoredObject, Error>>,
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

impl Story {
    pub fn new(settings: UploadConfig) -> Story {
        let (calls, notes) = (Vec::new(), Vec::new());
        let upload = Upload::new(settings);
        Story { upload, now: SECOND, calls, notes, cut: None, finish: None }
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
            if self.upload.scheduled_call.is_some() {
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
    pub fn committing(settings: UploadConfig) -> Story {
        let mut story = Story::new(settings);
        story.creating();
        story.ok(ApiCall::Create, Outcome::Created { upload_id: "u".to_owned() });
        story.finish_parts();
        story
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
            let stored = Outcome::Stored { held, crc32: crc32fast::hash(&body) };
            self.ok(ApiCall::Part(number), stored);
        }
        assert_eq!(self.calls.last(), Some(&ApiCall::Commit));
    }

    /// The put of a stream of three bytes is on its way.
    pub fn putting(settings: UploadConfig) -> Story {
        let mut story = Story::new(settings);
        let body = Bytes::from_static(b"abc");
        let digest = digest::part(Algorithm::Sha256, std::slice::from_ref(&body));
        story.tell(Event::Part { number: 1, digest });
        story.tell(Event::EndOfStream { bytes: 3, crc32: crc32fast::hash(&body) });
        assert_eq!(story.last(), &ApiCall::Put);
        story
    }

    /// What the committed object looks like.
    pub fn ours(&self, etag: &str) -> ObjectMeta {
        let multipart = Digests { sha256: self.upload.whole_checksum(), ..Digests::default() };
        ObjectMeta { multipart, ..sized(etag, 6) }
    }
}
