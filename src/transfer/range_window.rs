//! The ranges of a download that are read at the same time, and their order.
//!
//! Owns which range starts when, and its buffers; `proto::range_plan` decides how many are read at once
//! and how long they are. Must not know retries or where the bytes are written. Invariant: a range is requested only when all its bytes have room in memory, so that a
//! slow writer stops new requests and never a connection.

use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use bytes::Bytes;
use tokio::sync::Notify;
use tokio::sync::mpsc::{UnboundedReceiver, unbounded_channel};
use tokio::task::JoinHandle;

use super::range_reader::RangeReader;
use super::range_sampler::RangeSampler;
use super::range_sink::{RangeCounts, RangeSink};
use crate::platform::worker::REFUSAL_TIMEOUT;
use crate::source::pool::{Buffer, Pool};
use proto::byte_range::Extent;
use proto::error::{Error, ErrorKind};
use proto::range_plan::{RangeControl, RangePlan};

const RETRY_INTERVAL: Duration = Duration::from_millis(100);

/// The ranges in flight, in the order of the object. Dropping it aborts them.
pub(super) struct RangeWindow {
    reader: Arc<RangeReader>,
    control: RangeControl,
    sampler: RangeSampler,
    pool: Pool,
    ranges: VecDeque<RangeInFlight>,
    /// The bytes that are not requested yet.
    left: Extent,
    /// The ranges that are read now.
    reading: Arc<ActiveRanges>,
}

/// The number of ranges that are read now.
#[derive(Default)]
struct ActiveRanges {
    count: AtomicUsize,
    /// Notified when a range has been read, or has failed.
    ended: Notify,
}

struct RangeInFlight {
    chunks: UnboundedReceiver<Bytes>,
    task: JoinHandle<Result<(), Error>>,
}

impl RangeWindow {
    /// The window of these bytes of the object.
    pub(super) fn new(
        reader: RangeReader,
        plan: RangePlan,
        pool: Pool,
        extent: Extent,
    ) -> RangeWindow {
        RangeWindow {
            sampler: RangeSampler::new(reader.counts.clone(), reader.client.throttle.clone()),
            reader: Arc::new(reader),
            control: RangeControl::new(plan, extent.length),
            pool,
            ranges: VecDeque::new(),
            left: extent,
            reading: Arc::default(),
        }
    }

    /// What happens to the ranges together.
    pub(super) fn counts(&self) -> RangeCounts {
        self.reader.counts.clone()
    }

    /// The next bytes in the order of the object; `None` after the last ones. Fails with the error
    /// of the range that they belong to, and where there is no memory for a single buffer.
    pub(super) async fn next_chunk(&mut self) -> Result<Option<Bytes>, Error> {
        loop {
            self.handle_sample();
            self.start_ranges().await?;
            let Some(front) = self.ranges.front_mut() else { return Ok(None) };
            let reading = &self.reading;
            let next = self.sampler.waiting(async {
                tokio::select! {
                    biased;
                    chunk = front.chunks.recv() => Some(chunk),
                    // Another range may be started.
                    () = reading.ended.notified() => None,
                }
            });
            let Some(chunk) = next.await.flatten() else { continue };
            if chunk.is_some() {
                return Ok(chunk);
            }
            let ended = (&mut front.task).await;
            self.ranges.pop_front();
            ended
                .map_err(|e| Error::new(ErrorKind::Internal, format!("a task failed: {e}")))
                .flatten()?;
        }
    }

    /// Lets the number of ranges follow what is observed, where a sample is due.
    fn handle_sample(&mut self) {
        let Some(sample) = self.sampler.sample_if_due() else { return };
        let before = self.control.connections();
        if let Some(note) = self.control.handle_sample(sample) {
            self.reader.reporter.warn(&note);
        }
        let after = self.control.connections();
        if after != before {
            // Buffers that make room for connections are unmapped.
            self.pool.set_limit(self.control.buffers());
            let text = format!("ranges at a time: {after} (before: {before})");
            self.reader.reporter.debug(|| text);
        }
    }

    /// Starts ranges until enough are in flight or the memory is full.
    async fn start_ranges(&mut self) -> Result<(), Error> {
        while self.left.length > 0 {
            let reading = self.reading.count.load(Ordering::Acquire);
            if reading >= self.control.connections() {
                return Ok(());
            }
            let counts = &self.reader.counts;
            self.control.observe(counts.elapsed(), counts.arrived(), reading);
            let length = self.control.next_range(self.left.length);
            let needed = self.control.buffers_for(length);
            let free = self.control.buffers().saturating_sub(self.pool.outstanding());
            if free < needed && !self.ranges.is_empty() {
                return Ok(());
            }
            let buffers = match self.take(needed) {
                // Refused memory: the ranges in flight go on, and release theirs.
                Ok(buffers) | Err((buffers, _))
                    if buffers.len() < needed && !self.ranges.is_empty() =>
                {
                    return Ok(());
                }
                Err((buffers, error)) if buffers.is_empty() => self.wait_for_one(error).await?,
                Ok(buffers) | Err((buffers, _)) => buffers,
            };
            self.start(buffers, length);
        }
        Ok(())
    }

    /// Takes buffers; with the error come those that the system gave before it refused more.
    fn take(&self, count: usize) -> Result<VecDeque<Buffer>, (VecDeque<Buffer>, std::io::Error)> {
        let mut buffers = VecDeque::with_capacity(count);
        while buffers.len() < count {
            match self.pool.try_take() {
                Ok(Some(buffer)) => buffers.push_back(buffer),
                Ok(None) => break,
                Err(error) => return Err((buffers, error)),
            }
        }
        Ok(buffers)
    }

    /// Waits for up to 10 s until the system gives memory for one buffer.
    async fn wait_for_one(&self, refusal: std::io::Error) -> Result<VecDeque<Buffer>, Error> {
        let deadline = tokio::time::Instant::now() + REFUSAL_TIMEOUT;
        let mut refusal = refusal;
        while tokio::time::Instant::now() < deadline {
            tokio::time::sleep(RETRY_INTERVAL).await;
            match self.take(1) {
                Ok(buffers) | Err((buffers, _)) if !buffers.is_empty() => return Ok(buffers),
                Ok(_) => {}
                Err((_, error)) => refusal = error,
            }
        }
        let bytes = self.pool.buffer_size();
        let what = format!("the system gives no memory for {bytes} bytes: {refusal}");
        Err(Error::new(ErrorKind::Internal, what).with_hint("raise the limits of the process"))
    }

    /// Starts a range of at most `length` bytes that fits into the buffers.
    fn start(&mut self, mut buffers: VecDeque<Buffer>, length: u64) {
        let room: u64 = buffers.iter_mut().map(|buffer| buffer.space().len() as u64).sum();
        let range = Extent { first: self.left.first, length: length.min(room) };
        self.left.first += range.length;
        self.left.length -= range.length;
        self.control.begin_range();
        let (sender, chunks) = unbounded_channel();
        let (etag, counts) = (self.reader.etag.clone(), self.reader.counts.clone());
        let sink = RangeSink::new(range, etag, buffers, sender, counts.clone());
        let (reader, reading) = (self.reader.clone(), self.reading.clone());
        reading.count.fetch_add(1, Ordering::AcqRel);
        counts.begin_range();
        let task = tokio::spawn(async move {
            let result = reader.read(sink).await;
            reading.count.fetch_sub(1, Ordering::AcqRel);
            counts.end_range();
            reading.ended.notify_one();
            result
        });
        self.ranges.push_back(RangeInFlight { chunks, task });
    }
}

impl Drop for RangeWindow {
    fn drop(&mut self) {
        self.ranges.iter().for_each(|range| range.task.abort());
    }
}
