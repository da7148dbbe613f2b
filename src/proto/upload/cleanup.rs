//! How a run ends that does not end well: failing, stopping, aborting, naming what is left.
//!
//! Owns the way from the first cause to the exit. Knows nothing of how the cause came about.
//! Invariant: the first cause wins, the source is let go of at once, and an upload that could not
//! be aborted is named together with the command that does it. Nothing that follows a signal lasts
//! longer than a stop may.

use super::{Action, ApiCall, Creation, Now, Phase, PreviousObject, StoredObject, Upload};
use crate::api::{ListedUpload, ObjectMeta};
use crate::error::{Error, ErrorKind};
use crate::retry::{self, Failure, Operation};

/// How long an abort, or settling after a signal, may take: a stop has to be over within 10 s.
pub(super) const STOP_TIMEOUT: Now = Now::from_millis(9_500);
/// Of these, what had been sent for good may take this long, so that an abort still fits in.
const RESOLVE_TIMEOUT: Now = Now::from_secs(7);
/// Attempts at an abort follow each other quickly, since time is short.
pub(super) const ABORT_PAUSE: Now = Now::from_millis(500);

impl Upload {
    /// Ends the run for a reason; nothing has been committed, and nothing will be.
    pub(super) fn abort_with(&mut self, now: Now, error: Error) {
        if self.is_cleaning_up() {
            return;
        }
        self.outcome = Some(Err(error));
        self.phase = Phase::Aborting;
        self.scheduled_call = None;
        self.attempt = 0;
        self.release_source();
        self.cleanup_deadline = Some(self.clamp_to_stop(now, STOP_TIMEOUT));
        match &self.creation {
            Creation::Created(_) => self.start_call(ApiCall::Abort),
            // Its answer brings the id to abort; without one there is time to look for it.
            Creation::InFlight if self.create_in_flight => {
                self.cleanup_deadline = Some(self.clamp_to_stop(now, RESOLVE_TIMEOUT));
            }
            _ => self.on_cleanup_done(None),
        }
    }

    /// The error of a refusal. What a retention rule keeps is an object that exists already, for
    /// whoever does not want to replace one.
    pub(super) fn refused(&self, failure: &Failure, operation: Operation, doing: &str) -> Error {
        let error = failure.error(operation, doing);
        match failure.is_retention() && self.config.previous_object == PreviousObject::Nothing {
            true => Error { kind: ErrorKind::Exists, ..error },
            false => error,
        }
    }

    /// Whether the outcome is known, and only what is left behind is being cleared.
    pub(super) fn is_cleaning_up(&self) -> bool {
        use Phase::{Aborting, Deleting, Finished, ListingOrphans};
        matches!(self.phase, Aborting | Deleting | ListingOrphans | Finished)
    }

    /// So much later, but never after a stop has to be over.
    fn clamp_to_stop(&self, now: Now, wait: Now) -> Now {
        self.stop_deadline.map_or(now + wait, |by| by.min(now + wait))
    }

    fn release_source(&mut self) {
        self.actions.push_back(Action::StopReading);
        self.actions.push_back(Action::CancelParts);
        for number in 1..=self.parts.count() {
            self.actions.push_back(Action::ReleasePart(number));
        }
    }

    /// A signal asks to stop. What has been sent for good is settled; anything else is aborted.
    pub(super) fn stop(&mut self, now: Now, error: Error) {
        let by = *self.stop_deadline.get_or_insert(now + STOP_TIMEOUT);
        let only_waits =
            self.scheduled_call.is_some() && !self.response_lost && self.committed.is_none();
        let signal = error.kind.signal_name();
        if self.is_cleaning_up() {
            self.note_signal(
                signal,
                "came when the outcome was known; what is left takes 10 s at most",
            );
            self.cleanup_deadline = self.cleanup_deadline.map(|deadline| deadline.min(by));
        } else if self.commit_was_sent() && !only_waits {
            self.note_signal(
                signal,
                "came after the object was sent, which is not called off; \
                                      waiting up to 10 s for the outcome",
            );
            self.actions.push_back(Action::StopReading);
            self.cleanup_deadline = Some(self.clamp_to_stop(now, RESOLVE_TIMEOUT));
            self.stop_error = Some(error);
            // There is no time left to wait before asking.
            if let Some((at, _)) = &mut self.scheduled_call {
                *at = now;
            }
        } else {
            self.note_signal(
                signal,
                "stops the upload; another one, a second later, leaves at once",
            );
            self.abort_with(now, error);
        }
    }

    /// What a signal means is said once it is known. Of a run that may still succeed, nothing is said
    /// that sounds like its end.
    fn note_signal(&mut self, signal: Option<&str>, meaning: &str) {
        if let Some(signal) = signal {
            self.actions.push_back(Action::Warn(format!("{signal} {meaning}")));
        }
    }

    /// Patience has ended for a call other than a part.
    pub(super) fn on_budget_exhausted(&mut self, now: Now, error: Error) {
        match self.phase {
            // The upload was open a moment ago: its abort says for certain that nothing appeared.
            Phase::Committing if self.response_lost && self.seen_open => {
                self.abort_with(now, error)
            }
            // Whether the put arrived is worth one question, even where patience is over.
            Phase::Storing if self.response_lost && !self.final_head_sent => {
                self.final_head_sent = true;
                self.start_call(ApiCall::Head);
            }
            Phase::Storing | Phase::Committing | Phase::Resolving(_) if self.response_lost => {
                self.end_unknown(&error.message);
            }
            Phase::Verifying => self.end_unverified(&error.message),
            _ => self.abort_with(now, error),
        }
    }

    /// The deadline of a stop has passed.
    pub(super) fn on_deadline(&mut self, now: Now) {
        let unsent = !self.response_lost && self.scheduled_call.is_some();
        match self.phase {
            Phase::Storing | Phase::Committing if unsent => match self.stop_error.clone() {
                Some(error) => self.abort_with(now, error),
                None => self.end_unknown("there was no time left to ask"),
            },
            Phase::Aborting | Phase::Deleting => {
                // A create that was never answered may have been heard all the same.
                self.create_in_doubt |= self.create_in_flight;
                let late = Error::service("there was no time left to wait for its answer");
                self.on_cleanup_done(Some(Failure::Local(late)));
            }
            Phase::Verifying => {
                self.create_in_doubt |= self.create_in_flight;
                self.end_unverified("there was no time left to ask");
            }
            Phase::ListingOrphans => self.orphans_unlisted(None),
            // Every answer is known: that the upload is still open can be left to its abort.
            Phase::Resolving(_) if !self.response_lost => {
                let late = Error::service("there was no time left to ask");
                let error =
                    self.stop_error.take().or(self.pending_rejection.take()).unwrap_or(late);
                self.abort_with(now, error);
            }
            _ => self.end_unknown("there was no time left to ask"),
        }
    }

    /// A second signal: nothing is waited for any more, and what is left is said.
    pub fn abandon(&mut self) {
        self.stop_deadline = Some(self.now);
        while self.phase != Phase::Finished {
            self.on_deadline(self.now);
        }
    }

    /// The outcome of the commit cannot be told: exit 8, and nothing is aborted blindly.
    pub(super) fn end_unknown(&mut self, why: &str) {
        let upload = match self.upload_id() {
            Some(id) => format!(
                "; if it is not what was sent, the upload may still be open: {}",
                self.config.messages.abort_command.replace("{}", id)
            ),
            None => String::new(),
        };
        let error = Error::new(
            ErrorKind::OutcomeUnknown,
            format!("whether {} was committed is unknown: {why}", self.config.messages.object_url),
        )
        .with_hint(format!(
            "look at the object and compare its size and checksum ({}): {}{upload}",
            self.expected_summary(),
            self.config.messages.head_command
        ));
        self.finish_if_clean(Err(error));
    }

    /// Committed by the service's own word, but it could not be asked what it holds.
    pub(super) fn end_unverified(&mut self, why: &str) {
        let etag = self.committed.as_ref().and_then(|held| held.etag.clone()).unwrap_or_default();
        let error = Error::new(
            ErrorKind::OutcomeUnknown,
            format!(
                "{} was committed (etag {etag}), but it could not be verified: {why}",
                self.config.messages.object_url
            ),
        )
        .with_hint(format!(
            "compare the object with what was read ({}): {}",
            self.expected_summary(),
            self.config.messages.head_command
        ));
        self.finish_if_clean(Err(error));
    }

    /// A committed object is not what was read.
    pub(super) fn mismatch(&mut self, now: Now, held: &ObjectMeta, difference: &str) {
        let etag = held.etag.clone().unwrap_or_default();
        let object = self.config.messages.object_url.clone();
        let error = Error::integrity(format!(
            "{object} was committed (etag {etag}), but it is not what was read: {difference}"
        ));
        self.release_source();
        if self.config.delete_on_mismatch && !etag.is_empty() {
            self.outcome = Some(Err(error));
            self.phase = Phase::Deleting;
            self.attempt = 0;
            self.cleanup_deadline = Some(self.clamp_to_stop(now, STOP_TIMEOUT));
            self.start_call(ApiCall::Delete { etag });
        } else {
            self.finish_if_clean(Err(error.with_hint(
                "do not rely on this object; it was left as it is (--delete-on-mismatch deletes it)",
            )));
        }
    }

    /// Another attempt at cleaning up, soon.
    pub(super) fn retry_after_pause(&mut self, now: Now, call: ApiCall) {
        if call == ApiCall::Create {
            return self.on_cleanup_done(None);
        }
        self.scheduled_call = Some((now + ABORT_PAUSE, call));
    }

    /// The abort or the deletion is done, or could not be done.
    pub(super) fn on_cleanup_done(&mut self, failure: Option<Failure>) {
        if let (Phase::Aborting, true, Some(failure)) = (&self.phase, self.response_lost, &failure)
        {
            // Only an abort that was done says for certain that the commit was not.
            let why = failure.message("its answer was lost, and the upload could not be aborted");
            return self.end_unknown(&why);
        }
        let open = self.upload_id().map(str::to_owned);
        match (&self.phase, &failure) {
            (Phase::Deleting, None) => self.append_to_error("it was deleted".to_owned()),
            (Phase::Deleting, Some(failure)) => {
                let why = failure.message_with_permissions(Operation::Delete);
                self.append_to_error(format!("it could not be deleted: {why}"));
            }
            (_, Some(failure)) => {
                let why = failure.message_with_permissions(Operation::Abort);
                for id in [open, self.probe_upload_id.take()].into_iter().flatten() {
                    let abort = self.config.messages.abort_command.replace("{}", &id);
                    self.append_to_error(format!(
                        "the multipart upload {id} is still open ({why}); abort it with: {abort}"
                    ));
                }
            }
            (_, None) => {
                if let Some(id) = self.probe_upload_id.take() {
                    self.creation = Creation::Created(id);
                    return self.start_call(ApiCall::Abort);
                }
            }
        }
        self.list_orphans();
    }

    /// One more thing to do next, for whoever reads the error, or of a success the notes.
    fn append_to_error(&mut self, said: String) {
        match &mut self.outcome {
            Some(Err(error)) => {
                error.hint = Some(match error.hint.take() {
                    Some(next) => format!("{next}\n  {said}"),
                    None => said,
                });
            }
            _ => self.actions.push_back(Action::Warn(said)),
        }
    }

    /// Ends with an outcome, after looking for uploads that a lost answer may have left.
    pub(super) fn finish_if_clean(&mut self, outcome: Result<StoredObject, Error>) {
        self.scheduled_call = None;
        if outcome.is_err() || self.parts.count() > 0 {
            self.release_source();
        }
        self.outcome = Some(outcome);
        match self.probe_upload_id.take() {
            None => self.list_orphans(),
            Some(id) => {
                self.response_lost = false;
                self.creation = Creation::Created(id);
                self.phase = Phase::Aborting;
                self.attempt = 0;
                self.cleanup_deadline = Some(self.clamp_to_stop(self.now, STOP_TIMEOUT));
                self.start_call(ApiCall::Abort);
            }
        }
    }

    /// A create whose answer was lost may have left an upload without parts.
    fn list_orphans(&mut self) {
        if !self.create_in_doubt {
            return self.finish();
        }
        let by = self.clamp_to_stop(self.now, STOP_TIMEOUT);
        if by <= self.now {
            return self.orphans_unlisted(None);
        }
        self.phase = Phase::ListingOrphans;
        self.cleanup_deadline = Some(by);
        self.start_call(ApiCall::ListUploads);
    }

    /// The open uploads could not be listed.
    pub(super) fn orphans_unlisted(&mut self, failure: Option<&Failure>) {
        let why = failure.map(|failure| failure.message_with_permissions(Operation::ListUploads));
        let why = why.map(|why| format!(" ({why})")).unwrap_or_default();
        self.actions.push_back(Action::Warn(format!(
            "an answer to CreateMultipartUpload was lost, and the open uploads of {} could not be \
             listed{why}: look for one with `ocipipe uploads list`",
            self.config.messages.object_url
        )));
        self.finish();
    }

    /// What is found could as well be another host's, so it is named and not aborted.
    pub(super) fn orphans_listed(&mut self, listed: &[ListedUpload]) {
        for upload in listed {
            let ours = self.upload_id() == Some(upload.upload_id.as_str());
            if !ours {
                let created = upload.time_created.as_deref().unwrap_or("an unknown time");
                self.actions.push_back(Action::Warn(format!(
                    "an answer to CreateMultipartUpload was lost: the open upload {} of this name, \
                     created {created}, may be its; if nobody else is uploading, abort it with: {}",
                    upload.upload_id,
                    self.config.messages.abort_command.replace("{}", &upload.upload_id)
                )));
            }
        }
        self.finish();
    }

    pub(super) fn finish(&mut self) {
        self.phase = Phase::Finished;
        self.cleanup_deadline = None;
        let outcome = self.outcome.take().unwrap_or_else(|| {
            Err(Error::new(ErrorKind::Internal, "the upload ended without an outcome"))
        });
        self.actions.push_back(Action::Finish(outcome));
    }

    /// A failure that ends what had been sent for good, once it is known to have had no effect.
    pub(super) fn fail_after_commit(&mut self, now: Now, error: Error) {
        let error = self.stop_error.take().unwrap_or(error);
        self.abort_with(now, error);
    }
}

/// Whether a verdict allows another attempt.
pub(super) fn is_retryable(verdict: retry::RetryDecision) -> bool {
    matches!(verdict, retry::RetryDecision::Retry { .. } | retry::RetryDecision::RefreshCredentials)
}
