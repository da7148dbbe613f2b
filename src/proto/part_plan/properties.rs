//! Properties of all part plans: limits hold, and reading never waits for memory in vain.

use super::*;
use crate::part_layout::UNIT;
use proptest::prelude::*;

fn inputs() -> impl Strategy<Value = PlanInput> {
    let log = |range: std::ops::Range<f64>| range.prop_map(|exponent| exponent.exp2() as u64);
    (
        proptest::option::of(log(20.0..36.0)),
        proptest::option::of(prop_oneof![1u16..20, any::<u16>().prop_map(|n| n.max(1))]),
        proptest::option::of(log(24.33..40.0)),
        proptest::option::of(log(0.0..44.0)),
        proptest::option::of(log(24.0..42.0)),
    )
        .prop_map(|(part_size, parallel, max_memory, expected_size, available_memory)| {
            PlanInput { part_size, parallel, max_memory, expected_size, available_memory }
        })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(300))]

    #[test]
    fn every_length_and_limit_has_a_plan(input in inputs()) {
        let plan = plan(&input).unwrap();
        let buffer = plan.buffer_size as u64;
        // A part that is closed early for lack of memory has at least one buffer.
        prop_assert!(buffer >= MIN_PART);
        let limit = input.max_memory.or(input.available_memory.map(|m| (m / 4).max(20 * MIB)));
        let (mut sum, mut before) = (0u64, MIN_PART);
        for number in 1..=MAX_PARTS {
            let size = plan.part_size(number);
            prop_assert!(size >= before && size <= MAX_PART, "part {} of {}", number, size);
            prop_assert_eq!(size % UNIT, 0, "part {} is not of the family", number);
            let room = plan.buffers_for(number) as u64;
            prop_assert!(room > size.div_ceil(buffer), "part {number} has {room} buffers");
            prop_assert!(limit.is_none_or(|limit| room * buffer <= limit));
            prop_assert!(room <= (u64::from(plan.parallel) + 1) * size.div_ceil(buffer));
            (sum, before) = (sum + size, size);
        }
        prop_assert_eq!(plan.max_stream(), sum.min(MAX_OBJECT));
        // 10 TiB fit if memory does not limit the parts.
        if limit.is_none_or(|limit| limit >= 1200 * MIB + buffer) {
            prop_assert_eq!(plan.max_stream(), MAX_OBJECT);
        }
        // A reduced size or count is announced, and so is a limit below the expected size.
        let reduced = input.part_size.is_some_and(|given| plan.part_size(1) != given);
        let fewer = input.parallel.is_some_and(|given| plan.parallel != given);
        let short = plan.max_stream() < input.expected_size.unwrap_or(TIB);
        // So is a bound that the memory does not hold.
        let memory = input.available_memory.unwrap_or(u64::MAX);
        let too_much = input.max_memory.is_some_and(|max| max > memory.saturating_sub(100 * MIB));
        let due = [reduced, fewer, short, too_much].into_iter().filter(|due| *due).count();
        prop_assert!(plan.warnings.len() >= due, "{:?} of {}", plan.warnings, due);
        if due == 0 && input.available_memory.is_none_or(|memory| memory >= 8 * MIN_PART) {
            prop_assert_eq!(plan.warnings, Vec::<String>::new());
        }
    }

    #[test]
    fn every_plan_is_stated_as_run_lengths(input in inputs(), share in 0.0..1.0f64) {
        let plan = plan(&input).unwrap();
        let bytes = (plan.max_stream() as f64 * share) as u64;
        let layout = plan.layout(bytes).unwrap();
        let text = serde_json::to_string(&layout).unwrap();
        prop_assert_eq!(serde_json::from_str::<PartLayout>(&text).unwrap(), layout.clone());
        prop_assert_eq!(layout.bytes(), bytes);
        let parts = layout.sizes().zip(1..);
        for (size, number) in parts {
            prop_assert!(number == layout.parts() || size == plan.part_size(number));
        }
        prop_assert_eq!(plan.layout(plan.max_stream() + 1), None);
    }

    /// Reads one buffer at a time while parts are acknowledged in any order. With every plan, reading
    /// never waits while nothing is in flight, and never exceeds the pool.
    #[test]
    fn reading_never_waits_for_memory_that_only_reading_would_free(
        input in inputs(), from in 1u32..9_500, choices in proptest::collection::vec(any::<u16>(), 400),
    ) {
        let plan = plan(&input).unwrap();
        let buffer = plan.buffer_size as u64;
        let (mut number, mut filled, mut in_flight) = (from, 0u64, Vec::<u64>::new());
        for choice in choices {
            let used = filled + in_flight.iter().sum::<u64>();
            let may_read = used < plan.buffers_for(number) as u64;
            prop_assert!(may_read || !in_flight.is_empty(), "stuck at part {}", number);
            if may_read && (in_flight.is_empty() || choice % 3 > 0) {
                filled += 1;
                let needed = plan.part_size(number).div_ceil(buffer);
                if filled == needed {
                    in_flight.push(std::mem::take(&mut filled));
                    number += 1;
                }
            } else {
                in_flight.swap_remove(usize::from(choice) % in_flight.len());
            }
        }
    }
}
