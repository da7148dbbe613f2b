//! What every state of an upload shares: the parts, the current call, the stop and the actions.
//!
//! Owns the scheduling of calls, the multipart upload's id and the queue of actions. Must not know
//! which state the upload is in. Invariant: at most one call besides parts waits for its next attempt.

use std::cmp::Ordering;
use std::collections::VecDeque;
use std::time::SystemTime;

use super::outage::{OutageTracker, RetryCause};
use super::parts::{Parts, is_long_attempt};
use super::{Action, ApiCall, EndOfStream, Now, PreviousObject, UploadConfig};
use crate::api::ObjectMeta;
use crate::digest::Value;
use crate::error::{Error, ErrorKind};
use crate::part_number::PartNumber;
use crate::request_fields::{AttemptName, Warning};
use crate::retry::{BucketStatus, Failure, NotFoundStreak, Operation, RunStage};

/// The longest time from a stop or a fatal error to the end of the run.
pub(super) const STOP_TIMEOUT: Now = Now::from_millis(9_500);
/// The longest time from a stop to the known outcome of a commit; an abort still fits in after it.
pub(super) const RESOLVE_TIMEOUT: Now = Now::from_secs(7);
/// The pause between two attempts at cleaning up, and the longest pause after a stop.
pub(super) const CLEANUP_PAUSE: Now = Now::from_millis(500);
/// The longest pause of a retry that delays every upload.
const MAX_SHORT_PAUSE: Now = Now::from_millis(300);

/// Whether the multipart upload exists.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Creation {
    NotStarted,
    /// A create was sent; it may wait for its next attempt.
    InFlight,
    /// The upload has this id.
    Created(String),
}

/// The multipart upload itself.
#[derive(Clone)]
pub(super) struct MultipartUpload {
    pub creation: Creation,
    /// A create, of the upload or of a probe, has no response yet.
    pub create_in_flight: bool,
    /// The response to a create was lost: an upload without parts may be open.
    pub create_response_lost: bool,
    /// The object has the bytes of the upload, and no response says that its commit stored them: another
    /// client can have stored the same, and the upload may be open.
    pub commit_unconfirmed: bool,
    /// The numbers of held parts beyond the end of the stream.
    pub excluded: Vec<PartNumber>,
    /// Another run has ended the upload.
    pub is_gone: bool,
}

impl MultipartUpload {
    pub(super) fn id(&self) -> Option<&str> {
        match &self.creation {
            Creation::Created(id) => Some(id),
            Creation::NotStarted | Creation::InFlight => None,
        }
    }
}

/// The one call besides parts, and its attempts.
#[derive(Clone, Default)]
pub(super) struct CurrentCall {
    /// When its next attempt starts.
    pub scheduled: Option<(Now, ApiCall)>,
    /// Failed attempts so far.
    pub attempt: u32,
    /// When the last attempt started.
    pub sent_at: Now,
    /// The ambiguous 404s in a row of one operation.
    pub streak: Option<(Operation, NotFoundStreak)>,
    /// The last failure was the rejection of a pre-authenticated request.
    pub par_rejected: bool,
    /// Attempts at a commit or put so far, of all states.
    pub commit_attempts: u32,
}

/// A signal that asked to stop.
#[derive(Clone, Default)]
pub(super) struct Stop {
    /// When the run has to be over, whatever it still does.
    pub deadline: Option<Now>,
    /// The error of a stop that waits for the outcome of a commit.
    pub error: Option<Error>,
}

#[cfg_attr(test, derive(Clone))]
pub(super) struct Core {
    pub config: UploadConfig,
    pub multipart: MultipartUpload,
    pub parts: Parts,
    pub end: Option<EndOfStream>,
    /// The digests of the whole stream, where some are expected.
    pub stream_digests: Vec<Value>,
    pub call: CurrentCall,
    pub outage: OutageTracker,
    pub stop: Stop,
    /// When the outcome of a commit after a stop, or a cleanup, has to be over.
    pub deadline: Option<Now>,
    /// The latest time that was handed in.
    pub now: Now,
    /// Attempts of all calls that were retries.
    pub retries: u64,
    pub rng: fastrand::Rng,
    pub actions: VecDeque<Action>,
}

impl Core {
    pub(super) fn new(config: UploadConfig) -> Core {
        let creation = match config.continued() {
            Some(continued) => Creation::Created(continued.upload_id.clone()),
            None => Creation::NotStarted,
        };
        Core {
            multipart: MultipartUpload {
                creation,
                create_in_flight: false,
                create_response_lost: false,
                commit_unconfirmed: false,
                excluded: Vec::new(),
                is_gone: false,
            },
            parts: Parts::of(&config),
            end: None,
            stream_digests: Vec::new(),
            call: CurrentCall::default(),
            outage: OutageTracker::new(config.retry_for, config.bucket),
            stop: Stop::default(),
            deadline: None,
            now: Now::ZERO,
            retries: 0,
            rng: fastrand::Rng::with_seed(config.seed),
            actions: VecDeque::new(),
            config,
        }
    }

    pub(super) fn upload_id(&self) -> Option<&str> {
        self.multipart.id()
    }

    pub(super) fn act(&mut self, action: Action) {
        self.actions.push_back(action);
    }

    pub(super) fn warn(&mut self, warning: impl Into<Warning>) {
        self.act(Action::Warn(warning.into()));
    }

    pub(super) fn start_call(&mut self, call: ApiCall) {
        self.multipart.create_in_flight |= call.is_create();
        self.call.sent_at = self.now;
        self.call.commit_attempts += u32::from(matches!(call, ApiCall::Put | ApiCall::Commit));
        self.act(Action::StartCall(call));
    }

    /// Starts the scheduled call if its time has come.
    pub(super) fn start_due_call(&mut self) {
        if let Some((_, call)) = self.call.scheduled.take_if(|(at, _)| self.now >= *at) {
            self.start_call(call);
        }
    }

    pub(super) fn stage(&self) -> RunStage {
        if self.config.service_seen { RunStage::Streaming } else { RunStage::Preflight }
    }

    /// The name of the next attempt of a call in messages.
    pub(super) fn attempt_label(&self, call: &ApiCall) -> AttemptName {
        AttemptName::numbered(call.operation().name(), self.call.attempt + 1)
    }

    /// A name of the current attempt of a call in messages, whose number is a field only.
    pub(super) fn attempt_named(&self, name: &str, call: &ApiCall) -> AttemptName {
        let attempt = match call {
            ApiCall::Put | ApiCall::Commit => self.call.commit_attempts.max(1),
            _ => self.call.attempt + 1,
        };
        AttemptName::from(name).with_attempt(attempt)
    }

    /// `wait` later, but not after the deadline of a stop.
    pub(super) fn clamp_to_stop(&self, wait: Now) -> Now {
        self.stop.deadline.map_or(self.now + wait, |by| by.min(self.now + wait))
    }

    /// Stops reading and sending, and releases the buffers of all parts.
    pub(super) fn release_source(&mut self) {
        self.act(Action::StopReading);
        self.act(Action::CancelParts);
        for number in PartNumber::all().take(self.parts.count() as usize) {
            self.act(Action::ReleasePart(number));
        }
    }

    /// The error of a rejected call. A retention rule that keeps an object means that the object
    /// exists, for a run that must not replace one.
    pub(super) fn rejection(
        &self,
        failure: &Failure,
        operation: Operation,
        label: impl Into<AttemptName>,
    ) -> Error {
        let error = failure.error(operation, label);
        if failure.is_retention() && self.config.previous_object == PreviousObject::Nothing {
            Error { kind: ErrorKind::Exists, ..error }
        } else {
            error
        }
    }

    /// Whether the object differs from the one that existed before the run; `None` if that is
    /// unknown.
    pub(super) fn is_new(&self, meta: &ObjectMeta) -> Option<bool> {
        match &self.config.previous_object {
            PreviousObject::Nothing => Some(true),
            PreviousObject::Object(etag) => Some(meta.etag.as_ref() != Some(etag)),
            PreviousObject::Unknown => None,
            PreviousObject::UnknownBefore(time) => is_modified_after(meta, *time),
        }
    }

    /// The upload that may be open although the object has its bytes.
    pub(super) fn unconfirmed_upload_id(&self) -> Option<String> {
        self.upload_id().filter(|_| self.multipart.commit_unconfirmed).map(str::to_owned)
    }

    /// Whether the rejection of a repeated commit or put may be caused by an earlier attempt that
    /// succeeded.
    pub(super) fn was_sent_before(&self) -> bool {
        self.call.commit_attempts > 1
    }

    // Retries.

    /// Schedules the next attempt of a call, or returns the error to end with if the retry budget is
    /// exhausted.
    pub(super) fn retry_call(&mut self, call: ApiCall, cause: RetryCause<'_>) -> Result<(), Error> {
        let label = self.attempt_label(&call);
        if let RetryCause::Failed(failure) = cause
            && call == ApiCall::Put
            && self.outage.budget_ends(self.now) <= self.now
            && is_transient(failure)
            && is_long_attempt(
                self.call.attempt,
                self.call.sent_at,
                self.now,
                self.config.long_attempt,
            )
        {
            self.restart_budget();
        }
        self.record_failure(cause, call.operation(), &label)?;
        self.schedule_retry(call, cause);
        Ok(())
    }

    /// Schedules the next attempt of a call, whatever is left of the retry budget.
    pub(super) fn schedule_retry(&mut self, call: ApiCall, cause: RetryCause<'_>) {
        let streak = self.call.streak.map(|(_, streak)| streak);
        let at = self.next_attempt(self.call.attempt, streak, cause);
        self.call.attempt += 1;
        self.retries += 1;
        self.call.scheduled = Some((at, call));
    }

    /// Schedules the next attempt of a part, or returns the error to end with.
    pub(super) fn retry_part(
        &mut self,
        number: PartNumber,
        failure: &Failure,
        label: &AttemptName,
    ) -> Result<(), Error> {
        let cause = RetryCause::Failed(failure);
        // The failed part still counts as in flight.
        self.outage.controlled = self.config.auto.is_some() && self.parts.in_flight() > 1;
        // On a slow line hours can pass between two parts that are acknowledged.
        if self.outage.budget_ends(self.now) <= self.now
            && is_transient(failure)
            && self.parts.moves_bytes(number, self.now, self.config.long_attempt)
        {
            self.restart_budget();
        }
        self.record_failure(cause, Operation::Part, label)?;
        let attempt = self.parts.attempt(number);
        let streak = self.parts.not_found_streak(number).map(|streak| *streak);
        let at = self.next_attempt(attempt, streak, cause);
        self.parts.retry_at(number, at);
        self.retries += 1;
        Ok(())
    }

    /// Schedules a retry within 300 ms.
    pub(super) fn retry_soon(&mut self, call: ApiCall) {
        self.call.attempt += 1;
        self.retries += 1;
        let pause = MAX_SHORT_PAUSE.mul_f64(self.rng.f64());
        self.call.scheduled = Some((self.now + pause, call));
    }

    fn next_attempt(
        &mut self,
        attempt: u32,
        streak: Option<NotFoundStreak>,
        cause: RetryCause<'_>,
    ) -> Now {
        let random = self.rng.f64();
        let mut pause = match streak.filter(|streak| streak.count() > 0) {
            None => cause.delay(attempt, random),
            // Ambiguous 404s end request by request, and not at one time as an outage does.
            Some(streak) if self.outage.bucket == BucketStatus::Seen => {
                cause.delay(streak.count() - 1, random)
            }
            Some(streak) => streak.retry_delay(random),
        };
        if self.stop.deadline.is_some() {
            pause = pause.min(CLEANUP_PAUSE);
        }
        // The last attempt starts when the budget ends, not before.
        (self.now + pause).min(self.outage.budget_ends(self.now))
    }

    /// Records a failed attempt; the error to end with if the retry budget is exhausted.
    pub(super) fn record_failure(
        &mut self,
        cause: RetryCause<'_>,
        operation: Operation,
        label: &AttemptName,
    ) -> Result<(), Error> {
        let stage = self.stage();
        if self.outage.record_failure(self.now, cause, (operation, stage), label)? {
            self.report_outage();
        }
        Ok(())
    }

    /// Warns of the outage if it is time to.
    pub(super) fn report_outage(&mut self) {
        if let Some(warning) = self.outage.take_due_report(self.now) {
            self.warn(warning);
        }
    }

    /// The service acknowledged something: the retry budget is whole again.
    pub(super) fn record_progress(&mut self) {
        if self.outage.record_progress(self.now) {
            self.warn("the upload goes on");
        }
    }

    /// A call was answered for good: the next call has a whole retry budget.
    pub(super) fn restart_budget(&mut self) {
        self.outage.restart_budget(self.now);
    }
}

/// Whether a failure says nothing of other requests that are in flight. A 401 can be late: it is about the token
/// that the request was signed with, and the session bounds how long there is no other.
fn is_transient(failure: &Failure) -> bool {
    match failure {
        Failure::Transport { .. } => true,
        Failure::ErrorResponse(response) => matches!(response.status, 401 | 408 | 429 | 500..=599),
        Failure::Credentials(_) | Failure::Local(_) => false,
    }
}

/// Whether the service has modified the object after `time` of its clock; `None` where it was in the same
/// second, or is unknown.
fn is_modified_after(meta: &ObjectMeta, time: SystemTime) -> Option<bool> {
    let modified = httpdate::parse_http_date(meta.last_modified.as_deref()?).ok()?;
    match modified.cmp(&time) {
        Ordering::Less => Some(false),
        Ordering::Equal => None,
        Ordering::Greater => Some(true),
    }
}
