//! What people see on stderr while a stream moves.
//!
//! Owns the wording of progress; owns no state of the upload: a snapshot comes in, with the time in
//! it. Must not decide what is worth saying. Invariant: nothing here can fail, wait or panic, whatever
//! stderr is (closed, full, a broken pipe, never read), and no stream whose end has not been seen is
//! ever shown as done.

mod screen;

use std::collections::VecDeque;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use serde_json::json;

use crate::term::stderr::{self, Priority, Stderr};
use proto::printable;
use proto::units::{format_duration_short, format_size_short};
use screen::QueuedTerm;

/// What is written to stderr, and in which form.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct OutputOptions {
    pub progress: ProgressMode,
    /// Warnings and errors only.
    pub quiet: bool,
    /// Requests, responses and decisions too.
    pub debug: bool,
}

/// How progress is shown.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum ProgressMode {
    /// A bar on a terminal, a line every 30 s elsewhere.
    #[default]
    Auto,
    Bar,
    Log,
    Json,
    None,
}

/// How far the upload is, at one moment.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct ProgressSnapshot {
    /// Bytes read from the source.
    pub read: u64,
    /// Bytes in parts that the service has acknowledged.
    pub acknowledged: u64,
    pub parts_acknowledged: u32,
    pub parts_in_flight: u32,
    pub retries: u64,
    /// How long the session token still lasts, where there is one.
    pub token_left: Option<Duration>,
    /// The size that was hinted at; the stream may be shorter or longer.
    pub expected: Option<u64>,
    /// Since the start of the upload; never goes back.
    pub elapsed: Duration,
    /// What the upload stands still for, such as "the service answers 503".
    pub waiting: Option<String>,
}

/// A line of the log comes as often as this.
pub const LOG_EVERY: Duration = Duration::from_secs(30);
/// An object of JSON comes as often as this.
pub const JSON_EVERY: Duration = Duration::from_secs(5);

/// The rate of the recent past. Parts are acknowledged in lumps, so that the past has to be both
/// long enough and hold enough of them.
#[derive(Debug, Default)]
pub struct RateEstimate {
    /// When so many bytes were first seen.
    changes: VecDeque<(Duration, u64)>,
}

impl RateEstimate {
    const WINDOW: Duration = Duration::from_secs(30);
    const CHANGES: usize = 8;

    /// Takes in the count at a moment; gives bytes per second, 0 as long as nothing can be said.
    pub fn observe(&mut self, elapsed: Duration, bytes: u64) -> u64 {
        if self.changes.is_empty() {
            self.changes.push_back((Duration::ZERO, 0));
        }
        if self.changes.back().is_some_and(|(_, last)| bytes > *last) {
            self.changes.push_back((elapsed, bytes));
        }
        // The second oldest may take over as the base as soon as it is old enough itself.
        while self.changes.len() > RateEstimate::CHANGES
            && self
                .changes
                .get(1)
                .is_some_and(|(at, _)| elapsed.saturating_sub(*at) > RateEstimate::WINDOW)
        {
            self.changes.pop_front();
        }
        let (from, base) = self.changes.front().copied().unwrap_or_default();
        let millis = elapsed.saturating_sub(from).as_millis();
        let moved = u128::from(bytes.saturating_sub(base));
        u64::try_from((moved * 1000).checked_div(millis).unwrap_or(0)).unwrap_or(u64::MAX)
    }
}

/// One line for people.
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
        line.push_str(&format!(", token for {}", format_duration_short(whole_seconds(left))));
    }
    line.push_str(&format!(", {}", format_duration_short(whole_seconds(now.elapsed))));
    if let Some(left) = remaining(now, rate) {
        line.push_str(&format!(", about {} left", format_duration_short(left)));
    }
    if let Some(reason) = &now.waiting {
        line.push_str(&format!("; waiting: {reason}"));
    }
    line
}

/// The same for programs: one object, no line end in it.
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

/// The way to stderr, shared by every thread. `--quiet` leaves warnings alone.
pub struct Reporter {
    report: OutputOptions,
    style: ReporterStyle,
    state: Mutex<ReporterState>,
}

enum ReporterStyle {
    Bar(ProgressBar),
    /// A line, or an object of JSON, every so often.
    Lines {
        every: Duration,
        json: bool,
    },
    Silent {
        json: bool,
    },
}

struct ReporterState {
    stderr: Stderr,
    rate: RateEstimate,
    next: Duration,
    /// So many lines were not taken, since nobody read.
    line_length: u64,
}

impl Reporter {
    /// Reports to stderr. A bar needs a terminal; without one it becomes lines of a log.
    pub fn new(report: OutputOptions, terminal: bool) -> Reporter {
        let stderr = stderr::shared().clone();
        let screen = Box::new(QueuedTerm::new(stderr.clone()));
        Reporter::to(report, terminal, ProgressDrawTarget::term_like_with_hz(screen, 4), stderr)
    }

    fn to(
        report: OutputOptions,
        terminal: bool,
        draw: ProgressDrawTarget,
        stderr: Stderr,
    ) -> Reporter {
        let json = report.progress == ProgressMode::Json;
        let style = match report.progress {
            _ if report.quiet => ReporterStyle::Silent { json },
            ProgressMode::None => ReporterStyle::Silent { json },
            ProgressMode::Auto | ProgressMode::Bar if terminal => ReporterStyle::Bar(bar(draw)),
            ProgressMode::Auto | ProgressMode::Bar | ProgressMode::Log => {
                ReporterStyle::Lines { every: LOG_EVERY, json }
            }
            ProgressMode::Json => ReporterStyle::Lines { every: JSON_EVERY, json },
        };
        let next = match style {
            ReporterStyle::Lines { every, .. } => every,
            _ => Duration::ZERO,
        };
        let state = ReporterState { stderr, rate: RateEstimate::default(), next, line_length: 0 };
        Reporter { report, style, state: Mutex::new(state) }
    }

    /// Something worth knowing that asks for nothing. Left out by `--quiet`.
    pub fn info(&self, text: &str) {
        if !self.report.quiet {
            self.message("note", "", text, Priority::Normal);
        }
    }

    /// Something that may need somebody's attention. Always shown.
    pub fn warn(&self, text: &str) {
        self.message("warning", "warning: ", text, Priority::Normal);
    }

    /// Whether what only a search for a fault needs is shown.
    pub fn is_debug(&self) -> bool {
        self.report.debug
    }

    /// What only a search for a fault needs; the text is not even made without `--debug`.
    pub fn debug(&self, text: impl FnOnce() -> String) {
        if self.report.debug {
            self.message("debug", "debug: ", &text(), Priority::Droppable);
        }
    }

    /// Takes in where the upload is; shows it if it is time to. To be called a few times a second.
    pub fn update(&self, now: &ProgressSnapshot) {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        let rate = state.rate.observe(now.elapsed, now.acknowledged);
        match &self.style {
            ReporterStyle::Bar(bar) => {
                bar.set_message(printable::line(&line(now, rate)).into_owned())
            }
            ReporterStyle::Lines { every, json } if now.elapsed >= state.next => {
                // A late call makes up for no line that was missed.
                state.next = now.elapsed.saturating_add(*every);
                let text =
                    if *json { self::json(now, rate) } else { with_prefix("", &line(now, rate)) };
                // One that is not taken is made up for by the next.
                self.enqueue(&mut state, text, Priority::Droppable);
            }
            ReporterStyle::Lines { .. } | ReporterStyle::Silent { .. } => {}
        }
    }

    /// Takes the bar away, so that what comes next stands alone. More may be reported afterwards.
    pub fn finish(&self) {
        if let ReporterStyle::Bar(bar) = &self.style {
            bar.finish_and_clear();
        }
    }

    fn message(&self, event: &str, label: &str, text: &str, worth: Priority) {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        if state.line_length > 0 {
            let missing =
                format!("here {} lines are missing: stderr was not read", state.line_length);
            if self.enqueue(
                &mut state,
                self.format_message("warning", "warning: ", &missing),
                worth,
            ) {
                state.line_length = 0;
            }
        }
        if !self.enqueue(&mut state, self.format_message(event, label, text), worth) {
            state.line_length += 1;
        }
    }

    /// A line as it is shown.
    fn format_message(&self, event: &str, label: &str, text: &str) -> String {
        match &self.style {
            ReporterStyle::Lines { json: true, .. } | ReporterStyle::Silent { json: true } => {
                printable::json(&json!({ "event": event, "text": text }).to_string()).into_owned()
            }
            _ => with_prefix(label, text),
        }
    }

    /// Queues a line in one piece, so that lines of several processes do not mix.
    fn enqueue(&self, state: &mut ReporterState, line: String, worth: Priority) -> bool {
        let say = || state.stderr.enqueue(line + "\n", worth);
        match &self.style {
            ReporterStyle::Bar(bar) => bar.suspend(say),
            _ => say(),
        }
    }
}

fn bar(draw: ProgressDrawTarget) -> ProgressBar {
    let bar = ProgressBar::with_draw_target(None, draw);
    if let Ok(style) = ProgressStyle::with_template("{spinner} {wide_msg}") {
        bar.set_style(style);
    }
    bar
}

fn with_prefix(label: &str, text: &str) -> String {
    format!("ocipipe: {label}{}", printable::text(text))
}

#[cfg(test)]
mod tests;
