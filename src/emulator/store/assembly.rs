//! Where parts are written, so that a commit of many GiB is a rename and not a copy.
//!
//! Pure: offsets and decisions, no file. A part that arrives in order is written at its offset in
//! the object's file; a part that arrives out of order or again is written to its own file and
//! copied at the commit. Invariant: `plan` returns `InPlace` only if every byte of the object is
//! then correct, whatever failed attempts have written.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

/// Where the bytes of a part are. The serialised names are those of the first version of the state
/// folder.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub(crate) enum PartLocation {
    /// In the object's file, at this offset in bytes.
    #[serde(rename = "Within")]
    InObject(u64),
    /// In a file of this name.
    #[serde(rename = "Apart")]
    OwnFile(String),
}

/// True while an UploadPart writes to the object's file.
pub(crate) type WriteLock = Arc<AtomicBool>;

/// The reserved regions of the object's file: region `i` is that of part `i + 1`.
#[derive(Debug, Default)]
pub(crate) struct Layout {
    regions: Vec<LayoutRegion>,
    end: u64,
    closed: bool,
    /// Sizes in bytes of parts that arrived before a part of a lower number.
    early: BTreeMap<u32, u64>,
}

#[derive(Debug)]
struct LayoutRegion {
    offset: u64,
    size: u64,
    writing: WriteLock,
}

/// A part of a commit; its size is in bytes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct CommittedPart {
    pub number: u32,
    pub size: u64,
    pub location: PartLocation,
}

/// How the file of the object is made.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum AssemblyPlan {
    /// Copy these files to these offsets of the object's file, and truncate it to this size.
    InPlace { copies: Vec<(String, u64)>, size: u64 },
    /// Copy all parts to a new file.
    Copy,
}

impl Layout {
    /// A layout that reserves nothing, so that all parts are copied.
    pub(crate) fn closed() -> Layout {
        Layout { closed: true, ..Layout::default() }
    }

    /// Reserves the region of a part of `size` bytes whose body is about to arrive. Returns its
    /// offset if the part is the next in order. A later part returns `None`, and its region is
    /// reserved when those before it are.
    pub(crate) fn reserve(&mut self, number: u32, size: u64) -> Option<(u64, WriteLock)> {
        if self.closed || number != self.next() {
            self.early.insert(number, size);
            return None;
        }
        let (offset, writing) = self.push(size);
        writing.store(true, Ordering::SeqCst);
        while let Some(size) = self.early.remove(&self.next()) {
            self.push(size);
        }
        Some((offset, writing))
    }

    /// The number of the first part without a region.
    fn next(&self) -> u32 {
        u32::try_from(self.regions.len()).unwrap_or(u32::MAX).saturating_add(1)
    }

    fn push(&mut self, size: u64) -> (u64, WriteLock) {
        let offset = self.end;
        let writing = WriteLock::default();
        self.regions.push(LayoutRegion { offset, size, writing: writing.clone() });
        self.end += size;
        (offset, writing)
    }

    /// Decides how `parts`, which are all parts of the upload in the order of the object, become
    /// the object.
    pub(crate) fn plan(&self, parts: &[CommittedPart]) -> AssemblyPlan {
        let writing = self.regions.iter().any(|region| region.writing.load(Ordering::SeqCst));
        if self.closed || writing || parts.len() > self.regions.len() {
            return AssemblyPlan::Copy;
        }
        let mut copies = Vec::new();
        let mut total = 0;
        for (index, (part, region)) in parts.iter().zip(&self.regions).enumerate() {
            let in_order = usize::try_from(part.number).is_ok_and(|number| number == index + 1);
            if !in_order || part.size != region.size {
                return AssemblyPlan::Copy;
            }
            match &part.location {
                PartLocation::InObject(offset) if *offset == region.offset => {}
                PartLocation::InObject(_) => return AssemblyPlan::Copy,
                PartLocation::OwnFile(file) => copies.push((file.clone(), region.offset)),
            }
            total += part.size;
        }
        AssemblyPlan::InPlace { copies, size: total }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn in_object(number: u32, size: u64, offset: u64) -> CommittedPart {
        CommittedPart { number, size, location: PartLocation::InObject(offset) }
    }

    fn own_file(number: u32, size: u64) -> CommittedPart {
        CommittedPart { number, size, location: PartLocation::OwnFile(format!("p{number}")) }
    }

    /// Reserves parts 1.. of these sizes, with their writing finished.
    fn reserved(sizes: &[u64]) -> Layout {
        let mut layout = Layout::default();
        for (number, size) in (1..).zip(sizes) {
            let (_, writing) = layout.reserve(number, *size).unwrap();
            writing.store(false, Ordering::SeqCst);
        }
        layout
    }

    #[test]
    fn parts_in_order_need_no_copy() {
        let layout = reserved(&[10, 10, 3]);
        let parts = [in_object(1, 10, 0), in_object(2, 10, 10), in_object(3, 3, 20)];
        assert_eq!(layout.plan(&parts), AssemblyPlan::InPlace { copies: vec![], size: 23 });
    }

    #[test]
    fn a_part_sent_again_is_copied_into_its_place() {
        let layout = reserved(&[10, 10]);
        let again = [in_object(1, 10, 0), own_file(2, 10)];
        let copies = vec![("p2".to_owned(), 10)];
        assert_eq!(layout.plan(&again), AssemblyPlan::InPlace { copies, size: 20 });
        assert_eq!(layout.plan(&[in_object(1, 10, 0), own_file(2, 9)]), AssemblyPlan::Copy);
    }

    #[test]
    fn parts_that_came_too_early_get_their_place_when_the_missing_one_comes() {
        let mut layout = Layout::default();
        assert!(layout.reserve(2, 10).is_none() && layout.reserve(3, 10).is_none());
        let (offset, writing) = layout.reserve(1, 7).unwrap();
        assert_eq!(offset, 0);
        let (offset, last) = layout.reserve(4, 5).unwrap();
        assert_eq!(offset, 27);
        writing.store(false, Ordering::SeqCst);
        let parts = [in_object(1, 7, 0), own_file(2, 10), own_file(3, 10), in_object(4, 5, 27)];
        // Part 4 is still being written.
        assert_eq!(layout.plan(&parts), AssemblyPlan::Copy);
        last.store(false, Ordering::SeqCst);
        let copies = vec![("p2".to_owned(), 7), ("p3".to_owned(), 17)];
        assert_eq!(layout.plan(&parts), AssemblyPlan::InPlace { copies, size: 32 });
    }

    #[test]
    fn a_part_that_is_still_written_makes_everything_a_copy() {
        let mut layout = reserved(&[10]);
        let (_, _writing) = layout.reserve(2, 10).unwrap();
        assert_eq!(layout.plan(&[in_object(1, 10, 0), own_file(2, 10)]), AssemblyPlan::Copy);
        assert_eq!(layout.plan(&[in_object(1, 10, 0)]), AssemblyPlan::Copy);
    }

    #[test]
    fn gaps_and_other_orders_are_copies() {
        let layout = reserved(&[10, 10, 10]);
        assert_eq!(layout.plan(&[in_object(1, 10, 0), in_object(3, 10, 20)]), AssemblyPlan::Copy);
        assert_eq!(layout.plan(&[in_object(2, 10, 10), in_object(1, 10, 0)]), AssemblyPlan::Copy);
        assert_eq!(reserved(&[]).plan(&[own_file(1, 1)]), AssemblyPlan::Copy);
    }

    #[test]
    fn the_file_is_truncated_where_parts_are_fewer_than_regions() {
        let layout = reserved(&[10, 10]);
        let plan = layout.plan(&[in_object(1, 10, 0)]);
        assert_eq!(plan, AssemblyPlan::InPlace { copies: vec![], size: 10 });
    }
}
