//! The gate before a commit, and the parts that a listing lacks.
//!
//! Owns the checks from independent counts. Must not know requests. Invariant: a commit passes only if
//! every part is acknowledged, the sizes sum to the bytes read, and the CRC of the bytes sent is that of
//! the bytes read; a put only if the size and the CRC of its part are those of the bytes read.

use super::EndOfStream;
use super::parts::{PartState, Parts};
use crate::api::ListedPart;
use crate::digest::BufferCrc;
use crate::error::Error;
use crate::part_number::PartNumber;

impl Parts {
    /// Checks that the sizes of the parts sum to the bytes read.
    ///
    /// # Errors
    ///
    /// They do not: a part was lost or counted twice.
    pub(super) fn complete(&self, bytes: u64) -> Result<(), Error> {
        let sum: u64 = self.parts.iter().map(|part| part.digest.size).sum();
        if sum != bytes {
            return Err(Error::integrity(format!(
                "{bytes} bytes were read, but the parts sum to {sum}; nothing was committed"
            )));
        }
        Ok(())
    }

    /// The gate before a put of the whole stream.
    ///
    /// # Errors
    ///
    /// The part is not the stream: bytes of it were lost, or counted twice.
    pub(super) fn check_put_gate(&self, end: EndOfStream) -> Result<(), Error> {
        self.complete(end.bytes)?;
        for part in &self.parts {
            if part.digest.crc32 != end.crc32 {
                return Err(crc_differs(end.crc32, "of its part", part.digest.crc32));
            }
        }
        Ok(())
    }

    /// The gate before the commit.
    ///
    /// # Errors
    ///
    /// A part is missing, or the bytes sent differ from the bytes read.
    pub(super) fn check_commit_gate(&self, end: EndOfStream, crc: BufferCrc) -> Result<(), Error> {
        self.complete(end.bytes)?;
        let missing = self.parts.iter().position(|part| part.state != PartState::Acknowledged);
        if let Some(index) = missing {
            return Err(Error::integrity(format!(
                "part {} is not acknowledged; nothing was committed",
                index + 1
            )));
        }
        // A commit through a pre-authenticated request takes every part that was ever sent.
        if self.sent > self.parts.len() {
            return Err(Error::integrity(format!(
                "part {} was sent and is not part of the stream; nothing was committed",
                self.sent
            )));
        }
        let sent = self.parts.iter().map(|part| (part.sent_crc32, part.digest.size));
        let combined = crc.combine(sent);
        if combined != end.crc32 {
            return Err(crc_differs(end.crc32, "of what was sent", combined));
        }
        Ok(())
    }

    /// Takes the etags of the service's list, since an earlier attempt at a part may have taken effect
    /// late. A part that differs from its acknowledgement is queued again if its buffers are retained.
    /// Returns the number of parts queued.
    ///
    /// # Errors
    ///
    /// A part differs, and its buffers have been reused.
    pub(super) fn requeue_missing(&mut self, listed: &[ListedPart]) -> Result<u64, Error> {
        let mut requeued = Vec::new();
        for (number, part) in PartNumber::all().zip(&mut self.parts) {
            let difference = match listed.iter().find(|part| part.part_number == number) {
                None => "no longer lists it".to_owned(),
                Some(found) => {
                    let same_md5 = match (&part.md5, &found.md5) {
                        (Some(acknowledged), Some(listed)) => acknowledged == listed,
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
            requeued.push(number);
        }
        self.queued.extend(&requeued);
        Ok(requeued.len() as u64)
    }
}

fn crc_differs(read: u32, other: &str, crc32: u32) -> Error {
    Error::integrity(format!(
        "the CRC of what was read is {read:08x}, {other} {crc32:08x}; nothing was committed"
    ))
    .with_hint("a buffer was lost, reused or reordered: please report this")
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;

    use super::*;
    use crate::digest::{self, Algorithm};

    const PART: &[u8] = b"abc";

    /// Two parts, both acknowledged.
    fn acknowledged() -> Parts {
        let mut parts = Parts::continuing(2, Vec::new());
        for number in PartNumber::all().take(2) {
            parts.add(number, digest::part(Algorithm::Sha256, &[Bytes::from_static(PART)]));
        }
        for part in &mut parts.parts {
            part.state = PartState::Acknowledged;
            part.sent_crc32 = crc32fast::hash(PART);
        }
        parts.sent = 2;
        parts
    }

    fn error(parts: &Parts, bytes: u64, crc32: u32) -> String {
        let end = EndOfStream { bytes, crc32 };
        parts.check_commit_gate(end, BufferCrc::Crc32).unwrap_err().to_string()
    }

    #[test]
    fn nothing_is_committed_unless_every_part_is_acknowledged_and_no_other_was_sent() {
        let crc32 = crc32fast::hash(b"abcabc");
        let end = EndOfStream { bytes: 6, crc32 };
        acknowledged().check_commit_gate(end, BufferCrc::Crc32).unwrap();
        for state in [PartState::Queued, PartState::Sending, PartState::Rehashing(None)] {
            let mut parts = acknowledged();
            parts.parts[1].state = state;
            assert!(error(&parts, 6, crc32).contains("part 2 is not acknowledged"));
        }
        let mut parts = acknowledged();
        parts.sent = 3;
        assert!(error(&parts, 6, crc32).contains("part 3 was sent and is not part of the stream"));
    }

    #[test]
    fn nothing_is_committed_unless_what_was_sent_is_what_was_read() {
        let crc32 = crc32fast::hash(b"abcabc");
        assert!(error(&acknowledged(), 7, crc32).contains("the parts sum to 6"));
        assert!(error(&acknowledged(), 6, crc32 ^ 1).contains("of what was sent"));
    }
}
