//! Confirms a commit or put by reading the object's metadata.
//!
//! Owns what happens between the response to a commit or put and success: a HEAD of the object, or
//! conditional creates where a HEAD is forbidden. Must not know requests. Invariant: success is
//! reported only if HEAD shows the object, or HEAD is forbidden and no permitted check contradicts the
//! response.

use std::time::SystemTime;

use super::compare::Comparison;
use super::core::Core;
use super::outage::RetryCause;
use super::state::{Doubt, State, Verifying};
use super::{ApiCall, Outcome, PreviousObject, ProbeCondition, outcome};
use crate::api::ObjectMeta;
use crate::error::Error;
use crate::evidence::Evidence;
use crate::retry::{Failure, RetryDecision};

const OLDER_OBJECT: &str = "an older object still has its name";

/// HEADs of a committed object before a conditional create is tried. Every upload by a principal that
/// must not read pays for them.
const MAX_HEADS: u32 = 2;
/// The same of an upload that another run began: nothing but HEAD shows what it asked for, so that no
/// conditional create can confirm the object.
const MAX_HEADS_OF_CONTINUED: u32 = 10;
/// Repetitions of a HEAD through a pre-authenticated request that is answered with a missing object.
const MAX_MISSING: u32 = 3;
/// Conditional creates by a principal that has created no upload in this run.
const MAX_PROBES: u32 = 4;

impl Verifying {
    /// Sends the HEAD; `evidence` is what the response to the commit was verified by.
    pub(super) fn start(
        core: &mut Core,
        committed: ObjectMeta,
        evidence: Option<Evidence>,
    ) -> State {
        let evidence = evidence.or_else(|| core.evidence_of_parts());
        core.start_call(ApiCall::Head);
        State::Verifying(Verifying { committed, evidence, probe_upload_id: None })
    }

    pub(super) fn on_deadline(self, core: &mut Core) -> State {
        core.multipart.create_response_lost |= core.multipart.create_in_flight;
        self.end_unverified(core, "there was no time left to ask")
    }

    /// Ends without success: the service reported a commit, and it could not be verified.
    pub(super) fn end_unverified(self, core: &mut Core, why: &str) -> State {
        outcome::end_unverified(core, &self.committed, why, self.probe_upload_id)
    }

    fn probe(self, core: &mut Core, condition: ProbeCondition) -> State {
        core.start_call(ApiCall::ConditionalCreate(condition));
        State::Verifying(self)
    }

    fn retry(self, core: &mut Core, call: ApiCall, failure: &Failure) -> State {
        match core.retry_call(call, RetryCause::Failed(failure)) {
            Ok(()) => State::Verifying(self),
            Err(error) => self.end_unverified(core, &error.message),
        }
    }

    pub(super) fn on_success(self, core: &mut Core, call: ApiCall, outcome: Outcome) -> State {
        match outcome {
            Outcome::Object(meta) => self.on_head(core, meta),
            Outcome::Created { upload_id } => self.on_probe_created(core, call, upload_id),
            _ => State::Verifying(self),
        }
    }

    fn on_head(self, core: &mut Core, object: ObjectMeta) -> State {
        let (seen, committed) = (&object.etag, &self.committed.etag);
        if seen.is_some() && committed.is_some() && seen != committed {
            return self.on_other_etag(core, object);
        }
        let has_etag = committed.is_some();
        match core.compare(&object) {
            // Without etag and digest, an older object of the same size looks like the stream.
            Comparison::Same(evidence)
                if !(has_etag || evidence.is_strong()) && self.is_older(core, &object) =>
            {
                self.not_stored(core, OLDER_OBJECT)
            }
            Comparison::Same(evidence) => {
                let evidence = match self.evidence {
                    Some(of_response) if !evidence.is_strong() => of_response,
                    _ => evidence,
                };
                core.warn_of_unkept_properties(&object, evidence);
                let meta = merge_meta(self.committed, object);
                outcome::finish_stored(core, meta, evidence, self.probe_upload_id)
            }
            Comparison::Differs(difference) => {
                outcome::mismatch(core, &object, &difference, self.probe_upload_id)
            }
            Comparison::NothingToCompare => self.accept_response(core),
        }
    }

    fn on_other_etag(self, core: &mut Core, object: ObjectMeta) -> State {
        // An earlier attempt of this put can take effect late, with an etag of its own.
        if let Comparison::Same(evidence) = core.compare(&object)
            && core.upload_id().is_none()
            && core.was_sent_before()
            && evidence.is_strong()
        {
            return outcome::finish_stored(core, object, evidence, self.probe_upload_id);
        }
        if self.is_older(core, &object) {
            return self.not_stored(core, OLDER_OBJECT);
        }
        self.end_unverified(core, "another object already has its name")
    }

    pub(super) fn on_failure(
        self,
        core: &mut Core,
        call: ApiCall,
        decision: RetryDecision,
        failure: &Failure,
    ) -> State {
        match (call.clone(), decision) {
            (call, RetryDecision::AmbiguousNotFound) => self.on_not_found(core, call, failure),
            (call, decision) if super::is_retryable(decision) => self.retry(core, call, failure),
            (call, RetryDecision::ResolveOutcome) => {
                core.multipart.create_response_lost |=
                    matches!(call, ApiCall::ConditionalCreate(_));
                self.retry(core, call, failure)
            }
            (ApiCall::Head, RetryDecision::NotFound) if core.is_through_par() => {
                if core.call.attempt < MAX_MISSING {
                    core.retry_soon(call);
                    return State::Verifying(self);
                }
                self.not_stored(core, "no object exists at its name")
            }
            (ApiCall::Head, _) if core.is_through_par() => self.accept_unseen(core, failure),
            // A policy hides the object from a principal that may write and not read.
            (ApiCall::Head, _) => {
                core.restart_budget();
                self.probe(core, ProbeCondition::NoObject)
            }
            // The retention rule may be checked before the etag, and keeps any object.
            (ApiCall::ConditionalCreate(ProbeCondition::ObjectWithEtag(_)), _)
                if failure.is_retention() =>
            {
                self.accept_response(core)
            }
            (ApiCall::ConditionalCreate(condition), RetryDecision::PreconditionFailed) => {
                core.restart_budget();
                self.on_probe_refused(core, &condition)
            }
            // Neither HEAD nor a conditional create is permitted.
            _ => self.accept_response(core),
        }
    }

    /// An ambiguous 404 of the HEAD or of a conditional create.
    fn on_not_found(self, core: &mut Core, call: ApiCall, failure: &Failure) -> State {
        let streak = core.count_not_found(&call);
        let multipart = core.upload_id().is_some();
        let most = if core.continues() { MAX_HEADS_OF_CONTINUED } else { MAX_HEADS };
        match call {
            ApiCall::Head if streak.count() < most => core.retry_soon(call),
            ApiCall::Head if core.is_through_par() => return self.accept_unseen(core, failure),
            ApiCall::Head => {
                core.restart_budget();
                return self.probe(core, ProbeCondition::NoObject);
            }
            // This run has created an upload, so that a conditional create is permitted too.
            call if multipart && core.is_not_found_retryable(&streak) => {
                return self.retry(core, call, failure);
            }
            call if !multipart && streak.count() < MAX_PROBES => core.retry_soon(call),
            _ => return self.accept_response(core),
        }
        State::Verifying(self)
    }

    /// A conditional create has made an upload: its condition holds.
    fn on_probe_created(mut self, core: &mut Core, call: ApiCall, upload_id: String) -> State {
        self.probe_upload_id = Some(upload_id);
        match call {
            ApiCall::ConditionalCreate(ProbeCondition::ObjectWithEtag(etag))
                if self.committed.etag.as_ref() == Some(&etag) =>
            {
                self.accept_response(core)
            }
            ApiCall::ConditionalCreate(ProbeCondition::ObjectWithEtag(_)) => {
                self.not_stored(core, OLDER_OBJECT)
            }
            _ => self.not_stored(core, "no object exists at its name"),
        }
    }

    /// A conditional create was rejected: its condition does not hold.
    fn on_probe_refused(self, core: &mut Core, condition: &ProbeCondition) -> State {
        let previous = core.config.previous_object.clone();
        match (condition, previous, self.committed.etag.clone()) {
            // An object exists, and none existed before; or nothing more can be checked.
            (ProbeCondition::NoObject, PreviousObject::Nothing, _)
            | (ProbeCondition::NoObject, _, None) => self.accept_response(core),
            (ProbeCondition::NoObject, _, Some(etag)) => {
                self.probe(core, ProbeCondition::ObjectWithEtag(etag))
            }
            (ProbeCondition::ObjectWithEtag(probed), PreviousObject::Object(previous), _)
                if *probed != previous =>
            {
                self.probe(core, ProbeCondition::ObjectWithEtag(previous))
            }
            (ProbeCondition::ObjectWithEtag(_), ..) => {
                self.end_unverified(core, "another object has its name")
            }
        }
    }

    /// The object must not be read. The evidence is that of the response to the commit, or at least
    /// that every part was acknowledged with its checksum and the commit named exactly those. An upload
    /// that another run began may have other metadata or another key, which only HEAD shows.
    fn accept_response(self, core: &mut Core) -> State {
        if core.continues() {
            let why = "another run began its upload, and HEAD, which shows the metadata and the \
                       encryption that were asked for then, is refused";
            return self.end_unverified(core, why);
        }
        let acknowledged = match core.upload_id() {
            Some(_) => Evidence::PartEtags,
            None => Evidence::AcknowledgedSize,
        };
        let evidence = self.evidence.unwrap_or(acknowledged);
        outcome::finish_stored(core, self.committed, evidence, self.probe_upload_id)
    }

    /// A pre-authenticated request that may write and not read refuses the HEAD.
    fn accept_unseen(self, core: &mut Core, failure: &Failure) -> State {
        let evidence = self.evidence.unwrap_or(Evidence::Nothing);
        core.warn_unseen(evidence, failure);
        outcome::finish_stored(core, self.committed, evidence, self.probe_upload_id)
    }

    /// The service reported a commit and did not store the object.
    fn not_stored(self, core: &mut Core, why: &str) -> State {
        let etag = self.committed.etag.unwrap_or_default();
        let request = self.committed.request_id.unwrap_or_default();
        let error = Error::integrity(format!(
            "the service answered that {} was committed (etag {etag}, opc-request-id {request}), \
             but {why}: it was not stored",
            core.config.messages.object_url
        ))
        .with_hint("store it again, and report this request to the service");
        outcome::abort(core, error, Doubt::None, self.probe_upload_id)
    }

    /// Whether an object existed before the commit.
    fn is_older(&self, core: &Core, object: &ObjectMeta) -> bool {
        core.is_new(object) == Some(false)
            || last_modified(object)
                .zip(last_modified(&self.committed))
                .is_some_and(|(object, committed)| object < committed)
    }
}

fn last_modified(meta: &ObjectMeta) -> Option<SystemTime> {
    httpdate::parse_http_date(meta.last_modified.as_deref()?).ok()
}

/// The metadata for the receipt: that of the commit, completed from the HEAD.
fn merge_meta(committed: ObjectMeta, object: ObjectMeta) -> ObjectMeta {
    ObjectMeta {
        etag: committed.etag.or(object.etag),
        last_modified: committed.last_modified.or(object.last_modified),
        size: object.size,
        content: committed.content.or(object.content),
        multipart: committed.multipart.or(object.multipart),
        request_id: committed.request_id.or(object.request_id),
        headers: object.headers,
    }
}
