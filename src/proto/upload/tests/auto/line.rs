//! The line of a modelled upload, and the digests of its bytes.
//!
//! Owns the parameters of a line and its service. Must not know the upload. Invariant: the stream is zeros.

use crate::digest::{self, PartDigest};

pub const MIB: u64 = 1 << 20;

/// A line, its service and the producer of the stream.
#[derive(Debug, Clone, Copy)]
pub struct Line {
    /// Bytes per second of one connection, of all together, and of the producer.
    pub connection: f64,
    pub shared: f64,
    pub producer: f64,
    /// The requests that the service accepts at once.
    pub most_requests: usize,
}

pub const FREE: Line = Line {
    connection: f64::INFINITY,
    shared: f64::INFINITY,
    producer: 4e9,
    most_requests: usize::MAX,
};

/// The CRC-32 of zeros.
pub fn zeros(bytes: u64) -> u32 {
    let mib = crc32fast::hash(&vec![0; MIB as usize]);
    let rest = crc32fast::hash(&vec![0; (bytes % MIB) as usize]);
    let whole = (0..bytes / MIB).map(|_| (mib, MIB));
    digest::BufferCrc::Crc32.combine(whole.chain([(rest, bytes % MIB)]))
}

pub fn digest_of(size: u64) -> PartDigest {
    PartDigest { size, crc32: zeros(size), value: None }
}
