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

/// Bytes of a listing: 1,000 uploads whose names have 1,024 characters, each escaped in JSON.
const MAX_LISTING: usize = 16 << 20;
/// Bytes of any other document: a token, the id of an upload.
const MAX_DOCUMENT: usize = 256 << 10;
/// Bytes that are read of an error; the API sends a code and a sentence.
const MAX_ERROR: usize = 64 << 10;

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
    /// It is collected in the response: at most this many bytes, of an error the first ones.
    Collected { limit: usize },
    /// It is not read: the response is another one than was asked for.
    Refused,
}

/// For exchanges whose responses are small documents.
pub(super) struct NoSink {
    /// Of a request for a document, which may be a listing.
    largest: usize,
}

impl NoSink {
    /// For the response to a request with this method.
    pub(super) fn of(method: &str) -> NoSink {
        NoSink { largest: if method == "GET" { MAX_LISTING } else { MAX_DOCUMENT } }
    }
}

impl BodySink for NoSink {
    fn accept(&mut self, head: &Response) -> BodyUse {
        BodyUse::Collected { limit: if head.is_success() { self.largest } else { MAX_ERROR } }
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

/// Reads at most `limit` bytes of a body, and drops the rest of that of an error. Fails where the
/// connection does, and where the body of a success is longer.
pub(super) async fn collect(
    mut body: Incoming,
    limit: usize,
    success: bool,
) -> Result<Vec<u8>, TransportFailure> {
    let mut bytes = Vec::new();
    while let Some(frame) = body.frame().await {
        let frame = frame.map_err(|e| transport_failure(&e))?;
        let Some(data) = frame.data_ref() else { continue };
        let room = limit - bytes.len();
        if data.len() > room {
            if success {
                return Err(too_long());
            }
            bytes.extend_from_slice(&data[..room]);
            break;
        }
        bytes.extend_from_slice(data);
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
