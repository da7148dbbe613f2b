//! What the service answers, as typed values.
//!
//! Owns every header name and JSON field that the client reads. Knows nothing of what is to be done
//! about an answer. Invariant: bytes from the network never panic, and text from them is quoted.

use serde::Deserialize;

use crate::digest::Algorithm;

/// An answer as it came off the wire.
#[derive(Debug, Clone, Default)]
pub struct Response {
    pub status: u16,
    /// Names in lower case.
    pub headers: Vec<(String, String)>,
    pub body: Vec<u8>,
}

impl Response {
    /// The first header of this (lower-case) name.
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(n, _)| n == name).map(|(_, v)| v.as_str())
    }

    fn owned_header(&self, name: &str) -> Option<String> {
        self.header(name).map(str::to_owned)
    }

    pub fn is_success(&self) -> bool {
        (200..300).contains(&self.status)
    }

    pub fn request_id(&self) -> Option<String> {
        self.owned_header("opc-request-id")
    }
}

/// What the service reports about stored bytes: the headers of HeadObject, PutObject, UploadPart and
/// CommitMultipartUpload.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ObjectMeta {
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
    pub request_id: Option<String>,
}

/// Digests by algorithm, as the service spells them: base64, with `-N` behind a digest of N parts.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Digests {
    pub md5: Option<String>,
    pub sha256: Option<String>,
    pub sha384: Option<String>,
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
        }
    }
}

/// What the archive says of an object: whether its bytes can be read now.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Archival {
    /// They can, or nothing is known against it.
    Readable,
    Archived,
    Restoring,
}

impl Archival {
    /// Reads the head of an answer to HeadObject. The states are an open list (`Restored`,
    /// `Available`): only the two that are known to keep the bytes back do so here, since a GET
    /// of an archived object is refused anyway.
    pub fn of(answer: &Response) -> Archival {
        match answer.header("archival-state") {
            Some(state) if state.trim().eq_ignore_ascii_case("archived") => Archival::Archived,
            Some(state) if state.trim().eq_ignore_ascii_case("restoring") => Archival::Restoring,
            _ => Archival::Readable,
        }
    }
}

/// One part in a listing.
#[derive(Debug, Clone, Deserialize, PartialEq, Eq)]
#[serde(rename_all = "camelCase")]
pub struct ListedPart {
    pub part_number: u32,
    pub etag: String,
    pub size: u64,
    pub md5: Option<String>,
}

/// One open multipart upload in a listing, or the answer to a create.
#[derive(Debug, Clone, Deserialize, PartialEq, Eq)]
#[serde(rename_all = "camelCase")]
pub struct ListedUpload {
    pub bucket: Option<String>,
    pub object: String,
    pub upload_id: String,
    pub time_created: Option<String>,
    pub storage_tier: Option<String>,
}

/// A page of a listing and the token of the next.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Page<T> {
    pub items: Vec<T>,
    pub next: Option<String>,
}

/// The body of a successful answer that is not what the API promises.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct InvalidResponse(pub String);

/// Reads the namespace.
pub fn parse_namespace(answer: &Response) -> Result<String, InvalidResponse> {
    let name: String = parse_json(answer, "a namespace")?;
    if name.is_empty() || name.contains(|c: char| c.is_control() || c == '/') {
        return Err(InvalidResponse("a namespace that cannot be one".to_owned()));
    }
    Ok(name)
}

/// Reads the upload id of a new multipart upload.
pub fn parse_created(answer: &Response) -> Result<String, InvalidResponse> {
    let upload: ListedUpload = parse_json(answer, "a multipart upload")?;
    if upload.upload_id.is_empty() {
        return Err(InvalidResponse("a multipart upload without an id".to_owned()));
    }
    if upload.upload_id.contains(char::is_control) {
        return Err(InvalidResponse("a multipart upload with an id that cannot be one".to_owned()));
    }
    Ok(upload.upload_id)
}

/// Reads the head of an answer to a part, a put or a commit. A success that names no etag is not the
/// service speaking, but something on the way to it.
pub fn parse_stored(answer: &Response) -> Result<ObjectMeta, InvalidResponse> {
    let held = ObjectMeta::of(answer);
    match held.etag {
        Some(_) => Ok(held),
        None => Err(InvalidResponse("a success without an etag".to_owned())),
    }
}

/// Reads the answer to an abort or a delete, which says nothing but that it has no content. The page of
/// a proxy has some.
pub fn parse_removed(answer: &Response) -> Result<(), InvalidResponse> {
    match answer.status {
        204 => Ok(()),
        status => Err(InvalidResponse(format!("{status} where 204 is the only success"))),
    }
}

/// Reads the head of an answer to HeadObject, whose content length is the object's size.
pub fn parse_object(answer: &Response) -> Result<ObjectMeta, InvalidResponse> {
    let size = answer.header("content-length").and_then(|v| v.parse().ok());
    parse_stored(answer).map(|held| ObjectMeta { size, ..held })
}

/// Reads one page of a listing of parts or uploads.
pub fn parse_page<T: for<'a> Deserialize<'a>>(
    answer: &Response,
) -> Result<Page<T>, InvalidResponse> {
    Ok(Page { items: parse_json(answer, "a list")?, next: answer.owned_header("opc-next-page") })
}

fn parse_json<T: for<'a> Deserialize<'a>>(
    answer: &Response,
    what: &str,
) -> Result<T, InvalidResponse> {
    serde_json::from_slice(&answer.body).map_err(|e| {
        InvalidResponse(format!("a body that is not {what}: {e}: {}", body_excerpt(&answer.body)))
    })
}

/// The first bytes of a body, made printable, for error texts.
pub fn body_excerpt(body: &[u8]) -> String {
    const EXCERPT_LEN: usize = 120;
    let text = strip_control_chars(&String::from_utf8_lossy(&body[..body.len().min(EXCERPT_LEN)]));
    let more = if body.len() > EXCERPT_LEN { "..." } else { "" };
    format!("{:?}{more}", text.trim())
}

/// A text of the service as it can be shown: nothing in it moves a cursor or begins a line.
fn strip_control_chars(text: &str) -> String {
    text.chars().map(|c| if c.is_control() { ' ' } else { c }).collect()
}

/// When to come again: in so many seconds, or at a moment, which is measured by the answer's own date.
fn retry_after(answer: &Response) -> Option<u64> {
    let text = answer.header("retry-after")?.trim();
    let date = |text: &str| httpdate::parse_http_date(text).ok();
    let until = || date(text)?.duration_since(date(answer.header("date")?)?).ok();
    text.parse().ok().or_else(|| until().map(|wait| wait.as_secs()))
}

/// What the service said when it did not do what was asked.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct ErrorResponse {
    pub status: u16,
    pub code: Option<String>,
    pub message: String,
    pub request_id: Option<String>,
    /// In seconds.
    pub retry_after: Option<u64>,
    /// The answer's `date`.
    pub date: Option<String>,
}

impl ErrorResponse {
    /// Reads an answer that is no success; a body that is not the API's JSON is quoted.
    pub fn of(answer: &Response) -> ErrorResponse {
        #[derive(Deserialize)]
        struct ErrorBody {
            code: Option<String>,
            message: Option<String>,
        }
        let (code, message) = match serde_json::from_slice::<ErrorBody>(&answer.body) {
            Ok(body) => (
                body.code.map(|code| strip_control_chars(&code)),
                strip_control_chars(&body.message.unwrap_or_default()),
            ),
            Err(_) if answer.body.is_empty() => (None, String::new()),
            Err(_) => (None, format!("the answer was {}", body_excerpt(&answer.body))),
        };
        ErrorResponse {
            status: answer.status,
            code,
            message,
            request_id: answer.request_id(),
            retry_after: retry_after(answer),
            date: answer.owned_header("date"),
        }
    }

    /// Whether Object Storage itself speaks, and not a proxy or a load balancer before it.
    pub fn from_service(&self) -> bool {
        self.request_id.is_some() || self.code.is_some()
    }
}

impl std::fmt::Display for ErrorResponse {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "HTTP {}", self.status)?;
        if let Some(code) = &self.code {
            write!(f, " {code}")?;
        }
        if !self.message.is_empty() {
            write!(f, ": {}", self.message)?;
        }
        if let Some(id) = &self.request_id {
            write!(f, " (opc-request-id {id})")?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn answer(body: &str) -> Response {
        Response { status: 400, headers: Vec::new(), body: body.as_bytes().to_vec() }
    }

    #[test]
    fn only_states_that_keep_the_bytes_back_count_as_archived() {
        let state = |value: Option<&str>| {
            let headers = value.map(|value| ("archival-state".to_owned(), value.to_owned()));
            Archival::of(&Response { headers: headers.into_iter().collect(), ..answer("") })
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
    fn when_to_come_again_is_told_in_seconds_or_as_a_moment() {
        let said = |value: &str| {
            let headers = [("date", "Thu, 01 Jan 2026 00:00:00 GMT"), ("retry-after", value)];
            let headers = headers.map(|(name, value)| (name.to_owned(), value.to_owned())).to_vec();
            ErrorResponse::of(&Response { headers, ..answer("") }).retry_after
        };
        assert_eq!(said("7"), Some(7));
        assert_eq!(said("Thu, 01 Jan 2026 00:01:30 GMT"), Some(90));
        assert_eq!(said("Wed, 31 Dec 2025 00:00:00 GMT"), None);
        assert_eq!(said("soon"), None);
    }

    #[test]
    fn what_the_service_says_cannot_move_the_cursor_of_whoever_reads_it() {
        let refusal =
            ErrorResponse::of(&answer(r#"{"code":"A\u001bB","message":"one\ntwo \u001b[2J"}"#));
        assert_eq!(refusal.to_string(), "HTTP 400 A B: one two  [2J");
        let html = ErrorResponse::of(&answer("<html>\n\u{1b}[2J</html>"));
        assert!(!html.to_string().contains(char::is_control), "{html}");
        assert!(parse_created(&answer(r#"{"object":"o","uploadId":"u\n"}"#)).is_err());
    }
}
