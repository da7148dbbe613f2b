//! Responses: errors with the service's codes and texts, response bodies, and reading a JSON
//! request.
//!
//! Knows the form of responses and no operation. Invariant: every error is a status, a code and a
//! message as the service sends them; an unknown I/O error is a 500 and never a success.

use bytes::Bytes;
use hyper::body::{Body, Frame, SizeHint};
use hyper::{Method, StatusCode};
use serde::Deserialize;
use std::borrow::Cow;
use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};
use tokio::sync::mpsc;

/// A response of the emulator.
pub(crate) type Response = hyper::Response<Payload>;

/// An error response of the service.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ErrorResponse {
    pub status: u16,
    /// The service's error code.
    pub code: Cow<'static, str>,
    pub message: String,
}

impl ErrorResponse {
    pub fn new(
        status: u16,
        code: impl Into<Cow<'static, str>>,
        message: impl Into<String>,
    ) -> ErrorResponse {
        ErrorResponse { status, code: code.into(), message: message.into() }
    }

    pub(crate) fn invalid_parameter(message: impl Into<String>) -> ErrorResponse {
        ErrorResponse::new(400, "InvalidParameter", message)
    }

    pub(crate) fn missing_parameter(name: &str) -> ErrorResponse {
        ErrorResponse::new(
            400,
            "MissingParameter",
            format!("The parameter or header '{name}' is missing"),
        )
    }

    pub(crate) fn cannot_parse(message: impl Into<String>) -> ErrorResponse {
        ErrorResponse::new(400, "CannotParseRequest", message)
    }

    /// The request carries no credentials.
    pub(crate) fn no_credentials() -> ErrorResponse {
        ErrorResponse::not_authenticated(
            "The required information to complete authentication was not provided.",
        )
    }

    /// The request carries credentials that are wrong; the service does not reveal which part is.
    pub(crate) fn wrong_credentials() -> ErrorResponse {
        ErrorResponse::not_authenticated(
            "The required information to complete authentication was not provided or was incorrect.",
        )
    }

    pub(crate) fn not_authenticated(message: impl Into<String>) -> ErrorResponse {
        ErrorResponse::new(401, "NotAuthenticated", message)
    }

    /// A request for a path that is not in the API.
    pub fn not_found(path: &str) -> ErrorResponse {
        ErrorResponse::new(404, "NotFound", format!("There is nothing at '{path}'"))
    }

    pub(crate) fn namespace_not_found(namespace: &str) -> ErrorResponse {
        let message = format!(
            "You do not have authorization to perform this request, or the namespace '{namespace}' could not be found."
        );
        ErrorResponse::new(404, "NamespaceNotFound", message)
    }

    pub(crate) fn bucket_not_found(bucket: &str, namespace: &str) -> ErrorResponse {
        let message = format!(
            "Either the bucket named '{bucket}' does not exist in the namespace '{namespace}' or you are not authorized to access it"
        );
        ErrorResponse::new(404, "BucketNotFound", message)
    }

    pub(crate) fn object_not_found(object: &str, bucket: &str) -> ErrorResponse {
        let message = format!("The object '{object}' was not found in the bucket '{bucket}'");
        ErrorResponse::new(404, "ObjectNotFound", message)
    }

    /// `ObjectNotFound` with the message of a DELETE, which differs from that of a GET.
    pub(crate) fn nothing_to_delete(object: &str, bucket: &str, namespace: &str) -> ErrorResponse {
        let message = format!(
            "The object '{object}' does not exist in bucket '{bucket}' with namespace '{namespace}'"
        );
        ErrorResponse::new(404, "ObjectNotFound", message)
    }

    /// A list of parts that names a part which does not exist, or its wrong etag.
    pub(crate) fn invalid_parts(message: impl Into<String>) -> ErrorResponse {
        ErrorResponse::new(400, "InvalidUploadPart", message)
    }

    pub(crate) fn upload_not_found() -> ErrorResponse {
        ErrorResponse::new(404, "UploadNotFound", "No such upload")
    }

    pub(crate) fn method_not_allowed(method: &str) -> ErrorResponse {
        ErrorResponse::new(
            405,
            "MethodNotAllowed",
            format!("The method {method} is not allowed here"),
        )
    }
}

/// An error of the local disk: a full or read-only disk is a 4xx, which clients do not retry; any
/// other error is a 500, which they do.
impl From<io::Error> for ErrorResponse {
    fn from(error: io::Error) -> ErrorResponse {
        use io::ErrorKind::*;
        let message = format!("The object store's disk: {error}");
        match error.kind() {
            FileTooLarge => {
                let hint = "a limit of the size of files here, see ulimit -f";
                ErrorResponse::new(400, "QuotaExceeded", format!("{message}: {hint}"))
            }
            StorageFull | QuotaExceeded => ErrorResponse::new(400, "QuotaExceeded", message),
            PermissionDenied | ReadOnlyFilesystem => ErrorResponse::new(403, "NotAllowed", message),
            InvalidFilename => ErrorResponse::invalid_parameter(message),
            _ => ErrorResponse::new(500, "InternalServerError", message),
        }
    }
}

/// Why a handler returns no successful response.
#[derive(Debug)]
pub(crate) enum HandlerError {
    ErrorResponse(ErrorResponse),
    /// The connection is closed without a response.
    Aborted,
}

impl From<ErrorResponse> for HandlerError {
    fn from(error: ErrorResponse) -> HandlerError {
        HandlerError::ErrorResponse(error)
    }
}

impl From<io::Error> for HandlerError {
    fn from(error: io::Error) -> HandlerError {
        HandlerError::ErrorResponse(error.into())
    }
}

/// Reads a JSON body; fails with 400 `CannotParseRequest` and the parser's message.
pub(crate) fn parse<'a, T: Deserialize<'a>>(body: &'a [u8]) -> Result<T, ErrorResponse> {
    serde_json::from_slice(body).map_err(|error| {
        ErrorResponse::cannot_parse(format!("The request body is malformed: {error}"))
    })
}

/// A response body: empty, some bytes, or a stream of known length.
pub(crate) struct Payload(PayloadSource);

enum PayloadSource {
    Bytes(Option<Bytes>),
    Stream { chunks: mpsc::Receiver<io::Result<Bytes>>, remaining: u64 },
}

impl Payload {
    pub(crate) fn empty() -> Payload {
        Payload(PayloadSource::Bytes(None))
    }

    pub(crate) fn bytes(bytes: impl Into<Bytes>) -> Payload {
        Payload(PayloadSource::Bytes(Some(bytes.into()).filter(|bytes| !bytes.is_empty())))
    }

    /// A body of `length` bytes, which arrive in chunks; an error among them breaks the connection.
    pub(crate) fn stream(chunks: mpsc::Receiver<io::Result<Bytes>>, length: u64) -> Payload {
        Payload(PayloadSource::Stream { chunks, remaining: length })
    }
}

impl Body for Payload {
    type Data = Bytes;
    type Error = io::Error;

    fn poll_frame(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<io::Result<Frame<Bytes>>>> {
        match &mut self.get_mut().0 {
            PayloadSource::Bytes(bytes) => {
                Poll::Ready(bytes.take().map(|bytes| Ok(Frame::data(bytes))))
            }
            PayloadSource::Stream { chunks, remaining } => chunks.poll_recv(context).map(|chunk| {
                let chunk = chunk?;
                if let Ok(bytes) = &chunk {
                    *remaining = remaining.saturating_sub(bytes.len() as u64);
                }
                Some(chunk.map(Frame::data))
            }),
        }
    }

    fn is_end_stream(&self) -> bool {
        match &self.0 {
            PayloadSource::Bytes(bytes) => bytes.is_none(),
            PayloadSource::Stream { remaining, .. } => *remaining == 0,
        }
    }

    fn size_hint(&self) -> SizeHint {
        SizeHint::with_exact(match &self.0 {
            PayloadSource::Bytes(bytes) => bytes.as_ref().map_or(0, |bytes| bytes.len() as u64),
            PayloadSource::Stream { remaining, .. } => *remaining,
        })
    }
}

/// Starts a response. A status that HTTP does not allow, which a fault plan can hold, becomes 502.
pub(crate) fn respond(status: u16) -> ResponseBuilder {
    let mut response = Response::new(Payload::empty());
    *response.status_mut() = StatusCode::from_u16(status).unwrap_or(StatusCode::BAD_GATEWAY);
    ResponseBuilder(response)
}

/// A response under construction.
pub(crate) struct ResponseBuilder(Response);

impl ResponseBuilder {
    /// Adds a header; leaves it out if name or value are not legal in HTTP.
    pub(crate) fn header(mut self, name: &str, value: impl AsRef<str>) -> ResponseBuilder {
        let name = hyper::header::HeaderName::from_bytes(name.as_bytes());
        let value = hyper::header::HeaderValue::from_bytes(value.as_ref().as_bytes());
        if let (Ok(name), Ok(value)) = (name, value) {
            self.0.headers_mut().insert(name, value);
        }
        self
    }

    /// Adds a header if there is a value.
    pub(crate) fn maybe(self, name: &str, value: Option<impl AsRef<str>>) -> ResponseBuilder {
        match value {
            Some(value) => self.header(name, value),
            None => self,
        }
    }

    /// Ends the response with a JSON body.
    pub(crate) fn json(self, value: &impl serde::Serialize) -> Response {
        let body = serde_json::to_vec(value).unwrap_or_default();
        self.header("content-type", "application/json").body(Payload::bytes(body))
    }

    pub(crate) fn body(mut self, payload: Payload) -> Response {
        *self.0.body_mut() = payload;
        self.0
    }

    pub(crate) fn empty(self) -> Response {
        self.0
    }
}

impl ErrorResponse {
    /// The error as a response to `method`; a response to HEAD has no body and so no code.
    pub(crate) fn to_response(&self, method: &Method) -> Response {
        if *method == Method::HEAD {
            return respond(self.status).empty();
        }
        respond(self.status)
            .json(&serde_json::json!({ "code": self.code, "message": self.message }))
    }
}
