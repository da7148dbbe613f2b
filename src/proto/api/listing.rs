//! Listings of the Object Storage API: the parts of an upload, and the open uploads of a bucket.
//!
//! Owns the JSON fields of their items, and of the answer that an upload was created. Must not know what follows from one. Invariant: no bytes from the
//! network cause a panic, and a text of an item has a bounded length.

use serde::de::Error as _;
use serde::{Deserialize, Deserializer};

use super::response::{InvalidResponse, MAX_FIELD, Response, parse_json};
use crate::part_number::PartNumber;

/// One part in a response to ListMultipartUploadParts.
#[derive(Debug, Clone, Deserialize, PartialEq, Eq)]
#[serde(rename_all = "camelCase")]
pub struct ListedPart {
    /// The number of the part.
    pub part_number: PartNumber,
    /// The etag of the part, which the commit names.
    #[serde(deserialize_with = "field")]
    pub etag: String,
    /// Bytes.
    pub size: u64,
    /// Base64.
    #[serde(default, deserialize_with = "optional_field")]
    pub md5: Option<String>,
}

/// One open multipart upload, in a response to ListMultipartUploads or CreateMultipartUpload.
#[derive(Debug, Clone, Deserialize, PartialEq, Eq)]
#[serde(rename_all = "camelCase")]
pub struct ListedUpload {
    /// The bucket.
    #[serde(default, deserialize_with = "optional_field")]
    pub bucket: Option<String>,
    /// The name of the object.
    #[serde(deserialize_with = "field")]
    pub object: String,
    /// The id of the upload.
    #[serde(deserialize_with = "field")]
    pub upload_id: String,
    /// RFC 3339.
    #[serde(default, deserialize_with = "optional_field")]
    pub time_created: Option<String>,
    /// The storage tier of the object.
    #[serde(default, deserialize_with = "optional_field")]
    pub storage_tier: Option<String>,
}

/// A text of at most `MAX_FIELD` bytes.
fn field<'de, D: Deserializer<'de>>(deserializer: D) -> Result<String, D::Error> {
    let text = String::deserialize(deserializer)?;
    match text.len() > MAX_FIELD {
        true => Err(D::Error::custom(format!("a field of {} bytes", text.len()))),
        false => Ok(text),
    }
}

fn optional_field<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<String>, D::Error> {
    #[derive(Deserialize)]
    struct Field(#[serde(deserialize_with = "field")] String);
    let text = Option::<Field>::deserialize(deserializer)?;
    Ok(text.map(|Field(text)| text))
}

/// One page of a list, and the token of the next page (`opc-next-page`).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Page<T> {
    /// The items of this page.
    pub items: Vec<T>,
    /// What the request for the next page names; `None` on the last page.
    pub next: Option<String>,
}

/// Reads one page of ListMultipartUploadParts or ListMultipartUploads. Fails if the body is not a JSON
/// list of `T`.
pub fn parse_page<T: for<'a> Deserialize<'a>>(
    response: &Response,
) -> Result<Page<T>, InvalidResponse> {
    Ok(Page {
        items: parse_json(response, "a list")?,
        next: response.owned_header("opc-next-page"),
    })
}

/// Reads the upload id from the response to CreateMultipartUpload. Fails if the body is not the
/// documented JSON, or the id is empty or has control characters.
pub fn parse_created(response: &Response) -> Result<String, InvalidResponse> {
    let upload: ListedUpload = parse_json(response, "a multipart upload")?;
    if upload.upload_id.is_empty() {
        return Err(InvalidResponse("a multipart upload without an id".to_owned()));
    }
    if upload.upload_id.contains(char::is_control) {
        return Err(InvalidResponse("a multipart upload with an id that cannot be one".to_owned()));
    }
    Ok(upload.upload_id)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::api::response::{MAX_REQUEST_ID, parse_stored};

    fn response(body: &str) -> Response {
        Response { status: 200, headers: Vec::new(), body: body.as_bytes().to_vec() }
    }

    #[test]
    fn a_field_an_etag_or_a_message_without_an_end_is_not_kept() {
        let long = "x".repeat(MAX_FIELD + 1);
        for (name, text) in [("object", &long), ("uploadId", &long), ("timeCreated", &long)] {
            let mut item = serde_json::json!([{ "object": "o", "uploadId": "u" }]);
            item[0][name] = text.as_str().into();
            let page = parse_page::<ListedUpload>(&response(&item.to_string()));
            assert!(page.unwrap_err().0.contains("a field of 2049 bytes"), "{name}");
        }
        for body in [format!("[{long:?}]"), format!("\u{1b}{long}"), format!("{{{long:?}:1}}")] {
            let InvalidResponse(text) = parse_page::<ListedPart>(&response(&body)).unwrap_err();
            assert!(text.len() < 600 && !text.contains(char::is_control), "{text}");
        }
        let headers = [("etag", &long), ("opc-request-id", &long)];
        let headers = headers.map(|(name, value)| (name.to_owned(), value.clone())).to_vec();
        let stored = Response { headers, ..response("") };
        assert_eq!(parse_stored(&stored).unwrap_err().0, "an etag of 2049 bytes");
        assert_eq!(stored.request_id().map(|id| id.len()), Some(MAX_REQUEST_ID));
    }

    #[test]
    fn any_json_is_a_page_or_an_error() {
        let nested = "[".repeat(1 << 20);
        let part = |part: &str| format!("[{part}]");
        for body in [
            nested.clone(),
            part(&format!("{{\"partNumber\":{nested}")),
            part(&format!("{{\"ignored\":{nested}{}}}", "]".repeat(1 << 20))),
            part(r#"{"partNumber":1,"partNumber":2,"etag":"e","size":1}"#),
            part(r#"{"partNumber":1e999,"etag":"e","size":1}"#),
            part(r#"{"partNumber":1,"etag":"e","size":18446744073709551616}"#),
            part(r#"{"partNumber":1,"etag":"e","size":-1}"#),
            part(r#"{"partNumber":0,"etag":"e","size":1}"#),
            part(r#"{"partNumber":10001,"etag":"e","size":1}"#),
            part(r#"{"partNumber":1,"etag":null,"size":1}"#),
            part(r#"{"partNumber":1,"etag":"\ud800","size":1}"#),
            part("null"),
            r#"{"partNumber":1}"#.to_owned(),
            "\u{feff}[]".to_owned(),
            String::new(),
        ] {
            assert!(
                parse_page::<ListedPart>(&response(&body)).is_err(),
                "{}",
                &body[..body.len().min(80)]
            );
        }
        let page = parse_page::<ListedPart>(&response(
            r#"[{"partNumber":1,"etag":"e","size":1,"other":[{}]}]"#,
        ));
        let first =
            ListedPart { part_number: PartNumber::FIRST, etag: "e".into(), size: 1, md5: None };
        assert_eq!(page.unwrap().items, [first]);
    }
}
