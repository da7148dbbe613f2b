//! The thread that reads the stream into buffers.
//!
//! Owns the source and the order in which bytes become parts. Knows nothing of the network, of the
//! async runtime or of what becomes of a part. Hashing and trailer checks run here, on each piece
//! while it is in cache: neither costs a second pass over memory, nor the async threads anything.
//! Invariant: `End` is sent only after a read that returned the end of the stream, and then every
//! byte read is in exactly one part that was sent before; whatever else happens is `Broken`, or, if
//! reading was stopped, nothing at all. The source is closed before either is sent.

mod file_size;
mod fill;
mod source;
#[cfg(test)]
mod tests;

pub use source::Source;

use std::io::{self, PipeReader, PipeWriter, pipe};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use bytes::Bytes;
use tokio::sync::mpsc::{UnboundedReceiver, unbounded_channel};

use crate::digest::{Algorithm, PartDigest};
use crate::error::{Error, Kind};
use crate::pool::Pool;
use crate::schedule::Plan;
use crate::worker::{self, Worker};
use fill::Filler;

/// What the reading thread has to say, in the order of the stream.
#[derive(Debug)]
pub enum Incoming {
    /// A part is full, or is the last one.
    Part(Filled),
    /// The stream is longer than its first part.
    Continues,
    /// The stream has ended within the next part, though it is not judged yet.
    Ending,
    /// Something the user should know; the stream is not at fault.
    Warning(String),
    /// The end of the stream: how long it was, and the CRC-32 of all that was read.
    End { bytes: u64, crc32: u32 },
    /// Reading failed, or what was read must not be stored.
    Broken(Error),
}

/// One part, ready to be sent. Its buffers are back in the pool when the last of its bytes is dropped.
#[derive(Debug)]
pub struct Filled {
    pub number: u32,
    pub chunks: Vec<Bytes>,
    pub digest: PartDigest,
}

/// Looks at the stream as it passes, to judge at its end whether it is complete.
pub trait Watch: Send {
    /// More of the stream; an error ends the reading at once, when there is no hope for it.
    fn bytes(&mut self, bytes: &[u8]) -> Result<(), Error>;
    /// The stream has ended; an error keeps it from being stored, a warning does not.
    fn end(self: Box<Self>) -> Result<Option<String>, Error>;
}

/// What the reading thread is doing, for whoever wants to look at it from outside.
#[derive(Debug, Default)]
pub struct Gauge {
    bytes: AtomicU64,
    waiting: AtomicBool,
    starved: AtomicBool,
}

impl Gauge {
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
        self.starved.load(Ordering::Relaxed)
    }
}

/// The reading thread, seen from outside. Dropping it stops the thread.
pub struct Reader {
    /// Closed once the thread is done and the source is closed.
    pub events: UnboundedReceiver<Incoming>,
    gauge: Arc<Gauge>,
    pool: Pool,
    /// Hung up to wake the thread.
    wake: Option<PipeWriter>,
}

/// A thread that is there to read, and what it is woken by.
pub struct Thread {
    worker: Worker,
    woken: PipeReader,
    wake: PipeWriter,
}

impl Thread {
    pub fn start() -> io::Result<Thread> {
        let (woken, wake) = pipe()?;
        Ok(Thread { worker: Worker::start("ocipipe-read")?, woken, wake })
    }
}

impl Reader {
    /// Starts reading. The parts are those of `plan`, in buffers of `pool`, whose limit follows the
    /// plan from part to part.
    pub fn start(
        source: Source,
        pool: Pool,
        plan: Plan,
        algorithm: Algorithm,
        watch: Option<Box<dyn Watch>>,
    ) -> Result<Reader, Error> {
        let thread = Thread::start().map_err(|e| worker::refused("to read with", &e))?;
        Ok(Reader::on(thread, source, pool, plan, algorithm, watch))
    }

    /// Starts reading on a thread that is there: nothing can be refused any more.
    pub fn on(
        thread: Thread,
        source: Source,
        pool: Pool,
        plan: Plan,
        algorithm: Algorithm,
        watch: Option<Box<dyn Watch>>,
    ) -> Reader {
        let Thread { worker, woken, wake } = thread;
        let (events, receiver) = unbounded_channel();
        let gauge = Arc::new(Gauge::default());
        let filler = Filler {
            source,
            woken,
            pool: pool.clone(),
            plan,
            algorithm,
            watch,
            events: events.clone(),
            gauge: Arc::clone(&gauge),
            surplus: fill::Surplus::default(),
            scarce: false,
        };
        worker.tell(move || {
            // A panic must not look like a thread that was stopped and had nothing more to say.
            let last = catch_unwind(AssertUnwindSafe(|| filler.run())).unwrap_or_else(|_| {
                let what = "the reading thread failed within itself";
                Some(Incoming::Broken(Error::new(Kind::Unforeseen, what)))
            });
            if let Some(last) = last {
                // Nobody listens any more: then nobody needs it.
                let _ = events.send(last);
            }
        });
        Reader { events: receiver, gauge, pool, wake: Some(wake) }
    }

    /// Counters of the thread, to be looked at from anywhere.
    pub fn gauge(&self) -> Arc<Gauge> {
        Arc::clone(&self.gauge)
    }

    /// Lets the thread read further than the second part, where the pool was held.
    pub fn go_on(&self) {
        self.pool.release();
    }

    /// Ends reading now, whether the thread waits for the source or for a buffer, and closes the
    /// source. Does not wait for that: it is done when `events` is closed.
    pub fn stop(&mut self) {
        self.pool.close();
        self.wake = None;
    }
}

impl Drop for Reader {
    fn drop(&mut self) {
        self.stop();
    }
}
