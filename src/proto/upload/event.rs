//! The inputs and outputs of the upload state machine as plain values.
//!
//! Owns the configuration, events, calls and actions. Must not know in which order they occur.
//! Invariant: no value holds a buffer, a socket or a secret.

use std::time::{Duration, SystemTime};

use super::parts::AutoConfig;
use super::tail_split::TailSplitPolicy as TailRule;
use super::transitions::StateKind;
use crate::api::{ExpectedProperties, ListedPart, ListedUpload, ObjectMeta};
use crate::digest::{Algorithm, PartDigest, Value};
use crate::error::Error;
use crate::evidence::Evidence;
use crate::part_layout::{self, PartLayout};
use crate::part_number::PartNumber;
use crate::request_fields::Warning;
use crate::retry::{BucketStatus, Failure, Operation};
use crate::whole_stream::ExpectedDigest;

/// Time since the start of the run.
pub type Now = Duration;

/// The configuration of one upload.
#[derive(Debug, Clone)]
pub struct UploadConfig {
    /// The largest number of parts in flight.
    pub parallel: usize,
    /// `auto`.
    pub auto: Option<AutoConfig>,
    /// The longest time without progress.
    pub retry_for: Duration,
    /// The digest by which the service checks each body, and the object is compared.
    pub checksum: Algorithm,
    /// Whether an empty stream is stored. Otherwise it is an error.
    pub allow_empty: bool,
    /// The smallest stream that is stored, in bytes.
    pub min_size: u64,
    /// Whether a clean end of the stream proves that the stream is whole: the producer's exit status
    /// is known, it is a file, or its format proves its end. Otherwise the end may be caused by a
    /// signal that arrives here later.
    pub end_proven: bool,
    /// Whether an object that differs from the stream is deleted.
    pub delete_on_mismatch: bool,
    /// The service has answered before, so that its certificate was trusted.
    pub service_seen: bool,
    /// Whether the bucket has answered before, so that a 404 of the bucket may be spurious.
    pub bucket: BucketStatus,
    /// The object at the name before the run.
    pub previous_object: PreviousObject,
    /// The names and commands in messages.
    pub messages: MessageContext,
    /// Seeds the jitter of the backoff.
    pub seed: u64,
    /// When the end of the stream is split among connections.
    pub tail_split: TailRule,
    /// A stream of one part is sent as a multipart upload too.
    pub always_multipart: bool,
    /// The run has `--resume`.
    pub resume: Option<ResumeConfig>,
    /// The digests that the whole stream must have.
    pub expected_digests: Vec<ExpectedDigest>,
    /// The bytes that one PutObject may carry, where the run sends nothing else (`--no-multipart`).
    pub single_put: Option<u64>,
    /// What a conflict with an object at the name means.
    pub conflict: ConflictRule,
    /// The object is stored through a pre-authenticated request.
    pub par: Option<ParConfig>,
}

/// What a conflict with an object at the name means.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub enum ConflictRule {
    /// The end of the run.
    #[default]
    End,
    /// The stream is read to its end, so that the object can be compared with it (`--identical-ok`). The
    /// run ends with the same error.
    ReadOn,
    /// As `ReadOn`, of an object that was found before the run. Nothing is sent.
    Found(Error),
}

impl UploadConfig {
    /// A configuration with defaults and without a tail split, for tests and measurements.
    pub fn plain(parallel: usize) -> UploadConfig {
        UploadConfig {
            parallel,
            auto: None,
            retry_for: Duration::from_secs(3600),
            checksum: Algorithm::Sha256,
            allow_empty: false,
            min_size: 0,
            end_proven: true,
            delete_on_mismatch: false,
            service_seen: true,
            bucket: BucketStatus::Unknown,
            previous_object: PreviousObject::Nothing,
            messages: MessageContext {
                object_url: "oci://b@n/o".to_owned(),
                abort_command: UploadCommand::new("ABORT ", ""),
                head_command: "HEAD".to_owned(),
                resume_command: None,
            },
            seed: 7,
            tail_split: TailRule {
                min_piece: u64::MAX,
                unit: part_layout::UNIT,
                min_saving: Duration::MAX,
                max_part_number: 10_000,
            },
            always_multipart: false,
            resume: None,
            expected_digests: Vec::new(),
            single_put: None,
            conflict: ConflictRule::End,
            par: None,
        }
    }
}

/// An upload through a pre-authenticated request, which lists nothing and deletes nothing. Whether it
/// reads is unknown.
#[derive(Debug, Clone, Default)]
pub struct ParConfig {
    /// When the request expires, as far as the user gave that. A refusal after it is final.
    pub expires_at: Option<Now>,
    /// The properties that the object must have, where HEAD shows them.
    pub properties: ExpectedProperties,
}

/// A run with `--resume`: its upload stays open where another run can continue it.
#[derive(Debug, Clone, Default)]
pub struct ResumeConfig {
    /// The upload that is continued; `None` where the run begins one.
    pub continued: Option<ContinuedUpload>,
}

/// An open upload that the run continues.
#[derive(Debug, Clone)]
pub struct ContinuedUpload {
    /// The id of the upload.
    pub upload_id: String,
    /// The parts that the service holds.
    pub parts: Vec<ListedPart>,
    /// The properties that the object must have; they are seen only after the commit.
    pub properties: ExpectedProperties,
}

/// The object at the name before the run, by the precondition of the upload.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum PreviousObject {
    /// There is none; if there is one after all, nothing is stored.
    Nothing,
    /// The object with this etag; if there is another, nothing is stored.
    Object(String),
    /// Any object is replaced.
    Unknown,
    /// The same; an object that the service has modified after this time of its clock is new.
    UnknownBefore(SystemTime),
}

/// The object and the commands that errors name.
#[derive(Debug, Clone)]
pub struct MessageContext {
    /// The object, as messages name it.
    pub object_url: String,
    /// The command that aborts an upload.
    pub abort_command: UploadCommand,
    /// The command that shows the object's metadata.
    pub head_command: String,
    /// The command that continues an upload with the same stream. `None` where nothing can.
    pub resume_command: Option<UploadCommand>,
}

/// A shell command on an upload whose id is not known yet. It is no template, since the name of an object
/// may look like any place holder.
#[derive(Debug, Clone)]
pub struct UploadCommand {
    before_id: String,
    after_id: String,
}

impl UploadCommand {
    /// The command that has these texts around the id.
    pub fn new(before_id: impl Into<String>, after_id: impl Into<String>) -> UploadCommand {
        UploadCommand { before_id: before_id.into(), after_id: after_id.into() }
    }

    /// The command on the upload with this id.
    pub fn on(&self, upload_id: &str) -> String {
        format!("{}{upload_id}{}", self.before_id, self.after_id)
    }
}

impl MessageContext {
    /// The command that aborts an upload.
    pub fn abort_command(&self, upload_id: &str) -> String {
        self.abort_command.on(upload_id)
    }

    /// The command that continues an upload with the same stream.
    pub fn resume_command(&self, upload_id: &str) -> Option<String> {
        Some(self.resume_command.as_ref()?.on(upload_id))
    }

    /// The line about an upload that stays open for another run.
    pub fn left_open(&self, upload_id: &str) -> String {
        let line = match self.resume_command(upload_id) {
            Some(resume) => format!("go on with the same stream: {resume}"),
            None => format!("abort it with: {}", self.abort_command(upload_id)),
        };
        format!("the multipart upload {upload_id} is left open; {line}")
    }
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
        /// The CRC-32 (of zlib) of the stream.
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
    pub fn is_create(&self) -> bool {
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
        /// The CRC-32 (of zlib) of the bytes that were sent.
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
