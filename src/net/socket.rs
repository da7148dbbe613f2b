//! A socket that counts the bytes it moves and lets an early answer be read after a write error.
//!
//! Owns the last word of a connection. Knows nothing of HTTP, TLS or stalls. Invariant: after a write
//! has failed, or the exchange was given up, nothing is written any more, and the error is told at the
//! latest after a second.

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use hyper_util::client::legacy::connect::{Connected, Connection};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;
use tokio::time::Sleep;

use super::watchdog::Activity;

/// A server that refuses early answers, closes and resets: the answer may still lie in our
/// receive queue when our write fails. So long it is waited for.
const EARLY_RESPONSE_GRACE: Duration = Duration::from_secs(1);

pub struct Socket {
    stream: TcpStream,
    activity: Arc<Activity>,
    write_error: Option<(io::ErrorKind, String, Pin<Box<Sleep>>)>,
}

impl Socket {
    pub fn new(stream: TcpStream, activity: Arc<Activity>) -> Socket {
        Socket { stream, activity, write_error: None }
    }

    /// Holds a write error back until the last word is in, or the time for it is over.
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
    /// The kernel would go on sending what it holds, for minutes on a slow line and in the way of
    /// what is sent instead; and a part that was given up could still land.
    fn drop(&mut self) {
        if self.activity.is_abandoned() {
            // A socket that is gone already sends nothing.
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
        let result = Pin::new(&mut self.stream).poll_read(context, buffer);
        self.activity.count(buffer.filled().len() - before);
        result
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
        // The task that writes lives on another thread than who gives up, and goes on for as long as
        // the other side takes what it writes: its end may come later than the next write.
        if self.activity.is_abandoned() {
            return Poll::Ready(Err(io::ErrorKind::ConnectionAborted.into()));
        }
        match ready!(Pin::new(&mut self.stream).poll_write_vectored(context, slices)) {
            Ok(written) => {
                self.activity.count(written);
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

impl Connection for Socket {
    fn connected(&self) -> Connected {
        Connected::new()
    }
}
