//! Formats the progress of a transfer, as a line for people or as JSON.
//!
//! Pure. Owns the texts of progress. Must not decide when progress is shown. Invariant: no snapshot
//! makes a format panic, and a stream whose end has not been seen is never shown as complete.

use std::time::Duration;

use serde_json::json;

use proto::printable;
use proto::units::{DisplayDuration, format_size_short};

/// The progress of a transfer at one time.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct ProgressSnapshot {
    /// Bytes read from the source.
    pub read: u64,
    /// Bytes in parts that the service has acknowledged.
    pub acknowledged: u64,
    pub parts_acknowledged: u32,
    pub parts_in_flight: u32,
    /// Attempts that were repeated.
    pub retries: u64,
    /// The time until the session token expires; `None` without a session token.
    pub token_left: Option<Duration>,
    /// The expected size in bytes; the stream may be shorter or longer.
    pub expected: Option<u64>,
    /// Since the start of the transfer; never decreases.
    pub elapsed: Duration,
    /// Why the transfer makes no progress, such as "the service answers 503".
    pub waiting: Option<String>,
}

/// A progress line for people. `rate` is in bytes per second.
pub fn line(now: &ProgressSnapshot, rate: u64) -> String {
    let mut line = format!("{} stored", format_size_short(now.acknowledged));
    match now.expected {
        Some(expected) if now.acknowledged < expected => {
            let percent = u128::from(now.acknowledged) * 100 / u128::from(expected);
            line.push_str(&format!(" ({percent} % of about {})", format_size_short(expected)));
        }
        Some(expected) => {
            line.push_str(&format!(" (about {} were expected)", format_size_short(expected)))
        }
        None => {}
    }
    line.push_str(&format!(
        ", {} read, {}/s",
        format_size_short(now.read),
        format_size_short(rate)
    ));
    line.push_str(&format!(", {} in flight", now.parts_in_flight));
    if now.retries > 0 {
        line.push_str(&format!(", {} sent again", now.retries));
    }
    if let Some(left) = now.token_left {
        line.push_str(&format!(", token for {}", DisplayDuration::compact(whole_seconds(left))));
    }
    line.push_str(&format!(", {}", DisplayDuration::compact(whole_seconds(now.elapsed))));
    if let Some(left) = remaining(now, rate) {
        line.push_str(&format!(", about {} left", DisplayDuration::compact(left)));
    }
    if let Some(reason) = &now.waiting {
        line.push_str(&format!("; waiting: {reason}"));
    }
    line
}

/// Progress as one JSON object without a line end. `rate` is in bytes per second.
pub fn json(now: &ProgressSnapshot, rate: u64) -> String {
    let object = json!({
        "event": "progress",
        "seconds": millis(now.elapsed),
        "read": now.read,
        "acknowledged": now.acknowledged,
        "parts-acknowledged": now.parts_acknowledged,
        "parts-in-flight": now.parts_in_flight,
        "bytes-per-second": rate,
        "retries": now.retries,
        "token-seconds-left": now.token_left.map(|left| left.as_secs()),
        "expected-size": now.expected,
        "waiting": now.waiting,
    });
    printable::json(&object.to_string()).into_owned()
}

/// The time left at this rate; `None` if the size or the rate is unknown.
fn remaining(now: &ProgressSnapshot, rate: u64) -> Option<Duration> {
    let left = now.expected?.checked_sub(now.acknowledged).filter(|left| *left > 0)?;
    Some(Duration::from_secs(left.checked_div(rate)?.max(1)))
}

fn whole_seconds(duration: Duration) -> Duration {
    Duration::from_secs(duration.as_secs())
}

fn millis(duration: Duration) -> f64 {
    duration.as_millis() as f64 / 1000.0
}
