//! The upload as a state machine: events and the time in, actions out.
//!
//! Owns every decision between the first byte and the exit code. Knows no clock, socket, file or
//! buffer; time is a duration since the start, handed in. Its invariants, asserted by tests:
//!
//! 1. A buffer is freed only on an acknowledgement whose checksum is ours, or when all is given up.
//! 2. A commit is sent only after a clean end of the stream, with all parts 1..n acknowledged, the
//!    sizes summing to what was read and the CRC-32 of what was sent equal to that of what was read.
//! 3. When the answer to a commit is lost, neither success nor failure is assumed: it is asked for.
//! 4. A broken source, a signal or giving up never leads to a commit; at most one abort is under way.
//!    The end of a stream of unknown cause leads to one only after a pause in which no signal comes.
//! 5. Every run ends, or says what it waits for (`waiting_for`).

mod ending;
mod event;
mod hidden;
mod parts;
mod patience;
mod settle;
mod stands;
mod streaming;
mod tail;
mod verify;

#[cfg(test)]
pub(crate) mod tests;

use std::collections::VecDeque;

use crate::digest::PartDigest;
use crate::error::Error;
use crate::oci::api::Held;
use crate::retry::{self, Failure, Operation, Stage, Tally, Verdict};

pub use event::{Action, Before, Call, Event, Named, Now, Outcome, Question, Settings, Stored};
use parts::Parts;
use patience::Trouble;
pub use tail::Rule as TailRule;
pub use verify::VerifiedBy;

/// Where the run stands.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Phase {
    /// Reading and sending parts.
    Streaming,
    /// One PutObject carries the whole stream.
    Putting,
    /// The commit is under way or waits for its next attempt.
    Committing,
    /// The commit's answer was lost.
    Settling(settle::Step),
    /// The commit does not know a part: the parts are listed.
    Healing,
    /// Committed by the service's word; the object itself is asked.
    Verifying,
    /// It is over for this reason; the upload is being aborted.
    Aborting,
    /// A committed object that does not verify is being deleted.
    Deleting,
    /// A create whose answer was lost may have left an upload: the open ones are listed.
    Orphans,
    Finished,
}

/// The multipart upload itself.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Creation {
    NotYet,
    UnderWay,
    Done(String),
}

/// The machine.
pub struct Upload {
    settings: Settings,
    phase: Phase,
    creation: Creation,
    create_in_doubt: bool,
    /// A create was sent and not answered yet.
    create_under_way: bool,
    parts: Parts,
    end: Option<(u64, u32)>,
    /// Until then nothing is begun that makes an object appear: a signal may be the cause of the end.
    hold: Option<Now>,
    continues: bool,
    /// The next part is the last.
    last_comes: bool,
    /// No part comes after those that were read.
    ending: bool,
    /// The one call besides parts that waits for its next attempt.
    waiting: Option<(Now, Call)>,
    attempt: u32,
    in_doubt: bool,
    /// The upload was seen open after the last commit was sent.
    still_open: bool,
    heals: u32,
    /// Whether the bucket has answered anything in this run but that it may not be there.
    bucket_answered: bool,
    /// Of the call besides parts that is asked now, the 404s in a row that may be spurious.
    tally: Option<(Operation, Tally)>,
    /// How often a commit or put was begun.
    sends: u32,
    /// The plain no to a repeated commit or put whose earlier answer is missing.
    refusal: Option<Error>,
    /// An object that may be what a put whose answer was lost has stored.
    found: Option<Held>,
    /// A put whose answer was lost has been asked for although patience was over.
    asked: bool,
    committed: Option<Held>,
    /// What the answer to the commit was verified by.
    answered_by: Option<VerifiedBy>,
    /// An upload that only asked what stands at the name, to be aborted besides the main one.
    leftover: Option<String>,
    outcome: Option<Result<Stored, Error>>,
    trouble: Option<Trouble>,
    /// When the last trouble ended.
    calm_since: Option<Now>,
    /// When something was acknowledged last.
    forward_at: Now,
    /// Whether it has been told that 404s may be spurious.
    spurious_told: bool,
    /// When a signal or an abort must be over.
    deadline: Option<Now>,
    /// When a run that was told to stop must be over, whatever it still does.
    stop_by: Option<Now>,
    stopping: Option<Error>,
    /// The latest time that was handed in.
    now: Now,
    retries: u64,
    random: fastrand::Rng,
    actions: VecDeque<Action>,
}

impl Upload {
    pub fn new(settings: Settings) -> Upload {
        Upload {
            phase: Phase::Streaming,
            creation: Creation::NotYet,
            create_in_doubt: false,
            create_under_way: false,
            parts: Parts::new(settings.parallel),
            end: None,
            hold: None,
            continues: false,
            last_comes: false,
            ending: false,
            waiting: None,
            attempt: 0,
            in_doubt: false,
            still_open: false,
            heals: 0,
            bucket_answered: settings.bucket_answered,
            tally: None,
            sends: 0,
            refusal: None,
            found: None,
            asked: false,
            committed: None,
            answered_by: None,
            leftover: None,
            outcome: None,
            trouble: None,
            calm_since: None,
            forward_at: Now::ZERO,
            spurious_told: false,
            deadline: None,
            stop_by: None,
            stopping: None,
            now: Now::ZERO,
            retries: 0,
            random: fastrand::Rng::with_seed(settings.seed),
            actions: VecDeque::new(),
            settings,
        }
    }

    /// The next thing to do, until there is none.
    pub fn next_action(&mut self) -> Option<Action> {
        self.actions.pop_front()
    }

    /// When `handle_timeout` wants to be called at the latest.
    pub fn next_timeout(&self) -> Option<Now> {
        if self.phase == Phase::Finished {
            return None;
        }
        let waiting = self.waiting.as_ref().map(|(at, _)| *at);
        let hold = self.hold.filter(|_| self.streaming());
        [waiting, hold, self.parts.next_retry(), self.deadline, self.mention_at()]
            .into_iter()
            .flatten()
            .min()
    }

    pub fn handle_timeout(&mut self, now: Now) {
        self.now = now;
        if self.phase == Phase::Finished {
            return;
        }
        if self.deadline.is_some_and(|deadline| now >= deadline) {
            self.out_of_time(now);
            return;
        }
        self.mention_trouble(now);
        if self.waiting.as_ref().is_some_and(|(at, _)| now >= *at)
            && let Some((_, call)) = self.waiting.take()
        {
            self.begin(call);
        }
        self.parts.wake(now);
        self.pump(now);
    }

    pub fn handle(&mut self, now: Now, event: Event) {
        self.now = now;
        if self.phase == Phase::Finished {
            return;
        }
        match event {
            Event::Part { number, digest } => self.part_read(number, digest),
            Event::Continues => self.continues(),
            Event::Ending => self.last_comes = true,
            Event::End { bytes, crc32 } => self.ended(now, bytes, crc32),
            // A source that has ended cleanly has nothing more to say.
            Event::Broken(_) if self.end.is_some() => {}
            Event::Broken(error) => self.fail(now, error),
            Event::Stop(error) => self.stop(now, error),
            Event::Cut { first, digests } => self.was_cut(now, first, digests),
            Event::Rehashed { number, digest, md5 } => self.rehashed(now, number, digest, md5),
            Event::Done { call, result } => self.done(now, call, result),
        }
        self.parts.wake(now);
        self.pump(now);
    }

    fn begin(&mut self, call: Call) {
        self.create_under_way |= matches!(call, Call::Create | Call::Probe(_));
        self.sends += u32::from(matches!(call, Call::Put | Call::Commit));
        self.actions.push_back(Action::Begin(call));
    }

    fn stage(&self) -> Stage {
        if self.settings.answered { Stage::UnderWay } else { Stage::Start }
    }

    fn done(&mut self, now: Now, call: Call, result: Result<Outcome, Failure>) {
        self.settings.answered |= result.is_ok();
        self.bucket_answered |= match &result {
            Ok(_) => true,
            Err(failure) => failure.knows_the_bucket(),
        };
        self.create_under_way &= !matches!(call, Call::Create | Call::Probe(_));
        if let Call::Part(number) = call {
            return self.part_done(now, number, result);
        }
        match result {
            Ok(outcome) => {
                self.tally = None;
                // Answers to questions bring a commit that is never answered no further.
                if !matches!(self.phase, Phase::Settling(_)) {
                    self.attempt = 0;
                }
                self.succeeded(now, call, outcome);
            }
            Err(failure) => self.failed(now, call, failure),
        }
    }

    fn succeeded(&mut self, now: Now, call: Call, outcome: Outcome) {
        match (self.phase.clone(), outcome) {
            (Phase::Streaming, Outcome::Created { upload_id }) => {
                self.creation = Creation::Done(upload_id);
                self.went_forward(now);
            }
            // The run was over before the create was answered: now there is an id to abort.
            (Phase::Aborting | Phase::Orphans, Outcome::Created { upload_id })
                if self.upload_id().is_none() =>
            {
                self.phase = Phase::Aborting;
                self.waiting = None;
                self.creation = Creation::Done(upload_id);
                self.begin(Call::Abort);
            }
            (Phase::Putting, Outcome::Stored { held, crc32 }) => {
                self.put_answered(now, held, crc32)
            }
            (Phase::Putting, Outcome::Object(held)) => self.put_settled(now, held),
            (Phase::Committing, Outcome::Committed(held)) => self.committed(now, held),
            (Phase::Verifying, Outcome::Object(held)) => self.seen(now, held),
            (Phase::Verifying, Outcome::Created { upload_id }) => {
                self.answered_yes(now, call, upload_id)
            }
            (Phase::Settling(step), outcome) => self.settled(now, step, outcome),
            (Phase::Healing, Outcome::Parts(listed)) => self.healed(now, listed),
            (Phase::Aborting | Phase::Deleting, Outcome::Gone) => self.cleaned(None),
            (Phase::Orphans, Outcome::Uploads(listed)) => self.orphans_listed(&listed),
            // An answer that belongs to a phase that is over says nothing any more.
            _ => {}
        }
    }

    fn failed(&mut self, now: Now, call: Call, failure: Failure) {
        let verdict = retry::judge(call.operation(), self.stage(), &failure);
        if verdict == Verdict::GiveUp && !self.over() {
            let error = failure.error(call.operation(), call.operation().name());
            return self.give_up(now, error);
        }
        if verdict == Verdict::Hidden {
            return self.hidden(now, call, failure);
        }
        self.tally = None;
        match self.phase.clone() {
            Phase::Streaming if call == Call::Create => match verdict {
                Verdict::Settle => {
                    self.create_in_doubt = true;
                    self.again(now, call, &failure);
                }
                Verdict::Again { .. } | Verdict::Renew => self.again(now, call, &failure),
                _ => {
                    let doing = "the multipart upload was not created";
                    self.fail(now, self.refused(&failure, call.operation(), doing));
                }
            },
            Phase::Putting => self.put_failed(now, call, verdict, failure),
            Phase::Committing => self.commit_failed(now, verdict, failure),
            Phase::Settling(step) => self.settling_failed(now, step, verdict, failure),
            Phase::Healing => match verdict {
                Verdict::Again { .. } | Verdict::Renew => self.again(now, call, &failure),
                Verdict::Missing if self.in_doubt => self.settle(settle::Step::ObjectAgain),
                _ => self.fail(now, failure.error(call.operation(), "listing the parts")),
            },
            Phase::Verifying => self.unseen(now, call, verdict, failure),
            Phase::Aborting | Phase::Deleting => match verdict {
                Verdict::Missing if call == Call::Abort && self.in_doubt => {
                    self.end_unknown("its answer was lost, and the upload is closed");
                }
                Verdict::Missing if call == Call::Abort => self.cleaned(None),
                // Gone it was to be; the answer to an earlier try may have been lost.
                Verdict::Missing if matches!(call, Call::Delete { .. }) => self.cleaned(None),
                Verdict::Again { .. } | Verdict::Renew => self.again_soon(now, call),
                Verdict::Settle if call == Call::Create => {
                    self.create_in_doubt = true;
                    self.cleaned(None);
                }
                _ if call == Call::Create => self.cleaned(None),
                _ => self.cleaned(Some(failure)),
            },
            Phase::Orphans if call != Call::ListUploads => {}
            Phase::Orphans if ending::worth_another(verdict) => self.again_soon(now, call),
            Phase::Orphans => self.orphans_unlisted(Some(&failure)),
            Phase::Streaming | Phase::Finished => {}
        }
    }

    // What the driver and the progress line want to know.

    pub fn upload_id(&self) -> Option<&str> {
        match &self.creation {
            Creation::Done(id) => Some(id),
            _ => None,
        }
    }

    /// The parts to commit, in order.
    pub fn commit_parts(&self) -> impl Iterator<Item = (u32, &str)> {
        self.parts.etags()
    }

    /// The size and digest of a part.
    pub fn part(&self, number: u32) -> Option<&PartDigest> {
        self.parts.digest(number)
    }

    pub fn acknowledged(&self) -> (u32, u64) {
        self.parts.acknowledged()
    }

    pub fn in_flight(&self) -> usize {
        self.parts.in_flight()
    }

    pub fn retries(&self) -> u64 {
        self.retries
    }

    /// Whether a commit or put has been sent, so that a signal no longer cancels it.
    fn sent_for_good(&self) -> bool {
        matches!(
            self.phase,
            Phase::Putting | Phase::Committing | Phase::Settling(_) | Phase::Verifying
        )
    }

    /// What the upload stands still for, where it does.
    pub fn stands_still(&self) -> Option<&'static str> {
        self.trouble.as_ref().and_then(|_| self.waiting_for())
    }

    /// What an unfinished run waits for, in words.
    pub fn waiting_for(&self) -> Option<&'static str> {
        Some(match self.phase {
            Phase::Finished => return None,
            Phase::Streaming if self.trouble.is_some() => "the service to accept parts again",
            Phase::Streaming if self.end.is_some() && self.parts.all_acknowledged() => {
                "a signal that may have ended the stream"
            }
            Phase::Streaming if self.end.is_some() => "parts to be acknowledged",
            Phase::Streaming => "the stream",
            Phase::Putting => "the object to be stored",
            Phase::Committing => "the commit",
            Phase::Settling(_) => "the outcome of the commit",
            Phase::Healing => "the list of parts",
            Phase::Verifying => "the object to be verified",
            Phase::Aborting => "the abort of the upload",
            Phase::Deleting => "the object to be deleted",
            Phase::Orphans => "the list of open uploads",
        })
    }
}
