//! What a run of the exploration begins with: the options of the user, the bucket, and the bounds.
//!
//! Owns the cases. Must not know what happens in a run. Invariant: a case and the steps determine a run.

use bytes::Bytes;

use super::super::model::Model;
use super::super::{ContinuedUpload, ResumeConfig, nth};
use super::step::Step;
use crate::api::{ExpectedProperties, Precondition};
use crate::digest::{self, Algorithm, PartDigest, Value};
use crate::part_number::PartNumber;
use crate::retry::{BucketStatus, Operation};
use crate::upload::{PreviousObject, UploadCommand, UploadConfig};

/// The object at the name before the run, and what the user asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Previous {
    /// None, and none is replaced.
    Nothing,
    /// `--if-match` with its etag.
    IfMatch,
    /// `--force`, over an object that the run does not know.
    Force,
}

/// `--resume`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Resume {
    Off,
    /// A run that begins an upload, and leaves it open.
    Begins,
    /// A run that continues an upload: the service holds the first part, another second part, and a part
    /// beyond the end.
    Continues,
}

/// What a run begins with.
#[derive(Debug, Clone)]
pub(super) struct Case {
    /// The parts of the stream.
    pub parts: usize,
    /// Parts in flight.
    pub in_flight: usize,
    /// Everything that disturbs a run counts as one fault, a signal and a broken source too.
    pub faults: u32,
    /// Those of them that a retry follows.
    pub retries: u32,
    /// The faults that are explored.
    pub explores: fn(&Step) -> bool,
    pub previous: Previous,
    pub resume: Resume,
    /// Operations that a policy forbids: the object is hidden where HEAD is among them.
    pub forbidden: Vec<Operation>,
    /// A signal may follow the end of the stream.
    pub end_proven: bool,
    pub delete_on_mismatch: bool,
    /// The bucket has not answered before the run.
    pub bucket_is_new: bool,
    pub stream: Vec<Piece>,
}

/// One part of the stream.
#[derive(Debug, Clone)]
pub(super) struct Piece {
    pub body: Bytes,
    pub digest: PartDigest,
    pub md5: Value,
}

impl Case {
    pub(super) fn new(parts: usize, faults: u32) -> Case {
        let piece = |number: usize| {
            let body = Bytes::from(vec![number as u8; number]);
            let bodies = std::slice::from_ref(&body);
            let digest = digest::part(Algorithm::Sha256, bodies);
            Piece { digest, md5: digest::md5_of(bodies), body }
        };
        Case {
            parts,
            in_flight: 2,
            faults,
            retries: faults,
            explores: |_| true,
            previous: Previous::Nothing,
            resume: Resume::Off,
            forbidden: Vec::new(),
            end_proven: true,
            delete_on_mismatch: false,
            bucket_is_new: false,
            // An empty stream is one empty piece.
            stream: if parts == 0 { vec![piece(0)] } else { (1..=parts).map(piece).collect() },
        }
    }

    pub(super) fn content(&self) -> Bytes {
        self.stream.iter().flat_map(|piece| piece.body.clone()).collect()
    }

    /// The SHA-256 over the digests of the parts, in base64; `None` where there is no upload.
    pub(super) fn multipart_sha256(&self) -> Option<String> {
        let values: Option<Vec<Value>> =
            self.stream.iter().map(|piece| piece.digest.value.clone()).collect();
        Some(digest::multipart(Algorithm::Sha256, &values?)).filter(|_| self.parts > 0)
    }

    /// Whether HEAD never shows the object.
    pub(super) fn is_hidden(&self) -> bool {
        self.forbidden.contains(&Operation::Head)
    }

    pub(super) fn precondition(&self) -> Precondition {
        match self.previous {
            Previous::Nothing => Precondition::IfNoneMatch,
            Previous::IfMatch => Precondition::IfMatch("old".to_owned()),
            Previous::Force => Precondition::None,
        }
    }

    /// The service before the run.
    pub(super) fn service(&self) -> Model {
        let mut service = Model::default();
        if self.previous != Previous::Nothing {
            service.object = Some(("old".to_owned(), Bytes::from_static(b"old")));
        }
        if self.resume == Resume::Continues {
            let held =
                [(1, self.stream.first().map(|piece| piece.body.clone())), (2, None), (5, None)];
            let other = Bytes::from_static(b"held");
            let part = |(number, body): (u32, Option<Bytes>)| {
                (nth(number), (format!("held{number}"), body.unwrap_or(other.clone())))
            };
            service.uploads.insert("ue0".to_owned(), held.into_iter().map(part).collect());
        }
        service
    }

    pub(super) fn config(&self, service: &Model) -> UploadConfig {
        let mut config = UploadConfig::plain(self.in_flight);
        config.allow_empty = true;
        config.end_proven = self.end_proven;
        config.delete_on_mismatch = self.delete_on_mismatch;
        config.bucket = match self.bucket_is_new {
            true => BucketStatus::Unknown,
            false => BucketStatus::Seen,
        };
        config.previous_object = match self.previous {
            Previous::Nothing => PreviousObject::Nothing,
            Previous::IfMatch => PreviousObject::Object("old".to_owned()),
            Previous::Force => PreviousObject::Unknown,
        };
        if self.resume != Resume::Off {
            let continued = (self.resume == Resume::Continues).then(|| ContinuedUpload {
                upload_id: "ue0".to_owned(),
                parts: service.listed("ue0"),
                properties: ExpectedProperties::default(),
            });
            config.resume = Some(ResumeConfig { continued });
            config.messages.resume_command = Some(UploadCommand::new("RESUME ", ""));
            config.always_multipart = true;
        }
        config
    }

    pub(super) fn piece(&self, number: PartNumber) -> &Piece {
        &self.stream[number.index()]
    }

    /// The case on one line.
    pub(super) fn name(&self) -> String {
        let Case { parts, faults, retries, previous, resume, forbidden, end_proven, .. } = self;
        let (deletes, in_flight) = (self.delete_on_mismatch, self.in_flight);
        let new = self.bucket_is_new;
        format!(
            "{parts} parts, {in_flight} in flight, {faults} faults, {retries} retries, {previous:?}, resume {resume:?}, \
             forbidden {forbidden:?}, end proven {end_proven}, deletes {deletes}, new bucket {new}"
        )
    }
}
