//! The options that every command talking to the service shares, as plain values.
//!
//! Each is already option before environment; what the config file says is not in here. Must not
//! know where a value came from. Invariant: `None` means that neither said anything.

use std::path::PathBuf;
use std::time::Duration;

use crate::error::Error;

/// How requests are authenticated.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum AuthMode {
    ApiKey,
    SecurityToken,
}

impl AuthMode {
    /// The spelling of `--auth` and `OCI_CLI_AUTH`.
    pub fn name(self) -> &'static str {
        match self {
            AuthMode::ApiKey => "api_key",
            AuthMode::SecurityToken => "security_token",
        }
    }

    /// Reads the spelling of `--auth` and `OCI_CLI_AUTH`.
    pub fn parse(text: &str) -> Result<AuthMode, Error> {
        match text {
            "api_key" => Ok(AuthMode::ApiKey),
            "security_token" => Ok(AuthMode::SecurityToken),
            "instance_principal"
            | "resource_principal"
            | "instance_obo_user"
            | "oke_workload_identity"
            | "pkcs11" => Err(Error::usage(format!(
                "the authentication mode {text} of the OCI CLI is not supported here yet"
            ))
            .next("use --auth api_key or --auth security_token")),
            _ => Err(Error::usage(format!("unknown authentication mode {text:?}"))
                .next("there are: api_key, security_token")),
        }
    }
}

/// Where the service is and who asks, as far as the command line and the environment say.
#[derive(Debug, Clone, Default)]
pub struct ServiceOptions {
    pub auth: Option<AuthMode>,
    pub profile: Option<String>,
    pub config_file: Option<PathBuf>,
    pub region: Option<String>,
    /// The text of `--endpoint`; `profile` reads it.
    pub endpoint: Option<String>,
    /// The text of `--auth-endpoint`; `profile` reads it.
    pub auth_endpoint: Option<String>,
    pub cert_bundle: Option<PathBuf>,
    pub refresh_before: Option<Duration>,
    pub no_refresh: bool,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_mode_reads_its_own_name() {
        for mode in [AuthMode::ApiKey, AuthMode::SecurityToken] {
            assert_eq!(AuthMode::parse(mode.name()), Ok(mode));
        }
    }

    #[test]
    fn an_unknown_mode_is_refused_and_the_known_ones_are_named() {
        let unknown = AuthMode::parse("kerberos").unwrap_err().to_string();
        assert!(unknown.contains("\"kerberos\"") && unknown.contains("api_key, security_token"));
        let later = AuthMode::parse("instance_principal").unwrap_err();
        assert!(later.what.contains("not supported"));
        assert_eq!(later.kind.exit_code(), 2);
        // The names are exact, as in the OCI CLI.
        assert!(AuthMode::parse("API_KEY").is_err());
    }
}
