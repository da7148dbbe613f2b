//! The calls by which a pod, a resource or an outside identity gets a token.
//!
//! Owns which service answers which call; what each checks is in `principals`. Invariant: without
//! these services every such call is 404.

use super::context::{RequestContext, ServerState};
use super::principals::PrincipalServices;
use super::response::{ErrorResponse, HandlerError, Response};

fn services(state: &ServerState) -> Result<&PrincipalServices, ErrorResponse> {
    state.principals.as_deref().ok_or_else(|| ErrorResponse::not_found(""))
}

/// GetWorkloadToken; fails as `OkeTokenService::issue`.
pub(crate) async fn workload_token(
    state: &ServerState,
    mut request: RequestContext,
) -> Result<Response, HandlerError> {
    request.wait_if_delayed().await;
    let (headers, body, now) = (&request.headers, &request.signed_body, state.clock.now());
    Ok(services(state)?.oke.issue(&state.authenticator, headers, body, now)?)
}

/// ExchangeToken; its errors have the form of OAuth.
pub(crate) async fn exchange(
    state: &ServerState,
    mut request: RequestContext,
) -> Result<Response, HandlerError> {
    request.wait_if_delayed().await;
    let (headers, body, now) = (&request.headers, &request.signed_body, state.clock.now());
    let done = services(state)?.domain.exchange(&state.authenticator, headers, body, now);
    Ok(done.unwrap_or_else(|error| error.to_response()))
}

/// GetResourceToken; fails as `ResourceExchange::grant`.
pub(crate) async fn resource_token(
    state: &ServerState,
    request: RequestContext,
) -> Result<Response, HandlerError> {
    let exchange = &services(state)?.resource_exchange;
    Ok(exchange.grant(&state.authenticator, request.caller()?, state.clock.now())?)
}

/// GetResourceSessionToken; fails as `ResourceExchange::issue`.
pub(crate) async fn resource_session_token(
    state: &ServerState,
    mut request: RequestContext,
) -> Result<Response, HandlerError> {
    request.wait_if_delayed().await;
    let (body, now) = (&request.signed_body, state.clock.now());
    let exchange = &services(state)?.resource_exchange;
    Ok(exchange.issue(&state.authenticator, request.caller()?, body, now)?)
}
