//! The cut of a stream whose upload holds parts already: where an upload that is resumed was cut.
//!
//! Owns the sizes that the held parts imply. Must not know digests, or which parts are reused. Invariant:
//! a size that is implied fits into the memory of the plan, so that the part can be sent again.
//!
//! Up to the first hole (a number that the service holds no part of) the held sizes are the cut. Behind it
//! a size follows only where all held parts but the last have one size; else the plan decides, and a held
//! part that was cut elsewhere does not match. The last held part may have been the end of a stream, so
//! that its size counts only if it is that of a full part.

use super::{MAX_PART, MIN_PART};
use crate::part_layout::UNIT;

/// The sizes that the held parts imply, in bytes.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct HeldCut {
    /// Part n at index n - 1, up to the first hole.
    prefix: Vec<u64>,
    /// The size of all parts up to this number.
    level: Option<(u32, u64)>,
}

impl HeldCut {
    /// The cut that `held` (number and size in bytes, ascending by number) implies. `planned` is the size
    /// of a part by the plan, and `fits` whether memory can hold a part of a size.
    pub(super) fn of(
        held: &[(u32, u64)],
        planned: impl Fn(u32) -> u64,
        fits: impl Fn(u64) -> bool,
    ) -> HeldCut {
        let usable = |size: u64| size > 0 && size <= MAX_PART && fits(size);
        let Some(((last, last_size), before)) = held.split_last() else {
            return HeldCut::default();
        };
        let mut prefix = Vec::new();
        for ((number, size), expected) in held.iter().zip(1..) {
            if *number != expected || !usable(*size) {
                break;
            }
            let full = prefix.last().copied().unwrap_or_else(|| planned(*number));
            let regular = *size >= full || (*size >= MIN_PART && *size % UNIT == 0);
            prefix.push(if number == last && !regular && usable(full) { full } else { *size });
        }
        let level = before.first().map(|(_, size)| *size).filter(|size| {
            usable(*size) && before.iter().all(|(_, other)| other == size) && last_size <= size
        });
        HeldCut { prefix, level: level.map(|size| (*last, size)) }
    }

    /// The number of parts up to the last one whose size is implied.
    pub(super) fn count(&self) -> u32 {
        self.level.map_or(0, |(last, _)| last).max(self.prefix.len() as u32)
    }

    /// The bytes of these parts.
    pub(super) fn sum(&self) -> u64 {
        (1..=self.count()).filter_map(|number| self.size(number)).sum()
    }

    /// The size of part `number`, counted from 1, where the held parts imply it.
    pub(super) fn size(&self, number: u32) -> Option<u64> {
        let prefix = self.prefix.get(number.checked_sub(1)? as usize).copied();
        prefix.or_else(|| self.level.filter(|(last, _)| number <= *last).map(|(_, size)| size))
    }
}

#[cfg(test)]
mod tests {
    use crate::part_plan::{MAX_PART, PartPlan, PlanInput, plan};
    use crate::units::MIB;

    fn continued(held: &[(u32, u64)], max_memory: Option<u64>) -> PartPlan {
        let input = PlanInput { max_memory, ..PlanInput::default() };
        plan(&input).unwrap().continuing(held)
    }

    fn sizes(held: &[(u32, u64)]) -> Vec<u64> {
        let plan = continued(held, None);
        (1..=6).map(|number| plan.part_size(number) / MIB).collect()
    }

    #[test]
    fn the_held_layout_counts_up_to_the_first_hole_and_the_plan_behind_it() {
        assert_eq!(sizes(&[]), [128; 6]);
        assert_eq!(
            sizes(&[(1, 16 * MIB), (2, 32 * MIB), (3, 16 * MIB)]),
            [16, 32, 16, 128, 128, 128]
        );
        assert_eq!(
            sizes(&[(1, 16 * MIB), (3, 32 * MIB), (4, 64 * MIB)]),
            [16, 128, 128, 128, 128, 128]
        );
    }

    #[test]
    fn the_size_of_a_hole_follows_from_parts_of_one_size() {
        assert_eq!(sizes(&[(2, 16 * MIB), (4, 16 * MIB)]), [16, 16, 16, 16, 128, 128]);
        // The last may be the end of a stream.
        assert_eq!(sizes(&[(1, 16 * MIB), (3, 16 * MIB), (4, 5)]), [16, 16, 16, 16, 128, 128]);
        // One part alone shows nothing about those before it.
        assert_eq!(sizes(&[(3, 16 * MIB)]), [128; 6]);
        // A part of no bytes, or of more than the service takes, shows nothing.
        assert_eq!(sizes(&[(1, 0), (2, 16 * MIB)]), [128; 6]);
        assert_eq!(sizes(&[(1, MAX_PART + MIB), (2, 16 * MIB)]), [128; 6]);
        // A larger last part contradicts a level layout.
        assert_eq!(sizes(&[(2, 16 * MIB), (4, 17 * MIB)]), [128; 6]);
    }

    #[test]
    fn a_short_last_part_is_read_as_a_full_one_since_the_stream_may_go_on() {
        assert_eq!(sizes(&[(1, 16 * MIB), (2, 5)])[..3], [16, 16, 128]);
        assert_eq!(sizes(&[(1, 5)]), [128; 6]);
        assert_eq!(sizes(&[(1, 16 * MIB), (2, 5 * MIB)])[..3], [16, 16, 128]);
        assert_eq!(sizes(&[(1, 16 * MIB), (2, 12 * MIB + 5)])[..3], [16, 16, 128]);
        // One of a full size is kept.
        assert_eq!(sizes(&[(1, 16 * MIB), (2, 12 * MIB)])[..3], [16, 12, 128]);
    }

    #[test]
    fn a_part_that_memory_cannot_hold_is_cut_by_the_plan() {
        let plan = continued(&[(1, 512 * MIB), (2, 512 * MIB)], Some(100 * MIB));
        assert_eq!((plan.part_size(1), plan.part_size(2)), (20 * MIB, 20 * MIB));
        assert!(
            plan.warnings.iter().any(|text| text.contains("sent again")),
            "{:?}",
            plan.warnings
        );
        let plan = continued(&[(1, 512 * MIB), (2, 512 * MIB)], None);
        assert_eq!(plan.part_size(2), 512 * MIB);
        assert_eq!(plan.buffers_for(2), 5 * 4);
    }

    #[test]
    fn the_longest_stream_is_that_of_the_cut() {
        let ten = |number| (number, 10 * MIB);
        let held: Vec<_> = (1..=9_999).map(ten).collect();
        let plan = continued(&held, None);
        assert_eq!(plan.max_stream(), 9_999 * 10 * MIB + plan.part_size(10_000));
        assert_eq!(plan.layout(25 * MIB).unwrap().parts(), 3);
    }

    proptest::proptest! {
        #[test]
        fn reading_never_waits_for_memory_whatever_is_held(
            held in proptest::collection::btree_map(1..40u32, 0..(600 * MIB), 0..20),
            memory in 20 * MIB..4096 * MIB,
        ) {
            let held: Vec<(u32, u64)> = held.into_iter().collect();
            let plan = continued(&held, Some(memory));
            let buffer = plan.buffer_size as u64;
            for number in 1..60 {
                let size = plan.part_size(number);
                let room = plan.buffers_for(number) as u64;
                proptest::prop_assert!(size > 0 && room > size.div_ceil(buffer), "{}", number);
                proptest::prop_assert!(room * buffer <= memory);
            }
        }
    }
}
