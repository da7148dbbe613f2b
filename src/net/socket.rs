//! A TCP socket that counts its bytes and delays a write error, so that an early response can be
//! read.
//!
//! Owns the deferred write error and the reset of an abandoned connection. Knows nothing of HTTP or
//! TLS. Invariant: after a write has failed, or the exchange was abandoned, nothing is written; a
//! write error is returned after 1 s at the latest.

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;
use tokio::time::Sleep;

use super::watchdog::Activity;

/// How long a write error is delayed. A server that rejects a request before its end responds,
/// closes and resets: its response may be in the receive queue, unread, when a write fails.
const EARLY_RESPONSE_GRACE: Duration = Duration::from_secs(1);

/// A connected TCP socket.
pub(super) struct Socket {
    stream: TcpStream,
    activity: Arc<Activity>,
    /// Kind, text, and the timer after which it is returned.
    write_error: Option<(io::ErrorKind, String, Pin<Box<Sleep>>)>,
}

impl Socket {
    /// Counts the bytes of `stream` in `activity`.
    pub(super) fn new(stream: TcpStream, activity: Arc<Activity>) -> Socket {
        Socket { stream, activity, write_error: None }
    }

    /// Stores a write error, to return it after `EARLY_RESPONSE_GRACE`.
    fn defer_write_error(
        &mut self,
        error: io::Error,
        context: &mut Context<'_>,
    ) -> Poll<io::Error> {
        let pause = Box::pin(tokio::time::sleep(EARLY_RESPONSE_GRACE));
        self.write_error = Some((error.kind(), error.to_string(), pause));
        self.deferred_write_error(context)
    }

    fn deferred_write_error(&mut self, context: &mut Context<'_>) -> Poll<io::Error> {
        let Some((kind, text, pause)) = &mut self.write_error else { return Poll::Pending };
        ready!(pause.as_mut().poll(context));
        Poll::Ready(io::Error::new(*kind, text.clone()))
    }
}

impl Drop for Socket {
    /// Resets an abandoned connection. Otherwise the kernel would go on to send its queue, for
    /// minutes on a slow line and beside the next attempt, and the service could still store an
    /// abandoned part.
    fn drop(&mut self) {
        if self.activity.is_abandoned() {
            // It fails for a socket that is closed already, which sends nothing.
            let _ = self.stream.set_zero_linger();
        }
    }
}

impl AsyncRead for Socket {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let before = buffer.filled().len();
        ready!(Pin::new(&mut self.stream).poll_read(context, buffer))?;
        self.activity.count_read(buffer.filled().len() - before);
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for Socket {
    fn poll_write(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        self.poll_write_vectored(context, &[io::IoSlice::new(bytes)])
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        slices: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        if self.write_error.is_some() {
            return self.deferred_write_error(context).map(Err);
        }
        // The task that writes runs on another thread than the caller that abandons the exchange,
        // and may write once more before it is aborted.
        if self.activity.is_abandoned() {
            return Poll::Ready(Err(io::ErrorKind::ConnectionAborted.into()));
        }
        match ready!(Pin::new(&mut self.stream).poll_write_vectored(context, slices)) {
            Ok(written) => {
                self.activity.count_written(written);
                Poll::Ready(Ok(written))
            }
            Err(error) => self.defer_write_error(error, context).map(Err),
        }
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        if self.write_error.is_some() {
            return self.deferred_write_error(context).map(Err);
        }
        Pin::new(&mut self.stream).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        if self.write_error.is_some() {
            return Poll::Ready(Ok(()));
        }
        Pin::new(&mut self.stream).poll_shutdown(context)
    }
}
