//! Buckets and objects as values, and the rules for their names.
//!
//! Pure but for random ids. Knows nothing of where bytes are. Invariant: names and properties are
//! stored as the client sent them.

use super::super::checksum::{Checksums, MultipartChecksums};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// A bucket; `created` is in milliseconds since 1970.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Bucket {
    pub name: String,
    pub etag: String,
    pub created: u64,
    pub storage_tier: String,
    #[serde(default)]
    pub metadata: BTreeMap<String, String>,
}

impl Bucket {
    /// A bucket of the tier `Standard` without metadata.
    pub(crate) fn new(name: &str, created: u64) -> Bucket {
        Bucket {
            name: name.to_owned(),
            etag: uuid(),
            created,
            storage_tier: "Standard".to_owned(),
            metadata: BTreeMap::new(),
        }
    }
}

/// The properties of an object that a client sets.
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
    /// The base64 SHA-256 of the customer key, if the request carried one.
    pub customer_key: Option<String>,
    pub kms_key: Option<String>,
}

/// The checksums of an object.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum ObjectChecksums {
    /// Of a PutObject.
    Single(Checksums),
    Multipart(MultipartChecksums),
    /// Of a file that this server did not write.
    Unknown,
}

/// An object without its bytes. Times are in milliseconds since 1970, the size is in bytes.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Object {
    pub name: String,
    pub etag: String,
    pub size: u64,
    pub created: u64,
    pub modified: u64,
    pub properties: Properties,
    #[serde(rename = "checks")]
    pub checksums: ObjectChecksums,
    /// The time until which an archived object can be read.
    #[serde(default)]
    pub restored_until: Option<u64>,
}

impl Object {
    /// The storage tier; `Standard` if none was set.
    pub(crate) fn tier(&self) -> &str {
        self.properties.storage_tier.as_deref().unwrap_or("Standard")
    }

    /// The archival state at `now`; `None` for an object that is not in the archive tier.
    pub(crate) fn archival_state(&self, now: u64) -> Option<&'static str> {
        let restored = self.restored_until.is_some_and(|until| until > now);
        (self.tier() == "Archive").then_some(if restored { "Restored" } else { "Archived" })
    }

    /// The id of this version of the object, which is derived from the etag.
    pub(crate) fn version(&self) -> String {
        let hash = ring::digest::digest(&ring::digest::SHA256, self.etag.as_bytes());
        let bits = hash.as_ref().first_chunk().copied().unwrap_or_default();
        uuid_of(u128::from_be_bytes(bits))
    }

    /// The MD5 of a single body, or the combined MD5 of the parts, in base64.
    pub(crate) fn md5(&self) -> Option<String> {
        match &self.checksums {
            ObjectChecksums::Single(sums) => Some(sums.md5_base64()),
            ObjectChecksums::Multipart(combined) => Some(combined.md5.clone()),
            ObjectChecksums::Unknown => None,
        }
    }
}

/// A random UUID, the form of etags and upload ids.
pub(crate) fn uuid() -> String {
    uuid_of(fastrand::u128(..))
}

/// The UUID with these 128 bits.
pub(crate) fn uuid_of(bits: u128) -> String {
    let hex = format!("{bits:032x}");
    format!("{}-{}-{}-{}-{}", &hex[..8], &hex[8..12], &hex[12..16], &hex[16..20], &hex[20..])
}

/// The canonical name of a storage tier, whatever the case of `text`; `None` if there is no such
/// tier.
pub(crate) fn tier(text: &str) -> Option<&'static str> {
    ["Standard", "InfrequentAccess", "Archive"]
        .into_iter()
        .find(|known| known.eq_ignore_ascii_case(text))
}

/// Whether the service accepts this as the name of an object.
pub(crate) fn legal_object_name(name: &str) -> bool {
    (1..=1024).contains(&name.len()) && !name.contains(['\0', '\r', '\n'])
}

/// Whether the service accepts this as the name of a bucket.
pub(crate) fn legal_bucket_name(name: &str) -> bool {
    let legal = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.');
    (1..=256).contains(&name.len()) && name.chars().all(legal) && name != "." && name != ".."
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_checked_as_the_service_documents_them() {
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
