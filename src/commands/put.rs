//! The `put` command: one stream, one object, one receipt.
//!
//! Owns the order in which a run is set up and ended. Decides nothing about the upload itself.
//! Invariant: nothing is read from the source before everything that can be known without it has
//! been checked.

use std::ffi::OsString;
use std::sync::Arc;
use std::time::Duration;

use tokio::time::Instant;

use crate::auth::environment::Environment;
use crate::cli::{ObjectSettings, Overwrite, PutCommand, StreamSource as SourceOption};
use crate::commands::serve::{self, LocalStore};
use crate::net::Throttle;
use crate::platform::memory;
use crate::platform::signals::Signals;
use crate::platform::small_file;
use crate::platform::worker;
use crate::source::child_reaper::Children;
use crate::source::pool::{MemoryPressure, Pool};
use crate::source::producer::Producer;
use crate::source::{self, ByteSource, Reader};
use crate::term::progress::Reporter;
use crate::term::startup_fds;
use crate::transfer::client::{Client, Timeouts};
use proto::api::{ObjectLocation, Precondition, PutOptions, request};
use proto::digest::Algorithm;
use proto::error::Error;
use proto::metadata;
use proto::part_plan;
use proto::receipt::{Checksum, Receipt};
use proto::shell;
use proto::upload::{MessageContext, PreviousObject, StoredObject, TailRule, Upload, UploadConfig};
use validate::StreamValidator;
use validate::{self, Format};

use crate::transfer::preflight::{self, PreflightResult};
use crate::transfer::upload_driver::{RunningSource, UploadDriver};

/// Content type of an object whose kind nobody named.
const BYTES: &str = "application/octet-stream";
/// The end of a stream is cut into smaller parts where that saves at least this.
const MIN_TAIL_SAVING: Duration = Duration::from_secs(2);

/// Stores the stream and tells what was stored.
pub async fn put(
    command: PutCommand,
    environment: &Environment,
    children: &Children,
) -> Result<Receipt, Error> {
    let mut signals = Signals::subscribe()?;
    // Before anything is said: where there are few threads, these are the ones to have.
    let threads = tokio::select! {
        biased;
        error = signals.next() => Err(error),
        threads = SourceThreads::start(&command) => threads,
    }?;
    let reporter = Arc::new(Reporter::new(command.output, startup_fds::stderr_is_terminal()));
    for warning in &command.warnings {
        reporter.warn(warning);
    }
    let began = Instant::now();
    let local = match &command.local {
        Some(dir) => {
            serve::check_options(dir, &command.target.bucket, &command.target.name)?;
            Some(LocalStore::start(dir).await?)
        }
        None => None,
    };
    let ready = tokio::select! {
        biased;
        error = signals.next() => Err(error),
        ready = prepare(&command, environment, local.as_ref(), children, &reporter) => ready,
    };
    let result = match ready {
        Ok(ready) => upload(ready, threads, &command, began, &mut signals, &reporter).await,
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
    plan: part_plan::PartPlan,
    expected_size: Option<u64>,
}

/// What the stream will need threads for: there before it is read, and before a command is started.
struct SourceThreads {
    reader: source::ReaderThread,
    validator: Box<dyn StreamValidator>,
}

impl SourceThreads {
    async fn start(command: &PutCommand) -> Result<SourceThreads, Error> {
        let reading = worker::retry_start(source::ReaderThread::start).await;
        let reading = reading.map_err(|error| worker::thread_error("to read with", &error))?;
        let watch = match command.expect {
            Some(format) => worker::retry_start(|| validate::validator_for(format))
                .await
                .map_err(|error| worker::thread_error("to look at the stream with", &error))?,
            None => validate::detecting_validator(),
        };
        Ok(SourceThreads { reader: reading, validator: watch })
    }
}

/// A source that has been looked at, but not read or started.
enum PendingSource {
    Opened(ByteSource),
    Command(Vec<OsString>, Children),
}

async fn prepare(
    command: &PutCommand,
    environment: &Environment,
    local: Option<&LocalStore>,
    children: &Children,
    reporter: &Arc<Reporter>,
) -> Result<Prepared, Error> {
    let (source, size) = open(&command.source, children)?;
    let expected = command.expected_size.or(size);
    let storing = storing(command)?;
    let plan = part_plan::plan(&part_plan::PlanInput {
        part_size: command.part_size,
        parallel: command.parallel,
        max_memory: command.max_memory,
        expected_size: expected,
        available_memory: memory::available(),
    })?;
    let throttle = command.bwlimit.map(|rate| Arc::new(Throttle::new(rate)));
    let patience = Timeouts { retry_for: command.retry_for, stall_timeout: command.stall_timeout };
    let service = match local {
        None => Client::open_session(&command.service, environment, patience, reporter)?,
        Some(store) => {
            let options = store.service_options(&command.service);
            // Nothing of the host's environment concerns the embedded store.
            let environment = Environment::default();
            Client::open_session(&options, &environment, patience, reporter)?
        }
    };
    let service = Arc::new(Client { throttle, ..service });
    let condition = &storing.condition;
    let start = preflight::preflight(
        &service,
        &command.target,
        condition,
        &storing.customer_key,
        command.retry_for,
        reporter,
    )
    .await?;
    for warning in &plan.warnings {
        reporter.warn(warning);
    }
    Ok(Prepared {
        client: service,
        source,
        preflight: start,
        options: storing,
        plan,
        expected_size: expected,
    })
}

/// Looks at the source; the size where it is known.
fn open(source: &SourceOption, children: &Children) -> Result<(PendingSource, Option<u64>), Error> {
    Ok(match source {
        SourceOption::Command(command) => {
            (PendingSource::Command(command.clone(), children.clone()), None)
        }
        SourceOption::Stdin => opened(ByteSource::stdin()?),
        SourceOption::File(path) => opened(ByteSource::file(path)?),
    })
}

fn opened(source: ByteSource) -> (PendingSource, Option<u64>) {
    let size = source.size().filter(|size| *size > 0);
    (PendingSource::Opened(source), size)
}

fn storing(command: &PutCommand) -> Result<PutOptions, Error> {
    let ObjectSettings {
        storage_tier,
        content_type,
        content_encoding,
        content_language,
        content_disposition,
        cache_control,
        metadata,
        metadata_file,
        encryption_key_file,
        kms_key_id,
    } = command.object.clone();
    let metadata = match metadata_file {
        None => metadata,
        Some(file) => metadata::parse(&small_file::read("--metadata", &file)?)?,
    };
    Ok(PutOptions {
        condition: match &command.overwrite {
            Overwrite::Never => Precondition::IfNoneMatch,
            Overwrite::Force => Precondition::None,
            Overwrite::IfMatch(etag) => Precondition::IfMatch(etag.clone()),
        },
        checksum: command.checksum,
        storage_tier,
        content_type: content_type.unwrap_or_else(|| BYTES.to_owned()),
        content_encoding,
        content_language,
        content_disposition,
        cache_control,
        metadata,
        customer_key: encryption_key_file
            .as_deref()
            .map(small_file::read_customer_key)
            .transpose()?,
        kms_key_id,
    })
}

async fn upload(
    ready: Prepared,
    threads: SourceThreads,
    command: &PutCommand,
    began: Instant,
    signals: &mut Signals,
    reporter: &Reporter,
) -> Result<Receipt, Error> {
    let Prepared {
        client: service,
        source,
        preflight: start,
        options: storing,
        plan,
        expected_size: expected,
    } = ready;
    let SourceThreads { reader: reading, validator: watch } = threads;
    let target = start.location.clone();
    let (source, producer) = match source {
        PendingSource::Opened(source) => (source, None),
        PendingSource::Command(command, children) => {
            let started = tokio::select! {
                biased;
                error = signals.next() => Err(error),
                started = Producer::start(&command, &children) => started,
            };
            let (producer, stdout) = started?;
            (ByteSource::new(stdout, "the command's stdout")?, Some(producer))
        }
    };
    let scarcity = MemoryPressure {
        min_buffer: part_plan::MIN_PART as usize,
        timeout: worker::THREAD_TIMEOUT,
    };
    let pool = Pool::under(scarcity, plan.buffer_size, plan.buffers_for(1));
    // No more of the stream is read than it takes to know whether the service takes it.
    pool.hold();
    // From here on a stream is at stake: waiting for a token is better than ending.
    service.session.set_streaming();
    let probe = request::head_object(&target, &None);
    service.session.set_probe_request(probe.method, &probe.target);
    let settings = UploadConfig {
        parallel: plan.parallel.into(),
        retry_for: command.retry_for,
        checksum: command.checksum,
        allow_empty: command.allow_empty,
        min_size: command.min_size.unwrap_or(0),
        end_proven: producer.is_some()
            || source.is_file()
            || command.expect.is_some_and(Format::proves_its_end),
        delete_on_mismatch: command.delete_on_mismatch,
        service_seen: start.answered,
        bucket_seen: start.bucket_seen,
        previous_object: before(&storing.condition),
        messages: named(&target, command),
        seed: fastrand::u64(..),
        tail_split: TailRule {
            min_piece: part_plan::MIN_PART,
            min_saving: MIN_TAIL_SAVING,
            max_part_number: part_plan::MAX_PARTS,
        },
        always_multipart: !storing.fits_headers(),
    };
    let reader = Reader::on(reading, source, pool, plan, command.checksum, Some(watch));
    let storing_checksum = storing.checksum;
    let upload = Upload::new(settings);
    let mut drive = UploadDriver::new(service.clone(), target.clone(), storing, upload, began);
    let source = RunningSource { reader, producer, expected };
    let stored = drive.run(source, signals, reporter).await?;
    let retries = drive.upload.retries();
    Ok(receipt(stored, target, storing_checksum, began, retries, service.session.refreshes()))
}

/// The condition says what can have stood at the name if the object is stored.
fn before(condition: &Precondition) -> PreviousObject {
    match condition {
        Precondition::IfNoneMatch => PreviousObject::Nothing,
        Precondition::IfMatch(etag) => PreviousObject::Object(etag.clone()),
        Precondition::None => PreviousObject::Unknown,
    }
}

/// Words for messages: the commands a person can paste.
fn named(target: &ObjectLocation, command: &PutCommand) -> MessageContext {
    let ObjectLocation { namespace, bucket, object } = target;
    let place = format!(
        "--namespace {} --bucket-name {} --name {}",
        shell::shell_quote(namespace),
        shell::shell_quote(bucket),
        shell::shell_quote(object)
    );
    let profile = match &command.service.profile {
        Some(profile) => format!(" --profile {}", shell::shell_quote(&profile.text)),
        None => String::new(),
    };
    MessageContext {
        object_url: format!("oci://{bucket}@{namespace}/{object}"),
        abort_command: format!("ocipipe uploads abort {place} --upload-id {{}}{profile}"),
        head_command: format!("oci os object head {place}{profile}"),
    }
}

fn receipt(
    stored: StoredObject,
    target: ObjectLocation,
    checksum: Algorithm,
    began: Instant,
    retries: u64,
    token_refreshes: u64,
) -> Receipt {
    let held = stored.meta;
    Receipt {
        etag: held.etag.unwrap_or_default(),
        last_modified: held.last_modified,
        opc_multipart_md5: held.multipart_md5,
        opc_content_md5: held.content_md5,
        bucket: target.bucket,
        name: target.object,
        namespace: target.namespace,
        size: stored.size,
        parts: stored.parts,
        upload_id: stored.upload_id,
        checksum: stored
            .checksum
            .map(|value| Checksum { algorithm: checksum.name().to_owned(), value }),
        sha256: stored.sha256,
        verified_by: stored.evidence.0,
        seconds: began.elapsed(),
        retries,
        token_refreshes,
        opc_request_id: held.request_id,
    }
}
