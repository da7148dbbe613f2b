//! Tests of the cut while the number of connections changes.

use std::cmp::Reverse;
use std::collections::{BinaryHeap, VecDeque};

use proptest::prelude::*;

use super::*;
use crate::part_layout::UNIT;

fn auto(input: PlanInput) -> PartCut {
    PartCut::new(plan(&input).unwrap(), &input)
}

fn roomy() -> PlanInput {
    PlanInput { available_memory: Some(64 * GIB), ..PlanInput::default() }
}

/// The sizes of a whole stream, with the connections that `choose` gives for a part number; the sum of
/// the sizes is the longest stream that fits.
fn cut(cut: &mut PartCut, mut choose: impl FnMut(u32) -> u16) -> (Vec<u64>, u64) {
    let (mut sizes, mut offset) = (Vec::new(), 0);
    for number in 1..=MAX_PARTS {
        let at = PartStart { number, offset };
        let size = cut.part_size(at, choose(number)).min(cut.max_stream() - offset);
        if size == 0 {
            break;
        }
        offset += size;
        sizes.push(size);
    }
    (sizes, offset)
}

/// The sizes of a stream whose reader is faster than `connections` equal ones together, with the reader's rule
/// for a part that ends early: where fewer buffers are free than connections have no part.
fn cut_by_fast_reader(cut: &mut PartCut, connections: u16, stream: u64) -> Vec<u64> {
    let buffer = cut.buffer_size() as u64;
    // When each part in flight is sent, and its buffers: a buffer takes one unit of time.
    let (mut sending, mut queued) = (BinaryHeap::new(), VecDeque::new());
    let (mut sizes, mut offset, mut out, mut now) = (Vec::new(), 0, 0, 0);
    while offset < stream {
        let at = PartStart { number: sizes.len() as u32 + 1, offset };
        let (mut filled, left) = (0, stream - offset);
        while filled < cut.part_size(at, connections).min(left) {
            let free = cut.buffers_for(at, connections).saturating_sub(out);
            let idle = usize::from(connections) - sending.len().min(connections.into());
            let idle = idle.saturating_sub(queued.len());
            if connections > 4 && filled > 0 && idle > free && cut.may_end(at, filled) {
                break;
            }
            if free > 0 {
                (filled, out) = (filled + buffer, out + 1);
                continue;
            }
            let Reverse((end, sent)) = sending.pop().expect("a part is in flight");
            (now, out) = (end, out - sent);
            if let Some(next) = queued.pop_front() {
                sending.push(Reverse((now + next, next)));
            }
        }
        assert!(filled > 0, "no number is left at {offset} of {stream}, with {connections}");
        let buffers = filled.div_ceil(buffer) as usize;
        match sending.len() < connections.into() {
            true => sending.push(Reverse((now + buffers, buffers))),
            false => queued.push_back(buffers),
        }
        sizes.push(filled.min(left));
        offset += filled.min(left);
    }
    sizes
}

#[test]
fn the_least_memory_is_that_of_two_parts_of_10_mib() {
    let of = |max_memory| plan(&PlanInput { max_memory: Some(max_memory), ..roomy() });
    assert_eq!(of(20 * MIB).unwrap().memory(), 20 * MIB);
    assert_eq!(of(20 * MIB - 1).unwrap_err().kind.exit_code(), 2);
    assert!(of(20 * MIB + 1).is_ok());
}

#[test]
fn parts_that_end_early_leave_numbers_for_the_whole_stream() {
    for available_memory in [16, 64].map(|gib| Some(gib * GIB)) {
        for connections in [8, 39] {
            for (expected_size, stream) in
                [(None, 10 * TIB), (Some(500 * GIB), 500 * GIB), (Some(2 * TIB), 2 * TIB)]
            {
                let input = PlanInput { available_memory, expected_size, ..PlanInput::default() };
                let sizes = cut_by_fast_reader(&mut auto(input), connections, stream);
                println!("{available_memory:?} {connections} {stream}: {} parts", sizes.len());
                assert_eq!(sizes.iter().sum::<u64>(), stream);
            }
        }
    }
}

#[test]
fn four_connections_cut_the_stream_as_the_plan_does() {
    for expected_size in [None, Some(3 * TIB)] {
        let input = PlanInput { expected_size, ..roomy() };
        let plan = plan(&input).unwrap();
        let (sizes, _) = cut(&mut auto(input), |number| 1 + (number % 4) as u16);
        let planned: Vec<_> = plan.layout(plan.max_stream()).unwrap().sizes().collect();
        assert_eq!(sizes, planned);
    }
}

#[test]
fn more_connections_share_the_memory_of_four_by_smaller_parts() {
    let mut auto = auto(roomy());
    assert_eq!((auto.buffer_size() as u64, auto.most_connections()), (16 * MIB, Some(39)));
    let at = PartStart { number: 5, offset: 512 * MIB };
    let size = |connections| auto.clone().part_size(at, connections) / MIB;
    assert_eq!([4, 5, 8, 16, 39].map(size), [128, 96, 64, 32, 16]);
    assert_eq!((auto.buffers_for(at, 39), auto.memory()), (40, 640 * MIB));
}

#[test]
fn a_part_size_that_the_user_gave_is_kept_and_connections_fill_the_memory() {
    let of = |mib, max_memory: Option<u64>| {
        let input = PlanInput {
            part_size: Some(mib * MIB),
            max_memory: max_memory.map(|mib| mib * MIB),
            ..PlanInput::default()
        };
        let mut auto = auto(input);
        let most = auto.most_connections().unwrap();
        let at = PartStart { number: 7, offset: 6 * mib * MIB };
        assert_eq!(auto.part_size(at, most), mib * MIB);
        let memory = |connections| {
            let buffers = auto.clone().buffers_for(at, connections) as u64;
            buffers * auto.buffer_size() as u64 / MIB
        };
        (most, memory(4), memory(most))
    };
    assert_eq!(of(16, None), (39, 80, 640));
    assert_eq!(of(64, None), (9, 320, 640));
    assert_eq!(of(128, None), (4, 640, 640));
    assert_eq!(of(512, None), (4, 2560, 2560));
    assert_eq!(of(16, Some(200)), (11, 80, 192));
}

#[test]
fn ten_tib_of_unknown_length_fit_however_many_connections_there_are() {
    for connections in [5, 8, 16, 39] {
        let (sizes, total) = cut(&mut auto(roomy()), |_| connections);
        assert_eq!(total, 10 * TIB, "{connections}");
        assert!(sizes.len() <= 10_000);
        // Small parts are those of the first tens of GiB.
        let small = sizes.iter().filter(|size| **size < 128 * MIB).count();
        println!("{connections}: {small} small parts, {} parts in all", sizes.len());
        assert!((900..=2_400).contains(&small), "{connections}: {small}");
    }
}

#[test]
fn a_stream_of_known_length_has_small_parts_to_its_end() {
    let input = PlanInput { expected_size: Some(90 * GIB), ..roomy() };
    let mut cut_of_file = auto(input);
    let (sizes, total) = cut(&mut cut_of_file, |_| 39);
    let (mut offset, mut number) = (0, 1);
    while offset < 90 * GIB {
        let at = PartStart { number, offset };
        assert_eq!((sizes[number as usize - 1], cut_of_file.buffers_for(at, 39)), (16 * MIB, 40));
        (offset, number) = (offset + 16 * MIB, number + 1);
    }
    assert_eq!(total, 10 * TIB);
}

#[test]
fn a_continued_upload_keeps_the_sizes_of_its_parts_and_the_length_that_fits() {
    let small: Vec<_> = (1..=4_000).map(|number| (number, 16 * MIB)).collect();
    let input = roomy();
    let plan = plan(&input).unwrap().continuing(&small);
    assert!(plan.max_stream() < 10 * TIB);
    for connections in [4, 39] {
        let (sizes, total) = cut(&mut PartCut::new(plan.clone(), &input), |_| connections);
        assert_eq!(sizes[..4_000], [16 * MIB; 4_000]);
        assert_eq!(total, 10 * TIB);
    }
}

#[test]
fn a_continued_upload_of_parts_of_any_sizes_is_cut_where_it_was_with_little_memory_too() {
    for (gib, seed) in [(8, 1), (16, 2), (64, 3)] {
        let mut rng = fastrand::Rng::with_seed(seed);
        let mut held = vec![128 * MIB; 4];
        held.extend((0..1_600).map(|_| [32, 32, 32, 48][rng.usize(..4)] * MIB));
        let numbered: Vec<_> = (1..).zip(held.iter().copied()).collect();
        let input = PlanInput { available_memory: Some(gib * GIB), ..PlanInput::default() };
        let plan = plan(&input).unwrap().continuing(&numbered);
        for connections in [4, 39] {
            let (sizes, total) = cut(&mut PartCut::new(plan.clone(), &input), |_| connections);
            assert_eq!(sizes[..1_604], held);
            assert!(total >= plan.max_stream());
        }
    }
}

#[test]
fn a_continued_upload_of_many_small_parts_promises_no_numbers_that_a_tail_split_may_need() {
    let small: Vec<_> = (1..=7_000).map(|number| (number, 16 * MIB)).collect();
    let input = roomy();
    let plan = plan(&input).unwrap().continuing(&small);
    let (largest, held) = (plan.part_size(MAX_PARTS), 7_000 * 16 * MIB);
    let mut auto = PartCut::new(plan, &input);
    let longest = held + u64::from(MAX_PARTS - SPLIT_RESERVE - 7_000) * largest;
    assert_eq!(auto.max_stream(), longest);
    assert_eq!(cut(&mut auto, |_| 39).1, longest);
}

#[test]
fn a_number_that_the_user_gave_changes_nothing() {
    let input = PlanInput { parallel: Some(4), ..roomy() };
    let mut cut = PartCut::new(plan(&input).unwrap(), &input);
    let at = PartStart { number: 9, offset: GIB };
    assert_eq!(cut.most_connections(), None);
    assert_eq!((cut.part_size(at, 39), cut.buffers_for(at, 39)), (128 * MIB, 5));
    assert_eq!((cut.memory(), cut.split_until()), (0, 0));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(60))]

    /// Any numbers of connections, also parts that are cut again: the promised stream fits, and neither
    /// a part nor the pool exceeds the memory of the plan.
    #[test]
    fn any_numbers_of_connections_keep_the_memory_and_the_longest_stream(
        part_size in proptest::option::of(10 * MIB..600 * MIB),
        max_memory in proptest::option::of(20 * MIB..8 * GIB),
        expected_size in proptest::option::of(0..12 * TIB),
        memory in 256 * MIB..64 * GIB,
        seed in any::<u64>(),
    ) {
        let input = PlanInput {
            part_size, max_memory, expected_size, available_memory: Some(memory), parallel: None,
        };
        let plan = plan(&input).unwrap();
        let limit = max_memory.unwrap_or((memory / 4).max(20 * MIB));
        let mut auto = PartCut::new(plan.clone(), &input);
        let most = auto.most_connections().unwrap_or(4);
        let mut rng = fastrand::Rng::with_seed(seed);
        let (mut offset, mut number, mut connections, mut recut) = (0, 1, 4, SPLIT_RESERVE);
        prop_assert_eq!(auto.max_stream(), plan.max_stream());
        while number <= MAX_PARTS && offset < plan.max_stream() {
            if rng.u8(..20) == 0 {
                connections = rng.u16(1..=most);
            }
            let at = PartStart { number, offset };
            let size = auto.part_size(at, connections);
            let buffers = auto.buffers_for(at, connections) as u64;
            let buffer = auto.buffer_size() as u64;
            prop_assert!(buffer >= MIN_PART && buffers * buffer <= limit, "{buffers}");
            prop_assert!(buffers > size.div_ceil(buffer), "{size}: {buffers} buffers");
            prop_assert!((MIN_PART..=MAX_PART).contains(&size), "{size}");
            prop_assert!(size.is_multiple_of(UNIT), "{size}");
            prop_assert!(size >= plan.part_size(1).min(MIN_SMALL_PART));
            if offset < 10 * GIB && expected_size.is_none() {
                let bound = (640 * MIB).max(plan.memory());
                prop_assert!(buffers * buffer <= bound, "{buffers}");
            }
            offset += size;
            number += 1;
            // Parts of the queue are cut again.
            if number <= auto.split_until() && recut > 0 && rng.u8(..100) == 0 {
                recut -= 1;
                number += 1;
            }
        }
        prop_assert!(offset >= plan.max_stream(), "{offset} of {}", plan.max_stream());
    }
}
