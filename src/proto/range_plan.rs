//! The sizes of a download: the bytes of a range, the ranges in flight, the buffers.
//!
//! Owns the choice of these sizes and how they are reduced to fit into memory. Must not know requests.
//! Invariants: all buffers together are within the memory limit, one range at least fits, and a value
//! that the user gave is reduced only with a warning.

use crate::error::Error;
use crate::units::{MIB, format_size_exact, format_size_short};

/// The memory for buffers, where the user gives none and there is enough.
const DEFAULT_MEMORY: u64 = 256 * MIB;
/// The least memory for buffers.
const MIN_MEMORY: u64 = 2 * MIB;
/// The ranges in flight, where the user gives no number.
const DEFAULT_PARALLEL: u16 = 4;
/// The bytes of a range, where the user gives none: one signature for this many.
const DEFAULT_RANGE: u64 = 64 * MIB;
/// A range of a small object is not smaller than this.
const MIN_RANGE: u64 = 16 * MIB;
/// The largest buffer. A range spans several.
const MAX_BUFFER: u64 = 4 * MIB;
/// The smallest range that the user may ask for, and to which ranges are reduced to fit.
const LEAST_RANGE: u64 = MIB;
const PAGE: u64 = 4096;
/// The memory of a connection besides the buffers, which counts from the fifth connection on.
const CONNECTION: u64 = MIB;

/// What a plan depends on. Sizes in bytes.
#[derive(Debug, Clone, Default)]
pub struct RangePlanInput {
    /// `--part-size`.
    pub part_size: Option<u64>,
    /// `--parallel-download-count`.
    pub parallel: Option<u16>,
    /// `--max-memory`.
    pub max_memory: Option<u64>,
    /// The memory that the process may use.
    pub available_memory: Option<u64>,
}

/// The sizes of a download.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RangePlan {
    /// Bytes of one buffer, a multiple of the size of a page.
    pub buffer_size: usize,
    /// The number of buffers.
    pub buffers: usize,
    /// The most ranges that are read at the same time.
    pub parallel: usize,
    /// The most bytes of a range.
    range: u64,
    /// The least bytes of a range that is not the last.
    min_range: u64,
    pub warnings: Vec<String>,
}

impl RangePlan {
    /// The bytes of each range but the last of a download of `length` bytes: equal shares where that is
    /// too little for full ranges on all connections.
    pub fn range_size(&self, length: u64) -> u64 {
        let share = length.div_ceil(self.parallel as u64).next_multiple_of(PAGE);
        share.clamp(self.min_range, self.range)
    }

    /// The buffers that a range of `length` bytes needs.
    pub fn buffers_for(&self, length: u64) -> usize {
        length.div_ceil(self.buffer_size as u64) as usize
    }
}

/// The limit, and how a warning names it.
struct BufferLimit {
    bytes: u64,
    name: String,
}

fn limit(input: &RangePlanInput) -> Result<BufferLimit, Error> {
    if let Some(bytes) = input.max_memory {
        let size = format_size_exact(bytes);
        if bytes < MIN_MEMORY {
            let text = format!("--max-memory {size} is too small for a download");
            let hint = format!("give at least {}", format_size_exact(MIN_MEMORY));
            return Err(Error::usage(text).with_hint(hint));
        }
        return Ok(BufferLimit { bytes, name: format!("--max-memory {size}") });
    }
    let quarter = input.available_memory.map_or(DEFAULT_MEMORY, |memory| memory / 4);
    let bytes = quarter.clamp(MIN_MEMORY, DEFAULT_MEMORY);
    let size = format_size_short(bytes);
    let name = if bytes < DEFAULT_MEMORY {
        format!("{size}, a quarter of the memory there is")
    } else {
        format!("{size}, which --max-memory can raise")
    };
    Ok(BufferLimit { bytes, name })
}

/// Chooses the sizes. Fails with a usage error if `--max-memory` is below 2 MiB.
pub fn plan(input: &RangePlanInput) -> Result<RangePlan, Error> {
    let limit = limit(input)?;
    let mut warnings = Vec::new();
    let wanted = input.part_size.map(|size| size.max(LEAST_RANGE));
    if let (Some(given), Some(wanted)) = (input.part_size, wanted)
        && wanted > given
    {
        let [given, wanted] = [given, wanted].map(format_size_exact);
        warnings.push(format!("--part-size {given} raised to {wanted}: a request each costs more"));
    }
    let budget = |parallel: u64| {
        let extra = parallel.saturating_sub(u64::from(DEFAULT_PARALLEL)) * CONNECTION;
        limit.bytes.saturating_sub(extra)
    };
    let fits = |range: u64, parallel: u64| parallel * memory_of(range) <= budget(parallel);
    let mut parallel = u64::from(input.parallel.unwrap_or(DEFAULT_PARALLEL));
    let mut range = wanted.unwrap_or(DEFAULT_RANGE);
    // The value that the user did not give is reduced first, then both are.
    if input.part_size.is_none() {
        range = shrunk(range, budget(parallel) / parallel);
    }
    if input.parallel.is_none() || range == LEAST_RANGE {
        while parallel > 1 && !fits(range, parallel) {
            parallel -= 1;
        }
    }
    if !fits(range, parallel) {
        range = shrunk(range, budget(parallel) / parallel);
    }
    while parallel > 1 && !fits(range, parallel) {
        parallel -= 1;
    }
    if let Some(wanted) = wanted.filter(|wanted| range < *wanted) {
        let [from, to] = [wanted, range].map(format_size_exact);
        warnings.push(format!("--part-size {from} reduced to {to} to fit into {}", limit.name));
    }
    if let Some(given) = input.parallel.filter(|given| parallel < u64::from(*given)) {
        let what = format!("--parallel-download-count {given} reduced to {parallel}");
        warnings.push(format!("{what} to fit into {}", limit.name));
    }
    let buffer = buffer_size(range);
    Ok(RangePlan {
        buffer_size: buffer as usize,
        buffers: (budget(parallel) / buffer) as usize,
        parallel: parallel as usize,
        range,
        min_range: MIN_RANGE.min(range),
        warnings,
    })
}

/// The range, or the most whole pages that fit into `share`.
fn shrunk(range: u64, share: u64) -> u64 {
    if memory_of(range) <= share {
        return range;
    }
    let buffers = share.div_ceil(MAX_BUFFER).max(1);
    let buffer = share / buffers / PAGE * PAGE;
    (buffers * buffer).clamp(LEAST_RANGE, range)
}

/// An equal share of the range, at most [`MAX_BUFFER`] bytes, in whole pages.
fn buffer_size(range: u64) -> u64 {
    range.div_ceil(range.div_ceil(MAX_BUFFER)).next_multiple_of(PAGE)
}

/// Bytes of buffers for a range.
fn memory_of(range: u64) -> u64 {
    range.div_ceil(buffer_size(range)) * buffer_size(range)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::units::GIB;
    use proptest::prelude::*;

    fn planned(input: RangePlanInput) -> RangePlan {
        plan(&input).unwrap()
    }

    #[test]
    fn by_default_four_ranges_of_64_mib_fill_256_mib() {
        for memory in [GIB, 64 * GIB] {
            let plan = planned(RangePlanInput {
                available_memory: Some(memory),
                ..RangePlanInput::default()
            });
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
}
