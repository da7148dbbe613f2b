//! The `put` command: one stream becomes one object, and a receipt.
//!
//! Owns the order in which an upload is set up and ended. Must not decide how the upload proceeds;
//! the upload machine does. Invariant: no byte of the source is read, and no command is started,
//! before every check that needs no byte has passed.

mod config;

use std::ffi::OsString;
use std::sync::Arc;

use tokio::time::Instant;

use self::config::EndOfStream;
use super::until_signal;
use crate::auth::environment::Environment;
use crate::cli::{PutCommand, ResumeSettings, StreamSource};
use crate::commands::serve::{self, LocalStore};
use crate::net::Throttle;
use crate::platform::memory;
use crate::platform::signals::Signals;
use crate::platform::worker;
use crate::source::child_reaper::Children;
use crate::source::pool::{MemoryPressure, Pool};
use crate::source::producer::Producer;
use crate::source::{self, ByteSource, Reader};
use crate::term::progress::Reporter;
use crate::transfer::client::{Client, Timeouts};
use crate::transfer::preflight::{self, PreflightResult};
use crate::transfer::resume;
use crate::transfer::upload_driver::{RunningSource, UploadDriver};
use proto::api::{ObjectLocation, PutOptions, request};
use proto::digest::Algorithm;
use proto::error::Error;
use proto::part_layout;
use proto::part_plan::{self, PartPlan};
use proto::receipt::{Checksum, Receipt};
use proto::upload::{ContinuedUpload, StoredObject, Upload};
use validate::{Format, StreamValidator};

/// Stores the stream as an object and returns the receipt. Fails with the first error that no retry
/// can resolve, or with the error of a signal; what the failed upload left behind has been cleaned
/// up as far as possible by then.
pub async fn put(
    command: PutCommand,
    environment: &Environment,
    children: &Children,
) -> Result<Receipt, Error> {
    let mut signals = Signals::subscribe()?;
    // Started before the thread of stderr: where the system allows few threads, these matter more.
    let threads = until_signal(&mut signals, StreamThreads::start(&command)).await?;
    let reporter = Arc::new(Reporter::new(command.output));
    for warning in &command.warnings {
        reporter.warn(warning);
    }
    let started_at = Instant::now();
    let local = match &command.local {
        Some(dir) => {
            serve::check_options(dir, &command.target.bucket, &command.target.name)?;
            Some(LocalStore::start(dir).await?)
        }
        None => None,
    };
    let prepare = prepare(&command, environment, local.as_ref(), children, &reporter);
    let result = match until_signal(&mut signals, prepare).await {
        Ok(prepared) => {
            upload(prepared, threads, &command, started_at, &mut signals, &reporter).await
        }
        Err(error) => Err(error),
    };
    if let Some(local) = local {
        local.finish().await;
    }
    reporter.finish();
    result
}

/// Everything that is known before the first byte is read.
struct Prepared {
    client: Arc<Client>,
    source: PendingSource,
    preflight: PreflightResult,
    options: PutOptions,
    plan: PartPlan,
    /// The open upload that the run continues.
    continued: Option<ContinuedUpload>,
    /// Bytes; by `--expected-size`, or the size of the file.
    expected_size: Option<u64>,
}

/// The threads that read and validate the stream.
struct StreamThreads {
    reader: source::ReaderThread,
    validator: Box<dyn StreamValidator>,
}

impl StreamThreads {
    /// Fails if the system starts no thread, even after retries.
    async fn start(command: &PutCommand) -> Result<StreamThreads, Error> {
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

/// A source that is open but not read, or a command that is not started.
enum PendingSource {
    Opened(ByteSource),
    Command(Vec<OsString>, Children),
}

impl PendingSource {
    /// Returns the source, and its size in bytes if that is known. Fails if stdin or the file
    /// cannot be opened.
    fn open(
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
    async fn start(self) -> Result<(ByteSource, Option<Producer>), Error> {
        match self {
            PendingSource::Opened(source) => Ok((source, None)),
            PendingSource::Command(command, children) => {
                let (producer, stdout) = Producer::start(&command, &children).await?;
                Ok((ByteSource::new(stdout, "the command's stdout")?, Some(producer)))
            }
        }
    }
}

/// Checks the source, the options, the memory, the credentials and the destination.
async fn prepare(
    command: &PutCommand,
    environment: &Environment,
    local: Option<&LocalStore>,
    children: &Children,
    reporter: &Arc<Reporter>,
) -> Result<Prepared, Error> {
    let (source, size) = PendingSource::open(&command.source, children)?;
    let expected_size = command.expected_size.or(size);
    let options = config::put_options(command)?;
    let plan = part_plan::plan(&part_plan::PlanInput {
        part_size: command.part_size,
        parallel: command.parallel,
        max_memory: command.max_memory,
        expected_size,
        available_memory: memory::available(),
    })?;
    let client = Arc::new(open_client(command, environment, local, reporter).await?);
    let preflight = preflight::preflight(
        &client,
        &command.target,
        &options.condition,
        &options.customer_key,
        command.retry_for,
        reporter,
    )
    .await?;
    let continued = match &command.resume {
        None => None,
        Some(ResumeSettings { upload_id }) => {
            let (id, location) = (upload_id.as_deref(), &preflight.location);
            let retry_for = command.retry_for;
            resume::find_upload(&client, location, id, &options, retry_for, reporter).await?
        }
    };
    let plan = match &continued {
        None => plan,
        Some(ContinuedUpload { parts, .. }) => {
            let held = parts.iter().map(|part| (part.part_number.get(), part.size));
            plan.continuing(&held.collect::<Vec<_>>())
        }
    };
    for warning in &plan.warnings {
        reporter.warn(warning);
    }
    Ok(Prepared { client, source, preflight, options, plan, continued, expected_size })
}

/// A client of the service, or of the embedded store.
async fn open_client(
    command: &PutCommand,
    environment: &Environment,
    local: Option<&LocalStore>,
    reporter: &Arc<Reporter>,
) -> Result<Client, Error> {
    let throttle = command.bwlimit.map(|rate| Arc::new(Throttle::new(rate)));
    let timeouts = Timeouts { retry_for: command.retry_for, stall_timeout: command.stall_timeout };
    let client = match local {
        None => Client::open_session(&command.service, environment, timeouts, reporter).await?,
        Some(store) => {
            let options = store.service_options(&command.service);
            // The environment of the process describes an account, which the embedded store lacks.
            Client::open_session(&options, &Environment::default(), timeouts, reporter).await?
        }
    };
    Ok(Client { throttle, ..client })
}

/// Reads the stream and uploads it.
async fn upload(
    prepared: Prepared,
    threads: StreamThreads,
    command: &PutCommand,
    started_at: Instant,
    signals: &mut Signals,
    reporter: &Reporter,
) -> Result<Receipt, Error> {
    let Prepared { client, source, preflight, options, plan, continued, expected_size } = prepared;
    let (source, producer) = until_signal(signals, source.start()).await?;
    let format_proves = command.expect.is_some_and(Format::proves_its_end);
    let end = if producer.is_some() || source.is_file() || format_proves {
        EndOfStream::Proven
    } else {
        EndOfStream::Unproven
    };
    let pool = buffer_pool(&plan);
    // Reading stops at the second part until the upload has been created, so that a rejected upload
    // consumes little of the stream.
    if continued.is_none() {
        pool.hold();
    }
    let config = config::upload_config(command, &options, &plan, &preflight, continued, end);
    let upload = Upload::new(config);
    let location = preflight.location;
    // From here on a stream is read: the session waits for a new login instead of failing.
    client.session.set_streaming();
    let probe = request::head_object(&location, &None);
    client.session.set_probe_request(probe.method, &probe.target);
    let StreamThreads { reader, validator } = threads;
    let reader = Reader::on(reader, source, pool, plan, command.checksum, Some(validator));
    let source = RunningSource { reader, producer, expected: expected_size };
    let mut driver =
        UploadDriver::new(client.clone(), location.clone(), options, upload, started_at);
    let stored = driver.run(source, signals, reporter).await?;
    Ok(Receipt {
        auth: client.session.auth_mode().name().to_owned(),
        seconds: started_at.elapsed(),
        retries: driver.retries(),
        token_refreshes: client.session.refreshes(),
        ..receipt(stored, location, command.checksum)
    })
}

/// The buffers of the stream.
fn buffer_pool(plan: &PartPlan) -> Pool {
    let pressure = MemoryPressure {
        min_buffer: part_plan::MIN_PART as usize,
        unit: part_layout::UNIT as usize,
        timeout: worker::REFUSAL_TIMEOUT,
    };
    Pool::with_pressure(pressure, plan.buffer_size, plan.buffers_for(1))
}

/// The receipt of the stored object, without the duration and the counters of the run.
fn receipt(stored: StoredObject, location: ObjectLocation, checksum: Algorithm) -> Receipt {
    let meta = stored.meta;
    Receipt {
        etag: meta.etag.unwrap_or_default(),
        last_modified: meta.last_modified,
        opc_multipart_md5: meta.multipart.md5,
        opc_content_md5: meta.content.md5,
        bucket: location.bucket,
        name: location.object,
        namespace: location.namespace,
        size: stored.size,
        parts: stored.parts,
        part_sizes: Some(stored.layout),
        upload_id: stored.upload_id,
        checksum: stored
            .checksum
            .map(|value| Checksum { algorithm: checksum.name().to_owned(), value }),
        sha256: stored.sha256,
        verified_by: stored.evidence.to_string(),
        opc_request_id: meta.request_id,
        ..Receipt::default()
    }
}
