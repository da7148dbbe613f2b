//! A machine that is told one history, answer by answer.

use super::*;

/// A machine, and what it has asked for so far.
pub struct Story {
    pub upload: Upload,
    pub now: Duration,
    pub calls: Vec<Call>,
    pub notes: Vec<String>,
    pub cut: Option<(u32, Vec<u64>)>,
    pub finish: Option<Result<Stored, Error>>,
}

pub fn lost() -> Failure {
    Failure::Transport { how: Break::Lost, text: "reset".to_owned() }
}

pub fn stop() -> Event {
    Event::Stop(Error::new(Kind::Signal(15), "stopped by SIGTERM"))
}

/// An object of so many bytes of which the service tells nothing else.
pub fn sized(etag: &str, size: u64) -> Held {
    Held { etag: Some(etag.to_owned()), size: Some(size), ..Held::default() }
}

impl Story {
    pub fn new(settings: Settings) -> Story {
        let (calls, notes) = (Vec::new(), Vec::new());
        let upload = Upload::new(settings);
        Story { upload, now: SECOND, calls, notes, cut: None, finish: None }
    }

    pub fn tell(&mut self, event: Event) {
        self.upload.handle(self.now, event);
        self.act();
    }

    pub fn act(&mut self) {
        while let Some(action) = self.upload.next_action() {
            match action {
                Action::Begin(call) => self.calls.push(call),
                Action::Note(text) => self.notes.push(text),
                Action::Cut { first, sizes, .. } => self.cut = Some((first, sizes)),
                Action::Finish(result) => self.finish = Some(result),
                _ => {}
            }
        }
    }

    pub fn ok(&mut self, call: Call, outcome: Outcome) {
        self.tell(Event::Done { call, result: Ok(outcome) });
    }

    pub fn fails(&mut self, call: Call, failure: Failure) {
        self.tell(Event::Done { call, result: Err(failure) });
    }

    /// Each look at the object is answered 404, until something else is asked.
    #[track_caller]
    pub fn hidden(&mut self) {
        while self.last() == &Call::Head {
            self.refused(Call::Head, 404, "");
            if self.upload.waiting.is_some() {
                self.wait();
            }
        }
    }

    pub fn refused(&mut self, call: Call, status: u16, code: &str) {
        self.fails(call, Model::refuse(status, code));
    }

    /// Lets time pass until the machine begins something or ends.
    #[track_caller]
    pub fn wait(&mut self) {
        let before = self.calls.len();
        while self.calls.len() == before && self.finish.is_none() {
            let at = self.upload.next_timeout().expect("it waits for nothing");
            self.now = self.now.max(at);
            self.upload.handle_timeout(self.now);
            self.act();
        }
    }

    #[track_caller]
    pub fn last(&self) -> &Call {
        assert!(self.finish.is_none(), "{:?}", self.finish);
        self.calls.last().unwrap()
    }

    #[track_caller]
    pub fn ended(&self) -> &Result<Stored, Error> {
        self.finish.as_ref().unwrap_or_else(|| panic!("no end after {:?}", self.calls))
    }

    #[track_caller]
    pub fn kind(&self) -> Kind {
        self.ended().as_ref().unwrap_err().kind
    }

    /// The commit of a stream of two parts, three bytes each, is on its way.
    pub fn committing(settings: Settings) -> Story {
        let mut story = Story::new(settings);
        story.creating();
        story.ok(Call::Create, Outcome::Created { upload_id: "u".to_owned() });
        story.finish_parts();
        story
    }

    pub fn creating(&mut self) {
        let body = Bytes::from_static(b"abc");
        self.tell(Event::Part { number: 1, digest: digest::part(Algorithm::Sha256, &[body]) });
        self.tell(Event::Continues);
    }

    pub fn finish_parts(&mut self) {
        let body = Bytes::from_static(b"abc");
        let digest = digest::part(Algorithm::Sha256, std::slice::from_ref(&body));
        self.tell(Event::Part { number: 2, digest });
        self.tell(Event::End { bytes: 6, crc32: crc32fast::hash(b"abcabc") });
        for number in [1, 2] {
            let held = held(&format!("e{number}"), &body, false);
            let stored = Outcome::Stored { held, crc32: crc32fast::hash(&body) };
            self.ok(Call::Part(number), stored);
        }
        assert_eq!(self.calls.last(), Some(&Call::Commit));
    }

    /// The put of a stream of three bytes is on its way.
    pub fn putting(settings: Settings) -> Story {
        let mut story = Story::new(settings);
        let body = Bytes::from_static(b"abc");
        let digest = digest::part(Algorithm::Sha256, std::slice::from_ref(&body));
        story.tell(Event::Part { number: 1, digest });
        story.tell(Event::End { bytes: 3, crc32: crc32fast::hash(&body) });
        assert_eq!(story.last(), &Call::Put);
        story
    }

    /// What the committed object looks like.
    pub fn ours(&self, etag: &str) -> Held {
        let multipart_sha256 = self.upload.whole_checksum();
        Held { multipart_sha256, ..sized(etag, 6) }
    }
}
