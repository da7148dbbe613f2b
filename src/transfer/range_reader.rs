//! Reads one range of an object, with retries.
//!
//! Owns what the ranges of a download share: the version of the object, the time of the last
//! progress and the history of 404s. Decides nothing about retries (`proto::retry`), and must not
//! know the order of ranges. Invariant: every byte of a range belongs to the version with the etag
//! of the download, and bytes that arrived before a failure are not requested again.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use crate::term::progress::Reporter;
use crate::transfer::client::Client;
use proto::api::{CustomerKey, ObjectLocation, Response, request};
use proto::error::Error;
use proto::retry::{
    FailCause, Failure, Next, NotFoundHistory, Operation, RetryContext, RetryDecision, RetryError,
};
use proto::transport_error::TransportError;

/// Reads ranges of one version of an object.
pub(super) struct RangeReader {
    client: Client,
    location: ObjectLocation,
    customer_key: Option<CustomerKey>,
    etag: String,
    retry_for: Duration,
    started_at: Instant,
    state: Mutex<DownloadState>,
    reporter: Arc<Reporter>,
}

/// What all ranges know about the service.
struct DownloadState {
    /// When a byte of any range arrived last, since the start of the download.
    last_progress: Option<Duration>,
    history: NotFoundHistory,
}

impl RangeReader {
    pub(super) fn new(
        client: Client,
        location: ObjectLocation,
        customer_key: Option<CustomerKey>,
        etag: String,
        retry_for: Duration,
        reporter: Arc<Reporter>,
    ) -> RangeReader {
        // HeadObject has succeeded before.
        let history = NotFoundHistory::of_seen_bucket();
        RangeReader {
            client,
            location,
            customer_key,
            etag,
            retry_for,
            started_at: Instant::now(),
            state: Mutex::new(DownloadState { last_progress: None, history }),
            reporter,
        }
    }

    /// Reads the bytes `first` to `last` into `buffer`, which is empty. Fails where a failure is
    /// final, or where no range has made progress for `retry_for`.
    pub(super) async fn read(
        self: Arc<RangeReader>,
        first: u64,
        last: u64,
        mut buffer: Vec<u8>,
    ) -> Result<Vec<u8>, Error> {
        let length = (last - first + 1) as usize;
        let mut context = RetryContext::for_download(self.retry_for);
        while buffer.len() < length {
            let before = buffer.len();
            let from = first + before as u64;
            let result = self.attempt(from, last, &mut buffer).await;
            if buffer.len() > before {
                let now = self.started_at.elapsed();
                self.state().last_progress = Some(now);
                context.on_progress(now);
            }
            if let Err(failure) = result {
                let doing =
                    format!("reading bytes {from} to {last}, attempt {}", context.attempt() + 1);
                let pause = self.next_attempt(&mut context, &failure, &doing)?;
                tokio::time::sleep(pause).await;
            }
        }
        Ok(buffer)
    }

    /// One attempt to read the bytes `from` to `last`. The bytes that arrive before a failure stay
    /// in the buffer, unless the response is another range.
    async fn attempt(&self, from: u64, last: u64, buffer: &mut Vec<u8>) -> Result<(), Failure> {
        let before = buffer.len();
        let invalid =
            |text: String| Failure::Transport { kind: TransportError::InvalidResponse, text };
        let request =
            request::get_range(&self.location, &self.customer_key, &self.etag, (from, last));
        let response = self.client.read_into(request, buffer, last - from + 1).await?;
        if !self.is_expected_range(&response, from, last) {
            buffer.truncate(before);
            let status = response.status;
            return Err(invalid(format!("HTTP {status} is not the range that was asked for")));
        }
        if buffer.len() == before {
            return Err(invalid("an answer without a byte".to_owned()));
        }
        Ok(())
    }

    /// The pause before the next attempt, or the error of the download.
    fn next_attempt(
        &self,
        context: &mut RetryContext,
        failure: &Failure,
        doing: &str,
    ) -> Result<Duration, Error> {
        let error = failure.error(Operation::Get, doing);
        let (now, random) = (self.started_at.elapsed(), fastrand::f64());
        let mut state = self.state();
        if let Some(at) = state.last_progress {
            context.on_progress_elsewhere(at);
        }
        let next = context.on_failure(now, failure, error, &mut state.history, random);
        drop(state);
        match next {
            Next::Retry(retry) => {
                if let Some(warning) = retry.warning {
                    self.reporter.warn(&warning);
                }
                if let Some(line) = retry.debug {
                    self.reporter.debug(|| line);
                }
                Ok(retry.after)
            }
            Next::Fail(failed) => Err(explain(failed)),
        }
    }

    fn state(&self) -> MutexGuard<'_, DownloadState> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether the response is the requested range, of the version of the download.
    fn is_expected_range(&self, response: &Response, from: u64, last: u64) -> bool {
        let same_version = response.header("etag").is_none_or(|etag| etag == self.etag);
        let range = response.header("content-range").unwrap_or_default();
        // The whole of a small object may come with a plain 200.
        let is_whole_object = response.status == 200 && from == 0 && range.is_empty();
        same_version && (is_whole_object || range.starts_with(&format!("bytes {from}-{last}/")))
    }
}

/// The error of a download that was replaced or deleted while it was read.
fn explain(failed: RetryError) -> Error {
    match failed.cause {
        FailCause::Decision(RetryDecision::PreconditionFailed) => {
            Error::service("the object was replaced while it was being read")
                .with_hint("what was written so far is not whole: start again")
        }
        FailCause::Decision(RetryDecision::NotFound) => {
            failed.error.with_hint("the object was deleted while it was being read")
        }
        FailCause::Decision(_) | FailCause::BudgetExhausted => failed.error,
    }
}
