//! The credential sources of instances, resources, pods and token exchanges.
//!
//! Owns the meaning of the options and variables of these modes. Must not read a file or send a
//! request. Invariant: a value that is set and cannot be understood is an error.

use super::CredentialSource;
use super::config::ProfileSettings;
use crate::auth::environment::Environment;
use crate::auth::options::{AuthMode, ServiceOptions};
use proto::error::Error;

/// The source of a mode other than an API key or a session token. Fails if a setting that the mode
/// needs is missing or malformed.
pub(super) fn source(
    mode: AuthMode,
    _options: &ServiceOptions,
    _environment: &Environment,
    settings: &ProfileSettings,
) -> Result<CredentialSource, Error> {
    let name = mode.name();
    Err(Error::usage(format!("{settings}: the settings of {name} are missing")))
}
