//! gzip: deflated members, each with a checksum and a length at its end (RFC 1952).
//!
//! Where a member ends only inflating tells. Owns how a member is read.
//! Invariant: a member is whole only if its checksum and length are those of what it inflates to.

use flate2::bufread::GzDecoder;

use super::decode_thread::{ThreadedDecoder, drain};

pub(super) fn judge() -> std::io::Result<ThreadedDecoder> {
    ThreadedDecoder::new(|stream, buffer| drain(GzDecoder::new(stream), buffer))
}
