//! How large each part is, and how much memory that takes.
//!
//! Owns the choice of the first part size and of the buffers from what the user asked for and what
//! memory there is, and the growth of the parts after that. Knows nothing of streams, of buffers in
//! use or of the machine: the memory that the process may use is an argument.
//! Invariant: of every part but the last the size is between 10 MiB and 50 GiB and never below its
//! predecessor's, and while any part is being filled the pool has room for that part and one buffer
//! more, so that reading cannot wait for memory that only reading on would free.

mod memory_fit;
mod part_growth;
#[cfg(test)]
mod properties;

use crate::error::Error;
use crate::units::{GIB, MIB, TIB, format_size_exact, format_size_short};
use memory_fit::{Candidate, MemoryLimit, buffer_size};
use part_growth::{GrowthInput, PartGrowth};

/// Limits of the service.
pub const MAX_PARTS: u32 = 10_000;
pub const MAX_PART: u64 = 50 * GIB;
pub const MAX_OBJECT: u64 = 10 * TIB;
/// No part but the last is smaller. That is a choice: the service takes parts of any size, but each
/// costs a request, and 10,000 of them carry no long stream.
pub const MIN_PART: u64 = 10 * MIB;

/// Without a word on the length, a stream up to this one is expected to fit.
const DEFAULT_MAX_STREAM: u64 = TIB;
/// What is asked for, and what memory there is.
#[derive(Debug, Clone, Default)]
pub struct PlanInput {
    pub part_size: Option<u64>,
    pub parallel: Option<u16>,
    pub max_memory: Option<u64>,
    pub expected_size: Option<u64>,
    /// The memory that the process may use in all, where it is known.
    pub available_memory: Option<u64>,
}

/// The sizes of all parts, and the buffers they take.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PartPlan {
    pub buffer_size: usize,
    /// Parts in flight, at most.
    pub parallel: u16,
    /// For the user, before the first byte is read.
    pub warnings: Vec<String>,
    /// Buffers that fit into the memory bound, where there is one.
    limit: Option<u64>,
    growth: PartGrowth,
    max_stream: u64,
}

impl PartPlan {
    /// The size of part `number`, counted from 1, if the stream is long enough to fill it; 0 past
    /// the last part that the service takes.
    pub fn part_size(&self, number: u32) -> u64 {
        if number == 0 || number > MAX_PARTS {
            return 0;
        }
        self.growth.size(number)
    }

    /// How many buffers may be in use while part `number` is being filled: room for it and for as
    /// many of its size in flight as were asked for, within the bound.
    pub fn buffers_for(&self, number: u32) -> usize {
        let wanted = self.growth.buffers(number) * (u64::from(self.parallel) + 1);
        wanted.min(self.limit.unwrap_or(u64::MAX)) as usize
    }

    /// The longest stream that can be stored.
    pub fn max_stream(&self) -> u64 {
        self.max_stream
    }

    /// Memory for buffers when the first parts are under way.
    pub fn memory(&self) -> u64 {
        self.buffers_for(1) as u64 * self.buffer_size as u64
    }

    /// Parts of one buffer each that never grow.
    pub fn uniform(buffer_size: usize, parallel: u16) -> PartPlan {
        PartPlan::level_plan(buffer_size, buffer_size as u64, parallel)
    }

    /// Parts that never grow, of any size: for tests and measurements, where the sizes that the
    /// service asks for would be in the way.
    pub fn level_plan(buffer_size: usize, part_size: u64, parallel: u16) -> PartPlan {
        let growth = PartGrowth::none(part_size, buffer_size as u64);
        let max_stream = growth.total();
        PartPlan { buffer_size, parallel, warnings: vec![], limit: None, growth, max_stream }
    }
}

/// Chooses part sizes and buffers. An error is a memory bound that holds no upload at all.
pub fn plan(request: &PlanInput) -> Result<PartPlan, Error> {
    let mut sizes = Candidate::requested(request)?;
    let bound = MemoryLimit::of(request)?;
    if let Some(bound) = &bound {
        sizes.fit(bound);
    }
    let buffer = buffer_size(sizes.part);
    let limit = bound.as_ref().map(|bound| bound.bytes / buffer);
    let growth = PartGrowth::for_input(&GrowthInput {
        first: sizes.part,
        buffer,
        // One buffer more than the largest part, so that reading goes on while it is sent.
        most: limit.map_or(u64::MAX, |limit| limit - 1),
        // A hint must change neither what the user gave nor the parts in flight at the start:
        // growing later does not, or only for a while.
        start_at_most: match limit {
            _ if sizes.part_given => 0,
            Some(limit) => limit / (u64::from(sizes.parallel) + 1),
            None => u64::MAX,
        },
        expected: request.expected_size,
    });
    let longest = growth.total().min(MAX_OBJECT);
    let mut warnings = sizes.warnings;
    warnings.extend(too_short(request, bound.as_ref(), longest));
    Ok(PartPlan {
        buffer_size: buffer as usize,
        parallel: sizes.parallel,
        warnings,
        limit,
        growth,
        max_stream: longest,
    })
}

/// The warning that a stream as long as expected cannot be stored, with what would help.
fn too_short(request: &PlanInput, bound: Option<&MemoryLimit>, longest: u64) -> Option<String> {
    let expected = request.expected_size;
    if longest >= expected.unwrap_or(DEFAULT_MAX_STREAM) {
        return None;
    }
    let cause = match (bound, expected) {
        _ if longest == MAX_OBJECT => "no object can be longer".to_string(),
        (Some(bound), _) => format!("more does not fit into {}", bound.name()),
        (None, _) => "10,000 parts hold no more".to_string(),
    };
    let expected = match expected {
        Some(size) => format!("; expected are {}", format_size_exact(size)),
        None => String::new(),
    };
    Some(format!(
        "the longest stream that can be stored is {}{expected}: {cause}",
        format_size_short(longest)
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn planned(request: PlanInput) -> PartPlan {
        plan(&request).unwrap()
    }

    fn with_memory(memory: u64) -> PlanInput {
        PlanInput { available_memory: Some(memory), ..PlanInput::default() }
    }

    fn hard(bytes: u64) -> PlanInput {
        PlanInput { max_memory: Some(bytes), ..PlanInput::default() }
    }

    fn parts_of(plan: &PartPlan, length: u64) -> u32 {
        let mut left = length;
        (1..)
            .find(|number| {
                left = left.saturating_sub(plan.part_size(*number));
                left == 0
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
        let request = PlanInput { part_size: Some(256 * MIB), ..hard(GIB) };
        let plan = planned(request.clone());
        assert_eq!((plan.part_size(1), plan.parallel), (256 * MIB, 3));
        assert_eq!(plan.warnings, Vec::<String>::new());

        let plan = planned(PlanInput { parallel: Some(9), ..request });
        assert_eq!((plan.part_size(1), plan.parallel), (102 * MIB, 9));
        assert_eq!(
            plan.warnings,
            ["--part-size 256 MiB reduced to 102 MiB to fit into --max-memory 1 GiB"]
        );

        let plan = planned(PlanInput { parallel: Some(100), ..with_memory(4 * GIB) });
        assert_eq!((plan.part_size(1), plan.parallel), (16 * MIB, 63));
        assert_eq!(
            plan.warnings,
            [
                "--parallel-upload-count 100 reduced to 63 to fit into 1.0 GiB, a quarter of the memory \
              there is"
            ]
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
    fn a_size_that_is_no_multiple_of_anything_is_kept_to_the_byte() {
        let odd = 300 * MIB + 12_345;
        let plan = planned(PlanInput { part_size: Some(odd), ..with_memory(64 * GIB) });
        assert_eq!(plan.part_size(1), odd);
        assert_eq!((plan.buffer_size % 4096, plan.buffers_for(1)), (0, 15));
    }

    #[test]
    fn a_bound_without_room_for_two_parts_is_a_usage_error() {
        assert_eq!(plan(&hard(20 * MIB - 1)).unwrap_err().kind.exit_code(), 2);
        let least = planned(hard(20 * MIB));
        assert_eq!((least.part_size(1), least.buffers_for(1)), (10 * MIB, 2));
        let none = PlanInput { parallel: Some(0), ..PlanInput::default() };
        assert_eq!(plan(&none).unwrap_err().kind.exit_code(), 2);
    }

    #[test]
    fn a_stream_that_will_not_fit_is_announced() {
        let plan = planned(hard(64 * MIB));
        assert_eq!(plan.max_stream(), 377_504_137_216);
        assert_eq!(
            plan.warnings,
            ["the longest stream that can be stored is 351 GiB: more does not fit into \
              --max-memory 64 MiB"]
        );
        let enough = PlanInput { expected_size: Some(340 * GIB), ..hard(64 * MIB) };
        assert_eq!(planned(enough).warnings, Vec::<String>::new());
        let endless = PlanInput { expected_size: Some(11 * TIB), ..PlanInput::default() };
        assert!(planned(endless).warnings[0].contains("10.0 TiB; expected are 11 TiB"));
    }

    #[test]
    fn an_expected_size_is_met_with_level_parts() {
        for (expected, part) in [(GIB, 128), (TIB, 256), (5 * TIB, 896), (10 * TIB, 1536)] {
            let request = PlanInput { expected_size: Some(expected), ..with_memory(64 * GIB) };
            let plan = planned(request);
            let last = parts_of(&plan, expected);
            assert!(last <= 7_000, "{last} parts for {}", format_size_short(expected));
            assert_eq!(plan.part_size(1), part * MIB, "{}", format_size_short(expected));
            assert_eq!(plan.part_size(last), part * MIB, "{}", format_size_short(expected));
            assert_eq!(plan.max_stream(), 10 * TIB);
        }
    }
}
