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

use super::stall::Activity;

/// A server that refuses early answers, closes and resets: the answer may still lie in our
/// receive queue when our write fails. So long it is waited for.
const LAST_WORD: Duration = Duration::from_secs(1);

pub struct Wire {
    stream: TcpStream,
    activity: Arc<Activity>,
    broken: Option<(io::ErrorKind, String, Pin<Box<Sleep>>)>,
}

impl Wire {
    pub fn new(stream: TcpStream, activity: Arc<Activity>) -> Wire {
        Wire { stream, activity, broken: None }
    }

    /// Holds a write error back until the last word is in, or the time for it is over.
    fn hold(&mut self, error: io::Error, context: &mut Context<'_>) -> Poll<io::Error> {
        let pause = Box::pin(tokio::time::sleep(LAST_WORD));
        self.broken = Some((error.kind(), error.to_string(), pause));
        self.held(context)
    }

    fn held(&mut self, context: &mut Context<'_>) -> Poll<io::Error> {
        let Some((kind, text, pause)) = &mut self.broken else { return Poll::Pending };
        ready!(pause.as_mut().poll(context));
        Poll::Ready(io::Error::new(*kind, text.clone()))
    }
}

impl Drop for Wire {
    /// The kernel would go on sending what it holds, for minutes on a slow line and in the way of
    /// what is sent instead; and a part that was given up could still land.
    fn drop(&mut self) {
        if self.activity.is_given_up() {
            // A socket that is gone already sends nothing.
            let _ = self.stream.set_zero_linger();
        }
    }
}

impl AsyncRead for Wire {
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

impl AsyncWrite for Wire {
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
        if self.broken.is_some() {
            return self.held(context).map(Err);
        }
        // The task that writes lives on another thread than who gives up, and goes on for as long as
        // the other side takes what it writes: its end may come later than the next write.
        if self.activity.is_given_up() {
            return Poll::Ready(Err(io::ErrorKind::ConnectionAborted.into()));
        }
        match ready!(Pin::new(&mut self.stream).poll_write_vectored(context, slices)) {
            Ok(written) => {
                self.activity.count(written);
                Poll::Ready(Ok(written))
            }
            Err(error) => self.hold(error, context).map(Err),
        }
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        if self.broken.is_some() {
            return self.held(context).map(Err);
        }
        Pin::new(&mut self.stream).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        if self.broken.is_some() {
            return Poll::Ready(Ok(()));
        }
        Pin::new(&mut self.stream).poll_shutdown(context)
    }
}

impl Connection for Wire {
    fn connected(&self) -> Connected {
        Connected::new()
    }
}
