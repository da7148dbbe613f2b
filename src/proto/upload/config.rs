//! The configuration of one upload.
//!
//! Owns the options of a run as plain values, and the commands that its messages name. Must not know events
//! or states. Invariant: no value holds a buffer, a socket or a secret.

use std::time::{Duration, SystemTime};

use super::event::Now;
use super::tail_split::TailSplitPolicy as TailRule;
use crate::api::{ExpectedProperties, ListedPart};
use crate::digest::Algorithm;
use crate::error::Error;
use crate::part_layout;
use crate::part_plan::{self, PartCut};
use crate::retry::BucketStatus;
use crate::whole_stream::ExpectedDigest;

/// The configuration of one upload.
#[derive(Debug, Clone)]
pub struct UploadConfig {
    /// The largest number of parts in flight.
    pub parallel: usize,
    /// `auto`.
    pub auto: Option<AutoConfig>,
    /// The longest time without progress.
    pub retry_for: Duration,
    /// An attempt that has lasted for this long moves bytes: a connection that moves none is ended before.
    pub long_attempt: Duration,
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
            long_attempt: long_attempt(Duration::from_secs(60)),
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
    #[doc(hidden)]
    pub fn on(&self, upload_id: &str) -> String {
        format!("{}{upload_id}{}", self.before_id, self.after_id)
    }
}

impl MessageContext {
    /// The command that aborts an upload.
    #[doc(hidden)]
    pub fn abort_command(&self, upload_id: &str) -> String {
        self.abort_command.on(upload_id)
    }

    /// The command that continues an upload with the same stream.
    #[doc(hidden)]
    pub fn resume_command(&self, upload_id: &str) -> Option<String> {
        Some(self.resume_command.as_ref()?.on(upload_id))
    }

    /// The line about an upload that stays open for another run.
    #[doc(hidden)]
    pub fn left_open(&self, upload_id: &str) -> String {
        let line = match self.resume_command(upload_id) {
            Some(resume) => format!("go on with the same stream: {resume}"),
            None => format!("abort it with: {}", self.abort_command(upload_id)),
        };
        format!("the multipart upload {upload_id} is left open; {line}")
    }
}

/// What an upload needs that chooses its number of connections.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct AutoConfig {
    /// The most connections.
    pub most: u16,
    /// The smallest part that a part of the queue is cut into, in bytes.
    pub min_piece: u64,
    /// Such a part has a whole number of these, in bytes.
    pub unit: u64,
    /// The highest part number that is cut again.
    pub split_until: u32,
    /// The part numbers that such cuts may add.
    pub split_numbers: u32,
    /// The bytes of all parts that are in memory at once.
    pub memory: u64,
}

impl AutoConfig {
    /// What a cut with a variable number of connections needs; `None` where the number is fixed.
    #[doc(hidden)]
    pub fn of(cut: &PartCut) -> Option<AutoConfig> {
        Some(AutoConfig {
            most: cut.most_connections()?,
            min_piece: part_plan::MIN_SMALL_PART,
            unit: part_layout::UNIT,
            split_until: cut.split_until(),
            split_numbers: part_plan::SPLIT_RESERVE,
            memory: cut.memory(),
        })
    }
}

/// The [`UploadConfig::long_attempt`] where a connection may move no byte for `stall_timeout`.
pub fn long_attempt(stall_timeout: Duration) -> Duration {
    const LEAST: Duration = Duration::from_secs(120);
    stall_timeout.saturating_mul(2).max(LEAST)
}
