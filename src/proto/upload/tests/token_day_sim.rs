//! One day of an upload in virtual time: the upload machine together with the token life cycle.
//!
//! Owns the connection between the two, which the driver, the client and the session make in the
//! program. Must not know how a token is refreshed; `SimEnvironment` asserts what holds of tokens.
//! Invariant: the stream is stored whole, or no valid token existed for `--retry-for`.

use std::collections::{BTreeMap, HashMap};
use std::time::Duration;

use bytes::Bytes;
use proptest::prelude::*;

use super::nth;
use super::{StoredObject, Upload, UploadConfig};
use crate::api::Precondition;
use crate::digest::{self, Algorithm};
use crate::error::{Error, ErrorKind};
use crate::part_number::PartNumber;
use crate::retry::Failure;
use crate::token_lifecycle::simulation::environment::{EnvironmentEvent, Signed, SimEnvironment};
use crate::token_lifecycle::simulation::scenario::{Auth, HOUR, Scenario, any_day, secs};
use crate::token_lifecycle::{SigningRequest, TokenDecision};
use crate::upload::tests::model::{Model, SentRequest};
use crate::upload::{Action, ApiCall, Event, Outcome};

/// The largest number of parts in flight.
const PARALLEL: usize = 4;
/// The number of parts that fit into memory: those in flight, and one that is being read.
const BUFFERS: usize = PARALLEL + 1;
/// The seconds from one part to the next.
const PART_INTERVAL: u64 = 300;
const PARTS: usize = (24 * HOUR / PART_INTERVAL) as usize;

/// What happens at a scheduled time.
enum DayEvent {
    Environment(EnvironmentEvent),
    /// The producer has the next part, or the end of the stream.
    Read,
    /// A call needs a token to be signed with.
    Sign(ApiCall),
    /// The service answers a request, `duration` seconds after it was signed.
    Response {
        request: SentRequest,
        signed: Signed,
        duration: u64,
    },
}

struct Day {
    environment: SimEnvironment,
    upload: Upload,
    model: Model,
    /// What is scheduled, by time in seconds and then by order of scheduling.
    queue: BTreeMap<(u64, u64), DayEvent>,
    serial: u64,
    /// The content of the parts of the stream.
    stream: Vec<Bytes>,
    /// The number of parts read so far.
    read: usize,
    /// The parts in memory, by number.
    buffers: HashMap<PartNumber, Bytes>,
    cancelled: bool,
    /// The number of commits that were sent with an accepted token.
    commits: u32,
}

impl Day {
    fn new(scenario: Scenario) -> Day {
        let retry_for = secs(scenario.retry_for);
        let config = UploadConfig { retry_for, ..UploadConfig::plain(PARALLEL) };
        Day {
            environment: SimEnvironment::new(scenario),
            upload: Upload::new(config),
            model: Model::default(),
            queue: BTreeMap::new(),
            serial: 0,
            stream: (0..PARTS).map(|i| Bytes::from(vec![i as u8; 1 + i % 5])).collect(),
            read: 0,
            buffers: HashMap::new(),
            cancelled: false,
            commits: 0,
        }
    }

    /// Schedules an event in `delay` seconds.
    fn schedule(&mut self, delay: u64, event: DayEvent) {
        self.serial += 1;
        self.queue.insert((self.environment.time + delay, self.serial), event);
    }

    fn now(&self) -> Duration {
        secs(self.environment.time)
    }

    /// Runs to the end of the upload.
    fn run(mut self) -> (Day, Result<StoredObject, Error>) {
        self.schedule(PART_INTERVAL, DayEvent::Read);
        loop {
            while let Some(action) = self.upload.poll_action() {
                match action {
                    Action::StartCall(call) => self.schedule(0, DayEvent::Sign(call)),
                    Action::ReleasePart(number) => drop(self.buffers.remove(&number)),
                    Action::ReadOn => {}
                    Action::CancelParts => self.cancelled = true,
                    Action::Warn(_)
                    | Action::StopReading
                    | Action::Transition { .. }
                    | Action::Rehash(_)
                    | Action::SplitTail { .. }
                    | Action::SplitQueue { .. }
                    | Action::RecallParts(_)
                    | Action::SetConnections { .. } => {}
                    Action::Finish(result) => return (self, result),
                }
            }
            self.environment.run_background();
            for (delay, event) in std::mem::take(&mut self.environment.scheduled) {
                self.schedule(delay, DayEvent::Environment(event));
            }
            while let Some((_, event)) = self.queue.first_key_value()
                && self.is_superseded(event)
            {
                self.queue.pop_first();
            }
            // The virtual time of the day has whole seconds.
            let timeout = self.upload.poll_timeout().map(|at| at.as_millis().div_ceil(1000) as u64);
            let next = self.queue.keys().next().map(|(at, _)| *at);
            match (next, timeout) {
                (Some(at), timeout) if timeout.is_none_or(|timeout| at <= timeout) => {
                    let (_, event) = self.queue.pop_first().expect("the queue has an entry");
                    self.environment.time = at;
                    self.process(event);
                }
                (_, Some(at)) => {
                    self.environment.time = self.environment.time.max(at);
                    self.upload.handle_timeout(self.now());
                }
                (_, None) => panic!("the queue is empty, and no timer runs"),
            }
        }
    }

    /// Whether a later wake-up has replaced this one. It is dropped, as performing it schedules
    /// another.
    fn is_superseded(&self, event: &DayEvent) -> bool {
        matches!(event, DayEvent::Environment(event) if !self.environment.is_current(*event))
    }

    fn process(&mut self, event: DayEvent) {
        match event {
            DayEvent::Environment(event) => self.environment.handle(event),
            DayEvent::Read => self.read_part(),
            DayEvent::Sign(call) => self.sign(call),
            DayEvent::Response { request, signed, duration } => {
                self.environment.on_response(signed, duration);
                let result = if signed.ok {
                    self.model.perform(&request, &Precondition::IfNoneMatch)
                } else {
                    Err(Model::rejection(401, "NotAuthenticated"))
                };
                self.call_done(request.call, result);
            }
        }
    }

    /// Reads the next part or the end of the stream, once a buffer is free.
    fn read_part(&mut self) {
        if self.buffers.len() >= BUFFERS {
            return self.schedule(1, DayEvent::Read);
        }
        let now = self.now();
        let Some(part) = self.stream.get(self.read).cloned() else {
            let stream = self.stream.concat();
            let (bytes, crc32) = (stream.len() as u64, crc32fast::hash(&stream));
            return self.upload.handle_event(now, Event::EndOfStream { bytes, crc32 });
        };
        if self.read == 1 {
            self.upload.handle_event(now, Event::MultipartNeeded);
        }
        self.read += 1;
        let number = nth(self.read as u32);
        let digest = digest::part(Algorithm::Sha256, std::slice::from_ref(&part));
        self.buffers.insert(number, part);
        self.upload.handle_event(now, Event::Part { number, digest });
        self.schedule(PART_INTERVAL, DayEvent::Read);
    }

    /// Signs a call and sends it, waits for a token, or fails the call.
    fn sign(&mut self, call: ApiCall) {
        let part_duration = self.environment.scenario.part;
        let signing = match call {
            ApiCall::Part(_) if self.cancelled => return,
            ApiCall::Part(number) => SigningRequest::Transfer {
                transfer_id: number.get().into(),
                estimate: Some(secs(part_duration)),
            },
            ApiCall::Abort { .. } => SigningRequest::Abort,
            _ => SigningRequest::Small,
        };
        let signed = match self.environment.decide(signing) {
            (_, Some(signed)) => signed,
            (TokenDecision::TimedOut, _) => {
                let error = Error::credentials("no valid token");
                return self.call_done(call, Err(Failure::Credentials(error)));
            }
            (TokenDecision::RefreshFirst, _) => return self.schedule(3, DayEvent::Sign(call)),
            _ => return self.schedule(1, DayEvent::Sign(call)),
        };
        self.commits += u32::from(call == ApiCall::Commit && signed.ok);
        let is_part = matches!(call, ApiCall::Part(_));
        let duration = if is_part && signed.ok { part_duration } else { 1 };
        let request = self.request(call);
        self.schedule(duration, DayEvent::Response { request, signed, duration });
    }

    fn request(&self, call: ApiCall) -> SentRequest {
        let body = match &call {
            ApiCall::Part(number) => {
                self.buffers.get(number).expect("a part is sent from its buffer").clone()
            }
            _ => Bytes::from(self.stream.concat()),
        };
        let digests = self.stream.iter().map(|part| {
            digest::part(Algorithm::Sha256, std::slice::from_ref(part)).value.expect("a digest")
        });
        let multipart_sha256 = (call == ApiCall::Head)
            .then(|| digest::multipart(Algorithm::Sha256, &digests.collect::<Vec<_>>()));
        SentRequest {
            upload_id: self.upload.upload_id().map(str::to_owned),
            parts: self.upload.commit_parts().map(|(n, etag)| (n, etag.to_owned())).collect(),
            multipart_sha256,
            call,
            body,
        }
    }

    fn call_done(&mut self, call: ApiCall, result: Result<Outcome, Failure>) {
        // The service may perform a cancelled request, but its response does not arrive.
        if !(self.cancelled && matches!(call, ApiCall::Part(_))) {
            self.upload.handle_event(self.now(), Event::CallDone { call, result });
        }
    }
}

/// Runs a day and asserts that the stream was committed once and whole, or that no valid token
/// existed for `--retry-for`, which is exit code 3, and nothing was stored.
fn check_day(scenario: Scenario) -> Day {
    let case = format!("{scenario:?}");
    let (day, result) = Day::new(scenario).run();
    match &result {
        Ok(stored) => {
            let object = day.model.object.as_ref().map(|(_, body)| body.clone());
            assert_eq!(object, Some(Bytes::from(day.stream.concat())), "{case}");
            assert_eq!((stored.parts as usize, day.commits), (PARTS, 1), "{case}");
            assert!(day.model.uploads.is_empty() && !day.environment.tally.gave_up, "{case}");
        }
        Err(error) => {
            assert_eq!(error.kind, ErrorKind::Credentials, "{error}: {case}");
            assert!(day.environment.tally.gave_up && day.model.object.is_none(), "{case}");
            let all_named = day.model.uploads.keys().all(|id| {
                error.hint.as_ref().is_some_and(|hint| hint.contains(&format!("ABORT {id}")))
            });
            assert!(all_named, "an open upload is not named: {error}: {case}");
        }
    }
    day
}

#[test]
fn a_day_with_short_lived_tokens_and_no_faults_needs_no_wait_and_rejects_no_request() {
    for life in [300, 3600] {
        let day = check_day(Scenario { part: 100, ..Scenario::quiet(life) });
        assert_eq!(
            (day.environment.tally.waits, day.environment.tally.rejected),
            (0, 0),
            "lifetime {life} s"
        );
        assert!(day.model.object.is_some());
    }
}

#[test]
fn rotated_token_files_suffice_for_a_day_with_an_auth_service_that_mostly_fails() {
    for life in [300, 3600] {
        for kind in [Auth::Fails, Auth::SameEnd, Auth::Hangs, Auth::Rejects] {
            let step = 7 * life as usize / 2;
            let starts = (50..26 * HOUR).step_by(step);
            let auth = starts.clone().flat_map(|at| [(at, kind), (at + 2 * life, Auth::Works)]);
            let rotations = starts.map(|at| at + 2 * life + 30).collect();
            let auth = auth.collect();
            let scenario = Scenario {
                auth,
                rotations,
                retry_for: 3 * life,
                part: 100,
                ..Scenario::quiet(life)
            };
            let day = check_day(scenario);
            assert!(day.model.object.is_some(), "{kind:?}, lifetime {life} s");
            assert_eq!(day.environment.tally.rejected, 0, "{kind:?}, lifetime {life} s");
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(60))]
    #[test]
    fn any_day_ends_with_the_whole_stream_or_without_a_valid_token_for_the_retry_budget(
        scenario in any_day()
    ) {
        check_day(scenario);
    }
}
