//! Whether an object that was said to be committed stands there.
//!
//! Owns what happens between the answer to a commit or put and the word that all is well: the object
//! itself is asked, since an answer can be right about bytes that were never kept. Knows nothing of
//! requests. Invariant: success is said only where the object was seen, or where looking is forbidden
//! and nothing that may be asked speaks against it.

use std::time::SystemTime;

use super::compare::{Comparison, VerifiedBy};
use super::{ApiCall, Now, Phase, PreviousObject, ProbeCondition, Upload};
use crate::api::ObjectMeta;
use crate::error::Error;
use crate::retry::{Failure, RetryDecision};

const OLDER_OBJECT: &str = "an older object still stands at its name";

impl Upload {
    /// The commit was answered: is the object what was read?
    pub(super) fn on_committed(&mut self, now: Now, held: ObjectMeta) {
        self.record_progress(now);
        match self.compare(&held) {
            Comparison::Same(by) => self.head_object(held, Some(by)),
            Comparison::Differs(difference) => self.mismatch(now, &held, &difference),
            Comparison::NothingToCompare => self.head_object(held, None),
        }
    }

    /// Asks the object itself; `by` is what the answer to the commit was verified by.
    pub(super) fn head_object(&mut self, held: ObjectMeta, by: Option<VerifiedBy>) {
        self.committed = Some(held);
        self.response_evidence = by;
        self.phase = Phase::Verifying;
        self.start_call(ApiCall::Head);
    }

    /// What stands at the name.
    pub(super) fn on_head(&mut self, now: Now, object: ObjectMeta) {
        let Some(committed) = self.committed.clone() else { return };
        if committed.etag.is_some() && object.etag.is_some() && committed.etag != object.etag {
            // An earlier try of this put can land late, with an etag of its own.
            if let Comparison::Same(by) = self.compare(&object)
                && self.upload_id().is_none()
                && self.commit_attempts > 1
                && Upload::is_strong(&by)
            {
                return self.finish_stored(object, by);
            }
            return match self.is_older(&object, &committed) {
                true => self.report_not_stored(now, OLDER_OBJECT),
                false => self.end_unverified("another object stands at its name already"),
            };
        }
        match self.compare(&object) {
            Comparison::Same(by) => {
                let by = match self.response_evidence.take() {
                    Some(answered) if !Upload::is_strong(&by) => answered,
                    _ => by,
                };
                self.finish_stored(merge_meta(committed, object), by);
            }
            Comparison::Differs(difference) => self.mismatch(now, &object, &difference),
            Comparison::NothingToCompare => self.accept_commit_response(),
        }
    }

    /// Looking at the object failed.
    pub(super) fn on_head_failed(
        &mut self,
        now: Now,
        call: ApiCall,
        verdict: RetryDecision,
        failure: Failure,
    ) {
        match (call, verdict) {
            (call @ ApiCall::ConditionalCreate(_), RetryDecision::ResolveOutcome) => {
                self.create_in_doubt = true;
                self.retry_call(now, call, &failure);
            }
            (
                call,
                RetryDecision::Retry { .. }
                | RetryDecision::RefreshCredentials
                | RetryDecision::ResolveOutcome,
            ) => {
                self.retry_call(now, call, &failure);
            }
            // A policy hides the object from whoever may write and not read.
            (ApiCall::Head, _) => {
                self.restart_budget(now);
                self.start_call(ApiCall::ConditionalCreate(ProbeCondition::NoObject));
            }
            // It may have been looked at before the etag, and keeps whatever stands there.
            (ApiCall::ConditionalCreate(ProbeCondition::ObjectWithEtag(_)), _)
                if failure.is_retention() =>
            {
                self.accept_commit_response();
            }
            (ApiCall::ConditionalCreate(question), RetryDecision::PreconditionFailed) => {
                self.restart_budget(now);
                self.on_probe_refused(&question);
            }
            // The looking is forbidden altogether.
            _ => self.accept_commit_response(),
        }
    }

    /// The upload of a question was begun: what is asked is so.
    pub(super) fn on_probe_created(&mut self, now: Now, call: ApiCall, upload_id: String) {
        self.probe_upload_id = Some(upload_id);
        match call {
            ApiCall::ConditionalCreate(ProbeCondition::ObjectWithEtag(etag))
                if self.committed_as(&etag) =>
            {
                self.accept_commit_response();
            }
            ApiCall::ConditionalCreate(ProbeCondition::ObjectWithEtag(_)) => {
                self.report_not_stored(now, OLDER_OBJECT)
            }
            _ => self.report_not_stored(now, "no object stands at its name"),
        }
    }

    /// The upload of a question was refused: what is asked is not so.
    fn on_probe_refused(&mut self, question: &ProbeCondition) {
        let committed = self.committed.as_ref().and_then(|held| held.etag.clone());
        match (question, self.config.previous_object.clone(), committed) {
            // An object stands there, and it stood there for nobody before; or that is all that can
            // be asked.
            (ProbeCondition::NoObject, PreviousObject::Nothing, _)
            | (ProbeCondition::NoObject, _, None) => {
                self.accept_commit_response();
            }
            (ProbeCondition::NoObject, _, Some(etag)) => {
                self.start_call(ApiCall::ConditionalCreate(ProbeCondition::ObjectWithEtag(etag)))
            }
            (ProbeCondition::ObjectWithEtag(asked), PreviousObject::Object(old), _)
                if *asked != old =>
            {
                self.start_call(ApiCall::ConditionalCreate(ProbeCondition::ObjectWithEtag(old)));
            }
            (ProbeCondition::ObjectWithEtag(_), ..) => {
                self.end_unverified("another object stands at its name")
            }
        }
    }

    fn committed_as(&self, etag: &str) -> bool {
        self.committed.as_ref().is_some_and(|held| held.etag.as_deref() == Some(etag))
    }

    /// The object may not be looked at. What remains is what the answer to the commit said, or at
    /// least that every part was acknowledged with its checksum and the commit named exactly those.
    pub(super) fn accept_commit_response(&mut self) {
        let Some(committed) = self.committed.clone() else { return };
        let acknowledged = match self.upload_id() {
            Some(_) => "the etags of the acknowledged parts",
            None => "the acknowledged size",
        };
        let by =
            self.response_evidence.take().unwrap_or_else(|| VerifiedBy(acknowledged.to_owned()));
        self.finish_stored(committed, by);
    }

    /// The service said that it had committed, and had not.
    fn report_not_stored(&mut self, now: Now, why: &str) {
        let committed = self.committed.take().unwrap_or_default();
        let etag = committed.etag.unwrap_or_default();
        let request = committed.request_id.unwrap_or_default();
        let error = Error::integrity(format!(
            "the service answered that {} was committed (etag {etag}, opc-request-id {request}), \
             but {why}: it was not stored",
            self.config.messages.object_url
        ))
        .with_hint("store it again, and report this request to the service");
        self.response_lost = false;
        self.abort_with(now, error);
    }

    /// Whether an object was there before the commit.
    fn is_older(&self, object: &ObjectMeta, committed: &ObjectMeta) -> bool {
        self.is_new(object) == Some(false)
            || last_modified(object)
                .zip(last_modified(committed))
                .is_some_and(|(object, committed)| object < committed)
    }
}

fn last_modified(held: &ObjectMeta) -> Option<SystemTime> {
    httpdate::parse_http_date(held.last_modified.as_deref()?).ok()
}

/// The receipt tells the request that made the object visible, and all that is known of it.
fn merge_meta(committed: ObjectMeta, object: ObjectMeta) -> ObjectMeta {
    ObjectMeta {
        etag: committed.etag.or(object.etag),
        last_modified: committed.last_modified.or(object.last_modified),
        size: object.size,
        content: committed.content.or(object.content),
        multipart: committed.multipart.or(object.multipart),
        request_id: committed.request_id.or(object.request_id),
    }
}
