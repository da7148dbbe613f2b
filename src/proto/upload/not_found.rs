//! A 404 that does not speak of the upload or the object.
//!
//! Owns what follows when a call is answered so: another try while it may be spurious, and what it is
//! taken for after that. Knows nothing of how long that is (`retry::Tally`). Invariant: nothing is lost
//! and no object is denied on the word of one such answer; a HEAD's 404, which has no code, is only ever
//! a reason to ask in another way or once more.

use super::resolve::ResolveStep;
use super::{ApiCall, Now, Phase, ProbeCondition, Upload};
use crate::error::Error;
use crate::retry::{Failure, NotFoundStreak, Operation};

/// Looks at a committed object before it is asked for in another way. A HEAD that a policy hides costs
/// an upload no more than this.
const MAX_HEADS: u32 = 2;
/// Questions by a second upload, where no upload of this run shows that they are allowed.
const MAX_PROBES: u32 = 4;
/// Looks that only confirm a refusal of which no answer is missing.
const MAX_CONFIRMATIONS: u32 = 4;
/// Attempts at clearing up, which has little time.
const MAX_CLEANUP_ATTEMPTS: u32 = 10;
/// The longest pause where a wrong guess costs little and a pause is paid by every upload.
const MAX_SHORT_PAUSE: Now = Now::from_millis(300);

impl Upload {
    /// A call other than a part was answered by such a 404.
    pub(super) fn on_ambiguous_not_found(&mut self, now: Now, call: ApiCall, failure: Failure) {
        let tally = self.count_not_found(now, &call);
        let count = tally.count();
        let may_pass = tally.is_retryable(now, self.bucket_seen, self.last_progress);
        match (self.phase.clone(), &call) {
            (Phase::Streaming, ApiCall::Create) | (Phase::RelistingParts, _) => match may_pass {
                true => self.retry_call(now, call, &failure),
                false => self.abort_with(now, self.not_found(now, &call, &failure)),
            },
            (Phase::Storing, ApiCall::Put) | (Phase::Committing, _) if may_pass => {
                self.retry_call(now, call, &failure);
            }
            // A bucket that has never answered holds nothing of this run.
            (Phase::Storing, ApiCall::Put) | (Phase::Committing, _)
                if !self.bucket_seen && !self.response_lost =>
            {
                self.fail_after_commit(now, self.not_found(now, &call, &failure));
            }
            (Phase::Storing, ApiCall::Put) => {
                self.pending_rejection = Some(self.not_found(now, &call, &failure));
                self.restart_budget(now);
                self.start_call(ApiCall::Head);
            }
            (Phase::Committing, _) => {
                self.pending_rejection = Some(self.not_found(now, &call, &failure));
                self.restart_budget(now);
                self.start_resolving(ResolveStep::HeadObject);
            }
            (Phase::Storing, _) if self.worth_confirming(may_pass, count) => {
                self.retry_call(now, call, &failure);
            }
            (Phase::Storing, _) => self.nothing_found(
                now,
                "an answer was lost, its repetition was refused, and no object stands there",
            ),
            // The open upload says more than an object that may only be hidden.
            (Phase::Resolving(ResolveStep::HeadObject), _) => {
                self.start_resolving(ResolveStep::ListParts)
            }
            (Phase::Resolving(ResolveStep::ListParts), _)
                if self.worth_confirming(may_pass, count) =>
            {
                self.retry_call(now, call, &failure);
            }
            (Phase::Resolving(ResolveStep::HeadAfterUploadGone), _) if may_pass => {
                self.retry_call(now, call, &failure);
            }
            (Phase::Resolving(step), _) => self.end_unresolved(now, step, &failure),
            (Phase::Verifying, ApiCall::Head) if count < MAX_HEADS => {
                self.retry_hidden_soon(now, call)
            }
            (Phase::Verifying, ApiCall::Head) => {
                self.restart_budget(now);
                self.start_call(ApiCall::ConditionalCreate(ProbeCondition::NoObject));
            }
            // What was allowed to this upload is allowed to the question.
            (Phase::Verifying, _) if self.upload_id().is_some() && may_pass => {
                self.retry_call(now, call, &failure);
            }
            (Phase::Verifying, _) if self.upload_id().is_none() && count < MAX_PROBES => {
                self.retry_hidden_soon(now, call);
            }
            (Phase::Verifying, _) => self.accept_commit_response(),
            (Phase::Aborting | Phase::Deleting, ApiCall::Create) => self.on_cleanup_done(None),
            (Phase::ListingOrphans, call) if *call != ApiCall::ListUploads => {}
            (Phase::Aborting | Phase::Deleting | Phase::ListingOrphans, _)
                if count < MAX_CLEANUP_ATTEMPTS =>
            {
                self.retry_after_pause(now, call);
            }
            (Phase::Aborting | Phase::Deleting, _) => self.on_cleanup_done(Some(failure)),
            (Phase::ListingOrphans, _) => self.orphans_unlisted(Some(&failure)),
            (Phase::Streaming | Phase::Finished, _) => {}
        }
    }

    /// A part was answered so.
    pub(super) fn on_ambiguous_part_not_found(
        &mut self,
        now: Now,
        number: u32,
        failure: &Failure,
        doing: &str,
    ) {
        let (known, forward) = (self.bucket_seen, self.last_progress);
        let Some(tally) = self.parts.not_found_streak(number) else { return };
        tally.add(now);
        match tally.is_retryable(now, known, forward) {
            true => self.retry_part(now, number, failure, doing),
            false => {
                let tally = *tally;
                let error = failure.error(Operation::Part, doing);
                self.abort_with(now, tally.exhausted_error(error, now, known));
            }
        }
    }

    /// Counts for the call that is asked now, and no longer for another.
    fn count_not_found(&mut self, now: Now, call: &ApiCall) -> NotFoundStreak {
        let operation = call.operation();
        if self.not_found_streak.as_ref().is_none_or(|(counted, _)| *counted != operation) {
            self.not_found_streak = Some((operation, NotFoundStreak::default()));
        }
        let mut tally = self.not_found_streak.map(|(_, tally)| tally).unwrap_or_default();
        tally.add(now);
        self.not_found_streak = Some((operation, tally));
        tally
    }

    /// Another try that does not keep anybody waiting.
    fn retry_hidden_soon(&mut self, now: Now, call: ApiCall) {
        self.attempt += 1;
        self.retries += 1;
        self.scheduled_call = Some((now + MAX_SHORT_PAUSE.mul_f64(self.rng.f64()), call));
    }

    /// With an answer missing all is done to find out; without one it is a matter of form.
    fn worth_confirming(&self, may_pass: bool, count: u32) -> bool {
        if self.response_lost { may_pass } else { count < MAX_CONFIRMATIONS }
    }

    fn not_found(&self, now: Now, call: &ApiCall, failure: &Failure) -> Error {
        let error = failure.error(call.operation(), &self.attempt_label(call));
        let tally = self.not_found_streak.map(|(_, tally)| tally).unwrap_or_default();
        tally.exhausted_error(error, now, self.bucket_seen)
    }
}
