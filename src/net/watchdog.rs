//! Ends an exchange on a connection that moves no bytes.
//!
//! Owns the count of bytes and the watchdog over it. Knows nothing of HTTP or TLS. Invariant: an
//! exchange ends by itself, or with `TransportError::Timeout` after the timeout without a byte.

use std::sync::OnceLock;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use tokio::net::TcpStream;

use super::failure::TransportFailure;
use super::send_queue::SendQueue;
use crate::platform::worker::Worker;
use proto::transport_error::TransportError;

/// Bytes moved on one connection, in either direction.
#[derive(Debug, Default)]
pub(super) struct Activity {
    bytes: AtomicU64,
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

    /// Adds bytes that the socket has read or written.
    pub(super) fn count(&self, bytes: usize) {
        self.bytes.fetch_add(bytes as u64, Ordering::Relaxed);
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

    fn bytes_moved(&self) -> u64 {
        self.bytes.load(Ordering::Relaxed)
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

    /// Runs an exchange until it ends, or until no byte has moved for `timeout`.
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
        exchange: impl Future<Output = Result<T, TransportFailure>>,
    ) -> Result<T, TransportFailure> {
        let mut exchange = std::pin::pin!(exchange);
        let step = (timeout / 8).max(Duration::from_millis(10));
        let (mut last_moved, mut last_unsent) = (self.bytes_moved(), None);
        let mut stalled_for = Duration::ZERO;
        loop {
            let sample = async {
                tokio::time::sleep(step).await;
                let moved = self.bytes_moved();
                let unsent = if moved == last_moved { self.unsent_bytes().await } else { None };
                (moved, unsent)
            };
            let (moved, unsent) = tokio::select! {
                biased;
                result = &mut exchange => return result,
                sampled = sample => sampled,
            };
            let drains = matches!((last_unsent, unsent), (Some(last), Some(now)) if now < last);
            let paused = self.paused.load(Ordering::Relaxed);
            let stalled = moved == last_moved && !drains && !paused;
            stalled_for = if stalled { stalled_for + step } else { Duration::ZERO };
            (last_moved, last_unsent) = (moved, unsent);
            if stalled_for >= timeout {
                let text = format!("no byte moved for {} s", timeout.as_secs_f32());
                return Err(TransportFailure::new(TransportError::Timeout, text));
            }
        }
    }
}
