//! Requests that are received now and done later, after a request that came after them.
//!
//! Knows operations and parts, not what the work is. Invariant: a held request is done exactly once, and
//! the request that releases it is answered only when it is.

use super::route::Operation;
use std::sync::{Mutex, MutexGuard, PoisonError};
use tokio::sync::oneshot;

/// The requests that wait.
#[derive(Default)]
pub struct DelayedRequests(Mutex<Vec<Delayed>>);

struct Delayed {
    after: ReleaseAfter,
    go: oneshot::Sender<()>,
    done: oneshot::Receiver<()>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum ReleaseAfter {
    Operation(Operation),
    Same(Operation, Option<u32>),
}

/// The side of the held request: it says that it has been received, waits, and says that it is done
/// by being dropped.
pub struct DelayGate {
    received: Option<oneshot::Sender<()>>,
    go: Option<oneshot::Receiver<()>>,
    _done: oneshot::Sender<()>,
}

impl DelayGate {
    /// Between receiving a request and doing its work.
    pub async fn wait_until_released(&mut self) {
        drop(self.received.take());
        if let Some(go) = self.go.take() {
            // A server that stops lets everything pass; there is nobody left to see it.
            let _ = go.await;
        }
    }
}

impl DelayedRequests {
    fn locked(&self) -> MutexGuard<'_, Vec<Delayed>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Holds a request; the receiver tells when all of it has been received.
    pub fn hold(
        &self,
        operation: Operation,
        part: Option<u32>,
        after: Option<Operation>,
    ) -> (DelayGate, oneshot::Receiver<()>) {
        let (received, was_received) = oneshot::channel();
        let (go, may_go) = oneshot::channel();
        let (done, was_done) = oneshot::channel();
        let after = after.map_or(ReleaseAfter::Same(operation, part), ReleaseAfter::Operation);
        self.locked().push(Delayed { after, go, done: was_done });
        (DelayGate { received: Some(received), go: Some(may_go), _done: done }, was_received)
    }

    /// Lets those land that waited for this request, and waits until they have.
    pub async fn release(&self, operation: Operation, part: Option<u32>, success: bool) {
        let mut landing = Vec::new();
        {
            let mut held = self.locked();
            let (now, later) = held.drain(..).partition(|held| match held.after {
                ReleaseAfter::Operation(wanted) => wanted == operation,
                ReleaseAfter::Same(wanted, number) => {
                    success && (wanted, number) == (operation, part)
                }
            });
            *held = later;
            landing.extend::<Vec<Delayed>>(now);
        }
        for held in landing {
            if held.go.send(()).is_ok() {
                // An error is the sender gone, which is what "done" looks like.
                let _ = held.done.await;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::Arc;

    #[tokio::test]
    async fn a_held_request_lands_after_the_one_that_follows_it() {
        let waiting = Arc::new(DelayedRequests::default());
        let order = Arc::new(Mutex::new(Vec::new()));
        let (mut gate, received) = waiting.hold(Operation::UploadPart, Some(1), None);
        let held = tokio::spawn({
            let order = order.clone();
            async move {
                gate.wait_until_released().await;
                order.lock().unwrap().push("held");
            }
        });
        assert!(received.await.is_err());
        waiting.release(Operation::UploadPart, Some(2), true).await;
        waiting.release(Operation::UploadPart, Some(1), false).await;
        order.lock().unwrap().push("retry");
        waiting.release(Operation::UploadPart, Some(1), true).await;
        assert_eq!(*order.lock().unwrap(), ["retry", "held"]);
        held.await.unwrap();
    }
}
