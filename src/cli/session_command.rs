//! The `session` commands as plain values.
//!
//! Owns the types that `cli` hands to `commands`. Must not know how an option is written. Invariant: a
//! login has a region.

use std::path::PathBuf;
use std::time::Duration;

use crate::auth::options::{ServiceOptions, Setting};

/// `session show` and `session refresh`.
#[derive(Debug, Clone)]
pub struct SessionCommand {
    pub action: SessionAction,
    /// Warnings and errors only; a refresh prints nothing.
    pub quiet: bool,
    pub service: ServiceOptions,
}

/// What `session` does with the token.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SessionAction {
    /// Prints a report, as JSON or as text.
    Show {
        /// As JSON.
        json: bool,
    },
    /// `session refresh`
    Refresh,
}

/// `session authenticate`: a login in a browser.
#[derive(Debug, Clone)]
pub struct AuthenticateCommand {
    /// The profile that the login writes.
    pub profile: String,
    /// The file that the profile is written to; `None` for the default.
    pub config_file: Option<PathBuf>,
    pub region: Setting,
    /// The URL of the login page's service; `None` for that of the region.
    pub endpoint: Option<Setting>,
    /// What requests the host with IPv4 and IPv6 addresses.
    pub dual_stack: Option<String>,
    pub tenancy_name: Option<String>,
    pub identity_provider_name: Option<String>,
    /// Whether a browser is opened.
    pub open_browser: bool,
    /// How long the login may take.
    pub timeout: Duration,
    /// Whether a profile that holds a user is replaced.
    pub force: bool,
    /// Warnings to print at the start.
    pub warnings: Vec<String>,
}

/// `session export`: a session becomes an archive.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ExportSessionCommand {
    pub profile: String,
    pub config_file: Option<PathBuf>,
    pub output_file: PathBuf,
    /// Warnings to print at the start.
    pub warnings: Vec<String>,
}

/// `session import`: an archive becomes a session.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ImportSessionCommand {
    pub archive: PathBuf,
    /// `None` for the profile that the archive names.
    pub profile: Option<String>,
    pub config_file: Option<PathBuf>,
    /// Whether a profile and files that exist are replaced.
    pub force: bool,
}
