//! The kinds of states of an upload, and the one table of the transitions between them.
//!
//! Owns which state may follow which, and why. Must not know the data of a state. Invariant: the table
//! has every pair that a run takes. Debug builds assert it; the simulation reports pairs that no run
//! takes.

use std::fmt;

use StateKind::{
    Aborting, Committing, Deleting, Finished, ListingOrphans, RelistingParts, Resolving, Storing,
    Streaming, Verifying,
};

/// A state without its data.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum StateKind {
    /// The stream is read, and its parts are sent.
    Streaming,
    /// A PutObject of the whole stream is in flight.
    Storing,
    /// A commit is in flight.
    Committing,
    /// It is being found out what a commit or put with a lost response did.
    Resolving,
    /// The parts are listed after a commit that named a wrong etag.
    RelistingParts,
    /// The object is compared with the stream.
    Verifying,
    /// The upload is being aborted.
    Aborting,
    /// An object that differs from the stream is being deleted.
    Deleting,
    /// Uploads are listed that a create with a lost response may have left.
    ListingOrphans,
    /// The run is over.
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

impl StateKind {
    /// Whether the outcome of the run is known, so that only a cleanup is left.
    pub(crate) fn is_decided(self) -> bool {
        use StateKind::{Aborting, Deleting, Finished, ListingOrphans};
        matches!(self, Aborting | Deleting | ListingOrphans | Finished)
    }
}

/// Every transition, with what causes it.
pub const TRANSITIONS: &[(StateKind, StateKind, &str)] = &[
    (Streaming, Storing, "the stream ended and fits into one request"),
    (Streaming, Committing, "every part is acknowledged and the commit gate passes"),
    (Streaming, RelistingParts, "a run that can be resumed lists the parts before its commit"),
    (Streaming, Resolving, "a part sent again after a lost commit response is answered 404"),
    (Streaming, Aborting, "the source failed, a stop, a rejection, or the budget is exhausted"),
    (Streaming, ListingOrphans, "the same, while the response to the create is lost"),
    (Streaming, Finished, "the same, before an upload was created"),
    (Storing, Verifying, "the put is acknowledged and its digests match"),
    (Storing, Deleting, "the put is acknowledged and its digests differ"),
    (Storing, Finished, "the outcome of the put is known, or cannot be known"),
    (Committing, Verifying, "the commit is acknowledged and its digests match"),
    (Committing, Resolving, "the response is lost, or a repeated commit is rejected"),
    (Committing, RelistingParts, "the commit rejects a part's etag"),
    (Committing, Aborting, "the commit is rejected, or the gate before it"),
    (Committing, Deleting, "the commit is acknowledged and its digests differ"),
    (Committing, ListingOrphans, "the outcome cannot be known, and a create was lost"),
    (Committing, Finished, "the outcome cannot be known"),
    (Resolving, Committing, "the upload is still open: the commit is sent again"),
    (Resolving, Aborting, "the upload is still open, and the commit was rejected"),
    (Resolving, ListingOrphans, "the outcome is known, and a create or the commit was lost"),
    (Resolving, Finished, "the outcome is known, or cannot be known"),
    (RelistingParts, Streaming, "the service lacks parts that are still in memory"),
    (RelistingParts, Committing, "the service lists every part"),
    (RelistingParts, Resolving, "the upload is gone, and a commit response is lost"),
    (RelistingParts, Aborting, "the service lacks a part that is no longer in memory"),
    (RelistingParts, ListingOrphans, "the outcome cannot be known, and a create was lost"),
    (RelistingParts, Finished, "the outcome cannot be known"),
    (Verifying, Aborting, "the object does not exist, or a probe left an upload"),
    (Verifying, Deleting, "the object differs from the stream"),
    (Verifying, ListingOrphans, "the outcome is known, and a create was lost"),
    (Verifying, Finished, "the object is confirmed, or cannot be read"),
    (Aborting, ListingOrphans, "the abort is done, and a create was lost"),
    (Aborting, Finished, "the abort is done, or its time is over"),
    (Deleting, ListingOrphans, "the delete is done, and a create was lost"),
    (Deleting, Finished, "the delete is done, or its time is over"),
    (ListingOrphans, Aborting, "the lost create is answered after all"),
    (ListingOrphans, Finished, "the open uploads are listed, or its time is over"),
];
