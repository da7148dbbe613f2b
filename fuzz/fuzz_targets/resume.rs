//! A listing of the parts of an open upload: any answer is refused, or gives a plan whose parts fit into its memory
//! and the limits of the service, and whose layouts have the bytes of the stream.
//!
//! The first three bytes are the part size, the memory and the expected size of the run; the rest is the body.

#![no_main]

use std::collections::BTreeMap;

use libfuzzer_sys::fuzz_target;
use proto::api::{ListedPart, Response, parse_page};
use proto::part_plan::{PlanInput, plan};

const MIB: u64 = 1 << 20;

/// The largest part of an upload, and the largest object, in bytes.
const MAX_PART: u64 = 50 << 30;
const MAX_OBJECT: u64 = 10 << 40;

fuzz_target!(|bytes: &[u8]| {
    let [part_size, memory, expected, body @ ..] = bytes else { return };
    let response = Response { status: 200, headers: Vec::new(), body: body.to_vec() };
    let Ok(page) = parse_page::<ListedPart>(&response) else { return };
    let held: BTreeMap<u32, u64> =
        page.items.iter().map(|part| (part.part_number.get(), part.size)).collect();
    let held: Vec<(u32, u64)> = held.into_iter().collect();
    let some = |byte: &u8, unit: u64| (*byte > 0).then(|| u64::from(*byte) * unit);
    let input = PlanInput {
        part_size: some(part_size, 10 * MIB),
        parallel: None,
        max_memory: some(memory, 100 * MIB),
        expected_size: some(expected, 1000 * MIB),
        available_memory: None,
    };
    let Ok(plan) = plan(&input) else { return };
    let plan = plan.continuing(&held);
    assert!(plan.max_stream() <= MAX_OBJECT);
    let numbers = (1..=200).chain(held.iter().map(|(number, _)| *number)).chain([9_999, 10_000]);
    for number in numbers {
        let size = plan.part_size(number);
        assert!((1..=MAX_PART).contains(&size), "part {number} has {size} bytes");
        let buffers = plan.buffers_for(number) as u64 * plan.buffer_size as u64;
        assert!(buffers >= size, "part {number} of {size} bytes has {buffers} bytes of buffers");
    }
    for bytes in [1, plan.part_size(1), plan.part_size(1) + 1, plan.max_stream()] {
        if bytes <= plan.max_stream() {
            let layout = plan.layout(bytes).expect("a layout of a stream that can be stored");
            assert_eq!(layout.bytes(), bytes);
            assert!(layout.parts() <= 10_000);
        }
    }
    assert_eq!(plan.layout(plan.max_stream() + 1), None);
});
