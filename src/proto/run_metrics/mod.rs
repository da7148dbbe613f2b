//! The metrics of the last run of a job, as text in the format of Prometheus.
//!
//! Owns the names, the help and the values of the metrics, and which former file a run may replace. Must not
//! know a file or the clock. Invariant: the time of the last success moves only with a success, and what
//! another program or another job wrote is never replaced.

mod former;
#[cfg(test)]
mod tests;

use std::fmt::Write;
use std::time::Duration;

pub use self::former::Former;

const PREFIX: &str = "ocipipe_";
const LAST_SUCCESS: &str = "last_success_timestamp_seconds";

/// What a run did. Points of time are since 1970.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct RunMetrics {
    /// When the run ended, since 1970.
    pub ended: Duration,
    /// From the start of the run to its end.
    pub took: Duration,
    /// The exit code.
    pub exit_code: u8,
    /// Bytes of the object that is stored and verified, or identical; 0 after a failure.
    pub object_bytes: u64,
    /// Parts of this object.
    pub parts: u32,
    /// Whether the object existed before (`--identical-ok`).
    pub identical: bool,
    /// The attempts that were repeated.
    pub retries: u64,
    /// The refreshes that gave another token.
    pub token_refreshes: u64,
    /// What the run waited for.
    pub waits: WaitTimes,
    /// When the token expires; `None` for an API key, and where no token was obtained.
    pub token_expiry: Option<Duration>,
    /// When the credentials end for good; `None` where they are renewed without end, or the end is unknown.
    pub credentials_end: Option<Duration>,
}

/// How long the stream of a run waited, by cause.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct WaitTimes {
    /// For bytes of the stream.
    pub producer: Duration,
    /// For the connections to take more bytes.
    pub line: Duration,
    /// For valid credentials.
    pub token: Duration,
    /// Requests failed, and none succeeded.
    pub service: Duration,
}

/// The name without its prefix, the help and the value of a metric.
type Row = (&'static str, &'static str, Option<String>);

impl RunMetrics {
    /// The text that replaces the file: of one job, which is the value of the only label. `former` is what
    /// the file had before.
    pub fn text(&self, job: &str, former: &Former) -> String {
        let last_success = match (self.exit_code, former) {
            (0, _) => seconds(self.ended),
            (_, Former::Ours { last_success }) => last_success.clone(),
            (_, Former::Nothing) => "0".to_owned(),
        };
        let label = escape(job);
        let mut text = String::new();
        for (name, help, value) in self.rows(last_success) {
            let Some(value) = value else { continue };
            let name = format!("{PREFIX}{name}");
            // Writing to a String never fails.
            let _ = writeln!(text, "# HELP {name} {help}");
            let _ = writeln!(text, "# TYPE {name} gauge");
            let _ = writeln!(text, "{name}{{job=\"{label}\"}} {value}");
        }
        text
    }

    fn rows(&self, last_success: String) -> [Row; 15] {
        let number = |value: u64| Some(value.to_string());
        let duration = |value: Duration| Some(seconds(value));
        let waits = &self.waits;
        [
            (
                LAST_SUCCESS,
                "End of the last run with exit code 0; 0 before the first.",
                Some(last_success),
            ),
            ("last_run_timestamp_seconds", "End of the last run.", duration(self.ended)),
            ("last_run_exit_code", "Exit code of the last run.", number(self.exit_code.into())),
            ("last_run_duration_seconds", "Duration of the last run.", duration(self.took)),
            (
                "last_run_object_bytes",
                "Size of the object that the last run stored or found identical; 0 after a failure.",
                number(self.object_bytes),
            ),
            (
                "last_run_parts",
                "Parts of this object; 0 after a failure.",
                number(self.parts.into()),
            ),
            (
                "last_run_identical",
                "1 if the last run found an identical object and stored nothing, else 0.",
                number(self.identical.into()),
            ),
            ("last_run_retries", "Requests that the last run sent again.", number(self.retries)),
            (
                "last_run_token_refreshes",
                "Tokens that replaced another during the last run.",
                number(self.token_refreshes),
            ),
            (
                "last_run_producer_wait_seconds",
                "How long the last run waited for bytes of the stream.",
                duration(waits.producer),
            ),
            (
                "last_run_line_wait_seconds",
                "How long the stream of the last run waited for the network.",
                duration(waits.line),
            ),
            (
                "last_run_token_wait_seconds",
                "How long the last run waited for valid credentials.",
                duration(waits.token),
            ),
            (
                "last_run_service_wait_seconds",
                "How long the requests of the last run failed without a success between.",
                duration(waits.service),
            ),
            (
                "token_expiry_timestamp_seconds",
                "When the token of the last run expires; absent without a token.",
                self.token_expiry.map(seconds),
            ),
            (
                "credentials_end_timestamp_seconds",
                "When the credentials of the last run end for good; absent if they are renewed without end.",
                self.credentials_end.map(seconds),
            ),
        ]
    }
}

/// Seconds with milliseconds.
fn seconds(time: Duration) -> String {
    format!("{}.{:03}", time.as_secs(), time.subsec_millis())
}

/// A text between the quotes of a label.
fn escape(text: &str) -> String {
    text.replace('\\', "\\\\").replace('"', "\\\"").replace('\n', "\\n")
}
