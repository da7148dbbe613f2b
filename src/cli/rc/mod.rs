//! The OCI CLI's file of default options (`oci_cli_rc`): adds the options it sets to a command
//! line.
//!
//! Owns which key sets which option of a command, and which options exclude each other. Must not
//! know what an option means. Invariants: an option on the command line and a variable override the
//! file; a file that cannot be read is an error; a key that has no effect but looks as if it had
//! one is a warning.

use std::ffi::OsString;
use std::io::ErrorKind;
use std::path::PathBuf;

use argh::{CommandInfoWithArgs, FlagInfoKind};

use super::argv::canonical_name;
use crate::auth::environment::{Defaults, Environment};
use crate::auth::options::Setting;
use crate::auth::profile::{DEFAULT, Profiles, Section};
use proto::error::Error;
use proto::object_url::BucketUrl;

/// The section with settings that belong to no profile.
const SETTINGS: &str = "OCI_CLI_SETTINGS";

/// The default paths of the file, in the order of the search.
const DEFAULT_PATHS: [&str; 2] = ["~/.oci/oci_cli_rc", "~/.oci/cli-defaults"];

/// The variables that override the file, by option.
const VARIABLES: [(&str, &str); 7] = [
    ("--auth", "OCI_CLI_AUTH"),
    ("--region", "OCI_CLI_REGION"),
    ("--endpoint", "OCI_CLI_ENDPOINT"),
    ("--auth-endpoint", "OCIPIPE_AUTH_ENDPOINT"),
    ("--cert-bundle", "OCI_CLI_CERT_BUNDLE"),
    ("--realm-specific-endpoint", "OCI_REALM_SPECIFIC_SERVICE_ENDPOINT_TEMPLATE_ENABLED"),
    ("--enable-dual-stack", "OCI_DUAL_STACK_ENDPOINT_ENABLED"),
];

/// Groups of options: if one of a group is given, the file sets none of the others.
const EXCLUSIVE_OPTIONS: [&[&str]; 5] = [
    &["--force", "--no-overwrite", "--if-match"],
    &["--quiet", "--debug"],
    &["--refresh-before", "--no-refresh"],
    &["--encryption-key-file", "--opc-sse-kms-key-id"],
    &["--endpoint", "--realm-specific-endpoint", "--enable-dual-stack"],
];

/// Options that the file never sets: those that choose which files are read, and `--all`, which the
/// OCI CLI uses for lists and which would abort every upload here.
const NEVER_DEFAULTED: [&str; 7] =
    ["--help", "--profile", "--config-file", "--cli-rc-file", "--proxy", "--local", "--all"];

/// A file that was read and parsed.
struct RcFile {
    path: PathBuf,
    sections: Profiles,
}

impl RcFile {
    /// Reads the file that an option or a variable names, or else the first default path that
    /// exists. Fails if the named file does not exist, or if a file cannot be read or parsed.
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
            let paths = DEFAULT_PATHS.iter().filter(|_| environment.home().is_some());
            for path in paths.map(|path| environment.expand(path)) {
                match environment.read(&path) {
                    Err(error) if is_absent(&error) => {}
                    contents => return RcFile::parse(path, contents).map(Some),
                }
            }
            return Ok(None);
        };
        match environment.read(&path) {
            Err(error) if is_absent(&error) => {
                Err(Error::usage(format!("{from}: there is no file {}", path.display())))
            }
            contents => RcFile::parse(path, contents).map(Some),
        }
    }

    fn parse(path: PathBuf, contents: std::io::Result<Vec<u8>>) -> Result<RcFile, Error> {
        let shown = path.display();
        let bytes =
            contents.map_err(|error| Error::usage(format!("{shown} cannot be read: {error}")))?;
        let text = String::from_utf8(bytes)
            .map_err(|_| Error::usage(format!("{shown} is not UTF-8 text")))?;
        let sections = Profiles::parse(&text).map_err(|error| {
            Error::usage(format!("{shown}, line {}: {}", error.line, error.message))
                .with_hint("the file has lines [SECTION], key = value, and # comment")
        })?;
        Ok(RcFile { path, sections })
    }

    /// The name of a key in messages.
    fn origin(&self, key: &str) -> String {
        format!("{key} in {}", self.path.display())
    }

    /// A value of the section of settings; `None` if it is empty.
    fn setting(&self, key: &str) -> Option<String> {
        let value = self.sections.own(SETTINGS).get(key)?.to_string();
        Some(value).filter(|value| !value.is_empty())
    }
}

fn is_absent(error: &std::io::Error) -> bool {
    matches!(error.kind(), ErrorKind::NotFound | ErrorKind::NotADirectory)
}

/// Adds the options that the file sets to the words of a command line, as `argv` has split them,
/// and returns where they came from. `command` is the program after `--` and its arguments. Fails
/// if the file cannot be read, or if it sets a switch to anything but true or false.
pub fn apply(
    words: Vec<String>,
    root: &CommandInfoWithArgs,
    environment: &Environment,
    command: Option<&[OsString]>,
) -> Result<(Vec<String>, Defaults), Error> {
    let line = CommandLine::read(&words, root);
    let has = |flag: &str| line.leaf.flags.iter().any(|known| known.long == flag);
    if !has("--profile") || line.given("--local").is_some() {
        return Ok((words, Defaults::default()));
    }
    let path = line.given("--cli-rc-file").flatten();
    let Some(file) = RcFile::find(path, environment)? else {
        return Ok((words, Defaults::default()));
    };
    let mut builder = DefaultsBuilder {
        file: &file,
        environment,
        source: if command.is_some() { StreamSource::Command } else { StreamSource::Default },
        added: Vec::new(),
        defaults: Defaults::default(),
    };
    let mut profile =
        line.given("--profile").flatten().or_else(|| environment.var("OCI_CLI_PROFILE"));
    let default_profile = file.setting("default_profile");
    if profile.is_none()
        && let Some(name) = &default_profile
    {
        builder.add("--profile", "default_profile", Some(name.clone()));
        profile = Some(name);
    }
    if let Some(proxy) = file.setting("proxy") {
        builder.defaults.proxy = Some(Setting::new(proxy, file.origin("proxy")));
    }
    // As in the OCI CLI, a profile that the file lacks does not inherit from DEFAULT.
    if let Some(section) = file.sections.profile(profile.unwrap_or(DEFAULT)) {
        builder.add_section(&line, &section)?;
    }
    builder.warn_of_settings(&line);
    let DefaultsBuilder { added, defaults, .. } = builder;
    let mut words = words;
    words.splice(line.end..line.end, added);
    Ok((words, defaults))
}

/// The words of a command line by kind.
struct CommandLine<'a> {
    leaf: &'a CommandInfoWithArgs,
    /// The prefixes of keys for this command, longest first; the last one is empty.
    scopes: Vec<String>,
    options: Vec<(String, Option<String>)>,
    positionals: Vec<String>,
    /// The index at which options are added.
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

    /// The value of an option: `None` if it is not given, `Some(None)` if it takes no value.
    fn given(&self, option: &str) -> Option<Option<&str>> {
        let (_, value) = self.options.iter().find(|(name, _)| name == option)?;
        Some(value.as_deref())
    }

    /// The option of this command that a key without its prefix names.
    fn option(&self, key: &str) -> Option<&'a str> {
        let long = format!("--{key}");
        let known = |name: &str| self.leaf.flags.iter().find(|flag| flag.long == name);
        let short = format!("-{key}");
        let by_short_name = || known(canonical_name(&short)).filter(|_| key.len() == 2);
        known(canonical_name(&long)).or_else(by_short_name).map(|flag| flag.long)
    }

    /// Whether the command line or a variable prevents the file from setting an option.
    fn excludes(&self, option: &str, environment: &Environment, source: StreamSource) -> bool {
        let given = |other: &&str| self.given(other).is_some();
        let variable = VARIABLES.iter().find(|(name, _)| *name == option);
        let url = self.positionals.iter().find(|word| word.contains("://"));
        let namespace =
            || url.and_then(|word| BucketUrl::parse(word).ok()).and_then(|place| place.namespace);
        given(&option)
            || EXCLUSIVE_OPTIONS
                .iter()
                .any(|group| group.contains(&option) && group.iter().any(given))
            || variable.is_some_and(|(_, variable)| environment.var(variable).is_some())
            || url.is_some() && ["--bucket-name", "--name"].contains(&option)
            || option == "--namespace" && namespace().is_some()
            || option == "--file" && source == StreamSource::Command
            || option == "--no-refresh" && self.leaf.name == "refresh"
    }
}

/// The prefixes of keys for a command: the name of the corresponding command of the OCI CLI, and
/// the names of the groups it belongs to.
fn scopes(path: &[&str]) -> Vec<String> {
    let name = match path {
        ["put"] => vec!["os", "object", "put"],
        ["get"] => vec!["os", "object", "get"],
        ["verify"] => vec!["os", "object"],
        ["uploads", "list"] => vec!["os", "multipart", "list"],
        ["uploads", "abort"] => vec!["os", "multipart", "abort"],
        other => other.to_vec(),
    };
    (0..=name.len()).rev().map(|length| name[..length].join(".")).collect()
}

/// Where `put` reads the stream from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum StreamSource {
    /// The command after `--`.
    Command,
    /// stdin, or the file that an option names.
    Default,
}

/// The options that the file adds, and their origins.
struct DefaultsBuilder<'a> {
    file: &'a RcFile,
    environment: &'a Environment,
    source: StreamSource,
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

    /// Adds the options of a profile, and warns of keys without effect.
    fn add_section(&mut self, line: &CommandLine<'_>, section: &Section) -> Result<(), Error> {
        for flag in line.leaf.flags.iter().filter(|flag| !NEVER_DEFAULTED.contains(&flag.long)) {
            let Some((key, value)) =
                line.scopes.iter().find_map(|scope| find(line, scope, flag.long, section))
            else {
                continue;
            };
            let value = self.environment.with_variables(value);
            if value.is_empty() || line.excludes(flag.long, self.environment, self.source) {
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

    /// Warns of a key that has no effect but looks as if it had one.
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

    /// Warns of keys of a profile in the section of settings.
    fn warn_of_settings(&mut self, line: &CommandLine<'_>) {
        for key in self.file.sections.own(SETTINGS).keys() {
            let is_option = line.option(key).is_some_and(|option| option != "--proxy");
            if is_option || key == "profile" {
                self.warn(key, "in [OCI_CLI_SETTINGS] it is no setting; it belongs to a profile");
            }
        }
    }
}

/// The key and the value of an option in one scope: by its own name, or else by another name of it.
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

/// True for the texts that the OCI CLI accepts as true, and false for their counterparts.
fn parse_bool(text: &str) -> Option<bool> {
    match text.to_ascii_lowercase().as_str() {
        "1" | "y" | "t" | "yes" | "true" | "on" => Some(true),
        "0" | "n" | "f" | "no" | "false" | "off" => Some(false),
        _ => None,
    }
}

#[cfg(test)]
mod tests;
