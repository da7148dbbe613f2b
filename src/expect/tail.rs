//! The last bytes of a stream.
//!
//! Owns a bounded memory of what passed last. Knows no format.
//! Invariant: it holds the last `size` bytes of the stream, or all of it if it was shorter.

pub(super) struct Tail {
    size: usize,
    /// Up to twice `size`, so that moving bytes is rare.
    held: Vec<u8>,
    passed: u64,
}

impl Tail {
    pub fn new(size: usize) -> Tail {
        Tail { size, held: Vec::new(), passed: 0 }
    }

    pub fn bytes(&mut self, bytes: &[u8]) {
        self.passed += bytes.len() as u64;
        let kept = &bytes[bytes.len().saturating_sub(self.size)..];
        if self.held.len() + kept.len() > 2 * self.size {
            let stale = self.held.len().saturating_sub(self.size - kept.len());
            self.held.drain(..stale);
        }
        self.held.extend_from_slice(kept);
    }

    /// Length of the stream so far.
    pub fn passed(&self) -> u64 {
        self.passed
    }

    /// The last bytes of the stream.
    pub fn last(&self) -> &[u8] {
        &self.held[self.held.len().saturating_sub(self.size)..]
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
            let mut tail = Tail::new(size);
            for piece in &pieces {
                tail.bytes(piece);
                prop_assert!(tail.held.len() <= 2 * size);
            }
            let whole = pieces.concat();
            prop_assert_eq!(tail.passed(), whole.len() as u64);
            prop_assert_eq!(tail.last(), &whole[whole.len().saturating_sub(size)..]);
        }
    }
}
