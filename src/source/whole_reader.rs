//! Reads a stream from its start to its end without keeping it.
//!
//! Owns the loop of the reading thread for streams that are only looked at. Must not know what their
//! bytes are compared with. Invariant: success means that the stream has ended, and that every byte of
//! it was handed on once, in order.

use std::io::PipeReader;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use super::byte_source::ReadResult;
use super::{ByteSource, ReaderThread};
use proto::error::{Error, ErrorKind};

/// Bytes of one read: so few that they are hashed while they are in the core's own cache.
const READ_SIZE: usize = 256 << 10;
/// What the thread owns while it reads.
struct WholeReading<S> {
    source: ByteSource,
    stop_rx: PipeReader,
    space: Vec<u8>,
    bytes: u64,
    /// The same number, for other threads.
    shared_bytes: Arc<AtomicU64>,
    state: S,
}

/// The length of a stream that was read, and a warning if it is a file that was modified meanwhile.
pub struct WholeStream {
    pub bytes: u64,
    pub warning: Option<String>,
}

impl ReaderThread {
    /// Reads the source to its end; `update` gets each piece, and `bytes` is the number of bytes so far.
    /// Dropping the future stops the thread. Fails with `ErrorKind::Source` where a read fails or a
    /// file gets shorter.
    pub async fn read_all<S: Send + 'static>(
        self,
        source: ByteSource,
        state: S,
        update: fn(&mut S, &[u8]),
        bytes: Arc<AtomicU64>,
    ) -> Result<(S, WholeStream), Error> {
        let ReaderThread { worker, stop_rx, stop_tx: _stop_tx } = self;
        let space = vec![0; READ_SIZE.max(source.min_space())];
        let reading = WholeReading { source, stop_rx, space, bytes: 0, shared_bytes: bytes, state };
        let read = worker.call(move || reading.read_to_end(update));
        let reading = read.await.unwrap_or_else(|| {
            let what = "the reading thread failed within itself";
            Err(Error::new(ErrorKind::Internal, what))
        })?;
        reading.source.check_size(reading.bytes)?;
        let warning = reading.source.modification_warning("compared");
        Ok((reading.state, WholeStream { bytes: reading.bytes, warning }))
    }
}

impl<S> WholeReading<S> {
    fn read_to_end(mut self, update: fn(&mut S, &[u8])) -> Result<WholeReading<S>, Error> {
        loop {
            match self.source.read(&self.stop_rx, &mut self.space, &mut [])? {
                ReadResult::Bytes(read) => {
                    update(&mut self.state, &self.space[..read]);
                    self.bytes += read as u64;
                    self.shared_bytes.store(self.bytes, Ordering::Relaxed);
                }
                ReadResult::EndOfStream => return Ok(self),
                ReadResult::Stopped => {
                    return Err(Error::new(ErrorKind::Internal, "the reading thread was stopped"));
                }
            }
        }
    }
}
