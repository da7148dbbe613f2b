//! The plan of a stream that one PutObject carries whole (`--no-multipart`).
//!
//! Owns how long such a stream may be. Must not know streams or requests. Invariant: the one part takes all
//! of the memory that there may be, and no buffer is left for another one.

use super::held_cut::HeldCut;
use super::memory_fit::{Candidate, MemoryLimit};
use super::part_growth::PartGrowth;
use super::{MAX_OBJECT, MAX_PART, PartPlan, PlanInput};
use crate::error::Error;
use crate::part_layout::UNIT;
use crate::units::MIB;

/// The largest buffer: what a short stream leaves unused of it is little.
const MAX_BUFFER: u64 = 16 * MIB;

/// The plan for one part of as many bytes as `--max-memory` allows, or as a multipart upload would use. Fails
/// with a usage error where that is below 20 MiB.
pub fn plan(input: &PlanInput) -> Result<PartPlan, Error> {
    let sizes = Candidate::requested(input)?;
    let limit = MemoryLimit::of(input)?.map(|limit| limit.bytes);
    let usual = sizes.part.saturating_mul(u64::from(sizes.parallel) + 1);
    let wanted = match input.max_memory {
        Some(bytes) => bytes,
        None => usual.min(limit.unwrap_or(u64::MAX)),
    };
    let bytes = wanted.min(MAX_PART) / UNIT * UNIT;
    // All of the memory consists of whole buffers.
    let mut sizes = (1..=MAX_BUFFER / UNIT).map(|units| units * UNIT).rev();
    let buffer = sizes.find(|size| bytes.is_multiple_of(*size)).unwrap_or(UNIT);
    let growth = PartGrowth::none(bytes, buffer);
    Ok(PartPlan {
        buffer_size: buffer as usize,
        parallel: 1,
        warnings: Vec::new(),
        limit: Some(bytes / buffer),
        // The upload machine refuses a second part; here it only shows that the stream goes on.
        max_stream: growth.total().min(MAX_OBJECT),
        promised: growth.total().min(MAX_OBJECT),
        growth,
        held: HeldCut::default(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::units::GIB;

    #[test]
    fn the_part_takes_all_of_the_memory_in_whole_buffers() {
        for (max_memory, expected, buffer) in [
            (20 * MIB, 20 * MIB, 10),
            (97 * MIB, 97 * MIB, 1),
            (640 * MIB + 5, 640 * MIB, 16),
            (100 * GIB, MAX_PART, 16),
        ] {
            let input = PlanInput { max_memory: Some(max_memory), ..PlanInput::default() };
            let plan = plan(&input).unwrap();
            assert_eq!((plan.part_size(1), plan.memory()), (expected, expected));
            assert_eq!(plan.buffer_size as u64, buffer * MIB, "{max_memory}");
        }
    }

    #[test]
    fn without_a_bound_the_part_takes_what_a_multipart_upload_would() {
        let of = |input: &PlanInput| plan(input).unwrap().memory();
        assert_eq!(of(&PlanInput::default()), 640 * MIB);
        let scarce = PlanInput { available_memory: Some(GIB), ..PlanInput::default() };
        assert_eq!(of(&scarce), 256 * MIB);
        let sized = PlanInput { part_size: Some(20 * MIB), ..PlanInput::default() };
        assert_eq!(of(&sized), 100 * MIB);
    }
}
