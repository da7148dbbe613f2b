//! Whether an object that is read is a stream that was read before, piece by piece.
//!
//! Owns the SHA-256 of each chunk of the stream. Must not know digests of the service. Invariants: equal
//! means that all chunks and the length are equal; the first chunk that differs ends the comparison.

use sha2::{Digest, Sha256};

use super::result::{ComparisonResult, Difference, LayoutOrigin, Proof};
use crate::digest::Algorithm;
use crate::evidence::Evidence;
use crate::units::MIB;

/// Bytes of a chunk. 10 TiB have 655,360 chunks, whose digests take 20 MiB.
const CHUNK: u64 = 16 * MIB;

/// The digests of the chunks of a stream, while its bytes arrive.
#[derive(Default)]
pub struct StreamChunks {
    bytes: u64,
    current: Sha256,
    digests: Vec<[u8; 32]>,
}

impl StreamChunks {
    /// No bytes so far.
    pub fn new() -> StreamChunks {
        StreamChunks::default()
    }

    /// Adds the next bytes of the stream.
    pub fn update(&mut self, mut bytes: &[u8]) {
        while !bytes.is_empty() {
            let room = CHUNK - self.bytes % CHUNK;
            let (now, later) = split_at(bytes, room);
            self.current.update(now);
            self.bytes += now.len() as u64;
            if self.bytes.is_multiple_of(CHUNK) {
                self.digests.push(self.current.finalize_reset().into());
            }
            bytes = later;
        }
    }

    /// The bytes so far.
    pub fn bytes(&self) -> u64 {
        self.bytes
    }

    /// Ends the stream; the object is compared with it from here on.
    pub fn compare(mut self) -> ChunkComparison {
        if !self.bytes.is_multiple_of(CHUNK) {
            self.digests.push(self.current.finalize_reset().into());
        }
        ChunkComparison { stream: self, object: StreamChunks::new(), difference: None }
    }
}

/// The comparison of an object with the chunks of a stream.
pub struct ChunkComparison {
    stream: StreamChunks,
    object: StreamChunks,
    /// The first chunk that differs.
    difference: Option<usize>,
}

impl ChunkComparison {
    /// The bytes of the stream.
    pub fn stream_bytes(&self) -> u64 {
        self.stream.bytes
    }

    /// Adds the next bytes of the object.
    pub fn update(&mut self, bytes: &[u8]) {
        let compared = self.object.digests.len();
        self.object.update(bytes);
        self.find_difference(compared);
    }

    /// Adds the next bytes of the object; false once they differ.
    pub fn update_while_equal(&mut self, bytes: &[u8]) -> bool {
        self.update(bytes);
        !self.is_decided()
    }

    /// Whether the bytes so far differ: further ones make no difference to the result.
    pub(crate) fn is_decided(&self) -> bool {
        self.difference.is_some()
    }

    fn find_difference(&mut self, from: usize) {
        let complete = self.object.digests.iter().enumerate().skip(from);
        let mut differing =
            complete.filter(|(index, digest)| self.stream.digests.get(*index) != Some(digest));
        if self.difference.is_none() {
            self.difference = differing.next().map(|(index, _)| index);
        }
    }

    /// The result for all bytes so far.
    pub fn finish(mut self) -> ComparisonResult {
        if self.difference.is_none() && self.object.bytes != self.stream.bytes {
            return ComparisonResult::Different(Difference::Size {
                stream: self.stream.bytes,
                object: self.object.bytes,
            });
        }
        let compared = self.object.digests.len();
        if !self.object.bytes.is_multiple_of(CHUNK) {
            self.object.digests.push(self.object.current.finalize_reset().into());
            self.find_difference(compared);
        }
        match self.difference {
            Some(index) => {
                let first = index as u64 * CHUNK;
                let end = (first + CHUNK).min(self.stream.bytes.max(self.object.bytes));
                ComparisonResult::Different(Difference::Bytes { first, last: end.max(1) - 1 })
            }
            None => ComparisonResult::Equal(Proof {
                evidence: Evidence::Content(Algorithm::Sha256),
                parts: 0,
                origin: LayoutOrigin::Read,
            }),
        }
    }
}

/// The first `length` bytes, or all of them, and the rest.
fn split_at(bytes: &[u8], length: u64) -> (&[u8], &[u8]) {
    let length = usize::try_from(length).unwrap_or(usize::MAX);
    bytes.split_at(length.min(bytes.len()))
}

#[cfg(test)]
mod tests {
    use super::*;

    const LENGTH: usize = 2 * CHUNK as usize + 5;

    fn compared(stream: &[u8], object: &[u8]) -> ComparisonResult {
        let mut chunks = StreamChunks::new();
        stream.chunks(5_000_001).for_each(|bytes| chunks.update(bytes));
        let mut comparison = chunks.compare();
        object.chunks(3_000_017).for_each(|bytes| comparison.update(bytes));
        comparison.finish()
    }

    #[test]
    fn equal_streams_are_equal_however_their_bytes_arrive() {
        let bytes: Vec<u8> = (0..LENGTH).map(|at| (at % 251) as u8).collect();
        for length in [0, 1, CHUNK as usize, CHUNK as usize + 1, LENGTH] {
            let result = compared(&bytes[..length], &bytes[..length]);
            assert!(matches!(result, ComparisonResult::Equal(_)), "{length}: {result:?}");
        }
    }

    #[test]
    fn a_difference_names_its_chunk_and_ends_the_comparison() {
        let bytes = vec![7; LENGTH];
        for (at, first, last) in [
            (0, 0, CHUNK - 1),
            (CHUNK as usize, CHUNK, 2 * CHUNK - 1),
            (LENGTH - 1, 2 * CHUNK, LENGTH as u64 - 1),
        ] {
            let mut other = bytes.clone();
            other[at] = 8;
            let expected = ComparisonResult::Different(Difference::Bytes { first, last });
            assert_eq!(compared(&bytes, &other), expected);
        }
        let mut chunks = StreamChunks::new();
        chunks.update(&bytes);
        let mut comparison = chunks.compare();
        comparison.update(&vec![8; CHUNK as usize - 1]);
        assert!(!comparison.is_decided());
        comparison.update(&[8]);
        assert!(comparison.is_decided());
    }

    #[test]
    fn a_chunk_has_16_mib_and_each_side_knows_its_length() {
        let mut chunks = StreamChunks::new();
        for end in [5, 10] {
            chunks.update(&[7; 5]);
            assert_eq!(chunks.bytes(), end);
        }
        chunks.update(&vec![7; (16 << 20) - 10]);
        assert_eq!((chunks.bytes(), chunks.digests.len()), (16_777_216, 1));
        let mut comparison = chunks.compare();
        assert_eq!(comparison.stream_bytes(), 16_777_216);
        assert!(comparison.update_while_equal(&vec![8; (16 << 20) - 1]));
        assert!(!comparison.update_while_equal(&[8]));
    }

    #[test]
    fn another_length_is_a_difference() {
        let bytes = vec![7; CHUNK as usize + 1];
        let size = |object| Difference::Size { stream: bytes.len() as u64, object };
        assert_eq!(compared(&bytes, &bytes[..5]), ComparisonResult::Different(size(5)));
        let shorter = compared(&bytes, &bytes[..CHUNK as usize]);
        assert_eq!(shorter, ComparisonResult::Different(size(CHUNK)));
        let longer = compared(&bytes[..5], &bytes);
        assert!(matches!(longer, ComparisonResult::Different(_)), "{longer:?}");
    }
}
