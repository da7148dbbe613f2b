//! One accepted connection as a stream of plain bytes, most of which can be discarded unread.
//!
//! Owns the socket, TLS and the buffer of what was read ahead. Knows nothing of HTTP. Invariant:
//! `skip` counts exactly the plain bytes that it discards.

use std::io::{self, Read, Write};
use std::net::TcpStream;
use std::sync::Arc;

use ocipipe_bench::records::{self, DATA, HANDSHAKE, HEADER, OVERHEAD, Records};
use rustix::net::RecvFlags;
use rustls::{ServerConfig, ServerConnection};

use super::line::{Paces, STEP};

pub struct Wire {
    socket: TcpStream,
    tls: Option<Records>,
    paces: Paces,
    /// Whether every record is decrypted.
    whole: bool,
    /// What was read, of which `plain[at..end]` has not been taken.
    plain: Vec<u8>,
    at: usize,
    end: usize,
    /// Buffer for discarded bytes; the kernel writes nothing to it (`MSG_TRUNC`).
    scratch: Vec<u8>,
    /// What is sent, sealed.
    sealed: Vec<u8>,
}

impl Wire {
    /// Detects by the first byte whether a TLS handshake or plain HTTP follows.
    pub fn accept(
        mut socket: TcpStream,
        config: Arc<ServerConfig>,
        paces: Paces,
        whole: bool,
    ) -> io::Result<Wire> {
        let mut first = [0];
        socket.peek(&mut first)?;
        paces.delay();
        let tls = if first[0] == HANDSHAKE {
            let invalid = |e| io::Error::new(io::ErrorKind::InvalidData, e);
            let mut connection = ServerConnection::new(config).map_err(invalid)?;
            records::handshake(&mut connection, &mut socket)?;
            Some(Records::new(connection.dangerous_extract_secrets().map_err(invalid)?)?)
        } else {
            None
        };
        let step = if paces.receiving.is_limited() { STEP } else { 1 << 20 };
        let (plain, scratch) = (Vec::new(), vec![0; step]);
        Ok(Wire { socket, tls, paces, whole, plain, at: 0, end: 0, scratch, sealed: Vec::new() })
    }

    /// The bytes that can be read now; empty at the end of the stream.
    pub fn fill(&mut self) -> io::Result<&[u8]> {
        while self.at == self.end {
            let more = match &self.tls {
                Some(_) => self.next_record(u64::MAX, false)?.is_some(),
                None => {
                    self.plain.resize(64 << 10, 0);
                    let read = self.socket.read(&mut self.plain)?;
                    (self.at, self.end) = (0, read);
                    read > 0
                }
            };
            if !more {
                return Ok(&[]);
            }
        }
        Ok(&self.plain[self.at..self.end])
    }

    pub fn consume(&mut self, bytes: usize) {
        self.at = (self.at + bytes).min(self.end);
    }

    /// A line without its end; `None` at the end of the stream.
    pub fn line(&mut self) -> io::Result<Option<String>> {
        let mut line = Vec::new();
        loop {
            let there = self.fill()?;
            if there.is_empty() {
                return if line.is_empty() { Ok(None) } else { Err(broken()) };
            }
            let end = there.iter().position(|byte| *byte == b'\n');
            let taken = end.map_or(there.len(), |at| at + 1);
            line.extend_from_slice(&there[..taken]);
            self.consume(taken);
            if end.is_some() {
                let text = String::from_utf8(line).map_err(|_| broken())?;
                return Ok(Some(text.trim_end_matches(['\r', '\n']).to_owned()));
            }
        }
    }

    /// Reads `bytes` bytes and passes each piece to `look`.
    pub fn take(&mut self, mut bytes: u64, mut look: impl FnMut(&[u8])) -> io::Result<()> {
        while bytes > 0 {
            let there = self.fill()?;
            if there.is_empty() {
                return Err(broken());
            }
            let taken = bytes.min(there.len() as u64) as usize;
            look(&there[..taken]);
            self.consume(taken);
            bytes -= taken as u64;
        }
        Ok(())
    }

    /// Discards `bytes` bytes, unread where possible.
    pub fn skip(&mut self, mut bytes: u64) -> io::Result<()> {
        if self.whole {
            return self.take(bytes, |_| ());
        }
        while bytes > 0 {
            let ahead = bytes.min((self.end - self.at) as u64);
            if ahead > 0 {
                self.consume(ahead as usize);
                bytes -= ahead;
            } else if self.tls.is_some() {
                bytes -= self.next_record(bytes, true)?.ok_or_else(broken)?;
            } else {
                let step = bytes.min(self.scratch.len() as u64) as usize;
                bytes -= self.discard(step)? as u64;
            }
        }
        Ok(())
    }

    pub fn send(&mut self, bytes: &[u8]) -> io::Result<()> {
        // All that is sent at once where no rate is set.
        let step = if self.paces.sending.is_limited() { STEP } else { bytes.len().max(1) };
        for piece in bytes.chunks(step) {
            self.paces.sending.admit(piece.len());
            match &mut self.tls {
                None => self.socket.write_all(piece)?,
                Some(records) => {
                    self.sealed.clear();
                    records.seal(piece, &mut self.sealed)?;
                    self.socket.write_all(&self.sealed)?;
                }
            }
        }
        Ok(())
    }

    /// The next record: opened into `plain`, or, if it is data within `skippable`, discarded, and
    /// then the bytes it held. `None` at the end of the stream.
    fn next_record(&mut self, skippable: u64, may_skip: bool) -> io::Result<Option<u64>> {
        let Some(records) = &mut self.tls else { return Ok(None) };
        let mut header = [0; HEADER];
        let mut got = 0;
        while got < HEADER {
            match self.socket.read(&mut header[got..])? {
                0 if got == 0 => return Ok(None),
                0 => return Err(broken()),
                n => got += n,
            }
        }
        let length = usize::from(u16::from_be_bytes([header[3], header[4]]));
        let held = length.saturating_sub(OVERHEAD) as u64;
        if may_skip && header[0] == DATA && held <= skippable {
            records.step_over();
            let mut left = length;
            while left > 0 {
                left -= self.discard(left.min(self.scratch.len()))?;
            }
            return Ok(Some(held));
        }
        self.paces.receiving.admit(length);
        self.plain.resize(HEADER + length, 0);
        self.plain[..HEADER].copy_from_slice(&header);
        self.socket.read_exact(&mut self.plain[HEADER..])?;
        (self.at, self.end) = (HEADER, HEADER);
        if header[0] != DATA {
            // The change of cipher that TLS 1.3 keeps for the sake of old middleboxes.
            return Ok(Some(0));
        }
        match records.open(&mut self.plain)? {
            (DATA, plain) => self.end += plain.len(),
            (records::ALERT, _) => return Ok(None),
            // A key update needs the traffic secret; no client here sends 2^24 records.
            _ => return Err(io::ErrorKind::Unsupported.into()),
        }
        Ok(Some(0))
    }

    /// Discards bytes in the kernel.
    fn discard(&mut self, bytes: usize) -> io::Result<usize> {
        self.paces.receiving.admit(bytes);
        let flags = RecvFlags::TRUNC | RecvFlags::WAITALL;
        let (read, _) = rustix::net::recv(&self.socket, &mut self.scratch[..bytes], flags)?;
        if read == 0 { Err(broken()) } else { Ok(read) }
    }
}

fn broken() -> io::Error {
    io::ErrorKind::UnexpectedEof.into()
}
