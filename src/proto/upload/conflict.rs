//! What happens after a conflict with an object at the name, before the end of the stream.
//!
//! Owns whether the rest of the stream is still read, so that the object can be compared with it. Must not
//! compare anything. Invariant: after a conflict nothing is sent, and the run ends with the conflict or with
//! what is wrong with the source.

use super::compare::Comparison;
use super::core::Core;
use super::state::{State, Streaming};
use super::{Action, ConflictRule, Upload};
use crate::api::ObjectMeta;
use crate::error::{Error, ErrorKind};
use crate::evidence::Evidence;
use crate::part_number::PartNumber;
use crate::units::format_size_exact;

impl ConflictRule {
    /// The conflict that was found before the run.
    #[doc(hidden)]
    pub fn found(&self) -> Option<Error> {
        match self {
            ConflictRule::Found(error) => Some(error.clone()),
            ConflictRule::End | ConflictRule::ReadOn => None,
        }
    }
}

impl Streaming {
    /// Ends the run with the error of a rejected request; but where an object that exists is to be compared,
    /// after the rest of the stream was read.
    pub(super) fn end_with_conflict(mut self, core: &mut Core, error: Error) -> State {
        let reads_on = core.config.conflict == ConflictRule::ReadOn
            && error.kind == ErrorKind::Exists
            && core.end.is_none();
        if !reads_on {
            return self.abort(core, error);
        }
        core.call.scheduled = None;
        core.act(Action::CancelParts);
        for number in PartNumber::all().take(core.parts.count() as usize) {
            core.act(Action::ReleasePart(number));
        }
        core.act(Action::ReadOn);
        core.warn(format!(
            "{}: reading the rest of the stream to compare the object with it",
            error.message
        ));
        self.conflict = Some(error);
        State::Streaming(self)
    }
}

impl Upload {
    /// What proves that an object is the stream that was read, by the digests of the parts; `None` where the
    /// stream was not read to its end, and where these digests do not prove it: an equal object may have
    /// been stored in other parts, and with `--checksum none` no digest is one of what was read.
    #[doc(hidden)]
    pub fn proof_of(&self, object: &ObjectMeta) -> Option<Evidence> {
        let core = &self.core;
        let end = core.end?;
        let is_whole = core.parts.complete(end.bytes).is_ok();
        // The digest of one part is that of the whole only where there is no other.
        if !is_whole || core.upload_id().is_none() && core.parts.count() != 1 {
            return None;
        }
        match core.compare(object) {
            Comparison::Same(Evidence::Composition) => None,
            Comparison::Same(evidence) if evidence.is_strong() => Some(evidence),
            _ => None,
        }
    }

    /// The bytes of the stream; 0 before its end.
    #[doc(hidden)]
    pub fn stream_bytes(&self) -> u64 {
        self.core.end.unwrap_or_default().bytes
    }

    /// The sizes of the parts that were read, in bytes.
    #[doc(hidden)]
    pub fn part_sizes(&self) -> impl Iterator<Item = u64> {
        self.core.parts.digests().map(|digest| digest.size)
    }
}

/// The error for a stream that one PutObject cannot carry.
pub fn too_long_for_one_put(most: u64) -> Error {
    Error::source(format!(
        "the stream is longer than {}, which is all that --no-multipart holds in memory; nothing was stored",
        format_size_exact(most)
    ))
    .with_hint("give more with --max-memory, or leave --no-multipart out")
}
