//! The bytes that a TLS session has to work on, and those that it has sealed.
//!
//! Owns two buffers that are filled at one end and emptied at the other. Must not know TLS. Invariant:
//! bytes leave in the order in which they came; memory is touched only as far as bytes were in it.

/// Bytes of a first read, which holds the longest record of TLS 1.2 and 1.3.
const FIRST_READ: usize = 20 << 10;
/// Bytes of a read of a connection that has filled a smaller buffer: each system call makes the kernel
/// send an acknowledgement.
const READ_SIZE: usize = 256 << 10;
/// A read is not worth its system call for less space than this, in bytes.
const LEAST_READ: usize = 32 << 10;

/// A buffer from whose front bytes are taken, in one allocation that grows.
#[derive(Default)]
pub(super) struct ByteQueue {
    bytes: Vec<u8>,
    start: usize,
    end: usize,
}

impl ByteQueue {
    /// The bytes that were not taken.
    pub(super) fn filled(&mut self) -> &mut [u8] {
        &mut self.bytes[self.start..self.end]
    }

    /// Whether all bytes were taken.
    pub(super) fn is_empty(&self) -> bool {
        self.start == self.end
    }

    /// Removes bytes from the front.
    pub(super) fn take(&mut self, count: usize) {
        self.start = (self.start + count).min(self.end);
        if self.is_empty() {
            (self.start, self.end) = (0, 0);
        }
    }

    /// Space for what a read gives; `None` where bytes that belong together fill the largest buffer.
    pub(super) fn read_space(&mut self) -> Option<&mut [u8]> {
        let (length, full) = (self.end - self.start, self.end == self.bytes.len());
        if self.start > 0 && self.bytes.len() - self.end < LEAST_READ {
            self.bytes.copy_within(self.start..self.end, 0);
            (self.start, self.end) = (0, length);
        }
        if self.bytes.is_empty() {
            self.bytes.resize(FIRST_READ, 0);
        } else if full && self.bytes.len() < READ_SIZE {
            self.bytes.resize(READ_SIZE, 0);
        }
        Some(&mut self.bytes[self.end..]).filter(|space| !space.is_empty())
    }

    /// At least `length` bytes of space.
    pub(super) fn space(&mut self, length: usize) -> &mut [u8] {
        if self.bytes.len() - self.end < length {
            self.bytes.resize(self.end + length, 0);
        }
        &mut self.bytes[self.end..]
    }

    /// Records that the first `count` bytes of the space were filled.
    pub(super) fn fill(&mut self, count: usize) {
        self.end = (self.end + count).min(self.bytes.len());
    }

    /// Adds bytes at the end.
    pub(super) fn push(&mut self, bytes: &[u8]) {
        self.space(bytes.len())[..bytes.len()].copy_from_slice(bytes);
        self.fill(bytes.len());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_buffer_grows_once_it_is_full_and_has_space_again_when_bytes_are_taken() {
        let mut queue = ByteQueue::default();
        assert_eq!(queue.read_space().map(|space| space.len()), Some(FIRST_READ));
        queue.fill(100);
        // What is not full does not grow.
        assert_eq!(queue.read_space().map(|space| space.len()), Some(FIRST_READ - 100));
        queue.fill(FIRST_READ - 100);
        assert_eq!(queue.read_space().map(|space| space.len()), Some(READ_SIZE - FIRST_READ));
        queue.fill(READ_SIZE - FIRST_READ);
        assert_eq!(queue.read_space(), None, "it holds one record and is full");
        queue.take(1000);
        assert_eq!(queue.read_space().map(|space| space.len()), Some(1000));
    }
}
