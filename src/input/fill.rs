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

use super::source::{Piece, Source};
use super::{Filled, Gauge, Incoming, Watch};
use crate::digest::{Algorithm, Hasher, crc32_combine};
use crate::error::{Error, Kind};
use crate::pool::{Buffer, Pool};
use crate::schedule::Plan;

/// The most that is read at once: what has been read is hashed while it is in the core's own cache.
const READ: usize = 256 << 10;
/// What is read of a stream of which it is not known yet whether the service takes it: the first part,
/// and the second, whose beginning says that there has to be an upload.
const AHEAD: u32 = 2;

pub(super) struct Filler {
    pub source: Source,
    pub woken: PipeReader,
    pub pool: Pool,
    pub plan: Plan,
    pub algorithm: Algorithm,
    pub watch: Option<Box<dyn Watch>>,
    pub events: UnboundedSender<Incoming>,
    pub gauge: Arc<Gauge>,
    pub surplus: Surplus,
    /// It was said that there is less memory than was planned for.
    pub scarce: bool,
}

/// What a read gave beyond the space that was left in a part: less than one packet.
#[derive(Default)]
pub(super) struct Surplus {
    bytes: Vec<u8>,
    from: usize,
    to: usize,
}

impl Surplus {
    /// Moves as much as fits; how much that is.
    fn move_to(&mut self, space: &mut [u8]) -> usize {
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
enum Halt {
    Stopped,
    Broken(Error),
}

impl From<Error> for Halt {
    fn from(error: Error) -> Halt {
        Halt::Broken(error)
    }
}

/// Reads once; `None` at the end of the stream.
fn read(
    source: &Source,
    woken: &PipeReader,
    gauge: &Gauge,
    space: &mut [u8],
    room: &mut [u8],
) -> Result<Option<usize>, Halt> {
    gauge.waiting.store(true, Ordering::Relaxed);
    let piece = source.read(woken, space, room);
    gauge.waiting.store(false, Ordering::Relaxed);
    match piece? {
        Piece::Bytes(read) => Ok(Some(read)),
        Piece::End => Ok(None),
        Piece::Stopped => Err(Halt::Stopped),
    }
}

impl Filler {
    /// Reads to the end. What is left to say is returned, not sent, so that the source is closed
    /// first; nothing is if reading was stopped.
    pub fn run(mut self) -> Option<Incoming> {
        match self.stream() {
            Ok((bytes, crc32)) => Some(Incoming::End { bytes, crc32 }),
            Err(Halt::Broken(error)) => Some(Incoming::Broken(error)),
            Err(Halt::Stopped) => None,
        }
    }

    fn stream(&mut self) -> Result<(u64, u32), Halt> {
        let (mut bytes, mut crc32) = (0, 0);
        for number in 1.. {
            if number > AHEAD {
                self.pass()?;
            }
            let size = self.plan.part_size(number).min(self.plan.longest() - bytes);
            if size == 0 {
                self.nothing_more()?;
                break;
            }
            let (part, ended) = self.part(number, size)?;
            if part.digest.size > 0 {
                let so_far = [(crc32, bytes), (part.digest.crc32, part.digest.size)];
                crc32 = crc32_combine(so_far);
                bytes += part.digest.size;
                if ended {
                    self.tell(Incoming::Ending)?;
                }
                self.tell(Incoming::Part(part))?;
            }
            if ended {
                break;
            }
        }
        self.judge(bytes)?;
        Ok((bytes, crc32))
    }

    /// Fills one part, and tells whether the stream ended in it.
    fn part(&mut self, number: u32, size: u64) -> Result<(Filled, bool), Halt> {
        self.pool.set_limit(self.plan.buffers_for(number));
        let mut hasher = Hasher::new(self.algorithm);
        let (mut chunks, mut left, mut ended) = (Vec::new(), size, false);
        if number == 2 {
            // Known before there is a buffer: where there is memory for one only, it is free again
            // when it is known how the first part is to be sent.
            ended = !self.goes_on()?;
            if !ended {
                self.tell(Incoming::Continues)?;
            }
        }
        while left > 0 && !ended {
            // Less than planned, but no less than one buffer: what is held is all there is.
            let Some(mut buffer) = self.buffer(chunks.len())? else { break };
            let room = left.min(buffer.space().len() as u64) as usize;
            let mut used = 0;
            while used < room {
                let end = room.min(used + READ);
                let space = &mut buffer.space()[used..end];
                let Some(read) = self.read(space)? else {
                    ended = true;
                    break;
                };
                let piece = &buffer.space()[used..used + read];
                hasher.update(piece);
                if let Some(watch) = &mut self.watch {
                    watch.bytes(piece)?;
                }
                used += read;
            }
            if used > 0 {
                chunks.push(buffer.freeze(used));
                left -= used as u64;
            }
        }
        Ok((Filled { number, chunks, digest: hasher.finish() }, ended))
    }

    /// Waits until the upload is there, where the pool is held until then.
    fn pass(&self) -> Result<(), Halt> {
        self.gauge.starved.store(true, Ordering::Relaxed);
        let passed = self.pool.passes();
        self.gauge.starved.store(false, Ordering::Relaxed);
        if passed { Ok(()) } else { Err(Halt::Stopped) }
    }

    /// A buffer for a part that has so many; `None` where there is no memory for another one.
    fn buffer(&mut self, own: usize) -> Result<Option<Buffer>, Halt> {
        self.gauge.starved.store(true, Ordering::Relaxed);
        let taken = self.pool.take_beside(own);
        self.gauge.starved.store(false, Ordering::Relaxed);
        if let Some(why) = self.pool.refusal().filter(|_| taken.is_ok() && !self.scarce) {
            self.scarce = true;
            let what = format!("the system gives no more memory for buffers: {why}; going on with");
            self.tell(Incoming::Warning(format!("{what} what there is, which may be slower")))?;
        }
        match taken {
            Ok(Some(buffer)) => Ok(Some(buffer)),
            Ok(None) => Err(Halt::Stopped),
            Err(_) if own > 0 => Ok(None),
            Err(error) => {
                let what = format!("the system gives no memory for a buffer: {error}");
                let hint = "bound the memory with --max-memory, or raise the limits of the process";
                Err(Error::new(Kind::Unforeseen, what).next(hint).into())
            }
        }
    }

    /// Whether there is more of the stream; what of it was read is kept.
    fn goes_on(&mut self) -> Result<bool, Halt> {
        if self.surplus.is_empty() {
            let room = self.surplus.room(self.source.least());
            let Some(read) = read(&self.source, &self.woken, &self.gauge, room, &mut [])? else {
                return Ok(false);
            };
            self.surplus.keep(read);
        }
        Ok(true)
    }

    /// Puts more of the stream into `space`; `None` at the end of the stream. Near the end of a part
    /// the kernel is given room for a whole packet, and what is too much for the part is kept.
    fn read(&mut self, space: &mut [u8]) -> Result<Option<usize>, Halt> {
        let mut length = self.surplus.move_to(space);
        if length == 0 {
            let room = self.surplus.room(self.source.least().saturating_sub(space.len()));
            let Some(read) = read(&self.source, &self.woken, &self.gauge, space, room)? else {
                return Ok(None);
            };
            length = read.min(space.len());
            self.surplus.keep(read - length);
        }
        self.gauge.bytes.fetch_add(length as u64, Ordering::Relaxed);
        Ok(Some(length))
    }

    /// Every part that there may be is full: the stream must end here.
    fn nothing_more(&mut self) -> Result<(), Halt> {
        match self.goes_on()? {
            false => Ok(()),
            true => {
                let longest = self.plan.longest();
                let what =
                    format!("the stream is longer than {longest} bytes, all that can be stored");
                let hint = "give its size with --expected-size, more memory with --max-memory, or \
                            store it as several objects";
                Err(Error::source(what).next(hint).into())
            }
        }
    }

    /// What remains to be checked when the stream has ended.
    fn judge(&mut self, bytes: u64) -> Result<(), Halt> {
        let name = self.source.name();
        match self.source.size() {
            Some(size) if bytes < size => {
                let what = format!("{name} shrank while it was read: {size} bytes, then {bytes}");
                return Err(Error::source(what).next("run again when nothing writes to it").into());
            }
            _ => {}
        }
        if let Some(warning) = self.source.changed() {
            self.tell(Incoming::Warning(warning))?;
        }
        if let Some(watch) = self.watch.take()
            && let Some(warning) = watch.end()?
        {
            self.tell(Incoming::Warning(warning))?;
        }
        Ok(())
    }

    /// If nobody listens any more, there is nothing to read for.
    fn tell(&self, incoming: Incoming) -> Result<(), Halt> {
        self.events.send(incoming).map_err(|_| Halt::Stopped)
    }
}
