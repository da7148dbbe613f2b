//! What has happened in a run that may explain its end.
//!
//! Owns the list. Must not know how a run ends. Invariant: a cause that was noted stays noted.

/// What has happened that may explain the end of a run.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash)]
pub(super) struct Causes {
    pub stopped: bool,
    pub broken: bool,
    pub expired: bool,
    pub stalled: bool,
    pub flipped: bool,
    pub part_lost: bool,
    pub other_object: bool,
    pub other_abort: bool,
    /// A commit or put was stored as other bytes.
    pub corrupted: bool,
    /// A commit or put was acknowledged and not stored.
    pub discarded: bool,
    /// A commit or put was sent.
    pub sent: bool,
    /// A commit or put has no response, though the service may have acted.
    pub doubtful: bool,
    /// The stream was the object at some time.
    pub was_stored: bool,
    /// HEAD has shown the stream.
    pub was_seen: bool,
    /// HEADs were answered with a spurious 404, as where the object is hidden.
    pub seems_hidden: bool,
    /// The response to a commit or put that was stored as other bytes does not show it.
    pub lied: bool,
    /// The same of a create.
    pub create_lost: bool,
    /// A warning asks to look for uploads.
    pub told_to_look: bool,
    /// The pre-authenticated request has ended.
    pub par_ended: bool,
    /// The response to the start of an upload through a pre-authenticated request was of no use.
    pub unusable: bool,
}
