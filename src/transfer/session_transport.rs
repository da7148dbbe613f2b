//! Sends the requests of the session: for tokens, and queries of the service's clock.
//!
//! Owns the ways that such a request can take. Must not know what a request is for, and signs nothing.
//! Invariant: a request to the metadata service or to the token service of a cluster never goes through
//! a proxy, and the latter trusts the cluster's certificate authority only.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use super::headers;
use crate::auth::options::{CertBundle, NetworkOptions};
use crate::auth::session::transport::{
    AuthRequest, AuthResponse, AuthTransport, Exchange, ExchangeError, ExchangeFailure, Route,
};
use crate::net::{self, Transport, TransportFailure};
use proto::error::Error;
use proto::principal::AuthReply;
use proto::principal::metadata::CONNECT_TIMEOUT;

/// A connection of the metadata service or of a cluster on which no byte moves for this long fails.
const LOCAL_STALL: Duration = Duration::from_secs(10);

/// Sends the small requests of a session.
pub(crate) struct SessionTransport {
    /// The connections of the transfer.
    transport: Arc<Transport>,
    /// Connections without a proxy.
    direct: Transport,
}

impl SessionTransport {
    /// `transport` carries the requests to the public services. The metadata service has to have a
    /// certificate that is trusted there.
    pub(crate) fn new(transport: Arc<Transport>) -> SessionTransport {
        let direct = transport.without_proxy(LOCAL_STALL);
        SessionTransport { transport, direct }
    }

    async fn send(&self, request: AuthRequest) -> Result<AuthResponse, ExchangeError> {
        match &request.route {
            Route::Service => exchange(&self.transport, None, request).await,
            Route::Metadata => exchange(&self.direct, Some(CONNECT_TIMEOUT), request).await,
            Route::Cluster { ca_file } => {
                // The file is replaced when the cluster changes its authority: each exchange reads it.
                let transport = cluster_transport(ca_file).map_err(|error| ExchangeError {
                    kind: ExchangeFailure::Local,
                    message: error.message,
                })?;
                exchange(&transport, None, request).await
            }
        }
    }
}

impl AuthTransport for SessionTransport {
    fn exchange(&self, request: AuthRequest) -> Exchange<'_> {
        Box::pin(self.send(request))
    }
}

/// Connections without a proxy that trust the authorities in one file. Fails if it cannot be read.
fn cluster_transport(ca_file: &Path) -> Result<Transport, Error> {
    let bundle = CertBundle {
        paths: vec![PathBuf::from(ca_file)],
        origin: "the certificate authority of the cluster".to_owned(),
    };
    let network = NetworkOptions { cert_bundle: Some(bundle), ..NetworkOptions::default() };
    Transport::new(&network, LOCAL_STALL)
}

/// One exchange, whose connection must be made within `connect_timeout`, if that is set.
async fn exchange(
    transport: &Transport,
    connect_timeout: Option<Duration>,
    request: AuthRequest,
) -> Result<AuthResponse, ExchangeError> {
    let AuthRequest { endpoint, call, .. } = request;
    let connecting = transport.connect(&endpoint);
    let connection = match connect_timeout {
        None => connecting.await,
        Some(limit) => tokio::time::timeout(limit, connecting).await.map_err(|_| {
            let (seconds, authority) = (limit.as_secs(), &endpoint.authority);
            ExchangeError {
                kind: ExchangeFailure::ConnectTimeout,
                message: format!("{authority}: no connection within {seconds} s"),
            }
        })?,
    };
    let head = net::RequestHead {
        method: call.method,
        target: call.target.into(),
        headers: headers::owned(call.headers),
    };
    let body = match call.body.is_empty() {
        true => net::no_body(),
        false => net::collect_small_body(call.body.to_vec()),
    };
    let response = connection.map_err(failure)?.exchange(head, body).await.map_err(failure)?;
    Ok(AuthResponse { date: headers::date(&response), reply: AuthReply::of(response) })
}

fn failure(failure: TransportFailure) -> ExchangeError {
    let kind = match &failure {
        TransportFailure::Local(_) => ExchangeFailure::Local,
        TransportFailure::Connection { kind, io, .. } => match (kind.setting_hint(), io) {
            (Some(hint), _) => ExchangeFailure::Setting { hint },
            (None, Some(io::ErrorKind::ConnectionRefused)) => ExchangeFailure::Refused,
            (
                None,
                Some(
                    io::ErrorKind::NetworkUnreachable
                    | io::ErrorKind::HostUnreachable
                    | io::ErrorKind::AddrNotAvailable,
                ),
            ) => ExchangeFailure::NoRoute,
            (None, Some(io::ErrorKind::TimedOut)) => ExchangeFailure::ConnectTimeout,
            (None, _) => ExchangeFailure::Broken,
        },
    };
    ExchangeError { kind, message: failure.to_string() }
}
