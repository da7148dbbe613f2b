//! Whether a stream is the content of an object, by the digests that the service reports.
//!
//! Owns which digests are compared, over which layouts, and what the result means. Must not know where
//! the bytes come from or what is done with the result. Invariants: a stream is different only by its
//! size, by a digest of the whole, or by a digest over a layout that is certain; a layout that is only
//! likely proves equality and nothing else.
//!
//! ```text
//! let mut comparison = StreamComparison::new(&meta, &UploadedLayout::Unknown)?;
//! comparison.update(bytes);                  // for all bytes of the stream, in order
//! match comparison.finish() {
//!     ComparisonResult::Equal(proof) => ...        // exit 0: "verified by {proof}"
//!     ComparisonResult::Different(difference) => ... // exit 7: "{difference}"
//!     ComparisonResult::NotCompared(reason) => ...   // exit 0: "not compared: {reason}"
//! }
//! ```
//!
//! A digest of the whole object is preferred. The CRC-32C costs little and is always compared. A
//! digest over parts is computed only where the object has no other digest that proves as much: first
//! SHA-256 or SHA-384, and MD5 only where there is nothing else.

mod chunks;
mod compared_stream;
mod known_layouts;
mod layout_hasher;
mod receipt_comparison;
mod result;
#[cfg(test)]
mod tests;

use crate::api::ObjectMeta;
use crate::digest::{Algorithm, Value, ValueHasher};
use crate::error::Error;
use crate::evidence::Evidence;
use crate::part_layout::PartLayout;
use crate::units::format_size_exact;

pub use chunks::{ChunkComparison, StreamChunks};
pub use compared_stream::ComparedStream;
pub use known_layouts::Client;
pub use receipt_comparison::compare_receipt;
pub use result::{ComparisonResult, Difference, LayoutOrigin, Proof, Reason, Strength};

use layout_hasher::LayoutHasher;

/// Bytes that all hashers process before the next ones, so that they stay in the core's cache.
const PIECE: usize = 256 << 10;

/// What the caller knows about the parts that an object was uploaded in.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum UploadedLayout {
    /// Nothing: the layouts that clients choose by default are tried.
    Unknown,
    /// The receipt of the upload states it.
    Receipt(PartLayout),
    /// Each part but the last has this size in bytes (`--uploaded-part-size`).
    PartSize(u64),
}

/// How much a comparison can decide, known before the first byte.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Certainty {
    /// The result is `Equal` or `Different`.
    Certain,
    /// Only likely layouts are known: the result may also be `NotCompared`.
    Likely,
    /// Nothing but the size can be compared: the result is `Different` or `NotCompared`.
    SizeOnly,
}

/// Compares a stream with the digests of an object while its bytes arrive.
pub struct StreamComparison {
    /// Of the object, in bytes.
    size: Option<u64>,
    /// Bytes of the stream so far.
    seen: u64,
    whole: Vec<WholeDigest>,
    parts: Option<PartsDigest>,
    /// The reason for a result of `NotCompared`.
    reason: Reason,
}

/// A digest of the whole object.
struct WholeDigest {
    evidence: Evidence,
    stored: Value,
    hasher: ValueHasher,
}

/// A digest over the parts of the object, and the layouts that it is computed over.
struct PartsDigest {
    algorithm: Algorithm,
    stored: String,
    candidates: Vec<LayoutHasher>,
    /// The layout is the one that the object was uploaded in.
    certain: bool,
}

impl StreamComparison {
    /// Plans the comparison with an object. Fails with `ErrorKind::Integrity` where the receipt is not
    /// that of the object, and with `ErrorKind::Usage` where parts of the given size would have another
    /// number.
    pub fn new(meta: &ObjectMeta, uploaded: &UploadedLayout) -> Result<StreamComparison, Error> {
        let mut whole = Vec::new();
        if let Some(digest) = WholeDigest::of(meta, Algorithm::Crc32c) {
            whole.push(digest);
        }
        let strong = [Algorithm::Sha384, Algorithm::Sha256]
            .into_iter()
            .find_map(|algorithm| WholeDigest::of(meta, algorithm));
        let mut comparison = StreamComparison {
            size: meta.size,
            seen: 0,
            whole,
            parts: None,
            reason: Reason::NoDigest,
        };
        if let Some(strong) = strong {
            comparison.whole.push(strong);
            return Ok(comparison);
        }
        // The number of parts is checked against the given layout, whatever is compared.
        let shas = [Algorithm::Sha384, Algorithm::Sha256];
        let sha = shas.into_iter().find_map(|algorithm| parts_digest(meta, algorithm));
        let md5 = parts_digest(meta, Algorithm::Md5);
        let Some((algorithm, stored, parts)) = sha.or(md5) else {
            // An object that was stored by one request.
            if comparison.whole.is_empty() {
                comparison.whole.extend(WholeDigest::of(meta, Algorithm::Md5));
            }
            return Ok(comparison);
        };
        let layouts = layouts(meta.size, parts, uploaded)?;
        if algorithm == Algorithm::Md5 && !comparison.whole.is_empty() {
            return Ok(comparison);
        }
        if layouts.is_empty() {
            comparison.reason = Reason::NoLayout { algorithm, parts };
            return Ok(comparison);
        }
        let certain = *uploaded != UploadedLayout::Unknown;
        let candidates = layouts
            .into_iter()
            .map(|(layout, origin)| LayoutHasher::new(layout, origin, algorithm))
            .collect();
        comparison.reason = Reason::NoLayout { algorithm, parts };
        comparison.parts =
            Some(PartsDigest { algorithm, stored: stored.to_owned(), candidates, certain });
        Ok(comparison)
    }

    /// How much the comparison can decide.
    pub fn certainty(&self) -> Certainty {
        let by_parts = self.parts.as_ref().is_some_and(|parts| parts.certain);
        match (self.whole.is_empty() && !by_parts, &self.parts) {
            (false, _) => Certainty::Certain,
            (true, Some(_)) => Certainty::Likely,
            (true, None) => Certainty::SizeOnly,
        }
    }

    /// Adds the next bytes of the stream.
    pub fn update(&mut self, bytes: &[u8]) {
        self.seen += bytes.len() as u64;
        for piece in bytes.chunks(PIECE) {
            for digest in &mut self.whole {
                digest.hasher.update(piece);
            }
            let candidates = self.parts.iter_mut().flat_map(|parts| &mut parts.candidates);
            for candidate in candidates {
                candidate.update(piece);
            }
        }
    }

    /// The result for the stream of all bytes so far.
    pub fn finish(self) -> ComparisonResult {
        if let Some(size) = self.size.filter(|size| *size != self.seen) {
            return ComparisonResult::Different(Difference::Size {
                stream: self.seen,
                object: size,
            });
        }
        let mut proof = None;
        for WholeDigest { evidence, stored, hasher } in self.whole {
            let Some(read) = hasher.finish() else { continue };
            if read != stored {
                return ComparisonResult::Different(Difference::Digest {
                    evidence,
                    stream: read.base64(),
                    object: stored.base64(),
                });
            }
            // The strongest one comes last.
            proof = Some(Proof { evidence, parts: 0, origin: LayoutOrigin::Whole });
        }
        match self.parts {
            Some(parts) => parts.finish(proof, self.reason),
            None => match proof {
                Some(proof) => ComparisonResult::Equal(proof),
                None => ComparisonResult::NotCompared(self.reason),
            },
        }
    }
}

impl PartsDigest {
    /// `of_whole` is what the whole was found equal by, and `reason` why nothing was compared if no
    /// layout fits.
    fn finish(self, of_whole: Option<Proof>, reason: Reason) -> ComparisonResult {
        let evidence = Evidence::Multipart(self.algorithm);
        let mut read = String::new();
        for candidate in self.candidates {
            let (parts, origin) = (candidate.parts(), candidate.origin());
            let Some(value) = candidate.finish() else { continue };
            if crate::digest::is_same(&value, &self.stored) {
                return ComparisonResult::Equal(Proof { evidence, parts, origin });
            }
            read = value;
        }
        match of_whole {
            _ if self.certain => ComparisonResult::Different(Difference::Digest {
                evidence,
                stream: read,
                object: self.stored,
            }),
            Some(proof) => ComparisonResult::Equal(proof),
            None => ComparisonResult::NotCompared(reason),
        }
    }
}

impl WholeDigest {
    /// The digest of the whole object by this algorithm, if the service reports one.
    fn of(meta: &ObjectMeta, algorithm: Algorithm) -> Option<WholeDigest> {
        let stored = Value::from_base64(algorithm, meta.content.get(algorithm)?)?;
        let hasher = ValueHasher::new(algorithm);
        Some(WholeDigest { evidence: Evidence::Content(algorithm), stored, hasher })
    }
}

/// The digest over the parts by this algorithm, and the number of parts if it is stated.
fn parts_digest(meta: &ObjectMeta, algorithm: Algorithm) -> Option<(Algorithm, &str, Option<u32>)> {
    let stored = meta.multipart.get(algorithm)?.trim();
    let (value, parts) = match stored.split_once('-') {
        Some((value, parts)) => (value, Some(parts.parse().ok()?)),
        None => (stored, None),
    };
    Value::from_base64(algorithm, value)?;
    Some((algorithm, stored, parts))
}

/// The layouts that the object may have.
fn layouts(
    size: Option<u64>,
    parts: Option<u32>,
    uploaded: &UploadedLayout,
) -> Result<Vec<(PartLayout, LayoutOrigin)>, Error> {
    let Some(size) = size else { return Ok(Vec::new()) };
    let stated = match parts {
        Some(parts) => format!("{size} bytes in {parts} parts"),
        None => format!("{size} bytes"),
    };
    let fits = |layout: &PartLayout| {
        layout.bytes() == size && parts.is_none_or(|parts| parts == layout.parts())
    };
    match uploaded {
        UploadedLayout::Unknown => Ok(known_layouts::candidates(size, parts)
            .into_iter()
            .map(|candidate| (candidate.layout, LayoutOrigin::Default(candidate.client)))
            .collect()),
        UploadedLayout::Receipt(layout) if fits(layout) => {
            Ok(vec![(layout.clone(), LayoutOrigin::Receipt)])
        }
        UploadedLayout::Receipt(layout) => Err(Error::integrity(format!(
            "the object has {stated}, that of the receipt {} bytes in {} parts",
            layout.bytes(),
            layout.parts()
        ))
        .with_hint("the object was replaced, or the receipt is that of another one")),
        UploadedLayout::PartSize(part_size) => {
            match PartLayout::level(size, *part_size).filter(fits) {
                Some(layout) => Ok(vec![(layout, LayoutOrigin::PartSize)]),
                None => Err(Error::usage(format!(
                    "--uploaded-part-size {} is not the part size of the object, which has {stated}",
                    format_size_exact(*part_size)
                ))
                .with_hint("give the size that the object was uploaded with, or none")),
            }
        }
    }
}
