//! Which options the rc file may set on a command line.
//!
//! Owns which options and variables exclude others, and the prefixes of keys for a command. Must
//! not read a file. Invariant: an option that is given, or excluded by one that is given, is never
//! set.

use argh::CommandInfoWithArgs;

use crate::auth::environment::Environment;
use crate::cli::argv::{CommandLine, canonical_name, command_at};
use crate::cli::par;
use proto::object_url::BucketUrl;

/// The variables that override the file, by option.
const VARIABLES: [(&str, &str); 15] = [
    ("--auth", "OCI_CLI_AUTH"),
    ("--region", "OCI_CLI_REGION"),
    ("--endpoint", "OCI_CLI_ENDPOINT"),
    ("--auth-endpoint", "OCIPIPE_AUTH_ENDPOINT"),
    ("--exchange-url", "OCIPIPE_EXCHANGE_URL"),
    ("--exchange-jwt-file", "OCIPIPE_EXCHANGE_JWT_FILE"),
    ("--exchange-client-id", "OCIPIPE_EXCHANGE_CLIENT_ID"),
    ("--exchange-client-secret-file", "OCIPIPE_EXCHANGE_CLIENT_SECRET_FILE"),
    ("--cert-bundle", "OCI_CLI_CERT_BUNDLE"),
    ("--cert-bundle", "REQUESTS_CA_BUNDLE"),
    ("--cert-bundle", "CURL_CA_BUNDLE"),
    ("--cert-bundle", "SSL_CERT_FILE"),
    ("--cert-bundle", "SSL_CERT_DIR"),
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

/// A command line, and what its command takes.
pub(super) struct DefaultRules<'a> {
    pub line: &'a CommandLine,
    pub leaf: &'a CommandInfoWithArgs,
    /// The prefixes of keys for this command, longest first; the last one is empty.
    pub scopes: Vec<String>,
}

impl<'a> DefaultRules<'a> {
    pub(super) fn of(line: &'a CommandLine, root: &'a CommandInfoWithArgs) -> DefaultRules<'a> {
        let leaf = command_at(root, &line.path).unwrap_or(root);
        DefaultRules { line, leaf, scopes: scopes(&line.path) }
    }

    /// Whether the command has this option.
    pub(super) fn takes(&self, option: &str) -> bool {
        self.leaf.flags.iter().any(|flag| flag.long == option)
    }

    /// Whether the command goes through a pre-authenticated request.
    pub(super) fn is_through_par(&self, environment: &Environment) -> bool {
        let is_given = self.line.given("--par-file").is_some();
        self.takes("--par-file") && (is_given || is_set(environment, par::VARIABLE))
    }

    /// The option of this command that a key without its prefix names.
    pub(super) fn option(&self, key: &str) -> Option<&'static str> {
        // The OCI CLI writes this one key with an underscore.
        let long = format!("--{}", if key == "no_retry" { "no-retry" } else { key });
        let known = |name: &str| self.leaf.flags.iter().find(|flag| flag.long == name);
        let short = format!("-{key}");
        let by_short_name = || known(canonical_name(&short)).filter(|_| key.len() == 2);
        known(canonical_name(&long)).or_else(by_short_name).map(|flag| flag.long)
    }

    /// Whether the command line or a variable prevents the file from setting an option.
    pub(super) fn excludes(&self, option: &str, environment: &Environment) -> bool {
        let given = |other: &&str| self.line.given(other).is_some();
        let mut variables = VARIABLES.iter().filter(|(name, _)| *name == option);
        let url = self.line.positionals.iter().find(|word| word.contains("://"));
        let namespace =
            || url.and_then(|word| BucketUrl::parse(word).ok()).and_then(|url| url.namespace);
        given(&option)
            || EXCLUSIVE_OPTIONS
                .iter()
                .any(|group| group.contains(&option) && group.iter().any(given))
            || variables.any(|(_, variable)| is_set(environment, variable))
            || url.is_some() && PLACE[..2].contains(&option)
            || option == "--namespace" && namespace().is_some()
            || self.receipt_names_object() && PLACE.contains(&option)
            || option == "--file" && self.line.command.is_some()
            || option == "--no-refresh" && self.leaf.name == "refresh"
            // Meant for objects: a profile is replaced only by an option of the command line.
            || option == "--force" && ["authenticate", "import"].contains(&self.leaf.name)
    }

    /// Whether the object of `verify` is that of the receipt: no word names another one.
    fn receipt_names_object(&self) -> bool {
        self.leaf.name == "verify"
            && self.line.given("--receipt").is_some()
            && self.line.positionals.is_empty()
            && PLACE.iter().all(|option| self.line.given(option).is_none())
    }
}

/// Whether a variable has a value, which need not be UTF-8.
fn is_set(environment: &Environment, variable: &str) -> bool {
    environment.raw(variable).is_some_and(|value| !value.is_empty())
}

/// The prefixes of keys for a command: the name of the corresponding command of the OCI CLI, and
/// the names of the groups it belongs to.
fn scopes(path: &[String]) -> Vec<String> {
    let path: Vec<&str> = path.iter().map(String::as_str).collect();
    let name = match path.as_slice() {
        ["put"] => vec!["os", "object", "put"],
        ["get"] => vec!["os", "object", "get"],
        ["verify"] => vec!["os", "object", "verify"],
        ["uploads", "list"] => vec!["os", "multipart", "list"],
        ["uploads", "abort"] => vec!["os", "multipart", "abort"],
        other => other.to_vec(),
    };
    (0..=name.len()).rev().map(|length| name[..length].join(".")).collect()
}
