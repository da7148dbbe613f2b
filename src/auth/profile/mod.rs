//! Who asks, and where the service is: the options, the environment and the config file made one.
//!
//! The edge to the config file; of keys and tokens it knows only the paths. Must not read the
//! environment of the process itself. Invariant: an `Identity` is complete for its mode, so that
//! whatever is missing or malformed is said before anything is sent.

mod config;
mod ini;
mod login;

use std::fmt;
use std::path::PathBuf;
use std::time::Duration;

use zeroize::Zeroizing;

pub use self::ini::{DEFAULT, ParseError, Profiles, Section};
use self::login::Login;
use super::options::{AuthMode, ServiceOptions, Setting};
use crate::auth::environment::Environment;
use proto::endpoint::{Endpoint, ObjectStorage};
use proto::error::Error;
use proto::region::Region;

/// What `oci session authenticate --public-key-file-path` leaves for the user to fill in.
const PLACEHOLDER: &str = "Update_private_key_path";

/// Who asks, with what, and where.
#[derive(Clone)]
pub struct Identity {
    /// The name of the profile, for messages and commands.
    pub profile: String,
    /// The config file, unless everything came from the environment.
    pub config_file: Option<PathBuf>,
    pub credentials: CredentialSource,
    pub key: KeySource,
    pub passphrase: Option<Zeroizing<String>>,
    pub tenancy: Option<String>,
    pub user: Option<String>,
    /// The name of the region, where one is known.
    pub region: Option<String>,
    pub object_storage: ObjectStorage,
    /// Where tokens are refreshed; `None` when neither a region nor an endpoint says.
    pub auth: Option<Endpoint>,
    pub refresh_before: Option<Duration>,
    /// Whether the auth service must never be called.
    pub no_refresh: bool,
    /// What the caller should print.
    pub warnings: Vec<String>,
    login: Login,
}

/// Where the private key is.
#[derive(Clone, PartialEq, Eq)]
pub enum KeySource {
    File(PathBuf),
    /// The key itself, in PEM, from OCI_CLI_KEY_CONTENT.
    Content(Zeroizing<String>),
}

/// Names the key in a message.
impl fmt::Display for KeySource {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            KeySource::File(file) => file.display().fmt(f),
            KeySource::Content(_) => f.write_str("OCI_CLI_KEY_CONTENT"),
        }
    }
}

impl fmt::Debug for KeySource {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// What a request is signed in the name of.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum CredentialSource {
    ApiKey { tenancy: String, user: String, fingerprint: String },
    SecurityToken { token_file: PathBuf },
}

impl Identity {
    /// Brings options, environment and config file together.
    pub fn resolve(options: &ServiceOptions, environment: &Environment) -> Result<Identity, Error> {
        let settings = config::ProfileSettings::read(options, environment)?;
        let mut login = login(&settings, environment);
        let key = key(&settings, environment)?;
        let credentials = match mode(options, &settings)? {
            AuthMode::ApiKey => api_key(&settings)?,
            AuthMode::SecurityToken => CredentialSource::SecurityToken {
                token_file: settings.path("security_token_file", environment).ok_or_else(|| {
                    Error::usage(format!("{settings} has no security_token_file"))
                        .with_hint(login.hint())
                })?,
            },
        };
        let place = EndpointLookup::find(options, environment, &settings)?;
        login.region.clone_from(&place.region);
        let mut warnings = options.warnings.clone();
        warnings.extend(place.warnings);
        if settings.in_file("endpoint") {
            warnings.push(format!(
                "{settings}: endpoint has no effect there, as in the OCI CLI: name it with --endpoint \
                 or OCI_CLI_ENDPOINT"
            ));
        }
        if environment.var("OCI_CLI_SUPPRESS_FILE_PERMISSIONS_WARNING") != Some("True") {
            warnings.extend(settings.file.as_deref().and_then(config::too_open));
            if let KeySource::File(file) = &key {
                warnings.extend(config::too_open(file));
            }
            if let CredentialSource::SecurityToken { token_file } = &credentials {
                warnings.extend(config::too_open(token_file));
            }
        }
        let passphrase = settings.value("pass_phrase").or_else(|| settings.value("passphrase"));
        Ok(Identity {
            passphrase: passphrase.map(|text| Zeroizing::new(text.to_owned())),
            tenancy: settings.value("tenancy").map(str::to_owned),
            user: settings.value("user").map(str::to_owned),
            profile: settings.profile,
            config_file: settings.file,
            credentials,
            key,
            region: place.region,
            object_storage: place.object_storage,
            auth: place.auth,
            refresh_before: options.refresh_before,
            no_refresh: options.no_refresh,
            warnings,
            login,
        })
    }

    /// How to begin a new session, to stand where a sentence begins.
    pub fn login_command(&self) -> String {
        self.login.hint()
    }
}

// The pass phrase is a secret.
impl fmt::Debug for Identity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Identity")
            .field("profile", &self.profile)
            .field("config_file", &self.config_file)
            .field("credentials", &self.credentials)
            .field("key", &self.key)
            .field("object_storage", &self.object_storage)
            .field("auth", &self.auth)
            .finish_non_exhaustive()
    }
}

/// How requests are signed: as something says it, or else as the profile looks.
fn mode(options: &ServiceOptions, settings: &config::ProfileSettings) -> Result<AuthMode, Error> {
    if let Some(mode) = options.auth {
        return Ok(mode);
    }
    if settings.is_configured("authentication_type")
        && let Some(text) = settings.value("authentication_type")
    {
        return AuthMode::parse(text).map_err(|error| Error {
            message: format!("{settings}: authentication_type: {}", error.message),
            ..error
        });
    }
    Ok(match settings.is_configured("security_token_file") {
        true => AuthMode::SecurityToken,
        false => AuthMode::ApiKey,
    })
}

fn login(settings: &config::ProfileSettings, environment: &Environment) -> Login {
    let profile = settings.profile.clone();
    let taken = |name: &String| settings.names.contains(name);
    let mut names = (1..).map(|n| match n {
        1 => format!("{profile}-session"),
        n => format!("{profile}-session-{n}"),
    });
    let place = match &settings.file {
        None => login::SessionProfile::Environment,
        Some(_) if settings.holds_a_user() => {
            login::SessionProfile::Beside(names.find(|name| !taken(name)).unwrap_or_default())
        }
        Some(_) => login::SessionProfile::Profile,
    };
    let usual = |file: &&PathBuf| config::is_default_path(file, environment);
    let config_file = settings.file.as_ref().filter(|file| !usual(file)).cloned();
    Login { profile, session_profile: place, config_file, region: None }
}

fn key(settings: &config::ProfileSettings, environment: &Environment) -> Result<KeySource, Error> {
    if settings.in_file("key_content") {
        return Err(Error::usage(format!("{settings} has key_content, which no file may hold"))
            .with_hint("write the key to a file of its own and name it as key_file"));
    }
    // As in the SDKs, the content comes before a file.
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

fn api_key(settings: &config::ProfileSettings) -> Result<CredentialSource, Error> {
    let needed = |key: &str, variable: &str, fits: fn(&str) -> bool, like: &str| {
        let value = settings.value(key).ok_or_else(|| {
            Error::usage(format!("{settings} has no {key}, which an API key needs"))
                .with_hint(format!("add it to the profile, or set {variable}"))
        })?;
        if fits(value) {
            return Ok(value.to_owned());
        }
        Err(Error::usage(format!("{settings}: {key} is not of the form {like}")).with_hint(
            "copy it from the console, User settings, API keys, View configuration file",
        ))
    };
    let ocid = "ocid1.KIND.REALM.[REGION].UNIQUE";
    let pairs = "12:34:..:ef, sixteen pairs of lower-case hex digits";
    Ok(CredentialSource::ApiKey {
        tenancy: needed("tenancy", "OCI_CLI_TENANCY", is_ocid, ocid)?,
        user: needed("user", "OCI_CLI_USER", is_ocid, ocid)?,
        fingerprint: needed("fingerprint", "OCI_CLI_FINGERPRINT", is_fingerprint, pairs)?,
    })
}

/// The check of the SDK: five or more parts between dots or colons, the first and last not empty.
fn is_ocid(text: &str) -> bool {
    let parts: Vec<&str> = text.split(['.', ':']).collect();
    let word = |part: &&str| part.bytes().all(|b| b.is_ascii_alphanumeric() || b"-_".contains(&b));
    parts.len() >= 5
        && parts.iter().all(word)
        && [parts.first(), parts.last()].iter().all(|end| end.is_some_and(|part| !part.is_empty()))
}

fn is_fingerprint(text: &str) -> bool {
    let hex = |byte: u8| byte.is_ascii_digit() || (b'a'..=b'f').contains(&byte);
    text.split(':').count() == 16
        && text.split(':').all(|pair| pair.len() == 2 && pair.bytes().all(hex))
}

/// Where the services are.
struct EndpointLookup {
    region: Option<String>,
    object_storage: ObjectStorage,
    auth: Option<Endpoint>,
    warnings: Vec<String>,
}

impl EndpointLookup {
    fn find(
        options: &ServiceOptions,
        environment: &Environment,
        settings: &config::ProfileSettings,
    ) -> Result<EndpointLookup, Error> {
        let read = |given: &Option<Setting>| {
            let given = given.as_ref();
            given.map(|given| Endpoint::parse(&given.origin, &given.text)).transpose()
        };
        let endpoint = read(&options.endpoint)?;
        let auth_endpoint = read(&options.auth_endpoint)?;
        let named = region(options, environment, settings);
        let found = named.map(|(name, from)| {
            Region::find(&name, &config::region_sources(environment))
                .map_err(|error| Error { message: format!("{from}: {}", error.message), ..error })
        });
        let (region, mut warnings) = match found {
            Some(Ok(region)) => (Some(region), Vec::new()),
            // It is not needed to find the service.
            Some(Err(error)) if endpoint.is_some() => {
                (None, vec![format!("the region is left out of account: {}", error.message)])
            }
            Some(Err(error)) => return Err(error),
            None => (None, Vec::new()),
        };
        let object_storage = match (endpoint, &region) {
            (Some(endpoint), _) => ObjectStorage::at(endpoint),
            (None, Some(region)) => region.object_storage(&options.host_variant)?,
            (None, None) => {
                return Err(Error::usage(format!("{settings} has no region"))
                    .with_hint("add region = us-ashburn-1 or the like to it, or give --region"));
            }
        };
        let auth = auth_endpoint.or_else(|| region.as_ref().map(Region::auth));
        let region = region.map(|region| {
            warnings.extend(region.warnings);
            region.name
        });
        Ok(EndpointLookup { region, object_storage, auth, warnings })
    }
}

/// What the region is called, and what says so.
fn region(
    options: &ServiceOptions,
    environment: &Environment,
    settings: &config::ProfileSettings,
) -> Option<(String, String)> {
    if let Some(region) = &options.region {
        return Some((region.text.clone(), region.origin.clone()));
    }
    let of_profile = settings.value("region").map(|name| (name.to_owned(), settings.to_string()));
    let last = || Some((environment.var("OCI_REGION")?.to_owned(), "OCI_REGION".to_owned()));
    of_profile.or_else(last)
}

#[cfg(test)]
mod tests;
