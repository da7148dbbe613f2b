//! The stream of a host as it is read into buffers.
//!
//! Owns the sizes of the parts and what is in memory. Must not know requests. Invariant: a buffer is read only
//! while fewer are held than the plan allows. The bytes are zeros, of which only sizes and digests are
//! computed.

use std::collections::HashMap;
use std::time::Duration;

use bytes::Bytes;
use ocipipe_proto::digest::{self, Algorithm, BufferCrc, PartDigest};
use ocipipe_proto::part_number::PartNumber;
use ocipipe_proto::part_plan::{PartCut, PartStart};

const MIB: u64 = 1 << 20;

/// The digests of parts of zeros, by size.
#[derive(Default)]
pub struct Digests(HashMap<u64, PartDigest>);

impl Digests {
    /// The digest of a part of this many bytes. Its SHA-256 is that of the size, which is as good.
    pub fn of(&mut self, size: u64) -> PartDigest {
        let digest = self.0.entry(size).or_insert_with(|| {
            let crc = |bytes: u64| {
                let zeros = Bytes::from(vec![0; bytes as usize]);
                digest::part(Algorithm::None, &[zeros]).crc32
            };
            let whole = std::iter::repeat_n((crc(MIB), MIB), (size / MIB) as usize);
            let parts = whole.chain([(crc(size % MIB), size % MIB)]);
            let crc32 = BufferCrc::Crc32.combine(parts);
            let name = Bytes::copy_from_slice(&size.to_le_bytes());
            PartDigest { size, crc32, value: digest::part(Algorithm::Sha256, &[name]).value }
        });
        digest.clone()
    }
}

/// A part that is being read, in bytes.
struct Filling {
    size: u64,
    filled: u64,
}

/// A part that was read.
pub struct ReadPart {
    /// Bytes.
    pub size: u64,
    pub is_second: bool,
    pub is_last: bool,
}

/// The reader of one host.
pub struct Reader {
    cut: PartCut,
    /// Bytes per second of the producer.
    rate: f64,
    /// Bytes that are not read yet.
    left: u64,
    /// Bytes that were read.
    pub offset: u64,
    number: u32,
    added_numbers: u32,
    pub connections: u16,
    /// The part that is being read.
    filling: Option<Filling>,
    /// Bytes of the buffer that is being read; 0 if none is.
    reading: u64,
    /// The sizes of the parts in memory.
    pub held: HashMap<PartNumber, u64>,
    /// The CRC of the stream so far.
    pub crc32: u32,
    waits_since: Option<Duration>,
    waited: Duration,
    pub stopped: bool,
}

impl Reader {
    /// A stream of which nothing is read.
    pub fn new(cut: PartCut, stream: u64, rate: f64) -> Reader {
        Reader {
            connections: cut.plan().parallel,
            cut,
            rate,
            left: stream,
            offset: 0,
            number: 1,
            added_numbers: 0,
            filling: None,
            reading: 0,
            held: HashMap::new(),
            crc32: 0,
            waits_since: None,
            waited: Duration::ZERO,
            stopped: false,
        }
    }

    /// Begins to read the next buffer if there is memory for it; returns how long that takes.
    pub fn begin_buffer(&mut self, now: Duration) -> Option<Duration> {
        if self.stopped || self.reading > 0 || self.left == 0 {
            return None;
        }
        let at = PartStart { number: self.number + self.added_numbers, offset: self.offset };
        let buffer = self.cut.buffer_size() as u64;
        let used: u64 = self.held.values().map(|size| size.div_ceil(buffer)).sum();
        let filled = self.filling.as_ref().map_or(0, |part| part.filled.div_ceil(buffer));
        if used + filled >= self.cut.buffers_for(at, self.connections) as u64 {
            self.waits_since.get_or_insert(now);
            return None;
        }
        if let Some(since) = self.waits_since.take() {
            self.waited += now - since;
        }
        let (cut, left) = (&mut self.cut, self.left);
        let filling = self.filling.get_or_insert_with(|| Filling {
            size: cut.part_size(at, self.connections).min(left),
            filled: 0,
        });
        self.reading = buffer.min(filling.size - filling.filled);
        Some(Duration::from_secs_f64(self.reading as f64 / self.rate))
    }

    /// Ends the buffer that was begun; returns the part if it is complete.
    pub fn end_buffer(&mut self) -> Option<ReadPart> {
        let filling = self.filling.as_mut()?;
        filling.filled += std::mem::take(&mut self.reading);
        let Filling { size, .. } = self.filling.take_if(|part| part.filled == part.size)?;
        self.offset += size;
        self.left -= size;
        self.number += 1;
        Some(ReadPart { size, is_second: self.number == 3, is_last: self.left == 0 })
    }

    /// Adds a part that was read to what is held.
    pub fn hold(&mut self, number: PartNumber, digest: &PartDigest) {
        let so_far = (self.crc32, self.offset - digest.size);
        self.crc32 = BufferCrc::Crc32.combine([so_far, (digest.crc32, digest.size)]);
        self.held.insert(number, digest.size);
    }

    /// Cuts the parts from `first` on again.
    pub fn split(&mut self, first: PartNumber, sizes: &[u64]) {
        let before = first.and_after().take_while(|n| self.held.remove(n).is_some()).count();
        self.added_numbers += sizes.len().saturating_sub(before) as u32;
        self.held.extend(first.and_after().zip(sizes.iter().copied()));
    }

    /// How long the reader has waited for memory.
    pub fn waited(&self, now: Duration) -> Duration {
        self.waited + self.waits_since.map_or(Duration::ZERO, |since| now - since)
    }
}
