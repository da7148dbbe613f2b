//! The body of a response, read past hyper into the memory of a sink.
//!
//! hyper copies a body into a buffer of its own first. Owns which bodies need no more of hyper than the
//! head, and their length. Must not know what the bytes are for. Invariants: the bytes that the sink
//! gets are those that follow the head, in order, each once; the connection carries another request
//! only after the whole body, and where neither side closes it.

use std::future::poll_fn;
use std::pin::Pin;

use http_body_util::BodyExt;
use hyper::body::{Body, Incoming};
use hyper::header::{CONNECTION, HeaderValue, TRANSFER_ENCODING};
use hyper::http::Version;
use hyper::http::response::Parts;
use hyper::rt::{Read, ReadBuf};

use super::connect::Io;
use super::failure::TransportFailure;
use super::http1::Http1Connection;
use super::response_body::{self, BodySink, Flow, fill, too_long};
use proto::transport_error::TransportError;

/// The end of a body that has a `Content-Length`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Framing {
    /// Bytes of the body.
    length: u64,
    /// The connection stays open after it.
    keep_alive: bool,
}

/// The framing by length that hyper has found in the head; `None` for a body in chunks, and for one
/// that ends with its connection.
pub(super) fn framing(head: &Parts, body: &Incoming) -> Option<Framing> {
    let length = body.size_hint().exact().filter(|length| *length > 0)?;
    let stays_open = |value: &HeaderValue| value.as_bytes().eq_ignore_ascii_case(b"keep-alive");
    let keep_alive =
        head.version == Version::HTTP_11 && head.headers.get_all(CONNECTION).iter().all(stays_open);
    (!head.headers.contains_key(TRANSFER_ENCODING)).then_some(Framing { length, keep_alive })
}

/// Reads a body into the sink, at most as fast as `flow` allows; the connection carries requests again
/// after it, if it stays open. Fails where the connection does, and where the body is longer than the
/// space of the sink.
pub(super) async fn read<S: BodySink>(
    http1: &mut Http1Connection,
    framing: Framing,
    mut body: Incoming,
    sink: &mut S,
    flow: Flow<'_>,
) -> Result<(), TransportFailure> {
    let Some(mut taken) = http1.take_over().await else {
        // hyper has ended the connection; it has the rest of the body, or the reason.
        return response_body::pass_on(body, sink, flow).await;
    };
    let mut left = framing.length;
    // hyper decodes nothing of a body that is not polled; had it, these bytes would come first.
    while let Some(Ok(frame)) = body.frame().await {
        let data = frame.data_ref().map(|data| &data[..]).unwrap_or_default();
        left = left.checked_sub(data.len() as u64).ok_or_else(too_long)?;
        fill(sink, data)?;
    }
    let ahead =
        taken.ahead.split_to(taken.ahead.len().min(usize::try_from(left).unwrap_or(usize::MAX)));
    fill(sink, &ahead)?;
    left -= ahead.len() as u64;
    flow.pass(ahead.len()).await;
    while left > 0 {
        let read = read_some(&mut taken.io, sink, left).await?;
        left -= read as u64;
        flow.pass(read).await;
    }
    // More than the body is a breach of the protocol, after which nothing is read.
    if framing.keep_alive && taken.ahead.is_empty() {
        http1.give_back(taken.io).await?;
    }
    Ok(())
}

/// Reads 1 to `left` bytes into the sink; returns how many.
async fn read_some<S: BodySink>(
    io: &mut Io,
    sink: &mut S,
    left: u64,
) -> Result<usize, TransportFailure> {
    let space = sink.space();
    let length = space.len().min(usize::try_from(left).unwrap_or(usize::MAX));
    if length == 0 {
        return Err(too_long());
    }
    let mut buffer = ReadBuf::new(&mut space[..length]);
    let lost = |text: &str| {
        let text = format!("the connection was lost: {text}");
        TransportFailure::new(TransportError::ResponseLost, text)
    };
    poll_fn(|context| Pin::new(&mut *io).poll_read(context, buffer.unfilled()))
        .await
        .map_err(|error| lost(&super::error_text(&error)))?;
    let read = buffer.filled().len();
    if read == 0 {
        return Err(lost("it ended before the end of the body"));
    }
    sink.filled(read);
    Ok(read)
}
