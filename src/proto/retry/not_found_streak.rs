//! How long a 404 that may be spurious is retried.
//!
//! The service answers single requests with the 404 of a missing bucket although the bucket exists:
//! 7 % of all requests of one principal were measured, and each was accepted before or after. A
//! missing bucket and a missing permission have the same response. Owns the bounds of the retries.
//! Must not know a clock or what is retried: every time is a `Duration` since the start of the run.
//! Invariant: once the bucket has given any other response in this run, a 404 is final only after
//! 10 attempts and 2 min, and the rejection of a pre-authenticated request only after 5 and 30 s.

use std::time::Duration;

use super::messages::permissions_for;
use super::{Failure, Operation};
use crate::error::Error;

/// The attempts while the bucket has given no other response in this run.
const MAX_ATTEMPTS_UNKNOWN_BUCKET: u32 = 4;
/// The least attempts, and the least time, once it has.
const MIN_ATTEMPTS: u32 = 10;
const MIN_DURATION: Duration = Duration::from_secs(120);
/// The same for rejections (401) of a pre-authenticated request. They are not known to be spurious.
const MIN_REJECTIONS: u32 = 5;
const MIN_REJECTED: Duration = Duration::from_secs(30);
/// The first pause while it has not. All pauses together take less than 10 s.
const INITIAL_PAUSE: Duration = Duration::from_secs(1);

/// What a run knows about its bucket, which decides how long a 404 counts as spurious.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum BucketStatus {
    /// The bucket has given no response but ambiguous 404s: it may be missing.
    #[default]
    Unknown,
    /// The bucket has given another response in this run.
    Seen,
}

/// Consecutive 404s of one request.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct NotFoundStreak {
    since: Option<Duration>,
    count: u32,
    /// The last one was the rejection (401) of a pre-authenticated request.
    rejected: bool,
}

impl NotFoundStreak {
    /// Counts one more 404.
    pub fn add(&mut self, now: Duration) {
        self.since.get_or_insert(now);
        self.count += 1;
        self.rejected = false;
    }

    /// Counts one more rejection of a pre-authenticated request.
    pub(crate) fn add_rejection(&mut self, now: Duration) {
        self.add(now);
        self.rejected = true;
    }

    /// The number of 404s.
    pub fn count(&self) -> u32 {
        self.count
    }

    /// The time since the first 404; zero where there is none.
    pub fn duration(&self, now: Duration) -> Duration {
        now.saturating_sub(self.since.unwrap_or(now))
    }

    /// Whether the request is retried. After `last_progress` of the transfer the time starts anew.
    pub fn is_retryable(
        &self,
        now: Duration,
        bucket: BucketStatus,
        last_progress: Duration,
    ) -> bool {
        match bucket {
            BucketStatus::Unknown => self.count < MAX_ATTEMPTS_UNKNOWN_BUCKET,
            BucketStatus::Seen => {
                let since = self.since.unwrap_or(now).max(last_progress);
                let (attempts, duration) = match self.rejected {
                    true => (MIN_REJECTIONS, MIN_REJECTED),
                    false => (MIN_ATTEMPTS, MIN_DURATION),
                };
                self.count < attempts || now.saturating_sub(since) < duration
            }
        }
    }

    /// The pause before the next attempt while the bucket has given no other response: half of a
    /// ceiling that doubles with each attempt, and `random` in 0..1 of the other half.
    pub fn retry_delay(&self, random: f64) -> Duration {
        let doublings = self.count.clamp(1, MAX_ATTEMPTS_UNKNOWN_BUCKET) - 1;
        let ceiling = INITIAL_PAUSE * 2u32.pow(doublings);
        ceiling.mul_f64(0.5 + random.clamp(0.0, 1.0) / 2.0)
    }

    /// The second half of the warning about the first failure of this kind: its causes, and the bound of
    /// the retries.
    pub(crate) fn retry_message(
        operation: Operation,
        bucket: BucketStatus,
        failure: &Failure,
    ) -> String {
        let seconds = match failure.is_par_rejection() {
            true => MIN_REJECTED.as_secs(),
            false => MIN_DURATION.as_secs(),
        };
        let bound = match bucket {
            BucketStatus::Unknown => format!("trying {MAX_ATTEMPTS_UNKNOWN_BUCKET} times in all"),
            BucketStatus::Seen => format!("trying again for up to {seconds} s"),
        };
        if failure.is_through_par() {
            return format!(
                "the pre-authenticated request may have expired or been deleted, and the service sometimes \
                 returns this response by mistake: {bound}"
            );
        }
        let permission = permissions_for(operation)
            .map(|permissions| format!(", or a missing right ({permissions})"))
            .unwrap_or_default();
        format!("at times this is a mistake of the service{permission}: {bound}")
    }

    /// The error after the last retry: `error`, with the number of 404s and the time they took.
    pub fn exhausted_error(&self, error: Error, now: Duration, bucket: BucketStatus) -> Error {
        let (count, seconds) = (self.count, self.duration(now).as_secs());
        let history = match bucket {
            BucketStatus::Unknown => "and the bucket has given no other answer",
            BucketStatus::Seen => "although the bucket had answered before",
        };
        let message =
            format!("{}; answered so {count} times in {seconds} s, {history}", error.message);
        Error { message, ..error }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    /// The attempts until a 404 is final, and the time they take.
    fn attempts(
        bucket: BucketStatus,
        pause: impl Fn(&NotFoundStreak) -> Duration,
    ) -> (u32, Duration) {
        let (mut streak, mut now) = (NotFoundStreak::default(), 5 * SECOND);
        loop {
            streak.add(now);
            if !streak.is_retryable(now, bucket, Duration::ZERO) {
                return (streak.count(), streak.duration(now));
            }
            now += pause(&streak);
        }
    }

    #[test]
    fn before_the_bucket_has_answered_four_attempts_are_made_within_ten_seconds() {
        for random in [0.0, 0.5, 1.0] {
            let (count, time) =
                attempts(BucketStatus::Unknown, |streak| streak.retry_delay(random));
            assert_eq!(count, 4);
            assert!((3 * SECOND..=10 * SECOND).contains(&time), "{time:?}");
        }
    }

    #[test]
    fn after_it_at_least_ten_attempts_are_made_and_two_minutes_pass() {
        assert_eq!(attempts(BucketStatus::Seen, |_| SECOND), (121, 120 * SECOND));
        assert_eq!(attempts(BucketStatus::Seen, |_| 60 * SECOND), (10, 540 * SECOND));
    }

    #[test]
    fn progress_starts_the_two_minutes_anew() {
        let mut streak = NotFoundStreak::default();
        (0..20).for_each(|_| streak.add(Duration::ZERO));
        assert!(!streak.is_retryable(121 * SECOND, BucketStatus::Seen, Duration::ZERO));
        assert!(streak.is_retryable(121 * SECOND, BucketStatus::Seen, 2 * SECOND));
    }
}
