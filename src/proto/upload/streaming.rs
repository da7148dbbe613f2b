//! Reading and sending parts: from the first byte to the commit.
//!
//! Owns what the response to a part means for the upload, and when the end of the stream is split
//! among connections. Must not know commits. Invariant: the buffers of a part are released only when
//! the service has acknowledged it.

use super::conflict::too_long_for_one_put;
use super::core::{Core, Creation};
use super::outage::RetryCause;
use super::state::{Commit, ResolveStep, Resolving, State, Storing, Streaming};
use super::tail_split::{self, TailSplit};
use super::{Action, ApiCall, Now, Outcome, UploadConfig, is_retryable, outcome, parts, resume};
use crate::digest::{PartDigest, Value};
use crate::error::Error;
use crate::part_number::PartNumber;
use crate::request_fields::AttemptName;
use crate::retry::{self, Failure, NotFoundStreak, Operation, RetryDecision};

impl Streaming {
    /// Parts are sent again after a commit that rejected them.
    pub(super) fn again(commit: Commit) -> Streaming {
        Streaming { multipart_needed: true, no_more_parts: true, commit, ..Streaming::default() }
    }

    /// The state before the first byte. An upload that is continued exists already.
    pub(super) fn of(config: &UploadConfig) -> Streaming {
        let conflict = config.conflict.found();
        Streaming {
            multipart_needed: config.continued().is_some(),
            conflict,
            ..Streaming::default()
        }
    }

    pub(super) fn hold_until(&self) -> Option<Now> {
        self.hold_until
    }

    pub(super) fn abort(self, core: &mut Core, error: Error) -> State {
        outcome::abort(core, error, self.commit.doubt(), None)
    }

    pub(super) fn on_part_read(&mut self, core: &mut Core, number: PartNumber, digest: PartDigest) {
        if self.conflict.is_some() {
            return core.act(Action::ReleasePart(number));
        }
        if core.parts.add(number, digest) {
            core.act(Action::Rehash(number));
        }
        self.no_more_parts = self.next_part_is_last;
        if core.config.always_multipart {
            self.create(core);
        }
    }

    pub(super) fn on_last_part_next(&mut self) {
        self.next_part_is_last = true;
    }

    pub(super) fn on_multipart_needed(mut self, core: &mut Core) -> State {
        match core.config.single_put {
            Some(most) if self.conflict.is_none() => self.abort(core, too_long_for_one_put(most)),
            _ => {
                self.create(core);
                State::Streaming(self)
            }
        }
    }

    fn create(&mut self, core: &mut Core) {
        if self.conflict.is_some() {
            return;
        }
        if core.multipart.creation == Creation::NotStarted {
            self.multipart_needed = true;
            core.multipart.creation = Creation::InFlight;
            core.start_call(ApiCall::Create);
        }
    }

    /// Starts what can be started: parts, the put, or the commit when every part is acknowledged.
    pub(super) fn send_ready_parts(mut self, core: &mut Core) -> State {
        if self.conflict.is_some() {
            return State::Streaming(self);
        }
        self.hold_until = self.hold_until.filter(|until| core.now < *until);
        let ended = core.end.filter(|_| self.hold_until.is_none());
        if let Some(end) = ended
            && !self.multipart_needed
        {
            return Storing::start(core, end);
        }
        if core.upload_id().is_none() {
            return State::Streaming(self);
        }
        self.split_tail(core);
        self.split_queue(core);
        while let Some(number) = core.parts.next_to_send(core.now) {
            core.start_call(ApiCall::Part(number));
        }
        match ended {
            Some(end) if core.parts.all_acknowledged() => self.commit.start(core, end),
            _ => State::Streaming(self),
        }
    }

    /// Splits the parts that have not started among idle connections, so that all end together, if
    /// that saves time. A tail is split once.
    fn split_tail(&mut self, core: &mut Core) {
        // Parts that the service holds match only if the stream is cut as it was.
        if !self.no_more_parts || core.continues() {
            return;
        }
        let Some((first, queued, link)) = core.parts.tail(core.now) else { return };
        let policy = &core.config.tail_split;
        let max_pieces = (policy.max_part_number + 1).saturating_sub(first.get()) as usize;
        let split = tail_split::split(&queued, &link, policy, max_pieces);
        if let Some(TailSplit { sizes, saves }) = split {
            core.parts.start_tail_split(first);
            core.act(Action::SplitTail { first, sizes, saves });
        }
    }

    /// The parts from `first` on are now other parts of the same bytes.
    pub(super) fn on_tail_split(
        self,
        core: &mut Core,
        first: PartNumber,
        digests: Vec<PartDigest>,
    ) -> State {
        if self.conflict.is_some() {
            return State::Streaming(self);
        }
        match core.parts.replace_tail(first, digests, core.config.checksum.buffer_crc()) {
            Ok(()) => State::Streaming(self),
            Err(error) => self.abort(core, error),
        }
    }

    pub(super) fn on_rehashed(
        self,
        core: &mut Core,
        number: PartNumber,
        digest: &PartDigest,
        md5: &Value,
    ) -> State {
        if self.conflict.is_some() {
            return State::Streaming(self);
        }
        match core.parts.rehashed(number, digest, md5) {
            Ok(parts::RehashResult::Acknowledged) => on_part_acknowledged(core, number),
            Ok(parts::RehashResult::Held) => core.release_or_retain(number),
            Ok(parts::RehashResult::NotHeld) => {}
            Ok(parts::RehashResult::SendAgain) => core.retries += 1,
            Err(error) => return self.abort(core, error),
        }
        State::Streaming(self)
    }

    pub(super) fn on_success(self, core: &mut Core, outcome: Outcome) -> State {
        if let Outcome::Created { upload_id } = outcome
            && self.conflict.is_none()
        {
            core.multipart.creation = Creation::Created(upload_id);
            core.record_progress();
        }
        State::Streaming(self)
    }

    pub(super) fn on_failure(
        self,
        core: &mut Core,
        call: ApiCall,
        decision: RetryDecision,
        failure: &Failure,
    ) -> State {
        if call != ApiCall::Create {
            return State::Streaming(self);
        }
        match decision {
            RetryDecision::ResolveOutcome => {
                core.multipart.create_response_lost = true;
                self.retry(core, call, failure)
            }
            RetryDecision::AmbiguousNotFound => {
                let streak = core.count_not_found(&call);
                if core.is_not_found_retryable(&streak) {
                    return self.retry(core, call, failure);
                }
                let error = core.not_found_error(&call, failure);
                self.abort(core, error)
            }
            decision if is_retryable(decision) => self.retry(core, call, failure),
            _ => {
                core.note_unusable_start(failure);
                let label = "the multipart upload was not created";
                let error = core.rejection(failure, call.operation(), label);
                self.end_with_conflict(core, error)
            }
        }
    }

    fn retry(self, core: &mut Core, call: ApiCall, failure: &Failure) -> State {
        match core.retry_call(call, RetryCause::Failed(failure)) {
            Ok(()) => State::Streaming(self),
            Err(error) => self.abort(core, error),
        }
    }

    pub(super) fn on_part_done(
        self,
        core: &mut Core,
        number: PartNumber,
        result: Result<Outcome, Failure>,
    ) -> State {
        if self.conflict.is_some() {
            return State::Streaming(self);
        }
        let failure = match result {
            Ok(Outcome::Stored { meta, crc32 }) => {
                let checks = core.part_checks();
                match core.parts.on_response(core.now, number, meta, crc32, checks) {
                    Ok(parts::PartResponse::Acknowledged) => on_part_acknowledged(core, number),
                    Ok(parts::PartResponse::CompareMd5) => core.act(Action::Rehash(number)),
                    Err(error) => return self.abort(core, error),
                }
                return State::Streaming(self);
            }
            Ok(_) => return State::Streaming(self),
            Err(failure) => failure,
        };
        self.on_part_failed(core, number, &failure)
    }

    fn on_part_failed(self, core: &mut Core, number: PartNumber, failure: &Failure) -> State {
        let label = AttemptName::of_part(number.get(), core.parts.attempt(number) + 1);
        let decision = retry::classify(Operation::Part, core.stage(), failure);
        if decision != RetryDecision::AmbiguousNotFound
            && let Some(streak) = core.parts.not_found_streak(number)
        {
            *streak = NotFoundStreak::default();
        }
        match decision {
            RetryDecision::Retry { throttled } => {
                if throttled {
                    let early = failure.retry_after().is_none();
                    core.parts.on_throttled(core.now, number, early);
                } else {
                    core.parts.forget_refusal(number);
                }
                self.retry_part(core, number, failure, &label)
            }
            RetryDecision::RefreshCredentials => self.retry_part(core, number, failure, &label),
            RetryDecision::ChecksumMismatch => {
                if core.parts.on_checksum_failure(number) {
                    core.act(Action::Rehash(number));
                    return State::Streaming(self);
                }
                let error = failure.error(Operation::Part, &label);
                self.abort(core, outcome::damaged_on_the_way(error))
            }
            // The commit whose response was lost may have closed the upload.
            RetryDecision::NotFound if self.commit.doubt().exists() => {
                core.act(Action::CancelParts);
                Resolving::start(core, self.commit, ResolveStep::HeadObject, None)
            }
            RetryDecision::NotFound if core.config.resume.is_some() => {
                let error = failure.error(Operation::Part, &label);
                core.multipart.is_gone = true;
                let error = core.stop.error.take().unwrap_or_else(|| resume::upload_gone(error));
                self.end_with_conflict(core, error)
            }
            RetryDecision::NotFound => {
                let error = failure.error(Operation::Part, &label);
                self.abort(
                    core,
                    error.with_hint("the multipart upload was aborted by someone else"),
                )
            }
            RetryDecision::AmbiguousNotFound => {
                self.on_ambiguous_part_not_found(core, number, failure, &label)
            }
            _ => {
                let error = core.refused_part(failure.error(Operation::Part, &label), failure);
                self.abort(core, error)
            }
        }
    }

    fn on_ambiguous_part_not_found(
        self,
        core: &mut Core,
        number: PartNumber,
        failure: &Failure,
        label: &AttemptName,
    ) -> State {
        let now = core.now;
        let Some(streak) = core.parts.not_found_streak(number) else {
            return State::Streaming(self);
        };
        match failure.is_par_rejection() {
            true => streak.add_rejection(now),
            false => streak.add(now),
        }
        let streak = *streak;
        if core.is_not_found_retryable(&streak) {
            return self.retry_part(core, number, failure, label);
        }
        let error = failure.error(Operation::Part, label);
        let error = streak.exhausted_error(error, now, core.outage.bucket);
        self.abort(core, error)
    }

    fn retry_part(
        self,
        core: &mut Core,
        number: PartNumber,
        failure: &Failure,
        label: &AttemptName,
    ) -> State {
        match core.retry_part(number, failure, label) {
            Ok(()) => State::Streaming(self),
            Err(error) => self.abort(core, error),
        }
    }
}

/// Releases the buffers of an acknowledged part for the reader. After the end of the stream the reader
/// needs none: the buffers are retained, in case the service turns out to lack the part.
fn on_part_acknowledged(core: &mut Core, number: PartNumber) {
    core.release_or_retain(number);
    core.record_progress();
}

impl Core {
    /// Releases the buffers of a part that the service holds, or retains them after the end of the
    /// stream.
    fn release_or_retain(&mut self, number: PartNumber) {
        if self.end.is_some() {
            self.parts.retain(number);
        } else {
            self.act(Action::ReleasePart(number));
        }
    }
}
