//! One attempt of one call: connect, look at the credentials, sign, send, read the answer.
//!
//! Owns the order of these steps. Knows nothing of what the call is for or whether to try again.
//! Invariant: a request is signed after its connection stands and right before its first byte is
//! sent, with credentials that were looked at in that moment.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant, SystemTime};

use bytes::Bytes;

use crate::auth::environment::Environment;
use crate::auth::options::ServiceOptions;
use crate::auth::profile::Identity;
use crate::auth::session::{Credentials, RefreshConfig, Session, SignedAt, transport};
use crate::net::{self, Connection, RequestBody, Throttle, Transport, TransportFailure};
use crate::term::progress::Reporter;
use proto::api::{ErrorResponse, Request, RequestClass, RequestPayload, Response};
use proto::endpoint::ObjectStorage;
use proto::error::Error;
use proto::retry::Failure;
use proto::sign;
use proto::token_lifecycle::SigningRequest;
use proto::token_lifecycle::events::Level;
use proto::transport_error::TransportError;

/// Object Storage at one endpoint, with one identity.
pub struct Client {
    pub transport: Arc<Transport>,
    pub session: Arc<Session>,
    pub endpoint: ObjectStorage,
    pub throttle: Option<Arc<Throttle>>,
    pub connection_rate: ConnectionRate,
    pub reporter: Arc<Reporter>,
}

/// The rate at which single connections have moved parts so far.
#[derive(Default)]
pub struct ConnectionRate {
    bytes_per_second: AtomicU64,
}

impl ConnectionRate {
    fn observe(&self, bytes: u64, took: Duration) {
        // Small bodies say nothing about the line.
        if bytes >= 1 << 20 {
            let rate = bytes as f64 / took.as_secs_f64().max(1e-3);
            self.bytes_per_second.store(rate as u64, Ordering::Relaxed);
        }
    }

    /// How long a body will take, as far as is known.
    fn estimate(&self, bytes: u64) -> Option<Duration> {
        match self.bytes_per_second.load(Ordering::Relaxed) {
            0 => None,
            rate => Some(Duration::from_secs_f64(bytes as f64 / rate as f64)),
        }
    }
}

/// A successful answer, and the CRC-32 of the body as it was handed to the socket.
pub struct Success {
    pub response: Response,
    pub crc32: u32,
}

/// How long things may stand still.
#[derive(Debug, Clone, Copy)]
pub struct Timeouts {
    pub retry_for: Duration,
    pub stall_timeout: Duration,
}

/// A request signed for one attempt, and what it was signed with.
struct PreparedRequest<'a> {
    connection: Connection<'a>,
    head: net::RequestHead,
    body: RequestBody,
    signed: Signature,
}

/// What a request was signed with, and when.
struct Signature {
    credentials: Arc<Credentials>,
    date: SystemTime,
    at: Instant,
}

impl Client {
    /// Reads the identity and prepares the way to the service; sends nothing yet.
    pub fn open_session(
        options: &ServiceOptions,
        environment: &Environment,
        patience: Timeouts,
        reporter: &Arc<Reporter>,
    ) -> Result<Client, Error> {
        let identity = Identity::resolve(options, environment)?;
        for warning in &identity.warnings {
            reporter.warn(warning);
        }
        let Timeouts { retry_for, stall_timeout } = patience;
        let transport = Arc::new(Transport::new(&options.network, stall_timeout)?);
        for warning in transport.warnings() {
            reporter.warn(warning);
        }
        let endpoint = identity.object_storage.clone();
        let session = Arc::new(Session::open(identity)?);
        let told = reporter.clone();
        session.start_background_refresh(RefreshConfig {
            transport: Arc::new(SessionTransport { transport: transport.clone() }),
            retry_for,
            notify: Box::new(move |notice| match notice.level() {
                Level::Debug => told.debug(|| notice.to_string()),
                Level::Info => told.info(&notice.to_string()),
                Level::Warning => told.warn(&notice.to_string()),
            }),
        });
        let (throttle, rate, reporter) = (None, ConnectionRate::default(), reporter.clone());
        Ok(Client { transport, session, endpoint, throttle, connection_rate: rate, reporter })
    }

    /// One attempt; `chunks` is the stream body, where the request has one. `sent` becomes true
    /// right before the first byte leaves.
    pub async fn attempt(
        &self,
        request: Request,
        chunks: Vec<Bytes>,
        sent: &AtomicBool,
    ) -> Result<Success, Failure> {
        let what = self.reporter.is_debug().then(|| request_line(&request));
        let started = Instant::now();
        let result = self.try_once(request, chunks, sent).await;
        if let Some(what) = what {
            let took = started.elapsed().as_secs_f64();
            self.reporter.debug(|| match &result {
                Ok(Success { response: answer, .. }) => {
                    let id = answer.request_id().unwrap_or_default();
                    format!("{what}: {} in {took:.3} s (opc-request-id {id})", answer.status)
                }
                Err(failure) => format!("{}, after {took:.3} s", failure.message(&what)),
            });
        }
        result
    }

    async fn try_once(
        &self,
        request: Request,
        chunks: Vec<Bytes>,
        begun: &AtomicBool,
    ) -> Result<Success, Failure> {
        let size = match &request.body {
            RequestPayload::Stream(size) => *size,
            _ => 0,
        };
        let (answer, sent, started, signed) = loop {
            let PreparedRequest { connection, head, body, signed } =
                self.prepare(request.clone(), chunks.clone(), size).await?;
            let (sent, reused, started) = (body.sent(), connection.reused, Instant::now());
            begun.store(true, Ordering::Release);
            match connection.exchange(head, body).await {
                // An idle connection was closed just now, before a byte had left: that is no
                // failure of the service, and there are only so many idle connections.
                Err(TransportFailure::Connection { kind: TransportError::Connect, .. })
                    if reused =>
                {
                    begun.store(false, Ordering::Release);
                }
                Err(failure) => return Err(mark_incomplete(failure.into(), sent.complete())),
                Ok(answer) => break (answer, sent, started, signed),
            }
        };
        if !answer.is_success() {
            return Err(self.refused(&signed, ErrorResponse::of(&answer)));
        }
        self.session.on_success(date(&answer));
        if !sent.complete() {
            let text = "a success was answered before the whole body was sent".to_owned();
            return Err(Failure::Transport { kind: TransportError::InvalidResponse, text });
        }
        self.connection_rate.observe(size, started.elapsed());
        Ok(Success { response: answer, crc32: sent.crc32() })
    }

    /// One attempt at reading `wanted` bytes, appended to `sink` as they arrive.
    pub async fn send_and_classify(
        &self,
        request: Request,
        sink: &mut Vec<u8>,
        wanted: u64,
    ) -> Result<Response, Failure> {
        let PreparedRequest { connection, head, body, signed } =
            self.prepare(request, Vec::new(), wanted).await?;
        let before = sink.len();
        // An error's body is small, but may be more than the bytes that are wanted.
        let limit = (wanted as usize).max(64 << 10);
        let mut answer = connection.exchange_into(head, body, sink, limit).await?;
        if answer.status != 200 && answer.status != 206 {
            answer.body = sink.split_off(before);
            return Err(self.refused(&signed, ErrorResponse::of(&answer)));
        }
        self.session.on_success(date(&answer));
        Ok(answer)
    }

    /// Tells the session of a 401: what comes next is its to decide.
    fn refused(&self, signed: &Signature, refusal: ErrorResponse) -> Failure {
        let date = refusal.date.as_deref().and_then(|d| httpdate::parse_http_date(d).ok());
        if refusal.status == 401 {
            let at = SignedAt { date: signed.date, at: signed.at };
            self.session.on_unauthorized(&signed.credentials, at, date);
        } else if refusal.from_service() {
            self.session.on_success(date);
        }
        Failure::ErrorResponse(refusal)
    }

    /// A connection, and the request signed for it right now. Waiting for credentials comes before
    /// connecting, since a connection does not keep for so long; they are looked at again after.
    async fn prepare(
        &self,
        request: Request,
        chunks: Vec<Bytes>,
        size: u64,
    ) -> Result<PreparedRequest<'_>, Failure> {
        let attempt = match request.class {
            RequestClass::Small => SigningRequest::Small,
            RequestClass::Transfer(of) => {
                SigningRequest::Transfer { of, takes: self.connection_rate.estimate(size) }
            }
            RequestClass::Abort => SigningRequest::Abort,
        };
        self.session.wait_until_ready(attempt).await.map_err(Failure::Credentials)?;
        let endpoint = self.endpoint.endpoint(&request.target).map_err(Failure::Local)?;
        let target = endpoint.target(&request.target);
        let connection = self.transport.connect(&endpoint).await?;
        let credentials = self.session.credentials(attempt).await.map_err(Failure::Credentials)?;
        let (signed_on, at) = (self.session.signing_date(), Instant::now());
        let date = httpdate::fmt_http_date(signed_on);
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
                path_and_query: &target,
                host: Some(&endpoint.authority),
                date: &date,
                body: json
                    .map(|bytes| sign::SignedBody { content_type: "application/json", bytes }),
            },
        );
        let mut headers = request.headers;
        headers.extend(signed.headers.into_iter().map(|(n, v)| (n.to_owned(), v)));
        common(&mut headers, &request.body);
        let body = match request.body {
            RequestPayload::None => net::no_body(),
            RequestPayload::Json(bytes) => net::collect_small_body(bytes),
            RequestPayload::Stream(_) => RequestBody::new(chunks, self.throttle.clone()),
        };
        let head = net::RequestHead { method: request.method, target, headers };
        let signed = Signature { credentials, date: signed_on, at };
        Ok(PreparedRequest { connection, head, body, signed })
    }
}

/// The way of the session's own small requests.
pub struct SessionTransport {
    pub transport: Arc<Transport>,
}

impl transport::AuthTransport for SessionTransport {
    fn exchange(&self, request: transport::AuthRequest) -> transport::Exchange<'_> {
        Box::pin(async move {
            let words = |failure: TransportFailure| format!("the auth service: {failure}");
            let connection = self.transport.connect(&request.endpoint).await.map_err(words)?;
            let headers = request.headers.into_iter().map(|(n, v)| (n.to_owned(), v)).collect();
            let head = net::RequestHead { method: request.method, target: request.target, headers };
            let body = net::collect_small_body(request.body.to_vec());
            let answer = connection.exchange(head, body).await.map_err(words)?;
            Ok(transport::AuthResponse {
                status: answer.status,
                date: date(&answer),
                body: answer.body,
            })
        })
    }
}

/// When an answer was made, by the clock of who made it.
fn date(answer: &Response) -> Option<SystemTime> {
    httpdate::parse_http_date(answer.header("date")?).ok()
}

/// A request in the words of a log: none of its headers, since some are secrets.
fn request_line(request: &Request) -> String {
    match &request.body {
        RequestPayload::Stream(size) => {
            format!("{} {} ({size} bytes)", request.method, request.target)
        }
        _ => format!("{} {}", request.method, request.target),
    }
}

/// Headers that every request carries.
fn common(headers: &mut Vec<(String, String)>, body: &RequestPayload) {
    let mut add = |name: &str, value: String| {
        if !headers.iter().any(|(n, _)| n == name) {
            headers.push((name.to_owned(), value));
        }
    };
    add("accept", "application/json".to_owned());
    add("user-agent", concat!("ocipipe/", env!("CARGO_PKG_VERSION")).to_owned());
    if let RequestPayload::Stream(size) = body {
        add("content-length", size.to_string());
    }
}

impl From<TransportFailure> for Failure {
    fn from(failure: TransportFailure) -> Failure {
        match failure {
            TransportFailure::Connection { kind, text } => Failure::Transport { kind, text },
            TransportFailure::Local(error) => Failure::Local(error),
        }
    }
}

/// A request whose body has not left whole has had no effect, whatever became of its connection.
fn mark_incomplete(failure: Failure, complete: bool) -> Failure {
    match failure {
        Failure::Transport {
            kind: TransportError::ResponseLost | TransportError::Timeout,
            text,
        } if !complete => Failure::Transport { kind: TransportError::RequestIncomplete, text },
        failure => failure,
    }
}

/// Turns a body that cannot be read into a failure of the transport: it is not the API speaking.
pub fn invalid_response(e: proto::api::InvalidResponse) -> Failure {
    Failure::Transport {
        kind: TransportError::InvalidResponse,
        text: format!("the service answered {}", e.0),
    }
}
