//! Who asks, and where the service is: the options, the environment and the config file made one.
//!
//! The edge to the config file; of keys and tokens it knows only the paths. Must not read the
//! environment of the process itself. Invariant: an `Identity` is complete for its mode, so that
//! whatever is missing or malformed is said before anything is sent.

mod config;
mod ini;

use std::fmt;
use std::path::PathBuf;
use std::time::Duration;

use zeroize::Zeroizing;

pub use self::ini::{Malformed, Profiles};
use super::endpoint::Endpoint;
use super::options::{AuthMode, ServiceOptions};
use super::region::Region;
use crate::cli::environment::Environment;
use crate::error::Error;

/// What `oci session authenticate --public-key-file-path` leaves for the user to fill in.
const PLACEHOLDER: &str = "Update_private_key_path";

/// Who asks, with what, and where.
#[derive(Clone)]
pub struct Identity {
    /// The name of the profile, for messages and commands.
    pub profile: String,
    /// The config file, unless everything came from the environment.
    pub config_file: Option<PathBuf>,
    pub credentials: Source,
    pub key_file: PathBuf,
    pub passphrase: Option<Zeroizing<String>>,
    pub tenancy: Option<String>,
    pub user: Option<String>,
    /// The name of the region, where one is known.
    pub region: Option<String>,
    pub object_storage: Endpoint,
    /// Where tokens are refreshed; `None` when neither a region nor an endpoint says.
    pub auth: Option<Endpoint>,
    pub refresh_before: Option<Duration>,
    /// Whether the auth service must never be called.
    pub no_refresh: bool,
    /// What the caller should print.
    pub warnings: Vec<String>,
}

/// What a request is signed in the name of.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Source {
    ApiKey { tenancy: String, user: String, fingerprint: String },
    SecurityToken { token_file: PathBuf },
}

impl Identity {
    /// Brings options, environment and config file together.
    pub fn resolve(options: &ServiceOptions, environment: &Environment) -> Result<Identity, Error> {
        let settings = config::Settings::read(options, environment)?;
        let token_file = settings.value("security_token_file");
        let mode = options.auth.unwrap_or(match token_file {
            Some(_) => AuthMode::SecurityToken,
            None => AuthMode::ApiKey,
        });
        let key_file = key_file(&settings, environment)?;
        let credentials = match mode {
            AuthMode::ApiKey => api_key(&settings)?,
            AuthMode::SecurityToken => Source::SecurityToken {
                token_file: environment.expand(token_file.ok_or_else(|| no_token_file(&settings))?),
            },
        };
        let place = Place::find(options, environment, &settings)?;
        let mut warnings = place.warnings;
        if environment.var("OCI_CLI_SUPPRESS_FILE_PERMISSIONS_WARNING") != Some("True") {
            warnings.extend(settings.file.as_deref().and_then(config::too_open));
            warnings.extend(config::too_open(&key_file));
            if let Source::SecurityToken { token_file } = &credentials {
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
            key_file,
            region: place.region,
            object_storage: place.object_storage,
            auth: place.auth,
            refresh_before: options.refresh_before,
            no_refresh: options.no_refresh,
            warnings,
        })
    }

    /// The command that begins a new session for this profile.
    pub fn login(&self) -> String {
        let region = self.region.as_ref().map(|region| format!(" --region {region}"));
        login(&self.profile) + &region.unwrap_or_default()
    }
}

// The pass phrase is a secret.
impl fmt::Debug for Identity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Identity")
            .field("profile", &self.profile)
            .field("config_file", &self.config_file)
            .field("credentials", &self.credentials)
            .field("key_file", &self.key_file)
            .field("object_storage", &self.object_storage)
            .field("auth", &self.auth)
            .finish_non_exhaustive()
    }
}

/// The command that begins a new session for a profile.
fn login(profile: &str) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || "-_.".contains(c);
    match profile.chars().all(plain) {
        true => format!("oci session authenticate --profile-name {profile}"),
        false => format!("oci session authenticate --profile-name '{profile}'"),
    }
}

fn no_token_file(settings: &config::Settings) -> Error {
    Error::usage(format!("{settings} has no security_token_file"))
        .next(format!("begin a session with `{}`", login(&settings.profile)))
}

fn key_file(settings: &config::Settings, environment: &Environment) -> Result<PathBuf, Error> {
    if settings.in_file("key_content") {
        return Err(Error::usage(format!("{settings} has key_content, which no file may hold"))
            .next("write the key to a file of its own and name it as key_file"));
    }
    match settings.value("key_file") {
        Some(PLACEHOLDER) => Err(Error::usage(format!(
            "{settings} still has the placeholder key_file={PLACEHOLDER}"
        ))
        .next("let key_file name the private key whose public half was given at the login")),
        Some(path) => Ok(environment.expand(path)),
        None => Err(Error::usage(format!("{settings} has no key_file"))
            .next("name the private key as key_file in the profile or in OCI_CLI_KEY_FILE")),
    }
}

fn api_key(settings: &config::Settings) -> Result<Source, Error> {
    let needed = |key: &str, variable: &str, fits: fn(&str) -> bool, like: &str| {
        let value = settings.value(key).ok_or_else(|| {
            Error::usage(format!("{settings} has no {key}, which an API key needs"))
                .next(format!("add it to the profile, or set {variable}"))
        })?;
        if fits(value) {
            return Ok(value.to_owned());
        }
        Err(Error::usage(format!("{settings}: {key} is not of the form {like}"))
            .next("copy it from the console, User settings, API keys, View configuration file"))
    };
    let ocid = "ocid1.KIND.REALM.[REGION].UNIQUE";
    let pairs = "12:34:..:ef, sixteen pairs of lower-case hex digits";
    Ok(Source::ApiKey {
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
struct Place {
    region: Option<String>,
    object_storage: Endpoint,
    auth: Option<Endpoint>,
    warnings: Vec<String>,
}

impl Place {
    fn find(
        options: &ServiceOptions,
        environment: &Environment,
        settings: &config::Settings,
    ) -> Result<Place, Error> {
        let given = |option: &str, text: &Option<String>| {
            text.as_deref().map(|text| Endpoint::parse(option, text)).transpose()
        };
        let endpoint = given("--endpoint", &options.endpoint)?;
        let auth_endpoint = given("--auth-endpoint", &options.auth_endpoint)?;
        let name = settings.value("region").or_else(|| environment.var("OCI_REGION"));
        let region = match name {
            Some(name) => Some(Region::find(name, &config::region_sources(environment))?),
            None => None,
        };
        let object_storage =
            endpoint.or_else(|| region.as_ref().map(Region::object_storage)).ok_or_else(|| {
                Error::usage(format!("{settings} has no region"))
                    .next("add region = us-ashburn-1 or the like to it, or give --region")
            })?;
        let auth = auth_endpoint.or_else(|| region.as_ref().map(Region::auth));
        let (region, warnings) = region.map(|region| (region.name, region.warnings)).unzip();
        Ok(Place { region, object_storage, auth, warnings: warnings.unwrap_or_default() })
    }
}

#[cfg(test)]
mod tests;
