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
    /// `None` before the first part.
    current: Option<ValueHasher>,
    values: Vec<Value>,
    /// The bytes of the stream so far.
    seen: u64,
}

impl LayoutHasher {
    pub(super) fn new(
        layout: PartLayout,
        origin: LayoutOrigin,
        algorithm: Algorithm,
    ) -> LayoutHasher {
        let mut runs: Vec<(u32, u64)> = layout.runs().collect();
        runs.reverse();
        let (current, values) = (None, Vec::new());
        LayoutHasher { layout, origin, algorithm, runs, left: 0, current, values, seen: 0 }
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

    /// Adds the next bytes of the stream. No digest is computed over those behind the last part.
    pub(super) fn update(&mut self, mut bytes: &[u8]) {
        self.seen += bytes.len() as u64;
        while !bytes.is_empty() {
            if self.left == 0 {
                let Some(size) = self.next_size() else { return };
                self.start_part(size);
                continue;
            }
            let (now, later) = bytes.split_at(
                usize::try_from(self.left).map_or(bytes.len(), |left| left.min(bytes.len())),
            );
            if let Some(current) = &mut self.current {
                current.update(now);
            }
            self.left -= now.len() as u64;
            bytes = later;
        }
    }

    fn start_part(&mut self, size: u64) {
        self.end_part();
        (self.current, self.left) = (Some(ValueHasher::new(self.algorithm)), size);
    }

    fn end_part(&mut self) {
        self.values.extend(self.current.take().and_then(ValueHasher::finish));
    }

    /// The digest in the service's encoding; `None` if the stream does not have the length of the layout.
    pub(super) fn finish(mut self) -> Option<String> {
        if self.seen != self.layout.bytes() {
            return None;
        }
        // Empty parts may follow the last byte.
        while let Some(size) = self.next_size() {
            self.start_part(size);
        }
        self.end_part();
        Some(digest::multipart(self.algorithm, &self.values))
    }
}
