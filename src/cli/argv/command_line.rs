//! A command line whose words are known by kind, before any value is parsed.
//!
//! Owns the words for `argh`. Must not know an option. Invariant: each name of an option is there once.

use std::ffi::OsString;

/// The words of a command line by kind.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct CommandLine {
    /// The names of the command, such as `uploads` and `list`.
    pub path: Vec<String>,
    /// Names and values, each name once.
    pub options: Vec<(&'static str, Option<String>)>,
    pub positionals: Vec<String>,
    /// The program after `--` and its arguments, if the command takes one.
    pub command: Option<Vec<OsString>>,
}

impl CommandLine {
    /// The words for `argh`: positionals follow a `--`, so that they cannot be taken for options.
    pub(crate) fn words(&self) -> Vec<&str> {
        let path = self.path.iter().map(String::as_str);
        let options = self.options.iter().flat_map(|(name, value)| [Some(*name), value.as_deref()]);
        let positionals = self.positionals.iter().map(String::as_str);
        path.chain(options.flatten()).chain(["--"]).chain(positionals).collect()
    }

    /// The value of an option: `None` if it is not given, `Some(None)` if it takes no value.
    pub(crate) fn given(&self, option: &str) -> Option<Option<&str>> {
        let (_, value) = self.options.iter().find(|(name, _)| *name == option)?;
        Some(value.as_deref())
    }
}
