//! The calls of the auth service: refreshing a session token, and issuing one for a key.
//!
//! Owns the form of their bodies; what is issued is decided in `auth`. Invariant: a token is issued
//! only for a request that a valid key of the same user signed.

use super::auth::RefreshMode;
use super::context::{RequestContext, ServerState};
use super::response::{HandlerError, Response, parse, respond};
use serde::Deserialize;
use std::time::Duration;
use tokio::time::sleep;

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct RefreshRequest {
    current_token: String,
}

/// RefreshToken; fails with 400 if the body is malformed, else as `Authenticator::refresh`.
pub(crate) async fn refresh(
    state: &ServerState,
    mut request: RequestContext,
) -> Result<Response, HandlerError> {
    let body: RefreshRequest = parse(&request.signed_body)?;
    request.wait_if_delayed().await;
    if let RefreshMode::Slow(ms) = state.authenticator.policy().refresh {
        sleep(Duration::from_millis(ms)).await;
    }
    let now = state.clock.now();
    let token = state.authenticator.refresh(request.caller()?, &body.current_token, now)?;
    Ok(respond(200).json(&serde_json::json!({ "token": token })))
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct GenerateRequest {
    public_key: String,
    /// A number of minutes, as JSON number or, as the service's own tools send it, as string.
    #[serde(default)]
    session_expiration_in_minutes: serde_json::Value,
}

/// GenerateToken; fails with 400 if the body is malformed, else as `Authenticator::generate`.
pub(crate) async fn generate(
    state: &ServerState,
    request: RequestContext,
) -> Result<Response, HandlerError> {
    let body: GenerateRequest = parse(&request.signed_body)?;
    let minutes = match &body.session_expiration_in_minutes {
        serde_json::Value::String(text) => text.parse().ok(),
        other => other.as_u64(),
    };
    let now = state.clock.now();
    let token = state.authenticator.generate(&body.public_key, minutes.unwrap_or(60), now)?;
    Ok(respond(200).json(&serde_json::json!({ "token": token })))
}
