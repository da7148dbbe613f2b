//! The retry budget: how long a transfer may go without progress.
//!
//! Owns the start and the end of an outage: it begins at the first failure and ends at the next
//! progress. Must not know what is retried or why it failed, and reads no clock: every time is a
//! `Duration` since the start of the run. Invariant: once `now` has reached the end of the budget,
//! a further failure exhausts it, and no failure before that does.

use std::time::Duration;

/// The state of `--retry-for` in one transfer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RetryBudget {
    limit: Duration,
    /// The start of the current outage.
    stalled_since: Option<Duration>,
    last_progress: Duration,
}

/// What one more failure leaves of the budget.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum BudgetState {
    /// The time left until the budget ends. It is zero only at the first failure of an outage under
    /// a limit of zero.
    Remaining(Duration),
    /// The budget has ended; the outage has lasted for `stalled_for`.
    Exhausted {
        /// The time without progress.
        stalled_for: Duration,
    },
}

impl RetryBudget {
    /// A budget that begins at the first failure. `limit` is the longest time without progress.
    pub fn new(limit: Duration) -> RetryBudget {
        RetryBudget { limit, stalled_since: None, last_progress: Duration::ZERO }
    }

    /// A budget that begins at `now`, before the first failure.
    pub(crate) fn starting_at(limit: Duration, now: Duration) -> RetryBudget {
        RetryBudget { limit, stalled_since: Some(now), last_progress: Duration::ZERO }
    }

    /// The longest time without progress.
    pub fn limit(&self) -> Duration {
        self.limit
    }

    /// Records a failed attempt. The first one begins the outage and does not exhaust the budget.
    pub fn on_failure(&mut self, now: Duration) -> BudgetState {
        let Some(since) = self.stalled_since else {
            self.stalled_since = Some(now);
            return BudgetState::Remaining(self.limit);
        };
        let ends_at = since.saturating_add(self.limit);
        if now < ends_at {
            BudgetState::Remaining(ends_at - now)
        } else {
            BudgetState::Exhausted { stalled_for: now - since }
        }
    }

    /// Records progress, which ends the outage. Returns the duration of the outage, where there was
    /// one.
    pub fn on_progress(&mut self, now: Duration) -> Option<Duration> {
        self.last_progress = self.last_progress.max(now);
        self.stalled_since.take().map(|since| now.saturating_sub(since))
    }

    /// Gives the whole limit to what is attempted from `now` on, without ending the outage: an
    /// intermediate question has its final answer, or another part of the transfer made progress.
    /// A `now` before the start of the outage changes nothing.
    pub fn restart(&mut self, now: Duration) {
        self.last_progress = self.last_progress.max(now);
        if let Some(since) = &mut self.stalled_since {
            *since = (*since).max(now);
        }
    }

    /// When the budget ends; where there is no outage, when it ends if one begins at `now`. The last
    /// attempt is made then and not before, so a backoff is cut short to end at this time.
    pub(crate) fn ends_at(&self, now: Duration) -> Duration {
        self.stalled_since.unwrap_or(now).saturating_add(self.limit)
    }

    /// When the current outage began, or when the budget was restarted during it.
    pub(crate) fn stalled_since(&self) -> Option<Duration> {
        self.stalled_since
    }

    /// When progress was recorded or the budget restarted last; zero where neither has happened.
    pub fn last_progress(&self) -> Duration {
        self.last_progress
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use BudgetState::{Exhausted, Remaining};

    const SECOND: Duration = Duration::from_secs(1);
    const LIMIT: Duration = Duration::from_secs(60);

    #[test]
    fn the_outage_begins_at_the_first_failure_and_not_at_the_last_progress() {
        let mut budget = RetryBudget::new(LIMIT);
        budget.on_progress(10 * SECOND);
        assert_eq!(budget.stalled_since(), None);
        assert_eq!(budget.on_failure(500 * SECOND), Remaining(LIMIT));
        assert_eq!(budget.stalled_since(), Some(500 * SECOND));
        assert_eq!(budget.on_failure(530 * SECOND), Remaining(30 * SECOND));
        assert_eq!(budget.last_progress(), 10 * SECOND);
    }

    #[test]
    fn a_failure_exhausts_the_budget_when_it_ends_and_not_before() {
        let mut budget = RetryBudget::new(LIMIT);
        budget.on_failure(5 * SECOND);
        assert_eq!(budget.ends_at(20 * SECOND), 65 * SECOND);
        let just_before = 65 * SECOND - Duration::from_nanos(1);
        assert_eq!(budget.on_failure(just_before), Remaining(Duration::from_nanos(1)));
        assert_eq!(budget.on_failure(65 * SECOND), Exhausted { stalled_for: LIMIT });
        assert_eq!(budget.on_failure(90 * SECOND), Exhausted { stalled_for: 85 * SECOND });
    }

    #[test]
    fn backoffs_that_are_cut_short_at_the_end_make_the_last_attempt_there() {
        for pause in [SECOND, 7 * SECOND, 45 * SECOND, 300 * SECOND] {
            let (mut budget, mut now) = (RetryBudget::new(LIMIT), 3 * SECOND);
            while let Remaining(left) = budget.on_failure(now) {
                assert_eq!(now + left, budget.ends_at(now));
                now += pause.min(left);
            }
            assert_eq!(now, 63 * SECOND, "{pause:?}");
        }
    }

    #[test]
    fn progress_ends_the_outage_and_the_next_failure_has_the_whole_limit() {
        let mut budget = RetryBudget::new(LIMIT);
        budget.on_failure(SECOND);
        budget.on_failure(59 * SECOND);
        assert_eq!(budget.on_progress(60 * SECOND), Some(59 * SECOND));
        assert_eq!((budget.stalled_since(), budget.last_progress()), (None, 60 * SECOND));
        assert_eq!(budget.on_progress(61 * SECOND), None);
        assert_eq!(budget.ends_at(62 * SECOND), 122 * SECOND);
        assert_eq!(budget.on_failure(62 * SECOND), Remaining(LIMIT));
    }

    #[test]
    fn a_restart_gives_the_whole_limit_within_the_same_outage() {
        let mut budget = RetryBudget::new(LIMIT);
        budget.on_failure(SECOND);
        budget.restart(50 * SECOND);
        assert_eq!(budget.stalled_since(), Some(50 * SECOND));
        assert_eq!(budget.on_failure(109 * SECOND), Remaining(SECOND));
        assert_eq!(budget.on_failure(110 * SECOND), Exhausted { stalled_for: LIMIT });
    }

    #[test]
    fn a_restart_begins_no_outage_and_never_moves_one_back() {
        let mut budget = RetryBudget::new(LIMIT);
        budget.restart(5 * SECOND);
        assert_eq!((budget.stalled_since(), budget.last_progress()), (None, 5 * SECOND));
        budget.on_failure(20 * SECOND);
        budget.restart(10 * SECOND);
        assert_eq!(budget.stalled_since(), Some(20 * SECOND));
    }

    #[test]
    fn a_budget_that_starts_at_once_counts_the_time_of_the_first_attempt() {
        let mut budget = RetryBudget::starting_at(LIMIT, 2 * SECOND);
        assert_eq!(budget.on_failure(32 * SECOND), Remaining(30 * SECOND));
        assert_eq!(budget.on_failure(62 * SECOND), Exhausted { stalled_for: LIMIT });
    }

    #[test]
    fn a_limit_of_zero_is_exhausted_by_the_second_failure() {
        let mut budget = RetryBudget::new(Duration::ZERO);
        assert_eq!(budget.on_failure(SECOND), Remaining(Duration::ZERO));
        assert_eq!(budget.on_failure(SECOND), Exhausted { stalled_for: Duration::ZERO });
    }

    #[test]
    fn a_limit_without_end_is_never_exhausted() {
        let mut budget = RetryBudget::new(Duration::MAX);
        budget.on_failure(SECOND);
        assert!(matches!(budget.on_failure(1_000_000 * SECOND), Remaining(_)));
    }
}
