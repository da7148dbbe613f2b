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

mod cleanup;
mod compare;
mod confirm;
mod event;
mod not_found;
mod parts;
mod resolve;
mod retry_budget;
mod send_parts;
mod tail_split;

#[cfg(test)]
pub(crate) mod tests;

use std::collections::VecDeque;

use crate::api::ObjectMeta;
use crate::digest::PartDigest;
use crate::error::Error;
use crate::retry::{self, Failure, NotFoundStreak, Operation, RetryDecision, RunStage};

pub use compare::VerifiedBy;
pub use event::{
    Action, ApiCall, Event, MessageContext, Now, Outcome, PreviousObject, ProbeCondition,
    StoredObject, UploadConfig,
};
use parts::Parts;
use retry_budget::Outage;
pub use tail_split::TailSplitPolicy as TailRule;

/// Where the run stands.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Phase {
    /// Reading and sending parts.
    Streaming,
    /// One PutObject carries the whole stream.
    Storing,
    /// The commit is under way or waits for its next attempt.
    Committing,
    /// The commit's answer was lost.
    Resolving(resolve::ResolveStep),
    /// The commit does not know a part: the parts are listed.
    RelistingParts,
    /// Committed by the service's word; the object itself is asked.
    Verifying,
    /// It is over for this reason; the upload is being aborted.
    Aborting,
    /// A committed object that does not verify is being deleted.
    Deleting,
    /// A create whose answer was lost may have left an upload: the open ones are listed.
    ListingOrphans,
    Finished,
}

/// The multipart upload itself.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Creation {
    NotStarted,
    InFlight,
    Created(String),
}

/// The machine.
pub struct Upload {
    config: UploadConfig,
    phase: Phase,
    creation: Creation,
    create_in_doubt: bool,
    /// A create was sent and not answered yet.
    create_in_flight: bool,
    parts: Parts,
    end_of_stream: Option<(u64, u32)>,
    /// Until then nothing is begun that makes an object appear: a signal may be the cause of the end.
    commit_hold_until: Option<Now>,
    multipart_needed: bool,
    /// The next part is the last.
    next_part_is_last: bool,
    /// No part comes after those that were read.
    no_more_parts: bool,
    /// The one call besides parts that waits for its next attempt.
    scheduled_call: Option<(Now, ApiCall)>,
    attempt: u32,
    response_lost: bool,
    /// The upload was seen open after the last commit was sent.
    seen_open: bool,
    relist_attempts: u32,
    /// Whether the bucket has answered anything in this run but that it may not be there.
    bucket_seen: bool,
    /// Of the call besides parts that is asked now, the 404s in a row that may be spurious.
    not_found_streak: Option<(Operation, NotFoundStreak)>,
    /// How often a commit or put was begun.
    commit_attempts: u32,
    /// The plain no to a repeated commit or put whose earlier answer is missing.
    pending_rejection: Option<Error>,
    /// An object that may be what a put whose answer was lost has stored.
    candidate_object: Option<ObjectMeta>,
    /// A put whose answer was lost has been asked for although patience was over.
    final_head_sent: bool,
    committed: Option<ObjectMeta>,
    /// What the answer to the commit was verified by.
    response_evidence: Option<VerifiedBy>,
    /// An upload that only asked what stands at the name, to be aborted besides the main one.
    probe_upload_id: Option<String>,
    outcome: Option<Result<StoredObject, Error>>,
    outage: Option<Outage>,
    /// When the last trouble ended.
    last_outage_end: Option<Now>,
    /// When something was acknowledged last.
    last_progress: Now,
    /// Whether it has been told that 404s may be spurious.
    spurious_reported: bool,
    /// When a signal or an abort must be over.
    cleanup_deadline: Option<Now>,
    /// When a run that was told to stop must be over, whatever it still does.
    stop_deadline: Option<Now>,
    stop_error: Option<Error>,
    /// The latest time that was handed in.
    now: Now,
    retries: u64,
    rng: fastrand::Rng,
    actions: VecDeque<Action>,
}

impl Upload {
    pub fn new(config: UploadConfig) -> Upload {
        Upload {
            phase: Phase::Streaming,
            creation: Creation::NotStarted,
            create_in_doubt: false,
            create_in_flight: false,
            parts: Parts::new(config.parallel),
            end_of_stream: None,
            commit_hold_until: None,
            multipart_needed: false,
            next_part_is_last: false,
            no_more_parts: false,
            scheduled_call: None,
            attempt: 0,
            response_lost: false,
            seen_open: false,
            relist_attempts: 0,
            bucket_seen: config.bucket_seen,
            not_found_streak: None,
            commit_attempts: 0,
            pending_rejection: None,
            candidate_object: None,
            final_head_sent: false,
            committed: None,
            response_evidence: None,
            probe_upload_id: None,
            outcome: None,
            outage: None,
            last_outage_end: None,
            last_progress: Now::ZERO,
            spurious_reported: false,
            cleanup_deadline: None,
            stop_deadline: None,
            stop_error: None,
            now: Now::ZERO,
            retries: 0,
            rng: fastrand::Rng::with_seed(config.seed),
            actions: VecDeque::new(),
            config,
        }
    }

    /// The next thing to do, until there is none.
    pub fn poll_action(&mut self) -> Option<Action> {
        self.actions.pop_front()
    }

    /// When `handle_timeout` wants to be called at the latest.
    pub fn poll_timeout(&self) -> Option<Now> {
        if self.phase == Phase::Finished {
            return None;
        }
        let waiting = self.scheduled_call.as_ref().map(|(at, _)| *at);
        let hold = self.commit_hold_until.filter(|_| self.streaming());
        [waiting, hold, self.parts.next_retry(), self.cleanup_deadline, self.report_at()]
            .into_iter()
            .flatten()
            .min()
    }

    pub fn handle_timeout(&mut self, now: Now) {
        self.now = now;
        if self.phase == Phase::Finished {
            return;
        }
        if self.cleanup_deadline.is_some_and(|deadline| now >= deadline) {
            self.on_deadline(now);
            return;
        }
        self.report_outage(now);
        if self.scheduled_call.as_ref().is_some_and(|(at, _)| now >= *at)
            && let Some((_, call)) = self.scheduled_call.take()
        {
            self.start_call(call);
        }
        self.parts.release_due_retries(now);
        self.send_ready_parts(now);
    }

    pub fn handle_event(&mut self, now: Now, event: Event) {
        self.now = now;
        if self.phase == Phase::Finished {
            return;
        }
        match event {
            Event::Part { number, digest } => self.on_part_read(number, digest),
            Event::MultipartNeeded => self.on_multipart_needed(),
            Event::LastPartNext => self.next_part_is_last = true,
            Event::EndOfStream { bytes, crc32 } => self.on_end_of_stream(now, bytes, crc32),
            // A source that has ended cleanly has nothing more to say.
            Event::SourceFailed(_) if self.end_of_stream.is_some() => {}
            Event::SourceFailed(error) => self.abort_with(now, error),
            Event::Stop(error) => self.stop(now, error),
            Event::TailSplit { first, digests } => self.on_tail_split(now, first, digests),
            Event::Rehashed { number, digest, md5 } => self.on_rehashed(now, number, digest, md5),
            Event::CallDone { call, result } => self.on_call_done(now, call, result),
        }
        self.parts.release_due_retries(now);
        self.send_ready_parts(now);
    }

    fn start_call(&mut self, call: ApiCall) {
        self.create_in_flight |= matches!(call, ApiCall::Create | ApiCall::ConditionalCreate(_));
        self.commit_attempts += u32::from(matches!(call, ApiCall::Put | ApiCall::Commit));
        self.actions.push_back(Action::StartCall(call));
    }

    fn stage(&self) -> RunStage {
        if self.config.service_seen { RunStage::Streaming } else { RunStage::Preflight }
    }

    fn on_call_done(&mut self, now: Now, call: ApiCall, result: Result<Outcome, Failure>) {
        self.config.service_seen |= result.is_ok();
        self.bucket_seen |= match &result {
            Ok(_) => true,
            Err(failure) => failure.shows_bucket(),
        };
        self.create_in_flight &= !matches!(call, ApiCall::Create | ApiCall::ConditionalCreate(_));
        if let ApiCall::Part(number) = call {
            return self.on_part_done(now, number, result);
        }
        match result {
            Ok(outcome) => {
                self.not_found_streak = None;
                // Answers to questions bring a commit that is never answered no further.
                if !matches!(self.phase, Phase::Resolving(_)) {
                    self.attempt = 0;
                }
                self.on_success(now, call, outcome);
            }
            Err(failure) => self.on_failure(now, call, failure),
        }
    }

    fn on_success(&mut self, now: Now, call: ApiCall, outcome: Outcome) {
        match (self.phase.clone(), outcome) {
            (Phase::Streaming, Outcome::Created { upload_id }) => {
                self.creation = Creation::Created(upload_id);
                self.record_progress(now);
            }
            // The run was over before the create was answered: now there is an id to abort.
            (Phase::Aborting | Phase::ListingOrphans, Outcome::Created { upload_id })
                if self.upload_id().is_none() =>
            {
                self.phase = Phase::Aborting;
                self.scheduled_call = None;
                self.creation = Creation::Created(upload_id);
                self.start_call(ApiCall::Abort);
            }
            (Phase::Storing, Outcome::Stored { held, crc32 }) => {
                self.on_put_stored(now, held, crc32)
            }
            (Phase::Storing, Outcome::Object(held)) => self.on_put_head(now, held),
            (Phase::Committing, Outcome::Committed(held)) => self.on_committed(now, held),
            (Phase::Verifying, Outcome::Object(held)) => self.on_head(now, held),
            (Phase::Verifying, Outcome::Created { upload_id }) => {
                self.on_probe_created(now, call, upload_id)
            }
            (Phase::Resolving(step), outcome) => self.on_resolve_response(now, step, outcome),
            (Phase::RelistingParts, Outcome::Parts(listed)) => self.on_parts_listed(now, listed),
            (Phase::Aborting | Phase::Deleting, Outcome::Removed) => self.on_cleanup_done(None),
            (Phase::ListingOrphans, Outcome::Uploads(listed)) => self.orphans_listed(&listed),
            // An answer that belongs to a phase that is over says nothing any more.
            _ => {}
        }
    }

    fn on_failure(&mut self, now: Now, call: ApiCall, failure: Failure) {
        let verdict = retry::classify(call.operation(), self.stage(), &failure);
        if verdict == RetryDecision::CredentialsTimedOut && !self.is_cleaning_up() {
            let error = failure.error(call.operation(), call.operation().name());
            return self.on_budget_exhausted(now, error);
        }
        if verdict == RetryDecision::AmbiguousNotFound {
            return self.on_ambiguous_not_found(now, call, failure);
        }
        self.not_found_streak = None;
        match self.phase.clone() {
            Phase::Streaming if call == ApiCall::Create => match verdict {
                RetryDecision::ResolveOutcome => {
                    self.create_in_doubt = true;
                    self.retry_call(now, call, &failure);
                }
                RetryDecision::Retry { .. } | RetryDecision::RefreshCredentials => {
                    self.retry_call(now, call, &failure)
                }
                _ => {
                    let doing = "the multipart upload was not created";
                    self.abort_with(now, self.refused(&failure, call.operation(), doing));
                }
            },
            Phase::Storing => self.on_put_failed(now, call, verdict, failure),
            Phase::Committing => self.on_commit_failed(now, verdict, failure),
            Phase::Resolving(step) => self.on_resolve_failure(now, step, verdict, failure),
            Phase::RelistingParts => match verdict {
                RetryDecision::Retry { .. } | RetryDecision::RefreshCredentials => {
                    self.retry_call(now, call, &failure)
                }
                RetryDecision::NotFound if self.response_lost => {
                    self.start_resolving(resolve::ResolveStep::HeadAfterUploadGone)
                }
                _ => self.abort_with(now, failure.error(call.operation(), "listing the parts")),
            },
            Phase::Verifying => self.on_head_failed(now, call, verdict, failure),
            Phase::Aborting | Phase::Deleting => match verdict {
                RetryDecision::NotFound if call == ApiCall::Abort && self.response_lost => {
                    self.end_unknown("its answer was lost, and the upload is closed");
                }
                RetryDecision::NotFound if call == ApiCall::Abort => self.on_cleanup_done(None),
                // Gone it was to be; the answer to an earlier try may have been lost.
                RetryDecision::NotFound if matches!(call, ApiCall::Delete { .. }) => {
                    self.on_cleanup_done(None)
                }
                RetryDecision::Retry { .. } | RetryDecision::RefreshCredentials => {
                    self.retry_after_pause(now, call)
                }
                RetryDecision::ResolveOutcome if call == ApiCall::Create => {
                    self.create_in_doubt = true;
                    self.on_cleanup_done(None);
                }
                _ if call == ApiCall::Create => self.on_cleanup_done(None),
                _ => self.on_cleanup_done(Some(failure)),
            },
            Phase::ListingOrphans if call != ApiCall::ListUploads => {}
            Phase::ListingOrphans if cleanup::is_retryable(verdict) => {
                self.retry_after_pause(now, call)
            }
            Phase::ListingOrphans => self.orphans_unlisted(Some(&failure)),
            Phase::Streaming | Phase::Finished => {}
        }
    }

    // What the driver and the progress line want to know.

    pub fn upload_id(&self) -> Option<&str> {
        match &self.creation {
            Creation::Created(id) => Some(id),
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
    fn commit_was_sent(&self) -> bool {
        matches!(
            self.phase,
            Phase::Storing | Phase::Committing | Phase::Resolving(_) | Phase::Verifying
        )
    }

    /// What the upload stands still for, where it does.
    pub fn stalled_on(&self) -> Option<&'static str> {
        self.outage.as_ref().and_then(|_| self.current_activity())
    }

    /// What an unfinished run waits for, in words.
    pub fn current_activity(&self) -> Option<&'static str> {
        Some(match self.phase {
            Phase::Finished => return None,
            Phase::Streaming if self.outage.is_some() => "the service to accept parts again",
            Phase::Streaming if self.end_of_stream.is_some() && self.parts.all_acknowledged() => {
                "a signal that may have ended the stream"
            }
            Phase::Streaming if self.end_of_stream.is_some() => "parts to be acknowledged",
            Phase::Streaming => "the stream",
            Phase::Storing => "the object to be stored",
            Phase::Committing => "the commit",
            Phase::Resolving(_) => "the outcome of the commit",
            Phase::RelistingParts => "the list of parts",
            Phase::Verifying => "the object to be verified",
            Phase::Aborting => "the abort of the upload",
            Phase::Deleting => "the object to be deleted",
            Phase::ListingOrphans => "the list of open uploads",
        })
    }
}
