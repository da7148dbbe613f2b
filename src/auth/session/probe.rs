//! Probes of the credentials and queries of the service's clock.
//!
//! Owns both requests and the meaning of their responses. Must not decide when to send one; the token
//! lifecycle does. Invariant: a request ends after 10 s at the latest.

use std::sync::Arc;
use std::time::Duration;

use super::Credentials;
use super::key_and_token::DelegationToken;
use super::service_time::time_call;
use super::state::{ProbeRequest, SharedState, credentials};
use super::transport::{AuthRequest, AuthTransport, Route};
use proto::principal::AuthCall;
use proto::sign::{self, SignedRequest};
use proto::token_lifecycle::ProbeResult;

/// The timeout of a probe and of a query of the service's clock.
const PROBE_TIMEOUT: Duration = Duration::from_secs(10);

/// Probes the current credentials and, where the service rejects an API key, the one that was used
/// before it.
pub(super) async fn probe(shared: Arc<SharedState>, transport: Arc<dyn AuthTransport>) {
    let (current, earlier) = {
        let state = shared.state();
        let earlier = state.earlier_key.as_ref().map(|pair| credentials(pair, 0));
        (Arc::clone(&state.credentials), earlier)
    };
    let result = send_probe(&shared, transport.as_ref(), &current).await;
    let earlier = match (result, earlier) {
        (ProbeResult::Rejected, Some(earlier)) => {
            send_probe(&shared, transport.as_ref(), &earlier).await
        }
        _ => ProbeResult::Unanswered,
    };
    let mut state = shared.state();
    state.lifecycle.probe_finished(shared.now(), current.generation, result);
    if earlier == ProbeResult::Accepted && state.credentials.generation == current.generation {
        shared.restore_earlier_key(&mut state);
    }
    shared.notify_events(&mut state);
    shared.changed.notify_waiters();
}

/// Sends the probe request and returns whether the service accepts the credentials.
async fn send_probe(
    shared: &SharedState,
    transport: &dyn AuthTransport,
    credentials: &Credentials,
) -> ProbeResult {
    let (probe, clock) = {
        let state = shared.state();
        (state.probe_request.clone(), state.lifecycle.clock(shared.now()))
    };
    let request = probe_request(shared, credentials, probe, &date(clock));
    let response = tokio::time::timeout(PROBE_TIMEOUT, transport.exchange(request)).await;
    let Ok(Ok(response)) = response else { return ProbeResult::Unanswered };
    if let Some(server) = response.date {
        shared.on_server_date(&mut shared.state(), server);
    }
    match response.reply.status {
        401 => ProbeResult::Rejected,
        429 | 500.. => ProbeResult::Unanswered,
        // The service checks credentials first: any other status means they are accepted.
        _ => ProbeResult::Accepted,
    }
}

pub(super) async fn query_time_with_timeout(
    shared: Arc<SharedState>,
    transport: Arc<dyn AuthTransport>,
) {
    query_time(&shared, transport.as_ref()).await;
    shared.state().lifecycle.time_query_finished(shared.now());
    shared.changed.notify_waiters();
}

/// Sends one small unsigned request and records the date of its response.
pub(super) async fn query_time(shared: &SharedState, transport: &dyn AuthTransport) {
    let endpoint = shared.object_storage.general.clone();
    let call = time_call(&endpoint);
    let request = AuthRequest { endpoint, route: Route::Service, call };
    if let Ok(Ok(response)) = tokio::time::timeout(PROBE_TIMEOUT, transport.exchange(request)).await
        && let Some(server) = response.date
    {
        let mut state = shared.state();
        shared.on_server_date(&mut state, server);
        shared.notify_events(&mut state);
    }
}

fn probe_request(
    shared: &SharedState,
    credentials: &Credentials,
    probe: ProbeRequest,
    date: &str,
) -> AuthRequest {
    let ProbeRequest { method, target } = probe;
    let storage = &shared.object_storage;
    // A namespace without a host of its own was refused before the first request.
    let endpoint = storage.endpoint(&target).unwrap_or_else(|_| storage.general.clone());
    let target = endpoint.target(&target);
    let head = SignedRequest {
        method,
        path_and_query: &target,
        host: Some(&endpoint.authority),
        date,
        delegation: credentials.delegation_token.as_ref().map(DelegationToken::secret),
        body: None,
    };
    let headers = sign::authorize(&credentials.key_id, &credentials.key, &head).headers;
    let call = AuthCall { method, target, headers, body: Vec::new().into() };
    AuthRequest { endpoint, route: Route::Service, call }
}

/// The time as an HTTP date.
pub(super) fn date(clock: Duration) -> String {
    proto::units::DisplayTime(clock).to_string()
}
