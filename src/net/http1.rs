//! One open HTTP/1.1 connection, and what ends it.
//!
//! Owns the task that drives the connection. Knows nothing of proxies, TLS or idle connections.
//! Invariant: an exchange that is dropped before its end marks the socket as abandoned first, so
//! that the kernel discards what it has not sent.

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use hyper::client::conn::http1::{self, SendRequest};
use tokio::runtime::Handle;
use tokio::sync::oneshot;
use tokio::task::JoinHandle;

use super::body::RequestBody;
use super::connect::{Connector, Io};
use super::connection_threads::ThreadLease;
use super::error_text;
use super::failure::TransportFailure;
use super::watchdog::Activity;
use proto::endpoint::Endpoint;
use proto::transport_error::TransportError;

/// Header lines of one response. The service takes 4,000 bytes of metadata, which can be as many as
/// 2,025 entries of 1 or 2 bytes, each a line of its own; hyper's default is 100 lines.
const MAX_HEADERS: usize = 2500;

/// An open connection.
pub(super) struct Http1Connection {
    /// Drives the connection on its thread.
    _task: AbortOnDrop<()>,
    /// The thread that the connection lives on.
    pub thread: Handle,
    pub sender: SendRequest<RequestBody>,
    pub activity: Arc<Activity>,
    /// An exchange has begun and is not complete.
    pub busy: bool,
}

impl Http1Connection {
    /// Connects on a thread of its own. Fails where no connection, tunnel or TLS session is made.
    pub async fn open(
        connector: Arc<Connector>,
        endpoint: Endpoint,
        thread: ThreadLease,
    ) -> Result<Http1Connection, TransportFailure> {
        let ThreadLease { handle, load } = thread;
        let authority = endpoint.origin();
        let (opened_tx, opened_rx) = oneshot::channel();
        let thread = handle.clone();
        let task = AbortOnDrop(handle.spawn(async move {
            let _load = load;
            match handshake(&connector, &endpoint).await {
                Ok((sender, connection, activity)) => {
                    if opened_tx.send(Ok((sender, activity))).is_ok() {
                        // The sender reports the error of this to the exchange in flight.
                        let _ = connection.await;
                    }
                }
                // The receiver is gone if the caller was dropped.
                Err(failure) => drop(opened_tx.send(Err(failure))),
            }
        }));
        let opened = opened_rx.await.unwrap_or_else(|_| {
            let text = format!("{authority}: connecting failed within itself");
            Err(TransportFailure::new(TransportError::Connect, text))
        });
        let (sender, activity) = opened?;
        Ok(Http1Connection { _task: task, thread, sender, activity, busy: false })
    }
}

impl Drop for Http1Connection {
    fn drop(&mut self) {
        if self.busy {
            self.activity.abandon();
        }
    }
}

type ConnectionTask = http1::Connection<Io, RequestBody>;

/// A new connection: the sender of its requests, the future that drives it, and its byte counts.
async fn handshake(
    connector: &Connector,
    endpoint: &Endpoint,
) -> Result<(SendRequest<RequestBody>, ConnectionTask, Arc<Activity>), TransportFailure> {
    let (io, activity) = connector.connect(endpoint).await?;
    let (sender, connection) = http1::Builder::new()
        .max_headers(MAX_HEADERS)
        .handshake::<_, RequestBody>(io)
        .await
        .map_err(|e| TransportFailure::new(TransportError::Connect, error_text(&e)))?;
    Ok((sender, connection, activity))
}

/// An exchange that marks its connection as abandoned if it is dropped before its end, and before
/// the rest of it is dropped: the connection, which lives on another thread, closes in good order
/// as soon as its request is gone, and the kernel would then send all that it holds.
pub(super) struct AbandonOnDrop<F> {
    activity: Arc<Activity>,
    done: bool,
    exchange: Pin<Box<F>>,
}

impl<F: Future> AbandonOnDrop<F> {
    pub fn new(activity: Arc<Activity>, exchange: F) -> AbandonOnDrop<F> {
        AbandonOnDrop { activity, done: false, exchange: Box::pin(exchange) }
    }
}

impl<F: Future> Future for AbandonOnDrop<F> {
    type Output = F::Output;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<F::Output> {
        let result = ready!(self.exchange.as_mut().poll(context));
        self.done = true;
        Poll::Ready(result)
    }
}

impl<F> Drop for AbandonOnDrop<F> {
    fn drop(&mut self) {
        if !self.done {
            self.activity.abandon();
        }
    }
}

/// A task that is aborted when its handle is dropped.
pub(super) struct AbortOnDrop<T>(pub JoinHandle<T>);

impl<T> Drop for AbortOnDrop<T> {
    fn drop(&mut self) {
        self.0.abort();
    }
}
