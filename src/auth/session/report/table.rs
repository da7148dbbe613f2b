//! Names and values of a report, as text and as JSON.
//!
//! Owns both forms. Must not know what a value means. Invariant: both forms have the same names, in the
//! same order.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::time::Duration;

use serde_json::{Map, Value};

use proto::units::{DisplayDuration, DisplayTime};

/// Names and values in the order in which they are shown, in both forms.
#[derive(Default)]
pub(super) struct Table {
    /// The current time in seconds since 1970.
    pub now: u64,
    lines: Vec<(&'static str, String)>,
    json: Map<String, Value>,
}

impl Table {
    /// An empty table; `now` is in seconds since 1970.
    pub(super) fn at(now: u64) -> Table {
        Table { now, ..Table::default() }
    }

    pub(super) fn text(&mut self, name: &'static str, value: Option<&str>) {
        self.json.insert(name.to_owned(), value.into());
        if let Some(value) = value {
            self.lines.push((name, value.to_owned()));
        }
    }

    pub(super) fn yes_no(&mut self, name: &'static str, value: Option<bool>) {
        self.json.insert(name.to_owned(), value.into());
        let text = match value {
            Some(true) => "yes",
            Some(false) => "no",
            None => "unknown",
        };
        self.lines.push((name, text.to_owned()));
    }

    /// `at` is in seconds since 1970.
    pub(super) fn timestamp(&mut self, name: &'static str, at: Option<u64>) {
        self.json.insert(name.to_owned(), at.map(|at| date(at).to_string()).into());
        let left = at.map(|at| at.cast_signed().saturating_sub(self.now.cast_signed()));
        self.json.insert(format!("{name}-in-seconds"), left.into());
        if let (Some(at), Some(left)) = (at, left) {
            let span = DisplayDuration::prose(Duration::from_secs(left.unsigned_abs()));
            let relative = if left < 0 { format!("{span} ago") } else { format!("in {span}") };
            self.lines.push((name, format!("{} ({relative})", date(at))));
        }
    }

    pub(super) fn file(&mut self, name: &'static str, path: Option<&Path>) {
        let mode = path.and_then(|path| fs::metadata(path).ok());
        let mode = mode.map(|metadata| format!("{:03o}", metadata.permissions().mode() & 0o777));
        self.json.insert(name.to_owned(), path.map(|path| path.display().to_string()).into());
        self.json.insert(format!("{name}-mode"), mode.clone().into());
        if let Some(path) = path {
            let mode = mode.map_or("missing".to_owned(), |mode| format!("mode {mode}"));
            self.lines.push((name, format!("{} ({mode})", path.display())));
        }
    }

    pub(super) fn lines(&self) -> String {
        let line =
            |(name, value): &(&str, String)| format!("{:<15} {value}", name.replace('-', " "));
        self.lines.iter().map(line).collect::<Vec<_>>().join("\n")
    }

    pub(super) fn json(self) -> String {
        format!("{:#}", Value::Object(self.json))
    }
}

/// `seconds` since 1970.
pub(super) fn date(seconds: u64) -> DisplayTime {
    DisplayTime(Duration::from_secs(seconds))
}
