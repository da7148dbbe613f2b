//! How parts grow with their number.
//!
//! Owns the shape of the growth and the search for the gentlest one that holds a stream long enough.
//! Knows nothing of options, of warnings or of how many parts are in flight.
//! Invariant: sizes never fall from one part to the next, and all but those of the first level are
//! whole buffers, or the most that the service takes.

use super::{MAX_OBJECT, MAX_PART, MAX_PARTS};

/// How many parts stay as large as the first: no fewer than this, and with a hint no more than that,
/// so that the rest can still take a stream of 10 TiB with parts of a sensible size.
const MIN_FLAT_PARTS: u64 = 2_500;
const MAX_FLAT_PARTS: u64 = 7_000;

/// What a growth starts from.
pub(super) struct GrowthInput {
    /// Size of the first part.
    pub first: u64,
    /// Size of a buffer.
    pub buffer: u64,
    /// The largest part that memory allows, in buffers.
    pub most: u64,
    /// The largest start, in buffers, that a hint may lead to.
    pub start_at_most: u64,
    /// The length that is hinted at.
    pub expected: Option<u64>,
}

/// Sizes counted in buffers: level at `start` up to part `flat`, then by even steps up to `top` at
/// part `full`, and level from there.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct PartGrowth {
    first_size: u64,
    buffer: u64,
    start: u64,
    max: u64,
    flat_until: u32,
    max_from: u32,
}

impl PartGrowth {
    /// No growth: every part is as large as the first.
    pub fn none(first_size: u64, buffer: u64) -> PartGrowth {
        let start = first_size.div_ceil(buffer);
        PartGrowth {
            first_size,
            buffer,
            start,
            max: start,
            flat_until: MAX_PARTS,
            max_from: MAX_PARTS,
        }
    }

    /// Chooses the growth. A stream of unknown length should not run out of part numbers before
    /// 10 TiB, nor hold more memory than its length so far justifies. So parts stay level for a
    /// first quarter of the numbers, or for as many as the expected length takes, and then grow by
    /// even steps: a dump of some hundred GB hardly notices, and the last parts are half as large as
    /// if every step were by the same factor.
    pub fn for_input(wish: &GrowthInput) -> PartGrowth {
        let GrowthInput { first, buffer, .. } = *wish;
        let least = first.div_ceil(buffer);
        let most = wish.most.min(MAX_PART / buffer).max(least);
        // A tenth more than expected, to be on the safe side.
        let likely = wish.expected.map_or(0, |size| size.saturating_add(size / 10));
        let likely = likely.min(MAX_OBJECT);
        let wanted = likely.div_ceil(MAX_FLAT_PARTS).div_ceil(buffer);
        let start = wanted.min(wish.start_at_most).min(most).max(least);
        let level = match likely.div_ceil((start * buffer).max(first)) {
            parts if parts <= MAX_FLAT_PARTS => parts.max(MIN_FLAT_PARTS),
            _ => MIN_FLAT_PARTS,
        };
        // Where growth is complete before the last number, its level share shrinks with it.
        let shape = |top: u64, full: u32| {
            let flat = (u64::from(full) * level / u64::from(MAX_PARTS)) as u32;
            PartGrowth {
                first_size: first,
                buffer,
                start,
                max: top,
                flat_until: flat,
                max_from: full,
            }
        };
        let target = target(wish.expected, shape(most, 0).total());
        // As little as possible at the end; if the bound cuts that off, as late as possible.
        match smallest(start, most, |top| shape(top, MAX_PARTS).total() >= target) {
            Some(top) => shape(top, MAX_PARTS),
            None => {
                let full = |earlier: u64| MAX_PARTS - earlier as u32;
                let reaches = |earlier| shape(most, full(earlier)).total() >= target;
                let earlier = smallest(0, u64::from(MAX_PARTS), reaches);
                shape(most, full(earlier.unwrap_or(0)))
            }
        }
    }

    /// Buffers that part `number` spans.
    pub fn buffers(&self, number: u32) -> u64 {
        if number <= self.flat_until {
            self.start
        } else if number >= self.max_from {
            self.max
        } else {
            let (gone, way) =
                (u64::from(number - self.flat_until), u64::from(self.max_from - self.flat_until));
            self.start + (self.max - self.start) * gone / way
        }
    }

    /// Bytes that part `number` holds.
    pub fn size(&self, number: u32) -> u64 {
        match self.buffers(number) * self.buffer {
            // The first size is the user's to the byte, also where it is no multiple of a buffer.
            bytes if bytes < self.first_size + self.buffer => self.first_size,
            bytes => bytes.min(MAX_PART),
        }
    }

    /// What all parts together hold.
    pub fn total(&self) -> u64 {
        (1..=MAX_PARTS).map(|number| self.size(number)).sum()
    }
}

/// What the parts should hold in all, where `reach` is what they could hold if every part were as
/// large as memory allows. Where that is less than an object may be long, three quarters of it must
/// do unless more is expected: large parts leave fewer in flight, and short streams are the common
/// ones.
fn target(expected: Option<u64>, reach: u64) -> u64 {
    match expected {
        _ if reach >= MAX_OBJECT => MAX_OBJECT,
        Some(expected) if expected <= reach => expected.max(reach / 4 * 3),
        _ => reach / 4 * 3,
    }
}

/// The smallest number from `low` to `high` for which a condition holds that holds for all larger
/// ones.
fn smallest(mut low: u64, mut high: u64, holds: impl Fn(u64) -> bool) -> Option<u64> {
    if low > high || !holds(high) {
        return None;
    }
    while low < high {
        let middle = low + (high - low) / 2;
        match holds(middle) {
            true => high = middle,
            false => low = middle + 1,
        }
    }
    Some(low)
}

#[cfg(test)]
mod tests {
    use super::*;

    const BUFFER: u64 = 128 << 20;

    fn growth(most: u64, expected: Option<u64>) -> PartGrowth {
        let start_at_most = 1;
        PartGrowth::for_input(&GrowthInput {
            first: BUFFER,
            buffer: BUFFER,
            most,
            start_at_most,
            expected,
        })
    }

    #[test]
    fn growth_starts_late_and_is_no_steeper_than_ten_tib_need() {
        let plain = growth(u64::MAX, None);
        assert_eq!(
            (plain.start, plain.max, plain.flat_until, plain.max_from),
            (1, 22, 2_500, 10_000)
        );
        assert!(plain.total() >= MAX_OBJECT);
        assert!(PartGrowth { max: 21, ..plain }.total() < MAX_OBJECT);
    }

    #[test]
    fn a_ceiling_makes_growth_earlier_not_higher() {
        let low = growth(10, None);
        assert_eq!((low.start, low.max), (1, 10));
        assert!(low.flat_until < 2_500 && low.max_from < 10_000, "{low:?}");
        assert!(low.total() >= MAX_OBJECT);
    }

    #[test]
    fn where_ten_tib_are_out_of_reach_the_start_stays_level() {
        let short = growth(4, None);
        let reach = 4 * BUFFER * u64::from(MAX_PARTS);
        assert!(short.total() >= reach / 4 * 3 && short.total() < reach / 100 * 76, "{short:?}");
        assert!(short.flat_until > 1_000, "{short:?}");
        // A hint that needs more gets more, and one that nothing can satisfy changes nothing.
        assert!(growth(4, Some(reach / 100 * 95)).total() >= reach / 100 * 95);
        assert!(growth(4, Some(reach * 2)).total() < reach);
    }
}
