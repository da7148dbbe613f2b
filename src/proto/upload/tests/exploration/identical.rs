//! `--identical-ok`: the object that another client has stored, and its comparison with the stream.
//!
//! Owns the objects of others and what the program does with the conflict of a run. Must not know when they
//! appear. Invariant: an object counts as the stream only if each byte is.

use bytes::Bytes;

use super::super::ConflictRule;
use super::super::model::{head_meta, other_object};
use super::Row;
use super::case::{Case, multipart_sha256};
use super::run::{Run, Source};
use crate::error::{Error, ErrorKind};

/// An object that another client stores at the name.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) enum OtherObject {
    /// Other bytes.
    Different,
    /// Other bytes, as many as the stream has.
    SameSize,
    /// The bytes of the stream, in the same parts.
    Equal,
    /// The bytes of the stream, in other parts.
    EqualInOtherParts,
}

impl OtherObject {
    /// The etag and the content.
    pub(super) fn stored(self, case: &Case) -> (String, Bytes) {
        match self {
            OtherObject::Different => ("other".to_owned(), other_object()),
            OtherObject::SameSize => {
                ("samesize".to_owned(), case.content().iter().map(|byte| byte ^ 1).collect())
            }
            OtherObject::Equal => ("equal".to_owned(), case.content()),
            OtherObject::EqualInOtherParts => (OTHER_PARTS.to_owned(), case.content()),
        }
    }
}

const OTHER_PARTS: &str = "cut";

/// Whether an object with this etag was stored by another client.
pub(super) fn is_of_others(etag: &str) -> bool {
    ["other", "samesize", "equal", OTHER_PARTS].contains(&etag)
}

/// The digest of the parts that HEAD shows of an object of others with this content; `None` where it is that
/// of the run.
pub(super) fn parts_of_others(etag: &str) -> Option<String> {
    (etag == OTHER_PARTS || etag == "samesize").then(|| "of-other-parts-7".to_owned())
}

/// `--identical-ok`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Conflict {
    /// Without it.
    End,
    ReadOn,
    /// The object exists before the run.
    Found(OtherObject),
}

impl Conflict {
    pub(super) fn reads_on(self) -> bool {
        self == Conflict::ReadOn
    }

    pub(super) fn rule(self) -> ConflictRule {
        match self {
            Conflict::End => ConflictRule::End,
            Conflict::ReadOn => ConflictRule::ReadOn,
            Conflict::Found(_) => {
                ConflictRule::Found(Error::new(ErrorKind::Exists, "it exists already"))
            }
        }
    }
}

impl Run {
    /// After a conflict the object that exists now is compared with the stream.
    pub(super) fn compare_with_object(&mut self, error: &Error) -> Result<(), String> {
        if self.case.conflict == Conflict::End || error.kind != ErrorKind::Exists {
            return Ok(());
        }
        if self.source != Source::Ended || self.read != self.case.parts {
            return Err(format!("the stream is not read to its end for a comparison: {error}"));
        }
        if self.upload.stream_bytes() != self.case.content().len() as u64 {
            return Err("the stream has another length than was read".to_owned());
        }
        let Some((etag, content)) = &self.service.object else { return Ok(()) };
        let mut meta = head_meta(etag, content);
        meta.multipart.sha256 =
            parts_of_others(etag).or_else(|| multipart_sha256(&self.case.stream));
        let is_equal = *content == self.case.content();
        let what = match (self.upload.proof_of(&meta).is_some(), is_equal) {
            (true, false) => return Err("another object is taken for the stream".to_owned()),
            (true, true) => "an equal object is proved by digests",
            (false, true) => "an equal object is found by its bytes",
            (false, false) => "an object of other bytes is no success",
        };
        self.rows.push(Row::Happens(what));
        // What digests do not prove is compared byte by byte.
        self.identical = is_equal;
        Ok(())
    }
}
