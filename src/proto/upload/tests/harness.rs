//! A machine and a model of the service, and the fault_rate between them, in virtual time.

use std::collections::{BTreeMap, HashMap, HashSet};

use bytes::Bytes;

use super::*;
use crate::digest::{self, Algorithm, Value};
use crate::error::ErrorKind;
use crate::transport_error::TransportError;

pub enum Due {
    /// The service works on a request; the answer reaches us unless it is lost.
    Lands { sent: Sent, answer: bool },
    /// Something reaches the machine.
    Event(Event),
}

/// How badly the world behaves.
#[derive(Clone, Copy)]
pub struct FaultRate {
    /// Of 100 requests, so many meet a fault.
    pub faults: u32,
    /// After this time there are none.
    pub until: Duration,
}

pub struct Harness {
    pub upload: Upload,
    pub model: Model,
    pub due: BTreeMap<(Duration, u64), Due>,
    pub serial: u64,
    pub now: Duration,
    pub rng: fastrand::Rng,
    pub fault_rate: FaultRate,
    /// Of 100 requests, so many are declined as if the bucket were not there.
    pub spurious: u32,
    /// What decides which: a world without them is as it was.
    pub declines: fastrand::Rng,
    /// All requests so far were declined, so many of them.
    pub declined_at_first: Option<u32>,
    /// What a policy forbids: always declined.
    pub forbidden: Vec<Operation>,
    /// When somebody else stores an object at the name, where nothing stands there yet.
    pub foreign: Option<Duration>,
    pub condition: bool,
    pub stream: Vec<Bytes>,
    pub held: HashMap<u32, Bytes>,
    pub acknowledged: HashSet<u32>,
    pub cancelled: bool,
    pub commits: u32,
    /// When the end of the stream was told.
    pub ended_at: Option<Duration>,
    pub cuts: u32,
    pub aborts_under_way: u32,
    pub notes: Vec<String>,
    pub multipart: Option<String>,
}

pub fn settings(seed: u64, parallel: usize) -> UploadConfig {
    UploadConfig {
        seed,
        // Here a byte takes most of a second.
        tail_split: TailRule {
            min_piece: 1,
            min_saving: Duration::from_millis(100),
            max_part_number: 10_000,
        },
        ..UploadConfig::plain(parallel)
    }
}

/// The 404 of a bucket that is not there; that of a HEAD has no body.
pub fn declined(call: &ApiCall) -> Failure {
    Model::refuse(404, if *call == ApiCall::Head { "" } else { "BucketNotFound" })
}

impl Harness {
    pub fn new(seed: u64, parts: usize, fault_rate: FaultRate) -> Harness {
        let mut rng = fastrand::Rng::with_seed(seed);
        let stream: Vec<Bytes> =
            (0..parts).map(|i| Bytes::from(vec![i as u8; 1 + rng.usize(..5)])).collect();
        let values: Vec<Value> = stream
            .iter()
            .filter_map(|p| digest::part(Algorithm::Sha256, std::slice::from_ref(p)).value)
            .collect();
        Harness {
            upload: Upload::new(UploadConfig {
                end_proven: seed % 4 == 3,
                ..settings(seed, 1 + rng.usize(..8))
            }),
            model: Model::default(),
            due: BTreeMap::new(),
            serial: 0,
            now: Duration::ZERO,
            rng,
            fault_rate,
            spurious: 0,
            declines: fastrand::Rng::with_seed(seed),
            declined_at_first: Some(0),
            forbidden: Vec::new(),
            foreign: None,
            condition: true,
            multipart: (parts > 1).then(|| digest::multipart(Algorithm::Sha256, &values)),
            stream,
            held: HashMap::new(),
            acknowledged: HashSet::new(),
            cancelled: false,
            commits: 0,
            ended_at: None,
            cuts: 0,
            aborts_under_way: 0,
            notes: Vec::new(),
        }
    }

    /// Changes the configuration before the first event.
    pub fn configure(&mut self, change: impl FnOnce(&mut UploadConfig)) {
        let mut config = self.upload.core.config.clone();
        change(&mut config);
        self.upload = Upload::new(config);
    }

    pub fn after(&mut self, delay: Duration, due: Due) {
        self.serial += 1;
        self.due.insert((self.now + delay, self.serial), due);
    }

    /// Schedules the whole stream, ended cleanly or broken after all parts.
    pub fn read(&mut self, last: Event) {
        let mut at = Duration::ZERO;
        for (index, part) in self.stream.clone().into_iter().enumerate() {
            let digest = digest::part(Algorithm::Sha256, std::slice::from_ref(&part));
            at += Duration::from_millis(self.rng.u64(..2000));
            self.after(at, Due::Event(Event::Part { number: index as u32 + 1, digest }));
            if index == 0 && self.stream.len() > 1 {
                self.after(at, Due::Event(Event::MultipartNeeded));
            }
            if index + 2 == self.stream.len() && self.rng.bool() {
                self.after(at, Due::Event(Event::LastPartNext));
            }
        }
        self.after(at + SECOND, Due::Event(last));
    }

    pub fn whole(&self) -> Bytes {
        Bytes::from(self.stream.concat())
    }

    pub fn end(&self) -> Event {
        let whole = self.whole();
        Event::EndOfStream { bytes: whole.len() as u64, crc32: crc32fast::hash(&whole) }
    }

    pub fn begin(&mut self, call: ApiCall) {
        if call == ApiCall::Commit {
            self.commits += 1;
            assert_eq!(self.acknowledged.len(), self.stream.len(), "commit with parts missing");
        }
        if matches!(call, ApiCall::Put | ApiCall::Commit) {
            let wait = if self.upload.core.config.end_proven { 0 } else { 100 };
            let at = self.ended_at.expect("the stream has ended") + Duration::from_millis(wait);
            assert!(self.now >= at, "a signal that follows the end would come too late");
        }
        if matches!(call, ApiCall::Abort { .. }) {
            self.aborts_under_way += 1;
            assert_eq!(self.aborts_under_way, 1, "two aborts at a time");
        }
        let body = match call {
            ApiCall::Part(n) => self.held.get(&n).expect("a part is sent from its buffer").clone(),
            ApiCall::Put => self.stream.first().cloned().unwrap_or_default(),
            _ => self.whole(),
        };
        let sent = Sent {
            upload: match &call {
                ApiCall::Abort { upload_id } => Some(upload_id.clone()),
                _ => self.upload.upload_id().map(str::to_owned),
            },
            parts: self.upload.commit_parts().map(|(n, e)| (n, e.to_owned())).collect(),
            multipart: self.multipart.clone(),
            call,
            body,
        };
        let stormy =
            self.now < self.fault_rate.until && self.rng.u32(..100) < self.fault_rate.faults;
        let there = Duration::from_millis(self.rng.u64(..800));
        if self.declines(&sent.call) {
            self.declined_at_first = self.declined_at_first.map(|count| count + 1);
            let event =
                Event::CallDone { call: sent.call.clone(), result: Err(declined(&sent.call)) };
            return self.after(there, Due::Event(event));
        }
        self.declined_at_first = self.declined_at_first.filter(|count| *count >= 4);
        if !stormy {
            return self.after(there, Due::Lands { sent, answer: true });
        }
        let lost = |text: &str| Failure::Transport {
            kind: TransportError::ResponseLost,
            text: text.to_owned(),
        };
        let failure = match self.rng.u32(..11) {
            0 => Failure::Transport { kind: TransportError::Connect, text: "refused".to_owned() },
            1 => lost("reset before the request"),
            2 => {
                self.after(there, Due::Lands { sent: sent.clone(), answer: false });
                lost("reset after the request")
            }
            3 => {
                // It lands when a later try may long have succeeded.
                let late = Duration::from_secs(self.rng.u64(..40));
                self.after(late, Due::Lands { sent: sent.clone(), answer: false });
                lost("stalled; lands late")
            }
            4 => Model::refuse(503, "ServiceUnavailable"),
            5 => Model::refuse(429, "TooManyRequests"),
            6 => Model::refuse(500, "InternalServerError"),
            7 => {
                self.after(there, Due::Lands { sent: sent.clone(), answer: false });
                Model::refuse(500, "InternalServerError")
            }
            8 => Model::refuse(409, "ConcurrentObjectUpdate"),
            9 => {
                if self.rng.bool() {
                    self.after(there, Due::Lands { sent: sent.clone(), answer: false });
                }
                let how = TransportError::Timeout;
                let failure = Failure::Transport { kind: how, text: "no byte moved".to_owned() };
                let event = Event::CallDone { call: sent.call, result: Err(failure) };
                return self.after(60 * SECOND, Due::Event(event));
            }
            _ => Model::refuse(401, "NotAuthenticated"),
        };
        let call = sent.call;
        self.after(there, Due::Event(Event::CallDone { call, result: Err(failure) }));
    }

    fn declines(&mut self, call: &ApiCall) -> bool {
        let spurious = self.spurious > 0 && self.declines.u32(..100) < self.spurious;
        spurious || self.forbidden.contains(&call.operation())
    }

    /// Whether the first four requests were declined, which is all that is known of such a bucket.
    pub fn never_answered(&self) -> bool {
        self.declined_at_first.is_some_and(|count| count >= 4)
    }

    /// Runs to the end, or panics where the machine neither ends nor waits.
    pub fn run(&mut self) -> Result<StoredObject, Error> {
        for _ in 0..200_000 {
            while let Some(action) = self.upload.poll_action() {
                match action {
                    Action::StartCall(call) => self.begin(call),
                    Action::ReleasePart(number) => drop(self.held.remove(&number)),
                    Action::CancelParts => self.cancelled = true,
                    Action::Warn(text) => self.notes.push(text),
                    Action::StopReading | Action::Rehash(_) | Action::Transition { .. } => {}
                    Action::SplitTail { first, sizes, .. } => self.cut(first, &sizes),
                    Action::Finish(result) => return result,
                }
            }
            assert!(self.upload.current_activity().is_some());
            let timeout = self.upload.poll_timeout();
            let due = self.due.keys().next().copied();
            match (due, timeout) {
                (Some(key), timeout) if timeout.is_none_or(|at| key.0 <= at) => {
                    let due = self.due.remove(&key).expect("it was just seen");
                    self.now = key.0;
                    self.happen(due);
                }
                (_, Some(at)) => {
                    self.now = self.now.max(at);
                    self.upload.handle_timeout(self.now);
                }
                (_, None) => panic!("nothing is due, and the machine waits for nothing"),
            }
        }
        panic!("no end; waiting for {:?}", self.upload.current_activity());
    }

    pub fn cut(&mut self, first: u32, sizes: &[u64]) {
        self.cuts += 1;
        let mut whole = Bytes::from(self.stream.split_off(first as usize - 1).concat());
        for size in sizes {
            self.stream.push(whole.split_to(*size as usize));
        }
        assert!(whole.is_empty(), "bytes were left over");
        let digests: Vec<_> = self
            .stream
            .iter()
            .map(|p| digest::part(Algorithm::Sha256, std::slice::from_ref(p)))
            .collect();
        let values: Vec<_> = digests.iter().filter_map(|digest| digest.value.clone()).collect();
        self.multipart = Some(digest::multipart(Algorithm::Sha256, &values));
        let digests = digests[first as usize - 1..].to_vec();
        let delay = Duration::from_millis(self.rng.u64(..300));
        self.after(delay, Due::Event(Event::TailSplit { first, digests }));
    }

    pub fn happen(&mut self, due: Due) {
        if self.foreign.is_some_and(|at| at <= self.now) {
            self.foreign = None;
            let theirs = || ("theirs".to_owned(), Bytes::from_static(b"somebody else's"));
            self.model.object.get_or_insert_with(theirs);
        }
        let event = match due {
            Due::Event(event) => event,
            Due::Lands { sent, answer } => {
                let result = self.model.perform(&sent, self.condition);
                if !answer {
                    return;
                }
                Event::CallDone { call: sent.call, result }
            }
        };
        match &event {
            Event::Part { number, .. } => {
                self.held.insert(*number, self.stream[*number as usize - 1].clone());
            }
            Event::TailSplit { first, .. } => {
                self.held.retain(|number, _| number < first);
                let cut = self.stream.iter().skip(*first as usize - 1).cloned();
                self.held.extend((*first..).zip(cut));
            }
            Event::EndOfStream { .. } => self.ended_at = Some(self.now),
            // What was cancelled may still land at the service, but is never heard of again.
            Event::CallDone { call: ApiCall::Part(_), .. } if self.cancelled => return,
            Event::CallDone { call: ApiCall::Part(number), result: Ok(_) } => {
                assert!(self.held.contains_key(number), "freed before it was acknowledged");
                self.acknowledged.insert(*number);
            }
            Event::CallDone { call: ApiCall::Abort { .. }, .. } => self.aborts_under_way -= 1,
            _ => {}
        }
        self.upload.handle_event(self.now, event);
    }

    /// What must hold after every run.
    pub fn judge(&self, seed: u64, result: &Result<StoredObject, Error>) {
        let object = self.model.object.as_ref().map(|(_, body)| body);
        match result {
            Ok(stored) => {
                assert_eq!(object, Some(&self.whole()), "seed {seed}: a false success");
                assert_eq!(stored.size, self.whole().len() as u64);
            }
            Err(error) if error.kind == ErrorKind::OutcomeUnknown => {}
            Err(error) => {
                assert_eq!(object, None, "seed {seed}: {error} but an object appeared");
            }
        }
        self.judge_uploads(seed, result);
    }

    /// No upload is open that is not named.
    pub fn judge_uploads(&self, seed: u64, result: &Result<StoredObject, Error>) {
        let named = |id: &String| {
            let next = result.as_ref().err().and_then(|e| e.hint.clone()).unwrap_or_default();
            next.contains(id) || self.notes.iter().any(|n| n.contains(id) || n.contains("listed"))
        };
        for id in self.model.uploads.keys() {
            assert!(named(id), "seed {seed}: {id} is open and unnamed after {result:?}");
        }
    }
}
