//! Ends an exchange on a connection that moves no bytes, or whose answer does not end.
//!
//! Owns the counts of bytes and the watchdog over them. Knows nothing of HTTP or TLS. Invariant: an
//! exchange ends by itself, or with `TransportError::Timeout`: after the timeout without a byte, or
//! `ANSWER_TIMEOUTS` of them after its request, unless what arrives is the body of an object.

use std::sync::OnceLock;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use tokio::net::TcpStream;

use super::body_progress::BodyProgress;
use super::failure::TransportFailure;
use super::send_queue::SendQueue;
use crate::platform::worker::Worker;
use proto::transport_error::TransportError;

/// Timeouts within which an answer must be complete after its request was sent. A peer that sends a
/// byte of it now and then would otherwise hold the exchange without end.
const ANSWER_TIMEOUTS: u32 = 5;

/// Bytes moved on one connection.
#[derive(Debug, Default)]
pub(super) struct Activity {
    read: AtomicU64,
    written: AtomicU64,
    /// What arrives is the body of an object, of any length.
    object: AtomicBool,
    queue: OnceLock<SendQueue>,
    abandoned: AtomicBool,
    paused: AtomicBool,
}

/// Ends the pause of an exchange when it is dropped.
pub(super) struct Pause<'a>(&'a Activity);

impl Drop for Pause<'_> {
    fn drop(&mut self) {
        self.0.paused.store(false, Ordering::Relaxed);
    }
}

impl Activity {
    /// Sets the socket whose send queue the watchdog reads.
    pub(super) fn set_socket(&self, stream: &TcpStream) {
        if let Some(queue) = SendQueue::of(stream) {
            let _ = self.queue.set(queue);
        }
    }

    /// Adds bytes that the socket has read.
    pub(super) fn count_read(&self, bytes: usize) {
        self.read.fetch_add(bytes as u64, Ordering::Relaxed);
    }

    /// Adds bytes that the socket has written.
    pub(super) fn count_written(&self, bytes: usize) {
        self.written.fetch_add(bytes as u64, Ordering::Relaxed);
    }

    /// Marks what arrives until the end of the exchange as the body of an object.
    pub(super) fn expect_object(&self) {
        self.object.store(true, Ordering::Relaxed);
    }

    /// Marks the exchange as abandoned: the socket writes nothing more, and is reset when it
    /// closes.
    pub(super) fn abandon(&self) {
        self.abandoned.store(true, Ordering::Release);
    }

    /// Whether the exchange was abandoned.
    pub(super) fn is_abandoned(&self) -> bool {
        self.abandoned.load(Ordering::Acquire)
    }

    /// Marks the exchange as waiting for its share of the bandwidth, which is no stall.
    pub(super) fn pause(&self) -> Pause<'_> {
        self.paused.store(true, Ordering::Relaxed);
        Pause(self)
    }

    fn counts(&self) -> Counts {
        let load = |count: &AtomicU64| count.load(Ordering::Relaxed);
        Counts { read: load(&self.read), written: load(&self.written) }
    }

    /// Bytes in the socket's send queue, where the kernel reports them.
    async fn unsent_bytes(&self) -> Option<u64> {
        let queue = *self.queue.get()?;
        // The table is long on a machine with many connections, so that another thread reads it;
        // where the system refuses a thread, this one does.
        match Worker::start("ocipipe-queue") {
            Ok(worker) => worker.call(move || queue.bytes()).await?,
            Err(_) => queue.bytes(),
        }
    }

    /// Runs an exchange until it ends, until no byte has moved for `timeout`, or until its answer has
    /// taken `ANSWER_TIMEOUTS` of them. `request` is the body that it sends.
    ///
    /// The kernel accepts megabytes at once and may need minutes to send them on a slow line: while
    /// the process moves no byte, a send queue that shrinks counts as progress. It is read only
    /// then.
    ///
    /// # Errors
    ///
    /// The error of the exchange, or `TransportError::Timeout`.
    pub(super) async fn watch<T>(
        &self,
        timeout: Duration,
        request: &BodyProgress,
        exchange: impl Future<Output = Result<T, TransportFailure>>,
    ) -> Result<T, TransportFailure> {
        let mut exchange = std::pin::pin!(exchange);
        let step = (timeout / 8).max(Duration::from_millis(10));
        let limit = timeout.saturating_mul(ANSWER_TIMEOUTS);
        self.object.store(false, Ordering::Relaxed);
        let (mut sent, mut last, mut last_unsent) = (request.complete(), self.counts(), None);
        let (mut stalled_for, mut answering_for) = (Duration::ZERO, Duration::ZERO);
        loop {
            let sample = async {
                tokio::time::sleep(step).await;
                let moved = self.counts().since(last);
                let unsent = if moved.is_progress(sent) { None } else { self.unsent_bytes().await };
                (moved, unsent)
            };
            let (moved, unsent) = tokio::select! {
                biased;
                result = &mut exchange => return result,
                sampled = sample => sampled,
            };
            let drains = matches!((last_unsent, unsent), (Some(last), Some(now)) if now < last);
            let paused = self.paused.load(Ordering::Relaxed);
            let stalled = !moved.is_progress(sent) && !drains && !paused;
            stalled_for = if stalled { stalled_for + step } else { Duration::ZERO };
            if stalled_for >= timeout {
                return Err(timed_out(format!("no byte moved for {} s", timeout.as_secs_f32())));
            }
            // hyper and the kernel may still hold the end of the request, and then nothing arrives.
            let sending = moved.read == 0 && (moved.written > 0 || drains);
            if sent && !sending && !self.object.load(Ordering::Relaxed) {
                answering_for += step;
            }
            if answering_for >= limit {
                let seconds = limit.as_secs_f32();
                return Err(timed_out(format!("the answer was not whole after {seconds} s")));
            }
            (sent, last_unsent) = (request.complete(), unsent);
            last = Counts { read: last.read + moved.read, written: last.written + moved.written };
        }
    }
}

/// Bytes that the socket has read and written.
#[derive(Debug, Clone, Copy)]
struct Counts {
    read: u64,
    written: u64,
}

impl Counts {
    fn since(self, earlier: Counts) -> Counts {
        Counts { read: self.read - earlier.read, written: self.written - earlier.written }
    }

    /// Whether these bytes are progress. While the request is not sent, what arrives is none: a peer
    /// that reads nothing can send without end.
    fn is_progress(self, request_sent: bool) -> bool {
        self.written > 0 || request_sent && self.read > 0
    }
}

fn timed_out(text: String) -> TransportFailure {
    TransportFailure::new(TransportError::Timeout, text)
}
