//! bzip2: streams of blocks that begin and end at any bit.
//!
//! Where a stream ends only decoding tells for certain. Owns how a stream is read, and the mark at
//! its end, which can be looked for without decoding.
//! Invariant: a stream is whole only if its checksum is that of its blocks, and theirs of what they
//! decode to.

use bzip2::bufread::BzDecoder;

use super::decode_thread::{ThreadedDecoder, drain};
use super::last_bytes::LastBytes;
use super::{FormatError, Validator};

const MAGIC: [u8; 3] = *b"BZh";
/// The digits of pi: the mark of a block.
const BLOCK_MARK: [u8; 6] = [0x31, 0x41, 0x59, 0x26, 0x53, 0x59];
/// The digits of the square root of pi: the mark before the checksum at the end.
const END_MARK: u64 = 0x1772_4538_5090;

/// Whether a stream begins with a block; an empty one has none.
pub(super) fn begins(head: &[u8]) -> bool {
    head.starts_with(&MAGIC)
        && head.get(3).is_some_and(|level| matches!(level, b'1'..=b'9'))
        && head.get(4..10) == Some(&BLOCK_MARK)
}

pub(super) fn judge() -> std::io::Result<ThreadedDecoder> {
    ThreadedDecoder::new(|stream, buffer| drain(BzDecoder::new(stream), buffer))
}

/// Looks for the mark of the end and decodes nothing.
pub(super) struct EndMark(LastBytes);

impl EndMark {
    pub fn new() -> EndMark {
        // The mark and the checksum are ten bytes; up to seven bits fill the last one.
        EndMark(LastBytes::new(11))
    }
}

impl Validator for EndMark {
    fn bytes(&mut self, bytes: &[u8]) -> Result<(), FormatError> {
        self.0.bytes(bytes);
        Ok(())
    }

    fn end(self: Box<Self>) -> Result<(), FormatError> {
        let last = self.0.last().iter().fold(0u128, |value, byte| value << 8 | u128::from(*byte));
        let marked = (0..8).any(|pad| {
            (last >> (pad + 32)) as u64 & ((1 << 48) - 1) == END_MARK
                && last & ((1 << pad) - 1) == 0
        });
        match marked {
            true => Ok(()),
            false => Err(FormatError::truncated("the mark of its end is missing")),
        }
    }
}
