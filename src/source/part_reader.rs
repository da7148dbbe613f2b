//! From bytes to parts: the loop of the reading thread.
//!
//! Owns where one part ends and the next begins. Knows nothing of who takes the parts.
//! Invariant: a buffer is taken before the read that fills it; what was read is hashed and watched
//! exactly once, in the order of the stream; and what a read gave beyond the end of a part is the
//! start of the next one.

use std::io::PipeReader;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use tokio::sync::mpsc::UnboundedSender;

use super::byte_source::{ByteSource, ReadResult};
use super::{FilledPart, ReadEvent, ReaderStats};
use crate::source::pool::{Buffer, Pool};
use proto::digest::{Algorithm, Hasher, crc32_combine};
use proto::error::{Error, ErrorKind};
use proto::part_plan::PartPlan;
use validate::{Rejection, StreamValidator};

/// The most that is read at once: what has been read is hashed while it is in the core's own cache.
const READ_SIZE: usize = 256 << 10;
/// What is read of a stream of which it is not known yet whether the service takes it: the first part,
/// and the second, whose beginning says that there has to be an upload.
const READ_AHEAD: u32 = 2;

pub(super) struct PartReader {
    pub source: ByteSource,
    pub stop_rx: PipeReader,
    pub pool: Pool,
    pub plan: PartPlan,
    pub algorithm: Algorithm,
    pub validator: Option<Box<dyn StreamValidator>>,
    pub events: UnboundedSender<ReadEvent>,
    pub stats: Arc<ReaderStats>,
    pub remainder: PacketRemainder,
    /// It was said that there is less memory than was planned for.
    pub memory_pressure: bool,
}

/// What a read gave beyond the space that was left in a part: less than one packet.
#[derive(Default)]
pub(super) struct PacketRemainder {
    bytes: Vec<u8>,
    from: usize,
    to: usize,
}

impl PacketRemainder {
    /// Moves as much as fits; how much that is.
    fn copy_into(&mut self, space: &mut [u8]) -> usize {
        let length = space.len().min(self.to - self.from);
        space[..length].copy_from_slice(&self.bytes[self.from..self.from + length]);
        self.from += length;
        length
    }

    fn is_empty(&self) -> bool {
        self.from == self.to
    }

    /// What was put into the room is kept, as far as this.
    fn keep(&mut self, length: usize) {
        (self.from, self.to) = (0, length);
    }

    /// Room for so much; whatever was in it is gone.
    fn room(&mut self, length: usize) -> &mut [u8] {
        if self.bytes.len() < length {
            self.bytes.resize(length, 0);
        }
        &mut self.bytes[..length]
    }
}

/// Why reading ended before anything else could be said.
enum StopReason {
    Stopped,
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
    woken: &PipeReader,
    gauge: &ReaderStats,
    space: &mut [u8],
    room: &mut [u8],
) -> Result<Option<usize>, StopReason> {
    gauge.waiting.store(true, Ordering::Relaxed);
    let piece = source.read(woken, space, room);
    gauge.waiting.store(false, Ordering::Relaxed);
    match piece? {
        ReadResult::Bytes(read) => Ok(Some(read)),
        ReadResult::End => Ok(None),
        ReadResult::Stopped => Err(StopReason::Stopped),
    }
}

impl PartReader {
    /// Reads to the end. What is left to say is returned, not sent, so that the source is closed
    /// first; nothing is if reading was stopped.
    pub fn run(mut self) -> Option<ReadEvent> {
        match self.stream() {
            Ok((bytes, crc32)) => Some(ReadEvent::EndOfStream { bytes, crc32 }),
            Err(StopReason::Failed(error)) => Some(ReadEvent::SourceFailed(error)),
            Err(StopReason::Stopped) => None,
        }
    }

    fn stream(&mut self) -> Result<(u64, u32), StopReason> {
        let (mut bytes, mut crc32) = (0, 0);
        for number in 1.. {
            if number > READ_AHEAD {
                self.emit_part()?;
            }
            let size = self.plan.part_size(number).min(self.plan.max_stream() - bytes);
            if size == 0 {
                self.expect_eof()?;
                break;
            }
            let (part, ended) = self.read_part(number, size)?;
            if part.digest.size > 0 {
                let so_far = [(crc32, bytes), (part.digest.crc32, part.digest.size)];
                crc32 = crc32_combine(so_far);
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

    /// Fills one part, and tells whether the stream ended in it.
    fn read_part(&mut self, number: u32, size: u64) -> Result<(FilledPart, bool), StopReason> {
        self.pool.set_limit(self.plan.buffers_for(number));
        let mut hasher = Hasher::new(self.algorithm);
        let (mut chunks, mut left, mut ended) = (Vec::new(), size, false);
        if number == 2 {
            // Known before there is a buffer: where there is memory for one only, it is free again
            // when it is known how the first part is to be sent.
            ended = !self.more_follows()?;
            if !ended {
                self.send_event(ReadEvent::MultipartNeeded)?;
            }
        }
        while left > 0 && !ended {
            // Less than planned, but no less than one buffer: what is held is all there is.
            let Some(mut buffer) = self.buffer(chunks.len())? else { break };
            let room = left.min(buffer.space().len() as u64) as usize;
            let mut used = 0;
            while used < room {
                let end = room.min(used + READ_SIZE);
                let space = &mut buffer.space()[used..end];
                let Some(read) = self.read(space)? else {
                    ended = true;
                    break;
                };
                let piece = &buffer.space()[used..used + read];
                hasher.update(piece);
                if let Some(watch) = &mut self.validator {
                    watch.bytes(piece).map_err(rejected)?;
                }
                used += read;
            }
            if used > 0 {
                chunks.push(buffer.freeze(used));
                left -= used as u64;
            }
        }
        Ok((FilledPart { number, chunks, digest: hasher.finish() }, ended))
    }

    /// Waits until the upload is there, where the pool is held until then.
    fn emit_part(&self) -> Result<(), StopReason> {
        self.stats.out_of_buffers.store(true, Ordering::Relaxed);
        let passed = self.pool.may_map();
        self.stats.out_of_buffers.store(false, Ordering::Relaxed);
        if passed { Ok(()) } else { Err(StopReason::Stopped) }
    }

    /// A buffer for a part that has so many; `None` where there is no memory for another one.
    fn buffer(&mut self, own: usize) -> Result<Option<Buffer>, StopReason> {
        self.stats.out_of_buffers.store(true, Ordering::Relaxed);
        let taken = self.pool.try_take_extra(own);
        self.stats.out_of_buffers.store(false, Ordering::Relaxed);
        if let Some(why) = self.pool.refusal().filter(|_| taken.is_ok() && !self.memory_pressure) {
            self.memory_pressure = true;
            let what = format!("the system gives no more memory for buffers: {why}; going on with");
            self.send_event(ReadEvent::Warning(format!(
                "{what} what there is, which may be slower"
            )))?;
        }
        match taken {
            Ok(Some(buffer)) => Ok(Some(buffer)),
            Ok(None) => Err(StopReason::Stopped),
            Err(_) if own > 0 => Ok(None),
            Err(error) => {
                let what = format!("the system gives no memory for a buffer: {error}");
                let hint = "bound the memory with --max-memory, or raise the limits of the process";
                Err(Error::new(ErrorKind::Internal, what).with_hint(hint).into())
            }
        }
    }

    /// Whether there is more of the stream; what of it was read is kept.
    fn more_follows(&mut self) -> Result<bool, StopReason> {
        if self.remainder.is_empty() {
            let room = self.remainder.room(self.source.min_size());
            let Some(read) = read(&self.source, &self.stop_rx, &self.stats, room, &mut [])? else {
                return Ok(false);
            };
            self.remainder.keep(read);
        }
        Ok(true)
    }

    /// Puts more of the stream into `space`; `None` at the end of the stream. Near the end of a part
    /// the kernel is given room for a whole packet, and what is too much for the part is kept.
    fn read(&mut self, space: &mut [u8]) -> Result<Option<usize>, StopReason> {
        let mut length = self.remainder.copy_into(space);
        if length == 0 {
            let room = self.remainder.room(self.source.min_size().saturating_sub(space.len()));
            let Some(read) = read(&self.source, &self.stop_rx, &self.stats, space, room)? else {
                return Ok(None);
            };
            length = read.min(space.len());
            self.remainder.keep(read - length);
        }
        self.stats.bytes.fetch_add(length as u64, Ordering::Relaxed);
        Ok(Some(length))
    }

    /// Every part that there may be is full: the stream must end here.
    fn expect_eof(&mut self) -> Result<(), StopReason> {
        match self.more_follows()? {
            false => Ok(()),
            true => {
                let longest = self.plan.max_stream();
                let what =
                    format!("the stream is longer than {longest} bytes, all that can be stored");
                let hint = "give its size with --expected-size, more memory with --max-memory, or \
                            store it as several objects";
                Err(Error::source(what).with_hint(hint).into())
            }
        }
    }

    /// What remains to be checked when the stream has ended.
    fn finish_validation(&mut self, bytes: u64) -> Result<(), StopReason> {
        let name = self.source.name();
        match self.source.size() {
            Some(size) if bytes < size => {
                let what = format!("{name} shrank while it was read: {size} bytes, then {bytes}");
                return Err(Error::source(what)
                    .with_hint("run again when nothing writes to it")
                    .into());
            }
            _ => {}
        }
        if let Some(warning) = self.source.modified() {
            self.send_event(ReadEvent::Warning(warning))?;
        }
        if let Some(watch) = self.validator.take()
            && let Some(warning) = watch.end().map_err(rejected)?
        {
            self.send_event(ReadEvent::Warning(warning))?;
        }
        Ok(())
    }

    /// If nobody listens any more, there is nothing to read for.
    fn send_event(&self, incoming: ReadEvent) -> Result<(), StopReason> {
        self.events.send(incoming).map_err(|_| StopReason::Stopped)
    }
}

/// A stream that its validator refuses is a failure of its producer.
fn rejected(rejection: Rejection) -> Error {
    Error::source(rejection.message).with_hint("look at what the producer said")
}
