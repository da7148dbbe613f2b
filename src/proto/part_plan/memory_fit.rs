//! How the first sizes come to fit into the memory there is.
//!
//! Owns the memory bound, the order in which wishes give way to it, and the warnings about that.
//! Knows nothing of growth or of the stream.
//! Invariant: what the user gave is changed last, and never without a warning.

use super::{MAX_PART, MIN_PART, PlanInput};
use crate::error::Error;
use crate::units::{MIB, format_size_exact, format_size_short};

const DEFAULT_PART: u64 = 128 * MIB;
const DEFAULT_PARALLEL: u16 = 4;
/// How far parts shrink before there are fewer in flight.
const PREFERRED_MIN_PART: u64 = 16 * MIB;
/// Larger parts span several buffers of at most this size.
const MAX_BUFFER: u64 = 128 * MIB;
const PAGE: u64 = 4096;
/// The least that an upload can do with: a part being sent and one being read.
const MIN_MEMORY: u64 = 2 * MIN_PART;

/// The memory that all buffers together may take.
pub(super) struct MemoryLimit {
    pub bytes: u64,
    source: LimitSource,
}

enum LimitSource {
    /// Given by the user.
    Option,
    /// A quarter of what the process may use.
    Quarter,
    /// So little memory that a quarter holds no upload.
    Scarce,
}

impl MemoryLimit {
    pub fn of(request: &PlanInput) -> Result<Option<MemoryLimit>, Error> {
        match (request.max_memory, request.available_memory) {
            (Some(bytes), _) if bytes < MIN_MEMORY => Err(Error::usage(format!(
                "--max-memory {} is too small: one part of 10 MiB is sent while the next is read",
                format_size_exact(bytes)
            ))
            .with_hint(format!("give at least {}", format_size_exact(MIN_MEMORY)))),
            (Some(bytes), _) => Ok(Some(MemoryLimit { bytes, source: LimitSource::Option })),
            (None, Some(memory)) if memory / 4 < MIN_MEMORY => {
                Ok(Some(MemoryLimit { bytes: MIN_MEMORY, source: LimitSource::Scarce }))
            }
            (None, Some(memory)) => {
                Ok(Some(MemoryLimit { bytes: memory / 4, source: LimitSource::Quarter }))
            }
            (None, None) => Ok(None),
        }
    }

    pub fn name(&self) -> String {
        let bytes = match self.source {
            LimitSource::Quarter => format_size_short(self.bytes),
            LimitSource::Option | LimitSource::Scarce => format_size_exact(self.bytes),
        };
        match self.source {
            LimitSource::Option => format!("--max-memory {bytes}"),
            LimitSource::Quarter => format!("{bytes}, a quarter of the memory there is"),
            LimitSource::Scarce => format!("{bytes}, the least possible"),
        }
    }
}

/// The first part size and the parts in flight, on their way from the wish to what fits.
pub(super) struct Candidate {
    pub part: u64,
    pub parallel: u16,
    pub part_given: bool,
    parallel_given: bool,
    pub warnings: Vec<String>,
}

impl Candidate {
    pub fn requested(request: &PlanInput) -> Result<Candidate, Error> {
        let mut sizes = Candidate {
            part: request.part_size.unwrap_or(DEFAULT_PART),
            parallel: request.parallel.unwrap_or(DEFAULT_PARALLEL),
            part_given: request.part_size.is_some(),
            parallel_given: request.parallel.is_some(),
            warnings: Vec::new(),
        };
        if sizes.parallel == 0 {
            return Err(Error::usage("--parallel-upload-count 0: nothing would be sent")
                .with_hint("give at least 1"));
        }
        let within = sizes.part.clamp(MIN_PART, MAX_PART);
        if within != sizes.part {
            let (done, why) = match within > sizes.part {
                true => ("raised", "smaller parts cost a request each and save nothing"),
                false => ("reduced", "the service takes no larger ones"),
            };
            sizes.warnings.push(format!(
                "--part-size {} {done} to {}: {why}",
                format_size_exact(sizes.part),
                format_size_exact(within)
            ));
            sizes.part = within;
        }
        Ok(sizes)
    }

    /// Makes the sizes fit: smaller parts first, then fewer in flight, and what the user gave only
    /// when changing the rest was not enough.
    pub fn fit(&mut self, bound: &MemoryLimit) {
        if let LimitSource::Scarce = bound.source {
            let least = format_size_exact(bound.bytes);
            self.warnings.push(format!("{least} for parts are over a quarter of all memory here"));
        }
        let wanted = (self.part, self.parallel);
        if !self.part_given {
            self.reduce_part_size(bound, PREFERRED_MIN_PART);
        }
        if !self.parallel_given {
            self.reduce_parallelism(bound);
        }
        self.reduce_part_size(bound, PREFERRED_MIN_PART);
        self.reduce_parallelism(bound);
        self.reduce_part_size(bound, MIN_PART);
        if self.part_given && self.part < wanted.0 {
            self.warn(
                "--part-size",
                format_size_exact(wanted.0),
                format_size_exact(self.part),
                bound,
            );
        }
        if self.parallel_given && self.parallel < wanted.1 {
            let (from, to) = (wanted.1.to_string(), self.parallel.to_string());
            self.warn("--parallel-upload-count", from, to, bound);
        }
    }

    /// Makes parts smaller, to `least` at the smallest, and only as far as needed.
    fn reduce_part_size(&mut self, bound: &MemoryLimit, least: u64) {
        if !self.fits(bound) {
            let share = bound.bytes / (u64::from(self.parallel) + 1) / MIB * MIB;
            self.part = self.part.min(share.max(least));
        }
    }

    /// Takes parts out of flight, down to one, and only as many as needed.
    fn reduce_parallelism(&mut self, bound: &MemoryLimit) {
        if !self.fits(bound) {
            let fitting = (bound.bytes / memory_of(self.part)).saturating_sub(1).max(1);
            self.parallel = self.parallel.min(fitting.min(u64::from(u16::MAX)) as u16);
        }
    }

    fn fits(&self, bound: &MemoryLimit) -> bool {
        (u64::from(self.parallel) + 1) * memory_of(self.part) <= bound.bytes
    }

    fn warn(&mut self, option: &str, from: String, to: String, bound: &MemoryLimit) {
        let name = bound.name();
        self.warnings.push(format!("{option} {from} reduced to {to} to fit into {name}"));
    }
}

/// Buffers are as large as the first part, or an equal share of it where it is larger than one
/// buffer may be. Whole pages, so that every buffer starts on one.
pub(super) fn buffer_size(part: u64) -> u64 {
    part.div_ceil(part.div_ceil(MAX_BUFFER)).next_multiple_of(PAGE)
}

fn memory_of(part: u64) -> u64 {
    part.div_ceil(buffer_size(part)) * buffer_size(part)
}
