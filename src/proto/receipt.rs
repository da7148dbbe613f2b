//! The receipt: the JSON object on stdout after a successful upload.
//!
//! Owns its keys and their format. Must not know where a value comes from. Invariants: a key is present
//! if and only if its value is known, and no value is null, so that `jq -e .sha256` detects an absent
//! one; keys are sorted and indented by two spaces, as the OCI CLI prints JSON.

use std::time::Duration;

use serde::Serialize;

use crate::printable;

/// A confirmed object. The fields are in the order of their keys.
#[derive(Debug, Clone, Default, PartialEq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub struct Receipt {
    pub bucket: String,
    /// Of the whole object, in the form of the service; absent with `--checksum none`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub checksum: Option<Checksum>,
    pub etag: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub last_modified: Option<String>,
    pub name: String,
    pub namespace: String,
    /// Of an object stored with PutObject.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub opc_content_md5: Option<String>,
    /// Of an object stored as a multipart upload.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub opc_multipart_md5: Option<String>,
    /// Of the request that made the object visible: commit or put.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub opc_request_id: Option<String>,
    pub parts: u32,
    pub retries: u64,
    /// From the start to the confirmed commit, in milliseconds resolution.
    #[serde(serialize_with = "serialize_milliseconds")]
    pub seconds: Duration,
    /// Of the whole stream, hexadecimal. Known only of a put with SHA-256: the digest of a multipart
    /// upload is one of digests.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub sha256: Option<String>,
    /// Bytes.
    pub size: u64,
    pub token_refreshes: u64,
    /// Of an object stored as a multipart upload.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub upload_id: Option<String>,
    /// The evidence: the header that the object was compared by.
    pub verified_by: String,
}

/// A checksum as the service spells it: name of the algorithm, value in base64.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct Checksum {
    pub algorithm: String,
    pub value: String,
}

impl Receipt {
    /// The receipt as JSON text that ends with a line feed.
    pub fn to_json(&self) -> String {
        // Strings and finite numbers always serialize; the fallback is there so that nothing can panic.
        let mut text = serde_json::to_string_pretty(self).unwrap_or_else(|_| "{}".to_owned());
        text.push('\n');
        printable::json(&text).into_owned()
    }
}

fn serialize_milliseconds<S: serde::Serializer>(
    seconds: &Duration,
    serializer: S,
) -> Result<S::Ok, S::Error> {
    serializer.serialize_f64(seconds.as_millis() as f64 / 1000.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn receipt() -> Receipt {
        Receipt {
            bucket: "backups".into(),
            checksum: Some(Checksum { algorithm: "SHA256".into(), value: "q83v-3".into() }),
            etag: "oe".into(),
            last_modified: Some("Wed, 25 Jan 2023 14:49:00 GMT".into()),
            name: "my \"db\".dump".into(),
            namespace: "ax".into(),
            opc_multipart_md5: Some("eGACCX96ANZkZ8s4f8I/bQ==-3".into()),
            opc_request_id: Some("fra-1:x".into()),
            parts: 3,
            retries: 1,
            seconds: Duration::from_micros(12_345_678),
            sha256: Some("ab".into()),
            size: 402_653_184,
            token_refreshes: 2,
            upload_id: Some("u".into()),
            verified_by: "SHA256".into(),
            ..Receipt::default()
        }
    }

    #[test]
    fn a_receipt_is_the_documented_json() {
        let want = r#"{
  "bucket": "backups",
  "checksum": {
    "algorithm": "SHA256",
    "value": "q83v-3"
  },
  "etag": "oe",
  "last-modified": "Wed, 25 Jan 2023 14:49:00 GMT",
  "name": "my \"db\".dump",
  "namespace": "ax",
  "opc-multipart-md5": "eGACCX96ANZkZ8s4f8I/bQ==-3",
  "opc-request-id": "fra-1:x",
  "parts": 3,
  "retries": 1,
  "seconds": 12.345,
  "sha256": "ab",
  "size": 402653184,
  "token-refreshes": 2,
  "upload-id": "u",
  "verified-by": "SHA256"
}
"#;
        assert_eq!(receipt().to_json(), want);
    }

    #[test]
    fn the_keys_are_sorted() {
        let full = Receipt { opc_content_md5: Some("x".into()), ..receipt() };
        let text = full.to_json();
        let keys: Vec<&str> =
            text.lines().filter_map(|line| line.strip_prefix("  \"")?.split('"').next()).collect();
        assert_eq!(keys.len(), 17);
        assert!(keys.is_sorted(), "{keys:?}");
    }

    #[test]
    fn an_unknown_value_is_absent_and_never_null() {
        let text = Receipt::default().to_json();
        let value: serde_json::Value = serde_json::from_str(&text).unwrap();
        for key in ["sha256", "upload-id", "opc-content-md5", "opc-multipart-md5", "checksum"] {
            assert_eq!(value.get(key), None, "{key}");
        }
        for (key, known) in value.as_object().unwrap() {
            assert!(!known.is_null(), "{key}");
        }
    }
}
