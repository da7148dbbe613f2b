//! The result of a comparison, and how it reads.
//!
//! Owns the texts that name what was compared and how strong that is. Must not know how it was computed.
//! Invariant: a proof by a digest that finds damage but no intent is named so.

use std::fmt;

use super::known_layouts::Client;
use crate::digest::Algorithm;
use crate::evidence::Evidence;

/// Whether the stream is the content of the object.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ComparisonResult {
    /// The stream is the content of the object.
    Equal(Proof),
    /// The stream is not the content of the object.
    Different(Difference),
    /// Neither is known.
    NotCompared(Reason),
}

/// What proves that the stream is the content of the object. Displayed, it continues `verified by`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Proof {
    /// The digest that was compared.
    pub evidence: Evidence,
    /// The number of parts that the digest is over; 0 for a digest of the whole.
    pub parts: u32,
    /// Where the layout of the parts came from.
    pub origin: LayoutOrigin,
}

/// Where the layout of a digest over parts comes from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LayoutOrigin {
    /// The digest is one of the whole object.
    Whole,
    /// A receipt of the upload.
    Receipt,
    /// `--uploaded-part-size`.
    PartSize,
    /// The parts in which this run has read the stream.
    Run,
    /// The default of this client.
    Default(Client),
    /// No digest of the service was compared: the object was read, and the SHA-256 is that of what was
    /// read of both.
    Read,
}

impl fmt::Display for Proof {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.origin == LayoutOrigin::Read {
            return f.write_str("SHA-256 of every byte, read back from the service");
        }
        write!(f, "{}", self.evidence)?;
        if self.parts > 0 {
            let plural = if self.parts == 1 { "part" } else { "parts" };
            write!(f, " over {} {plural}", self.parts)?;
        }
        match self.origin {
            LayoutOrigin::Whole | LayoutOrigin::Read => {}
            LayoutOrigin::Receipt => f.write_str(" of the receipt's sizes")?,
            LayoutOrigin::Run => f.write_str(" as this run cuts the stream")?,
            LayoutOrigin::PartSize => f.write_str(" of --uploaded-part-size")?,
            LayoutOrigin::Default(client) => write!(f, " as {} makes them", client.name())?,
        }
        match self.strength() {
            Strength::Strong => Ok(()),
            Strength::Md5Alone => f.write_str(" (MD5 alone, which finds damage but no forgery)"),
            Strength::CrcAlone => {
                f.write_str(" (CRC-32C alone, which finds damage but no forgery)")
            }
            Strength::SizeAlone => f.write_str(" (the size alone)"),
        }
    }
}

/// What a proof rules out.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Strength {
    /// SHA-256 or SHA-384: damage and intent.
    Strong,
    /// Damage. An attacker can make two streams with the same MD5.
    Md5Alone,
    /// Damage, of which one in 4 billion cases is not found.
    CrcAlone,
    /// Nothing but another size.
    SizeAlone,
}

impl Proof {
    /// What the proof rules out.
    pub(crate) fn strength(&self) -> Strength {
        match self.evidence {
            Evidence::Content(algorithm)
            | Evidence::Multipart(algorithm)
            | Evidence::Parts(algorithm) => match algorithm {
                Algorithm::Sha256 | Algorithm::Sha384 => Strength::Strong,
                Algorithm::Md5 => Strength::Md5Alone,
                Algorithm::Crc32c => Strength::CrcAlone,
                Algorithm::None => Strength::SizeAlone,
            },
            Evidence::PartEtags
            | Evidence::AcknowledgedSize
            | Evidence::ContentLength
            | Evidence::Composition
            | Evidence::Nothing => Strength::SizeAlone,
        }
    }
}

/// What differs. Displayed, it is a sentence without a period about the object and what was read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Difference {
    /// In bytes.
    Size {
        /// Bytes of the stream.
        stream: u64,
        /// Bytes of the object.
        object: u64,
    },
    /// In base64, as the service encodes it.
    Digest {
        /// The digest that was compared.
        evidence: Evidence,
        /// Its value over the stream.
        stream: String,
        /// Its value at the object.
        object: String,
    },
    /// The first bytes that differ are among these, counted from 0.
    Bytes {
        /// The offset of the first byte of the chunk.
        first: u64,
        /// The offset of its last byte.
        last: u64,
    },
}

impl fmt::Display for Difference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.to("what was read"))
    }
}

impl Difference {
    /// The text for an object that is compared with `other`, such as `the receipt`.
    pub fn to(&self, other: &str) -> String {
        match self {
            Difference::Size { stream, object } => {
                format!("the object has {object} bytes, {other} {stream}")
            }
            Difference::Digest { evidence, stream, object } => {
                format!("{evidence} of the object is {object}, of {other} {stream}")
            }
            Difference::Bytes { first, last } => {
                format!("the first difference to {other} is within bytes {first} to {last}")
            }
        }
    }
}

/// Why nothing was compared. Displayed, it continues `not compared:`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Reason {
    /// The service reports no digest of the object that is known here.
    NoDigest,
    /// The service has a digest over parts of unknown sizes.
    NoLayout {
        /// The algorithm of the object's digest.
        algorithm: Algorithm,
        /// The number of the object's parts, where it is known.
        parts: Option<u32>,
    },
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Reason::NoDigest => f.write_str("the service has no digest of the object"),
            Reason::NoLayout { algorithm, parts } => {
                write!(f, "the service has only {}", Evidence::Multipart(*algorithm))?;
                if let Some(parts) = parts {
                    write!(f, " over {parts} parts")?;
                }
                f.write_str(
                    ", and no part sizes that clients choose by default give it: the object was cut in \
                     another way, or it is damaged; --receipt or --uploaded-part-size decides (an object \
                     stored with --checksum crc32c is compared without)",
                )
            }
        }
    }
}
