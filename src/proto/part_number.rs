//! The number of a part of a multipart upload.
//!
//! Owns its range, 1 to 10,000 (limit of the API). Must not know parts. Invariant: a value is in range.

use std::fmt;
use std::num::NonZeroU16;

use serde::{Deserialize, Serialize};

/// The largest number of parts of one upload.
pub const MAX_PARTS: u32 = 10_000;

/// The number of a part: 1 to 10,000.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "u32", into = "u32")]
pub struct PartNumber(NonZeroU16);

impl PartNumber {
    /// The number of the first part: 1.
    pub const FIRST: PartNumber = PartNumber(NonZeroU16::MIN);

    /// `None` outside 1 to 10,000.
    pub fn new(number: u32) -> Option<PartNumber> {
        if number > MAX_PARTS {
            return None;
        }
        u16::try_from(number).ok().and_then(NonZeroU16::new).map(PartNumber)
    }

    /// The number of the part at an index that starts at 0.
    pub(crate) fn from_index(index: usize) -> Option<PartNumber> {
        u32::try_from(index).ok()?.checked_add(1).and_then(PartNumber::new)
    }

    /// The number, from 1 to 10,000.
    pub fn get(self) -> u32 {
        u32::from(self.0.get())
    }

    /// The index of the part, starting at 0.
    pub fn index(self) -> usize {
        usize::from(self.0.get()) - 1
    }

    /// All numbers in order.
    pub fn all() -> impl Iterator<Item = PartNumber> {
        PartNumber::FIRST.and_after()
    }

    /// This number and all after it.
    pub fn and_after(self) -> impl Iterator<Item = PartNumber> {
        (self.get()..=MAX_PARTS).filter_map(PartNumber::new)
    }
}

impl TryFrom<u32> for PartNumber {
    type Error = String;

    fn try_from(number: u32) -> Result<PartNumber, String> {
        PartNumber::new(number).ok_or_else(|| format!("{number} is not a part number"))
    }
}

impl From<PartNumber> for u32 {
    fn from(number: PartNumber) -> u32 {
        number.get()
    }
}

impl fmt::Display for PartNumber {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_part_number_is_1_to_10_000() {
        for (number, valid) in [(0, false), (1, true), (10_000, true), (10_001, false)] {
            assert_eq!(PartNumber::new(number).map(PartNumber::get), valid.then_some(number));
        }
        assert_eq!(PartNumber::new(u32::MAX), None);
        assert_eq!(PartNumber::from_index(0), Some(PartNumber::FIRST));
        assert_eq!(PartNumber::from_index(9_999).map(PartNumber::index), Some(9_999));
        assert_eq!(PartNumber::from_index(10_000), None);
        assert_eq!(PartNumber::all().count(), 10_000);
    }
}
