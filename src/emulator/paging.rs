//! Pages of lists, and the opaque tokens of the next page.
//!
//! Pure but for the page size of the server. Invariant: paging stays correct when items disappear
//! between two pages.

use super::context::ServerState;
use super::response::ErrorResponse;
use super::route::Query;
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE;

/// One page of `items`: those whose key is greater than the key in the query parameter `page`, and
/// the token of the next page if more follow. Keys are in the order of the items, so paging stays
/// correct when items disappear between two pages. Fails with 400 on a token that this server did
/// not make.
pub(crate) fn page<T>(
    state: &ServerState,
    query: &Query,
    items: Vec<T>,
    key: impl Fn(&T) -> String,
) -> Result<(Vec<T>, Option<String>), ErrorResponse> {
    let limit = query.number("limit")?.unwrap_or(100).clamp(1, 1000);
    let limit = usize::try_from(limit).unwrap_or(1000).min(state.page_size());
    let after = query.value("page").map(key_of_token).transpose()?.unwrap_or_default();
    let mut page: Vec<T> = items.into_iter().filter(|item| key(item) > after).collect();
    let more = page.len() > limit;
    page.truncate(limit);
    let next = page.last().filter(|_| more).map(|item| token_of_key(&key(item)));
    Ok((page, next))
}

/// The opaque page token of a key. As with the service's tokens, a client has to percent-encode it.
fn token_of_key(key: &str) -> String {
    // The padding makes the length one more than a multiple of three, so that the token ends in
    // `==`.
    let padded = format!("{key}{}", " ".repeat((3 - (key.len() + 2) % 3) % 3));
    format!("1:{}", URL_SAFE.encode(padded))
}

fn key_of_token(token: &str) -> Result<String, ErrorResponse> {
    let key = token.strip_prefix("1:").and_then(|text| URL_SAFE.decode(text).ok());
    let key = key.and_then(|bytes| String::from_utf8(bytes).ok());
    let wrong = || ErrorResponse::invalid_parameter(format!("The page '{token}' does not exist"));
    Ok(key.ok_or_else(wrong)?.trim_end().to_owned())
}
