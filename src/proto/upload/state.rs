//! The states of an upload, with the data that exists only in each.
//!
//! Owns the enum and the data of its states. Must not know what happens in a state: the handlers are in
//! the file named after it. Invariant: a state has no data of another one, and a handler owns the data
//! of its state only.

use super::event::{Now, StoredObject};
use super::transitions::StateKind;
use crate::api::ObjectMeta;
use crate::error::Error;
use crate::evidence::Evidence;

/// A state with the data that exists only in it.
#[derive(Clone, Default)]
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

impl State {
    pub(super) fn kind(&self) -> StateKind {
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

/// Whether a commit or put may have taken effect although no response says so.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) enum Doubt {
    /// Every response arrived.
    #[default]
    None,
    /// The response to an attempt was lost.
    ResponseLost,
    /// The response was lost, and the upload was seen open afterwards.
    SeenOpen,
}

impl Doubt {
    pub(super) fn exists(self) -> bool {
        self != Doubt::None
    }

    pub(super) fn raise(&mut self) {
        if *self == Doubt::None {
            *self = Doubt::ResponseLost;
        }
    }
}

/// Reading the stream and sending parts.
#[derive(Clone, Default)]
pub(super) struct Streaming {
    /// The stream is longer than one part.
    pub multipart_needed: bool,
    pub next_part_is_last: bool,
    /// No part comes after those that were read.
    pub no_more_parts: bool,
    /// No commit or put starts before this time.
    pub hold_until: Option<Now>,
    /// An object exists at the name: the stream is only read, and the run ends with this error.
    pub conflict: Option<Error>,
    /// What earlier commits of this run have left open; parts are sent again after one that
    /// rejected them.
    pub commit: Commit,
}

/// One PutObject of the whole stream.
#[derive(Clone)]
pub(super) struct Storing {
    /// The response to an attempt was lost.
    pub doubt: Doubt,
    pub checksum_failures: u32,
    /// The rejection of a repeated put, while an earlier attempt may have succeeded.
    pub rejection: Option<Error>,
    /// Metadata to compare with the MD5 of the buffer, once that is computed.
    pub rehash: Option<Rehash>,
    /// The object was looked up after the retry budget was exhausted.
    pub final_head_sent: bool,
}

/// What waits for the MD5 of the buffer.
#[derive(Clone)]
pub(super) enum Rehash {
    /// The put was acknowledged without the chosen checksum.
    Acknowledged(ObjectMeta),
    /// An object at the name may be the one of a put whose response was lost.
    Candidate(ObjectMeta),
}

/// The commits of a multipart upload.
#[derive(Clone, Default)]
pub(super) struct Commit {
    pub doubt: Doubt,
    pub relists: u32,
    /// With `--resume` the parts were listed after the last of them was acknowledged.
    pub listed: bool,
}

/// What is looked up while the outcome of a commit is unknown.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum ResolveStep {
    /// Whether the object exists and matches.
    HeadObject,
    /// Whether the upload is still open.
    ListParts,
    /// Whether the object exists and matches, after the upload was found to be gone.
    HeadAfterUploadGone,
}

/// The look-ups after a lost or ambiguous response to a commit.
#[derive(Clone)]
pub(super) struct Resolving {
    pub commit: Commit,
    pub step: ResolveStep,
    /// The rejection of a repeated commit.
    pub rejection: Option<Error>,
}

/// The check of a reported commit or put.
#[derive(Clone)]
pub(super) struct Verifying {
    /// The metadata in the response to the commit or put.
    pub committed: ObjectMeta,
    /// The evidence in that response.
    pub evidence: Option<Evidence>,
    /// The upload that a conditional create has made; it must be aborted too.
    pub probe_upload_id: Option<String>,
}

/// A known outcome, and what is left to clean up.
#[derive(Clone)]
pub(super) struct Cleanup {
    pub outcome: Result<StoredObject, Error>,
    /// Whether a commit may have taken effect: then only a successful abort proves that it did not.
    pub doubt: Doubt,
    /// The upload that a conditional create has made.
    pub probe_upload_id: Option<String>,
    /// The upload that is being aborted, or was.
    pub aborting: Option<String>,
}
