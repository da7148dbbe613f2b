//! The start of a client: its identity, its transport and its first credentials.
//!
//! Owns the order of these steps. Must not know what the client is for. Invariant: no request of the
//! transfer is sent.

use std::sync::Arc;
use std::time::Duration;

use super::{Access, Client, ParAccess};
use crate::auth::environment::Environment;
use crate::auth::options::ServiceOptions;
use crate::auth::profile::Identity;
use crate::auth::session::{RefreshConfig, Session, token_name};
use crate::net::Transport;
use crate::term::progress::Reporter;
use crate::transfer::connection_rate::ConnectionRate;
use crate::transfer::session_transport::SessionTransport;
use proto::endpoint::ObjectStorage;
use proto::error::Error;
use proto::request_fields::Warning;
use proto::token_lifecycle::events::Level;

/// The time limits of a run.
#[derive(Debug, Clone, Copy)]
pub struct Timeouts {
    /// How long a transfer may go without progress.
    pub retry_for: Duration,
    /// How long a connection may go without moving a byte.
    pub stall_timeout: Duration,
}

impl Client {
    /// Another client with the same connections and credentials, for requests besides those of a
    /// transfer.
    pub fn share(&self) -> Client {
        Client {
            transport: self.transport.clone(),
            access: self.access.clone(),
            endpoint: self.endpoint.clone(),
            throttle: self.throttle.clone(),
            connection_rate: ConnectionRate::default(),
            sent_bytes: Arc::default(),
            reporter: self.reporter.clone(),
            client_request_id: self.client_request_id.clone(),
            beside_a_transfer: self.beside_a_transfer,
        }
    }

    /// Reads the identity, obtains its first credentials and starts the refresh of its token; sends no
    /// request of the transfer. Fails where the identity, its key or the network options are not
    /// valid, and where no token is issued.
    pub async fn open_session(
        options: &ServiceOptions,
        environment: &Environment,
        timeouts: Timeouts,
        reporter: &Arc<Reporter>,
    ) -> Result<Client, Error> {
        let identity = Identity::resolve(options, environment)?;
        for warning in &identity.warnings {
            reporter.warn(warning);
        }
        for note in &identity.notes {
            reporter.info(note);
        }
        let Timeouts { retry_for, stall_timeout } = timeouts;
        let transport = open_transport(options, stall_timeout, reporter)?;
        let session_reporter = reporter.clone();
        let token = token_name(identity.credentials.mode());
        let config = RefreshConfig {
            transport: Arc::new(SessionTransport::new(transport.clone())),
            retry_for,
            notify: Box::new(move |event| match event.level() {
                Level::Debug => session_reporter.debug_of(|| {
                    let request = event.request().cloned().unwrap_or_default();
                    (event.text(token).to_string(), request)
                }),
                Level::Info => session_reporter.info(&event.text(token).to_string()),
                Level::Warning => session_reporter.warn_of(&Warning {
                    text: event.text(token).to_string(),
                    request: event.request().cloned().map(Box::new),
                }),
            }),
        };
        let session = Arc::new(Session::start(identity, config).await?);
        let endpoint = session.object_storage().clone();
        Ok(Client {
            transport,
            access: Access::Signed(session),
            endpoint,
            throttle: None,
            connection_rate: ConnectionRate::default(),
            sent_bytes: Arc::default(),
            reporter: reporter.clone(),
            client_request_id: options.client_request_id.clone(),
            beside_a_transfer: false,
        })
    }

    /// A client that goes through a pre-authenticated request; sends nothing. Fails where the network
    /// options are not valid.
    pub fn through_par(
        options: &ServiceOptions,
        par: ParAccess,
        stall_timeout: Duration,
        reporter: &Arc<Reporter>,
    ) -> Result<Client, Error> {
        for warning in &options.warnings {
            reporter.warn(warning);
        }
        let endpoint = ObjectStorage::at(par.object.endpoint.clone());
        Ok(Client {
            transport: open_transport(options, stall_timeout, reporter)?,
            access: Access::Par(Arc::new(par)),
            endpoint,
            throttle: None,
            connection_rate: ConnectionRate::default(),
            sent_bytes: Arc::default(),
            reporter: reporter.clone(),
            client_request_id: options.client_request_id.clone(),
            beside_a_transfer: false,
        })
    }
}

/// The connections of a client; warns of the network options that have no effect.
fn open_transport(
    options: &ServiceOptions,
    stall_timeout: Duration,
    reporter: &Reporter,
) -> Result<Arc<Transport>, Error> {
    let transport = Transport::new(&options.network, stall_timeout)?;
    for warning in transport.warnings() {
        reporter.warn(warning);
    }
    Ok(Arc::new(transport))
}
