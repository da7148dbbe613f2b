//! zstd: frames of blocks, each with its length before it (RFC 8878).
//!
//! Owns the parsing of data frames and skippable frames. Must not know the contents: checksums are those
//! of decoded data and are not checked. Invariant: a stream is whole only if it consists of one or more
//! whole frames.

use super::FormatError;
use super::chunk_parser::{ChunkParser, Needed};

pub(super) const MAGIC: u32 = 0xfd2f_b528;
/// Any value of the last four bits is valid.
const SKIPPABLE: u32 = 0x184d_2a50;

#[derive(Default)]
#[cfg_attr(test, derive(Clone))]
pub(super) struct Zstd {
    state: ZstdState,
    frames: u64,
}

#[derive(Default, Clone, Copy)]
enum ZstdState {
    #[default]
    Magic,
    SkippableSize,
    Descriptor,
    /// The header of a block. `checksum`: whether the frame ends with a checksum.
    Block {
        checksum: bool,
    },
}

impl ChunkParser for Zstd {
    fn initial(&self) -> Needed {
        Needed::take(4)
    }

    fn step(&mut self, bytes: &[u8], at: u64) -> Result<Needed, FormatError> {
        let number = bytes.iter().rev().fold(0u32, |value, byte| value << 8 | u32::from(*byte));
        match self.state {
            ZstdState::Magic if number == MAGIC => {
                self.state = ZstdState::Descriptor;
                Ok(Needed::take(1))
            }
            ZstdState::Magic if number & !0xf == SKIPPABLE => {
                self.state = ZstdState::SkippableSize;
                Ok(Needed::take(4))
            }
            ZstdState::Magic => {
                Err(FormatError::truncated(format!("there is no frame at byte {at}")))
            }
            ZstdState::SkippableSize => Ok(self.next_frame(u64::from(number))),
            ZstdState::Descriptor => {
                self.state = ZstdState::Block { checksum: number & 4 != 0 };
                Ok(Needed { skip: header_size(number), bytes: 3 })
            }
            ZstdState::Block { checksum } => {
                let (last, kind, size) = (number & 1 != 0, number >> 1 & 3, u64::from(number >> 3));
                let size = match kind {
                    // A run-length block: one byte that is repeated.
                    1 => 1,
                    0 | 2 => size,
                    _ => {
                        return Err(FormatError::truncated(format!(
                            "the block at byte {at} is of no kind"
                        )));
                    }
                };
                if last {
                    Ok(self.next_frame(size + if checksum { 4 } else { 0 }))
                } else {
                    Ok(Needed { skip: size, bytes: 3 })
                }
            }
        }
    }

    fn end(&self) -> Result<(), FormatError> {
        match self.state {
            ZstdState::Magic if self.frames > 0 => Ok(()),
            _ => Err(FormatError::truncated("its last frame is not finished")),
        }
    }
}

impl Zstd {
    /// What is needed after a frame whose last `skip` bytes are still to come.
    fn next_frame(&mut self, skip: u64) -> Needed {
        self.state = ZstdState::Magic;
        self.frames += 1;
        Needed { skip, bytes: 4 }
    }
}

/// The length of a frame header after its descriptor, in bytes: window, dictionary id, content size.
fn header_size(descriptor: u32) -> u64 {
    let single_segment = descriptor & 0x20 != 0;
    let window = u64::from(!single_segment);
    let dictionary = [0, 1, 2, 4][descriptor as usize & 3];
    let content = match (descriptor >> 6, single_segment) {
        (0, true) => 1,
        (0, false) => 0,
        (1, _) => 2,
        (2, _) => 4,
        _ => 8,
    };
    window + dictionary + content
}
