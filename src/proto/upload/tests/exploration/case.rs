//! What a run of the exploration begins with: the options of the user, the bucket, and the bounds.
//!
//! Owns the cases. Must not know what happens in a run. Invariant: a case and the steps determine a run.

use bytes::Bytes;

use super::super::model::Model;
use super::super::{ContinuedUpload, ResumeConfig, nth};
use super::cutting::Cut;
use super::identical::Conflict;
use super::par::Par;
use super::step::Step;
use crate::api::{ExpectedProperties, Precondition};
use crate::digest::{self, Algorithm, PartDigest, Value};
use crate::retry::{BucketStatus, Operation};
use crate::upload::{ParConfig, PreviousObject, UploadCommand, UploadConfig};

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
    /// How the machine may cut what was read.
    pub cut: Cut,
    /// The object is stored through a pre-authenticated request.
    pub par: Option<Par>,
    /// `--identical-ok`.
    pub conflict: Conflict,
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
        let sizes: Vec<usize> = if parts == 0 { vec![0] } else { (1..=parts).collect() };
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
            stream: pieces_of(&sizes),
            cut: Cut::default(),
            par: None,
            conflict: Conflict::End,
        }
    }

    pub(super) fn content(&self) -> Bytes {
        self.stream.iter().flat_map(|piece| piece.body.clone()).collect()
    }

    /// The same with parts of these sizes.
    pub(super) fn of_sizes(self, sizes: &[usize]) -> Case {
        Case { stream: pieces_of(sizes), parts: sizes.len(), ..self }
    }

    /// Whether HEAD never shows the object.
    pub(super) fn is_hidden(&self) -> bool {
        self.forbidden.contains(&Operation::Head) || self.par.is_some_and(|par| !par.reads)
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
            // Without digests, only the size shows an object that is not the stream.
            let shows_size_only = self.par.is_some_and(|par| !par.digests);
            let old: &[u8] = if shows_size_only { b"an old object" } else { b"old" };
            service.object = Some(("old".to_owned(), Bytes::from_static(old)));
        }
        if let Conflict::Found(object) = self.conflict {
            service.object = Some(object.stored(self));
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
        config.conflict = self.conflict.rule();
        config.auto = self.cut.auto();
        if let Some(par) = self.par {
            config.par = Some(ParConfig::default());
            if !par.reads {
                config.previous_object = PreviousObject::Unknown;
            }
        }
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

    /// The case on one line.
    pub(super) fn name(&self) -> String {
        let Case { parts, faults, retries, previous, resume, forbidden, end_proven, .. } = self;
        let (deletes, in_flight) = (self.delete_on_mismatch, self.in_flight);
        let new = self.bucket_is_new;
        format!(
            "{parts} parts, {in_flight} in flight, {faults} faults, {retries} retries, {previous:?}, resume {resume:?}, \
             forbidden {forbidden:?}, end proven {end_proven}, deletes {deletes}, new bucket {new}{}",
            self.additions()
        )
    }

    fn additions(&self) -> String {
        let mut text = String::new();
        if self.cut != Cut::default() {
            let sizes: Vec<_> = self.stream.iter().map(|piece| piece.body.len()).collect();
            text += &format!(", {:?} of {sizes:?}", self.cut);
        }
        if let Some(par) = self.par {
            text += &format!(", {par:?}");
        }
        if self.conflict != Conflict::End {
            text += &format!(", identical {:?}", self.conflict);
        }
        text
    }
}

/// Parts of these sizes, in which no two bytes are the same.
fn pieces_of(sizes: &[usize]) -> Vec<Piece> {
    let mut bytes = 0u8..;
    sizes.iter().map(|size| Piece::of(bytes.by_ref().take(*size).collect())).collect()
}

impl Piece {
    pub(super) fn of(body: Bytes) -> Piece {
        let bodies = std::slice::from_ref(&body);
        let digest = digest::part(Algorithm::Sha256, bodies);
        Piece { digest, md5: digest::md5_of(bodies), body }
    }
}

/// The SHA-256 over the digests of the parts, in base64; `None` where there is none.
pub(super) fn multipart_sha256(pieces: &[Piece]) -> Option<String> {
    let values: Option<Vec<Value>> =
        pieces.iter().map(|piece| piece.digest.value.clone()).collect();
    Some(digest::multipart(Algorithm::Sha256, &values?)).filter(|_| !pieces.is_empty())
}
