//! How much of a request body a connection has accepted, and the CRC of exactly these bytes.
//!
//! Owns the moment at which the CRC is taken: right before the connection seals or writes a piece. That
//! pass waits for memory, which it reads faster than a copy does, and the connection finds the piece in
//! the cache of the core. Must not know where the bytes come from. Invariant: each byte is counted once,
//! in the order of the body, and is part of the CRC once its frame was accepted as a whole.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use bytes::{Buf, Bytes};

use proto::digest::{BufferCrc, CrcHasher};

/// Bytes of which the CRC is taken before the connection gets them: as many as it seals at once.
const AHEAD: usize = 64 << 10;

/// How much of a body a connection has accepted so far.
#[derive(Debug)]
pub struct BodyProgress {
    total: u64,
    kind: BufferCrc,
    accepted: Mutex<AcceptedFrames>,
}

#[derive(Debug, Default)]
struct AcceptedFrames {
    bytes: u64,
    /// The length of the frames that were accepted as a whole, and the CRC of their bytes.
    frames: u64,
    crc: u32,
}

impl BodyProgress {
    /// The progress of a body of `total` bytes, of which this CRC is taken.
    pub(super) fn new(total: u64, kind: BufferCrc) -> BodyProgress {
        BodyProgress { total, kind, accepted: Mutex::default() }
    }

    /// Whether the connection has accepted all bytes of the body.
    pub fn complete(&self) -> bool {
        self.lock().bytes == self.total
    }

    /// The CRC of the frames that the connection has accepted as a whole, in their order.
    pub fn crc(&self) -> u32 {
        self.lock().crc
    }

    fn accept(&self, bytes: usize) {
        self.lock().bytes += bytes as u64;
    }

    fn end_frame(&self, crc: u32, length: u64) {
        let mut accepted = self.lock();
        accepted.crc = self.kind.combine([(accepted.crc, accepted.frames), (crc, length)]);
        accepted.frames += length;
    }

    fn lock(&self) -> MutexGuard<'_, AcceptedFrames> {
        self.accepted.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Consecutive bytes of a body, from which a connection takes what it has accepted.
pub struct BodyFrame {
    bytes: Bytes,
    length: u64,
    /// Of the bytes that were accepted, and the first `ahead` that were not.
    crc: CrcHasher,
    ahead: usize,
    progress: Arc<BodyProgress>,
}

impl BodyFrame {
    pub(super) fn new(bytes: Bytes, progress: Arc<BodyProgress>) -> BodyFrame {
        let (length, crc) = (bytes.len() as u64, CrcHasher::new(progress.kind));
        let mut frame = BodyFrame { bytes, length, crc, ahead: 0, progress };
        frame.look_ahead(AHEAD);
        frame
    }

    /// Takes the CRC of the first `count` bytes, as far as it was not taken and there are that many.
    fn look_ahead(&mut self, count: usize) {
        let end = count.min(self.bytes.len());
        if end > self.ahead {
            self.crc.update(&self.bytes[self.ahead..end]);
            self.ahead = end;
        }
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
        // A connection without TLS takes more at once.
        self.look_ahead(count);
        self.bytes.advance(count);
        self.ahead -= count;
        self.progress.accept(count);
        match self.bytes.is_empty() {
            true => self.progress.end_frame(self.crc.value(), self.length),
            false => self.look_ahead(AHEAD),
        }
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
                let first = BodyFrame::new(bytes.slice(..cut), progress.clone());
                let second = BodyFrame::new(bytes.slice(cut..), progress.clone());
                for mut frame in [first, second] {
                    while frame.has_remaining() {
                        assert!(!progress.complete());
                        frame.advance(piece.min(frame.remaining()));
                    }
                }
                assert!(progress.complete());
                assert_eq!(progress.crc(), crc, "{kind:?}, pieces of {piece}");
            }
        }
    }

    #[test]
    fn a_frame_that_was_not_accepted_as_a_whole_is_not_in_the_crc() {
        let progress = Arc::new(BodyProgress::new(5, BufferCrc::Crc32));
        let mut frame = BodyFrame::new(Bytes::from_static(b"abcde"), progress.clone());
        frame.advance(4);
        assert_eq!((frame.chunk(), progress.crc()), (&b"e"[..], 0));
        assert!(!progress.complete());
    }
}
