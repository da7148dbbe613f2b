//! Responses of the Object Storage API, as typed values.
//!
//! Owns the header names and JSON fields of successful responses, but for those of listings. Must not know what follows from a
//! response: retries are decided elsewhere. Invariant: no bytes from the network cause a panic, and
//! text taken from them has no control characters.

use serde::Deserialize;

use super::ObjectHeaders;
use crate::digest::Algorithm;
use crate::printable::controls_as_spaces;

/// Characters of an `opc-request-id` that are kept; the service sends fewer than 100.
pub(super) const MAX_REQUEST_ID: usize = 256;
/// Bytes of an etag, an id or a name; a name has up to 1,024, and the rest is far shorter. One of each is
/// kept for each of 10,000 parts.
pub(super) const MAX_FIELD: usize = 2048;

/// Bytes of 10,000 parts of 50 GiB; a larger size is no size, and sums of this one do not overflow.
const MAX_OBJECT: u64 = 10_000 * (50 << 30);

/// A response as it was received. The transport limits the body.
#[derive(Debug, Clone, Default)]
pub struct Response {
    /// The HTTP status.
    pub status: u16,
    /// Names in lower case.
    pub headers: Vec<(String, String)>,
    /// The whole body.
    pub body: Vec<u8>,
}

impl Response {
    /// The first header with this lower-case name.
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(n, _)| n == name).map(|(_, v)| v.as_str())
    }

    pub(super) fn owned_header(&self, name: &str) -> Option<String> {
        self.header(name).map(str::to_owned)
    }

    /// Whether the status is 2xx.
    pub fn is_success(&self) -> bool {
        (200..300).contains(&self.status)
    }

    /// The `opc-request-id`, which Oracle's support needs to find a request; of a longer one, its first
    /// 256 characters.
    pub fn request_id(&self) -> Option<String> {
        self.header("opc-request-id").map(|id| id.chars().take(MAX_REQUEST_ID).collect())
    }
}

/// What the service reports about stored bytes: the headers of HeadObject, PutObject, UploadPart and
/// CommitMultipartUpload.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ObjectMeta {
    /// The etag, without quotes.
    pub etag: Option<String>,
    /// The `last-modified` header as it was sent, an HTTP date.
    pub last_modified: Option<String>,
    /// Bytes. Known only from HeadObject.
    pub size: Option<u64>,
    /// Digests of the whole body, from `opc-content-*`.
    pub content: Digests,
    /// Digests of the digests of the parts, from `opc-multipart-*`. CRC-32C is never among them: the
    /// service reports it for the whole object.
    pub multipart: Digests,
    /// The `opc-request-id` of the response.
    pub request_id: Option<String>,
    /// What describes the object. Complete only from HeadObject.
    pub headers: ObjectHeaders,
}

/// Digests by algorithm, as the service spells them: base64, with `-N` behind a digest of N parts.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Digests {
    /// MD5.
    pub md5: Option<String>,
    /// SHA-256.
    pub sha256: Option<String>,
    /// SHA-384.
    pub sha384: Option<String>,
    /// CRC-32C, of the whole object.
    pub crc32c: Option<String>,
}

impl Digests {
    /// The digest by `algorithm`; `None` for [`Algorithm::None`].
    pub fn get(&self, algorithm: Algorithm) -> Option<&str> {
        match algorithm {
            Algorithm::Sha256 => self.sha256.as_deref(),
            Algorithm::Sha384 => self.sha384.as_deref(),
            Algorithm::Crc32c => self.crc32c.as_deref(),
            Algorithm::Md5 => self.md5.as_deref(),
            Algorithm::None => None,
        }
    }

    /// These digests, and those of `other` where one is missing here.
    pub fn or(self, other: Digests) -> Digests {
        Digests {
            md5: self.md5.or(other.md5),
            sha256: self.sha256.or(other.sha256),
            sha384: self.sha384.or(other.sha384),
            crc32c: self.crc32c.or(other.crc32c),
        }
    }
}

impl ObjectMeta {
    /// Reads the headers of a response; each one that is missing is `None`.
    pub fn of(response: &Response) -> ObjectMeta {
        let header = |name| response.owned_header(name);
        ObjectMeta {
            etag: header("etag"),
            last_modified: header("last-modified"),
            // Only in a response to HEAD is the content length that of the object.
            size: None,
            content: Digests {
                md5: header("opc-content-md5").or_else(|| header("content-md5")),
                sha256: header("opc-content-sha256"),
                sha384: header("opc-content-sha384"),
                crc32c: header("opc-content-crc32c"),
            },
            multipart: Digests {
                md5: header("opc-multipart-md5"),
                sha256: header("opc-multipart-sha256"),
                sha384: header("opc-multipart-sha384"),
                crc32c: None,
            },
            request_id: response.request_id(),
            headers: ObjectHeaders::of(&response.headers),
        }
    }
}

/// Whether the bytes of an object can be read, from the header `archival-state`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Archival {
    /// Readable, or the header is absent or has an unknown value.
    Readable,
    /// The object has to be restored before it can be read.
    Archived,
    /// The object is being restored.
    Restoring,
}

impl Archival {
    /// Reads the headers of a response to HeadObject. The set of states is open (`Restored`,
    /// `Available`): only the two that are known to block reading count here, since the service
    /// rejects a GET of an archived object anyway.
    pub fn of(response: &Response) -> Archival {
        match response.header("archival-state") {
            Some(state) if state.trim().eq_ignore_ascii_case("archived") => Archival::Archived,
            Some(state) if state.trim().eq_ignore_ascii_case("restoring") => Archival::Restoring,
            _ => Archival::Readable,
        }
    }
}

/// Why a successful response is not one that the API documents, as text for an error message.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct InvalidResponse(pub String);

/// Reads the response to GetNamespace. Fails if the body is not a JSON string, or the string cannot be
/// a namespace.
pub fn parse_namespace(response: &Response) -> Result<String, InvalidResponse> {
    let name: String = parse_json(response, "a namespace")?;
    let possible = !name.is_empty() && name.len() <= MAX_FIELD;
    if !possible || name.contains(|c: char| c.is_control() || c == '/') {
        return Err(InvalidResponse("a namespace that cannot be one".to_owned()));
    }
    Ok(name)
}

/// Reads the headers of a response to UploadPart, PutObject or CommitMultipartUpload. Fails if there is
/// no etag, or one that is too long: such a response was not written by the service but by something in
/// between.
pub fn parse_stored(response: &Response) -> Result<ObjectMeta, InvalidResponse> {
    let meta = ObjectMeta::of(response);
    match &meta.etag {
        Some(etag) if etag.len() > MAX_FIELD => {
            Err(InvalidResponse(format!("an etag of {} bytes", etag.len())))
        }
        Some(_) => Ok(meta),
        None => Err(InvalidResponse("a success without an etag".to_owned())),
    }
}

/// Checks the response to AbortMultipartUpload or DeleteObject. Fails for every success but 204: the
/// page of a proxy comes with another status.
pub fn parse_removed(response: &Response) -> Result<(), InvalidResponse> {
    match response.status {
        204 => Ok(()),
        status => Err(InvalidResponse(format!("{status} where 204 is the only success"))),
    }
}

/// Reads the headers of a response to HeadObject; the content length is the size of the object. Fails
/// if there is no etag, or a size that no object has.
pub fn parse_object(response: &Response) -> Result<ObjectMeta, InvalidResponse> {
    let size = response.header("content-length").and_then(|v| v.parse().ok());
    if let Some(size) = size.filter(|size| *size > MAX_OBJECT) {
        return Err(InvalidResponse(format!("the size of an object as {size} bytes")));
    }
    parse_stored(response).map(|meta| ObjectMeta { size, ..meta })
}

/// Reads the body as JSON. Fails with `what` it is not.
pub(super) fn parse_json<T: for<'a> Deserialize<'a>>(
    response: &Response,
    what: &str,
) -> Result<T, InvalidResponse> {
    serde_json::from_slice(&response.body).map_err(|e| {
        // The error repeats a value of the wrong type.
        let (why, excerpt) = (shortened(&e.to_string()), body_excerpt(&response.body));
        InvalidResponse(format!("a body that is not {what}: {why}: {excerpt}"))
    })
}

/// The first 300 characters of a text of the service, without control characters.
pub(super) fn shortened(text: &str) -> String {
    const MAX_LEN: usize = 300;
    match text.char_indices().nth(MAX_LEN) {
        Some((end, _)) => format!("{}...", controls_as_spaces(&text[..end])),
        None => controls_as_spaces(text),
    }
}

/// The first 120 bytes of a body, quoted and without control characters, for an error message.
pub(crate) fn body_excerpt(body: &[u8]) -> String {
    const EXCERPT_LEN: usize = 120;
    let text = controls_as_spaces(&String::from_utf8_lossy(&body[..body.len().min(EXCERPT_LEN)]));
    let more = if body.len() > EXCERPT_LEN { "..." } else { "" };
    format!("{:?}{more}", text.trim())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn response(body: &str) -> Response {
        Response { status: 400, headers: Vec::new(), body: body.as_bytes().to_vec() }
    }

    #[test]
    fn only_states_that_block_reading_count_as_archived() {
        let state = |value: Option<&str>| {
            let headers = value.map(|value| ("archival-state".to_owned(), value.to_owned()));
            Archival::of(&Response { headers: headers.into_iter().collect(), ..response("") })
        };
        for readable in [None, Some("Available"), Some("AVAILABLE"), Some("Restored"), Some("New")]
        {
            assert_eq!(state(readable), Archival::Readable, "{readable:?}");
        }
        assert_eq!(state(Some("Archived")), Archival::Archived);
        assert_eq!(state(Some("ARCHIVED")), Archival::Archived);
        assert_eq!(state(Some("restoring")), Archival::Restoring);
    }

    #[test]
    fn a_size_or_a_namespace_that_cannot_be_one_is_an_error() {
        let object = |length: u64| {
            let headers = [("etag", "e".to_owned()), ("content-length", length.to_string())];
            let headers = headers.map(|(name, value)| (name.to_owned(), value)).to_vec();
            parse_object(&Response { headers, ..response("") }).map(|meta| meta.size)
        };
        assert_eq!(parse_namespace(&response("\"n\"")), Ok("n".to_owned()));
        assert!(parse_namespace(&response(&format!("\"{}\"", "n".repeat(3000)))).is_err());
        let largest = 536_870_912_000_000;
        assert_eq!(object(largest), Ok(Some(largest)));
        assert!(object(largest + 1).is_err() && object(u64::MAX).is_err());
    }

    #[test]
    fn an_upload_id_with_a_control_character_is_no_upload_id() {
        let created = response(r#"{"object":"o","uploadId":"u\n"}"#);
        assert!(crate::api::parse_created(&created).is_err());
    }

    #[test]
    fn digests_are_read_by_kind_and_algorithm_and_completed_by_those_of_another_response() {
        let meta = |headers: &[(&str, &str)]| {
            let headers = headers.iter().map(|(name, value)| (name.to_string(), value.to_string()));
            ObjectMeta::of(&Response { headers: headers.collect(), ..response("") })
        };
        let put = meta(&[("opc-content-sha256", "s"), ("content-md5", "m"), ("etag", "e")]);
        assert_eq!(put.content.get(Algorithm::Sha256), Some("s"));
        assert_eq!(put.content.get(Algorithm::Md5), Some("m"));
        assert_eq!(put.content.get(Algorithm::None), None);
        assert_eq!(put.multipart, Digests::default());
        let head = meta(&[("opc-content-md5", "other"), ("opc-content-crc32c", "c")]);
        let merged = put.content.or(head.content);
        assert_eq!(merged.md5.as_deref(), Some("m"));
        assert_eq!(merged.crc32c.as_deref(), Some("c"));
    }
}
