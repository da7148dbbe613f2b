//! The config file on disk: its path, its profile, and the variables that override its keys.
//!
//! Owns the paths of config files and every read of them. Must not know what a value means.
//! Invariant: for each key, a variable overrides the file; but the key of a session that a profile names is that of the
//! profile.

use std::collections::BTreeMap;
use std::fmt;
use std::fs;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};

use zeroize::Zeroizing;

use super::ini::{DEFAULT, ParseError, Profiles, Section};
use crate::auth::environment::Environment;
use crate::auth::options::{AuthMode, ServiceOptions};
use crate::platform::{exposed_file, small_file};
use proto::error::Error;
use proto::region::RegionSources;

/// Bytes; a larger file is not read, since it is no config file.
const MAX_FILE: u64 = 4 << 20;

/// The config keys that a variable overrides, except paths.
const OVERRIDES: [(&str, &str); 5] = [
    ("user", "OCI_CLI_USER"),
    ("tenancy", "OCI_CLI_TENANCY"),
    ("fingerprint", "OCI_CLI_FINGERPRINT"),
    ("key_content", "OCI_CLI_KEY_CONTENT"),
    ("pass_phrase", "OCI_CLI_PASSPHRASE"),
];

/// The config keys with paths that a variable overrides.
const OVERRIDING_PATHS: [(&str, &str); 3] = [
    ("key_file", "OCI_CLI_KEY_FILE"),
    ("security_token_file", "OCI_CLI_SECURITY_TOKEN_FILE"),
    ("delegation_token_file", "OCI_CLI_DELEGATION_TOKEN_FILE"),
];

/// What an API key needs besides the key.
const API_KEY: [&str; 3] = ["user", "tenancy", "fingerprint"];

/// Whether the environment has a complete API key.
pub(crate) fn has_api_key(environment: &Environment) -> bool {
    ProfileSettings::of_environment(&ServiceOptions::default(), environment).has_api_key()
}

/// The config keys that are part of a user's credentials.
const CREDENTIALS: [&str; 5] =
    ["user", "fingerprint", "key_content", "key_file", "security_token_file"];

/// The values of a profile, after overrides by the environment.
pub(super) struct ProfileSettings {
    pub profile: String,
    /// The config file; `None` if the environment made it unnecessary.
    pub file: Option<PathBuf>,
    /// The error for the missing config file, if there is none and the environment does not replace
    /// it.
    pub without_file: Option<Error>,
    /// The names of all profiles in the file.
    pub names: Vec<String>,
    /// The overrides from the environment.
    texts: BTreeMap<&'static str, Zeroizing<String>>,
    paths: BTreeMap<&'static str, PathBuf>,
    /// The values of the profile's own section.
    profile_section: Section,
    /// The same, with inherited values.
    all: Section,
}

impl ProfileSettings {
    /// Reads the profile that the options name. Fails if the config file is missing and its profile
    /// or a part of the credentials was named, if it cannot be read or parsed, or if it lacks the
    /// profile. Modes that need no config file need no profile either, unless it was named. A profile
    /// that the rc file knows may have all of its settings there.
    pub(super) fn read(
        options: &ServiceOptions,
        environment: &Environment,
    ) -> Result<ProfileSettings, Error> {
        let mut settings = ProfileSettings::of_environment(options, environment);
        let needs_file = !options.auth.is_some_and(AuthMode::needs_no_config_file);
        let named = options.profile.as_ref().filter(|_| !options.profile_in_rc);
        // As in the OCI CLI, a complete environment makes the file unnecessary, unless an option asks for more.
        let names_file = options.config_file_is_given;
        let asks =
            options.auth == Some(AuthMode::SecurityToken) || options.profile_is_given || names_file;
        let is_complete = settings.has_api_key() && options.region.is_some();
        if needs_file && !asks && is_complete {
            return Ok(settings);
        }
        let is_in_rc = options.profile_in_rc && is_complete;
        let file = match locate(options, environment) {
            Ok(file) => file,
            Err(_) if is_in_rc && !names_file => return Ok(settings),
            // A container may have a token and a key, but no home folder and no config file.
            Err(_) if options.profile.is_none() && !names_file && settings.has_credentials() => {
                return Ok(settings);
            }
            Err(error) if needs_file && (named.is_some() || settings.has_part_of_credentials()) => {
                return Err(error);
            }
            Err(error) => {
                if let Some(profile) = named {
                    let message =
                        format!("{}, but {} names a profile", error.message, profile.origin);
                    return Err(Error { message, ..error });
                }
                settings.without_file = Some(error);
                return Ok(settings);
            }
        };
        let config = load(&file)?;
        let section = config.profile(&settings.profile);
        let is_optional = is_in_rc || !needs_file && named.is_none();
        let section = section.or_else(|| is_optional.then(Section::new));
        settings.all = section.ok_or_else(|| {
            let name = &settings.profile;
            let names = config.names().join(", ");
            let origin =
                options.profile.as_ref().map(|profile| format!(", named by {}", profile.origin));
            let origin = origin.unwrap_or_default();
            Error::usage(format!("{} has no profile {name:?}{origin}", file.display())).with_hint(
                match names.as_str() {
                    "" => "it has no profiles at all; run `oci setup config`".to_owned(),
                    names => format!("its profiles are: {names}"),
                },
            )
        })?;
        settings.profile_section = config.own(&settings.profile);
        settings.names = config.names().into_iter().map(str::to_owned).collect();
        settings.file = Some(file);
        Ok(settings)
    }

    /// The overrides from the environment, without a file.
    fn of_environment(options: &ServiceOptions, environment: &Environment) -> ProfileSettings {
        ProfileSettings {
            profile: options.profile.as_ref().map_or(DEFAULT, |profile| &profile.text).to_owned(),
            file: None,
            without_file: None,
            names: Vec::new(),
            texts: OVERRIDES
                .iter()
                .filter_map(|(key, variable)| Some((*key, environment.var(variable)?)))
                .map(|(key, value)| (key, Zeroizing::new(value.to_owned())))
                .collect(),
            paths: OVERRIDING_PATHS
                .iter()
                .filter_map(|(key, variable)| Some((*key, environment.path(variable)?)))
                .collect(),
            profile_section: Section::new(),
            all: Section::new(),
        }
    }

    /// Whether the environment has a complete API key.
    fn has_api_key(&self) -> bool {
        let named = |key: &&str| self.texts.contains_key(*key);
        self.has_key() && API_KEY.iter().all(named)
    }

    /// Takes the key of a session from its profile: that of a complete API key in the environment belongs to
    /// that one.
    pub(super) fn use_key_of_session(&mut self) {
        let is_of_profile = !self.paths.contains_key("security_token_file");
        if self.has_api_key() && is_of_profile && self.in_file("key_file") {
            self.texts.retain(|key, _| !matches!(*key, "key_content" | "pass_phrase"));
            self.paths.remove("key_file");
        }
    }

    /// Whether the environment has everything that a request is signed with.
    fn has_credentials(&self) -> bool {
        self.has_api_key() || self.has_key() && self.paths.contains_key("security_token_file")
    }

    /// Whether the environment has a part of a user's credentials.
    fn has_part_of_credentials(&self) -> bool {
        CREDENTIALS.iter().any(|key| self.texts.contains_key(key) || self.paths.contains_key(key))
    }

    fn has_key(&self) -> bool {
        self.texts.contains_key("key_content") || self.paths.contains_key("key_file")
    }

    /// The value of a config key; `None` if it is empty.
    pub(super) fn value(&self, key: &str) -> Option<&str> {
        let value = self.texts.get(key).or_else(|| self.all.get(key))?;
        Some(value.as_str()).filter(|value| !value.is_empty())
    }

    /// The path in a config key, with its tilde expanded.
    pub(super) fn path(&self, key: &str, environment: &Environment) -> Option<PathBuf> {
        let named = self.paths.get(key).cloned();
        named.or_else(|| self.value(key).map(|path| environment.expand(path)))
    }

    /// Whether a key belongs to this profile's identity: it is set in the environment or in the
    /// profile's own section, or it is inherited and the profile has no `user` of its own. A
    /// profile with a user of its own is one of an API key, whatever DEFAULT contains.
    pub(super) fn is_configured(&self, key: &str) -> bool {
        let own = |key: &str| self.profile_section.get(key).is_some_and(|value| !value.is_empty());
        let named = |key: &str| self.texts.contains_key(key) || self.paths.contains_key(key);
        let inherited = self.all.get(key).is_some_and(|value| !value.is_empty());
        named(key) || own(key) || inherited && !own("user") && !named("user")
    }

    /// Whether the profile's own section has a user, which a login would erase.
    pub(super) fn holds_a_user(&self) -> bool {
        self.profile_section.contains_key("user")
    }

    /// The key itself, which only the environment may contain.
    pub(super) fn key_content(&self) -> Option<&Zeroizing<String>> {
        self.texts.get("key_content")
    }

    /// Whether the file sets the key, in the profile or in DEFAULT.
    pub(super) fn in_file(&self, key: &str) -> bool {
        self.all.contains_key(key)
    }
}

/// Names the settings in a message.
impl fmt::Display for ProfileSettings {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.file {
            Some(file) => write!(f, "the profile {} in {}", self.profile, file.display()),
            None => f.write_str("the environment"),
        }
    }
}

/// The path of the config file. As in the SDK, `OCI_CONFIG_FILE` counts only if `~/.oci/config`
/// does not exist.
fn locate(options: &ServiceOptions, environment: &Environment) -> Result<PathBuf, Error> {
    if let Some(file) = &options.config_file {
        return Ok(environment.expand(file));
    }
    let at_home = |path: &str| environment.home().map(|home| home.join(path));
    let default_path = at_home(".oci/config");
    let candidates = [
        default_path.clone().filter(|path| path.exists()),
        environment.path("OCI_CONFIG_FILE"),
        at_home(".oraclebmc/config").filter(|path| path.exists()),
    ];
    candidates.into_iter().flatten().next().ok_or_else(|| {
        let message = match default_path {
            Some(path) => format!("there is no config file {}", path.display()),
            None => "there is no config file, and no HOME to look for one in".to_owned(),
        };
        Error::usage(message).with_hint(
            "run `ocipipe session authenticate --region REGION` or `oci setup config`, or name a \
             file with --config-file or OCI_CLI_CONFIG_FILE",
        )
    })
}

/// The config file that a command writes: the one that commands read, else the default one, which need
/// not exist. Fails if there is no home folder for it.
pub(crate) fn path_to_write(
    given: Option<&Path>,
    environment: &Environment,
) -> Result<PathBuf, Error> {
    let config_file = given.map(Path::to_owned);
    let options = ServiceOptions { config_file, ..ServiceOptions::default() };
    locate(&options, environment).or_else(|_| {
        let home = environment.home().ok_or_else(|| {
            Error::usage("there is no HOME for a config file")
                .with_hint("set HOME, or name a file with --config-file")
        })?;
        Ok(home.join(".oci/config"))
    })
}

fn load(file: &Path) -> Result<Profiles, Error> {
    let text = read_text(file)?.ok_or_else(|| {
        Error::usage(format!("there is no config file {}", file.display()))
            .with_hint("check --config-file, OCI_CLI_CONFIG_FILE and OCI_CONFIG_FILE")
    })?;
    Profiles::parse(&text).map_err(|error| malformed(file, &error))
}

/// The text of a config file; `None` if there is no such file. Fails if it cannot be read, is too large
/// or is not UTF-8.
pub(crate) fn read_text(file: &Path) -> Result<Option<Zeroizing<String>>, Error> {
    let shown = file.display();
    let read_error = |error: std::io::Error| {
        Error::usage(format!("the config file {shown} cannot be read: {error}"))
    };
    let bytes = match small_file::read_bytes(file, MAX_FILE).map(Zeroizing::new) {
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(None),
        Err(error) if error.kind() == ErrorKind::FileTooLarge => {
            return Err(Error::usage(format!("{shown} is too large to be a config file")));
        }
        bytes => bytes.map_err(read_error)?,
    };
    let text = std::str::from_utf8(&bytes)
        .map_err(|_| Error::usage(format!("the config file {shown} is not UTF-8 text")))?;
    Ok(Some(Zeroizing::new(text.to_owned())))
}

/// The error of a malformed config file.
pub(crate) fn malformed(file: &Path, error: &ParseError) -> Error {
    Error::usage(format!("{}, line {}: {}", file.display(), error.line, error.message))
        .with_hint("the file has lines [PROFILE], key = value, and # comment")
}

/// The texts that may define regions. A file that cannot be read counts as one without regions; an
/// unknown region is an error later.
pub(crate) fn region_sources(environment: &Environment) -> RegionSources {
    let file = environment.home().map(|home| home.join(".oci/regions-config.json"));
    let owned = |name: &str| environment.var(name).map(str::to_owned);
    let text = |file: PathBuf| match small_file::read_bytes(&file, MAX_FILE) {
        Ok(bytes) => Some(String::from_utf8_lossy(&bytes).into_owned()),
        Err(error) if error.kind() == ErrorKind::NotFound => None,
        Err(_) => Some(String::new()),
    };
    RegionSources {
        regions_config: file.and_then(text),
        region_metadata: owned("OCI_REGION_METADATA"),
        default_realm: owned("OCI_DEFAULT_REALM"),
    }
}

/// Whether a config file is the one that is used by default.
pub(super) fn is_default_path(file: &Path, environment: &Environment) -> bool {
    environment.home().is_some_and(|home| home.join(".oci/config") == file)
}

/// A warning if a file has permissions besides those that its users need. Follows symlinks.
pub(super) fn too_open(file: &Path) -> Option<String> {
    exposed_file::is_too_open(&fs::metadata(file).ok()?).then(|| {
        let shown = file.display();
        format!("the permissions of {shown} are too open; repair them with `chmod 600 {shown}`")
    })
}
