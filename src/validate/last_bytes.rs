//! The last bytes of a stream.
//!
//! Owns a buffer of bounded size. Must not know a format.
//! Invariant: the buffer has the last `size` bytes of the stream, or all of it if it is shorter.

/// A buffer for the last `size` bytes of a stream.
pub(super) struct LastBytes {
    size: usize,
    /// Up to twice `size`, so that bytes are rarely moved.
    bytes: Vec<u8>,
    total: u64,
}

impl LastBytes {
    pub(crate) fn new(size: usize) -> LastBytes {
        LastBytes { size, bytes: Vec::new(), total: 0 }
    }

    /// Appends the next bytes of the stream.
    pub(crate) fn bytes(&mut self, bytes: &[u8]) {
        self.total += bytes.len() as u64;
        let last = &bytes[bytes.len().saturating_sub(self.size)..];
        if self.bytes.len() + last.len() > 2 * self.size {
            let stale = self.bytes.len().saturating_sub(self.size - last.len());
            self.bytes.drain(..stale);
        }
        self.bytes.extend_from_slice(last);
    }

    /// The length of the stream so far, in bytes.
    pub(crate) fn total(&self) -> u64 {
        self.total
    }

    /// The last `size` bytes of the stream, or all of it.
    pub(crate) fn last(&self) -> &[u8] {
        &self.bytes[self.bytes.len().saturating_sub(self.size)..]
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn it_is_the_end_of_the_stream_however_that_is_divided(
            pieces in proptest::collection::vec(proptest::collection::vec(any::<u8>(), 0..30), 0..20),
            size in 1usize..20,
        ) {
            let mut tail = LastBytes::new(size);
            for piece in &pieces {
                tail.bytes(piece);
                prop_assert!(tail.bytes.len() <= 2 * size);
            }
            let stream = pieces.concat();
            prop_assert_eq!(tail.total(), stream.len() as u64);
            prop_assert_eq!(tail.last(), &stream[stream.len().saturating_sub(size)..]);
        }
    }
}
