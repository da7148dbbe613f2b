//! The credential sources of instances, resources, pods and token exchanges.
//!
//! Owns the meaning of the options and variables of these modes. Must not read a file or send a
//! request. Invariants: a value that is set and cannot be understood is an error that names its
//! origin, and no error shows the value of a secret.

mod oke;
mod resource;

use std::path::PathBuf;

use super::config::ProfileSettings;
use super::{CredentialSource, InstancePrincipal, TokenExchange};
use crate::auth::environment::Environment;
use crate::auth::options::{AuthMode, ServiceOptions, Setting};
use proto::endpoint::Endpoint;
use proto::error::Error;
use proto::principal::exchange;
use proto::principal::federation::FederationService;

pub(super) use self::oke::has_service_account;
pub(super) use self::resource::{incomplete_resource_principal, is_resource_principal};

/// The source of a mode other than an API key or a session token. Fails if a setting that the mode
/// needs is missing or malformed.
pub(super) fn source(
    mode: AuthMode,
    options: &ServiceOptions,
    environment: &Environment,
    settings: &ProfileSettings,
) -> Result<CredentialSource, Error> {
    Ok(match mode {
        AuthMode::InstanceOboUser => CredentialSource::InstanceOboUser {
            instance: instance(options, environment)?,
            delegation_token_file: delegation_token_file(environment, settings)?,
        },
        AuthMode::ResourcePrincipal => {
            CredentialSource::ResourcePrincipal(resource::principal(options, environment)?)
        }
        AuthMode::OkeWorkloadIdentity => {
            CredentialSource::OkeWorkloadIdentity(oke::identity(environment)?)
        }
        AuthMode::TokenExchange => CredentialSource::TokenExchange(token_exchange(options)?),
        AuthMode::InstancePrincipal | AuthMode::ApiKey | AuthMode::SecurityToken => {
            CredentialSource::InstancePrincipal(instance(options, environment)?)
        }
    })
}

/// The services of the instance. Fails if the URL of one is malformed.
fn instance(
    options: &ServiceOptions,
    environment: &Environment,
) -> Result<InstancePrincipal, Error> {
    const METADATA: &str = "OCI_METADATA_BASE_URL";
    const AUTH_HOST: &str = "OCI_SDK_AUTH_CLIENT_REGION_URL";
    // As in the Python SDK, a blank text means that the variable is not set.
    let metadata = environment.var(METADATA).map(str::trim).filter(|text| !text.is_empty());
    let metadata = metadata.map(|text| Endpoint::parse_metadata(METADATA, text)).transpose()?;
    let federation = match (&options.federation_endpoint, environment.var(AUTH_HOST)) {
        (Some(Setting { text, origin }), _) => Some(FederationService::parse(origin, text)?),
        (None, Some(text)) => {
            let endpoint = parse(AUTH_HOST, text, "https://auth.REGION.oraclecloud.com")?;
            Some(FederationService::below(endpoint))
        }
        (None, None) => None,
    };
    Ok(InstancePrincipal { metadata, federation })
}

/// Parses the URL of a service that is `https`, or `http` to this machine. `form` is an example.
fn parse(origin: &str, text: &str, form: &str) -> Result<Endpoint, Error> {
    Endpoint::parse(origin, text)
        .map_err(|error| error.with_hint(format!("it must look like {form}")))
}

fn delegation_token_file(
    environment: &Environment,
    settings: &ProfileSettings,
) -> Result<PathBuf, Error> {
    settings.path("delegation_token_file", environment).ok_or_else(|| {
        let mode = AuthMode::InstanceOboUser.name();
        Error::usage(format!("{settings} has no delegation_token_file, which {mode} needs"))
            .with_hint(
                "name the file with the delegation token there or in OCI_CLI_DELEGATION_TOKEN_FILE; \
                 Cloud Shell does so itself",
            )
    })
}

/// The identity domain and what is exchanged there. Fails if a setting is missing or malformed.
fn token_exchange(options: &ServiceOptions) -> Result<TokenExchange, Error> {
    let given = &options.exchange;
    let missing = |option: &str, variable: &str| {
        let mode = AuthMode::TokenExchange.name();
        Error::usage(format!("{mode} needs {option}, which is not given"))
            .with_hint(format!("give {option}, or set {variable}"))
    };
    let url = given.url.as_ref();
    let Setting { text, origin } =
        url.ok_or_else(|| missing("--exchange-url", "OCIPIPE_EXCHANGE_URL"))?;
    let client_id = given.client_id.as_ref();
    let client_id =
        client_id.ok_or_else(|| missing("--exchange-client-id", "OCIPIPE_EXCHANGE_CLIENT_ID"))?;
    Ok(TokenExchange {
        domain: exchange::endpoint(origin, text)?,
        jwt_file: given
            .jwt_file
            .clone()
            .ok_or_else(|| missing("--exchange-jwt-file", "OCIPIPE_EXCHANGE_JWT_FILE"))?,
        client_id: exchange::client_id(&client_id.text)
            .map_err(|error| Error::usage(format!("{}: {error}", client_id.origin)))?,
        client_secret_file: given.client_secret_file.clone().ok_or_else(|| {
            missing("--exchange-client-secret-file", "OCIPIPE_EXCHANGE_CLIENT_SECRET_FILE")
        })?,
    })
}
