//! A connection to the service through a proxy.
//!
//! Owns the requests to the proxy: CONNECT, and the SOCKS handshake. Must not know what is sent
//! through the tunnel. Invariant: a password is sent over TLS where the URL of the proxy begins
//! with `https://`.

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
use hyper_util::client::legacy::connect::proxy::{SocksV4, SocksV5};
use rustls::ClientConfig;
use tokio::task::JoinSet;
use tower_service::Service;

use super::cert_store::certificate_error;
use super::error_text;
use super::proxy::{NameLookup, Proxy, ProxyKind, authority};
use super::tcp::{self, BoxError, Tcp};
use super::tls_stream::{TlsStream, server_name};

/// A connection, with or without TLS and a proxy.
pub(super) trait Duplex: Read + Write + Send + Unpin {}
impl<T: Read + Write + Send + Unpin> Duplex for T {}

/// A connection to the service that a proxy made.
pub(super) struct ProxyStream(Box<dyn Duplex>);

/// Makes connections through one proxy.
#[derive(Clone)]
pub(super) struct ProxyConnector {
    pub proxy: Proxy,
    pub tcp: Tcp,
    /// For the connection to an `https://` proxy itself.
    pub tls: Arc<ClientConfig>,
}

/// A proxy made no connection to the service.
#[derive(Debug)]
pub(super) enum ProxyError {
    /// The proxy requires user and password, or rejects these (407).
    AuthRequired(Proxy),
    /// The rules of the proxy forbid a connection to this host and port, with this HTTP status (4xx).
    Refused { proxy: Proxy, status: u16, service: String },
    /// The proxy responded with another HTTP error status.
    BadStatus(Proxy, u16),
    /// The certificate of an `https://` proxy is not trusted.
    UntrustedCertificate(Proxy, BoxError),
    /// The proxy could not be reached, sent no HTTP response or refused by SOCKS.
    Failed(Proxy, BoxError),
}

impl fmt::Display for ProxyError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            ProxyError::AuthRequired(proxy) => match proxy.user {
                Some(_) => write!(f, "{proxy} refuses user and password (407)"),
                None => write!(f, "{proxy} wants a user and a password (407)"),
            },
            ProxyError::Refused { proxy, status, service } => {
                write!(f, "{proxy} forbids the connection to {service} ({status})")
            }
            ProxyError::BadStatus(proxy, status) => {
                write!(f, "{proxy} made no connection and answered {status}")
            }
            ProxyError::UntrustedCertificate(proxy, error) => {
                let reason = error_text(error.as_ref());
                write!(f, "the certificate of {proxy} is not trusted: {reason}")
            }
            ProxyError::Failed(proxy, error) => {
                write!(f, "{proxy}: {}", error_text(error.as_ref()))
            }
        }
    }
}

impl std::error::Error for ProxyError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            ProxyError::Failed(_, error) | ProxyError::UntrustedCertificate(_, error) => {
                Some(error.as_ref())
            }
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
        let connector = self.clone();
        let host = service.host().unwrap_or_default().trim_matches(['[', ']']).to_owned();
        let port = service.port_u16().unwrap_or(443);
        Box::pin(async move {
            match connector.proxy.kind {
                ProxyKind::Http | ProxyKind::Https => {
                    connector.http_connect(&authority(&host, port)).await
                }
                ProxyKind::Socks4(lookup) | ProxyKind::Socks5(lookup) => {
                    let stream = connector.socks_connect(host, port, lookup).await;
                    stream.map_err(|error| ProxyError::Failed(connector.proxy, error))
                }
            }
        })
    }
}

impl ProxyConnector {
    /// Sends CONNECT to an HTTP proxy.
    async fn http_connect(self, service: &str) -> Result<ProxyStream, ProxyError> {
        let failed = |error: BoxError| ProxyError::Failed(self.proxy.clone(), error);
        let scheme = if self.proxy.kind == ProxyKind::Https { "https" } else { "http" };
        let uri = uri(scheme, &self.proxy.authority()).map_err(failed)?;
        let io =
            self.reach(uri).await.map_err(|error| match certificate_error(error.as_ref()) {
                true => ProxyError::UntrustedCertificate(self.proxy.clone(), error),
                false => failed(error),
            })?;
        let (mut sender, connection) = http1::handshake(io).await.map_err(|e| failed(e.into()))?;
        // Aborts the task at the end of this function; hyper has released the connection by then.
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
        let response = sender.send_request(request).await.map_err(|e| failed(e.into()))?;
        match response.status().as_u16() {
            200..=299 => {}
            407 => return Err(ProxyError::AuthRequired(self.proxy)),
            // A proxy that is slow or busy refuses nothing.
            status @ (408 | 425 | 429) => return Err(ProxyError::BadStatus(self.proxy, status)),
            status @ 400..=499 => {
                let service = service.to_owned();
                return Err(ProxyError::Refused { proxy: self.proxy, status, service });
            }
            status => return Err(ProxyError::BadStatus(self.proxy, status)),
        }
        let io = hyper::upgrade::on(response).await.map_err(|e| failed(e.into()))?;
        Ok(ProxyStream(Box::new(io)))
    }

    /// A connection to the proxy itself.
    async fn reach(&self, uri: Uri) -> Result<Box<dyn Duplex>, BoxError> {
        let name = server_name(&uri);
        let io = self.tcp.clone().call(uri).await?;
        match self.proxy.kind {
            ProxyKind::Https => {
                let stream = TlsStream::connect(io, self.tls.clone(), name?).await?;
                Ok(Box::new(stream))
            }
            _ => Ok(Box::new(io)),
        }
    }

    /// Performs the SOCKS handshake, with the name of the service or with its first address.
    async fn socks_connect(
        &self,
        host: String,
        port: u16,
        lookup: NameLookup,
    ) -> Result<ProxyStream, BoxError> {
        let host = match lookup {
            NameLookup::ByProxy => host,
            NameLookup::Local => {
                let mut addresses = (self.tcp.resolver)(host, port).await?;
                tcp::rotate(&mut addresses, self.tcp.rotation);
                let first =
                    addresses.first().ok_or_else(|| io::Error::other("the name has no address"));
                first?.ip().to_string()
            }
        };
        let service = uri("https", &authority(&host, port))?;
        let proxy = uri("http", &self.proxy.authority())?;
        let io = match self.proxy.kind {
            ProxyKind::Socks4(_) => {
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
