//! What `--resume` changes: the upload that a run continues, or leaves open for another run.
//!
//! Owns whether an upload stays open, and whether its parts are those that this run expects. Must not know
//! requests or states. Invariant: a part that neither this run nor the listing at its start knows ends the
//! run before the commit, so that the bytes of two runs are never mixed.

use super::core::Core;
use super::parts::Parts;
use super::{ContinuedUpload, UploadConfig};
use crate::api::{ListedPart, ObjectMeta};
use crate::digest::Algorithm;
use crate::error::{Error, ErrorKind};
use crate::part_number::PartNumber;
use crate::retry::Failure;

impl UploadConfig {
    /// The upload that the run continues.
    pub(super) fn continued(&self) -> Option<&ContinuedUpload> {
        self.resume.as_ref()?.continued.as_ref()
    }
}

impl Core {
    /// Whether the run continues an upload that was open before.
    pub(super) fn continues(&self) -> bool {
        self.config.continued().is_some()
    }

    /// In which property the object of a continued upload differs from what this run asks for.
    pub(super) fn property_difference(&self, object: &ObjectMeta) -> Option<String> {
        let continued = self.config.continued()?;
        continued.properties.difference(&object.headers)
    }

    /// The error of a part that the service refuses for good. The algorithm of a continued upload is not
    /// known, and how the service answers a part with another one is not documented.
    pub(super) fn refused_part(&self, error: Error, failure: &Failure) -> Error {
        let refused = matches!(failure, Failure::ErrorResponse(response) if response.status == 400);
        let asks = !matches!(self.config.checksum, Algorithm::Md5 | Algorithm::None);
        if !(refused && asks && self.continues()) {
            return error;
        }
        error.with_hint(
            "the upload may have been begun with another --checksum, which the service does not show: give \
             that one, or --checksum md5, which fits each upload",
        )
    }

    /// Whether the upload stays open after a run that ends with an error of this kind. After a failed
    /// source or a mismatch the upload is worth nothing; but only the run that began it may abort it.
    pub(super) fn leaves_open(&self, kind: ErrorKind) -> bool {
        let worthless = matches!(kind, ErrorKind::Source | ErrorKind::Integrity);
        self.config.resume.is_some() && (!worthless || self.continues())
    }
}

impl Parts {
    /// The numbers of the listed parts that are not part of the object: those beyond the end of the
    /// stream, which the service held before the run.
    ///
    /// # Errors
    ///
    /// The list has a part that this run has neither sent nor seen at its start.
    pub(super) fn surplus(&self, listed: &[ListedPart]) -> Result<Vec<PartNumber>, Error> {
        let mut surplus = Vec::new();
        for found in listed {
            let number = found.part_number;
            match self.parts.get(number.index()) {
                Some(part) => {
                    let same_bytes = found.size == part.digest.size
                        && part.md5.is_some()
                        && found.md5 == part.md5;
                    if !same_bytes && found.etag != part.etag {
                        return Err(changed(number));
                    }
                }
                None => match self.held.get(&number) {
                    Some(held) if held.etag == found.etag => surplus.push(number),
                    _ => return Err(changed(number)),
                },
            }
        }
        surplus.sort_unstable();
        Ok(surplus)
    }
}

/// Another run sends parts of the same upload.
fn changed(number: PartNumber) -> Error {
    Error::new(
        ErrorKind::Exists,
        format!(
            "part {number} of the open upload was changed by another run while this one was running; \
             nothing was committed"
        ),
    )
    .with_hint("let the other run finish or end it, and then resume the upload")
}

/// The error of a run whose upload another run has committed or aborted; `error` is that of the request that
/// shows it.
pub fn upload_gone(error: Error) -> Error {
    Error::new(ErrorKind::Exists, error.message).with_hint(
        "another run has committed or aborted this upload; this one has committed nothing",
    )
}

/// A stream of no bytes cannot be the content of an upload with parts.
pub(super) fn empty_stream() -> Error {
    Error::source("the stream is empty, and an open upload is not continued with it")
        .with_hint("leave --resume out to store an empty object with --allow-empty")
}
