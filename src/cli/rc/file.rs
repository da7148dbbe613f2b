//! The rc file on disk: its path and its sections.
//!
//! Owns every read of the file. Must not know an option. Invariant: a file that is named and does
//! not exist, and one that cannot be read or parsed, is an error.

use std::io::ErrorKind;
use std::path::PathBuf;

use crate::auth::environment::Environment;
use crate::auth::profile::Profiles;
use proto::error::Error;

/// The section with settings that belong to no profile.
pub(super) const SETTINGS: &str = "OCI_CLI_SETTINGS";

/// The default paths of the file, in the order of the search.
const DEFAULT_PATHS: [&str; 2] = ["~/.oci/oci_cli_rc", "~/.oci/cli-defaults"];

/// A file that was read and parsed.
pub(super) struct RcFile {
    path: PathBuf,
    pub sections: Profiles,
}

impl RcFile {
    /// Reads the file that an option or a variable names, or else the first default path that
    /// exists. Fails if the named file does not exist, or if a file cannot be read or parsed.
    pub(super) fn find(
        option: Option<&str>,
        environment: &Environment,
    ) -> Result<Option<RcFile>, Error> {
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
    pub(super) fn origin(&self, key: &str) -> String {
        format!("{key} in {}", self.path.display())
    }

    /// A value of the section of settings; `None` if it is empty.
    pub(super) fn setting(&self, key: &str) -> Option<String> {
        let value = self.sections.own(SETTINGS).get(key)?.to_string();
        Some(value).filter(|value| !value.is_empty())
    }
}

fn is_absent(error: &std::io::Error) -> bool {
    matches!(error.kind(), ErrorKind::NotFound | ErrorKind::NotADirectory)
}
