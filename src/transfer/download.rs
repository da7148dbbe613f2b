//! Downloads one object as a stream.
//!
//! Owns the order of a download: look at the object, open the output, read the ranges, write them,
//! compare. Decides nothing about retries (`range_reader`), about which range is read when
//! (`range_window`) and about where bytes go (`sink`). Invariant: success is reported only when
//! every byte of one version of the object has been written, and matches what the service reports
//! of it where that can be compared.

use std::path::PathBuf;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use super::comparison::{Comparison, ComparisonText, UploadKnowledge};
use super::object_check::{ObjectRequest, check_object};
use super::partial_file::Binding;
use super::range_reader::RangeReader;
use super::range_sink::RangeCounts;
use super::range_window::RangeWindow;
use super::read_progress::ReadProgress;
use super::sink::Sink;
use crate::platform::worker::Worker;
use crate::source::pool::{MemoryPressure, Pool};
use crate::term::progress::activity::{Blocked, TransferStage};
use crate::term::progress::{Reporter, Transfer};
use crate::transfer::client::{Access, Client};
use crate::transfer::lookup::Lookup;
use proto::api::{ObjectLocation, ReadOptions};
use proto::byte_range::{ByteRange, Extent};
use proto::error::{Error, ErrorKind};
use proto::object_url::ObjectUrl;
use proto::range_plan::RangePlan;
use proto::retry::NotFoundHistory;

/// The smallest buffer where the system refuses memory.
const LEAST_BUFFER: usize = 256 << 10;

/// One object to download, and the file it is written to.
pub(crate) struct DownloadRequest {
    pub client: Client,
    pub source: ObjectUrl,
    pub options: ReadOptions,
    /// The bytes of the object; `None` for all.
    pub range: Option<ByteRange>,
    /// What the user knows of the upload; nothing with a range.
    pub known: UploadKnowledge,
    /// Hours for which an archived object is restored; `None` if it is not.
    pub restore: Option<u32>,
    pub plan: RangePlan,
    /// `None` is stdout.
    pub file: Option<PathBuf>,
    /// How long the download may make no progress before it fails.
    pub retry_for: Duration,
}

/// Writes the object to the file with `worker`, the thread of the sink; returns when it is written.
/// The error is final: what may be retried has been retried for `retry_for`.
pub(crate) async fn download(
    request: DownloadRequest,
    worker: Worker,
    reporter: &Arc<Reporter>,
) -> Result<(), Error> {
    let DownloadRequest { client, source, options, range, known, restore, plan, file, retry_for } =
        request;
    let lookup = Lookup::new(&client, retry_for, reporter);
    let location = lookup.locate(source.namespace.as_deref(), &source.bucket, &source.name).await?;
    let object = ObjectRequest { location: &location, options: &options, restore, retry_for };
    let meta = check_object(&lookup, &object).await?;
    let (Some(size), Some(etag)) = (meta.size, meta.etag.clone()) else {
        return Err(Error::service("HeadObject gave neither a size nor an etag"));
    };
    let extent = extent(range, size, &location)?;
    let binding = Binding { etag: etag.clone(), size, extent };
    let comparison = match range {
        None => Comparison::of_whole(&meta, &known)?,
        Some(_) => Comparison::of_range(),
    };
    client.set_streaming();
    let sink = Sink::open(worker, file.as_deref(), binding, comparison, reporter).await?;
    let access = client.access.clone();
    let sink = continue_partial(sink, reporter, &access).await?;
    let kept = sink.kept();
    let left = Extent { first: extent.first + kept, length: extent.length - kept };
    let partial = sink.partial_path();
    let version = ObjectVersion { client, location, options, etag, retry_for };
    let window = version.window(plan, left, reporter);
    let total = extent.length;
    let progress = ReadProgress::new(reporter, &access, Transfer::Write, Some(total), kept)
        .with_ranges(window.counts());
    let compared = progress
        .shown_during(copy_ranges(window, total, kept, sink, &progress))
        .await
        .map_err(|error| with_partial_hint(error, partial))?;
    progress.set_stage(TransferStage::Complete);
    match compared.is_warning {
        true => reporter.warn(&compared.text),
        false => reporter.info(&compared.text),
    }
    Ok(())
}

/// One version of an object, which HeadObject has shown.
pub(super) struct ObjectVersion {
    pub client: Client,
    pub location: ObjectLocation,
    pub options: ReadOptions,
    pub etag: String,
    /// How long reading may make no progress before it fails.
    pub retry_for: Duration,
}

impl ObjectVersion {
    /// Reads these bytes in parallel ranges.
    pub(super) fn window(
        self,
        plan: RangePlan,
        extent: Extent,
        reporter: &Arc<Reporter>,
    ) -> RangeWindow {
        let ObjectVersion { client, location, options, etag, retry_for } = self;
        let reader = RangeReader {
            client,
            location,
            options,
            etag,
            retry_for,
            counts: RangeCounts::new(),
            // HeadObject has succeeded before.
            history: Mutex::new(NotFoundHistory::of_seen_bucket()),
            reporter: reporter.clone(),
        };
        let pressure = MemoryPressure {
            min_buffer: LEAST_BUFFER.min(plan.buffer_size),
            unit: 4096,
            timeout: Duration::ZERO,
        };
        let pool = Pool::with_pressure(pressure, plan.buffer_size, plan.buffers);
        RangeWindow::new(reader, plan, pool, extent)
    }
}

/// The bytes to read. Fails where the range has no byte of the object.
fn extent(range: Option<ByteRange>, size: u64, location: &ObjectLocation) -> Result<Extent, Error> {
    let Some(range) = range else { return Ok(Extent::whole(size)) };
    range.resolve(size).ok_or_else(|| {
        Error::service(format!("--range {range}: {location} has {size} bytes, and none of these"))
    })
}

/// Reads again what an earlier run has left in a partial file.
async fn continue_partial(sink: Sink, reporter: &Reporter, access: &Access) -> Result<Sink, Error> {
    let kept = sink.kept();
    let Some(path) = sink.partial_path().filter(|_| kept > 0) else { return Ok(sink) };
    let path = path.display();
    reporter.info(&format!("{path} has {kept} bytes of it: reading them again"));
    let progress = ReadProgress::new(reporter, access, Transfer::Reread, Some(kept), 0);
    let reread = sink.reread(|read| progress.set_done(read));
    let (sink, sound) = progress.shown_during(reread).await?;
    if !sound {
        reporter.warn(&format!("{path} is damaged: starting from the first byte"));
    }
    Ok(sink)
}

/// Writes the ranges of the window in order, up to `total` bytes; `kept` of them are written.
async fn copy_ranges(
    mut window: RangeWindow,
    total: u64,
    kept: u64,
    mut sink: Sink,
    progress: &ReadProgress<'_>,
) -> Result<ComparisonText, Error> {
    let mut written = kept;
    while let Some(bytes) = progress.blocked(Blocked::ByLine, window.next_chunk()).await? {
        let length = bytes.len() as u64;
        sink = progress.blocked(Blocked::ByOutput, sink.write(bytes)).await?;
        written += length;
        progress.set_done(written);
    }
    if written != total {
        return Err(Error::integrity(format!("{written} of {total} bytes were read")));
    }
    progress.set_stage(TransferStage::Verifying);
    sink.finish().await
}

/// Adds how a download goes on that has left a partial file.
fn with_partial_hint(error: Error, partial: Option<PathBuf>) -> Error {
    let goes_on =
        matches!(error.kind, ErrorKind::Credentials | ErrorKind::Service | ErrorKind::Internal);
    let Some(path) = partial.filter(|path| goes_on && path.exists()) else { return error };
    let kept = format!("what was read is kept in {}: the same command goes on", path.display());
    let hint = match &error.hint {
        Some(hint) => format!("{hint}\n  {kept}"),
        None => kept,
    };
    error.with_hint(hint)
}
