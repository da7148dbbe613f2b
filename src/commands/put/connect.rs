//! The client of a `put`, and what the checks of the object's place find.
//!
//! Owns the choice between an account, the embedded store and a pre-authenticated request (PAR). Must not
//! know the source. Invariant: an account's files are read only where there is no PAR.

use std::sync::Arc;

use super::par;
use crate::auth::environment::Environment;
use crate::cli::{PutCommand, PutTarget};
use crate::commands::serve::LocalStore;
use crate::net::Throttle;
use crate::term::progress::Reporter;
use crate::transfer::client::{Client, ParAccess, Timeouts};
use crate::transfer::preflight::{self, PreflightResult};
use proto::api::PutOptions;
use proto::error::Error;
use proto::object_url::ObjectUrl;

/// Where the object is stored.
pub(super) enum Place {
    Object(ObjectUrl),
    Par(Box<ParAccess>),
}

impl Place {
    /// Fails if a PAR cannot be read or used.
    pub(super) fn open(
        command: &PutCommand,
        expected_size: Option<u64>,
        reporter: &Reporter,
    ) -> Result<Place, Error> {
        match &command.target {
            PutTarget::Object(url) => Ok(Place::Object(url.clone())),
            PutTarget::Par(settings) => {
                let access = par::open(command, settings, expected_size, reporter)?;
                Ok(Place::Par(Box::new(access)))
            }
        }
    }

    /// The name of the object.
    pub(super) fn name(&self) -> &str {
        match self {
            Place::Object(url) => &url.name,
            Place::Par(par) => &par.object.location.object,
        }
    }

    /// The client, and what the checks found. Fails where there are no credentials, and where the checks
    /// end the run.
    pub(super) async fn connect(
        self,
        command: &PutCommand,
        environment: &Environment,
        local: Option<&LocalStore>,
        options: &PutOptions,
        reporter: &Arc<Reporter>,
    ) -> Result<(Arc<Client>, PreflightResult), Error> {
        let throttle = command.bwlimit.map(|rate| Arc::new(Throttle::new(rate)));
        let (condition, key) = (&options.condition, &options.customer_key);
        let retry_for = command.retry_for;
        match self {
            Place::Object(url) => {
                let client = open_session(command, environment, local, reporter).await?;
                let client = Arc::new(Client { throttle, ..client });
                let found =
                    preflight::preflight(&client, &url, condition, key, retry_for, reporter);
                let found = found.await?;
                Ok((client, found))
            }
            Place::Par(access) => {
                par::check_options(options)?;
                let (service, stall_timeout) = (&command.service, command.stall_timeout);
                let client = Client::through_par(service, *access, stall_timeout, reporter)?;
                let client = Arc::new(Client { throttle, ..client });
                let found =
                    preflight::preflight_par(&client, condition, key, retry_for, reporter).await?;
                Ok((client, found))
            }
        }
    }
}

/// A client that signs its requests, to the service or to the embedded store.
async fn open_session(
    command: &PutCommand,
    environment: &Environment,
    local: Option<&LocalStore>,
    reporter: &Arc<Reporter>,
) -> Result<Client, Error> {
    let timeouts = Timeouts { retry_for: command.retry_for, stall_timeout: command.stall_timeout };
    match local {
        None => Client::open_session(&command.service, environment, timeouts, reporter).await,
        Some(store) => {
            let options = store.service_options(&command.service);
            // The environment of the process describes an account, which the embedded store lacks.
            Client::open_session(&options, &Environment::default(), timeouts, reporter).await
        }
    }
}
