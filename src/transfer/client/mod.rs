//! One attempt of one request: connect, check the credentials, sign, send, read the response.
//!
//! Owns the order of these steps. Must not know what the request is for or whether it is retried.
//! Invariant: a request is signed after its connection is open and right before its first byte is
//! sent, with credentials that were checked at that moment.

mod open;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Instant, SystemTime};

use bytes::Bytes;

use super::connection_rate::ConnectionRate;
use super::headers;
use crate::auth::session::{Credentials, DelegationToken, Session, SignedAt};
use crate::net::{self, BodySink, Connection, RequestBody, Throttle, Transport, TransportFailure};
use crate::term::progress::Reporter;
use proto::api::{ErrorResponse, Request, RequestClass, RequestPayload, Response};
use proto::endpoint::ObjectStorage;
use proto::request_fields::RequestFields;
use proto::retry::Failure;
use proto::sign;
use proto::token_lifecycle::SigningRequest;
use proto::transport_error::TransportError;

pub use self::open::Timeouts;

/// Object Storage at one endpoint, with one identity.
pub struct Client {
    pub transport: Arc<Transport>,
    pub session: Arc<Session>,
    pub endpoint: ObjectStorage,
    /// The limit of the bandwidth of all stream bodies together.
    pub throttle: Option<Arc<Throttle>>,
    pub connection_rate: ConnectionRate,
    pub reporter: Arc<Reporter>,
    /// The header `opc-client-request-id` of each request.
    pub client_request_id: Option<String>,
}

/// A successful response, and the CRC-32 of the request body as it was written to the socket.
pub struct Success {
    pub response: Response,
    pub crc32: u32,
}

/// A request that is signed for one attempt, and its connection.
struct PreparedRequest<'a> {
    connection: Connection<'a>,
    head: net::RequestHead,
    body: RequestBody,
    signature: Signature,
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
        let success = self.attempt(request, Vec::new(), &AtomicBool::new(false)).await?;
        Ok(success.response)
    }

    /// One attempt. `chunks` is the stream body, where the request has one. `sent` becomes true right
    /// before the first byte is sent. Fails where there are no credentials, where the connection
    /// fails, and where the response is not a success.
    pub async fn attempt(
        &self,
        request: Request,
        chunks: Vec<Bytes>,
        sent: &AtomicBool,
    ) -> Result<Success, Failure> {
        let line = self.reporter.is_debug().then(|| request_line(&request));
        let started_at = Instant::now();
        let result = self.send_once(request, chunks, sent).await;
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
        sent: &AtomicBool,
    ) -> Result<Success, Failure> {
        let size = match &request.body {
            RequestPayload::Stream(size) => *size,
            _ => 0,
        };
        let (response, body_sent, started_at, signature) = loop {
            let PreparedRequest { connection, head, body, signature } =
                self.prepare(request.clone(), chunks.clone(), size).await?;
            let (body_sent, reused) = (body.sent(), connection.reused);
            let started_at = Instant::now();
            sent.store(true, Ordering::Release);
            match connection.exchange(head, body).await {
                // The service closed an idle connection before a byte was sent. That is no failure
                // of the service, and the number of idle connections bounds the repetitions.
                Err(TransportFailure::Connection { kind: TransportError::Connect, .. })
                    if reused =>
                {
                    sent.store(false, Ordering::Release);
                }
                Err(failure) => return Err(mark_incomplete(failure.into(), &body_sent)),
                Ok(response) => break (response, body_sent, started_at, signature),
            }
        };
        if !response.is_success() {
            return Err(self.on_error_response(&signature, ErrorResponse::of(&response)));
        }
        self.session.on_success(headers::date(&response));
        if !body_sent.complete() {
            let text = "a success was answered before the whole body was sent".to_owned();
            return Err(Failure::Transport { kind: TransportError::InvalidResponse, text });
        }
        self.connection_rate.observe(size, started_at.elapsed());
        Ok(Success { response, crc32: body_sent.crc32() })
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
                                return Err(self.on_error_response(&signature, response));
                            }
                            self.session.on_success(headers::date(&response));
                            Ok(response)
                        }),
                    );
                }
            };
        }
    }

    /// Notifies the session of an error response: it decides what follows a 401.
    fn on_error_response(&self, signature: &Signature, response: ErrorResponse) -> Failure {
        let date = response.date.as_deref().and_then(|text| httpdate::parse_http_date(text).ok());
        if response.status == 401 {
            let signed_at = SignedAt { date: signature.date, at: signature.at };
            self.session.on_unauthorized(&signature.credentials, signed_at, date);
        } else if response.from_service() {
            self.session.on_success(date);
        }
        Failure::ErrorResponse(response)
    }

    /// Opens a connection and signs the request for it. The wait for credentials comes first, since
    /// an idle connection does not stay open that long; they are checked again after it is open.
    async fn prepare(
        &self,
        request: Request,
        chunks: Vec<Bytes>,
        size: u64,
    ) -> Result<PreparedRequest<'_>, Failure> {
        let class = match request.class {
            RequestClass::Small => SigningRequest::Small,
            RequestClass::Transfer(transfer_id) => SigningRequest::Transfer {
                transfer_id,
                estimate: self.connection_rate.estimate(size),
            },
            RequestClass::Abort => SigningRequest::Abort,
        };
        self.session.wait_until_ready(class).await.map_err(Failure::Credentials)?;
        let endpoint = self.endpoint.endpoint(&request.target).map_err(Failure::Local)?;
        let target = endpoint.target(&request.target);
        let connection = self.transport.connect(&endpoint).await?;
        let credentials = self.session.credentials(class).await.map_err(Failure::Credentials)?;
        let (date, at) = (self.session.signing_date(), Instant::now());
        let signed_headers =
            sign_request(&request, &credentials, &target, &endpoint.authority, date);
        let mut all_headers = request.headers;
        all_headers.extend(signed_headers);
        if let Some(id) = &self.client_request_id {
            all_headers.push(("opc-client-request-id".to_owned(), id.clone()));
        }
        headers::add_common(&mut all_headers, &request.body);
        let body = match request.body {
            RequestPayload::None => net::no_body(),
            RequestPayload::Json(bytes) => net::collect_small_body(bytes),
            RequestPayload::Stream(_) => RequestBody::new(chunks, self.throttle.clone()),
        };
        let head = net::RequestHead { method: request.method, target, headers: all_headers };
        let signature = Signature { credentials, date, at };
        Ok(PreparedRequest { connection, head, body, signature })
    }
}

/// The headers that sign a request: date, host, digest of the body and authorization.
fn sign_request(
    request: &Request,
    credentials: &Credentials,
    target: &str,
    authority: &str,
    date: SystemTime,
) -> Vec<(String, String)> {
    let json = match &request.body {
        RequestPayload::Json(bytes) => Some(bytes.as_slice()),
        _ if request.method == "POST" => Some(&b""[..]),
        _ => None,
    };
    let signed = sign::authorize(
        &credentials.key_id,
        &credentials.key,
        &sign::SignedRequest {
            method: request.method,
            path_and_query: target,
            host: Some(authority),
            date: &httpdate::fmt_http_date(date),
            delegation: credentials.delegation_token.as_ref().map(DelegationToken::secret),
            body: json.map(|bytes| sign::SignedBody { content_type: "application/json", bytes }),
        },
    );
    headers::owned(signed.headers)
}

/// A request as a line of the debug output. Its headers are left out, since some are secret.
fn request_line(request: &Request) -> String {
    match &request.body {
        RequestPayload::Stream(size) => {
            format!("{} {} ({size} bytes)", request.method, request.target)
        }
        _ => match request.headers.iter().find(|(name, _)| name == "range") {
            Some((_, range)) => format!("{} {} ({range})", request.method, request.target),
            None => format!("{} {}", request.method, request.target),
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
pub fn invalid_response(error: proto::api::InvalidResponse) -> Failure {
    Failure::Transport {
        kind: TransportError::InvalidResponse,
        text: format!("the service answered {}", error.0),
    }
}
