//! The loop of the reading thread, which divides the stream into parts.
//!
//! Owns the boundaries of the parts. Must not know the receiver of its events. Invariants: a buffer
//! is taken before the read that fills it; each byte is hashed and validated exactly once, in the
//! order of the stream; bytes that a read returned beyond the end of a part are the start of the
//! next part.

use std::io::PipeReader;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use tokio::sync::mpsc::UnboundedSender;

use super::byte_source::{ByteSource, ReadResult};
use super::{CutControl, FilledPart, ReadEvent, ReaderStats, StreamChecks};
use crate::source::pool::{Buffer, Pool, Taken};
use proto::digest::{Algorithm, Hasher};
use proto::error::{Error, ErrorKind};
use proto::part_layout::UNIT;
use proto::part_number::PartNumber;
use proto::part_plan::{PartCut, PartStart};
use validate::Rejection;

/// Bytes of one read: so few that they are hashed while they are in the core's own cache.
const READ_SIZE: usize = 256 << 10;
/// Parts that are read before the multipart upload is created: the first, and the second, whose
/// first byte shows that a multipart upload is needed.
const READ_AHEAD: u32 = 2;

/// The state of the reading thread.
pub(super) struct PartReader {
    pub source: ByteSource,
    pub stop_rx: PipeReader,
    pub pool: Pool,
    pub cut: PartCut,
    pub control: Arc<CutControl>,
    pub algorithm: Algorithm,
    pub checks: StreamChecks,
    pub events: UnboundedSender<ReadEvent>,
    pub stats: Arc<ReaderStats>,
    pub remainder: PacketRemainder,
    /// The warning that there is less memory than planned was sent.
    pub memory_warned: bool,
}

/// Bytes that a read returned beyond the end of a part: less than one packet, or than a record of a device.
#[derive(Default)]
pub(super) struct PacketRemainder {
    bytes: Vec<u8>,
    from: usize,
    to: usize,
}

impl PacketRemainder {
    /// Moves as many bytes as fit into `space` and returns their number.
    fn copy_into(&mut self, space: &mut [u8]) -> usize {
        let length = space.len().min(self.to - self.from);
        space[..length].copy_from_slice(&self.bytes[self.from..self.from + length]);
        self.from += length;
        length
    }

    fn is_empty(&self) -> bool {
        self.from == self.to
    }

    /// Keeps the first `length` bytes of the space.
    fn keep(&mut self, length: usize) {
        (self.from, self.to) = (0, length);
    }

    /// Space for `length` bytes; earlier bytes are discarded.
    fn space(&mut self, length: usize) -> &mut [u8] {
        if self.bytes.len() < length {
            self.bytes.resize(length, 0);
        }
        &mut self.bytes[..length]
    }
}

/// The end of a wait for the next buffer of a part.
enum NextBuffer {
    Taken(Buffer),
    /// The connections have changed, and the size of parts with them.
    Woken,
    /// There is no memory for another one.
    NoMemory,
}

/// The reason why the thread ends without `EndOfStream`.
enum StopReason {
    Stopped,
    /// The stream has ended, and its validator rejects the end.
    EndRejected(Error),
    Failed(Error),
}

impl From<Error> for StopReason {
    fn from(error: Error) -> StopReason {
        StopReason::Failed(error)
    }
}

/// Reads once; `None` at the end of the stream.
fn read(
    source: &ByteSource,
    stop_rx: &PipeReader,
    stats: &ReaderStats,
    space: &mut [u8],
    overflow: &mut [u8],
) -> Result<Option<usize>, StopReason> {
    stats.waits_for_source.store(true, Ordering::Relaxed);
    let result = source.read(stop_rx, space, overflow);
    stats.waits_for_source.store(false, Ordering::Relaxed);
    match result? {
        ReadResult::Bytes(read) => Ok(Some(read)),
        ReadResult::EndOfStream => Ok(None),
        ReadResult::Stopped => Err(StopReason::Stopped),
    }
}

impl StreamChecks {
    /// Adds the next bytes of the stream. Fails where the validator rejects them.
    fn bytes(&mut self, piece: &[u8]) -> Result<(), Error> {
        if let Some(validator) = &mut self.validator {
            validator.bytes(piece).map_err(rejected)?;
        }
        self.whole.update(piece);
        Ok(())
    }
}

impl PartReader {
    /// Reads to the end. Returns the last event instead of sending it, so that the source is closed
    /// first; `None` if the thread was stopped.
    pub(super) fn run(mut self) -> Option<ReadEvent> {
        match self.read_stream() {
            Ok((bytes, crc32)) => Some(ReadEvent::EndOfStream { bytes, crc32 }),
            Err(StopReason::Failed(error)) => Some(ReadEvent::SourceFailed(error)),
            Err(StopReason::EndRejected(error)) => Some(ReadEvent::EndRejected(error)),
            Err(StopReason::Stopped) => None,
        }
    }

    /// Returns the length of the stream in bytes and the CRC of its buffers.
    fn read_stream(&mut self) -> Result<(u64, u32), StopReason> {
        let (mut bytes, mut crc32) = (0, 0);
        let mut numbers = PartNumber::all();
        loop {
            let next = numbers.next();
            if next.is_none_or(|number| number.get() > READ_AHEAD) {
                self.wait_for_release()?;
            }
            let Some(number) = next.filter(|number| self.size(*number, bytes) > 0) else {
                self.expect_eof()?;
                break;
            };
            let (part, ended) = self.read_part(number, bytes)?;
            if part.digest.size > 0 {
                let so_far = [(crc32, bytes), (part.digest.crc32, part.digest.size)];
                crc32 = self.algorithm.buffer_crc().combine(so_far);
                bytes += part.digest.size;
                if ended {
                    self.send_event(ReadEvent::LastPartNext)?;
                }
                self.send_event(ReadEvent::Part(part))?;
            }
            if ended {
                break;
            }
        }
        self.finish_validation(bytes)?;
        Ok((bytes, crc32))
    }

    /// The size in bytes of a part that starts at `offset`, as far as it is decided now: it changes with
    /// the number of connections. 0 after the longest stream.
    fn size(&mut self, number: PartNumber, offset: u64) -> u64 {
        let at = PartStart { number: number.get() + self.control.added_numbers(), offset };
        let size = self.cut.part_size(at, self.control.connections());
        size.min(self.cut.max_stream() - offset)
    }

    /// The bytes that a part with `filled` bytes still gets.
    fn left(&mut self, number: PartNumber, offset: u64, filled: u64) -> u64 {
        let size = self.size(number, offset);
        // All sizes are of the family of `part_layout`, also where parts got smaller meanwhile.
        let least = if filled > size { filled.next_multiple_of(UNIT) } else { size };
        least - filled
    }

    /// Fills one part, which starts at `offset`; true if the stream ended in it.
    fn read_part(
        &mut self,
        number: PartNumber,
        offset: u64,
    ) -> Result<(FilledPart, bool), StopReason> {
        let mut hasher = Hasher::new(self.algorithm);
        let (mut chunks, mut filled, mut ended) = (Vec::new(), 0, false);
        if number.get() == 2 {
            // This is decided without a buffer: where there is memory for one only, the first part
            // holds it until the upload knows whether the part is sent by a put.
            ended = !self.more_follows()?;
            if !ended {
                self.send_event(ReadEvent::MultipartNeeded)?;
            }
        }
        while !ended {
            let left = self.left(number, offset, filled);
            if left == 0 {
                break;
            }
            let at = PartStart { number: number.get() + self.control.added_numbers(), offset };
            let limit = self.cut.buffers_for(at, self.control.connections());
            self.pool.set_limit(limit);
            // Buffers are scarcer than connections without a part: this one is sent as it is.
            let free = limit.saturating_sub(self.pool.outstanding());
            let may_end = filled > 0 && filled.is_multiple_of(UNIT) && self.control.idle() > free;
            if may_end && self.cut.may_end(at, filled) {
                break;
            }
            let mut buffer = match self.buffer(chunks.len())? {
                NextBuffer::Taken(buffer) => buffer,
                NextBuffer::Woken => continue,
                // The part is smaller than planned, and at least one buffer.
                NextBuffer::NoMemory => break,
            };
            let length = left.min(buffer.space().len() as u64) as usize;
            let mut used = 0;
            while used < length {
                let end = length.min(used + READ_SIZE);
                let space = &mut buffer.space()[used..end];
                let Some(read) = self.read(space)? else {
                    ended = true;
                    break;
                };
                let piece = &buffer.space()[used..used + read];
                hasher.update(piece);
                self.checks.bytes(piece)?;
                used += read;
            }
            if used > 0 {
                chunks.push(buffer.freeze(used));
                filled += used as u64;
            }
        }
        Ok((FilledPart { number, chunks, digest: hasher.finish() }, ended))
    }

    /// Waits until the pool is released, which is when the multipart upload exists.
    fn wait_for_release(&self) -> Result<(), StopReason> {
        self.stats.waits_for_buffer.store(true, Ordering::Relaxed);
        let released = self.pool.wait_for_release();
        self.stats.waits_for_buffer.store(false, Ordering::Relaxed);
        if released { Ok(()) } else { Err(StopReason::Stopped) }
    }

    /// A buffer for a part that has `own` buffers.
    fn buffer(&mut self, own: usize) -> Result<NextBuffer, StopReason> {
        self.stats.waits_for_buffer.store(true, Ordering::Relaxed);
        self.stats.waited.begin();
        let taken = self.pool.take_unless_woken(own);
        self.stats.waited.end();
        self.stats.waits_for_buffer.store(false, Ordering::Relaxed);
        let refusal = self.pool.take_refusal();
        if let Some(why) = refusal.filter(|_| taken.is_ok() && !self.memory_warned) {
            self.memory_warned = true;
            let what = format!("the system gives no more memory for buffers: {why}; going on with");
            self.send_event(ReadEvent::Warning(format!(
                "{what} what there is, which may be slower"
            )))?;
        }
        match taken {
            Ok(Taken::Buffer(buffer)) => Ok(NextBuffer::Taken(buffer)),
            Ok(Taken::Woken) => Ok(NextBuffer::Woken),
            Ok(Taken::Closed) => Err(StopReason::Stopped),
            Err(_) if own > 0 => Ok(NextBuffer::NoMemory),
            Err(error) => {
                let what = format!("the system gives no memory for a buffer: {error}");
                let hint = "bound the memory with --max-memory, or raise the limits of the process";
                Err(Error::new(ErrorKind::Internal, what).with_hint(hint).into())
            }
        }
    }

    /// Whether the stream goes on. Bytes that this reads are kept for the next part.
    fn more_follows(&mut self) -> Result<bool, StopReason> {
        if self.remainder.is_empty() {
            let space = self.remainder.space(self.source.min_space());
            let Some(read) = read(&self.source, &self.stop_rx, &self.stats, space, &mut [])? else {
                return Ok(false);
            };
            self.remainder.keep(read);
        }
        Ok(true)
    }

    /// Reads into `space`; `None` at the end of the stream. Near the end of a part the kernel gets
    /// the space of a whole packet, and the bytes beyond the part are kept for the next one.
    fn read(&mut self, space: &mut [u8]) -> Result<Option<usize>, StopReason> {
        let mut length = self.remainder.copy_into(space);
        if length == 0 && self.source.reads_records() {
            if !self.more_follows()? {
                return Ok(None);
            }
            length = self.remainder.copy_into(space);
        } else if length == 0 {
            let missing = self.source.min_space().saturating_sub(space.len());
            let overflow = self.remainder.space(missing);
            let Some(read) = read(&self.source, &self.stop_rx, &self.stats, space, overflow)?
            else {
                return Ok(None);
            };
            length = read.min(space.len());
            self.remainder.keep(read - length);
        }
        self.stats.bytes.fetch_add(length as u64, Ordering::Relaxed);
        Ok(Some(length))
    }

    /// Fails if the stream goes on after the last part of the plan.
    fn expect_eof(&mut self) -> Result<(), StopReason> {
        if !self.more_follows()? {
            return Ok(());
        }
        let read = self.stats.bytes.load(Ordering::Relaxed);
        Err(too_long(self.cut.max_stream(), read, self.memory_warned).into())
    }

    /// The checks after the end of the stream: the size of a file, and the validator's.
    fn finish_validation(&mut self, bytes: u64) -> Result<(), StopReason> {
        self.source.check_size(bytes)?;
        if let Some(warning) = self.source.modification_warning("stored") {
            self.send_event(ReadEvent::Warning(warning))?;
        }
        let StreamChecks { validator, whole } = std::mem::take(&mut self.checks);
        if let Some(validator) = validator
            && let Some(warning) =
                validator.end().map_err(|end| StopReason::EndRejected(rejected(end)))?
        {
            self.send_event(ReadEvent::Warning(warning))?;
        }
        if !whole.is_idle() {
            self.send_event(ReadEvent::WholeStream(whole.finish()))?;
        }
        Ok(())
    }

    /// Stops the thread if the receiver is gone.
    fn send_event(&self, event: ReadEvent) -> Result<(), StopReason> {
        self.events.send(event).map_err(|_| StopReason::Stopped)
    }
}

/// The error for a stream that its validator rejects, which is a failure of the producer.
fn rejected(rejection: Rejection) -> Error {
    let hint = rejection.hint.unwrap_or_else(|| "look at the messages of the producer".to_owned());
    Error::source(rejection.message).with_hint(hint)
}

/// The error for a stream that goes on after `read` bytes, where a plan of `longest` bytes has no part left. Without
/// memory for whole parts the numbers end earlier.
fn too_long(longest: u64, read: u64, without_memory: bool) -> Error {
    if without_memory && read < longest {
        let what = format!(
            "the stream is longer than the {read} bytes that the numbers of parts have sufficed for: parts were \
             smaller than planned, since the system had no memory for more"
        );
        return Error::source(what).with_hint(
            "give this process more memory, a smaller --max-memory with --expected-size, or store the stream as \
             several objects",
        );
    }
    let what = format!("the stream is longer than {longest} bytes, all that can be stored");
    Error::source(what).with_hint(
        "give its size with --expected-size, more memory with --max-memory, or store it as several objects",
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_stream_without_numbers_for_its_rest_names_what_was_read_where_memory_was_short() {
        assert!(too_long(9, 8, true).message.contains("longer than the 8 bytes that"));
        for (read, without_memory) in [(9, true), (8, false)] {
            let message = too_long(9, read, without_memory).message;
            assert_eq!(message, "the stream is longer than 9 bytes, all that can be stored");
        }
    }
}
