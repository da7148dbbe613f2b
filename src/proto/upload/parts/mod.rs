//! The parts of an upload: read, queued, in flight, acknowledged.
//!
//! Owns the state of each part, the order of sending and the window of parts in flight. `response`
//! compares what the service stored with what was read, and `tail` replaces the unsent end. Must not
//! know the state of the upload. Invariant: the window never exceeds `parallel`, and a retry waits for
//! its time.

#[cfg(test)]
mod fingerprint;
mod pacing;
mod recall;
mod response;
mod tail;
#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use super::{Now, UploadConfig};
use crate::api::{ListedPart, ObjectMeta};
use crate::digest::{Algorithm, PartDigest, Value};
use crate::part_number::PartNumber;
use crate::retry::NotFoundStreak;

pub(super) use pacing::ConnectionChange;
use pacing::Pacing;
pub(crate) use response::{PartChecks, PartResponse, RehashResult};
use tail::TailState;

/// Throttled responses within this time narrow the window once.
const THROTTLE_INTERVAL: Now = Now::from_secs(1);

#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum PartState {
    Queued,
    Sending,
    /// The service holds a part of this number and size: the MD5 is being computed.
    Comparing,
    /// The digests are being computed again; with the metadata of the response, if there is one.
    Rehashing(Option<Box<ObjectMeta>>),
    Acknowledged,
}

/// The digests in the response to a part that are those of what was read.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct ComparedDigests {
    /// By the chosen algorithm.
    pub value: bool,
    pub md5: bool,
}

#[derive(Debug, Clone)]
pub(super) struct Part {
    pub digest: PartDigest,
    pub state: PartState,
    pub etag: String,
    /// The MD5 in the response, in base64.
    pub md5: Option<String>,
    pub sent_crc32: u32,
    pub compared: ComparedDigests,
    pub attempt: u32,
    pub checksum_failures: u32,
    /// The ambiguous 404s in a row.
    pub not_found: NotFoundStreak,
    /// When its last attempt started.
    pub sent_at: Now,
    /// The part is acknowledged, and its buffers are still in memory.
    pub retained: bool,
}

/// The attempts of which one may show by its length that bytes move. A part that fails more often never arrives
/// on this line.
const SLOW_ATTEMPTS: u32 = 4;

/// Whether one of the first attempts at a request has lasted for `long`, so that its bytes move.
pub(super) fn is_long_attempt(attempt: u32, sent_at: Now, now: Now, long: Now) -> bool {
    attempt < SLOW_ATTEMPTS && now.saturating_sub(sent_at) >= long
}

#[derive(Debug, Clone)]
pub(super) struct Parts {
    /// Part n at index n - 1.
    pub(super) parts: Vec<Part>,
    pub(super) queued: VecDeque<PartNumber>,
    retrying: BTreeSet<(Now, PartNumber)>,
    in_flight: usize,
    pub(super) acknowledged: u32,
    pub(super) acknowledged_bytes: u64,
    /// The bytes of acknowledged parts that were not sent, since the service held them.
    held_bytes: u64,
    parallel: usize,
    window: usize,
    successes: usize,
    throttled_at: Option<Now>,
    /// `None` where the number of connections is fixed.
    pacing: Option<Pacing>,
    /// The number of parts that were sent at least once: those with the lowest numbers.
    pub(super) sent: usize,
    /// Bytes per second of one connection, measured by the last response.
    rate: Option<f64>,
    tail: TailState,
    /// The parts that the service held at the start of the run.
    pub(super) held: BTreeMap<PartNumber, ListedPart>,
}

impl Parts {
    /// No parts yet, of an upload with this configuration.
    pub(super) fn of(config: &UploadConfig) -> Parts {
        let held = config.continued().map(|continued| continued.parts.clone());
        let mut parts = Parts::continuing(config.parallel, held.unwrap_or_default());
        if let Some(auto) = config.auto {
            parts.choose_connections(auto);
        }
        parts
    }

    /// No parts, of an upload of which the service holds `held`.
    pub(super) fn continuing(parallel: usize, held: Vec<ListedPart>) -> Parts {
        Parts {
            held: held.into_iter().map(|part| (part.part_number, part)).collect(),
            parts: Vec::new(),
            queued: VecDeque::new(),
            retrying: BTreeSet::new(),
            in_flight: 0,
            acknowledged: 0,
            acknowledged_bytes: 0,
            held_bytes: 0,
            parallel: parallel.max(1),
            window: parallel.max(1),
            successes: 0,
            throttled_at: None,
            pacing: None,
            sent: 0,
            rate: None,
            tail: TailState::Whole,
        }
    }

    /// Adds the next part; parts are added in order. Returns whether the service holds a part of this
    /// number and size: then its MD5 is needed before the part is sent.
    pub(super) fn add(&mut self, number: PartNumber, digest: PartDigest) -> bool {
        debug_assert_eq!(number.index(), self.parts.len());
        let size = digest.size;
        let same = |held: &ListedPart| held.size == size && held.md5.is_some();
        let compared = self.held.get(&number).is_some_and(same);
        self.parts.push(Part {
            digest,
            state: if compared { PartState::Comparing } else { PartState::Queued },
            etag: String::new(),
            md5: None,
            sent_crc32: 0,
            compared: ComparedDigests::default(),
            attempt: 0,
            checksum_failures: 0,
            not_found: NotFoundStreak::default(),
            sent_at: Now::ZERO,
            retained: false,
        });
        if !compared {
            self.queue_in_order(number);
        }
        compared
    }

    /// Queues a part before those with higher numbers.
    fn queue_in_order(&mut self, number: PartNumber) {
        let later = self.queued.iter().rev().take_while(|queued| **queued > number).count();
        self.queued.insert(self.queued.len() - later, number);
    }

    /// Takes the next part to send, if the window has room.
    pub(super) fn next_to_send(&mut self, now: Now) -> Option<PartNumber> {
        let recalling = self.tail == TailState::Recalling;
        if recalling || self.in_flight + self.refused_in_backoff() >= self.window {
            return None;
        }
        let number = self.queued.pop_front()?;
        let part = self.part_mut(number)?;
        (part.state, part.sent_at) = (PartState::Sending, now);
        self.sent = self.sent.max(number.index() + 1);
        self.in_flight += 1;
        Some(number)
    }

    fn part_mut(&mut self, number: PartNumber) -> Option<&mut Part> {
        self.parts.get_mut(number.index())
    }

    fn part(&self, number: PartNumber) -> Option<&Part> {
        self.parts.get(number.index())
    }

    fn acknowledge(&mut self, number: PartNumber) {
        let Some(part) = self.part_mut(number) else { return };
        part.state = PartState::Acknowledged;
        let size = part.digest.size;
        self.acknowledged += 1;
        self.acknowledged_bytes += size;
        self.successes += 1;
        self.note_acceptance(number);
        if self.window < self.parallel && self.successes >= self.window {
            self.window += 1;
            self.successes = 0;
        }
    }

    /// Notes that the driver keeps the buffers of an acknowledged part.
    pub(super) fn retain(&mut self, number: PartNumber) {
        if let Some(part) = self.part_mut(number) {
            part.retained = true;
        }
    }

    /// The ambiguous 404s in a row of a part.
    pub(super) fn not_found_streak(&mut self, number: PartNumber) -> Option<&mut NotFoundStreak> {
        self.part_mut(number).map(|part| &mut part.not_found)
    }

    /// Whether parts move over the line at `now`, when an attempt at `number` has failed: another part is being
    /// sent that has not failed yet, or an attempt, also the failed one, has lasted for `long`. A connection that
    /// moves no byte is ended before; and in an outage each part has soon failed more often than the
    /// attempts that count here.
    pub(super) fn moves_bytes(&self, number: PartNumber, now: Now, long: Now) -> bool {
        let mut sending =
            PartNumber::all().zip(&self.parts).filter(|(_, part)| part.state == PartState::Sending);
        sending.any(|(other, part)| {
            let is_long = is_long_attempt(part.attempt, part.sent_at, now, long);
            is_long || other != number && part.attempt == 0
        })
    }

    /// A part failed; its next attempt starts at a time.
    pub(super) fn retry_at(&mut self, number: PartNumber, at: Now) {
        self.in_flight -= 1;
        if let Some(part) = self.part_mut(number) {
            part.attempt += 1;
            part.state = PartState::Queued;
            self.retrying.insert((at, number));
        }
    }

    /// Queues the retries that are due, the lowest part first: its buffers are the oldest.
    pub(super) fn release_due_retries(&mut self, now: Now) {
        while let Some((at, number)) = self.retrying.first().copied()
            && at <= now
        {
            self.retrying.pop_first();
            self.queued.push_front(number);
        }
    }

    pub(super) fn next_retry(&self) -> Option<Now> {
        self.retrying.first().map(|(at, _)| *at)
    }

    /// The service throttled a part: the window is halved, unless a controller decides. `early` if it
    /// has not asked for a pause.
    pub(super) fn on_throttled(&mut self, now: Now, number: PartNumber, early: bool) {
        if self.note_refusal(number, early) {
            return;
        }
        if self.throttled_at.is_none_or(|at| now >= at + THROTTLE_INTERVAL) {
            self.window = (self.window / 2).max(1);
            self.throttled_at = Some(now);
        }
        self.successes = 0;
    }

    /// Whether every part is acknowledged.
    pub(super) fn all_acknowledged(&self) -> bool {
        self.acknowledged as usize == self.parts.len()
    }

    pub(super) fn count(&self) -> u32 {
        self.parts.len() as u32
    }

    pub(super) fn attempt(&self, number: PartNumber) -> u32 {
        self.part(number).map_or(0, |part| part.attempt)
    }

    pub(super) fn digest(&self, number: PartNumber) -> Option<&PartDigest> {
        self.part(number).map(|part| &part.digest)
    }

    pub(super) fn digests(&self) -> impl Iterator<Item = &PartDigest> {
        self.parts.iter().map(|part| &part.digest)
    }

    /// The MD5s in the responses to all parts; `None` if one is missing.
    pub(super) fn md5s(&self) -> Option<Vec<Value>> {
        self.parts
            .iter()
            .map(|part| Value::from_base64(Algorithm::Md5, part.md5.as_deref()?))
            .collect()
    }

    pub(super) fn etags(&self) -> impl Iterator<Item = (PartNumber, &str)> {
        PartNumber::all().zip(self.parts.iter().map(|part| part.etag.as_str()))
    }

    pub(super) fn acknowledged(&self) -> (u32, u64) {
        (self.acknowledged, self.acknowledged_bytes)
    }

    /// The bytes of acknowledged parts that the service held before the run.
    pub(super) fn held_bytes(&self) -> u64 {
        self.held_bytes
    }

    pub(super) fn in_flight(&self) -> usize {
        self.in_flight
    }
}
