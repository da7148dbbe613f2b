//! Tests of the bounds at which a part of an upload that adds connections gets another size.

use super::*;

/// 10 TiB in parts of up to 2,816 MiB.
fn roomy() -> PlanInput {
    PlanInput { available_memory: Some(64 * GIB), ..PlanInput::default() }
}

fn auto(input: &PlanInput) -> PartCut {
    PartCut::new(plan(input).unwrap(), input)
}

fn expecting(bytes: u64) -> PartCut {
    auto(&PlanInput { expected_size: Some(bytes), ..roomy() })
}

/// In MiB.
fn size(cut: &mut PartCut, number: u32, offset: u64, connections: u16) -> u64 {
    cut.part_size(PartStart { number, offset }, connections) / MIB
}

#[test]
fn a_number_that_is_not_valid_has_no_part() {
    for mut cut in [auto(&roomy()), expecting(90 * GIB)] {
        assert_eq!(size(&mut cut, 0, 0, 39), 0);
        assert_eq!(size(&mut cut, MAX_PARTS + 1, TIB, 39), 0);
        assert!(size(&mut cut, MAX_PARTS, TIB, 39) > 0);
    }
}

#[test]
fn small_parts_end_ten_percent_behind_the_expected_length() {
    let mut cut = expecting(90 * GIB);
    assert_eq!(size(&mut cut, 6_000, 99 * GIB - 1, 39), 16);
    assert!(size(&mut cut, 6_000, 99 * GIB, 39) >= 128);
}

#[test]
fn small_parts_are_as_large_as_six_thousand_of_them_need_for_the_expected_length() {
    // 500 GiB in 6,000 parts are 85.3 MiB each, in buffers of 16 MiB.
    assert_eq!(size(&mut expecting(500 * GIB), 1, 0, 39), 96);
    assert_eq!(size(&mut expecting(90 * GIB), 1, 0, 39), 16);
}

#[test]
fn a_small_part_of_a_stream_of_unknown_length_has_a_thousandth_of_the_bytes_before_it() {
    let mut cut = auto(&roomy());
    assert_eq!(size(&mut cut, 1_000, 10 * GIB, 39), 16);
    assert_eq!(size(&mut cut, 1_000, 100 * GIB, 39), 112);
}

#[test]
fn the_first_part_that_is_asked_for_has_the_size_that_it_has_after_others() {
    let mut grown = 0;
    for gib in [8, 16, 64] {
        let input = PlanInput { available_memory: Some(gib * GIB), ..PlanInput::default() };
        let mut asked = auto(&input);
        size(&mut asked, 9_000, TIB, 4);
        for number in (100..2_500).step_by(100) {
            let offset = u64::from(number - 1) * 16 * MIB;
            let first = size(&mut auto(&input), number, offset, 4);
            assert_eq!(first, size(&mut asked, number, offset, 4), "{gib} GiB, {number}");
            grown += u32::from(first > 128);
        }
    }
    assert!(grown > 0);
}

#[test]
fn a_part_may_end_early_where_parts_of_the_usual_size_leave_a_number_for_the_rest() {
    // 500 GiB in 6,000 parts: 85.3 MiB are 96 MiB in buffers of 16 MiB, and 550 GiB must fit.
    let (expected, usual) = (500 * GIB, 500 * GIB / 6_000);
    let mut cut = expecting(expected);
    let may_end = |cut: &mut PartCut, number, offset, filled| {
        cut.may_end(PartStart { number, offset }, filled)
    };
    for offset in [10 * GIB, 200 * GIB] {
        let rest = expected + expected / 10 - offset - 16 * MIB;
        let last = MAX_PARTS - SPLIT_RESERVE - rest.div_ceil(usual) as u32;
        assert!(may_end(&mut cut, last, offset, 16 * MIB), "{offset}");
        assert!(!may_end(&mut cut, last + 1, offset, 16 * MIB), "{offset}");
        assert!(may_end(&mut cut, last + 1, offset, 96 * MIB), "{offset}: the usual size");
    }
    // Short streams count in parts of 16 MiB.
    let mut short = expecting(90 * GIB);
    let rest = 99 * GIB - GIB - 12 * MIB;
    let last = MAX_PARTS - SPLIT_RESERVE - rest.div_ceil(16 * MIB) as u32;
    assert!(may_end(&mut short, last, GIB, 12 * MIB));
    assert!(!may_end(&mut short, last + 1, GIB, 12 * MIB));
    // The longest stream must fit too, whatever is expected: here the expected one ends in the next part.
    let largest_of = |expected: u64| expecting(expected).plan().part_size(MAX_PARTS);
    let (longest, largest) = (10 * TIB, largest_of(9 * TIB));
    let later = (longest - 9 * TIB / 10 * 11) / largest;
    let end = longest - later * largest;
    let expected = end / 11 * 10 + 2 * MIB;
    assert_eq!(largest_of(expected), largest);
    let number = MAX_PARTS - SPLIT_RESERVE - later as u32;
    let mut long = expecting(expected);
    assert!(may_end(&mut long, number, end - 10 * MIB, 10 * MIB));
    assert!(!may_end(&mut long, number, end - 10 * MIB - 1, 10 * MIB));
}

#[test]
fn a_part_that_the_service_holds_does_not_end_early() {
    let input = PlanInput { expected_size: Some(90 * GIB), ..roomy() };
    let held: Vec<_> = (1..=100).map(|number| (number, 64 * MIB)).collect();
    let mut cut = PartCut::new(plan(&input).unwrap().continuing(&held), &input);
    let may_end = |cut: &mut PartCut, number: u32| {
        let offset = u64::from(number - 1) * 64 * MIB;
        cut.may_end(PartStart { number, offset }, 16 * MIB)
    };
    assert!(!may_end(&mut cut, 100) && may_end(&mut cut, 101));
}

#[test]
fn up_to_four_connections_have_the_parts_of_one() {
    // Parts that hold as much as memory allows grow early.
    let limited = PlanInput { max_memory: Some(640 * MIB), ..PlanInput::default() };
    let mut cut = auto(&limited);
    let plan = cut.plan().clone();
    let grown = (1..2_400).find(|number| plan.part_size(*number) > plan.part_size(1)).unwrap();
    let sizes = [1, 2, 3, 4, 5].map(|connections| size(&mut cut, grown, 64 * GIB, connections));
    assert_eq!(sizes, [256, 256, 256, 256, 96]);
}

#[test]
fn a_part_is_small_only_if_the_longest_stream_fits_behind_it_and_a_tail_split_too() {
    let mut cut = expecting(90 * GIB);
    let (largest, longest) = (cut.plan().part_size(MAX_PARTS), 10 * TIB);
    assert_eq!(cut.max_stream(), longest);
    let behind = longest / largest;
    for later in [behind, behind - 10, behind - 30] {
        let number = MAX_PARTS - SPLIT_RESERVE - later as u32;
        // The end of the small part from which parts of the largest size hold the rest.
        let end = longest - later * largest;
        assert_eq!(size(&mut cut, number, end - 16 * MIB, 39), 16, "{later}");
        assert!(size(&mut cut, number, end - 16 * MIB - 1, 39) >= 128, "{later}");
    }
}

#[test]
fn connections_are_added_only_where_the_numbers_without_those_of_a_tail_split_hold_the_stream() {
    let limited = PlanInput { max_memory: Some(640 * MIB), ..PlanInput::default() };
    let largest = auto(&limited).plan().part_size(MAX_PARTS);
    // The parts of the largest size that the stream takes.
    let mut taken = std::collections::BTreeMap::new();
    for eighths in 8 * 9_925..8 * 9_945 {
        let expected_size = Some(eighths * largest / 8);
        let cut = auto(&PlanInput { expected_size, ..limited.clone() });
        assert_eq!(cut.plan().part_size(MAX_PARTS), largest);
        let parts = cut.plan().max_stream().div_ceil(largest);
        taken.insert(parts, cut.most_connections().is_some());
    }
    let last = taken.iter().rfind(|(_, adds)| **adds);
    assert_eq!(last, Some((&u64::from(MAX_PARTS - SPLIT_RESERVE), &true)), "{taken:?}");
    assert_eq!(taken.get(&u64::from(MAX_PARTS - SPLIT_RESERVE + 1)), Some(&false), "{taken:?}");
}

#[test]
fn parts_grow_earlier_by_as_much_as_small_parts_have_cost() {
    let mut cut = auto(&roomy());
    let plan = cut.plan().clone();
    let largest = plan.part_size(MAX_PARTS);
    let from = |number: u32| (number..=MAX_PARTS).map(|number| plan.part_size(number)).sum::<u64>();
    let steps = (5_000..5_999).filter(|at| plan.part_size(*at) < plan.part_size(at + 1));
    for last in steps {
        // The parts from `last` on hold the rest of 10 TiB, if those before it are the largest.
        for caught_up in [1, 4, 20] {
            let number = last - caught_up;
            let offset = 10 * TIB - from(last) - u64::from(caught_up) * largest;
            let size = |cut: &mut PartCut, offset| cut.part_size(PartStart { number, offset }, 4);
            assert_eq!(size(&mut cut, offset), plan.part_size(last), "{number}");
            assert_eq!(size(&mut cut, offset - 1), plan.part_size(last + 1), "{number}");
        }
    }
    // Also where all parts before it had the first size, though others were planned.
    let offset = 5_999 * 128 * MIB;
    let level = size(&mut auto(&roomy()), 6_000, offset, 4);
    assert!(level > plan.part_size(6_000) / MIB, "{level}");
    assert_eq!(size(&mut cut, 6_000, offset, 4), level);
}

#[test]
fn the_pool_has_room_for_as_many_held_parts_as_the_plan_has_in_flight() {
    let input = roomy();
    let held = [(1, 16 * MIB), (2, 300 * MIB), (3, 300 * MIB), (4, 900 * MIB)];
    let mut cut = PartCut::new(plan(&input).unwrap().continuing(&held), &input);
    // In buffers of 16 MiB: 19 for a part of 300 MiB, four in flight and one that is filled.
    let mut buffers = |number, offset| cut.buffers_for(PartStart { number, offset }, 39);
    assert_eq!(buffers(2, 16 * MIB), 5 * 19);
    assert_eq!(buffers(4, 616 * MIB), 5 * 57);
}

#[test]
fn the_numbers_that_may_be_cut_again_leave_room_for_the_longest_stream() {
    let cut = auto(&roomy());
    let largest = cut.plan().part_size(MAX_PARTS);
    let needed = cut.max_stream().div_ceil(largest) as u32;
    assert_eq!(cut.split_until(), MAX_PARTS - SPLIT_RESERVE - needed);
    // Parts that have the size that the user gave are not cut again.
    let given = PlanInput { part_size: Some(16 * MIB), ..roomy() };
    assert_eq!(auto(&given).split_until(), 0);
}
