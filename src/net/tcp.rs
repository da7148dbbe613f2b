//! A TCP connection to the first address of a name that accepts.
//!
//! Owns the order and the timeouts in which the addresses are tried. Must not know proxies, TLS or
//! requests. Invariant: the bytes of a connection are counted in its `Activity`.

use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use hyper::Uri;
use hyper_util::rt::TokioIo;
use tokio::net::TcpStream;
use tokio::task::JoinSet;
use tower_service::Service;

use super::socket::Socket;
use super::watchdog::Activity;

/// How long one address of a name is tried before the next is tried too (RFC 8305): otherwise a
/// dead address, as IPv6 is behind some routers, would cost every connection its whole timeout.
const CONNECTION_ATTEMPT_DELAY: Duration = Duration::from_millis(250);

/// An error of any layer below HTTP.
pub(super) type BoxError = Box<dyn std::error::Error + Send + Sync>;

/// Resolves a name and a port to addresses.
pub(super) type Resolver = Arc<dyn Fn(String, u16) -> ResolveFuture + Send + Sync>;
type ResolveFuture = Pin<Box<dyn Future<Output = io::Result<Vec<SocketAddr>>> + Send>>;

/// Makes plain TCP connections whose bytes are counted in `activity`.
#[derive(Clone)]
pub(super) struct Tcp {
    pub activity: Arc<Activity>,
    pub timeout: Duration,
    pub resolver: Resolver,
    /// How far the addresses of a name are rotated before the first one is tried.
    pub rotation: usize,
}

impl Service<Uri> for Tcp {
    type Response = TokioIo<Socket>;
    type Error = io::Error;
    type Future = Pin<Box<dyn Future<Output = Result<Self::Response, Self::Error>> + Send>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Self::Error>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, uri: Uri) -> Self::Future {
        let Tcp { activity, timeout, resolver, rotation } = self.clone();
        Box::pin(async move {
            let host = uri.host().unwrap_or_default().trim_matches(['[', ']']).to_owned();
            let port = uri.port_u16().unwrap_or(match uri.scheme_str() {
                Some("http") => 80,
                _ => 443,
            });
            let mut addresses = resolver(host, port).await.map_err(|e| {
                io::Error::new(e.kind(), format!("the name cannot be resolved: {e}"))
            })?;
            rotate(&mut addresses, rotation);
            let stream = connect_any(addresses, timeout).await?;
            stream.set_nodelay(true)?;
            activity.set_socket(&stream);
            Ok(TokioIo::new(Socket::new(stream, activity)))
        })
    }
}

/// Puts another address first. One that accepts connections and does not serve them, as a broken node of a load
/// balancer does, would else be chosen each time.
pub(super) fn rotate(addresses: &mut [SocketAddr], rotation: usize) {
    if let Some(by) = rotation.checked_rem(addresses.len()) {
        addresses.rotate_left(by);
    }
}

/// Connects to the first address that accepts. The next address is tried when an attempt has
/// failed, or after `CONNECTION_ATTEMPT_DELAY`.
async fn connect_any(addresses: Vec<SocketAddr>, timeout: Duration) -> io::Result<TcpStream> {
    let mut untried = addresses.into_iter();
    let mut attempts = JoinSet::new();
    let mut last_error = io::Error::new(io::ErrorKind::NotFound, "the name has no address");
    loop {
        match untried.next() {
            Some(address) => drop(attempts.spawn(connect_one(address, timeout))),
            None if attempts.is_empty() => return Err(last_error),
            None => {}
        }
        tokio::select! {
            Some(joined) = attempts.join_next() => match joined.map_err(io::Error::other) {
                Ok(Ok(stream)) => return Ok(stream),
                Ok(Err(error)) | Err(error) => last_error = error,
            },
            () = tokio::time::sleep(CONNECTION_ATTEMPT_DELAY), if untried.len() > 0 => {}
        }
    }
}

async fn connect_one(address: SocketAddr, timeout: Duration) -> io::Result<TcpStream> {
    match tokio::time::timeout(timeout, TcpStream::connect(address)).await {
        Ok(Ok(stream)) => Ok(stream),
        Ok(Err(error)) => Err(io::Error::new(error.kind(), format!("{address}: {error}"))),
        Err(_) => {
            let text = format!("{address}: no answer within {} s", timeout.as_secs());
            Err(io::Error::new(io::ErrorKind::TimedOut, text))
        }
    }
}
