//! Walking a format from header to header without holding what lies between.
//!
//! Owns the cutting of a stream that arrives in pieces of any size into the bytes that a format wants
//! to see. Knows no format.
//! Invariant: what a format sees, and so its verdict, does not depend on how the stream was cut; and
//! no more of the stream is held than the format asked for and has arrived.

use super::{Flaw, Judge};

/// What a format wants next: to pass over `skip` bytes unseen, then to see `take` bytes at once.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Want {
    pub skip: u64,
    pub take: usize,
}

impl Want {
    pub fn take(take: usize) -> Want {
        Want { skip: 0, take }
    }
}

/// A format that is judged by its headers.
pub(super) trait Walk: Send {
    /// What is wanted at the start of the stream.
    fn first(&self) -> Want;
    /// The bytes that were wanted, `at` which place of the stream, and what is wanted after them.
    fn step(&mut self, bytes: &[u8], at: u64) -> Result<Want, Flaw>;
    /// The stream ends between the bytes seen last and those wanted next, with nothing left to skip.
    fn end(&self) -> Result<(), Flaw>;
}

/// Leads a format along a stream.
pub(super) struct Walker<W> {
    walk: W,
    want: Want,
    /// Bytes of what is wanted that have arrived, if it did not arrive at once.
    held: Vec<u8>,
    /// The place in the stream of the next byte to come.
    at: u64,
}

impl<W: Walk> Walker<W> {
    pub fn new(walk: W) -> Walker<W> {
        let want = walk.first();
        Walker { walk, want, held: Vec::new(), at: 0 }
    }
}

impl<W: Walk> Judge for Walker<W> {
    fn bytes(&mut self, mut bytes: &[u8]) -> Result<(), Flaw> {
        while !bytes.is_empty() {
            if self.want.skip > 0 {
                let skipped = self.want.skip.min(bytes.len() as u64);
                self.want.skip -= skipped;
                self.at += skipped;
                bytes = &bytes[skipped as usize..];
                continue;
            }
            let missing = self.want.take - self.held.len();
            let (piece, rest) = bytes.split_at(missing.min(bytes.len()));
            self.at += piece.len() as u64;
            bytes = rest;
            if self.held.is_empty() && piece.len() == missing {
                self.want = self.walk.step(piece, self.at - missing as u64)?;
                continue;
            }
            self.held.extend_from_slice(piece);
            if piece.len() == missing {
                self.want = self.walk.step(&self.held, self.at - self.want.take as u64)?;
                self.held.clear();
            }
        }
        Ok(())
    }

    fn end(self: Box<Self>) -> Result<(), Flaw> {
        if self.want.skip > 0 || !self.held.is_empty() {
            return Err(Flaw::cut(format!("it stops in the middle, after {} bytes", self.at)));
        }
        self.walk.end()
    }
}
