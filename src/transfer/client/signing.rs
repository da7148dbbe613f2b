//! The signature of one attempt.
//!
//! Owns what of a request is signed. Must not know connections or retries. Invariant: the body of a request
//! is signed unless it is a stream.

use std::time::SystemTime;

use crate::auth::session::{Credentials, DelegationToken};
use crate::transfer::headers;
use proto::api::{Request, RequestPayload};
use proto::sign;

/// The headers that sign a request: date, host, digest of the body and authorization.
pub(super) fn sign_request(
    request: &Request,
    credentials: &Credentials,
    target: &str,
    authority: &str,
    date: SystemTime,
) -> Vec<(String, String)> {
    let json = match &request.body {
        RequestPayload::Json(bytes) => Some(bytes.as_slice()),
        _ if request.method == "POST" => Some(&b""[..]),
        _ => None,
    };
    let signed = sign::authorize(
        &credentials.key_id,
        &credentials.key,
        &sign::SignedRequest {
            method: request.method,
            path_and_query: target,
            host: Some(authority),
            date: &httpdate::fmt_http_date(date),
            delegation: credentials.delegation_token.as_ref().map(DelegationToken::secret),
            body: json.map(|bytes| sign::SignedBody { content_type: "application/json", bytes }),
        },
    );
    headers::owned(signed.headers)
}
