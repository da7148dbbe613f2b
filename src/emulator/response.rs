//! What goes back to the client: refusals with the service's codes, and response bodies.
//!
//! Knows the form of answers and no operation. Invariant: every refusal is a status, a code and a
//! message as the service words them; nothing unknown is ever a success.

use bytes::Bytes;
use hyper::StatusCode;
use hyper::body::{Body, Frame, SizeHint};
use std::borrow::Cow;
use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};
use tokio::sync::mpsc;

/// A response of the emulator.
pub type Response = hyper::Response<Payload>;

/// A refusal.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ErrorResponse {
    pub status: u16,
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

    pub fn invalid_parameter(message: impl Into<String>) -> ErrorResponse {
        ErrorResponse::new(400, "InvalidParameter", message)
    }

    pub fn missing_parameter(name: &str) -> ErrorResponse {
        ErrorResponse::new(
            400,
            "MissingParameter",
            format!("The parameter or header '{name}' is missing"),
        )
    }

    pub fn cannot_parse(message: impl Into<String>) -> ErrorResponse {
        ErrorResponse::new(400, "CannotParseRequest", message)
    }

    /// Nothing that could authenticate was sent.
    pub fn no_credentials() -> ErrorResponse {
        ErrorResponse::not_authenticated(
            "The required information to complete authentication was not provided.",
        )
    }

    /// Something was sent, and it is wrong; the service never says what.
    pub fn wrong_credentials() -> ErrorResponse {
        ErrorResponse::not_authenticated(
            "The required information to complete authentication was not provided or was incorrect.",
        )
    }

    pub fn not_authenticated(message: impl Into<String>) -> ErrorResponse {
        ErrorResponse::new(401, "NotAuthenticated", message)
    }

    pub fn not_found(path: &str) -> ErrorResponse {
        ErrorResponse::new(404, "NotFound", format!("There is nothing at '{path}'"))
    }

    pub fn namespace_not_found(namespace: &str) -> ErrorResponse {
        let message = format!(
            "You do not have authorization to perform this request, or the namespace '{namespace}' could not be found."
        );
        ErrorResponse::new(404, "NamespaceNotFound", message)
    }

    pub fn bucket_not_found(bucket: &str, namespace: &str) -> ErrorResponse {
        let message = format!(
            "Either the bucket named '{bucket}' does not exist in the namespace '{namespace}' or you are not authorized to access it"
        );
        ErrorResponse::new(404, "BucketNotFound", message)
    }

    pub fn object_not_found(object: &str, bucket: &str) -> ErrorResponse {
        let message = format!("The object '{object}' was not found in the bucket '{bucket}'");
        ErrorResponse::new(404, "ObjectNotFound", message)
    }

    /// The words of a DELETE differ from those of a GET.
    pub fn nothing_to_delete(object: &str, bucket: &str, namespace: &str) -> ErrorResponse {
        let message = format!(
            "The object '{object}' does not exist in bucket '{bucket}' with namespace '{namespace}'"
        );
        ErrorResponse::new(404, "ObjectNotFound", message)
    }

    /// The code of every fault of a list of parts.
    pub fn invalid_parts(message: impl Into<String>) -> ErrorResponse {
        ErrorResponse::new(400, "InvalidUploadPart", message)
    }

    pub fn upload_not_found() -> ErrorResponse {
        ErrorResponse::new(404, "UploadNotFound", "No such upload")
    }

    pub fn method_not_allowed(method: &str) -> ErrorResponse {
        ErrorResponse::new(
            405,
            "MethodNotAllowed",
            format!("The method {method} is not allowed here"),
        )
    }
}

/// What the disk refused: a full or read-only disk is not worth a retry, anything else may be.
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

/// A response body: nothing, some bytes, or a stream of known length from a file.
pub struct Payload(PayloadSource);

enum PayloadSource {
    Bytes(Option<Bytes>),
    Stream { chunks: mpsc::Receiver<io::Result<Bytes>>, left: u64 },
}

impl Payload {
    pub fn empty() -> Payload {
        Payload(PayloadSource::Bytes(None))
    }

    pub fn bytes(bytes: impl Into<Bytes>) -> Payload {
        Payload(PayloadSource::Bytes(Some(bytes.into()).filter(|bytes| !bytes.is_empty())))
    }

    pub fn stream(chunks: mpsc::Receiver<io::Result<Bytes>>, length: u64) -> Payload {
        Payload(PayloadSource::Stream { chunks, left: length })
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
            PayloadSource::Stream { chunks, left } => chunks.poll_recv(context).map(|chunk| {
                let chunk = chunk?;
                if let Ok(bytes) = &chunk {
                    *left = left.saturating_sub(bytes.len() as u64);
                }
                Some(chunk.map(Frame::data))
            }),
        }
    }

    fn is_end_stream(&self) -> bool {
        match &self.0 {
            PayloadSource::Bytes(bytes) => bytes.is_none(),
            PayloadSource::Stream { left, .. } => *left == 0,
        }
    }

    fn size_hint(&self) -> SizeHint {
        SizeHint::with_exact(match &self.0 {
            PayloadSource::Bytes(bytes) => bytes.as_ref().map_or(0, |bytes| bytes.len() as u64),
            PayloadSource::Stream { left, .. } => *left,
        })
    }
}

/// An answer under construction; a header that cannot be one is left out rather than a panic.
pub fn answer(status: u16) -> Builder {
    Builder(Response::new(Payload::empty())).status(status)
}

pub struct Builder(Response);

impl Builder {
    fn status(mut self, status: u16) -> Builder {
        *self.0.status_mut() = StatusCode::from_u16(status).unwrap_or(StatusCode::BAD_GATEWAY);
        self
    }

    pub fn header(mut self, name: &str, value: impl AsRef<str>) -> Builder {
        let name = hyper::header::HeaderName::from_bytes(name.as_bytes());
        let value = hyper::header::HeaderValue::from_bytes(value.as_ref().as_bytes());
        if let (Ok(name), Ok(value)) = (name, value) {
            self.0.headers_mut().insert(name, value);
        }
        self
    }

    pub fn maybe(self, name: &str, value: Option<impl AsRef<str>>) -> Builder {
        match value {
            Some(value) => self.header(name, value),
            None => self,
        }
    }

    pub fn json(self, value: &impl serde::Serialize) -> Response {
        let body = serde_json::to_vec(value).unwrap_or_default();
        self.header("content-type", "application/json").body(Payload::bytes(body))
    }

    pub fn body(mut self, payload: Payload) -> Response {
        *self.0.body_mut() = payload;
        self.0
    }

    pub fn empty(self) -> Response {
        self.0
    }
}

impl ErrorResponse {
    /// The refusal on the wire; the answer to a HEAD has no body and so no code.
    pub fn answer(&self, head: bool) -> Response {
        if head {
            return answer(self.status).empty();
        }
        answer(self.status).json(&serde_json::json!({ "code": self.code, "message": self.message }))
    }
}
