//! The options that all commands which use the service share, as plain values.
//!
//! Owns their types. Each value is that of the command line, else of the environment, else of the
//! rc file; values of the config file are not included. The origin of a value is for messages and for the
//! commands in them. Must not know what a value decides. Invariant: `None` means that none of the three
//! sets the option.

use std::fmt;
use std::path::PathBuf;
use std::time::Duration;

use proto::error::Error;
use proto::region::HostVariant;
use proto::shell::shell_quote;

/// How requests are authenticated.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum AuthMode {
    /// By the API key of a user.
    ApiKey,
    /// By a session token and the key it is bound to.
    SecurityToken,
    /// By the certificate of the instance that the process runs on.
    InstancePrincipal,
    /// By a token of a resource, such as a function.
    ResourcePrincipal,
    /// By the service account of a Kubernetes pod.
    OkeWorkloadIdentity,
    /// By the certificate of the instance, on behalf of the user of a delegation token.
    InstanceOboUser,
    /// By a token of another issuer, exchanged at an identity domain.
    TokenExchange,
}

impl AuthMode {
    /// All modes, in the order of `--help`.
    pub const ALL: [AuthMode; 7] = [
        AuthMode::ApiKey,
        AuthMode::SecurityToken,
        AuthMode::InstancePrincipal,
        AuthMode::ResourcePrincipal,
        AuthMode::OkeWorkloadIdentity,
        AuthMode::InstanceOboUser,
        AuthMode::TokenExchange,
    ];

    /// The spelling of `--auth` and `OCI_CLI_AUTH`.
    pub fn name(self) -> &'static str {
        match self {
            AuthMode::ApiKey => "api_key",
            AuthMode::SecurityToken => "security_token",
            AuthMode::InstancePrincipal => "instance_principal",
            AuthMode::ResourcePrincipal => "resource_principal",
            AuthMode::OkeWorkloadIdentity => "oke_workload_identity",
            AuthMode::InstanceOboUser => "instance_obo_user",
            AuthMode::TokenExchange => "token_exchange",
        }
    }

    /// Whether a service of the host names the region, so that no setting has to.
    pub fn knows_its_region(self) -> bool {
        matches!(self, AuthMode::InstancePrincipal | AuthMode::InstanceOboUser)
    }

    /// Whether the credentials come from the host or a service, so that no config file has to exist.
    pub fn needs_no_config_file(self) -> bool {
        !matches!(self, AuthMode::ApiKey | AuthMode::SecurityToken)
    }

    /// Parses the spelling of `--auth` and `OCI_CLI_AUTH`. Fails for a mode that does not exist, and
    /// for `pkcs11`, which needs a library of the device.
    pub fn parse(text: &str) -> Result<AuthMode, Error> {
        let names = AuthMode::ALL.map(AuthMode::name).join(", ");
        if let Some(mode) = AuthMode::ALL.into_iter().find(|mode| mode.name() == text) {
            return Ok(mode);
        }
        let message = match text {
            "pkcs11" => "the authentication mode pkcs11 of the OCI CLI is not supported".to_owned(),
            _ => format!("unknown authentication mode {text:?}"),
        };
        Err(Error::usage(message).with_hint(format!("there are: {names}")))
    }
}

/// A value and its origin: an option, a variable, or a key in a file.
#[derive(Clone, PartialEq, Eq)]
pub struct Setting {
    /// The value.
    pub text: String,
    /// For messages and the commands in them, such as `--region` or `region in FILE`.
    pub origin: String,
}

impl Setting {
    /// A value and its origin.
    pub fn new(text: impl Into<String>, origin: impl Into<String>) -> Setting {
        Setting { text: text.into(), origin: origin.into() }
    }
}

// A URL may contain a password: only the origin is shown.
impl fmt::Debug for Setting {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Setting(by {})", self.origin)
    }
}

/// Certificate authorities that replace those of the system: files or folders, and their origin.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CertBundle {
    /// Files, and folders of files, in PEM.
    pub paths: Vec<PathBuf>,
    /// For messages.
    pub origin: String,
}

/// How the service is reached, and which certificates are trusted.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct NetworkOptions {
    /// `None` for the authorities of the system.
    pub cert_bundle: Option<CertBundle>,
    /// The URL of a proxy, not yet parsed.
    pub proxy: Option<Setting>,
    /// The hosts that are reached without the proxy, as in `NO_PROXY`; not yet parsed.
    pub no_proxy: Option<Setting>,
    /// The longest time for one connection to be made; `None` for the default.
    pub connect_timeout: Option<Duration>,
}

/// What a token exchange needs, not yet parsed.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ExchangeOptions {
    /// The URL of the identity domain.
    pub url: Option<Setting>,
    pub jwt_file: Option<PathBuf>,
    pub client_id: Option<Setting>,
    pub client_secret_file: Option<PathBuf>,
    /// Those of these options that are on the command line.
    pub on_command_line: Vec<String>,
}

/// The account and the endpoint, as far as the command line, the environment and the rc file set
/// them.
#[derive(Debug, Clone, Default)]
pub struct ServiceOptions {
    /// `None` where the profile decides.
    pub auth: Option<AuthMode>,
    /// The profile of the config file.
    pub profile: Option<Setting>,
    /// Whether an option or the caller names the profile, and not a variable.
    pub profile_is_given: bool,
    /// Whether the rc file has a section for the profile.
    pub profile_in_rc: bool,
    /// `None` for `~/.oci/config`.
    pub config_file: Option<PathBuf>,
    /// Whether an option or the caller names the config file, and not a variable.
    pub config_file_is_given: bool,
    /// Whether the environment has a complete API key, which an option that names a profile or a file would hide.
    pub has_key_of_environment: bool,
    /// The rc file that an option names.
    pub rc_file: Option<PathBuf>,
    /// The region.
    pub region: Option<Setting>,
    /// The URL of Object Storage, not yet parsed.
    pub endpoint: Option<Setting>,
    /// The URL of the auth service, not yet parsed.
    pub auth_endpoint: Option<Setting>,
    /// The complete URL of the federation call, not yet parsed.
    pub federation_endpoint: Option<Setting>,
    /// What a token exchange needs.
    pub exchange: ExchangeOptions,
    /// The header `opc-client-request-id` of each request to Object Storage.
    pub client_request_id: Option<String>,
    /// Which of the region's host names is used.
    pub host_variant: HostVariant,
    /// How the service is reached.
    pub network: NetworkOptions,
    /// A token with less time left is refreshed.
    pub refresh_before: Option<Duration>,
    /// Whether the auth service is never called.
    pub no_refresh: bool,
    /// How long a connection may move no byte, for commands without an option of their own.
    pub read_timeout: Option<Duration>,
    /// Warnings to print at the start.
    pub warnings: Vec<String>,
}

impl ServiceOptions {
    /// The options, as words of a shell, with which another command reaches the same service by the same
    /// credentials; the OCI CLI has them too. A value of a variable is left out, since the variable is there
    /// for that command as well, but for profile and config file, without which another shell would use other
    /// credentials; and so is an endpoint with a password.
    pub(crate) fn shell_words(&self) -> String {
        let names_profile = self.profile_is_given || !self.has_key_of_environment;
        let names_file = self.config_file_is_given || !self.has_key_of_environment;
        let profile = self.profile.as_ref().filter(|_| names_profile);
        let config_file = self.config_file.as_ref().filter(|_| names_file);
        let given = |setting: &Option<Setting>| {
            setting.as_ref().filter(|it| it.origin.starts_with("--")).map(|it| it.text.clone())
        };
        let words = [
            ("--auth", self.auth.map(|mode| mode.name().to_owned())),
            ("--profile", profile.map(|profile| profile.text.clone())),
            ("--config-file", config_file.map(|path| path.display().to_string())),
            ("--cli-rc-file", self.rc_file.as_ref().map(|path| path.display().to_string())),
            ("--region", given(&self.region)),
            ("--endpoint", given(&self.endpoint).filter(|url| without_password(url))),
            (
                "--federation-endpoint",
                given(&self.federation_endpoint).filter(|url| without_password(url)),
            ),
            ("--proxy", given(&self.network.proxy).filter(|url| without_password(url))),
            ("--cert-bundle", self.given_bundle()),
        ];
        let words = words.into_iter().filter_map(|(option, value)| Some((option, value?)));
        words.map(|(option, value)| format!(" {option} {}", shell_quote(&value))).collect()
    }

    /// The same with what only ocipipe has.
    pub(crate) fn own_shell_words(&self) -> String {
        let given = |setting: &Option<Setting>| {
            setting.as_ref().filter(|it| it.origin.starts_with("--")).map(|it| it.text.clone())
        };
        let exchange = &self.exchange;
        let file = |option: &str, path: &Option<PathBuf>| {
            let is_given = exchange.on_command_line.iter().any(|given| given == option);
            path.as_ref().filter(|_| is_given).map(|path| path.display().to_string())
        };
        let words = [
            ("--auth-endpoint", given(&self.auth_endpoint).filter(|url| without_password(url))),
            ("--exchange-url", given(&exchange.url).filter(|url| without_password(url))),
            ("--exchange-client-id", given(&exchange.client_id)),
            ("--exchange-jwt-file", file("--exchange-jwt-file", &exchange.jwt_file)),
            (
                "--exchange-client-secret-file",
                file("--exchange-client-secret-file", &exchange.client_secret_file),
            ),
        ];
        let words = words.into_iter().filter_map(|(option, value)| Some((option, value?)));
        let own: String =
            words.map(|(option, value)| format!(" {option} {}", shell_quote(&value))).collect();
        let switches = [&self.host_variant.realm_specific, &self.host_variant.dual_stack];
        let given = switches.into_iter().flatten().filter(|origin| origin.starts_with("--"));
        // An endpoint is used as it is.
        let given = given.filter(|_| self.endpoint.is_none());
        let switches: String = given.map(|option| format!(" {option}")).collect();
        format!("{}{own}{switches}", self.shell_words())
    }

    /// The certificates of the option.
    fn given_bundle(&self) -> Option<String> {
        let bundle = self.network.cert_bundle.as_ref().filter(|it| it.origin.starts_with("--"))?;
        Some(bundle.paths.first()?.display().to_string())
    }
}

/// A URL with a user may have a password.
fn without_password(url: &str) -> bool {
    !url.contains('@')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_printed_command_has_what_options_have_set_and_no_password() {
        let option = |text: &str| Some(Setting::new(text, "--option"));
        let bundle = |origin: &str| {
            Some(CertBundle { paths: vec!["/ca it".into()], origin: origin.to_owned() })
        };
        let options = |origin: &str, proxy: &str| ServiceOptions {
            auth_endpoint: option("https://auth"),
            network: NetworkOptions {
                cert_bundle: bundle(origin),
                proxy: option(proxy),
                ..NetworkOptions::default()
            },
            exchange: ExchangeOptions {
                jwt_file: Some("/of a variable".into()),
                client_secret_file: Some("/s".into()),
                on_command_line: vec!["--exchange-client-secret-file".to_owned()],
                ..ExchangeOptions::default()
            },
            rc_file: Some("/rc".into()),
            host_variant: HostVariant {
                realm_specific: Some("--realm-specific-endpoint".to_owned()),
                dual_stack: Some("OCI_DUAL_STACK_ENDPOINT_ENABLED".to_owned()),
            },
            ..ServiceOptions::default()
        };
        assert_eq!(
            options("--cert-bundle", "http://p:1").own_shell_words(),
            " --cli-rc-file /rc --proxy http://p:1 --cert-bundle '/ca it' --auth-endpoint https://auth \
             --exchange-client-secret-file /s --realm-specific-endpoint"
        );
        let secret = options("SSL_CERT_FILE", "http://u:p@p:1");
        let own = "--auth-endpoint https://auth --exchange-client-secret-file /s";
        assert_eq!(
            secret.own_shell_words(),
            format!(" --cli-rc-file /rc {own} --realm-specific-endpoint")
        );
        let endpoint = ServiceOptions { endpoint: option("https://e"), ..secret };
        assert_eq!(
            endpoint.own_shell_words(),
            format!(" --cli-rc-file /rc --endpoint https://e {own}")
        );
    }

    #[test]
    fn a_printed_command_does_not_hide_a_complete_api_key_of_the_environment() {
        let options = |has_key_of_environment, is_given| ServiceOptions {
            profile: Some(Setting::new("P", "OCI_CLI_PROFILE")),
            profile_is_given: is_given,
            config_file: Some("/c".into()),
            config_file_is_given: is_given,
            has_key_of_environment,
            ..ServiceOptions::default()
        };
        assert_eq!(options(true, false).shell_words(), "");
        for (of_environment, is_given) in [(true, true), (false, false), (false, true)] {
            let words = options(of_environment, is_given).shell_words();
            assert_eq!(words, " --profile P --config-file /c");
        }
    }

    #[test]
    fn every_mode_reads_its_own_name() {
        for mode in AuthMode::ALL {
            assert_eq!(AuthMode::parse(mode.name()), Ok(mode));
        }
    }

    #[test]
    fn an_unknown_mode_is_an_error_that_names_the_known_ones() {
        let unknown = AuthMode::parse("kerberos").unwrap_err().to_string();
        assert!(unknown.contains("\"kerberos\"") && unknown.contains("api_key, security_token"));
        let pkcs11 = AuthMode::parse("pkcs11").unwrap_err();
        assert!(pkcs11.message.contains("not supported"));
        assert_eq!(pkcs11.kind.exit_code(), 2);
        // The names are exact, as in the OCI CLI.
        assert!(AuthMode::parse("API_KEY").is_err());
    }
}
