//! The caller's reader as a source: a task writes its bytes to a pipe, whose other end the reading thread
//! reads.
//!
//! Owns the pipe and how the reader's end is passed on. Must not know parts. Invariant: the end of the
//! pipe is a success only after the reader has returned its end without an error.

use std::convert::Infallible;
use std::os::fd::OwnedFd;
use std::pin::pin;

use rustix::pipe::{PipeFlags, pipe_with};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWriteExt};
use tokio::net::unix::pipe::Sender;

use crate::source::{ByteSource, FeedEnd};
use proto::error::{Error, ErrorKind};

/// The name of the source in messages.
const NAME: &str = "the reader";
/// Bytes that are read at once.
const CHUNK: usize = 256 * 1024;

/// The writing end of the pipe.
pub(super) struct Feed {
    pipe: OwnedFd,
    /// The reading end too: a write to a pipe that nobody reads would be a SIGPIPE for the caller's process.
    _output: OwnedFd,
    end: FeedEnd,
}

/// A source, and what fills it. Fails where the system gives no pipe.
pub(super) fn pair() -> Result<(ByteSource, Feed), Error> {
    let failed =
        |error: std::io::Error| Error::new(ErrorKind::Internal, format!("no pipe: {error}"));
    let (output, pipe) =
        pipe_with(PipeFlags::CLOEXEC).map_err(|error| failed(std::io::Error::from(error)))?;
    let end = FeedEnd::default();
    let kept = output.try_clone().map_err(failed)?;
    let source = ByteSource::fed(output, NAME, end.clone())?;
    Ok((source, Feed { pipe, _output: kept, end }))
}

impl Feed {
    /// Writes the reader's bytes, and then waits to be dropped.
    pub(super) async fn run(self, reader: impl AsyncRead) -> Infallible {
        let Feed { pipe, _output, end } = self;
        match Sender::from_owned_fd(pipe) {
            Ok(mut pipe) => {
                // `copy` sets the result before the pipe is closed.
                let _ = end.set(copy(reader, &mut pipe).await);
            }
            Err(error) => {
                let message = format!("no pipe: {error}");
                let _ = end.set(Err(Error::new(ErrorKind::Internal, message).with_cause(error)));
            }
        }
        std::future::pending().await
    }
}

async fn copy(reader: impl AsyncRead, pipe: &mut Sender) -> Result<(), Error> {
    let mut reader = pin!(reader);
    let mut chunk = vec![0; CHUNK];
    loop {
        let read = reader.read(&mut chunk).await.map_err(|error| {
            Error::source(format!("cannot read {NAME}: {error}")).with_cause(error)
        })?;
        if read == 0 {
            return Ok(());
        }
        // Where the run ends early, nobody reads the pipe any more, and this waits to be dropped.
        pipe.write_all(&chunk[..read]).await.map_err(|error| {
            Error::source(format!("the pipe from {NAME} failed: {error}")).with_cause(error)
        })?;
    }
}
