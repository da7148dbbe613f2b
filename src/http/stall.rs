//! When a connection stands still.
//!
//! Owns the count of bytes moved and the watchdog over it. Knows nothing of HTTP or TLS. Invariant:
//! an exchange ends by itself or after no byte has moved for the timeout, whatever it waits for.

use std::sync::OnceLock;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use tokio::net::TcpStream;

use super::queue::SendQueue;
use crate::retry::{Break, Failure};
use crate::worker::Worker;

/// Bytes moved on one connection, in either direction.
#[derive(Debug, Default)]
pub struct Activity {
    moved: AtomicU64,
    queue: OnceLock<SendQueue>,
    given_up: AtomicBool,
}

impl Activity {
    /// The socket that the bytes pass.
    pub fn set_socket(&self, stream: &TcpStream) {
        if let Some(queue) = SendQueue::of(stream) {
            let _ = self.queue.set(queue);
        }
    }

    pub fn count(&self, bytes: usize) {
        self.moved.fetch_add(bytes as u64, Ordering::Relaxed);
    }

    /// Nothing of what is still on its way is wanted any more.
    pub fn give_up(&self) {
        self.given_up.store(true, Ordering::Release);
    }

    pub fn is_given_up(&self) -> bool {
        self.given_up.load(Ordering::Acquire)
    }

    fn moved(&self) -> u64 {
        self.moved.load(Ordering::Relaxed)
    }

    /// What was written and is still on its way, where the kernel tells.
    async fn under_way(&self) -> Option<u64> {
        let queue = *self.queue.get()?;
        // On a machine with very many connections this takes a while; where there is no thread for it,
        // it is done here.
        match Worker::start("ocipipe-queue") {
            Ok(worker) => worker.ask(move || queue.bytes()).await?,
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
        let (mut seen, mut waiting, mut still) = (self.moved(), None, Duration::ZERO);
        loop {
            let look = async {
                tokio::time::sleep(step).await;
                let moved = self.moved();
                let waits = if moved == seen { self.under_way().await } else { None };
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
                return Err(Failure::Transport { how: Break::Stalled, text });
            }
        }
    }
}
