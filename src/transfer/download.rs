//! Downloads one object as a stream.
//!
//! Owns the window of ranges that are read in parallel and written in order. Decides nothing about
//! retries (`range_reader`) and nothing about where bytes go (`sink`). Invariant: success is
//! reported only when every byte of one version of the object has been written, and matches the
//! digest of the whole object where the service reports one.

use std::collections::VecDeque;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::task::JoinHandle;

use super::object_check::check_object;
use super::range_reader::RangeReader;
use super::sink::Sink;
use crate::platform::worker::Worker;
use crate::term::progress::{ProgressSnapshot, Reporter};
use crate::transfer::client::Client;
use crate::transfer::lookup::Lookup;
use proto::api::CustomerKey;
use proto::error::{Error, ErrorKind};
use proto::object_url::ObjectUrl;

/// The ranges in flight, and the bytes of each: with the range that waits to be written, 80 MiB.
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

/// Writes the object to the file with `worker`, the thread of the sink; returns when the whole
/// object is written. The error is final: what may be retried has been retried for `retry_for`.
pub async fn download(
    request: DownloadRequest,
    worker: Worker,
    reporter: &Arc<Reporter>,
) -> Result<(), Error> {
    let DownloadRequest { client, source, customer_key, file, retry_for } = request;
    let lookup = Lookup::new(&client, retry_for, reporter);
    let location = lookup.locate(source.namespace.as_deref(), &source.bucket, &source.name).await?;
    let meta = check_object(&lookup, &location, &customer_key).await?;
    let (Some(size), Some(etag)) = (meta.size, meta.etag.clone()) else {
        return Err(Error::service("HeadObject said neither a size nor an etag"));
    };
    let sink = Sink::open(worker, file.as_deref(), &meta)?;
    client.session.set_streaming();
    let reader =
        RangeReader::new(client, location, customer_key, etag, retry_for, reporter.clone());
    copy_ranges(Window::new(reader, size), size, sink, reporter).await
}

/// Writes the ranges of the window in order, to the last byte of `size`.
async fn copy_ranges(
    mut window: Window,
    size: u64,
    mut sink: Sink,
    reporter: &Reporter,
) -> Result<(), Error> {
    let started_at = Instant::now();
    let mut written = 0;
    while let Some(bytes) = window.next_range().await? {
        written += bytes.len() as u64;
        sink = sink.write(bytes).await?;
        reporter.update(&ProgressSnapshot {
            read: written,
            acknowledged: written,
            expected: Some(size),
            elapsed: started_at.elapsed(),
            ..ProgressSnapshot::default()
        });
    }
    if written != size {
        return Err(Error::integrity(format!("{written} of {size} bytes were read")));
    }
    sink.finish().await
}

/// The ranges in flight, in the order of the object. Dropping it aborts them.
struct Window {
    reader: Arc<RangeReader>,
    tasks: VecDeque<JoinHandle<Result<Vec<u8>, Error>>>,
    /// The first byte of the next range.
    next_byte: u64,
    size: u64,
}

impl Window {
    /// The window of an object of `size` bytes.
    fn new(reader: RangeReader, size: u64) -> Window {
        Window { reader: Arc::new(reader), tasks: VecDeque::new(), next_byte: 0, size }
    }

    /// The bytes of the next range; `None` after the last one.
    async fn next_range(&mut self) -> Result<Option<Vec<u8>>, Error> {
        self.fill()?;
        let Some(task) = self.tasks.pop_front() else { return Ok(None) };
        let bytes = task
            .await
            .map_err(|e| Error::new(ErrorKind::Internal, format!("a task failed: {e}")))
            .flatten()?;
        Ok(Some(bytes))
    }

    /// Starts ranges until enough are in flight. Fails where there is no memory for a single one.
    fn fill(&mut self) -> Result<(), Error> {
        while self.tasks.len() < PARALLEL && self.next_byte < self.size {
            let (first, end) = (self.next_byte, (self.next_byte + RANGE_SIZE).min(self.size));
            let buffer = match allocate((end - first) as usize) {
                Ok(buffer) => buffer,
                Err(error) if self.tasks.is_empty() => return Err(error),
                // The ranges in flight go on, and release their memory.
                Err(_) => break,
            };
            self.next_byte = end;
            let reader = self.reader.clone();
            self.tasks.push_back(tokio::spawn(reader.read(first, end - 1, buffer)));
        }
        Ok(())
    }
}

impl Drop for Window {
    fn drop(&mut self) {
        self.tasks.iter().for_each(JoinHandle::abort);
    }
}

/// Memory for a range of `length` bytes. The same amount must be free for all other allocations: a
/// small one that fails would end the process without an error.
fn allocate(length: usize) -> Result<Vec<u8>, Error> {
    let (mut buffer, mut spare) = (Vec::new(), Vec::<u8>::new());
    let reserved = buffer.try_reserve_exact(length).and_then(|()| spare.try_reserve_exact(length));
    std::hint::black_box(&spare);
    match reserved {
        Ok(()) => Ok(buffer),
        Err(error) => {
            let what = format!("the system gives no memory for {length} bytes: {error}");
            Err(Error::new(ErrorKind::Internal, what).with_hint("raise the limits of the process"))
        }
    }
}
