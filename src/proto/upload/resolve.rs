//! The unknown outcome of a commit.
//!
//! Owns the way from a lost or ambiguous response to certainty: HEAD of the object, the list of the
//! upload's parts, HEAD again. Must not know requests. Invariant: success is reported only on evidence
//! in the object itself, failure only if the service rejected every attempt or the upload is still
//! open; anything else is reported as unknown.

use super::compare::Comparison;
use super::core::Core;
use super::outage::RetryCause;
use super::state::{Commit, ResolveStep, Resolving, State};
use super::{ApiCall, Outcome, is_retryable, outcome};
use crate::error::Error;
use crate::retry::{Failure, RetryDecision};

/// List calls that only confirm a rejection while no response is lost.
const MAX_CONFIRMATIONS: u32 = 4;

impl ResolveStep {
    fn call(self) -> ApiCall {
        match self {
            ResolveStep::ListParts => ApiCall::ListParts,
            ResolveStep::HeadObject | ResolveStep::HeadAfterUploadGone => ApiCall::Head,
        }
    }
}

impl Resolving {
    pub(super) fn start(
        core: &mut Core,
        commit: Commit,
        step: ResolveStep,
        rejection: Option<Error>,
    ) -> State {
        core.start_call(step.call());
        State::Resolving(Resolving { commit, step, rejection })
    }

    /// The call of the step is scheduled already.
    pub(super) fn scheduled(commit: Commit, step: ResolveStep) -> State {
        State::Resolving(Resolving { commit, step, rejection: None })
    }

    fn go_to(self, core: &mut Core, step: ResolveStep) -> State {
        Resolving::start(core, self.commit, step, self.rejection)
    }

    pub(super) fn can_stop(&self, core: &Core) -> bool {
        self.commit.can_stop(core)
    }

    pub(super) fn stop(self, core: &mut Core, error: Error) -> State {
        self.commit.stop(core, error)
    }

    pub(super) fn on_deadline(self, core: &mut Core) -> State {
        if self.commit.doubt().exists() {
            return outcome::end_unknown(core, "there was no time left to ask", None);
        }
        // Every response is known: the abort of an upload that is still open can have the rest.
        let late = Error::service("there was no time left to ask");
        let error = core.stop.error.take().or(self.rejection).unwrap_or(late);
        self.commit.stop(core, error)
    }

    pub(super) fn on_budget_exhausted(self, core: &mut Core, error: Error) -> State {
        if self.commit.doubt().exists() {
            return outcome::end_unknown(core, &error.message, None);
        }
        self.commit.stop(core, error)
    }

    pub(super) fn on_success(mut self, core: &mut Core, outcome: Outcome) -> State {
        match (self.step, outcome) {
            (ResolveStep::HeadObject, Outcome::Object(meta)) => match core.compare(&meta) {
                Comparison::Same(evidence)
                    if evidence.is_strong() && core.is_new(&meta) == Some(true) =>
                {
                    core.multipart.commit_unconfirmed = true;
                    outcome::finish_stored(core, meta, evidence, None)
                }
                // An equal object may be the previous one: then the upload is still open.
                _ => self.after_head(core),
            },
            (ResolveStep::ListParts, Outcome::Parts(_)) => {
                if let Some(rejection) = self.rejection {
                    return self.commit.fail(core, rejection);
                }
                self.commit.seen_open();
                self.commit.retry(core, RetryCause::CommitResponseLost)
            }
            (ResolveStep::HeadAfterUploadGone, Outcome::Object(meta)) => {
                let new = core.is_new(&meta);
                match core.compare(&meta) {
                    // The upload is gone, and so is the previous object, or none is known. The size alone
                    // proves nothing: another client can have stored an object of this size meanwhile.
                    Comparison::Same(evidence) if evidence.is_strong() && new != Some(false) => {
                        outcome::finish_stored(core, meta, evidence, None)
                    }
                    Comparison::Differs(_) => outcome::end_unknown(
                        core,
                        "its answer was lost, the upload is closed, and the existing object is not \
                         what was sent",
                        None,
                    ),
                    _ => outcome::end_unknown(
                        core,
                        "its answer was lost, the upload is closed, and nothing shows whether the \
                         existing object is what was sent",
                        None,
                    ),
                }
            }
            _ => State::Resolving(self),
        }
    }

    pub(super) fn on_failure(
        self,
        core: &mut Core,
        call: ApiCall,
        decision: RetryDecision,
        failure: &Failure,
    ) -> State {
        let step = self.step;
        match (step, decision) {
            (_, RetryDecision::AmbiguousNotFound) => self.on_not_found(core, call, failure),
            (_, decision) if is_retryable(decision) => self.retry(core, step.call(), failure),
            (ResolveStep::HeadObject, _) => self.after_head(core),
            (ResolveStep::ListParts, RetryDecision::NotFound) => {
                core.restart_budget();
                self.go_to(core, ResolveStep::HeadAfterUploadGone)
            }
            (ResolveStep::ListParts | ResolveStep::HeadAfterUploadGone, _) => {
                self.end_unresolved(core, failure)
            }
        }
    }

    /// The object does not show the outcome. The list of parts does; through a pre-authenticated request
    /// there is none, and the commit is sent again: if an attempt has arrived, the upload is closed, and
    /// another one has no effect.
    fn after_head(mut self, core: &mut Core) -> State {
        if !core.is_through_par() {
            return self.go_to(core, ResolveStep::ListParts);
        }
        match self.rejection.take() {
            None => self.commit.retry(core, RetryCause::CommitUnsettled),
            Some(rejection) if !self.commit.doubt().exists() => self.commit.fail(core, rejection),
            Some(rejection) => {
                let why = format!(
                    "its answer was lost, its repetition was refused ({}), and the object does not show \
                     what it did",
                    rejection.message
                );
                outcome::end_unknown(core, &why, None)
            }
        }
    }

    fn retry(self, core: &mut Core, call: ApiCall, failure: &Failure) -> State {
        match core.retry_call(call, RetryCause::Failed(failure)) {
            Ok(()) => State::Resolving(self),
            Err(error) => self.on_budget_exhausted(core, error),
        }
    }

    /// An ambiguous 404. A HEAD's 404 has no code, so that it is only a reason for another call.
    fn on_not_found(self, core: &mut Core, call: ApiCall, failure: &Failure) -> State {
        let streak = core.count_not_found(&call);
        let retryable = core.is_not_found_retryable(&streak);
        let again = match self.step {
            // The list of parts proves more than an object that may only be hidden.
            ResolveStep::HeadObject => return self.after_head(core),
            _ if core.is_through_par() => streak.count() < MAX_CONFIRMATIONS,
            ResolveStep::ListParts if !self.commit.doubt().exists() => {
                streak.count() < MAX_CONFIRMATIONS
            }
            ResolveStep::ListParts | ResolveStep::HeadAfterUploadGone => retryable,
        };
        if again { self.retry(core, call, failure) } else { self.end_unresolved(core, failure) }
    }

    /// The look-ups have failed. The outcome is unknown, unless every attempt was rejected.
    fn end_unresolved(self, core: &mut Core, failure: &Failure) -> State {
        match self.rejection {
            Some(rejection)
                if !self.commit.doubt().exists() && self.step == ResolveStep::ListParts =>
            {
                self.commit.fail(core, rejection)
            }
            _ => {
                let why = failure.message("its answer was lost, and asking did not settle it");
                outcome::end_unknown(core, &why, None)
            }
        }
    }
}
