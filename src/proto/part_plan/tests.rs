//! Tests of the plan: memory, sizes and the longest stream.

use super::*;

fn planned(input: PlanInput) -> PartPlan {
    plan(&input).unwrap()
}

fn with_memory(memory: u64) -> PlanInput {
    PlanInput { available_memory: Some(memory), ..PlanInput::default() }
}

fn with_limit(bytes: u64) -> PlanInput {
    PlanInput { max_memory: Some(bytes), ..PlanInput::default() }
}

fn parts_of(plan: &PartPlan, length: u64) -> u32 {
    let mut remaining = length;
    (1..)
        .find(|number| {
            remaining = remaining.saturating_sub(plan.part_size(*number));
            remaining == 0
        })
        .unwrap()
}

#[test]
fn by_default_five_buffers_of_128_mib_take_the_first_300_gib() {
    let plan = planned(with_memory(64 * GIB));
    assert_eq!(plan.buffer_size as u64, 128 * MIB);
    assert_eq!((plan.parallel, plan.buffers_for(1), plan.memory()), (4, 5, 640 * MIB));
    assert_eq!(plan.part_size(2_500), 128 * MIB);
    assert_eq!(plan.buffers_for(2_500), 5);
    assert_eq!(plan.max_stream(), 10 * TIB);
    assert_eq!(plan.warnings, Vec::<String>::new());
    // What a stream of this length costs in memory at its end.
    let at = |length| plan.part_size(parts_of(&plan, length)) / (128 * MIB);
    assert_eq!((at(300 * GIB), at(500 * GIB), at(TIB), at(10 * TIB)), (1, 3, 6, 21));
    assert_eq!((plan.part_size(0), plan.part_size(10_001)), (0, 0));
}

#[test]
fn parts_get_smaller_before_there_are_fewer_of_them() {
    let of = |memory| {
        let plan = planned(with_memory(memory));
        assert_eq!(plan.warnings.iter().filter(|w| w.contains("reduced")).count(), 0);
        (plan.part_size(1) / MIB, plan.parallel)
    };
    assert_eq!(of(2560 * MIB), (128, 4));
    assert_eq!(of(2 * GIB), (102, 4));
    assert_eq!(of(512 * MIB), (25, 4));
    assert_eq!(of(320 * MIB), (16, 4));
    assert_eq!(of(256 * MIB), (16, 3));
    assert_eq!(of(128 * MIB), (16, 1));
    assert_eq!(of(96 * MIB), (12, 1));
    assert_eq!(of(16 * MIB), (10, 1));
}

#[test]
fn what_the_user_gave_is_reduced_last_and_never_silently() {
    let input = PlanInput { part_size: Some(256 * MIB), ..with_limit(GIB) };
    let plan = planned(input.clone());
    assert_eq!((plan.part_size(1), plan.parallel), (256 * MIB, 3));
    assert_eq!(plan.warnings, Vec::<String>::new());

    let plan = planned(PlanInput { parallel: Some(9), ..input });
    assert_eq!((plan.part_size(1), plan.parallel), (102 * MIB, 9));
    assert_eq!(
        plan.warnings,
        ["--part-size 256 MiB reduced to 102 MiB to fit into --max-memory 1 GiB"]
    );

    let plan = planned(PlanInput { parallel: Some(100), ..with_memory(4 * GIB) });
    assert_eq!((plan.part_size(1), plan.parallel), (16 * MIB, 63));
    assert_eq!(
        plan.warnings,
        ["--parallel-upload-count 100 reduced to 63 to fit into 1.0 GiB, a quarter of the memory \
          there is"]
    );
}

#[test]
fn sizes_that_make_no_sense_are_changed_with_a_warning() {
    let plan = planned(PlanInput { part_size: Some(5 * MIB), ..with_memory(64 * GIB) });
    assert_eq!(plan.part_size(1), 10 * MIB);
    assert!(plan.warnings[0].starts_with("--part-size 5 MiB raised to 10 MiB"), "{plan:?}");
    assert!(!plan.warnings[0].contains("the service"), "it takes smaller ones: {plan:?}");
    let plan = planned(PlanInput { part_size: Some(51 * GIB), ..PlanInput::default() });
    assert_eq!(plan.part_size(1), 50 * GIB);
    assert!(plan.warnings[0].starts_with("--part-size 51 GiB reduced to 50 GiB"), "{plan:?}");
}

#[test]
fn a_part_size_is_reduced_to_whole_mib_with_a_warning_and_kept_otherwise() {
    let of = |size| planned(PlanInput { part_size: Some(size), ..with_memory(64 * GIB) });
    let plan = of(301 * MIB);
    assert_eq!((plan.part_size(1), plan.warnings.len()), (301 * MIB, 0));
    assert_eq!((plan.buffer_size as u64, plan.buffers_for(1)), (101 * MIB, 15));
    let plan = of(301 * MIB + 12_345);
    assert_eq!(plan.part_size(1), 301 * MIB);
    assert_eq!(
        plan.warnings,
        ["--part-size 315633721 B reduced to 301 MiB: parts have a whole number of MiB"]
    );
}

#[test]
fn a_bound_without_room_for_two_parts_is_a_usage_error() {
    assert_eq!(plan(&with_limit(20 * MIB - 1)).unwrap_err().kind.exit_code(), 2);
    let least = planned(with_limit(20 * MIB));
    assert_eq!((least.part_size(1), least.buffers_for(1)), (10 * MIB, 2));
    let none = PlanInput { parallel: Some(0), ..PlanInput::default() };
    assert_eq!(plan(&none).unwrap_err().kind.exit_code(), 2);
}

#[test]
fn a_stream_that_will_not_fit_is_announced() {
    let plan = planned(with_limit(64 * MIB));
    assert_eq!(plan.max_stream(), 377_504_137_216);
    assert_eq!(
        plan.warnings,
        ["the longest stream that can be stored is 351 GiB: more does not fit into \
          --max-memory 64 MiB"]
    );
    let enough = PlanInput { expected_size: Some(340 * GIB), ..with_limit(64 * MIB) };
    assert_eq!(planned(enough).warnings, Vec::<String>::new());
    let endless = PlanInput { expected_size: Some(11 * TIB), ..PlanInput::default() };
    assert_eq!(
        planned(endless).warnings,
        [
            "the longest stream that can be stored is 10.0 TiB; expected are 11 TiB: no object can be \
          longer"
        ]
    );
}

#[test]
fn an_expected_size_is_met_with_level_parts() {
    for (expected, part) in [(GIB, 128), (TIB, 256), (5 * TIB, 896), (10 * TIB, 1536)] {
        let input = PlanInput { expected_size: Some(expected), ..with_memory(64 * GIB) };
        let plan = planned(input);
        let last = parts_of(&plan, expected);
        assert!(last <= 7_000, "{last} parts for {}", format_size_short(expected));
        assert_eq!(plan.part_size(1), part * MIB, "{}", format_size_short(expected));
        assert_eq!(plan.part_size(last), part * MIB, "{}", format_size_short(expected));
        assert_eq!(plan.max_stream(), 10 * TIB);
    }
}

#[test]
fn an_expected_size_neither_changes_the_users_part_size_nor_the_parts_in_flight_at_the_start() {
    let expected_size = Some(5 * TIB);
    let given = PlanInput { part_size: Some(16 * MIB), expected_size, ..PlanInput::default() };
    assert_eq!(planned(given).part_size(1), 16 * MIB);
    // Memory holds 8 and 20 buffers: parts of one buffer and of four, 4 of them in flight.
    for (memory, part) in [(GIB, 128), (20 * 128 * MIB, 512)] {
        let plan = planned(PlanInput { expected_size, ..with_limit(memory) });
        assert_eq!((plan.part_size(1), plan.parallel), (part * MIB, 4));
        assert_eq!(plan.buffers_for(1) as u64, 5 * part / 128);
    }
}

#[test]
fn the_least_memory_is_announced_where_it_is_more_than_a_quarter() {
    for (memory, more) in [(80 * MIB - 4, true), (80 * MIB, false)] {
        let plan = planned(with_memory(memory));
        assert_eq!(plan.memory(), 20 * MIB);
        let warns = |warning: &String| warning.contains("over a quarter of all memory");
        assert_eq!(plan.warnings.iter().any(warns), more, "{memory}");
    }
}

#[test]
fn a_bound_that_leaves_no_memory_for_the_program_is_a_warning() {
    let warnings = |max_memory: u64, memory: u64| {
        let input = PlanInput {
            max_memory: Some(max_memory * MIB),
            available_memory: Some(memory * MIB),
            ..PlanInput::default()
        };
        plan(&input).unwrap().warnings.join("; ")
    };
    assert!(warnings(256, 256).contains("set it to 156 MiB, or leave it out"));
    assert!(warnings(64, 100).contains("may end it: leave it out"));
    assert!(!warnings(156, 256).contains("leave it out"), "{}", warnings(156, 256));
    assert!(!warnings(256, 512).contains("leave it out"));
}
