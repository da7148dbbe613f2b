//! Whether an object that was said to be committed stands there.
//!
//! Owns what happens between the answer to a commit or put and the word that all is well: the object
//! itself is asked, since an answer can be right about bytes that were never kept. Knows nothing of
//! requests. Invariant: success is said only where the object was seen, or where looking is forbidden
//! and nothing that may be asked speaks against it.

use std::time::SystemTime;

use super::verify::{Comparison, VerifiedBy};
use super::{Before, Call, Now, Phase, Question, Upload};
use crate::error::Error;
use crate::oci::api::Held;
use crate::retry::{Failure, Verdict};

const OLDER: &str = "an older object still stands at its name";

impl Upload {
    /// The commit was answered: is the object what was read?
    pub(super) fn committed(&mut self, now: Now, held: Held) {
        self.went_forward(now);
        match self.compare(&held) {
            Comparison::Same(by) => self.look(held, Some(by)),
            Comparison::Differs(difference) => self.mismatch(now, &held, &difference),
            Comparison::Silent => self.look(held, None),
        }
    }

    /// Asks the object itself; `by` is what the answer to the commit was verified by.
    pub(super) fn look(&mut self, held: Held, by: Option<VerifiedBy>) {
        self.committed = Some(held);
        self.answered_by = by;
        self.phase = Phase::Verifying;
        self.begin(Call::Head);
    }

    /// What stands at the name.
    pub(super) fn seen(&mut self, now: Now, object: Held) {
        let Some(committed) = self.committed.clone() else { return };
        if committed.etag.is_some() && object.etag.is_some() && committed.etag != object.etag {
            // An earlier try of this put can land late, with an etag of its own.
            if let Comparison::Same(by) = self.compare(&object)
                && self.upload_id().is_none()
                && self.sends > 1
                && Upload::is_strong(&by)
            {
                return self.stored(object, by);
            }
            return match self.is_older(&object, &committed) {
                true => self.nothing_stored(now, OLDER),
                false => self.end_unverified("another object stands at its name already"),
            };
        }
        match self.compare(&object) {
            Comparison::Same(by) => {
                let by = match self.answered_by.take() {
                    Some(answered) if !Upload::is_strong(&by) => answered,
                    _ => by,
                };
                self.stored(merged(committed, object), by);
            }
            Comparison::Differs(difference) => self.mismatch(now, &object, &difference),
            Comparison::Silent => self.verified_by_answer(),
        }
    }

    /// Looking at the object failed.
    pub(super) fn unseen(&mut self, now: Now, call: Call, verdict: Verdict, failure: Failure) {
        match (call, verdict) {
            (call @ Call::Probe(_), Verdict::Settle) => {
                self.create_in_doubt = true;
                self.again(now, call, &failure);
            }
            (call, Verdict::Again { .. } | Verdict::Renew | Verdict::Settle) => {
                self.again(now, call, &failure);
            }
            // A policy hides the object from whoever may write and not read.
            (Call::Head, _) => {
                self.answered(now);
                self.begin(Call::Probe(Question::Free));
            }
            // It may have been looked at before the etag, and keeps whatever stands there.
            (Call::Probe(Question::Etag(_)), _) if failure.is_retention() => {
                self.verified_by_answer();
            }
            (Call::Probe(question), Verdict::Exists) => {
                self.answered(now);
                self.answered_no(&question);
            }
            // The looking is forbidden altogether.
            _ => self.verified_by_answer(),
        }
    }

    /// The upload of a question was begun: what is asked is so.
    pub(super) fn answered_yes(&mut self, now: Now, call: Call, upload_id: String) {
        self.leftover = Some(upload_id);
        match call {
            Call::Probe(Question::Etag(etag)) if self.committed_as(&etag) => {
                self.verified_by_answer();
            }
            Call::Probe(Question::Etag(_)) => self.nothing_stored(now, OLDER),
            _ => self.nothing_stored(now, "no object stands at its name"),
        }
    }

    /// The upload of a question was refused: what is asked is not so.
    fn answered_no(&mut self, question: &Question) {
        let committed = self.committed.as_ref().and_then(|held| held.etag.clone());
        match (question, self.settings.before.clone(), committed) {
            // An object stands there, and it stood there for nobody before; or that is all that can
            // be asked.
            (Question::Free, Before::Nothing, _) | (Question::Free, _, None) => {
                self.verified_by_answer();
            }
            (Question::Free, _, Some(etag)) => self.begin(Call::Probe(Question::Etag(etag))),
            (Question::Etag(asked), Before::Object(old), _) if *asked != old => {
                self.begin(Call::Probe(Question::Etag(old)));
            }
            (Question::Etag(_), ..) => self.end_unverified("another object stands at its name"),
        }
    }

    fn committed_as(&self, etag: &str) -> bool {
        self.committed.as_ref().is_some_and(|held| held.etag.as_deref() == Some(etag))
    }

    /// The object may not be looked at. What remains is what the answer to the commit said, or at
    /// least that every part was acknowledged with its checksum and the commit named exactly those.
    pub(super) fn verified_by_answer(&mut self) {
        let Some(committed) = self.committed.clone() else { return };
        let acknowledged = match self.upload_id() {
            Some(_) => "the etags of the acknowledged parts",
            None => "the acknowledged size",
        };
        let by = self.answered_by.take().unwrap_or_else(|| VerifiedBy(acknowledged.to_owned()));
        self.stored(committed, by);
    }

    /// The service said that it had committed, and had not.
    fn nothing_stored(&mut self, now: Now, why: &str) {
        let committed = self.committed.take().unwrap_or_default();
        let etag = committed.etag.unwrap_or_default();
        let request = committed.request_id.unwrap_or_default();
        let error = Error::integrity(format!(
            "the service answered that {} was committed (etag {etag}, opc-request-id {request}), \
             but {why}: it was not stored",
            self.settings.named.object
        ))
        .next("store it again, and report this request to the service");
        self.in_doubt = false;
        self.fail(now, error);
    }

    /// Whether an object was there before the commit.
    fn is_older(&self, object: &Held, committed: &Held) -> bool {
        self.is_new(object) == Some(false)
            || modified(object)
                .zip(modified(committed))
                .is_some_and(|(object, committed)| object < committed)
    }
}

fn modified(held: &Held) -> Option<SystemTime> {
    httpdate::parse_http_date(held.last_modified.as_deref()?).ok()
}

/// The receipt tells the request that made the object visible, and all that is known of it.
fn merged(committed: Held, object: Held) -> Held {
    Held {
        etag: committed.etag.or(object.etag),
        last_modified: committed.last_modified.or(object.last_modified),
        size: object.size,
        content_md5: committed.content_md5.or(object.content_md5),
        content_sha256: committed.content_sha256.or(object.content_sha256),
        content_sha384: committed.content_sha384.or(object.content_sha384),
        content_crc32c: committed.content_crc32c.or(object.content_crc32c),
        multipart_md5: committed.multipart_md5.or(object.multipart_md5),
        multipart_sha256: committed.multipart_sha256.or(object.multipart_sha256),
        multipart_sha384: committed.multipart_sha384.or(object.multipart_sha384),
        request_id: committed.request_id.or(object.request_id),
    }
}
