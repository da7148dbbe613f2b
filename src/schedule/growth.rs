//! How parts grow with their number.
//!
//! Owns the shape of the growth and the search for the gentlest one that holds a stream long enough.
//! Knows nothing of options, of warnings or of how many parts are in flight.
//! Invariant: sizes never fall from one part to the next, and all but those of the first level are
//! whole buffers, or the most that the service takes.

use super::{MAX_OBJECT, MAX_PART, MAX_PARTS};

/// How many parts stay as large as the first: no fewer than this, and with a hint no more than that,
/// so that the rest can still take a stream of 10 TiB with parts of a sensible size.
const LEVEL_AT_LEAST: u64 = 2_500;
const LEVEL_AT_MOST: u64 = 7_000;

/// What a growth starts from.
pub(super) struct Wish {
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
pub(super) struct Growth {
    first: u64,
    buffer: u64,
    start: u64,
    top: u64,
    flat: u32,
    full: u32,
}

impl Growth {
    /// No growth: every part is as large as the first.
    pub fn none(first: u64, buffer: u64) -> Growth {
        let start = first.div_ceil(buffer);
        Growth { first, buffer, start, top: start, flat: MAX_PARTS, full: MAX_PARTS }
    }

    /// Chooses the growth. A stream of unknown length should not run out of part numbers before
    /// 10 TiB, nor hold more memory than its length so far justifies. So parts stay level for a
    /// first quarter of the numbers, or for as many as the expected length takes, and then grow by
    /// even steps: a dump of some hundred GB hardly notices, and the last parts are half as large as
    /// if every step were by the same factor.
    pub fn for_wish(wish: &Wish) -> Growth {
        let Wish { first, buffer, .. } = *wish;
        let least = first.div_ceil(buffer);
        let most = wish.most.min(MAX_PART / buffer).max(least);
        // A tenth more than expected, to be on the safe side.
        let likely = wish.expected.map_or(0, |size| size.saturating_add(size / 10));
        let likely = likely.min(MAX_OBJECT);
        let wanted = likely.div_ceil(LEVEL_AT_MOST).div_ceil(buffer);
        let start = wanted.min(wish.start_at_most).min(most).max(least);
        let level = match likely.div_ceil((start * buffer).max(first)) {
            parts if parts <= LEVEL_AT_MOST => parts.max(LEVEL_AT_LEAST),
            _ => LEVEL_AT_LEAST,
        };
        // Where growth is complete before the last number, its level share shrinks with it.
        let shape = |top: u64, full: u32| {
            let flat = (u64::from(full) * level / u64::from(MAX_PARTS)) as u32;
            Growth { first, buffer, start, top, flat, full }
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
        if number <= self.flat {
            self.start
        } else if number >= self.full {
            self.top
        } else {
            let (gone, way) = (u64::from(number - self.flat), u64::from(self.full - self.flat));
            self.start + (self.top - self.start) * gone / way
        }
    }

    /// Bytes that part `number` holds.
    pub fn size(&self, number: u32) -> u64 {
        match self.buffers(number) * self.buffer {
            // The first size is the user's to the byte, also where it is no multiple of a buffer.
            bytes if bytes < self.first + self.buffer => self.first,
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

    fn growth(most: u64, expected: Option<u64>) -> Growth {
        let start_at_most = 1;
        Growth::for_wish(&Wish { first: BUFFER, buffer: BUFFER, most, start_at_most, expected })
    }

    #[test]
    fn growth_starts_late_and_is_no_steeper_than_ten_tib_need() {
        let plain = growth(u64::MAX, None);
        assert_eq!((plain.start, plain.top, plain.flat, plain.full), (1, 22, 2_500, 10_000));
        assert!(plain.total() >= MAX_OBJECT);
        assert!(Growth { top: 21, ..plain }.total() < MAX_OBJECT);
    }

    #[test]
    fn a_ceiling_makes_growth_earlier_not_higher() {
        let low = growth(10, None);
        assert_eq!((low.start, low.top), (1, 10));
        assert!(low.flat < 2_500 && low.full < 10_000, "{low:?}");
        assert!(low.total() >= MAX_OBJECT);
    }

    #[test]
    fn where_ten_tib_are_out_of_reach_the_start_stays_level() {
        let short = growth(4, None);
        let reach = 4 * BUFFER * u64::from(MAX_PARTS);
        assert!(short.total() >= reach / 4 * 3 && short.total() < reach / 100 * 76, "{short:?}");
        assert!(short.flat > 1_000, "{short:?}");
        // A hint that needs more gets more, and one that nothing can satisfy changes nothing.
        assert!(growth(4, Some(reach / 100 * 95)).total() >= reach / 100 * 95);
        assert!(growth(4, Some(reach * 2)).total() < reach);
    }
}
