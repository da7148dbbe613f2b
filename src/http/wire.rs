//! A socket that counts the bytes it moves and lets an early answer be read after a write error.
//!
//! Owns the measure of progress that stalls are judged by. Knows nothing of HTTP or TLS. Invariant:
//! after a write has failed nothing is written any more, and the error is told at the latest after
//! a second.

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::task::{Context, Poll, ready};
use std::time::Duration;

use hyper_util::client::legacy::connect::{Connected, Connection};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;
use tokio::time::Sleep;

use crate::retry::{Break, Failure};

/// A server that refuses early answers, closes and resets: the answer may still lie in our
/// receive queue when our write fails. So long it is waited for.
const LAST_WORD: Duration = Duration::from_secs(1);

/// Bytes moved on one connection, in either direction.
#[derive(Debug, Default)]
pub struct Activity {
    moved: AtomicU64,
}

impl Activity {
    fn count(&self, bytes: usize) {
        self.moved.fetch_add(bytes as u64, Ordering::Relaxed);
    }

    /// Runs an exchange until it ends, or until no byte has moved for the timeout.
    pub async fn watch<T>(
        &self,
        timeout: Duration,
        exchange: impl Future<Output = Result<T, Failure>>,
    ) -> Result<T, Failure> {
        let mut exchange = std::pin::pin!(exchange);
        let step = (timeout / 8).max(Duration::from_millis(10));
        let mut seen = self.moved.load(Ordering::Relaxed);
        let mut still = Duration::ZERO;
        loop {
            tokio::select! {
                biased;
                result = &mut exchange => return result,
                () = tokio::time::sleep(step) => {}
            }
            let moved = self.moved.load(Ordering::Relaxed);
            still = if moved == seen { still + step } else { Duration::ZERO };
            seen = moved;
            if still >= timeout {
                let text = format!("no byte moved for {} s", timeout.as_secs_f32());
                return Err(Failure::Transport { how: Break::Stalled, text });
            }
        }
    }
}

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
