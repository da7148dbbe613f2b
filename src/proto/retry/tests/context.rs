//! Look-ups and downloads against a service in virtual time.

use std::time::Duration;

use super::{error_response, failed_connection};
use crate::error::{Error, ErrorKind};
use crate::retry::{
    BucketStatus, FailCause, Failure, Next, NotFoundHistory, Operation, RetryContext,
    RetryDecision, RetryError,
};

const SECOND: Duration = Duration::from_secs(1);

/// One request and the service that answers it.
struct Run {
    context: RetryContext,
    operation: Operation,
    now: Duration,
    attempts: u32,
    warnings: Vec<String>,
    debug_lines: Vec<String>,
}

impl Run {
    fn lookup(operation: Operation, retry_for: Duration) -> Run {
        Run::new(operation, RetryContext::for_lookup(operation, retry_for, Duration::ZERO))
    }

    fn download(retry_for: Duration) -> Run {
        Run::new(Operation::Get, RetryContext::for_download(retry_for))
    }

    fn new(operation: Operation, context: RetryContext) -> Run {
        Run {
            context,
            operation,
            now: Duration::ZERO,
            attempts: 0,
            warnings: Vec::new(),
            debug_lines: Vec::new(),
        }
    }

    /// One attempt that fails after `took`; advances the clock by the pause, if it is retried.
    fn attempt(
        &mut self,
        took: Duration,
        failure: &Failure,
        history: &mut NotFoundHistory,
    ) -> Option<RetryError> {
        self.now += took;
        self.attempts += 1;
        let error = failure.error(self.operation, "x");
        match self.context.on_failure(self.now, failure, error, history, 1.0) {
            Next::Retry(retry) => {
                self.now += retry.after;
                self.warnings.extend(retry.warning.map(|warning| warning.text));
                self.debug_lines.extend(retry.debug);
                None
            }
            Next::Fail(error) => Some(error),
        }
    }

    /// Attempts that fail at once in the same way, until the request ends.
    fn until_failed(&mut self, failure: &Failure, history: &mut NotFoundHistory) -> RetryError {
        loop {
            if let Some(error) = self.attempt(Duration::ZERO, failure, history) {
                return error;
            }
        }
    }
}

#[test]
fn a_look_up_ends_after_its_budget_or_a_shorter_limit_and_warns_once() {
    for (retry_for, limit, ends, shown) in [
        (3600, None, 3600, "1 h 0 min"),
        (60, Some(600), 60, "1 min 0 s"),
        (600, Some(5), 5, "5 s"),
    ] {
        let mut run = Run::lookup(Operation::Namespace, retry_for * SECOND);
        if let Some(limit) = limit {
            run.context = run.context.with_transient_limit(limit * SECOND, Duration::ZERO);
        }
        let end = run.until_failed(&failed_connection(), &mut NotFoundHistory::default());
        assert_eq!((end.cause, run.now), (FailCause::BudgetExhausted, ends * SECOND));
        assert!(run.attempts > 3);
        let warning = format!("x: refused; trying again for up to {shown}");
        assert_eq!(run.warnings, [warning]);
        assert!(run.debug_lines.is_empty());
    }
}

#[test]
fn the_budget_of_a_look_up_counts_its_first_attempt() {
    let mut run = Run::lookup(Operation::Head, 60 * SECOND);
    let history = &mut NotFoundHistory::default();
    let end = run.attempt(60 * SECOND, &failed_connection(), history).unwrap();
    assert_eq!(end.cause, FailCause::BudgetExhausted);
    assert!(run.warnings.is_empty());
    let mut run = Run::lookup(Operation::Head, 60 * SECOND);
    assert_eq!(run.attempt(59 * SECOND, &failed_connection(), history), None);
}

#[test]
fn a_look_up_refreshes_credentials_four_times_without_a_pause_or_a_warning() {
    let mut run = Run::lookup(Operation::Head, 3600 * SECOND);
    let unauthorized = error_response(401, "NotAuthenticated");
    let end = run.until_failed(&unauthorized, &mut NotFoundHistory::default());
    assert_eq!(end.cause, FailCause::Decision(RetryDecision::RefreshCredentials));
    assert_eq!((run.attempts, run.now), (5, Duration::ZERO));
    assert!(run.warnings.is_empty());
    assert_eq!(end.error.kind, ErrorKind::Credentials);
}

#[test]
fn a_final_failure_ends_a_look_up_and_a_download_at_once() {
    let rejected = error_response(403, "NotAllowed");
    for mut run in [Run::lookup(Operation::Get, 3600 * SECOND), Run::download(3600 * SECOND)] {
        let end = run.until_failed(&rejected, &mut NotFoundHistory::default());
        let fatal = RetryDecision::Fatal(ErrorKind::Service);
        assert_eq!((end.cause, run.attempts), (FailCause::Decision(fatal), 1));
        assert_eq!(end.error, rejected.error(Operation::Get, "x"));
    }
    let missing = error_response(404, "ObjectNotFound");
    let end = Run::download(SECOND).until_failed(&missing, &mut NotFoundHistory::default());
    assert_eq!(end.cause, FailCause::Decision(RetryDecision::NotFound));
    let timed_out = Failure::Credentials(Error::credentials("no token"));
    let end = Run::download(SECOND).until_failed(&timed_out, &mut NotFoundHistory::default());
    assert_eq!(end.cause, FailCause::Decision(RetryDecision::CredentialsTimedOut));
}

#[test]
fn a_404_of_an_unknown_bucket_is_tried_four_times_and_then_believed_by_all_look_ups() {
    let missing = error_response(404, "BucketNotFound");
    let mut history = NotFoundHistory::default();
    let mut run = Run::lookup(Operation::Get, 3600 * SECOND);
    let end = run.until_failed(&missing, &mut history);
    assert_eq!(end.cause, FailCause::Decision(RetryDecision::AmbiguousNotFound));
    assert_eq!((run.attempts, run.warnings.len()), (4, 1));
    assert!(run.warnings[0].contains("trying 4 times in all"), "{:?}", run.warnings);
    assert!(end.error.message.contains("answered so 4 times"), "{}", end.error.message);
    let mut next = Run::lookup(Operation::ListUploads, 3600 * SECOND);
    next.until_failed(&missing, &mut history);
    assert_eq!((next.attempts, next.warnings.len()), (1, 0));
}

#[test]
fn a_404_of_a_seen_bucket_is_retried_for_two_minutes_though_a_look_up_takes_one_at_most() {
    let missing = error_response(404, "BucketNotFound");
    let mut history = NotFoundHistory::default();
    history.on_success(Operation::Namespace);
    assert_eq!(history.bucket(), BucketStatus::Unknown);
    history.on_success(Operation::Head);
    assert_eq!(history.bucket(), BucketStatus::Seen);
    let mut run = Run::lookup(Operation::Get, 3600 * SECOND);
    let end = run.until_failed(&missing, &mut history);
    assert!(run.attempts >= 10 && run.now >= 120 * SECOND, "{} {:?}", run.attempts, run.now);
    assert!(end.error.message.contains("although the bucket had answered before"));
    // Within a shorter budget it ends when the budget does.
    let mut run = Run::lookup(Operation::Get, 5 * SECOND);
    let end = run.until_failed(&missing, &mut NotFoundHistory::of_seen_bucket());
    assert_eq!((end.cause, run.now), (FailCause::BudgetExhausted, 5 * SECOND));
}

#[test]
fn another_failure_ends_the_streak_of_404s() {
    let missing = error_response(404, "BucketNotFound");
    let mut history = NotFoundHistory::default();
    let mut run = Run::lookup(Operation::Get, 3600 * SECOND);
    for failure in [&missing, &missing, &missing, &error_response(503, "ServiceUnavailable")] {
        assert_eq!(run.attempt(Duration::ZERO, failure, &mut history), None);
    }
    run.until_failed(&missing, &mut history);
    assert_eq!(run.attempts, 8);
}

#[test]
fn the_404_of_a_head_request_is_left_to_its_caller() {
    let mut history = NotFoundHistory::of_seen_bucket();
    let mut run = Run::lookup(Operation::Head, 3600 * SECOND);
    let end = run.until_failed(&error_response(404, ""), &mut history);
    assert_eq!(end.cause, FailCause::Decision(RetryDecision::AmbiguousNotFound));
    assert_eq!((run.attempts, history), (1, NotFoundHistory::of_seen_bucket()));
}

#[test]
fn a_response_that_only_a_bucket_gives_shows_it_although_it_is_an_error() {
    let mut history = NotFoundHistory::default();
    let missing = error_response(404, "ObjectNotFound");
    Run::lookup(Operation::Get, SECOND).until_failed(&missing, &mut history);
    assert_eq!(history.bucket(), BucketStatus::Seen);
}

#[test]
fn a_download_ends_when_nothing_has_arrived_for_the_budget() {
    let mut run = Run::download(100 * SECOND);
    let history = &mut NotFoundHistory::of_seen_bucket();
    assert_eq!(run.attempt(40 * SECOND, &failed_connection(), history), None);
    let end = run.until_failed(&failed_connection(), history);
    // It is counted from the first failure, and the last attempt is made at the end.
    assert_eq!((end.cause, run.now), (FailCause::BudgetExhausted, 140 * SECOND));
    assert_eq!(run.debug_lines, ["x: refused; trying again"]);
    assert!(run.warnings.is_empty());
}

#[test]
fn a_download_without_a_budget_ends_at_its_first_failure() {
    let mut run = Run::download(Duration::ZERO);
    let end = run.until_failed(&failed_connection(), &mut NotFoundHistory::of_seen_bucket());
    assert_eq!((end.cause, run.attempts), (FailCause::BudgetExhausted, 1));
}

#[test]
fn a_failure_that_is_not_retried_promises_no_retry() {
    let missing = error_response(404, "BucketNotFound");
    for failure in [&failed_connection(), &missing] {
        let spent = Run::lookup(Operation::Get, 5 * SECOND);
        let without_budget = Run::lookup(Operation::Get, Duration::ZERO);
        for mut run in [spent, without_budget, Run::download(Duration::ZERO)] {
            let history = &mut NotFoundHistory::of_seen_bucket();
            let end = run.attempt(5 * SECOND, failure, history).unwrap();
            assert_eq!(end.cause, FailCause::BudgetExhausted);
            assert_eq!((run.warnings.len(), run.debug_lines.len()), (0, 0));
            // The error alone has what a user needs.
            assert_eq!(end.error, failure.error(Operation::Get, "x"));
        }
    }
    // The first 404 that is retried is still reported.
    let history = &mut NotFoundHistory::of_seen_bucket();
    Run::lookup(Operation::Get, 5 * SECOND).attempt(5 * SECOND, &missing, history);
    let mut next = Run::lookup(Operation::Get, 5 * SECOND);
    assert_eq!(next.attempt(SECOND, &missing, history), None);
    assert_eq!(next.warnings.len(), 1);
    let hint = missing.error(Operation::Get, "x").hint.unwrap();
    assert!(hint.contains("bucket") && hint.contains("OBJECT_READ"), "{hint}");
}

#[test]
fn progress_of_the_range_gives_the_whole_budget_and_the_shortest_backoff() {
    let mut run = Run::download(100 * SECOND);
    let history = &mut NotFoundHistory::of_seen_bucket();
    while run.now < 99 * SECOND {
        assert_eq!(run.attempt(Duration::ZERO, &failed_connection(), history), None);
    }
    run.context.on_progress(run.now);
    assert_eq!(run.context.attempt(), 0);
    let progress = run.now;
    assert_eq!(run.attempt(Duration::ZERO, &failed_connection(), history), None);
    assert_eq!(run.now - progress, SECOND / 2);
    run.until_failed(&failed_connection(), history);
    assert_eq!(run.now, progress + 100 * SECOND);
    assert_eq!(run.debug_lines.len(), 2);
}

#[test]
fn progress_of_another_range_extends_the_budget_and_keeps_the_backoff() {
    let mut run = Run::download(100 * SECOND);
    let history = &mut NotFoundHistory::of_seen_bucket();
    while run.now < 99 * SECOND {
        assert_eq!(run.attempt(Duration::ZERO, &failed_connection(), history), None);
    }
    let attempt = run.context.attempt();
    assert_eq!(attempt, run.attempts);
    run.context.on_progress_elsewhere(80 * SECOND);
    assert_eq!(run.context.attempt(), attempt);
    run.until_failed(&failed_connection(), history);
    assert_eq!(run.now, 180 * SECOND);
    assert_eq!(run.debug_lines.len(), 1);
}

#[test]
fn a_download_refreshes_credentials_until_its_budget_ends() {
    let mut run = Run::download(100 * SECOND);
    let unauthorized = error_response(401, "NotAuthenticated");
    let end = run.until_failed(&unauthorized, &mut NotFoundHistory::of_seen_bucket());
    assert_eq!((end.cause, run.now), (FailCause::BudgetExhausted, 100 * SECOND));
    assert!(run.attempts > 50, "{}", run.attempts);
}

#[test]
fn the_ranges_of_a_download_report_spurious_404s_once_and_outlast_them_for_two_minutes() {
    let missing = error_response(404, "BucketNotFound");
    let mut history = NotFoundHistory::of_seen_bucket();
    let mut first = Run::download(3600 * SECOND);
    let end = first.until_failed(&missing, &mut history);
    assert_eq!(end.cause, FailCause::Decision(RetryDecision::AmbiguousNotFound));
    assert!(first.now >= 120 * SECOND && first.attempts >= 10);
    assert!(first.warnings.len() == 1 && first.warnings[0].contains("for up to 120 s"));
    // One range in vain is no reason for another to try less.
    let mut second = Run::download(3600 * SECOND);
    second.until_failed(&missing, &mut history);
    assert_eq!((second.now, second.warnings.len()), (first.now, 0));
}

#[test]
fn progress_of_another_range_begins_the_two_minutes_of_404s_anew() {
    let missing = error_response(404, "BucketNotFound");
    let mut history = NotFoundHistory::of_seen_bucket();
    let mut run = Run::download(3600 * SECOND);
    while run.now < 110 * SECOND {
        assert_eq!(run.attempt(Duration::ZERO, &missing, &mut history), None);
    }
    run.context.on_progress_elsewhere(100 * SECOND);
    run.until_failed(&missing, &mut history);
    assert!((220 * SECOND..260 * SECOND).contains(&run.now), "{:?}", run.now);
}

#[test]
fn the_pauses_after_404s_of_a_seen_bucket_double_from_half_a_second_to_thirty() {
    let missing = error_response(404, "BucketNotFound");
    let mut history = NotFoundHistory::of_seen_bucket();
    let mut run = Run::download(3600 * SECOND);
    let pauses = [(); 8].map(|()| {
        let before = run.now;
        assert_eq!(run.attempt(Duration::ZERO, &missing, &mut history), None);
        (run.now - before).as_millis()
    });
    assert_eq!(pauses, [500, 1_000, 2_000, 4_000, 8_000, 16_000, 30_000, 30_000]);
}
