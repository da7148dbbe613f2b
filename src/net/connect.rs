//! Makes a connection: name, socket, proxy, TLS.
//!
//! Owns the timeouts of connecting and the kinds of its failures. Knows nothing of the requests.
//! Invariant: plain HTTP never goes through a proxy (`Endpoint` permits it to loopback and to the
//! metadata service only).

use std::collections::HashMap;
use std::io;
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::time::Duration;

use hyper::Uri;
use rustls::{ClientConfig, RootCertStore};
use tower_service::Service;

use super::cert_store::{certificate_error, read_bundle, system_roots, tls_config};
use super::error_text;
use super::failure::TransportFailure;
use super::proxy::ProxySettings;
use super::proxy_tunnel::{Duplex, ProxyConnector, ProxyError};
use super::resolver::SharedResolver;
use super::tcp::{BoxError, Resolver, Tcp};
use super::tls_stream::{TlsStream, server_name};
use super::watchdog::Activity;
use crate::auth::options::NetworkOptions;
use proto::endpoint::Endpoint;
use proto::error::Error;
use proto::transport_error::TransportError;

/// How long connecting to one address may take; the stall timeout if that is shorter.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);

/// The bytes of a connection, after any proxy and TLS.
pub(super) type Io = Box<dyn Duplex>;

/// Makes the connections of one run.
pub(super) struct Connector {
    bundle: Option<Arc<RootCertStore>>,
    /// Set at the first https connection: reading the system's store takes milliseconds, which a
    /// run over plain HTTP to loopback saves.
    tls: OnceLock<Result<Arc<ClientConfig>, Error>>,
    proxies: ProxySettings,
    timeout: Duration,
    resolver: Resolver,
    /// How far the addresses of each endpoint are rotated, so that a new connection does not try first the
    /// address that has failed last.
    rotations: Mutex<HashMap<String, usize>>,
}

impl Connector {
    /// Fails where the certificate bundle or the proxy cannot be read.
    pub(super) fn new(
        network: &NetworkOptions,
        stall_timeout: Duration,
    ) -> Result<Connector, Error> {
        let bundle = network.cert_bundle.as_ref().map(read_bundle).transpose()?.map(Arc::new);
        let timeout = network.connect_timeout.unwrap_or(CONNECT_TIMEOUT.min(stall_timeout));
        let (tls, proxies) = (OnceLock::new(), ProxySettings::from_options(network)?);
        let shared = Arc::new(SharedResolver::default());
        let resolver: Resolver = Arc::new(move |host, port| {
            let shared = shared.clone();
            Box::pin(async move { shared.look_up(host, port).await })
        });
        Ok(Connector { bundle, tls, proxies, timeout, resolver, rotations: Mutex::default() })
    }

    /// Makes connections without a proxy that trust the same certificates, and is as patient as
    /// `stall_timeout` permits.
    pub(super) fn without_proxy(&self, stall_timeout: Duration) -> Connector {
        Connector {
            bundle: self.bundle.clone(),
            tls: OnceLock::new(),
            proxies: ProxySettings::default(),
            timeout: CONNECT_TIMEOUT.min(stall_timeout),
            resolver: self.resolver.clone(),
            rotations: Mutex::default(),
        }
    }

    /// How far the addresses of an endpoint are to be rotated for a new connection.
    pub(super) fn rotation(&self, authority: &str) -> usize {
        let rotations = self.rotations.lock().unwrap_or_else(PoisonError::into_inner);
        rotations.get(authority).copied().unwrap_or_default()
    }

    /// Records that a new connection with this rotation has failed: the next one tries another address first.
    /// Connections that were made together and fail together count once.
    pub(super) fn on_failure(&self, authority: &str, rotation: usize) {
        let mut rotations = self.rotations.lock().unwrap_or_else(PoisonError::into_inner);
        let current = rotations.entry(authority.to_owned()).or_default();
        if *current == rotation {
            *current += 1;
        }
    }

    /// Warnings about the proxy settings.
    pub(super) fn warnings(&self) -> &[String] {
        &self.proxies.warnings
    }

    /// Replaces the system's resolver.
    #[cfg(test)]
    pub(super) fn with_resolver(mut self, resolver: Resolver) -> Connector {
        self.resolver = resolver;
        self
    }

    /// A new connection to an endpoint, through its proxy if it has one, and the counts of its
    /// bytes.
    pub(super) async fn connect(
        &self,
        endpoint: &Endpoint,
        rotation: usize,
    ) -> Result<(Io, Arc<Activity>), TransportFailure> {
        let activity = Arc::new(Activity::default());
        let uri: Uri = format!("{}/", endpoint.origin())
            .parse()
            .map_err(|e| TransportFailure::Local(Error::usage(format!("not an endpoint: {e}"))))?;
        let resolver = self.resolver.clone();
        let tcp = Tcp { activity: activity.clone(), timeout: self.timeout, resolver, rotation };
        let tls = match endpoint.https {
            true => Some(self.tls().map_err(TransportFailure::Local)?),
            false => None,
        };
        let connected = match self.proxies.proxy_for(endpoint) {
            None => connect(tcp, tls, uri, self.timeout).await,
            Some(proxy) => {
                let proxy_tls =
                    tls.clone().unwrap_or_else(|| Arc::new(tls_config(RootCertStore::empty())));
                let tunnel = ProxyConnector { proxy: proxy.clone(), tcp, tls: proxy_tls };
                connect(tunnel, tls, uri, self.timeout).await
            }
        };
        match connected {
            Ok(io) => Ok((io, activity)),
            Err(error) => {
                self.on_failure(&endpoint.origin(), rotation);
                Err(connect_failure(endpoint, error.as_ref()))
            }
        }
    }

    fn tls(&self) -> Result<Arc<ClientConfig>, Error> {
        let config = self.tls.get_or_init(|| {
            let roots = match &self.bundle {
                Some(bundle) => bundle.clone(),
                None => Arc::new(system_roots()?),
            };
            Ok(Arc::new(tls_config(roots)))
        });
        config.clone()
    }
}

/// Connects and, with `tls`, performs the handshake.
async fn connect<C>(
    mut connector: C,
    tls: Option<Arc<ClientConfig>>,
    uri: Uri,
    timeout: Duration,
) -> Result<Io, BoxError>
where
    C: Service<Uri>,
    C::Error: Into<BoxError>,
    C::Response: Duplex + 'static,
{
    let name = server_name(&uri);
    let connecting = async {
        let io = connector.call(uri).await.map_err(Into::into)?;
        match tls {
            None => Ok(Box::new(io) as Io),
            Some(config) => Ok(Box::new(TlsStream::connect(io, config, name?).await?) as Io),
        }
    };
    // For the name lookup, the connection, the proxy's response and the TLS handshake together.
    let limit = timeout * 3;
    match tokio::time::timeout(limit, connecting).await {
        Ok(result) => result,
        Err(_) => Err(format!("no connection within {} s", limit.as_secs()).into()),
    }
}

fn connect_failure(
    endpoint: &Endpoint,
    error: &(dyn std::error::Error + 'static),
) -> TransportFailure {
    let kind = match error.downcast_ref::<ProxyError>() {
        Some(ProxyError::AuthRequired(_)) => TransportError::ProxyAuthRequired,
        Some(ProxyError::Refused { .. }) => TransportError::ProxyRefused,
        Some(ProxyError::UntrustedCertificate(..)) => TransportError::UntrustedProxyCertificate,
        Some(ProxyError::BadStatus(..) | ProxyError::Failed(..)) => TransportError::Connect,
        None if certificate_error(error) => TransportError::UntrustedCertificate,
        None => TransportError::Connect,
    };
    let mut reason = error_text(error);
    if kind == TransportError::UntrustedCertificate {
        reason = format!("the certificate is not trusted: {reason}");
    }
    // The reason may begin with the address already, where the endpoint is an address.
    let text = match reason.strip_prefix(&endpoint.authority) {
        Some(rest) if rest.starts_with(':') => reason,
        _ => format!("{}: {reason}", endpoint.authority),
    };
    TransportFailure::Connection { kind, text, io: io_error_kind(error) }
}

/// The kind of the first error of the operating system in a chain of causes.
fn io_error_kind(error: &(dyn std::error::Error + 'static)) -> Option<io::ErrorKind> {
    std::iter::successors(Some(error), |error| error.source())
        .find_map(|error| error.downcast_ref::<io::Error>())
        .map(io::Error::kind)
}
