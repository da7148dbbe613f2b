//! Making a connection: name, socket, proxy, TLS.
//!
//! Owns how long connecting may take and what a failure to connect means. Knows nothing of what is
//! sent. Invariant: plain HTTP goes to loopback only (`Endpoint` sees to that) and never through a
//! proxy.

use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::{Arc, OnceLock};
use std::task::{Context, Poll};
use std::time::Duration;

use hyper::Uri;
use hyper_rustls::HttpsConnector;
use hyper_util::rt::TokioIo;
use rustls::{ClientConfig, RootCertStore};
use tokio::net::TcpStream;
use tokio::task::JoinSet;
use tower_service::Service;

use super::cert_store::{read_bundle, system_roots, tls_config};
use super::error_text;
use super::proxy::ProxySettings;
use super::proxy_tunnel::{Duplex, ProxyConnector, ProxyError};
use super::resolver::SharedResolver;
use super::socket::Socket;
use super::watchdog::Activity;
use crate::auth::options::NetworkOptions;
use proto::endpoint::Endpoint;
use proto::error::Error;
use proto::retry::{Failure, TransportError};

/// Connecting to one address, and a TLS handshake, may take so long each.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);
/// How long one address of a name is tried alone: where one of them is dead, as IPv6 is behind some
/// routers, every connection would otherwise wait for its timeout.
const CONNECTION_ATTEMPT_DELAY: Duration = Duration::from_millis(250);

pub type Io = Box<dyn Duplex>;

pub struct Connector {
    bundle: Option<Arc<RootCertStore>>,
    /// Made at the first https connection: reading the system's store costs milliseconds that a
    /// plain loopback run need not pay.
    tls: OnceLock<Result<Arc<ClientConfig>, Error>>,
    proxies: ProxySettings,
    timeout: Duration,
    resolver: Resolver,
}

/// From a name and a port to addresses.
pub type Resolver = Arc<dyn Fn(String, u16) -> ResolveFuture + Send + Sync>;
type ResolveFuture = Pin<Box<dyn Future<Output = io::Result<Vec<SocketAddr>>> + Send>>;

impl Connector {
    pub fn new(network: &NetworkOptions, stall_timeout: Duration) -> Result<Connector, Error> {
        let bundle = network.cert_bundle.as_ref().map(read_bundle).transpose()?.map(Arc::new);
        let timeout = CONNECT_TIMEOUT.min(stall_timeout);
        let (tls, proxies) = (OnceLock::new(), ProxySettings::read(network)?);
        let names = Arc::new(SharedResolver::default());
        let lookup: Resolver = Arc::new(move |host, port| {
            let names = names.clone();
            Box::pin(async move { names.look_up(host, port).await })
        });
        Ok(Connector { bundle, tls, proxies, timeout, resolver: lookup })
    }

    /// What is odd about the proxies, to be printed.
    pub fn warnings(&self) -> &[String] {
        &self.proxies.warnings
    }

    /// Names are looked up in this way and not in the system's.
    #[cfg(test)]
    pub fn with_resolver(mut self, lookup: Resolver) -> Connector {
        self.resolver = lookup;
        self
    }

    pub async fn connect(&self, endpoint: &Endpoint) -> Result<(Io, Arc<Activity>), Failure> {
        let activity = Arc::new(Activity::default());
        let uri: Uri = format!("{}/", endpoint.origin())
            .parse()
            .map_err(|e| Failure::Local(Error::usage(format!("not an endpoint: {e}"))))?;
        let lookup = self.resolver.clone();
        let tcp = Tcp { activity: activity.clone(), timeout: self.timeout, resolver: lookup };
        let tls = match endpoint.https {
            true => self.tls().map_err(Failure::Local)?,
            false => Arc::new(tls_config(RootCertStore::empty())),
        };
        let connected = match self.proxies.proxy_for(endpoint) {
            None => connect(HttpsConnector::from((tcp, tls)), uri, self.timeout).await,
            Some(proxy) => {
                let through = ProxyConnector { proxy: proxy.clone(), tcp, tls: tls.clone() };
                connect(HttpsConnector::from((through, tls)), uri, self.timeout).await
            }
        };
        match connected {
            Ok(io) => Ok((io, activity)),
            Err(error) => Err(tls_error(endpoint, error.as_ref())),
        }
    }

    fn tls(&self) -> Result<Arc<ClientConfig>, Error> {
        let made = self.tls.get_or_init(|| {
            let roots = match &self.bundle {
                Some(bundle) => bundle.as_ref().clone(),
                None => system_roots()?,
            };
            Ok(Arc::new(tls_config(roots)))
        });
        made.clone()
    }
}

pub type BoxError = Box<dyn std::error::Error + Send + Sync>;

async fn connect<C>(mut connector: C, uri: Uri, timeout: Duration) -> Result<Io, BoxError>
where
    C: Service<Uri, Error = BoxError>,
    C::Response: Duplex + 'static,
{
    std::future::poll_fn(|context| connector.poll_ready(context)).await?;
    // The sum of a name lookup, a connection, a proxy's answer and a handshake.
    let limit = timeout * 3;
    match tokio::time::timeout(limit, connector.call(uri)).await {
        Ok(result) => Ok(Box::new(result?)),
        Err(_) => Err(format!("no connection within {} s", limit.as_secs()).into()),
    }
}

fn tls_error(endpoint: &Endpoint, error: &(dyn std::error::Error + 'static)) -> Failure {
    let untrusted = certificate_error(error);
    let how = match error.downcast_ref::<ProxyError>() {
        Some(ProxyError::AuthRequired(_)) => TransportError::ProxyAuthRequired,
        _ if untrusted => TransportError::UntrustedCertificate,
        _ => TransportError::Connect,
    };
    let mut reason = error_text(error);
    if untrusted {
        reason = format!("the certificate is not trusted: {reason}");
    }
    // A failure to connect names the address, and that may be what the endpoint is called by.
    let text = match reason.strip_prefix(&endpoint.authority) {
        Some(rest) if rest.starts_with(':') => reason,
        _ => format!("{}: {reason}", endpoint.authority),
    };
    Failure::Transport { kind: how, text }
}

/// Whether a chain of causes holds TLS's word that a certificate is not to be trusted.
fn certificate_error(error: &(dyn std::error::Error + 'static)) -> bool {
    let mut cause = Some(error);
    while let Some(error) = cause {
        if let Some(io) = error.downcast_ref::<io::Error>()
            && let Some(inner) = io.get_ref()
            && certificate_error(inner)
        {
            return true;
        }
        if let Some(rustls::Error::InvalidCertificate(_)) = error.downcast_ref::<rustls::Error>() {
            return true;
        }
        cause = error.source();
    }
    false
}

/// A plain TCP connection whose bytes are counted.
#[derive(Clone)]
pub struct Tcp {
    pub activity: Arc<Activity>,
    pub timeout: Duration,
    pub resolver: Resolver,
}

impl Service<Uri> for Tcp {
    type Response = TokioIo<Socket>;
    type Error = io::Error;
    type Future = Pin<Box<dyn Future<Output = Result<Self::Response, Self::Error>> + Send>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Self::Error>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, uri: Uri) -> Self::Future {
        let Tcp { activity, timeout, resolver: lookup } = self.clone();
        Box::pin(async move {
            let host = uri.host().unwrap_or_default().trim_matches(['[', ']']).to_owned();
            let port = uri.port_u16().unwrap_or(match uri.scheme_str() {
                Some("http") => 80,
                _ => 443,
            });
            let addresses = lookup(host, port).await.map_err(|e| {
                io::Error::new(e.kind(), format!("the name cannot be resolved: {e}"))
            })?;
            let stream = open(addresses, timeout).await?;
            stream.set_nodelay(true)?;
            activity.set_socket(&stream);
            Ok(TokioIo::new(Socket::new(stream, activity)))
        })
    }
}

/// The first of a name's addresses that answers. A next one is tried when one has failed, or has had
/// its head start.
async fn open(addresses: Vec<SocketAddr>, timeout: Duration) -> io::Result<TcpStream> {
    let mut left = addresses.into_iter();
    let mut trying = JoinSet::new();
    let mut last = io::Error::new(io::ErrorKind::NotFound, "the name has no address");
    loop {
        match left.next() {
            Some(address) => drop(trying.spawn(try_one(address, timeout))),
            None if trying.is_empty() => return Err(last),
            None => {}
        }
        tokio::select! {
            Some(tried) = trying.join_next() => match tried.map_err(io::Error::other) {
                Ok(Ok(stream)) => return Ok(stream),
                Ok(Err(error)) | Err(error) => last = error,
            },
            () = tokio::time::sleep(CONNECTION_ATTEMPT_DELAY), if left.len() > 0 => {}
        }
    }
}

async fn try_one(address: SocketAddr, timeout: Duration) -> io::Result<TcpStream> {
    match tokio::time::timeout(timeout, TcpStream::connect(address)).await {
        Ok(Ok(stream)) => Ok(stream),
        Ok(Err(error)) => Err(io::Error::new(error.kind(), format!("{address}: {error}"))),
        Err(_) => {
            let text = format!("{address}: no answer within {} s", timeout.as_secs());
            Err(io::Error::new(io::ErrorKind::TimedOut, text))
        }
    }
}
