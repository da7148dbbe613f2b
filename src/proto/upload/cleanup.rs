//! From a known outcome to the end of the run: abort, delete, list what a lost create may have left.
//!
//! Owns the error that ends a run and the order of the cleanup. Must not know how the outcome came
//! about. Invariants: the first cause wins; the source is released at once; an upload that could not be
//! aborted is named together with the command that aborts it; nothing after a stop lasts longer than
//! the stop may.

use super::compare::Evidence;
use super::core::{CLEANUP_PAUSE, Core, Creation, RESOLVE_TIMEOUT, STOP_TIMEOUT};
use super::state::State;
use super::{Action, ApiCall, Doubt, Outcome, StoredObject, is_retryable};
use crate::api::{ListedUpload, ObjectMeta};
use crate::error::{Error, ErrorKind};
use crate::retry::{Failure, Operation, RetryDecision};

/// Attempts at a cleanup call that is answered with ambiguous 404s.
const MAX_CLEANUP_ATTEMPTS: u32 = 10;

/// A known outcome, and what is left to clean up.
pub(super) struct Cleanup {
    outcome: Result<StoredObject, Error>,
    /// Whether a commit may have taken effect: then only a successful abort proves that it did not.
    doubt: Doubt,
    /// The upload that a conditional create has made.
    probe_upload_id: Option<String>,
    /// The upload that is being aborted, or was.
    aborting: Option<String>,
}

/// Ends the run with an error: nothing was committed, and nothing will be.
pub(super) fn abort(
    core: &mut Core,
    error: Error,
    doubt: Doubt,
    probe_upload_id: Option<String>,
) -> State {
    core.call.scheduled = None;
    core.call.attempt = 0;
    core.release_source();
    core.deadline = Some(core.clamp_to_stop(STOP_TIMEOUT));
    let cleanup = Cleanup { outcome: Err(error), doubt, probe_upload_id, aborting: None };
    match core.multipart.creation.clone() {
        Creation::Created(id) => cleanup.abort_upload(core, id),
        // The response to the create brings the id to abort; RESOLVE_TIMEOUT leaves time for both.
        Creation::InFlight if core.multipart.create_in_flight => {
            core.deadline = Some(core.clamp_to_stop(RESOLVE_TIMEOUT));
            State::Aborting(cleanup)
        }
        Creation::InFlight | Creation::NotStarted => cleanup.on_abort_done(core, None),
    }
}

/// Ends the run with an outcome, after the uploads that it may have left are cleaned up.
fn finish_if_clean(
    core: &mut Core,
    outcome: Result<StoredObject, Error>,
    probe_upload_id: Option<String>,
) -> State {
    core.call.scheduled = None;
    if outcome.is_err() || core.parts.count() > 0 {
        core.release_source();
    }
    let cleanup = Cleanup { outcome, doubt: Doubt::None, probe_upload_id: None, aborting: None };
    match probe_upload_id {
        None => cleanup.list_orphans(core),
        Some(id) => {
            core.call.attempt = 0;
            core.deadline = Some(core.clamp_to_stop(STOP_TIMEOUT));
            cleanup.abort_upload(core, id)
        }
    }
}

/// The object is committed and verified.
pub(super) fn finish_stored(
    core: &mut Core,
    meta: ObjectMeta,
    evidence: Evidence,
    probe_upload_id: Option<String>,
) -> State {
    let stored = StoredObject {
        meta,
        size: core.end.unwrap_or_default().bytes,
        upload_id: core.upload_id().map(str::to_owned),
        parts: core.parts.count(),
        checksum: core.whole_checksum(),
        sha256: core.whole_sha256(),
        evidence,
    };
    finish_if_clean(core, Ok(stored), probe_upload_id)
}

/// The outcome of the commit cannot be known: exit code 8, and nothing is aborted.
pub(super) fn end_unknown(core: &mut Core, why: &str, probe_upload_id: Option<String>) -> State {
    let messages = &core.config.messages;
    let upload = match core.upload_id() {
        Some(id) => format!(
            "; if it is not what was sent, the upload may still be open: {}",
            messages.abort_command(id)
        ),
        None => String::new(),
    };
    let error = Error::new(
        ErrorKind::OutcomeUnknown,
        format!("whether {} was committed is unknown: {why}", messages.object_url),
    )
    .with_hint(format!(
        "look at the object and compare its size and checksum ({}): {}{upload}",
        core.expected_summary(),
        messages.head_command
    ));
    finish_if_clean(core, Err(error), probe_upload_id)
}

/// The service reported a commit, and the object could not be read: exit code 8.
pub(super) fn end_unverified(
    core: &mut Core,
    committed: &ObjectMeta,
    why: &str,
    probe_upload_id: Option<String>,
) -> State {
    let etag = committed.etag.clone().unwrap_or_default();
    let messages = &core.config.messages;
    let error = Error::new(
        ErrorKind::OutcomeUnknown,
        format!(
            "{} was committed (etag {etag}), but it could not be verified: {why}",
            messages.object_url
        ),
    )
    .with_hint(format!(
        "compare the object with what was read ({}): {}",
        core.expected_summary(),
        messages.head_command
    ));
    finish_if_clean(core, Err(error), probe_upload_id)
}

/// A committed object differs from the stream.
pub(super) fn mismatch(
    core: &mut Core,
    meta: &ObjectMeta,
    difference: &str,
    probe_upload_id: Option<String>,
) -> State {
    let etag = meta.etag.clone().unwrap_or_default();
    let object_url = &core.config.messages.object_url;
    let error = Error::integrity(format!(
        "{object_url} was committed (etag {etag}), but it is not what was read: {difference}"
    ));
    core.release_source();
    if core.config.delete_on_mismatch && !etag.is_empty() {
        core.call.attempt = 0;
        core.deadline = Some(core.clamp_to_stop(STOP_TIMEOUT));
        core.start_call(ApiCall::Delete { etag });
        let doubt = Doubt::None;
        return State::Deleting(Cleanup {
            outcome: Err(error),
            doubt,
            probe_upload_id,
            aborting: None,
        });
    }
    let hint = "do not rely on this object; it was left as it is (--delete-on-mismatch deletes it)";
    finish_if_clean(core, Err(error.with_hint(hint)), probe_upload_id)
}

impl Cleanup {
    fn abort_upload(mut self, core: &mut Core, upload_id: String) -> State {
        self.aborting = Some(upload_id.clone());
        core.start_call(ApiCall::Abort { upload_id });
        State::Aborting(self)
    }

    /// Schedules another attempt at a cleanup call.
    fn schedule(core: &mut Core, call: ApiCall) {
        core.call.scheduled = Some((core.now + CLEANUP_PAUSE, call));
    }

    /// The abort succeeded, or failed for good.
    pub fn on_abort_done(mut self, core: &mut Core, failure: Option<&Failure>) -> State {
        let Some(failure) = failure else {
            return match self.probe_upload_id.take() {
                Some(id) => self.abort_upload(core, id),
                None => self.list_orphans(core),
            };
        };
        if self.doubt.exists() {
            let why = failure.message("its answer was lost, and the upload could not be aborted");
            return end_unknown(core, &why, self.probe_upload_id);
        }
        let why = failure.message_with_permissions(Operation::Abort);
        for id in [self.aborting.clone(), self.probe_upload_id.take()].into_iter().flatten() {
            let abort = core.config.messages.abort_command(&id);
            self.append(
                core,
                format!("the multipart upload {id} is still open ({why}); abort it with: {abort}"),
            );
        }
        self.list_orphans(core)
    }

    fn on_delete_done(mut self, core: &mut Core, failure: Option<&Failure>) -> State {
        let text = match failure {
            None => "it was deleted".to_owned(),
            Some(failure) => {
                let why = failure.message_with_permissions(Operation::Delete);
                format!("it could not be deleted: {why}")
            }
        };
        self.append(core, text);
        self.list_orphans(core)
    }

    /// Adds a line to the hint of the error; after a success it is a warning.
    fn append(&mut self, core: &mut Core, line: String) {
        match &mut self.outcome {
            Err(error) => {
                error.hint = Some(match error.hint.take() {
                    Some(hint) => format!("{hint}\n  {line}"),
                    None => line,
                });
            }
            Ok(_) => core.warn(line),
        }
    }

    /// A create whose response was lost may have left an upload without parts.
    fn list_orphans(self, core: &mut Core) -> State {
        if !core.multipart.create_response_lost {
            return self.finish(core);
        }
        let deadline = core.clamp_to_stop(STOP_TIMEOUT);
        if deadline <= core.now {
            return self.on_orphans_unlisted(core, None);
        }
        core.deadline = Some(deadline);
        core.start_call(ApiCall::ListUploads);
        State::ListingOrphans(self)
    }

    fn on_orphans_unlisted(self, core: &mut Core, failure: Option<&Failure>) -> State {
        let why = failure.map(|failure| failure.message_with_permissions(Operation::ListUploads));
        let why = why.map(|why| format!(" ({why})")).unwrap_or_default();
        core.warn(format!(
            "an answer to CreateMultipartUpload was lost, and the open uploads of {} could not be \
             listed{why}: look for one with `ocipipe uploads list`",
            core.config.messages.object_url
        ));
        self.finish(core)
    }

    /// Names the open uploads. An upload may belong to another host, so that none is aborted.
    fn on_orphans_listed(self, core: &mut Core, listed: &[ListedUpload]) -> State {
        for upload in listed {
            let id = upload.upload_id.as_str();
            if core.upload_id() == Some(id) || self.aborting.as_deref() == Some(id) {
                continue;
            }
            let created = upload.time_created.as_deref().unwrap_or("an unknown time");
            core.warn(format!(
                "an answer to CreateMultipartUpload was lost: the open upload {id} of this name, \
                 created {created}, may be its; if nobody else is uploading, abort it with: {}",
                core.config.messages.abort_command(id)
            ));
        }
        self.finish(core)
    }

    fn finish(self, core: &mut Core) -> State {
        core.deadline = None;
        core.act(Action::Finish(self.outcome));
        State::Finished
    }

    // Events of the three states.

    pub fn on_abort_success(self, core: &mut Core, call: &ApiCall, outcome: Outcome) -> State {
        match outcome {
            Outcome::Removed => self.on_abort_done(core, None),
            Outcome::Created { upload_id } => match self.adopts_late_create(core) {
                true => self.on_late_create(core, call, upload_id),
                false => State::Aborting(self),
            },
            _ => State::Aborting(self),
        }
    }

    pub fn on_delete_success(self, core: &mut Core, outcome: Outcome) -> State {
        match outcome {
            Outcome::Removed => self.on_delete_done(core, None),
            _ => State::Deleting(self),
        }
    }

    pub fn on_listing_success(self, core: &mut Core, call: &ApiCall, outcome: Outcome) -> State {
        match outcome {
            Outcome::Uploads(listed) => self.on_orphans_listed(core, &listed),
            Outcome::Created { upload_id } if self.adopts_late_create(core) => {
                self.on_late_create(core, call, upload_id)
            }
            _ => State::ListingOrphans(self),
        }
    }

    /// Whether no upload of this run is known yet, so that the response to a create brings its id.
    fn adopts_late_create(&self, core: &Core) -> bool {
        core.upload_id().is_none() && self.aborting.is_none()
    }

    /// The run was over before the create was answered; now there is an id to abort.
    fn on_late_create(self, core: &mut Core, call: &ApiCall, upload_id: String) -> State {
        core.call.scheduled = None;
        if *call == ApiCall::Create {
            core.multipart.creation = Creation::Created(upload_id.clone());
        }
        self.abort_upload(core, upload_id)
    }

    pub fn on_abort_failure(
        self,
        core: &mut Core,
        call: ApiCall,
        decision: RetryDecision,
        failure: &Failure,
    ) -> State {
        match (&call, decision) {
            (ApiCall::Create, decision) => {
                core.multipart.create_response_lost |= decision == RetryDecision::ResolveOutcome;
                self.on_abort_done(core, None)
            }
            (_, RetryDecision::AmbiguousNotFound) => {
                if core.count_not_found(&call).count() >= MAX_CLEANUP_ATTEMPTS {
                    return self.on_abort_done(core, Some(failure));
                }
                Cleanup::schedule(core, call);
                State::Aborting(self)
            }
            (ApiCall::Abort { .. }, RetryDecision::NotFound) if self.doubt.exists() => {
                let why = "its answer was lost, and the upload is closed";
                end_unknown(core, why, self.probe_upload_id)
            }
            (ApiCall::Abort { .. } | ApiCall::Delete { .. }, RetryDecision::NotFound) => {
                self.on_abort_done(core, None)
            }
            (_, decision) if is_retryable(decision) => {
                Cleanup::schedule(core, call);
                State::Aborting(self)
            }
            _ => self.on_abort_done(core, Some(failure)),
        }
    }

    pub fn on_delete_failure(
        self,
        core: &mut Core,
        call: ApiCall,
        decision: RetryDecision,
        failure: &Failure,
    ) -> State {
        match (&call, decision) {
            (ApiCall::Create, decision) => {
                core.multipart.create_response_lost |= decision == RetryDecision::ResolveOutcome;
                self.on_delete_done(core, None)
            }
            (_, RetryDecision::AmbiguousNotFound) => {
                if core.count_not_found(&call).count() >= MAX_CLEANUP_ATTEMPTS {
                    return self.on_delete_done(core, Some(failure));
                }
                Cleanup::schedule(core, call);
                State::Deleting(self)
            }
            // The response to an earlier attempt may have been lost.
            (ApiCall::Abort { .. } | ApiCall::Delete { .. }, RetryDecision::NotFound) => {
                self.on_delete_done(core, None)
            }
            (_, decision) if is_retryable(decision) => {
                Cleanup::schedule(core, call);
                State::Deleting(self)
            }
            _ => self.on_delete_done(core, Some(failure)),
        }
    }

    pub fn on_listing_failure(
        self,
        core: &mut Core,
        call: ApiCall,
        decision: RetryDecision,
        failure: &Failure,
    ) -> State {
        if call != ApiCall::ListUploads {
            return State::ListingOrphans(self);
        }
        let again = match decision {
            RetryDecision::AmbiguousNotFound => {
                core.count_not_found(&call).count() < MAX_CLEANUP_ATTEMPTS
            }
            decision => is_retryable(decision),
        };
        if !again {
            return self.on_orphans_unlisted(core, Some(failure));
        }
        Cleanup::schedule(core, call);
        State::ListingOrphans(self)
    }

    pub fn on_abort_deadline(self, core: &mut Core) -> State {
        let late = late(core);
        self.on_abort_done(core, Some(&late))
    }

    pub fn on_delete_deadline(self, core: &mut Core) -> State {
        let late = late(core);
        self.on_delete_done(core, Some(&late))
    }

    pub fn on_listing_deadline(self, core: &mut Core) -> State {
        self.on_orphans_unlisted(core, None)
    }
}

/// The deadline of a cleanup has passed. A create that was never answered may have taken effect.
fn late(core: &mut Core) -> Failure {
    core.multipart.create_response_lost |= core.multipart.create_in_flight;
    Failure::Local(Error::service("there was no time left to wait for its answer"))
}
