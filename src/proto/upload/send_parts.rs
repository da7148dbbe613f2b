//! Reading and sending parts: from the first byte to the commit.
//!
//! Owns what an answer to a part means for the upload, and how the end of the stream is shared among
//! connections. Knows nothing of commits. Invariant: the buffers of a part are let go of only when
//! the service has acknowledged it.

use super::resolve::ResolveStep;
use super::tail_split::{self, TailSplit};
use super::{Action, ApiCall, Creation, Now, Outcome, Phase, Upload, parts};
use crate::digest::{PartDigest, Value};
use crate::error::{Error, ErrorKind};
use crate::retry::{self, Failure, NotFoundStreak, Operation, RetryDecision};

/// Whoever ends a job tells all its processes, one after the other. A producer that is told first ends
/// the stream; this long is waited for the signal to arrive here too, counted from the end.
pub(super) const SIGNAL_HOLD: Now = Now::from_millis(100);

impl Upload {
    pub(super) fn on_part_read(&mut self, number: u32, digest: PartDigest) {
        if !self.streaming() {
            return;
        }
        self.parts.add(number, digest);
        self.no_more_parts = self.next_part_is_last;
        if self.config.always_multipart {
            self.on_multipart_needed();
        }
    }

    pub(super) fn on_multipart_needed(&mut self) {
        if self.streaming() && self.creation == Creation::NotStarted {
            self.multipart_needed = true;
            self.creation = Creation::InFlight;
            self.start_call(ApiCall::Create);
        }
    }

    pub(super) fn on_end_of_stream(&mut self, now: Now, bytes: u64, crc32: u32) {
        if !self.streaming() {
            return;
        }
        self.end_of_stream = Some((bytes, crc32));
        self.no_more_parts = true;
        if bytes == 0 && !self.config.allow_empty {
            let error = Error::source("the stream is empty; nothing was stored")
                .with_hint("give --allow-empty if an empty object is wanted");
            return self.abort_with(now, error);
        }
        if bytes < self.config.min_size {
            let least = self.config.min_size;
            return self.abort_with(
                now,
                Error::source(format!(
                    "the stream ended after {bytes} bytes, but --min-size asks for {least}; \
                     nothing was stored"
                )),
            );
        }
        if !self.config.end_proven {
            self.commit_hold_until = Some(now + SIGNAL_HOLD);
        }
    }

    /// Sends a stream of one part, or of none.
    fn start_put(&mut self, now: Now, bytes: u64) {
        if self.parts.count() == 0 {
            let empty = crate::digest::Hasher::new(self.config.checksum).finish();
            self.parts.add(1, empty);
        }
        self.phase = Phase::Storing;
        match self.parts.complete(bytes) {
            Ok(()) => self.start_call(ApiCall::Put),
            Err(error) => self.abort_with(now, error),
        }
    }

    pub(super) fn streaming(&self) -> bool {
        self.phase == Phase::Streaming
    }

    /// Starts what can be started: parts, or the commit when all are there.
    pub(super) fn send_ready_parts(&mut self, now: Now) {
        if !self.streaming() {
            return;
        }
        self.commit_hold_until = self.commit_hold_until.filter(|until| now < *until);
        if let Some((bytes, _)) = self.end_of_stream
            && !self.multipart_needed
            && self.commit_hold_until.is_none()
        {
            return self.start_put(now, bytes);
        }
        if !matches!(self.creation, Creation::Created(_)) {
            return;
        }
        self.split_tail(now);
        while let Some(number) = self.parts.next_to_send(now) {
            self.start_call(ApiCall::Part(number));
        }
        if let Some((bytes, crc32)) = self.end_of_stream
            && self.commit_hold_until.is_none()
            && self.parts.all_acknowledged()
        {
            self.phase = Phase::Committing;
            match self.parts.check_commit_gate(bytes, crc32) {
                Ok(()) => self.start_call(ApiCall::Commit),
                Err(error) => self.abort_with(now, error),
            }
        }
    }

    pub(super) fn on_part_done(&mut self, now: Now, number: u32, result: Result<Outcome, Failure>) {
        if !self.streaming() {
            return;
        }
        let doing = format!("part {number}, attempt {}", self.parts.attempt(number) + 1);
        let failure = match result {
            Ok(Outcome::Stored { held, crc32 }) => {
                match self.parts.on_response(now, number, held, crc32, self.config.checksum) {
                    Ok(parts::PartResponse::Acknowledged) => self.on_part_acknowledged(now, number),
                    Ok(parts::PartResponse::CompareMd5) => {
                        self.actions.push_back(Action::Rehash(number));
                    }
                    Err(error) => self.abort_with(now, error),
                }
                return;
            }
            Ok(_) => return,
            Err(failure) => failure,
        };
        let verdict = retry::classify(Operation::Part, self.stage(), &failure);
        if verdict != RetryDecision::AmbiguousNotFound
            && let Some(tally) = self.parts.not_found_streak(number)
        {
            *tally = NotFoundStreak::default();
        }
        match verdict {
            RetryDecision::Retry { throttled: slower } => {
                if slower {
                    self.parts.on_throttled(now);
                }
                self.retry_part(now, number, &failure, &doing);
            }
            RetryDecision::RefreshCredentials => self.retry_part(now, number, &failure, &doing),
            RetryDecision::ChecksumMismatch => match self.parts.on_checksum_failure(number) {
                true => self.actions.push_back(Action::Rehash(number)),
                false => self.abort_with(
                    now,
                    Error { kind: ErrorKind::Integrity, ..failure.error(Operation::Part, &doing) },
                ),
            },
            // A part is sent again after a commit whose answer was lost: that one may have done it.
            RetryDecision::NotFound if self.response_lost => {
                self.actions.push_back(Action::CancelParts);
                self.start_resolving(ResolveStep::HeadObject);
            }
            RetryDecision::NotFound => {
                let error = failure.error(Operation::Part, &doing);
                self.abort_with(
                    now,
                    error.with_hint("the multipart upload was aborted by someone else"),
                );
            }
            RetryDecision::AmbiguousNotFound => {
                self.on_ambiguous_part_not_found(now, number, &failure, &doing)
            }
            _ => self.abort_with(now, failure.error(Operation::Part, &doing)),
        }
    }

    /// The buffers of a part go back to the reader, who waits for them. When the stream has ended
    /// nobody does: then they are kept, in case the service turns out not to hold the part.
    fn on_part_acknowledged(&mut self, now: Now, number: u32) {
        match self.end_of_stream {
            None => self.actions.push_back(Action::ReleasePart(number)),
            Some(_) => self.parts.retain(number),
        }
        self.record_progress(now);
    }

    pub(super) fn on_rehashed(&mut self, now: Now, number: u32, digest: PartDigest, md5: Value) {
        if self.phase == Phase::Storing {
            return self.on_put_rehashed(now, digest, md5);
        }
        if !self.streaming() {
            return;
        }
        match self.parts.rehashed(number, &digest, &md5) {
            Ok(parts::RehashResult::Acknowledged) => self.on_part_acknowledged(now, number),
            Ok(parts::RehashResult::SendAgain) => self.retries += 1,
            Err(error) => self.abort_with(now, error),
        }
    }

    /// When no part comes any more and a connection idles, what has not begun is cut so that all
    /// connections end together, if that saves time. Once: what was cut is as small as it should be.
    fn split_tail(&mut self, now: Now) {
        if !self.no_more_parts {
            return;
        }
        let Some((first, queued, line)) = self.parts.tail(now) else { return };
        let rule = &self.config.tail_split;
        let most = (rule.max_part_number + 1).saturating_sub(first) as usize;
        if let Some(TailSplit { sizes, saves }) = tail_split::split(&queued, &line, rule, most) {
            self.parts.start_tail_split(first);
            self.actions.push_back(Action::SplitTail { first, sizes, saves });
        }
    }

    /// The parts from `first` on are other parts of the same bytes now.
    pub(super) fn on_tail_split(&mut self, now: Now, first: u32, digests: Vec<PartDigest>) {
        if self.streaming()
            && let Err(error) = self.parts.replace_tail(first, digests)
        {
            self.abort_with(now, error);
        }
    }
}
