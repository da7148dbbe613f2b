//! What may happen next in a run of the exploration.
//!
//! Owns the steps and their cost. Must not know what they do. Invariant: every step but those of a run
//! without disturbance costs a fault.

use super::case::Previous;
use super::cutting::Connections;
use super::identical::{Conflict, OtherObject};
use super::par::Par;
use super::run::{Run, Source};
use crate::part_number::PartNumber;
use crate::upload::ApiCall;

/// What goes wrong with a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Fault {
    /// 503 before the service acts.
    Fail,
    /// The service acts, and the response is lost.
    Lose,
    /// There is no response; the service may act at any later time, or never.
    LandLate,
    /// The body arrives damaged: 400.
    Damage,
    /// A 404 of a bucket that exists.
    Spurious404,
    /// 401: the token was rotated.
    Rotate,
    /// There was no valid token for as long as the budget allows.
    Expire,
    /// The service stores other bytes; the response shows it.
    Corrupt,
    /// The service stores other bytes; only HEAD shows it.
    CorruptUnseen,
    /// The service acknowledges and stores nothing.
    Discard,
    /// The service acts, and the URL in its response is of another host.
    Unusable,
}

/// The random part of the pause before the next attempt.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Jitter {
    Short,
    Long,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Step {
    /// The next part is read.
    Read,
    /// The same, and it is known to be the last.
    ReadLast,
    /// The stream is longer than its first part.
    MultipartNeeded,
    /// The stream ends.
    End,
    /// The source breaks.
    Break,
    Signal,
    /// A second signal.
    Abandon,
    /// The next timer is due.
    Timer,
    /// The retry budget passes without an answer.
    Stall,
    /// The service acts, and its response arrives.
    Answer(usize, ApiCall),
    /// The same of a part, so late that a split of the tail saves time.
    AnswerSlowly(usize, ApiCall),
    /// The driver has cut parts into others; a bit of them may have changed.
    Split {
        flipped: bool,
    },
    /// The controller changes the number of connections.
    Connections(Connections),
    /// The pre-authenticated request expires or is deleted.
    EndPar,
    Fault(usize, ApiCall, Fault, Jitter),
    /// A request without response takes effect.
    Land(usize, ApiCall),
    /// The driver has computed the digests of a part again.
    Rehash(PartNumber),
    /// The same, and the buffer has changed.
    BitFlip(PartNumber),
    /// The service loses a part that it acknowledged.
    LosePart(PartNumber),
    /// Another client stores an object at the name.
    OtherObject(OtherObject),
    /// Another client aborts the upload.
    OtherAbort,
}

impl Step {
    /// The faults that the step costs.
    pub(super) fn cost(&self) -> u32 {
        match self {
            Step::Read
            | Step::ReadLast
            | Step::AnswerSlowly(..)
            | Step::Split { flipped: false }
            | Step::Connections(_)
            | Step::MultipartNeeded
            | Step::End
            | Step::Timer
            | Step::Answer(..)
            | Step::Land(..)
            | Step::Rehash(_) => 0,
            Step::Break
            | Step::Signal
            | Step::Abandon
            | Step::Stall
            | Step::Fault(..)
            | Step::BitFlip(_)
            | Step::LosePart(_)
            | Step::Split { flipped: true }
            | Step::EndPar
            | Step::OtherObject(_)
            | Step::OtherAbort => 1,
        }
    }
}

impl Step {
    /// Whether the machine sends the request again.
    pub(super) fn is_retried(&self) -> bool {
        use Fault::{Damage, Fail, LandLate, Lose, Rotate, Spurious404};
        let Step::Fault(_, _, fault, _) = self else { return false };
        matches!(fault, Fail | Lose | LandLate | Damage | Spurious404 | Rotate)
    }
}

/// What can go wrong with a request. A look-up whose response is lost is as one that fails.
fn faults_of(call: &ApiCall) -> Vec<Fault> {
    use Fault::{
        Corrupt, CorruptUnseen, Damage, Discard, Expire, Fail, LandLate, Lose, Rotate, Spurious404,
        Unusable,
    };
    let mut faults = vec![Fail, Spurious404, Rotate, Expire];
    if !matches!(call, ApiCall::Head | ApiCall::ListParts | ApiCall::ListUploads) {
        faults.extend([Lose, LandLate]);
    }
    if matches!(call, ApiCall::Part(_) | ApiCall::Put) {
        faults.push(Damage);
    }
    if matches!(call, ApiCall::Put | ApiCall::Commit) {
        faults.extend([Corrupt, CorruptUnseen, Discard]);
    }
    if *call == ApiCall::Create {
        faults.push(Unusable);
    }
    faults
}

impl Par {
    /// Whether a fault can happen through a pre-authenticated request, and is seen where it does.
    fn meets(self, fault: Fault) -> bool {
        match fault {
            // There are no tokens.
            Fault::Expire => false,
            Fault::Discard => self.reads,
            Fault::Corrupt => self.reads || self.digests,
            _ => true,
        }
    }
}

impl Run {
    /// All that may happen next.
    pub(super) fn possible_steps(&self) -> Vec<Step> {
        let mut steps = Vec::new();
        let late = self.late.iter().enumerate();
        steps.extend(late.map(|(index, sent)| Step::Land(index, sent.request.call.clone())));
        if self.result.is_some() {
            return steps;
        }
        self.add_steps_of_the_source(&mut steps);
        self.add_steps_of_the_service(&mut steps);
        self.add_steps_of_others(&mut steps);
        steps.extend(self.connection_changes().into_iter().map(Step::Connections));
        if self.upload.poll_timeout().is_some() {
            steps.push(Step::Timer);
        }
        if self.can_stall() {
            steps.push(Step::Stall);
        }
        if !self.causes.stopped {
            steps.push(Step::Signal);
        } else {
            steps.push(Step::Abandon);
        }
        let may_happen = |step: &Step| {
            step.cost() <= self.faults
                && u32::from(step.is_retried()) <= self.retries
                && (self.case.explores)(step)
        };
        steps.retain(|step| step.cost() == 0 || may_happen(step));
        steps
    }

    fn add_steps_of_the_source(&self, steps: &mut Vec<Step>) {
        for number in &self.to_rehash {
            steps.extend([Step::Rehash(*number), Step::BitFlip(*number)]);
        }
        if self.cutting.splitting.is_some() {
            steps.extend([false, true].map(|flipped| Step::Split { flipped }));
        }
        // Parts that come meanwhile would get the numbers of those that are cut.
        if self.source != Source::Reading || self.cutting.more_follows {
            return;
        }
        steps.push(Step::Break);
        if self.held && self.multipart_needed {
            return;
        }
        let parts = self.case.parts;
        if self.read == 1 && parts > 1 && !self.multipart_needed {
            steps.push(Step::MultipartNeeded);
        } else if self.read < parts && self.buffers.len() <= self.case.in_flight {
            steps.push(Step::Read);
            if self.case.cut.tail.is_some() && self.read + 1 == parts {
                steps.push(Step::ReadLast);
            }
        } else if self.read == parts {
            steps.push(Step::End);
        }
    }

    fn add_steps_of_the_service(&self, steps: &mut Vec<Step>) {
        for (index, sent) in self.sent.iter().enumerate() {
            let call = &sent.request.call;
            steps.push(Step::Answer(index, call.clone()));
            let is_part = matches!(call, ApiCall::Part(_));
            if is_part && self.case.cut.tail.is_some() && self.upload.core.parts.has_unsent() {
                steps.push(Step::AnswerSlowly(index, call.clone()));
            }
            if self.case.forbidden.contains(&call.operation()) {
                continue;
            }
            for fault in faults_of(call) {
                // Nothing shows a hidden object that differs from what the response reports.
                if fault == Fault::CorruptUnseen && self.case.is_hidden() {
                    continue;
                }
                if self.case.par.is_some_and(|par| !par.meets(fault)) {
                    continue;
                }
                if fault == Fault::Unusable && self.case.par.is_none() {
                    continue;
                }
                let without_pause = matches!(
                    fault,
                    Fault::Damage
                        | Fault::Expire
                        | Fault::Corrupt
                        | Fault::CorruptUnseen
                        | Fault::Discard
                        | Fault::Unusable
                );
                // The pause matters only beside another timer.
                if !without_pause && self.upload.poll_timeout().is_some() {
                    steps.push(Step::Fault(index, call.clone(), fault, Jitter::Short));
                }
                steps.push(Step::Fault(index, call.clone(), fault, Jitter::Long));
            }
        }
    }

    fn add_steps_of_others(&self, steps: &mut Vec<Step>) {
        if let Some(upload) = self.upload.upload_id().and_then(|id| self.service.uploads.get(id)) {
            // Through a request that does not read, nothing shows the loss.
            if self.case.par.is_none_or(|par| par.reads) {
                let acknowledged =
                    upload.keys().filter(|number| self.acknowledged.contains(number));
                steps.extend(acknowledged.map(|number| Step::LosePart(*number)));
            }
            steps.push(Step::OtherAbort);
        }
        if !self.causes.other_object && self.case.previous == Previous::Nothing {
            use OtherObject::{Different, Equal, EqualInOtherParts, SameSize};
            let objects: &[_] = match self.case.conflict {
                Conflict::End => &[Different],
                Conflict::ReadOn => &[Different, SameSize, Equal, EqualInOtherParts],
                Conflict::Found(_) => &[],
            };
            steps.extend(objects.iter().map(|object| Step::OtherObject(*object)));
        }
        if self.case.par.is_some() && !self.causes.par_ended {
            steps.push(Step::EndPar);
        }
    }

    /// Whether requests are in flight, and no timer is due before the retry budget ends.
    fn can_stall(&self) -> bool {
        let Some(ends) = self.budget_end().filter(|ends| *ends > self.now) else { return false };
        !self.sent.is_empty() && self.upload.poll_timeout().is_none_or(|at| at >= ends)
    }
}
