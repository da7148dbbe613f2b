//! The options on what is written to stderr, which `put`, `get` and `verify` share.
//!
//! Owns their values and their contradictions. Must not write anything. Invariant: `--quiet` and
//! `--debug` are never both set.

use super::args::{GetArgs, PutArgs, VerifyArgs};
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
    progress: Option<&'a str>,
    quiet: bool,
    debug: bool,
}

impl<'a> From<&'a PutArgs> for RawOutputOptions<'a> {
    fn from(put: &'a PutArgs) -> RawOutputOptions<'a> {
        let PutArgs { progress, quiet, debug, .. } = put;
        RawOutputOptions { progress: progress.as_deref(), quiet: *quiet, debug: *debug }
    }
}

impl<'a> From<&'a GetArgs> for RawOutputOptions<'a> {
    fn from(get: &'a GetArgs) -> RawOutputOptions<'a> {
        let GetArgs { progress, quiet, debug, .. } = get;
        RawOutputOptions { progress: progress.as_deref(), quiet: *quiet, debug: *debug }
    }
}

impl<'a> From<&'a VerifyArgs> for RawOutputOptions<'a> {
    fn from(verify: &'a VerifyArgs) -> RawOutputOptions<'a> {
        let VerifyArgs { progress, quiet, debug, .. } = verify;
        RawOutputOptions { progress: progress.as_deref(), quiet: *quiet, debug: *debug }
    }
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
