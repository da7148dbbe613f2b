//! One attempt of one call: connect, look at the credentials, sign, send, read the answer.
//!
//! Owns the order of these steps. Knows nothing of what the call is for or whether to try again.
//! Invariant: a request is signed after its connection stands and right before its first byte is
//! sent, with credentials that were looked at in that moment.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant, SystemTime};

use bytes::Bytes;

use crate::cli::Environment;
use crate::error::Error;
use crate::http::{self, Connection, RequestBody, Throttle, Transport};
use crate::oci::api::{Answer, Body, Refusal, Request, Sort};
use crate::oci::endpoint::ObjectStorage;
use crate::oci::lifecycle::Attempt;
use crate::oci::lifecycle::notice::Level;
use crate::oci::options::ServiceOptions;
use crate::oci::profile::Identity;
use crate::oci::session::{Credentials, Session, Upkeep, transport};
use crate::oci::sign;
use crate::progress::Reporter;
use crate::retry::{Break, Failure};

/// Object Storage at one endpoint, with one identity.
pub struct Service {
    pub transport: Arc<Transport>,
    pub session: Arc<Session>,
    pub endpoint: ObjectStorage,
    pub throttle: Option<Arc<Throttle>>,
    pub rate: Rate,
    pub reporter: Arc<Reporter>,
}

/// The rate at which single connections have moved parts so far.
#[derive(Default)]
pub struct Rate {
    bytes_per_second: AtomicU64,
}

impl Rate {
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
pub struct Done {
    pub answer: Answer,
    pub crc32: u32,
}

/// How long things may stand still.
#[derive(Debug, Clone, Copy)]
pub struct Patience {
    pub retry_for: Duration,
    pub stall_timeout: Duration,
}

/// A request signed for one attempt, and what it was signed with.
struct Ready<'a> {
    connection: Connection<'a>,
    head: http::Head,
    body: RequestBody,
    signed: Signed,
}

/// What a request was signed with, and when.
struct Signed {
    credentials: Arc<Credentials>,
    date: SystemTime,
    at: Instant,
}

impl Service {
    /// Reads the identity and prepares the way to the service; sends nothing yet.
    pub fn open(
        options: &ServiceOptions,
        environment: &Environment,
        patience: Patience,
        reporter: &Arc<Reporter>,
    ) -> Result<Service, Error> {
        let identity = Identity::resolve(options, environment)?;
        for warning in &identity.warnings {
            reporter.warn(warning);
        }
        let Patience { retry_for, stall_timeout } = patience;
        let transport = Arc::new(Transport::new(&options.network, stall_timeout)?);
        for warning in transport.warnings() {
            reporter.warn(warning);
        }
        let endpoint = identity.object_storage.clone();
        let session = Arc::new(Session::open(identity)?);
        let told = reporter.clone();
        session.keep(Upkeep {
            transport: Arc::new(Carrier { transport: transport.clone() }),
            retry_for,
            tell: Box::new(move |notice| match notice.level() {
                Level::Debug => told.debug(|| notice.to_string()),
                Level::Info => told.note(&notice.to_string()),
                Level::Warning => told.warn(&notice.to_string()),
            }),
        });
        let (throttle, rate, reporter) = (None, Rate::default(), reporter.clone());
        Ok(Service { transport, session, endpoint, throttle, rate, reporter })
    }

    /// One attempt; `chunks` is the stream body, where the request has one. `sent` becomes true
    /// right before the first byte leaves.
    pub async fn attempt(
        &self,
        request: Request,
        chunks: Vec<Bytes>,
        sent: &AtomicBool,
    ) -> Result<Done, Failure> {
        let what = self.reporter.debugs().then(|| describe(&request));
        let started = Instant::now();
        let result = self.try_once(request, chunks, sent).await;
        if let Some(what) = what {
            let took = started.elapsed().as_secs_f64();
            self.reporter.debug(|| match &result {
                Ok(Done { answer, .. }) => {
                    let id = answer.request_id().unwrap_or_default();
                    format!("{what}: {} in {took:.3} s (opc-request-id {id})", answer.status)
                }
                Err(failure) => format!("{}, after {took:.3} s", failure.what(&what)),
            });
        }
        result
    }

    async fn try_once(
        &self,
        request: Request,
        chunks: Vec<Bytes>,
        begun: &AtomicBool,
    ) -> Result<Done, Failure> {
        let size = match &request.body {
            Body::Stream(size) => *size,
            _ => 0,
        };
        let (answer, sent, started, signed) = loop {
            let Ready { connection, head, body, signed } =
                self.ready(request.clone(), chunks.clone(), size).await?;
            let (sent, reused, started) = (body.sent(), connection.reused, Instant::now());
            begun.store(true, Ordering::Release);
            match connection.exchange(head, body).await {
                // An idle connection was closed just now, before a byte had left: that is no
                // failure of the service, and there are only so many idle connections.
                Err(Failure::Transport { how: Break::Connect, .. }) if reused => {
                    begun.store(false, Ordering::Release);
                }
                Err(failure) => return Err(unfinished(failure, sent.complete())),
                Ok(answer) => break (answer, sent, started, signed),
            }
        };
        if !answer.succeeded() {
            return Err(self.refused(&signed, Refusal::of(&answer)));
        }
        self.session.accepted(date(&answer));
        if !sent.complete() {
            let text = "a success was answered before the whole body was sent".to_owned();
            return Err(Failure::Transport { how: Break::Garbage, text });
        }
        self.rate.observe(size, started.elapsed());
        Ok(Done { answer, crc32: sent.crc32() })
    }

    /// One attempt at reading `wanted` bytes, appended to `sink` as they arrive.
    pub async fn fetch(
        &self,
        request: Request,
        sink: &mut Vec<u8>,
        wanted: u64,
    ) -> Result<Answer, Failure> {
        let Ready { connection, head, body, signed } =
            self.ready(request, Vec::new(), wanted).await?;
        let before = sink.len();
        // An error's body is small, but may be more than the bytes that are wanted.
        let limit = (wanted as usize).max(64 << 10);
        let mut answer = connection.exchange_into(head, body, sink, limit).await?;
        if answer.status != 200 && answer.status != 206 {
            answer.body = sink.split_off(before);
            return Err(self.refused(&signed, Refusal::of(&answer)));
        }
        self.session.accepted(date(&answer));
        Ok(answer)
    }

    /// Tells the session of a 401: what comes next is its to decide.
    fn refused(&self, signed: &Signed, refusal: Refusal) -> Failure {
        let date = refusal.date.as_deref().and_then(|d| httpdate::parse_http_date(d).ok());
        if refusal.status == 401 {
            self.session.refused(&signed.credentials, (signed.date, signed.at), date);
        } else if refusal.from_service() {
            self.session.accepted(date);
        }
        Failure::Refused(refusal)
    }

    /// A connection, and the request signed for it right now. Waiting for credentials comes before
    /// connecting, since a connection does not keep for so long; they are looked at again after.
    async fn ready(
        &self,
        request: Request,
        chunks: Vec<Bytes>,
        size: u64,
    ) -> Result<Ready<'_>, Failure> {
        let attempt = match request.sort {
            Sort::Small => Attempt::Small,
            Sort::Transfer(of) => Attempt::Transfer { of, takes: self.rate.estimate(size) },
            Sort::Abort => Attempt::Abort,
        };
        self.session.ready(attempt).await.map_err(Failure::Credentials)?;
        let endpoint = self.endpoint.endpoint(&request.target).map_err(Failure::Local)?;
        let target = endpoint.target(&request.target);
        let connection = self.transport.connect(&endpoint).await?;
        let credentials = self.session.credentials(attempt).await.map_err(Failure::Credentials)?;
        let (signed_on, at) = (self.session.signing_date(), Instant::now());
        let date = httpdate::fmt_http_date(signed_on);
        let json = match &request.body {
            Body::Json(bytes) => Some(bytes.as_slice()),
            _ if request.method == "POST" => Some(&b""[..]),
            _ => None,
        };
        let signed = sign::authorize(
            &credentials.key_id,
            &credentials.key,
            &sign::Head {
                method: request.method,
                target: &target,
                host: Some(&endpoint.authority),
                date: &date,
                body: json.map(|bytes| sign::Body { content_type: "application/json", bytes }),
            },
        );
        let mut headers = request.headers;
        headers.extend(signed.headers.into_iter().map(|(n, v)| (n.to_owned(), v)));
        common(&mut headers, &request.body);
        let body = match request.body {
            Body::None => http::empty(),
            Body::Json(bytes) => http::small(bytes),
            Body::Stream(_) => RequestBody::new(chunks, self.throttle.clone()),
        };
        let head = http::Head { method: request.method, target, headers };
        let signed = Signed { credentials, date: signed_on, at };
        Ok(Ready { connection, head, body, signed })
    }
}

/// The way of the session's own small requests.
pub struct Carrier {
    pub transport: Arc<Transport>,
}

impl transport::Transport for Carrier {
    fn exchange(&self, request: transport::Request) -> transport::Exchange<'_> {
        Box::pin(async move {
            let words = |failure: Failure| failure.what("the auth service");
            let connection = self.transport.connect(&request.endpoint).await.map_err(words)?;
            let headers = request.headers.into_iter().map(|(n, v)| (n.to_owned(), v)).collect();
            let head = http::Head { method: request.method, target: request.target, headers };
            let body = http::small(request.body.to_vec());
            let answer = connection.exchange(head, body).await.map_err(words)?;
            Ok(transport::Response {
                status: answer.status,
                date: date(&answer),
                body: answer.body,
            })
        })
    }
}

/// When an answer was made, by the clock of who made it.
fn date(answer: &Answer) -> Option<SystemTime> {
    httpdate::parse_http_date(answer.header("date")?).ok()
}

/// A request in the words of a log: none of its headers, since some are secrets.
fn describe(request: &Request) -> String {
    match &request.body {
        Body::Stream(size) => format!("{} {} ({size} bytes)", request.method, request.target),
        _ => format!("{} {}", request.method, request.target),
    }
}

/// Headers that every request carries.
fn common(headers: &mut Vec<(String, String)>, body: &Body) {
    let mut add = |name: &str, value: String| {
        if !headers.iter().any(|(n, _)| n == name) {
            headers.push((name.to_owned(), value));
        }
    };
    add("accept", "application/json".to_owned());
    add("user-agent", concat!("ocipipe/", env!("CARGO_PKG_VERSION")).to_owned());
    if let Body::Stream(size) = body {
        add("content-length", size.to_string());
    }
}

/// A request whose body has not left whole has had no effect, whatever became of its connection.
fn unfinished(failure: Failure, complete: bool) -> Failure {
    match failure {
        Failure::Transport { how: Break::Lost | Break::Stalled, text } if !complete => {
            Failure::Transport { how: Break::Unfinished, text }
        }
        failure => failure,
    }
}

/// Turns a body that cannot be read into a failure of the transport: it is not the API speaking.
pub fn unreadable(e: crate::oci::api::Unreadable) -> Failure {
    Failure::Transport { how: Break::Garbage, text: format!("the service answered {}", e.0) }
}
