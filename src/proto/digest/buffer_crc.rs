//! The CRC by which the bytes that were read are compared with the bytes that a connection took.
//!
//! Owns its two kinds and their combination. Must not know where the bytes are. Invariant: both sides of
//! a comparison are of the same kind, which the checksum of the upload determines: with `crc32c` it is the
//! CRC-32C that is computed for the service anyway, so that the bytes are not passed over once more.

use crc_fast::CrcAlgorithm::Crc32Iscsi;

use super::Algorithm;

/// Which CRC compares what was read with what was sent. Both have 32 bits: of 4 billion changes one is
/// missed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum BufferCrc {
    /// That of zlib.
    Crc32,
    /// That of Castagnoli.
    Crc32c,
}

impl Algorithm {
    /// The CRC of the buffers of an upload with this checksum.
    pub fn buffer_crc(self) -> BufferCrc {
        match self {
            Algorithm::Crc32c => BufferCrc::Crc32c,
            _ => BufferCrc::Crc32,
        }
    }
}

impl BufferCrc {
    /// The CRC of the stream made of parts in this order, each given as CRC and length in bytes.
    pub fn combine(self, parts: impl IntoIterator<Item = (u32, u64)>) -> u32 {
        match self {
            BufferCrc::Crc32 => {
                let mut stream = crc32fast::Hasher::new();
                for (crc, length) in parts {
                    stream.combine(&crc32fast::Hasher::new_with_initial_len(crc, length));
                }
                stream.finalize()
            }
            BufferCrc::Crc32c => {
                let append = |object, (crc, length)| {
                    crc_fast::checksum_combine(Crc32Iscsi, object, u64::from(crc), length)
                };
                parts.into_iter().fold(0, append) as u32
            }
        }
    }
}

/// Computes the CRC of bytes as they pass.
#[derive(Debug, Clone)]
pub struct CrcHasher(CrcState);

#[derive(Debug, Clone)]
enum CrcState {
    Crc32(crc32fast::Hasher),
    Crc32c(crc_fast::Digest),
}

impl CrcHasher {
    /// A hasher that has seen no bytes.
    pub fn new(kind: BufferCrc) -> CrcHasher {
        CrcHasher(match kind {
            BufferCrc::Crc32 => CrcState::Crc32(crc32fast::Hasher::new()),
            BufferCrc::Crc32c => CrcState::Crc32c(crc_fast::Digest::new(Crc32Iscsi)),
        })
    }

    /// Adds the next bytes.
    pub fn update(&mut self, bytes: &[u8]) {
        match &mut self.0 {
            CrcState::Crc32(crc) => crc.update(bytes),
            CrcState::Crc32c(crc) => crc.update(bytes),
        }
    }

    /// The CRC of the bytes so far.
    pub fn value(&self) -> u32 {
        match &self.0 {
            CrcState::Crc32(crc) => crc.clone().finalize(),
            CrcState::Crc32c(crc) => crc.finalize() as u32,
        }
    }
}
