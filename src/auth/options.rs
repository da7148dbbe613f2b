//! The options that every command talking to the service shares, as plain values.
//!
//! Each is already option before environment before rc file; what the config file says is not in here.
//! Must not act on where a value came from, which is for messages only. Invariant: `None` means that none of
//! them said anything.

use std::fmt;
use std::path::PathBuf;
use std::time::Duration;

use proto::error::Error;
use proto::region::HostVariant;

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
            .with_hint("use --auth api_key or --auth security_token")),
            _ => Err(Error::usage(format!("unknown authentication mode {text:?}"))
                .with_hint("there are: api_key, security_token")),
        }
    }
}

/// A text that was given, and what gave it: an option, a variable, a key in a file.
#[derive(Clone, PartialEq, Eq)]
pub struct Setting {
    pub text: String,
    pub origin: String,
}

impl Setting {
    pub fn new(text: impl Into<String>, from: impl Into<String>) -> Setting {
        Setting { text: text.into(), origin: from.into() }
    }
}

// A URL may hold a password.
impl fmt::Debug for Setting {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Setting(by {})", self.origin)
    }
}

/// The authorities to trust in place of the system's: files or folders, and what named them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CertBundle {
    pub paths: Vec<PathBuf>,
    pub origin: String,
}

/// How the service is reached, and whom to trust there.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct NetworkOptions {
    pub cert_bundle: Option<CertBundle>,
    /// The URL of a proxy; `http` reads it.
    pub proxy: Option<Setting>,
    /// What the proxy is not for.
    pub no_proxy: Option<Setting>,
}

/// Where the service is and who asks, as far as the command line and the environment say.
#[derive(Debug, Clone, Default)]
pub struct ServiceOptions {
    pub auth: Option<AuthMode>,
    pub profile: Option<Setting>,
    pub config_file: Option<PathBuf>,
    pub region: Option<Setting>,
    /// The URL of Object Storage; `profile` reads it.
    pub endpoint: Option<Setting>,
    /// The URL of the auth service; `profile` reads it.
    pub auth_endpoint: Option<Setting>,
    /// Which of the region's hosts are meant.
    pub host_variant: HostVariant,
    pub network: NetworkOptions,
    pub refresh_before: Option<Duration>,
    pub no_refresh: bool,
    /// What is odd enough to be said at the start, though not wrong.
    pub warnings: Vec<String>,
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
        assert!(later.message.contains("not supported"));
        assert_eq!(later.kind.exit_code(), 2);
        // The names are exact, as in the OCI CLI.
        assert!(AuthMode::parse("API_KEY").is_err());
    }
}
