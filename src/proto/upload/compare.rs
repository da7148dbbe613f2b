//! Whether what the service holds is what was read.
//!
//! Owns the comparison of a committed object with the digests taken while reading, best evidence
//! first. Knows nothing of requests. Invariant: a digest that the service does not send is no
//! mismatch, and one that it sends and that differs always is.

use serde::Serialize;

use super::{Action, ApiCall, Now, StoredObject, Upload};
use crate::api::ObjectMeta;
use crate::digest::{self, Algorithm, PartDigest, Value};
use crate::error::Error;

/// The evidence that a committed object is what was read; the name of the header it stood in.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(transparent)]
pub struct VerifiedBy(pub String);

/// What comparing brought.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Comparison {
    Same(VerifiedBy),
    Differs(String),
    /// Nothing in the answer can be compared.
    NothingToCompare,
}

impl Upload {
    fn checksum_name(&self) -> &'static str {
        self.config.checksum.name()
    }

    /// The digests of all parts by the chosen algorithm.
    fn values(&self) -> Option<Vec<Value>> {
        self.parts.digests().map(|digest| digest.value.clone()).collect()
    }

    /// The digest over the object by the chosen algorithm, as the service spells it.
    pub(super) fn whole_checksum(&self) -> Option<String> {
        let algorithm = self.config.checksum;
        if self.upload_id().is_none() {
            return self.part(1)?.value.as_ref().map(Value::base64);
        }
        match algorithm {
            Algorithm::None => None,
            Algorithm::Crc32c => {
                let part = |digest: &PartDigest| Some((digest.value.as_ref()?.crc()?, digest.size));
                let parts: Option<Vec<_>> = self.parts.digests().map(part).collect();
                Some(digest::crc32c_whole(parts?).base64())
            }
            _ => Some(digest::multipart(algorithm, &self.values()?)),
        }
    }

    /// The digest of the MD5s of the parts, where the service said them all.
    fn whole_md5(&self) -> Option<String> {
        if self.config.checksum == Algorithm::Md5 {
            return self.whole_checksum();
        }
        Some(digest::multipart(Algorithm::Md5, &self.parts.md5s()?))
    }

    /// Compares everything that can be compared.
    pub(super) fn compare(&self, held: &ObjectMeta) -> Comparison {
        let mut best = None;
        let multipart = self.upload_id().is_some();
        if let (Some(read), Some(size)) = (self.end_of_stream.map(|(bytes, _)| bytes), held.size) {
            if read != size {
                return Comparison::Differs(format!("{read} bytes were read, it has {size}"));
            }
            best = Some("content-length".to_owned());
        }
        let algorithm = self.config.checksum;
        let mut pairs = Vec::new();
        if multipart {
            if algorithm != Algorithm::Md5 {
                let name = "opc-multipart-md5".to_owned();
                pairs.push((self.whole_md5(), held.multipart.get(Algorithm::Md5), name));
            }
            let name = format!("opc-multipart-{}", algorithm.name().to_lowercase());
            match algorithm {
                Algorithm::None => {}
                Algorithm::Crc32c => {
                    let name = "opc-content-crc32c".to_owned();
                    pairs.push((self.whole_checksum(), held.content.get(algorithm), name));
                }
                _ => pairs.push((self.whole_checksum(), held.multipart.get(algorithm), name)),
            }
        } else {
            let name = format!("opc-content-{}", algorithm.name().to_lowercase());
            pairs.push((self.whole_checksum(), held.content.get(algorithm), name));
        }
        for (ours, theirs, name) in pairs {
            let (Some(ours), Some(theirs)) = (ours, theirs) else { continue };
            if !same_digest(&ours, theirs) {
                return Comparison::Differs(format!("{name} is {theirs}, of what was read {ours}"));
            }
            best = Some(name);
        }
        best.map_or(Comparison::NothingToCompare, |name| Comparison::Same(VerifiedBy(name)))
    }

    /// Whether anything but the size of an object spoke for it.
    pub(super) fn is_strong(verified_by: &VerifiedBy) -> bool {
        verified_by.0 != "content-length"
    }

    /// Committed and verified.
    pub(super) fn finish_stored(&mut self, held: ObjectMeta, verified_by: VerifiedBy) {
        let (size, _) = self.end_of_stream.unwrap_or_default();
        let multipart = self.upload_id().is_some();
        let single = |digest: &PartDigest| digest.value.as_ref().map(Value::hex);
        let sha256 = match self.config.checksum {
            Algorithm::Sha256 if !multipart => self.part(1).and_then(single),
            _ => None,
        };
        let stored = StoredObject {
            meta: held,
            size,
            upload_id: self.upload_id().map(str::to_owned),
            parts: self.parts.count(),
            checksum: self.whole_checksum(),
            sha256,
            evidence: verified_by,
        };
        self.finish_if_clean(Ok(stored));
    }

    /// What the object has to look like, for a person to compare.
    pub(super) fn expected_summary(&self) -> String {
        let size = self.end_of_stream.map_or(0, |(bytes, _)| bytes);
        match self.whole_checksum() {
            Some(value) => format!("{size} bytes, {} {value}", self.checksum_name()),
            None => format!("{size} bytes"),
        }
    }

    // A single PutObject.

    pub(super) fn on_put_stored(&mut self, now: Now, held: ObjectMeta, crc32: u32) {
        self.record_progress(now);
        let Some(part) = self.part(1) else { return };
        if crc32 != part.crc32 || self.end_of_stream.is_some_and(|(_, read)| read != crc32) {
            let difference = format!(
                "the CRC-32 of what was read is {:08x}, of what was sent {crc32:08x}",
                part.crc32
            );
            return self.mismatch(now, &held, &difference);
        }
        match self.compare(&held) {
            Comparison::Differs(difference) => self.mismatch(now, &held, &difference),
            Comparison::NothingToCompare if held.content.md5.is_some() && self.wants_checksum() => {
                self.committed = Some(held);
                self.actions.push_back(Action::Rehash(1));
            }
            Comparison::NothingToCompare => self.head_object(held, None),
            Comparison::Same(by) => self.head_object(held, Some(by)),
        }
    }

    fn wants_checksum(&self) -> bool {
        self.config.checksum != Algorithm::None
    }

    /// The MD5 of a put's buffer, or its digests after it arrived damaged.
    pub(super) fn on_put_rehashed(&mut self, now: Now, digest: PartDigest, md5: Value) {
        if self.part(1) != Some(&digest) {
            let error = Error::integrity("the stream changed in memory after it was read")
                .with_hint("suspect this machine's memory");
            return match self.committed.take() {
                Some(held) => self.mismatch(now, &held, &error.message),
                None if self.response_lost => self.end_unknown(&error.message),
                None => self.fail_after_commit(now, error),
            };
        }
        let ours = md5.base64();
        let is_ours = |held: &ObjectMeta| held.content.md5.as_ref() == Some(&ours);
        let by_md5 = VerifiedBy("opc-content-md5".to_owned());
        match (self.candidate_object.take(), self.committed.take()) {
            (Some(held), _) if is_ours(&held) => self.finish_stored(held, by_md5),
            (Some(_), _) => self.object_not_ours(now),
            (None, Some(held)) if is_ours(&held) => self.head_object(held, Some(by_md5)),
            (None, Some(held)) => {
                let theirs = held.content.md5.clone().unwrap_or_default();
                let difference = format!("its MD5 is {theirs}, of what was read {ours}");
                self.mismatch(now, &held, &difference);
            }
            (None, None) => self.start_call(ApiCall::Put),
        }
    }
}

/// The service's digest of digests may stand with or without the number of parts behind it.
fn same_digest(ours: &str, theirs: &str) -> bool {
    ours == theirs || (!theirs.contains('-') && ours.split('-').next() == Some(theirs))
}
