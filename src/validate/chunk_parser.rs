//! Walking a format from header to header without holding what lies between.
//!
//! Owns the cutting of a stream that arrives in pieces of any size into the bytes that a format wants
//! to see. Knows no format.
//! Invariant: what a format sees, and so its verdict, does not depend on how the stream was cut; and
//! no more of the stream is held than the format asked for and has arrived.

use super::{FormatError, Validator};

/// What a format wants next: to pass over `skip` bytes unseen, then to see `take` bytes at once.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Needed {
    pub skip: u64,
    pub bytes: usize,
}

impl Needed {
    pub fn take(bytes: usize) -> Needed {
        Needed { skip: 0, bytes }
    }
}

/// A format that is judged by its headers.
pub(super) trait ChunkParser: Send {
    /// What is wanted at the start of the stream.
    fn initial(&self) -> Needed;
    /// The bytes that were wanted, `at` which place of the stream, and what is wanted after them.
    fn step(&mut self, bytes: &[u8], at: u64) -> Result<Needed, FormatError>;
    /// The stream ends between the bytes seen last and those wanted next, with nothing left to skip.
    fn end(&self) -> Result<(), FormatError>;
}

/// Leads a format along a stream.
pub(super) struct ChunkDriver<W> {
    parser: W,
    needed: Needed,
    /// Bytes of what is wanted that have arrived, if it did not arrive at once.
    buffer: Vec<u8>,
    /// The place in the stream of the next byte to come.
    at: u64,
}

impl<W: ChunkParser> ChunkDriver<W> {
    pub fn new(parser: W) -> ChunkDriver<W> {
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
        if self.needed.skip > 0 || !self.buffer.is_empty() {
            return Err(FormatError::truncated(format!(
                "it stops in the middle, after {} bytes",
                self.at
            )));
        }
        self.parser.end()
    }
}
