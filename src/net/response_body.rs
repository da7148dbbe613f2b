//! The body of a response: collected where it is small, passed on where it is part of an object.
//!
//! Owns the reading of bodies, on the thread of the connection. Must not know what the bytes are
//! for. Invariant: a body sink never gets a byte of a response that it has not accepted.

use std::sync::Arc;

use http_body_util::BodyExt;
use hyper::body::Incoming;

use super::body::Throttle;
use super::failure::TransportFailure;
use super::transport_failure;
use super::watchdog::Activity;
use proto::api::Response;
use proto::transport_error::TransportError;

/// Bytes of the body of one response. The API sends small documents.
const MAX_DOCUMENT: usize = 16 << 20;

/// Memory for the body of a response.
pub trait BodySink: Send + 'static {
    /// What happens with the body of the response with this head.
    fn accept(&mut self, head: &Response) -> BodyUse;

    /// Where the next bytes go; empty once the memory is full.
    fn space(&mut self) -> &mut [u8];

    /// Records that the first `length` bytes of the space were filled.
    fn filled(&mut self, length: usize);
}

/// What happens with the body of a response.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum BodyUse {
    /// It goes into the memory of the sink.
    Accepted,
    /// It is collected in the response, if it is not longer than this many bytes.
    Collected { limit: usize },
    /// It is not read: the response is another one than was asked for.
    Refused,
}

/// For exchanges whose responses are small documents.
pub(super) struct NoSink;

impl BodySink for NoSink {
    fn accept(&mut self, _: &Response) -> BodyUse {
        BodyUse::Collected { limit: MAX_DOCUMENT }
    }

    fn space(&mut self) -> &mut [u8] {
        &mut []
    }

    fn filled(&mut self, _: usize) {}
}

/// The head of a response, with an empty body.
pub(super) fn head(parts: &hyper::http::response::Parts) -> Response {
    let headers = parts.headers.iter().map(|(name, value)| {
        (name.as_str().to_owned(), String::from_utf8_lossy(value.as_bytes()).into_owned())
    });
    Response { status: parts.status.as_u16(), headers: headers.collect(), body: Vec::new() }
}

/// Reads a body of at most `limit` bytes. Fails where the connection does, and where the body is
/// longer.
pub(super) async fn collect(mut body: Incoming, limit: usize) -> Result<Vec<u8>, TransportFailure> {
    let mut bytes = Vec::new();
    while let Some(frame) = body.frame().await {
        let frame = frame.map_err(|e| transport_failure(&e))?;
        if let Some(data) = frame.data_ref() {
            if bytes.len() + data.len() > limit {
                return Err(too_long());
            }
            bytes.extend_from_slice(data);
        }
    }
    Ok(bytes)
}

/// How fast a body may arrive.
#[derive(Clone, Copy)]
pub(super) struct Flow<'a> {
    pub throttle: Option<&'a Arc<Throttle>>,
    /// Of the connection: waiting for the throttle is no stall.
    pub activity: &'a Activity,
}

impl Flow<'_> {
    /// Waits until these bytes, which have arrived, are within the limit.
    pub(super) async fn pass(self, length: usize) {
        if let Some(throttle) = self.throttle {
            let _paused = self.activity.pause();
            throttle.pass(length).await;
        }
    }
}

/// Passes a body to the sink as it arrives, at most as fast as `flow` allows. Fails where the
/// connection does, and where the body is longer than the space of the sink.
pub(super) async fn pass_on<S: BodySink>(
    mut body: Incoming,
    sink: &mut S,
    flow: Flow<'_>,
) -> Result<(), TransportFailure> {
    while let Some(frame) = body.frame().await {
        let frame = frame.map_err(|e| transport_failure(&e))?;
        let Some(data) = frame.data_ref() else { continue };
        fill(sink, data)?;
        flow.pass(data.len()).await;
    }
    Ok(())
}

/// Copies bytes to the sink. Fails where they are more than its space.
pub(super) fn fill<S: BodySink>(sink: &mut S, mut data: &[u8]) -> Result<(), TransportFailure> {
    while !data.is_empty() {
        let space = sink.space();
        if space.is_empty() {
            return Err(too_long());
        }
        let (now, later) = data.split_at(data.len().min(space.len()));
        space[..now.len()].copy_from_slice(now);
        sink.filled(now.len());
        data = later;
    }
    Ok(())
}

pub(super) fn too_long() -> TransportFailure {
    let text = "the answer is longer than what was asked for";
    TransportFailure::new(TransportError::InvalidResponse, text)
}
