//! From a known outcome to the end of the run: abort, delete, list what a lost create may have left.
//!
//! Owns the order of the cleanup. Must not know how the outcome came about. Invariants: an upload that
//! could not be aborted is named together with the command that aborts it; nothing after a stop lasts
//! longer than the stop may.

use super::core::{CLEANUP_PAUSE, Core, Creation, STOP_TIMEOUT};
use super::state::{Cleanup, State};
use super::{Action, ApiCall, Outcome, is_retryable, outcome};
use crate::api::ListedUpload;
use crate::error::Error;
use crate::retry::{Failure, Operation, RetryDecision};

/// Attempts at a cleanup call that is answered with ambiguous 404s.
const MAX_CLEANUP_ATTEMPTS: u32 = 10;

/// What the failure of an abort or delete means.
enum CallEnd {
    /// Nothing is left to abort or delete.
    Done,
    Retry,
    Failed,
}

impl CallEnd {
    fn of(core: &mut Core, call: &ApiCall, decision: RetryDecision) -> CallEnd {
        match (call, decision) {
            (ApiCall::Create, decision) => {
                core.multipart.create_response_lost |= decision == RetryDecision::ResolveOutcome;
                CallEnd::Done
            }
            (_, RetryDecision::AmbiguousNotFound) => {
                if core.count_not_found(call).count() < MAX_CLEANUP_ATTEMPTS {
                    CallEnd::Retry
                } else {
                    CallEnd::Failed
                }
            }
            // The response to an earlier attempt may have been lost.
            (ApiCall::Abort { .. } | ApiCall::Delete { .. }, RetryDecision::NotFound) => {
                CallEnd::Done
            }
            (_, decision) if is_retryable(decision) => CallEnd::Retry,
            _ => CallEnd::Failed,
        }
    }
}

impl Cleanup {
    pub(super) fn abort_upload(mut self, core: &mut Core, upload_id: String) -> State {
        self.aborting = Some(upload_id.clone());
        core.start_call(ApiCall::Abort { upload_id });
        State::Aborting(self)
    }

    /// Schedules another attempt at a cleanup call.
    fn schedule(core: &mut Core, call: ApiCall) {
        core.call.scheduled = Some((core.now + CLEANUP_PAUSE, call));
    }

    /// The abort succeeded, or failed for good.
    pub(super) fn on_abort_done(mut self, core: &mut Core, failure: Option<&Failure>) -> State {
        let Some(failure) = failure else {
            return match self.probe_upload_id.take() {
                Some(id) => self.abort_upload(core, id),
                None => self.list_orphans(core),
            };
        };
        if self.doubt.exists() {
            let why = failure.message("its answer was lost, and the upload could not be aborted");
            return outcome::end_unknown(core, &why, self.probe_upload_id);
        }
        let why = failure.message_with_permissions(Operation::Abort);
        for id in [self.aborting.clone(), self.probe_upload_id.take()].into_iter().flatten() {
            let messages = &core.config.messages;
            let (resume, abort) = (messages.resume_command(&id), messages.abort_command(&id));
            // A probe's upload has nothing to go on with.
            if let Some(resume) = resume.filter(|_| core.upload_id() == Some(&id)) {
                self.append(core, format!("go on with the same stream: {resume}"));
            }
            let how = core.abort_note();
            self.append(
                core,
                format!("the multipart upload {id} is still open ({why}); {how}: {abort}"),
            );
        }
        self.list_orphans(core)
    }

    /// The upload stays open for another run, or does not exist any more.
    pub(super) fn leave_open(mut self, core: &mut Core, upload_id: Option<String>) -> State {
        if self.doubt.exists() {
            let why = "its answer was lost, and the upload is left open to be resumed";
            return outcome::end_unknown(core, why, self.probe_upload_id);
        }
        if let Some(id) = upload_id {
            let line = core.config.messages.left_open(&id);
            self.append(core, line);
        }
        match self.probe_upload_id.take() {
            Some(id) => self.abort_upload(core, id),
            None => self.list_orphans(core),
        }
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

    /// A create whose response was lost may have left an upload without parts, and a commit without a
    /// response the upload itself.
    pub(super) fn list_orphans(self, core: &mut Core) -> State {
        let lost = core.multipart.create_response_lost;
        if core.is_through_par() {
            if lost {
                core.warn_of_unlisted_uploads();
            }
            return self.finish(core);
        }
        if !lost && !core.multipart.commit_unconfirmed {
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
        if core.multipart.create_response_lost {
            core.warn(format!(
                "an answer to CreateMultipartUpload was lost, and the open uploads of {} could not be \
                 listed{why}: look for one with `ocipipe uploads list`",
                core.config.messages.object_url
            ));
        }
        if let Some(id) = core.unconfirmed_upload_id() {
            core.warn(format!(
                "no answer says whether the commit or another client stored the object, and the open \
                 uploads could not be listed{why}: the upload {id} may still be open; abort it with: {}",
                core.config.messages.abort_command(&id)
            ));
        }
        self.finish(core)
    }

    /// Names the open uploads. An upload may belong to another host, so that none is aborted.
    fn on_orphans_listed(self, core: &mut Core, listed: &[ListedUpload]) -> State {
        let unconfirmed = core.unconfirmed_upload_id();
        for upload in listed {
            let id = upload.upload_id.as_str();
            if unconfirmed.as_deref() == Some(id) {
                core.warn(format!(
                    "the upload {id} is still listed, although the object has its bytes: another client \
                     may have stored them; abort it with: {}",
                    core.config.messages.abort_command(id)
                ));
            }
            let is_known = core.upload_id() == Some(id) || self.aborting.as_deref() == Some(id);
            if is_known || !core.multipart.create_response_lost {
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

    pub(super) fn on_abort_success(
        self,
        core: &mut Core,
        call: &ApiCall,
        outcome: Outcome,
    ) -> State {
        match outcome {
            Outcome::Removed => self.on_abort_done(core, None),
            Outcome::Created { upload_id } => self.on_late_create(core, call, upload_id),
            _ => State::Aborting(self),
        }
    }

    pub(super) fn on_delete_success(self, core: &mut Core, outcome: Outcome) -> State {
        match outcome {
            Outcome::Removed => self.on_delete_done(core, None),
            _ => State::Deleting(self),
        }
    }

    pub(super) fn on_listing_success(
        self,
        core: &mut Core,
        call: &ApiCall,
        outcome: Outcome,
    ) -> State {
        match outcome {
            Outcome::Uploads(listed) => self.on_orphans_listed(core, &listed),
            Outcome::Created { upload_id } => self.on_late_create(core, call, upload_id),
            _ => State::ListingOrphans(self),
        }
    }

    /// The outcome was known before a create, of the upload or of a probe, was answered; now there is an
    /// id to abort.
    fn on_late_create(self, core: &mut Core, call: &ApiCall, upload_id: String) -> State {
        core.call.scheduled = None;
        if *call == ApiCall::Create {
            core.multipart.creation = Creation::Created(upload_id.clone());
        }
        self.abort_upload(core, upload_id)
    }

    pub(super) fn on_abort_failure(
        self,
        core: &mut Core,
        call: ApiCall,
        decision: RetryDecision,
        failure: &Failure,
    ) -> State {
        if !matches!(call, ApiCall::Create | ApiCall::Abort { .. }) {
            // A call that the state before had in flight.
            return State::Aborting(self);
        }
        if call == ApiCall::Create {
            core.note_unusable_start(failure);
        }
        if decision == RetryDecision::NotFound && self.doubt.exists() {
            let why = "its answer was lost, and the upload is closed";
            return outcome::end_unknown(core, why, self.probe_upload_id);
        }
        match CallEnd::of(core, &call, decision) {
            CallEnd::Done => self.on_abort_done(core, None),
            CallEnd::Failed => self.on_abort_done(core, Some(failure)),
            CallEnd::Retry => {
                Cleanup::schedule(core, call);
                State::Aborting(self)
            }
        }
    }

    pub(super) fn on_delete_failure(
        self,
        core: &mut Core,
        call: ApiCall,
        decision: RetryDecision,
        failure: &Failure,
    ) -> State {
        if !matches!(call, ApiCall::Delete { .. }) {
            return State::Deleting(self);
        }
        match CallEnd::of(core, &call, decision) {
            CallEnd::Done => self.on_delete_done(core, None),
            CallEnd::Failed => self.on_delete_done(core, Some(failure)),
            CallEnd::Retry => {
                Cleanup::schedule(core, call);
                State::Deleting(self)
            }
        }
    }

    pub(super) fn on_listing_failure(
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

    pub(super) fn on_abort_deadline(self, core: &mut Core) -> State {
        let late = late(core);
        self.on_abort_done(core, Some(&late))
    }

    pub(super) fn on_delete_deadline(self, core: &mut Core) -> State {
        let late = late(core);
        self.on_delete_done(core, Some(&late))
    }

    pub(super) fn on_listing_deadline(self, core: &mut Core) -> State {
        self.on_orphans_unlisted(core, None)
    }
}

/// The deadline of a cleanup has passed. A create that was never answered may have taken effect.
fn late(core: &mut Core) -> Failure {
    core.multipart.create_response_lost |= core.multipart.create_in_flight;
    Failure::Local(Error::service("there was no time left to wait for its answer"))
}
