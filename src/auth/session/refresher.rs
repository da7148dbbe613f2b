//! The background work of a session: it refreshes, probes and asks for the time when
//! the lifecycle says so.
//!
//! The only caller of the auth service. Decides nothing. Invariant: it holds nothing an upload
//! waits for, and a refresh that hangs stops neither the probes nor the looks at the files.

use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use super::Credentials;
use super::refresh::{self, RefreshError};
use super::state::{LastRead, SharedState};
use super::token_file::{self, TokenFileLock, WriteBack};
use super::transport::{AuthRequest, AuthTransport};
use crate::auth::profile::CredentialSource;
use proto::sign::{self, SignedRequest};
use proto::token_lifecycle::{
    BackgroundTask, CredentialOrigin, ProbeResult, RefreshOutcome, RefreshReason, TokenEvent,
};

/// How long another process may hold the lock before we go on without it.
const LOCK_TIMEOUT: Duration = Duration::from_secs(10);
const LOCK_RETRY_INTERVAL: Duration = Duration::from_millis(200);
/// How long a probe, or a question for the time, may take.
const PROBE_TIMEOUT: Duration = Duration::from_secs(10);

type OptionalTask = Option<Pin<Box<dyn Future<Output = ()> + Send>>>;

/// Works until it is dropped.
pub(super) async fn run_refresher(core: Arc<SharedState>, transport: Arc<dyn AuthTransport>) {
    let (mut refreshing, mut probing, mut asking): (OptionalTask, OptionalTask, OptionalTask) =
        (None, None, None);
    loop {
        let woken = core.refresher_wake.notified();
        let idle = loop {
            let step = {
                let mut state = core.state();
                core.read_files(&mut state, false);
                state.lifecycle.report_expiry_while_idle(core.now());
                let step = state.lifecycle.next_task(core.now());
                match step {
                    BackgroundTask::Refresh(reason) => state.lifecycle.refresh_started(reason),
                    BackgroundTask::Probe => state.lifecycle.probe_started(),
                    BackgroundTask::AskTime => state.lifecycle.time_query_started(),
                    BackgroundTask::Idle(_) => {}
                }
                core.notify_events(&mut state);
                step
            };
            match step {
                BackgroundTask::Refresh(reason) => {
                    refreshing = Some(Box::pin(refresh(core.clone(), transport.clone(), reason)));
                }
                BackgroundTask::Probe => {
                    probing = Some(Box::pin(probe(core.clone(), transport.clone())))
                }
                BackgroundTask::AskTime => {
                    asking =
                        Some(Box::pin(query_time_with_timeout(core.clone(), transport.clone())))
                }
                BackgroundTask::Idle(idle) => break idle,
            }
        };
        tokio::select! {
            () = run_optional(&mut refreshing) => refreshing = None,
            () = run_optional(&mut probing) => probing = None,
            () = run_optional(&mut asking) => asking = None,
            () = woken => {}
            () = tokio::time::sleep(idle) => {}
        }
    }
}

async fn run_optional(task: &mut OptionalTask) {
    match task {
        Some(task) => task.await,
        None => std::future::pending().await,
    }
}

/// One refresh, from the lock to the file.
async fn refresh(core: Arc<SharedState>, transport: Arc<dyn AuthTransport>, reason: RefreshReason) {
    let before = core.state().lifecycle.token().expires;
    let how = refresh_once(&core, transport.as_ref(), reason).await;
    let mut state = core.state();
    let longer = state.lifecycle.token().expires > before;
    let how = match how {
        Ok(()) if longer => RefreshOutcome::Extended,
        Ok(()) => RefreshOutcome::NotExtended,
        Err(none) => RefreshOutcome::Failed(none.to_string()),
    };
    state.lifecycle.refresh_finished(core.now(), &how);
    core.notify_events(&mut state);
    core.changed.notify_waiters();
}

/// As far as another token, which is taken up, or the reason why there is none.
pub(super) async fn refresh_once(
    core: &SharedState,
    transport: &dyn AuthTransport,
    reason: RefreshReason,
) -> Result<(), RefreshError> {
    let failed = |why: &str| RefreshError::Failed(why.to_owned());
    let identity = &core.identity;
    let CredentialSource::SecurityToken { token_file } = &identity.credentials else {
        return Err(failed("an API key is not refreshed"));
    };
    let Some(auth) = &identity.auth else { return Err(failed("no auth service is known")) };
    let generation = core.state().credentials.generation;
    let patience = core.state().lifecycle.refresh_timeout(core.now());
    let lock = lock(core, generation, patience.min(LOCK_TIMEOUT)).await;
    {
        // Whoever held the lock may have renewed it already. (A refused token may be replaced by
        // one that ends no later: any other will do.)
        let mut state = core.state();
        core.read_files(&mut state, false);
        if state.credentials.generation != generation {
            core.notify_events(&mut state);
            return Ok(());
        }
    }
    let (pair, credentials, date) = {
        let state = core.state();
        let date = date(state.lifecycle.clock(core.now()));
        (state.keys.clone(), state.credentials.clone(), date)
    };
    let Some(old) = &pair.token else { return Err(failed("there is no token")) };
    let request = refresh::request(auth, &credentials, old, &date);
    let exchange = tokio::time::timeout(patience, transport.exchange(request));
    let response = exchange
        .await
        .map_err(|_| {
            let seconds = patience.as_secs_f64().ceil();
            RefreshError::Failed(format!("no answer from {auth} within {seconds} s"))
        })?
        .map_err(RefreshError::Failed)?;
    if let Some(server) = response.date {
        core.on_server_date(&mut core.state(), server);
    }
    let token = refresh::token(&response)?;
    if !token.matches_key(&pair.key.modulus()) {
        return Err(failed("the new token is bound to another key"));
    }
    if token.secret() == old.secret() {
        return Ok(());
    }
    let better = token.expires > old.expires;
    let stored = match better {
        true => token_file::write_back(identity, token_file, &pair, &token),
        false => WriteBack::Written,
    };
    drop(lock);
    let mut state = core.state();
    match stored {
        WriteBack::Written => {}
        WriteBack::Superseded => core.read_files(&mut state, true),
        WriteBack::Failed(what) => state.lifecycle.emit_once(TokenEvent::NotWritten { what }),
    }
    // What was asked for because the old token is refused is taken even if it ends no later.
    if better || reason == RefreshReason::Refused {
        let renewed = pair.with_token(token);
        if state.keys.same_key(&renewed)
            && core.adopt(&mut state, renewed, CredentialOrigin::Refresh)
        {
            let stamps = super::credential_files::FileSnapshot::of(identity);
            state.last_read = LastRead { snapshot: stamps, stable: false };
        }
    }
    core.notify_events(&mut state);
    Ok(())
}

/// The lock beside the token, or none after some time: another process that hangs must not cost
/// us the session.
async fn lock(core: &SharedState, generation: u64, patience: Duration) -> Option<TokenFileLock> {
    let CredentialSource::SecurityToken { token_file } = &core.identity.credentials else {
        return None;
    };
    let attempts = patience.as_millis() / LOCK_RETRY_INTERVAL.as_millis();
    for attempt in 0..=attempts {
        if let Some(lock) = TokenFileLock::try_acquire(token_file) {
            return Some(lock);
        }
        if attempt == 0 {
            core.state().lifecycle.emit(TokenEvent::Locked);
        }
        tokio::time::sleep(LOCK_RETRY_INTERVAL).await;
        let mut state = core.state();
        core.read_files(&mut state, false);
        if state.credentials.generation != generation {
            return None;
        }
    }
    None
}

/// One small request that tells whether the present credentials are accepted.
async fn probe(core: Arc<SharedState>, transport: Arc<dyn AuthTransport>) {
    let (credentials, (method, target), clock) = {
        let state = core.state();
        let clock = state.lifecycle.clock(core.now());
        (state.credentials.clone(), state.probe_request.clone(), clock)
    };
    let request = probe_request(&core, &credentials, method, target, &date(clock));
    let answer = tokio::time::timeout(PROBE_TIMEOUT, transport.exchange(request)).await;
    let mut state = core.state();
    let now = core.now();
    let how = match answer {
        Ok(Ok(response)) => {
            if let Some(server) = response.date {
                core.on_server_date(&mut state, server);
            }
            match response.status {
                401 => ProbeResult::Refused,
                429 | 500.. => ProbeResult::Unanswered,
                // Whatever else the service says, it says it to someone it knows.
                _ => ProbeResult::Accepted,
            }
        }
        _ => ProbeResult::Unanswered,
    };
    state.lifecycle.probe_finished(now, credentials.generation, how);
    core.notify_events(&mut state);
    core.changed.notify_waiters();
}

async fn query_time_with_timeout(core: Arc<SharedState>, transport: Arc<dyn AuthTransport>) {
    query_time(&core, transport.as_ref()).await;
    core.state().lifecycle.time_query_finished(core.now());
    core.changed.notify_waiters();
}

/// One small request that needs no credentials, for the date of its answer.
pub(super) async fn query_time(core: &SharedState, transport: &dyn AuthTransport) {
    let endpoint = core.identity.object_storage.general.clone();
    let request = AuthRequest {
        method: "HEAD",
        target: endpoint.target("/"),
        headers: vec![("host", endpoint.authority.clone())],
        body: Vec::new().into(),
        endpoint,
    };
    if let Ok(Ok(response)) = tokio::time::timeout(PROBE_TIMEOUT, transport.exchange(request)).await
        && let Some(server) = response.date
    {
        let mut state = core.state();
        core.on_server_date(&mut state, server);
        core.notify_events(&mut state);
    }
}

fn probe_request(
    core: &SharedState,
    credentials: &Credentials,
    method: &'static str,
    target: String,
    date: &str,
) -> AuthRequest {
    let storage = &core.identity.object_storage;
    // A namespace that has no host is refused before anything is sent.
    let endpoint = storage.endpoint(&target).unwrap_or_else(|_| storage.general.clone());
    let target = endpoint.target(&target);
    let head = SignedRequest {
        method,
        path_and_query: &target,
        host: Some(&endpoint.authority),
        date,
        body: None,
    };
    let headers = sign::authorize(&credentials.key_id, &credentials.key, &head).headers;
    AuthRequest { method, target, headers, body: Vec::new().into(), endpoint }
}

fn date(clock: Duration) -> String {
    proto::token_lifecycle::events::DisplayTime(clock).to_string()
}
