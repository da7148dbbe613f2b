//! What the process inherited: its environment variables and its home folder, as a value.
//!
//! Captured once, by `main`; everything else is handed it. Must not be read from anywhere else, so
//! that a test can state its own. Invariant: a variable that is set but empty counts as not set, as
//! in the OCI CLI.

use std::collections::HashMap;
use std::path::PathBuf;

/// The inherited environment.
#[derive(Clone, Default)]
pub struct Environment {
    pub vars: HashMap<String, String>,
    pub home: Option<PathBuf>,
}

impl Environment {
    /// The environment of this process. Variables that are no text are left out.
    pub fn capture() -> Environment {
        let vars = std::env::vars_os()
            .filter_map(|(name, value)| Some((name.into_string().ok()?, value.into_string().ok()?)))
            .collect();
        let home = std::env::var_os("HOME").filter(|home| !home.is_empty()).map(PathBuf::from);
        Environment { vars, home }
    }

    /// The value of a variable; `None` when it is not set or empty.
    pub fn var(&self, name: &str) -> Option<&str> {
        self.vars.get(name).map(String::as_str).filter(|value| !value.is_empty())
    }

    /// `path` with a leading `~` replaced by the home folder, where there is one.
    pub fn expand(&self, path: &str) -> PathBuf {
        match (&self.home, path.strip_prefix('~')) {
            (Some(home), Some("")) => home.clone(),
            (Some(home), Some(rest)) if rest.starts_with('/') => {
                home.join(rest.trim_start_matches('/'))
            }
            _ => PathBuf::from(path),
        }
    }
}

// The values may be secrets (a pass phrase), so only names are shown.
impl std::fmt::Debug for Environment {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let mut names: Vec<&str> = self.vars.keys().map(String::as_str).collect();
        names.sort_unstable();
        f.debug_struct("Environment").field("names", &names).field("home", &self.home).finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn environment(home: Option<&str>) -> Environment {
        let vars = [("EMPTY", ""), ("OCI_CLI_PASSPHRASE", "hunter2")]
            .map(|(name, value)| (name.to_owned(), value.to_owned()));
        Environment { vars: vars.into(), home: home.map(PathBuf::from) }
    }

    #[test]
    fn an_empty_variable_counts_as_not_set() {
        let environment = environment(None);
        assert_eq!(environment.var("EMPTY"), None);
        assert_eq!(environment.var("ABSENT"), None);
        assert_eq!(environment.var("OCI_CLI_PASSPHRASE"), Some("hunter2"));
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
    }

    #[test]
    fn debug_output_shows_no_value() {
        assert!(!format!("{:?}", environment(None)).contains("hunter2"));
    }
}
