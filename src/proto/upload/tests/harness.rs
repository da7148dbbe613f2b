//! Connects a state machine and the model of the service in virtual time.
//!
//! Owns the clock, the queue and the invariants that every run is checked for. Must not know the
//! states of the upload. Invariant: the seed and the configuration determine the run.

use std::collections::{BTreeMap, HashMap, HashSet};

use bytes::Bytes;

use super::*;
use crate::api::Precondition;
use crate::digest::{self, Algorithm, Value};
use crate::error::ErrorKind;

/// What happens at a scheduled time.
pub(super) enum Scheduled {
    /// The service performs a request, and the response arrives.
    Request(SentRequest),
    /// The service performs a request, and the response is lost.
    RequestWithoutResponse(SentRequest),
    /// The state machine takes an event.
    Event(Event),
}

pub(super) struct Harness {
    pub upload: Upload,
    pub model: Model,
    /// What is scheduled, by time and then by order of scheduling.
    pub queue: BTreeMap<(Duration, u64), Scheduled>,
    pub serial: u64,
    pub now: Duration,
    pub rng: fastrand::Rng,
    pub fault_rate: FaultRate,
    /// The percentage of requests that are answered with a spurious 404.
    pub spurious_percent: u32,
    /// Chooses the spurious 404s. It is separate from `rng`, so that they do not change the other
    /// random numbers of a seed.
    pub spurious_rng: fastrand::Rng,
    /// The number of requests from the start of the run that were all answered with such a 404;
    /// `None` if another response came before the fourth of them.
    pub leading_not_found: Option<u32>,
    /// The operations that a policy forbids. They are always answered with a 404.
    pub forbidden: Vec<Operation>,
    /// When another client stores an object at the name, if there is none.
    pub other_object_at: Option<Duration>,
    /// The precondition of the put or commit.
    pub precondition: Precondition,
    /// The content of the parts of the stream.
    pub stream: Vec<Bytes>,
    /// The parts in memory, by number.
    pub buffers: HashMap<PartNumber, Bytes>,
    pub acknowledged: HashSet<PartNumber>,
    /// The part requests in flight were cancelled.
    pub cancelled: bool,
    /// The number of commits sent.
    pub commits: u32,
    /// When the state machine got the end of the stream.
    pub ended_at: Option<Duration>,
    pub tail_splits: u32,
    pub aborts_in_flight: u32,
    pub warnings: Vec<String>,
    /// The SHA-256 over the digests of all parts, in base64; `None` for a stream of one part.
    pub multipart_sha256: Option<String>,
}

/// A configuration whose tail split suits parts of a few bytes.
pub(super) fn test_config(seed: u64, parallel: usize) -> UploadConfig {
    UploadConfig {
        seed,
        // One byte takes most of a second in these tests.
        tail_split: TailRule {
            min_piece: 1,
            unit: 1,
            min_saving: Duration::from_millis(100),
            max_part_number: 10_000,
        },
        ..UploadConfig::plain(parallel)
    }
}

impl Harness {
    /// A stream of `parts` parts of 1 to 5 bytes.
    pub(super) fn new(seed: u64, parts: usize, fault_rate: FaultRate) -> Harness {
        let mut rng = fastrand::Rng::with_seed(seed);
        let stream: Vec<Bytes> =
            (0..parts).map(|i| Bytes::from(vec![i as u8; 1 + rng.usize(..5)])).collect();
        let values: Vec<Value> = stream
            .iter()
            .filter_map(|part| digest::part(Algorithm::Sha256, std::slice::from_ref(part)).value)
            .collect();
        Harness {
            upload: Upload::new(UploadConfig {
                end_proven: seed % 4 == 3,
                ..test_config(seed, 1 + rng.usize(..8))
            }),
            model: Model::default(),
            queue: BTreeMap::new(),
            serial: 0,
            now: Duration::ZERO,
            rng,
            fault_rate,
            spurious_percent: 0,
            spurious_rng: fastrand::Rng::with_seed(seed),
            leading_not_found: Some(0),
            forbidden: Vec::new(),
            other_object_at: None,
            precondition: Precondition::IfNoneMatch,
            multipart_sha256: (parts > 1).then(|| digest::multipart(Algorithm::Sha256, &values)),
            stream,
            buffers: HashMap::new(),
            acknowledged: HashSet::new(),
            cancelled: false,
            commits: 0,
            ended_at: None,
            tail_splits: 0,
            aborts_in_flight: 0,
            warnings: Vec::new(),
        }
    }

    /// Changes the configuration before the first event.
    pub(super) fn configure(&mut self, change: impl FnOnce(&mut UploadConfig)) {
        let mut config = self.upload.core.config.clone();
        change(&mut config);
        self.upload = Upload::new(config);
    }

    pub(super) fn schedule(&mut self, delay: Duration, scheduled: Scheduled) {
        self.serial += 1;
        self.queue.insert((self.now + delay, self.serial), scheduled);
    }

    pub(super) fn schedule_failure(&mut self, delay: Duration, call: ApiCall, failure: Failure) {
        let event = Event::CallDone { call, result: Err(failure) };
        self.schedule(delay, Scheduled::Event(event));
    }

    /// Schedules all parts of the stream, and after them the event that ends it.
    pub(super) fn schedule_stream(&mut self, last: Event) {
        let mut at = Duration::ZERO;
        for (index, part) in self.stream.clone().into_iter().enumerate() {
            let digest = digest::part(Algorithm::Sha256, std::slice::from_ref(&part));
            at += Duration::from_millis(self.rng.u64(..2000));
            self.schedule(
                at,
                Scheduled::Event(Event::Part { number: nth(index as u32 + 1), digest }),
            );
            if index == 0 && self.stream.len() > 1 {
                self.schedule(at, Scheduled::Event(Event::MultipartNeeded));
            }
            if index + 2 == self.stream.len() && self.rng.bool() {
                self.schedule(at, Scheduled::Event(Event::LastPartNext));
            }
        }
        self.schedule(at + SECOND, Scheduled::Event(last));
    }

    /// The content of the whole stream.
    pub(super) fn stream_bytes(&self) -> Bytes {
        Bytes::from(self.stream.concat())
    }

    /// The event of a clean end of the stream.
    pub(super) fn end_of_stream(&self) -> Event {
        let stream = self.stream_bytes();
        Event::EndOfStream { bytes: stream.len() as u64, crc32: crc32fast::hash(&stream) }
    }

    /// Sends the request of a call, with a random latency and perhaps a fault.
    pub(super) fn start_call(&mut self, call: ApiCall) {
        self.check_call(&call);
        let request = self.request(call);
        let faulty =
            self.now < self.fault_rate.until && self.rng.u32(..100) < self.fault_rate.percent;
        let latency = Duration::from_millis(self.rng.u64(..800));
        if self.draw_not_found(&request.call) {
            self.leading_not_found = self.leading_not_found.map(|count| count + 1);
            let failure = bucket_not_found(&request.call);
            return self.schedule_failure(latency, request.call, failure);
        }
        self.leading_not_found = self.leading_not_found.filter(|count| *count >= 4);
        if faulty {
            self.schedule_fault(latency, request);
        } else {
            self.schedule(latency, Scheduled::Request(request));
        }
    }

    /// Asserts the invariants that a call has to meet when it is sent.
    fn check_call(&mut self, call: &ApiCall) {
        if *call == ApiCall::Commit {
            self.commits += 1;
            assert_eq!(self.acknowledged.len(), self.stream.len(), "commit with parts missing");
        }
        if matches!(call, ApiCall::Put | ApiCall::Commit) {
            let hold = if self.upload.core.config.end_proven { 0 } else { 100 };
            let at = self.ended_at.expect("the stream has ended") + Duration::from_millis(hold);
            assert!(self.now >= at, "sent before the signal hold has passed");
        }
        if matches!(call, ApiCall::Abort { .. }) {
            self.aborts_in_flight += 1;
            assert_eq!(self.aborts_in_flight, 1, "two aborts are in flight");
        }
    }

    fn request(&self, call: ApiCall) -> SentRequest {
        let body = match call {
            ApiCall::Part(number) => {
                self.buffers.get(&number).expect("a part is sent from its buffer").clone()
            }
            ApiCall::Put => self.stream.first().cloned().unwrap_or_default(),
            _ => self.stream_bytes(),
        };
        SentRequest {
            upload_id: match &call {
                ApiCall::Abort { upload_id } => Some(upload_id.clone()),
                _ => self.upload.upload_id().map(str::to_owned),
            },
            parts: self.upload.commit_parts().map(|(n, etag)| (n, etag.to_owned())).collect(),
            multipart_sha256: self.multipart_sha256.clone(),
            call,
            body,
        }
    }

    /// Runs to the end; panics if the state machine neither finishes nor waits for anything.
    pub(super) fn run(&mut self) -> Result<StoredObject, Error> {
        for _ in 0..200_000 {
            while let Some(action) = self.upload.poll_action() {
                match action {
                    Action::StartCall(call) => self.start_call(call),
                    Action::ReleasePart(number) => drop(self.buffers.remove(&number)),
                    Action::ReadOn => {}
                    Action::CancelParts => self.cancelled = true,
                    Action::Warn(warning) => self.warnings.push(warning.text),
                    Action::StopReading | Action::Rehash(_) | Action::Transition { .. } => {}
                    Action::SplitTail { first, sizes, .. } => self.split_tail(first, &sizes),
                    Action::SplitQueue { .. }
                    | Action::RecallParts(_)
                    | Action::SetConnections { .. } => {
                        panic!("the number is fixed")
                    }
                    Action::Finish(result) => return result,
                }
            }
            assert!(self.upload.current_activity().is_some());
            let timeout = self.upload.poll_timeout();
            let next = self.queue.keys().next().copied();
            match (next, timeout) {
                (Some(key), timeout) if timeout.is_none_or(|at| key.0 <= at) => {
                    let scheduled = self.queue.remove(&key).expect("the key is in the queue");
                    self.now = key.0;
                    self.process(scheduled);
                }
                (_, Some(at)) => {
                    self.now = self.now.max(at);
                    self.upload.handle_timeout(self.now);
                }
                (_, None) => panic!("the queue is empty, and no timer runs"),
            }
        }
        panic!("the run does not end; it waits for {:?}", self.upload.current_activity());
    }

    fn split_tail(&mut self, first: PartNumber, sizes: &[u64]) {
        self.tail_splits += 1;
        let mut tail = Bytes::from(self.stream.split_off(first.index()).concat());
        for size in sizes {
            self.stream.push(tail.split_to(*size as usize));
        }
        assert!(tail.is_empty(), "the sizes do not add up to the tail");
        let digests: Vec<_> = self
            .stream
            .iter()
            .map(|part| digest::part(Algorithm::Sha256, std::slice::from_ref(part)))
            .collect();
        let values: Vec<_> = digests.iter().filter_map(|digest| digest.value.clone()).collect();
        self.multipart_sha256 = Some(digest::multipart(Algorithm::Sha256, &values));
        let digests = digests[first.index()..].to_vec();
        let delay = Duration::from_millis(self.rng.u64(..300));
        self.schedule(delay, Scheduled::Event(Event::TailSplit { first, digests }));
    }

    /// Performs what is scheduled for the current time.
    pub(super) fn process(&mut self, scheduled: Scheduled) {
        if self.other_object_at.is_some_and(|at| at <= self.now) {
            self.other_object_at = None;
            self.model
                .object
                .get_or_insert_with(|| ("other".to_owned(), super::model::other_object()));
        }
        let event = match scheduled {
            Scheduled::Event(event) => event,
            Scheduled::Request(request) => {
                let result = self.model.perform(&request, &self.precondition);
                Event::CallDone { call: request.call, result }
            }
            Scheduled::RequestWithoutResponse(request) => {
                let _ = self.model.perform(&request, &self.precondition);
                return;
            }
        };
        match &event {
            Event::Part { number, .. } => {
                self.buffers.insert(*number, self.stream[number.index()].clone());
            }
            Event::TailSplit { first, .. } => {
                self.buffers.retain(|number, _| number < first);
                let pieces = self.stream.iter().skip(first.index()).cloned();
                self.buffers.extend(first.and_after().zip(pieces));
            }
            Event::EndOfStream { .. } => self.ended_at = Some(self.now),
            // The service may perform a cancelled request, but its response does not arrive.
            Event::CallDone { call: ApiCall::Part(_), .. } if self.cancelled => return,
            Event::CallDone { call: ApiCall::Part(number), result: Ok(_) } => {
                assert!(
                    self.buffers.contains_key(number),
                    "the buffer was released before the part was acknowledged"
                );
                self.acknowledged.insert(*number);
            }
            Event::CallDone { call: ApiCall::Abort { .. }, .. } => self.aborts_in_flight -= 1,
            _ => {}
        }
        self.upload.handle_event(self.now, event);
    }

    /// Asserts what holds after every run: a success has stored the stream, a failure has stored
    /// nothing, and every open upload is named.
    pub(super) fn check_result(&self, seed: u64, result: &Result<StoredObject, Error>) {
        let object = self.model.object.as_ref().map(|(_, body)| body);
        match result {
            Ok(stored) => {
                assert_eq!(object, Some(&self.stream_bytes()), "seed {seed}: a false success");
                assert_eq!(stored.size, self.stream_bytes().len() as u64);
            }
            Err(error) if error.kind == ErrorKind::OutcomeUnknown => {}
            Err(error) => {
                assert_eq!(object, None, "seed {seed}: {error}, but an object was stored");
            }
        }
        self.check_open_uploads(seed, result);
    }

    /// Asserts that the hint or a warning names every open upload.
    pub(super) fn check_open_uploads(&self, seed: u64, result: &Result<StoredObject, Error>) {
        let is_named = |id: &String| {
            let hint = result.as_ref().err().and_then(|error| error.hint.clone());
            hint.unwrap_or_default().contains(id)
                || self.warnings.iter().any(|text| text.contains(id) || text.contains("listed"))
        };
        for id in self.model.uploads.keys() {
            assert!(is_named(id), "seed {seed}: {id} is open and not named after {result:?}");
        }
    }
}
