//! Part growth: larger parts later in a long stream.
//!
//! Owns the shape of the growth, and the search for the least growth with which the parts hold a long
//! stream. Must not know options, warnings or the number of parts in flight.
//! Invariant: sizes never decrease with the part number; each size is the first one or a whole number of
//! buffers, and at most 50 GiB. All of these are whole MiB, the family of `part_layout`.

use super::{MAX_OBJECT, MAX_PART, MAX_PARTS};

/// The least number of parts that are as large as the first.
const MIN_FLAT_PARTS: u64 = 2_500;
/// The highest number of parts that an expected size keeps as large as the first. The other 3,000 can then
/// still hold a stream of 10 TiB.
const MAX_FLAT_PARTS: u64 = 7_000;

/// The constraints of a growth.
pub(super) struct GrowthInput {
    /// Size of the first part in bytes.
    pub first: u64,
    /// Size of a buffer in bytes.
    pub buffer: u64,
    /// The largest part that memory allows, in buffers.
    pub most: u64,
    /// The largest first part, in buffers, that an expected size may cause.
    pub start_at_most: u64,
    /// The expected length of the stream in bytes.
    pub expected: Option<u64>,
}

/// Part sizes in buffers: `start` up to part `flat_until`, then equal steps up to `max` at part `max_from`,
/// and `max` from there.
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
    /// No growth: each part is as large as the first.
    pub(super) fn none(first_size: u64, buffer: u64) -> PartGrowth {
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

    /// Chooses the growth. A stream of unknown length must reach 10 TiB within 10,000 parts, and must not
    /// use more memory than its length so far requires. So the first 2,500 parts, or as many as the
    /// expected size needs, have the same size; after that the size grows by equal steps. A dump of a
    /// few hundred GB hardly grows, and the last parts are half as large as with exponential growth.
    pub(super) fn for_input(input: &GrowthInput) -> PartGrowth {
        let GrowthInput { first, buffer, .. } = *input;
        let least = first.div_ceil(buffer);
        let most = input.most.min(MAX_PART / buffer).max(least);
        // Ten percent of tolerance.
        let likely = input.expected.map_or(0, |size| size.saturating_add(size / 10));
        let likely = likely.min(MAX_OBJECT);
        let wanted = likely.div_ceil(MAX_FLAT_PARTS).div_ceil(buffer);
        let start = wanted.min(input.start_at_most).min(most).max(least);
        let level = match likely.div_ceil((start * buffer).max(first)) {
            parts if parts <= MAX_FLAT_PARTS => parts.max(MIN_FLAT_PARTS),
            _ => MIN_FLAT_PARTS,
        };
        // If growth is complete before the last number, the flat part is shorter in proportion.
        let shape = |max: u64, max_from: u32| {
            let flat = (u64::from(max_from) * level / u64::from(MAX_PARTS)) as u32;
            PartGrowth { first_size: first, buffer, start, max, flat_until: flat, max_from }
        };
        let target = target(input.expected, shape(most, 0).total());
        // The smallest maximum that holds the target; if memory does not allow it, the latest growth.
        match smallest(start, most, |max| shape(max, MAX_PARTS).total() >= target) {
            Some(max) => shape(max, MAX_PARTS),
            None => {
                let max_from = |earlier: u64| MAX_PARTS - earlier as u32;
                let reaches = |earlier| shape(most, max_from(earlier)).total() >= target;
                let earlier = smallest(0, u64::from(MAX_PARTS), reaches);
                shape(most, max_from(earlier.unwrap_or(0)))
            }
        }
    }

    /// The number of buffers of part `number`.
    pub(super) fn buffers(&self, number: u32) -> u64 {
        if number <= self.flat_until {
            self.start
        } else if number >= self.max_from {
            self.max
        } else {
            let steps = u64::from(number - self.flat_until);
            let all_steps = u64::from(self.max_from - self.flat_until);
            self.start + (self.max - self.start) * steps / all_steps
        }
    }

    /// The size of part `number` in bytes.
    pub(super) fn size(&self, number: u32) -> u64 {
        match self.buffers(number) * self.buffer {
            // The first size is exactly that of the user, also if it is not a multiple of a buffer.
            bytes if bytes < self.first_size + self.buffer => self.first_size,
            bytes => bytes,
        }
    }

    /// The sum of all part sizes in bytes. Each start of the program needs a dozen of these sums.
    pub(super) fn total(&self) -> u64 {
        let (all, flat) = (u64::from(MAX_PARTS), u64::from(self.flat_until));
        let steps = u64::from(self.max_from).saturating_sub(flat);
        let (rising, step) = (steps.saturating_sub(1), self.max - self.start);
        // The whole quotients of 1 to n - 1 times d by n have the sum ((d - 1) (n - 1) + gcd(d, n) - 1) / 2.
        let grown = match steps {
            0 => 0,
            steps => (step * rising + gcd(step, steps) - steps) / 2,
        };
        let buffers = self.start * (flat + rising) + grown + self.max * (all - flat - rising);
        // As many parts as the first have its size, and not that of their buffers.
        let first = self.start * self.buffer;
        let level = match step {
            _ if first >= self.first_size + self.buffer => 0,
            0 => all,
            step => flat + rising.min(steps.saturating_sub(1) / step),
        };
        buffers * self.buffer - level * (first - self.first_size)
    }
}

fn gcd(a: u64, b: u64) -> u64 {
    if b == 0 { a } else { gcd(b, a % b) }
}

/// The bytes that all parts together must hold; `reach` is what they hold if each part is as large as
/// memory allows. If `reach` is below the largest object, the target is three quarters of it, or the
/// expected size if that is more: large parts mean fewer in flight, and most streams are short.
fn target(expected: Option<u64>, reach: u64) -> u64 {
    match expected {
        _ if reach >= MAX_OBJECT => MAX_OBJECT,
        Some(expected) if expected <= reach => expected.max(reach / 4 * 3),
        _ => reach / 4 * 3,
    }
}

/// The smallest number from `low` to `high` for which a monotonic condition holds, by bisection.
fn smallest(mut low: u64, mut high: u64, holds: impl Fn(u64) -> bool) -> Option<u64> {
    if !holds(high) {
        return None;
    }
    while low < high {
        let middle = low + (high - low) / 2;
        if holds(middle) {
            high = middle;
        } else {
            low = middle + 1;
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
    fn the_total_is_the_sum_of_the_sizes() {
        for _ in 0..300 {
            let buffer = fastrand::u64(1..400) << 20;
            let max_from = fastrand::u32(0..=MAX_PARTS);
            let start = fastrand::u64(1..5);
            let growth = PartGrowth {
                // The first size may be some buffers less, where an expected size made the start larger.
                first_size: start * buffer - fastrand::u64(0..start * buffer) * fastrand::u64(0..2),
                buffer,
                start,
                max: start + fastrand::u64(0..120) * fastrand::u64(0..2),
                // Sizes may also step from the first to the largest one.
                flat_until: max_from - fastrand::u32(0..=max_from) * fastrand::u32(0..2),
                max_from,
            };
            let sum: u64 = (1..=MAX_PARTS).map(|number| growth.size(number)).sum();
            assert_eq!(growth.total(), sum, "{growth:?}");
        }
    }

    #[test]
    fn a_ceiling_makes_growth_earlier_not_higher() {
        let low = growth(10, None);
        assert_eq!((low.start, low.max), (1, 10));
        assert!(low.flat_until < 2_500 && low.max_from < 10_000, "{low:?}");
        assert!(low.total() >= MAX_OBJECT);
    }

    #[test]
    fn if_ten_tib_are_out_of_reach_the_start_stays_flat() {
        let short = growth(4, None);
        let reach = 4 * BUFFER * u64::from(MAX_PARTS);
        assert!(short.total() >= reach / 4 * 3 && short.total() < reach / 100 * 76, "{short:?}");
        assert!(short.flat_until > 1_000, "{short:?}");
        // An expected size that needs more gets more; one beyond reach changes nothing.
        assert!(growth(4, Some(reach / 100 * 95)).total() >= reach / 100 * 95);
        assert_eq!(growth(4, Some(reach * 2)), short);
        // Nor does one that three quarters of the reach hold.
        assert_eq!(growth(4, Some(BUFFER)), short);
    }
}
