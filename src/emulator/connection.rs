//! One connection as bytes: plain or TLS, with the faults that only bytes can show.
//!
//! Knows no HTTP. Invariant: an orderly close lets the client finish writing and read the answer; a
//! reset is a real one (zero linger), never just a close.

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

/// How long a closed connection is still drained for a client that has not stopped writing.
const DRAIN_TIMEOUT: Duration = Duration::from_secs(2);

/// Orders from the request handler to its connection.
#[derive(Debug, Clone, Default)]
pub struct ConnectionControl(Arc<Mutex<Directive>>);

#[derive(Debug, Default)]
struct Directive {
    reset: bool,
    limit: Option<u64>,
    instead: Option<Bytes>,
}

impl ConnectionControl {
    fn locked(&self) -> MutexGuard<'_, Directive> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The connection ends with a reset.
    pub fn reset(&self) {
        self.locked().reset = true;
    }

    /// The connection closes after so many more bytes.
    pub fn truncate(&self, bytes: u64) {
        self.locked().limit = Some(bytes);
    }

    /// These bytes go out in place of the next answer, then the connection closes.
    pub fn replace(&self, bytes: Bytes) {
        self.locked().instead = Some(bytes);
    }
}

enum SocketStream {
    Plain(TcpStream),
    Tls(Box<TlsStream<TcpStream>>),
}

/// The connection itself.
pub struct Connection {
    stream: SocketStream,
    orders: ConnectionControl,
    closing: Option<Pin<Box<Sleep>>>,
}

impl Connection {
    pub fn plain(stream: TcpStream) -> Connection {
        Connection {
            stream: SocketStream::Plain(stream),
            orders: ConnectionControl::default(),
            closing: None,
        }
    }

    pub fn tls(stream: TlsStream<TcpStream>) -> Connection {
        Connection {
            stream: SocketStream::Tls(Box::new(stream)),
            orders: ConnectionControl::default(),
            closing: None,
        }
    }

    pub fn orders(&self) -> ConnectionControl {
        self.orders.clone()
    }

    pub fn is_tls(&self) -> bool {
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

    fn end(&mut self, context: &mut Context<'_>) -> Poll<io::Result<usize>> {
        ready!(self.flush(context))?;
        Poll::Ready(Err(io::Error::new(io::ErrorKind::BrokenPipe, "closed by the plan of faults")))
    }
}

impl Drop for Connection {
    fn drop(&mut self) {
        if self.orders.locked().reset {
            let stream = match &self.stream {
                SocketStream::Plain(stream) => stream,
                SocketStream::Tls(stream) => stream.get_ref().0,
            };
            // A socket that is gone already needs no reset.
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
        let line = self.get_mut();
        let instead = line.orders.locked().instead.clone();
        if let Some(mut other) = instead {
            while other.has_remaining() {
                let written = ready!(line.write(context, &other))?;
                other.advance(written);
                line.orders.locked().instead = Some(other.clone());
            }
            return line.end(context);
        }
        let limit = line.orders.locked().limit;
        let allowed = match limit {
            Some(0) => return line.end(context),
            Some(left) => bytes.len().min(usize::try_from(left).unwrap_or(usize::MAX)),
            None => bytes.len(),
        };
        let written = ready!(line.write(context, &bytes[..allowed]))?;
        if let Some(left) = &mut line.orders.locked().limit {
            *left = left.saturating_sub(written as u64);
        }
        Poll::Ready(Ok(written))
    }

    fn poll_flush(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.get_mut().flush(context)
    }

    /// Says that no more will be written, then reads on for a while: closing a socket that still
    /// receives would reset it and could take the answer with it.
    fn poll_shutdown(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        let line = self.get_mut();
        if line.closing.is_none() {
            let shut = match &mut line.stream {
                SocketStream::Plain(stream) => Pin::new(stream).poll_shutdown(context),
                SocketStream::Tls(stream) => Pin::new(stream).poll_shutdown(context),
            };
            if ready!(shut).is_err() || line.orders.locked().reset {
                return Poll::Ready(Ok(()));
            }
            line.closing = Some(Box::pin(sleep(DRAIN_TIMEOUT)));
        }
        let mut scratch = [0; 16 * 1024];
        loop {
            if let Some(closing) = &mut line.closing
                && closing.as_mut().poll(context).is_ready()
            {
                return Poll::Ready(Ok(()));
            }
            let mut buffer = ReadBuf::new(&mut scratch);
            let read = Pin::new(&mut *line).poll_read(context, &mut buffer);
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
    async fn a_truncated_answer_ends_after_that_many_bytes() {
        let (mut line, mut client) = pair().await;
        line.orders().truncate(3);
        assert!(line.write_all(b"abcdef").await.is_err());
        drop(line);
        let mut got = Vec::new();
        client.read_to_end(&mut got).await.unwrap();
        assert_eq!(got, b"abc");
    }

    #[tokio::test]
    async fn other_bytes_take_the_place_of_the_answer() {
        let (mut line, mut client) = pair().await;
        line.orders().replace(Bytes::from_static(b"<html>"));
        assert!(line.write_all(b"HTTP/1.1 200 OK").await.is_err());
        drop(line);
        let mut got = Vec::new();
        client.read_to_end(&mut got).await.unwrap();
        assert_eq!(got, b"<html>");
    }

    #[tokio::test]
    async fn a_reset_is_a_reset_and_not_an_end() {
        let (line, mut client) = pair().await;
        line.orders().reset();
        drop(line);
        let error = client.read_to_end(&mut Vec::new()).await.unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::ConnectionReset);
    }
}
