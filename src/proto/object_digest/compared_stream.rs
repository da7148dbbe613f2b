//! A stream that an object is compared with, recorded while its bytes pass.
//!
//! Owns what has to be kept of a stream that is read once. Must not know where its bytes come from, or
//! how an object is read. Invariant: where the digests of the object may not decide, the record has what
//! the bytes of the object are compared with.

use super::{Certainty, ChunkComparison, ComparisonResult, StreamChunks, StreamComparison};

/// The record of a stream.
pub struct ComparedStream {
    /// `None` where no digest of the object is known yet.
    comparison: Option<StreamComparison>,
    /// Where the digests of the service may not decide.
    chunks: Option<StreamChunks>,
}

impl ComparedStream {
    /// For an object with the digests of this comparison.
    pub fn with(comparison: StreamComparison) -> ComparedStream {
        let chunks = (comparison.certainty() != Certainty::Certain).then(StreamChunks::new);
        ComparedStream { comparison: Some(comparison), chunks }
    }

    /// For an object that appears later.
    pub fn with_unknown_object() -> ComparedStream {
        ComparedStream { comparison: None, chunks: Some(StreamChunks::new()) }
    }

    /// Adds the next bytes of the stream.
    pub fn update(&mut self, bytes: &[u8]) {
        if let Some(comparison) = &mut self.comparison {
            comparison.update(bytes);
        }
        if let Some(chunks) = &mut self.chunks {
            chunks.update(bytes);
        }
    }

    /// What the digests decide, if any of the object was known; and what the bytes of the object are
    /// compared with where they do not.
    pub fn finish(self) -> (Option<ComparisonResult>, Option<ChunkComparison>) {
        let by_digests = self.comparison.map(StreamComparison::finish);
        (by_digests, self.chunks.map(StreamChunks::compare))
    }
}
