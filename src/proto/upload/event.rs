//! What goes into the machine and what comes out of it.
//!
//! Owns the events, actions and calls as plain values. Knows nothing of how they follow each other.
//! Invariant: nothing here holds a buffer, a socket or a secret.

use std::time::Duration;

use super::{TailRule, VerifiedBy};
use crate::api::{ListedPart, ListedUpload, ObjectMeta};
use crate::digest::{Algorithm, PartDigest, Value};
use crate::error::Error;
use crate::retry::{Failure, Operation};

/// Time since the start of the run.
pub type Now = Duration;

/// What a run was told.
#[derive(Debug, Clone)]
pub struct UploadConfig {
    pub parallel: usize,
    pub retry_for: Duration,
    pub checksum: Algorithm,
    pub allow_empty: bool,
    pub min_size: u64,
    /// Whether a clean end of the stream is enough: its producer's exit is known, it is a file, or its
    /// format ends in a way that no other cause can bring about. Otherwise a signal may follow the end
    /// that it has caused.
    pub end_proven: bool,
    pub delete_on_mismatch: bool,
    /// Whether the service has answered before: then its certificate was trusted.
    pub service_seen: bool,
    /// Whether the bucket has: then a 404 that speaks of it may be spurious.
    pub bucket_seen: bool,
    pub previous_object: PreviousObject,
    /// How to call the object in messages, and what to run to abort an upload of it.
    pub messages: MessageContext,
    pub seed: u64,
    /// When the end of the stream is shared among connections.
    pub tail_split: TailRule,
    /// Also a stream of one part is sent as a multipart upload.
    pub always_multipart: bool,
}

impl UploadConfig {
    /// An upload that asks for nothing special and cuts no part: for tests and measurements.
    pub fn plain(parallel: usize) -> UploadConfig {
        UploadConfig {
            parallel,
            retry_for: Duration::from_secs(3600),
            checksum: Algorithm::Sha256,
            allow_empty: false,
            min_size: 0,
            end_proven: true,
            delete_on_mismatch: false,
            service_seen: true,
            bucket_seen: false,
            previous_object: PreviousObject::Nothing,
            messages: MessageContext {
                object_url: "oci://b@n/o".to_owned(),
                abort_command: "ABORT {}".to_owned(),
                head_command: "HEAD".to_owned(),
            },
            seed: 7,
            tail_split: TailRule {
                min_piece: u64::MAX,
                min_saving: Duration::MAX,
                max_part_number: 10_000,
            },
            always_multipart: false,
        }
    }
}

/// What stood at the name before the object, by the condition that its storing is bound to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum PreviousObject {
    /// Nothing, or the object is not stored.
    Nothing,
    /// The object with this etag, or the new one is not stored.
    Object(String),
    /// Whatever it was, it is replaced.
    Unknown,
}

/// Words for messages.
#[derive(Debug, Clone)]
pub struct MessageContext {
    pub object_url: String,
    /// The command that aborts an upload, with `{}` where its id goes.
    pub abort_command: String,
    /// The command that shows the object.
    pub head_command: String,
}

/// What happens to an upload.
#[derive(Debug)]
pub enum Event {
    /// A part is full (or the last one has ended), and lies in its buffers.
    Part { number: u32, digest: PartDigest },
    /// A byte after the first part was read: the stream is longer than one request.
    MultipartNeeded,
    /// The next part is the last.
    LastPartNext,
    /// The stream ended cleanly.
    EndOfStream { bytes: u64, crc32: u32 },
    /// The source failed.
    SourceFailed(Error),
    /// A signal asks to stop.
    Stop(Error),
    /// A call was answered, or failed.
    CallDone { call: ApiCall, result: Result<Outcome, Failure> },
    /// The bytes of all parts from `first` on are parts of other sizes now.
    TailSplit { first: u32, digests: Vec<PartDigest> },
    /// The digests of a part, computed again from its buffers.
    Rehashed { number: u32, digest: PartDigest, md5: Value },
}

/// A call to perform, with credentials looked at and signed at that moment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ApiCall {
    Create,
    Part(u32),
    Put,
    Commit,
    Head,
    /// A create on a condition: it tells what stands at the name to someone who may write and not
    /// read.
    ConditionalCreate(ProbeCondition),
    ListParts,
    ListUploads,
    Abort,
    Delete {
        etag: String,
    },
}

impl ApiCall {
    pub fn operation(&self) -> Operation {
        match self {
            ApiCall::Create | ApiCall::ConditionalCreate(_) => Operation::Create,
            ApiCall::Part(_) => Operation::Part,
            ApiCall::Put => Operation::Put,
            ApiCall::Commit => Operation::Commit,
            ApiCall::Head => Operation::Head,
            ApiCall::ListParts => Operation::ListParts,
            ApiCall::ListUploads => Operation::ListUploads,
            ApiCall::Abort => Operation::Abort,
            ApiCall::Delete { .. } => Operation::Delete,
        }
    }
}

/// What is asked about the name by a create on a condition.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ProbeCondition {
    /// Is it free? The create is refused wherever an object stands.
    NoObject,
    /// Does the object with this etag stand there? The create is refused where it does not.
    ObjectWithEtag(String),
}

/// A successful answer.
#[derive(Debug, Clone)]
pub enum Outcome {
    Created {
        upload_id: String,
    },
    /// A part or a put: what the service holds, and the CRC-32 of what was handed to the socket.
    Stored {
        held: ObjectMeta,
        crc32: u32,
    },
    Committed(ObjectMeta),
    Object(ObjectMeta),
    Parts(Vec<ListedPart>),
    Uploads(Vec<ListedUpload>),
    /// Aborted or deleted.
    Removed,
}

/// What the driver shall do.
#[derive(Debug)]
pub enum Action {
    StartCall(ApiCall),
    /// Compute the digests of a part again from its buffers.
    Rehash(u32),
    /// Make parts of these sizes of the bytes of all parts from `first` on, which saves so long.
    SplitTail {
        first: u32,
        sizes: Vec<u64>,
        saves: Duration,
    },
    /// Let go of the buffers of a part.
    ReleasePart(u32),
    /// Stop reading and let go of the source.
    StopReading,
    /// Drop all part requests under way.
    CancelParts,
    /// A line for people.
    Warn(String),
    Finish(Result<StoredObject, Error>),
}

/// A committed and verified object.
#[derive(Debug, Clone)]
pub struct StoredObject {
    pub meta: ObjectMeta,
    pub size: u64,
    /// None for a single PutObject.
    pub upload_id: Option<String>,
    pub parts: u32,
    pub checksum: Option<String>,
    /// The SHA-256 of the whole stream, where it is known.
    pub sha256: Option<String>,
    pub evidence: VerifiedBy,
}
