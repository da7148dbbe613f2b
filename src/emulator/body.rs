//! A request body on its way to disk: counted, hashed and written as it comes.
//!
//! Knows frames and files, no operation. Invariant: only a bounded number of frames is ever in memory,
//! however long the body; hashing and writing never run on the threads that serve connections.

use super::checksum::{Algorithm, ChecksumHasher, Checksums};
use super::connection::ConnectionControl;
use super::fault::Fault;
use super::response::ErrorResponse;
use super::store::upload::PartWriter;
use super::threads;
use bytes::{Bytes, BytesMut};
use http_body_util::BodyExt;
use hyper::body::Incoming;
use std::future::pending;
use std::io;
use std::os::unix::fs::FileExt;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;
use tokio::sync::mpsc;
use tokio::time::sleep;

/// Frames between the socket and the disk.
const READ_AHEAD_FRAMES: usize = 4;

/// Bodies of this size are brought to disk before they are acknowledged.
const WRITEBACK_CHUNK: u64 = 8 * 1024 * 1024;

/// Why a request gets no ordinary answer.
#[derive(Debug)]
pub enum HandlerError {
    Refused(ErrorResponse),
    /// The connection is cut instead of an answer.
    Cut,
}

impl From<ErrorResponse> for HandlerError {
    fn from(failure: ErrorResponse) -> HandlerError {
        HandlerError::Refused(failure)
    }
}

impl From<io::Error> for HandlerError {
    fn from(error: io::Error) -> HandlerError {
        HandlerError::Refused(error.into())
    }
}

/// Runs disk work where waiting hurts nobody.
pub async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, ErrorResponse> + Send + 'static,
) -> Result<T, ErrorResponse> {
    let done = threads::run(work).await;
    done.unwrap_or_else(|| Err(ErrorResponse::new(500, "InternalServerError", "The work failed")))
}

/// The same bytes but for one bit of one byte.
fn with_bit_flipped(bytes: Bytes, at: u64) -> Bytes {
    let mut bytes = bytes.to_vec();
    if let Some(byte) = usize::try_from(at).ok().and_then(|at| bytes.get_mut(at)) {
        *byte ^= 1;
    }
    bytes.into()
}

/// The body of one request, with the faults that befall bodies.
pub struct RequestBody {
    incoming: Incoming,
    received: Arc<AtomicU64>,
    read: u64,
    stall: Option<(u64, Option<u64>)>,
    reset: Option<u64>,
    flip: Option<u64>,
    orders: ConnectionControl,
}

impl RequestBody {
    pub fn new(
        incoming: Incoming,
        received: Arc<AtomicU64>,
        orders: ConnectionControl,
        fault: Option<&Fault>,
    ) -> RequestBody {
        let (mut stall, mut reset, mut flip) = (None, None, None);
        match fault {
            Some(Fault::StallBody { bytes, ms }) => stall = Some((*bytes, *ms)),
            Some(Fault::ResetInBody(bytes)) => reset = Some(*bytes),
            Some(Fault::FlipBit(byte)) => flip = Some(*byte),
            _ => {}
        }
        RequestBody { incoming, received, read: 0, stall, reset, flip, orders }
    }

    async fn chunk(&mut self) -> Result<Option<Bytes>, HandlerError> {
        if self.stall.is_some_and(|(bytes, _)| self.read >= bytes) {
            match self.stall.take() {
                Some((_, Some(ms))) => sleep(Duration::from_millis(ms)).await,
                _ => pending().await,
            }
        }
        if self.reset.is_some_and(|bytes| self.read >= bytes) {
            self.orders.reset();
            return Err(HandlerError::Cut);
        }
        while let Some(frame) = self.incoming.frame().await {
            // The client went away in the middle.
            let frame = frame.map_err(|_| HandlerError::Cut)?;
            if let Ok(bytes) = frame.into_data() {
                let from = self.read;
                self.read += bytes.len() as u64;
                self.received.fetch_add(bytes.len() as u64, Ordering::SeqCst);
                return Ok(Some(match self.flip {
                    Some(byte) if (from..self.read).contains(&byte) => {
                        with_bit_flipped(bytes, byte - from)
                    }
                    _ => bytes,
                }));
            }
        }
        Ok(None)
    }

    /// The whole of a small body.
    pub async fn collect(mut self, limit: u64) -> Result<Bytes, HandlerError> {
        let mut whole = BytesMut::new();
        while let Some(bytes) = self.chunk().await? {
            whole.extend_from_slice(&bytes);
            if whole.len() as u64 > limit {
                let message = format!("The request body is longer than {limit} bytes");
                return Err(ErrorResponse::new(413, "RequestEntityTooLarge", message).into());
            }
        }
        Ok(whole.freeze())
    }

    pub async fn discard(mut self) -> Result<(), HandlerError> {
        while self.chunk().await?.is_some() {}
        Ok(())
    }

    /// Writes the body into its slot and returns both with the checksums of what was written.
    pub async fn write_to(
        mut self,
        slot: PartWriter,
        algorithms: Vec<Algorithm>,
    ) -> Result<(PartWriter, Checksums), HandlerError> {
        let (sender, mut chunks) = mpsc::channel::<Bytes>(READ_AHEAD_FRAMES);
        let writer = threads::begin(move || {
            let mut summer = ChecksumHasher::new(&algorithms);
            let mut at = slot.offset;
            while let Some(bytes) = chunks.blocking_recv() {
                slot.file.write_all_at(&bytes, at)?;
                summer.update(&bytes);
                at += bytes.len() as u64;
            }
            // Else the commit of a large object would flush for so long that clients give up.
            if at - slot.offset >= WRITEBACK_CHUNK {
                slot.file.sync_data()?;
            }
            Ok::<_, io::Error>((slot, summer.finish()))
        });
        while let Some(bytes) = self.chunk().await? {
            if sender.send(bytes).await.is_err() {
                break; // The writer failed; its error comes next.
            }
        }
        drop(sender);
        Ok(writer.await.map_err(io::Error::other)??)
    }
}
