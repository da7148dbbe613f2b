//! The inputs and outputs of the upload state machine as plain values.
//!
//! Owns the events, calls and actions. Must not know in which order they occur.
//! Invariant: no value holds a buffer, a socket or a secret.

use std::time::Duration;

use super::transitions::StateKind;
use crate::api::{ListedPart, ListedUpload, ObjectMeta};
use crate::digest::{PartDigest, Value};
use crate::error::Error;
use crate::evidence::Evidence;
use crate::part_layout::PartLayout;
use crate::part_number::PartNumber;
use crate::request_fields::Warning;
use crate::retry::{Failure, Operation};

/// Time since the start of the run.
pub type Now = Duration;

/// The length of the whole stream, and the CRC of its buffers.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct EndOfStream {
    /// Bytes of the stream.
    pub bytes: u64,
    /// The CRC of the stream, of the kind [`Algorithm::buffer_crc`](crate::digest::Algorithm::buffer_crc).
    pub crc32: u32,
}

/// An input of the state machine.
#[derive(Debug)]
pub enum Event {
    /// A part is complete, or the stream has ended within it; its bytes are in the driver's buffers.
    Part {
        /// The number of the part.
        number: PartNumber,
        /// Its size and digests.
        digest: PartDigest,
    },
    /// The stream is longer than its first part.
    MultipartNeeded,
    /// The next part is the last.
    LastPartNext,
    /// The digests of the whole stream, which ends next.
    StreamDigests(Vec<Value>),
    /// The stream ended cleanly.
    EndOfStream {
        /// Bytes of the stream.
        bytes: u64,
        /// The CRC of the stream, of the kind [`Algorithm::buffer_crc`](crate::digest::Algorithm::buffer_crc).
        crc32: u32,
    },
    /// Reading failed, or the stream must not be stored.
    SourceFailed(Error),
    /// A signal asks to stop; the error names it.
    Stop(Error),
    /// A call has a response, or failed.
    CallDone {
        /// The call as it was started.
        call: ApiCall,
        /// Its response, or why there is none.
        result: Result<Outcome, Failure>,
    },
    /// Totals of bytes that connections took and of waits for the network; twice a second.
    Sample {
        /// Bytes that all connections together have taken since the start.
        sent: u64,
        /// The time that they have waited for the network since the start.
        waited: Duration,
    },
    /// The requests of the parts from `first` on, which `RecallParts` asked for, were called off before the
    /// service had a whole part: no `CallDone` follows for them. The other requests go on.
    PartsRecalled {
        /// `None` if no request was called off.
        first: Option<PartNumber>,
    },
    /// The bytes of all parts from `first` on are now parts of the sizes that `SplitTail` or
    /// `SplitQueue` asked for.
    TailSplit {
        /// The first part that was split.
        first: PartNumber,
        /// The digests of the parts from there on.
        digests: Vec<PartDigest>,
    },
    /// The digests of a part, computed again from its buffers.
    Rehashed {
        /// The number of the part.
        number: PartNumber,
        /// Its size and digests.
        digest: PartDigest,
        /// Its MD5, which the service may have reported.
        md5: Value,
    },
}

/// A call of the API. The driver checks the credentials and signs it when it sends it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ApiCall {
    /// CreateMultipartUpload.
    Create,
    /// UploadPart.
    Part(PartNumber),
    /// PutObject of the whole stream.
    Put,
    /// CommitMultipartUpload with `Upload::commit_parts` and `Upload::excluded_parts`.
    Commit,
    /// HeadObject.
    Head,
    /// A create with a precondition. Its result shows a principal that may write and not read whether
    /// an object exists at the name.
    ConditionalCreate(ProbeCondition),
    /// ListMultipartUploadParts, all pages.
    ListParts,
    /// ListMultipartUploads of the object's name, all pages.
    ListUploads,
    /// AbortMultipartUpload.
    Abort {
        /// The upload to discard.
        upload_id: String,
    },
    /// DeleteObject.
    Delete {
        /// The etag that the object must have.
        etag: String,
    },
}

impl ApiCall {
    /// The operation, by which failures are classified.
    pub fn operation(&self) -> Operation {
        match self {
            ApiCall::Create | ApiCall::ConditionalCreate(_) => Operation::Create,
            ApiCall::Part(_) => Operation::Part,
            ApiCall::Put => Operation::Put,
            ApiCall::Commit => Operation::Commit,
            ApiCall::Head => Operation::Head,
            ApiCall::ListParts => Operation::ListParts,
            ApiCall::ListUploads => Operation::ListUploads,
            ApiCall::Abort { .. } => Operation::Abort,
            ApiCall::Delete { .. } => Operation::Delete,
        }
    }

    /// Whether the call creates a multipart upload.
    pub(crate) fn is_create(&self) -> bool {
        matches!(self, ApiCall::Create | ApiCall::ConditionalCreate(_))
    }
}

/// The precondition of a conditional create.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ProbeCondition {
    /// No object exists at the name: `if-none-match: *`.
    NoObject,
    /// The object at the name has this etag: `if-match`.
    ObjectWithEtag(String),
}

/// The result of a call that succeeded.
#[derive(Debug, Clone)]
pub enum Outcome {
    /// An upload was created.
    Created {
        /// The id of the upload.
        upload_id: String,
    },
    /// The metadata of a part or put, and the CRC of the bytes that the connection took.
    Stored {
        /// What the response reports.
        meta: ObjectMeta,
        /// The CRC of the bytes that were sent, of the same kind.
        crc32: u32,
    },
    /// The upload was committed; what the response reports of the object.
    Committed(ObjectMeta),
    /// The metadata of the object at the name.
    Object(ObjectMeta),
    /// The parts of the upload.
    Parts(Vec<ListedPart>),
    /// The open uploads of the object's name.
    Uploads(Vec<ListedUpload>),
    /// Aborted or deleted.
    Removed,
}

/// An output of the state machine, for the driver to perform.
#[derive(Debug)]
#[cfg_attr(test, derive(Clone))]
pub enum Action {
    /// Send a request; its result is `Event::CallDone`.
    StartCall(ApiCall),
    /// Compute the digests of a part again from its buffers, and return `Rehashed`.
    Rehash(PartNumber),
    /// Split the bytes of all parts from `first` on into parts of these sizes in bytes, and return
    /// `TailSplit`. The split saves about `saves`.
    SplitTail {
        /// The first part to split.
        first: PartNumber,
        /// The sizes of the new parts in bytes.
        sizes: Vec<u64>,
        /// The time that the split saves.
        saves: Duration,
    },
    /// As `SplitTail`, though the stream goes on: no part is handed in until `TailSplit`.
    SplitQueue {
        /// The first part to split.
        first: PartNumber,
        /// The sizes of the new parts in bytes.
        sizes: Vec<u64>,
    },
    /// Call off the requests of the parts from this number on, the highest number first and only as long as
    /// the service cannot have the whole part, and return `PartsRecalled` before the next action.
    RecallParts(PartNumber),
    /// Cut later parts for this number of connections.
    SetConnections {
        /// The number of connections before.
        from: u16,
        /// The number from now on.
        to: u16,
    },
    /// Release the buffers of a part.
    ReleasePart(PartNumber),
    /// Let the source be read to its end, though no upload was created.
    ReadOn,
    /// Stop reading and close the source.
    StopReading,
    /// Cancel all part requests in flight.
    CancelParts,
    /// Print a line.
    Warn(Warning),
    /// The state has changed; for `--debug`.
    Transition {
        /// The state before.
        from: StateKind,
        /// The state after.
        to: StateKind,
    },
    /// The run is over.
    Finish(Result<StoredObject, Error>),
}

/// A committed and verified object.
#[derive(Debug, Clone)]
pub struct StoredObject {
    /// What the service reports of the object.
    pub meta: ObjectMeta,
    /// In bytes.
    pub size: u64,
    /// `None` for a single PutObject.
    pub upload_id: Option<String>,
    /// The number of parts; 1 for a single PutObject.
    pub parts: u32,
    /// The sizes of the parts as they were committed.
    pub layout: PartLayout,
    /// The digest over the object by the chosen algorithm, in the service's encoding.
    pub checksum: Option<String>,
    /// The SHA-256 of the whole stream in hexadecimal, if it is known.
    pub sha256: Option<String>,
    /// What the object was compared by.
    pub evidence: Evidence,
}
