//! The machine of the upload against a small service, both driven by the bytes of the fuzzer: what is
//! read, what arrives, what is lost, lands late or is refused, and in which order.
//!
//! When the bytes end the weather turns fair, and then the run has to end. The invariants: a commit
//! names every part, each acknowledged; a buffer is kept until its part is; success is said only of an
//! object that is the stream; failure only where no such object appeared; what is left open is named.

#![no_main]

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use bytes::Bytes;
use libfuzzer_sys::fuzz_target;
use proto::digest::{self, Algorithm, Value};
use proto::error::{Error, Kind};
use proto::api::{Held, ListedPart, ListedUpload, Refusal};
use proto::retry::{Break, Failure};
use proto::upload::{
    Action, Before, Call, Event, Named, Outcome, Question, Settings, Stored, TailRule, Upload,
};

type Parts = BTreeMap<u32, (String, Bytes)>;

/// The service: open uploads and one object.
#[derive(Default)]
struct Service {
    uploads: BTreeMap<String, Parts>,
    object: Option<(String, Vec<Bytes>)>,
    made: u32,
}

/// A request as it was sent: later decisions do not reach it any more.
#[derive(Clone)]
struct Sent {
    call: Call,
    upload: String,
    body: Bytes,
    named: Vec<(u32, String)>,
}

fn refused(status: u16, code: &str) -> Failure {
    let (code, request_id) = (Some(code.to_owned()), Some("id".to_owned()));
    Failure::Refused(Refusal { status, code, request_id, ..Refusal::default() })
}

fn value(body: &Bytes) -> Value {
    digest::part(Algorithm::Sha256, std::slice::from_ref(body)).value.unwrap()
}

impl Service {
    fn etag(&mut self) -> String {
        self.made += 1;
        format!("e{}", self.made)
    }

    fn held(etag: &str, parts: &[Bytes], whole: bool) -> Held {
        let multipart = parts.len() != 1 || whole;
        let values: Vec<Value> = parts.iter().map(value).collect();
        Held {
            etag: Some(etag.to_owned()),
            content_sha256: (!multipart).then(|| values[0].base64()),
            multipart_sha256: multipart.then(|| digest::multipart(Algorithm::Sha256, &values)),
            ..Held::default()
        }
    }

    fn perform(&mut self, sent: &Sent) -> Result<Outcome, Failure> {
        let taken = || refused(412, "IfNoneMatchFailed");
        let gone = || refused(404, "UploadNotFound");
        match &sent.call {
            Call::Probe(Question::Free) if self.object.is_some() => Err(taken()),
            Call::Create | Call::Probe(_) => {
                let upload_id = format!("<{}>", self.etag());
                self.uploads.insert(upload_id.clone(), Parts::new());
                Ok(Outcome::Created { upload_id })
            }
            Call::Part(number) => {
                let etag = self.etag();
                let upload = self.uploads.get_mut(&sent.upload).ok_or_else(gone)?;
                upload.insert(*number, (etag.clone(), sent.body.clone()));
                let held = Service::held(&etag, std::slice::from_ref(&sent.body), false);
                Ok(Outcome::Stored { held, crc32: crc32fast::hash(&sent.body) })
            }
            Call::Put if self.object.is_some() => Err(taken()),
            Call::Put => {
                let etag = self.etag();
                self.object = Some((etag.clone(), vec![sent.body.clone()]));
                let held = Service::held(&etag, std::slice::from_ref(&sent.body), false);
                Ok(Outcome::Stored { held, crc32: crc32fast::hash(&sent.body) })
            }
            Call::Commit => {
                let parts = self.uploads.get(&sent.upload).ok_or_else(gone)?;
                if self.object.is_some() {
                    return Err(taken());
                }
                let stands = |(number, etag): &(u32, String)| {
                    parts.get(number).filter(|part| part.0 == *etag).map(|part| part.1.clone())
                };
                let whole: Option<Vec<Bytes>> = sent.named.iter().map(stands).collect();
                let whole = whole.ok_or_else(|| refused(400, "InvalidUploadPart"))?;
                self.uploads.remove(&sent.upload);
                let etag = self.etag();
                let held = Service::held(&etag, &whole, true);
                self.object = Some((etag, whole));
                Ok(Outcome::Committed(held))
            }
            Call::Head => {
                let (etag, parts) = self.object.as_ref().ok_or_else(|| refused(404, ""))?;
                let size = parts.iter().map(|part| part.len() as u64).sum();
                let held = Service::held(etag, parts, parts.len() > 1 || sent.upload != "");
                Ok(Outcome::Object(Held { size: Some(size), ..held }))
            }
            Call::ListParts => {
                let parts = self.uploads.get(&sent.upload).ok_or_else(gone)?;
                let listed = parts.iter().map(|(number, (etag, body))| ListedPart {
                    part_number: *number,
                    etag: etag.clone(),
                    size: body.len() as u64,
                    md5: Some(digest::md5_of(std::slice::from_ref(body)).base64()),
                });
                Ok(Outcome::Parts(listed.collect()))
            }
            Call::ListUploads => Ok(Outcome::Uploads(
                self.uploads
                    .keys()
                    .map(|id| ListedUpload {
                        bucket: None,
                        object: "o".to_owned(),
                        upload_id: id.clone(),
                        time_created: None,
                        storage_tier: None,
                    })
                    .collect(),
            )),
            Call::Abort => {
                self.uploads.remove(&sent.upload).map(|_| Outcome::Gone).ok_or_else(gone)
            }
            Call::Delete { .. } => {
                self.object = None;
                Ok(Outcome::Gone)
            }
        }
    }
}

struct Run {
    upload: Upload,
    service: Service,
    now: Duration,
    /// What is read, in the parts it is read in.
    source: Vec<Bytes>,
    /// The same bytes, in the parts they are sent in.
    stream: Vec<Bytes>,
    read: usize,
    reading: bool,
    sent: Vec<Sent>,
    late: Vec<Sent>,
    rehash: Vec<u32>,
    cut: Option<(u32, Vec<Bytes>)>,
    buffers: BTreeSet<u32>,
    acknowledged: BTreeSet<u32>,
    ended: bool,
    /// Before this nothing may be begun that makes an object appear.
    not_before: Duration,
    end_proven: bool,
    words: String,
    foreign: bool,
}

impl Run {
    /// Carries out what the machine wants; the end of the run, if this is it.
    fn act(&mut self) -> Option<Result<Stored, Error>> {
        while let Some(action) = self.upload.next_action() {
            match action {
                Action::Begin(call) => self.begin(call),
                Action::Rehash(number) => self.rehash.push(number),
                Action::Free(number) => drop(self.buffers.remove(&number)),
                Action::Cut { first, sizes, .. } => {
                    let whole = Bytes::from(self.stream.split_off(first as usize - 1).concat());
                    assert_eq!(sizes.iter().sum::<u64>(), whole.len() as u64);
                    let mut at = 0;
                    let piece = |size: &u64| {
                        at += *size as usize;
                        whole.slice(at - *size as usize..at)
                    };
                    let pieces: Vec<Bytes> = sizes.iter().map(piece).collect();
                    self.stream.extend(pieces.clone());
                    self.cut = Some((first, pieces));
                }
                Action::StopReading => self.reading = false,
                Action::CancelParts => {
                    let parts = |sent: &Sent| matches!(sent.call, Call::Part(_));
                    self.late.extend(self.sent.extract_if(.., |sent| parts(sent)));
                }
                Action::Note(text) => self.words.push_str(&text),
                Action::Finish(result) => return Some(result),
            }
        }
        assert!(self.upload.waiting_for().is_some());
        None
    }

    fn begin(&mut self, call: Call) {
        let named: Vec<_> =
            self.upload.commit_parts().map(|(number, etag)| (number, etag.to_owned())).collect();
        let body = match call {
            Call::Part(number) => {
                assert!(self.buffers.contains(&number), "part {number} has no buffer any more");
                self.stream[number as usize - 1].clone()
            }
            Call::Put => self.stream.first().cloned().unwrap_or_default(),
            _ => Bytes::new(),
        };
        if matches!(call, Call::Put | Call::Commit) {
            assert!(
                self.now >= self.not_before,
                "a signal that follows the end would come too late"
            );
        }
        match call {
            Call::Commit => {
                assert!(self.ended, "a commit before the stream has ended");
                assert!((1..=self.stream.len() as u32).eq(named.iter().map(|(number, _)| *number)));
                assert_eq!(self.acknowledged.len(), self.stream.len());
            }
            Call::Abort => {
                assert!(!self.sent.iter().any(|sent| sent.call == Call::Abort), "two aborts");
            }
            _ => {}
        }
        let upload = self.upload.upload_id().unwrap_or_default().to_owned();
        self.sent.push(Sent { call, upload, body, named });
    }

    fn tell(&mut self, event: Event) {
        if let Event::Done { call: Call::Part(number), result: Ok(_) } = &event {
            self.acknowledged.insert(*number);
        }
        self.upload.handle(self.now, event);
    }

    fn read(&mut self) {
        if !self.reading {
            return;
        }
        if let Some(body) = self.source.get(self.read).cloned() {
            self.read += 1;
            let number = self.read as u32;
            self.buffers.insert(number);
            let digest = digest::part(Algorithm::Sha256, &[body]);
            self.tell(Event::Part { number, digest });
            if number == 1 && self.source.len() > 1 {
                self.tell(Event::Continues);
            }
            if number as usize + 1 == self.source.len() && self.source.len() % 2 == 0 {
                self.tell(Event::Ending);
            }
        } else {
            (self.reading, self.ended) = (false, true);
            if !self.end_proven {
                self.not_before = self.now + Duration::from_millis(100);
            }
            let whole = self.source.concat();
            self.tell(Event::End { bytes: whole.len() as u64, crc32: crc32fast::hash(&whole) });
        }
    }

    fn answer(&mut self, index: usize) {
        let sent = self.sent.remove(index);
        let result = self.service.perform(&sent);
        self.tell(Event::Done { call: sent.call, result });
    }

    fn fail(&mut self, index: usize, failure: Failure) -> Sent {
        let sent = self.sent.remove(index);
        self.tell(Event::Done { call: sent.call.clone(), result: Err(failure) });
        sent
    }

    fn hash_again(&mut self) {
        if let Some((first, pieces)) = self.cut.take() {
            self.buffers.retain(|number| *number < first);
            self.buffers.extend((first..).take(pieces.len()));
            let digest = |body| digest::part(Algorithm::Sha256, &[body]);
            let digests = pieces.into_iter().map(digest).collect();
            return self.tell(Event::Cut { first, digests });
        }
        let Some(number) = self.rehash.pop() else { return };
        let body = [self.stream.get(number as usize - 1).cloned().unwrap_or_default()];
        let (digest, md5) = (digest::part(Algorithm::Sha256, &body), digest::md5_of(&body));
        self.tell(Event::Rehashed { number, digest, md5 });
    }

    fn wait(&mut self) {
        if let Some(at) = self.upload.next_timeout() {
            self.now = self.now.max(at);
            self.upload.handle_timeout(self.now);
        }
    }

    fn step(&mut self, byte: u8) {
        let lost = |how| Failure::Transport { how, text: "lost".to_owned() };
        let index = usize::from(byte >> 4);
        let there = !self.sent.is_empty();
        let index = if there { index % self.sent.len() } else { 0 };
        match byte & 15 {
            0 | 1 => self.read(),
            2 | 3 if there => self.answer(index),
            4 if there => drop(self.fail(index, lost(Break::Connect))),
            5 if there => {
                let sent = self.fail(index, lost(Break::Lost));
                let _ = self.service.perform(&sent);
            }
            6 if there => {
                let sent = self.fail(index, lost(Break::Stalled));
                self.late.push(sent);
            }
            7 if there => drop(self.fail(index, refused(503, "ServiceUnavailable"))),
            8 if there => {
                let sent = self.fail(index, refused(500, "InternalServerError"));
                let _ = self.service.perform(&sent);
            }
            9 if there => drop(self.fail(index, refused(401, "NotAuthenticated"))),
            // As if the bucket were not there; nothing is done.
            10 if there && byte & 16 != 0 => {
                let code = if self.sent[index].call == Call::Head { "" } else { "BucketNotFound" };
                drop(self.fail(index, refused(404, code)));
            }
            10 if there && matches!(self.sent[index].call, Call::Part(_) | Call::Put) => {
                drop(self.fail(index, refused(400, "UnmatchedContentSHA256")));
            }
            11 => {
                if let Some(sent) = self.late.pop() {
                    let _ = self.service.perform(&sent);
                }
            }
            12 => self.wait(),
            13 => self.hash_again(),
            14 if byte >> 4 == 0 => self.tell(Event::Stop(Error::new(Kind::Signal(15), "stop"))),
            14 if byte >> 4 == 1 && self.reading => {
                self.reading = false;
                self.tell(Event::Broken(Error::source("broken")));
            }
            14 if byte >> 4 == 2 && self.service.object.is_none() => {
                self.foreign = true;
                self.service.object = Some(("foreign".to_owned(), vec![Bytes::from_static(b"!")]));
            }
            15 => self.now += Duration::from_secs(1 << (byte >> 4)),
            _ => {}
        }
    }

    /// Fair weather: everything is answered until the run ends.
    fn finish(&mut self) -> Result<Stored, Error> {
        for _ in 0..10_000 {
            if let Some(result) = self.act() {
                return result;
            }
            if !self.rehash.is_empty() || self.cut.is_some() {
                self.hash_again();
            } else if !self.sent.is_empty() {
                self.answer(0);
            } else if self.reading {
                self.read();
            } else {
                assert!(self.upload.next_timeout().is_some(), "it waits for nothing");
                self.wait();
            }
        }
        panic!("no end; it waits for {:?}", self.upload.waiting_for());
    }

    fn judge(&self, result: &Result<Stored, Error>) {
        let ours = self.service.object.as_ref().filter(|(etag, _)| etag != "foreign");
        let whole = ours.map(|(_, parts)| parts.concat());
        let mut words = self.words.clone();
        match result {
            Ok(stored) => {
                assert_eq!(whole.as_deref(), Some(self.stream.concat().as_slice()));
                assert_eq!(stored.size, self.stream.concat().len() as u64);
            }
            Err(error) => {
                assert!(error.kind == Kind::Unknown || whole.is_none(), "{error:?}");
                words.push_str(&error.to_string());
            }
        }
        let unlisted = words.contains("could not be listed");
        for id in self.service.uploads.keys() {
            assert!(words.contains(id) || unlisted, "{id} is open and unnamed: {words}");
        }
        let _ = self.foreign;
    }
}

fuzz_target!(|bytes: &[u8]| {
    let [parts, parallel, rest @ ..] = bytes else { return };
    let count = usize::from(*parts % 6);
    let end_proven = parallel & 32 != 0;
    let settings = Settings {
        parallel: 1 + usize::from(*parallel % 4),
        retry_for: Duration::from_secs(600),
        checksum: Algorithm::Sha256,
        allow_empty: true,
        min_size: 0,
        end_proven,
        always_multipart: parallel & 8 != 0,
        delete_on_mismatch: parallel & 64 != 0,
        before: Before::Nothing,
        answered: parallel & 128 != 0,
        bucket_answered: parallel & 16 != 0,
        named: Named {
            object: "oci://b@n/o".to_owned(),
            abort: "abort {}".to_owned(),
            head: "head".to_owned(),
        },
        seed: u64::from(*parallel),
        tail: TailRule { least: 1, worth: Duration::ZERO, highest: 10_000 },
    };
    let stream: Vec<Bytes> = (0..count).map(|n| Bytes::from(vec![n as u8; n + 1])).collect();
    let mut run = Run {
        upload: Upload::new(settings),
        service: Service::default(),
        now: Duration::ZERO,
        source: stream.clone(),
        stream,
        read: 0,
        reading: true,
        sent: Vec::new(),
        late: Vec::new(),
        rehash: Vec::new(),
        cut: None,
        buffers: BTreeSet::new(),
        acknowledged: BTreeSet::new(),
        ended: false,
        not_before: Duration::ZERO,
        end_proven,
        words: String::new(),
        foreign: false,
    };
    for byte in rest.iter().take(400) {
        if let Some(result) = run.act() {
            return run.judge(&result);
        }
        run.step(*byte);
    }
    let result = run.finish();
    run.judge(&result);
});
