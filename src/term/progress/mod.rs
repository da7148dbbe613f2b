//! Writes progress and messages to stderr while a stream is transferred.
//!
//! Owns which of them are shown and in which form. Must not know the state of the transfer: a
//! snapshot comes in, with the elapsed time in it. Invariant: no call fails, panics or waits for a
//! reader, whatever stderr is (closed, full, a broken pipe, never read).

pub(crate) mod activity;
mod format;
mod options;
mod queued_term;
mod rate;
mod screen;
mod waits;

use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use jiff::Timestamp;
use serde_json::{Map, json};

use self::activity::{ActivityTracker, LineSchedule, Observation, TransferStage};
pub(crate) use self::format::Report;
pub(crate) use self::format::{ProgressSnapshot, Transfer};
pub use self::options::{OutputOptions, ProgressMode};
use self::queued_term::{QueuedTerm, TerminalSize};
use self::rate::RateEstimate;
use crate::term::log::{Level, LogFormat, Message};
use crate::term::startup_fds;
use crate::term::stderr::{self, Priority, Stderr};
use proto::printable;
use proto::request_fields::{RequestFields, Warning};
use proto::run_metrics::WaitTimes;

/// The interval between progress lines.
const LOG_INTERVAL: Duration = Duration::from_secs(30);
/// The interval between JSON objects.
const JSON_INTERVAL: Duration = Duration::from_secs(5);

/// Writes progress and messages to stderr; all threads share it. `--quiet` leaves only warnings.
pub struct Reporter {
    options: OutputOptions,
    style: ReporterStyle,
    state: Mutex<ReporterState>,
}

enum ReporterStyle {
    /// Several lines that are drawn again and again, for a terminal of this size.
    Bar {
        bar: ProgressBar,
        size: TerminalSize,
    },
    /// A line, or a JSON object, in fixed intervals and at each change.
    Lines {
        json: bool,
    },
    Silent,
    /// Everything goes to the caller of the library, and nothing to stderr.
    Listener(Box<dyn Fn(Heard<'_>) + Send + Sync>),
}

/// What a listener gets in place of lines on stderr.
pub enum Heard<'a> {
    /// The state of the transfer, several times a second.
    Progress(&'a ProgressSnapshot),
    /// A note or a warning, on one line.
    Message { level: Level, text: &'a str },
}

struct ReporterState {
    stderr: Stderr,
    rate: RateEstimate,
    activity: ActivityTracker,
    schedule: LineSchedule,
    /// The last snapshot; its time is since the start of its phase.
    last: ProgressSnapshot,
    waits: WaitTimes,
    /// Lines that the queue had no room for, since stderr was not read.
    dropped_lines: u64,
}

impl ReporterStyle {
    fn schedule(&self) -> LineSchedule {
        match self {
            ReporterStyle::Lines { json: true } => LineSchedule::new(JSON_INTERVAL, true),
            _ => LineSchedule::new(LOG_INTERVAL, false),
        }
    }
}

impl ReporterState {
    /// Begins anew, as where `get` first reads a partial file and then the rest of the object.
    fn begin_phase(&mut self, style: &ReporterStyle) {
        self.rate = RateEstimate::default();
        self.activity = ActivityTracker::default();
        self.schedule = style.schedule();
    }
}

impl Reporter {
    /// A reporter on stderr. If no bar can be drawn there, lines replace it.
    pub fn new(options: OutputOptions) -> Reporter {
        let stderr = stderr::shared().clone();
        let size: TerminalSize = queued_term::size_of_stderr;
        let terminal = startup_fds::stderr_can_draw().then(|| {
            let term = Box::new(QueuedTerm::new(stderr.clone(), size));
            (ProgressDrawTarget::term_like_with_hz(term, 4), size)
        });
        Reporter::with_stderr(options, terminal, stderr)
    }

    /// A reporter that writes nothing and passes everything on.
    pub fn listening(listener: impl Fn(Heard<'_>) + Send + Sync + 'static) -> Reporter {
        let options = OutputOptions { progress: ProgressMode::None, ..OutputOptions::default() };
        let reporter = Reporter::with_stderr(options, None, stderr::shared().clone());
        Reporter { style: ReporterStyle::Listener(Box::new(listener)), ..reporter }
    }

    /// A reporter for a command that transfers nothing: notes and warnings only.
    pub fn without_progress() -> Reporter {
        Reporter::of_messages(false)
    }

    /// A reporter of messages alone; `quiet` leaves warnings and errors.
    pub fn of_messages(quiet: bool) -> Reporter {
        let progress = ProgressMode::None;
        Reporter::new(OutputOptions { progress, quiet, ..OutputOptions::default() })
    }

    /// A reporter on another stderr; `terminal` is where a bar is drawn.
    fn with_stderr(
        options: OutputOptions,
        terminal: Option<(ProgressDrawTarget, TerminalSize)>,
        stderr: Stderr,
    ) -> Reporter {
        // A bar between JSON messages would be no JSON: only --progress bar draws one.
        let may_draw = match options.progress {
            ProgressMode::Bar => true,
            ProgressMode::Auto => options.log_format == LogFormat::Text,
            ProgressMode::Log | ProgressMode::Json | ProgressMode::None => false,
        };
        let style = match (options.progress, terminal.filter(|_| may_draw)) {
            _ if options.quiet => ReporterStyle::Silent,
            (ProgressMode::None, _) => ReporterStyle::Silent,
            (_, Some((draw, size))) => ReporterStyle::Bar { bar: bar(draw), size },
            (ProgressMode::Json, None) => ReporterStyle::Lines { json: true },
            (_, None) => ReporterStyle::Lines { json: false },
        };
        let schedule = style.schedule();
        let state = ReporterState {
            stderr,
            rate: RateEstimate::default(),
            activity: ActivityTracker::default(),
            schedule,
            last: ProgressSnapshot::default(),
            waits: WaitTimes::default(),
            dropped_lines: 0,
        };
        Reporter { options, style, state: Mutex::new(state) }
    }

    /// Whether notes are not written.
    pub fn is_quiet(&self) -> bool {
        self.options.quiet
    }

    /// Writes a note; not with `--quiet`.
    pub fn info(&self, text: &str) {
        if !self.options.quiet {
            self.message(Level::Info, text, None, Priority::Normal);
        }
    }

    /// Writes a warning, whatever the options are.
    pub fn warn(&self, text: &str) {
        self.message(Level::Warning, text, None, Priority::Normal);
    }

    /// Writes a warning about a request.
    pub fn warn_of(&self, warning: &Warning) {
        let Warning { text, request } = warning;
        self.message(Level::Warning, text, request.as_deref(), Priority::Normal);
    }

    /// Whether debug messages are written.
    pub fn is_debug(&self) -> bool {
        self.options.debug
    }

    /// Writes a debug message. Without `--debug`, `text` is not called.
    pub fn debug(&self, text: impl FnOnce() -> String) {
        if self.options.debug {
            self.message(Level::Debug, &text(), None, Priority::Droppable);
        }
    }

    /// Writes a debug message about a request.
    pub fn debug_of(&self, message: impl FnOnce() -> (String, RequestFields)) {
        if self.options.debug {
            let (text, request) = message();
            self.message(Level::Debug, &text, Some(&request), Priority::Droppable);
        }
    }

    /// Shows the progress if a line is due, or moves the bar. Expects several calls per second. A
    /// snapshot that is earlier than the one before it begins another phase of the run.
    pub fn update(&self, now: &ProgressSnapshot) {
        let mut state = self.locked();
        if now.elapsed < state.last.elapsed {
            state.begin_phase(&self.style);
        }
        let since_last = now.elapsed.saturating_sub(state.last.elapsed);
        state.last = now.clone();
        let rate = state.rate.observe(now.elapsed, now.moved());
        let activity = state.activity.observe(now.elapsed, now.seen);
        waits::add(&mut state.waits, activity, since_last);
        let report = Report { now, rate, activity };
        match &self.style {
            ReporterStyle::Bar { bar, size } => {
                bar.set_message(
                    screen::lines(&report, queued_term::drawing_area(size())).join("\n"),
                );
            }
            ReporterStyle::Lines { json } if state.schedule.is_due(now.elapsed, activity) => {
                let text = self.progress_line(&report, *json, Timestamp::now());
                // A line that is dropped needs no count: the next one contains its numbers.
                self.enqueue(&mut state, text, Priority::Droppable);
            }
            ReporterStyle::Lines { .. } | ReporterStyle::Silent => {}
            ReporterStyle::Listener(listener) => {
                drop(state);
                listener(Heard::Progress(now));
            }
        }
    }

    /// Shows the transfer of the last snapshot as complete; nothing where there was none.
    pub fn complete(&self) {
        let last = self.locked().last.clone();
        if last != ProgressSnapshot::default() {
            let seen = Observation { stage: TransferStage::Complete, ..Observation::default() };
            self.update(&ProgressSnapshot { seen, ..last });
        }
    }

    /// How long the transfer waited so far.
    pub fn waits(&self) -> WaitTimes {
        self.locked().waits
    }

    /// Removes the bar. Messages may still be written afterwards.
    pub fn finish(&self) {
        if let ReporterStyle::Bar { bar, .. } = &self.style {
            bar.finish_and_clear();
        }
    }

    fn locked(&self) -> MutexGuard<'_, ReporterState> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn progress_line(&self, report: &Report, json: bool, time: Timestamp) -> String {
        if json {
            return format::json(report, time);
        }
        let text = format::line(report);
        let message = Message { level: Level::Info, text: &text, request: None };
        match self.options.log_format {
            LogFormat::Text => message.text_line(),
            LogFormat::Json => {
                let progress = ("progress".to_owned(), format::value(report));
                message.json_line(time, Map::from_iter([progress]))
            }
        }
    }

    /// Writes a message; before it, the number of lines dropped since the last one that was
    /// written.
    fn message(
        &self,
        level: Level,
        text: &str,
        request: Option<&RequestFields>,
        priority: Priority,
    ) {
        if let ReporterStyle::Listener(listener) = &self.style {
            return listener(Heard::Message { level, text });
        }
        let mut state = self.locked();
        if state.dropped_lines > 0 {
            let text =
                format!("here {} lines are missing: stderr was not read", state.dropped_lines);
            let missing = Message { level: Level::Warning, text: &text, request: None };
            if self.enqueue(&mut state, self.format_message(missing), priority) {
                state.dropped_lines = 0;
            }
        }
        let message = self.format_message(Message { level, text, request });
        if !self.enqueue(&mut state, message, priority) {
            state.dropped_lines += 1;
        }
    }

    /// A message as a line or as JSON.
    fn format_message(&self, message: Message) -> String {
        match (self.options.log_format, self.options.progress) {
            (LogFormat::Json, _) => message.json_line(Timestamp::now(), Map::new()),
            (LogFormat::Text, ProgressMode::Json) => {
                let event = match message.level {
                    Level::Info => "note",
                    level => level.name(),
                };
                let object = json!({ "event": event, "text": message.text });
                printable::json(&object.to_string()).into_owned()
            }
            (LogFormat::Text, _) => message.text_line(),
        }
    }

    /// Queues a line in one piece, so that lines of several processes do not mix. Returns whether
    /// the queue had room for it.
    fn enqueue(&self, state: &mut ReporterState, line: String, priority: Priority) -> bool {
        let enqueue = || state.stderr.enqueue(line + "\n", priority);
        match &self.style {
            ReporterStyle::Bar { bar, .. } => bar.suspend(enqueue),
            _ => enqueue(),
        }
    }
}

fn bar(draw: ProgressDrawTarget) -> ProgressBar {
    let bar = ProgressBar::with_draw_target(None, draw);
    if let Ok(style) = ProgressStyle::with_template("{msg}") {
        bar.set_style(style);
    }
    bar
}

#[cfg(test)]
mod tests;
