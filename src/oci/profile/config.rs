//! The config file on disk: which one it is, its profile, and what the environment puts above it.
//!
//! The only place that knows where config files lie. Must not know what a value means. Invariant:
//! option beats environment beats file, one value at a time.

use std::collections::BTreeMap;
use std::fmt;
use std::fs;
use std::io::ErrorKind;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use zeroize::Zeroizing;

use super::ini::{DEFAULT, Profiles, Section};
use crate::cli::environment::Environment;
use crate::error::Error;
use crate::oci::options::ServiceOptions;
use crate::oci::region::Sources;

/// Larger than any config a person writes; what is larger is not read.
const LARGEST: u64 = 4 << 20;

/// The config keys that a variable overrides.
const OVERRIDES: [(&str, &str); 6] = [
    ("user", "OCI_CLI_USER"),
    ("tenancy", "OCI_CLI_TENANCY"),
    ("fingerprint", "OCI_CLI_FINGERPRINT"),
    ("key_file", "OCI_CLI_KEY_FILE"),
    ("pass_phrase", "OCI_CLI_PASSPHRASE"),
    ("security_token_file", "OCI_CLI_SECURITY_TOKEN_FILE"),
];

/// The values in force, from whatever source.
pub(super) struct Settings {
    pub profile: String,
    /// The file that was read, if one was.
    pub file: Option<PathBuf>,
    above: BTreeMap<&'static str, Zeroizing<String>>,
    section: Section,
}

impl Settings {
    pub(super) fn read(
        options: &ServiceOptions,
        environment: &Environment,
    ) -> Result<Settings, Error> {
        let mut above: BTreeMap<&'static str, Zeroizing<String>> = OVERRIDES
            .iter()
            .filter_map(|(key, variable)| Some((*key, environment.var(variable)?)))
            .map(|(key, value)| (key, Zeroizing::new(value.to_owned())))
            .collect();
        if let Some(region) = &options.region {
            above.insert("region", Zeroizing::new(region.clone()));
        }
        let profile = options.profile.clone().unwrap_or_else(|| DEFAULT.to_owned());
        let mut settings = Settings { profile, file: None, above, section: Section::new() };
        // As in the OCI CLI: where the environment says it all, the file is not even looked for.
        let all = ["user", "tenancy", "fingerprint", "key_file", "region"];
        if all.iter().all(|key| settings.above.contains_key(key)) {
            return Ok(settings);
        }
        let file = match locate(options, environment) {
            Ok(file) => file,
            // Nothing was named that is missed: a container has a token, a key and no home.
            Err(_) if options.profile.is_none() && settings.has_credentials() => {
                return Ok(settings);
            }
            Err(error) => return Err(error),
        };
        let config = load(&file)?;
        settings.section = config.profile(&settings.profile).ok_or_else(|| {
            let name = &settings.profile;
            let names = config.names().join(", ");
            Error::usage(format!("{} has no profile {name:?}", file.display())).next(
                match names.as_str() {
                    "" => "it has no profiles at all; run `oci setup config`".to_owned(),
                    names => format!("its profiles are: {names}"),
                },
            )
        })?;
        settings.file = Some(file);
        Ok(settings)
    }

    /// Whether the environment names all that a request is signed with.
    fn has_credentials(&self) -> bool {
        let has = |keys: &[&str]| keys.iter().all(|key| self.above.contains_key(key));
        has(&["key_file", "security_token_file"])
            || has(&["key_file", "user", "tenancy", "fingerprint"])
    }

    /// The value of a config key; an empty one counts as none.
    pub(super) fn value(&self, key: &str) -> Option<&str> {
        let value = self.above.get(key).or_else(|| self.section.get(key))?;
        Some(value.as_str()).filter(|value| !value.is_empty())
    }

    /// Whether the file itself has the key.
    pub(super) fn in_file(&self, key: &str) -> bool {
        self.section.contains_key(key)
    }
}

/// Names the settings in a message.
impl fmt::Display for Settings {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.file {
            Some(file) => write!(f, "the profile {} in {}", self.profile, file.display()),
            None => f.write_str("the environment"),
        }
    }
}

/// Which config file is meant. `OCI_CONFIG_FILE` counts only where `~/.oci/config` is absent; that
/// is the SDK's rule.
fn locate(options: &ServiceOptions, environment: &Environment) -> Result<PathBuf, Error> {
    if let Some(file) = &options.config_file {
        return Ok(file.to_str().map_or_else(|| file.clone(), |text| environment.expand(text)));
    }
    let at_home = |path: &str| environment.home.as_ref().map(|home| home.join(path));
    let usual = at_home(".oci/config");
    let candidates = [
        usual.clone().filter(|path| path.exists()),
        environment.var("OCI_CONFIG_FILE").map(|path| environment.expand(path)),
        at_home(".oraclebmc/config").filter(|path| path.exists()),
    ];
    candidates.into_iter().flatten().next().ok_or_else(|| {
        let what = match usual {
            Some(path) => format!("there is no config file {}", path.display()),
            None => "there is no config file, and no HOME to look for one in".to_owned(),
        };
        Error::usage(what).next(
            "run `oci setup config` or `oci session authenticate`, or name a file with \
             --config-file or OCI_CLI_CONFIG_FILE",
        )
    })
}

fn load(file: &Path) -> Result<Profiles, Error> {
    let shown = file.display();
    let unreadable = |error: std::io::Error| match error.kind() {
        ErrorKind::NotFound => Error::usage(format!("there is no config file {shown}"))
            .next("check --config-file, OCI_CLI_CONFIG_FILE and OCI_CONFIG_FILE"),
        _ => Error::usage(format!("the config file {shown} cannot be read: {error}")),
    };
    let metadata = fs::metadata(file).map_err(unreadable)?;
    if metadata.is_file() && metadata.len() > LARGEST {
        return Err(Error::usage(format!("{shown} is too large to be a config file")));
    }
    let text = Zeroizing::new(fs::read(file).map_err(unreadable)?);
    let text = std::str::from_utf8(&text)
        .map_err(|_| Error::usage(format!("the config file {shown} is not UTF-8 text")))?;
    Profiles::parse(text).map_err(|error| {
        Error::usage(format!("{shown}, line {}: {}", error.line, error.what))
            .next("the file has lines [PROFILE], key = value, and # comment")
    })
}

/// The texts that may define regions.
pub(super) fn region_sources(environment: &Environment) -> Sources {
    let file = environment.home.as_ref().map(|home| home.join(".oci/regions-config.json"));
    let owned = |name: &str| environment.var(name).map(str::to_owned);
    Sources {
        regions_config: file.and_then(|file| fs::read_to_string(file).ok()),
        region_metadata: owned("OCI_REGION_METADATA"),
        default_realm: owned("OCI_DEFAULT_REALM"),
    }
}

/// A warning where others than the owner may use a file. A symlink is judged by its target.
pub(super) fn too_open(file: &Path) -> Option<String> {
    let mode = fs::metadata(file).ok()?.permissions().mode();
    (mode & 0o177 != 0).then(|| {
        let shown = file.display();
        format!("the permissions of {shown} are too open; repair them with `chmod 600 {shown}`")
    })
}
