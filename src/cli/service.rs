//! The options of every command that talks to the service: the command line before the environment.
//!
//! Must not read the config file; what it says comes last and is for the identity to add. Invariant:
//! an environment variable is looked at only where the option was not given.

use std::path::PathBuf;

use super::value;
use crate::cli::Environment;
use crate::error::Error;
use crate::oci::options::{AuthMode, ServiceOptions};

/// The texts of the options, as given.
pub struct Given<'a> {
    pub auth: Option<&'a str>,
    pub profile: Option<&'a str>,
    pub config_file: Option<&'a str>,
    pub region: Option<&'a str>,
    pub endpoint: Option<&'a str>,
    pub auth_endpoint: Option<&'a str>,
    pub cert_bundle: Option<&'a str>,
    pub refresh_before: Option<&'a str>,
    pub no_refresh: bool,
}

impl Given<'_> {
    /// Option before environment.
    pub fn resolve(&self, environment: &Environment) -> Result<ServiceOptions, Error> {
        let text = |option: Option<&str>, variable: &str| {
            option.or_else(|| environment.var(variable)).map(str::to_owned)
        };
        let path = |option: Option<&str>, variable: &str| {
            option.or_else(|| environment.var(variable)).map(|path| environment.expand(path))
        };
        let (auth_from, auth) = match self.auth {
            Some(auth) => ("--auth", Some(auth)),
            None => ("OCI_CLI_AUTH", environment.var("OCI_CLI_AUTH")),
        };
        Ok(ServiceOptions {
            auth: auth.map(AuthMode::parse).transpose().map_err(|mut error| {
                error.what = format!("{auth_from}: {}", error.what);
                error
            })?,
            profile: text(self.profile, "OCI_CLI_PROFILE"),
            config_file: path(self.config_file, "OCI_CLI_CONFIG_FILE"),
            region: text(self.region, "OCI_CLI_REGION"),
            endpoint: text(self.endpoint, "OCI_CLI_ENDPOINT"),
            auth_endpoint: text(self.auth_endpoint, "OCIPIPE_AUTH_ENDPOINT"),
            cert_bundle: path(self.cert_bundle, "OCI_CLI_CERT_BUNDLE"),
            ..self.refreshing()?
        })
    }

    /// What `--local` leaves of them: it needs no account, so naming one is a mistake, while the
    /// environment of one is no concern of it. Its tokens are real and are refreshed as told.
    pub fn local(&self) -> Result<ServiceOptions, Error> {
        let given = [
            ("--auth", self.auth),
            ("--profile", self.profile),
            ("--config-file", self.config_file),
            ("--region", self.region),
            ("--endpoint", self.endpoint),
            ("--auth-endpoint", self.auth_endpoint),
            ("--cert-bundle", self.cert_bundle),
        ];
        if let Some((option, _)) = given.iter().find(|(_, value)| value.is_some()) {
            return Err(Error::usage(format!("--local and {option} contradict each other"))
                .next("--local uses no account and no service: leave one of them out"));
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
