//! Through a proxy: the connection to it, and its leave to speak to the service.
//!
//! Owns what is said to a proxy. Must not know what is sent through it. Invariant: a password goes over
//! TLS wherever the proxy was named with `https://`.

use std::fmt;
use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use http_body_util::Empty;
use hyper::Uri;
use hyper::client::conn::http1;
use hyper::header::{HOST, HeaderValue, PROXY_AUTHORIZATION, USER_AGENT};
use hyper::rt::{Read, ReadBufCursor, Write};
use hyper_rustls::HttpsConnector;
use hyper_util::client::legacy::connect::proxy::{SocksV4, SocksV5};
use hyper_util::client::legacy::connect::{Connected, Connection};
use rustls::ClientConfig;
use tokio::task::JoinSet;
use tower_service::Service;

use super::connect::{BoxError, Tcp};
use super::error_text;
use super::proxy::{Proxy, ProxyKind, authority};

/// What bytes go through.
pub trait Duplex: Read + Write + Send + Unpin {}
impl<T: Read + Write + Send + Unpin> Duplex for T {}

/// A connection that a proxy has made.
pub struct ProxyStream(Box<dyn Duplex>);

/// The way through a proxy.
#[derive(Clone)]
pub struct ProxyConnector {
    pub proxy: Proxy,
    pub tcp: Tcp,
    pub tls: Arc<ClientConfig>,
}

/// A proxy that could not be used.
#[derive(Debug)]
pub enum ProxyError {
    /// It wants to know who asks, or does not know this user (407).
    AuthRequired(Proxy),
    /// It answered so.
    Rejected(Proxy, u16),
    /// There was no answer.
    Failed(Proxy, BoxError),
}

impl fmt::Display for ProxyError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            ProxyError::AuthRequired(proxy) => match proxy.user {
                Some(_) => write!(f, "{proxy} refuses user and password (407)"),
                None => write!(f, "{proxy} wants a user and a password (407)"),
            },
            ProxyError::Rejected(proxy, status) => write!(f, "{proxy} answered {status}"),
            ProxyError::Failed(proxy, error) => {
                write!(f, "{proxy}: {}", error_text(error.as_ref()))
            }
        }
    }
}

impl std::error::Error for ProxyError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            ProxyError::Failed(_, error) => Some(error.as_ref()),
            _ => None,
        }
    }
}

impl Service<Uri> for ProxyConnector {
    type Response = ProxyStream;
    type Error = ProxyError;
    type Future = Pin<Box<dyn Future<Output = Result<ProxyStream, ProxyError>> + Send>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), ProxyError>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, service: Uri) -> Self::Future {
        let through = self.clone();
        let host = service.host().unwrap_or_default().trim_matches(['[', ']']).to_owned();
        let port = service.port_u16().unwrap_or(443);
        Box::pin(async move {
            match through.proxy.kind {
                ProxyKind::Http | ProxyKind::Https => {
                    through.connect(&authority(&host, port)).await
                }
                ProxyKind::Socks4 { here } | ProxyKind::Socks5 { here } => {
                    let hop = through.socks(host, port, here).await;
                    hop.map_err(|error| ProxyError::Failed(through.proxy, error))
                }
            }
        })
    }
}

impl ProxyConnector {
    /// Asks a proxy of HTTP to connect to the service.
    async fn connect(self, service: &str) -> Result<ProxyStream, ProxyError> {
        let failed = |error: BoxError| ProxyError::Failed(self.proxy.clone(), error);
        let scheme = if self.proxy.kind == ProxyKind::Https { "https" } else { "http" };
        let uri = uri(scheme, &self.proxy.authority()).map_err(failed)?;
        let mut connector = HttpsConnector::from((self.tcp.clone(), self.tls.clone()));
        let io = connector.call(uri).await.map_err(failed)?;
        let (mut sender, connection) = http1::handshake(io).await.map_err(|e| failed(e.into()))?;
        // Dropped, and so ended, when this is over; by then the connection has been handed out.
        let mut driver = JoinSet::new();
        driver.spawn(connection.with_upgrades());
        let mut request = hyper::Request::connect(service)
            .header(HOST, service)
            .header(USER_AGENT, concat!("ocipipe/", env!("CARGO_PKG_VERSION")));
        if let Some((name, password)) = &self.proxy.user {
            let basic = STANDARD.encode(format!("{name}:{}", password.as_str()));
            let mut basic =
                HeaderValue::from_str(&format!("Basic {basic}")).map_err(|e| failed(e.into()))?;
            basic.set_sensitive(true);
            request = request.header(PROXY_AUTHORIZATION, basic);
        }
        let request = request.body(Empty::<&[u8]>::new()).map_err(|e| failed(e.into()))?;
        let answer = sender.send_request(request).await.map_err(|e| failed(e.into()))?;
        match answer.status().as_u16() {
            200..=299 => {}
            407 => return Err(ProxyError::AuthRequired(self.proxy)),
            status => return Err(ProxyError::Rejected(self.proxy, status)),
        }
        let io = hyper::upgrade::on(answer).await.map_err(|e| failed(e.into()))?;
        Ok(ProxyStream(Box::new(io)))
    }

    /// Asks a proxy of SOCKS. The name of the service is looked up here where that is meant.
    async fn socks(&self, host: String, port: u16, here: bool) -> Result<ProxyStream, BoxError> {
        let host = match here {
            false => host,
            true => {
                let found = (self.tcp.resolver)(host, port).await?;
                let first =
                    found.first().ok_or_else(|| io::Error::other("the name has no address"));
                first?.ip().to_string()
            }
        };
        let service = uri("https", &authority(&host, port))?;
        let proxy = uri("http", &self.proxy.authority())?;
        let io = match self.proxy.kind {
            ProxyKind::Socks4 { .. } => {
                SocksV4::new(proxy, self.tcp.clone()).call(service).await.map_err(|e| e.to_string())
            }
            _ => {
                let mut socks = SocksV5::new(proxy, self.tcp.clone());
                if let Some((name, password)) = &self.proxy.user {
                    socks = socks.with_auth(name.clone(), password.to_string());
                }
                socks.call(service).await.map_err(|e| e.to_string())
            }
        };
        Ok(ProxyStream(Box::new(io?)))
    }
}

fn uri(scheme: &str, authority: &str) -> Result<Uri, BoxError> {
    Ok(format!("{scheme}://{authority}/").parse::<Uri>()?)
}

impl Connection for ProxyStream {
    fn connected(&self) -> Connected {
        Connected::new()
    }
}

impl Read for ProxyStream {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: ReadBufCursor<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_read(context, buffer)
    }
}

impl Write for ProxyStream {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.0).poll_write(context, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_shutdown(context)
    }
}
