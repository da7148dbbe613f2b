//! The delays between attempts.
//!
//! Owns the bounds of the delays. Must not know a clock or what is retried; the random number is an
//! argument. Invariant: a delay is at least what the service asks for, up to 5 min, and at most 30 s
//! longer; the random part of it has at least the length of what the service asks for, up to 30 s.

use std::time::Duration;

use super::Failure;

/// Full jitter: `random` in 0..1 of a ceiling that doubles from 0.5 s to 30 s with each `attempt`,
/// counted from 0. `retry_after` is the floor, in seconds; the ceiling is at least as long, since a
/// service asks all hosts that it refuses in one second to come back after the same time.
pub fn backoff(attempt: u32, random: f64, retry_after: Option<u64>) -> Duration {
    const INITIAL_BACKOFF: f64 = 0.5;
    const MAX_BACKOFF: f64 = 30.0;
    const MAX_RETRY_AFTER: u64 = 300;
    let ceiling = (INITIAL_BACKOFF * 2f64.powi(attempt.min(16) as i32)).min(MAX_BACKOFF);
    let floor = Duration::from_secs(retry_after.unwrap_or(0).min(MAX_RETRY_AFTER));
    let ceiling = ceiling.max(floor.as_secs_f64().min(MAX_BACKOFF));
    floor + Duration::from_secs_f64(ceiling * random.clamp(0.0, 1.0))
}

/// The delay after a failure: the backoff, or at most 2 s after rejected credentials, since the
/// session itself waits until there are others or these are accepted again.
pub fn retry_delay(attempt: u32, random: f64, failure: &Failure) -> Duration {
    const MAX_CREDENTIAL_PAUSE: Duration = Duration::from_secs(2);
    let pause = backoff(attempt, random, failure.retry_after());
    if failure.is_unauthorized() { pause.min(MAX_CREDENTIAL_PAUSE) } else { pause }
}
