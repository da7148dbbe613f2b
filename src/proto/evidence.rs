//! What proves that a committed object is the stream.
//!
//! Owns the kinds of evidence and their names in the receipt. Must not know how they are compared.
//! Invariant: a name is that of the response header, if there is one.

use std::fmt;

use serde::{Serialize, Serializer};

use crate::digest::Algorithm;

/// What proves that a committed object is the stream; the receipt's `verified-by`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Evidence {
    /// The digest of the whole body: header `opc-content-...`.
    Content(Algorithm),
    /// The digest of the digests of the parts: header `opc-multipart-...`.
    Multipart(Algorithm),
    /// The object must not be read: every part was acknowledged with its checksum, and the commit
    /// named exactly those parts.
    PartEtags,
    /// The object must not be read, and the response to the put has no digest.
    AcknowledgedSize,
    /// Only the size matches: header `content-length`.
    ContentLength,
    /// The size matches, and the digest of the MD5s that the service has computed of the parts, but no digest
    /// was computed while reading: the object has these parts, and its bytes were not compared.
    Composition,
    /// The object was stored through a pre-authenticated request and cannot be read: the digest in the
    /// response to each part, or to the put, matches.
    Parts(Algorithm),
    /// The same, and the responses have no digest.
    Nothing,
}

impl Evidence {
    /// Whether more than the size of an object matches.
    pub(crate) fn is_strong(self) -> bool {
        !matches!(self, Evidence::ContentLength | Evidence::Nothing)
    }
}

impl fmt::Display for Evidence {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Evidence::Content(algorithm) => {
                write!(f, "opc-content-{}", algorithm.name().to_lowercase())
            }
            Evidence::Multipart(algorithm) => {
                write!(f, "opc-multipart-{}", algorithm.name().to_lowercase())
            }
            Evidence::PartEtags => f.write_str("the etags of the acknowledged parts"),
            Evidence::AcknowledgedSize => f.write_str("the acknowledged size"),
            Evidence::ContentLength | Evidence::Composition => f.write_str("content-length"),
            Evidence::Parts(algorithm) => write!(f, "part-{}", algorithm.name().to_lowercase()),
            Evidence::Nothing => f.write_str("none"),
        }
    }
}

impl Serialize for Evidence {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}
