//! One connection as bytes: plain or TLS, with the faults that only bytes can show.
//!
//! Knows no HTTP. Invariant: an orderly close lets the client finish writing and read the response;
//! a reset is a TCP reset (zero linger) and never an orderly close.

use bytes::{Buf, Bytes};
use std::io;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, ready};
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;
use tokio::time::{Sleep, sleep};
use tokio_rustls::server::TlsStream;

/// How long a closed connection is drained while the client still writes.
const DRAIN_TIMEOUT: Duration = Duration::from_secs(2);

/// Lets the handler of a request decide how its connection ends.
#[derive(Debug, Clone, Default)]
pub(crate) struct ConnectionControl(Arc<Mutex<Directive>>);

#[derive(Debug, Default)]
struct Directive {
    reset: bool,
    /// Bytes that may still be written.
    limit: Option<u64>,
    /// What is written in place of the response.
    replacement: Option<Bytes>,
}

impl ConnectionControl {
    fn locked(&self) -> MutexGuard<'_, Directive> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The connection ends with a TCP reset.
    pub(crate) fn reset(&self) {
        self.locked().reset = true;
    }

    /// The connection closes when this many more bytes have been written.
    pub(crate) fn truncate(&self, bytes: u64) {
        self.locked().limit = Some(bytes);
    }

    /// These bytes are written in place of the next response, then the connection closes.
    pub(crate) fn replace(&self, bytes: Bytes) {
        self.locked().replacement = Some(bytes);
    }
}

enum SocketStream {
    Plain(TcpStream),
    Tls(Box<TlsStream<TcpStream>>),
}

/// One accepted connection.
pub(crate) struct Connection {
    stream: SocketStream,
    control: ConnectionControl,
    /// Runs from the end of the writing to the end of the draining.
    drain_timer: Option<Pin<Box<Sleep>>>,
}

impl Connection {
    pub(crate) fn plain(stream: TcpStream) -> Connection {
        Connection {
            stream: SocketStream::Plain(stream),
            control: ConnectionControl::default(),
            drain_timer: None,
        }
    }

    pub(crate) fn tls(stream: TlsStream<TcpStream>) -> Connection {
        Connection {
            stream: SocketStream::Tls(Box::new(stream)),
            control: ConnectionControl::default(),
            drain_timer: None,
        }
    }

    /// The control that handlers use; it stays valid when the connection has been passed to hyper.
    pub(crate) fn control(&self) -> ConnectionControl {
        self.control.clone()
    }

    pub(crate) fn is_tls(&self) -> bool {
        matches!(self.stream, SocketStream::Tls(_))
    }

    fn write(&mut self, context: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        match &mut self.stream {
            SocketStream::Plain(stream) => Pin::new(stream).poll_write(context, bytes),
            SocketStream::Tls(stream) => Pin::new(stream).poll_write(context, bytes),
        }
    }

    fn flush(&mut self, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        match &mut self.stream {
            SocketStream::Plain(stream) => Pin::new(stream).poll_flush(context),
            SocketStream::Tls(stream) => Pin::new(stream).poll_flush(context),
        }
    }

    /// Flushes, then fails, which makes hyper close the connection.
    fn end(&mut self, context: &mut Context<'_>) -> Poll<io::Result<usize>> {
        ready!(self.flush(context))?;
        Poll::Ready(Err(io::Error::new(io::ErrorKind::BrokenPipe, "closed by the plan of faults")))
    }
}

impl Drop for Connection {
    fn drop(&mut self) {
        if self.control.locked().reset {
            let stream = match &self.stream {
                SocketStream::Plain(stream) => stream,
                SocketStream::Tls(stream) => stream.get_ref().0,
            };
            // An error means that the connection is closed already.
            let _ = stream.set_zero_linger();
        }
    }
}

impl AsyncRead for Connection {
    fn poll_read(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        match &mut self.get_mut().stream {
            SocketStream::Plain(stream) => Pin::new(stream).poll_read(context, buffer),
            SocketStream::Tls(stream) => Pin::new(stream).poll_read(context, buffer),
        }
    }
}

impl AsyncWrite for Connection {
    fn poll_write(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        let connection = self.get_mut();
        let replacement = connection.control.locked().replacement.clone();
        if let Some(mut other) = replacement {
            while other.has_remaining() {
                let written = ready!(connection.write(context, &other))?;
                other.advance(written);
                connection.control.locked().replacement = Some(other.clone());
            }
            return connection.end(context);
        }
        let limit = connection.control.locked().limit;
        let allowed = match limit {
            Some(0) => return connection.end(context),
            Some(limit) => bytes.len().min(usize::try_from(limit).unwrap_or(usize::MAX)),
            None => bytes.len(),
        };
        let written = ready!(connection.write(context, &bytes[..allowed]))?;
        if let Some(limit) = &mut connection.control.locked().limit {
            *limit = limit.saturating_sub(written as u64);
        }
        Poll::Ready(Ok(written))
    }

    fn poll_flush(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.get_mut().flush(context)
    }

    /// Ends the writing, then reads for at most `DRAIN_TIMEOUT`: closing a socket with unread bytes
    /// resets the connection, and the client may lose the response.
    fn poll_shutdown(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        let connection = self.get_mut();
        if connection.drain_timer.is_none() {
            let shut = match &mut connection.stream {
                SocketStream::Plain(stream) => Pin::new(stream).poll_shutdown(context),
                SocketStream::Tls(stream) => Pin::new(stream).poll_shutdown(context),
            };
            if ready!(shut).is_err() || connection.control.locked().reset {
                return Poll::Ready(Ok(()));
            }
            connection.drain_timer = Some(Box::pin(sleep(DRAIN_TIMEOUT)));
        }
        let mut scratch = [0; 16 * 1024];
        loop {
            if let Some(timer) = &mut connection.drain_timer
                && timer.as_mut().poll(context).is_ready()
            {
                return Poll::Ready(Ok(()));
            }
            let mut buffer = ReadBuf::new(&mut scratch);
            let read = Pin::new(&mut *connection).poll_read(context, &mut buffer);
            if ready!(read).is_err() || buffer.filled().is_empty() {
                return Poll::Ready(Ok(()));
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    use tokio::net::TcpListener;

    async fn pair() -> (Connection, TcpStream) {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let client = TcpStream::connect(listener.local_addr().unwrap()).await.unwrap();
        (Connection::plain(listener.accept().await.unwrap().0), client)
    }

    #[tokio::test]
    async fn a_truncated_response_ends_after_that_many_bytes() {
        let (mut connection, mut client) = pair().await;
        connection.control().truncate(3);
        assert!(connection.write_all(b"abcdef").await.is_err());
        drop(connection);
        let mut got = Vec::new();
        client.read_to_end(&mut got).await.unwrap();
        assert_eq!(got, b"abc");
    }

    #[tokio::test]
    async fn other_bytes_replace_the_response() {
        let (mut connection, mut client) = pair().await;
        connection.control().replace(Bytes::from_static(b"<html>"));
        assert!(connection.write_all(b"HTTP/1.1 200 OK").await.is_err());
        drop(connection);
        let mut got = Vec::new();
        client.read_to_end(&mut got).await.unwrap();
        assert_eq!(got, b"<html>");
    }

    #[tokio::test]
    async fn a_reset_is_a_reset_and_not_an_end() {
        let (connection, mut client) = pair().await;
        connection.control().reset();
        drop(connection);
        let error = client.read_to_end(&mut Vec::new()).await.unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::ConnectionReset);
    }
}
