//! What the process inherited: its environment variables and its home folder, as a value.
//!
//! Captured once, by `main`; everything else is handed it. Must not be read from anywhere else, so
//! that a test can state its own. Invariants: a variable that is set but empty counts as not set; one
//! that is set and cannot be read never does.

use std::collections::{BTreeMap, HashMap};
use std::ffi::{OsStr, OsString};
use std::fs;
use std::io;
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::{Path, PathBuf};
use std::sync::OnceLock;

use nix::unistd::{Uid, User};

use super::options::Setting;
use proto::error::Error;

/// The variables whose values are paths, read by `path`: they are bytes, as paths are.
const PATHS: [&str; 6] = [
    "OCI_CLI_CONFIG_FILE",
    "OCI_CONFIG_FILE",
    "OCI_CLI_RC_FILE",
    "OCI_CLI_KEY_FILE",
    "OCI_CLI_SECURITY_TOKEN_FILE",
    "OCI_CLI_CERT_BUNDLE",
];

/// The inherited environment.
#[derive(Clone, Default)]
pub struct Environment {
    vars: HashMap<String, OsString>,
    home: OnceLock<Option<PathBuf>>,
    /// Whether the host's list of users may be asked.
    of_host: bool,
    /// What the rc file says for one command.
    pub defaults: Defaults,
}

impl Environment {
    /// The environment of this process. The home folder is asked for when it is needed.
    pub fn capture() -> Environment {
        let vars = std::env::vars_os()
            .filter_map(|(name, value)| Some((name.into_string().ok()?, value)))
            .collect();
        Environment { vars, of_host: true, ..Environment::default() }
    }

    /// An environment of these variables and this home, on a host without users.
    pub fn of<N: Into<String>, V: Into<OsString>>(
        vars: impl IntoIterator<Item = (N, V)>,
        home: Option<PathBuf>,
    ) -> Environment {
        let vars = vars.into_iter().map(|(name, value)| (name.into(), value.into())).collect();
        Environment { vars, home: home.into(), ..Environment::default() }
    }

    /// The value of a variable; `None` when it is not set or empty, or is no text (`check` has
    /// refused those that matter).
    pub fn var(&self, name: &str) -> Option<&str> {
        self.vars.get(name)?.to_str().filter(|value| !value.is_empty())
    }

    /// The value of a variable as it is, which may be empty or no text.
    pub fn raw(&self, name: &str) -> Option<&OsStr> {
        self.vars.get(name).map(OsString::as_os_str)
    }

    /// The path that a variable holds, in whatever bytes, with its tilde expanded.
    pub fn path(&self, name: &str) -> Option<PathBuf> {
        self.raw(name).filter(|value| !value.is_empty()).map(|path| self.expand(path))
    }

    /// Refuses a variable of ours that cannot be read, though something was meant by it.
    pub fn check(&self) -> Result<(), Error> {
        let ours = |name: &str| name.starts_with("OCI_") || name.starts_with("OCIPIPE_");
        let unreadable = self.vars.iter().filter(|(name, value)| {
            ours(name) && !PATHS.contains(&name.as_str()) && value.to_str().is_none()
        });
        match unreadable.map(|(name, _)| name).min() {
            Some(name) => Err(Error::usage(format!("{name} is not UTF-8 text"))
                .with_hint("set it anew, or unset it")),
            None => Ok(()),
        }
    }

    /// The home folder: `HOME`, or what the list of users has where that is not set, as in services
    /// of the system.
    pub fn home(&self) -> Option<&Path> {
        let find = || match self.raw("HOME").filter(|home| !home.is_empty()) {
            Some(home) => Some(PathBuf::from(home)),
            None if self.of_host => home_of(User::from_uid(Uid::current())),
            None => None,
        };
        self.home.get_or_init(find).as_deref()
    }

    /// `path` with a leading `~` or `~USER` replaced by the home folder, where there is one.
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
        match below.is_empty() {
            true => home,
            false => home.join(OsString::from_vec(below)),
        }
    }

    /// A text in which `$NAME` and `${NAME}` are replaced; of a variable that is not set they stay.
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

    /// What a file of the host holds.
    pub fn read(&self, path: &Path) -> io::Result<Vec<u8>> {
        fs::read(path)
    }

    /// The same, with what the rc file says for one command.
    pub fn with_defaults(&self, defaults: Defaults) -> Environment {
        Environment { defaults, ..self.clone() }
    }

    fn home_from_passwd(&self, user: &[u8]) -> Option<PathBuf> {
        let name = std::str::from_utf8(user).ok().filter(|_| self.of_host)?;
        home_of(User::from_name(name))
    }
}

/// A list of users that cannot be asked is as good as none: what follows names the path.
fn home_of(asked: nix::Result<Option<User>>) -> Option<PathBuf> {
    asked.ok()?.map(|user| user.dir).filter(|home| !home.as_os_str().is_empty())
}

// The values may be secrets (a pass phrase), so only names are shown.
impl std::fmt::Debug for Environment {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let mut names: Vec<&str> = self.vars.keys().map(String::as_str).collect();
        names.sort_unstable();
        f.debug_struct("Environment").field("names", &names).field("home", &self.home).finish()
    }
}

/// What the file said for one command.
#[derive(Debug, Clone, Default)]
pub struct Defaults {
    /// The options that were taken from it, and the keys that set them.
    pub origins: BTreeMap<String, String>,
    /// The proxy of its settings.
    pub proxy: Option<Setting>,
    /// What is odd enough to be said at the start.
    pub warnings: Vec<String>,
}

impl Defaults {
    /// What gave an option, for messages.
    pub fn origin<'a>(&'a self, option: &'a str) -> &'a str {
        self.origins.get(option).map_or(option, String::as_str)
    }

    /// Adds to an error of the options which of them were not given but read.
    pub fn explain(&self, error: Error) -> Error {
        if self.origins.is_empty() {
            return error;
        }
        let keys: Vec<&str> = self.origins.values().map(String::as_str).collect();
        let note = format!("not on the command line, but said by {}", keys.join(", "));
        let next = match &error.hint {
            Some(next) => format!("{next}\n  {note}"),
            None => note,
        };
        error.with_hint(next)
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
    fn a_variable_that_is_no_text_is_a_path_or_refused_and_never_passed_over() {
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
    fn a_home_that_is_not_set_and_those_of_others_are_looked_up_among_the_users() {
        let host = |vars: &[(&str, &str)]| {
            let mut environment = Environment::of(vars.iter().copied(), None);
            environment.home = OnceLock::new();
            environment.of_host = true;
            environment
        };
        let mine = User::from_uid(Uid::current()).unwrap().map(|user| user.dir);
        assert_eq!(host(&[]).home(), mine.as_deref());
        assert_eq!(host(&[("HOME", "")]).home(), mine.as_deref());
        assert_eq!(host(&[("HOME", "/h")]).home(), Some(Path::new("/h")));
        let root = User::from_name("root").unwrap().unwrap().dir;
        assert_eq!(host(&[]).expand("~root/x"), root.join("x"));
        assert_eq!(host(&[]).expand("~root"), root);
        let nobody = "~no-such-user-here/x";
        assert_eq!(host(&[]).expand(nobody), PathBuf::from(nobody));
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
