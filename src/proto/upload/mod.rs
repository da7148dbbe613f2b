//! The upload as a state machine: events and the time in, actions out.
//!
//! Owns every decision between the first byte and the exit code. Must not know a clock, socket, file
//! or buffer. Its invariants, asserted by tests:
//!
//! 1. A buffer is released only after an acknowledgement whose checksum matches, or at the end of the
//!    run.
//! 2. A commit is sent only after a clean end of the stream, if all parts 1..n are acknowledged, their
//!    sizes sum to the bytes read, and the CRC-32 of the bytes sent is that of the bytes read.
//! 3. If the response to a commit is lost, its outcome is looked up, and neither success nor failure is
//!    assumed.
//! 4. A failed source, a stop or an exhausted retry budget never leads to a commit; at most one abort
//!    is in flight. If the cause of the end of the stream is unknown, the commit waits 100 ms for a
//!    signal.
//! 5. Every run ends, or `current_activity` names what it waits for.
//!
//! # Contract
//!
//! The driver calls `handle_event` for each event and `handle_timeout` once `poll_timeout` has passed.
//! After each of them it calls `poll_action` until that returns `None`, and performs the actions in
//! order. `Action::Finish` is the last action. Time is a duration since the start of the run, and never
//! decreases. Every `Action::StartCall` is answered by one `Event::CallDone`, except for parts after
//! `Action::CancelParts`.
//!
//! # States
//!
//! `TRANSITIONS` lists every transition and its cause. A stream of one part goes from
//! `Streaming` to `Storing`; a longer one from `Streaming` to `Committing`, with `Resolving` after a
//! lost response and `RelistingParts` after a rejected etag. Both go to `Verifying`, which reads the
//! object back. `Aborting`, `Deleting` and `ListingOrphans` clean up after the outcome is known.

mod cleanup;
mod commit;
mod compare;
mod core;
mod event;
mod outage;
mod parts;
mod resolve;
mod state;
mod storing;
mod streaming;
mod tail_split;
mod transitions;
mod verify;

#[cfg(test)]
pub(crate) mod tests;

use crate::digest::PartDigest;
use crate::error::Error;
use crate::retry::{self, Failure, RetryDecision};

use self::core::{Core, RESOLVE_TIMEOUT, STOP_TIMEOUT};
use state::State;
use streaming::Streaming;

pub use compare::Evidence;
pub use event::{
    Action, ApiCall, EndOfStream, Event, MessageContext, Now, Outcome, PreviousObject,
    ProbeCondition, StoredObject, UploadConfig,
};
pub use state::StateKind;
pub use tail_split::TailSplitPolicy as TailRule;
pub use transitions::TRANSITIONS;

/// Whether a commit or put may have taken effect although no response says so.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
enum Doubt {
    /// Every response arrived.
    #[default]
    None,
    /// The response to an attempt was lost.
    ResponseLost,
    /// The response was lost, and the upload was seen open afterwards.
    SeenOpen,
}

impl Doubt {
    fn exists(self) -> bool {
        self != Doubt::None
    }

    fn raise(&mut self) {
        if *self == Doubt::None {
            *self = Doubt::ResponseLost;
        }
    }
}

/// Whether a decision allows another attempt.
fn is_retryable(decision: RetryDecision) -> bool {
    matches!(decision, RetryDecision::Retry { .. } | RetryDecision::RefreshCredentials)
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
pub struct Upload {
    state: State,
    core: Core,
}

impl Upload {
    pub fn new(config: UploadConfig) -> Upload {
        Upload { state: State::Streaming(Streaming::default()), core: Core::new(config) }
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
            return self.step(on_deadline);
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
        self.step(|state, core| on_event(state, core, event));
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
            self.step(on_deadline);
        }
    }

    // What the driver and the progress line read.

    fn kind(&self) -> StateKind {
        self.state.kind()
    }

    /// The id of the multipart upload; `None` before it is created.
    pub fn upload_id(&self) -> Option<&str> {
        self.core.upload_id()
    }

    /// The numbers and etags of the parts to commit, in order.
    pub fn commit_parts(&self) -> impl Iterator<Item = (u32, &str)> {
        self.core.parts.etags()
    }

    /// The size and digests of a part.
    pub fn part(&self, number: u32) -> Option<&PartDigest> {
        self.core.parts.digest(number)
    }

    /// The number of acknowledged parts, and their size in bytes.
    pub fn acknowledged(&self) -> (u32, u64) {
        self.core.parts.acknowledged()
    }

    /// The number of parts in flight.
    pub fn in_flight(&self) -> usize {
        self.core.parts.in_flight()
    }

    /// The number of attempts that were retries.
    pub fn retries(&self) -> u64 {
        self.core.retries
    }

    /// What an upload in an outage waits for.
    pub fn stalled_on(&self) -> Option<&'static str> {
        if self.core.outage.is_open() { self.current_activity() } else { None }
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

fn on_event(state: State, core: &mut Core, event: Event) -> State {
    match (event, state) {
        (Event::CallDone { call, result }, state) => on_call_done(state, core, call, result),
        (Event::Stop(error), state) => on_stop(state, core, error),
        (Event::Rehashed { digest, md5, .. }, State::Storing(storing)) => {
            storing.on_rehashed(core, &digest, &md5)
        }
        (event, State::Streaming(streaming)) => on_stream_event(streaming, core, event),
        // The other states need nothing more of the stream.
        (_, state) => state,
    }
}

fn on_stream_event(mut streaming: Streaming, core: &mut Core, event: Event) -> State {
    match event {
        Event::Part { number, digest } => streaming.on_part_read(core, number, digest),
        Event::MultipartNeeded => streaming.on_multipart_needed(core),
        Event::LastPartNext => streaming.on_last_part_next(),
        Event::EndOfStream { bytes, crc32 } => {
            return streaming.on_end_of_stream(core, EndOfStream { bytes, crc32 });
        }
        // After a clean end of the stream, errors of the source mean nothing.
        Event::SourceFailed(error) if core.end.is_none() => return streaming.abort(core, error),
        Event::TailSplit { first, digests } => {
            return streaming.on_tail_split(core, first, digests);
        }
        Event::Rehashed { number, digest, md5 } => {
            return streaming.on_rehashed(core, number, &digest, &md5);
        }
        Event::SourceFailed(_) | Event::Stop(_) | Event::CallDone { .. } => {}
    }
    State::Streaming(streaming)
}

fn on_call_done(
    state: State,
    core: &mut Core,
    call: ApiCall,
    result: Result<Outcome, Failure>,
) -> State {
    core.config.service_seen |= result.is_ok();
    core.outage.bucket_seen |= match &result {
        Ok(_) => true,
        Err(failure) => failure.shows_bucket(),
    };
    core.multipart.create_in_flight &= !call.is_create();
    match (call, result, state) {
        (ApiCall::Part(number), result, State::Streaming(streaming)) => {
            streaming.on_part_done(core, number, result)
        }
        (ApiCall::Part(_), _, state) => state,
        (call, Ok(outcome), state) => {
            core.forget_not_found();
            // A look-up that succeeds does not shorten the backoff of the commit.
            if state.kind() != StateKind::Resolving {
                core.call.attempt = 0;
            }
            on_success(state, core, call, outcome)
        }
        (call, Err(failure), state) => on_failure(state, core, call, &failure),
    }
}

fn on_success(state: State, core: &mut Core, call: ApiCall, outcome: Outcome) -> State {
    match state {
        State::Streaming(streaming) => streaming.on_success(core, outcome),
        State::Storing(storing) => storing.on_success(core, outcome),
        State::Committing(commit) => commit.on_success(core, outcome),
        State::Resolving(resolving) => resolving.on_success(core, outcome),
        State::RelistingParts(commit) => match outcome {
            Outcome::Parts(listed) => commit.on_parts_listed(core, &listed),
            _ => State::RelistingParts(commit),
        },
        State::Verifying(verifying) => verifying.on_success(core, call, outcome),
        State::Aborting(cleanup) => cleanup.on_abort_success(core, &call, outcome),
        State::Deleting(cleanup) => cleanup.on_delete_success(core, outcome),
        State::ListingOrphans(cleanup) => cleanup.on_listing_success(core, &call, outcome),
        State::Finished => State::Finished,
    }
}

fn on_failure(state: State, core: &mut Core, call: ApiCall, failure: &Failure) -> State {
    let decision = retry::classify(call.operation(), core.stage(), failure);
    if decision == RetryDecision::CredentialsTimedOut && !state.kind().is_decided() {
        let error = failure.error(call.operation(), call.operation().name());
        return on_budget_exhausted(state, core, error);
    }
    if decision != RetryDecision::AmbiguousNotFound {
        core.forget_not_found();
    }
    match state {
        State::Streaming(streaming) => streaming.on_failure(core, call, decision, failure),
        State::Storing(storing) => storing.on_failure(core, call, decision, failure),
        State::Committing(commit) => commit.on_failure(core, call, decision, failure),
        State::Resolving(resolving) => resolving.on_failure(core, call, decision, failure),
        State::RelistingParts(commit) => commit.on_listing_failed(core, call, decision, failure),
        State::Verifying(verifying) => verifying.on_failure(core, call, decision, failure),
        State::Aborting(cleanup) => cleanup.on_abort_failure(core, call, decision, failure),
        State::Deleting(cleanup) => cleanup.on_delete_failure(core, call, decision, failure),
        State::ListingOrphans(cleanup) => cleanup.on_listing_failure(core, call, decision, failure),
        State::Finished => State::Finished,
    }
}

fn on_budget_exhausted(state: State, core: &mut Core, error: Error) -> State {
    match state {
        State::Streaming(streaming) => streaming.abort(core, error),
        State::Storing(storing) => storing.on_budget_exhausted(core, error),
        State::Committing(commit) => commit.on_budget_exhausted(core, error),
        State::Resolving(resolving) => resolving.on_budget_exhausted(core, error),
        State::RelistingParts(commit) => commit.end_relisting(core, error),
        State::Verifying(verifying) => verifying.end_unverified(core, &error.message),
        decided => decided,
    }
}

/// A signal asks to stop. A commit or put that was sent is resolved; anything else is aborted.
fn on_stop(state: State, core: &mut Core, error: Error) -> State {
    let deadline = *core.stop.deadline.get_or_insert(core.now + STOP_TIMEOUT);
    let stops_upload = match &state {
        State::Streaming(_) | State::RelistingParts(_) => true,
        State::Storing(storing) => storing.can_stop(core),
        State::Committing(commit) => commit.can_stop(core),
        State::Resolving(resolving) => resolving.can_stop(core),
        State::Verifying(_) => false,
        _ => {
            warn_of_signal(
                core,
                &error,
                "came when the outcome was known; what is left takes 10 s at most",
            );
            core.deadline = core.deadline.map(|at| at.min(deadline));
            return state;
        }
    };
    if !stops_upload {
        let meaning = "came after the object was sent, which is not called off; waiting up to 10 s \
                       for the outcome";
        warn_of_signal(core, &error, meaning);
        core.act(Action::StopReading);
        core.deadline = Some(core.clamp_to_stop(RESOLVE_TIMEOUT));
        core.stop.error = Some(error);
        if let Some((at, _)) = &mut core.call.scheduled {
            *at = core.now;
        }
        return state;
    }
    warn_of_signal(core, &error, "stops the upload; another one, a second later, leaves at once");
    match state {
        State::Streaming(streaming) => streaming.abort(core, error),
        State::RelistingParts(commit) | State::Committing(commit) => commit.stop(core, error),
        State::Storing(storing) => storing.stop(core, error),
        State::Resolving(resolving) => resolving.stop(core, error),
        other => other,
    }
}

/// Says what a signal means for the run.
fn warn_of_signal(core: &mut Core, error: &Error, meaning: &str) {
    if let Some(signal) = error.kind.signal_name() {
        core.warn(format!("{signal} {meaning}"));
    }
}

/// The deadline of a stop or cleanup has passed.
fn on_deadline(state: State, core: &mut Core) -> State {
    match state {
        State::Streaming(_) | State::RelistingParts(_) => {
            cleanup::end_unknown(core, "there was no time left to ask", None)
        }
        State::Storing(storing) => storing.on_deadline(core),
        State::Committing(commit) => commit.on_deadline(core),
        State::Resolving(resolving) => resolving.on_deadline(core),
        State::Verifying(verifying) => verifying.on_deadline(core),
        State::Aborting(cleanup) => cleanup.on_abort_deadline(core),
        State::Deleting(cleanup) => cleanup.on_delete_deadline(core),
        State::ListingOrphans(cleanup) => cleanup.on_listing_deadline(core),
        State::Finished => State::Finished,
    }
}
