//! One open HTTP/1.1 connection, and what ends it.
//!
//! Owns the task that drives the connection, and the hand-over of its bytes in the middle of a
//! response. Knows nothing of proxies, TLS or idle connections. Invariants: an exchange that is dropped
//! before its end marks the socket as abandoned first, so that the kernel discards what it has not sent;
//! a connection that was taken over carries requests again only after `give_back`.

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use bytes::Bytes;
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
/// Bytes of all of these lines: with the metadata above 31 KB, and what the service adds.
const MAX_HEAD: usize = 64 << 10;

/// An open connection.
pub(super) struct Http1Connection {
    /// Drives the connection on its thread.
    task: AbortOnDrop<()>,
    /// Ends the task and gets what it drove.
    take_over: Option<oneshot::Sender<TakeOver>>,
    /// The connection counts as one of its thread until it is closed.
    _load: Option<Arc<()>>,
    /// The thread that the connection lives on.
    pub thread: Handle,
    pub sender: SendRequest<RequestBody>,
    pub activity: Arc<Activity>,
    /// An exchange has begun and is not complete.
    pub busy: bool,
}

impl Http1Connection {
    /// Connects on a thread of its own, with the addresses rotated this far. Fails where no connection,
    /// tunnel or TLS session is made.
    pub(super) async fn open(
        connector: Arc<Connector>,
        endpoint: Endpoint,
        rotation: usize,
        thread: ThreadLease,
    ) -> Result<Http1Connection, TransportFailure> {
        let ThreadLease { handle, load } = thread;
        let authority = endpoint.origin();
        let (opened_tx, opened_rx) = oneshot::channel();
        let (take_over, taken) = oneshot::channel();
        let thread = handle.clone();
        let task = AbortOnDrop(handle.spawn(async move {
            match handshake(&connector, &endpoint, rotation).await {
                Ok((sender, connection, activity)) => {
                    if opened_tx.send(Ok((sender, activity))).is_ok() {
                        drive(connection, taken).await;
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
        let take_over = Some(take_over);
        Ok(Http1Connection { task, take_over, _load: load, thread, sender, activity, busy: false })
    }

    /// Takes the connection from hyper; `None` where it has ended or was taken already.
    pub(super) async fn take_over(&mut self) -> Option<TakenConnection> {
        let (reply, taken) = oneshot::channel();
        self.take_over.take()?.send(reply).ok()?;
        taken.await.ok()
    }

    /// Makes a connection that was taken over carry requests again. Fails where hyper refuses it.
    pub(super) async fn give_back(&mut self, io: Io) -> Result<(), TransportFailure> {
        let (sender, connection) = http1_handshake(io).await?;
        let (take_over, taken) = oneshot::channel();
        self.task = AbortOnDrop(self.thread.spawn(drive(connection, taken)));
        (self.sender, self.take_over) = (sender, Some(take_over));
        Ok(())
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
type TakeOver = oneshot::Sender<TakenConnection>;

/// A connection that hyper does not drive any more.
pub(super) struct TakenConnection {
    pub io: Io,
    /// Bytes that hyper has read and not used, which come before those of `io`.
    pub ahead: Bytes,
}

/// Drives a connection until it ends or is taken over.
async fn drive(mut connection: ConnectionTask, taken: oneshot::Receiver<TakeOver>) {
    tokio::select! {
        biased;
        Ok(reply) = taken => {
            let parts = connection.into_parts();
            // The receiver is gone if the exchange was dropped, which closes the connection.
            let _ = reply.send(TakenConnection { io: parts.io, ahead: parts.read_buf });
        }
        // The sender reports the error of this to the exchange in flight.
        _ = &mut connection => {}
    }
}

/// A new connection: the sender of its requests, the future that drives it, and its byte counts.
async fn handshake(
    connector: &Connector,
    endpoint: &Endpoint,
    rotation: usize,
) -> Result<(SendRequest<RequestBody>, ConnectionTask, Arc<Activity>), TransportFailure> {
    let (io, activity) = connector.connect(endpoint, rotation).await?;
    let (sender, connection) = http1_handshake(io).await?;
    Ok((sender, connection, activity))
}

/// HTTP/1.1 over a connection on which no exchange is under way.
async fn http1_handshake(
    io: Io,
) -> Result<(SendRequest<RequestBody>, ConnectionTask), TransportFailure> {
    http1::Builder::new()
        .max_headers(MAX_HEADERS)
        .max_header_size(MAX_HEAD)
        .handshake::<_, RequestBody>(io)
        .await
        .map_err(|e| TransportFailure::new(TransportError::Connect, error_text(&e)))
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
    pub(super) fn new(activity: Arc<Activity>, exchange: F) -> AbandonOnDrop<F> {
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
