//! The sizes of a download: the bytes of a range, the ranges in flight, the buffers.
//!
//! Owns the choice of these sizes and how they are reduced to fit into memory; `control` changes them
//! while the download runs. Must not know requests. Invariants: all buffers together are within the
//! memory limit, one range at least fits, and a value that the user gave is reduced only with a warning.

mod control;

pub use control::{RangeControl, RangeSample};

use crate::error::Error;
use crate::units::{MIB, format_size_exact, format_size_short};

/// The memory for buffers, where the user gives none and there is enough.
const DEFAULT_MEMORY: u64 = 256 * MIB;
/// The least memory for buffers.
#[doc(hidden)]
pub const MIN_MEMORY: u64 = 2 * MIB;
/// The ranges in flight at the start, where the user gives no number.
const DEFAULT_PARALLEL: u16 = crate::concurrency::START;
/// The bytes of a range, where the user gives none: one signature for this many.
const DEFAULT_RANGE: u64 = 64 * MIB;
/// A range of a small object is not smaller than this.
const MIN_RANGE: u64 = 16 * MIB;
/// The largest buffer. A range spans several.
const MAX_BUFFER: u64 = 4 * MIB;
/// Ranges do not get smaller than this for the sake of more connections.
const LEAST_SHARED_RANGE: u64 = 4 * MIB;
/// The most connections, however much memory there is.
const MOST_PARALLEL: u64 = 128;
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
    /// `--parallel-download-count`; `None` is `auto`.
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
    /// The number of buffers for `parallel` connections.
    pub buffers: usize,
    /// The most ranges that are read at the same time at first.
    pub parallel: usize,
    /// The most ranges that are read at the same time later.
    most: usize,
    /// The memory limit in bytes.
    memory: u64,
    /// The most bytes of a range.
    range: u64,
    /// The least bytes of a range that is not the last.
    min_range: u64,
    /// Whether the user gave the size of a range.
    range_given: bool,
    /// What the user should know about the plan, a line each.
    pub warnings: Vec<String>,
}

impl RangePlan {
    /// The bytes of each range but the last of a download of `length` bytes: equal shares where that is
    /// too little for full ranges on all connections.
    pub(crate) fn range_size(&self, length: u64) -> u64 {
        let share = length.div_ceil(self.parallel as u64).next_multiple_of(PAGE);
        share.clamp(self.min_range, self.range)
    }

    /// The buffers that a range of `length` bytes needs.
    pub fn buffers_for(&self, length: u64) -> usize {
        length.div_ceil(self.buffer_size as u64) as usize
    }

    /// The buffers beside which this many connections fit into the memory.
    fn buffers_beside(&self, connections: usize) -> usize {
        (budget(self.memory, connections as u64) / self.buffer_size as u64) as usize
    }
}

/// Bytes for buffers beside this many connections.
fn budget(memory: u64, connections: u64) -> u64 {
    memory.saturating_sub(connections.saturating_sub(u64::from(DEFAULT_PARALLEL)) * CONNECTION)
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
    let budget = |parallel: u64| budget(limit.bytes, parallel);
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
    let most = match input.parallel {
        Some(_) => parallel,
        None => most_connections(limit.bytes, parallel, range, input.part_size.is_some()),
    };
    Ok(RangePlan {
        buffer_size: buffer as usize,
        buffers: (budget(parallel) / buffer) as usize,
        parallel: parallel as usize,
        most: most as usize,
        memory: limit.bytes,
        range,
        min_range: MIN_RANGE.min(range),
        range_given: input.part_size.is_some(),
        warnings,
    })
}

/// The most connections whose ranges fit into the memory. A size that the user gave is kept; smaller
/// ranges have room for half as many that have been read and wait for an earlier one.
fn most_connections(memory: u64, at_first: u64, range: u64, range_given: bool) -> u64 {
    let least = LEAST_SHARED_RANGE.min(range).next_multiple_of(buffer_size(range));
    let each = if range_given { memory_of(range) } else { least + least / 2 };
    let fits = |parallel: &u64| parallel * each <= budget(memory, *parallel);
    (at_first..=MOST_PARALLEL).take_while(fits).last().unwrap_or(at_first)
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
mod tests;
