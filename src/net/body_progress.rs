//! How much of a request body a connection has accepted, and the CRC of exactly these bytes.
//!
//! Owns the moment at which the CRC is taken: right before the connection seals or writes a piece. That
//! pass waits for memory, which it reads faster than a copy does, and the connection finds the piece in
//! the cache of the core. Must not know where the bytes come from. Invariant: each byte is counted once,
//! and the CRC runs over the bytes in the order of the body, whatever frames they come in.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use bytes::{Buf, Bytes};

use proto::digest::{BufferCrc, CrcHasher};

/// Bytes of which the CRC is taken before the connection gets them: as many as it seals at once.
const AHEAD: usize = 64 << 10;

/// How much of a body a connection has accepted so far.
#[derive(Debug)]
pub struct BodyProgress {
    total: u64,
    accepted: Mutex<AcceptedBytes>,
}

#[derive(Debug)]
struct AcceptedBytes {
    count: u64,
    /// The bytes of the frames that the connection has been given.
    given: u64,
    /// No more frames are given.
    cancelled: bool,
    /// The CRC of the first `hashed` bytes: of those that were accepted, and some that will be next.
    crc: CrcHasher,
    hashed: u64,
}

impl BodyProgress {
    /// The progress of a body of `total` bytes, of which this CRC is taken.
    pub(super) fn new(total: u64, kind: BufferCrc) -> BodyProgress {
        let accepted = AcceptedBytes {
            count: 0,
            given: 0,
            cancelled: false,
            crc: CrcHasher::new(kind),
            hashed: 0,
        };
        BodyProgress { total, accepted: Mutex::new(accepted) }
    }

    /// Whether the connection has accepted all bytes of the body.
    pub fn complete(&self) -> bool {
        self.lock().count == self.total
    }

    /// The CRC of the body, once the connection has accepted all bytes of it, in their order.
    pub fn crc(&self) -> Option<u32> {
        let accepted = self.lock();
        let complete = accepted.count == self.total && accepted.hashed == self.total;
        complete.then(|| accepted.crc.value())
    }

    /// Withholds the bytes that the connection has not been given. Returns false, and changes nothing, where
    /// it has been given all: then the service may have the whole body.
    pub fn cancel(&self) -> bool {
        let mut accepted = self.lock();
        accepted.cancelled |= accepted.given < self.total;
        accepted.cancelled
    }

    /// The frame of the next bytes; `None` where they are withheld.
    pub(super) fn give(self: &Arc<BodyProgress>, bytes: Bytes) -> Option<BodyFrame> {
        let mut accepted = self.lock();
        if accepted.cancelled {
            return None;
        }
        let frame = BodyFrame { bytes, offset: accepted.given, progress: self.clone() };
        accepted.given += frame.bytes.len() as u64;
        frame.hash(&mut accepted, AHEAD);
        Some(frame)
    }

    fn lock(&self) -> MutexGuard<'_, AcceptedBytes> {
        self.accepted.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl AcceptedBytes {
    /// Takes the CRC of the bytes of a frame that begins at `offset`, as far as it was not taken. Nothing
    /// happens while an earlier frame has bytes of which it was not taken.
    fn hash(&mut self, offset: u64, frame: &[u8]) {
        let done = self.hashed.checked_sub(offset).and_then(|done| usize::try_from(done).ok());
        if let Some(rest) = done.and_then(|done| frame.get(done..)) {
            self.crc.update(rest);
            self.hashed += rest.len() as u64;
        }
    }
}

/// Consecutive bytes of a body, from which a connection takes what it has accepted.
pub struct BodyFrame {
    bytes: Bytes,
    /// Where in the body `bytes` begin.
    offset: u64,
    progress: Arc<BodyProgress>,
}

impl BodyFrame {
    /// Takes the CRC of the first `count` bytes, or of all where there are fewer.
    fn hash(&self, accepted: &mut AcceptedBytes, count: usize) {
        accepted.hash(self.offset, &self.bytes[..count.min(self.bytes.len())]);
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
        if count == 0 {
            return;
        }
        let progress = self.progress.clone();
        let mut accepted = progress.lock();
        // A connection without TLS takes more at once.
        self.hash(&mut accepted, count);
        self.bytes.advance(count);
        self.offset += count as u64;
        accepted.count += count as u64;
        self.hash(&mut accepted, AHEAD);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_crc_is_that_of_the_frames_that_were_accepted_in_pieces_of_any_size() {
        let bytes: Bytes = (0..300_000u32).map(|i| (i % 251) as u8).collect::<Vec<_>>().into();
        let whole = [
            (BufferCrc::Crc32, crc32fast::hash(&bytes)),
            (BufferCrc::Crc32c, crc32c::crc32c(&bytes)),
        ];
        for (kind, crc) in whole {
            for piece in [1000, AHEAD - 1, AHEAD, AHEAD + 1, 300_000] {
                let progress = Arc::new(BodyProgress::new(300_000, kind));
                // The second frame is made while the first one waits, as a connection that has room does.
                let cut = 170_000;
                let first = progress.give(bytes.slice(..cut)).unwrap();
                let second = progress.give(bytes.slice(cut..)).unwrap();
                for mut frame in [first, second] {
                    while frame.has_remaining() {
                        assert!(!progress.complete() && progress.crc().is_none());
                        frame.advance(piece.min(frame.remaining()));
                    }
                }
                assert!(progress.complete());
                assert_eq!(progress.crc(), Some(crc), "{kind:?}, pieces of {piece}");
            }
        }
    }

    #[test]
    fn a_body_that_was_not_accepted_as_a_whole_and_in_its_order_has_no_crc() {
        let progress = Arc::new(BodyProgress::new(5, BufferCrc::Crc32));
        let mut frame = progress.give(Bytes::from_static(b"abcde")).unwrap();
        frame.advance(4);
        assert_eq!((frame.chunk(), progress.crc()), (&b"e"[..], None));
        assert!(!progress.complete());
        let bytes = Bytes::from(vec![7; 3 * AHEAD]);
        let progress = Arc::new(BodyProgress::new(bytes.len() as u64, BufferCrc::Crc32));
        let first = progress.give(bytes.slice(..2 * AHEAD)).unwrap();
        let second = progress.give(bytes.slice(2 * AHEAD..)).unwrap();
        for mut frame in [second, first] {
            frame.advance(frame.remaining());
        }
        assert_eq!(progress.crc(), None);
    }

    #[test]
    fn a_body_is_cancelled_only_while_a_connection_lacks_bytes_of_it() {
        let bytes = Bytes::from_static(b"abcde");
        let progress = Arc::new(BodyProgress::new(5, BufferCrc::Crc32));
        let mut frame = progress.give(bytes.slice(..3)).unwrap();
        assert!(progress.cancel() && progress.cancel());
        assert!(progress.give(bytes.slice(3..)).is_none());
        frame.advance(3);
        assert_eq!((progress.complete(), progress.crc()), (false, None));
        let progress = Arc::new(BodyProgress::new(5, BufferCrc::Crc32));
        let mut frame = progress.give(bytes).unwrap();
        assert!(!progress.cancel());
        frame.advance(5);
        assert_eq!((progress.complete(), progress.crc()), (true, Some(crc32fast::hash(b"abcde"))));
    }
}
