//! The date of a signed request.
//!
//! Pure: takes the server's time as an argument. Invariant: a request without a date that can be
//! parsed is refused.

use super::super::clock;
use super::super::response::ErrorResponse;
use super::super::signature::{Authorization, SignedHead};
use std::time::{Duration, SystemTime};

/// How far the date of a request may be from the server's clock.
const MAX_SKEW: Duration = Duration::from_secs(300);

/// Checks the signed date; fails with 401 if it is missing, malformed or more than `MAX_SKEW` off.
pub(crate) fn check_date(
    authorization: &Authorization,
    head: &SignedHead<'_>,
    now: SystemTime,
) -> Result<(), ErrorResponse> {
    let headers = &authorization.headers;
    let name = if headers.iter().any(|name| name == "x-date") { "x-date" } else { "date" };
    let text = head.headers.get(name).and_then(|value| value.to_str().ok());
    let date = text.and_then(|text| httpdate::parse_http_date(text).ok());
    let date = date.ok_or_else(ErrorResponse::wrong_credentials)?;
    let skew = date.duration_since(now).or_else(|_| now.duration_since(date)).unwrap_or_default();
    if skew <= MAX_SKEW {
        return Ok(());
    }
    Err(ErrorResponse::not_authenticated(format!(
        "Date '{}' is not within allowed clock skew. Current '{}', valid datetime range: ['{}', '{}']",
        clock::utc(date),
        clock::utc(now),
        clock::utc(now - MAX_SKEW),
        clock::utc(now + MAX_SKEW + Duration::from_secs(1)),
    )))
}
