//! Writes progress and messages to stderr while a stream is transferred.
//!
//! Owns which of them are shown and in which form. Must not know the state of the transfer: a
//! snapshot comes in, with the elapsed time in it. Invariant: no call fails, panics or waits for a
//! reader, whatever stderr is (closed, full, a broken pipe, never read).

mod format;
mod queued_term;
mod rate;

use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use serde_json::json;

pub use self::format::{ProgressSnapshot, json};
use self::queued_term::QueuedTerm;
use self::rate::RateEstimate;
use crate::term::startup_fds;
use crate::term::stderr::{self, Priority, Stderr};
use proto::printable;

/// The interval between progress lines.
const LOG_INTERVAL: Duration = Duration::from_secs(30);
/// The interval between JSON objects.
const JSON_INTERVAL: Duration = Duration::from_secs(5);

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
    /// A bar; a line every 30 s if stderr is no terminal.
    Bar,
    /// A line every 30 s.
    Log,
    /// A JSON object every 5 s, and one for each message.
    Json,
    /// Messages only.
    None,
}

/// Writes progress and messages to stderr; all threads share it. `--quiet` leaves only warnings.
pub struct Reporter {
    options: OutputOptions,
    style: ReporterStyle,
    state: Mutex<ReporterState>,
}

enum ReporterStyle {
    Bar(ProgressBar),
    /// A line, or a JSON object, in fixed intervals.
    Lines {
        interval: Duration,
        json: bool,
    },
    Silent {
        json: bool,
    },
}

struct ReporterState {
    stderr: Stderr,
    rate: RateEstimate,
    /// When the next progress line is due, since the start of the transfer.
    next_line_at: Duration,
    /// Lines that the queue had no room for, since stderr was not read.
    dropped_lines: u64,
}

impl Reporter {
    /// A reporter on stderr. If stderr is no terminal, lines replace a bar.
    pub fn new(options: OutputOptions) -> Reporter {
        let stderr = stderr::shared().clone();
        let terminal = startup_fds::stderr_is_terminal().then(|| {
            let term = Box::new(QueuedTerm::new(stderr.clone()));
            ProgressDrawTarget::term_like_with_hz(term, 4)
        });
        Reporter::with_stderr(options, terminal, stderr)
    }

    /// A reporter for a command that transfers nothing: notes and warnings only.
    pub fn without_progress() -> Reporter {
        Reporter::new(OutputOptions { progress: ProgressMode::None, ..OutputOptions::default() })
    }

    /// A reporter on another stderr; `terminal` is where a bar is drawn.
    fn with_stderr(
        options: OutputOptions,
        terminal: Option<ProgressDrawTarget>,
        stderr: Stderr,
    ) -> Reporter {
        let json = options.progress == ProgressMode::Json;
        let style = match (options.progress, terminal) {
            _ if options.quiet => ReporterStyle::Silent { json },
            (ProgressMode::None, _) => ReporterStyle::Silent { json },
            (ProgressMode::Auto | ProgressMode::Bar, Some(draw)) => ReporterStyle::Bar(bar(draw)),
            (ProgressMode::Auto | ProgressMode::Bar | ProgressMode::Log, _) => {
                ReporterStyle::Lines { interval: LOG_INTERVAL, json }
            }
            (ProgressMode::Json, _) => ReporterStyle::Lines { interval: JSON_INTERVAL, json },
        };
        let next_line_at = match style {
            ReporterStyle::Lines { interval, .. } => interval,
            _ => Duration::ZERO,
        };
        let state =
            ReporterState { stderr, rate: RateEstimate::default(), next_line_at, dropped_lines: 0 };
        Reporter { options, style, state: Mutex::new(state) }
    }

    /// Writes a note; not with `--quiet`.
    pub fn info(&self, text: &str) {
        if !self.options.quiet {
            self.message("note", "", text, Priority::Normal);
        }
    }

    /// Writes a warning, whatever the options are.
    pub fn warn(&self, text: &str) {
        self.message("warning", "warning: ", text, Priority::Normal);
    }

    /// Whether debug messages are written.
    pub fn is_debug(&self) -> bool {
        self.options.debug
    }

    /// Writes a debug message. Without `--debug`, `text` is not called.
    pub fn debug(&self, text: impl FnOnce() -> String) {
        if self.options.debug {
            self.message("debug", "debug: ", &text(), Priority::Droppable);
        }
    }

    /// Shows the progress if the next line is due, or moves the bar. Expects several calls per
    /// second.
    pub fn update(&self, now: &ProgressSnapshot) {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        let rate = state.rate.observe(now.elapsed, now.acknowledged);
        match &self.style {
            ReporterStyle::Bar(bar) => {
                bar.set_message(printable::line(&format::line(now, rate)).into_owned())
            }
            ReporterStyle::Lines { interval, json } if now.elapsed >= state.next_line_at => {
                // Lines that were due before a late call are not repeated.
                state.next_line_at = now.elapsed.saturating_add(*interval);
                let text = if *json {
                    format::json(now, rate)
                } else {
                    with_prefix("", &format::line(now, rate))
                };
                // A line that is dropped needs no count: the next one contains its numbers.
                self.enqueue(&mut state, text, Priority::Droppable);
            }
            ReporterStyle::Lines { .. } | ReporterStyle::Silent { .. } => {}
        }
    }

    /// Removes the bar. Messages may still be written afterwards.
    pub fn finish(&self) {
        if let ReporterStyle::Bar(bar) = &self.style {
            bar.finish_and_clear();
        }
    }

    /// Writes a message; before it, the number of lines dropped since the last one that was
    /// written.
    fn message(&self, event: &str, label: &str, text: &str, priority: Priority) {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        if state.dropped_lines > 0 {
            let missing =
                format!("here {} lines are missing: stderr was not read", state.dropped_lines);
            if self.enqueue(
                &mut state,
                self.format_message("warning", "warning: ", &missing),
                priority,
            ) {
                state.dropped_lines = 0;
            }
        }
        if !self.enqueue(&mut state, self.format_message(event, label, text), priority) {
            state.dropped_lines += 1;
        }
    }

    /// A message as a line or as JSON.
    fn format_message(&self, event: &str, label: &str, text: &str) -> String {
        match &self.style {
            ReporterStyle::Lines { json: true, .. } | ReporterStyle::Silent { json: true } => {
                printable::json(&json!({ "event": event, "text": text }).to_string()).into_owned()
            }
            _ => with_prefix(label, text),
        }
    }

    /// Queues a line in one piece, so that lines of several processes do not mix. Returns whether
    /// the queue had room for it.
    fn enqueue(&self, state: &mut ReporterState, line: String, priority: Priority) -> bool {
        let enqueue = || state.stderr.enqueue(line + "\n", priority);
        match &self.style {
            ReporterStyle::Bar(bar) => bar.suspend(enqueue),
            _ => enqueue(),
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
