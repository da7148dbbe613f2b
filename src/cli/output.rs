//! The options on what is written to stderr, which `put` and `get` share.
//!
//! Must not write anything. Invariant: `--quiet` and `--debug` are never both set.

use super::value;
use crate::term::progress::{OutputOptions, ProgressMode};
use proto::error::Error;

const PROGRESS: [(&str, ProgressMode); 5] = [
    ("auto", ProgressMode::Auto),
    ("bar", ProgressMode::Bar),
    ("log", ProgressMode::Log),
    ("json", ProgressMode::Json),
    ("none", ProgressMode::None),
];

/// The texts of the options, as given.
pub struct RawOutputOptions<'a> {
    pub progress: Option<&'a str>,
    pub quiet: bool,
    pub debug: bool,
}

impl RawOutputOptions<'_> {
    /// Fails if `--quiet` and `--debug` are both given, or if `--progress` has an unknown value.
    pub fn resolve(&self) -> Result<OutputOptions, Error> {
        let RawOutputOptions { progress, quiet, debug } = *self;
        if quiet && debug {
            return Err(Error::usage("--quiet and --debug contradict each other"));
        }
        let progress = value::choice("--progress", progress, &PROGRESS)?.unwrap_or_default();
        Ok(OutputOptions { progress, quiet, debug })
    }
}
