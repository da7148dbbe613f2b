//! The auth service: refreshing a session token and making one for a key.
//!
//! Invariant: a token is given only to a request that a still valid key of the same user signed.

use super::auth::RefreshMode;
use super::body::HandlerError;
use super::dispatch::{RequestContext, ServerState};
use super::response::{ErrorResponse, Response, answer};
use serde::Deserialize;
use std::time::Duration;
use tokio::time::sleep;

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct RefreshRequest {
    current_token: String,
}

pub async fn refresh(
    core: &ServerState,
    mut call: RequestContext,
) -> Result<Response, HandlerError> {
    let request: RefreshRequest = parse(&call.signed)?;
    call.received().await;
    if let RefreshMode::Slow(ms) = core.authority.terms().refresh {
        sleep(Duration::from_millis(ms)).await;
    }
    let now = core.clock.now();
    let token = core.authority.refresh(&call.caller, &request.current_token, now)?;
    Ok(answer(200).json(&serde_json::json!({ "token": token })))
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct GenerateRequest {
    public_key: String,
    /// The service's own tools send a string here.
    #[serde(default)]
    session_expiration_in_minutes: serde_json::Value,
}

pub async fn generate(core: &ServerState, call: RequestContext) -> Result<Response, HandlerError> {
    let request: GenerateRequest = parse(&call.signed)?;
    let minutes = match &request.session_expiration_in_minutes {
        serde_json::Value::String(text) => text.parse().ok(),
        other => other.as_u64(),
    };
    let now = core.clock.now();
    let token = core.authority.generate(&request.public_key, minutes.unwrap_or(60), now)?;
    Ok(answer(200).json(&serde_json::json!({ "token": token })))
}

/// Reads a JSON body; what is wrong with it goes into the refusal.
pub fn parse<'a, T: Deserialize<'a>>(body: &'a [u8]) -> Result<T, ErrorResponse> {
    serde_json::from_slice(body).map_err(|error| {
        ErrorResponse::cannot_parse(format!("The request body is malformed: {error}"))
    })
}
