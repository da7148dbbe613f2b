//! The last bytes of a stream.
//!
//! Owns a bounded memory of what passed last. Knows no format.
//! Invariant: it holds the last `size` bytes of the stream, or all of it if it was shorter.

pub(super) struct LastBytes {
    size: usize,
    /// Up to twice `size`, so that moving bytes is rare.
    bytes: Vec<u8>,
    total: u64,
}

impl LastBytes {
    pub fn new(size: usize) -> LastBytes {
        LastBytes { size, bytes: Vec::new(), total: 0 }
    }

    pub fn bytes(&mut self, bytes: &[u8]) {
        self.total += bytes.len() as u64;
        let kept = &bytes[bytes.len().saturating_sub(self.size)..];
        if self.bytes.len() + kept.len() > 2 * self.size {
            let stale = self.bytes.len().saturating_sub(self.size - kept.len());
            self.bytes.drain(..stale);
        }
        self.bytes.extend_from_slice(kept);
    }

    /// Length of the stream so far.
    pub fn total(&self) -> u64 {
        self.total
    }

    /// The last bytes of the stream.
    pub fn last(&self) -> &[u8] {
        &self.bytes[self.bytes.len().saturating_sub(self.size)..]
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn it_is_the_end_of_the_stream_however_that_was_cut(
            pieces in proptest::collection::vec(proptest::collection::vec(any::<u8>(), 0..30), 0..20),
            size in 1usize..20,
        ) {
            let mut tail = LastBytes::new(size);
            for piece in &pieces {
                tail.bytes(piece);
                prop_assert!(tail.bytes.len() <= 2 * size);
            }
            let whole = pieces.concat();
            prop_assert_eq!(tail.total(), whole.len() as u64);
            prop_assert_eq!(tail.last(), &whole[whole.len().saturating_sub(size)..]);
        }
    }
}
