//! What the service's documentation leaves open about pre-authenticated requests, as settings.
//!
//! Pure: values and their defaults. The names are documented in `docs/fault-plan.md` and are stable.
//! Invariant: the defaults are what documentation and published clients lead to expect.

use super::super::response::ErrorResponse;
use super::super::state_dir::NAMESPACE;
use serde::{Deserialize, Serialize};

/// How the emulator treats requests that go through a pre-authenticated request.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct ParOptions {
    /// The response to an expired, deleted or unknown secret.
    pub invalid: ParRefusal,
    /// The response to what the access type or the prefix does not allow.
    pub not_allowed: ParRefusal,
    /// Which requests evaluate `if-match` and `if-none-match`.
    pub conditions: ParConditions,
    /// Whether checksums in the headers of a request are compared with its body.
    pub request_checksums: bool,
    /// Whether the response to a part has an etag.
    pub part_etag: bool,
    /// Whether the response to a part has checksums.
    pub part_checksums: bool,
    /// Whether the response to a PutObject or commit has an etag.
    pub object_etag: bool,
    /// Whether the response to a PutObject or commit has checksums.
    pub object_checksums: bool,
    /// The response to a GET of an upload's URL.
    pub list_parts: PartListing,
    /// The response to an abort.
    pub abort: AbortStatus,
    /// Whether an upload goes on when the pre-authenticated request that began it has expired or
    /// was deleted.
    pub uploads_outlive: bool,
    /// Whether the URL of an upload that was committed or aborted is an unknown secret; else it is
    /// 404 `UploadNotFound`.
    pub forget_ended_uploads: bool,
    /// Whether HEAD is allowed where the access type is write-only.
    pub head_write_only: bool,
    /// The form of slashes in the names of objects.
    pub slashes: SlashForm,
}

impl Default for ParOptions {
    fn default() -> ParOptions {
        ParOptions {
            invalid: ParRefusal::NotAuthenticated,
            not_allowed: ParRefusal::NotAuthorizedOrNotFound,
            conditions: ParConditions::Honoured,
            request_checksums: true,
            part_etag: true,
            part_checksums: true,
            object_etag: true,
            object_checksums: true,
            list_parts: PartListing::NotFound,
            abort: AbortStatus::NoContent,
            uploads_outlive: false,
            forget_ended_uploads: false,
            head_write_only: false,
            slashes: SlashForm::Both,
        }
    }
}

/// An error response to a request that goes through a pre-authenticated request.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ParRefusal {
    /// 401.
    NotAuthenticated,
    /// 404.
    BucketNotFound,
    /// 404.
    NotAuthorizedOrNotFound,
}

impl ParRefusal {
    /// The response; `bucket` is the name in the path.
    pub fn response(self, bucket: &str) -> ErrorResponse {
        match self {
            ParRefusal::NotAuthenticated => ErrorResponse::no_credentials(),
            ParRefusal::BucketNotFound => ErrorResponse::bucket_not_found(bucket, NAMESPACE),
            ParRefusal::NotAuthorizedOrNotFound => ErrorResponse::new(
                404,
                "NotAuthorizedOrNotFound",
                "Authorization failed or requested resource not found.",
            ),
        }
    }
}

/// Which requests evaluate preconditions.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ParConditions {
    /// PutObject, the start and the commit of an upload, and reads.
    Honoured,
    /// The same without the commit.
    NotAtCommit,
    /// None.
    Ignored,
}

/// The response to a GET of an upload's URL.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum PartListing {
    /// 404.
    NotFound,
    /// 405.
    MethodNotAllowed,
    /// The parts, as ListMultipartUploadParts returns them.
    Listed,
}

/// The status of the response to an abort.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum AbortStatus {
    /// 204.
    NoContent,
    /// 200.
    Ok,
}

/// The form of slashes in the names of objects.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum SlashForm {
    /// `%2F` in the URLs that the server makes, and both forms in requests.
    Both,
    /// `/` in these URLs, and no `%2F` in requests.
    Raw,
    /// `%2F` in these URLs, and no `/` in requests.
    Encoded,
}
