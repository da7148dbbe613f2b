//! Buckets and objects as values: what is remembered of each, and the rules for their names.
//!
//! Pure. Invariant: what was given at creation is kept as given; nothing here knows where bytes are.

use super::super::checksum::{Checksums, Multipart};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// A bucket.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Bucket {
    pub name: String,
    pub etag: String,
    pub created: u64,
    pub storage_tier: String,
    #[serde(default)]
    pub metadata: BTreeMap<String, String>,
}

impl Bucket {
    pub fn new(name: &str, created: u64) -> Bucket {
        Bucket {
            name: name.to_owned(),
            etag: uuid(),
            created,
            storage_tier: "Standard".to_owned(),
            metadata: BTreeMap::new(),
        }
    }
}

/// What a client may say about an object.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Properties {
    pub content_type: Option<String>,
    pub content_language: Option<String>,
    pub content_encoding: Option<String>,
    pub content_disposition: Option<String>,
    pub cache_control: Option<String>,
    pub storage_tier: Option<String>,
    /// Keys with their `opc-meta-` prefix, in lower case.
    pub metadata: BTreeMap<String, String>,
    /// The SHA-256 of the customer's key, in base64, where one was given.
    pub customer_key: Option<String>,
    pub kms_key: Option<String>,
}

/// Checksums of an object, by the way it came to be.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum ObjectChecksums {
    Single(Checksums),
    Multipart(Multipart),
    /// A file that this server did not write.
    Unknown,
}

/// An object without its bytes.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Object {
    pub name: String,
    pub etag: String,
    pub size: u64,
    /// Milliseconds since 1970, as all times here.
    pub created: u64,
    pub modified: u64,
    pub properties: Properties,
    pub checks: ObjectChecksums,
    /// Until when an archived object can be read.
    #[serde(default)]
    pub restored_until: Option<u64>,
}

impl Object {
    pub fn tier(&self) -> &str {
        self.properties.storage_tier.as_deref().unwrap_or("Standard")
    }

    /// The archival state, for objects of the archive tier.
    pub fn archival_state(&self, now: u64) -> Option<&'static str> {
        let restored = self.restored_until.is_some_and(|until| until > now);
        (self.tier() == "Archive").then_some(if restored { "Restored" } else { "Archived" })
    }

    /// The id of this version of the object: another one with each write, the same in each answer.
    pub fn version(&self) -> String {
        let hash = ring::digest::digest(&ring::digest::SHA256, self.etag.as_bytes());
        let bits = hash.as_ref().first_chunk().copied().unwrap_or_default();
        uuid_of(u128::from_be_bytes(bits))
    }

    /// The MD5 of a single body or of the parts, as lists show it.
    pub fn md5(&self) -> Option<String> {
        match &self.checks {
            ObjectChecksums::Single(sums) => Some(sums.md5_base64()),
            ObjectChecksums::Multipart(whole) => Some(whole.md5.clone()),
            ObjectChecksums::Unknown => None,
        }
    }
}

/// A random identifier of the form that etags and upload ids have.
pub fn uuid() -> String {
    uuid_of(fastrand::u128(..))
}

pub fn uuid_of(bits: u128) -> String {
    let hex = format!("{bits:032x}");
    format!("{}-{}-{}-{}-{}", &hex[..8], &hex[8..12], &hex[12..16], &hex[16..20], &hex[20..])
}

/// The spelling of a storage tier, or nothing for one that does not exist.
pub fn tier(text: &str) -> Option<&'static str> {
    ["Standard", "InfrequentAccess", "Archive"]
        .into_iter()
        .find(|known| known.eq_ignore_ascii_case(text))
}

/// Whether the service could store an object of this name.
pub fn legal_object_name(name: &str) -> bool {
    (1..=1024).contains(&name.len()) && !name.contains(['\0', '\r', '\n'])
}

/// Whether the service could have a bucket of this name.
pub fn legal_bucket_name(name: &str) -> bool {
    let legal = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.');
    (1..=256).contains(&name.len()) && name.chars().all(legal) && name != "." && name != ".."
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_judged_as_the_service_documents_them() {
        assert!(legal_object_name(&"x".repeat(1024)) && legal_object_name("../a//b \u{f6}"));
        assert!(!legal_object_name(&"x".repeat(1025)) && !legal_object_name("a\nb"));
        assert!(!legal_object_name("") && !legal_object_name("a\0"));
        assert!(legal_bucket_name("My_bucket-1.x") && !legal_bucket_name("a/b"));
        assert!(!legal_bucket_name("..") && !legal_bucket_name(""));
    }

    #[test]
    fn etags_have_the_form_of_lower_case_uuids() {
        assert_eq!(uuid_of(0x0c71_0a65), "00000000-0000-0000-0000-00000c710a65");
        assert_eq!(uuid().len(), 36);
    }

    #[test]
    fn tiers_are_read_in_any_case() {
        assert_eq!(tier("infrequentaccess"), Some("InfrequentAccess"));
        assert_eq!(tier("glacier"), None);
    }
}
