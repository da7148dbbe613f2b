//! Connections to the service: a request and its body out, a response or a failure in.
//!
//! Owns sockets, TLS, proxies, the idle connections and the stall watchdog. Reads the network
//! options of `auth`; knows nothing of signatures, of retries or of the meaning of a response.
//! Invariant: a connection is used again only after a complete exchange in which both sides kept to
//! the protocol.

mod body;
mod cert_store;
mod connect;
mod connection_threads;
mod failure;
mod http1;
mod proxy;
mod proxy_tunnel;
mod resolver;
mod send_queue;
mod socket;
mod tcp;
#[cfg(test)]
mod tests;
mod watchdog;

use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use bytes::Bytes;
use http_body_util::BodyExt;

use crate::auth::options::NetworkOptions;
use proto::api::Response;
use proto::endpoint::Endpoint;
use proto::error::Error;
use proto::transport_error::TransportError;

pub use body::{BodyProgress, RequestBody, Throttle};
use connect::Connector;
use connection_threads::ConnectionThreads;
pub use failure::TransportFailure;
use http1::{AbandonOnDrop, Http1Connection};

/// A connection that was idle for longer is not used again: the server is likely to have closed it.
const MAX_IDLE: Duration = Duration::from_secs(20);
/// How long a connection may take to become ready after a response; one that takes longer is
/// closed.
const QUIESCE_TIMEOUT: Duration = Duration::from_millis(20);
/// Bytes of the body of one response. The API sends small documents.
const MAX_RESPONSE_BODY: usize = 16 << 20;

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
}

/// A signed request without its body.
pub struct RequestHead {
    pub method: &'static str,
    /// Path and query, as on the request line.
    pub target: String,
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
            return Ok(Connection { transport: self, authority, http1, reused: true });
        }
        let (connector, thread) = (self.connector.clone(), self.threads.lease());
        let http1 = Http1Connection::open(connector, endpoint.clone(), thread).await?;
        Ok(Connection { transport: self, authority, http1, reused: false })
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
    /// One exchange whose response has a small body.
    ///
    /// # Errors
    ///
    /// As of [`Connection::exchange_into`]; a body longer than 16 MiB is an invalid response.
    pub async fn exchange(
        self,
        head: RequestHead,
        body: RequestBody,
    ) -> Result<Response, TransportFailure> {
        let mut bytes = Vec::new();
        let mut response = self.exchange_into(head, body, &mut bytes, MAX_RESPONSE_BODY).await?;
        response.body = bytes;
        Ok(response)
    }

    /// One exchange whose response's body is appended to `sink` as it arrives, so that the bytes
    /// before a failure are kept. A connection without a fault becomes idle.
    ///
    /// # Errors
    ///
    /// The connection failed, no byte moved for the stall timeout, the response is not HTTP or its
    /// body is longer than `limit` bytes. An HTTP error status is a response and not an error.
    pub async fn exchange_into(
        self,
        head: RequestHead,
        body: RequestBody,
        sink: &mut Vec<u8>,
        limit: usize,
    ) -> Result<Response, TransportFailure> {
        let Connection { transport, authority, mut http1, .. } = self;
        let activity = http1.activity.clone();
        let mut request = hyper::Request::builder().method(head.method).uri(&head.target);
        for (name, value) in &head.headers {
            request = request.header(name, value);
        }
        let sent = body.sent();
        let request = request.body(body).map_err(|e| {
            TransportFailure::Local(Error::usage(format!("a request cannot be made of this: {e}")))
        })?;
        http1.busy = true;
        let exchange = AbandonOnDrop::new(activity.clone(), async {
            let response =
                http1.sender.send_request(request).await.map_err(|e| transport_failure(&e))?;
            let (parts, mut body) = response.into_parts();
            let max_len = sink.len() + limit;
            while let Some(frame) = body.frame().await {
                let frame = frame.map_err(|e| transport_failure(&e))?;
                if let Some(bytes) = frame.data_ref() {
                    if sink.len() + bytes.len() > max_len {
                        let text = format!("the answer is longer than {limit} bytes");
                        return Err(TransportFailure::new(TransportError::InvalidResponse, text));
                    }
                    sink.extend_from_slice(bytes);
                }
            }
            let headers = parts.headers.iter().map(|(name, value)| {
                (name.as_str().to_owned(), String::from_utf8_lossy(value.as_bytes()).into_owned())
            });
            let status = parts.status.as_u16();
            Ok(Response { status, headers: headers.collect(), body: Vec::new() })
        });
        let response = activity.watch(transport.stall_timeout, exchange).await?;
        // After a response that came before the end of the body the rest of the body is still owed:
        // that connection is not used again. Any other needs a moment until hyper has seen that
        // both sides are done, or that the server closes; an idle one before that would look
        // broken.
        http1.busy = !sent.complete();
        let ready = tokio::time::timeout(QUIESCE_TIMEOUT, http1.sender.ready());
        if sent.complete() && matches!(ready.await, Ok(Ok(()))) {
            transport.return_idle(authority, http1);
        }
        Ok(response)
    }
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
pub fn no_body() -> RequestBody {
    RequestBody::new(Vec::new(), None)
}

/// A body of bytes in memory, without a bandwidth limit.
pub fn collect_small_body(bytes: Vec<u8>) -> RequestBody {
    RequestBody::new(vec![Bytes::from(bytes)], None)
}
