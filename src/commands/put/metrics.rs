//! The metrics of a `put`: what its parts report, and the file at its end.
//!
//! Owns when the file is written. Must not know the format. Invariant: a file that cannot be written, or that
//! is left alone, is a warning and never changes the exit code.

use std::cell::RefCell;
use std::time::{Instant, SystemTime, UNIX_EPOCH};

use crate::cli::{MetricsSettings, PutCommand};
use crate::platform::replaced_file;
use crate::term::progress::{OutputOptions, ProgressMode, Reporter};
use crate::transfer::client::Client;
use proto::error::Error;
use proto::receipt::Receipt;
use proto::run_metrics::{Former, RunMetrics};

/// The figures of a run, which are known also where it fails.
#[derive(Debug, Default)]
pub(crate) struct RunFigures(RefCell<RunMetrics>);

impl RunFigures {
    /// Records what is known of the credentials at the end of the upload.
    pub(super) fn record_access(&self, client: &Client) {
        let mut metrics = self.0.borrow_mut();
        metrics.token_refreshes = client.token_refreshes();
        metrics.token_expiry = client.access.token_left().map(|left| since_1970() + left);
        metrics.credentials_end = client.access.ends();
    }

    /// Records how many requests were sent again.
    pub(super) fn record_retries(&self, retries: u64) {
        self.0.borrow_mut().retries = retries;
    }

    /// Records how long the stream waited, which its progress has shown.
    pub(super) fn record_waits(&self, reporter: &Reporter) {
        self.0.borrow_mut().waits = reporter.waits();
    }

    /// Records the object of a successful run.
    pub(super) fn record_object(&self, receipt: &Receipt) {
        let mut metrics = self.0.borrow_mut();
        metrics.object_bytes = receipt.size;
        metrics.parts = receipt.parts;
        metrics.identical = receipt.identical;
    }
}

/// What is written at the end of a run with `--metrics-file`.
pub(crate) struct RunReport {
    settings: Option<MetricsSettings>,
    output: OutputOptions,
    started_at: Instant,
    pub figures: RunFigures,
}

impl RunReport {
    /// Begins the run of a command.
    pub(crate) fn begin(command: &PutCommand) -> RunReport {
        RunReport {
            settings: command.metrics.clone(),
            output: command.output,
            started_at: Instant::now(),
            figures: RunFigures::default(),
        }
    }

    /// Replaces the file, if there is to be one.
    pub(crate) fn write(self, result: &Result<(), Error>) {
        let Some(MetricsSettings { file, job }) = self.settings else { return };
        let metrics = RunMetrics {
            ended: since_1970(),
            took: self.started_at.elapsed(),
            exit_code: result.as_ref().err().map_or(0, |error| error.kind.exit_code()),
            ..self.figures.0.into_inner()
        };
        let written = replaced_file::replace(&file, |text| {
            Former::read(text, &job).map(|former| metrics.text(&job, &former))
        });
        if let Err(reason) = written {
            let output = OutputOptions { progress: ProgressMode::None, ..self.output };
            let path = file.display();
            let text = format!("the metrics of this run were not written to {path}: {reason}");
            Reporter::new(output).warn(&text);
        }
    }
}

fn since_1970() -> std::time::Duration {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default()
}
