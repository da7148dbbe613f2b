//! `--identical-ok`: an object that exists at the name is compared with the stream.
//!
//! Owns what is recorded of the stream, and the order of the comparison: digests first, and the object is
//! read only where they do not decide. Must not send any of the stream. Invariants: success is reported only
//! for an object that was compared with the whole stream and found equal; every other end is the conflict.

use std::sync::Arc;

use crate::cli::PutCommand;
use crate::platform::memory;
use crate::platform::worker::{self, Worker};
use crate::term::progress::Reporter;
use crate::transfer::client::Client;
use crate::transfer::object_reading::{ReadObject, ReadableObject};
use crate::transfer::preflight::Conflict;
use proto::api::{Archival, CustomerKey, ObjectLocation, ReadOptions};
use proto::error::{Error, ErrorKind};
use proto::evidence::Evidence;
use proto::object_digest::{
    ChunkComparison, ComparedStream, ComparisonResult, Difference, LayoutOrigin, Proof,
    StreamComparison, UploadedLayout,
};
use proto::object_url::ObjectUrl;
use proto::part_layout::PartLayout;
use proto::range_plan::{self, RangePlan, RangePlanInput};
use proto::upload::Upload;

use super::receipt::IdenticalObject;

/// How an object is compared with the stream.
pub(super) struct IdenticalCheck {
    /// The object that the preflight has found in the way.
    found: Option<Conflict>,
    plan: RangePlan,
}

/// A run that has ended with a conflict.
pub(super) struct ConflictingRun<'a> {
    pub client: &'a Client,
    pub location: &'a ObjectLocation,
    pub customer_key: Option<CustomerKey>,
    pub command: &'a PutCommand,
    pub upload: &'a Upload,
    /// `None` where the stream was not read to its end.
    pub stream: Option<ComparedStream>,
    pub conflict: Error,
    pub reporter: &'a Arc<Reporter>,
}

impl IdenticalCheck {
    /// Fails where the memory does not suffice, and with the conflict where a stream of `size` bytes cannot
    /// be the object.
    pub(super) fn new(
        command: &PutCommand,
        found: Option<Conflict>,
        size: Option<u64>,
    ) -> Result<IdenticalCheck, Error> {
        if let Some(Conflict { object, error }) = &found
            && let (Some(stream), Some(of_object)) = (size, object.size)
            && stream != of_object
        {
            let difference = Difference::Size { stream, object: of_object };
            return Err(different(error, &difference));
        }
        // A stream that is sent in one request may be given less than a download needs.
        let max_memory = match command.no_multipart {
            true => command.max_memory.map(|given| given.max(range_plan::MIN_MEMORY)),
            false => command.max_memory,
        };
        let plan = range_plan::plan(&RangePlanInput {
            max_memory,
            available_memory: memory::available(),
            ..RangePlanInput::default()
        })?;
        Ok(IdenticalCheck { found, plan })
    }

    /// The conflict that the preflight has found.
    pub(super) fn conflict(&self) -> Option<&Error> {
        self.found.as_ref().map(|found| &found.error)
    }

    /// The record of the stream, before its first byte.
    pub(super) fn record(&self) -> Result<ComparedStream, Error> {
        Ok(match &self.found {
            Some(Conflict { object, .. }) => {
                let comparison = StreamComparison::new(object, &UploadedLayout::Unknown)?;
                ComparedStream::with(comparison)
            }
            None => ComparedStream::with_unknown_object(),
        })
    }

    /// Compares the object with the stream. Fails with the conflict of the run, and why the object is not
    /// identical or was not compared.
    pub(super) async fn compare(
        self,
        mut run: ConflictingRun<'_>,
    ) -> Result<IdenticalObject, Error> {
        let conflict = run.conflict.clone();
        let Some(stream) = run.stream.take() else { return Err(conflict) };
        let (by_digests, chunks) = stream.finish();
        let object = look(self.plan, &run).await;
        let object = object.map_err(|error| not_compared(&conflict, &error.message))?;
        let is_known = |known: &Conflict| known.object.etag == object.meta.etag;
        let by_digests = by_digests.filter(|_| self.found.as_ref().is_some_and(is_known));
        let (meta, upload) = (object.meta.clone(), run.upload);
        let identical = |proof: Proof, layout: Option<PartLayout>| {
            run.reporter.info(&format!(
                "{} exists already and is the same as the stream: verified by {proof}; nothing was stored",
                run.location
            ));
            let size = upload.stream_bytes();
            Ok(IdenticalObject { object: meta.clone(), proof, size, layout })
        };
        match by_digests {
            Some(ComparisonResult::Equal(proof)) => return identical(proof, None),
            Some(ComparisonResult::Different(difference)) => {
                return Err(different(&conflict, &difference));
            }
            Some(ComparisonResult::NotCompared(_)) | None => {}
        }
        let (stream_bytes, of_object) = (upload.stream_bytes(), object.meta.size);
        if let Some(of_object) = of_object.filter(|bytes| *bytes != stream_bytes) {
            let difference = Difference::Size { stream: stream_bytes, object: of_object };
            return Err(different(&conflict, &difference));
        }
        if let Some(evidence) = upload.proof_of(&object.meta) {
            let layout = PartLayout::of_sizes(upload.part_sizes());
            return identical(proof_by_parts(evidence, layout.as_ref()), layout);
        }
        let Some(chunks) = chunks else {
            return Err(not_compared(&conflict, "it was replaced while it was compared"));
        };
        match read(object, chunks).await {
            Ok(ComparisonResult::Equal(proof)) => identical(proof, None),
            Ok(ComparisonResult::Different(difference)) => Err(different(&conflict, &difference)),
            Ok(ComparisonResult::NotCompared(reason)) => {
                Err(not_compared(&conflict, &reason.to_string()))
            }
            Err(error) => Err(not_compared(&conflict, &error.message)),
        }
    }
}

/// The object as it is now.
async fn look(plan: RangePlan, run: &ConflictingRun<'_>) -> Result<ReadableObject, Error> {
    let ObjectLocation { namespace, bucket, object } = run.location;
    let url = ObjectUrl::new(bucket, Some(namespace), object)?;
    let options = ReadOptions { customer_key: run.customer_key.clone(), ..ReadOptions::default() };
    let how = ReadObject {
        client: run.client.share(),
        options,
        restore: None,
        plan,
        retry_for: run.command.retry_for,
        reporter: run.reporter.clone(),
    };
    how.look(&url).await
}

/// Reads the object and compares every byte.
async fn read(object: ReadableObject, chunks: ChunkComparison) -> Result<ComparisonResult, Error> {
    if object.archival != Archival::Readable {
        object.check_restorable()?;
    }
    let comparer = worker::retry_start(|| Worker::start("ocipipe-compare")).await;
    let comparer = comparer.map_err(|error| worker::thread_error("to compare with", &error))?;
    let compared =
        object.read(comparer.joined_on_drop(), chunks, ChunkComparison::update_while_equal).await?;
    Ok(compared.finish())
}

/// The proof by the digests of the parts that this run has read.
fn proof_by_parts(evidence: Evidence, layout: Option<&PartLayout>) -> Proof {
    match evidence {
        Evidence::Multipart(_) => {
            let parts = layout.map_or(0, PartLayout::parts);
            Proof { evidence, parts, origin: LayoutOrigin::Run }
        }
        _ => Proof { evidence, parts: 0, origin: LayoutOrigin::Whole },
    }
}

fn different(conflict: &Error, difference: &Difference) -> Error {
    let message = format!("{}, and it differs from the stream: {difference}", conflict.message);
    Error { message, ..conflict.clone() }
}

fn not_compared(conflict: &Error, why: &str) -> Error {
    let message = format!("{}, and it could not be compared: {why}", conflict.message);
    Error { kind: ErrorKind::Exists, message, ..conflict.clone() }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proto::digest::Algorithm;

    #[test]
    fn a_proof_over_parts_has_their_number_and_that_they_are_those_of_this_run() {
        let layout = PartLayout::of_sizes([10, 10, 3]).unwrap();
        let of = |evidence| {
            let proof = proof_by_parts(evidence, Some(&layout));
            (proof.evidence, proof.parts, proof.origin)
        };
        let parts = Evidence::Multipart(Algorithm::Sha256);
        assert_eq!(of(parts), (parts, 3, LayoutOrigin::Run));
        let whole = Evidence::Content(Algorithm::Md5);
        assert_eq!(of(whole), (whole, 0, LayoutOrigin::Whole));
    }
}
