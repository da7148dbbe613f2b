//! Fits the first part size and the parts in flight into the available memory.
//!
//! Owns the memory limit, the order in which values are reduced to fit, and the warnings. Must not know
//! part growth or the stream. Invariant: a value that the user gave is reduced last, and never without
//! a warning.

use std::cmp::Ordering;

use super::{MAX_PART, MIN_PART, PlanInput};
use crate::error::Error;
use crate::part_layout::UNIT;
use crate::units::{MIB, format_size_exact, format_size_short};

const DEFAULT_PART: u64 = 128 * MIB;
const DEFAULT_PARALLEL: u16 = 4;
/// The size down to which parts shrink before fewer are in flight.
const PREFERRED_MIN_PART: u64 = 16 * MIB;
/// The largest buffer. A larger part spans several.
const MAX_BUFFER: u64 = 128 * MIB;
/// The least memory for an upload: one part in flight and one being filled.
const MIN_MEMORY: u64 = 2 * MIN_PART;

/// The most memory for all buffers together.
pub(super) struct MemoryLimit {
    pub bytes: u64,
    source: LimitSource,
}

/// Where a memory limit comes from.
enum LimitSource {
    /// `--max-memory`.
    Option,
    /// A quarter of the memory that the process may use.
    Quarter,
    /// The minimum, since a quarter of the memory is below it.
    Scarce,
}

impl MemoryLimit {
    /// The limit of a plan; `None` if nothing limits the memory. Fails with a usage error if
    /// `--max-memory` is below 20 MiB.
    pub(super) fn of(input: &PlanInput) -> Result<Option<MemoryLimit>, Error> {
        match (input.max_memory, input.available_memory) {
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

    /// The limit as a warning names it.
    pub(super) fn name(&self) -> String {
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

/// A first part size and a number of parts in flight, which are reduced until they fit.
pub(super) struct Candidate {
    /// Bytes.
    pub part: u64,
    pub parallel: u16,
    /// Whether the user gave the part size.
    pub part_given: bool,
    /// Whether the user gave the number of parts in flight.
    parallel_given: bool,
    pub warnings: Vec<String>,
}

impl Candidate {
    /// The values that the user gave, or the defaults, within the limits of the service. Fails with a usage
    /// error if no part may be in flight.
    pub(super) fn requested(input: &PlanInput) -> Result<Candidate, Error> {
        let mut sizes = Candidate {
            part: input.part_size.unwrap_or(DEFAULT_PART),
            parallel: input.parallel.unwrap_or(DEFAULT_PARALLEL),
            part_given: input.part_size.is_some(),
            parallel_given: input.parallel.is_some(),
            warnings: Vec::new(),
        };
        if sizes.parallel == 0 {
            return Err(Error::usage("--parallel-upload-count 0: nothing would be sent")
                .with_hint("give at least 1"));
        }
        let within = sizes.part.clamp(MIN_PART, MAX_PART);
        let change = match within.cmp(&sizes.part) {
            Ordering::Greater => {
                Some(("raised", "smaller parts cost a request each and save nothing"))
            }
            Ordering::Less => Some(("reduced", "the service takes no larger ones")),
            Ordering::Equal => None,
        };
        if let Some((change, why)) = change {
            sizes.warnings.push(format!(
                "--part-size {} {change} to {}: {why}",
                format_size_exact(sizes.part),
                format_size_exact(within)
            ));
            sizes.part = within;
        }
        let whole = sizes.part / UNIT * UNIT;
        if whole != sizes.part {
            sizes.warnings.push(format!(
                "--part-size {} reduced to {}: parts have a whole number of MiB",
                format_size_exact(sizes.part),
                format_size_exact(whole)
            ));
            sizes.part = whole;
        }
        Ok(sizes)
    }

    /// Reduces the values until they fit: first the size of parts, then the parts in flight, and a value
    /// that the user gave only if reducing the others was not enough.
    pub(super) fn fit(&mut self, limit: &MemoryLimit) {
        if let LimitSource::Scarce = limit.source {
            let least = format_size_exact(limit.bytes);
            self.warnings.push(format!("{least} for parts are over a quarter of all memory here"));
        }
        let before = (self.part, self.parallel);
        if !self.part_given {
            self.reduce_part_size(limit, PREFERRED_MIN_PART);
        }
        if !self.parallel_given {
            self.reduce_parallelism(limit);
        }
        self.reduce_part_size(limit, PREFERRED_MIN_PART);
        self.reduce_parallelism(limit);
        self.reduce_part_size(limit, MIN_PART);
        if self.part_given && self.part < before.0 {
            self.warn(
                "--part-size",
                format_size_exact(before.0),
                format_size_exact(self.part),
                limit,
            );
        }
        if self.parallel_given && self.parallel < before.1 {
            let (from, to) = (before.1.to_string(), self.parallel.to_string());
            self.warn("--parallel-upload-count", from, to, limit);
        }
    }

    /// Reduces the part size as far as needed, but not below `least`.
    fn reduce_part_size(&mut self, limit: &MemoryLimit, least: u64) {
        let share = limit.bytes / (u64::from(self.parallel) + 1) / UNIT * UNIT;
        self.part = self.part.min(share.max(least));
    }

    /// Reduces the parts in flight as far as needed, but not below one.
    fn reduce_parallelism(&mut self, limit: &MemoryLimit) {
        let fitting = (limit.bytes / memory_of(self.part)).saturating_sub(1).max(1);
        self.parallel = self.parallel.min(fitting.min(u64::from(u16::MAX)) as u16);
    }

    fn warn(&mut self, option: &str, from: String, to: String, limit: &MemoryLimit) {
        let name = limit.name();
        self.warnings.push(format!("{option} {from} reduced to {to} to fit into {name}"));
    }
}

/// Bytes that the program needs besides the buffers: connections, TLS, threads.
const BESIDES_BUFFERS: u64 = 100 * MIB;

/// A warning if the memory that the process may use does not hold `--max-memory` and what the program needs besides:
/// a control group ends the process then.
pub(super) fn exceeds_memory(input: &PlanInput) -> Option<String> {
    let (wanted, memory) = (input.max_memory?, input.available_memory?);
    let fitting = memory.saturating_sub(BESIDES_BUFFERS);
    (wanted > fitting).then(|| {
        let set = match fitting / MIB * MIB {
            fitting if fitting >= MIN_MEMORY => format!("set it to {}, or ", format_size_exact(fitting)),
            _ => String::new(),
        };
        format!(
            "--max-memory {} and about {} for the program do not fit into the {} that the process may use, and \
             the system may end it: {set}leave it out",
            format_size_exact(wanted),
            format_size_exact(BESIDES_BUFFERS),
            format_size_short(memory)
        )
    })
}

/// The size of a buffer in bytes: the first part, or an equal share of it if it is larger than
/// [`MAX_BUFFER`]; whole units of part sizes, since later parts have a whole number of buffers.
pub(super) fn buffer_size(part: u64) -> u64 {
    part.div_ceil(part.div_ceil(MAX_BUFFER)).next_multiple_of(UNIT)
}

/// Bytes of buffers for a part of this size.
fn memory_of(part: u64) -> u64 {
    part.div_ceil(buffer_size(part)) * buffer_size(part)
}
