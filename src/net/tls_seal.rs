//! What a TLS session seals, written to the queue of what is sent.
//!
//! Owns the space that this needs. Must not know connections. Invariant: what was sealed is in the queue
//! as a whole, once.

use std::io;

use rustls::client::ClientConnectionData;
use rustls::unbuffered::{EncodeError, EncodeTlsData, EncryptError, WriteTraffic};

use super::tls_buffer::ByteQueue;

/// Bytes by which sealing makes what one write seals longer, at most.
const WRITE_OVERHEAD: usize = 1 << 10;

/// What is sealed as soon as the session permits it.
pub(super) enum Outgoing<'a> {
    Nothing,
    Bytes(&'a [u8]),
    CloseNotify,
}

/// Adds a message of the handshake, or an alert. Fails where rustls has none.
pub(super) fn encode(
    mut data: EncodeTlsData<'_, ClientConnectionData>,
    outgoing: &mut ByteQueue,
) -> io::Result<()> {
    let mut length = WRITE_OVERHEAD;
    loop {
        match data.encode(outgoing.space(length)) {
            Ok(written) => {
                outgoing.fill(written);
                return Ok(());
            }
            Err(EncodeError::InsufficientSize(needed)) if needed.required_size > length => {
                length = needed.required_size;
            }
            Err(error) => return Err(io::Error::other(error)),
        }
    }
}

/// Seals bytes or the notice of the end. Fails where the keys are used up.
pub(super) fn seal(
    mut traffic: WriteTraffic<'_, ClientConnectionData>,
    what: Outgoing<'_>,
    outgoing: &mut ByteQueue,
) -> io::Result<()> {
    let mut length = match what {
        Outgoing::Nothing => return Ok(()),
        Outgoing::Bytes(bytes) => bytes.len() + WRITE_OVERHEAD,
        Outgoing::CloseNotify => WRITE_OVERHEAD,
    };
    loop {
        let space = outgoing.space(length);
        let sealed = match what {
            Outgoing::Bytes(bytes) => traffic.encrypt(bytes, space),
            _ => traffic.queue_close_notify(space),
        };
        match sealed {
            Ok(written) => {
                outgoing.fill(written);
                return Ok(());
            }
            Err(EncryptError::InsufficientSize(needed)) if needed.required_size > length => {
                length = needed.required_size;
            }
            Err(error) => return Err(io::Error::other(error)),
        }
    }
}
