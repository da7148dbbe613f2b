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
use crate::units::{MIB, format_size_exact};

/// The largest buffer: what a short stream leaves unused of it is little.
const MAX_BUFFER: u64 = 16 * MIB;

/// The plan for one part of as many bytes as `--max-memory` allows, or as a multipart upload would use. Fails
/// with a usage error where `--max-memory` is below 1 MiB. Warns of options that have no effect.
pub fn plan(input: &PlanInput) -> Result<PartPlan, Error> {
    let sizes = Candidate::requested(input)?;
    let usual = sizes.part.saturating_mul(u64::from(sizes.parallel) + 1);
    let (wanted, warnings) = match input.max_memory {
        Some(bytes) if bytes < UNIT => {
            let what = format!("--max-memory {} is too small", format_size_exact(bytes));
            return Err(Error::usage(what).with_hint("give at least 1 MiB"));
        }
        Some(bytes) => (bytes, without_effect(input)),
        None => {
            let limit = MemoryLimit::of(input)?.map_or(u64::MAX, |limit| limit.bytes);
            (usual.min(limit), sizes.warnings)
        }
    };
    let bytes = wanted.min(MAX_PART) / UNIT * UNIT;
    // All of the memory consists of whole buffers.
    let mut sizes = (1..=MAX_BUFFER / UNIT).map(|units| units * UNIT).rev();
    let buffer = sizes.find(|size| bytes.is_multiple_of(*size)).unwrap_or(UNIT);
    let growth = PartGrowth::none(bytes, buffer);
    Ok(PartPlan {
        buffer_size: buffer as usize,
        parallel: 1,
        warnings,
        limit: Some(bytes / buffer),
        // The upload machine refuses a second part; here it only shows that the stream goes on.
        max_stream: growth.total().min(MAX_OBJECT),
        promised: growth.total().min(MAX_OBJECT),
        growth,
        held: HeldCut::default(),
    })
}

/// A warning for each option that decides nothing beside `--max-memory`.
fn without_effect(input: &PlanInput) -> Vec<String> {
    let given = [
        ("--part-size", input.part_size.is_some()),
        // One connection is also what --disable-parallel-uploads asks for, and what this is.
        ("--parallel-upload-count", input.parallel.is_some_and(|parallel| parallel > 1)),
    ];
    let given = given.into_iter().filter(|(_, given)| *given);
    given
        .map(|(option, _)| {
            format!(
                "{option} has no effect: --no-multipart sends one request of up to --max-memory"
            )
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::units::GIB;

    #[test]
    fn the_part_takes_all_of_the_memory_in_whole_buffers() {
        for (max_memory, expected, buffer) in [
            (MIB, MIB, 1),
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
    fn a_bound_below_one_buffer_is_an_error_and_options_without_effect_are_named() {
        let too_small = PlanInput { max_memory: Some(MIB - 1), ..PlanInput::default() };
        assert_eq!(plan(&too_small).unwrap_err().kind.exit_code(), 2);
        let bounded = PlanInput { max_memory: Some(MIB), ..PlanInput::default() };
        assert!(plan(&bounded).unwrap().warnings.is_empty());
        let disabled = PlanInput { parallel: Some(1), ..bounded };
        assert!(plan(&disabled).unwrap().warnings.is_empty());
        let both = PlanInput { part_size: Some(20 * MIB), parallel: Some(9), ..bounded };
        let warnings = plan(&both).unwrap().warnings;
        assert!(
            warnings[0].starts_with("--part-size has") && warnings[1].starts_with("--parallel")
        );
        let odd = PlanInput { part_size: Some(20 * MIB + 1), ..PlanInput::default() };
        assert_eq!(plan(&odd).unwrap().warnings.len(), 1);
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
