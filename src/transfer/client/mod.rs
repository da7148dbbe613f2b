//! One attempt of one request: connect, check the credentials, sign, send, read the response.
//!
//! Owns the order of these steps; `access` has what differs between signed requests and those through a
//! pre-authenticated request. Must not know what the request is for or whether it is retried.
//! Invariants: a request is signed after its connection is open and right before its first byte is
//! sent, with credentials that were checked at that moment; a request with a secret in its path is never
//! signed, and no other is sent unsigned.

mod access;
mod open;
mod par_access;
mod send_progress;
mod signing;

use std::sync::Arc;
use std::sync::atomic::AtomicU64;
use std::time::{Instant, SystemTime};

use bytes::Bytes;
use zeroize::Zeroizing;

use super::connection_rate::ConnectionRate;
use super::headers;
use crate::auth::session::{Credentials, SignedAt};
use crate::net::{self, BodySink, Connection, RequestBody, Throttle, Transport, TransportFailure};
use crate::term::progress::Reporter;
use proto::api::{ErrorResponse, Request, RequestPayload, Response};
use proto::endpoint::ObjectStorage;
use proto::error::{Error, ErrorKind};
use proto::request_fields::RequestFields;
use proto::retry::Failure;
use proto::transport_error::TransportError;

pub(crate) use self::access::Access;
pub use self::open::Timeouts;
pub(crate) use self::par_access::ParAccess;
pub use self::send_progress::SendProgress;

/// Object Storage at one endpoint, with one identity.
pub struct Client {
    /// The connections.
    pub transport: Arc<Transport>,
    /// The credentials, or the pre-authenticated request.
    pub access: Access,
    /// Where Object Storage listens.
    pub endpoint: ObjectStorage,
    /// The limit of the bandwidth of all stream bodies together.
    pub throttle: Option<Arc<Throttle>>,
    /// What one connection carries.
    pub connection_rate: ConnectionRate,
    /// Bytes of request bodies that connections took, those of repeated attempts included.
    pub sent_bytes: Arc<AtomicU64>,
    /// Where messages go.
    pub reporter: Arc<Reporter>,
    /// The header `opc-client-request-id` of each request.
    pub client_request_id: Option<String>,
    /// Whether the requests are made besides those of a transfer, whose thread they leave free.
    pub beside_a_transfer: bool,
}

/// A successful response, and the CRC of the request body as the connection took it.
pub struct Success {
    pub response: Response,
    pub crc32: u32,
}

/// A request that is signed for one attempt, and its connection.
struct PreparedRequest<'a> {
    connection: Connection<'a>,
    head: net::RequestHead,
    body: RequestBody,
    /// `None` through a pre-authenticated request.
    signature: Option<Signature>,
}

/// The credentials that signed a request, and the time of the signature by both clocks.
struct Signature {
    credentials: Arc<Credentials>,
    date: SystemTime,
    at: Instant,
}

impl Client {
    /// One attempt of a request without a stream body. Fails as `attempt` does.
    pub async fn send(&self, request: Request) -> Result<Response, Failure> {
        let success = self.attempt(request, Vec::new(), &SendProgress::default()).await?;
        Ok(success.response)
    }

    /// One attempt. `chunks` is the stream body, where the request has one. `progress` has
    /// started right before the first byte is sent. Fails where there are no credentials, where the connection
    /// fails, and where the response is not a success.
    pub async fn attempt(
        &self,
        request: Request,
        chunks: Vec<Bytes>,
        progress: &SendProgress,
    ) -> Result<Success, Failure> {
        let line = self.reporter.is_debug().then(|| request_line(&request));
        let started_at = Instant::now();
        let result = self.send_once(request, chunks, progress).await;
        self.debug_result(line, started_at, result.as_ref().map(|success| &success.response));
        result
    }

    /// Writes the result of an attempt, where it has a line.
    fn debug_result(
        &self,
        line: Option<String>,
        started_at: Instant,
        result: Result<&Response, &Failure>,
    ) {
        let Some(line) = line else { return };
        let seconds = started_at.elapsed().as_secs_f64();
        self.reporter.debug_of(|| match result {
            Ok(response) => {
                let (status, id) = (response.status, response.request_id());
                let id_text = id.as_deref().unwrap_or_default();
                let text = format!("{line}: {status} in {seconds:.3} s (opc-request-id {id_text})");
                let fields = RequestFields {
                    status: Some(status),
                    request_id: id.clone(),
                    ..RequestFields::default()
                };
                (text, fields)
            }
            Err(failure) => {
                let text = format!("{}, after {seconds:.3} s", failure.message(&line));
                (text, failure.response_fields())
            }
        });
    }

    async fn send_once(
        &self,
        request: Request,
        chunks: Vec<Bytes>,
        progress: &SendProgress,
    ) -> Result<Success, Failure> {
        let size = match &request.body {
            RequestPayload::Stream { size, .. } => *size,
            _ => 0,
        };
        let (response, body_sent, started_at, signature) = loop {
            let PreparedRequest { connection, head, body, signature } =
                self.prepare(request.clone(), chunks.clone(), size).await?;
            let (body_sent, reused) = (body.sent(), connection.reused);
            let started_at = Instant::now();
            if !progress.start(body_sent.clone()) {
                let text = "the request was cancelled before it was sent".to_owned();
                return Err(Failure::Transport { kind: TransportError::Connect, text });
            }
            match connection.exchange(head, body).await {
                // The service closed an idle connection before a byte was sent. That is no failure
                // of the service, and the number of idle connections bounds the repetitions.
                Err(TransportFailure::Connection { kind: TransportError::Connect, .. })
                    if reused =>
                {
                    progress.reset();
                }
                Err(failure) => return Err(mark_incomplete(failure.into(), &body_sent)),
                Ok(response) => {
                    break (self.access.redacted(response), body_sent, started_at, signature);
                }
            }
        };
        if !response.is_success() {
            return Err(self.on_error_response(signature.as_ref(), ErrorResponse::of(&response)));
        }
        self.access.on_success(headers::date(&response));
        let Some(crc32) = body_sent.crc() else {
            let text = "a success was answered before the whole body was sent".to_owned();
            return Err(Failure::Transport { kind: TransportError::InvalidResponse, text });
        };
        self.connection_rate.observe(size, started_at.elapsed());
        Ok(Success { response, crc32 })
    }

    /// One attempt of a request whose response has `length` bytes for `sink`, which comes back with
    /// those that arrived before a failure. It does not come back where a thread failed within
    /// itself. Fails as `attempt` does.
    pub async fn read_into<S: BodySink>(
        &self,
        request: Request,
        sink: S,
        length: u64,
    ) -> (Option<S>, Result<Response, Failure>) {
        let line = self.reporter.is_debug().then(|| request_line(&request));
        let started_at = Instant::now();
        let (sink, result) = self.read_once(request, sink, length).await;
        self.debug_result(line, started_at, result.as_ref());
        (sink, result)
    }

    async fn read_once<S: BodySink>(
        &self,
        request: Request,
        mut sink: S,
        length: u64,
    ) -> (Option<S>, Result<Response, Failure>) {
        loop {
            let prepared = match self.prepare(request.clone(), Vec::new(), length).await {
                Ok(prepared) => prepared,
                Err(failure) => return (Some(sink), Err(failure)),
            };
            let PreparedRequest { connection, head, body: _, signature } = prepared;
            let reused = connection.reused;
            let (back, result) = connection.exchange_into(head, sink, self.throttle.clone()).await;
            sink = match (back, &result) {
                // As in `send_once`.
                (
                    Some(back),
                    Err(TransportFailure::Connection { kind: TransportError::Connect, .. }),
                ) if reused => back,
                (back, _) => {
                    return (
                        back,
                        result.map_err(Failure::from).and_then(|response| {
                            if response.status != 200 && response.status != 206 {
                                let response = ErrorResponse::of(&response);
                                return Err(self.on_error_response(signature.as_ref(), response));
                            }
                            self.access.on_success(headers::date(&response));
                            Ok(response)
                        }),
                    );
                }
            };
        }
    }

    /// Notifies the session of an error response: it decides what follows a 401.
    fn on_error_response(&self, signature: Option<&Signature>, response: ErrorResponse) -> Failure {
        let date = response.date.as_deref().and_then(|text| httpdate::parse_http_date(text).ok());
        let (Access::Signed(session), Some(signature)) = (&self.access, signature) else {
            return Failure::ErrorResponse(response.through_par());
        };
        if response.status == 401 {
            let signed_at = SignedAt { date: signature.date, at: signature.at };
            session.on_unauthorized(&signature.credentials, signed_at, date);
        } else if response.from_service() {
            session.on_success(date);
        }
        Failure::ErrorResponse(response)
    }

    /// Opens a connection and signs the request for it, or puts the secret into its path.
    async fn prepare(
        &self,
        request: Request,
        chunks: Vec<Bytes>,
        size: u64,
    ) -> Result<PreparedRequest<'_>, Failure> {
        match (&self.access, request.secret.clone()) {
            (Access::Signed(session), None) => {
                self.prepare_signed(session, request, chunks, size).await
            }
            (Access::Par(_), Some(secret)) => {
                let connection = self.transport.connect(&self.endpoint.general).await?;
                let target = secret.path(&request.target);
                let headers = request.headers.clone();
                Ok(self.ready(connection, request, target, headers, chunks, None))
            }
            _ => {
                let text = "a request has another kind of access than this run";
                Err(Failure::Local(Error::new(ErrorKind::Internal, text)))
            }
        }
    }

    /// A request with the headers and the body that it is sent with.
    fn ready<'a>(
        &self,
        connection: Connection<'a>,
        request: Request,
        target: Zeroizing<String>,
        mut headers: Vec<(String, String)>,
        chunks: Vec<Bytes>,
        signature: Option<Signature>,
    ) -> PreparedRequest<'a> {
        if let Some(id) = &self.client_request_id {
            headers.push(("opc-client-request-id".to_owned(), id.clone()));
        }
        headers::add_common(&mut headers, &request.body);
        let body = match request.body {
            RequestPayload::None => net::no_body(),
            RequestPayload::Json(bytes) => net::collect_small_body(bytes),
            RequestPayload::Stream { crc, .. } => {
                let body = RequestBody::new(chunks, crc, self.throttle.clone());
                body.counted(self.sent_bytes.clone())
            }
        };
        let head = net::RequestHead { method: request.method, target, headers };
        PreparedRequest { connection, head, body, signature }
    }
}

/// A request as a line of the debug output. Its headers are left out, since some are secret.
fn request_line(request: &Request) -> String {
    let (method, target) = (request.method, request.shown_target());
    match &request.body {
        RequestPayload::Stream { size, .. } => format!("{method} {target} ({size} bytes)"),
        _ => match request.headers.iter().find(|(name, _)| name == "range") {
            Some((_, range)) => format!("{method} {target} ({range})"),
            None => format!("{method} {target}"),
        },
    }
}

impl From<TransportFailure> for Failure {
    fn from(failure: TransportFailure) -> Failure {
        match failure {
            TransportFailure::Connection { kind, text, .. } => Failure::Transport { kind, text },
            TransportFailure::Local(error) => Failure::Local(error),
        }
    }
}

/// The service does nothing with a request whose body it has not received in whole, however its
/// connection failed.
fn mark_incomplete(failure: Failure, body: &net::BodyProgress) -> Failure {
    match failure {
        Failure::Transport {
            kind: TransportError::ResponseLost | TransportError::Timeout,
            text,
        } if !body.complete() => {
            Failure::Transport { kind: TransportError::RequestIncomplete, text }
        }
        failure => failure,
    }
}

/// A successful response whose body is not that of the API: a proxy has answered, or the connection
/// is broken.
pub(crate) fn invalid_response(error: proto::api::InvalidResponse) -> Failure {
    Failure::Transport {
        kind: TransportError::InvalidResponse,
        text: format!("the service answered {}", error.0),
    }
}
