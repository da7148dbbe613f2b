//! Connections to the service: a request and its body out, a response or a failure in.
//!
//! Owns sockets, TLS, proxies, the idle connections and the stall watchdog. Reads the network
//! options of `auth`; knows nothing of signatures, of retries or of the meaning of a response.
//! Invariant: a connection is used again only after a complete exchange in which both sides kept to
//! the protocol.

mod body;
mod body_progress;
mod cert_store;
mod connect;
mod connection_threads;
mod direct_body;
mod failure;
mod http1;
mod proxy;
mod proxy_tunnel;
mod resolver;
mod response_body;
mod send_queue;
mod socket;
mod tcp;
#[cfg(test)]
mod tests;
mod tls_buffer;
mod tls_seal;
mod tls_stream;
mod watchdog;

use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use bytes::Bytes;
use zeroize::Zeroizing;

use crate::auth::options::NetworkOptions;
use proto::api::Response;
use proto::digest::BufferCrc;
use proto::endpoint::Endpoint;
use proto::error::{Error, ErrorKind};
use proto::transport_error::TransportError;

pub(crate) use body::{RequestBody, Throttle};
pub(crate) use body_progress::BodyProgress;
use connect::Connector;
use connection_threads::ConnectionThreads;
pub(crate) use failure::TransportFailure;
use http1::{AbandonOnDrop, AbortOnDrop, Http1Connection};
pub(crate) use response_body::{BodySink, BodyUse};
use response_body::{Flow, NoSink};

/// A connection that was idle for longer is not used again: the server is likely to have closed it.
const MAX_IDLE: Duration = Duration::from_secs(20);
/// How long a connection may take to become ready after a response; one that takes longer is
/// closed.
const QUIESCE_TIMEOUT: Duration = Duration::from_millis(20);

/// Connections to the service, its auth service and other endpoints of one run.
pub struct Transport {
    connector: Arc<Connector>,
    stall_timeout: Duration,
    idle: Mutex<Vec<IdleConnection>>,
    threads: ConnectionThreads,
}

struct IdleConnection {
    authority: String,
    since: Instant,
    connection: Http1Connection,
}

/// A connection taken for one exchange.
pub struct Connection<'a> {
    transport: &'a Transport,
    authority: String,
    http1: Http1Connection,
    /// The connection was idle, so the server may be closing it.
    pub reused: bool,
    /// How far the addresses were rotated for it.
    rotation: usize,
}

/// A signed request without its body.
pub struct RequestHead {
    pub method: &'static str,
    /// Path and query, as on the request line. That of a pre-authenticated request is a secret.
    pub target: Zeroizing<String>,
    pub headers: Vec<(String, String)>,
}

impl Transport {
    /// Opens no connection. An exchange in which no byte moves for `stall_timeout` fails;
    /// connecting to one address takes no longer either.
    ///
    /// # Errors
    ///
    /// A certificate bundle or a proxy that cannot be read.
    pub fn new(network: &NetworkOptions, stall_timeout: Duration) -> Result<Transport, Error> {
        Ok(Transport {
            connector: Arc::new(Connector::new(network, stall_timeout)?),
            stall_timeout,
            idle: Mutex::default(),
            threads: ConnectionThreads::default(),
        })
    }

    /// Other connections, which go through no proxy and trust the same certificates. The stall timeout is
    /// theirs.
    pub(crate) fn without_proxy(&self, stall_timeout: Duration) -> Transport {
        Transport {
            connector: Arc::new(self.connector.without_proxy(stall_timeout)),
            stall_timeout,
            idle: Mutex::default(),
            threads: ConnectionThreads::default(),
        }
    }

    /// Warnings about the proxy settings, for the caller to print at the start.
    pub fn warnings(&self) -> &[String] {
        self.connector.warnings()
    }

    /// A connection to an endpoint: an idle one, or a new one, for which the name is resolved
    /// again.
    ///
    /// # Errors
    ///
    /// No connection, tunnel or TLS session was made; nothing was sent.
    pub async fn connect(&self, endpoint: &Endpoint) -> Result<Connection<'_>, TransportFailure> {
        let authority = endpoint.origin();
        if let Some(http1) = self.take_idle(&authority) {
            return Ok(Connection { transport: self, authority, http1, reused: true, rotation: 0 });
        }
        let (connector, thread) = (self.connector.clone(), self.threads.lease());
        let rotation = connector.rotation(&authority);
        let http1 = Http1Connection::open(connector, endpoint.clone(), rotation, thread).await?;
        Ok(Connection { transport: self, authority, http1, reused: false, rotation })
    }

    fn take_idle(&self, authority: &str) -> Option<Http1Connection> {
        let mut idle = self.idle.lock().unwrap_or_else(PoisonError::into_inner);
        idle.retain(|i| i.since.elapsed() < MAX_IDLE && i.connection.sender.is_ready());
        let index = idle.iter().rposition(|i| i.authority == authority)?;
        Some(idle.swap_remove(index).connection)
    }

    fn return_idle(&self, authority: String, connection: Http1Connection) {
        let mut idle = self.idle.lock().unwrap_or_else(PoisonError::into_inner);
        idle.push(IdleConnection { authority, since: Instant::now(), connection });
    }
}

impl Connection<'_> {
    /// Runs a job that takes milliseconds on the thread of the connection.
    ///
    /// # Errors
    ///
    /// The thread failed within itself.
    pub async fn run_on_its_thread<T: Send + 'static>(
        &self,
        job: impl FnOnce() -> T + Send + 'static,
    ) -> Result<T, TransportFailure> {
        let done = self.http1.thread.spawn(async move { job() }).await;
        done.map_err(|_| failed_within_itself())
    }

    /// One exchange whose response has a small body. A connection without a fault becomes idle.
    ///
    /// # Errors
    ///
    /// The connection failed, no byte moved for the stall timeout, the response took five of them, is
    /// not HTTP or has a longer body than a document. An HTTP error status is a response and not an error.
    pub async fn exchange(
        self,
        head: RequestHead,
        body: RequestBody,
    ) -> Result<Response, TransportFailure> {
        let Connection { transport, authority, mut http1, reused, rotation } = self;
        let first = (!reused).then_some(rotation);
        let (sent, mut sink) = (body.sent(), NoSink::of(head.method));
        let request = http_request(head, body)?;
        let stall_timeout = transport.stall_timeout;
        let result = perform(&mut http1, request, &mut sink, None, stall_timeout).await;
        transport.note_failure(&authority, first, &result);
        transport.keep_if_sound(authority, http1, sent.complete(), result).await
    }

    /// One exchange whose response has bytes for `sink`, which gets them as they arrive and comes
    /// back with those that arrived before a failure. The exchange runs on the thread of the
    /// connection; the sink does not come back where that thread fails within itself.
    ///
    /// # Errors
    ///
    /// As of [`Connection::exchange`]; a body longer than the space of the sink is an invalid
    /// response.
    pub async fn exchange_into<S: BodySink>(
        self,
        head: RequestHead,
        mut sink: S,
        throttle: Option<Arc<Throttle>>,
    ) -> (Option<S>, Result<Response, TransportFailure>) {
        let Connection { transport, authority, mut http1, reused, rotation } = self;
        let first = (!reused).then_some(rotation);
        let request = match http_request(head, no_body()) {
            Ok(request) => request,
            Err(failure) => return (Some(sink), Err(failure)),
        };
        let (stall_timeout, thread) = (transport.stall_timeout, http1.thread.clone());
        let mut task = AbortOnDrop(thread.spawn(async move {
            let throttle = throttle.as_ref();
            let result = perform(&mut http1, request, &mut sink, throttle, stall_timeout).await;
            (http1, sink, result)
        }));
        let Ok((http1, sink, result)) = (&mut task.0).await else {
            return (None, Err(failed_within_itself()));
        };
        transport.note_failure(&authority, first, &result);
        (Some(sink), transport.keep_if_sound(authority, http1, true, result).await)
    }
}

impl Transport {
    /// The next connection tries another address first, if the first exchange of a new one, with the rotation
    /// `first`, has failed.
    fn note_failure(
        &self,
        authority: &str,
        first: Option<usize>,
        result: &Result<Response, TransportFailure>,
    ) {
        if let (Some(rotation), Err(TransportFailure::Connection { .. })) = (first, result) {
            self.connector.on_failure(authority, rotation);
        }
    }

    /// Makes a connection idle after a complete exchange. `sent` is whether the whole request was
    /// sent.
    async fn keep_if_sound(
        &self,
        authority: String,
        mut http1: Http1Connection,
        sent: bool,
        result: Result<Response, TransportFailure>,
    ) -> Result<Response, TransportFailure> {
        let response = result?;
        // After a response that came before the end of the body the rest of the body is still owed:
        // that connection is not used again. Any other needs a moment until hyper has seen that
        // both sides are done, or that the server closes; an idle one before that would look
        // broken.
        http1.busy = !sent;
        let ready = tokio::time::timeout(QUIESCE_TIMEOUT, http1.sender.ready());
        if sent && matches!(ready.await, Ok(Ok(()))) {
            self.return_idle(authority, http1);
        }
        Ok(response)
    }
}

/// Sends the request and reads the response; a body that the sink accepts goes there.
async fn perform<S: BodySink>(
    http1: &mut Http1Connection,
    request: hyper::Request<RequestBody>,
    sink: &mut S,
    throttle: Option<&Arc<Throttle>>,
    stall_timeout: Duration,
) -> Result<Response, TransportFailure> {
    let (activity, sent) = (http1.activity.clone(), request.body().sent());
    http1.busy = true;
    let exchange = AbandonOnDrop::new(activity.clone(), async {
        let response =
            http1.sender.send_request(request).await.map_err(|e| transport_failure(&e))?;
        let (parts, body) = response.into_parts();
        let mut response = response_body::head(&parts);
        match sink.accept(&response) {
            BodyUse::Accepted => {
                activity.expect_object();
                let flow = Flow { throttle, activity: &activity };
                match direct_body::framing(&parts, &body) {
                    Some(framing) => direct_body::read(http1, framing, body, sink, flow).await?,
                    None => response_body::pass_on(body, sink, flow).await?,
                }
            }
            BodyUse::Collected { limit } => {
                let success = response.is_success();
                response.body = response_body::collect(body, limit, success).await?;
            }
            BodyUse::Refused => {
                let text = format!("HTTP {} is not what was asked for", response.status);
                return Err(TransportFailure::new(TransportError::InvalidResponse, text));
            }
        }
        Ok(response)
    });
    activity.watch(stall_timeout, &sent, exchange).await
}

fn failed_within_itself() -> TransportFailure {
    let text = "the thread of a connection failed within itself";
    TransportFailure::Local(Error::new(ErrorKind::Internal, text))
}

fn http_request(
    head: RequestHead,
    body: RequestBody,
) -> Result<hyper::Request<RequestBody>, TransportFailure> {
    let mut request = hyper::Request::builder().method(head.method).uri(head.target.as_str());
    for (name, value) in &head.headers {
        request = request.header(name, value);
    }
    request.body(body).map_err(|e| {
        TransportFailure::Local(Error::usage(format!("a request cannot be made of this: {e}")))
    })
}

fn transport_failure(error: &hyper::Error) -> TransportFailure {
    let kind = match error {
        _ if error.is_parse() => TransportError::InvalidResponse,
        // hyper reports this only for a request that it has not begun to send.
        _ if error.is_canceled() => TransportError::Connect,
        _ => TransportError::ResponseLost,
    };
    let text = match kind {
        TransportError::InvalidResponse => {
            format!("what came back is not HTTP: {}", error_text(error))
        }
        _ => format!("the connection was lost: {}", error_text(error)),
    };
    TransportFailure::new(kind, text)
}

/// An error with its causes, without those that its text contains already.
fn error_text(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        let cause_text = cause.to_string();
        if !text.contains(&cause_text) {
            text = format!("{text}: {cause_text}");
        }
        source = cause.source();
    }
    text
}

/// An empty body.
pub(crate) fn no_body() -> RequestBody {
    RequestBody::new(Vec::new(), BufferCrc::Crc32, None)
}

/// A body of bytes in memory, without a bandwidth limit.
pub(crate) fn collect_small_body(bytes: Vec<u8>) -> RequestBody {
    RequestBody::new(vec![Bytes::from(bytes)], BufferCrc::Crc32, None)
}
