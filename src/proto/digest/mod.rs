//! Checksums of parts and of the object that the parts make up.
//!
//! Owns the algorithms, the hashing of one part, and the ways in which the values of parts combine to
//! the value of the object. Must not know headers of the API, or where bytes come from.
//! Invariant: the CRC of each part (`buffer_crc`) is computed with every algorithm, also with `none`,
//! because it guards the program's own buffers, and not the network.

mod buffer_crc;

use std::fmt;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use crc_fast::CrcAlgorithm::Crc32Iscsi;
use md5::Md5;
use sha2::{Digest, Sha256, Sha384};

#[doc(hidden)]
pub use buffer_crc::{BufferCrc, CrcHasher};

/// The checksum that the service verifies each part by (`--checksum`).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Algorithm {
    /// SHA-256.
    Sha256,
    /// SHA-384.
    Sha384,
    /// CRC-32C (Castagnoli).
    Crc32c,
    /// MD5.
    Md5,
    /// The service verifies nothing. Sizes and the CRC of the buffers are still checked.
    None,
}

impl Algorithm {
    /// The name as the service spells it; `none` for [`Algorithm::None`].
    pub fn name(self) -> &'static str {
        match self {
            Algorithm::Sha256 => "SHA256",
            Algorithm::Sha384 => "SHA384",
            Algorithm::Crc32c => "CRC32C",
            Algorithm::Md5 => "MD5",
            Algorithm::None => "none",
        }
    }

    /// Length of a checksum in bytes.
    pub fn size(self) -> usize {
        match self {
            Algorithm::Sha256 => 32,
            Algorithm::Sha384 => 48,
            Algorithm::Crc32c => 4,
            Algorithm::Md5 => 16,
            Algorithm::None => 0,
        }
    }
}

/// One checksum: its algorithm, and its bytes in the order of the API (big endian for a CRC).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Value {
    algorithm: Algorithm,
    bytes: Vec<u8>,
}

impl Value {
    fn new(algorithm: Algorithm, bytes: impl Into<Vec<u8>>) -> Value {
        Value { algorithm, bytes: bytes.into() }
    }

    /// Parses a value that the service reports; `None` if it is not base64 or has another length.
    pub fn from_base64(algorithm: Algorithm, text: &str) -> Option<Value> {
        let bytes = STANDARD.decode(text.trim()).ok()?;
        (bytes.len() == algorithm.size()).then_some(Value { algorithm, bytes })
    }

    /// The algorithm of the checksum.
    pub fn algorithm(&self) -> Algorithm {
        self.algorithm
    }

    /// The bytes of the checksum, in the order of the API.
    pub fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// The value in base64, as in the headers of the API.
    pub fn base64(&self) -> String {
        STANDARD.encode(&self.bytes)
    }

    /// The value in lower-case hexadecimal, as `sha256sum` prints it.
    pub fn hex(&self) -> String {
        self.bytes.iter().map(|byte| format!("{byte:02x}")).collect()
    }

    /// The CRC-32C as a number; `None` for the other algorithms.
    pub fn crc(&self) -> Option<u32> {
        match (self.algorithm, self.bytes.as_slice()) {
            (Algorithm::Crc32c, &[a, b, c, d]) => Some(u32::from_be_bytes([a, b, c, d])),
            _ => None,
        }
    }
}

impl fmt::Display for Value {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.algorithm.name(), self.base64())
    }
}

/// The digest of one part.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PartDigest {
    /// Bytes.
    pub size: u64,
    /// The CRC of the buffers, of the kind [`Algorithm::buffer_crc`], taken when the bytes are read and
    /// compared with that of the bytes that were sent.
    pub crc32: u32,
    /// The checksum that the service verifies; `None` for [`Algorithm::None`].
    pub value: Option<Value>,
}

/// Computes the digest of one part as its bytes arrive.
pub struct Hasher {
    size: u64,
    crc: CrcHasher,
    /// `None` where the CRC of the buffers is the checksum too.
    state: Option<HasherState>,
}

/// The state of one checksum.
enum HasherState {
    Sha256(Sha256),
    Sha384(Sha384),
    Crc32c(crc_fast::Digest),
    Md5(Md5),
    None,
}

impl HasherState {
    fn new(algorithm: Algorithm) -> HasherState {
        match algorithm {
            Algorithm::Sha256 => HasherState::Sha256(Sha256::new()),
            Algorithm::Sha384 => HasherState::Sha384(Sha384::new()),
            Algorithm::Crc32c => HasherState::Crc32c(crc_fast::Digest::new(Crc32Iscsi)),
            Algorithm::Md5 => HasherState::Md5(Md5::new()),
            Algorithm::None => HasherState::None,
        }
    }

    fn update(&mut self, bytes: &[u8]) {
        match self {
            HasherState::Sha256(hash) => hash.update(bytes),
            HasherState::Sha384(hash) => hash.update(bytes),
            HasherState::Crc32c(crc) => crc.update(bytes),
            HasherState::Md5(hash) => hash.update(bytes),
            HasherState::None => {}
        }
    }

    fn finish(self) -> Option<Value> {
        match self {
            HasherState::Sha256(hash) => {
                Some(Value::new(Algorithm::Sha256, hash.finalize().as_slice()))
            }
            HasherState::Sha384(hash) => {
                Some(Value::new(Algorithm::Sha384, hash.finalize().as_slice()))
            }
            HasherState::Crc32c(crc) => {
                let crc = crc.finalize() as u32;
                Some(Value::new(Algorithm::Crc32c, crc.to_be_bytes()))
            }
            HasherState::Md5(hash) => Some(Value::new(Algorithm::Md5, hash.finalize().as_slice())),
            HasherState::None => None,
        }
    }
}

/// Computes one checksum as the bytes arrive, without the CRC of the buffers of a [`Hasher`].
pub struct ValueHasher(HasherState);

impl ValueHasher {
    /// A hasher that has seen no bytes.
    pub fn new(algorithm: Algorithm) -> ValueHasher {
        ValueHasher(HasherState::new(algorithm))
    }

    /// Adds the next bytes.
    pub fn update(&mut self, bytes: &[u8]) {
        self.0.update(bytes);
    }

    /// The checksum of all bytes; `None` for [`Algorithm::None`].
    pub fn finish(self) -> Option<Value> {
        self.0.finish()
    }
}

impl Hasher {
    /// A hasher that has seen no bytes.
    pub fn new(algorithm: Algorithm) -> Hasher {
        let state = (algorithm != Algorithm::Crc32c).then(|| HasherState::new(algorithm));
        Hasher { size: 0, crc: CrcHasher::new(algorithm.buffer_crc()), state }
    }

    /// Adds the next bytes of the part.
    pub fn update(&mut self, bytes: &[u8]) {
        self.size += bytes.len() as u64;
        self.crc.update(bytes);
        if let Some(state) = &mut self.state {
            state.update(bytes);
        }
    }

    /// The digest of all bytes.
    pub fn finish(self) -> PartDigest {
        let crc32 = self.crc.value();
        let value = match self.state {
            Some(state) => state.finish(),
            None => Some(Value::new(Algorithm::Crc32c, crc32.to_be_bytes())),
        };
        PartDigest { size: self.size, crc32, value }
    }
}

/// The digest of a part in memory, for example of a buffer before it is sent again.
pub fn part(algorithm: Algorithm, chunks: &[Bytes]) -> PartDigest {
    let mut hasher = Hasher::new(algorithm);
    for chunk in chunks {
        hasher.update(chunk);
    }
    hasher.finish()
}

/// Whether two values of the service are the same digest. It sends a digest of digests with or without
/// `-` and the number of parts behind it.
pub(crate) fn is_same(a: &str, b: &str) -> bool {
    let (a, b) = (a.trim(), b.trim());
    a == b || (a.contains('-') != b.contains('-') && a.split('-').next() == b.split('-').next())
}

/// The MD5 of a part, for comparison if the service reports no checksum of the requested algorithm.
pub fn md5_of(chunks: &[Bytes]) -> Value {
    let mut hash = Md5::new();
    for chunk in chunks {
        hash.update(chunk);
    }
    Value::new(Algorithm::Md5, hash.finalize().as_slice())
}

/// The CRC-32C of the object made of parts in this order, each given as CRC-32C and length in bytes. The
/// service reports this value for a multipart upload, and not a digest of the parts' values.
pub(crate) fn crc32c_whole(parts: impl IntoIterator<Item = (u32, u64)>) -> Value {
    Value::new(Algorithm::Crc32c, BufferCrc::Crc32c.combine(parts).to_be_bytes())
}

/// The value that the service reports for a committed multipart upload: the digest of the parts'
/// digests in ascending order, in base64, then `-` and the number of parts. Valid for SHA-256, SHA-384
/// and MD5; the service combines CRC-32Cs to that of the whole object.
pub fn multipart(algorithm: Algorithm, parts: &[Value]) -> String {
    let mut hash = HasherState::new(algorithm);
    for part in parts {
        hash.update(part.bytes());
    }
    let value = hash.finish().map(|value| value.base64()).unwrap_or_default();
    format!("{value}-{}", parts.len())
}

#[cfg(test)]
mod tests;
