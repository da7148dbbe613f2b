//! What brings new credentials, for each mode, as the messages name it.
//!
//! Owns these texts. Must not know when a message is shown. Invariant: a text names files, variables and
//! services, and shows no secret.

use std::time::Duration;

use super::token_name;
use crate::auth::profile::{CredentialSource, Identity, ResourcePrincipal, TextOrFile};
use proto::error::Error;
use proto::units::DisplayTime;

/// What brings new credentials while a run waits for them, as the start of a sentence.
pub(super) fn new_credentials(identity: &Identity) -> String {
    match &identity.credentials {
        CredentialSource::SecurityToken { .. } => identity.login_command(),
        CredentialSource::ApiKey { fingerprint, .. } => of_api_key(identity, fingerprint),
        CredentialSource::InstancePrincipal(_) => {
            "the certificate of the instance is exchanged again: check that this host reaches its \
             metadata service and the auth service"
                .to_owned()
        }
        CredentialSource::InstanceOboUser { delegation_token_file, .. } => format!(
            "the certificate of the instance is exchanged again, and a new delegation token in {} is \
             taken up: begin a new Cloud Shell session",
            delegation_token_file.display()
        ),
        CredentialSource::ResourcePrincipal(ResourcePrincipal::TokenAndKey { token, .. }) => {
            of_token(token)
        }
        CredentialSource::ResourcePrincipal(
            ResourcePrincipal::ResourceKey(_) | ResourcePrincipal::OfInstance { .. },
        ) => "the services of the resource are asked again: check that this host reaches those of \
              OCI_RESOURCE_PRINCIPAL_RPT_ENDPOINT and _RPST_ENDPOINT"
            .to_owned(),
        CredentialSource::OkeWorkloadIdentity(oke) => format!(
            "the token service of the cluster is asked again: check that {} has a valid service account \
             token, and that this pod reaches {}",
            oke.token, oke.service
        ),
        CredentialSource::TokenExchange(exchange) => format!(
            "the identity domain is asked again: let the job write a valid JWT to {}",
            exchange.jwt_file.display()
        ),
    }
}

fn of_api_key(identity: &Identity, fingerprint: &str) -> String {
    format!(
        "check that the key {fingerprint} is among the API keys of the user {}",
        identity.user.as_deref().unwrap_or_default()
    )
}

fn of_token(token: &TextOrFile) -> String {
    match token {
        TextOrFile::File(file) => {
            format!("the service that runs this resource replaces {}", file.display())
        }
        TextOrFile::Text { .. } => "start the run with a new token, or name files in \
                                    OCI_RESOURCE_PRINCIPAL_RPST and _PRIVATE_PEM, which are read again"
            .to_owned(),
    }
}

/// The error for a token that expired at `expires`, in seconds since 1970.
pub(super) fn expired(identity: &Identity, expires: u64) -> Error {
    let date = DisplayTime(Duration::from_secs(expires));
    let (place, hint) = match &identity.credentials {
        CredentialSource::SecurityToken { token_file, .. } => {
            (format!(" in {}", token_file.display()), identity.login_command())
        }
        CredentialSource::ResourcePrincipal(ResourcePrincipal::TokenAndKey { token, .. }) => {
            (format!(" in {token}"), of_token(token))
        }
        _ => (String::new(), "see the messages above for why it was not renewed".to_owned()),
    };
    let token = token_name(identity.credentials.mode());
    Error::credentials(format!("{token}{place} expired at {date}")).with_hint(hint)
}

/// The error for an expired token, with the reason why the refreshes before its end have failed.
pub(super) fn not_refreshed(identity: &Identity, expired: Error, reason: &str) -> Error {
    let message = format!("{}, and it could not be refreshed: {reason}", expired.message);
    let hint = match (other_auth_service(identity), expired.hint) {
        (Some(setting), Some(login)) => Some(format!("{setting}\n  {login}")),
        (setting, login) => setting.or(login),
    };
    Error { message, hint, ..expired }
}

/// What may be wrong where the token of a session cannot be refreshed: the endpoint of Object Storage was given, as
/// for a service that is not public, and the auth service is still that of the region.
pub(super) fn other_auth_service(identity: &Identity) -> Option<String> {
    let auth = identity.auth_service_beside_an_endpoint()?;
    Some(format!(
        "is the auth service elsewhere, like the endpoint of Object Storage? {auth} is that of the region: \
         give --auth-endpoint or OCIPIPE_AUTH_ENDPOINT"
    ))
}

/// The error for credentials that the service refuses although they have not expired.
pub(super) fn refused(identity: &Identity) -> Error {
    let error = Error::credentials("the service refuses the credentials (401)");
    error.with_hint(match &identity.credentials {
        CredentialSource::SecurityToken { .. } => identity.login_command(),
        CredentialSource::ApiKey { fingerprint, .. } => of_api_key(identity, fingerprint),
        CredentialSource::InstanceOboUser { delegation_token_file, .. } => format!(
            "the delegation token in {} may have expired: begin a new Cloud Shell session",
            delegation_token_file.display()
        ),
        _ => "check the clock of this host, and that the region of the endpoint is in the realm of the \
              token"
            .to_owned(),
    })
}
