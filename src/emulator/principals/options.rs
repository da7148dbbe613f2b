//! What the services and files of principals are started with.
//!
//! Pure: values and their defaults, which are also those of the file that `serve --faults` reads.
//! Invariant: an unknown name is an error and never ignored.

use super::FileReplacement;
use super::resource_files::ResourceFileForm;
use serde::Deserialize;
use std::time::Duration;

/// The pod, the outside identity and the resource that the server plays.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct PrincipalOptions {
    /// The life, in seconds, of a service account's token and of an outside JWT.
    pub jwt_life: u64,
    /// Whether a newline follows the service account's token, the outside JWT and the resource
    /// principal's token in their files.
    pub final_newline: bool,
    /// Whether the key of the resource principal of version 2.2 is encrypted.
    pub encrypted_key: bool,
    /// Whether the OKE token service sends double quotes around its answer.
    pub oke_quotes: bool,
    /// Whether files are replaced when half of the life of what they hold is over.
    pub replace_files: bool,
    /// For how many milliseconds the new token of the resource principal is beside the old key at
    /// each of these replacements.
    pub torn_ms: u64,
}

impl PrincipalOptions {
    /// How the files of the resource principal are written.
    pub fn form(&self) -> ResourceFileForm {
        let (trailing_newline, encrypted_key) = (self.final_newline, self.encrypted_key);
        ResourceFileForm { trailing_newline, encrypted_key }
    }

    /// How files are replaced.
    pub fn replacement(&self) -> FileReplacement {
        let torn = Duration::from_millis(self.torn_ms);
        FileReplacement { automatic: self.replace_files, torn }
    }
}

impl Default for PrincipalOptions {
    fn default() -> PrincipalOptions {
        PrincipalOptions {
            jwt_life: 3600,
            final_newline: false,
            encrypted_key: false,
            oke_quotes: true,
            replace_files: true,
            torn_ms: 0,
        }
    }
}
