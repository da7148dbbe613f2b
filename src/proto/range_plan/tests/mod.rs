//! The sizes of a download, at its start and while it runs.

mod control;
mod model;

use super::*;
use crate::units::GIB;
use proptest::prelude::*;

fn planned(input: RangePlanInput) -> RangePlan {
    plan(&input).unwrap()
}

#[test]
fn by_default_four_ranges_of_64_mib_fill_256_mib() {
    for memory in [GIB, 64 * GIB] {
        let plan =
            planned(RangePlanInput { available_memory: Some(memory), ..RangePlanInput::default() });
        assert_eq!((plan.parallel, plan.range), (4, 64 * MIB));
        assert_eq!(plan.buffers as u64 * plan.buffer_size as u64, 256 * MIB);
        assert_eq!(plan.warnings, Vec::<String>::new());
    }
}

#[test]
fn less_memory_makes_smaller_ranges_and_then_fewer() {
    let sizes = |memory| {
        let max_memory = Some(memory);
        let plan = planned(RangePlanInput { max_memory, ..RangePlanInput::default() });
        assert_eq!(plan.warnings, Vec::<String>::new());
        (plan.parallel, plan.range)
    };
    assert_eq!(sizes(128 * MIB), (4, 32 * MIB));
    assert_eq!(sizes(8 * MIB), (4, 2 * MIB));
    assert_eq!(sizes(3 * MIB), (3, MIB));
    assert_eq!(sizes(2 * MIB), (2, MIB));
    assert!(plan(&RangePlanInput { max_memory: Some(MIB), ..Default::default() }).is_err());
}

#[test]
fn a_value_of_the_user_is_kept_if_it_fits_and_reduced_with_a_warning_if_not() {
    let with = |part_size, parallel, max_memory| {
        let plan =
            planned(RangePlanInput { part_size, parallel, max_memory, available_memory: None });
        (plan.parallel, plan.range, plan.warnings.len())
    };
    assert_eq!(with(Some(128 * MIB), None, None), (2, 128 * MIB, 0));
    assert_eq!(with(Some(GIB), None, None), (1, 256 * MIB, 1));
    assert_eq!(with(None, Some(8), Some(40 * MIB)), (8, 4_718_592, 0));
    assert_eq!(with(Some(64 * MIB), Some(8), None).2, 1);
    assert_eq!(with(None, Some(1000), Some(64 * MIB)).2, 1);
    assert_eq!(with(Some(5), None, None), (4, MIB, 1));
}

#[test]
fn the_ranges_of_a_small_object_are_shared_out() {
    let plan = planned(RangePlanInput::default());
    assert_eq!(plan.range_size(GIB), 64 * MIB);
    assert_eq!(plan.range_size(200 * MIB), 50 * MIB);
    assert_eq!(plan.range_size(17 * MIB), 16 * MIB);
    assert_eq!((plan.range_size(7), plan.buffers_for(7)), (16 * MIB, 1));
}

proptest! {
    #[test]
    fn buffers_are_within_the_limit_and_hold_every_range_in_flight(
        part_size in proptest::option::of(1..4 * GIB),
        parallel in proptest::option::of(1u16..=1000),
        max_memory in proptest::option::of(2 * MIB..8 * GIB),
        available_memory in proptest::option::of(0..64 * GIB),
        left in 1..200 * GIB,
    ) {
        let input = RangePlanInput { part_size, parallel, max_memory, available_memory };
        let plan = plan(&input).unwrap();
        let memory = plan.buffers as u64 * plan.buffer_size as u64;
        prop_assert!(memory <= max_memory.unwrap_or(DEFAULT_MEMORY), "{plan:?}");
        prop_assert!(plan.parallel >= 1 && plan.buffer_size.is_multiple_of(PAGE as usize));
        prop_assert!(plan.buffers >= plan.parallel * plan.buffers_for(plan.range), "{plan:?}");
        let range = plan.range_size(left);
        prop_assert!(range >= 1 && plan.buffers_for(range) <= plan.buffers);
    }
}
