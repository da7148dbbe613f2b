//! What may happen next in a run of the exploration.
//!
//! Owns the steps. Must not know what they do. Invariant: what goes wrong costs a fault; what the services
//! and the driver do in a quiet run is free.

use super::super::ProbeResult;
use super::run::Run;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Step {
    /// A worker asks to sign a request.
    Ask(usize, Kind),
    /// The service answers a request, by its token.
    Answer(usize),
    /// The service rejects a request though the token is valid.
    Reject(usize),
    /// The response to a request is lost.
    Lose(usize),
    /// The background task does what is due.
    StartTask,
    /// The auth service answers.
    Refresh(Refresh),
    Probe(ProbeResult),
    /// The time query is answered, or fails.
    Time(bool),
    /// Another process writes a new token to the file.
    Rotate,
    /// The service revokes all tokens.
    Revoke,
    /// The local clock is set forward or back.
    SetClock(bool),
    /// The time passes until something is due.
    Elapse,
    /// The time passes until the second thing is due: what repeats itself may do so any number of times
    /// before.
    Oversleep,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) enum Kind {
    Small,
    Transfer,
    Abort,
}

/// How a principal signs in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Mode {
    /// A session, which the auth service refreshes.
    Refresh,
    /// An instance, a resource, a workload, an exchanged token: another one is issued at any time.
    Issue,
    /// Files that another process replaces.
    FilesOnly,
    /// Texts in the environment.
    Never,
    /// A key that does not expire, in files.
    ApiKey,
}

/// What a refresh brings.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Refresh {
    Extends,
    SameEnd,
    Fails,
}

impl Run {
    /// The steps that cost a fault.
    pub(super) fn disturbances(&self) -> Vec<Step> {
        let mut steps = Vec::new();
        for worker in 0..self.in_flight {
            match self.workers[worker] {
                Some(signed) if signed.ok => {
                    steps.extend([Step::Reject(worker), Step::Lose(worker)]);
                }
                Some(_) => steps.push(Step::Lose(worker)),
                None => {}
            }
        }
        if self.refreshing.is_some() && self.can_extend() {
            steps.extend([Step::Refresh(Refresh::SameEnd), Step::Refresh(Refresh::Fails)]);
        }
        if self.probing.is_some() {
            steps.push(Step::Probe(ProbeResult::Unanswered));
        }
        if self.querying {
            steps.push(Step::Time(false));
        }
        if self.generation() > self.revoked {
            steps.push(Step::Revoke);
        }
        if self.set == 0 {
            steps.extend([Step::SetClock(true), Step::SetClock(false)]);
        }
        steps
    }

    pub(super) fn free_steps(&self) -> Vec<Step> {
        let mut steps = Vec::new();
        for worker in 0..self.in_flight {
            match self.workers[worker] {
                Some(_) => steps.push(Step::Answer(worker)),
                None => {
                    let kinds = [Kind::Small, Kind::Transfer, Kind::Abort];
                    steps.extend(kinds.map(|kind| Step::Ask(worker, kind)));
                }
            }
        }
        if self.refreshing.is_some() {
            let refresh = if self.can_extend() { Refresh::Extends } else { Refresh::Fails };
            steps.push(Step::Refresh(refresh));
        }
        if let Some(generation) = self.probing {
            let accepted = generation == self.generation() && self.accepts();
            let result = if accepted { ProbeResult::Accepted } else { ProbeResult::Rejected };
            steps.push(Step::Probe(result));
        }
        if self.querying {
            steps.push(Step::Time(true));
        }
        if self.file.is_none() && self.mode != Mode::Never {
            steps.push(Step::Rotate);
        }
        // The background task is prompt, as are small answers; a refresh has its timeout.
        if !self.is_idle() {
            steps.push(Step::StartTask);
        } else if self.probing.is_none()
            && !self.querying
            && self.refreshing.is_none_or(|by| self.time < by)
        {
            steps.push(Step::Elapse);
            if !self.lifecycle.is_usable(self.now()) && self.refreshing.is_none() {
                steps.push(Step::Oversleep);
            }
        }
        steps
    }
}
