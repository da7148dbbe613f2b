//! The ledger of parts: what was read, what is on its way, what the service has acknowledged.
//!
//! Owns the order of sending, the window of parts in flight and the gate before the commit. Knows
//! nothing of the upload they belong to. Invariant: a part is acknowledged only when the checksum
//! that the service answered, or the next best, is ours.

use std::collections::{BTreeSet, VecDeque};

use super::Now;
use super::tail_split::LinkEstimate;
use crate::api::{ListedPart, ObjectMeta};
use crate::digest::{self, Algorithm, PartDigest, Value};
use crate::error::Error;
use crate::retry::NotFoundStreak;

/// How often a part that arrives damaged is sent again.
const MAX_CHECKSUM_FAILURES_PART: u32 = 8;
/// Several parts that fail in the same throttled second narrow the window once.
const THROTTLE_INTERVAL: Now = Now::from_secs(1);

#[derive(Debug, Clone, PartialEq, Eq)]
enum PartState {
    Queued,
    Sending,
    /// Its digests are being computed again; the answer, if there was one.
    Rehashing(Option<Box<ObjectMeta>>),
    Acknowledged,
}

#[derive(Debug)]
struct Part {
    digest: PartDigest,
    state: PartState,
    etag: String,
    /// The MD5 the service holds, as it answered.
    md5: Option<String>,
    sent_crc32: u32,
    attempt: u32,
    checksum_failures: u32,
    /// The 404s in a row that may be spurious.
    hidden: NotFoundStreak,
    /// When its last attempt began.
    sent_at: Now,
    /// Acknowledged, and its buffers are here all the same.
    retained: bool,
}

/// Whether the parts at the end of the stream have been cut into smaller ones.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum TailState {
    Whole,
    Splitting,
    Split,
}

/// What an answer to a part means.
#[derive(Debug, PartialEq, Eq)]
pub enum PartResponse {
    Acknowledged,
    /// The chosen checksum was not sent: the MD5 of the buffer has to be computed and compared.
    CompareMd5,
}

/// What recomputed digests mean.
#[derive(Debug, PartialEq, Eq)]
pub enum RehashResult {
    Acknowledged,
    SendAgain,
}

#[derive(Debug)]
pub struct Parts {
    /// Part n at index n - 1.
    parts: Vec<Part>,
    queued: VecDeque<u32>,
    retrying: BTreeSet<(Now, u32)>,
    in_flight: usize,
    acknowledged: u32,
    acknowledged_bytes: u64,
    parallel: usize,
    window: usize,
    successes: usize,
    throttled_at: Option<Now>,
    /// The highest part whose sending has begun.
    highest_sent: u32,
    /// Bytes per second of one connection, by the last part that was answered.
    rate: Option<f64>,
    tail: TailState,
}

impl Parts {
    pub fn new(parallel: usize) -> Parts {
        Parts {
            parts: Vec::new(),
            queued: VecDeque::new(),
            retrying: BTreeSet::new(),
            in_flight: 0,
            acknowledged: 0,
            acknowledged_bytes: 0,
            parallel: parallel.max(1),
            window: parallel.max(1),
            successes: 0,
            throttled_at: None,
            highest_sent: 0,
            rate: None,
            tail: TailState::Whole,
        }
    }

    /// Takes up a part; they come in order.
    pub fn add(&mut self, number: u32, digest: PartDigest) {
        debug_assert_eq!(number as usize, self.parts.len() + 1);
        self.parts.push(Part {
            digest,
            state: PartState::Queued,
            etag: String::new(),
            md5: None,
            sent_crc32: 0,
            attempt: 0,
            checksum_failures: 0,
            hidden: NotFoundStreak::default(),
            sent_at: Now::ZERO,
            retained: false,
        });
        self.queued.push_back(number);
    }

    /// The next part to send, if the window has room; it counts as sent from here.
    pub fn next_to_send(&mut self, now: Now) -> Option<u32> {
        if self.in_flight >= self.window {
            return None;
        }
        let number = self.queued.pop_front()?;
        let part = self.part_mut(number)?;
        (part.state, part.sent_at) = (PartState::Sending, now);
        self.highest_sent = self.highest_sent.max(number);
        self.in_flight += 1;
        Some(number)
    }

    fn part_mut(&mut self, number: u32) -> Option<&mut Part> {
        self.parts.get_mut((number as usize).checked_sub(1)?)
    }

    fn part(&self, number: u32) -> Option<&Part> {
        self.parts.get((number as usize).checked_sub(1)?)
    }

    /// The service took a part: is what it holds ours?
    pub fn on_response(
        &mut self,
        now: Now,
        number: u32,
        held: ObjectMeta,
        crc32: u32,
        algorithm: Algorithm,
    ) -> Result<PartResponse, Error> {
        self.in_flight -= 1;
        let Some(part) = self.part_mut(number) else { return Err(unknown(number)) };
        if crc32 != part.digest.crc32 {
            return Err(Error::integrity(format!(
                "part {number} changed in memory between reading and sending (CRC-32 {:08x} read, \
                 {crc32:08x} sent)",
                part.digest.crc32
            ))
            .with_hint("suspect this machine's memory; nothing was committed"));
        }
        part.sent_crc32 = crc32;
        let took = now.saturating_sub(part.sent_at).as_secs_f64();
        let rate = part.digest.size as f64 / took.max(1e-3);
        part.etag = held.etag.clone().unwrap_or_default();
        part.md5 = held.content.md5.clone();
        let ours = part.digest.value.as_ref().map(Value::base64);
        self.rate = Some(rate);
        let Some(part) = self.part_mut(number) else { return Err(unknown(number)) };
        match (ours, held.content.get(algorithm)) {
            (Some(ours), Some(theirs)) if ours == theirs => {}
            (Some(ours), Some(theirs)) => {
                return Err(differs(number, algorithm.name(), &ours, theirs, &held));
            }
            (Some(_), None) if held.content.md5.is_some() => {
                part.state = PartState::Rehashing(Some(Box::new(held)));
                return Ok(PartResponse::CompareMd5);
            }
            // Nothing to compare but the size, which the request head fixed.
            _ => {}
        }
        self.acknowledge(number);
        Ok(PartResponse::Acknowledged)
    }

    fn acknowledge(&mut self, number: u32) {
        let Some(part) = self.part_mut(number) else { return };
        part.state = PartState::Acknowledged;
        let size = part.digest.size;
        self.acknowledged += 1;
        self.acknowledged_bytes += size;
        self.successes += 1;
        if self.window < self.parallel && self.successes >= self.window {
            self.window += 1;
            self.successes = 0;
        }
    }

    /// The buffers of an acknowledged part stay.
    pub fn retain(&mut self, number: u32) {
        if let Some(part) = self.part_mut(number) {
            part.retained = true;
        }
    }

    /// A part arrived damaged; whether it is worth another try.
    pub fn on_checksum_failure(&mut self, number: u32) -> bool {
        self.in_flight -= 1;
        let Some(part) = self.part_mut(number) else { return false };
        part.checksum_failures += 1;
        part.state = PartState::Rehashing(None);
        part.checksum_failures < MAX_CHECKSUM_FAILURES_PART
    }

    /// The digests of a part, computed again from its buffers.
    pub fn rehashed(
        &mut self,
        number: u32,
        digest: &PartDigest,
        md5: &Value,
    ) -> Result<RehashResult, Error> {
        let Some(part) = self.part_mut(number) else { return Err(unknown(number)) };
        if *digest != part.digest {
            return Err(Error::integrity(format!(
                "part {number} changed in memory after it was read"
            ))
            .with_hint("suspect this machine's memory; nothing was committed"));
        }
        match std::mem::replace(&mut part.state, PartState::Queued) {
            PartState::Rehashing(Some(held)) => {
                let theirs = held.content.md5.clone().unwrap_or_default();
                if theirs != md5.base64() {
                    return Err(differs(number, "MD5", &md5.base64(), &theirs, &held));
                }
                self.acknowledge(number);
                Ok(RehashResult::Acknowledged)
            }
            _ => {
                part.attempt += 1;
                self.queued.push_front(number);
                Ok(RehashResult::SendAgain)
            }
        }
    }

    /// The first part that has not begun, the sizes from there on, and what is known of the line; if
    /// a connection is free for them, the line has been measured and they have not been cut before.
    pub fn tail(&self, now: Now) -> Option<(u32, Vec<u64>, LinkEstimate)> {
        let rate = self.rate?;
        if self.tail != TailState::Whole || self.in_flight >= self.window {
            return None;
        }
        let (begun, queued) = self.parts.split_at(self.highest_sent as usize);
        if queued.is_empty() {
            return None;
        }
        let left = |part: &Part| {
            let sent = rate * now.saturating_sub(part.sent_at).as_secs_f64();
            part.digest.size.saturating_sub(sent as u64)
        };
        let busy = begun.iter().filter(|part| part.state == PartState::Sending).map(left).collect();
        let sizes = queued.iter().map(|part| part.digest.size).collect();
        Some((
            self.highest_sent + 1,
            sizes,
            LinkEstimate { bytes_per_sec: rate, bytes_in_flight: busy, connections: self.window },
        ))
    }

    /// The parts from `first` on wait until others are made of them.
    pub fn start_tail_split(&mut self, first: u32) {
        self.tail = TailState::Splitting;
        self.queued.retain(|number| *number < first);
    }

    /// Takes other parts of the same bytes in the place of those from `first` on.
    pub fn replace_tail(&mut self, first: u32, digests: Vec<PartDigest>) -> Result<(), Error> {
        self.tail = TailState::Split;
        let cut = self.parts.split_off((first as usize).saturating_sub(1).min(self.parts.len()));
        let sum = |digests: &mut dyn Iterator<Item = &PartDigest>| {
            let mut size = 0;
            let each = digests.map(|digest| {
                size += digest.size;
                (digest.crc32, digest.size)
            });
            (digest::crc32_combine(each), size)
        };
        let before = sum(&mut cut.iter().map(|part| &part.digest));
        if sum(&mut digests.iter()) != before {
            return Err(Error::integrity(format!(
                "the bytes from part {first} on changed in memory after they were read"
            ))
            .with_hint("suspect this machine's memory; nothing was committed"));
        }
        for (number, digest) in (first..).zip(digests) {
            self.add(number, digest);
        }
        Ok(())
    }

    /// The 404s in a row of a part.
    pub fn not_found_streak(&mut self, number: u32) -> Option<&mut NotFoundStreak> {
        self.part_mut(number).map(|part| &mut part.hidden)
    }

    /// A part failed and is sent again at a time.
    pub fn retry_at(&mut self, number: u32, at: Now) {
        self.in_flight -= 1;
        if let Some(part) = self.part_mut(number) {
            part.attempt += 1;
            part.state = PartState::Queued;
            self.retrying.insert((at, number));
        }
    }

    /// Moves what waits no longer to the queue, lowest part first: the oldest buffers free first.
    pub fn release_due_retries(&mut self, now: Now) {
        while let Some((at, number)) = self.retrying.first().copied()
            && at <= now
        {
            self.retrying.pop_first();
            self.queued.push_front(number);
        }
    }

    pub fn next_retry(&self) -> Option<Now> {
        self.retrying.first().map(|(at, _)| *at)
    }

    /// The service asked for less at a time.
    pub fn on_throttled(&mut self, now: Now) {
        if self.throttled_at.is_none_or(|at| now >= at + THROTTLE_INTERVAL) {
            self.window = (self.window / 2).max(1);
            self.throttled_at = Some(now);
        }
        self.successes = 0;
    }

    /// Whether every part that was read has been acknowledged.
    pub fn all_acknowledged(&self) -> bool {
        self.acknowledged as usize == self.parts.len()
    }

    /// Whether the sizes sum to what was read.
    pub fn complete(&self, bytes: u64) -> Result<(), Error> {
        let sum: u64 = self.parts.iter().map(|part| part.digest.size).sum();
        if sum != bytes {
            return Err(Error::integrity(format!(
                "{bytes} bytes were read, but the parts sum to {sum}; nothing was committed"
            )));
        }
        Ok(())
    }

    /// The gate before the commit, from independent counts.
    pub fn check_commit_gate(&self, bytes: u64, crc32: u32) -> Result<(), Error> {
        self.complete(bytes)?;
        let missing = self.parts.iter().position(|part| part.state != PartState::Acknowledged);
        if let Some(index) = missing {
            return Err(Error::integrity(format!(
                "part {} is not acknowledged; nothing was committed",
                index + 1
            )));
        }
        let sent = self.parts.iter().map(|part| (part.sent_crc32, part.digest.size));
        let combined = digest::crc32_combine(sent);
        if combined != crc32 {
            return Err(Error::integrity(format!(
                "the CRC-32 of what was read is {crc32:08x}, of what was sent {combined:08x}; \
                 nothing was committed"
            ))
            .with_hint("a buffer was lost, reused or reordered: please report this"));
        }
        Ok(())
    }

    /// Takes the etags of a listing, where an earlier try of a part landed late. What the service
    /// does not hold as it was acknowledged is queued once more where its buffers are still here,
    /// and an error where they are not. Returns how many parts are queued.
    pub fn requeue_missing(&mut self, listed: &[ListedPart]) -> Result<u64, Error> {
        let mut again = Vec::new();
        for (index, part) in self.parts.iter_mut().enumerate() {
            let number = index as u32 + 1;
            let difference = match listed.iter().find(|l| l.part_number == number) {
                None => "no longer lists it".to_owned(),
                Some(found) => {
                    let same_md5 = match (&part.md5, &found.md5) {
                        (Some(ours), Some(theirs)) => ours == theirs,
                        _ => true,
                    };
                    if found.size == part.digest.size && same_md5 {
                        part.etag.clone_from(&found.etag);
                        continue;
                    }
                    format!("holds {} bytes that are not what it acknowledged", found.size)
                }
            };
            if !part.retained {
                return Err(Error::integrity(format!(
                    "part {number} was acknowledged, but the service {difference}, and its buffer \
                     has been used again since; nothing was committed"
                )));
            }
            part.state = PartState::Queued;
            part.attempt += 1;
            self.acknowledged -= 1;
            self.acknowledged_bytes -= part.digest.size;
            again.push(number);
        }
        self.queued.extend(&again);
        Ok(again.len() as u64)
    }

    pub fn count(&self) -> u32 {
        self.parts.len() as u32
    }

    pub fn attempt(&self, number: u32) -> u32 {
        self.part(number).map_or(0, |part| part.attempt)
    }

    pub fn digest(&self, number: u32) -> Option<&PartDigest> {
        self.part(number).map(|part| &part.digest)
    }

    pub fn digests(&self) -> impl Iterator<Item = &PartDigest> {
        self.parts.iter().map(|part| &part.digest)
    }

    /// The MD5s of all parts as the service answered them, if it did for each.
    pub fn md5s(&self) -> Option<Vec<Value>> {
        self.parts
            .iter()
            .map(|part| Value::from_base64(Algorithm::Md5, part.md5.as_deref()?))
            .collect()
    }

    pub fn etags(&self) -> impl Iterator<Item = (u32, &str)> {
        self.parts.iter().enumerate().map(|(i, part)| (i as u32 + 1, part.etag.as_str()))
    }

    pub fn acknowledged(&self) -> (u32, u64) {
        (self.acknowledged, self.acknowledged_bytes)
    }

    pub fn in_flight(&self) -> usize {
        self.in_flight
    }
}

fn unknown(number: u32) -> Error {
    Error::integrity(format!("an answer to part {number}, which was never read"))
}

fn differs(number: u32, algorithm: &str, ours: &str, theirs: &str, held: &ObjectMeta) -> Error {
    let id = held.request_id.as_deref().unwrap_or("none");
    Error::integrity(format!(
        "part {number}: the service holds {algorithm} {theirs}, but what was read has {ours} \
         (opc-request-id {id}); nothing was committed"
    ))
}
