//! Reading and sending parts: from the first byte to the commit.
//!
//! Owns what an answer to a part means for the upload, and how the end of the stream is shared among
//! connections. Knows nothing of commits. Invariant: the buffers of a part are let go of only when
//! the service has acknowledged it.

use super::settle::Step;
use super::tail::{self, Cut};
use super::{Action, Call, Creation, Now, Outcome, Phase, Upload, parts};
use crate::digest::{PartDigest, Value};
use crate::error::{Error, Kind};
use crate::retry::{self, Failure, Operation, Tally, Verdict};

/// Whoever ends a job tells all its processes, one after the other. A producer that is told first ends
/// the stream; this long is waited for the signal to arrive here too, counted from the end.
pub(super) const HOLD: Now = Now::from_millis(100);

impl Upload {
    pub(super) fn part_read(&mut self, number: u32, digest: PartDigest) {
        if !self.streaming() {
            return;
        }
        self.parts.add(number, digest);
        self.ending = self.last_comes;
        if self.settings.always_multipart {
            self.continues();
        }
    }

    pub(super) fn continues(&mut self) {
        if self.streaming() && self.creation == Creation::NotYet {
            self.continues = true;
            self.creation = Creation::UnderWay;
            self.begin(Call::Create);
        }
    }

    pub(super) fn ended(&mut self, now: Now, bytes: u64, crc32: u32) {
        if !self.streaming() {
            return;
        }
        self.end = Some((bytes, crc32));
        self.ending = true;
        if bytes == 0 && !self.settings.allow_empty {
            let error = Error::source("the stream is empty; nothing was stored")
                .next("give --allow-empty if an empty object is wanted");
            return self.fail(now, error);
        }
        if bytes < self.settings.min_size {
            let least = self.settings.min_size;
            return self.fail(
                now,
                Error::source(format!(
                    "the stream ended after {bytes} bytes, but --min-size asks for {least}; \
                     nothing was stored"
                )),
            );
        }
        if !self.settings.end_proven {
            self.hold = Some(now + HOLD);
        }
    }

    /// Sends a stream of one part, or of none.
    fn put(&mut self, now: Now, bytes: u64) {
        if self.parts.count() == 0 {
            let empty = crate::digest::Hasher::new(self.settings.checksum).finish();
            self.parts.add(1, empty);
        }
        self.phase = Phase::Putting;
        match self.parts.complete(bytes) {
            Ok(()) => self.begin(Call::Put),
            Err(error) => self.fail(now, error),
        }
    }

    pub(super) fn streaming(&self) -> bool {
        self.phase == Phase::Streaming
    }

    /// Starts what can be started: parts, or the commit when all are there.
    pub(super) fn pump(&mut self, now: Now) {
        if !self.streaming() {
            return;
        }
        self.hold = self.hold.filter(|until| now < *until);
        if let Some((bytes, _)) = self.end
            && !self.continues
            && self.hold.is_none()
        {
            return self.put(now, bytes);
        }
        if !matches!(self.creation, Creation::Done(_)) {
            return;
        }
        self.share_the_tail(now);
        while let Some(number) = self.parts.next_to_send(now) {
            self.begin(Call::Part(number));
        }
        if let Some((bytes, crc32)) = self.end
            && self.hold.is_none()
            && self.parts.all_acknowledged()
        {
            self.phase = Phase::Committing;
            match self.parts.gate(bytes, crc32) {
                Ok(()) => self.begin(Call::Commit),
                Err(error) => self.fail(now, error),
            }
        }
    }

    pub(super) fn part_done(&mut self, now: Now, number: u32, result: Result<Outcome, Failure>) {
        if !self.streaming() {
            return;
        }
        let doing = format!("part {number}, attempt {}", self.parts.attempt(number) + 1);
        let failure = match result {
            Ok(Outcome::Stored { held, crc32 }) => {
                match self.parts.answered(now, number, held, crc32, self.settings.checksum) {
                    Ok(parts::Answered::Acknowledged) => self.acknowledged_part(now, number),
                    Ok(parts::Answered::CompareMd5) => {
                        self.actions.push_back(Action::Rehash(number));
                    }
                    Err(error) => self.fail(now, error),
                }
                return;
            }
            Ok(_) => return,
            Err(failure) => failure,
        };
        let verdict = retry::judge(Operation::Part, self.stage(), &failure);
        if verdict != Verdict::Hidden
            && let Some(tally) = self.parts.tally(number)
        {
            *tally = Tally::default();
        }
        match verdict {
            Verdict::Again { slower } => {
                if slower {
                    self.parts.slow_down(now);
                }
                self.part_again(now, number, &failure, &doing);
            }
            Verdict::Renew => self.part_again(now, number, &failure, &doing),
            Verdict::Damaged => match self.parts.damaged(number) {
                true => self.actions.push_back(Action::Rehash(number)),
                false => self.fail(
                    now,
                    Error { kind: Kind::Integrity, ..failure.error(Operation::Part, &doing) },
                ),
            },
            // A part is sent again after a commit whose answer was lost: that one may have done it.
            Verdict::Missing if self.in_doubt => {
                self.actions.push_back(Action::CancelParts);
                self.settle(Step::Object);
            }
            Verdict::Missing => {
                let error = failure.error(Operation::Part, &doing);
                self.fail(now, error.next("the multipart upload was aborted by someone else"));
            }
            Verdict::Hidden => self.hidden_part(now, number, &failure, &doing),
            _ => self.fail(now, failure.error(Operation::Part, &doing)),
        }
    }

    /// The buffers of a part go back to the reader, who waits for them. When the stream has ended
    /// nobody does: then they are kept, in case the service turns out not to hold the part.
    fn acknowledged_part(&mut self, now: Now, number: u32) {
        match self.end {
            None => self.actions.push_back(Action::Free(number)),
            Some(_) => self.parts.keep(number),
        }
        self.went_forward(now);
    }

    pub(super) fn rehashed(&mut self, now: Now, number: u32, digest: PartDigest, md5: Value) {
        if self.phase == Phase::Putting {
            return self.put_rehashed(now, digest, md5);
        }
        if !self.streaming() {
            return;
        }
        match self.parts.rehashed(number, &digest, &md5) {
            Ok(parts::Rehashed::Acknowledged) => self.acknowledged_part(now, number),
            Ok(parts::Rehashed::SendAgain) => self.retries += 1,
            Err(error) => self.fail(now, error),
        }
    }

    /// When no part comes any more and a connection idles, what has not begun is cut so that all
    /// connections end together, if that saves time. Once: what was cut is as small as it should be.
    fn share_the_tail(&mut self, now: Now) {
        if !self.ending {
            return;
        }
        let Some((first, queued, line)) = self.parts.tail(now) else { return };
        let rule = &self.settings.tail;
        let most = (rule.highest + 1).saturating_sub(first) as usize;
        if let Some(Cut { sizes, saves }) = tail::cut(&queued, &line, rule, most) {
            self.parts.cutting(first);
            self.actions.push_back(Action::Cut { first, sizes, saves });
        }
    }

    /// The parts from `first` on are other parts of the same bytes now.
    pub(super) fn was_cut(&mut self, now: Now, first: u32, digests: Vec<PartDigest>) {
        if self.streaming()
            && let Err(error) = self.parts.replace(first, digests)
        {
            self.fail(now, error);
        }
    }
}
