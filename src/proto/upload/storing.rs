//! One PutObject that carries the whole stream.
//!
//! Owns the way from the first attempt at the put to its known outcome. Must not know multipart
//! uploads. Invariant: after a lost response the put is repeated under its precondition, and success is
//! reported only on evidence in the object itself.

use super::compare::Comparison;
use super::core::Core;
use super::outage::RetryCause;
use super::state::{Doubt, Rehash, State, Storing, Verifying};
use super::{Action, ApiCall, EndOfStream, Outcome, is_retryable, outcome};
use crate::api::ObjectMeta;
use crate::digest::{Algorithm, Hasher, PartDigest, Value};
use crate::error::{Error, ErrorKind};
use crate::evidence::Evidence;
use crate::part_number::PartNumber;
use crate::retry::{BucketStatus, Failure, Operation, RetryDecision};

/// Puts that arrive damaged, before the run fails.
const MAX_CHECKSUM_FAILURES: u32 = 8;
/// HEADs that only confirm a rejection while no response is lost.
const MAX_CONFIRMATIONS: u32 = 4;

impl Storing {
    /// Sends a stream of one part, or of none.
    pub(super) fn start(core: &mut Core, end: EndOfStream) -> State {
        if core.parts.count() == 0 {
            let empty = Hasher::new(core.config.checksum).finish();
            core.parts.add(PartNumber::FIRST, empty);
        }
        let storing = Storing {
            doubt: Doubt::None,
            checksum_failures: 0,
            rejection: None,
            rehash: None,
            final_head_sent: false,
        };
        match core.parts.check_put_gate(end) {
            Ok(()) => {
                core.start_call(ApiCall::Put);
                State::Storing(storing)
            }
            Err(error) => storing.abort(core, error),
        }
    }

    fn abort(self, core: &mut Core, error: Error) -> State {
        outcome::abort(core, error, self.doubt, None)
    }

    /// Ends the run with the error of a put that is known to have had no effect.
    fn fail(self, core: &mut Core, error: Error) -> State {
        let error = core.stop.error.take().unwrap_or(error);
        self.abort(core, error)
    }

    /// Whether a stop can end the put: it waits for its next attempt, and no attempt may have arrived.
    pub(super) fn is_unsent(&self, core: &Core) -> bool {
        core.call.scheduled.is_some() && !self.doubt.exists()
    }

    /// As `is_unsent`, and no response was positive.
    pub(super) fn can_stop(&self, core: &Core) -> bool {
        self.is_unsent(core) && !matches!(self.rehash, Some(Rehash::Acknowledged(_)))
    }

    pub(super) fn stop(self, core: &mut Core, error: Error) -> State {
        self.abort(core, error)
    }

    pub(super) fn on_deadline(self, core: &mut Core) -> State {
        match core.stop.error.clone() {
            Some(error) if self.is_unsent(core) => self.abort(core, error),
            _ => outcome::end_unknown(core, "there was no time left to ask", None),
        }
    }

    pub(super) fn on_budget_exhausted(mut self, core: &mut Core, error: Error) -> State {
        if !self.doubt.exists() {
            return self.abort(core, error);
        }
        // One more HEAD shows whether the put arrived.
        if !self.final_head_sent {
            self.final_head_sent = true;
            return self.head(core);
        }
        outcome::end_unknown(core, &error.message, None)
    }

    fn head(self, core: &mut Core) -> State {
        core.start_call(ApiCall::Head);
        State::Storing(self)
    }

    fn rehash(mut self, core: &mut Core, rehash: Option<Rehash>) -> State {
        self.rehash = rehash;
        core.act(Action::Rehash(PartNumber::FIRST));
        State::Storing(self)
    }

    fn retry(self, core: &mut Core, call: ApiCall, failure: &Failure) -> State {
        match core.retry_call(call, RetryCause::Failed(failure)) {
            Ok(()) => State::Storing(self),
            Err(error) => self.on_budget_exhausted(core, error),
        }
    }

    pub(super) fn on_success(self, core: &mut Core, outcome: Outcome) -> State {
        match outcome {
            Outcome::Stored { meta, crc32 } => self.on_stored(core, meta, crc32),
            Outcome::Object(meta) => self.on_head(core, meta),
            _ => State::Storing(self),
        }
    }

    fn on_stored(self, core: &mut Core, meta: ObjectMeta, crc32: u32) -> State {
        core.record_progress();
        let Some(part) = core.parts.digest(PartNumber::FIRST) else { return State::Storing(self) };
        if crc32 != part.crc32 {
            let difference = format!(
                "the CRC of what was read is {:08x}, of what was sent {crc32:08x}",
                part.crc32
            );
            return outcome::mismatch(core, &meta, &difference, None);
        }
        let algorithm = core.config.checksum;
        match core.compare(&meta) {
            Comparison::Differs(difference) => outcome::mismatch(core, &meta, &difference, None),
            // Each response is compared by its MD5, whether or not it is the only digest.
            Comparison::Same(_)
                if core.is_through_par()
                    && meta.content.md5.is_some()
                    && algorithm != Algorithm::Md5 =>
            {
                self.rehash(core, Some(Rehash::Acknowledged(meta)))
            }
            Comparison::Same(_) if core.is_through_par() => {
                Verifying::start(core, meta, Some(Evidence::Parts(algorithm)))
            }
            Comparison::NothingToCompare
                if meta.content.md5.is_some() && core.config.checksum != Algorithm::None =>
            {
                self.rehash(core, Some(Rehash::Acknowledged(meta)))
            }
            Comparison::NothingToCompare => Verifying::start(core, meta, None),
            Comparison::Same(evidence) => Verifying::start(core, meta, Some(evidence)),
        }
    }

    /// A repeated put was rejected: the object at the name may be that of the first attempt.
    fn on_head(self, core: &mut Core, meta: ObjectMeta) -> State {
        match core.compare(&meta) {
            _ if core.is_new(&meta) == Some(false) => self.object_not_ours(core),
            Comparison::Same(evidence) if evidence.is_strong() => {
                outcome::finish_stored(core, meta, evidence, None)
            }
            Comparison::Differs(_) => self.object_not_ours(core),
            // The service does not keep the chosen checksum, but it keeps the MD5.
            _ if meta.content.md5.is_some() => self.rehash(core, Some(Rehash::Candidate(meta))),
            // The size alone proves nothing: another host's stream may have the same.
            _ => self.nothing_found(
                core,
                "an answer was lost, and the existing object cannot be compared",
            ),
        }
    }

    /// The digests of the buffer, computed again for a comparison or after it arrived damaged.
    pub(super) fn on_rehashed(
        mut self,
        core: &mut Core,
        digest: &PartDigest,
        md5: &Value,
    ) -> State {
        let rehash = self.rehash.take();
        if core.parts.digest(PartNumber::FIRST) != Some(digest) {
            return self.on_buffer_changed(core, rehash);
        }
        let buffer_md5 = md5.base64();
        let is_same = |meta: &ObjectMeta| meta.content.md5.as_ref() == Some(&buffer_md5);
        let evidence = Evidence::Content(Algorithm::Md5);
        match rehash {
            Some(Rehash::Candidate(meta)) if is_same(&meta) => {
                outcome::finish_stored(core, meta, evidence, None)
            }
            Some(Rehash::Candidate(_)) => self.object_not_ours(core),
            Some(Rehash::Acknowledged(meta)) if is_same(&meta) => {
                let evidence = match core.is_through_par() {
                    true => Evidence::Parts(Algorithm::Md5),
                    false => evidence,
                };
                Verifying::start(core, meta, Some(evidence))
            }
            Some(Rehash::Acknowledged(meta)) => {
                let stored = meta.content.md5.clone().unwrap_or_default();
                let difference = format!("its MD5 is {stored}, of what was read {buffer_md5}");
                outcome::mismatch(core, &meta, &difference, None)
            }
            None => {
                core.start_call(ApiCall::Put);
                State::Storing(self)
            }
        }
    }

    fn on_buffer_changed(self, core: &mut Core, rehash: Option<Rehash>) -> State {
        let error = Error::integrity("the stream changed in memory after it was read")
            .with_hint("suspect this machine's memory");
        match rehash {
            Some(Rehash::Acknowledged(meta)) => {
                outcome::mismatch(core, &meta, &error.message, None)
            }
            _ if self.doubt.exists() => outcome::end_unknown(core, &error.message, None),
            _ => {
                let message = format!("{}; nothing was committed", error.message);
                self.fail(core, Error { message, ..error })
            }
        }
    }

    pub(super) fn on_failure(
        mut self,
        core: &mut Core,
        call: ApiCall,
        decision: RetryDecision,
        failure: &Failure,
    ) -> State {
        match (call, decision) {
            (call, RetryDecision::AmbiguousNotFound) => self.on_not_found(core, call, failure),
            (ApiCall::Put, RetryDecision::ResolveOutcome) => {
                self.doubt.raise();
                // The body is still in memory, and the precondition makes a repetition harmless.
                self.retry(core, ApiCall::Put, failure)
            }
            (call, decision) if is_retryable(decision) => self.retry(core, call, failure),
            (ApiCall::Put, RetryDecision::ChecksumMismatch)
                if self.checksum_failures < MAX_CHECKSUM_FAILURES =>
            {
                self.checksum_failures += 1;
                core.retries += 1;
                let rehash = self.rehash.take();
                self.rehash(core, rehash)
            }
            // With a lost response, a HEAD shows below whether an attempt arrived.
            (ApiCall::Put, RetryDecision::ChecksumMismatch) if !self.doubt.exists() => {
                let label = "the object was damaged on the way every time";
                let error = failure.error(Operation::Put, core.attempt_named(label, &ApiCall::Put));
                self.fail(core, outcome::damaged_on_the_way(error))
            }
            (ApiCall::Put, decision)
                if self.doubt.exists() || core.was_sent_before() && may_hide_success(decision) =>
            {
                self.doubt.raise();
                self.rejection = Some(core.rejection(
                    failure,
                    Operation::Put,
                    core.attempt_named("PutObject", &ApiCall::Put),
                ));
                core.restart_budget();
                self.head(core)
            }
            (ApiCall::Put, _) => {
                let error = core.rejection(
                    failure,
                    Operation::Put,
                    core.attempt_named("PutObject", &ApiCall::Put),
                );
                self.fail(core, error)
            }
            _ => {
                self.nothing_found(core, &failure.message("an answer was lost, and asking failed"))
            }
        }
    }

    /// An ambiguous 404 of the put, or of the HEAD after it.
    fn on_not_found(mut self, core: &mut Core, call: ApiCall, failure: &Failure) -> State {
        let streak = core.count_not_found(&call);
        let retryable = core.is_not_found_retryable(&streak);
        if call == ApiCall::Put {
            if retryable {
                return self.retry(core, call, failure);
            }
            let error = core.not_found_error(&call, failure);
            // A bucket that has never answered holds nothing of this run.
            if core.outage.bucket == BucketStatus::Unknown && !self.doubt.exists() {
                return self.fail(core, error);
            }
            self.rejection = Some(error);
            core.restart_budget();
            return self.head(core);
        }
        let confirm = match self.doubt.exists() && !core.is_through_par() {
            true => retryable,
            false => streak.count() < MAX_CONFIRMATIONS,
        };
        if confirm {
            return self.retry(core, call, failure);
        }
        self.nothing_found(
            core,
            "an answer was lost, its repetition was refused, and no object exists",
        )
    }

    /// No object of this run was found. The outcome is unknown, unless every attempt was rejected.
    fn nothing_found(mut self, core: &mut Core, why: &str) -> State {
        match self.rejection.take() {
            Some(rejection) if !self.doubt.exists() => self.fail(core, rejection),
            _ => outcome::end_unknown(core, why, None),
        }
    }

    /// The object at the name is another host's, or existed before.
    fn object_not_ours(mut self, core: &mut Core) -> State {
        match self.rejection.take() {
            Some(rejection) if !self.doubt.exists() => return self.fail(core, rejection),
            Some(rejection) if rejection.kind == ErrorKind::Exists => {}
            Some(rejection) => {
                let why =
                    format!("an answer was lost, its repetition refused ({})", rejection.message);
                let why = format!("{why}, and another object exists");
                return outcome::end_unknown(core, &why, None);
            }
            None => {
                let why = "its answer was lost, and another object exists";
                return outcome::end_unknown(core, why, None);
            }
        }
        let object_url = &core.config.messages.object_url;
        let error = Error::new(
            ErrorKind::Exists,
            format!("{object_url} exists already, and it is not this stream"),
        )
        .with_hint("give --force to replace it");
        self.fail(core, error)
    }
}

/// Whether the rejection of a repeated request may be caused by an earlier attempt that succeeded.
pub(super) fn may_hide_success(decision: RetryDecision) -> bool {
    matches!(decision, RetryDecision::NotFound | RetryDecision::PreconditionFailed)
}
