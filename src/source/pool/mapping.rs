//! The memory of one buffer.
//!
//! Owns its alignment and the advice about huge pages. Must not know limits or permits. Invariant:
//! the memory is zeroed, private to this process, and unmapped by the drop.

use std::io;

use memmap2::{MmapMut, MmapOptions};

/// Bytes of a huge page of Linux on x86-64 and ARM.
pub(super) const HUGE_PAGE: usize = 2 << 20;

/// Anonymous memory of which `length` bytes from `start` are used.
pub(super) struct Mapping {
    map: MmapMut,
    start: usize,
    length: usize,
}

impl Mapping {
    /// Maps memory. Fails where the system refuses it.
    pub(super) fn new(length: usize) -> io::Result<Mapping> {
        // A large buffer starts at the boundary of a huge page; the slack is address space only.
        let slack = if length >= 2 * HUGE_PAGE { HUGE_PAGE } else { 0 };
        let map = MmapOptions::new().len((length + slack).max(1)).map_anon()?;
        let start = if slack == 0 { 0 } else { map.as_ptr().align_offset(HUGE_PAGE).min(slack) };
        let mapping = Mapping { map, start, length };
        mapping.advise_huge_pages();
        Ok(mapping)
    }

    /// The first touch of fresh memory costs as much time as sending it, and a fifth of that with
    /// huge pages. The first 2 MiB keep small pages, so that a short stream touches only the pages
    /// that it fills.
    #[cfg(target_os = "linux")]
    fn advise_huge_pages(&self) {
        if self.length >= 2 * HUGE_PAGE {
            // A kernel without huge pages refuses this advice, which changes nothing else.
            let _ = self.map.advise_range(
                memmap2::Advice::HugePage,
                self.start + HUGE_PAGE,
                self.length - HUGE_PAGE,
            );
        }
    }

    #[cfg(not(target_os = "linux"))]
    fn advise_huge_pages(&self) {}

    pub(super) fn len(&self) -> usize {
        self.length
    }

    pub(super) fn bytes(&self) -> &[u8] {
        &self.map[self.start..self.start + self.length]
    }

    pub(super) fn bytes_mut(&mut self) -> &mut [u8] {
        &mut self.map[self.start..self.start + self.length]
    }
}
