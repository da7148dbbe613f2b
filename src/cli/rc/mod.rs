//! The OCI CLI's file of default options (`oci_cli_rc`): adds the options it sets to a command
//! line.
//!
//! Owns the choice among the keys that set one option. Must not know what an option means.
//! Invariants: an option on the command line and a variable override the file; a file that cannot
//! be read is an error; a key that has no effect but looks as if it had one is a warning.

mod file;
mod rules;

use argh::{CommandInfoWithArgs, FlagInfoKind};

use self::file::{RcFile, SETTINGS};
use self::rules::DefaultRules;
use crate::auth::environment::{Defaults, Environment};
use crate::auth::options::Setting;
use crate::auth::profile::{DEFAULT, Section};
use crate::cli::argv::CommandLine;
use proto::error::Error;

/// Options that the file never sets: those that choose which files are read, a PAR's among them; `--all`,
/// which the OCI CLI uses for lists and which would abort every upload here; `--output`, which people set
/// for their terminals; and `--federation-endpoint`, as in the OCI CLI.
const NEVER_DEFAULTED: [&str; 11] = [
    "--help",
    "--profile",
    "--config-file",
    "--cli-rc-file",
    "--proxy",
    "--local",
    "--all",
    "--output",
    "--federation-endpoint",
    "--par-file",
    "--par-expires",
];

/// Adds the options that the file sets to a command line, and returns where they came from. Fails if
/// the file cannot be read, or if it sets a switch to anything but true or false.
pub(super) fn apply(
    mut line: CommandLine,
    root: &CommandInfoWithArgs,
    environment: &Environment,
) -> Result<(CommandLine, Defaults), Error> {
    let rules = DefaultRules::of(&line, root);
    // An account is what the file describes.
    let without_account = line.given("--local").is_some() || rules.is_through_par(environment);
    if !rules.takes("--profile") || without_account {
        return Ok((line, Defaults::default()));
    }
    let path = line.given("--cli-rc-file").flatten();
    let Some(file) = RcFile::find(path, environment)? else {
        return Ok((line, Defaults::default()));
    };
    let mut builder = DefaultsBuilder {
        file: &file,
        environment,
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
        builder.defaults.has_profile = true;
        builder.add_section(&rules, &section)?;
    }
    builder.warn_of_settings(&rules);
    let DefaultsBuilder { added, defaults, .. } = builder;
    line.options.extend(added);
    Ok((line, defaults))
}

/// The options that the file adds, and their origins.
struct DefaultsBuilder<'a> {
    file: &'a RcFile,
    environment: &'a Environment,
    added: Vec<(&'static str, Option<String>)>,
    defaults: Defaults,
}

impl DefaultsBuilder<'_> {
    fn add(&mut self, option: &'static str, key: &str, value: Option<String>) {
        self.added.push((option, value));
        self.defaults.origins.insert(option.to_owned(), self.file.origin(key));
    }

    fn warn(&mut self, key: &str, reason: &str) {
        self.defaults.warnings.push(format!("{} has no effect: {reason}", self.file.origin(key)));
    }

    /// Adds the options of a profile, and warns of keys without effect.
    fn add_section(&mut self, rules: &DefaultRules<'_>, section: &Section) -> Result<(), Error> {
        for flag in rules.leaf.flags.iter().filter(|flag| !NEVER_DEFAULTED.contains(&flag.long)) {
            let Some((key, value)) =
                rules.scopes.iter().find_map(|scope| find(rules, scope, flag.long, section))
            else {
                continue;
            };
            let value = self.environment.with_variables(value);
            if value.is_empty() || rules.excludes(flag.long, self.environment) {
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
        let replaces = rules.takes("--no-overwrite");
        if let Some(key) = self.defaults.origins.get("--force").filter(|_| replaces) {
            let text = format!("{key}: an object that exists is replaced, without --force");
            self.defaults.warnings.push(text);
        }
        for key in section.keys() {
            self.warn_if_ignored(rules, key);
        }
        Ok(())
    }

    fn not_a_boolean(&self, key: &str) -> Error {
        Error::usage(format!("{}: the value is neither yes nor no", self.file.origin(key)))
            .with_hint("write true or false")
    }

    /// Warns of a key that has no effect but looks as if it had one.
    fn warn_if_ignored(&mut self, rules: &DefaultRules<'_>, key: &str) {
        let scope = rules.scopes.iter().filter(|scope| !scope.is_empty());
        let within = scope.filter_map(|scope| {
            Some((scope, key.strip_prefix(scope.as_str())?.strip_prefix('.')?))
        });
        let (narrowest, name) = match within.max_by_key(|(scope, _)| scope.len()) {
            Some((scope, name)) => (Some(scope) == rules.scopes.first(), name),
            None => (false, key),
        };
        let dashed = name.replace('_', "-");
        match name {
            "profile" => {
                self.warn(key, "default_profile in [OCI_CLI_SETTINGS] chooses the profile")
            }
            "config-file" => self.warn(key, "--config-file or OCI_CLI_CONFIG_FILE names the file"),
            "federation-endpoint" => {
                self.warn(key, "--federation-endpoint or OCI_CLI_FEDERATION_ENDPOINT names the URL")
            }
            "proxy" => self.warn(key, "proxy belongs in [OCI_CLI_SETTINGS]"),
            _ if dashed != name
                && rules.option(name).is_none()
                && rules.option(&dashed).is_some() =>
            {
                self.warn(key, &format!("the name is written {dashed}"));
            }
            _ if narrowest && rules.option(name).is_none() => {
                self.warn(key, "there is no such option here");
            }
            _ => {}
        }
    }

    /// Warns of keys of a profile in the section of settings.
    fn warn_of_settings(&mut self, rules: &DefaultRules<'_>) {
        for key in self.file.sections.own(SETTINGS).keys() {
            let is_option = rules.option(key).is_some_and(|option| option != "--proxy");
            if is_option || key == "profile" {
                self.warn(key, "in [OCI_CLI_SETTINGS] it is no setting; it belongs to a profile");
            }
        }
    }
}

/// The key and the value of an option in one scope: by its own name, or else by another name of it.
fn find<'a>(
    rules: &DefaultRules<'_>,
    scope: &str,
    option: &str,
    section: &'a Section,
) -> Option<(&'a str, &'a str)> {
    let name = |key: &'a str| match scope {
        "" => Some(key).filter(|key| !key.contains('.')),
        scope => key.strip_prefix(scope)?.strip_prefix('.').filter(|name| !name.contains('.')),
    };
    let own = section.iter().find(|(key, _)| name(key).is_some_and(|name| option[2..] == *name));
    let means = |key: &'a str| name(key).is_some_and(|name| rules.option(name) == Some(option));
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
