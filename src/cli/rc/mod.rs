//! The file of the OCI CLI that holds defaults of options (`oci_cli_rc`), as far as a command is
//! concerned: what it says becomes options that were not given.
//!
//! Must not know what an option means, but which ones exclude each other. Invariants: an option of the
//! command line and a variable beat what is said here; what is said here and cannot be read is refused,
//! and what has no effect though it looks as if it had is warned of.

use std::io::ErrorKind;
use std::path::PathBuf;

use argh::{CommandInfoWithArgs, FlagInfoKind};

use super::argv::canonical_name;
use crate::auth::environment::{Defaults, Environment};
use crate::auth::options::Setting;
use crate::auth::profile::{DEFAULT, Profiles, Section};
use proto::error::Error;
use proto::object_url::BucketUrl;

const SETTINGS: &str = "OCI_CLI_SETTINGS";

/// Where the file is looked for, in this order, if nothing names one.
const DEFAULT_PATHS: [&str; 2] = ["~/.oci/oci_cli_rc", "~/.oci/cli-defaults"];

/// The options that a variable sets, which beats the file.
const VARIABLES: [(&str, &str); 7] = [
    ("--auth", "OCI_CLI_AUTH"),
    ("--region", "OCI_CLI_REGION"),
    ("--endpoint", "OCI_CLI_ENDPOINT"),
    ("--auth-endpoint", "OCIPIPE_AUTH_ENDPOINT"),
    ("--cert-bundle", "OCI_CLI_CERT_BUNDLE"),
    ("--realm-specific-endpoint", "OCI_REALM_SPECIFIC_SERVICE_ENDPOINT_TEMPLATE_ENABLED"),
    ("--enable-dual-stack", "OCI_DUAL_STACK_ENDPOINT_ENABLED"),
];

/// Of each of these, one that is given leaves no room for the others.
const EXCLUSIVE_OPTIONS: [&[&str]; 5] = [
    &["--force", "--no-overwrite", "--if-match"],
    &["--quiet", "--debug"],
    &["--refresh-before", "--no-refresh"],
    &["--encryption-key-file", "--opc-sse-kms-key-id"],
    &["--endpoint", "--realm-specific-endpoint", "--enable-dual-stack"],
];

/// Options that the file does not set: those that choose what is read, and `--all`, which there is
/// meant for lists of every kind and would here abort every upload.
const NEVER_DEFAULTED: [&str; 7] =
    ["--help", "--profile", "--config-file", "--cli-rc-file", "--proxy", "--local", "--all"];

/// The file, read.
struct RcFile {
    path: PathBuf,
    sections: Profiles,
}

impl RcFile {
    /// Reads the file that is named, or one that is there. One that is named and missing is refused,
    /// since what it says would be passed over.
    fn find(option: Option<&str>, environment: &Environment) -> Result<Option<RcFile>, Error> {
        let (path, from) = if let Some(path) = option {
            (environment.expand(environment.with_variables(path)), "--cli-rc-file")
        } else if let Some(path) = environment.path("OCI_CLI_RC_FILE") {
            let path = match path.to_str() {
                Some(text) => PathBuf::from(environment.with_variables(text)),
                None => path,
            };
            (path, "OCI_CLI_RC_FILE")
        } else {
            let usual = DEFAULT_PATHS.iter().filter(|_| environment.home().is_some());
            for path in usual.map(|path| environment.expand(path)) {
                match environment.read(&path) {
                    Err(error) if is_absent(&error) => {}
                    read => return RcFile::parse(path, read).map(Some),
                }
            }
            return Ok(None);
        };
        match environment.read(&path) {
            Err(error) if is_absent(&error) => {
                Err(Error::usage(format!("{from}: there is no file {}", path.display())))
            }
            read => RcFile::parse(path, read).map(Some),
        }
    }

    fn parse(path: PathBuf, read: std::io::Result<Vec<u8>>) -> Result<RcFile, Error> {
        let shown = path.display();
        let bytes =
            read.map_err(|error| Error::usage(format!("{shown} cannot be read: {error}")))?;
        let text = String::from_utf8(bytes)
            .map_err(|_| Error::usage(format!("{shown} is not UTF-8 text")))?;
        let sections = Profiles::parse(&text).map_err(|error| {
            Error::usage(format!("{shown}, line {}: {}", error.line, error.message))
                .with_hint("the file has lines [SECTION], key = value, and # comment")
        })?;
        Ok(RcFile { path, sections })
    }

    fn origin(&self, key: &str) -> String {
        format!("{key} in {}", self.path.display())
    }

    fn setting(&self, key: &str) -> Option<String> {
        let value = self.sections.own(SETTINGS).get(key)?.to_string();
        Some(value).filter(|value| !value.is_empty())
    }
}

fn is_absent(error: &std::io::Error) -> bool {
    matches!(error.kind(), ErrorKind::NotFound | ErrorKind::NotADirectory)
}

/// The words of a command line as `argv` made them, with those options added that the file has and
/// nothing that comes before it. `runs` tells whether a command is run behind `--`.
pub fn apply(
    words: Vec<String>,
    root: &CommandInfoWithArgs,
    environment: &Environment,
    runs: bool,
) -> Result<(Vec<String>, Defaults), Error> {
    let line = CommandLine::read(&words, root);
    let has = |flag: &str| line.leaf.flags.iter().any(|known| known.long == flag);
    if !has("--profile") || line.given("--local").is_some() {
        return Ok((words, Defaults::default()));
    }
    let named = line.given("--cli-rc-file").flatten();
    let Some(file) = RcFile::find(named, environment)? else {
        return Ok((words, Defaults::default()));
    };
    let mut filling = DefaultsBuilder {
        file: &file,
        environment,
        runs,
        added: Vec::new(),
        defaults: Defaults::default(),
    };
    let mut profile =
        line.given("--profile").flatten().or_else(|| environment.var("OCI_CLI_PROFILE"));
    let default_profile = file.setting("default_profile");
    if profile.is_none()
        && let Some(name) = &default_profile
    {
        filling.add("--profile", "default_profile", Some(name.clone()));
        profile = Some(name);
    }
    if let Some(proxy) = file.setting("proxy") {
        filling.defaults.proxy = Some(Setting::new(proxy, file.origin("proxy")));
    }
    // A profile that the file does not have gets none of DEFAULT's either, as in the OCI CLI.
    if let Some(section) = file.sections.profile(profile.unwrap_or(DEFAULT)) {
        filling.fill(&line, &section)?;
    }
    filling.warn_of_settings(&line);
    let DefaultsBuilder { added, defaults, .. } = filling;
    let mut words = words;
    words.splice(line.end..line.end, added);
    Ok((words, defaults))
}

/// A command line, split.
struct CommandLine<'a> {
    leaf: &'a CommandInfoWithArgs,
    /// The scopes of keys for this command, the narrowest first; the last is none.
    scopes: Vec<String>,
    options: Vec<(String, Option<String>)>,
    positionals: Vec<String>,
    /// Where options may be added.
    end: usize,
}

impl<'a> CommandLine<'a> {
    fn read(words: &[String], root: &'a CommandInfoWithArgs) -> CommandLine<'a> {
        let (mut leaf, mut path) = (root, Vec::new());
        let mut rest = words.iter().enumerate().peekable();
        while let Some((_, word)) = rest.peek()
            && let Some(sub) = leaf.commands.iter().find(|sub| sub.name == word.as_str())
        {
            leaf = &sub.command;
            path.push(sub.name);
            rest.next();
        }
        let (mut options, mut end) = (Vec::new(), words.len());
        while let Some((at, word)) = rest.next() {
            if word == "--" {
                end = at;
                break;
            }
            let flag = leaf.flags.iter().find(|flag| flag.long == word);
            let value = match flag.map(|flag| &flag.kind) {
                Some(FlagInfoKind::Option { .. }) => rest.next().map(|(_, value)| value.clone()),
                _ => None,
            };
            options.push((word.clone(), value));
        }
        let positionals = words.iter().skip(end + 1).cloned().collect();
        CommandLine { leaf, scopes: scopes(&path), options, positionals, end }
    }

    /// Whether an option is given, and its value.
    fn given(&self, option: &str) -> Option<Option<&str>> {
        let (_, value) = self.options.iter().find(|(name, _)| name == option)?;
        Some(value.as_deref())
    }

    /// The option that a key without its scope is the name of.
    fn option(&self, key: &str) -> Option<&'a str> {
        let long = format!("--{key}");
        let known = |name: &str| self.leaf.flags.iter().find(|flag| flag.long == name);
        let short = format!("-{key}");
        let by_letters = || known(canonical_name(&short)).filter(|_| key.len() == 2);
        known(canonical_name(&long)).or_else(by_letters).map(|flag| flag.long)
    }

    /// Whether an option has no place beside what is given.
    fn excludes(&self, option: &str, environment: &Environment, runs: bool) -> bool {
        let given = |other: &&str| self.given(other).is_some();
        let variable = VARIABLES.iter().find(|(name, _)| *name == option);
        let addressed = self.positionals.iter().find(|word| word.contains("://"));
        let namespace = || {
            addressed.and_then(|word| BucketUrl::parse(word).ok()).and_then(|place| place.namespace)
        };
        given(&option)
            || EXCLUSIVE_OPTIONS
                .iter()
                .any(|group| group.contains(&option) && group.iter().any(given))
            || variable.is_some_and(|(_, variable)| environment.var(variable).is_some())
            || addressed.is_some() && ["--bucket-name", "--name"].contains(&option)
            || option == "--namespace" && namespace().is_some()
            || option == "--file" && runs
            || option == "--no-refresh" && self.leaf.name == "refresh"
    }
}

/// What the OCI CLI calls the command that one of ours stands for, and what that is part of.
fn scopes(path: &[&str]) -> Vec<String> {
    let of = match path {
        ["put"] => vec!["os", "object", "put"],
        ["get"] => vec!["os", "object", "get"],
        ["verify"] => vec!["os", "object"],
        ["uploads", "list"] => vec!["os", "multipart", "list"],
        ["uploads", "abort"] => vec!["os", "multipart", "abort"],
        other => other.to_vec(),
    };
    (0..=of.len()).rev().map(|length| of[..length].join(".")).collect()
}

/// The options that are added, as they come together.
struct DefaultsBuilder<'a> {
    file: &'a RcFile,
    environment: &'a Environment,
    runs: bool,
    added: Vec<String>,
    defaults: Defaults,
}

impl DefaultsBuilder<'_> {
    fn add(&mut self, option: &str, key: &str, value: Option<String>) {
        self.added.push(option.to_owned());
        self.added.extend(value);
        self.defaults.origins.insert(option.to_owned(), self.file.origin(key));
    }

    fn warn(&mut self, key: &str, why: &str) {
        self.defaults.warnings.push(format!("{} has no effect: {why}", self.file.origin(key)));
    }

    fn fill(&mut self, line: &CommandLine<'_>, section: &Section) -> Result<(), Error> {
        for flag in line.leaf.flags.iter().filter(|flag| !NEVER_DEFAULTED.contains(&flag.long)) {
            let Some((key, value)) =
                line.scopes.iter().find_map(|scope| find(line, scope, flag.long, section))
            else {
                continue;
            };
            let value = self.environment.with_variables(value);
            if value.is_empty() || line.excludes(flag.long, self.environment, self.runs) {
                continue;
            }
            match flag.kind {
                FlagInfoKind::Option { .. } => self.add(flag.long, key, Some(value)),
                _ if parse_bool(&value).ok_or_else(|| self.not_a_boolean(key))? => {
                    self.add(flag.long, key, None);
                }
                _ => {}
            }
        }
        if let Some(key) = self.defaults.origins.get("--force") {
            let text = format!("{key}: an object that exists is replaced, without --force");
            self.defaults.warnings.push(text);
        }
        for key in section.keys() {
            self.warn_if_ignored(line, key);
        }
        Ok(())
    }

    fn not_a_boolean(&self, key: &str) -> Error {
        Error::usage(format!("{}: the value is neither yes nor no", self.file.origin(key)))
            .with_hint("write true or false")
    }

    /// Warns of a key that looks as if it mattered.
    fn warn_if_ignored(&mut self, line: &CommandLine<'_>, key: &str) {
        let scope = line.scopes.iter().filter(|scope| !scope.is_empty());
        let within = scope.filter_map(|scope| {
            Some((scope, key.strip_prefix(scope.as_str())?.strip_prefix('.')?))
        });
        let (narrowest, name) = match within.max_by_key(|(scope, _)| scope.len()) {
            Some((scope, name)) => (Some(scope) == line.scopes.first(), name),
            None => (false, key),
        };
        let dashed = name.replace('_', "-");
        match name {
            "profile" => {
                self.warn(key, "default_profile in [OCI_CLI_SETTINGS] chooses the profile")
            }
            "config-file" => self.warn(key, "--config-file or OCI_CLI_CONFIG_FILE names the file"),
            "proxy" => self.warn(key, "proxy belongs in [OCI_CLI_SETTINGS]"),
            _ if dashed != name && line.option(&dashed).is_some() => {
                self.warn(key, &format!("the name is written {dashed}"));
            }
            _ if narrowest && line.option(name).is_none() => {
                self.warn(key, "there is no such option here");
            }
            _ => {}
        }
    }

    /// Keys of a profile that stand among the settings, which have no profile.
    fn warn_of_settings(&mut self, line: &CommandLine<'_>) {
        for key in self.file.sections.own(SETTINGS).keys() {
            let is_option = line.option(key).is_some_and(|option| option != "--proxy");
            if is_option || key == "profile" {
                self.warn(key, "in [OCI_CLI_SETTINGS] it is no setting; it belongs to a profile");
            }
        }
    }
}

/// The value of an option within one scope, and its key: under its own name, or under another one.
fn find<'a>(
    line: &CommandLine<'_>,
    scope: &str,
    option: &str,
    section: &'a Section,
) -> Option<(&'a str, &'a str)> {
    let name = |key: &'a str| match scope {
        "" => Some(key).filter(|key| !key.contains('.')),
        scope => key.strip_prefix(scope)?.strip_prefix('.').filter(|name| !name.contains('.')),
    };
    let own = section.iter().find(|(key, _)| name(key).is_some_and(|name| option[2..] == *name));
    let means = |key: &'a str| name(key).is_some_and(|name| line.option(name) == Some(option));
    let other = || section.iter().find(|(key, _)| means(key));
    own.or_else(other).map(|(key, value)| (key.as_str(), value.as_str()))
}

/// What the OCI CLI takes for true, and what it cannot mean otherwise than false.
fn parse_bool(text: &str) -> Option<bool> {
    match text.to_ascii_lowercase().as_str() {
        "1" | "y" | "t" | "yes" | "true" | "on" => Some(true),
        "0" | "n" | "f" | "no" | "false" | "off" => Some(false),
        _ => None,
    }
}

#[cfg(test)]
mod tests;
