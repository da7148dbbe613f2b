//! The `verify` command: one object is compared with a stream, or with the receipt of its upload.
//!
//! Owns the order: digests first, and the object is read only where they do not decide. Must not know
//! how digests are compared or how an object is read. Invariants: nothing is written; success is
//! reported only after a comparison that found both the same, and the message names it.

use std::path::Path;
use std::sync::Arc;

use super::until_signal;
use crate::auth::environment::Environment;
use crate::cli::{VerifyCommand, VerifyStream};
use crate::platform::memory;
use crate::platform::signals::Signals;
use crate::platform::small_file;
use crate::platform::worker::{self, Worker};
use crate::source::{ByteSource, ReaderThread};
use crate::term::progress::activity::Blocked;
use crate::term::progress::{Reporter, Transfer};
use crate::transfer::client::{Client, Timeouts};
use crate::transfer::object_reading::{ReadObject, ReadableObject};
use crate::transfer::read_progress::ReadProgress;
use proto::api::{Archival, ObjectMeta, ReadOptions};
use proto::error::Error;
use proto::object_digest::{
    Certainty, ChunkComparison, ComparedStream, ComparisonResult, Difference, Proof,
    StreamComparison, UploadedLayout, compare_receipt,
};
use proto::object_url::ObjectUrl;
use proto::range_plan::{self, RangePlanInput};
use proto::receipt::Receipt;

/// Hours for which an object is restored in order to be read.
const RESTORE_HOURS: u32 = 24;

/// Compares the object with the stream or the receipt. Fails with `ErrorKind::Integrity` where they
/// differ, and with the first error that no retry can resolve.
pub(super) async fn verify(command: VerifyCommand, environment: &Environment) -> Result<(), Error> {
    let mut signals = Signals::subscribe()?;
    let threads = until_signal(&mut signals, VerifyThreads::start()).await?;
    let reporter = Arc::new(Reporter::new(command.output));
    let verified = async {
        let run = VerifyRun::open(&command, environment, &reporter).await?;
        run.verify(threads).await
    };
    let result = until_signal(&mut signals, verified).await;
    reporter.finish();
    result
}

/// The threads that read the stream, and that compare the bytes of the object.
struct VerifyThreads {
    reader: ReaderThread,
    comparer: Worker,
}

impl VerifyThreads {
    /// Fails if the system starts no thread, even after retries.
    async fn start() -> Result<VerifyThreads, Error> {
        let reader = worker::retry_start(ReaderThread::start).await;
        let reader = reader.map_err(|error| worker::thread_error("to read with", &error))?;
        let comparer = worker::retry_start(|| Worker::start("ocipipe-compare")).await;
        let comparer = comparer.map_err(|error| worker::thread_error("to compare with", &error))?;
        Ok(VerifyThreads { reader, comparer: comparer.joined_on_drop() })
    }
}

/// Everything that is known before the first request.
struct VerifyRun<'a> {
    /// With the path, for messages.
    receipt: Option<(&'a Path, Receipt)>,
    stream: Option<ByteSource>,
    uploaded: UploadedLayout,
    object: ReadObject,
    source: ObjectUrl,
    reporter: &'a Arc<Reporter>,
}

impl<'a> VerifyRun<'a> {
    /// Reads the receipt, the encryption key and the credentials, and opens the stream.
    async fn open(
        command: &'a VerifyCommand,
        environment: &Environment,
        reporter: &'a Arc<Reporter>,
    ) -> Result<VerifyRun<'a>, Error> {
        let receipt = match &command.receipt {
            Some(path) => {
                Some((path.as_path(), small_file::read_receipt(path, command.source.as_ref())?))
            }
            None => None,
        };
        let stream = match &command.stream {
            Some(VerifyStream::Stdin) => Some(ByteSource::stdin()?),
            Some(VerifyStream::File(path)) => Some(ByteSource::file(path)?),
            None => None,
        };
        let uploaded = match (command.uploaded_part_size, &receipt) {
            (Some(size), _) => UploadedLayout::PartSize(size),
            (None, Some((_, Receipt { part_sizes: Some(layout), .. }))) => {
                UploadedLayout::Receipt(layout.clone())
            }
            (None, _) => UploadedLayout::Unknown,
        };
        let source = match (&command.source, &receipt) {
            (Some(source), _) => source.clone(),
            (None, Some((_, receipt))) => {
                ObjectUrl::new(&receipt.bucket, Some(&receipt.namespace), &receipt.name)?
            }
            (None, None) => return Err(Error::usage("SOURCE is missing")),
        };
        let plan = range_plan::plan(&RangePlanInput {
            max_memory: command.max_memory,
            available_memory: memory::available(),
            ..RangePlanInput::default()
        })?;
        for warning in &plan.warnings {
            reporter.warn(warning);
        }
        let key = command.encryption_key_file.as_deref();
        let timeouts =
            Timeouts { retry_for: command.retry_for, stall_timeout: command.stall_timeout };
        let options = ReadOptions {
            customer_key: key.map(small_file::read_customer_key).transpose()?,
            version_id: command.version_id.clone(),
            if_match: command.if_match.clone(),
        };
        let object = ReadObject {
            client: Client::open_session(&command.service, environment, timeouts, reporter).await?,
            options,
            restore: command.restore.then_some(RESTORE_HOURS),
            plan,
            retry_for: command.retry_for,
            reporter: reporter.clone(),
        };
        Ok(VerifyRun { receipt, stream, uploaded, object, source, reporter })
    }

    async fn verify(self, threads: VerifyThreads) -> Result<(), Error> {
        let VerifyRun { receipt, stream, uploaded, object, source, reporter } = self;
        let object = object.look(&source).await?;
        let is_repeated = stream.as_ref().is_some_and(|stream| !stream.is_file());
        let object_name = object.location.to_string();
        let verdict = Verdict { object: object_name, was_read: false, is_repeated, reporter };
        if let Some((path, receipt)) = &receipt {
            let name = format!("the receipt {}", path.display());
            match (compare_receipt(receipt, &object.meta), &stream) {
                (ComparisonResult::Different(difference), _) => {
                    return Err(verdict.differs(&name, &difference.to("the receipt")));
                }
                (ComparisonResult::Equal(proof), None) => {
                    verdict.note_new_etag(receipt, &object.meta);
                    return verdict.equal(&name, &proof);
                }
                (ComparisonResult::NotCompared(reason), None) => {
                    reporter.info(&format!(
                        "the object and the receipt have no digest in common ({reason}): reading \
                         the object"
                    ));
                    let digests = receipt.object_meta();
                    let comparison = StreamComparison::new(&digests, &uploaded)?;
                    let comparison = object.read(threads.comparer, comparison, hash_object).await?;
                    let verdict = Verdict { was_read: true, ..verdict };
                    return verdict.of(&name, "the receipt", comparison.finish());
                }
                (_, Some(_)) => {}
            }
        }
        match stream {
            Some(stream) => compare_stream(stream, object, &uploaded, threads, verdict).await,
            None => Err(Error::usage("there is nothing to compare with")),
        }
    }
}

/// Compares the stream with the digests of the object and, where they do not decide, with its bytes.
async fn compare_stream(
    stream: ByteSource,
    object: ReadableObject,
    uploaded: &UploadedLayout,
    threads: VerifyThreads,
    verdict: Verdict<'_>,
) -> Result<(), Error> {
    let name = stream.name().to_owned();
    if let (Some(size), Some(of_object)) = (stream.size(), object.meta.size)
        && size != of_object
    {
        let difference = Difference::Size { stream: size, object: of_object };
        return verdict.of(&name, &name, ComparisonResult::Different(difference));
    }
    let comparison = StreamComparison::new(&object.meta, uploaded)?;
    if comparison.certainty() == Certainty::SizeOnly && object.archival != Archival::Readable {
        // An object that cannot be read is an error before the stream is read, and not after it.
        object.check_restorable()?;
    }
    let state = ComparedStream::with(comparison);
    object.set_streaming();
    let total = stream.size().or(object.meta.size);
    let progress =
        ReadProgress::new(verdict.reporter, object.access(), Transfer::Compare, total, 0);
    let reading = threads.reader.read_all(stream, state, ComparedStream::update, progress.done());
    let reading = progress.blocked(Blocked::BySource, reading);
    let (compared, end) = progress.shown_during(reading).await?;
    drop(progress);
    if let Some(warning) = end.warning {
        verdict.reporter.warn(&warning);
    }
    match compared.finish() {
        (Some(ComparisonResult::NotCompared(reason)), Some(chunks)) => {
            let text = format!("the digests do not decide ({reason}): reading the object");
            verdict.reporter.info(&text);
            let read =
                object.read(threads.comparer, chunks, ChunkComparison::update_while_equal).await?;
            let verdict = Verdict { was_read: true, ..verdict };
            verdict.of(&name, &name, read.finish())
        }
        (Some(result), _) => verdict.of(&name, &name, result),
        (None, _) => Err(Error::usage("there is nothing to compare with")),
    }
}

/// Adds the next bytes of the object; always true, since all of them are hashed.
fn hash_object(comparison: &mut StreamComparison, bytes: &[u8]) -> bool {
    comparison.update(bytes);
    true
}

/// Turns a comparison into the result of the run.
struct Verdict<'a> {
    /// The object for messages.
    object: String,
    /// Whether the bytes of the object were read, and not only its digests.
    was_read: bool,
    /// Whether the stream comes from a program, which may have made another one this time.
    is_repeated: bool,
    reporter: &'a Reporter,
}

impl Verdict<'_> {
    /// `name` is what the object was compared with, and `other` is the same within a sentence.
    fn of(&self, name: &str, other: &str, result: ComparisonResult) -> Result<(), Error> {
        match result {
            ComparisonResult::Equal(proof) => self.equal(name, &proof),
            ComparisonResult::Different(difference) => {
                Err(self.differs(name, &difference.to(other)))
            }
            ComparisonResult::NotCompared(reason) => {
                let what = format!("{} and {name} cannot be compared: {reason}", self.object);
                Err(Error::usage(what).with_hint("compare with the stream itself: --file PATH"))
            }
        }
    }

    fn equal(&self, name: &str, proof: &Proof) -> Result<(), Error> {
        self.reporter.complete();
        let how = if self.was_read { "" } else { "; the object was not read" };
        let object = &self.object;
        self.reporter.info(&format!("{object} is the same as {name}: verified by {proof}{how}"));
        Ok(())
    }

    fn differs(&self, name: &str, difference: &str) -> Error {
        let hint = match self.is_repeated {
            false => {
                "the object was replaced or is damaged, or it is compared with something else than what \
                 was stored"
            }
            true => {
                "many programs write another stream each time: two of `pg_dump -Fc` are never the same; \
                 compare with the receipt that put printed: --receipt FILE"
            }
        };
        Error::integrity(format!("{} differs from {name}: {difference}", self.object))
            .with_hint(hint)
    }

    /// Notes that the object was written again since its receipt.
    fn note_new_etag(&self, receipt: &Receipt, object: &ObjectMeta) {
        if let Some(etag) = object.etag.as_ref().filter(|etag| **etag != receipt.etag) {
            self.reporter.info(&format!(
                "the object was written again since the receipt: its etag is {etag}, that of the \
                 receipt {}",
                receipt.etag
            ));
        }
    }
}
