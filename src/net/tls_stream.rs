//! TLS over a connection.
//!
//! rustls' buffered connection reads 4 KiB at a time into a buffer of its own, and keeps what it has
//! opened; its unbuffered one opens records where they are. Owns the buffers around the latter. Knows
//! nothing of HTTP. Invariants: an end of the connection without TLS' own is an error; what is written
//! is sent in order, and before the stream reports that it is flushed; a read that is not ready has
//! taken no byte. A read leaves what a write has sealed to the task that writes.

use std::future::poll_fn;
use std::io::{self, IoSlice};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use hyper::Uri;
use hyper::rt::{Read, ReadBuf, ReadBufCursor, Write};
use rustls::ClientConfig;
use rustls::client::UnbufferedClientConnection;
use rustls::pki_types::{InvalidDnsNameError, ServerName};
use rustls::unbuffered::{ConnectionState, UnbufferedStatus};

use super::tls_buffer::ByteQueue;
use super::tls_seal::{Outgoing, encode, seal};

/// Bytes that are sealed before they are written; four records.
const WRITE_SIZE: usize = 64 << 10;

/// A connection whose bytes are sealed.
pub(super) struct TlsStream<S> {
    inner: S,
    session: UnbufferedClientConnection,
    /// What was read and not opened.
    sealed: ByteQueue,
    /// What was opened and not asked for.
    opened: ByteQueue,
    /// What was sealed and not sent.
    outgoing: ByteQueue,
    /// The inner connection has ended.
    at_end: bool,
    /// The server has ended the session.
    peer_closed: bool,
    /// The first failure of the session, until a read or a write has returned it.
    failure: Option<io::Error>,
    /// The session has failed.
    failed: bool,
}

/// What a session can do next.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Phase {
    /// It waits for the server's part of the handshake.
    Handshake,
    /// Bytes can be sealed.
    Open,
    /// Both sides have ended it.
    Closed,
}

impl<S: Read + Write + Unpin> TlsStream<S> {
    /// Performs the handshake. Fails where the connection does, and where the certificate is not
    /// trusted; the error holds that of rustls.
    pub(super) async fn connect(
        inner: S,
        config: Arc<ClientConfig>,
        name: ServerName<'static>,
    ) -> io::Result<TlsStream<S>> {
        let session = UnbufferedClientConnection::new(config, name).map_err(invalid)?;
        let mut stream = TlsStream {
            inner,
            session,
            sealed: ByteQueue::default(),
            opened: ByteQueue::default(),
            outgoing: ByteQueue::default(),
            at_end: false,
            peer_closed: false,
            failure: None,
            failed: false,
        };
        poll_fn(|context| stream.poll_handshake(context)).await?;
        Ok(stream)
    }

    fn poll_handshake(&mut self, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        loop {
            let phase = self.advance(context, None, Outgoing::Nothing)?;
            let sent = self.poll_send(context)?;
            if sent.is_ready() {
                ready!(Pin::new(&mut self.inner).poll_flush(context))?;
            }
            if phase == Phase::Open {
                return sent.map(Ok);
            }
            if self.at_end {
                let text = "the connection ended within the TLS handshake";
                return Poll::Ready(Err(io::Error::new(io::ErrorKind::UnexpectedEof, text)));
            }
            // The server may have to be read before it reads.
            ready!(self.poll_receive(context))?;
        }
    }

    /// Lets the session work on what was read, until it needs more or `target` is full. Seals
    /// `outgoing`. Fails where the session does, and from then on; the alert for the server is sent as far
    /// as the connection takes it now.
    fn advance(
        &mut self,
        context: &mut Context<'_>,
        target: Option<&mut ReadBufCursor<'_>>,
        outgoing: Outgoing<'_>,
    ) -> io::Result<Phase> {
        if self.failed {
            let again = || io::Error::new(io::ErrorKind::InvalidData, "the TLS session has failed");
            return Err(self.failure.take().unwrap_or_else(again));
        }
        let result = self.advance_session(target, outgoing);
        if result.is_err() {
            self.failed = true;
            self.queue_alert();
            // The error of the session is the reason, whether the server gets the alert or not.
            let _ = self.poll_send(context);
        }
        result
    }

    fn advance_session(
        &mut self,
        mut target: Option<&mut ReadBufCursor<'_>>,
        mut to_seal: Outgoing<'_>,
    ) -> io::Result<Phase> {
        let TlsStream { session, sealed, opened, outgoing, peer_closed, .. } = self;
        loop {
            let UnbufferedStatus { mut discard, state } =
                session.process_tls_records(sealed.filled());
            let phase = match state {
                Err(error) => Err(invalid(error)),
                Ok(ConnectionState::ReadTraffic(mut traffic)) => loop {
                    match traffic.next_record() {
                        None => break Ok(None),
                        Some(Err(error)) => break Err(invalid(error)),
                        Some(Ok(record)) => {
                            discard += record.discard;
                            deliver(record.payload, target.as_deref_mut(), opened);
                        }
                    }
                },
                Ok(ConnectionState::EncodeTlsData(data)) => encode(data, outgoing).map(|()| None),
                // `outgoing` is sent in order, and nothing that comes later is sent before it.
                Ok(ConnectionState::TransmitTlsData(data)) => {
                    data.done();
                    Ok(None)
                }
                Ok(ConnectionState::PeerClosed) => {
                    *peer_closed = true;
                    Ok(None)
                }
                Ok(ConnectionState::Closed) => Ok(Some(Phase::Closed)),
                Ok(ConnectionState::BlockedHandshake) => Ok(Some(Phase::Handshake)),
                Ok(ConnectionState::WriteTraffic(traffic)) => {
                    let to_seal = std::mem::replace(&mut to_seal, Outgoing::Nothing);
                    seal(traffic, to_seal, outgoing).map(|()| Some(Phase::Open))
                }
                Ok(other) => Err(io::Error::other(format!("{other:?} is no state of a client"))),
            };
            sealed.take(discard);
            let full = target.as_ref().is_some_and(|target| target.remaining() == 0);
            match phase? {
                Some(phase) => return Ok(phase),
                None if full => return Ok(Phase::Open),
                None => {}
            }
        }
    }

    /// Seals the alert of a session that has failed, without a look at what else was read.
    fn queue_alert(&mut self) {
        while self.session.wants_write() {
            let status = self.session.process_tls_records(self.sealed.filled());
            let Ok(ConnectionState::EncodeTlsData(data)) = status.state else { return };
            if encode(data, &mut self.outgoing).is_err() {
                return;
            }
        }
    }

    /// Sends what was sealed.
    fn poll_send(&mut self, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        while !self.outgoing.is_empty() {
            let bytes = self.outgoing.filled();
            match ready!(Pin::new(&mut self.inner).poll_write(context, bytes))? {
                0 => return Poll::Ready(Err(io::ErrorKind::WriteZero.into())),
                sent => self.outgoing.take(sent),
            }
        }
        Poll::Ready(Ok(()))
    }

    /// Reads more of what the server has sealed; notes the end of the connection.
    fn poll_receive(&mut self, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        let Some(space) = self.sealed.read_space() else {
            let error = io::Error::new(io::ErrorKind::InvalidData, "a TLS message is too long");
            return Poll::Ready(Err(error));
        };
        let mut buffer = ReadBuf::new(space);
        ready!(Pin::new(&mut self.inner).poll_read(context, buffer.unfilled()))?;
        let read = buffer.filled().len();
        self.sealed.fill(read);
        self.at_end = read == 0;
        Poll::Ready(Ok(()))
    }
}

/// Gives a record to the reader; what it did not ask for is kept.
fn deliver(payload: &[u8], target: Option<&mut ReadBufCursor<'_>>, opened: &mut ByteQueue) {
    let mut rest = payload;
    if let Some(target) = target.filter(|_| opened.is_empty()) {
        let (now, later) = payload.split_at(payload.len().min(target.remaining()));
        target.put_slice(now);
        rest = later;
    }
    opened.push(rest);
}

/// The name that the certificate of a server must have. Fails where it can be none.
pub(super) fn server_name(uri: &Uri) -> Result<ServerName<'static>, InvalidDnsNameError> {
    let host = uri.host().unwrap_or_default().trim_matches(['[', ']']);
    ServerName::try_from(host.to_owned())
}

fn invalid(error: rustls::Error) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, error)
}

impl<S: Read + Write + Unpin> Read for TlsStream<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        mut target: ReadBufCursor<'_>,
    ) -> Poll<io::Result<()>> {
        let wanted = target.remaining();
        loop {
            let ready = self.opened.filled();
            let ready = &ready[..ready.len().min(target.remaining())];
            let count = ready.len();
            target.put_slice(ready);
            self.opened.take(count);
            if target.remaining() > 0 {
                let writing = !self.outgoing.is_empty();
                match self.advance(context, Some(&mut target), Outgoing::Nothing) {
                    Ok(_) => {}
                    // What was opened before the failure is read first.
                    Err(error) if target.remaining() < wanted => self.failure = Some(error),
                    Err(error) => return Poll::Ready(Err(error)),
                }
                // A write error is that of the next write: what has arrived is read first.
                if !writing {
                    let _ = self.poll_send(context);
                }
            }
            if target.remaining() < wanted || wanted == 0 || self.peer_closed {
                return Poll::Ready(Ok(()));
            }
            if self.at_end {
                let text = "the server closed the connection without ending the TLS session";
                return Poll::Ready(Err(io::Error::new(io::ErrorKind::UnexpectedEof, text)));
            }
            ready!(self.poll_receive(context))?;
        }
    }
}

impl<S: Read + Write + Unpin> Write for TlsStream<S> {
    fn poll_write(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        self.poll_write_vectored(context, &[IoSlice::new(bytes)])
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        slices: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        ready!(self.poll_send(context))?;
        let mut accepted = 0;
        for slice in slices {
            let piece = &slice[..slice.len().min(WRITE_SIZE - accepted)];
            if !piece.is_empty()
                && self.advance(context, None, Outgoing::Bytes(piece))? != Phase::Open
            {
                return Poll::Ready(Err(io::ErrorKind::BrokenPipe.into()));
            }
            accepted += piece.len();
        }
        // What the connection does not take now is sent by the next write or flush.
        match self.poll_send(context) {
            Poll::Ready(Err(error)) => Poll::Ready(Err(error)),
            Poll::Ready(Ok(())) | Poll::Pending => Poll::Ready(Ok(accepted)),
        }
    }

    fn is_write_vectored(&self) -> bool {
        true
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        ready!(self.poll_send(context))?;
        Pin::new(&mut self.inner).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        // The session seals the notice once; one that has failed sends none, and a read has the reason.
        if !self.failed
            && let Err(error) = self.advance(context, None, Outgoing::CloseNotify)
        {
            self.failure = Some(error);
        }
        ready!(self.poll_send(context))?;
        Pin::new(&mut self.inner).poll_shutdown(context)
    }
}
