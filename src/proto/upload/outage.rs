//! Outages: how long an upload goes without progress, and what it reports of that.
//!
//! Owns the decision when a failure is worth a warning. Must not know which calls there are to make;
//! `retry::budget` has the clock of `--retry-for`. Invariant: an outage prints at most one warning, and
//! its end prints a line only after one.

use super::Now;
use crate::error::Error;
use crate::request_fields::{AttemptName, RequestFields, Warning};
use crate::retry::{
    self, BucketStatus, BudgetState, Failure, NotFoundStreak, Operation, RetryBudget,
    RetryDecision, RunStage,
};

/// Outages closer together than this are reported as one, so that single failing parts do not each
/// print a line.
const OUTAGE_MERGE_WINDOW: Now = Now::from_secs(60);
/// Such an outage is reported all the same after this long without progress.
const REPORT_STALL_AFTER: Now = Now::from_secs(10);
/// Refused parts are reported after this long, while other parts are in flight: then the number of
/// connections follows, which has a line of its own.
const REPORT_REFUSALS_AFTER: Now = Now::from_secs(60);

/// Why a call is attempted again.
#[derive(Debug, Clone, Copy)]
pub(super) enum RetryCause<'a> {
    Failed(&'a Failure),
    /// The response to a commit was lost, and the upload is still open.
    CommitResponseLost,
    /// The response to a commit was lost, and looking at the object did not settle it. Nothing lists the
    /// uploads of a pre-authenticated request.
    CommitUnsettled,
}

impl RetryCause<'_> {
    fn message(self, label: &AttemptName) -> String {
        match self {
            RetryCause::Failed(failure) => failure.message(label.as_str()),
            RetryCause::CommitResponseLost => {
                format!("{label}: the answer to the commit was lost, and the upload is still open")
            }
            RetryCause::CommitUnsettled => format!(
                "{label}: the answer to the commit was lost, and the object does not show what it did"
            ),
        }
    }

    fn request_fields(self, operation: Operation, label: &AttemptName) -> RequestFields {
        match self {
            RetryCause::Failed(failure) => failure.request_fields(operation, label),
            RetryCause::CommitResponseLost | RetryCause::CommitUnsettled => {
                label.fields(operation.name())
            }
        }
    }

    fn error(self, operation: Operation, label: &AttemptName) -> Error {
        match self {
            RetryCause::Failed(failure) => failure.error(operation, label),
            RetryCause::CommitResponseLost | RetryCause::CommitUnsettled => {
                Error::service(self.message(label))
            }
        }
    }

    /// What the user can do while the upload waits.
    fn setting_hint(self) -> Option<&'static str> {
        match self {
            RetryCause::Failed(failure) => failure.setting_hint(),
            RetryCause::CommitResponseLost | RetryCause::CommitUnsettled => None,
        }
    }

    fn is_unauthorized(self) -> bool {
        matches!(self, RetryCause::Failed(failure) if failure.is_unauthorized())
    }

    fn outage_kind(self, operation: Operation, stage: RunStage) -> OutageKind {
        let RetryCause::Failed(failure) = self else { return OutageKind::Certain };
        match retry::classify(operation, stage, failure) {
            RetryDecision::AmbiguousNotFound => OutageKind::AmbiguousNotFound,
            RetryDecision::Retry { throttled: true } if operation == Operation::Part => {
                OutageKind::SomeRefused
            }
            _ => OutageKind::Certain,
        }
    }

    /// The pause before the next attempt after `attempt` failed ones; `random` in 0..1.
    pub(super) fn delay(self, attempt: u32, random: f64) -> Now {
        match self {
            RetryCause::Failed(failure) => retry::retry_delay(attempt, random, failure),
            RetryCause::CommitResponseLost | RetryCause::CommitUnsettled => {
                retry::backoff(attempt, random, None)
            }
        }
    }
}

/// A time without progress: the budget has its start.
#[derive(Debug, Clone)]
struct Outage {
    report: OutageReport,
    /// What the reported failure is, or the first one while only credentials have failed.
    kind: OutageKind,
}

/// Whether a failure may be a mistake of the service.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum OutageKind {
    /// A 404 that may be spurious.
    AmbiguousNotFound,
    /// The service refuses some of the requests at once.
    SomeRefused,
    /// Any other failure.
    Certain,
}

/// Whether an outage has been reported.
#[derive(Debug, Clone, PartialEq)]
enum OutageReport {
    /// Not yet.
    Pending(Warning),
    Reported,
    /// Only credentials have failed so far; the session reports those.
    BySession,
}

#[derive(Clone)]
pub(super) struct OutageTracker {
    budget: RetryBudget,
    /// The current outage; it lasts as long as that of the budget.
    current: Option<Outage>,
    /// When the last outage ended.
    last_end: Option<Now>,
    pub bucket: BucketStatus,
    /// A warning of this run has reported that 404s may be spurious.
    spurious_reported: bool,
    /// Other parts are in flight, and a controller answers refusals with fewer connections.
    pub controlled: bool,
}

impl OutageTracker {
    pub(super) fn new(retry_for: Now, bucket: BucketStatus) -> OutageTracker {
        OutageTracker {
            budget: RetryBudget::new(retry_for),
            current: None,
            last_end: None,
            bucket,
            spurious_reported: false,
            controlled: false,
        }
    }

    pub(super) fn is_open(&self) -> bool {
        self.current.is_some()
    }

    /// When the retry budget ends.
    pub(super) fn budget_ends(&self, now: Now) -> Now {
        self.budget.ends_at(now)
    }

    /// When the service acknowledged something last.
    pub(super) fn last_progress(&self) -> Now {
        self.budget.last_progress()
    }

    /// Records a failed attempt. Returns whether there is a new text to report.
    ///
    /// # Errors
    ///
    /// The budget was exhausted before this attempt failed.
    pub(super) fn record_failure(
        &mut self,
        now: Now,
        cause: RetryCause<'_>,
        (operation, stage): (Operation, RunStage),
        label: &AttemptName,
    ) -> Result<bool, Error> {
        let message = cause.message(label);
        if let BudgetState::Exhausted { stalled_for } = self.budget.on_failure(now) {
            let seconds = stalled_for.as_secs();
            let message = format!("{message} (no progress for {seconds} s)");
            return Err(Error { message, ..cause.error(operation, label) });
        }
        let kind = match cause.outage_kind(operation, stage) {
            OutageKind::SomeRefused if !self.controlled => OutageKind::Certain,
            kind => kind,
        };
        let by_session = cause.is_unauthorized();
        let pending = OutageReport::Pending(Warning {
            text: self.report(&message, operation, kind, cause),
            request: Some(Box::new(cause.request_fields(operation, label))),
        });
        let Some(outage) = &mut self.current else {
            let report = if by_session { OutageReport::BySession } else { pending };
            self.current = Some(Outage { report, kind });
            return Ok(true);
        };
        let unreported = outage.report == OutageReport::BySession
            || outage.kind != OutageKind::Certain
                && kind == OutageKind::Certain
                && outage.report != OutageReport::Reported;
        if !unreported || by_session {
            return Ok(false);
        }
        *outage = Outage { report: pending, kind };
        Ok(true)
    }

    fn report(
        &self,
        message: &str,
        operation: Operation,
        kind: OutageKind,
        cause: RetryCause<'_>,
    ) -> String {
        let retries = match (kind, cause) {
            (OutageKind::AmbiguousNotFound, RetryCause::Failed(failure)) => {
                NotFoundStreak::retry_message(operation, self.bucket, failure)
            }
            _ => {
                format!("trying again for up to {} s", self.budget.limit().as_secs())
            }
        };
        let hint = cause.setting_hint().map(|hint| format!("; {hint}")).unwrap_or_default();
        format!("{message}{hint}; {retries}, what was read is kept")
    }

    /// When the current outage is to be reported.
    pub(super) fn report_at(&self) -> Option<Now> {
        let since = self.budget.stalled_since()?;
        let outage =
            self.current.as_ref().filter(|o| matches!(o.report, OutageReport::Pending(_)))?;
        let apart = self.last_end.is_none_or(|end| since >= end + OUTAGE_MERGE_WINDOW);
        // Spurious 404s are reported at once only the first time.
        let spurious = outage.kind == OutageKind::AmbiguousNotFound;
        let at_once = apart && !(spurious && self.spurious_reported);
        let after = match outage.kind {
            OutageKind::SomeRefused => REPORT_REFUSALS_AFTER,
            _ if at_once => Now::ZERO,
            _ => REPORT_STALL_AFTER,
        };
        Some(since + after)
    }

    /// The report if its time has come.
    pub(super) fn take_due_report(&mut self, now: Now) -> Option<Warning> {
        self.report_at().filter(|at| now >= *at)?;
        let outage = self.current.as_mut()?;
        let OutageReport::Pending(warning) =
            std::mem::replace(&mut outage.report, OutageReport::Reported)
        else {
            return None;
        };
        self.spurious_reported |= outage.kind == OutageKind::AmbiguousNotFound;
        Some(warning)
    }

    /// Ends the outage, and returns whether its end is worth a line.
    pub(super) fn record_progress(&mut self, now: Now) -> bool {
        self.budget.on_progress(now);
        let Some(outage) = self.current.take() else { return false };
        if outage.report != OutageReport::BySession {
            self.last_end = Some(now);
        }
        outage.report == OutageReport::Reported
    }

    /// The budget counts from now on; the outage goes on.
    pub(super) fn restart_budget(&mut self, now: Now) {
        self.budget.restart(now);
    }

    /// Adds what the exploration of states distinguishes: how long the budget lasts, and what was reported.
    #[cfg(test)]
    pub(super) fn add_to(&self, fingerprint: &mut crate::state_space::Fingerprint, now: Now) {
        let OutageTracker { budget, current, last_end, bucket, spurious_reported, controlled } =
            self;
        let ends = budget.stalled_since().map(|_| budget.ends_at(now).saturating_sub(now));
        fingerprint.time(ends);
        let kind = current.as_ref().map(|Outage { report, kind }| {
            let report = match report {
                OutageReport::Pending(_) => 0,
                OutageReport::Reported => 1,
                OutageReport::BySession => 2,
            };
            (report, *kind as u8)
        });
        fingerprint.add((kind, spurious_reported, controlled, *bucket == BucketStatus::Seen));
        fingerprint.add(last_end.map(|at| now < at + OUTAGE_MERGE_WINDOW));
        fingerprint.time(self.report_at().map(|at| at.saturating_sub(now)));
    }
}
