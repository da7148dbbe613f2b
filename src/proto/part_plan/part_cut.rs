//! The cut of one stream: where each part ends while the number of connections changes.
//!
//! Owns the sizes of the parts of an upload that chooses its number of connections itself (`auto`), and
//! the pool's buffers for them. Must not know when parts are sent. Invariants: while the number is the
//! first one, the parts are those of the plan; whatever the numbers are, the stream that the plan
//! promises fits into the part numbers, and no part and no pool is larger than the plan allows.

use super::memory_fit::MemoryLimit;
use super::{MAX_PARTS, PartPlan, PlanInput};
use crate::concurrency::{self, START};
use crate::part_layout::UNIT;
use crate::units::MIB;

/// The smallest part of an upload that adds connections, in bytes.
pub(crate) const MIN_SMALL_PART: u64 = 16 * MIB;
/// Bytes of the buffers of an upload that adds connections, where there is so much memory.
const MEMORY: u64 = 640 * MIB;
/// Part numbers that parts may take that are cut again before they are sent.
pub(crate) const SPLIT_RESERVE: u32 = 64;
/// A part has at least this share of the bytes before it, where the length of the stream is unknown:
/// small parts use up the part numbers.
const LEAST_SHARE: u64 = 1_000;
/// The part numbers that may be smaller than planned in such a stream: more would make later parts, and
/// the memory for them, grow much earlier.
const SMALL_PARTS: u32 = 2_400;
/// The part numbers that a stream of the expected length takes at most.
const EXPECTED_PARTS: u64 = 6_000;

/// Where a part starts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PartStart {
    /// From 1.
    pub number: u32,
    /// The bytes of the stream before the part.
    pub offset: u64,
}

/// The sizes of the parts of one stream.
#[derive(Debug, Clone)]
pub struct PartCut {
    plan: PartPlan,
    /// Buffers of the pool in one buffer of the plan.
    pieces: usize,
    /// Bytes of all parts up to each number, from 0; empty until a part differs from the plan.
    ends: Vec<u64>,
    auto: Option<Auto>,
}

/// What an upload that adds connections has besides its plan.
#[derive(Debug, Clone)]
struct Auto {
    most: u16,
    /// The pool's buffers that more connections may use.
    buffers: usize,
    /// Whether parts get smaller; else they have the size that the user gave.
    shrinks: bool,
    expected: Option<u64>,
    /// The largest size of a part in bytes.
    largest: u64,
    /// The longest stream that must fit, in bytes.
    longest: u64,
}

impl Auto {
    /// The expected length of the stream, unless the stream is longer by a tenth already.
    fn expected_beyond(&self, offset: u64) -> Option<u64> {
        self.expected.filter(|bytes| offset < bytes.saturating_add(bytes / 10))
    }
}

impl From<PartPlan> for PartCut {
    /// The parts of the plan, whatever the number of connections is.
    fn from(plan: PartPlan) -> PartCut {
        PartCut { plan, pieces: 1, ends: Vec::new(), auto: None }
    }
}

impl PartCut {
    /// The cut of an upload with these options; without a number of connections it adds some.
    pub fn new(plan: PartPlan, input: &PlanInput) -> PartCut {
        if input.parallel.is_some() {
            return plan.into();
        }
        let memory = MemoryLimit::of(input).ok().flatten().map_or(u64::MAX, |limit| limit.bytes);
        let memory = memory.min(MEMORY);
        let shrinks = input.part_size.is_none();
        let pieces = if shrinks { pieces(plan.buffer_size as u64) } else { 1 };
        let of_part = (plan.growth.buffers(1) as usize * pieces).max(1);
        let buffers = (memory / (plan.buffer_size / pieces) as u64) as usize;
        let most = if shrinks { buffers } else { buffers / of_part };
        let most = (most.saturating_sub(1)).min(1000) as u16;
        let largest = (1..=MAX_PARTS).map(|number| plan.part_size(number)).max().unwrap_or(0);
        let auto = Auto {
            most: most.max(plan.parallel),
            buffers,
            shrinks,
            expected: input.expected_size,
            largest,
            longest: plan.longest(largest),
        };
        let cut = PartCut { plan, pieces, ends: Vec::new(), auto: Some(auto) };
        match shrinks && !cut.fits(1, 0) {
            // The stream needs all numbers.
            true => cut.plan.into(),
            false => cut,
        }
    }

    /// The plan of an upload that adds no connections.
    pub fn plan(&self) -> &PartPlan {
        &self.plan
    }

    /// Bytes of a buffer of the pool.
    pub fn buffer_size(&self) -> usize {
        self.plan.buffer_size / self.pieces
    }

    /// The most connections; `None` where the number is fixed.
    pub(crate) fn most_connections(&self) -> Option<u16> {
        self.auto.as_ref().map(|auto| auto.most)
    }

    /// The bytes of the buffers that more connections may use; 0 where the number is fixed.
    pub fn memory(&self) -> u64 {
        self.auto.as_ref().map_or(0, |auto| (auto.buffers * self.buffer_size()) as u64)
    }

    /// The highest number of a part that may be cut again before it is sent, so that `SPLIT_RESERVE` more
    /// numbers are left for the rest of the stream.
    pub(crate) fn split_until(&self) -> u32 {
        self.auto.as_ref().filter(|auto| auto.shrinks).map_or(0, |auto| {
            let needed = auto.longest.div_ceil(auto.largest).min(MAX_PARTS.into()) as u32;
            (MAX_PARTS - SPLIT_RESERVE).saturating_sub(needed)
        })
    }

    /// The longest stream that can be stored, in bytes.
    pub fn max_stream(&self) -> u64 {
        self.auto.as_ref().map_or(self.plan.max_stream(), |auto| auto.longest)
    }

    /// The pool's buffers that may be out while a part is filled.
    pub fn buffers_for(&mut self, at: PartStart, connections: u16) -> usize {
        let size = self.part_size(at, connections);
        let of_part = size.div_ceil(self.buffer_size() as u64) as usize;
        let planned_number = self.planned_number(at);
        let planned = self.plan.buffers_for(planned_number) * self.pieces;
        match &self.auto {
            Some(auto) if auto.shrinks => {
                let first = self.plan.buffers_for(1) * self.pieces;
                (of_part * (usize::from(self.plan.parallel) + 1)).clamp(first.min(planned), planned)
            }
            Some(auto) => {
                let wanted = of_part * (usize::from(connections) + 1);
                wanted.min(auto.buffers).max(planned)
            }
            None => planned,
        }
    }

    /// The size in bytes of a part, with this many connections, unless the stream ends within it. 0 where
    /// the number is not valid.
    pub fn part_size(&mut self, at: PartStart, connections: u16) -> u64 {
        if at.number == 0 || at.number > MAX_PARTS {
            return 0;
        }
        let planned_number = self.planned_number(at);
        let planned = self.plan.part_size(planned_number);
        let Some(auto) = self.auto.as_ref().filter(|auto| auto.shrinks && connections > START)
        else {
            return planned;
        };
        if self.plan.held.size(at.number).is_some() {
            return planned;
        }
        let buffer = self.buffer_size() as u64;
        let least = match auto.expected_beyond(at.offset) {
            Some(bytes) => bytes / EXPECTED_PARTS,
            None if at.number <= SMALL_PARTS => at.offset / LEAST_SHARE,
            None => return planned,
        };
        let room = self.plan.buffers_for(1) * self.pieces;
        let shared = concurrency::part_buffers(room, connections, usize::MAX) as u64;
        let buffers = shared.max(least.div_ceil(buffer));
        let size = planned.min(buffers * buffer / UNIT * UNIT);
        if self.fits(at.number + 1, at.offset + size) { size } else { planned }
    }

    /// Whether the part that starts at `at` may end after `filled` bytes although the stream goes on: where it
    /// would not be larger with the most connections, or where the part numbers suffice for a stream of the
    /// expected length all the same.
    pub fn may_end(&mut self, at: PartStart, filled: u64) -> bool {
        let most = self.most_connections().unwrap_or(START);
        if filled >= self.part_size(at, most) {
            return true;
        }
        let Some(auto) = self.auto.as_ref().filter(|auto| auto.shrinks) else { return false };
        let Some(bytes) = auto.expected_beyond(at.offset) else { return false };
        let end = at.offset + filled;
        let rest = bytes.saturating_add(bytes / 10).saturating_sub(end);
        let numbers = rest.div_ceil((bytes / EXPECTED_PARTS).max(MIN_SMALL_PART));
        self.plan.held.size(at.number).is_none()
            && u64::from(at.number) + numbers <= u64::from(MAX_PARTS - SPLIT_RESERVE)
            && self.fits(at.number + 1, end)
    }

    /// Whether the longest stream fits if part `number` starts at `offset`, and this and all later
    /// parts are as large as parts get.
    fn fits(&self, number: u32, offset: u64) -> bool {
        let Some(auto) = &self.auto else { return true };
        let numbers = u64::from((MAX_PARTS - SPLIT_RESERVE + 1).saturating_sub(number));
        offset.saturating_add(numbers.saturating_mul(auto.largest)) >= auto.longest
    }

    /// The number whose size in the plan this part has. It is higher than the part's own where earlier
    /// parts were smaller than planned, so that parts grow earlier and hold the same in the end.
    fn planned_number(&mut self, at: PartStart) -> u32 {
        let Some(Auto { largest, longest, shrinks: true, .. }) = self.auto else {
            return at.number;
        };
        // A part that the service holds has its own size, whatever the parts before it had.
        if self.plan.held.size(at.number).is_some() {
            return at.number;
        }
        if self.ends.is_empty() {
            if self.plan.part_size(1).saturating_mul(u64::from(at.number) - 1) == at.offset
                && self.plan.part_size(at.number) == self.plan.part_size(1)
            {
                return at.number;
            }
            let mut end = 0;
            self.ends = std::iter::once(0)
                .chain((1..=MAX_PARTS).map(|number| {
                    end += self.plan.part_size(number);
                    end
                }))
                .collect();
        }
        let (ends, total) = (&self.ends, self.ends[MAX_PARTS as usize]);
        let holds = |planned: u32| {
            let later = total - ends[planned as usize - 1];
            let largest = largest.saturating_mul(u64::from(planned - at.number));
            at.offset.saturating_add(later).saturating_add(largest) >= longest
        };
        let (mut low, mut high) = (at.number.clamp(1, MAX_PARTS), MAX_PARTS);
        while low < high {
            let middle = low + (high - low) / 2;
            if holds(middle) {
                high = middle;
            } else {
                low = middle + 1;
            }
        }
        low
    }
}

/// The number of equal pieces of a buffer, none under 16 MiB and each a whole number of pages.
fn pieces(buffer: u64) -> usize {
    const PAGE: u64 = 4096;
    (1..=buffer / MIN_SMALL_PART)
        .rev()
        .find(|pieces| buffer.is_multiple_of(pieces * PAGE))
        .unwrap_or(1) as usize
}
