//! Computes the digest over the parts of a layout while the bytes arrive.
//!
//! Owns the boundaries between parts in the stream. Must not know the digest of the object. Invariant:
//! the value is that of `digest::multipart` over the same parts.

use super::result::LayoutOrigin;
use crate::digest::{self, Algorithm, Value, ValueHasher};
use crate::part_layout::PartLayout;

/// The digest over the parts of one layout.
pub(super) struct LayoutHasher {
    layout: PartLayout,
    origin: LayoutOrigin,
    algorithm: Algorithm,
    /// The sizes of the parts after the current one, as runs, the last one first.
    runs: Vec<(u32, u64)>,
    /// The bytes that the current part still needs.
    left: u64,
    current: ValueHasher,
    values: Vec<Value>,
    /// The stream has more bytes than the layout.
    too_long: bool,
}

impl LayoutHasher {
    pub(super) fn new(
        layout: PartLayout,
        origin: LayoutOrigin,
        algorithm: Algorithm,
    ) -> LayoutHasher {
        let mut runs: Vec<(u32, u64)> = layout.runs().collect();
        runs.reverse();
        let current = ValueHasher::new(algorithm);
        let mut hasher = LayoutHasher {
            layout,
            origin,
            algorithm,
            runs,
            left: 0,
            current,
            values: Vec::new(),
            too_long: false,
        };
        hasher.left = hasher.next_size().unwrap_or(0);
        hasher
    }

    pub(super) fn parts(&self) -> u32 {
        self.layout.parts()
    }

    pub(super) fn origin(&self) -> LayoutOrigin {
        self.origin
    }

    /// The size of the next part; `None` after the last.
    fn next_size(&mut self) -> Option<u64> {
        let (count, size) = self.runs.last_mut()?;
        let size = *size;
        *count -= 1;
        if *count == 0 {
            self.runs.pop();
        }
        Some(size)
    }

    /// Adds the next bytes of the stream.
    pub(super) fn update(&mut self, mut bytes: &[u8]) {
        while !bytes.is_empty() && !self.too_long {
            if self.left == 0 {
                let Some(size) = self.start_part() else { return };
                self.left = size;
                continue;
            }
            let (now, later) = bytes.split_at(
                usize::try_from(self.left).map_or(bytes.len(), |left| left.min(bytes.len())),
            );
            self.current.update(now);
            self.left -= now.len() as u64;
            bytes = later;
        }
    }

    /// Ends the current part and returns the size of the next one; `None` if the stream is too long.
    fn start_part(&mut self) -> Option<u64> {
        self.end_part();
        let size = self.next_size();
        self.too_long |= size.is_none();
        size
    }

    fn end_part(&mut self) {
        let ended = std::mem::replace(&mut self.current, ValueHasher::new(self.algorithm));
        self.values.extend(ended.finish());
    }

    /// The digest in the service's encoding; `None` if the stream does not have the length of the layout.
    pub(super) fn finish(mut self) -> Option<String> {
        if self.too_long || self.left > 0 {
            return None;
        }
        if self.layout.parts() > 0 {
            self.end_part();
        }
        // Empty parts may follow the last byte.
        while let Some(size) = self.next_size() {
            if size > 0 {
                return None;
            }
            self.end_part();
        }
        (self.values.len() == self.layout.parts() as usize)
            .then(|| digest::multipart(self.algorithm, &self.values))
    }
}
