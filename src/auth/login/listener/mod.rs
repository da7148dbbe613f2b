//! The listener that the login page redirects the browser to.
//!
//! Owns the sockets and the limits of connections. Makes no decision about a request; `proto::login`
//! makes them. Must not know where the token goes. Invariants: only this host can connect; a request that
//! is refused, slow or too large ends its own connection and nothing else.

use std::collections::VecDeque;
use std::convert::Infallible;
use std::io;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use bytes::Bytes;
use http_body_util::Full;
use hyper::header::{self, HeaderValue};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{Request, Response};
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{mpsc, oneshot};
use tokio::task::AbortHandle;

use proto::error::Error;
use proto::login::callback::{CallbackAnswer, CallbackRequest, PendingLogin, Refusal};
use proto::login::page;
use proto::token::Token;

/// Connections at a time; a further one ends the oldest.
const MAX_CONNECTIONS: usize = 64;
/// How long a connection may take to send its request.
const READ_TIMEOUT: Duration = Duration::from_secs(10);
/// How long a connection may exist.
const CONNECTION_TIMEOUT: Duration = Duration::from_secs(30);
/// Bytes of the request line and the headers together. A redirect has two tokens of 2 to 4 KiB.
const MAX_REQUEST: usize = 64 * 1024;
/// How long the answer to the accepted request may take to reach the browser.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(2);

/// The text that the browser shows after a login.
const DONE: &str = "You are signed in. You can close this window and return to the terminal.";

/// The sockets of a login.
pub(crate) struct Listener {
    v4: TcpListener,
    /// `None` on a host without IPv6.
    v6: Option<TcpListener>,
    port: u16,
}

/// What a connection reports.
enum CallbackEvent {
    Accepted(Accepted),
    Refused(Refusal),
}

/// The token of the login, and the connection that brought it.
struct Accepted {
    token: Token,
    /// Takes the outcome that the browser shows.
    outcome: oneshot::Sender<Result<(), String>>,
    /// Ends with the connection.
    connection: Option<oneshot::Receiver<()>>,
}

impl Listener {
    /// Listens on this port of the loopback addresses; 0 for any. Fails if the port is taken.
    pub(crate) async fn bind(port: u16) -> Result<Listener, Error> {
        let cannot = |error: io::Error| {
            match error.kind() {
            io::ErrorKind::AddrInUse => {
                Error::usage(format!("port {port} of this host is taken by another program"))
                    .with_hint("the login page redirects the browser to this port: end the program, perhaps another login")
            }
            _ => Error::usage(format!("port {port} of this host cannot be listened on: {error}")),
        }
        };
        let v4 = TcpListener::bind(("127.0.0.1", port)).await.map_err(cannot)?;
        let port = v4.local_addr().map_err(cannot)?.port();
        let v6 = match TcpListener::bind(("::1", port)).await {
            Ok(v6) => Some(v6),
            Err(error) if is_without_ipv6(&error) => None,
            Err(error) => return Err(cannot(error)),
        };
        Ok(Listener { v4, v6, port })
    }

    /// The port that the listener has.
    pub(crate) fn port(&self) -> u16 {
        self.port
    }

    /// Serves requests until one brings the token of this login; passes it to `finish`, whose outcome
    /// the browser shows, and returns that. `on_refusal` is called for redirects that are refused.
    pub(crate) async fn wait(
        self,
        pending: PendingLogin,
        finish: impl FnOnce(Token) -> Result<(), Error>,
        on_refusal: impl Fn(&Refusal),
    ) -> Result<(), Error> {
        let pending = Arc::new(pending);
        let (sender, mut events) = mpsc::channel(MAX_CONNECTIONS);
        let mut connections = Connections::default();
        loop {
            tokio::select! {
                Some(event) = events.recv() => match event {
                    CallbackEvent::Refused(refusal) => on_refusal(&refusal),
                    CallbackEvent::Accepted(Accepted { token, outcome, connection }) => {
                        let result = finish(token);
                        let shown = match &result {
                            Ok(()) => Ok(()),
                            Err(error) => Err(error.to_string()),
                        };
                        // The browser may be gone; the session is kept all the same.
                        let _ = outcome.send(shown);
                        if let Some(connection) = connection {
                            let _ = tokio::time::timeout(ANSWER_TIMEOUT, connection).await;
                        }
                        return result;
                    }
                },
                stream = self.accept() => match stream {
                    Ok(stream) => {
                        let task = serve(stream, Arc::clone(&pending), sender.clone());
                        connections.add(tokio::spawn(task).abort_handle());
                    }
                    // The limit of open files, or a connection that is gone already.
                    Err(_) => tokio::time::sleep(Duration::from_millis(100)).await,
                },
            }
        }
    }

    async fn accept(&self) -> io::Result<TcpStream> {
        let v6 = async {
            match &self.v6 {
                Some(v6) => v6.accept().await,
                None => std::future::pending().await,
            }
        };
        let (stream, _) = tokio::select! {
            accepted = self.v4.accept() => accepted?,
            accepted = v6 => accepted?,
        };
        Ok(stream)
    }
}

fn is_without_ipv6(error: &io::Error) -> bool {
    error.kind() == io::ErrorKind::AddrNotAvailable
        || error.raw_os_error() == Some(rustix::io::Errno::AFNOSUPPORT.raw_os_error())
}

/// The connections that are open, the oldest first. Dropping it ends them.
#[derive(Default)]
struct Connections(VecDeque<AbortHandle>);

impl Connections {
    fn add(&mut self, task: AbortHandle) {
        self.0.retain(|task| !task.is_finished());
        if self.0.len() >= MAX_CONNECTIONS
            && let Some(oldest) = self.0.pop_front()
        {
            oldest.abort();
        }
        self.0.push_back(task);
    }
}

impl Drop for Connections {
    fn drop(&mut self) {
        self.0.iter().for_each(AbortHandle::abort);
    }
}

/// Serves one request.
async fn serve(stream: TcpStream, pending: Arc<PendingLogin>, events: mpsc::Sender<CallbackEvent>) {
    // Dropped with this future, which is how the receiver learns that the connection has ended.
    let (_open, connection) = oneshot::channel::<()>();
    let connection = Arc::new(Mutex::new(Some(connection)));
    let service = service_fn(move |request: Request<hyper::body::Incoming>| {
        let (pending, events) = (Arc::clone(&pending), events.clone());
        let connection = Arc::clone(&connection);
        async move {
            Ok::<_, Infallible>(match answer(&pending, &request) {
                CallbackAnswer::Accepted(token) => {
                    let connection = connection.lock().ok().and_then(|mut found| found.take());
                    accept(token, connection, &events).await
                }
                answer => respond(answer, &events),
            })
        }
    });
    let mut http = http1::Builder::new();
    http.timer(TokioTimer::new())
        .header_read_timeout(READ_TIMEOUT)
        .max_buf_size(MAX_REQUEST)
        .keep_alive(false);
    // An error concerns this connection only.
    let _ = tokio::time::timeout(
        CONNECTION_TIMEOUT,
        http.serve_connection(TokioIo::new(stream), service),
    )
    .await;
}

/// What the checks make of a request.
fn answer<B>(pending: &PendingLogin, request: &Request<B>) -> CallbackAnswer {
    let mut hosts = request.headers().get_all(header::HOST).iter();
    let host = hosts.next().filter(|_| hosts.next().is_none());
    let uri = request.uri();
    pending.answer(CallbackRequest {
        method: request.method().as_str(),
        authority: uri.authority().map(|authority| authority.as_str()),
        host: host.and_then(|host| host.to_str().ok()),
        path: uri.path(),
        query: uri.query().unwrap_or_default(),
    })
}

/// Hands the token over, and answers with the outcome.
async fn accept(
    token: Token,
    connection: Option<oneshot::Receiver<()>>,
    events: &mpsc::Sender<CallbackEvent>,
) -> Response<Full<Bytes>> {
    let (outcome, shown) = oneshot::channel();
    let accepted = CallbackEvent::Accepted(Accepted { token, outcome, connection });
    // Both fail if another request has ended the login.
    let _ = events.send(accepted).await;
    match shown.await {
        Ok(Ok(())) => text(200, DONE),
        Ok(Err(error)) => text(500, &format!("You are not signed in. {error}")),
        Err(_) => text(409, "This login has ended."),
    }
}

fn respond(answer: CallbackAnswer, events: &mpsc::Sender<CallbackEvent>) -> Response<Full<Bytes>> {
    let CallbackAnswer::Refused(refusal) = answer else {
        return response(200, "text/html; charset=utf-8", page::HTML.to_owned());
    };
    if refusal.is_of_a_login() {
        // With a full queue the browser alone shows the refusal.
        let _ = events.try_send(CallbackEvent::Refused(refusal.clone()));
    }
    let mut response = text(refusal.status(), &format!("You are not signed in: {refusal}."));
    if refusal == Refusal::Method {
        response.headers_mut().insert(header::ALLOW, HeaderValue::from_static("GET"));
    }
    response
}

fn text(status: u16, text: &str) -> Response<Full<Bytes>> {
    response(status, "text/plain; charset=utf-8", text.to_owned())
}

fn response(status: u16, content_type: &'static str, body: String) -> Response<Full<Bytes>> {
    let mut response = Response::new(Full::new(Bytes::from(body)));
    *response.status_mut() =
        hyper::StatusCode::from_u16(status).unwrap_or(hyper::StatusCode::INTERNAL_SERVER_ERROR);
    let headers = response.headers_mut();
    for (name, value) in [
        (header::CONTENT_TYPE, content_type),
        (header::CACHE_CONTROL, "no-store"),
        (header::CONTENT_SECURITY_POLICY, page::POLICY),
        (header::REFERRER_POLICY, "no-referrer"),
        (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
    ] {
        headers.insert(name, HeaderValue::from_static(value));
    }
    response
}

#[cfg(test)]
mod tests;
