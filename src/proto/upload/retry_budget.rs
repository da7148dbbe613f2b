//! Trying again, and for how long.
//!
//! Owns the clock of `--retry-for`: it starts at the first failure after the last progress, and any
//! acknowledgement stops it. Knows nothing of what is tried. Invariant: the last attempt is made
//! when patience ends, and nothing is given up before.

use super::cleanup::ABORT_PAUSE;
use super::{Action, ApiCall, Now, Upload};
use crate::error::Error;
use crate::retry::{self, Failure, NotFoundStreak, Operation, RetryDecision};

/// Trouble that follows an earlier one within this is one with it: single parts that fail among good
/// ones would make a line each otherwise.
const OUTAGE_MERGE_WINDOW: Now = Now::from_secs(60);
/// It is mentioned all the same where nothing has gone forward for so long.
const REPORT_STALL_AFTER: Now = Now::from_secs(10);

/// Since when nothing went forward.
#[derive(Debug, Clone)]
pub(super) struct Outage {
    pub since: Now,
    report: OutageReport,
    /// It began with a 404 that may be spurious.
    began_ambiguous: bool,
}

/// Whether trouble has been told of.
#[derive(Debug, Clone, PartialEq)]
enum OutageReport {
    /// What is to be said.
    Pending(String),
    Reported,
    /// Credentials were refused, and nothing else: of that the session tells.
    BySession,
}

impl Upload {
    pub(super) fn retry_part(&mut self, now: Now, number: u32, failure: &Failure, doing: &str) {
        if let Some(error) = self.record_failure(now, failure, Operation::Part, doing) {
            return self.abort_with(now, error);
        }
        let attempt = self.parts.attempt(number);
        let tally = self.parts.not_found_streak(number).map(|tally| *tally);
        let at = self.next_attempt(now, (attempt, tally), failure);
        self.parts.retry_at(number, at);
        self.retries += 1;
    }

    /// Schedules another attempt of the one call besides parts.
    pub(super) fn retry_call(&mut self, now: Now, call: ApiCall, failure: &Failure) {
        match self.record_failure(now, failure, call.operation(), &self.attempt_label(&call)) {
            Some(error) => self.on_budget_exhausted(now, error),
            None => self.schedule_retry(now, call, failure),
        }
    }

    /// What an attempt is called in messages.
    pub(super) fn attempt_label(&self, call: &ApiCall) -> String {
        format!("{}, attempt {}", call.operation().name(), self.attempt + 1)
    }

    pub(super) fn schedule_retry(&mut self, now: Now, call: ApiCall, failure: &Failure) {
        let tally = self.not_found_streak.map(|(_, tally)| tally);
        let at = self.next_attempt(now, (self.attempt, tally), failure);
        self.attempt += 1;
        self.retries += 1;
        self.scheduled_call = Some((at, call));
    }

    /// After so many attempts, and so many 404s of the last of them.
    fn next_attempt(
        &mut self,
        now: Now,
        (attempt, tally): (u32, Option<NotFoundStreak>),
        failure: &Failure,
    ) -> Now {
        let random = self.rng.f64();
        let mut pause = match tally.filter(|tally| tally.count() > 0) {
            None => retry::retry_delay(attempt, random, failure),
            // They pass one by one and not with time, as an outage does.
            Some(tally) if self.bucket_seen => {
                retry::retry_delay(tally.count() - 1, random, failure)
            }
            Some(tally) => tally.retry_delay(random),
        };
        if self.stop_deadline.is_some() {
            pause = pause.min(ABORT_PAUSE);
        }
        // The last attempt is made when patience ends, not before.
        (now + pause).min(self.budget_ends(now))
    }

    /// Notes that something failed; the error to end with if that has gone on for too long.
    pub(super) fn record_failure(
        &mut self,
        now: Now,
        failure: &Failure,
        operation: Operation,
        doing: &str,
    ) -> Option<Error> {
        let retry_for = self.config.retry_for;
        let what = failure.message(doing);
        let hidden =
            retry::classify(operation, self.stage(), failure) == RetryDecision::AmbiguousNotFound;
        let text = match hidden {
            true => {
                let words = NotFoundStreak::retry_message(operation, self.bucket_seen);
                format!("{what}; {words}, what was read is kept")
            }
            false => {
                let seconds = retry_for.as_secs();
                format!("{what}; trying again for up to {seconds} s, what was read is kept")
            }
        };
        match &mut self.outage {
            None => {
                let told = match failure.is_unauthorized() {
                    true => OutageReport::BySession,
                    false => OutageReport::Pending(text),
                };
                self.outage = Some(Outage { since: now, report: told, began_ambiguous: hidden });
                self.report_outage(now);
                None
            }
            Some(trouble) if now < trouble.since + retry_for => {
                let untold = trouble.report == OutageReport::BySession
                    || trouble.began_ambiguous
                        && !hidden
                        && trouble.report != OutageReport::Reported;
                if untold && !failure.is_unauthorized() {
                    (trouble.report, trouble.began_ambiguous) =
                        (OutageReport::Pending(text), hidden);
                    self.report_outage(now);
                }
                None
            }
            Some(trouble) => {
                let stood = (now - trouble.since).as_secs();
                let what = format!("{what} (no progress for {stood} s)");
                Some(Error { message: what, ..failure.error(operation, doing) })
            }
        }
    }

    pub(super) fn budget_ends(&self, now: Now) -> Now {
        self.outage.as_ref().map_or(now, |trouble| trouble.since) + self.config.retry_for
    }

    /// When trouble that was left unmentioned is to be mentioned.
    pub(super) fn report_at(&self) -> Option<Now> {
        let trouble =
            self.outage.as_ref().filter(|t| matches!(t.report, OutageReport::Pending(_)))?;
        let calm =
            self.last_outage_end.is_none_or(|calm| trouble.since >= calm + OUTAGE_MERGE_WINDOW);
        // That requests are declined by mistake is no news the second time.
        let news = calm && !(trouble.began_ambiguous && self.spurious_reported);
        Some(trouble.since + if news { Now::ZERO } else { REPORT_STALL_AFTER })
    }

    pub(super) fn report_outage(&mut self, now: Now) {
        if self.report_at().is_some_and(|at| now >= at)
            && let Some(trouble) = &mut self.outage
            && let OutageReport::Pending(text) =
                std::mem::replace(&mut trouble.report, OutageReport::Reported)
        {
            self.spurious_reported |= trouble.began_ambiguous;
            self.actions.push_back(Action::Warn(text));
        }
    }

    /// A question was answered for good: what is asked next has the whole of `--retry-for`.
    pub(super) fn restart_budget(&mut self, now: Now) {
        self.last_progress = now;
        if let Some(trouble) = &mut self.outage {
            trouble.since = now;
        }
    }

    /// Something was acknowledged: the clock of `--retry-for` starts anew.
    pub(super) fn record_progress(&mut self, now: Now) {
        self.last_progress = now;
        let Some(trouble) = self.outage.take() else { return };
        if trouble.report != OutageReport::BySession {
            self.last_outage_end = Some(now);
        }
        if trouble.report == OutageReport::Reported {
            self.actions.push_back(Action::Warn("the upload goes on".to_owned()));
        }
    }
}
