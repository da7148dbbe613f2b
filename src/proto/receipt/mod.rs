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
use crate::object_url::ObjectUrl;
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
    /// Of the whole stream, hexadecimal. Known of a put with SHA-256 and where an expected SHA-256 was computed:
    /// the digest of a multipart upload is one of digests.
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
    /// The receipt as one line of JSON, with the line feed at its end.
    pub fn to_json_line(&self) -> String {
        // Strings and finite numbers always serialize; the fallback is there so that nothing can panic.
        let text = serde_json::to_string(self).unwrap_or_else(|_| "{}".to_owned()) + "\n";
        printable::json(&text).into_owned()
    }

    /// The receipt as JSON text that ends with a line feed.
    pub fn to_json(&self) -> String {
        let mut text = Vec::new();
        let mut serializer =
            serde_json::Serializer::with_formatter(&mut text, ReceiptFormatter::default());
        // As in `to_json_line`.
        if self.serialize(&mut serializer).is_err() {
            text = b"{}".to_vec();
        }
        text.push(b'\n');
        printable::json(&String::from_utf8_lossy(&text)).into_owned()
    }

    /// Reads a receipt that `to_json` wrote, of this or an earlier version. Fails with a usage error
    /// where the text is not a receipt, or its part sizes contradict its size and number of parts.
    pub fn parse(text: &str) -> Result<Receipt, Error> {
        Receipt::parse_one_of(text, None)
    }

    /// Reads one of the receipts that runs have appended to a text: the last one of `object`, and the last one
    /// of all where no object is named. A text with one receipt gives that one. Fails with a usage error where
    /// anything in the text is not a receipt, as in `parse`, and where several are there and none is of `object`.
    pub fn parse_one_of(text: &str, object: Option<&ObjectUrl>) -> Result<Receipt, Error> {
        let receipts = serde_json::Deserializer::from_str(text).into_iter::<Receipt>();
        let receipts: Vec<Receipt> = receipts
            .map(|receipt| receipt.map_err(|error| not_a_receipt_at(&error))?.checked())
            .collect::<Result<_, Error>>()?;
        let count = receipts.len();
        let is_wanted =
            |receipt: &Receipt| count == 1 || object.is_none_or(|object| receipt.is_of(object));
        match (receipts.into_iter().rfind(is_wanted), object) {
            (Some(receipt), _) => Ok(receipt),
            (None, Some(object)) if count > 0 => Err(Error::usage(format!(
                "none of its {count} receipts is of {object}"
            ))
            .with_hint(
                "to compare a copy that has another name, keep the receipt in a file of its own",
            )),
            (None, _) => Err(not_a_receipt("there is nothing in it")),
        }
    }

    /// Whether the receipt is of the object with this address.
    fn is_of(&self, object: &ObjectUrl) -> bool {
        let namespace = object.namespace.as_ref();
        self.bucket == object.bucket
            && self.name == object.name
            && namespace.is_none_or(|namespace| *namespace == self.namespace)
    }

    /// Fails where the part sizes contradict the size and the number of parts.
    fn checked(self) -> Result<Receipt, Error> {
        match &self.part_sizes {
            Some(layout) if layout.bytes() != self.size || layout.parts() != self.parts => {
                Err(Error::usage(format!(
                    "the receipt contradicts itself: {} bytes in {} parts, but its part-sizes are {} \
                     bytes in {} parts",
                    self.size,
                    self.parts,
                    layout.bytes(),
                    layout.parts()
                ))
                .with_hint("take the receipt as `ocipipe put` printed it"))
            }
            _ => Ok(self),
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

/// The error of a text that a run may have left incomplete.
fn not_a_receipt_at(error: &serde_json::Error) -> Error {
    if error.line() <= 1 {
        return not_a_receipt(&error.to_string());
    }
    Error::usage(format!("this is not a receipt: {error}")).with_hint(format!(
        "if a run was interrupted while it wrote the receipt before line {}, delete what it left there; \
         the other receipts are whole",
        error.line()
    ))
}

fn not_a_receipt(reason: &str) -> Error {
    Error::usage(format!("this is not a receipt: {reason}"))
        .with_hint("a receipt is the JSON object that `ocipipe put` prints on stdout")
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
mod tests;
