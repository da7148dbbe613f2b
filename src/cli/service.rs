//! The options of all commands that use the service: the command line before the environment, and
//! both before the rc file.
//!
//! Owns the variables that correspond to options. Must not read the config file; `auth::profile`
//! adds its values. Invariants: a variable is used only if its option is not given; a variable that
//! is not UTF-8 is an error.

use std::path::PathBuf;
use std::time::Duration;

use super::args::RawServiceOptions;
use super::value;
use crate::auth::options::{
    AuthMode, CertBundle, ExchangeOptions, NetworkOptions, ServiceOptions, Setting,
};
use crate::auth::profile::config;
use crate::cli::Environment;
use proto::error::Error;
use proto::region::HostVariant;

/// The default of `--stall-timeout`.
const STALL_TIMEOUT: Duration = Duration::from_secs(60);

/// The options that have an effect with `--local`, or none at all.
const WITH_LOCAL: [&str; 7] = [
    "--opc-client-request-id",
    "--refresh-before",
    "--no-refresh",
    "--read-timeout",
    "--output",
    "--no-retry",
    "--max-retries",
];

impl RawServiceOptions<'_> {
    /// Combines options and environment. The options include those that the rc file sets, which are
    /// missing if a variable overrides them. Fails at the first malformed value or contradiction.
    pub(crate) fn resolve(&self, environment: &Environment) -> Result<ServiceOptions, Error> {
        environment.check()?;
        let setting = |option, given, variable| setting(environment, option, given, variable);
        let auth = setting("--auth", self.auth, "OCI_CLI_AUTH");
        let auth = auth.map(|Setting { text, origin }| {
            AuthMode::parse(&text)
                .map_err(|error| Error { message: format!("{origin}: {}", error.message), ..error })
        });
        let endpoint = setting("--endpoint", self.endpoint, "OCI_CLI_ENDPOINT");
        let host_variant = self.host_variant(environment)?;
        let on_command_line = |option: &str| !environment.defaults.origins.contains_key(option);
        if self.endpoint.is_some() && on_command_line("--endpoint") {
            let switches = [
                ("--realm-specific-endpoint", self.realm_specific_endpoint),
                ("--enable-dual-stack", self.enable_dual_stack),
            ];
            let conflict = switches.iter().find(|(name, given)| *given && on_command_line(name));
            if let Some((switch, _)) = conflict {
                return Err(Error::usage(format!("--endpoint and {switch} contradict each other"))
                    .with_hint("an endpoint is used as it is: leave one of them out"));
            }
        }
        Ok(ServiceOptions {
            auth: auth.transpose()?,
            profile: setting("--profile", self.profile, "OCI_CLI_PROFILE"),
            profile_is_given: self.profile.is_some() && on_command_line("--profile"),
            profile_in_rc: environment.defaults.has_profile,
            config_file_is_given: self.config_file.is_some(),
            has_key_of_environment: config::has_api_key(environment),
            rc_file: path(environment, self.cli_rc_file),
            config_file: path(environment, self.config_file)
                .or_else(|| environment.path("OCI_CLI_CONFIG_FILE")),
            region: setting("--region", self.region, "OCI_CLI_REGION"),
            endpoint,
            auth_endpoint: setting("--auth-endpoint", self.auth_endpoint, "OCIPIPE_AUTH_ENDPOINT"),
            federation_endpoint: setting(
                "--federation-endpoint",
                self.federation_endpoint,
                "OCI_CLI_FEDERATION_ENDPOINT",
            ),
            exchange: self.exchange(environment),
            host_variant,
            network: self.network(environment)?,
            ..self.options_of_requests(environment)?
        })
    }

    /// What a token exchange needs, as far as options and variables have it.
    fn exchange(&self, environment: &Environment) -> ExchangeOptions {
        let text = |option, given, variable| setting(environment, option, given, variable);
        let file = |given: Option<&str>, variable: &str| {
            path(environment, given).or_else(|| environment.path(variable))
        };
        let on_command_line = self
            .given()
            .filter(|option| {
                option.starts_with("--exchange-")
                    && !environment.defaults.origins.contains_key(option)
            })
            .collect();
        ExchangeOptions {
            url: text("--exchange-url", self.exchange_url, "OCIPIPE_EXCHANGE_URL"),
            jwt_file: file(self.exchange_jwt_file, "OCIPIPE_EXCHANGE_JWT_FILE"),
            client_id: text(
                "--exchange-client-id",
                self.exchange_client_id,
                "OCIPIPE_EXCHANGE_CLIENT_ID",
            ),
            client_secret_file: file(
                self.exchange_client_secret_file,
                "OCIPIPE_EXCHANGE_CLIENT_SECRET_FILE",
            ),
            on_command_line,
        }
    }

    /// Which host names of the region are used. Fails if a variable is neither true nor false.
    fn host_variant(&self, environment: &Environment) -> Result<HostVariant, Error> {
        Ok(HostVariant {
            realm_specific: switch(
                "--realm-specific-endpoint",
                self.realm_specific_endpoint,
                "OCI_REALM_SPECIFIC_SERVICE_ENDPOINT_TEMPLATE_ENABLED",
                environment,
            )?,
            dual_stack: dual_stack(self.enable_dual_stack, environment)?,
        })
    }

    /// The certificates to trust: the option, then the variables in the order of the OCI CLI, then
    /// OpenSSL's variables. `None` for the certificates of the system.
    fn bundle(&self, environment: &Environment) -> Option<CertBundle> {
        let bundle = |path: PathBuf, origin: &str| CertBundle {
            paths: vec![path],
            origin: origin.to_owned(),
        };
        if let Some(path) = path(environment, self.cert_bundle) {
            return Some(bundle(path, environment.defaults.origin("--cert-bundle")));
        }
        let variables = ["OCI_CLI_CERT_BUNDLE", "REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE"];
        if let Some((path, variable)) =
            variables.iter().find_map(|variable| Some((environment.path(variable)?, variable)))
        {
            return Some(bundle(path, variable));
        }
        let mut paths: Vec<PathBuf> = environment.path("SSL_CERT_FILE").into_iter().collect();
        let mut origins = vec!["SSL_CERT_FILE"; paths.len()];
        if let Some(folders) = environment.raw("SSL_CERT_DIR").filter(|value| !value.is_empty()) {
            // Like OpenSSL, the list may contain folders that do not exist.
            let folders =
                std::env::split_paths(folders).filter(|folder| !folder.as_os_str().is_empty());
            paths.extend(folders);
            origins.push("SSL_CERT_DIR");
        }
        (!paths.is_empty()).then(|| CertBundle { paths, origin: origins.join(" and ") })
    }

    /// The proxy. As in the OCI CLI, that of the option or of the rc file is used for every host,
    /// and that of the environment for every host that NO_PROXY does not name. As in Python, the
    /// variable in lower case comes first, and an empty one means no proxy. Fails if a variable is
    /// not UTF-8.
    fn proxy(&self, environment: &Environment) -> Result<NetworkOptions, Error> {
        if let Some(proxy) = self.proxy {
            let proxy = Some(Setting::new(proxy, "--proxy"));
            return Ok(NetworkOptions { proxy, ..NetworkOptions::default() });
        }
        let variable = |names: [&str; 2]| {
            let found = names.iter().find_map(|name| Some((environment.raw(name)?, *name)));
            let Some((value, name)) = found.filter(|(value, _)| !value.is_empty()) else {
                return Ok(None);
            };
            let text = value.to_str().ok_or_else(|| {
                Error::usage(format!("{name} is not UTF-8 text"))
                    .with_hint("set it anew, or unset it")
            })?;
            Ok::<_, Error>(Some(Setting::new(text, name)))
        };
        let proxy = match variable(["https_proxy", "HTTPS_PROXY"])? {
            Some(proxy) => Some(proxy),
            None => variable(["all_proxy", "ALL_PROXY"])?,
        };
        if proxy.is_none() && environment.defaults.proxy.is_some() {
            let proxy = environment.defaults.proxy.clone();
            return Ok(NetworkOptions { proxy, ..NetworkOptions::default() });
        }
        // Unlike for the proxy, an empty variable in lower case does not hide the other one.
        let no_proxy = match variable(["no_proxy"; 2])? {
            Some(no_proxy) => Some(no_proxy),
            None => variable(["NO_PROXY"; 2])?,
        };
        Ok(NetworkOptions { proxy, no_proxy, ..NetworkOptions::default() })
    }

    /// The options with `--local`, where only those on refreshing tokens and tracing have an effect. Fails if
    /// an option of an account or of the network is given; their variables are ignored.
    pub(crate) fn local(&self) -> Result<ServiceOptions, Error> {
        if let Some(option) = self.given().find(|option| !WITH_LOCAL.contains(&option.as_str())) {
            return Err(Error::usage(format!("--local and {option} contradict each other"))
                .with_hint("--local uses no account and no service: leave one of them out"));
        }
        self.options_of_requests(&Environment::default())
    }

    /// How the service is reached. Fails at a malformed value.
    fn network(&self, environment: &Environment) -> Result<NetworkOptions, Error> {
        Ok(NetworkOptions {
            cert_bundle: self.bundle(environment),
            connect_timeout: value::seconds("--connection-timeout", self.connection_timeout)?,
            ..self.proxy(environment)?
        })
    }

    /// The options through a pre-authenticated request: those on the network and on tracing. The variables
    /// of an account are ignored, since none is used. Fails at the first malformed value.
    pub(crate) fn through_par(&self, environment: &Environment) -> Result<ServiceOptions, Error> {
        environment.check()?;
        Ok(ServiceOptions {
            network: self.network(environment)?,
            ..self.options_of_requests(environment)?
        })
    }

    /// The options on refreshing tokens and on tracing. Fails if they contradict each other, or if
    /// the id of the client cannot be the value of a header.
    fn options_of_requests(&self, environment: &Environment) -> Result<ServiceOptions, Error> {
        let refresh_before = value::duration("--refresh-before", self.refresh_before)?;
        if refresh_before.is_some() && self.no_refresh {
            return Err(Error::usage("--refresh-before and --no-refresh contradict each other"));
        }
        let client_request_id = self.opc_client_request_id.map(str::to_owned);
        let is_valid =
            |id: &String| !id.is_empty() && id.bytes().all(|byte| byte.is_ascii_graphic());
        if let Some(id) = client_request_id.as_ref().filter(|id| !is_valid(id)) {
            let option = environment.defaults.origin("--opc-client-request-id");
            let form = "it has visible ASCII characters and no blank";
            return Err(value::invalid_value(option, id, form));
        }
        value::choice("--output", self.output, &[("json", ())])?;
        Ok(ServiceOptions {
            refresh_before,
            no_refresh: self.no_refresh,
            client_request_id,
            read_timeout: value::seconds("--read-timeout", self.read_timeout)?,
            warnings: self.warnings(environment)?,
            ..ServiceOptions::default()
        })
    }

    /// What the rc file warns of, and the options of the OCI CLI that have no effect. Fails if one of them
    /// has a value that the OCI CLI does not take.
    fn warnings(&self, environment: &Environment) -> Result<Vec<String>, Error> {
        let option = "--max-retries";
        if let Some(text) = self.max_retries.filter(|text| text.parse::<u32>().is_err()) {
            return Err(value::invalid_value(option, text, "it is a whole number"));
        }
        let given = [("--no-retry", self.no_retry), (option, self.max_retries.is_some())];
        let words = given.iter().filter(|(_, given)| *given).map(|(option, _)| {
            let origin = environment.defaults.origin(option);
            format!("{origin} has no effect: --retry-for decides how long a request is sent again")
        });
        Ok(environment.defaults.warnings.iter().cloned().chain(words).collect())
    }
}

/// How long a connection may move no byte: `--stall-timeout`, or `--read-timeout` among the options of the
/// service. Fails if both are given.
pub(super) fn stall_timeout(
    stall_timeout: Option<&str>,
    service: &ServiceOptions,
) -> Result<Duration, Error> {
    let given = value::duration("--stall-timeout", stall_timeout)?;
    if given.is_some() && service.read_timeout.is_some() {
        return Err(Error::usage("--stall-timeout and --read-timeout contradict each other")
            .with_hint(
                "they are the same, one as a duration and one in seconds: leave one of them out",
            ));
    }
    Ok(given.or(service.read_timeout).unwrap_or(STALL_TIMEOUT))
}

/// A value and where it comes from: the option, or the key of the rc file that sets it, before the variable.
pub(super) fn setting(
    environment: &Environment,
    option: &str,
    given: Option<&str>,
    variable: &str,
) -> Option<Setting> {
    match given {
        Some(text) => Some(Setting::new(text, environment.defaults.origin(option))),
        None => environment.var(variable).map(|text| Setting::new(text, variable)),
    }
}

/// A path with a leading `~` expanded, which the shell does not do after `=`; as in the OCI CLI.
pub(super) fn path(environment: &Environment, text: Option<&str>) -> Option<PathBuf> {
    text.map(|text| environment.expand(text))
}

/// What requests hosts with IPv4 and IPv6 addresses. Fails if the variable is neither true nor false.
pub(super) fn dual_stack(given: bool, environment: &Environment) -> Result<Option<String>, Error> {
    switch("--enable-dual-stack", given, "OCI_DUAL_STACK_ENDPOINT_ENABLED", environment)
}

/// What sets a switch: the option or a variable.
fn switch(
    option: &str,
    given: bool,
    variable: &str,
    environment: &Environment,
) -> Result<Option<String>, Error> {
    if given {
        return Ok(Some(environment.defaults.origin(option).to_owned()));
    }
    match environment.var(variable) {
        None => Ok(None),
        Some(text) if text.eq_ignore_ascii_case("true") => Ok(Some(variable.to_owned())),
        Some(text) if text.eq_ignore_ascii_case("false") => Ok(None),
        Some(text) => Err(value::invalid_value(variable, text, "it is true or false")),
    }
}
