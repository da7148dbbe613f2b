//! A commit, or a put, that did not simply succeed.
//!
//! Owns the way from a failed or lost answer to certainty: asking for the object, asking for the
//! upload, committing again, healing etags. Knows nothing of requests. Invariant: success is said
//! only on evidence in the object itself, failure only where the service said no or the upload is
//! still open; anything else is said to be unknown.

use super::cleanup::is_retryable;
use super::compare::Comparison;
use super::{Action, ApiCall, Now, Outcome, Phase, PreviousObject, Upload};
use crate::api::{ListedPart, ObjectMeta};
use crate::error::{Error, ErrorKind};
use crate::retry::{Failure, Operation, RetryDecision};

/// What is asked while the outcome of a commit is open.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ResolveStep {
    /// Does the object stand there, and is it ours?
    HeadObject,
    /// Is the upload still open?
    ListParts,
    /// The upload is gone: the object has to stand there now.
    HeadAfterUploadGone,
}

/// A commit that names a part wrongly is healed and repeated this often.
const MAX_RELISTS: u32 = 3;
/// A put that arrives damaged is sent again this often.
const MAX_CHECKSUM_FAILURES: u32 = 8;

impl ResolveStep {
    fn call(self) -> ApiCall {
        match self {
            ResolveStep::ListParts => ApiCall::ListParts,
            ResolveStep::HeadObject | ResolveStep::HeadAfterUploadGone => ApiCall::Head,
        }
    }
}

impl Upload {
    pub(super) fn on_commit_failed(&mut self, now: Now, verdict: RetryDecision, failure: Failure) {
        match verdict {
            RetryDecision::ResolveOutcome => {
                self.response_lost = true;
                self.seen_open = false;
                self.phase = Phase::Resolving(ResolveStep::HeadObject);
                // Even where patience is over, what became of it is worth one question.
                let doing = self.attempt_label(&ApiCall::Commit);
                let _ = self.record_failure(now, &failure, Operation::Commit, &doing);
                self.schedule_retry(now, ApiCall::Head, &failure);
            }
            verdict if is_retryable(verdict) => self.retry_call(now, ApiCall::Commit, &failure),
            RetryDecision::InvalidPart if self.relist_attempts < MAX_RELISTS => {
                self.relist_attempts += 1;
                self.phase = Phase::RelistingParts;
                self.start_call(ApiCall::ListParts);
            }
            // After a lost answer even a plain no may mean that an earlier try had succeeded. So may,
            // after any other, one that says that the upload has ended or that an object stands there.
            _ if self.response_lost || self.may_be_our_earlier_success(verdict) => {
                self.response_lost = true;
                self.pending_rejection =
                    Some(self.refused(&failure, Operation::Commit, "the commit"));
                self.restart_budget(now);
                self.start_resolving(ResolveStep::HeadObject);
            }
            _ => {
                let error = self.refused(&failure, Operation::Commit, "the commit");
                self.fail_after_commit(now, error);
            }
        }
    }

    /// Whether a no to a repeated request may be the echo of an earlier one's success.
    fn may_be_our_earlier_success(&self, verdict: RetryDecision) -> bool {
        self.commit_attempts > 1
            && matches!(verdict, RetryDecision::NotFound | RetryDecision::PreconditionFailed)
    }

    /// Whether an object is another than the one that stood there before, where that can be told.
    pub(super) fn is_new(&self, held: &ObjectMeta) -> Option<bool> {
        match &self.config.previous_object {
            PreviousObject::Nothing => Some(true),
            PreviousObject::Object(etag) => Some(held.etag.as_ref() != Some(etag)),
            PreviousObject::Unknown => None,
        }
    }

    pub(super) fn start_resolving(&mut self, step: ResolveStep) {
        self.phase = Phase::Resolving(step);
        self.start_call(step.call());
    }

    pub(super) fn on_resolve_response(&mut self, now: Now, step: ResolveStep, outcome: Outcome) {
        match (step, outcome) {
            (ResolveStep::HeadObject, Outcome::Object(held)) => match self.compare(&held) {
                Comparison::Same(verified_by)
                    if Upload::is_strong(&verified_by) && self.is_new(&held) == Some(true) =>
                {
                    self.finish_stored(held, verified_by);
                }
                // An equal object may be the old one: then the upload is still open.
                _ => self.start_resolving(ResolveStep::ListParts),
            },
            (ResolveStep::ListParts, Outcome::Parts(_)) => {
                if let Some(refusal) = self.pending_rejection.take() {
                    return self.fail_after_commit(now, refusal);
                }
                self.seen_open = true;
                self.phase = Phase::Committing;
                let failure = Failure::Transport {
                    kind: crate::transport_error::TransportError::ResponseLost,
                    text: "the answer to the commit was lost, and the upload is still open"
                        .to_owned(),
                };
                self.retry_call(now, ApiCall::Commit, &failure);
            }
            (ResolveStep::HeadAfterUploadGone, Outcome::Object(held)) => {
                let new = self.is_new(&held);
                match self.compare(&held) {
                    // The upload has ended, the old object is gone and the size is right. Where it
                    // is not known what stood there, an old object may have that size.
                    Comparison::Same(by) if new.unwrap_or(Upload::is_strong(&by)) => {
                        self.finish_stored(held, by);
                    }
                    _ => self.end_unknown(
                        "its answer was lost, the upload is closed, and the object that stands \
                         there is not what was sent",
                    ),
                }
            }
            _ => {}
        }
    }

    pub(super) fn on_resolve_failure(
        &mut self,
        now: Now,
        step: ResolveStep,
        verdict: RetryDecision,
        failure: Failure,
    ) {
        match (step, verdict) {
            (_, verdict) if is_retryable(verdict) => self.retry_call(now, step.call(), &failure),
            (ResolveStep::HeadObject, _) => self.start_resolving(ResolveStep::ListParts),
            (ResolveStep::ListParts, RetryDecision::NotFound) => {
                self.restart_budget(now);
                self.start_resolving(ResolveStep::HeadAfterUploadGone);
            }
            (ResolveStep::ListParts | ResolveStep::HeadAfterUploadGone, _) => {
                self.end_unresolved(now, step, &failure)
            }
        }
    }

    /// Asking has failed: what is not known stays unknown, unless every answer was a plain no.
    pub(super) fn end_unresolved(&mut self, now: Now, step: ResolveStep, failure: &Failure) {
        match self.pending_rejection.take() {
            Some(refusal) if !self.response_lost && step == ResolveStep::ListParts => {
                self.fail_after_commit(now, refusal);
            }
            _ => {
                let why = failure.message("its answer was lost, and asking did not settle it");
                self.end_unknown(&why);
            }
        }
    }

    /// As above, for a put whose object was looked for.
    pub(super) fn nothing_found(&mut self, now: Now, why: &str) {
        match self.pending_rejection.take() {
            Some(refusal) if !self.response_lost => self.fail_after_commit(now, refusal),
            _ => self.end_unknown(why),
        }
    }

    /// The parts as the service lists them, after it refused an etag.
    pub(super) fn on_parts_listed(&mut self, now: Now, listed: Vec<ListedPart>) {
        match self.parts.requeue_missing(&listed) {
            // The parts that are sent again lead to the next commit themselves.
            Ok(again) if again > 0 => {
                self.retries += again;
                self.record_progress(now);
                self.phase = Phase::Streaming;
            }
            Ok(_) => {
                self.record_progress(now);
                self.phase = Phase::Committing;
                self.start_call(ApiCall::Commit);
            }
            Err(error) => self.fail_after_commit(now, error),
        }
    }

    pub(super) fn on_put_failed(
        &mut self,
        now: Now,
        call: ApiCall,
        verdict: RetryDecision,
        failure: Failure,
    ) {
        match (call, verdict) {
            (ApiCall::Put, RetryDecision::ResolveOutcome) => {
                self.response_lost = true;
                // The body is still here, and the condition keeps a repetition from doing harm.
                self.retry_call(now, ApiCall::Put, &failure);
            }
            (call, verdict) if is_retryable(verdict) => self.retry_call(now, call, &failure),
            (ApiCall::Put, RetryDecision::ChecksumMismatch)
                if self.relist_attempts < MAX_CHECKSUM_FAILURES =>
            {
                self.relist_attempts += 1;
                self.retries += 1;
                self.actions.push_back(Action::Rehash(1));
            }
            // With a lost answer among the tries, whether one arrived is asked for below.
            (ApiCall::Put, RetryDecision::ChecksumMismatch) if !self.response_lost => {
                let doing = "the object was damaged on the way every time";
                let error = failure.error(Operation::Put, doing);
                self.fail_after_commit(now, Error { kind: ErrorKind::Integrity, ..error });
            }
            (ApiCall::Put, verdict)
                if self.response_lost || self.may_be_our_earlier_success(verdict) =>
            {
                self.response_lost = true;
                self.pending_rejection = Some(self.refused(&failure, Operation::Put, "PutObject"));
                self.restart_budget(now);
                self.start_call(ApiCall::Head);
            }
            (ApiCall::Put, _) => {
                let error = self.refused(&failure, Operation::Put, "PutObject");
                self.fail_after_commit(now, error);
            }
            _ => self.nothing_found(now, &failure.message("an answer was lost, and asking failed")),
        }
    }

    /// A repeated put was refused: what stands there may be what the first try stored.
    pub(super) fn on_put_head(&mut self, now: Now, held: ObjectMeta) {
        match self.compare(&held) {
            _ if self.is_new(&held) == Some(false) => self.object_not_ours(now),
            Comparison::Differs(_) if !self.response_lost => {
                self.nothing_found(now, "something else stands there");
            }
            Comparison::Same(verified_by) if Upload::is_strong(&verified_by) => {
                self.finish_stored(held, verified_by);
            }
            Comparison::Differs(_) => self.object_not_ours(now),
            // The chosen checksum is not kept by the service, but its MD5 is.
            _ if held.content.md5.is_some() => {
                self.candidate_object = Some(held);
                self.actions.push_back(Action::Rehash(1));
            }
            // Another host's stream may have the same size.
            _ => self
                .nothing_found(now, "an answer was lost, and what stands there cannot be compared"),
        }
    }

    /// What stands at the name was put there by someone else, or was there before.
    pub(super) fn object_not_ours(&mut self, now: Now) {
        match self.pending_rejection.take() {
            Some(refusal) if !self.response_lost => return self.fail_after_commit(now, refusal),
            Some(refusal) if refusal.kind == ErrorKind::Exists => {}
            Some(refusal) => {
                let why =
                    format!("an answer was lost, its repetition refused ({})", refusal.message);
                return self.end_unknown(&format!("{why}, and something else stands there"));
            }
            None => {
                return self.end_unknown("its answer was lost, and something else stands there");
            }
        }
        let error = Error::new(
            ErrorKind::Exists,
            format!(
                "{} exists already, and it is not this stream",
                self.config.messages.object_url
            ),
        )
        .with_hint("give --force to replace it");
        self.fail_after_commit(now, error);
    }
}
