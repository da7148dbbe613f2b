//! Downloads one object as a stream.
//!
//! Owns the window of ranges that are read in parallel and written in order. Decides nothing about
//! retries (`retry`) and nothing about where bytes go (`sink`). Invariant: success is said only
//! when every byte of one and the same object has been written and its checksum, where the service
//! has one of the whole, is right.

use std::collections::VecDeque;
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use tokio::task::JoinHandle;

use crate::platform::worker::Worker;
use crate::term::progress::{ProgressSnapshot, Reporter};
use crate::transfer::client::Client;
use crate::transfer::lookup::Lookup;
use proto::api::{CustomerKey, ObjectLocation, Response, request};
use proto::error::{Error, ErrorKind};
use proto::object_url::ObjectUrl;
use proto::retry::{self, Failure, NotFoundStreak, Operation, RetryDecision, RunStage};
use proto::transport_error::TransportError;

use super::object_check::check_object;
use super::sink::Sink;

/// Ranges in flight, and bytes in each: together with what waits to be written, 80 MiB.
const PARALLEL: usize = 4;
const RANGE_SIZE: u64 = 16 << 20;

/// One object to download, and the file it is written to.
pub struct DownloadRequest {
    pub client: Client,
    pub source: ObjectUrl,
    pub customer_key: Option<CustomerKey>,
    /// `None` is stdout.
    pub file: Option<PathBuf>,
    /// How long the download may make no progress before it fails.
    pub retry_for: Duration,
}

/// What every range needs to know.
struct RangeReader {
    client: Client,
    location: ObjectLocation,
    customer_key: Option<CustomerKey>,
    etag: String,
    retry_for: Duration,
    progress: DownloadProgress,
    /// Whether it has been told that 404s may be spurious.
    outage_reported: AtomicBool,
    reporter: Arc<Reporter>,
}

/// Writes the object to the file with `worker`, the thread of the sink; returns when the whole
/// object is written. The error is final: what may be retried has been retried for `retry_for`.
pub async fn download(
    request: DownloadRequest,
    worker: Worker,
    reporter: &Arc<Reporter>,
) -> Result<(), Error> {
    let DownloadRequest { client: service, source: wanted, customer_key, file, retry_for } =
        request;
    let ask = Lookup::new(&service, retry_for, reporter);
    let namespace = match &wanted.namespace {
        Some(namespace) => namespace.clone(),
        None => ask.namespace().await?,
    };
    let target =
        ObjectLocation { namespace, bucket: wanted.bucket.clone(), object: wanted.name.clone() };
    let head = check_object(&ask, &target, &customer_key).await?;
    let (Some(size), Some(etag)) = (head.size, head.etag.clone()) else {
        return Err(Error::service("HeadObject said neither a size nor an etag"));
    };
    let began = Instant::now();
    let mut sink = Sink::open(worker, file.as_deref(), &head)?;
    let reporter = reporter.clone();
    let (progress, told) = (DownloadProgress::default(), AtomicBool::new(false));
    let reading = RangeReader {
        client: service,
        location: target,
        customer_key,
        etag,
        retry_for,
        progress,
        outage_reported: told,
        reporter,
    };
    let reading = Arc::new(reading);
    reading.client.session.set_streaming();
    let mut window: VecDeque<JoinHandle<Result<Vec<u8>, Error>>> = VecDeque::new();
    let mut ranges = (0..size).step_by(RANGE_SIZE as usize).peekable();
    let mut written = 0;
    loop {
        while window.len() < PARALLEL
            && let Some(&first) = ranges.peek()
        {
            let last = (first + RANGE_SIZE).min(size) - 1;
            let space = match allocate((last - first + 1) as usize) {
                Ok(space) => space,
                Err(error) if window.is_empty() => return Err(error),
                // Those under way go on, and give back what they have.
                Err(_) => break,
            };
            ranges.next();
            window.push_back(tokio::spawn(reading.clone().range(first, last, space)));
        }
        let Some(range) = window.pop_front() else { break };
        let bytes = range
            .await
            .map_err(|e| Error::new(ErrorKind::Internal, format!("a task failed: {e}")))
            .flatten();
        let bytes = match bytes {
            Ok(bytes) => bytes,
            Err(error) => {
                window.iter().for_each(JoinHandle::abort);
                return Err(error);
            }
        };
        written += bytes.len() as u64;
        sink = sink.write(bytes).await?;
        reading.reporter.update(&ProgressSnapshot {
            read: written,
            acknowledged: written,
            expected: Some(size),
            elapsed: began.elapsed(),
            ..ProgressSnapshot::default()
        });
    }
    if written != size {
        return Err(Error::integrity(format!("{written} of {size} bytes were read")));
    }
    sink.finish().await
}

/// Memory for a range, with as much again for everything else: what is too small to be refused in an
/// orderly way would end the process.
fn allocate(length: usize) -> Result<Vec<u8>, Error> {
    let (mut space, mut spare) = (Vec::new(), Vec::<u8>::new());
    let reserved = space.try_reserve_exact(length).and_then(|()| spare.try_reserve_exact(length));
    std::hint::black_box(&spare);
    match reserved {
        Ok(()) => Ok(space),
        Err(error) => {
            let what = format!("the system gives no memory for {length} bytes: {error}");
            Err(Error::new(ErrorKind::Internal, what).with_hint("raise the limits of the process"))
        }
    }
}

/// Since when nothing was read by any of the ranges, as all of them share one service.
#[derive(Debug, Default)]
struct DownloadProgress {
    last_progress: Mutex<Option<Instant>>,
}

impl DownloadProgress {
    /// Something was read.
    fn advance(&self) {
        *self.last_progress.lock().unwrap_or_else(PoisonError::into_inner) = Some(Instant::now());
    }

    /// How long nothing has been, counted from here at the earliest.
    fn stalled_for(&self, since: Instant) -> Duration {
        let last = *self.last_progress.lock().unwrap_or_else(PoisonError::into_inner);
        last.map_or(since, |last| last.max(since)).elapsed()
    }
}

impl RangeReader {
    /// One range, whole. What arrived before a failure is kept, and the rest asked for again.
    async fn range(
        self: Arc<RangeReader>,
        first: u64,
        last: u64,
        mut bytes: Vec<u8>,
    ) -> Result<Vec<u8>, Error> {
        let length = (last - first + 1) as usize;
        let mut stands_since: Option<Instant> = None;
        let (mut attempt, mut tally) = (0, NotFoundStreak::default());
        while bytes.len() < length {
            let from = first + bytes.len() as u64;
            let before = bytes.len();
            let request =
                request::get_range(&self.location, &self.customer_key, &self.etag, (from, last));
            let outcome = self.client.send_and_classify(request, &mut bytes, last - from + 1).await;
            let failure = match outcome {
                Ok(answer) if self.is_expected_range(&answer, from, last) => {
                    (bytes.len() == before).then(|| {
                        let text = "an answer without a byte".to_owned();
                        Failure::Transport { kind: TransportError::InvalidResponse, text }
                    })
                }
                Ok(answer) => {
                    bytes.truncate(before);
                    let text =
                        format!("HTTP {} is not the range that was asked for", answer.status);
                    Some(Failure::Transport { kind: TransportError::InvalidResponse, text })
                }
                Err(failure) => Some(failure),
            };
            if bytes.len() > before {
                self.progress.advance();
                (stands_since, attempt, tally) = (None, 0, NotFoundStreak::default());
            }
            let Some(failure) = failure else { continue };
            let doing = format!("reading bytes {from} to {last}, attempt {}", attempt + 1);
            let error = failure.error(Operation::Get, &doing);
            let since = *stands_since.get_or_insert_with(Instant::now);
            let pause = match retry::classify(Operation::Get, RunStage::Streaming, &failure) {
                RetryDecision::Retry { .. } | RetryDecision::RefreshCredentials => {
                    tally = NotFoundStreak::default();
                    retry::retry_delay(attempt, fastrand::f64(), &failure)
                }
                RetryDecision::AmbiguousNotFound => {
                    let now = since.elapsed();
                    tally.add(now);
                    let forward = now.saturating_sub(self.progress.stalled_for(since));
                    if !tally.is_retryable(now, true, forward) {
                        return Err(tally.exhausted_error(error, now, true));
                    }
                    if !self.outage_reported.swap(true, Ordering::Relaxed) {
                        let words = NotFoundStreak::retry_message(Operation::Get, true);
                        self.reporter.warn(&format!("{}; {words}", error.message));
                    }
                    retry::retry_delay(tally.count() - 1, fastrand::f64(), &failure)
                }
                RetryDecision::PreconditionFailed => {
                    return Err(Error::service("the object was replaced while it was being read")
                        .with_hint("what was written so far is not whole: start again"));
                }
                RetryDecision::NotFound => {
                    return Err(error.with_hint("the object was deleted while it was being read"));
                }
                _ => return Err(error),
            };
            if attempt == 0 {
                self.reporter.debug(|| format!("{}; trying again", error.message));
            }
            let stood = self.progress.stalled_for(since);
            if stood >= self.retry_for {
                return Err(error);
            }
            attempt += 1;
            tokio::time::sleep(pause.min(self.retry_for.saturating_sub(stood))).await;
        }
        Ok(bytes)
    }

    /// Whether an answer is the range that was asked for, of the object that was asked for.
    fn is_expected_range(&self, answer: &Response, from: u64, last: u64) -> bool {
        let same = answer.header("etag").is_none_or(|etag| etag == self.etag);
        let range = answer.header("content-range").unwrap_or_default();
        // A whole small object may come as a plain 200.
        let whole = answer.status == 200 && from == 0 && range.is_empty();
        same && (whole || range.starts_with(&format!("bytes {from}-{last}/")))
    }
}
