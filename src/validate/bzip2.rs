//! bzip2: streams of blocks that begin and end at any bit.
//!
//! Owns how a stream is decoded, and the end mark, which can be found without decoding. Must not know the
//! queue or the thread. Invariant: with the decoder a stream is whole only if its CRC-32 is that of its
//! blocks, and theirs that of the decoded data; with the end mark alone only the end is checked.

use std::io;

use bzip2::bufread::BzDecoder;

use super::decode_thread::{ChunkReader, ThreadedDecoder, drain};
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
pub(super) fn decoder() -> io::Result<ThreadedDecoder> {
    ThreadedDecoder::new(member)
}

/// Decodes one stream of blocks.
pub(super) fn member(stream: &mut ChunkReader, buffer: &mut [u8]) -> io::Result<()> {
    drain(BzDecoder::new(stream), buffer)
}

/// The bytes that mark and CRC-32 may lie in: ten, and up to seven bits that fill the last one.
const END_SIZE: usize = 11;
/// Bytes of zeros that a stream may end with: those of the CRC-32, and the one with its last bits.
const MAX_ZEROS: usize = 5;

/// A validator that searches for the end mark and does not decode. Zeros may follow the stream, which tapes
/// are padded with.
pub(super) struct EndMark {
    /// The last bytes up to the last one that is not zero.
    last: LastBytes,
    /// The number of zeros behind it, in bytes.
    zeros: u64,
}

impl EndMark {
    pub(crate) fn new() -> EndMark {
        EndMark { last: LastBytes::new(END_SIZE), zeros: 0 }
    }
}

impl Validator for EndMark {
    fn bytes(&mut self, bytes: &[u8]) -> Result<(), FormatError> {
        let Some(end) = bytes.iter().rposition(|byte| *byte != 0).map(|at| at + 1) else {
            self.zeros += bytes.len() as u64;
            return Ok(());
        };
        self.last.bytes(&[0; END_SIZE][..self.zeros.min(END_SIZE as u64) as usize]);
        self.last.bytes(&bytes[..end]);
        self.zeros = (bytes.len() - end) as u64;
        Ok(())
    }

    fn end(self: Box<Self>) -> Result<(), FormatError> {
        let number =
            |bytes: &[u8]| bytes.iter().fold(0, |value, byte| value << 8 | u128::from(*byte));
        let last = number(self.last.last());
        let marked = (0..=self.zeros.min(MAX_ZEROS as u64)).any(|zeros| ends(last << (8 * zeros)));
        if marked { Ok(()) } else { Err(FormatError::truncated("the mark of its end is missing")) }
    }
}

/// Whether the last bits are those of the mark, a CRC-32 and up to seven zeros.
fn ends(last: u128) -> bool {
    (0..8).any(|pad| {
        (last >> (pad + 32)) as u64 & ((1 << 48) - 1) == END_MARK && last & ((1 << pad) - 1) == 0
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const SAMPLE: &[u8] = include_bytes!("../../tests/data/expect/blocks.bz2");

    fn marked(bytes: &[u8], piece: usize) -> bool {
        let mut mark = Box::new(EndMark::new());
        bytes.chunks(piece).for_each(|piece| mark.bytes(piece).unwrap());
        mark.end().is_ok()
    }

    #[test]
    fn zeros_may_follow_the_end_mark_as_they_may_with_the_decoder() {
        for piece in [1, 3, 512] {
            for zeros in [0, 1, 4, 5, 6, 700] {
                let padded = [SAMPLE, &vec![0; zeros]].concat();
                assert!(marked(&padded, piece), "{zeros} zeros in pieces of {piece}");
            }
            for lost in 1..40 {
                let cut = &SAMPLE[..SAMPLE.len() - lost];
                assert!(!marked(cut, piece), "without {lost} bytes");
                assert!(!marked(&[SAMPLE, &[0, 1]].concat(), piece));
            }
        }
    }
}
