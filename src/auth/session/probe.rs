//! Probes of the credentials and queries of the service's clock.
//!
//! Owns both requests and the meaning of their responses. Must not decide when to send one; the token
//! lifecycle does. Invariant: a request ends after 10 s at the latest.

use std::sync::Arc;
use std::time::Duration;

use super::Credentials;
use super::key_and_token::DelegationToken;
use super::service_time::time_call;
use super::state::{ProbeRequest, SharedState};
use super::transport::{AuthRequest, AuthTransport, Route};
use proto::principal::AuthCall;
use proto::sign::{self, SignedRequest};
use proto::token_lifecycle::ProbeResult;

/// The timeout of a probe and of a query of the service's clock.
const PROBE_TIMEOUT: Duration = Duration::from_secs(10);

/// Sends the probe request and reports whether the current credentials are accepted.
pub(super) async fn probe(shared: Arc<SharedState>, transport: Arc<dyn AuthTransport>) {
    let (credentials, probe, clock) = {
        let state = shared.state();
        let clock = state.lifecycle.clock(shared.now());
        (state.credentials.clone(), state.probe_request.clone(), clock)
    };
    let request = probe_request(&shared, &credentials, probe, &date(clock));
    let response = tokio::time::timeout(PROBE_TIMEOUT, transport.exchange(request)).await;
    let mut state = shared.state();
    let now = shared.now();
    let result = match response {
        Ok(Ok(response)) => {
            if let Some(server) = response.date {
                shared.on_server_date(&mut state, server);
            }
            match response.reply.status {
                401 => ProbeResult::Rejected,
                429 | 500.. => ProbeResult::Unanswered,
                // The service checks credentials first: any other status means they are accepted.
                _ => ProbeResult::Accepted,
            }
        }
        _ => ProbeResult::Unanswered,
    };
    state.lifecycle.probe_finished(now, credentials.generation, result);
    shared.notify_events(&mut state);
    shared.changed.notify_waiters();
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
