//! A request body on its way to disk: counted, hashed and written as it arrives.
//!
//! Knows frames, files and the faults of bodies, and no operation. Invariant: only a bounded number
//! of frames is in memory, however long the body; hashing and writing never run on the threads that
//! serve connections.

use super::body_hasher::BodyHasher;
use super::checksum::{Algorithm, Checksums};
use super::connection::ConnectionControl;
use super::fault::Fault;
use super::response::{ErrorResponse, HandlerError};
use super::store::part_writer::PartWriter;
use super::threads;
use bytes::{Bytes, BytesMut};
use http_body_util::BodyExt;
use hyper::body::Incoming;
use rustix::fs::{Advice, fadvise};
use std::fs::File;
use std::future::pending;
use std::io;
use std::num::NonZeroU64;
use std::ops::Range;
use std::os::unix::fs::FileExt;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use tokio::sync::mpsc;
use tokio::time::sleep;

/// Frames between the socket and the disk.
const READ_AHEAD_FRAMES: usize = 4;

/// A body of at least this many bytes is flushed to disk before it is acknowledged.
const MIN_FLUSHED_BODY: u64 = 8 * 1024 * 1024;

/// Bytes after which the kernel begins to write them to disk, while the rest of the body arrives.
const WRITE_BACK_STEP: u64 = 4 * 1024 * 1024;

/// The body of one request, with the fault that it meets. Offsets are bytes from the start of the
/// body.
pub(crate) struct RequestBody {
    /// Set until this is dropped.
    incoming: Option<Incoming>,
    received: Arc<AtomicU64>,
    position: u64,
    stall: Option<Stall>,
    reset_at: Option<u64>,
    flip_at: Option<u64>,
    control: ConnectionControl,
    /// Where the rest of the body goes that no handler reads, under a fault that holds the response back.
    unread: Option<UnreadBody>,
}

/// The rest of a body that no handler has read. hyper notices that a client has gone only while it reads
/// what the client sends.
#[derive(Clone, Default)]
pub(crate) struct UnreadBody(Arc<Mutex<Option<Incoming>>>);

impl UnreadBody {
    /// Reads and drops the rest. hyper ends the exchange where the client goes away meanwhile.
    pub(crate) async fn discard(self) {
        let rest = self.0.lock().unwrap_or_else(PoisonError::into_inner).take();
        let Some(mut rest) = rest else { return };
        while let Some(Ok(_)) = rest.frame().await {}
    }
}

impl Drop for RequestBody {
    fn drop(&mut self) {
        if let Some(unread) = &self.unread {
            *unread.0.lock().unwrap_or_else(PoisonError::into_inner) = self.incoming.take();
        }
    }
}

/// A pause in the reading of a body.
struct Stall {
    at: u64,
    /// `None` never ends.
    ms: Option<u64>,
}

impl RequestBody {
    /// `received` counts the bytes as they arrive.
    pub(crate) fn new(
        incoming: Incoming,
        received: Arc<AtomicU64>,
        control: ConnectionControl,
        fault: Option<&Fault>,
    ) -> RequestBody {
        let (mut stall, mut reset_at, mut flip_at) = (None, None, None);
        match fault {
            Some(Fault::StallBody { bytes, ms }) => stall = Some(Stall { at: *bytes, ms: *ms }),
            Some(Fault::ResetInBody(bytes)) => reset_at = Some(*bytes),
            Some(Fault::FlipBit(byte)) => flip_at = Some(*byte),
            _ => {}
        }
        let unread = matches!(fault, Some(Fault::StallAnswer { .. })).then(UnreadBody::default);
        let incoming = Some(incoming);
        RequestBody { incoming, received, position: 0, stall, reset_at, flip_at, control, unread }
    }

    /// What a handler will have left of the body.
    pub(crate) fn unread(&self) -> UnreadBody {
        self.unread.clone().unwrap_or_default()
    }

    async fn chunk(&mut self) -> Result<Option<Bytes>, HandlerError> {
        if let Some(stall) = self.stall.take_if(|stall| self.position >= stall.at) {
            match stall.ms {
                Some(ms) => sleep(Duration::from_millis(ms)).await,
                None => pending().await,
            }
        }
        if self.reset_at.is_some_and(|bytes| self.position >= bytes) {
            self.control.reset();
            return Err(HandlerError::Aborted);
        }
        let Some(incoming) = &mut self.incoming else { return Ok(None) };
        while let Some(frame) = incoming.frame().await {
            // An error means that the client closed the connection within the body.
            let frame = frame.map_err(|_| HandlerError::Aborted)?;
            if let Ok(bytes) = frame.into_data() {
                let start = self.position;
                self.position += bytes.len() as u64;
                self.received.fetch_add(bytes.len() as u64, Ordering::SeqCst);
                return Ok(Some(match self.flip_at {
                    Some(byte) if (start..self.position).contains(&byte) => {
                        with_bit_flipped(bytes, byte - start)
                    }
                    _ => bytes,
                }));
            }
        }
        Ok(None)
    }

    /// Reads the body into memory; fails with 413 if it is longer than `limit` bytes.
    pub(crate) async fn collect(mut self, limit: u64) -> Result<Bytes, HandlerError> {
        let mut collected = BytesMut::new();
        while let Some(bytes) = self.chunk().await? {
            collected.extend_from_slice(&bytes);
            if collected.len() as u64 > limit {
                let message = format!("The request body is longer than {limit} bytes");
                return Err(ErrorResponse::new(413, "RequestEntityTooLarge", message).into());
            }
        }
        Ok(collected.freeze())
    }

    /// Reads the body to its end and drops it; fails where the connection breaks first.
    pub(crate) async fn discard(mut self) -> Result<(), HandlerError> {
        while self.chunk().await?.is_some() {}
        Ok(())
    }

    /// Writes the body to the file of `writer` and returns it with the checksums of what was
    /// written. Fails where the connection breaks first or the disk refuses a write.
    pub(crate) async fn write_to(
        mut self,
        writer: PartWriter,
        algorithms: Vec<Algorithm>,
    ) -> Result<(PartWriter, Checksums), HandlerError> {
        let (sender, mut chunks) = mpsc::channel::<Bytes>(READ_AHEAD_FRAMES);
        let written = threads::spawn(move || {
            let mut hasher = BodyHasher::new(&algorithms);
            let (mut offset, mut dirty_from) = (writer.offset, writer.offset);
            while let Some(bytes) = chunks.blocking_recv() {
                hasher.update(bytes.clone());
                writer.file.write_all_at(&bytes, offset)?;
                offset += bytes.len() as u64;
                if offset - dirty_from >= WRITE_BACK_STEP {
                    begin_write_back(&writer.file, dirty_from..offset);
                    dirty_from = offset;
                }
            }
            // Without this the commit of a large object flushes for longer than clients wait.
            if offset - writer.offset >= MIN_FLUSHED_BODY {
                writer.file.sync_data()?;
            }
            Ok::<_, io::Error>((writer, hasher.finish()?))
        });
        while let Some(bytes) = self.chunk().await? {
            if sender.send(bytes).await.is_err() {
                break; // The writing thread failed; its error is returned below.
            }
        }
        drop(sender);
        Ok(written.await.map_err(io::Error::other)??)
    }
}

/// Makes the kernel write a range of a file to disk, without waiting for it. Linux does so when it is asked
/// to forget pages that are not written yet.
fn begin_write_back(file: &File, range: Range<u64>) {
    let length = NonZeroU64::new(range.end - range.start);
    // The flush at the end writes what this does not.
    let _ = fadvise(file, range.start, length, Advice::DontNeed);
}

/// The same bytes with the lowest bit of the byte at `index` flipped.
fn with_bit_flipped(bytes: Bytes, index: u64) -> Bytes {
    let mut bytes = bytes.to_vec();
    if let Some(byte) = usize::try_from(index).ok().and_then(|index| bytes.get_mut(index)) {
        *byte ^= 1;
    }
    bytes.into()
}
