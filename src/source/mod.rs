//! The thread that reads the stream into buffers.
//!
//! Owns the source and the order in which bytes become parts. Knows nothing of the network, of the
//! async runtime or of what becomes of a part. Hashing and trailer checks run here, on each piece
//! while it is in cache: neither costs a second pass over memory, nor the async threads anything.
//! Invariant: `End` is sent only after a read that returned the end of the stream, and then every
//! byte read is in exactly one part that was sent before; whatever else happens is `Broken`, or, if
//! reading was stopped, nothing at all. The source is closed before either is sent.

mod byte_source;
pub mod child_reaper;
mod file_size;
mod part_reader;
pub mod pool;
pub mod producer;
#[cfg(test)]
mod tests;

pub use byte_source::ByteSource;

use std::io::{self, PipeReader, PipeWriter, pipe};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use validate::StreamValidator;

use bytes::Bytes;
use tokio::sync::mpsc::{UnboundedReceiver, unbounded_channel};

use crate::platform::worker::{self, Worker};
use crate::source::pool::Pool;
use part_reader::PartReader;
use proto::digest::{Algorithm, PartDigest};
use proto::error::{Error, ErrorKind};
use proto::part_plan::PartPlan;

/// What the reading thread has to say, in the order of the stream.
#[derive(Debug)]
pub enum ReadEvent {
    /// A part is full, or is the last one.
    Part(FilledPart),
    /// The stream is longer than its first part.
    MultipartNeeded,
    /// The stream has ended within the next part, though it is not judged yet.
    LastPartNext,
    /// Something the user should know; the stream is not at fault.
    Warning(String),
    /// The end of the stream: how long it was, and the CRC-32 of all that was read.
    EndOfStream { bytes: u64, crc32: u32 },
    /// Reading failed, or what was read must not be stored.
    SourceFailed(Error),
}

/// One part, ready to be sent. Its buffers are back in the pool when the last of its bytes is dropped.
#[derive(Debug)]
pub struct FilledPart {
    pub number: u32,
    pub chunks: Vec<Bytes>,
    pub digest: PartDigest,
}

/// What the reading thread is doing, for whoever wants to look at it from outside.
#[derive(Debug, Default)]
pub struct ReaderStats {
    bytes: AtomicU64,
    waiting: AtomicBool,
    out_of_buffers: AtomicBool,
}

impl ReaderStats {
    /// Bytes read into parts so far.
    pub fn bytes(&self) -> u64 {
        self.bytes.load(Ordering::Relaxed)
    }

    /// Whether there is a buffer, and the source has to fill it. Between two reads this is true for
    /// a moment too: a source that gives nothing is one for which it stays true while `bytes` stands.
    pub fn waits_for_source(&self) -> bool {
        self.waiting.load(Ordering::Relaxed)
    }

    /// Whether there is no buffer to read into: all are full, and on their way.
    pub fn waits_for_buffer(&self) -> bool {
        self.out_of_buffers.load(Ordering::Relaxed)
    }
}

/// The reading thread, seen from outside. Dropping it stops the thread.
pub struct Reader {
    /// Closed once the thread is done and the source is closed.
    pub events: UnboundedReceiver<ReadEvent>,
    stats: Arc<ReaderStats>,
    pool: Pool,
    /// Hung up to wake the thread.
    stop_tx: Option<PipeWriter>,
}

/// A thread that is there to read, and what it is woken by.
pub struct ReaderThread {
    worker: Worker,
    stop_rx: PipeReader,
    stop_tx: PipeWriter,
}

impl ReaderThread {
    pub fn start() -> io::Result<ReaderThread> {
        let (woken, wake) = pipe()?;
        Ok(ReaderThread { worker: Worker::start("ocipipe-read")?, stop_rx: woken, stop_tx: wake })
    }
}

impl Reader {
    /// Starts reading. The parts are those of `plan`, in buffers of `pool`, whose limit follows the
    /// plan from part to part.
    pub fn start(
        source: ByteSource,
        pool: Pool,
        plan: PartPlan,
        algorithm: Algorithm,
        watch: Option<Box<dyn StreamValidator>>,
    ) -> Result<Reader, Error> {
        let thread = ReaderThread::start().map_err(|e| worker::thread_error("to read with", &e))?;
        Ok(Reader::on(thread, source, pool, plan, algorithm, watch))
    }

    /// Starts reading on a thread that is there: nothing can be refused any more.
    pub fn on(
        thread: ReaderThread,
        source: ByteSource,
        pool: Pool,
        plan: PartPlan,
        algorithm: Algorithm,
        watch: Option<Box<dyn StreamValidator>>,
    ) -> Reader {
        let ReaderThread { worker, stop_rx: woken, stop_tx: wake } = thread;
        let (events, receiver) = unbounded_channel();
        let stats = Arc::new(ReaderStats::default());
        let filler = PartReader {
            source,
            stop_rx: woken,
            pool: pool.clone(),
            plan,
            algorithm,
            validator: watch,
            events: events.clone(),
            stats: Arc::clone(&stats),
            remainder: part_reader::PacketRemainder::default(),
            memory_pressure: false,
        };
        worker.submit(move || {
            // A panic must not look like a thread that was stopped and had nothing more to say.
            let last = catch_unwind(AssertUnwindSafe(|| filler.run())).unwrap_or_else(|_| {
                let what = "the reading thread failed within itself";
                Some(ReadEvent::SourceFailed(Error::new(ErrorKind::Internal, what)))
            });
            if let Some(last) = last {
                // Nobody listens any more: then nobody needs it.
                let _ = events.send(last);
            }
        });
        Reader { events: receiver, stats, pool, stop_tx: Some(wake) }
    }

    /// Counters of the thread, to be looked at from anywhere.
    pub fn stats(&self) -> Arc<ReaderStats> {
        Arc::clone(&self.stats)
    }

    /// Lets the thread read further than the second part, where the pool was held.
    pub fn resume(&self) {
        self.pool.release();
    }

    /// Ends reading now, whether the thread waits for the source or for a buffer, and closes the
    /// source. Does not wait for that: it is done when `events` is closed.
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
