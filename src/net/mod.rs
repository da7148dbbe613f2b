//! Connections to the service: a request and its body out, an answer or a reason in.
//!
//! Owns sockets, TLS, the idle connections and the stall watchdog. Knows nothing of Oracle, of
//! signatures or of retries. Invariant: a connection is used again only after a whole exchange in
//! which both sides kept to the protocol, so a half-dead one is never reused.

mod body;
mod cert_store;
mod connect;
mod connection_threads;
mod proxy;
mod proxy_tunnel;
mod resolver;
mod send_queue;
mod socket;
#[cfg(test)]
mod tests;
mod watchdog;

use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll, ready};
use std::time::{Duration, Instant};

use bytes::Bytes;
use http_body_util::BodyExt;
use hyper::client::conn::http1::{self, SendRequest};
use tokio::sync::oneshot;
use tokio::task::JoinHandle;

use crate::auth::options::NetworkOptions;
use proto::api::Response;
use proto::endpoint::Endpoint;
use proto::error::Error;
use proto::retry::{Failure, TransportError};

pub use body::{BodyProgress, RequestBody, Throttle};
use connect::{Connector, Io};
use connection_threads::{ConnectionThreads, ThreadLease};
use watchdog::Activity;

/// A connection that lay idle for longer is not worth the risk that the server has dropped it.
const MAX_IDLE: Duration = Duration::from_secs(20);
/// A connection that has not come to rest so soon after an answer is in the middle of something.
const QUIESCE_TIMEOUT: Duration = Duration::from_millis(20);
/// Header lines of one answer. The service takes 4,000 bytes of metadata, which can be as many as
/// 2,025 entries of one or two bytes, each a line of its own; hyper's default is 100 lines.
const MAX_HEADERS: usize = 2500;
/// Answers are small documents; whatever is larger is not the API speaking.
const MAX_RESPONSE_BODY: usize = 16 << 20;

/// The way to the service.
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

/// An open connection.
struct Http1Connection {
    /// Carries it.
    _task: AbortOnDrop,
    sender: SendRequest<RequestBody>,
    activity: Arc<Activity>,
    /// An exchange has begun and is not over.
    busy: bool,
}

impl Drop for Http1Connection {
    fn drop(&mut self) {
        if self.busy {
            self.activity.abandon();
        }
    }
}

/// An exchange that says so when nobody waits for it any more, before anything else of it is dropped:
/// the connection, which lives on another thread, closes in good order as soon as its request is gone,
/// and would send all that the kernel holds.
struct AbandonOnDrop<F> {
    activity: Arc<Activity>,
    done: bool,
    exchange: Pin<Box<F>>,
}

impl<F: Future> AbandonOnDrop<F> {
    fn new(activity: Arc<Activity>, exchange: F) -> AbandonOnDrop<F> {
        AbandonOnDrop { activity, done: false, exchange: Box::pin(exchange) }
    }
}

impl<F: Future> Future for AbandonOnDrop<F> {
    type Output = F::Output;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<F::Output> {
        let result = ready!(self.exchange.as_mut().poll(context));
        self.done = true;
        Poll::Ready(result)
    }
}

impl<F> Drop for AbandonOnDrop<F> {
    fn drop(&mut self) {
        if !self.done {
            self.activity.abandon();
        }
    }
}

/// A task that ends with who waits for it.
struct AbortOnDrop(JoinHandle<()>);

impl Drop for AbortOnDrop {
    fn drop(&mut self) {
        self.0.abort();
    }
}

type ConnectionTask = http1::Connection<Io, RequestBody>;

/// A new connection: what sends on it, what carries it, and how to see it move.
async fn open(
    dialer: &Connector,
    endpoint: &Endpoint,
) -> Result<(SendRequest<RequestBody>, ConnectionTask, Arc<Activity>), Failure> {
    let (io, activity) = dialer.connect(endpoint).await?;
    let (sender, connection) = http1::Builder::new()
        .max_headers(MAX_HEADERS)
        .handshake::<_, RequestBody>(io)
        .await
        .map_err(|e| Failure::Transport { kind: TransportError::Connect, text: error_text(&e) })?;
    Ok((sender, connection, activity))
}

/// A connection taken for one exchange.
pub struct Connection<'a> {
    transport: &'a Transport,
    authority: String,
    link: Http1Connection,
    /// It has lain idle, so its end may be on the way.
    pub reused: bool,
}

/// What a request is made of once it is signed.
pub struct RequestHead {
    pub method: &'static str,
    pub target: String,
    pub headers: Vec<(String, String)>,
}

impl Transport {
    pub fn new(network: &NetworkOptions, stall_timeout: Duration) -> Result<Transport, Error> {
        let dialer = Arc::new(Connector::new(network, stall_timeout)?);
        Ok(Transport {
            connector: dialer,
            stall_timeout,
            idle: Mutex::default(),
            threads: ConnectionThreads::default(),
        })
    }

    /// What is odd enough about the way to be said at the start, though not wrong.
    pub fn warnings(&self) -> &[String] {
        self.connector.warnings()
    }

    /// A connection to an endpoint: an idle one, or a new one with the name resolved anew.
    pub async fn connect(&self, endpoint: &Endpoint) -> Result<Connection<'_>, Failure> {
        let authority = endpoint.origin();
        if let Some(link) = self.take_idle(&authority) {
            return Ok(Connection { transport: self, authority, link, reused: true });
        }
        let ThreadLease { handle, load } = self.threads.lease();
        let (tell, told) = oneshot::channel();
        let (dialer, endpoint) = (self.connector.clone(), endpoint.clone());
        let task = AbortOnDrop(handle.spawn(async move {
            let _load = load;
            match open(&dialer, &endpoint).await {
                Ok((sender, connection, activity)) => {
                    if tell.send(Ok((sender, activity))).is_ok() {
                        // Its error reaches the exchange under way through the sender.
                        let _ = connection.await;
                    }
                }
                // Nobody may wait for it any more.
                Err(failure) => drop(tell.send(Err(failure))),
            }
        }));
        let opened = told.await.unwrap_or_else(|_| {
            let text = format!("{authority}: connecting failed within itself");
            Err(Failure::Transport { kind: TransportError::Connect, text })
        });
        let (sender, activity) = opened?;
        let link = Http1Connection { _task: task, sender, activity, busy: false };
        Ok(Connection { transport: self, authority, link, reused: false })
    }

    fn take_idle(&self, authority: &str) -> Option<Http1Connection> {
        let mut idle = self.idle.lock().unwrap_or_else(PoisonError::into_inner);
        idle.retain(|i| i.since.elapsed() < MAX_IDLE && i.connection.sender.is_ready());
        let index = idle.iter().rposition(|i| i.authority == authority)?;
        Some(idle.swap_remove(index).connection)
    }

    fn return_idle(&self, authority: String, link: Http1Connection) {
        let mut idle = self.idle.lock().unwrap_or_else(PoisonError::into_inner);
        idle.push(IdleConnection { authority, since: Instant::now(), connection: link });
    }
}

impl Connection<'_> {
    /// One exchange with a small answer.
    pub async fn exchange(self, head: RequestHead, body: RequestBody) -> Result<Response, Failure> {
        let mut bytes = Vec::new();
        let mut answer = self.exchange_into(head, body, &mut bytes, MAX_RESPONSE_BODY).await?;
        answer.body = bytes;
        Ok(answer)
    }

    /// One exchange whose answer's body is appended to `sink` as it arrives, so that what came
    /// before a failure is not lost. The connection is kept if nothing was wrong with it.
    pub async fn exchange_into(
        self,
        head: RequestHead,
        body: RequestBody,
        sink: &mut Vec<u8>,
        limit: usize,
    ) -> Result<Response, Failure> {
        let Connection { transport, authority, mut link, .. } = self;
        let activity = link.activity.clone();
        let mut request = hyper::Request::builder().method(head.method).uri(&head.target);
        for (name, value) in &head.headers {
            request = request.header(name, value);
        }
        let whole = body.sent();
        let request = request.body(body).map_err(|e| {
            Failure::Local(Error::usage(format!("a request cannot be made of this: {e}")))
        })?;
        link.busy = true;
        let exchange = AbandonOnDrop::new(activity.clone(), async {
            let response =
                link.sender.send_request(request).await.map_err(|e| transport_failure(&e))?;
            let (parts, mut body) = response.into_parts();
            let most = sink.len() + limit;
            while let Some(frame) = body.frame().await {
                let frame = frame.map_err(|e| transport_failure(&e))?;
                if let Some(bytes) = frame.data_ref() {
                    if sink.len() + bytes.len() > most {
                        let text = format!("the answer is longer than {limit} bytes");
                        return Err(Failure::Transport {
                            kind: TransportError::InvalidResponse,
                            text,
                        });
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
        let answer = activity.watch(transport.stall_timeout, exchange).await?;
        // An answer before the end of the body leaves the rest of it owed: never reuse that. Else the
        // connection takes a moment to see that both sides are done, or that the other one closes;
        // one that was put away before would look broken to who wants it next.
        link.busy = !whole.complete();
        let at_rest = tokio::time::timeout(QUIESCE_TIMEOUT, link.sender.ready());
        if whole.complete() && matches!(at_rest.await, Ok(Ok(()))) {
            transport.return_idle(authority, link);
        }
        Ok(answer)
    }
}

fn transport_failure(error: &hyper::Error) -> Failure {
    let how = match error {
        _ if error.is_parse() => TransportError::InvalidResponse,
        // hyper says so only where it has not begun with the request.
        _ if error.is_canceled() => TransportError::Connect,
        _ => TransportError::ResponseLost,
    };
    let text = match how {
        TransportError::InvalidResponse => {
            format!("what came back is not HTTP: {}", error_text(error))
        }
        _ => format!("the connection was lost: {}", error_text(error)),
    };
    Failure::Transport { kind: how, text }
}

/// An error with its causes, each said once.
fn error_text(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        let said = cause.to_string();
        if !text.contains(&said) {
            text = format!("{text}: {said}");
        }
        source = cause.source();
    }
    text
}

/// A body of nothing.
pub fn no_body() -> RequestBody {
    RequestBody::new(Vec::new(), None)
}

/// A small body.
pub fn collect_small_body(bytes: Vec<u8>) -> RequestBody {
    RequestBody::new(vec![Bytes::from(bytes)], None)
}
