//! The commit of a multipart upload, and the listing of its parts after a rejection.
//!
//! Owns what the response to a commit means. Must not know how a lost response is resolved.
//! Invariant: a commit is sent only after the gate from independent counts has passed.

use super::compare::Comparison;
use super::core::Core;
use super::outage::RetryCause;
use super::state::{Commit, Doubt, ResolveStep, Resolving, State, Streaming, Verifying};
use super::storing::may_hide_success;
use super::{ApiCall, EndOfStream, Outcome, is_retryable, outcome};
use crate::api::{ListedPart, ObjectMeta};
use crate::error::Error;
use crate::retry::{Failure, Operation, RetryDecision};

/// Commits that reject a part's etag, before the run fails.
const MAX_RELISTS: u32 = 3;

impl Commit {
    pub(super) fn doubt(&self) -> Doubt {
        self.doubt
    }

    /// The upload was seen open after the response to a commit was lost.
    pub(super) fn seen_open(&mut self) {
        self.doubt = Doubt::SeenOpen;
    }

    /// Sends the first commit after the last part was acknowledged.
    pub(super) fn start(self, core: &mut Core, end: EndOfStream) -> State {
        match core.parts.check_commit_gate(end, core.config.checksum.buffer_crc()) {
            Ok(()) if core.config.resume.is_some() && !self.listed => {
                core.start_call(ApiCall::ListParts);
                State::RelistingParts(self)
            }
            Ok(()) => self.send(core),
            Err(error) => self.abort(core, error),
        }
    }

    fn send(self, core: &mut Core) -> State {
        core.start_call(ApiCall::Commit);
        State::Committing(self)
    }

    fn abort(self, core: &mut Core, error: Error) -> State {
        outcome::abort(core, error, self.doubt, None)
    }

    /// Ends the run with the error of a commit that is known to have had no effect.
    pub(super) fn fail(self, core: &mut Core, error: Error) -> State {
        let error = core.stop.error.take().unwrap_or(error);
        self.abort(core, error)
    }

    /// Whether a stop can end the commit: it waits for its next attempt, and no attempt may have
    /// arrived.
    pub(super) fn can_stop(&self, core: &Core) -> bool {
        core.call.scheduled.is_some() && !self.doubt.exists()
    }

    pub(super) fn stop(self, core: &mut Core, error: Error) -> State {
        self.abort(core, error)
    }

    pub(super) fn on_deadline(self, core: &mut Core) -> State {
        match core.stop.error.clone() {
            Some(error) if self.can_stop(core) => self.abort(core, error),
            _ => outcome::end_unknown(core, "there was no time left to ask", None),
        }
    }

    pub(super) fn on_budget_exhausted(self, core: &mut Core, error: Error) -> State {
        match self.doubt {
            Doubt::ResponseLost => outcome::end_unknown(core, &error.message, None),
            // A successful abort proves that nothing was committed.
            Doubt::None | Doubt::SeenOpen => self.abort(core, error),
        }
    }

    /// Sends the commit again, after the upload was seen open.
    pub(super) fn retry(self, core: &mut Core, cause: RetryCause<'_>) -> State {
        match core.retry_call(ApiCall::Commit, cause) {
            Ok(()) => State::Committing(self),
            Err(error) => self.on_budget_exhausted(core, error),
        }
    }

    pub(super) fn on_success(self, core: &mut Core, outcome: Outcome) -> State {
        match outcome {
            Outcome::Committed(meta) => self.on_committed(core, meta),
            _ => State::Committing(self),
        }
    }

    fn on_committed(self, core: &mut Core, meta: ObjectMeta) -> State {
        core.record_progress();
        match core.compare(&meta) {
            Comparison::Same(evidence) => Verifying::start(core, meta, Some(evidence)),
            Comparison::Differs(difference) => outcome::mismatch(core, &meta, &difference, None),
            Comparison::NothingToCompare => Verifying::start(core, meta, None),
        }
    }

    pub(super) fn on_failure(
        mut self,
        core: &mut Core,
        call: ApiCall,
        decision: RetryDecision,
        failure: &Failure,
    ) -> State {
        let cause = RetryCause::Failed(failure);
        match decision {
            RetryDecision::AmbiguousNotFound => self.on_not_found(core, call, failure),
            RetryDecision::ResolveOutcome => {
                self.doubt = Doubt::ResponseLost;
                // The outcome is looked up once even if the retry budget is exhausted.
                let label = core.attempt_label(&ApiCall::Commit);
                let _ = core.record_failure(cause, Operation::Commit, &label);
                core.schedule_retry(ApiCall::Head, cause);
                Resolving::scheduled(self, ResolveStep::HeadObject)
            }
            decision if is_retryable(decision) => self.retry(core, cause),
            RetryDecision::InvalidPart if self.relists < MAX_RELISTS && !core.is_through_par() => {
                self.relists += 1;
                core.start_call(ApiCall::ListParts);
                State::RelistingParts(self)
            }
            // The upload is closed, and nothing but the object shows by what.
            RetryDecision::NotFound if self.doubt.exists() && core.is_through_par() => {
                core.restart_budget();
                Resolving::start(core, self, ResolveStep::HeadAfterUploadGone, None)
            }
            // After a lost response any rejection may be caused by that attempt's success. Without
            // one, only NotFound and PreconditionFailed of a repeated commit may be.
            _ if self.doubt.exists() || core.was_sent_before() && may_hide_success(decision) => {
                self.doubt.raise();
                let rejection = core.rejection(
                    failure,
                    Operation::Commit,
                    core.attempt_named("the commit", &call),
                );
                core.restart_budget();
                Resolving::start(core, self, ResolveStep::HeadObject, Some(rejection))
            }
            RetryDecision::NotFound if core.config.resume.is_some() => {
                let error =
                    failure.error(Operation::Commit, core.attempt_named("the commit", &call));
                outcome::abort_gone(core, error)
            }
            _ => {
                let error = core.rejection(
                    failure,
                    Operation::Commit,
                    core.attempt_named("the commit", &call),
                );
                self.fail(core, error)
            }
        }
    }

    /// An ambiguous 404 of the commit.
    fn on_not_found(self, core: &mut Core, call: ApiCall, failure: &Failure) -> State {
        let streak = core.count_not_found(&call);
        if core.is_not_found_retryable(&streak) {
            return match core.retry_call(call, RetryCause::Failed(failure)) {
                Ok(()) => State::Committing(self),
                Err(error) => self.on_budget_exhausted(core, error),
            };
        }
        let error = core.not_found_error(&call, failure);
        core.restart_budget();
        Resolving::start(core, self, ResolveStep::HeadObject, Some(error))
    }

    // Listing the parts after the commit rejected one.

    /// The service's list of parts. Parts that it lacks are sent again if their buffers are retained.
    pub(super) fn on_parts_listed(mut self, core: &mut Core, listed: &[ListedPart]) -> State {
        if core.config.resume.is_some() {
            match core.parts.surplus(listed) {
                Ok(surplus) => core.multipart.excluded = surplus,
                Err(error) => return self.fail(core, error),
            }
        }
        self.listed = true;
        match core.parts.requeue_missing(listed) {
            Ok(0) => {
                core.record_progress();
                self.send(core)
            }
            Ok(_) if core.config.resume.is_some() && self.relists == MAX_RELISTS => {
                let what =
                    "the service keeps losing parts that it acknowledged; nothing was committed";
                self.fail(core, Error::integrity(what))
            }
            Ok(requeued) => {
                self.relists += u32::from(core.config.resume.is_some());
                self.listed = false;
                core.retries += requeued;
                core.record_progress();
                State::Streaming(Streaming::again(self))
            }
            Err(error) => self.fail(core, error),
        }
    }

    pub(super) fn on_listing_failed(
        self,
        core: &mut Core,
        call: ApiCall,
        decision: RetryDecision,
        failure: &Failure,
    ) -> State {
        let retryable = match decision {
            RetryDecision::AmbiguousNotFound => {
                let streak = core.count_not_found(&call);
                if !core.is_not_found_retryable(&streak) {
                    let error = core.not_found_error(&call, failure);
                    return self.abort(core, error);
                }
                true
            }
            decision => is_retryable(decision),
        };
        match decision {
            _ if retryable => match core.retry_call(call, RetryCause::Failed(failure)) {
                Ok(()) => State::RelistingParts(self),
                Err(error) => self.abort(core, error),
            },
            RetryDecision::NotFound if self.doubt.exists() => {
                Resolving::start(core, self, ResolveStep::HeadAfterUploadGone, None)
            }
            RetryDecision::NotFound if core.config.resume.is_some() => {
                let error =
                    failure.error(call.operation(), core.attempt_named("listing the parts", &call));
                outcome::abort_gone(core, error)
            }
            _ => {
                let error =
                    failure.error(call.operation(), core.attempt_named("listing the parts", &call));
                self.abort(core, error)
            }
        }
    }

    pub(super) fn end_relisting(self, core: &mut Core, error: Error) -> State {
        self.abort(core, error)
    }
}
