//! bzip2: streams of blocks that begin and end at any bit.
//!
//! Owns how a stream is decoded, and the end mark, which can be found without decoding. Must not know the
//! queue or the thread. Invariant: with the decoder a stream is whole only if its CRC-32 is that of its
//! blocks, and theirs that of the decoded data; with the end mark alone only the end is checked.

use bzip2::bufread::BzDecoder;

use super::decode_thread::{ThreadedDecoder, drain};
use super::last_bytes::LastBytes;
use super::{FormatError, Validator};

const MAGIC: [u8; 3] = *b"BZh";
/// The mark of a block: digits of pi.
const BLOCK_MARK: [u8; 6] = [0x31, 0x41, 0x59, 0x26, 0x53, 0x59];
/// The mark before the CRC-32 at the end: digits of the square root of pi, 48 bits.
const END_MARK: u64 = 0x1772_4538_5090;

/// Whether a stream begins as bzip2 with at least one block.
pub(super) fn begins(head: &[u8]) -> bool {
    head.starts_with(&MAGIC)
        && head.get(3).is_some_and(|level| matches!(level, b'1'..=b'9'))
        && head.get(4..10) == Some(&BLOCK_MARK)
}

/// Starts a validator that decodes. Fails if the system cannot start its thread.
pub(super) fn decoder() -> std::io::Result<ThreadedDecoder> {
    ThreadedDecoder::new(|stream, buffer| drain(BzDecoder::new(stream), buffer))
}

/// A validator that searches for the end mark and does not decode.
pub(super) struct EndMark(LastBytes);

impl EndMark {
    pub(crate) fn new() -> EndMark {
        // Mark and CRC-32 have ten bytes, followed by up to seven bits of padding.
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
        if marked { Ok(()) } else { Err(FormatError::truncated("the mark of its end is missing")) }
    }
}
