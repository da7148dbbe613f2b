//! Requests that are received at once and handled later, after a request that came after them.
//!
//! Knows operations and part numbers, and nothing of the work. Invariant: a delayed request is
//! handled exactly once, and the request that releases it is answered only after that.

use super::operation::Operation;
use hyper::StatusCode;
use std::sync::{Mutex, MutexGuard, PoisonError};
use tokio::sync::oneshot;

/// The requests that wait for their release.
#[derive(Default)]
pub(crate) struct DelayedRequests(Mutex<Vec<Delayed>>);

struct Delayed {
    after: ReleaseAfter,
    release: oneshot::Sender<()>,
    handled: oneshot::Receiver<()>,
}

/// Which request releases a delayed one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum ReleaseAfter {
    /// The next request of this operation, whatever its status.
    Operation(Operation),
    /// The next successful request of the same operation and part.
    Same(Operation, Option<u32>),
}

/// The side of a delayed request. It reports that the request was received, waits for the release,
/// and reports that the request was handled when it is dropped.
pub(crate) struct DelayGate {
    received: Option<oneshot::Sender<()>>,
    released: Option<oneshot::Receiver<()>>,
    _handled: oneshot::Sender<()>,
}

impl DelayGate {
    /// Reports that the request was received, then waits for its release. Returns at once if it was
    /// called before, or if the server is gone.
    pub(crate) async fn wait_until_released(&mut self) {
        drop(self.received.take());
        if let Some(released) = self.released.take() {
            // An error means that the server was dropped; the request goes on.
            let _ = released.await;
        }
    }
}

impl DelayedRequests {
    fn locked(&self) -> MutexGuard<'_, Vec<Delayed>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Registers a delayed request: released by a request of `after`, or else by the next success
    /// of the same operation and part. The receiver fails when the whole request was received.
    pub(crate) fn hold(
        &self,
        operation: Operation,
        part: Option<u32>,
        after: Option<Operation>,
    ) -> (DelayGate, oneshot::Receiver<()>) {
        let (received, was_received) = oneshot::channel();
        let (release, released) = oneshot::channel();
        let (handled, was_handled) = oneshot::channel();
        let after = after.map_or(ReleaseAfter::Same(operation, part), ReleaseAfter::Operation);
        self.locked().push(Delayed { after, release, handled: was_handled });
        let gate =
            DelayGate { received: Some(received), released: Some(released), _handled: handled };
        (gate, was_received)
    }

    /// Releases the requests that wait for this one, which ended with `status`, and waits until
    /// they are handled.
    pub(crate) async fn release(
        &self,
        operation: Operation,
        part: Option<u32>,
        status: StatusCode,
    ) {
        let released: Vec<Delayed> = {
            let mut waiting = self.locked();
            let (released, remaining) =
                waiting.drain(..).partition(|delayed| match delayed.after {
                    ReleaseAfter::Operation(wanted) => wanted == operation,
                    ReleaseAfter::Same(wanted, number) => {
                        status.is_success() && (wanted, number) == (operation, part)
                    }
                });
            *waiting = remaining;
            released
        };
        for delayed in released {
            if delayed.release.send(()).is_ok() {
                // The gate drops its sender when the request was handled, so an error is the
                // expected result.
                let _ = delayed.handled.await;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::Arc;

    #[tokio::test]
    async fn a_delayed_request_is_handled_after_the_one_that_follows_it() {
        let delayed = Arc::new(DelayedRequests::default());
        let order = Arc::new(Mutex::new(Vec::new()));
        let (mut gate, received) = delayed.hold(Operation::UploadPart, Some(1), None);
        let task = tokio::spawn({
            let order = order.clone();
            async move {
                gate.wait_until_released().await;
                order.lock().unwrap().push("delayed");
            }
        });
        assert!(received.await.is_err());
        delayed.release(Operation::UploadPart, Some(2), StatusCode::OK).await;
        delayed.release(Operation::UploadPart, Some(1), StatusCode::SERVICE_UNAVAILABLE).await;
        order.lock().unwrap().push("retry");
        delayed.release(Operation::UploadPart, Some(1), StatusCode::OK).await;
        assert_eq!(*order.lock().unwrap(), ["retry", "delayed"]);
        task.await.unwrap();
    }
}
