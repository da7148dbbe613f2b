//! The `put` command: one stream becomes one object, and a receipt.
//!
//! Owns the order in which an upload is set up and ended. Must not decide how the upload proceeds;
//! the upload machine does. Invariant: no byte of the source is read, and no command is started,
//! before every check that needs no byte has passed.

mod config;
mod connect;
mod identical;
pub(super) mod metrics;
mod outcome;
mod par;
mod receipt;
mod stream;

use std::sync::Arc;

use tokio::time::Instant;

use self::config::EndOfStream;
use self::connect::Place;
use self::identical::{ConflictingRun, IdenticalCheck};
use self::metrics::RunFigures;
use self::stream::{PendingSource, StartedSource, StreamThreads};
use super::{on_heap, until_signal};
use crate::auth::environment::Environment;
use crate::cli::{PutCommand, ResumeSettings};
use crate::commands::serve::{self, LocalStore};
use crate::platform::memory;
use crate::platform::signals::Signals;
use crate::source::child_reaper::Children;
use crate::source::{Reader, StreamChecks, stream_pool};
use crate::term::progress::Reporter;
use crate::transfer::client::Client;
use crate::transfer::open_uploads::OpenUploads;
use crate::transfer::preflight::PreflightResult;
use crate::transfer::resume::{FoundUpload, OpenUploadSearch};
use crate::transfer::upload_driver::{RunningSource, UploadDriver};
use proto::api::{PutOptions, request};
use proto::digest::Algorithm;
use proto::error::{Error, ErrorKind};
use proto::part_plan::{self, PartCut, PartPlan, PlanInput};
use proto::receipt::Receipt;
use proto::upload::{self, ConflictRule, ContinuedUpload, Upload, UploadConfig};
use proto::whole_stream::WholeStreamHasher;
use validate::Format;

/// Stores the stream as an object and returns the receipt. Fails with the first error that no retry
/// can resolve, or with the error of a signal; what the failed upload left behind has been cleaned
/// up as far as possible by then.
pub(super) async fn put(
    command: PutCommand,
    environment: &Environment,
    children: &Children,
    figures: &RunFigures,
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
            if let Some(url) = command.target.url() {
                serve::check_options(dir, url)?;
            }
            Some(LocalStore::start(dir).await?)
        }
        None => None,
    };
    let found = FoundUpload::default();
    let prepare =
        on_heap(|| prepare(&command, environment, local.as_ref(), children, &found, &reporter));
    let started = async {
        let (prepared, source) = until_signal(&mut signals, prepare).await?;
        Ok((prepared, until_signal(&mut signals, source.start()).await?))
    };
    let started = started.await;
    let result = match started {
        Ok((prepared, source)) => {
            let client = prepared.client.clone();
            let run = Run { command: &command, started_at, reporter: &reporter, figures };
            let upload = on_heap(|| upload(prepared, source, threads, run, &mut signals));
            let result = upload.await;
            figures.record_access(&client);
            result
        }
        Err(error) => Err(found.add_to(error)),
    };
    if let Some(local) = local {
        local.finish().await;
    }
    reporter.finish();
    figures.record_waits(&reporter);
    // Where nothing was stored, a line before this has what the object is.
    if let Ok(receipt) = &result {
        figures.record_object(receipt);
        if !receipt.identical {
            reporter.info(&outcome::line(receipt));
        }
    }
    result
}

/// What is the same from the start of a run to its end.
#[derive(Clone, Copy)]
struct Run<'a> {
    command: &'a PutCommand,
    started_at: Instant,
    reporter: &'a Arc<Reporter>,
    figures: &'a RunFigures,
}

/// Everything that is known before the first byte is read.
struct Prepared {
    client: Arc<Client>,
    preflight: PreflightResult,
    options: PutOptions,
    cut: PartCut,
    /// The open upload that the run continues.
    continued: Option<ContinuedUpload>,
    /// Bytes; by `--expected-size`, or the size of the file.
    expected_size: Option<u64>,
    /// With `--identical-ok`.
    identical: Option<IdenticalCheck>,
}

/// Checks the source, the options, the memory, the credentials and the destination.
async fn prepare(
    command: &PutCommand,
    environment: &Environment,
    local: Option<&LocalStore>,
    children: &Children,
    found: &FoundUpload,
    reporter: &Arc<Reporter>,
) -> Result<(Prepared, PendingSource), Error> {
    let (source, size) = PendingSource::open(&command.source, children)?;
    let expected_size = command.expected_size.or(size);
    let place = Place::open(command, expected_size, reporter)?;
    let options = config::put_options(command, place.name())?;
    let input = PlanInput {
        part_size: command.part_size,
        parallel: command.parallel,
        max_memory: command.max_memory,
        expected_size,
        available_memory: memory::available(),
    };
    let single_put = single_put(command, &options, &input, size)?;
    let plan = match (part_plan::plan(&input), &single_put) {
        // A single request needs less memory than the least of a multipart upload.
        (Err(_), Some(single)) => single.clone(),
        (plan, _) => plan?,
    };
    let (client, mut preflight) =
        place.connect(command, environment, local, &options, reporter).await?;
    let messages = config::message_context(&preflight.location, command);
    let identical = match preflight.conflict.take() {
        found if command.identical_ok => Some(IdenticalCheck::new(command, found, size)?),
        Some(conflict) => {
            let mut open = OpenUploads::new(&client, preflight.location.clone());
            if command.resume.is_some() {
                open = open.with_warnings();
            }
            open.finish(None, &messages, reporter).await;
            return Err(conflict.error);
        }
        None => None,
    };
    // Nothing is sent of a stream that is compared with an object.
    let only_compares = identical.as_ref().is_some_and(|check| check.conflict().is_some());
    let continued = match &command.resume {
        Some(ResumeSettings { upload_id }) if !only_compares => {
            let search = OpenUploadSearch {
                location: &preflight.location,
                upload_id: upload_id.as_deref(),
                messages: &messages,
                retry_for: command.retry_for,
                found,
            };
            search.find(&client, &options, reporter).await?
        }
        _ => None,
    };
    let cut = match (&continued, single_put) {
        (None, Some(single)) if !only_compares => single.into(),
        (None, _) => PartCut::new(plan, &input),
        (Some(ContinuedUpload { parts, .. }), _) => {
            let held = parts.iter().map(|part| (part.part_number.get(), part.size));
            PartCut::new(plan.continuing(&held.collect::<Vec<_>>()), &input)
        }
    };
    for warning in &cut.plan().warnings {
        reporter.warn(warning);
    }
    let prepared =
        Prepared { client, preflight, options, cut, continued, expected_size, identical };
    Ok((prepared, source))
}

/// The plan of `--no-multipart`. Fails where a stream of `size` bytes does not fit, and where the properties
/// of the object do not fit into the headers of one request.
fn single_put(
    command: &PutCommand,
    options: &PutOptions,
    input: &PlanInput,
    size: Option<u64>,
) -> Result<Option<PartPlan>, Error> {
    if !command.no_multipart {
        return Ok(None);
    }
    if !options.fits_headers() {
        let what =
            "--no-multipart: metadata and dispositions that are not ASCII need a multipart upload";
        return Err(
            Error::usage(what).with_hint("leave --no-multipart out, or write them in ASCII")
        );
    }
    let plan = part_plan::plan_single_put(input)?;
    match size.filter(|size| *size > plan.memory()) {
        Some(_) => Err(upload::too_long_for_one_put(plan.memory())),
        None => Ok(Some(plan)),
    }
}

/// Reads the stream and uploads it.
async fn upload(
    prepared: Prepared,
    (source, producer): StartedSource,
    threads: StreamThreads,
    run: Run<'_>,
    signals: &mut Signals,
) -> Result<Receipt, Error> {
    let Run { command, started_at, reporter, figures } = run;
    let Prepared { client, preflight, options, mut cut, continued, expected_size, identical } =
        prepared;
    let format_proves = command.expect.is_some_and(Format::proves_its_end);
    let end = if producer.is_some() || source.is_file() || format_proves {
        EndOfStream::Proven
    } else {
        EndOfStream::Unproven
    };
    let conflict = identical.as_ref().map(IdenticalCheck::conflict);
    let pool = stream_pool(&mut cut);
    // Reading stops at the second part until the upload has been created, so that a rejected upload
    // consumes little of the stream.
    let found = matches!(conflict, Some(Some(_)));
    if continued.is_none() && !found {
        pool.hold();
    }
    let config = UploadConfig {
        conflict: match conflict {
            None => ConflictRule::End,
            Some(None) => ConflictRule::ReadOn,
            Some(Some(error)) => ConflictRule::Found(error.clone()),
        },
        par: par::config(&client, &options, started_at),
        ..config::upload_config(command, &options, &cut, &preflight, continued, end)
    };
    let continues = config.resume.is_some();
    let upload = Upload::new(config);
    let location = preflight.location;
    // From here on a stream is read: the session waits for a new login instead of failing.
    client.set_streaming();
    client.set_probe_request(&request::head_object(&location, &None));
    let StreamThreads { reader, validator } = threads;
    let checks = StreamChecks {
        validator: Some(validator),
        whole: whole_stream_hasher(command, identical.as_ref())?,
    };
    let checksum = if found { Algorithm::None } else { command.checksum };
    let reader = Reader::on(reader, source, pool, cut, checksum, checks);
    let source = RunningSource { reader, producer, expected: expected_size };
    let customer_key = options.customer_key.clone();
    let mut driver =
        UploadDriver::new(client.clone(), location.clone(), options, upload, started_at);
    let result = driver.run(source, signals, reporter).await;
    let retries = driver.retries();
    figures.record_retries(retries);
    if let (true, Ok(stored)) = (continues, &result) {
        reporter.info(&outcome::resumed_line(driver.held_bytes(), stored.size));
    }
    let receipt = match (result, identical) {
        (Err(conflict), Some(check)) if conflict.kind == ErrorKind::Exists => {
            let (upload, stream) = driver.into_read();
            let run = ConflictingRun {
                client: &client,
                location: &location,
                customer_key,
                command,
                upload: &upload,
                stream,
                conflict,
                reporter,
            };
            let identical = until_signal(signals, check.compare(run)).await?;
            receipt::of_identical(identical, location)
        }
        (result, _) => receipt::of_stored(result?, location, command.checksum),
    };
    Ok(Receipt {
        auth: client.auth_name().to_owned(),
        seconds: started_at.elapsed(),
        retries,
        token_refreshes: client.token_refreshes(),
        ..receipt
    })
}

/// What is computed over the whole stream: the digests that it must have, and the record for a comparison.
fn whole_stream_hasher(
    command: &PutCommand,
    identical: Option<&IdenticalCheck>,
) -> Result<WholeStreamHasher, Error> {
    let algorithms = command.expected_digests.iter().map(|digest| digest.value.algorithm());
    let compared = identical.map(IdenticalCheck::record).transpose()?;
    Ok(WholeStreamHasher::new(algorithms, compared))
}
