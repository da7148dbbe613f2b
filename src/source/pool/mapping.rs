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

#[cfg(test)]
#[cfg(target_os = "linux")]
mod tests {
    use super::*;

    /// The flags of the mapping that has this address, in `/proc/self/smaps`.
    fn flags(address: usize) -> String {
        let smaps = std::fs::read_to_string("/proc/self/smaps").unwrap();
        let mut inside = false;
        for line in smaps.lines() {
            let range = line.split_once(' ').and_then(|(range, _)| range.split_once('-'));
            if let Some(Ok([start, end])) = range.map(|(start, end)| {
                let number = |text| usize::from_str_radix(text, 16);
                number(start).and_then(|start| number(end).map(|end| [start, end]))
            }) {
                inside = (start..end).contains(&address);
            } else if inside && let Some(flags) = line.strip_prefix("VmFlags:") {
                return flags.to_owned();
            }
        }
        panic!("{address:x} is in no mapping");
    }

    #[test]
    fn a_large_buffer_has_huge_pages_but_for_its_first() {
        if !std::path::Path::new("/sys/kernel/mm/transparent_hugepage").exists() {
            return; // This kernel has none.
        }
        let asks = |mapping: &Mapping, at: usize| {
            let flags = flags(mapping.bytes().as_ptr() as usize + at);
            flags.split_whitespace().any(|flag| flag == "hg")
        };
        let large = Mapping::new(3 * HUGE_PAGE).unwrap();
        assert_eq!(large.bytes().as_ptr() as usize % HUGE_PAGE, 0);
        assert!(!asks(&large, 0) && asks(&large, HUGE_PAGE) && asks(&large, 3 * HUGE_PAGE - 1));
        assert!(!asks(&Mapping::new(HUGE_PAGE).unwrap(), 0));
    }
}
