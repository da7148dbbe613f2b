//! The memory of one range of a download, filled from the network and emptied by the writer.
//!
//! Owns the buffers of the range and the check that a response is the range. Must not know retries
//! or where the bytes are written. Invariants: the bytes leave in the order of the object, each
//! once; a range owns all its buffers before it is requested, so that it never waits for memory.

use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use bytes::Bytes;
use tokio::sync::mpsc::UnboundedSender;

use crate::net::{BodySink, BodyUse};
use crate::source::pool::Buffer;
use proto::api::Response;
use proto::byte_range::Extent;

/// Bytes of the body of an error response that are read.
const MAX_ERROR_BODY: usize = 64 << 10;

/// What happens to the ranges of a download together. Clones share it.
#[derive(Clone)]
pub(super) struct RangeCounts {
    started_at: Instant,
    shared: Arc<SharedCounts>,
}

#[derive(Default)]
struct SharedCounts {
    /// When a byte arrived last, in microseconds since the start; 0 before the first byte.
    arrived_at: AtomicU64,
    /// When an attempt failed last, likewise.
    failed_at: AtomicU64,
    /// Bytes that have arrived.
    arrived: AtomicU64,
    /// Attempts that have failed.
    failures: AtomicU64,
    in_flight: AtomicU32,
    /// The most since it was taken last.
    peak_in_flight: AtomicU32,
    /// Ranges whose last response was 429 or 503.
    refused: AtomicU32,
}

impl RangeCounts {
    /// No byte has arrived yet.
    pub(super) fn new() -> RangeCounts {
        RangeCounts { started_at: Instant::now(), shared: Arc::default() }
    }

    /// Since the start of the download.
    pub(super) fn elapsed(&self) -> Duration {
        self.started_at.elapsed()
    }

    /// When a byte arrived last, since the start; `None` before the first one.
    pub(super) fn last_progress(&self) -> Option<Duration> {
        match self.shared.arrived_at.load(Ordering::Relaxed) {
            0 => None,
            micros => Some(Duration::from_micros(micros)),
        }
    }

    /// Whether attempts fail, and no byte has arrived since.
    pub(super) fn is_stalled(&self) -> bool {
        let failed_at = self.shared.failed_at.load(Ordering::Relaxed);
        failed_at > self.shared.arrived_at.load(Ordering::Relaxed)
    }

    pub(super) fn arrived(&self) -> u64 {
        self.shared.arrived.load(Ordering::Relaxed)
    }

    pub(super) fn failures(&self) -> u64 {
        self.shared.failures.load(Ordering::Relaxed)
    }

    /// The ranges that are read now.
    pub(super) fn in_flight(&self) -> u32 {
        self.shared.in_flight.load(Ordering::Relaxed)
    }

    /// The most ranges that were read at a time since the last call.
    pub(super) fn take_peak_in_flight(&self) -> u32 {
        self.shared.peak_in_flight.swap(self.in_flight(), Ordering::Relaxed)
    }

    /// The ranges in flight whose last response was 429 or 503.
    pub(super) fn refused(&self) -> u32 {
        self.shared.refused.load(Ordering::Relaxed)
    }

    /// A range is being read.
    pub(super) fn begin_range(&self) {
        let in_flight = self.shared.in_flight.fetch_add(1, Ordering::Relaxed) + 1;
        self.shared.peak_in_flight.fetch_max(in_flight, Ordering::Relaxed);
    }

    /// A range has been read, or has failed.
    pub(super) fn end_range(&self) {
        self.shared.in_flight.fetch_sub(1, Ordering::Relaxed);
    }

    /// An attempt has failed.
    pub(super) fn record_failure(&self) {
        self.shared.failures.fetch_add(1, Ordering::Relaxed);
        self.shared.failed_at.store(self.micros(), Ordering::Relaxed);
    }

    fn record_bytes(&self, bytes: usize) {
        self.shared.arrived.fetch_add(bytes as u64, Ordering::Relaxed);
        self.shared.arrived_at.store(self.micros(), Ordering::Relaxed);
    }

    fn micros(&self) -> u64 {
        u64::try_from(self.elapsed().as_micros().max(1)).unwrap_or(u64::MAX)
    }
}

/// The buffers of one range. Full ones go to the writer.
pub(super) struct RangeSink {
    /// The bytes that have not arrived.
    missing: Extent,
    etag: String,
    current: Option<Buffer>,
    /// Bytes in the current buffer.
    filled: usize,
    empty: VecDeque<Buffer>,
    chunks: UnboundedSender<Bytes>,
    counts: RangeCounts,
    /// Whether the last response was 429 or 503.
    refused: bool,
}

impl RangeSink {
    /// The sink of a range of the object with this etag. The buffers have room for all its bytes.
    pub(super) fn new(
        range: Extent,
        etag: String,
        buffers: VecDeque<Buffer>,
        chunks: UnboundedSender<Bytes>,
        counts: RangeCounts,
    ) -> RangeSink {
        RangeSink {
            missing: range,
            etag,
            current: None,
            filled: 0,
            empty: buffers,
            chunks,
            counts,
            refused: false,
        }
    }

    fn set_refused(&mut self, refused: bool) {
        match (self.refused, refused) {
            (false, true) => self.counts.shared.refused.fetch_add(1, Ordering::Relaxed),
            (true, false) => self.counts.shared.refused.fetch_sub(1, Ordering::Relaxed),
            _ => return,
        };
        self.refused = refused;
    }

    /// The bytes that have not arrived; `None` once all have.
    pub(super) fn missing(&self) -> Option<Extent> {
        (self.missing.length > 0).then_some(self.missing)
    }

    /// Whether the response is the rest of the range, of the version of the download. The page of a
    /// proxy can come with a 200, but not with the etag.
    fn is_expected(&self, head: &Response) -> bool {
        let Extent { first, length } = self.missing;
        let same_version = head.header("etag").is_some_and(|etag| etag == self.etag);
        // The whole of a small object may come with a plain 200.
        let is_whole_object = head.status == 200
            && first == 0
            && head.header("content-range").is_none()
            && head.header("content-length").is_some_and(|text| text == length.to_string());
        let expected = format!("bytes {first}-{}/", first + length - 1);
        let range = head.header("content-range").unwrap_or_default();
        same_version && (is_whole_object || (head.status == 206 && range.starts_with(&expected)))
    }
}

impl Drop for RangeSink {
    fn drop(&mut self) {
        self.set_refused(false);
    }
}

impl BodySink for RangeSink {
    fn accept(&mut self, head: &Response) -> BodyUse {
        self.set_refused(matches!(head.status, 429 | 503));
        match head.status {
            200 | 206 if self.is_expected(head) => BodyUse::Accepted,
            200..=299 => BodyUse::Refused,
            _ => BodyUse::Collected { limit: MAX_ERROR_BODY },
        }
    }

    fn space(&mut self) -> &mut [u8] {
        if self.current.is_none() && self.missing.length > 0 {
            self.current = self.empty.pop_front();
            self.filled = 0;
        }
        let Some(buffer) = &mut self.current else { return &mut [] };
        let space = &mut buffer.space()[self.filled..];
        let end = usize::try_from(self.missing.length).unwrap_or(usize::MAX).min(space.len());
        &mut space[..end]
    }

    fn filled(&mut self, length: usize) {
        self.filled += length;
        self.missing.first += length as u64;
        self.missing.length -= length as u64;
        self.counts.record_bytes(length);
        if self.space().is_empty()
            && let Some(buffer) = self.current.take()
        {
            // The writer is gone if the download has failed.
            let _ = self.chunks.send(buffer.freeze(self.filled));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::source::pool::Pool;
    use tokio::sync::mpsc::unbounded_channel;

    fn head(status: u16, headers: &[(&str, &str)]) -> Response {
        let headers = headers.iter().map(|(name, value)| (name.to_string(), value.to_string()));
        Response { status, headers: headers.collect(), body: Vec::new() }
    }

    #[test]
    fn bytes_leave_in_order_in_full_buffers_and_the_last_one_as_it_is() {
        let pool = Pool::new(8192, 2);
        let buffers = (0..2).map(|_| pool.try_take().unwrap().unwrap()).collect();
        let (chunks, mut written) = unbounded_channel();
        let range = Extent { first: 100, length: 10_000 };
        let mut sink = RangeSink::new(range, "e".to_owned(), buffers, chunks, RangeCounts::new());
        let mut sent = Vec::new();
        while let Some(missing) = sink.missing() {
            let space = sink.space();
            let length = space.len().min(3000);
            space[..length].fill(missing.length as u8);
            sent.extend_from_slice(&space[..length]);
            sink.filled(length);
        }
        assert!(sink.space().is_empty());
        let chunks = [written.try_recv().unwrap(), written.try_recv().unwrap()];
        assert_eq!(chunks.each_ref().map(Bytes::len), [8192, 1808]);
        assert_eq!(chunks.concat(), sent);
        drop(chunks);
        assert_eq!(pool.outstanding(), 0);
    }

    #[test]
    fn only_the_rest_of_the_range_of_the_same_version_is_accepted() {
        let (chunks, _written) = unbounded_channel();
        let new = |first| {
            let range = Extent { first, length: 10 };
            let (chunks, counts) = (chunks.clone(), RangeCounts::new());
            RangeSink::new(range, "e".to_owned(), VecDeque::new(), chunks, counts)
        };
        let accept =
            |first, status, headers: &[(&str, &str)]| new(first).accept(&head(status, headers));
        let range = ("content-range", "bytes 5-14/99");
        assert_eq!(accept(5, 206, &[range, ("etag", "e")]), BodyUse::Accepted);
        assert_eq!(accept(5, 206, &[range, ("etag", "f")]), BodyUse::Refused);
        assert_eq!(accept(5, 206, &[range]), BodyUse::Refused);
        assert_eq!(accept(4, 206, &[range, ("etag", "e")]), BodyUse::Refused);
        assert_eq!(accept(5, 200, &[("etag", "e"), ("content-length", "10")]), BodyUse::Refused);
        assert_eq!(accept(0, 200, &[("etag", "e"), ("content-length", "10")]), BodyUse::Accepted);
        assert_eq!(accept(0, 200, &[("etag", "e"), ("content-length", "11")]), BodyUse::Refused);
        assert_eq!(accept(0, 200, &[("content-length", "10")]), BodyUse::Refused);
        assert_eq!(accept(5, 204, &[]), BodyUse::Refused);
        assert!(matches!(accept(5, 503, &[]), BodyUse::Collected { .. }));
    }

    #[test]
    fn a_range_counts_as_refused_until_it_is_accepted_or_given_up() {
        let (chunks, _written) = unbounded_channel();
        let counts = RangeCounts::new();
        let new = || {
            let (range, etag) = (Extent { first: 0, length: 10 }, "e".to_owned());
            RangeSink::new(range, etag, VecDeque::new(), chunks.clone(), counts.clone())
        };
        let (mut first, mut second) = (new(), new());
        for status in [503, 429] {
            first.accept(&head(status, &[]));
            second.accept(&head(status, &[]));
            assert_eq!(counts.refused(), 2);
        }
        first.accept(&head(206, &[("etag", "e"), ("content-range", "bytes 0-9/10")]));
        assert_eq!(counts.refused(), 1);
        drop(second);
        assert_eq!(counts.refused(), 0);
    }
}
