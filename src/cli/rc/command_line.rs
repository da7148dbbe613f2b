//! A command line as `argv` has split it, and which options of it the rc file may set.
//!
//! Owns which options and variables exclude others, and the prefixes of keys for a command. Must
//! not read a file. Invariant: an option that is given, or excluded by one that is given, is never
//! set.

use std::ffi::OsString;

use argh::{CommandInfoWithArgs, FlagInfoKind};

use crate::auth::environment::Environment;
use crate::cli::argv::canonical_name;
use crate::cli::par;
use proto::object_url::BucketUrl;

/// The variables that override the file, by option.
const VARIABLES: [(&str, &str); 11] = [
    ("--auth", "OCI_CLI_AUTH"),
    ("--region", "OCI_CLI_REGION"),
    ("--endpoint", "OCI_CLI_ENDPOINT"),
    ("--auth-endpoint", "OCIPIPE_AUTH_ENDPOINT"),
    ("--exchange-url", "OCIPIPE_EXCHANGE_URL"),
    ("--exchange-jwt-file", "OCIPIPE_EXCHANGE_JWT_FILE"),
    ("--exchange-client-id", "OCIPIPE_EXCHANGE_CLIENT_ID"),
    ("--exchange-client-secret-file", "OCIPIPE_EXCHANGE_CLIENT_SECRET_FILE"),
    ("--cert-bundle", "OCI_CLI_CERT_BUNDLE"),
    ("--realm-specific-endpoint", "OCI_REALM_SPECIFIC_SERVICE_ENDPOINT_TEMPLATE_ENABLED"),
    ("--enable-dual-stack", "OCI_DUAL_STACK_ENDPOINT_ENABLED"),
];

/// Groups of options: if one of a group is given, the file sets none of the others.
const EXCLUSIVE_OPTIONS: [&[&str]; 10] = [
    &["--force", "--no-overwrite", "--if-match"],
    &["--force", "--identical-ok"],
    &["--no-multipart", "--resume"],
    &["--quiet", "--debug"],
    &["--stall-timeout", "--read-timeout"],
    &["--parallel-upload-count", "--disable-parallel-uploads"],
    &["--parallel-download-count", "--no-multipart"],
    &["--refresh-before", "--no-refresh"],
    &["--encryption-key-file", "--opc-sse-kms-key-id"],
    &["--endpoint", "--realm-specific-endpoint", "--enable-dual-stack"],
];

/// The options that name an object.
const PLACE: [&str; 3] = ["--bucket-name", "--name", "--namespace"];

/// The words of a command line by kind.
pub(super) struct CommandLine<'a> {
    pub leaf: &'a CommandInfoWithArgs,
    /// The prefixes of keys for this command, longest first; the last one is empty.
    pub scopes: Vec<String>,
    options: Vec<(String, Option<String>)>,
    positionals: Vec<String>,
    /// Whether a command follows `--`, whose output is the stream.
    has_command: bool,
    /// The index at which options are added.
    pub end: usize,
}

impl<'a> CommandLine<'a> {
    /// `command` is the program after `--` and its arguments.
    pub(super) fn read(
        words: &[String],
        command: Option<&[OsString]>,
        root: &'a CommandInfoWithArgs,
    ) -> CommandLine<'a> {
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
        let has_command = command.is_some();
        CommandLine { leaf, scopes: scopes(&path), options, positionals, has_command, end }
    }

    /// The value of an option: `None` if it is not given, `Some(None)` if it takes no value.
    pub(super) fn given(&self, option: &str) -> Option<Option<&str>> {
        let (_, value) = self.options.iter().find(|(name, _)| name == option)?;
        Some(value.as_deref())
    }

    /// Whether the command goes through a pre-authenticated request.
    pub(super) fn is_through_par(&self, environment: &Environment) -> bool {
        let takes_par = self.leaf.flags.iter().any(|flag| flag.long == "--par-file");
        takes_par && (self.given("--par-file").is_some() || is_set(environment, par::VARIABLE))
    }

    /// The option of this command that a key without its prefix names.
    pub(super) fn option(&self, key: &str) -> Option<&'a str> {
        // The OCI CLI writes this one key with an underscore.
        let long = format!("--{}", if key == "no_retry" { "no-retry" } else { key });
        let known = |name: &str| self.leaf.flags.iter().find(|flag| flag.long == name);
        let short = format!("-{key}");
        let by_short_name = || known(canonical_name(&short)).filter(|_| key.len() == 2);
        known(canonical_name(&long)).or_else(by_short_name).map(|flag| flag.long)
    }

    /// Whether the command line or a variable prevents the file from setting an option.
    pub(super) fn excludes(&self, option: &str, environment: &Environment) -> bool {
        let given = |other: &&str| self.given(other).is_some();
        let variable = VARIABLES.iter().find(|(name, _)| *name == option);
        let url = self.positionals.iter().find(|word| word.contains("://"));
        let namespace =
            || url.and_then(|word| BucketUrl::parse(word).ok()).and_then(|url| url.namespace);
        given(&option)
            || EXCLUSIVE_OPTIONS
                .iter()
                .any(|group| group.contains(&option) && group.iter().any(given))
            || variable.is_some_and(|(_, variable)| is_set(environment, variable))
            || url.is_some() && PLACE[..2].contains(&option)
            || option == "--namespace" && namespace().is_some()
            || self.receipt_names_object() && PLACE.contains(&option)
            || option == "--file" && self.has_command
            || option == "--no-refresh" && self.leaf.name == "refresh"
            // Meant for objects: a profile is replaced only by an option of the command line.
            || option == "--force" && ["authenticate", "import"].contains(&self.leaf.name)
    }

    /// Whether the object of `verify` is that of the receipt: no word names another one.
    fn receipt_names_object(&self) -> bool {
        self.leaf.name == "verify"
            && self.given("--receipt").is_some()
            && self.positionals.is_empty()
            && PLACE.iter().all(|option| self.given(option).is_none())
    }
}

/// Whether a variable has a value, which need not be UTF-8.
fn is_set(environment: &Environment, variable: &str) -> bool {
    environment.raw(variable).is_some_and(|value| !value.is_empty())
}

/// The prefixes of keys for a command: the name of the corresponding command of the OCI CLI, and
/// the names of the groups it belongs to.
fn scopes(path: &[&str]) -> Vec<String> {
    let name = match path {
        ["put"] => vec!["os", "object", "put"],
        ["get"] => vec!["os", "object", "get"],
        ["verify"] => vec!["os", "object", "verify"],
        ["uploads", "list"] => vec!["os", "multipart", "list"],
        ["uploads", "abort"] => vec!["os", "multipart", "abort"],
        other => other.to_vec(),
    };
    (0..=name.len()).rev().map(|length| name[..length].join(".")).collect()
}
