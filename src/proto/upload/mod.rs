//! The upload as a state machine: events and the time in, actions out.
//!
//! Owns every decision between the first byte and the exit code. Must not know a clock, socket, file
//! or buffer. Its invariants, asserted by tests:
//!
//! 1. A buffer is released only after an acknowledgement whose checksum matches, or at the end of the
//!    run.
//! 2. A commit is sent only after a clean end of the stream, if all parts 1..n are acknowledged, their
//!    sizes sum to the bytes read, and the CRC of the bytes sent is that of the bytes read.
//!    A put is sent only after one, if the size and the CRC of its part are those of the bytes read.
//! 3. If the response to a commit is lost, its outcome is looked up, and neither success nor failure is
//!    assumed.
//! 4. A failed source, a stop or an exhausted retry budget never leads to a commit; at most one abort
//!    is in flight. If the cause of the end of the stream is unknown, the commit waits 100 ms for a
//!    signal.
//! 5. Every run ends, or `current_activity` names what it waits for.
//!
//! # Contract
//!
//! A driver owns the stream, the buffers, the requests and the clock. It calls, always in this order:
//!
//! 1. [`Upload::handle_event`] for each event, or [`Upload::handle_timeout`] once the time of
//!    [`Upload::poll_timeout`] has come;
//! 2. [`Upload::poll_action`] until it returns `None`, and performs the actions in order;
//! 3. [`Upload::poll_timeout`], then waits for the next event until that time.
//!
//! | The driver reports | when |
//! |---|---|
//! | [`Event::Part`] | the bytes of a part are in its buffers; part 1 first, without gaps |
//! | [`Event::MultipartNeeded`] | the stream goes on after its first part: the upload is created |
//! | [`Event::LastPartNext`] | optional: the next part is the last |
//! | [`Event::StreamDigests`] | only with [`UploadConfig::expected_digests`], before the end |
//! | [`Event::EndOfStream`] | the stream has ended cleanly; no part comes after it |
//! | [`Event::SourceFailed`] | in place of the end: reading failed, or the stream must not be stored |
//! | [`Event::CallDone`] | once for each [`Action::StartCall`], in any order; not for parts after [`Action::CancelParts`] |
//! | [`Event::Rehashed`], [`Event::TailSplit`] | as the result of [`Action::Rehash`] and [`Action::SplitTail`] |
//! | [`Event::Stop`] | the run is to end; the multipart upload is aborted, or left open to be continued |
//!
//! A buffer belongs to the machine from `Event::Part` to [`Action::ReleasePart`]. [`Action::Finish`] is the
//! last action, and has the result; until then [`Upload::current_activity`] names what the run waits for.
//! [`Upload::abandon`] ends a run at once.
//!
//! # Units and errors
//!
//! [`Now`] is the time since the start of the run, by a clock that never jumps; it must not decrease. Sizes
//! are bytes. CRC-32 is that of zlib. Digests of the service are in its spelling: base64, with `-N` behind
//! the digest of N parts. No call fails: what a driver reports as [`Failure`](crate::retry::Failure) is
//! classified by [`retry`](crate::retry), and either retried or the error of `Action::Finish`. Of these errors
//! only [`OutcomeUnknown`](crate::error::ErrorKind::OutcomeUnknown) leaves it open whether the object exists.
//!
//! # Sources
//!
//! The calls are CreateMultipartUpload, UploadPart, CommitMultipartUpload, AbortMultipartUpload,
//! ListMultipartUploads, ListMultipartUploadParts, PutObject, HeadObject and DeleteObject of the Object Storage
//! API (<https://docs.oracle.com/en-us/iaas/api/#/en/objectstorage/latest/>); the rules of parts are in "Using
//! Multipart Uploads" (<https://docs.oracle.com/iaas/Content/Object/Tasks/usingmultipartuploads.htm>).
//!
//! `examples/fake_service_upload.rs` is a driver of thirty lines.
//!
//! # States
//!
//! `TRANSITIONS` lists every transition and its cause. A stream of one part goes from
//! `Streaming` to `Storing`; a longer one from `Streaming` to `Committing`, with `Resolving` after a
//! lost response and `RelistingParts` after a rejected etag. Both go to `Verifying`, which reads the
//! object back. `Aborting`, `Deleting` and `ListingOrphans` clean up after the outcome is known.

mod cleanup;
mod commit;
mod commit_gate;
mod compare;
mod config;
mod conflict;
mod connections;
mod core;
mod dispatch;
mod end_of_stream;
mod event;
#[cfg(test)]
mod fingerprint;
mod not_found;
mod outage;
mod outcome;
mod par;
mod parts;
mod resolve;
mod resume;
mod state;
mod storing;
mod streaming;
mod tail_split;
mod transitions;
mod verify;

#[cfg(test)]
pub(crate) mod tests;

use crate::digest::PartDigest;
use crate::part_number::PartNumber;
use crate::retry::RetryDecision;

use self::core::{Core, Creation};
use state::{State, Streaming};

pub use crate::evidence::Evidence;
pub use config::{
    AutoConfig, ConflictRule, ContinuedUpload, MessageContext, ParConfig, PreviousObject,
    ResumeConfig, UploadCommand, UploadConfig, long_attempt,
};
#[doc(hidden)]
pub use conflict::too_long_for_one_put;
pub use event::{Action, ApiCall, EndOfStream, Event, Now, Outcome, ProbeCondition, StoredObject};
#[doc(hidden)]
pub use resume::upload_gone;
pub use tail_split::TailSplitPolicy as TailRule;
pub use transitions::{StateKind, TRANSITIONS};

/// Whether a decision allows another attempt.
fn is_retryable(decision: RetryDecision) -> bool {
    // Each decision by its name, so that a new one cannot be left out.
    match decision {
        RetryDecision::Retry { .. } | RetryDecision::RefreshCredentials => true,
        RetryDecision::CredentialsTimedOut
        | RetryDecision::ResolveOutcome
        | RetryDecision::ChecksumMismatch
        | RetryDecision::InvalidPart
        | RetryDecision::PreconditionFailed
        | RetryDecision::NotFound
        | RetryDecision::AmbiguousNotFound
        | RetryDecision::Fatal(_) => false,
    }
}

/// What the state machine waits for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Timer {
    /// The next attempt of the call besides parts.
    CallRetry,
    /// The next attempt of a part.
    PartRetry,
    /// The end of the time for a signal after the end of the stream.
    SignalHold,
    /// The report of an outage.
    OutageReport,
    /// The end of a stop or cleanup.
    Deadline,
}

impl Timer {
    const ALL: [Timer; 5] = [
        Timer::CallRetry,
        Timer::PartRetry,
        Timer::SignalHold,
        Timer::OutageReport,
        Timer::Deadline,
    ];
}

/// One upload. See the module's documentation for the contract of its calls.
#[cfg_attr(test, derive(Clone))]
pub struct Upload {
    state: State,
    core: Core,
}

impl Upload {
    /// An upload at time zero, of which nothing is read yet.
    pub fn new(config: UploadConfig) -> Upload {
        let streaming = Streaming::of(&config);
        Upload { state: State::Streaming(streaming), core: Core::new(config) }
    }

    /// The next action, until there is none.
    pub fn poll_action(&mut self) -> Option<Action> {
        self.core.actions.pop_front()
    }

    /// The latest time at which `handle_timeout` has to be called; `None` if no timer runs.
    pub fn poll_timeout(&self) -> Option<Now> {
        Timer::ALL.into_iter().filter_map(|timer| self.timer(timer)).min()
    }

    fn timer(&self, timer: Timer) -> Option<Now> {
        if self.kind() == StateKind::Finished {
            return None;
        }
        match (timer, &self.state) {
            (Timer::CallRetry, _) => self.core.call.scheduled.as_ref().map(|(at, _)| *at),
            (Timer::PartRetry, _) => self.core.parts.next_retry(),
            (Timer::SignalHold, State::Streaming(streaming)) => streaming.hold_until(),
            (Timer::SignalHold, _) => None,
            (Timer::OutageReport, _) => self.core.outage.report_at(),
            (Timer::Deadline, _) => self.core.deadline,
        }
    }

    /// Performs what is due at a time.
    pub fn handle_timeout(&mut self, now: Now) {
        self.core.now = now;
        if self.kind() == StateKind::Finished {
            return;
        }
        if self.timer(Timer::Deadline).is_some_and(|deadline| now >= deadline) {
            return self.step(dispatch::on_deadline);
        }
        self.core.report_outage();
        self.core.start_due_call();
        self.send_ready_parts();
    }

    /// Takes an event that happened at a time.
    pub fn handle_event(&mut self, now: Now, event: Event) {
        self.core.now = now;
        if self.kind() == StateKind::Finished {
            return;
        }
        self.step(|state, core| dispatch::on_event(state, core, event));
        self.send_ready_parts();
    }

    fn send_ready_parts(&mut self) {
        self.core.parts.release_due_retries(self.core.now);
        self.step(|state, core| match state {
            State::Streaming(streaming) => streaming.send_ready_parts(core),
            other => other,
        });
    }

    /// Lets the state take a step, and enters the state that follows.
    fn step(&mut self, step: impl FnOnce(State, &mut Core) -> State) {
        let from = self.kind();
        let next = step(std::mem::take(&mut self.state), &mut self.core);
        self.enter(from, next);
    }

    /// The only place where the state changes.
    fn enter(&mut self, from: StateKind, next: State) {
        let to = next.kind();
        self.state = next;
        if from == to {
            return;
        }
        debug_assert!(
            TRANSITIONS.iter().any(|(a, b, _)| (*a, *b) == (from, to)),
            "the transition from {from:?} to {to:?} is not in the table"
        );
        // `Finish` is the last action that the driver takes.
        let finish = match self.core.actions.back() {
            Some(Action::Finish(_)) => self.core.actions.pop_back(),
            _ => None,
        };
        self.core.act(Action::Transition { from, to });
        self.core.actions.extend(finish);
    }

    /// Ends the run now, as a second signal asks for. The final error names what is left.
    pub fn abandon(&mut self) {
        self.core.stop.deadline = Some(self.core.now);
        while self.kind() != StateKind::Finished {
            self.step(dispatch::on_deadline);
        }
    }

    // What the driver and the progress line read.

    /// The state of the upload, without its data.
    #[doc(hidden)]
    pub fn kind(&self) -> StateKind {
        self.state.kind()
    }

    /// Whether the stream has ended cleanly and is sent in parts.
    #[doc(hidden)]
    pub fn has_only_parts_left(&self) -> bool {
        self.core.end.is_some() && self.core.multipart.creation != Creation::NotStarted
    }

    /// The id of the multipart upload; `None` before it is created.
    pub fn upload_id(&self) -> Option<&str> {
        self.core.upload_id()
    }

    /// Whether the run was to continue an open upload, and has looked for one.
    #[doc(hidden)]
    pub fn resumes(&self) -> bool {
        self.core.config.resume.is_some()
    }

    /// The names and commands in messages.
    #[doc(hidden)]
    pub fn messages(&self) -> &MessageContext {
        &self.core.config.messages
    }

    /// The numbers and etags of the parts to commit, in order.
    pub fn commit_parts(&self) -> impl Iterator<Item = (PartNumber, &str)> {
        self.core.parts.etags()
    }

    /// The numbers that the service holds parts of and that are not part of the object, in order.
    pub fn excluded_parts(&self) -> &[PartNumber] {
        &self.core.multipart.excluded
    }

    /// The size and digests of a part.
    pub fn part(&self, number: PartNumber) -> Option<&PartDigest> {
        self.core.parts.digest(number)
    }

    /// The number of acknowledged parts, and their size in bytes.
    #[doc(hidden)]
    pub fn acknowledged(&self) -> (u32, u64) {
        self.core.parts.acknowledged()
    }

    /// The number that the next part of the stream gets; `None` after the last possible one.
    #[doc(hidden)]
    pub fn next_part_number(&self) -> Option<PartNumber> {
        PartNumber::from_index(self.core.parts.count() as usize)
    }

    /// The bytes of acknowledged parts that were not sent, since the service held them before the run.
    #[doc(hidden)]
    pub fn held_bytes(&self) -> u64 {
        self.core.parts.held_bytes()
    }

    /// The number of parts in flight.
    #[doc(hidden)]
    pub fn in_flight(&self) -> usize {
        self.core.parts.in_flight()
    }

    /// The connections, above the first four, for which no part is read.
    #[doc(hidden)]
    pub fn idle_connections(&self) -> usize {
        self.core.parts.idle_connections()
    }

    /// The number of attempts that were retries.
    pub fn retries(&self) -> u64 {
        self.core.retries
    }

    /// Whether requests fail, and none has succeeded since.
    #[doc(hidden)]
    pub fn is_in_outage(&self) -> bool {
        self.core.outage.is_open()
    }

    /// What an unfinished run waits for.
    pub fn current_activity(&self) -> Option<&'static str> {
        let core = &self.core;
        Some(match self.kind() {
            StateKind::Finished => return None,
            StateKind::Streaming if core.outage.is_open() => "the service to accept parts again",
            StateKind::Streaming if core.end.is_some() && core.parts.all_acknowledged() => {
                "a signal that may have ended the stream"
            }
            StateKind::Streaming if core.end.is_some() => "parts to be acknowledged",
            StateKind::Streaming => "the stream",
            StateKind::Storing => "the object to be stored",
            StateKind::Committing => "the commit",
            StateKind::Resolving => "the outcome of the commit",
            StateKind::RelistingParts => "the list of parts",
            StateKind::Verifying => "the object to be verified",
            StateKind::Aborting => "the abort of the upload",
            StateKind::Deleting => "the object to be deleted",
            StateKind::ListingOrphans => "the list of open uploads",
        })
    }
}
