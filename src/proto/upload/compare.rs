//! Compares a committed object with the digests that were computed while reading.
//!
//! Owns the order of evidence, best first. Must not know requests or states. Invariant: a digest that
//! the service does not send is no mismatch; one that it sends and that differs always is.

use super::core::Core;
use crate::api::ObjectMeta;
use crate::digest::{self, Algorithm, PartDigest, Value};
use crate::evidence::Evidence;
use crate::part_number::PartNumber;

/// The result of a comparison.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Comparison {
    Same(Evidence),
    /// In words for an error.
    Differs(String),
    NothingToCompare,
}

impl Core {
    /// The digests of all parts by the chosen algorithm; `None` for [`Algorithm::None`].
    fn values(&self) -> Option<Vec<Value>> {
        self.parts.digests().map(|digest| digest.value.clone()).collect()
    }

    /// The digest over the object by the chosen algorithm, in the service's encoding.
    pub(super) fn whole_checksum(&self) -> Option<String> {
        let algorithm = self.config.checksum;
        if self.upload_id().is_none() {
            return self.parts.digest(PartNumber::FIRST)?.value.as_ref().map(Value::base64);
        }
        match algorithm {
            Algorithm::Crc32c => {
                let part = |digest: &PartDigest| Some((digest.value.as_ref()?.crc()?, digest.size));
                let parts: Option<Vec<_>> = self.parts.digests().map(part).collect();
                Some(digest::crc32c_whole(parts?).base64())
            }
            _ => Some(digest::multipart(algorithm, &self.values()?)),
        }
    }

    /// The SHA-256 of the whole stream in hexadecimal, if it is known.
    pub(super) fn whole_sha256(&self) -> Option<String> {
        // It may have been computed for an expected digest.
        let is_sha256 = |value: &&Value| value.algorithm() == Algorithm::Sha256;
        if let Some(value) = self.stream_digests.iter().find(is_sha256) {
            return Some(value.hex());
        }
        if self.config.checksum != Algorithm::Sha256 || self.upload_id().is_some() {
            return None;
        }
        self.parts.digest(PartNumber::FIRST)?.value.as_ref().map(Value::hex)
    }

    /// The digest of the MD5s of the parts, if the service has sent all of them.
    fn whole_md5(&self) -> Option<String> {
        Some(digest::multipart(Algorithm::Md5, &self.parts.md5s()?))
    }

    /// Compares everything that can be compared.
    pub(super) fn compare(&self, meta: &ObjectMeta) -> Comparison {
        let mut best = None;
        if let (Some(end), Some(size)) = (self.end, meta.size) {
            let bytes = end.bytes;
            if bytes != size {
                return Comparison::Differs(format!("{bytes} bytes were read, it has {size}"));
            }
            best = Some(Evidence::ContentLength);
        }
        for (read, stored, evidence) in self.digest_pairs(meta) {
            let (Some(read), Some(stored)) = (read, stored) else { continue };
            if !digest::is_same(&read, stored) {
                let header = match evidence {
                    Evidence::Composition => Evidence::Multipart(Algorithm::Md5),
                    evidence => evidence,
                };
                return Comparison::Differs(format!(
                    "{header} is {stored}, of what was read {read}"
                ));
            }
            // Without a size nothing of what was read was compared.
            if evidence != Evidence::Composition || best.is_some() {
                best = Some(evidence);
            }
        }
        best.map_or(Comparison::NothingToCompare, Comparison::Same)
    }

    /// The digest of what was read, that of the object, and the header it is in; best last.
    fn digest_pairs<'a>(
        &self,
        meta: &'a ObjectMeta,
    ) -> Vec<(Option<String>, Option<&'a str>, Evidence)> {
        let algorithm = self.config.checksum;
        if self.upload_id().is_none() {
            let evidence = Evidence::Content(algorithm);
            return vec![(self.whole_checksum(), meta.content.get(algorithm), evidence)];
        }
        let mut pairs = Vec::new();
        if algorithm != Algorithm::Md5 {
            let evidence = match algorithm {
                Algorithm::None => Evidence::Composition,
                _ => Evidence::Multipart(Algorithm::Md5),
            };
            pairs.push((self.whole_md5(), meta.multipart.get(Algorithm::Md5), evidence));
        }
        match algorithm {
            // The service computes the CRC-32C of the whole object.
            Algorithm::Crc32c => {
                let evidence = Evidence::Content(algorithm);
                pairs.push((self.whole_checksum(), meta.content.get(algorithm), evidence));
            }
            _ => {
                let evidence = Evidence::Multipart(algorithm);
                pairs.push((self.whole_checksum(), meta.multipart.get(algorithm), evidence));
            }
        }
        pairs
    }

    /// Size and checksum of what was read, for a person to compare.
    pub(super) fn expected_summary(&self) -> String {
        let size = self.end.unwrap_or_default().bytes;
        match self.whole_checksum() {
            Some(value) => format!("{size} bytes, {} {value}", self.config.checksum.name()),
            None => format!("{size} bytes"),
        }
    }
}
