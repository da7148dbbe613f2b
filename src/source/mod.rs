//! The thread that reads the stream into buffers.
//!
//! Owns the source and the order in which bytes become parts. Knows nothing of the network or of
//! the use of a part. Hashes and validation run on this thread, on each piece while it is in the
//! cache: they cost neither a second pass over memory nor time of the async threads. Invariant:
//! `EndOfStream` is sent only after a read that returned the end of the stream, and every byte that
//! was read is in exactly one part that was sent before it; any other end is `SourceFailed` or `EndRejected`, or no
//! event if the thread was stopped. The source is closed before the last event is sent.

mod byte_source;
pub(crate) mod child_reaper;
mod cut_control;
mod file_size;
mod part_reader;
pub(crate) mod pool;
pub(crate) mod producer;
#[cfg(test)]
mod tests;
mod whole_reader;

pub use byte_source::ByteSource;
pub(crate) use byte_source::FeedEnd;

use std::io::{self, PipeReader, PipeWriter, pipe};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;
use validate::StreamValidator;

use bytes::Bytes;
use tokio::sync::mpsc::{UnboundedReceiver, unbounded_channel};

use crate::platform::worker::{self, Worker};
use crate::source::pool::{MemoryPressure, Pool};
use cut_control::{CutControl, WaitClock};
use part_reader::PartReader;
use proto::digest::{Algorithm, PartDigest};
use proto::error::{Error, ErrorKind};
use proto::part_layout;
use proto::part_number::PartNumber;
use proto::part_plan::{self, PartCut, PartStart};
use proto::whole_stream::{WholeStream, WholeStreamHasher};

/// The buffers of a stream that is cut like this.
pub(crate) fn stream_pool(cut: &mut PartCut) -> Pool {
    let pressure = MemoryPressure {
        min_buffer: part_plan::MIN_PART as usize,
        unit: part_layout::UNIT as usize,
        timeout: worker::REFUSAL_TIMEOUT,
    };
    let first = PartStart { number: 1, offset: 0 };
    let buffers = cut.buffers_for(first, cut.plan().parallel);
    Pool::with_pressure(pressure, cut.buffer_size(), buffers)
}

/// An event of the reading thread, in the order of the stream.
#[derive(Debug)]
pub enum ReadEvent {
    /// A part is full, or is the last part.
    Part(FilledPart),
    /// The stream is longer than its first part.
    MultipartNeeded,
    /// The next part is the last, and smaller than planned; the stream is not validated yet.
    LastPartNext,
    /// A warning for the user; the stream is stored all the same.
    Warning(String),
    /// What was computed over the whole stream, which ends next.
    WholeStream(WholeStream),
    /// The end of the stream, with its length in bytes and the CRC of all bytes.
    EndOfStream {
        /// Bytes of the stream.
        bytes: u64,
        /// The CRC of the stream, of the kind `Algorithm::buffer_crc`.
        crc32: u32,
    },
    /// The stream has ended, and must not be stored: it does not end as its format requires.
    EndRejected(Error),
    /// A read failed, or the stream must not be stored.
    SourceFailed(Error),
}

/// One part, ready to be sent. Its buffers return to the pool when the last slice of them is
/// dropped.
#[derive(Debug)]
pub struct FilledPart {
    /// From 1.
    pub number: PartNumber,
    /// The bytes.
    pub chunks: Vec<Bytes>,
    /// Their size and digests.
    pub digest: PartDigest,
}

/// The state of the reading thread, for other threads.
#[derive(Debug, Default)]
pub struct ReaderStats {
    bytes: AtomicU64,
    waits_for_source: AtomicBool,
    waits_for_buffer: AtomicBool,
    waited: WaitClock,
}

impl ReaderStats {
    /// Bytes read into parts so far.
    pub fn bytes(&self) -> u64 {
        self.bytes.load(Ordering::Relaxed)
    }

    /// Whether the thread waits in a read. It does so briefly in every read: a source gives nothing
    /// if this stays true while `bytes` does not change.
    pub fn waits_for_source(&self) -> bool {
        self.waits_for_source.load(Ordering::Relaxed)
    }

    /// Whether the thread waits for a buffer, since all are in flight, or for the upload to be
    /// created.
    pub fn waits_for_buffer(&self) -> bool {
        self.waits_for_buffer.load(Ordering::Relaxed)
    }

    /// How long the thread has waited for buffers so far.
    pub fn waited(&self) -> Duration {
        self.waited.total()
    }
}

/// The handle of the reading thread. The drop stops the thread.
pub struct Reader {
    /// Closed when the thread has ended and the source is closed.
    pub events: UnboundedReceiver<ReadEvent>,
    stats: Arc<ReaderStats>,
    pool: Pool,
    control: Arc<CutControl>,
    /// Closed to stop the thread.
    stop_tx: Option<PipeWriter>,
}

/// What looks at the whole stream besides its parts.
#[derive(Default)]
pub struct StreamChecks {
    pub validator: Option<Box<dyn StreamValidator>>,
    pub whole: WholeStreamHasher,
}

/// A started thread that is to read, and the pipe that stops it.
pub struct ReaderThread {
    worker: Worker,
    stop_rx: PipeReader,
    stop_tx: PipeWriter,
}

impl ReaderThread {
    /// Starts the thread. Fails where the system refuses a thread or a pipe.
    pub fn start() -> io::Result<ReaderThread> {
        let (stop_rx, stop_tx) = pipe()?;
        Ok(ReaderThread { worker: Worker::start("ocipipe-read")?, stop_rx, stop_tx })
    }
}

impl Reader {
    /// Starts a thread that reads. The parts are those of `cut`, in buffers of `pool`, whose limit
    /// is set to the cut's at each part. Fails where the system refuses the thread.
    pub fn start(
        source: ByteSource,
        pool: Pool,
        cut: impl Into<PartCut>,
        algorithm: Algorithm,
        validator: Option<Box<dyn StreamValidator>>,
    ) -> Result<Reader, Error> {
        let thread = ReaderThread::start().map_err(|e| worker::thread_error("to read with", &e))?;
        let checks = StreamChecks { validator, ..StreamChecks::default() };
        Ok(Reader::on(thread, source, pool, cut, algorithm, checks))
    }

    /// Reads as `start` does, on a thread that runs already, so that it cannot fail.
    pub fn on(
        thread: ReaderThread,
        source: ByteSource,
        pool: Pool,
        cut: impl Into<PartCut>,
        algorithm: Algorithm,
        checks: StreamChecks,
    ) -> Reader {
        let ReaderThread { worker, stop_rx, stop_tx } = thread;
        let (events, receiver) = unbounded_channel();
        let stats = Arc::new(ReaderStats::default());
        let cut = cut.into();
        let control = Arc::new(CutControl::new(cut.plan().parallel));
        let part_reader = PartReader {
            source,
            stop_rx,
            pool: pool.clone(),
            cut,
            control: control.clone(),
            algorithm,
            checks,
            events: events.clone(),
            stats: Arc::clone(&stats),
            remainder: part_reader::PacketRemainder::default(),
            memory_warned: false,
        };
        worker.submit(move || {
            // Without an event a panic would look like a stop.
            let last = catch_unwind(AssertUnwindSafe(|| part_reader.run())).unwrap_or_else(|_| {
                let what = "the reading thread failed within itself";
                Some(ReadEvent::SourceFailed(Error::new(ErrorKind::Internal, what)))
            });
            if let Some(last) = last {
                // The receiver is gone if the `Reader` was dropped.
                let _ = events.send(last);
            }
        });
        Reader { events: receiver, stats, pool, control, stop_tx: Some(stop_tx) }
    }

    /// The state of the thread.
    pub fn stats(&self) -> Arc<ReaderStats> {
        Arc::clone(&self.stats)
    }

    /// Cuts later parts for this many connections.
    pub fn set_connections(&self, connections: u16) {
        self.control.set_connections(connections);
        self.pool.wake();
    }

    /// The connections that have no part to send: where buffers are scarcer, a part ends early.
    pub fn set_idle(&self, idle: usize) {
        if self.control.set_idle(idle) && idle > 0 {
            self.pool.wake();
        }
    }

    /// Notes that parts that were read became `count` parts more.
    pub fn add_part_numbers(&self, count: u32) {
        self.control.add_numbers(count);
    }

    /// Lets the thread read beyond the second part, where the pool was held (`Pool::hold`).
    pub fn resume(&self) {
        self.pool.release();
    }

    /// Stops the thread, also while it waits for the source or for a buffer. Returns at once;
    /// `events` is closed after the source.
    pub fn stop(&mut self) {
        self.pool.close();
        self.stop_tx = None;
    }
}

impl Drop for Reader {
    fn drop(&mut self) {
        self.stop();
    }
}
