//! The layout of an object: how its bytes are divided into parts.
//!
//! Owns the run lengths in which a layout is stated, and the family of part sizes that ocipipe chooses
//! from. Must not know why a size is chosen, or what is computed over the parts.
//! Invariant: two runs that follow each other have different sizes, so that equal layouts are equal
//! values; there are at most 10,000 parts, and their sum does not overflow.
//!
//! # The family of part sizes
//!
//! A digest of a multipart upload is a digest of the digests of its parts. Comparing a stream with it
//! later requires the size of each part. So every size that ocipipe chooses is a member of one family:
//!
//! - Each part but the last has a whole number of [`UNIT`]s (1 MiB), from 10 MiB to 50 GiB. That
//!   applies to the first size, to growth, to the pieces of a tail split, and to a part that is
//!   closed early because the system refuses memory.
//! - The last part has the rest of the stream: 1 byte or more, of any number.
//!
//! A layout is stated as run lengths, `[[COUNT, SIZE], ...]` in the order of the stream: `[[15,
//! 134217728], [1, 5]]` is 15 parts of 128 MiB and one of 5 bytes.

use serde::de::Error as _;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::part_number::MAX_PARTS;
use crate::units::MIB;

/// The unit of part sizes, in bytes: each part but the last is a multiple of it.
pub const UNIT: u64 = MIB;

/// Parts of one size that follow each other.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Run {
    count: u32,
    /// Bytes.
    size: u64,
}

/// The sizes of all parts of an object, in the order of the stream. An object without parts, which is
/// empty, has the empty layout.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct PartLayout {
    runs: Vec<Run>,
}

impl PartLayout {
    /// The layout of parts of these sizes in bytes; `None` where there are more than 10,000, or the sum
    /// overflows.
    pub fn of_sizes(sizes: impl IntoIterator<Item = u64>) -> Option<PartLayout> {
        PartLayout::of_runs(sizes.into_iter().map(|size| (1, size)))
    }

    /// The layout of runs of a count and a size in bytes; `None` where there are more than 10,000 parts,
    /// or the sum overflows.
    pub(crate) fn of_runs(runs: impl IntoIterator<Item = (u32, u64)>) -> Option<PartLayout> {
        let (mut layout, mut parts, mut bytes) = (PartLayout::default(), 0u32, 0u64);
        for (count, size) in runs {
            parts = parts.checked_add(count).filter(|parts| *parts <= MAX_PARTS)?;
            bytes = bytes.checked_add(size.checked_mul(count.into())?)?;
            match layout.runs.last_mut() {
                Some(last) if last.size == size => last.count += count,
                _ if count > 0 => layout.runs.push(Run { count, size }),
                _ => {}
            }
        }
        Some(layout)
    }

    /// Parts of `part_size` bytes and a last one with the rest of `bytes`; one empty part where
    /// `bytes` is 0. `None` for a size of 0, and where there are more than 10,000 parts.
    pub fn level(bytes: u64, part_size: u64) -> Option<PartLayout> {
        let full = u32::try_from(bytes.checked_div(part_size)?).ok()?;
        let rest = bytes % part_size;
        let last = u32::from(rest > 0 || bytes == 0);
        PartLayout::of_runs([(full, part_size), (last, rest)])
    }

    /// The number of parts.
    pub fn parts(&self) -> u32 {
        self.runs.iter().map(|run| run.count).sum()
    }

    /// The sum of all parts in bytes.
    pub fn bytes(&self) -> u64 {
        self.runs.iter().map(|run| run.size * u64::from(run.count)).sum()
    }

    /// The runs in the order of the stream, each as a count and a size in bytes.
    pub fn runs(&self) -> impl Iterator<Item = (u32, u64)> {
        self.runs.iter().map(|run| (run.count, run.size))
    }

    /// The sizes of the parts in the order of the stream.
    pub fn sizes(&self) -> impl Iterator<Item = u64> {
        self.runs().flat_map(|(count, size)| std::iter::repeat_n(size, count as usize))
    }
}

impl Serialize for PartLayout {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_seq(self.runs())
    }
}

impl<'de> Deserialize<'de> for PartLayout {
    /// Fails where a run has no parts, there are more than 10,000 parts, or the sum overflows.
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<PartLayout, D::Error> {
        let runs = Vec::<(u32, u64)>::deserialize(deserializer)?;
        if runs.iter().any(|(count, _)| *count == 0) {
            return Err(D::Error::custom("a run of part sizes without parts"));
        }
        PartLayout::of_runs(runs)
            .ok_or_else(|| D::Error::custom("part sizes of more parts or bytes than an object has"))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn json(layout: &PartLayout) -> String {
        serde_json::to_string(layout).unwrap()
    }

    fn parse(text: &str) -> Result<PartLayout, String> {
        serde_json::from_str(text).map_err(|error| error.to_string())
    }

    #[test]
    fn a_layout_is_stated_as_run_lengths() {
        let layout = PartLayout::level(15 * 128 * MIB + 5, 128 * MIB).unwrap();
        assert_eq!(json(&layout), "[[15,134217728],[1,5]]");
        assert_eq!(parse("[[10,134217728],[5,134217728],[1,5]]"), Ok(layout.clone()));
        assert_eq!((layout.parts(), layout.bytes()), (16, 15 * 128 * MIB + 5));
        assert_eq!(PartLayout::of_sizes(layout.sizes()), Some(layout));
    }

    #[test]
    fn level_parts_end_with_the_rest() {
        let of = |bytes, size| PartLayout::level(bytes, size).map(|layout| json(&layout));
        assert_eq!(of(20, 10).as_deref(), Some("[[2,10]]"));
        assert_eq!(of(21, 10).as_deref(), Some("[[2,10],[1,1]]"));
        assert_eq!(of(9, 10).as_deref(), Some("[[1,9]]"));
        assert_eq!(of(0, 10).as_deref(), Some("[[1,0]]"));
        assert_eq!(of(100_000, 10).as_deref(), Some("[[10000,10]]"));
        assert_eq!((of(100_001, 10), of(5, 0), of(u64::MAX, 1)), (None, None, None));
    }

    #[test]
    fn run_lengths_of_no_object_are_an_error() {
        for text in [
            "[[10001,1]]",
            "[[5000,1],[5000,2],[1,3]]",
            "[[2,18446744073709551615]]",
            "[[1,18446744073709551615],[1,1]]",
            "[[0,5]]",
            "[[1,-5]]",
            "[[1]]",
            "[1,5]",
            "{}",
            "null",
        ] {
            assert!(parse(text).is_err(), "{text}");
        }
        assert_eq!(parse("[]"), Ok(PartLayout::default()));
    }

    proptest! {
        #[test]
        fn sizes_of_any_order_round_trip_through_run_lengths(
            runs in prop::collection::vec((1..50u32, 0..4u64), 0..100),
        ) {
            let layout = PartLayout::of_runs(runs.clone()).unwrap();
            let sizes: Vec<u64> =
                runs.iter().flat_map(|(count, size)| vec![*size; *count as usize]).collect();
            prop_assert_eq!(layout.sizes().collect::<Vec<_>>(), sizes.clone());
            prop_assert_eq!((layout.parts() as usize, layout.bytes()),
                (sizes.len(), sizes.iter().sum()));
            let read = parse(&json(&layout)).unwrap();
            prop_assert_eq!(&read, &layout);
            prop_assert_eq!(PartLayout::of_sizes(sizes), Some(layout));
        }
    }
}
