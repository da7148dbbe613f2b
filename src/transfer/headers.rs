//! The headers that do not depend on the operation.
//!
//! Owns `accept`, `user-agent` and `content-length` of a request, and `date` of a response. Must not
//! know what a request is for. Invariant: a header that a request has already is not added again.

use std::time::SystemTime;

use proto::api::{RequestPayload, Response};

/// The headers with owned names and values.
pub(super) fn owned(
    headers: impl IntoIterator<Item = (impl Into<String>, impl Into<String>)>,
) -> Vec<(String, String)> {
    headers.into_iter().map(|(name, value)| (name.into(), value.into())).collect()
}

/// The time of a response, by the clock of its server.
pub(super) fn date(response: &Response) -> Option<SystemTime> {
    httpdate::parse_http_date(response.header("date")?).ok()
}

/// Adds the headers of every request that are not there yet.
pub(super) fn add_common(headers: &mut Vec<(String, String)>, body: &RequestPayload) {
    let mut add = |name: &str, value: String| {
        if !headers.iter().any(|(n, _)| n == name) {
            headers.push((name.to_owned(), value));
        }
    };
    add("accept", "application/json".to_owned());
    add("user-agent", concat!("ocipipe/", env!("CARGO_PKG_VERSION")).to_owned());
    if let RequestPayload::Stream { size, .. } = body {
        add("content-length", size.to_string());
    }
}
