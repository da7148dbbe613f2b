//! The receipt: the JSON object on stdout after a successful upload.
//!
//! Owns its keys and their format, written and read. Must not know where a value comes from.
//! Invariants: a key is present if and only if its value is known, and no value is null, so that
//! `jq -e .sha256` detects an absent one; keys are sorted and indented by two spaces, as the OCI CLI
//! prints JSON, but each list is on one line.

use std::io;
use std::time::Duration;

use serde::{Deserialize, Deserializer, Serialize};
use serde_json::ser::{Formatter, PrettyFormatter};

use crate::api::{Digests, ObjectHeaders, ObjectMeta};
use crate::digest::Algorithm;
use crate::error::Error;
use crate::part_layout::PartLayout;
use crate::printable;

/// A confirmed object. The fields are in the order of their keys.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct Receipt {
    /// The name of the mode that the requests were signed in, as `--auth` takes it.
    #[serde(default)]
    pub auth: String,
    /// The bucket.
    pub bucket: String,
    /// Of the whole object, in the form of the service; absent with `--checksum none`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub checksum: Option<Checksum>,
    /// The etag of the object.
    pub etag: String,
    /// The object existed before, and nothing was stored (`--identical-ok`).
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub identical: bool,
    /// When the object was modified, as the service wrote it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub last_modified: Option<String>,
    /// The name of the object.
    pub name: String,
    /// The namespace of the tenancy.
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
    /// The sizes of the parts as they were committed, as run lengths. `None` in a receipt that an earlier
    /// version wrote, and of an identical object whose parts are not known.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub part_sizes: Option<PartLayout>,
    /// The number of parts; 1 for a single PutObject.
    pub parts: u32,
    /// The attempts that were repeated.
    #[serde(default)]
    pub retries: u64,
    /// From the start to the confirmed commit, in milliseconds resolution.
    #[serde(
        default,
        serialize_with = "serialize_milliseconds",
        deserialize_with = "deserialize_seconds"
    )]
    pub seconds: Duration,
    /// Of the whole stream, hexadecimal. Known only of a put with SHA-256: the digest of a multipart
    /// upload is one of digests.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub sha256: Option<String>,
    /// Bytes.
    pub size: u64,
    /// The refreshes that gave another token.
    #[serde(default)]
    pub token_refreshes: u64,
    /// Of an object stored as a multipart upload.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub upload_id: Option<String>,
    /// The evidence: the header that the object was compared by.
    #[serde(default)]
    pub verified_by: String,
}

/// A checksum as the service spells it: name of the algorithm, value in base64.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Checksum {
    /// The name of the algorithm.
    pub algorithm: String,
    /// The value in base64; with `-N` behind a digest of N parts.
    pub value: String,
}

impl Receipt {
    /// The receipt as JSON text that ends with a line feed.
    pub fn to_json(&self) -> String {
        let mut text = Vec::new();
        let mut serializer =
            serde_json::Serializer::with_formatter(&mut text, ReceiptFormatter::default());
        // Strings and finite numbers always serialize; the fallback is there so that nothing can panic.
        if self.serialize(&mut serializer).is_err() {
            text = b"{}".to_vec();
        }
        text.push(b'\n');
        printable::json(&String::from_utf8_lossy(&text)).into_owned()
    }

    /// Reads a receipt that `to_json` wrote, of this or an earlier version. Fails with a usage error
    /// where the text is not a receipt, or its part sizes contradict its size and number of parts.
    pub fn parse(text: &str) -> Result<Receipt, Error> {
        let receipt: Receipt = serde_json::from_str(text).map_err(|error| {
            Error::usage(format!("this is not a receipt: {error}"))
                .with_hint("a receipt is the JSON object that `ocipipe put` prints on stdout")
        })?;
        match &receipt.part_sizes {
            Some(layout) if layout.bytes() != receipt.size || layout.parts() != receipt.parts => {
                Err(Error::usage(format!(
                    "the receipt contradicts itself: {} bytes in {} parts, but its part-sizes are {} \
                     bytes in {} parts",
                    receipt.size,
                    receipt.parts,
                    layout.bytes(),
                    layout.parts()
                ))
                .with_hint("take the receipt as `ocipipe put` printed it"))
            }
            _ => Ok(receipt),
        }
    }

    /// What the service reported about the object when the receipt was written.
    pub fn object_meta(&self) -> ObjectMeta {
        let (mut content, mut multipart) = (Digests::default(), Digests::default());
        content.md5 = self.opc_content_md5.clone();
        multipart.md5 = self.opc_multipart_md5.clone();
        if let Some(Checksum { algorithm, value }) = &self.checksum {
            let is = |other: Algorithm| algorithm.eq_ignore_ascii_case(other.name());
            // An identical object has no upload id here.
            let of_parts = self.upload_id.is_some() || self.opc_multipart_md5.is_some();
            let digests = if of_parts { &mut multipart } else { &mut content };
            if is(Algorithm::Crc32c) {
                content.crc32c = Some(value.clone());
            } else if is(Algorithm::Sha256) {
                digests.sha256 = Some(value.clone());
            } else if is(Algorithm::Sha384) {
                digests.sha384 = Some(value.clone());
            } else if is(Algorithm::Md5) {
                digests.md5 = Some(value.clone());
            }
        }
        ObjectMeta {
            etag: Some(self.etag.clone()),
            last_modified: self.last_modified.clone(),
            size: Some(self.size),
            content,
            multipart,
            headers: ObjectHeaders::default(),
            request_id: self.opc_request_id.clone(),
        }
    }
}

/// Writes objects with an indent of two spaces, and each list on one line.
#[derive(Default)]
struct ReceiptFormatter(PrettyFormatter<'static>);

impl Formatter for ReceiptFormatter {
    fn begin_array_value<W: ?Sized + io::Write>(
        &mut self,
        writer: &mut W,
        first: bool,
    ) -> io::Result<()> {
        if first { Ok(()) } else { writer.write_all(b", ") }
    }

    fn begin_object<W: ?Sized + io::Write>(&mut self, writer: &mut W) -> io::Result<()> {
        self.0.begin_object(writer)
    }

    fn end_object<W: ?Sized + io::Write>(&mut self, writer: &mut W) -> io::Result<()> {
        self.0.end_object(writer)
    }

    fn begin_object_key<W: ?Sized + io::Write>(
        &mut self,
        writer: &mut W,
        first: bool,
    ) -> io::Result<()> {
        self.0.begin_object_key(writer, first)
    }

    fn begin_object_value<W: ?Sized + io::Write>(&mut self, writer: &mut W) -> io::Result<()> {
        self.0.begin_object_value(writer)
    }

    fn end_object_value<W: ?Sized + io::Write>(&mut self, writer: &mut W) -> io::Result<()> {
        self.0.end_object_value(writer)
    }
}

fn serialize_milliseconds<S: serde::Serializer>(
    seconds: &Duration,
    serializer: S,
) -> Result<S::Ok, S::Error> {
    serializer.serialize_f64(seconds.as_millis() as f64 / 1000.0)
}

fn deserialize_seconds<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Duration, D::Error> {
    let seconds = f64::deserialize(deserializer)?;
    Duration::try_from_secs_f64(seconds).map_err(serde::de::Error::custom)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn receipt() -> Receipt {
        Receipt {
            auth: "security_token".into(),
            bucket: "backups".into(),
            checksum: Some(Checksum { algorithm: "SHA256".into(), value: "q83v-3".into() }),
            etag: "oe".into(),
            last_modified: Some("Wed, 25 Jan 2023 14:49:00 GMT".into()),
            name: "my \"db\".dump".into(),
            namespace: "ax".into(),
            opc_multipart_md5: Some("eGACCX96ANZkZ8s4f8I/bQ==-3".into()),
            opc_request_id: Some("fra-1:x".into()),
            part_sizes: PartLayout::level(402_653_184, 150 << 20),
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
  "auth": "security_token",
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
  "part-sizes": [[2, 157286400], [1, 88080384]],
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
        assert_eq!(keys.len(), 19);
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

    #[test]
    fn a_receipt_is_read_back_as_it_was_written() {
        let read = Receipt::parse(&receipt().to_json()).unwrap();
        assert_eq!(read, Receipt { seconds: Duration::from_millis(12_345), ..receipt() });
        // An earlier version knows neither the part sizes nor the mode.
        let old: String = receipt()
            .to_json()
            .lines()
            .filter(|line| !line.contains("part-sizes") && !line.contains("\"auth\""))
            .collect();
        let read = Receipt::parse(&old).unwrap();
        assert_eq!((read.part_sizes, read.auth.as_str(), read.parts), (None, "", 3));
    }

    #[test]
    fn what_is_no_receipt_is_a_usage_error() {
        let contradicting = Receipt { parts: 4, ..receipt() };
        let shorter = Receipt { size: 5, ..receipt() };
        for (text, what) in [
            (r#"{"etag": "e", "opc-multipart-md5": "m-3"}"#, "not a receipt"),
            ("[]", "not a receipt"),
            ("", "not a receipt"),
            (&contradicting.to_json(), "contradicts itself"),
            (&shorter.to_json(), "contradicts itself"),
        ] {
            let error = Receipt::parse(text).unwrap_err();
            assert_eq!(error.kind.exit_code(), 2, "{text}");
            assert!(error.message.contains(what) && error.hint.is_some(), "{error}");
        }
    }

    #[test]
    fn the_digests_of_a_receipt_are_those_of_the_object() {
        let checksum = |algorithm: Algorithm, value: &str| {
            Some(Checksum { algorithm: algorithm.name().to_owned(), value: value.to_owned() })
        };
        let meta = receipt().object_meta();
        assert_eq!(meta.multipart.sha256.as_deref(), Some("q83v-3"));
        assert_eq!(meta.multipart.md5.as_deref(), Some("eGACCX96ANZkZ8s4f8I/bQ==-3"));
        assert_eq!((meta.size, meta.content), (Some(402_653_184), Digests::default()));
        let crc = Receipt { checksum: checksum(Algorithm::Crc32c, "Yn9hSg=="), ..receipt() };
        assert_eq!(crc.object_meta().content.crc32c.as_deref(), Some("Yn9hSg=="));
        let put = Receipt {
            checksum: checksum(Algorithm::Sha384, "s"),
            upload_id: None,
            opc_multipart_md5: None,
            opc_content_md5: Some("m".into()),
            ..receipt()
        };
        let meta = put.object_meta();
        assert_eq!(meta.content.sha384.as_deref(), Some("s"));
        assert_eq!(meta.content.md5.as_deref(), Some("m"));
        assert_eq!(meta.multipart, Digests::default());
    }
}
