//! The background task and the auth service of a run.
//!
//! Owns what a task begins and what its answer does. Must not know requests. Invariant: a task that is in
//! flight is not begun again.

use super::super::*;
use super::run::Run;
use super::step::{Mode, Refresh};

impl Run {
    pub(super) fn start_task(&mut self) -> Result<(), String> {
        let now = self.now();
        match self.lifecycle.next_task(now) {
            BackgroundTask::Refresh(reason) => {
                let by = self.time + self.lifecycle.refresh_timeout(now);
                if self.refreshing.replace(by).is_some() {
                    return Err("two refreshes are in flight".to_owned());
                }
                let is_expired = self.lifecycle.clock(now) >= self.end();
                if matches!(self.mode.renewal(), Renewal::FilesOnly | Renewal::Never)
                    || self.mode == Mode::Refresh && is_expired
                {
                    return Err(format!("a refresh that cannot succeed: {reason:?}"));
                }
                self.lifecycle.refresh_started(reason);
            }
            BackgroundTask::Probe => {
                if self.probing.replace(self.generation()).is_some() {
                    return Err("two probes are in flight".to_owned());
                }
                self.lifecycle.probe_started(now);
            }
            BackgroundTask::AskTime => {
                if std::mem::replace(&mut self.querying, true) {
                    return Err("two time queries are in flight".to_owned());
                }
                self.lifecycle.time_query_started();
            }
            BackgroundTask::Idle(idle) if idle.is_zero() => return Err("idle for no time".into()),
            BackgroundTask::Idle(_) => {}
        }
        Ok(())
    }

    pub(super) fn refresh(&mut self, refresh: Refresh) {
        self.refreshing = None;
        let now = self.now();
        let end = match refresh {
            Refresh::Extends => Some(self.mode.end(self.service())),
            Refresh::SameEnd => Some(self.end()),
            Refresh::Fails => None,
        };
        let longer = end > Some(self.end());
        let better = |end: &Duration| {
            self.lifecycle.is_better_than_current(
                now,
                &self.mode.token(0, *end),
                CandidateKey::Current,
            )
        };
        if let Some(end) = end.filter(better) {
            self.adopt(end, CredentialOrigin::Refresh);
        }
        let (why, retry_after, request) = ("503".to_owned(), None, None);
        let outcome = match end {
            Some(_) if longer => RefreshOutcome::Extended,
            Some(_) => RefreshOutcome::NotExtended,
            None => RefreshOutcome::Failed { why, retry_after, request },
        };
        self.lifecycle.refresh_finished(now, &outcome);
    }

    /// Whether the auth service gives another token now.
    pub(super) fn can_extend(&self) -> bool {
        self.mode == Mode::Issue || self.accepts()
    }

    /// Whether the background task has nothing to do.
    pub(super) fn is_idle(&self) -> bool {
        matches!(self.lifecycle.next_task(self.now()), BackgroundTask::Idle(_))
    }
}
