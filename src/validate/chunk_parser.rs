//! Parsing from header to header, without buffering what is in between.
//!
//! Owns the division of a stream, which arrives in pieces of any size, into the bytes that a format needs
//! at once. Must not know a format. Invariants: what a format receives does not depend on the pieces;
//! at most the bytes that a format needs at once are buffered.

use super::{FormatError, Validator};

/// What a format needs next: `skip` bytes that it does not receive, then `bytes` bytes in one slice.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Needed {
    pub skip: u64,
    pub bytes: usize,
}

impl Needed {
    /// The next bytes, without a skip.
    pub(crate) fn take(bytes: usize) -> Needed {
        Needed { skip: 0, bytes }
    }
}

/// A format that is validated by its headers.
pub(super) trait ChunkParser: Send {
    /// What is needed at the start of the stream.
    fn initial(&self) -> Needed;
    /// Parses the bytes that were needed, which start at byte `at` of the stream, and returns what is
    /// needed next. `Needed::bytes` is never 0. Fails if the stream cannot be whole.
    fn step(&mut self, bytes: &[u8], at: u64) -> Result<Needed, FormatError>;
    /// Whether the stream may end after some of the needed bytes, which are these; never for most formats.
    fn may_end_within(&self, _rest: &[u8]) -> bool {
        false
    }
    /// Validates that the stream may end after the bytes of the last step and the skip that followed.
    fn end(&self) -> Result<(), FormatError>;
}

/// Drives the parser of a format.
#[cfg_attr(test, derive(Clone))]
pub(super) struct ChunkDriver<W> {
    parser: W,
    needed: Needed,
    /// The needed bytes that have arrived, if they did not arrive in one piece.
    buffer: Vec<u8>,
    /// The position of the next byte in the stream.
    at: u64,
}

impl<W: ChunkParser> ChunkDriver<W> {
    pub(crate) fn new(parser: W) -> ChunkDriver<W> {
        let needed = parser.initial();
        ChunkDriver { parser, needed, buffer: Vec::new(), at: 0 }
    }
}

impl<W: ChunkParser> Validator for ChunkDriver<W> {
    fn bytes(&mut self, mut bytes: &[u8]) -> Result<(), FormatError> {
        while !bytes.is_empty() {
            if self.needed.skip > 0 {
                let skipped = self.needed.skip.min(bytes.len() as u64);
                self.needed.skip -= skipped;
                self.at += skipped;
                bytes = &bytes[skipped as usize..];
                continue;
            }
            let missing = self.needed.bytes - self.buffer.len();
            let (piece, rest) = bytes.split_at(missing.min(bytes.len()));
            self.at += piece.len() as u64;
            bytes = rest;
            if self.buffer.is_empty() && piece.len() == missing {
                self.needed = self.parser.step(piece, self.at - missing as u64)?;
                continue;
            }
            self.buffer.extend_from_slice(piece);
            if piece.len() == missing {
                self.needed = self.parser.step(&self.buffer, self.at - self.needed.bytes as u64)?;
                self.buffer.clear();
            }
        }
        Ok(())
    }

    fn end(self: Box<Self>) -> Result<(), FormatError> {
        if self.needed.skip == 0 && self.parser.may_end_within(&self.buffer) {
            return Ok(());
        }
        if self.needed.skip > 0 || !self.buffer.is_empty() {
            return Err(FormatError::truncated(format!(
                "it stops in the middle, after {} bytes",
                self.at
            )));
        }
        self.parser.end()
    }
}
