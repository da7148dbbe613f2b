//! The environment variables and the home folder of the process, as a value.
//!
//! Owns every use of their values: the program and the library capture the value once and pass it on, so
//! that a test can use its own. Must not know what a variable means. Invariants: a variable that is set but empty
//! counts as not set; a variable of OCI or ocipipe that is not UTF-8 is an error and never counts
//! as not set.

use std::collections::{BTreeMap, HashMap};
use std::ffi::{OsStr, OsString};
use std::io;
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::{Path, PathBuf};
use std::sync::OnceLock;

use nix::unistd::{Uid, User};

use super::options::Setting;
use crate::platform::small_file;
use proto::error::Error;

/// The variables whose values are paths. `path` reads them; they need not be UTF-8.
const PATHS: [&str; 11] = [
    "OCI_CLI_CONFIG_FILE",
    "OCI_CONFIG_FILE",
    "OCI_CLI_RC_FILE",
    "OCI_CLI_KEY_FILE",
    "OCI_CLI_SECURITY_TOKEN_FILE",
    "OCI_CLI_CERT_BUNDLE",
    "OCI_CLI_DELEGATION_TOKEN_FILE",
    "OCI_KUBERNETES_SERVICE_ACCOUNT_CERT_PATH",
    "OCI_KUBERNETES_SERVICE_ACCOUNT_TOKEN_PATH",
    "OCIPIPE_EXCHANGE_JWT_FILE",
    "OCIPIPE_EXCHANGE_CLIENT_SECRET_FILE",
];

/// Bytes of a file of settings.
const MAX_SETTINGS: u64 = 4 << 20;

/// How the names of the variables begin that are ocipipe's own or of OCI, and those of Kubernetes
/// that it reads.
const RELEVANT: [&str; 3] = ["OCI_", "OCIPIPE_", "KUBERNETES_SERVICE_"];

/// The inherited environment.
#[derive(Clone, Default)]
pub struct Environment {
    vars: HashMap<String, OsString>,
    home: OnceLock<Option<PathBuf>>,
    /// Whether home folders are looked up in the user database of the host.
    user_lookup: UserLookup,
    /// The options that the rc file sets for one command.
    pub defaults: Defaults,
}

/// Whether the user database of the host is used.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
enum UserLookup {
    Allowed,
    #[default]
    Disabled,
}

impl Environment {
    /// The environment of this process. The home folder is looked up when it is first needed.
    pub fn capture() -> Environment {
        let vars = std::env::vars_os()
            .filter_map(|(name, value)| Some((name.into_string().ok()?, value)))
            .collect();
        Environment { vars, user_lookup: UserLookup::Allowed, ..Environment::default() }
    }

    /// An environment with these variables and this home folder, without a user database.
    pub fn of<N: Into<String>, V: Into<OsString>>(
        vars: impl IntoIterator<Item = (N, V)>,
        home: Option<PathBuf>,
    ) -> Environment {
        let vars = vars.into_iter().map(|(name, value)| (name.into(), value.into())).collect();
        Environment { vars, home: home.into(), ..Environment::default() }
    }

    /// The value of a variable; `None` if it is not set, empty, or not UTF-8 (which `check` has
    /// rejected for the variables that matter).
    pub fn var(&self, name: &str) -> Option<&str> {
        self.vars.get(name)?.to_str().filter(|value| !value.is_empty())
    }

    /// The value of a variable, which may be empty or not UTF-8.
    pub fn raw(&self, name: &str) -> Option<&OsStr> {
        self.vars.get(name).map(OsString::as_os_str)
    }

    /// The path in a variable, with its tilde expanded. It need not be UTF-8.
    pub fn path(&self, name: &str) -> Option<PathBuf> {
        self.raw(name).filter(|value| !value.is_empty()).map(|path| self.expand(path))
    }

    /// Fails if a variable of OCI, ocipipe or Kubernetes is not UTF-8, except for paths.
    pub fn check(&self) -> Result<(), Error> {
        let relevant = |name: &str| RELEVANT.iter().any(|start| name.starts_with(start));
        let invalid = self.vars.iter().filter(|(name, value)| {
            relevant(name) && !PATHS.contains(&name.as_str()) && value.to_str().is_none()
        });
        match invalid.map(|(name, _)| name).min() {
            Some(name) => Err(Error::usage(format!("{name} is not UTF-8 text"))
                .with_hint("set it anew, or unset it")),
            None => Ok(()),
        }
    }

    /// The home folder: `HOME` or, if that is not set (as for a system service), the one in the
    /// user database.
    pub fn home(&self) -> Option<&Path> {
        let find = || match self.raw("HOME").filter(|home| !home.is_empty()) {
            Some(home) => Some(PathBuf::from(home)),
            None if self.user_lookup == UserLookup::Allowed => {
                home_of(User::from_uid(Uid::current()))
            }
            None => None,
        };
        self.home.get_or_init(find).as_deref()
    }

    /// Replaces a leading `~` or `~USER` in a path by the home folder, if there is one.
    pub fn expand(&self, path: impl AsRef<OsStr>) -> PathBuf {
        let path = path.as_ref();
        let Some(rest) = path.as_bytes().strip_prefix(b"~") else { return PathBuf::from(path) };
        let end = rest.iter().position(|&byte| byte == b'/').unwrap_or(rest.len());
        let (user, below) = rest.split_at(end);
        let home = match user {
            [] => self.home().map(Path::to_owned),
            user => self.home_from_passwd(user),
        };
        let Some(home) = home else { return PathBuf::from(path) };
        let below = below.iter().skip_while(|&&byte| byte == b'/').copied().collect::<Vec<u8>>();
        if below.is_empty() { home } else { home.join(OsString::from_vec(below)) }
    }

    /// Replaces `$NAME` and `${NAME}` in a text, except for variables that are not set.
    pub fn with_variables(&self, text: &str) -> String {
        let mut pieces = text.split('$');
        let mut out = pieces.next().unwrap_or_default().to_owned();
        for piece in pieces {
            let braced = piece.strip_prefix('{').and_then(|rest| rest.split_once('}'));
            let end = piece.find(|c: char| !(c.is_ascii_alphanumeric() || c == '_'));
            let (name, rest) = braced.unwrap_or(piece.split_at(end.unwrap_or(piece.len())));
            match self.var(name).filter(|_| !name.is_empty()) {
                Some(value) => out.extend([value, rest]),
                None => out.extend(["$", piece]),
            }
        }
        out
    }

    /// The contents of a file of settings.
    ///
    /// # Errors
    ///
    /// The file cannot be read, or is longer than 4 MiB.
    pub fn read(&self, path: &Path) -> io::Result<Vec<u8>> {
        small_file::read_bytes(path, MAX_SETTINGS)
    }

    /// The same environment with other defaults.
    pub fn with_defaults(&self, defaults: Defaults) -> Environment {
        Environment { defaults, ..self.clone() }
    }

    fn home_from_passwd(&self, user: &[u8]) -> Option<PathBuf> {
        let name =
            std::str::from_utf8(user).ok().filter(|_| self.user_lookup == UserLookup::Allowed)?;
        home_of(User::from_name(name))
    }
}

/// The home folder in a result of the user database. A failed look-up counts as no home folder; the
/// error that follows names the path.
fn home_of(user: nix::Result<Option<User>>) -> Option<PathBuf> {
    user.ok()?.map(|user| user.dir).filter(|home| !home.as_os_str().is_empty())
}

// Values may be secrets, such as a pass phrase: only names are shown.
impl std::fmt::Debug for Environment {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let mut names: Vec<&str> = self.vars.keys().map(String::as_str).collect();
        names.sort_unstable();
        f.debug_struct("Environment").field("names", &names).field("home", &self.home).finish()
    }
}

/// The options that the rc file sets for one command.
#[derive(Debug, Clone, Default)]
pub struct Defaults {
    /// The options that the file sets, and the keys that set them.
    pub origins: BTreeMap<String, String>,
    /// Whether the file has a section for the profile.
    pub has_profile: bool,
    /// The proxy in the file's settings.
    pub proxy: Option<Setting>,
    /// Warnings to print at the start.
    pub warnings: Vec<String>,
}

impl Defaults {
    /// The name of an option in messages: the key in the file, if the file sets it.
    pub fn origin<'a>(&'a self, option: &'a str) -> &'a str {
        self.origins.get(option).map_or(option, String::as_str)
    }

    /// Adds to the hint of a usage error which options the file has set.
    pub fn explain(&self, error: Error) -> Error {
        if self.origins.is_empty() {
            return error;
        }
        let keys: Vec<&str> = self.origins.values().map(String::as_str).collect();
        let note = format!("not on the command line; set by {}", keys.join(", "));
        let hint = match &error.hint {
            Some(hint) => format!("{hint}\n  {note}"),
            None => note,
        };
        error.with_hint(hint)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn environment(home: Option<&str>) -> Environment {
        let vars = [("EMPTY", ""), ("OCI_CLI_PASSPHRASE", "hunter2")];
        Environment::of(vars, home.map(PathBuf::from))
    }

    #[test]
    fn an_empty_variable_counts_as_not_set() {
        let environment = environment(None);
        assert_eq!(environment.var("EMPTY"), None);
        assert_eq!(environment.path("EMPTY"), None);
        assert_eq!(environment.var("ABSENT"), None);
        assert_eq!(environment.var("OCI_CLI_PASSPHRASE"), Some("hunter2"));
    }

    #[test]
    fn a_variable_that_is_not_utf8_is_a_path_or_an_error_and_never_ignored() {
        let bytes = || OsString::from_vec(b"/b\xff".to_vec());
        let of = |name: &str| Environment::of([(name, bytes())], None);
        for name in PATHS {
            assert_eq!(of(name).path(name), Some(PathBuf::from(bytes())));
            assert_eq!(of(name).check(), Ok(()), "{name}");
        }
        for name in ["OCI_CLI_PROFILE", "OCI_CLI_PASSPHRASE", "OCI_REGION", "OCIPIPE_X"] {
            let error = of(name).check().unwrap_err();
            assert_eq!((error.kind.exit_code(), error.message.contains(name)), (2, true));
        }
        assert_eq!(of("PS1").check(), Ok(()));
    }

    #[test]
    fn a_tilde_is_the_home_folder_only_at_the_start_and_alone() {
        let at_home = environment(Some("/home/me"));
        assert_eq!(at_home.expand("~/.oci/config"), PathBuf::from("/home/me/.oci/config"));
        assert_eq!(at_home.expand("~//x"), PathBuf::from("/home/me/x"));
        assert_eq!(at_home.expand("~"), PathBuf::from("/home/me"));
        assert_eq!(at_home.expand("~other/x"), PathBuf::from("~other/x"));
        assert_eq!(at_home.expand("a/~/x"), PathBuf::from("a/~/x"));
        assert_eq!(environment(None).expand("~/x"), PathBuf::from("~/x"));
        let bytes = OsStr::from_bytes(b"~/\xff");
        assert_eq!(at_home.expand(bytes), PathBuf::from(OsStr::from_bytes(b"/home/me/\xff")));
    }

    #[test]
    fn a_home_that_is_not_set_and_those_of_other_users_are_looked_up() {
        let host = |vars: &[(&str, &str)]| {
            let mut environment = Environment::of(vars.iter().copied(), None);
            environment.home = OnceLock::new();
            environment.user_lookup = UserLookup::Allowed;
            environment
        };
        let mine = User::from_uid(Uid::current()).unwrap().map(|user| user.dir);
        assert_eq!(host(&[]).home(), mine.as_deref());
        assert_eq!(host(&[("HOME", "")]).home(), mine.as_deref());
        assert_eq!(host(&[("HOME", "/h")]).home(), Some(Path::new("/h")));
        let root = User::from_name("root").unwrap().unwrap().dir;
        assert_eq!(host(&[]).expand("~root/x"), root.join("x"));
        assert_eq!(host(&[]).expand("~root"), root);
        let unknown = "~no-such-user-here/x";
        assert_eq!(host(&[]).expand(unknown), PathBuf::from(unknown));
    }

    #[test]
    fn variables_in_a_text_are_replaced() {
        let environment = Environment::of([("HOME", "/h"), ("RUN_1", "r")], None);
        for (path, want) in [
            ("m.json", "m.json"),
            ("$HOME/m", "/h/m"),
            ("${HOME}x/$RUN_1.json", "/hx/r.json"),
            ("$NOT/m", "$NOT/m"),
            ("a$/${/$$HOME", "a$/${/$/h"),
        ] {
            assert_eq!(environment.with_variables(path), want, "{path}");
        }
    }

    #[test]
    fn debug_output_shows_no_value() {
        assert!(!format!("{:?}", environment(None)).contains("hunter2"));
    }
}
