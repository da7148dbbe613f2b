//! The part plan: the size of each part, and the memory for buffers.
//!
//! Owns the choice of the first part size and the number of buffers from the user's options and the
//! available memory, and the growth of later parts. Must not know streams, the buffers in use, or how
//! much memory the machine has: that is an argument.
//! Invariants: where the service holds no part of the stream yet, the size of each part but the last is of the
//! family of `part_layout`, between 10 MiB and 50 GiB, and not below that of the part before; while a part is filled,
//! the pool has room for that part and one more buffer, so that reading never waits for memory that only further
//! reading would free.

mod held_cut;
mod memory_fit;
mod part_cut;
#[cfg(test)]
mod part_cut_bounds;
#[cfg(test)]
mod part_cut_tests;
mod part_growth;
#[cfg(test)]
mod properties;
mod single_put;

use crate::error::Error;
use crate::part_layout::PartLayout;
use crate::units::{GIB, MIB, TIB, format_size_exact, format_size_short};
use held_cut::HeldCut;
use memory_fit::{Candidate, MemoryLimit, buffer_size};
use part_growth::{GrowthInput, PartGrowth};

/// The highest part number. This and the next two are limits of the service
/// (<https://docs.oracle.com/iaas/Content/Object/Tasks/usingmultipartuploads.htm>).
pub use crate::part_number::MAX_PARTS;
/// The largest part, in bytes.
pub(crate) const MAX_PART: u64 = 50 * GIB;
/// The largest object, in bytes.
pub(crate) const MAX_OBJECT: u64 = 10 * TIB;
/// The smallest part but the last, in bytes. The service accepts smaller ones; but each part costs a
/// request, and 10,000 small ones hold no long stream.
pub const MIN_PART: u64 = 10 * MIB;

/// The length in bytes up to which a stream has to fit if the user gives no expected size.
const DEFAULT_MAX_STREAM: u64 = TIB;

pub(crate) use part_cut::{MIN_SMALL_PART, SPLIT_RESERVE};
pub use part_cut::{PartCut, PartStart};
pub use single_put::plan as plan_single_put;

/// The user's options and the available memory. Sizes are bytes.
#[derive(Debug, Clone, Default)]
pub struct PlanInput {
    /// `--part-size`.
    pub part_size: Option<u64>,
    /// `--parallel-upload-count`; `None` is `auto`.
    pub parallel: Option<u16>,
    /// `--max-memory`.
    pub max_memory: Option<u64>,
    /// `--expected-size`, or the length of a file.
    pub expected_size: Option<u64>,
    /// The memory that the process may use; `None` if it is not known.
    pub available_memory: Option<u64>,
}

/// The sizes of all parts, and the number of buffers for them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PartPlan {
    /// Bytes, a whole number of MiB (in tests, of pages).
    pub buffer_size: usize,
    /// The most parts in flight, as far as the plan decides it.
    pub parallel: u16,
    /// Warnings to print before the first byte is read.
    pub warnings: Vec<String>,
    /// The number of buffers that fit into the memory limit, if there is one.
    limit: Option<u64>,
    growth: PartGrowth,
    /// The sizes of a resumed upload, which precede those of the growth.
    held: HeldCut,
    max_stream: u64,
    /// The longest stream in bytes before the parts were cut as an open upload was.
    promised: u64,
}

impl PartPlan {
    /// The size in bytes of part `number`, counted from 1, unless the stream ends within it. 0 for a number
    /// that is not valid.
    pub fn part_size(&self, number: u32) -> u64 {
        if number == 0 || number > MAX_PARTS {
            return 0;
        }
        self.held.size(number).unwrap_or_else(|| self.growth.size(number))
    }

    /// The plan of an upload that holds these parts, each a number and a size in bytes, ascending by
    /// number: the stream is cut where they were cut, as far as that follows from them and fits into the
    /// memory of this plan. Else this plan decides, and parts that were cut elsewhere are sent again.
    pub fn continuing(self, held: &[(u32, u64)]) -> PartPlan {
        let fits = |size: u64| {
            let buffers = size.div_ceil(self.buffer_size as u64);
            self.limit.is_none_or(|limit| buffers < limit)
        };
        let cut = HeldCut::of(held, |number| self.growth.size(number), fits);
        let mut warnings = self.warnings.clone();
        if let Some((number, size)) = held.iter().find(|(_, size)| !fits(*size)) {
            warnings.push(format!(
                "part {number} of the open upload has {}, which does not fit into the memory for parts: \
                 it is sent again in other parts",
                format_size_short(*size)
            ));
        }
        let plan = PartPlan { held: cut, warnings, ..self };
        let total: u64 = (1..=MAX_PARTS).map(|number| plan.part_size(number)).sum();
        PartPlan { max_stream: total.min(MAX_OBJECT), ..plan }
    }

    /// The most buffers in use while part `number` is filled: enough for it and `parallel` parts of the same
    /// size in flight, within the memory limit.
    pub fn buffers_for(&self, number: u32) -> usize {
        let of_part = match self.held.size(number) {
            Some(size) => size.div_ceil(self.buffer_size as u64),
            None => self.growth.buffers(number),
        };
        let wanted = of_part * (u64::from(self.parallel) + 1);
        wanted.min(self.limit.unwrap_or(u64::MAX)) as usize
    }

    /// The layout of a stream of this length in bytes without a tail split; `None` where it is longer
    /// than can be stored.
    pub fn layout(&self, bytes: u64) -> Option<PartLayout> {
        let mut left = Some(bytes).filter(|bytes| *bytes <= self.max_stream)?;
        let sizes = (1..=MAX_PARTS).map_while(|number| {
            let size = self.part_size(number).min(left);
            left -= size;
            (size > 0).then_some(size)
        });
        PartLayout::of_sizes(sizes)
    }

    /// The longest stream that can be stored, in bytes.
    pub fn max_stream(&self) -> u64 {
        self.max_stream
    }

    /// The longest stream in bytes that must fit where later parts may be this large.
    fn longest(&self, largest: u64) -> u64 {
        let held = self.held.sum();
        let numbers = (MAX_PARTS - SPLIT_RESERVE).saturating_sub(self.held.count());
        let feasible = held.saturating_add(u64::from(numbers).saturating_mul(largest));
        self.promised.min(feasible).max(self.max_stream)
    }

    /// Bytes of buffers while the first parts are in flight.
    pub fn memory(&self) -> u64 {
        self.buffers_for(1) as u64 * self.buffer_size as u64
    }

    /// A plan for tests and benchmarks: parts of one buffer each that never grow.
    pub fn uniform(buffer_size: usize, parallel: u16) -> PartPlan {
        PartPlan::level_plan(buffer_size, buffer_size as u64, parallel)
    }

    /// A plan for tests and benchmarks: parts of any size that never grow, also below the limits.
    pub fn level_plan(buffer_size: usize, part_size: u64, parallel: u16) -> PartPlan {
        let growth = PartGrowth::none(part_size, buffer_size as u64);
        let max_stream = growth.total();
        PartPlan {
            buffer_size,
            parallel,
            warnings: vec![],
            limit: None,
            growth,
            held: HeldCut::default(),
            max_stream,
            promised: max_stream,
        }
    }
}

/// Chooses part sizes and buffers. Fails with a usage error if the memory limit is below two parts of
/// 10 MiB or no part may be in flight.
pub fn plan(input: &PlanInput) -> Result<PartPlan, Error> {
    let mut sizes = Candidate::requested(input)?;
    let limit = MemoryLimit::of(input)?;
    if let Some(limit) = &limit {
        sizes.fit(limit);
    }
    let buffer = buffer_size(sizes.part);
    let buffers = limit.as_ref().map(|limit| limit.bytes / buffer);
    let growth = PartGrowth::for_input(&GrowthInput {
        first: sizes.part,
        buffer,
        // One more buffer than the largest part has, so that reading continues while it is sent.
        most: buffers.map_or(u64::MAX, |buffers| buffers - 1),
        // The expected size must not change the user's part size, nor reduce the parts in flight at the
        // start; later growth reduces them only for a while.
        start_at_most: match buffers {
            _ if sizes.part_given => 0,
            Some(buffers) => buffers / (u64::from(sizes.parallel) + 1),
            None => u64::MAX,
        },
        expected: input.expected_size,
    });
    let longest = growth.total().min(MAX_OBJECT);
    let mut warnings = sizes.warnings;
    warnings.extend(memory_fit::exceeds_memory(input));
    warnings.extend(too_short(input, limit.as_ref(), longest));
    Ok(PartPlan {
        buffer_size: buffer as usize,
        parallel: sizes.parallel,
        warnings,
        limit: buffers,
        growth,
        held: HeldCut::default(),
        max_stream: longest,
        promised: longest,
    })
}

/// The warning that a stream of the expected size cannot be stored, with the reason.
fn too_short(input: &PlanInput, limit: Option<&MemoryLimit>, longest: u64) -> Option<String> {
    let expected = input.expected_size;
    if longest >= expected.unwrap_or(DEFAULT_MAX_STREAM) {
        return None;
    }
    let cause = match (limit, expected) {
        _ if longest == MAX_OBJECT => "no object can be longer".to_string(),
        (Some(limit), _) => format!("more does not fit into {}", limit.name()),
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
mod tests;
