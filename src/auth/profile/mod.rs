//! The identity and the endpoint, resolved from options, environment and config file.
//!
//! Owns the meaning of the config keys. Must not read a key or a token, only their paths, nor the
//! environment of the process itself. Invariant: an `Identity` is complete for its mode, so that
//! every missing or malformed value is an error before anything is sent.

pub(crate) mod config;
mod credential_source;
mod detection;
mod endpoints;
mod ini;
mod login;
mod principal;

use std::fmt;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use zeroize::Zeroizing;

pub(crate) use self::credential_source::{
    CredentialSource, InstancePrincipal, KeySource, OkeWorkloadIdentity, PrivateKey, ResourceKey,
    ResourceKeyVersion, ResourcePrincipal, ResourceTokenService, TextOrFile, TokenExchange,
};
use self::detection::Detected;
use self::endpoints::EndpointLookup;
pub use self::ini::Profiles;
pub(crate) use self::ini::{DEFAULT, LineKind, ParseError, Section, layout};
use self::login::Login;
use super::options::{AuthMode, ServiceOptions};
use crate::auth::environment::Environment;
use proto::endpoint::{Endpoint, ObjectStorage};
use proto::error::Error;
use proto::login::is_profile_name;
use proto::region::{HostVariant, RegionSources};

/// The value that `oci session authenticate --public-key-file-path` writes for the user to replace.
const PLACEHOLDER: &str = "Update_private_key_path";

/// The identity that signs requests, and the endpoints they go to.
#[derive(Clone)]
pub struct Identity {
    /// The name of the profile, for messages and commands.
    pub profile: String,
    /// The config file; `None` if the environment contained everything.
    pub config_file: Option<PathBuf>,
    pub credentials: CredentialSource,
    /// The OCID of the tenancy, if the profile has it.
    pub tenancy: Option<String>,
    /// The OCID of the user, if the profile has it.
    pub user: Option<String>,
    /// The name of the region, if it is known.
    pub region: Option<String>,
    /// Object Storage; `None` if only the metadata service of the instance knows the region.
    pub object_storage: Option<ObjectStorage>,
    /// The variant of the host names, for a region that the metadata service names.
    pub host_variant: HostVariant,
    /// The definitions of regions besides the built-in table.
    pub region_sources: RegionSources,
    /// The auth service; `None` if neither a region nor `--auth-endpoint` is given.
    pub auth: Option<Endpoint>,
    /// A token with less time left is refreshed.
    pub refresh_before: Option<Duration>,
    /// Whether the auth service is never called.
    pub no_refresh: bool,
    /// Warnings for the caller to print.
    pub warnings: Vec<String>,
    /// Notes for the caller to print.
    pub notes: Vec<String>,
    login: Login,
    /// What the identity was resolved from.
    origin: Arc<(ServiceOptions, Environment)>,
}

impl Identity {
    /// Resolves the identity. Fails if a value is missing or malformed, or if the config file
    /// cannot be read.
    pub fn resolve(options: &ServiceOptions, environment: &Environment) -> Result<Identity, Error> {
        let mut settings = config::ProfileSettings::read(options, environment)?;
        let mut login = login(&settings, environment);
        let Detected { mode, note } = detection::detect(options, environment, &settings)?;
        check_exchange(options, mode)?;
        if mode == AuthMode::SecurityToken {
            settings.use_key_of_session();
        }
        let credentials = match mode {
            AuthMode::ApiKey => {
                let key = private_key(&settings, environment)?;
                api_key(&settings, key)?
            }
            AuthMode::SecurityToken => CredentialSource::SecurityToken {
                key: private_key(&settings, environment)?,
                token_file: settings.path("security_token_file", environment).ok_or_else(|| {
                    Error::usage(format!("{settings} has no security_token_file"))
                        .with_hint(login.hint())
                })?,
            },
            mode => principal::source(mode, options, environment, &settings)?,
        };
        let endpoints = EndpointLookup::find(mode, options, environment, &settings)?;
        if endpoints.object_storage.is_none() && !credentials.knows_its_region() {
            return Err(endpoints::no_region(mode, &settings));
        }
        login.region.clone_from(&endpoints.region);
        let mut warnings = options.warnings.clone();
        warnings.extend(endpoints.warnings);
        if settings.in_file("endpoint") {
            warnings.push(format!(
                "{settings}: endpoint has no effect there, as in the OCI CLI: name it with --endpoint \
                 or OCI_CLI_ENDPOINT"
            ));
        }
        if environment.var("OCI_CLI_SUPPRESS_FILE_PERMISSIONS_WARNING") != Some("True") {
            warnings.extend(settings.file.as_deref().and_then(config::too_open));
            let files = credentials.secret_files();
            warnings.extend(files.into_iter().filter_map(config::too_open));
        }
        Ok(Identity {
            tenancy: settings.value("tenancy").map(str::to_owned),
            user: settings.value("user").map(str::to_owned),
            profile: settings.profile,
            config_file: settings.file,
            credentials,
            region: endpoints.region,
            object_storage: endpoints.object_storage,
            host_variant: options.host_variant.clone(),
            region_sources: config::region_sources(environment),
            auth: endpoints.auth,
            refresh_before: options.refresh_before,
            no_refresh: options.no_refresh,
            warnings,
            notes: note.into_iter().collect(),
            login,
            origin: Arc::new((options.clone(), environment.clone())),
        })
    }

    /// The identity with the files that the config file names for the session now. `None` if they are
    /// the same, if the config file cannot be used at the moment, or if this is no session.
    pub fn moved(&self) -> Option<Identity> {
        let is_session = |credentials: &CredentialSource| {
            matches!(credentials, CredentialSource::SecurityToken { .. })
        };
        if self.config_file.is_none() || !is_session(&self.credentials) {
            return None;
        }
        let (options, environment) = self.origin.as_ref();
        let credentials = Identity::resolve(options, environment).ok()?.credentials;
        let is_moved = is_session(&credentials) && credentials != self.credentials;
        is_moved.then(|| Identity { credentials, ..self.clone() })
    }

    /// The auth service of the region, where the endpoint of Object Storage was given and that of the auth
    /// service was not; `None` otherwise.
    pub fn auth_service_beside_an_endpoint(&self) -> Option<&Endpoint> {
        let options = &self.origin.0;
        let is_of_region = options.endpoint.is_some() && options.auth_endpoint.is_none();
        self.auth.as_ref().filter(|_| is_of_region)
    }

    /// The hint that names the command for a new login, as the start of a sentence.
    pub fn login_command(&self) -> String {
        self.login.hint()
    }
}

// The pass phrase is a secret and is left out.
impl fmt::Debug for Identity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Identity")
            .field("profile", &self.profile)
            .field("config_file", &self.config_file)
            .field("credentials", &self.credentials)
            .field("object_storage", &self.object_storage)
            .field("auth", &self.auth)
            .finish_non_exhaustive()
    }
}

/// Fails if the command line has an option of a token exchange and the mode is another one.
fn check_exchange(options: &ServiceOptions, mode: AuthMode) -> Result<(), Error> {
    match options.exchange.on_command_line.first() {
        Some(option) if mode != AuthMode::TokenExchange => {
            let message =
                format!("{option} has no effect with authentication mode {}", mode.name());
            Err(Error::usage(message).with_hint("add --auth token_exchange, or leave it out"))
        }
        _ => Ok(()),
    }
}

/// The properties of a login for this profile; the region is added later.
fn login(settings: &config::ProfileSettings, environment: &Environment) -> Login {
    let profile = settings.profile.clone();
    let is_used = |name: &String| settings.names.contains(name);
    // A login takes only names that can be those of folders.
    let is_allowed = |c: char| c.is_ascii() && is_profile_name(c.encode_utf8(&mut [0; 4]));
    let base: String =
        profile.chars().map(|c| if c == '.' || is_allowed(c) { c } else { '-' }).collect();
    let mut names = (1..).map(|n| match n {
        1 => format!("{base}-session"),
        n => format!("{base}-session-{n}"),
    });
    let session_profile = match &settings.file {
        None => login::SessionProfile::Environment,
        Some(_) if !is_profile_name(&profile) => {
            login::SessionProfile::Renamed(names.find(|name| !is_used(name)).unwrap_or_default())
        }
        Some(_) if settings.holds_a_user() => {
            login::SessionProfile::Beside(names.find(|name| !is_used(name)).unwrap_or_default())
        }
        Some(_) => login::SessionProfile::Profile,
    };
    let is_default = |file: &&PathBuf| config::is_default_path(file, environment);
    let config_file = settings.file.as_ref().filter(|file| !is_default(file)).cloned();
    Login { profile, session_profile, config_file, region: None }
}

fn private_key(
    settings: &config::ProfileSettings,
    environment: &Environment,
) -> Result<PrivateKey, Error> {
    let passphrase = settings.value("pass_phrase").or_else(|| settings.value("passphrase"));
    let passphrase = passphrase.map(|text| Zeroizing::new(text.to_owned()));
    Ok(PrivateKey { source: key_source(settings, environment)?, passphrase })
}

fn key_source(
    settings: &config::ProfileSettings,
    environment: &Environment,
) -> Result<KeySource, Error> {
    if settings.in_file("key_content") {
        return Err(Error::usage(format!("{settings} has key_content, which no file may hold"))
            .with_hint("write the key to a file of its own and name it as key_file"));
    }
    // As in the SDKs, the variable with the key comes before a file.
    if let Some(content) = settings.key_content() {
        return Ok(KeySource::Content(content.clone()));
    }
    match settings.path("key_file", environment) {
        Some(path) if path.as_os_str() == PLACEHOLDER => Err(Error::usage(format!(
            "{settings} still has the placeholder key_file={PLACEHOLDER}"
        ))
        .with_hint("let key_file name the private key whose public half was given at the login")),
        Some(path) => Ok(KeySource::File(path)),
        None => Err(Error::usage(format!("{settings} has no key_file"))
            .with_hint("name the private key as key_file in the profile or in OCI_CLI_KEY_FILE")),
    }
}

fn api_key(settings: &config::ProfileSettings, key: PrivateKey) -> Result<CredentialSource, Error> {
    let required = |key: &str, variable: &str, is_valid: fn(&str) -> bool, form: &str| {
        let value = settings.value(key).ok_or_else(|| {
            Error::usage(format!("{settings} has no {key}, which an API key needs"))
                .with_hint(format!("add it to the profile, or set {variable}"))
        })?;
        if is_valid(value) {
            return Ok(value.to_owned());
        }
        Err(Error::usage(format!("{settings}: {key} is not of the form {form}")).with_hint(
            "copy it from the console, User settings, API keys, View configuration file",
        ))
    };
    let ocid = "ocid1.KIND.REALM.[REGION].UNIQUE";
    let pairs = "12:34:..:ef, sixteen pairs of lower-case hex digits";
    Ok(CredentialSource::ApiKey {
        key,
        tenancy: required("tenancy", "OCI_CLI_TENANCY", is_ocid, ocid)?,
        user: required("user", "OCI_CLI_USER", is_ocid, ocid)?,
        fingerprint: required("fingerprint", "OCI_CLI_FINGERPRINT", is_fingerprint, pairs)?,
    })
}

/// As the SDK checks it: at least five parts between dots or colons, the first and last not empty.
fn is_ocid(text: &str) -> bool {
    let parts: Vec<&str> = text.split(['.', ':']).collect();
    let is_valid =
        |part: &&str| part.bytes().all(|b| b.is_ascii_alphanumeric() || b"-_".contains(&b));
    parts.len() >= 5
        && parts.iter().all(is_valid)
        && [parts.first(), parts.last()].iter().all(|end| end.is_some_and(|part| !part.is_empty()))
}

fn is_fingerprint(text: &str) -> bool {
    let hex = |byte: u8| byte.is_ascii_digit() || (b'a'..=b'f').contains(&byte);
    text.split(':').count() == 16
        && text.split(':').all(|pair| pair.len() == 2 && pair.bytes().all(hex))
}

#[cfg(test)]
mod tests;
