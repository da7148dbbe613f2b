//! The parts of an upload: read, queued, in flight, acknowledged.
//!
//! Owns the order of sending and the window of parts in flight. Must not know the state of the upload.
//! Invariant: a part is acknowledged only if the checksum in the response, or the next best evidence,
//! matches.

use std::collections::{BTreeSet, VecDeque};

use super::Now;
use super::tail_split::LinkEstimate;
use crate::api::ObjectMeta;
use crate::digest::{self, Algorithm, PartDigest, Value};
use crate::error::Error;
use crate::part_number::PartNumber;
use crate::retry::NotFoundStreak;

/// Attempts at a part that arrive damaged, before the run fails.
const MAX_CHECKSUM_FAILURES: u32 = 8;
/// Throttled responses within this time narrow the window once.
const THROTTLE_INTERVAL: Now = Now::from_secs(1);

#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum PartState {
    Queued,
    Sending,
    /// The digests are being computed again; with the metadata of the response, if there is one.
    Rehashing(Option<Box<ObjectMeta>>),
    Acknowledged,
}

#[derive(Debug)]
pub(super) struct Part {
    pub digest: PartDigest,
    pub state: PartState,
    pub etag: String,
    /// The MD5 in the response, in base64.
    pub md5: Option<String>,
    pub sent_crc32: u32,
    pub attempt: u32,
    pub checksum_failures: u32,
    /// The ambiguous 404s in a row.
    pub not_found: NotFoundStreak,
    /// When its last attempt started.
    pub sent_at: Now,
    /// The part is acknowledged, and its buffers are still in memory.
    pub retained: bool,
}

/// Whether the end of the stream was split.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum TailState {
    Whole,
    Splitting,
    Split,
}

/// What the response to a part means.
#[derive(Debug, PartialEq, Eq)]
pub enum PartResponse {
    Acknowledged,
    /// The response lacks the chosen checksum: the MD5 of the buffer must be computed and compared.
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
    pub(super) parts: Vec<Part>,
    pub(super) queued: VecDeque<PartNumber>,
    retrying: BTreeSet<(Now, PartNumber)>,
    in_flight: usize,
    pub(super) acknowledged: u32,
    pub(super) acknowledged_bytes: u64,
    parallel: usize,
    window: usize,
    successes: usize,
    throttled_at: Option<Now>,
    /// The number of parts that were sent at least once: those with the lowest numbers.
    sent: usize,
    /// Bytes per second of one connection, measured by the last response.
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
            sent: 0,
            rate: None,
            tail: TailState::Whole,
        }
    }

    /// Adds the next part; parts are added in order.
    pub fn add(&mut self, number: PartNumber, digest: PartDigest) {
        debug_assert_eq!(number.index(), self.parts.len());
        self.parts.push(Part {
            digest,
            state: PartState::Queued,
            etag: String::new(),
            md5: None,
            sent_crc32: 0,
            attempt: 0,
            checksum_failures: 0,
            not_found: NotFoundStreak::default(),
            sent_at: Now::ZERO,
            retained: false,
        });
        self.queued.push_back(number);
    }

    /// Takes the next part to send, if the window has room.
    pub fn next_to_send(&mut self, now: Now) -> Option<PartNumber> {
        if self.in_flight >= self.window {
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

    /// Compares the response to a part with what was read and sent.
    ///
    /// # Errors
    ///
    /// The part changed in memory, or the service stored other bytes.
    pub fn on_response(
        &mut self,
        now: Now,
        number: PartNumber,
        meta: ObjectMeta,
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
        part.etag = meta.etag.clone().unwrap_or_default();
        part.md5 = meta.content.md5.clone();
        let read = part.digest.value.as_ref().map(Value::base64);
        self.rate = Some(rate);
        let Some(part) = self.part_mut(number) else { return Err(unknown(number)) };
        match (read, meta.content.get(algorithm)) {
            (Some(read), Some(stored)) if read == stored => {}
            (Some(read), Some(stored)) => {
                return Err(differs(number, algorithm.name(), &read, stored, &meta));
            }
            (Some(_), None) if meta.content.md5.is_some() => {
                part.state = PartState::Rehashing(Some(Box::new(meta)));
                return Ok(PartResponse::CompareMd5);
            }
            // There is only the size, and the content length of the request has fixed it.
            _ => {}
        }
        self.acknowledge(number);
        Ok(PartResponse::Acknowledged)
    }

    fn acknowledge(&mut self, number: PartNumber) {
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

    /// Notes that the driver keeps the buffers of an acknowledged part.
    pub fn retain(&mut self, number: PartNumber) {
        if let Some(part) = self.part_mut(number) {
            part.retained = true;
        }
    }

    /// A part arrived damaged. Returns whether another attempt is allowed.
    pub fn on_checksum_failure(&mut self, number: PartNumber) -> bool {
        self.in_flight -= 1;
        let Some(part) = self.part_mut(number) else { return false };
        part.checksum_failures += 1;
        part.state = PartState::Rehashing(None);
        part.checksum_failures < MAX_CHECKSUM_FAILURES
    }

    /// Compares the digests of a part, computed again from its buffers.
    ///
    /// # Errors
    ///
    /// The part changed in memory, or the service stored other bytes.
    pub fn rehashed(
        &mut self,
        number: PartNumber,
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
            PartState::Rehashing(Some(meta)) => {
                let stored = meta.content.md5.clone().unwrap_or_default();
                if stored != md5.base64() {
                    return Err(differs(number, "MD5", &md5.base64(), &stored, &meta));
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

    /// The number of the first unsent part, the sizes from there on, and the estimate of the
    /// connections. `None` if no connection is free, the rate is unknown, or the tail was split before.
    pub fn tail(&self, now: Now) -> Option<(PartNumber, Vec<u64>, LinkEstimate)> {
        let rate = self.rate?;
        if self.tail != TailState::Whole || self.in_flight >= self.window {
            return None;
        }
        let (sent, queued) = self.parts.split_at(self.sent);
        if queued.is_empty() {
            return None;
        }
        let unsent = |part: &Part| {
            let sent = rate * now.saturating_sub(part.sent_at).as_secs_f64();
            part.digest.size.saturating_sub(sent as u64)
        };
        let in_flight =
            sent.iter().filter(|part| part.state == PartState::Sending).map(unsent).collect();
        let sizes = queued.iter().map(|part| part.digest.size).collect();
        Some((
            PartNumber::from_index(self.parts.len() - queued.len())?,
            sizes,
            LinkEstimate {
                bytes_per_sec: rate,
                bytes_in_flight: in_flight,
                connections: self.window,
            },
        ))
    }

    /// The parts from `first` on wait for the split.
    pub fn start_tail_split(&mut self, first: PartNumber) {
        self.tail = TailState::Splitting;
        self.queued.retain(|number| *number < first);
    }

    /// Replaces the parts from `first` on by other parts of the same bytes.
    ///
    /// # Errors
    ///
    /// The bytes changed in memory.
    pub fn replace_tail(
        &mut self,
        first: PartNumber,
        digests: Vec<PartDigest>,
    ) -> Result<(), Error> {
        self.tail = TailState::Split;
        let tail = self.parts.split_off(first.index().min(self.parts.len()));
        let sum = |digests: &mut dyn Iterator<Item = &PartDigest>| {
            let mut size = 0;
            let each = digests.map(|digest| {
                size += digest.size;
                (digest.crc32, digest.size)
            });
            (digest::crc32_combine(each), size)
        };
        let before = sum(&mut tail.iter().map(|part| &part.digest));
        if sum(&mut digests.iter()) != before {
            return Err(Error::integrity(format!(
                "the bytes from part {first} on changed in memory after they were read"
            ))
            .with_hint("suspect this machine's memory; nothing was committed"));
        }
        for (number, digest) in first.and_after().zip(digests) {
            self.add(number, digest);
        }
        Ok(())
    }

    /// The ambiguous 404s in a row of a part.
    pub fn not_found_streak(&mut self, number: PartNumber) -> Option<&mut NotFoundStreak> {
        self.part_mut(number).map(|part| &mut part.not_found)
    }

    /// A part failed; its next attempt starts at a time.
    pub fn retry_at(&mut self, number: PartNumber, at: Now) {
        self.in_flight -= 1;
        if let Some(part) = self.part_mut(number) {
            part.attempt += 1;
            part.state = PartState::Queued;
            self.retrying.insert((at, number));
        }
    }

    /// Queues the retries that are due, the lowest part first: its buffers are the oldest.
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

    /// The service throttled a part: the window is halved.
    pub fn on_throttled(&mut self, now: Now) {
        if self.throttled_at.is_none_or(|at| now >= at + THROTTLE_INTERVAL) {
            self.window = (self.window / 2).max(1);
            self.throttled_at = Some(now);
        }
        self.successes = 0;
    }

    /// Whether every part is acknowledged.
    pub fn all_acknowledged(&self) -> bool {
        self.acknowledged as usize == self.parts.len()
    }

    pub fn count(&self) -> u32 {
        self.parts.len() as u32
    }

    pub fn attempt(&self, number: PartNumber) -> u32 {
        self.part(number).map_or(0, |part| part.attempt)
    }

    pub fn digest(&self, number: PartNumber) -> Option<&PartDigest> {
        self.part(number).map(|part| &part.digest)
    }

    pub fn digests(&self) -> impl Iterator<Item = &PartDigest> {
        self.parts.iter().map(|part| &part.digest)
    }

    /// The MD5s in the responses to all parts; `None` if one is missing.
    pub fn md5s(&self) -> Option<Vec<Value>> {
        self.parts
            .iter()
            .map(|part| Value::from_base64(Algorithm::Md5, part.md5.as_deref()?))
            .collect()
    }

    pub fn etags(&self) -> impl Iterator<Item = (PartNumber, &str)> {
        PartNumber::all().zip(self.parts.iter().map(|part| part.etag.as_str()))
    }

    pub fn acknowledged(&self) -> (u32, u64) {
        (self.acknowledged, self.acknowledged_bytes)
    }

    pub fn in_flight(&self) -> usize {
        self.in_flight
    }
}

fn unknown(number: PartNumber) -> Error {
    Error::integrity(format!("an answer to part {number}, which was never read"))
}

fn differs(
    number: PartNumber,
    algorithm: &str,
    read: &str,
    stored: &str,
    meta: &ObjectMeta,
) -> Error {
    let id = meta.request_id.as_deref().unwrap_or("none");
    Error::integrity(format!(
        "part {number}: the service holds {algorithm} {stored}, but what was read has {read} \
         (opc-request-id {id}); nothing was committed"
    ))
}
