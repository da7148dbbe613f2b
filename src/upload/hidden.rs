//! A 404 that does not speak of the upload or the object.
//!
//! Owns what follows when a call is answered so: another try while it may be spurious, and what it is
//! taken for after that. Knows nothing of how long that is (`retry::Tally`). Invariant: nothing is lost
//! and no object is denied on the word of one such answer; a HEAD's 404, which has no code, is only ever
//! a reason to ask in another way or once more.

use super::settle::Step;
use super::{Call, Now, Phase, Question, Upload};
use crate::error::Error;
use crate::retry::{Failure, Operation, Tally};

/// Looks at a committed object before it is asked for in another way. A HEAD that a policy hides costs
/// an upload no more than this.
const LOOKS: u32 = 2;
/// Questions by a second upload, where no upload of this run shows that they are allowed.
const QUESTIONS: u32 = 4;
/// Looks that only confirm a refusal of which no answer is missing.
const CONFIRMATIONS: u32 = 4;
/// Attempts at clearing up, which has little time.
const CLEARINGS: u32 = 10;
/// The longest pause where a wrong guess costs little and a pause is paid by every upload.
const SHORT: Now = Now::from_millis(300);

impl Upload {
    /// A call other than a part was answered by such a 404.
    pub(super) fn hidden(&mut self, now: Now, call: Call, failure: Failure) {
        let tally = self.count_hidden(now, &call);
        let count = tally.count();
        let may_pass = tally.may_pass(now, self.bucket_answered, self.forward_at);
        match (self.phase.clone(), &call) {
            (Phase::Streaming, Call::Create) | (Phase::Healing, _) => match may_pass {
                true => self.again(now, call, &failure),
                false => self.fail(now, self.not_found(now, &call, &failure)),
            },
            (Phase::Putting, Call::Put) | (Phase::Committing, _) if may_pass => {
                self.again(now, call, &failure);
            }
            // A bucket that has never answered holds nothing of this run.
            (Phase::Putting, Call::Put) | (Phase::Committing, _)
                if !self.bucket_answered && !self.in_doubt =>
            {
                self.refused_for_good(now, self.not_found(now, &call, &failure));
            }
            (Phase::Putting, Call::Put) => {
                self.refusal = Some(self.not_found(now, &call, &failure));
                self.answered(now);
                self.begin(Call::Head);
            }
            (Phase::Committing, _) => {
                self.refusal = Some(self.not_found(now, &call, &failure));
                self.answered(now);
                self.settle(Step::Object);
            }
            (Phase::Putting, _) if self.worth_confirming(may_pass, count) => {
                self.again(now, call, &failure);
            }
            (Phase::Putting, _) => self.nothing_found(
                now,
                "an answer was lost, its repetition was refused, and no object stands there",
            ),
            // The open upload says more than an object that may only be hidden.
            (Phase::Settling(Step::Object), _) => self.settle(Step::Upload),
            (Phase::Settling(Step::Upload), _) if self.worth_confirming(may_pass, count) => {
                self.again(now, call, &failure);
            }
            (Phase::Settling(Step::ObjectAgain), _) if may_pass => {
                self.again(now, call, &failure);
            }
            (Phase::Settling(step), _) => self.unsettled(now, step, &failure),
            (Phase::Verifying, Call::Head) if count < LOOKS => self.hidden_soon(now, call),
            (Phase::Verifying, Call::Head) => {
                self.answered(now);
                self.begin(Call::Probe(Question::Free));
            }
            // What was allowed to this upload is allowed to the question.
            (Phase::Verifying, _) if self.upload_id().is_some() && may_pass => {
                self.again(now, call, &failure);
            }
            (Phase::Verifying, _) if self.upload_id().is_none() && count < QUESTIONS => {
                self.hidden_soon(now, call);
            }
            (Phase::Verifying, _) => self.verified_by_answer(),
            (Phase::Aborting | Phase::Deleting, Call::Create) => self.cleaned(None),
            (Phase::Orphans, call) if *call != Call::ListUploads => {}
            (Phase::Aborting | Phase::Deleting | Phase::Orphans, _) if count < CLEARINGS => {
                self.again_soon(now, call);
            }
            (Phase::Aborting | Phase::Deleting, _) => self.cleaned(Some(failure)),
            (Phase::Orphans, _) => self.orphans_unlisted(Some(&failure)),
            (Phase::Streaming | Phase::Finished, _) => {}
        }
    }

    /// A part was answered so.
    pub(super) fn hidden_part(&mut self, now: Now, number: u32, failure: &Failure, doing: &str) {
        let (known, forward) = (self.bucket_answered, self.forward_at);
        let Some(tally) = self.parts.tally(number) else { return };
        tally.add(now);
        match tally.may_pass(now, known, forward) {
            true => self.part_again(now, number, failure, doing),
            false => {
                let tally = *tally;
                let error = failure.error(Operation::Part, doing);
                self.fail(now, tally.in_vain(error, now, known));
            }
        }
    }

    /// Counts for the call that is asked now, and no longer for another.
    fn count_hidden(&mut self, now: Now, call: &Call) -> Tally {
        let operation = call.operation();
        if self.tally.as_ref().is_none_or(|(counted, _)| *counted != operation) {
            self.tally = Some((operation, Tally::default()));
        }
        let mut tally = self.tally.map(|(_, tally)| tally).unwrap_or_default();
        tally.add(now);
        self.tally = Some((operation, tally));
        tally
    }

    /// Another try that does not keep anybody waiting.
    fn hidden_soon(&mut self, now: Now, call: Call) {
        self.attempt += 1;
        self.retries += 1;
        self.waiting = Some((now + SHORT.mul_f64(self.random.f64()), call));
    }

    /// With an answer missing all is done to find out; without one it is a matter of form.
    fn worth_confirming(&self, may_pass: bool, count: u32) -> bool {
        if self.in_doubt { may_pass } else { count < CONFIRMATIONS }
    }

    fn not_found(&self, now: Now, call: &Call, failure: &Failure) -> Error {
        let error = failure.error(call.operation(), &self.doing(call));
        let tally = self.tally.map(|(_, tally)| tally).unwrap_or_default();
        tally.in_vain(error, now, self.bucket_answered)
    }
}
