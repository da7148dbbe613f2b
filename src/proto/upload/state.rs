//! The states of an upload, with the data that exists only in each.
//!
//! Owns the enum and its names. Must not know what happens in a state. Invariant: a state has no data
//! of another one.

use std::fmt;

use super::cleanup::Cleanup;
use super::commit::Commit;
use super::resolve::Resolving;
use super::storing::Storing;
use super::streaming::Streaming;
use super::verify::Verifying;

/// A state with the data that exists only in it.
#[derive(Default)]
pub(super) enum State {
    /// Reading the stream and sending parts.
    Streaming(Streaming),
    /// One PutObject carries the whole stream.
    Storing(Storing),
    /// The commit is in flight or waits for its next attempt.
    Committing(Commit),
    /// The outcome of the commit is unknown and being looked up.
    Resolving(Resolving),
    /// The commit rejected a part: the parts are listed.
    RelistingParts(Commit),
    /// The service reported a commit or put; the object is being read back.
    Verifying(Verifying),
    /// The outcome is known; the multipart upload is being aborted.
    Aborting(Cleanup),
    /// The outcome is known; an object that differs from the stream is being deleted.
    Deleting(Cleanup),
    /// The outcome is known; uploads that a lost create may have left are being listed.
    ListingOrphans(Cleanup),
    #[default]
    Finished,
}

/// A state without its data.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum StateKind {
    Streaming,
    Storing,
    Committing,
    Resolving,
    RelistingParts,
    Verifying,
    Aborting,
    Deleting,
    ListingOrphans,
    Finished,
}

impl fmt::Display for StateKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            StateKind::Streaming => "streaming",
            StateKind::Storing => "storing",
            StateKind::Committing => "committing",
            StateKind::Resolving => "resolving the outcome of the commit",
            StateKind::RelistingParts => "listing the parts",
            StateKind::Verifying => "verifying",
            StateKind::Aborting => "aborting",
            StateKind::Deleting => "deleting",
            StateKind::ListingOrphans => "listing open uploads",
            StateKind::Finished => "finished",
        })
    }
}

impl State {
    pub fn kind(&self) -> StateKind {
        match self {
            State::Streaming(_) => StateKind::Streaming,
            State::Storing(_) => StateKind::Storing,
            State::Committing(_) => StateKind::Committing,
            State::Resolving(_) => StateKind::Resolving,
            State::RelistingParts(_) => StateKind::RelistingParts,
            State::Verifying(_) => StateKind::Verifying,
            State::Aborting(_) => StateKind::Aborting,
            State::Deleting(_) => StateKind::Deleting,
            State::ListingOrphans(_) => StateKind::ListingOrphans,
            State::Finished => StateKind::Finished,
        }
    }
}

impl StateKind {
    /// Whether the outcome of the run is known, so that only a cleanup is left.
    pub fn is_decided(self) -> bool {
        use StateKind::{Aborting, Deleting, Finished, ListingOrphans};
        matches!(self, Aborting | Deleting | ListingOrphans | Finished)
    }
}
