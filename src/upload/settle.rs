//! A commit, or a put, that did not simply succeed.
//!
//! Owns the way from a failed or lost answer to certainty: asking for the object, asking for the
//! upload, committing again, healing etags. Knows nothing of requests. Invariant: success is said
//! only on evidence in the object itself, failure only where the service said no or the upload is
//! still open; anything else is said to be unknown.

use super::ending::worth_another;
use super::verify::Comparison;
use super::{Action, Before, Call, Now, Outcome, Phase, Upload};
use crate::error::{Error, Kind};
use crate::oci::api::{Held, ListedPart};
use crate::retry::{Failure, Operation, Verdict};

/// What is asked while the outcome of a commit is open.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Step {
    /// Does the object stand there, and is it ours?
    Object,
    /// Is the upload still open?
    Upload,
    /// The upload is gone: the object has to stand there now.
    ObjectAgain,
}

/// A commit that names a part wrongly is healed and repeated this often.
const HEALS: u32 = 3;
/// A put that arrives damaged is sent again this often.
const DAMAGES: u32 = 8;

impl Step {
    fn call(self) -> Call {
        match self {
            Step::Upload => Call::ListParts,
            Step::Object | Step::ObjectAgain => Call::Head,
        }
    }
}

impl Upload {
    pub(super) fn commit_failed(&mut self, now: Now, verdict: Verdict, failure: Failure) {
        match verdict {
            Verdict::Settle => {
                self.in_doubt = true;
                self.still_open = false;
                self.phase = Phase::Settling(Step::Object);
                // Even where patience is over, what became of it is worth one question.
                let doing = self.doing(&Call::Commit);
                let _ = self.troubled(now, &failure, Operation::Commit, &doing);
                self.later(now, Call::Head, &failure);
            }
            verdict if worth_another(verdict) => self.again(now, Call::Commit, &failure),
            Verdict::Heal if self.heals < HEALS => {
                self.heals += 1;
                self.phase = Phase::Healing;
                self.begin(Call::ListParts);
            }
            // After a lost answer even a plain no may mean that an earlier try had succeeded. So may,
            // after any other, one that says that the upload has ended or that an object stands there.
            _ if self.in_doubt || self.done_before(verdict) => {
                self.in_doubt = true;
                self.refusal = Some(self.refused(&failure, Operation::Commit, "the commit"));
                self.answered(now);
                self.settle(Step::Object);
            }
            _ => {
                let error = self.refused(&failure, Operation::Commit, "the commit");
                self.refused_for_good(now, error);
            }
        }
    }

    /// Whether a no to a repeated request may be the echo of an earlier one's success.
    fn done_before(&self, verdict: Verdict) -> bool {
        self.sends > 1 && matches!(verdict, Verdict::Missing | Verdict::Exists)
    }

    /// Whether an object is another than the one that stood there before, where that can be told.
    pub(super) fn is_new(&self, held: &Held) -> Option<bool> {
        match &self.settings.before {
            Before::Nothing => Some(true),
            Before::Object(etag) => Some(held.etag.as_ref() != Some(etag)),
            Before::Unknown => None,
        }
    }

    pub(super) fn settle(&mut self, step: Step) {
        self.phase = Phase::Settling(step);
        self.begin(step.call());
    }

    pub(super) fn settled(&mut self, now: Now, step: Step, outcome: Outcome) {
        match (step, outcome) {
            (Step::Object, Outcome::Object(held)) => match self.compare(&held) {
                Comparison::Same(verified_by)
                    if Upload::is_strong(&verified_by) && self.is_new(&held) == Some(true) =>
                {
                    self.stored(held, verified_by);
                }
                // An equal object may be the old one: then the upload is still open.
                _ => self.settle(Step::Upload),
            },
            (Step::Upload, Outcome::Parts(_)) => {
                if let Some(refusal) = self.refusal.take() {
                    return self.refused_for_good(now, refusal);
                }
                self.still_open = true;
                self.phase = Phase::Committing;
                let failure = Failure::Transport {
                    how: crate::retry::Break::Lost,
                    text: "the answer to the commit was lost, and the upload is still open"
                        .to_owned(),
                };
                self.again(now, Call::Commit, &failure);
            }
            (Step::ObjectAgain, Outcome::Object(held)) => {
                let new = self.is_new(&held);
                match self.compare(&held) {
                    // The upload has ended, the old object is gone and the size is right. Where it
                    // is not known what stood there, an old object may have that size.
                    Comparison::Same(by) if new.unwrap_or(Upload::is_strong(&by)) => {
                        self.stored(held, by);
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

    pub(super) fn settling_failed(
        &mut self,
        now: Now,
        step: Step,
        verdict: Verdict,
        failure: Failure,
    ) {
        match (step, verdict) {
            (_, verdict) if worth_another(verdict) => self.again(now, step.call(), &failure),
            (Step::Object, _) => self.settle(Step::Upload),
            (Step::Upload, Verdict::Missing) => {
                self.answered(now);
                self.settle(Step::ObjectAgain);
            }
            (Step::Upload | Step::ObjectAgain, _) => self.unsettled(now, step, &failure),
        }
    }

    /// Asking has failed: what is not known stays unknown, unless every answer was a plain no.
    pub(super) fn unsettled(&mut self, now: Now, step: Step, failure: &Failure) {
        match self.refusal.take() {
            Some(refusal) if !self.in_doubt && step == Step::Upload => {
                self.refused_for_good(now, refusal);
            }
            _ => {
                let why = failure.what("its answer was lost, and asking did not settle it");
                self.end_unknown(&why);
            }
        }
    }

    /// As above, for a put whose object was looked for.
    pub(super) fn nothing_found(&mut self, now: Now, why: &str) {
        match self.refusal.take() {
            Some(refusal) if !self.in_doubt => self.refused_for_good(now, refusal),
            _ => self.end_unknown(why),
        }
    }

    /// The parts as the service lists them, after it refused an etag.
    pub(super) fn healed(&mut self, now: Now, listed: Vec<ListedPart>) {
        match self.parts.heal(&listed) {
            // The parts that are sent again lead to the next commit themselves.
            Ok(again) if again > 0 => {
                self.retries += again;
                self.went_forward(now);
                self.phase = Phase::Streaming;
            }
            Ok(_) => {
                self.went_forward(now);
                self.phase = Phase::Committing;
                self.begin(Call::Commit);
            }
            Err(error) => self.refused_for_good(now, error),
        }
    }

    pub(super) fn put_failed(&mut self, now: Now, call: Call, verdict: Verdict, failure: Failure) {
        match (call, verdict) {
            (Call::Put, Verdict::Settle) => {
                self.in_doubt = true;
                // The body is still here, and the condition keeps a repetition from doing harm.
                self.again(now, Call::Put, &failure);
            }
            (call, verdict) if worth_another(verdict) => self.again(now, call, &failure),
            (Call::Put, Verdict::Damaged) if self.heals < DAMAGES => {
                self.heals += 1;
                self.retries += 1;
                self.actions.push_back(Action::Rehash(1));
            }
            // With a lost answer among the tries, whether one arrived is asked for below.
            (Call::Put, Verdict::Damaged) if !self.in_doubt => {
                let doing = "the object was damaged on the way every time";
                let error = failure.error(Operation::Put, doing);
                self.refused_for_good(now, Error { kind: Kind::Integrity, ..error });
            }
            (Call::Put, verdict) if self.in_doubt || self.done_before(verdict) => {
                self.in_doubt = true;
                self.refusal = Some(self.refused(&failure, Operation::Put, "PutObject"));
                self.answered(now);
                self.begin(Call::Head);
            }
            (Call::Put, _) => {
                let error = self.refused(&failure, Operation::Put, "PutObject");
                self.refused_for_good(now, error);
            }
            _ => self.nothing_found(now, &failure.what("an answer was lost, and asking failed")),
        }
    }

    /// A repeated put was refused: what stands there may be what the first try stored.
    pub(super) fn put_settled(&mut self, now: Now, held: Held) {
        match self.compare(&held) {
            _ if self.is_new(&held) == Some(false) => self.anothers_object(now),
            Comparison::Differs(_) if !self.in_doubt => {
                self.nothing_found(now, "something else stands there");
            }
            Comparison::Same(verified_by) if Upload::is_strong(&verified_by) => {
                self.stored(held, verified_by);
            }
            Comparison::Differs(_) => self.anothers_object(now),
            // The chosen checksum is not kept by the service, but its MD5 is.
            _ if held.content_md5.is_some() => {
                self.found = Some(held);
                self.actions.push_back(Action::Rehash(1));
            }
            // Another host's stream may have the same size.
            _ => self
                .nothing_found(now, "an answer was lost, and what stands there cannot be compared"),
        }
    }

    /// What stands at the name was put there by someone else, or was there before.
    pub(super) fn anothers_object(&mut self, now: Now) {
        match self.refusal.take() {
            Some(refusal) if !self.in_doubt => return self.refused_for_good(now, refusal),
            Some(refusal) if refusal.kind == Kind::Exists => {}
            Some(refusal) => {
                let why = format!("an answer was lost, its repetition refused ({})", refusal.what);
                return self.end_unknown(&format!("{why}, and something else stands there"));
            }
            None => {
                return self.end_unknown("its answer was lost, and something else stands there");
            }
        }
        let error = Error::new(
            Kind::Exists,
            format!("{} exists already, and it is not this stream", self.settings.named.object),
        )
        .next("give --force to replace it");
        self.refused_for_good(now, error);
    }
}
