//! When a connection stands still.
//!
//! Owns the count of bytes moved and the watchdog over it. Knows nothing of HTTP or TLS. Invariant:
//! an exchange ends by itself or after no byte has moved for the timeout, whatever it waits for.

use std::sync::OnceLock;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use tokio::net::TcpStream;

use super::send_queue::SendQueue;
use crate::platform::worker::Worker;
use proto::retry::{Failure, TransportError};

/// Bytes moved on one connection, in either direction.
#[derive(Debug, Default)]
pub struct Activity {
    bytes: AtomicU64,
    queue: OnceLock<SendQueue>,
    abandoned: AtomicBool,
}

impl Activity {
    /// The socket that the bytes pass.
    pub fn set_socket(&self, stream: &TcpStream) {
        if let Some(queue) = SendQueue::of(stream) {
            let _ = self.queue.set(queue);
        }
    }

    pub fn count(&self, bytes: usize) {
        self.bytes.fetch_add(bytes as u64, Ordering::Relaxed);
    }

    /// Nothing of what is still on its way is wanted any more.
    pub fn abandon(&self) {
        self.abandoned.store(true, Ordering::Release);
    }

    pub fn is_abandoned(&self) -> bool {
        self.abandoned.load(Ordering::Acquire)
    }

    fn bytes_moved(&self) -> u64 {
        self.bytes.load(Ordering::Relaxed)
    }

    /// What was written and is still on its way, where the kernel tells.
    async fn unsent_bytes(&self) -> Option<u64> {
        let queue = *self.queue.get()?;
        // On a machine with very many connections this takes a while; where there is no thread for it,
        // it is done here.
        match Worker::start("ocipipe-queue") {
            Ok(worker) => worker.call(move || queue.bytes()).await?,
            Err(_) => queue.bytes(),
        }
    }

    /// Runs an exchange until it ends, or until no byte has moved for the timeout.
    ///
    /// The kernel takes megabytes at once and may need minutes to send them on a slow line: while we
    /// move nothing, what it moves counts. It is asked only then, which on a fast line is never.
    pub async fn watch<T>(
        &self,
        timeout: Duration,
        exchange: impl Future<Output = Result<T, Failure>>,
    ) -> Result<T, Failure> {
        let mut exchange = std::pin::pin!(exchange);
        let step = (timeout / 8).max(Duration::from_millis(10));
        let (mut seen, mut waiting, mut still) = (self.bytes_moved(), None, Duration::ZERO);
        loop {
            let look = async {
                tokio::time::sleep(step).await;
                let moved = self.bytes_moved();
                let waits = if moved == seen { self.unsent_bytes().await } else { None };
                (moved, waits)
            };
            let (moved, waits) = tokio::select! {
                biased;
                result = &mut exchange => return result,
                looked = look => looked,
            };
            let drains = matches!((waiting, waits), (Some(before), Some(now)) if now < before);
            still = if moved == seen && !drains { still + step } else { Duration::ZERO };
            (seen, waiting) = (moved, waits);
            if still >= timeout {
                let text = format!("no byte moved for {} s", timeout.as_secs_f32());
                return Err(Failure::Transport { kind: TransportError::Timeout, text });
            }
        }
    }
}
