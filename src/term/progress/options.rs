//! The options on what is written to stderr, as values.
//!
//! Owns no text. Must not write anything. Invariant: the defaults are those of the command line.

use crate::term::log::LogFormat;

/// What is written to stderr, and in which form.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct OutputOptions {
    /// The form of the progress.
    pub progress: ProgressMode,
    /// Warnings and errors only.
    pub quiet: bool,
    /// Requests, responses and decisions too.
    pub debug: bool,
    /// The form of messages.
    pub log_format: LogFormat,
}

/// How progress is shown.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum ProgressMode {
    /// A bar on a terminal, lines elsewhere.
    #[default]
    Auto,
    /// A bar; lines where none can be drawn.
    Bar,
    /// A line every 30 s, and at each change of what the transfer does or waits for.
    Log,
    /// A JSON object every 5 s and at each change, and one for each message.
    Json,
    /// Messages only.
    None,
}
