//! The options on metrics of a run.
//!
//! Owns the default of the job. Must not access a file. Invariant: a job is text that a person can read
//! on a dashboard.

use std::path::Path;

use super::args::PutArgs;
use super::command::MetricsSettings;
use super::service::path;
use super::{Environment, value};
use proto::error::Error;

/// `--metrics-file` and `--metrics-job`. Fails if a job is given without a file, if it is empty or has
/// control characters, and if none is given and the file has no name to take it from.
pub(super) fn settings(
    put: &PutArgs,
    environment: &Environment,
) -> Result<Option<MetricsSettings>, Error> {
    let Some(file) = path(environment, put.metrics_file.as_deref()) else {
        return match &put.metrics_job {
            None => Ok(None),
            Some(_) => Err(Error::usage("--metrics-job without --metrics-file")
                .with_hint("give --metrics-file FILE too: the job is the label in this file")),
        };
    };
    if file.file_name().is_none() {
        let text = file.display().to_string();
        return Err(value::invalid_value("--metrics-file", &text, "it is the path of a file"));
    }
    let stem = |file: &Path| Some(file.file_stem()?.to_str()?.to_owned());
    let job = put.metrics_job.clone().or_else(|| stem(&file)).unwrap_or_default();
    if job.is_empty() || job.chars().any(char::is_control) {
        let form = "it is a name without control characters";
        return Err(value::invalid_value("--metrics-job", &job, form));
    }
    Ok(Some(MetricsSettings { file, job }))
}
