//! Judging by decoding, for formats whose end nothing else can tell.
//!
//! Owns the thread that decodes, and the bounded queue to it; what is decoded is thrown away. Knows
//! no format: a format is a function that reads members, one after the other.
//! Invariant: the stream is whole only if it is one whole member or several; the decoder never holds
//! more than the queue, and never outlives the judge by more than that.

use std::io::{self, BufRead, Read};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::thread::JoinHandle;

use super::{FormatError, Validator};

/// Pieces in the queue, and the most that is in one: two megabytes in all.
const QUEUE_LEN: usize = 16;
const CHUNK_SIZE: usize = 128 << 10;

/// Decodes one member to its end, from a reader that stands at its start; `buffer` is scratch space.
/// The reader is left where the member ends.
pub(super) type MemberDecoder = fn(&mut ChannelReader, buffer: &mut [u8]) -> io::Result<()>;

/// A format that is judged by decoding it.
pub(super) struct ThreadedDecoder {
    sender: Option<SyncSender<Vec<u8>>>,
    thread: Option<JoinHandle<Result<(), FormatError>>>,
}

impl ThreadedDecoder {
    pub fn new(member: MemberDecoder) -> io::Result<ThreadedDecoder> {
        let (pieces, receiver) = sync_channel(QUEUE_LEN);
        let stream = ChannelReader { receiver, chunk: Vec::new(), consumed: 0, at: 0 };
        let thread = std::thread::Builder::new()
            .name("ocipipe-expect".to_owned())
            .spawn(move || decode(stream, member))?;
        Ok(ThreadedDecoder { sender: Some(pieces), thread: Some(thread) })
    }

    /// What the thread has found; it is told that nothing more comes.
    fn join_result(&mut self) -> Result<(), FormatError> {
        self.sender = None;
        let joined = self.thread.take().map(JoinHandle::join);
        match joined {
            Some(Ok(verdict)) => verdict,
            _ => Err(FormatError::unsupported("the decoder failed within itself")),
        }
    }
}

impl Validator for ThreadedDecoder {
    fn bytes(&mut self, bytes: &[u8]) -> Result<(), FormatError> {
        for piece in bytes.chunks(CHUNK_SIZE) {
            let sent = self.sender.as_ref().is_some_and(|queue| queue.send(piece.to_vec()).is_ok());
            if !sent {
                // The thread stops listening only when it has found a flaw.
                return self.join_result();
            }
        }
        Ok(())
    }

    fn end(mut self: Box<Self>) -> Result<(), FormatError> {
        self.join_result()
    }
}

fn decode(mut stream: ChannelReader, member: MemberDecoder) -> Result<(), FormatError> {
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
            // Tapes pad with zeros after the last member.
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

/// Reads what is decoded until its end, and throws it away.
pub(super) fn drain(mut decoder: impl Read, buffer: &mut [u8]) -> io::Result<()> {
    while decoder.read(buffer)? > 0 {}
    Ok(())
}

/// The queue as a reader.
pub(super) struct ChannelReader {
    receiver: Receiver<Vec<u8>>,
    chunk: Vec<u8>,
    consumed: usize,
    /// Bytes consumed.
    at: u64,
}

impl ChannelReader {
    fn peek(&mut self) -> Option<u8> {
        self.fill_buf().ok()?.first().copied()
    }

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

impl BufRead for ChannelReader {
    fn fill_buf(&mut self) -> io::Result<&[u8]> {
        while self.consumed == self.chunk.len() {
            match self.receiver.recv() {
                Ok(piece) => (self.chunk, self.consumed) = (piece, 0),
                Err(_) => return Ok(&[]),
            }
        }
        Ok(&self.chunk[self.consumed..])
    }

    fn consume(&mut self, amount: usize) {
        self.consumed += amount;
        self.at += amount as u64;
    }
}

impl Read for ChannelReader {
    fn read(&mut self, space: &mut [u8]) -> io::Result<usize> {
        let length = self.fill_buf()?.len().min(space.len());
        space[..length].copy_from_slice(&self.chunk[self.consumed..self.consumed + length]);
        self.consume(length);
        Ok(length)
    }
}
