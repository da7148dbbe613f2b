//! How much of a request body a connection has accepted, and the CRC of exactly these bytes.
//!
//! Owns the moment at which the CRC is taken: right after the connection has sealed or written a
//! piece, while the piece is in the cache of the core. Before, it would be the pass that waits for memory,
//! and a change between it and the sealing would remain unseen. Must not know where the bytes come from.
//! Invariant: each byte is counted once, in the order in which the connection accepted it.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use bytes::{Buf, Bytes};

use proto::digest::{BufferCrc, CrcHasher};

/// How much of a body a connection has accepted so far.
#[derive(Debug)]
pub struct BodyProgress {
    total: u64,
    accepted: Mutex<Accepted>,
}

#[derive(Debug)]
struct Accepted {
    bytes: u64,
    crc: CrcHasher,
}

impl BodyProgress {
    /// The progress of a body of `total` bytes, of which this CRC is taken.
    pub(super) fn new(total: u64, crc: BufferCrc) -> BodyProgress {
        let accepted = Accepted { bytes: 0, crc: CrcHasher::new(crc) };
        BodyProgress { total, accepted: Mutex::new(accepted) }
    }

    /// Whether the connection has accepted all bytes of the body.
    pub fn complete(&self) -> bool {
        self.lock().bytes == self.total
    }

    /// The CRC of the bytes that the connection has accepted.
    pub fn crc(&self) -> u32 {
        self.lock().crc.value()
    }

    fn accept(&self, bytes: &[u8]) {
        let mut accepted = self.lock();
        accepted.bytes += bytes.len() as u64;
        accepted.crc.update(bytes);
    }

    fn lock(&self) -> MutexGuard<'_, Accepted> {
        self.accepted.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Consecutive bytes of a body, from which a connection takes what it has accepted.
pub struct BodyFrame {
    bytes: Bytes,
    progress: Arc<BodyProgress>,
}

impl BodyFrame {
    pub(super) fn new(bytes: Bytes, progress: Arc<BodyProgress>) -> BodyFrame {
        BodyFrame { bytes, progress }
    }
}

impl Buf for BodyFrame {
    fn remaining(&self) -> usize {
        self.bytes.len()
    }

    fn chunk(&self) -> &[u8] {
        &self.bytes
    }

    /// Removes bytes that the connection has accepted.
    fn advance(&mut self, count: usize) {
        self.progress.accept(&self.bytes[..count]);
        self.bytes.advance(count);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_the_connection_has_accepted_counts_by_the_crc_of_the_upload() {
        for (kind, crc) in [
            (BufferCrc::Crc32, crc32fast::hash(b"abc")),
            (BufferCrc::Crc32c, crc32c::crc32c(b"abc")),
        ] {
            let progress = Arc::new(BodyProgress::new(5, kind));
            let mut frame = BodyFrame::new(Bytes::from_static(b"abcde"), progress.clone());
            assert_eq!(progress.crc(), 0);
            frame.advance(1);
            frame.advance(2);
            assert_eq!((frame.chunk(), progress.crc()), (&b"de"[..], crc));
            assert!(!progress.complete());
            frame.advance(2);
            assert!(progress.complete() && !frame.has_remaining());
        }
    }
}
