//! TLS 1.3 records after the handshake by rustls.
//!
//! Owns the two AEAD keys and the sequence numbers. The sealing side is as cheap as possible:
//! one pass from the caller's bytes into a reused buffer. The opening side can skip a record
//! without decrypting it, so that a sink discards bytes at almost no cost.
//! Invariant: a record is counted in the sequence whether it was opened or skipped.

use std::io::{self, Read, Write};

use ring::aead::{self, Aad, LessSafeKey, NONCE_LEN, Nonce, UnboundKey};
use rustls::{ConnectionTrafficSecrets, ExtractedSecrets};

/// The longest plaintext of a record.
pub const PLAIN: usize = 16 << 10;
/// Type, version, length.
pub const HEADER: usize = 5;
/// The inner content type and the tag.
pub const OVERHEAD: usize = 1 + 16;

pub const HANDSHAKE: u8 = 22;
pub const ALERT: u8 = 21;
pub const DATA: u8 = 23;

/// Reads exactly one record, encrypted. `None` at the end of the stream.
pub fn read_raw(socket: &mut impl Read, record: &mut Vec<u8>) -> io::Result<Option<()>> {
    record.resize(HEADER, 0);
    let mut got = 0;
    while got < HEADER {
        match socket.read(&mut record[got..])? {
            0 if got == 0 => return Ok(None),
            0 => return Err(io::ErrorKind::UnexpectedEof.into()),
            n => got += n,
        }
    }
    let length = usize::from(u16::from_be_bytes([record[3], record[4]]));
    record.resize(HEADER + length, 0);
    socket.read_exact(&mut record[HEADER..])?;
    Ok(Some(()))
}

/// Completes the handshake of a rustls connection without reading a byte too many, so that its keys
/// can be extracted.
pub fn handshake<D>(
    connection: &mut rustls::ConnectionCommon<D>,
    socket: &mut (impl Read + Write),
) -> io::Result<()> {
    let mut record = Vec::new();
    loop {
        while connection.wants_write() {
            connection.write_tls(socket)?;
        }
        if !connection.is_handshaking() {
            return Ok(());
        }
        if read_raw(socket, &mut record)?.is_none() {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        let mut rest = record.as_slice();
        while !rest.is_empty() {
            connection.read_tls(&mut rest)?;
            let processed = connection.process_new_packets();
            processed.map_err(|e| io::Error::new(io::ErrorKind::InvalidData, e))?;
        }
    }
}

/// The bytes of the record at the beginning, if all of it is there.
pub fn complete(bytes: &[u8]) -> Option<usize> {
    let length = HEADER + usize::from(u16::from_be_bytes([*bytes.get(3)?, *bytes.get(4)?]));
    (bytes.len() >= length).then_some(length)
}

struct Key {
    key: LessSafeKey,
    iv: [u8; NONCE_LEN],
    sequence: u64,
}

impl Key {
    fn new((sequence, secrets): (u64, ConnectionTrafficSecrets)) -> io::Result<Key> {
        let (algorithm, key, iv) = match &secrets {
            ConnectionTrafficSecrets::Aes128Gcm { key, iv } => (&aead::AES_128_GCM, key, iv),
            ConnectionTrafficSecrets::Aes256Gcm { key, iv } => (&aead::AES_256_GCM, key, iv),
            ConnectionTrafficSecrets::Chacha20Poly1305 { key, iv } => {
                (&aead::CHACHA20_POLY1305, key, iv)
            }
            _ => return Err(io::ErrorKind::Unsupported.into()),
        };
        let wrong = |_| io::Error::from(io::ErrorKind::InvalidData);
        let key = LessSafeKey::new(UnboundKey::new(algorithm, key.as_ref()).map_err(wrong)?);
        let iv = iv.as_ref().try_into().map_err(|_| io::Error::from(io::ErrorKind::InvalidData))?;
        Ok(Key { key, iv, sequence })
    }

    fn nonce(&mut self) -> Nonce {
        let mut nonce = self.iv;
        for (byte, count) in nonce[NONCE_LEN - 8..].iter_mut().zip(self.sequence.to_be_bytes()) {
            *byte ^= count;
        }
        self.sequence += 1;
        Nonce::assume_unique_for_key(nonce)
    }
}

/// Both directions of one connection.
pub struct Records {
    sealing: Key,
    opening: Key,
}

impl Records {
    pub fn new(secrets: ExtractedSecrets) -> io::Result<Records> {
        Ok(Records { sealing: Key::new(secrets.tx)?, opening: Key::new(secrets.rx)? })
    }

    /// Appends bytes as records.
    pub fn seal(&mut self, plain: &[u8], out: &mut Vec<u8>) -> io::Result<()> {
        for piece in plain.chunks(PLAIN) {
            let length = (piece.len() + OVERHEAD) as u16;
            let [high, low] = length.to_be_bytes();
            let header = [DATA, 3, 3, high, low];
            out.extend_from_slice(&header);
            let start = out.len();
            out.extend_from_slice(piece);
            out.push(DATA);
            let nonce = self.sealing.nonce();
            let aad = Aad::from(header);
            let tag = self
                .sealing
                .key
                .seal_in_place_separate_tag(nonce, aad, &mut out[start..])
                .map_err(|_| io::Error::from(io::ErrorKind::InvalidData))?;
            out.extend_from_slice(tag.as_ref());
        }
        Ok(())
    }

    /// Opens a complete record in place; returns its inner type and plaintext.
    pub fn open<'r>(&mut self, record: &'r mut [u8]) -> io::Result<(u8, &'r [u8])> {
        let invalid = || io::Error::from(io::ErrorKind::InvalidData);
        let (header, sealed) = record.split_at_mut_checked(HEADER).ok_or_else(invalid)?;
        let nonce = self.opening.nonce();
        let aad = Aad::from(&*header);
        let plain = self.opening.key.open_in_place(nonce, aad, sealed).map_err(|_| invalid())?;
        let end = plain.iter().rposition(|byte| *byte != 0).ok_or_else(invalid)?;
        Ok((plain[end], &plain[..end]))
    }

    /// Counts a record that was discarded unread.
    pub fn step_over(&mut self) {
        self.opening.sequence += 1;
    }
}
