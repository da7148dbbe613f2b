//! The options of every command that talks to the service: the command line before the environment, and
//! both before the rc file.
//!
//! Must not read the config file; what it says comes last and is for the identity to add. Invariants:
//! an environment variable is looked at only where the option was not given, and one that cannot be
//! read is refused.

use std::path::PathBuf;

use super::value;
use crate::auth::options::{AuthMode, CertBundle, NetworkOptions, ServiceOptions, Setting};
use crate::cli::Environment;
use proto::error::Error;
use proto::region::HostVariant;

/// The texts of the options, as given.
pub struct RawServiceOptions<'a> {
    pub auth: Option<&'a str>,
    pub profile: Option<&'a str>,
    pub config_file: Option<&'a str>,
    pub cli_rc_file: Option<&'a str>,
    pub region: Option<&'a str>,
    pub endpoint: Option<&'a str>,
    pub realm_specific_endpoint: bool,
    pub enable_dual_stack: bool,
    pub auth_endpoint: Option<&'a str>,
    pub cert_bundle: Option<&'a str>,
    pub proxy: Option<&'a str>,
    pub refresh_before: Option<&'a str>,
    pub no_refresh: bool,
}

impl RawServiceOptions<'_> {
    /// Option before environment. What the rc file says stands among the options where no variable
    /// comes before it.
    pub fn resolve(&self, environment: &Environment) -> Result<ServiceOptions, Error> {
        environment.check()?;
        let setting = |option: &str, given: Option<&str>, variable: &str| match given {
            Some(text) => Some(Setting::new(text, environment.defaults.origin(option))),
            None => environment.var(variable).map(|text| Setting::new(text, variable)),
        };
        let auth = setting("--auth", self.auth, "OCI_CLI_AUTH");
        let auth = auth.map(|Setting { text, origin: from }| {
            AuthMode::parse(&text)
                .map_err(|error| Error { message: format!("{from}: {}", error.message), ..error })
        });
        let endpoint = setting("--endpoint", self.endpoint, "OCI_CLI_ENDPOINT");
        let form = self.form(environment)?;
        let typed = |option: &str| !environment.defaults.origins.contains_key(option);
        if self.endpoint.is_some() && typed("--endpoint") {
            let switches = [
                ("--realm-specific-endpoint", self.realm_specific_endpoint),
                ("--enable-dual-stack", self.enable_dual_stack),
            ];
            if let Some((switch, _)) = switches.iter().find(|(name, given)| *given && typed(name)) {
                return Err(Error::usage(format!("--endpoint and {switch} contradict each other"))
                    .with_hint("an endpoint is used as it is: leave one of them out"));
            }
        }
        Ok(ServiceOptions {
            auth: auth.transpose()?,
            profile: setting("--profile", self.profile, "OCI_CLI_PROFILE"),
            config_file: path(environment, self.config_file)
                .or_else(|| environment.path("OCI_CLI_CONFIG_FILE")),
            region: setting("--region", self.region, "OCI_CLI_REGION"),
            endpoint,
            auth_endpoint: setting("--auth-endpoint", self.auth_endpoint, "OCIPIPE_AUTH_ENDPOINT"),
            host_variant: form,
            network: NetworkOptions {
                cert_bundle: self.bundle(environment),
                ..self.proxy(environment)?
            },
            warnings: environment.defaults.warnings.clone(),
            ..self.refreshing()?
        })
    }

    fn form(&self, environment: &Environment) -> Result<HostVariant, Error> {
        let switch = |option: &str, given: bool, variable: &str| {
            if given {
                return Ok(Some(environment.defaults.origin(option).to_owned()));
            }
            match environment.var(variable) {
                None => Ok(None),
                Some(text) if text.eq_ignore_ascii_case("true") => Ok(Some(variable.to_owned())),
                Some(text) if text.eq_ignore_ascii_case("false") => Ok(None),
                Some(text) => Err(value::invalid_value(variable, text, "it is true or false")),
            }
        };
        Ok(HostVariant {
            realm_specific: switch(
                "--realm-specific-endpoint",
                self.realm_specific_endpoint,
                "OCI_REALM_SPECIFIC_SERVICE_ENDPOINT_TEMPLATE_ENABLED",
            )?,
            dual_stack: switch(
                "--enable-dual-stack",
                self.enable_dual_stack,
                "OCI_DUAL_STACK_ENDPOINT_ENABLED",
            )?,
        })
    }

    /// Whom to trust: in the order of the OCI CLI, and OpenSSL's variables before the system.
    fn bundle(&self, environment: &Environment) -> Option<CertBundle> {
        let bundle =
            |path: PathBuf, from: &str| CertBundle { paths: vec![path], origin: from.to_owned() };
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
        let mut from = vec!["SSL_CERT_FILE"; paths.len()];
        if let Some(folders) = environment.raw("SSL_CERT_DIR").filter(|value| !value.is_empty()) {
            // OpenSSL goes on where one of them is missing.
            let there =
                std::env::split_paths(folders).filter(|folder| !folder.as_os_str().is_empty());
            paths.extend(there);
            from.push("SSL_CERT_DIR");
        }
        (!paths.is_empty()).then(|| CertBundle { paths, origin: from.join(" and ") })
    }

    /// The proxies of the option and of the rc file are for everything, as in the OCI CLI; those of the
    /// environment are not for what NO_PROXY names. As in Python, the name in small letters wins, and if it is empty there is none.
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
        let no_proxy = variable(["no_proxy", "NO_PROXY"])?;
        Ok(NetworkOptions { proxy, no_proxy, ..NetworkOptions::default() })
    }

    /// What `--local` leaves of them: it needs no account, so naming one is a mistake, while the
    /// environment of one is no concern of it. Its tokens are real and are refreshed as told.
    pub fn local(&self) -> Result<ServiceOptions, Error> {
        let given = [
            ("--auth", self.auth.is_some()),
            ("--profile", self.profile.is_some()),
            ("--config-file", self.config_file.is_some()),
            ("--cli-rc-file", self.cli_rc_file.is_some()),
            ("--region", self.region.is_some()),
            ("--endpoint", self.endpoint.is_some()),
            ("--realm-specific-endpoint", self.realm_specific_endpoint),
            ("--enable-dual-stack", self.enable_dual_stack),
            ("--auth-endpoint", self.auth_endpoint.is_some()),
            ("--cert-bundle", self.cert_bundle.is_some()),
            ("--proxy", self.proxy.is_some()),
        ];
        if let Some((option, _)) = given.iter().find(|(_, given)| *given) {
            return Err(Error::usage(format!("--local and {option} contradict each other"))
                .with_hint("--local uses no account and no service: leave one of them out"));
        }
        self.refreshing()
    }

    fn refreshing(&self) -> Result<ServiceOptions, Error> {
        let refresh_before = value::duration("--refresh-before", self.refresh_before)?;
        if refresh_before.is_some() && self.no_refresh {
            return Err(Error::usage("--refresh-before and --no-refresh contradict each other"));
        }
        let no_refresh = self.no_refresh;
        Ok(ServiceOptions { refresh_before, no_refresh, ..ServiceOptions::default() })
    }
}

/// A path as the OCI CLI takes it: a leading `~` is the home folder also where no shell saw it.
pub fn path(environment: &Environment, text: Option<&str>) -> Option<PathBuf> {
    text.map(|text| environment.expand(text))
}
