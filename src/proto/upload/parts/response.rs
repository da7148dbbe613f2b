//! What the response to a part means, and what its recomputed digests do.
//!
//! Owns the comparison of what was read, what was sent and what the service stored. Must not know which
//! part is sent next. Invariant: a part is acknowledged only if the checksum in the response, or the
//! next best evidence, matches.

use super::{Now, PartState, Parts};
use crate::api::ObjectMeta;
use crate::digest::{Algorithm, PartDigest, Value};
use crate::error::Error;
use crate::part_number::PartNumber;

/// Attempts at a part that arrive damaged, before the run fails.
const MAX_CHECKSUM_FAILURES: u32 = 8;

/// By what the response to a part is compared.
#[derive(Debug, Clone, Copy)]
pub(crate) struct PartChecks {
    pub algorithm: Algorithm,
    /// The MD5 is compared wherever there is one.
    pub always_md5: bool,
}

/// What the response to a part means.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum PartResponse {
    Acknowledged,
    /// The response lacks the chosen checksum: the MD5 of the buffer must be computed and compared.
    CompareMd5,
}

/// What recomputed digests mean.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum RehashResult {
    Acknowledged,
    SendAgain,
    /// The service has held this part since before the run.
    Held,
    /// The service holds other bytes: the part is sent.
    NotHeld,
}

impl Parts {
    /// Compares the response to a part with what was read and sent.
    ///
    /// # Errors
    ///
    /// The part changed in memory, or the service stored other bytes.
    pub(crate) fn on_response(
        &mut self,
        now: Now,
        number: PartNumber,
        meta: ObjectMeta,
        crc32: u32,
        checks: PartChecks,
    ) -> Result<PartResponse, Error> {
        let algorithm = checks.algorithm;
        self.in_flight -= 1;
        let Some(part) = self.part_mut(number) else { return Err(unknown(number)) };
        if crc32 != part.digest.crc32 {
            return Err(Error::integrity(format!(
                "part {number} changed in memory between reading and sending (CRC {:08x} read, \
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
            (Some(read), Some(stored)) if read == stored => {
                part.compared.value = true;
                part.compared.md5 = algorithm == Algorithm::Md5;
                if checks.always_md5 && !part.compared.md5 && meta.content.md5.is_some() {
                    part.state = PartState::Rehashing(Some(Box::new(meta)));
                    return Ok(PartResponse::CompareMd5);
                }
            }
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

    /// A part arrived damaged. Returns whether another attempt is allowed.
    pub(crate) fn on_checksum_failure(&mut self, number: PartNumber) -> bool {
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
    pub(crate) fn rehashed(
        &mut self,
        number: PartNumber,
        digest: &PartDigest,
        md5: &Value,
    ) -> Result<RehashResult, Error> {
        let held = self.held.get(&number).cloned();
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
                part.compared.md5 = true;
                self.acknowledge(number);
                Ok(RehashResult::Acknowledged)
            }
            PartState::Comparing => {
                let held = held.filter(|held| held.md5.as_deref() == Some(&*md5.base64()));
                let Some(held) = held else {
                    self.queue_in_order(number);
                    return Ok(RehashResult::NotHeld);
                };
                (part.etag, part.md5, part.sent_crc32) = (held.etag, held.md5, digest.crc32);
                self.held_bytes += digest.size;
                self.acknowledge(number);
                Ok(RehashResult::Held)
            }
            _ => {
                part.attempt += 1;
                self.queued.push_front(number);
                Ok(RehashResult::SendAgain)
            }
        }
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
