//! A day of an upload in virtual time: the machine of the upload and the life of its token together,
//! joined as `drive`, `service` and `session` join them.
//!
//! What must hold of tokens at every moment is asserted where the moment passes, in `surroundings`;
//! here it is what becomes of the stream.

use std::collections::{BTreeMap, HashMap};
use std::time::Duration;

use bytes::Bytes;
use proptest::prelude::*;

use super::{StoredObject, Upload, UploadConfig};
use crate::digest::{self, Algorithm};
use crate::error::{Error, ErrorKind};
use crate::retry::Failure;
use crate::token_lifecycle::simulation::environment::{self, Signed, SimEnvironment};
use crate::token_lifecycle::simulation::scenario::{Auth, HOUR, Scenario, any_day, secs};
use crate::token_lifecycle::{SigningRequest, TokenDecision};
use crate::upload::tests::model::{Model, Sent};
use crate::upload::{Action, ApiCall, Event};

/// Parts in flight, and one that is being filled.
const PARALLEL: usize = 4;
const BUFFERS: usize = PARALLEL + 1;
/// A part is there every five minutes.
const BETWEEN_PARTS: u64 = 300;
const PARTS: usize = (24 * HOUR / BETWEEN_PARTS) as usize;

enum Due {
    Around(environment::EnvironmentEvent),
    /// The producer has another part, or the end.
    Read,
    /// A call that is to be performed looks for something to be signed with.
    Ask(ApiCall),
    /// A request is answered.
    Answered {
        sent: Sent,
        signed: Signed,
        took: u64,
    },
}

struct Day {
    around: SimEnvironment,
    upload: Upload,
    model: Model,
    due: BTreeMap<(u64, u64), Due>,
    serial: u64,
    stream: Vec<Bytes>,
    read: usize,
    held: HashMap<u32, Bytes>,
    cancelled: bool,
    commits: u32,
}

impl Day {
    fn new(scenario: Scenario) -> Day {
        let retry_for = secs(scenario.retry_for);
        // Nothing is cut: the parts of this stream are what is looked at.
        let settings = UploadConfig { retry_for, ..UploadConfig::plain(PARALLEL) };
        Day {
            around: SimEnvironment::new(scenario),
            upload: Upload::new(settings),
            model: Model::default(),
            due: BTreeMap::new(),
            serial: 0,
            stream: (0..PARTS).map(|i| Bytes::from(vec![i as u8; 1 + i % 5])).collect(),
            read: 0,
            held: HashMap::new(),
            cancelled: false,
            commits: 0,
        }
    }

    fn after(&mut self, delay: u64, due: Due) {
        self.serial += 1;
        self.due.insert((self.around.time + delay, self.serial), due);
    }

    fn now(&self) -> Duration {
        secs(self.around.time)
    }

    /// Runs to the end of the upload.
    fn run(mut self) -> (Day, Result<StoredObject, Error>) {
        self.after(BETWEEN_PARTS, Due::Read);
        loop {
            while let Some(action) = self.upload.poll_action() {
                match action {
                    Action::StartCall(call) => self.after(0, Due::Ask(call)),
                    Action::ReleasePart(number) => drop(self.held.remove(&number)),
                    Action::CancelParts => self.cancelled = true,
                    Action::Warn(_)
                    | Action::StopReading
                    | Action::Transition { .. }
                    | Action::Rehash(_)
                    | Action::SplitTail { .. } => {}
                    Action::Finish(result) => return (self, result),
                }
            }
            self.around.run_background();
            for (delay, event) in std::mem::take(&mut self.around.scheduled) {
                self.after(delay, Due::Around(event));
            }
            // A wake that was planned anew is dropped here: to act on it would plan another.
            while let Some(entry) = self.due.first_entry()
                && matches!(entry.get(), Due::Around(event) if !self.around.is_current(*event))
            {
                entry.remove();
            }
            let timeout = self.upload.poll_timeout().map(|at| at.as_millis().div_ceil(1000) as u64);
            let next = self.due.keys().next().map(|(at, _)| *at);
            match (next, timeout) {
                (Some(at), timeout) if timeout.is_none_or(|timeout| at <= timeout) => {
                    let (_, due) = self.due.pop_first().expect("it was just seen");
                    self.around.time = at;
                    self.happens(due);
                }
                (_, Some(at)) => {
                    self.around.time = self.around.time.max(at);
                    self.upload.handle_timeout(self.now());
                }
                (_, None) => panic!("nothing is due, and the machine waits for nothing"),
            }
        }
    }

    fn happens(&mut self, due: Due) {
        match due {
            Due::Around(event) => self.around.handle(event),
            Due::Read => self.reads(),
            Due::Ask(call) => self.asks(call),
            Due::Answered { sent, signed, took } => {
                self.around.on_response(signed, took);
                let result = match signed.ok {
                    true => self.model.perform(&sent, true),
                    false => Err(Model::refuse(401, "NotAuthenticated")),
                };
                self.done(sent.call, result);
            }
        }
    }

    /// The producer is held while no buffer is free.
    fn reads(&mut self) {
        if self.held.len() >= BUFFERS {
            return self.after(1, Due::Read);
        }
        let now = self.now();
        let Some(part) = self.stream.get(self.read).cloned() else {
            let whole = self.stream.concat();
            let (bytes, crc32) = (whole.len() as u64, crc32fast::hash(&whole));
            return self.upload.handle_event(now, Event::EndOfStream { bytes, crc32 });
        };
        if self.read == 1 {
            self.upload.handle_event(now, Event::MultipartNeeded);
        }
        self.read += 1;
        let number = self.read as u32;
        let digest = digest::part(Algorithm::Sha256, std::slice::from_ref(&part));
        self.held.insert(number, part);
        self.upload.handle_event(now, Event::Part { number, digest });
        self.after(BETWEEN_PARTS, Due::Read);
    }

    /// As a session does for an attempt: use, wait, renew first or give up.
    fn asks(&mut self, call: ApiCall) {
        let takes = self.around.scenario.part;
        let attempt = match call {
            ApiCall::Part(_) if self.cancelled => return,
            ApiCall::Part(of) => {
                SigningRequest::Transfer { transfer_id: of.into(), estimate: Some(secs(takes)) }
            }
            ApiCall::Abort { .. } => SigningRequest::Abort,
            _ => SigningRequest::Small,
        };
        let signed = match self.around.decide(attempt) {
            (_, Some(signed)) => signed,
            (TokenDecision::TimedOut, _) => {
                let error = Error::credentials("nothing valid to sign with");
                return self.done(call, Err(Failure::Credentials(error)));
            }
            (TokenDecision::RefreshFirst, _) => return self.after(3, Due::Ask(call)),
            _ => return self.after(1, Due::Ask(call)),
        };
        self.commits += u32::from(call == ApiCall::Commit && signed.ok);
        let whole = || Bytes::from(self.stream.concat());
        let body = match &call {
            ApiCall::Part(number) => self.held.get(number).expect("a part has its buffer").clone(),
            _ => whole(),
        };
        let digests = self.stream.iter().map(|part| {
            digest::part(Algorithm::Sha256, std::slice::from_ref(part)).value.expect("a digest")
        });
        let multipart = (call == ApiCall::Head)
            .then(|| digest::multipart(Algorithm::Sha256, &digests.collect::<Vec<_>>()));
        let sent = Sent {
            upload: self.upload.upload_id().map(str::to_owned),
            parts: self.upload.commit_parts().map(|(n, etag)| (n, etag.to_owned())).collect(),
            multipart,
            call,
            body,
        };
        let took = if matches!(sent.call, ApiCall::Part(_)) && signed.ok { takes } else { 1 };
        self.after(took, Due::Answered { sent, signed, took });
    }

    fn done(&mut self, call: ApiCall, result: Result<crate::upload::Outcome, Failure>) {
        // What was cancelled may still land at the service, but is never heard of again.
        if !(self.cancelled && matches!(call, ApiCall::Part(_))) {
            self.upload.handle_event(self.now(), Event::CallDone { call, result });
        }
    }
}

/// The stream is whole, and was committed once; or there was nothing valid for `--retry-for`, which
/// is exit 3, and nothing has appeared.
fn judged(scenario: Scenario) -> Day {
    let case = format!("{scenario:?}");
    let (day, result) = Day::new(scenario).run();
    match &result {
        Ok(stored) => {
            let object = day.model.object.as_ref().map(|(_, body)| body.clone());
            assert_eq!(object, Some(Bytes::from(day.stream.concat())), "{case}");
            assert_eq!((stored.parts as usize, day.commits), (PARTS, 1), "{case}");
            assert!(day.model.uploads.is_empty() && !day.around.tally.gave_up, "{case}");
        }
        Err(error) => {
            assert_eq!(error.kind, ErrorKind::Credentials, "{error}: {case}");
            assert!(day.around.tally.gave_up && day.model.object.is_none(), "{case}");
            let named = day.model.uploads.keys().all(|id| {
                error.hint.as_ref().is_some_and(|next| next.contains(&format!("ABORT {id}")))
            });
            assert!(named, "an open upload is not named: {error}: {case}");
        }
    }
    day
}

#[test]
fn a_quiet_day_with_tokens_of_minutes_costs_neither_a_wait_nor_a_refusal() {
    for life in [300, 3600] {
        let day = judged(Scenario { part: 100, ..Scenario::quiet(life) });
        assert_eq!((day.around.tally.waits, day.around.tally.rejected), (0, 0), "lives of {life}");
        assert!(day.model.object.is_some());
    }
}

#[test]
fn logins_and_rotations_carry_a_day_in_which_the_auth_service_is_down_most_of_the_time() {
    for life in [300, 3600] {
        for kind in [Auth::Fails, Auth::SameEnd, Auth::Hangs, Auth::Rejects] {
            let step = 7 * life as usize / 2;
            let begins = (50..26 * HOUR).step_by(step);
            let auth = begins.clone().flat_map(|at| [(at, kind), (at + 2 * life, Auth::Works)]);
            let rotations = begins.map(|at| at + 2 * life + 30).collect();
            let auth = auth.collect();
            let scenario = Scenario {
                auth,
                rotations,
                retry_for: 3 * life,
                part: 100,
                ..Scenario::quiet(life)
            };
            let day = judged(scenario);
            assert!(day.model.object.is_some(), "{kind:?} in lives of {life}");
            assert_eq!(day.around.tally.rejected, 0, "{kind:?} in lives of {life}");
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(60))]
    #[test]
    fn whatever_a_day_brings_the_stream_is_whole_or_nothing_valid_was_there_for_too_long(
        scenario in any_day()
    ) {
        judged(scenario);
    }
}
