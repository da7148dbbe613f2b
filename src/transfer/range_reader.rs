//! Reads one range of an object, with retries.
//!
//! Owns what the ranges of a download share: the version of the object and the history of 404s.
//! Decides nothing about retries (`proto::retry`), and must not know the order of ranges. Invariant:
//! every byte of a range belongs to the version with the etag of the download, and bytes that
//! arrived before a failure are not requested again.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use super::range_sink::{RangeCounts, RangeSink};
use crate::term::progress::Reporter;
use crate::transfer::client::Client;
use proto::api::{ObjectLocation, ReadOptions, request};
use proto::error::{Error, ErrorKind};
use proto::request_fields::AttemptName;
use proto::retry::{
    FailCause, Failure, Next, NotFoundHistory, Operation, RetryContext, RetryDecision, RetryError,
};
use proto::transport_error::TransportError;

/// Reads ranges of one version of an object.
pub(super) struct RangeReader {
    pub client: Client,
    pub location: ObjectLocation,
    pub options: ReadOptions,
    pub etag: String,
    pub retry_for: Duration,
    pub counts: RangeCounts,
    /// What all ranges know about the service.
    pub history: Mutex<NotFoundHistory>,
    pub reporter: Arc<Reporter>,
}

impl RangeReader {
    /// Reads the bytes that are missing in `sink`. Fails where a failure is final, or where no range
    /// has made progress for `retry_for`.
    pub(super) async fn read(self: Arc<RangeReader>, mut sink: RangeSink) -> Result<(), Error> {
        let mut context = RetryContext::for_download(self.retry_for);
        while let Some(missing) = sink.missing() {
            let (first, last) = (missing.first, missing.first + missing.length - 1);
            let request =
                request::get_range(&self.location, &self.options, &self.etag, (first, last));
            let (back, result) = self.client.read_into(request, sink, missing.length).await;
            let Some(back) = back else {
                let text = "a thread of the download failed within itself";
                return Err(Error::new(ErrorKind::Internal, text));
            };
            sink = back;
            let arrived = sink.missing() != Some(missing);
            if arrived {
                context.on_progress(self.counts.elapsed());
            }
            let failure = match result {
                Ok(_) if arrived => continue,
                Ok(_) => Failure::Transport {
                    kind: TransportError::InvalidResponse,
                    text: "an answer without a byte".to_owned(),
                },
                Err(failure) => failure,
            };
            let attempt = context.attempt() + 1;
            let doing = format!("reading bytes {first} to {last}");
            let doing = AttemptName::numbered(&doing, attempt);
            let pause = self.next_attempt(&mut context, &failure, &doing)?;
            tokio::time::sleep(pause).await;
        }
        Ok(())
    }

    /// The pause before the next attempt, or the error of the download.
    fn next_attempt(
        &self,
        context: &mut RetryContext,
        failure: &Failure,
        doing: &AttemptName,
    ) -> Result<Duration, Error> {
        let error = failure.error(Operation::Get, doing);
        self.counts.record_failure();
        let (now, random) = (self.counts.elapsed(), fastrand::f64());
        if let Some(at) = self.counts.last_progress() {
            context.on_progress_elsewhere(at);
        }
        let next = context.on_failure(now, failure, error, &mut self.history(), random);
        match next {
            Next::Retry(retry) => {
                if let Some(warning) = retry.warning {
                    self.reporter.warn_of(&warning);
                }
                if let Some(line) = retry.debug {
                    self.reporter.debug(|| line);
                }
                Ok(retry.after)
            }
            Next::Fail(failed) => Err(explain(failed, self.options.if_match.as_deref())),
        }
    }

    fn history(&self) -> MutexGuard<'_, NotFoundHistory> {
        self.history.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The error of a download that was replaced or deleted while it was read. `expected` is the etag of
/// `--if-match`, if there is one.
fn explain(failed: RetryError, expected: Option<&str>) -> Error {
    match failed.cause {
        FailCause::Decision(RetryDecision::PreconditionFailed) => {
            let kind = match expected {
                Some(_) => ErrorKind::Exists,
                None => ErrorKind::Service,
            };
            Error::new(kind, "the object was replaced while it was being read")
                .with_hint("what was written so far is not whole: start again")
        }
        FailCause::Decision(RetryDecision::NotFound) => {
            failed.error.with_hint("the object was deleted while it was being read")
        }
        FailCause::Decision(_) | FailCause::BudgetExhausted => failed.error,
    }
}
