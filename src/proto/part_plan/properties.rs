//! Every length and every bound has a schedule, and no schedule can stand still.

use super::*;
use proptest::prelude::*;

fn requests() -> impl Strategy<Value = PlanInput> {
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
    fn every_length_and_bound_has_a_schedule(request in requests()) {
        let plan = plan(&request).unwrap();
        let buffer = plan.buffer_size as u64;
        // So that a part which is closed early for want of memory is not too small.
        prop_assert!(buffer >= MIN_PART);
        let bound = request.max_memory.or(request.available_memory.map(|m| (m / 4).max(20 * MIB)));
        let (mut sum, mut before) = (0u64, MIN_PART);
        for number in 1..=MAX_PARTS {
            let size = plan.part_size(number);
            prop_assert!(size >= before && size <= MAX_PART, "part {} of {}", number, size);
            let room = plan.buffers_for(number) as u64;
            prop_assert!(room > size.div_ceil(buffer), "part {number} has {room} buffers");
            prop_assert!(bound.is_none_or(|bound| room * buffer <= bound));
            prop_assert!(room <= (u64::from(plan.parallel) + 1) * size.div_ceil(buffer));
            (sum, before) = (sum + size, size);
        }
        prop_assert_eq!(plan.max_stream(), sum.min(MAX_OBJECT));
        // Ten TiB fit wherever memory is no obstacle.
        if bound.is_none_or(|bound| bound >= 1200 * MIB + buffer) {
            prop_assert_eq!(plan.max_stream(), MAX_OBJECT);
        }
        // A first size or count below the wish is announced, and so is a stream too short.
        let reduced = request.part_size.is_some_and(|wish| plan.part_size(1) != wish);
        let fewer = request.parallel.is_some_and(|wish| plan.parallel != wish);
        let short = plan.max_stream() < request.expected_size.unwrap_or(TIB);
        let due = usize::from(reduced) + usize::from(fewer) + usize::from(short);
        prop_assert!(plan.warnings.len() >= due, "{:?} of {}", plan.warnings, due);
        if due == 0 && request.available_memory.is_none_or(|memory| memory >= 8 * MIN_PART) {
            prop_assert_eq!(plan.warnings, Vec::<String>::new());
        }
    }

    /// Reading one buffer at a time against parts that are acknowledged in any order: whatever
    /// the plan, reading never waits while nothing is in flight, and never exceeds the pool.
    #[test]
    fn reading_never_waits_for_memory_that_only_reading_would_free(
        request in requests(), from in 1u32..9_500, choices in proptest::collection::vec(any::<u16>(), 400),
    ) {
        let plan = plan(&request).unwrap();
        let buffer = plan.buffer_size as u64;
        let (mut number, mut held, mut flying) = (from, 0u64, Vec::<u64>::new());
        for choice in choices {
            let out = held + flying.iter().sum::<u64>();
            let may_read = out < plan.buffers_for(number) as u64;
            prop_assert!(may_read || !flying.is_empty(), "stuck at part {}", number);
            if may_read && (flying.is_empty() || choice % 3 > 0) {
                held += 1;
                let needed = plan.part_size(number).div_ceil(buffer);
                if held == needed {
                    flying.push(std::mem::take(&mut held));
                    number += 1;
                }
            } else {
                flying.swap_remove(usize::from(choice) % flying.len());
            }
        }
    }
}
