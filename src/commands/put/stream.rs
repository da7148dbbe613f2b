//! The stream of a `put` before its first byte: where it comes from, and the threads that will read it.
//!
//! Owns the start of a command and of the threads. Must not read the stream. Invariant: a source that
//! cannot be opened fails before anything is sent.

use std::ffi::OsString;

use crate::cli::{PutCommand, StreamSource};
use crate::platform::worker;
use crate::source::child_reaper::Children;
use crate::source::producer::Producer;
use crate::source::{self, ByteSource};
use proto::error::Error;
use validate::StreamValidator;

/// The threads that read and validate the stream.
pub(super) struct StreamThreads {
    pub reader: source::ReaderThread,
    pub validator: Box<dyn StreamValidator>,
}

impl StreamThreads {
    /// Fails if the system starts no thread, even after retries.
    pub(super) async fn start(command: &PutCommand) -> Result<StreamThreads, Error> {
        let reader = worker::retry_start(source::ReaderThread::start).await;
        let reader = reader.map_err(|error| worker::thread_error("to read with", &error))?;
        let validator = match command.expect {
            Some(format) => worker::retry_start(|| validate::validator_for(format))
                .await
                .map_err(|error| worker::thread_error("to look at the stream with", &error))?,
            None => validate::detecting_validator(),
        };
        Ok(StreamThreads { reader, validator })
    }
}

/// The bytes, and the command that writes them.
pub(super) type StartedSource = (ByteSource, Option<Producer>);

/// A source that is open but not read, or a command that is not started.
pub(super) enum PendingSource {
    Opened(ByteSource),
    Command(Vec<OsString>, Children),
}

impl PendingSource {
    /// Returns the source, and its size in bytes if that is known. Fails if stdin or the file
    /// cannot be opened.
    pub(super) fn open(
        source: &StreamSource,
        children: &Children,
    ) -> Result<(PendingSource, Option<u64>), Error> {
        let source = match source {
            StreamSource::Command(command) => {
                return Ok((PendingSource::Command(command.clone(), children.clone()), None));
            }
            StreamSource::Stdin => ByteSource::stdin()?,
            StreamSource::File(path) => ByteSource::file(path)?,
        };
        let size = source.size().filter(|size| *size > 0);
        Ok((PendingSource::Opened(source), size))
    }

    /// Starts the command, if the source is one.
    pub(super) async fn start(self) -> Result<StartedSource, Error> {
        match self {
            PendingSource::Opened(source) => Ok((source, None)),
            PendingSource::Command(command, children) => {
                let (producer, stdout) = Producer::start(&command, &children).await?;
                Ok((ByteSource::new(stdout, "the command's stdout")?, Some(producer)))
            }
        }
    }
}
