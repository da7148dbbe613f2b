//! How long a 404 that may be spurious is not believed.
//!
//! The service declines single requests with the 404 of a missing bucket although the bucket is there:
//! 7 % of all requests were measured for one principal, each accepted before or after. A bucket that is
//! missing and a right that is missing have the same answer. Owns the bounds on trying again. Knows no
//! clock and no call. Invariant: once the bucket has answered anything else in this run, at least 10
//! tries are made and 2 minutes pass before a 404 counts.

use std::time::Duration;

use super::Operation;
use super::messages::permissions_for;
use crate::error::Error;

/// Tries while the bucket has not given any other answer in this run.
const MAX_ATTEMPTS_UNKNOWN_BUCKET: u32 = 4;
/// Tries, and the time they take at least, once it has.
const MIN_ATTEMPTS: u32 = 10;
const MIN_DURATION: Duration = Duration::from_secs(120);
/// Of the pauses between the tries at first, all of which fit into 10 s.
const INITIAL_PAUSE: Duration = Duration::from_secs(1);

/// The 404s that one call has been answered in a row.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct NotFoundStreak {
    since: Option<Duration>,
    count: u32,
}

impl NotFoundStreak {
    /// One more.
    pub fn add(&mut self, now: Duration) {
        self.since.get_or_insert(now);
        self.count += 1;
    }

    pub fn count(&self) -> u32 {
        self.count
    }

    /// How long they have gone on.
    pub fn duration(&self, now: Duration) -> Duration {
        now.saturating_sub(self.since.unwrap_or(now))
    }

    /// Whether another try may bring another answer. `known` is whether the bucket has answered
    /// anything else in this run, `forward` when something was acknowledged last.
    pub fn is_retryable(&self, now: Duration, known: bool, forward: Duration) -> bool {
        let since = self.since.unwrap_or(now).max(forward);
        match known {
            false => self.count < MAX_ATTEMPTS_UNKNOWN_BUCKET,
            true => self.count < MIN_ATTEMPTS || now.saturating_sub(since) < MIN_DURATION,
        }
    }

    /// How long to wait before the next try, where the bucket is not known.
    pub fn retry_delay(&self, random: f64) -> Duration {
        let most = INITIAL_PAUSE * 2u32.pow(self.count.clamp(1, MAX_ATTEMPTS_UNKNOWN_BUCKET) - 1);
        most.mul_f64(0.5 + random.clamp(0.0, 1.0) / 2.0)
    }

    /// What is said of the first: that it may be spurious, and for how long it is tried again.
    pub fn retry_message(operation: Operation, known: bool) -> String {
        let bound = match known {
            false => format!("trying {MAX_ATTEMPTS_UNKNOWN_BUCKET} times in all"),
            true => format!("trying again for up to {} s", MIN_DURATION.as_secs()),
        };
        let right =
            permissions_for(operation).map(|rights| format!(", or a missing right ({rights})"));
        format!("at times this is a mistake of the service{}: {bound}", right.unwrap_or_default())
    }

    /// The error to end with when trying again was in vain.
    pub fn exhausted_error(&self, error: Error, now: Duration, known: bool) -> Error {
        let (count, seconds) = (self.count(), self.duration(now).as_secs());
        let since = match known {
            true => "although the bucket had answered before",
            false => "and the bucket has given no other answer",
        };
        let what = error.message;
        Error {
            message: format!("{what}; answered so {count} times in {seconds} s, {since}"),
            ..error
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    /// Tries until a 404 counts, and how long that takes.
    fn waited_out(known: bool, pause: impl Fn(&NotFoundStreak) -> Duration) -> (u32, Duration) {
        let (mut tally, mut now) = (NotFoundStreak::default(), 5 * SECOND);
        loop {
            tally.add(now);
            if !tally.is_retryable(now, known, Duration::ZERO) {
                return (tally.count(), tally.duration(now));
            }
            now += pause(&tally);
        }
    }

    #[test]
    fn before_the_bucket_has_answered_four_tries_are_made_within_ten_seconds() {
        for random in [0.0, 0.5, 1.0] {
            let (tries, took) = waited_out(false, |tally| tally.retry_delay(random));
            assert_eq!(tries, 4);
            assert!((3 * SECOND..=10 * SECOND).contains(&took), "{took:?}");
        }
    }

    #[test]
    fn after_it_at_least_ten_tries_are_made_and_two_minutes_pass() {
        assert_eq!(waited_out(true, |_| SECOND), (121, 120 * SECOND));
        assert_eq!(waited_out(true, |_| 60 * SECOND), (10, 540 * SECOND));
    }

    #[test]
    fn what_is_acknowledged_meanwhile_begins_the_two_minutes_anew() {
        let mut tally = NotFoundStreak::default();
        (0..20).for_each(|_| tally.add(Duration::ZERO));
        assert!(!tally.is_retryable(121 * SECOND, true, Duration::ZERO));
        assert!(tally.is_retryable(121 * SECOND, true, 2 * SECOND));
    }
}
