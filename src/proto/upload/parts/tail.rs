//! The unsent end of the stream, which other parts of the same bytes may replace.
//!
//! Owns what is measured for the decision and the replacement. Must not decide it (`tail_split`).
//! Invariant: the parts after a replacement have the size and the CRC of the parts before.

use super::{Now, Part, PartState, Parts};
use crate::digest::{BufferCrc, PartDigest};
use crate::error::Error;
use crate::part_number::PartNumber;
use crate::upload::tail_split::LinkEstimate;

/// Whether the end of the stream was split.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum TailState {
    Whole,
    /// Parts in flight are being called off, so that they can be cut.
    Recalling,
    Splitting,
    /// The queue is cut for more connections, and the stream goes on.
    SplittingQueue,
    Split,
}

impl Parts {
    /// The number of the first unsent part, the sizes from there on, and the estimate of the
    /// connections. `None` if no connection is free, the rate is unknown, or the tail was split before.
    pub(crate) fn tail(&self, now: Now) -> Option<(PartNumber, Vec<u64>, LinkEstimate)> {
        let rate = self.rate?;
        if self.tail != TailState::Whole || self.in_flight >= self.window {
            return None;
        }
        let (sent, queued) = self.parts.split_at(self.sent.min(self.parts.len()));
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
    pub(crate) fn start_tail_split(&mut self, first: PartNumber) {
        self.tail = TailState::Splitting;
        self.queued.retain(|number| *number < first);
    }

    /// Replaces the parts from `first` on by other parts of the same bytes.
    ///
    /// # Errors
    ///
    /// The bytes changed in memory.
    pub(crate) fn replace_tail(
        &mut self,
        first: PartNumber,
        digests: Vec<PartDigest>,
        crc: BufferCrc,
    ) -> Result<(), Error> {
        self.tail = match self.tail {
            TailState::SplittingQueue => TailState::Whole,
            _ => TailState::Split,
        };
        let tail = self.parts.split_off(first.index().min(self.parts.len()));
        let sum = |digests: &mut dyn Iterator<Item = &PartDigest>| {
            let mut size = 0;
            let each = digests.map(|digest| {
                size += digest.size;
                (digest.crc32, digest.size)
            });
            (crc.combine(each), size)
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
}
