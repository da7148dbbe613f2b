//! Validation by decoding, for formats whose end only a decoder finds.
//!
//! Owns the decoder thread and the bounded queue to it. The decoded data is discarded. Must not know a
//! format: a format is a function that reads one member. Invariants: a stream is whole if it consists of
//! one or more whole members, optionally followed by zeros; the queue has at most 2 MiB; the thread
//! ends when the validator is dropped and the queue is empty.

use std::io::{self, BufRead, Read};
use std::sync::mpsc::{SyncSender, sync_channel};
use std::thread::JoinHandle;

use super::{FormatError, Validator};

/// Chunks in the queue, and the most bytes of a chunk: 2 MiB together.
const QUEUE_LEN: usize = 16;
const CHUNK_SIZE: usize = 128 << 10;

/// Decodes one member, from a reader at its start to its end; `buffer` is scratch space. Afterwards the
/// reader is at the end of the member. Fails if the member is truncated or does not decode.
pub(super) type MemberDecoder = fn(&mut ChunkReader, buffer: &mut [u8]) -> io::Result<()>;

/// Gives the next chunk of a stream; `None` at its end.
type NextChunk = Box<dyn FnMut() -> Option<Vec<u8>> + Send>;

/// A validator that decodes the stream on a thread.
pub(super) struct ThreadedDecoder {
    sender: Option<SyncSender<Vec<u8>>>,
    thread: Option<JoinHandle<Result<(), FormatError>>>,
}

impl ThreadedDecoder {
    /// Starts the thread. Fails if the system cannot start one.
    pub(crate) fn new(member: MemberDecoder) -> io::Result<ThreadedDecoder> {
        let (sender, receiver) = sync_channel(QUEUE_LEN);
        let stream = ChunkReader::new(Box::new(move || receiver.recv().ok()));
        let thread = std::thread::Builder::new()
            .name("ocipipe-expect".to_owned())
            .spawn(move || decode(stream, member))?;
        Ok(ThreadedDecoder { sender: Some(sender), thread: Some(thread) })
    }

    /// Closes the queue, waits for the thread to end, and returns its result.
    fn join_result(&mut self) -> Result<(), FormatError> {
        self.sender = None;
        let joined = self.thread.take().map(JoinHandle::join);
        match joined {
            Some(Ok(result)) => result,
            _ => Err(FormatError::unsupported("the decoder failed within itself")),
        }
    }
}

impl Validator for ThreadedDecoder {
    fn bytes(&mut self, bytes: &[u8]) -> Result<(), FormatError> {
        for chunk in bytes.chunks(CHUNK_SIZE) {
            let sent = self.sender.as_ref().is_some_and(|queue| queue.send(chunk.to_vec()).is_ok());
            if !sent {
                // The thread closes its end of the queue only after an error.
                return self.join_result();
            }
        }
        Ok(())
    }

    fn end(mut self: Box<Self>) -> Result<(), FormatError> {
        self.join_result()
    }
}

/// Decodes members until the end of the stream. Fails if the stream is not whole.
pub(super) fn decode(mut stream: ChunkReader, member: MemberDecoder) -> Result<(), FormatError> {
    let mut buffer = vec![0; 64 << 10];
    let mut members = 0;
    loop {
        let start = stream.at;
        let Some(first) = stream.peek() else {
            return match members {
                0 => Err(FormatError::truncated("it stops before its end")),
                _ => Ok(()),
            };
        };
        if first == 0 && members > 0 {
            // Tapes are padded with zeros after the last member.
            return stream.only_zeros();
        }
        member(&mut stream, &mut buffer).map_err(|error| match error.kind() {
            io::ErrorKind::UnexpectedEof => FormatError::truncated("it stops before its end"),
            _ => FormatError::truncated(format!(
                "what starts at byte {start} does not decode: {error}"
            )),
        })?;
        members += 1;
    }
}

/// Reads a decoder to its end and discards the data.
pub(super) fn drain(mut decoder: impl Read, buffer: &mut [u8]) -> io::Result<()> {
    while decoder.read(buffer)? > 0 {}
    Ok(())
}

/// A reader of a stream that comes in chunks.
pub(super) struct ChunkReader {
    next: NextChunk,
    chunk: Vec<u8>,
    consumed: usize,
    /// The position in the stream of the next byte to consume.
    at: u64,
}

impl ChunkReader {
    pub(super) fn new(next: NextChunk) -> ChunkReader {
        ChunkReader { next, chunk: Vec::new(), consumed: 0, at: 0 }
    }

    /// The next byte; `None` at the end of the stream.
    fn peek(&mut self) -> Option<u8> {
        self.fill_buf().ok()?.first().copied()
    }

    /// Checks that only zeros follow to the end of the stream.
    fn only_zeros(&mut self) -> Result<(), FormatError> {
        while let Some(byte) = self.peek() {
            if byte != 0 {
                return Err(FormatError::truncated(format!(
                    "there is data after the padding, at byte {}",
                    self.at
                )));
            }
            self.consume(1);
        }
        Ok(())
    }
}

impl BufRead for ChunkReader {
    fn fill_buf(&mut self) -> io::Result<&[u8]> {
        while self.consumed == self.chunk.len() {
            match (self.next)() {
                Some(chunk) => (self.chunk, self.consumed) = (chunk, 0),
                None => return Ok(&[]),
            }
        }
        Ok(&self.chunk[self.consumed..])
    }

    fn consume(&mut self, amount: usize) {
        self.consumed += amount;
        self.at += amount as u64;
    }
}

impl Read for ChunkReader {
    fn read(&mut self, space: &mut [u8]) -> io::Result<usize> {
        let length = self.fill_buf()?.len().min(space.len());
        space[..length].copy_from_slice(&self.chunk[self.consumed..self.consumed + length]);
        self.consume(length);
        Ok(length)
    }
}
