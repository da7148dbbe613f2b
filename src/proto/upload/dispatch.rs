//! Hands each event to the state that it concerns.
//!
//! Owns the one table from state and event to handler. Must not know what a handler does. Invariant: an
//! event that a state does not expect changes nothing.

use super::core::{Core, RESOLVE_TIMEOUT, STOP_TIMEOUT};
use super::state::{State, Streaming};
use super::{Action, ApiCall, EndOfStream, Event, Outcome, StateKind, outcome};
use crate::error::Error;
use crate::retry::{self, BucketStatus, Failure, RetryDecision};

pub(super) fn on_event(state: State, core: &mut Core, event: Event) -> State {
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
        Event::MultipartNeeded => return streaming.on_multipart_needed(core),
        Event::LastPartNext => streaming.on_last_part_next(),
        Event::Sample { sent, waited } => streaming.on_sample(core, sent, waited),
        Event::PartsRecalled { first } => core.parts.on_recalled(first),
        Event::StreamDigests(values) => core.stream_digests = values,
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
    if result.as_ref().err().is_none_or(Failure::shows_bucket) {
        core.outage.bucket = BucketStatus::Seen;
    }
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
    core.call.par_rejected = failure.is_par_rejection();
    if decision == RetryDecision::CredentialsTimedOut && !state.kind().is_decided() {
        let error =
            failure.error(call.operation(), core.attempt_named(call.operation().name(), &call));
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
pub(super) fn on_deadline(state: State, core: &mut Core) -> State {
    match state {
        State::Streaming(_) | State::RelistingParts(_) => {
            outcome::end_unknown(core, "there was no time left to ask", None)
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
