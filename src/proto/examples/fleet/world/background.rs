//! The background task of a host: refreshes and probes of its token, and queries of the time.
//!
//! Owns what the auth service and the probes answer. Must not know when a task is due; the life cycle decides
//! that. Invariant: a token is issued by its mode's rules.

use std::time::Duration;

use ocipipe_proto::token_lifecycle::{
    BackgroundTask, CredentialOrigin, ProbeResult, RefreshOutcome, Renewal,
};

use super::{Event, World};
use crate::service::{ROUND_TRIP, Rejection};
use crate::tokens::clocks;

/// What the issue of a token takes.
const ISSUE_TIME: Duration = Duration::from_millis(300);

impl World {
    /// Performs the tasks of the background task that are due, and schedules its next wake-up.
    pub(super) fn background(&mut self, host: usize) {
        let now = self.now;
        loop {
            let life = &mut self.hosts[host].tokens.life;
            life.take_events();
            match life.next_task(clocks(now)) {
                BackgroundTask::Refresh(reason) => {
                    life.refresh_started(reason);
                    let timeout = life.refresh_timeout(clocks(now));
                    self.request_token(host, timeout);
                }
                BackgroundTask::Probe => {
                    life.probe_started(clocks(now));
                    let generation = life.token().generation;
                    let (after, answered) = self.ask_storage();
                    self.schedule(now + after, host, Event::Probe { generation, answered });
                }
                BackgroundTask::AskTime => {
                    life.time_query_started();
                    let (after, answered) = self.ask_storage();
                    self.schedule(now + after, host, Event::Time { answered });
                }
                BackgroundTask::Idle(idle) => {
                    let tokens = &mut self.hosts[host].tokens;
                    if tokens.wakes_at.is_none_or(|at| now + idle < at) {
                        tokens.wakes_at = Some(now + idle);
                        self.schedule(now + idle, host, Event::Background);
                    }
                    return;
                }
            }
        }
    }

    /// Sends a small request besides those of the upload; returns the time to its end and whether it had an
    /// answer.
    fn ask_storage(&mut self) -> (Duration, bool) {
        match self.storage.receive(self.now) {
            None => (ROUND_TRIP, true),
            Some(Rejection { after, .. }) => (after, false),
        }
    }

    fn request_token(&mut self, host: usize, timeout: Duration) {
        let now = self.now;
        let (after, result) = match self.auth.receive(now) {
            None if self.auth.broken_at(now, now + ISSUE_TIME).is_some() => (ISSUE_TIME, Err(None)),
            None => (ISSUE_TIME, Ok(())),
            Some(Rejection { after, failure }) => {
                (after.min(timeout), Err(failure.retry_after().map(Duration::from_secs)))
            }
        };
        self.schedule(now + after, host, Event::Token(result));
    }

    pub(super) fn on_token(&mut self, host: usize, result: Result<(), Option<Duration>>) {
        let now = self.now;
        let tokens = &mut self.hosts[host].tokens;
        // A token that has expired meanwhile is exchanged for no other.
        let result = match tokens.life.token().expires {
            Some(expires)
                if tokens.mode.renewal() == Renewal::Refresh && expires <= clocks(now).wall =>
            {
                Err(None)
            }
            _ => result,
        };
        let outcome = match result {
            Ok(()) if tokens.adopt(now, CredentialOrigin::Refresh) => RefreshOutcome::Extended,
            Ok(()) => RefreshOutcome::NotExtended,
            Err(retry_after) => {
                RefreshOutcome::Failed { why: String::new(), retry_after, request: None }
            }
        };
        tokens.life.refresh_finished(clocks(now), &outcome);
        self.ask_again(host, Duration::MAX);
    }

    pub(super) fn on_probe(&mut self, host: usize, generation: u64, answered: bool) {
        let tokens = &mut self.hosts[host].tokens;
        let result = match (answered, tokens.is_valid(self.now)) {
            (false, _) => ProbeResult::Unanswered,
            (true, true) => ProbeResult::Accepted,
            (true, false) => ProbeResult::Rejected,
        };
        tokens.life.probe_finished(clocks(self.now), generation, result);
    }
}
