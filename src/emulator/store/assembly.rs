//! Where parts are written so that a commit of many GiB is a rename and not a copy.
//!
//! Pure: offsets and decisions, no file. Parts that arrive in order are written straight to their place
//! in the object; what comes out of order, or again, is kept apart and copied in at the end.
//! Invariant: `finish` says `InPlace` only if every byte of the object is then the right one, whatever
//! other attempts left behind.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

/// Where the bytes of a part are.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub enum PartLocation {
    /// In the object's file, at this offset.
    InObject(u64),
    /// In a file of its own.
    OwnFile(String),
}

/// Set while somebody writes straight into the object's file.
pub type WriteLock = Arc<AtomicBool>;

/// The reserved regions of the object's file: region `i` is that of part `i + 1`.
#[derive(Debug, Default)]
pub struct Layout {
    regions: Vec<LayoutRegion>,
    end: u64,
    closed: bool,
    /// Sizes of parts that came before the one whose place is next.
    early: BTreeMap<u32, u64>,
}

#[derive(Debug)]
struct LayoutRegion {
    offset: u64,
    size: u64,
    writing: WriteLock,
}

/// A part as the commit sees it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CommittedPart {
    pub number: u32,
    pub size: u64,
    pub place: PartLocation,
}

/// How the object's file comes about.
#[derive(Debug, PartialEq, Eq)]
pub enum AssemblyPlan {
    /// It is there once these files are copied to these offsets and it is cut to this size.
    InPlace { copies: Vec<(String, u64)>, size: u64 },
    /// All pieces must be copied to a new file.
    Copy,
}

impl Layout {
    /// Regions of which nothing is known any more: nothing is reserved and all is copied.
    pub fn closed() -> Layout {
        Layout { closed: true, ..Layout::default() }
    }

    /// Reserves the place of a part that is about to arrive: its offset, if it comes next in order. One
    /// that comes too early is kept apart, and its place is reserved as soon as it can be.
    pub fn reserve(&mut self, number: u32, size: u64) -> Option<(u64, WriteLock)> {
        if self.closed || number != self.next() {
            self.early.insert(number, size);
            return None;
        }
        let place = self.push(size, true);
        while let Some(size) = self.early.remove(&self.next()) {
            self.push(size, false);
        }
        Some(place)
    }

    fn next(&self) -> u32 {
        u32::try_from(self.regions.len()).unwrap_or(u32::MAX).saturating_add(1)
    }

    fn push(&mut self, size: u64, writing: bool) -> (u64, WriteLock) {
        let offset = self.end;
        let writing = Arc::new(AtomicBool::new(writing));
        self.regions.push(LayoutRegion { offset, size, writing: writing.clone() });
        self.end += size;
        (offset, writing)
    }

    /// Decides how `pieces`, all that the upload has and in the object's order, become the object.
    pub fn finish(&self, pieces: &[CommittedPart]) -> AssemblyPlan {
        let quiet = self.regions.iter().all(|region| !region.writing.load(Ordering::SeqCst));
        if self.closed || !quiet || pieces.len() > self.regions.len() {
            return AssemblyPlan::Copy;
        }
        let mut copies = Vec::new();
        let mut total = 0;
        for (index, (piece, region)) in pieces.iter().zip(&self.regions).enumerate() {
            let in_order = usize::try_from(piece.number).is_ok_and(|number| number == index + 1);
            if !in_order || piece.size != region.size {
                return AssemblyPlan::Copy;
            }
            match &piece.place {
                PartLocation::InObject(offset) if *offset == region.offset => {}
                PartLocation::InObject(_) => return AssemblyPlan::Copy,
                PartLocation::OwnFile(file) => copies.push((file.clone(), region.offset)),
            }
            total += piece.size;
        }
        AssemblyPlan::InPlace { copies, size: total }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn within(number: u32, size: u64, offset: u64) -> CommittedPart {
        CommittedPart { number, size, place: PartLocation::InObject(offset) }
    }

    fn apart(number: u32, size: u64) -> CommittedPart {
        CommittedPart { number, size, place: PartLocation::OwnFile(format!("p{number}")) }
    }

    /// Reserves parts 1.. of these sizes, all written and done.
    fn reserved(sizes: &[u64]) -> Layout {
        let mut regions = Layout::default();
        for (number, size) in (1..).zip(sizes) {
            let (_, writing) = regions.reserve(number, *size).unwrap();
            writing.store(false, Ordering::SeqCst);
        }
        regions
    }

    #[test]
    fn parts_in_order_need_no_copy() {
        let regions = reserved(&[10, 10, 3]);
        let pieces = [within(1, 10, 0), within(2, 10, 10), within(3, 3, 20)];
        assert_eq!(regions.finish(&pieces), AssemblyPlan::InPlace { copies: vec![], size: 23 });
    }

    #[test]
    fn a_part_sent_again_is_copied_into_its_place() {
        let regions = reserved(&[10, 10]);
        let again = [within(1, 10, 0), apart(2, 10)];
        let copies = vec![("p2".to_owned(), 10)];
        assert_eq!(regions.finish(&again), AssemblyPlan::InPlace { copies, size: 20 });
        assert_eq!(regions.finish(&[within(1, 10, 0), apart(2, 9)]), AssemblyPlan::Copy);
    }

    #[test]
    fn parts_that_came_too_early_get_their_place_when_the_missing_one_comes() {
        let mut regions = Layout::default();
        assert!(regions.reserve(2, 10).is_none() && regions.reserve(3, 10).is_none());
        let (offset, writing) = regions.reserve(1, 7).unwrap();
        assert_eq!(offset, 0);
        let (offset, last) = regions.reserve(4, 5).unwrap();
        assert_eq!(offset, 27);
        writing.store(false, Ordering::SeqCst);
        let pieces = [within(1, 7, 0), apart(2, 10), apart(3, 10), within(4, 5, 27)];
        // Part 4 is still being written.
        assert_eq!(regions.finish(&pieces), AssemblyPlan::Copy);
        last.store(false, Ordering::SeqCst);
        let copies = vec![("p2".to_owned(), 7), ("p3".to_owned(), 17)];
        assert_eq!(regions.finish(&pieces), AssemblyPlan::InPlace { copies, size: 32 });
    }

    #[test]
    fn a_straggler_that_still_writes_makes_everything_a_copy() {
        let mut regions = reserved(&[10]);
        let (_, _writing) = regions.reserve(2, 10).unwrap();
        assert_eq!(regions.finish(&[within(1, 10, 0), apart(2, 10)]), AssemblyPlan::Copy);
        assert_eq!(regions.finish(&[within(1, 10, 0)]), AssemblyPlan::Copy);
    }

    #[test]
    fn gaps_and_other_orders_are_copies() {
        let regions = reserved(&[10, 10, 10]);
        assert_eq!(regions.finish(&[within(1, 10, 0), within(3, 10, 20)]), AssemblyPlan::Copy);
        assert_eq!(regions.finish(&[within(2, 10, 10), within(1, 10, 0)]), AssemblyPlan::Copy);
        assert_eq!(reserved(&[]).finish(&[apart(1, 1)]), AssemblyPlan::Copy);
    }

    #[test]
    fn fewer_parts_than_regions_are_cut_off() {
        let regions = reserved(&[10, 10]);
        let finish = regions.finish(&[within(1, 10, 0)]);
        assert_eq!(finish, AssemblyPlan::InPlace { copies: vec![], size: 10 });
    }
}
