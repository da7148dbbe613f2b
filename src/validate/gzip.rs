//! gzip: deflated members, each with a CRC-32 and a length at its end (RFC 1952).
//!
//! Owns how a member is decoded; only a decoder finds its end. Must not know the queue or the thread.
//! Invariant: a member is whole only if its CRC-32 and length are those of the inflated data.

use std::io;

use flate2::bufread::GzDecoder;

use super::decode_thread::{ChunkReader, ThreadedDecoder, drain};

/// Starts a validator. Fails if the system cannot start its thread.
pub(super) fn decoder() -> io::Result<ThreadedDecoder> {
    ThreadedDecoder::new(member)
}

/// Decodes one member.
pub(super) fn member(stream: &mut ChunkReader, buffer: &mut [u8]) -> io::Result<()> {
    drain(GzDecoder::new(stream), buffer)
}
