//! The options on what is written to stderr, which `put`, `get` and `verify` share.
//!
//! Owns their values and their contradictions. Must not write anything. Invariant: `--quiet` and
//! `--debug` are never both set.

use std::ffi::OsString;

use super::args::RawOutputOptions;
use super::value;
use crate::term::log::LogFormat;
use crate::term::progress::{OutputOptions, ProgressMode};
use proto::error::Error;

const PROGRESS: [(&str, ProgressMode); 5] = [
    ("auto", ProgressMode::Auto),
    ("bar", ProgressMode::Bar),
    ("log", ProgressMode::Log),
    ("json", ProgressMode::Json),
    ("none", ProgressMode::None),
];

const LOG_FORMAT: &str = "--log-format";
const LOG_FORMATS: [(&str, LogFormat); 2] = [("text", LogFormat::Text), ("json", LogFormat::Json)];

impl RawOutputOptions<'_> {
    /// Fails if `--quiet` and `--debug` are both given, or if `--progress` or `--log-format` has an
    /// unknown value.
    pub(super) fn resolve(&self) -> Result<OutputOptions, Error> {
        let RawOutputOptions { progress, log_format, quiet, debug } = *self;
        if quiet && debug {
            return Err(Error::usage("--quiet and --debug contradict each other"));
        }
        let progress = value::choice("--progress", progress, &PROGRESS)?.unwrap_or_default();
        let log_format = value::choice(LOG_FORMAT, log_format, &LOG_FORMATS)?.unwrap_or_default();
        Ok(OutputOptions { progress, quiet, debug, log_format })
    }
}

/// How the error of a command line is written that could not be parsed: as JSON if the words before `--`
/// ask for that.
pub(crate) fn log_format_of_words(argv: &[OsString]) -> LogFormat {
    let words = argv.iter().take_while(|word| *word != "--").map(|word| word.to_string_lossy());
    let line: Vec<_> = words.collect();
    let separate = line.windows(2).any(|pair| pair[0] == LOG_FORMAT && pair[1] == "json");
    let joined = line.iter().any(|word| *word == format!("{LOG_FORMAT}=json"));
    if separate || joined { LogFormat::Json } else { LogFormat::Text }
}
