//! The command `serve` as a plain value.
//!
//! Owns the types that `cli` hands to `commands`. Must not know how an option is written or what the emulator does
//! with a value. Invariant: every value has passed all checks that need no file.

use std::path::PathBuf;
use std::time::Duration;

/// `serve`: a local Object Storage.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ServeCommand {
    /// The folder of the objects, the config and the keys.
    pub dir: PathBuf,
    /// 0 for any free port.
    pub port: u16,
    /// The lifetime of all tokens it issues, at least 1 s; `None` for the emulator's defaults.
    pub token_ttl: Option<Duration>,
    /// The port of the OKE token service; 0 for any free port.
    pub oke_port: u16,
    /// The bucket, object or prefix of a pre-authenticated request whose URL is written to `par.url`.
    pub par: Option<ServePar>,
    /// A file with faults; not read yet.
    pub faults: Option<PathBuf>,
}

/// What a pre-authenticated request of `serve` is for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ServePar {
    pub bucket: String,
    /// An object, or a prefix if it ends in `/`; `None` for the whole bucket.
    pub name: Option<String>,
}
