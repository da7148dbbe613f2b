//! The choice of the authentication mode.
//!
//! Owns the order of what names or suggests a mode. Must not read a file. Invariants: an instance
//! principal is never the result of a guess, and what was not named by an option, a variable or the
//! rc file has a note for the user.

use super::config::ProfileSettings;
use super::{endpoints, principal};
use crate::auth::environment::Environment;
use crate::auth::options::{AuthMode, ServiceOptions};
use proto::error::Error;

/// A mode, and the note on why it was chosen.
#[derive(Debug)]
pub(super) struct Detected {
    pub mode: AuthMode,
    /// `None` if an option, a variable or the rc file names the mode.
    pub note: Option<String>,
}

/// The mode: as an option or the profile names it, else by the keys in the profile; without config
/// file and credentials, by the variables of resources and pods. Fails if there is nothing to choose.
pub(super) fn detect(
    options: &ServiceOptions,
    environment: &Environment,
    settings: &ProfileSettings,
) -> Result<Detected, Error> {
    let needs_file = |mode: AuthMode| !mode.needs_no_config_file();
    if let Some(mode) = options.auth {
        return match &settings.without_file {
            Some(error) if needs_file(mode) => Err(error.clone()),
            _ => Ok(Detected { mode, note: None }),
        };
    }
    let (mode, reason) = match &settings.without_file {
        Some(error) => by_environment(options, environment, error)?,
        None => by_profile(settings)?,
    };
    let note = format!("authentication mode {}: {reason}", mode.name());
    Ok(Detected { mode, note: Some(note) })
}

/// The mode of the profile, and the reason.
fn by_profile(settings: &ProfileSettings) -> Result<(AuthMode, String), Error> {
    if settings.is_configured("authentication_type")
        && let Some(text) = settings.value("authentication_type")
    {
        let mode = AuthMode::parse(text).map_err(|error| Error {
            message: format!("{settings}: authentication_type: {}", error.message),
            ..error
        })?;
        // As in the SDKs, this type with a delegation token means the user of the token.
        if mode == AuthMode::InstancePrincipal && settings.is_configured("delegation_token_file") {
            let reason = format!("authentication_type and delegation_token_file of {settings}");
            return Ok((AuthMode::InstanceOboUser, reason));
        }
        return Ok((mode, format!("authentication_type of {settings}")));
    }
    Ok(if settings.is_configured("security_token_file") {
        (AuthMode::SecurityToken, format!("security_token_file of {settings}"))
    } else {
        (AuthMode::ApiKey, format!("the API key of {settings}"))
    })
}

/// The mode of a host without config file and credentials, and the reason. `no_file` is the error
/// for the missing config file.
fn by_environment(
    options: &ServiceOptions,
    environment: &Environment,
    no_file: &Error,
) -> Result<(AuthMode, String), Error> {
    if principal::is_resource_principal(environment)? {
        let reason = "no config file, and the variables OCI_RESOURCE_PRINCIPAL_*";
        return Ok((AuthMode::ResourcePrincipal, reason.to_owned()));
    }
    let in_pod = principal::has_service_account(environment);
    let region_known = endpoints::is_known_in_a_pod(options, environment);
    if in_pod && region_known {
        let reason = "no config file, and a token of a Kubernetes service account";
        return Ok((AuthMode::OkeWorkloadIdentity, reason.to_owned()));
    }
    let mut message = format!("there are no credentials: {}", no_file.message);
    if let Some(lack) = principal::incomplete_resource_principal(environment) {
        message += &format!("; {lack}");
    }
    if in_pod {
        message += "; this is a pod with a service account, but nothing names the region \
                    (OCI_RESOURCE_PRINCIPAL_REGION or --region)";
    }
    let hint = no_file.hint.as_deref().unwrap_or_default();
    Err(Error::usage(message).with_hint(format!(
        "{hint};\n  on an instance in OCI give --auth instance_principal, in a pod of OKE \
         --auth oke_workload_identity, in a function or a container instance \
         --auth resource_principal, and with a token of another issuer --auth token_exchange"
    )))
}
