//! Where `put` stores an object, as plain values.
//!
//! Owns the types of a destination and of a pre-authenticated request. Must not know how an option is
//! written. Invariant: the debug output of a URL is redacted.

use std::fmt;
use std::path::PathBuf;
use std::time::SystemTime;

use zeroize::Zeroizing;

use proto::object_url::ObjectUrl;
use proto::par::GivenNames;

/// Where the object is stored.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum PutTarget {
    /// At this place, by an account.
    Object(ObjectUrl),
    /// Where a pre-authenticated request leads to.
    Par(ParSettings),
}

impl PutTarget {
    /// The object, where the command line names it in whole.
    pub fn url(&self) -> Option<&ObjectUrl> {
        match self {
            PutTarget::Object(url) => Some(url),
            PutTarget::Par(_) => None,
        }
    }

    /// The pre-authenticated request, where there is one.
    pub fn par(&self) -> Option<&ParSettings> {
        match self {
            PutTarget::Object(_) => None,
            PutTarget::Par(settings) => Some(settings),
        }
    }
}

/// A pre-authenticated request, whose URL is not parsed yet.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ParSettings {
    pub source: ParSource,
    /// `--par-expires`.
    pub expires: Option<SystemTime>,
    /// The names that the command line has; they have to be those of the request.
    pub given: GivenNames,
}

/// Where the URL of a pre-authenticated request comes from. The URL is a secret.
#[derive(Clone, PartialEq, Eq)]
pub enum ParSource {
    /// `--par-file`; not read yet.
    File(PathBuf),
    /// The value of the variable.
    Variable(Zeroizing<String>),
}

impl fmt::Debug for ParSource {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            ParSource::File(path) => f.debug_tuple("File").field(path).finish(),
            ParSource::Variable(_) => f.write_str("Variable(redacted)"),
        }
    }
}
