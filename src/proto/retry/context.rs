//! The retries of one request outside the upload: a look-up, or a range of a download.
//!
//! Owns the attempt count, the backoff, the credential refreshes, the streak of 404s, the budget,
//! and which failures are reported. Must not send, wait or print, and reads no clock: every time is
//! a `Duration` since the start of the run. Invariant: `Next::Retry` never waits past the end of
//! the budget, and a failure that is not retryable ends the request at once.

use std::time::Duration;

use super::{
    BucketStatus, BudgetState, Failure, NotFoundStreak, Operation, RetryBudget, RetryDecision,
    RunStage, classify, retry_delay,
};
use crate::error::Error;
use crate::request_fields::Warning;
use crate::units::DisplayDuration;

/// The session ends the wait for credentials by itself; this is a second bound for look-ups.
const MAX_CREDENTIAL_REFRESHES: u32 = 4;

/// What a run knows about its 404s; the requests of a run share it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct NotFoundHistory {
    bucket: BucketStatus,
    /// A 404 that may be spurious has been reported.
    reported: bool,
    /// The retries of such a 404 have ended without another response.
    exhausted: bool,
}

impl NotFoundHistory {
    /// The history of a run whose bucket has answered before.
    pub fn of_seen_bucket() -> NotFoundHistory {
        NotFoundHistory { bucket: BucketStatus::Seen, ..NotFoundHistory::default() }
    }

    /// Records a successful response. GetNamespace does not involve the bucket.
    pub fn on_success(&mut self, operation: Operation) {
        if operation != Operation::Namespace {
            self.bucket = BucketStatus::Seen;
        }
    }

    /// What the responses so far show about the bucket.
    pub fn bucket(&self) -> BucketStatus {
        self.bucket
    }
}

/// The retry state of one request.
#[derive(Debug, Clone)]
pub struct RetryContext {
    operation: Operation,
    stage: RunStage,
    /// Failed attempts since the last progress.
    attempt: u32,
    credential_refreshes: u32,
    streak: NotFoundStreak,
    /// The budget of transient failures.
    budget: RetryBudget,
    /// The budget of 404s that may be spurious.
    not_found_budget: RetryBudget,
    outage_reported: bool,
}

/// What follows a failed attempt.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Next {
    /// Another attempt.
    Retry(Retry),
    /// No further attempt.
    Fail(RetryError),
}

/// Another attempt.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Retry {
    /// The pause before the attempt.
    pub after: Duration,
    /// A warning for the user, at most once for an outage. It promises more attempts, so there is
    /// none where the budget has ended.
    pub warning: Option<Warning>,
    /// A line for `--debug`, at the first failure after progress.
    pub debug: Option<String>,
}

/// The end of a request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RetryError {
    /// The error of the run.
    pub error: Error,
    /// Why there is no further attempt.
    pub cause: FailCause,
}

/// Why a request is not retried any more.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FailCause {
    /// The last failure means this.
    Decision(RetryDecision),
    /// The failure is retryable, but the budget has ended.
    BudgetExhausted,
}

impl RetryContext {
    /// A look-up that starts at `now`. Its budget of `retry_for` begins at once.
    pub fn for_lookup(operation: Operation, retry_for: Duration, now: Duration) -> RetryContext {
        let budget = RetryBudget::starting_at(retry_for, now);
        RetryContext::new(operation, RunStage::Preflight, budget.clone(), budget)
    }

    /// Bounds the retries of transient failures, but not those of 404s that may be spurious.
    #[must_use]
    pub fn with_transient_limit(self, limit: Duration, now: Duration) -> RetryContext {
        let limit = limit.min(self.budget.limit());
        RetryContext { budget: RetryBudget::starting_at(limit, now), ..self }
    }

    /// A range of a download. Its budget of `retry_for` begins at the first failure after progress.
    pub fn for_download(retry_for: Duration) -> RetryContext {
        let budget = RetryBudget::new(retry_for);
        RetryContext::new(Operation::Get, RunStage::Streaming, budget.clone(), budget)
    }

    fn new(
        operation: Operation,
        stage: RunStage,
        budget: RetryBudget,
        not_found_budget: RetryBudget,
    ) -> RetryContext {
        RetryContext {
            operation,
            stage,
            attempt: 0,
            credential_refreshes: 0,
            streak: NotFoundStreak::default(),
            budget,
            not_found_budget,
            outage_reported: false,
        }
    }

    /// The failed attempts since the last progress.
    pub fn attempt(&self) -> u32 {
        self.attempt
    }

    /// Records progress of this request.
    pub fn on_progress(&mut self, now: Duration) {
        self.attempt = 0;
        self.streak = NotFoundStreak::default();
        self.budget.on_progress(now);
        self.not_found_budget.on_progress(now);
    }

    /// Records progress that another request of the transfer made at `at`.
    pub fn on_progress_elsewhere(&mut self, at: Duration) {
        self.budget.restart(at);
        self.not_found_budget.restart(at);
    }

    /// Records a failed attempt. `error` is the error to end with if the request is not retried;
    /// `random` is in 0..1 and spreads the pause.
    pub fn on_failure(
        &mut self,
        now: Duration,
        failure: &Failure,
        error: Error,
        history: &mut NotFoundHistory,
        random: f64,
    ) -> Next {
        if failure.shows_bucket() {
            history.bucket = BucketStatus::Seen;
        }
        let decision = classify(self.operation, self.stage, failure);
        let ambiguous = decision == RetryDecision::AmbiguousNotFound;
        if ambiguous {
            self.streak.add(now);
        } else {
            self.streak = NotFoundStreak::default();
        }
        let fail = |error| Next::Fail(RetryError { error, cause: FailCause::Decision(decision) });
        let pause = match decision {
            RetryDecision::AmbiguousNotFound if self.retries_not_found(now, history) => {
                self.not_found_delay(failure, history, random)
            }
            RetryDecision::AmbiguousNotFound if self.operation == Operation::Head => {
                return fail(error);
            }
            RetryDecision::AmbiguousNotFound => {
                history.exhausted = true;
                return fail(self.streak.exhausted_error(error, now, history.bucket));
            }
            decision => match self.transient_delay(decision, failure, random) {
                Some(pause) => pause,
                None => return fail(error),
            },
        };
        let states = (self.budget.on_failure(now), self.not_found_budget.on_failure(now));
        let left = match if ambiguous { states.1 } else { states.0 } {
            BudgetState::Remaining(left) if !left.is_zero() => left,
            _ => return Next::Fail(RetryError { error, cause: FailCause::BudgetExhausted }),
        };
        let warning = self.warning(failure, &error, decision, history);
        let first = self.stage == RunStage::Streaming && self.attempt == 0;
        let debug = first.then(|| format!("{}; trying again", error.message));
        self.attempt += 1;
        Next::Retry(Retry { after: pause.min(left), warning, debug })
    }

    /// Whether a 404 that may be spurious is retried. The 404 of a HEAD has no code, and a caller
    /// sends another request to find out what it means. Once a look-up has retried in vain, the
    /// next 404 of a look-up is final.
    fn retries_not_found(&self, now: Duration, history: &NotFoundHistory) -> bool {
        self.operation != Operation::Head
            && !(self.stage == RunStage::Preflight && history.exhausted)
            && self.streak.is_retryable(now, history.bucket, self.budget.last_progress())
    }

    fn not_found_delay(
        &self,
        failure: &Failure,
        history: &NotFoundHistory,
        random: f64,
    ) -> Duration {
        match history.bucket {
            BucketStatus::Unknown => self.streak.retry_delay(random),
            BucketStatus::Seen => retry_delay(self.streak.count() - 1, random, failure),
        }
    }

    /// The pause after a failure other than an ambiguous 404; `None` where it is final.
    fn transient_delay(
        &mut self,
        decision: RetryDecision,
        failure: &Failure,
        random: f64,
    ) -> Option<Duration> {
        match (decision, self.stage) {
            (RetryDecision::Retry { .. }, _)
            | (RetryDecision::ResolveOutcome, RunStage::Preflight)
            | (RetryDecision::RefreshCredentials, RunStage::Streaming) => {
                Some(retry_delay(self.attempt, random, failure))
            }
            (RetryDecision::RefreshCredentials, RunStage::Preflight)
                if self.credential_refreshes < MAX_CREDENTIAL_REFRESHES =>
            {
                self.credential_refreshes += 1;
                Some(Duration::ZERO)
            }
            // Each decision by its name, so that a new one cannot be left out.
            (
                RetryDecision::RefreshCredentials
                | RetryDecision::CredentialsTimedOut
                | RetryDecision::ResolveOutcome
                | RetryDecision::ChecksumMismatch
                | RetryDecision::InvalidPart
                | RetryDecision::PreconditionFailed
                | RetryDecision::NotFound
                | RetryDecision::AmbiguousNotFound
                | RetryDecision::Fatal(_),
                _,
            ) => None,
        }
    }

    /// The warning of this failure, where it is the first of its kind. The session reports refused
    /// credentials, and a download reports only 404s.
    fn warning(
        &mut self,
        failure: &Failure,
        error: &Error,
        decision: RetryDecision,
        history: &mut NotFoundHistory,
    ) -> Option<Warning> {
        let warning = |text| Some(Warning { text, request: error.request.clone() });
        let what = &error.message;
        if decision == RetryDecision::AmbiguousNotFound {
            if std::mem::replace(&mut history.reported, true) {
                return None;
            }
            let reason = NotFoundStreak::retry_message(self.operation, history.bucket, failure);
            return warning(format!("{what}; {reason}"));
        }
        let silent = self.stage == RunStage::Streaming || failure.is_unauthorized();
        if silent || std::mem::replace(&mut self.outage_reported, true) {
            return None;
        }
        let limit = DisplayDuration::prose(self.budget.limit());
        warning(format!("{what}; trying again for up to {limit}"))
    }
}
