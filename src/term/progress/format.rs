//! Formats the progress of a transfer, as a line for people or as JSON.
//!
//! Pure. Owns the texts of progress. Must not decide when progress is shown. Invariant: no snapshot
//! makes a format panic, and a transfer that is not verified is never shown as complete.

use std::time::Duration;

use jiff::Timestamp;
use serde_json::{Value, json};

use super::activity::{Observation, TransferActivity};
use crate::term::log;
use proto::printable;
use proto::units::{DisplayDuration, format_size_short};

/// What a transfer does with its bytes.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Transfer {
    /// `put`.
    #[default]
    Store,
    /// `get`.
    Write,
    /// The bytes of a partial file that `get` goes on with.
    Reread,
    /// `verify`.
    Compare,
}

impl Transfer {
    /// What has happened to the bytes that are counted as done.
    fn participle(self) -> &'static str {
        match self {
            Transfer::Store => "stored",
            Transfer::Write => "written",
            Transfer::Reread => "read again",
            Transfer::Compare => "compared",
        }
    }
}

/// The progress of a transfer at one time.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct ProgressSnapshot {
    pub transfer: Transfer,
    /// Bytes read from the source.
    pub read: u64,
    /// Bytes in parts that the service has acknowledged, or that were written or compared.
    pub done: u64,
    /// The bytes of `done` that an earlier run did: they count in no rate.
    pub already: u64,
    /// Parts that the service has acknowledged.
    pub parts_acknowledged: u32,
    /// Parts or ranges in flight.
    pub in_flight: u32,
    /// Attempts that were repeated.
    pub retries: u64,
    /// The time until the token expires; `None` without a token.
    pub token_left: Option<Duration>,
    /// The expected size in bytes; the stream of a `put` may be shorter or longer.
    pub expected: Option<u64>,
    /// Since the start of the transfer; never decreases.
    pub elapsed: Duration,
    pub seen: Observation,
}

impl ProgressSnapshot {
    /// The bytes that are done since the start.
    pub(super) fn moved(&self) -> u64 {
        self.done.saturating_sub(self.already)
    }
}

/// A snapshot, and what was decided from it and from those before it.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Report<'a> {
    pub now: &'a ProgressSnapshot,
    /// Bytes per second in the last 30 s.
    pub rate: u64,
    pub activity: TransferActivity,
}

impl Report<'_> {
    /// Bytes per second since the start; 0 where it is not known.
    fn average(&self) -> u64 {
        let bytes = u128::from(self.now.moved()) * 1000;
        let rate = bytes.checked_div(self.now.elapsed.as_millis()).unwrap_or(0);
        u64::try_from(rate).unwrap_or(u64::MAX)
    }

    /// The time left at the recent rate; `None` if the size or the rate is unknown.
    fn remaining(&self) -> Option<Duration> {
        let left = self.now.expected?.checked_sub(self.now.done).filter(|left| *left > 0)?;
        Some(Duration::from_secs(left.checked_div(self.rate)?.max(1)))
    }

    /// Percent of the expected size, at most 99 before the end; `None` if the size is unknown or the
    /// stream has outgrown it.
    pub(super) fn percent(&self) -> Option<u64> {
        let expected = self.now.expected.filter(|expected| *expected > 0)?;
        if self.activity == TransferActivity::Complete {
            return Some(100);
        }
        if self.now.done > expected {
            return None;
        }
        let percent = u128::from(self.now.done) * 100 / u128::from(expected);
        u64::try_from(percent.min(99)).ok()
    }

    /// The bytes that are done of the expected size; `None` if that is unknown. `put` may be given a
    /// wrong size.
    pub(super) fn share(&self, short: bool) -> Option<String> {
        let guess = self.now.transfer == Transfer::Store && !short;
        let about = if guess { "about " } else { "" };
        let size = format_size_short(self.now.expected?);
        Some(match self.percent() {
            Some(percent) => format!("{percent} % of {about}{size}"),
            None => format!("expected {about}{size}"),
        })
    }

    pub(super) fn done(&self) -> String {
        format!("{} {}", format_size_short(self.now.done), self.now.transfer.participle())
    }

    /// The parts of a line behind the size, the most important ones first. Each has at most 19
    /// columns with `short`.
    pub(super) fn details(&self, short: bool) -> Vec<String> {
        let now = self.now;
        let per_second = |rate, which| format!("{}/s {which}", format_size_short(rate));
        let average = if short { "average" } else { "on average" };
        let unit = match now.transfer {
            _ if short => "",
            Transfer::Store => "parts ",
            _ => "ranges ",
        };
        let compact = |duration| DisplayDuration::compact(whole_seconds(duration)).to_string();
        let about = if short { "" } else { "about " };
        let mut details = vec![per_second(self.rate, "now"), per_second(self.average(), average)];
        details.push(compact(now.elapsed));
        details.extend(self.remaining().map(|left| format!("{about}{} left", compact(left))));
        details.extend(now.token_left.map(|left| format!("token for {}", compact(left))));
        if now.in_flight > 0 || now.transfer == Transfer::Store {
            details.push(format!("{} {unit}in flight", now.in_flight));
        }
        if now.read != now.done {
            details.push(format!("{} read", format_size_short(now.read)));
        }
        if now.retries > 0 {
            details.push(format!("{} sent again", now.retries));
        }
        details
    }
}

/// A progress line for people.
pub(super) fn line(report: &Report) -> String {
    let mut line = report.done();
    if let Some(share) = report.share(false) {
        line.push_str(&format!(" ({share})"));
    }
    for detail in report.details(false) {
        line.push_str(&format!(", {detail}"));
    }
    if let Some(phrase) = report.activity.phrase() {
        line.push_str(&format!("; {phrase}"));
    }
    line
}

/// Progress as a JSON value.
pub(super) fn value(report: &Report) -> Value {
    let now = report.now;
    json!({
        "seconds": millis(now.elapsed),
        "state": report.activity.name(),
        "waiting": report.activity.awaited(),
        "read": now.read,
        "acknowledged": now.done,
        "parts-acknowledged": now.parts_acknowledged,
        "parts-in-flight": now.in_flight,
        "bytes-per-second": report.rate,
        "bytes-per-second-average": report.average(),
        "retries": now.retries,
        "token-seconds-left": now.token_left.map(|left| left.as_secs()),
        "expected-size": now.expected,
        "seconds-left": report.remaining().map(|left| left.as_secs()),
    })
}

/// Progress as one JSON object without a line end.
pub(super) fn json(report: &Report, time: Timestamp) -> String {
    let mut object = json!({ "event": "progress", "time": log::rfc3339(time) });
    if let (Value::Object(object), Value::Object(fields)) = (&mut object, value(report)) {
        object.extend(fields);
    }
    printable::json(&object.to_string()).into_owned()
}

fn whole_seconds(duration: Duration) -> Duration {
    Duration::from_secs(duration.as_secs())
}

fn millis(duration: Duration) -> f64 {
    duration.as_millis() as f64 / 1000.0
}
