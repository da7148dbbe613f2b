//! Reads a stream from its start to its end without keeping it.
//!
//! Owns the loop of the reading thread for streams that are only looked at. Must not know what their
//! bytes are compared with. Invariant: success means that the stream has ended, and that every byte of
//! it was handed on once, in order.

use std::io::PipeReader;
use std::time::{Duration, Instant};

use super::byte_source::ReadResult;
use super::{ByteSource, ReaderThread};
use proto::error::{Error, ErrorKind};

/// Bytes of one read: so few that they are hashed while they are in the core's own cache.
const READ_SIZE: usize = 256 << 10;
/// After this many bytes or this time, whichever is first, the progress is reported.
const REPORT_BYTES: u64 = 8 << 20;
const REPORT_INTERVAL: Duration = Duration::from_millis(250);

/// What the thread owns while it reads.
struct WholeReading<S> {
    source: ByteSource,
    stop_rx: PipeReader,
    space: Vec<u8>,
    bytes: u64,
    ended: bool,
    state: S,
}

/// The length of a stream that was read, and a warning if it is a file that was modified meanwhile.
pub struct WholeStream {
    pub bytes: u64,
    pub warning: Option<String>,
}

impl ReaderThread {
    /// Reads the source to its end; `update` gets each piece, and `progress` from time to time the
    /// number of bytes so far. Dropping the future stops the thread. Fails with `ErrorKind::Source`
    /// where a read fails or a file gets shorter.
    pub async fn read_all<S: Send + 'static>(
        self,
        source: ByteSource,
        state: S,
        update: fn(&mut S, &[u8]),
        mut progress: impl FnMut(u64),
    ) -> Result<(S, WholeStream), Error> {
        let ReaderThread { worker, stop_rx, stop_tx: _stop_tx } = self;
        let space = vec![0; READ_SIZE];
        let mut reading = WholeReading { source, stop_rx, space, bytes: 0, ended: false, state };
        while !reading.ended {
            let read = worker.call(move || reading.read_some(update));
            reading = read.await.unwrap_or_else(|| {
                let what = "the reading thread failed within itself";
                Err(Error::new(ErrorKind::Internal, what))
            })?;
            progress(reading.bytes);
        }
        reading.source.check_size(reading.bytes)?;
        let warning = reading.source.modification_warning("compared");
        Ok((reading.state, WholeStream { bytes: reading.bytes, warning }))
    }
}

impl<S> WholeReading<S> {
    /// Reads until it is time to report.
    fn read_some(mut self, update: fn(&mut S, &[u8])) -> Result<WholeReading<S>, Error> {
        let (started_at, started_with) = (Instant::now(), self.bytes);
        while !self.ended
            && self.bytes - started_with < REPORT_BYTES
            && started_at.elapsed() < REPORT_INTERVAL
        {
            match self.source.read(&self.stop_rx, &mut self.space, &mut [])? {
                ReadResult::Bytes(read) => {
                    update(&mut self.state, &self.space[..read]);
                    self.bytes += read as u64;
                }
                ReadResult::EndOfStream => self.ended = true,
                ReadResult::Stopped => {
                    return Err(Error::new(ErrorKind::Internal, "the reading thread was stopped"));
                }
            }
        }
        Ok(self)
    }
}
