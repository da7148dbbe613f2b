//! One upload of the library.
//!
//! Owns the order in which it is set up and ended. Must not decide how it proceeds; the upload machine
//! does. Invariant: no byte of the reader is read before every check that needs no byte has passed.

use std::sync::Arc;
use std::time::Duration;

use tokio::io::AsyncRead;
use tokio::time::Instant;

use super::client::StorageClient as Client;
use super::error::Error;
use super::feed;
use super::receipt::Receipt;
use crate::platform::signals::Signals;
use crate::platform::{memory, worker};
use crate::source::{Reader, ReaderThread, StreamChecks, stream_pool};
use crate::term::log::Level;
use crate::term::progress::{Heard, Reporter};
use crate::transfer::preflight::preflight;
use crate::transfer::upload_driver::{RunningSource, UploadDriver};
use proto::api::{ObjectLocation, Precondition, PutOptions, request};
use proto::digest::Algorithm;
use proto::error::Error as RunError;
use proto::metadata;
use proto::object_url::ObjectUrl;
use proto::part_plan::{self, PartCut, PlanInput};
use proto::shell::shell_quote;
use proto::upload::{
    AutoConfig, MessageContext, TailRule, Upload, UploadCommand, UploadConfig, long_attempt,
};

/// One object to be stored.
///
/// The object must not exist yet, unless [`overwrite`](PutRequest::overwrite) or
/// [`if_match`](PutRequest::if_match) allows it to be replaced.
#[derive(Debug, Clone)]
#[must_use = "nothing is stored before `run`"]
pub struct PutRequest {
    bucket: String,
    namespace: Option<String>,
    name: String,
    condition: Precondition,
    content_type: String,
    metadata: Vec<(String, String)>,
    plan: PlanInput,
    allow_empty: bool,
}

/// What happens while an object is stored.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Progress {
    /// The state of the transfer; several times a second.
    #[non_exhaustive]
    Transferred {
        /// Bytes that were read so far.
        read: u64,
        /// Bytes in parts that the service has acknowledged.
        stored: u64,
        /// The size of the stream in bytes, where it was given.
        expected: Option<u64>,
        /// The attempts that were repeated so far.
        retries: u64,
        /// The time since the start of the run.
        elapsed: Duration,
    },
    /// Something that the run survives, as one line: an outage, a throttled service.
    #[non_exhaustive]
    Warning {
        /// The text.
        text: String,
    },
}

impl PutRequest {
    /// An object of this name in a bucket of the tenancy's namespace.
    pub fn new(bucket: &str, name: &str) -> PutRequest {
        PutRequest {
            bucket: bucket.to_owned(),
            namespace: None,
            name: name.to_owned(),
            condition: Precondition::IfNoneMatch,
            content_type: "application/octet-stream".to_owned(),
            metadata: Vec::new(),
            plan: PlanInput::default(),
            allow_empty: false,
        }
    }

    /// Takes a bucket of another namespace.
    pub fn namespace(mut self, namespace: &str) -> PutRequest {
        self.namespace = Some(namespace.to_owned());
        self
    }

    /// Replaces an object that exists.
    pub fn overwrite(mut self) -> PutRequest {
        self.condition = Precondition::None;
        self
    }

    /// Replaces the object with this etag, and no other.
    pub fn if_match(mut self, etag: &str) -> PutRequest {
        self.condition = Precondition::IfMatch(etag.to_owned());
        self
    }

    /// Sets the content type; `application/octet-stream` by default.
    pub fn content_type(mut self, content_type: &str) -> PutRequest {
        self.content_type = content_type.to_owned();
        self
    }

    /// Adds a pair of the object's own metadata.
    pub fn metadata(mut self, name: &str, value: &str) -> PutRequest {
        self.metadata.push((name.to_owned(), value.to_owned()));
        self
    }

    /// Gives the size of the stream in bytes. It is an estimate: the stream may be longer or shorter. Without
    /// it the parts grow on the way, so that a stream of any length fits.
    pub fn expected_size(mut self, bytes: u64) -> PutRequest {
        self.plan.expected_size = Some(bytes);
        self
    }

    /// Sets the most bytes of memory for parts; by default it depends on the memory of the machine.
    pub fn max_memory(mut self, bytes: u64) -> PutRequest {
        self.plan.max_memory = Some(bytes);
        self
    }

    /// Sets the size of a part in bytes, a multiple of 1 MiB and at least 10 MiB.
    pub fn part_size(mut self, bytes: u64) -> PutRequest {
        self.plan.part_size = Some(bytes);
        self
    }

    /// Sets the number of parts that are sent at the same time.
    pub fn parallel(mut self, connections: u16) -> PutRequest {
        self.plan.parallel = Some(connections);
        self
    }

    /// Stores an empty stream too. By default it is an error, since it is most often a producer that failed.
    pub fn allow_empty(mut self) -> PutRequest {
        self.allow_empty = true;
        self
    }

    /// Reads a stream to its end, stores it and compares the object with what was read.
    ///
    /// The end of `cancel` ends the run: the multipart upload is aborted, and the error is of kind
    /// [`ErrorKind::Cancelled`](crate::ErrorKind::Cancelled), unless the object was committed before. Pass
    /// [`std::future::pending()`] to never cancel, or the future of a cancellation token. Dropping the
    /// future of `run` ends the run too, but leaves the upload and its parts at the service.
    ///
    /// `progress` is called on the task of `run`, several times a second, and must not block.
    ///
    /// # Errors
    ///
    /// Fails with the first error that no retry can resolve. An error of `reader` is
    /// [`ErrorKind::Source`](crate::ErrorKind::Source), with that error as its source; nothing is stored then. After
    /// [`ErrorKind::OutcomeUnknown`](crate::ErrorKind::OutcomeUnknown) the object may exist, and after
    /// [`ErrorKind::Integrity`](crate::ErrorKind::Integrity) one that differs from the stream may. The clean-up has
    /// been done by then, as far as it was possible.
    pub async fn run(
        self,
        client: &Client,
        reader: impl AsyncRead,
        cancel: impl Future<Output = ()> + Send + 'static,
        progress: impl Fn(Progress) + Send + Sync + 'static,
    ) -> Result<Receipt, Error> {
        let started_at = Instant::now();
        let mut signals = Signals::of_cancellation(cancel);
        let reporter = Arc::new(Reporter::listening(move |heard| {
            if let Some(event) = event(&heard) {
                progress(event);
            }
        }));
        let transfer = Arc::new(client.transfer.share());
        let url = ObjectUrl::new(&self.bucket, self.namespace.as_deref(), &self.name)?;
        let options = self.options()?;
        let input = PlanInput { available_memory: memory::available(), ..self.plan };
        let mut cut = PartCut::new(part_plan::plan(&input)?, &input);
        let thread = worker::retry_start(ReaderThread::start).await;
        let thread = thread.map_err(|error| worker::thread_error("to read with", &error))?;
        let checks = preflight(
            &transfer,
            &url,
            &options.condition,
            &options.customer_key,
            client.retry_for,
            &reporter,
        );
        let found = tokio::select! {
            biased;
            stopped = signals.next() => return Err(stopped.into()),
            found = checks => found?,
        };
        if let Some(conflict) = found.conflict {
            return Err(conflict.error.into());
        }
        for warning in &cut.plan().warnings {
            reporter.warn(warning);
        }
        let location = found.location;
        let upload = Upload::new(UploadConfig {
            retry_for: client.retry_for,
            long_attempt: long_attempt(client.stall_timeout),
            allow_empty: self.allow_empty,
            service_seen: found.service_seen,
            bucket: found.bucket,
            previous_object: found.previous_object,
            messages: messages(&location),
            seed: fastrand::u64(..),
            tail_split: TailRule::of_parts(),
            always_multipart: !options.fits_headers(),
            auto: AutoConfig::of(&cut),
            ..UploadConfig::plain(cut.plan().parallel.into())
        });
        // From here on a stream is read: the session waits for a new token instead of failing.
        let _streaming = transfer.streaming();
        transfer.set_probe_request(&request::head_object(&location, &None));
        let (source, feed) = feed::pair()?;
        let expected = self.plan.expected_size;
        let pool = stream_pool(&mut cut);
        // Reading stops at the second part until the upload has been created.
        pool.hold();
        let reading =
            Reader::on(thread, source, pool, cut, Algorithm::Sha256, StreamChecks::default());
        let source = RunningSource { reader: reading, producer: None, expected };
        let mut driver = UploadDriver::new(transfer, location.clone(), options, upload, started_at);
        let stored = tokio::select! {
            biased;
            stored = driver.run(source, &mut signals, &reporter) => stored?,
            never = feed.run(reader) => match never {},
        };
        Ok(Receipt::of(stored, location, driver.retries(), started_at.elapsed()))
    }

    /// The properties of the object. Fails where the metadata is not valid.
    fn options(&self) -> Result<PutOptions, RunError> {
        let pairs = self.metadata.iter().map(|(name, value)| (name.clone(), value.as_str().into()));
        let text = serde_json::Value::Object(pairs.collect()).to_string();
        let metadata = if self.metadata.is_empty() { Vec::new() } else { metadata::parse(&text)? };
        Ok(PutOptions {
            condition: self.condition.clone(),
            content_type: self.content_type.clone(),
            metadata,
            ..PutOptions::default()
        })
    }
}

/// The caller's form of what a reporter gets; `None` for notes.
fn event(heard: &Heard<'_>) -> Option<Progress> {
    match heard {
        Heard::Progress(now) => Some(Progress::Transferred {
            read: now.read,
            stored: now.done,
            expected: now.expected,
            retries: now.retries,
            elapsed: now.elapsed,
        }),
        Heard::Message { level: Level::Warning, text } => {
            Some(Progress::Warning { text: (*text).to_owned() })
        }
        Heard::Message { .. } => None,
    }
}

/// The names and the commands in messages.
fn messages(location: &ObjectLocation) -> MessageContext {
    let ObjectLocation { namespace, bucket, object } = location;
    let options = format!(
        "--namespace {} --bucket-name {} --name {}",
        shell_quote(namespace),
        shell_quote(bucket),
        shell_quote(object)
    );
    MessageContext {
        object_url: location.to_string(),
        abort_command: UploadCommand::new(
            format!("ocipipe uploads abort {options} --upload-id "),
            "",
        ),
        head_command: format!("oci os object head {options}"),
        resume_command: None,
    }
}
