//! The background task of a session: refreshes the token, probes it and queries the service's
//! clock.
//!
//! Owns every call of the auth service. Must not decide when to make one; the token lifecycle does.
//! Invariant: no lock that an upload needs is kept during a request, and a refresh that hangs
//! delays neither probes nor reads of the files.

use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use super::file_snapshot::FileSnapshot;
use super::issue::{IssueContext, IssueError, Issuer, Outlook, Stage};
use super::probe::{date, probe, query_time_with_timeout};
use super::refresh::{self, RefreshError};
use super::state::{LastRead, ReadMode, SharedState, other_tenancy};
use super::token_file::{self, TokenFileLock, WriteBack};
use super::transport::{AuthRequest, AuthTransport};
use crate::auth::profile::CredentialSource;
use proto::error::Error;
use proto::token::Token;
use proto::token_lifecycle::{
    BackgroundTask, CredentialOrigin, RefreshOutcome, RefreshReason, TokenEvent,
};

/// How long a refresh waits for a lock of another process before it continues without it.
const LOCK_TIMEOUT: Duration = Duration::from_secs(10);
const LOCK_RETRY_INTERVAL: Duration = Duration::from_millis(200);

type OptionalTask = Option<Pin<Box<dyn Future<Output = ()> + Send>>>;

/// Performs the lifecycle's background tasks until it is dropped.
pub(super) async fn run_refresher(shared: Arc<SharedState>, transport: Arc<dyn AuthTransport>) {
    let mut refresh_task: OptionalTask = None;
    let mut probe_task: OptionalTask = None;
    let mut time_query: OptionalTask = None;
    loop {
        let woken = shared.refresher_wake.notified();
        let idle = loop {
            let task = {
                let mut state = shared.state();
                shared.read_files(&mut state, ReadMode::IfChanged);
                state.lifecycle.report_expiry_while_idle(shared.now());
                let task = state.lifecycle.next_task(shared.now());
                match task {
                    BackgroundTask::Refresh(reason) => state.lifecycle.refresh_started(reason),
                    BackgroundTask::Probe => state.lifecycle.probe_started(shared.now()),
                    BackgroundTask::AskTime => state.lifecycle.time_query_started(),
                    BackgroundTask::Idle(_) => {}
                }
                shared.notify_events(&mut state);
                task
            };
            match task {
                BackgroundTask::Refresh(reason) => {
                    refresh_task =
                        Some(Box::pin(refresh(shared.clone(), transport.clone(), reason)));
                }
                BackgroundTask::Probe => {
                    probe_task = Some(Box::pin(probe(shared.clone(), transport.clone())))
                }
                BackgroundTask::AskTime => {
                    time_query =
                        Some(Box::pin(query_time_with_timeout(shared.clone(), transport.clone())))
                }
                BackgroundTask::Idle(idle) => break idle,
            }
        };
        tokio::select! {
            () = run_optional(&mut refresh_task) => refresh_task = None,
            () = run_optional(&mut probe_task) => probe_task = None,
            () = run_optional(&mut time_query) => time_query = None,
            () = woken => {}
            () = tokio::time::sleep(idle) => {}
        }
    }
}

/// Runs a task to its end; never returns if there is none.
async fn run_optional(task: &mut OptionalTask) {
    match task {
        Some(task) => task.await,
        None => std::future::pending().await,
    }
}

/// Performs one refresh and reports its outcome to the lifecycle.
async fn refresh(
    shared: Arc<SharedState>,
    transport: Arc<dyn AuthTransport>,
    reason: RefreshReason,
) {
    let before = shared.state().lifecycle.token().expires;
    let result = match &shared.issuer {
        Some(issuer) => issue(&shared, issuer, transport.as_ref()).await,
        None => refresh_once(&shared, transport.as_ref(), reason).await,
    };
    let mut state = shared.state();
    let extended = state.lifecycle.token().expires > before;
    state.refresh_error = result.as_ref().err().map(ToString::to_string);
    let outcome = match result {
        Ok(()) if extended => RefreshOutcome::Extended,
        Ok(()) => RefreshOutcome::NotExtended,
        Err(error) => {
            let retry_after = error.retry_after().map(Duration::from_secs);
            RefreshOutcome::Failed { why: error.to_string(), retry_after, request: error.request() }
        }
    };
    state.lifecycle.refresh_finished(shared.now(), &outcome);
    shared.notify_events(&mut state);
    shared.changed.notify_waiters();
}

/// Has a new token issued for a new key, and adopts both. What is in use stays if that fails.
async fn issue(
    shared: &SharedState,
    issuer: &Issuer,
    transport: &dyn AuthTransport,
) -> Result<(), RefreshError> {
    let (current, timeout) = {
        let state = shared.state();
        (state.keys.clone(), state.lifecycle.refresh_timeout(shared.now()))
    };
    let tenancy = current.tenancy();
    let context = IssueContext {
        transport,
        clock: shared,
        stage: Stage::Running,
        tenancy,
        deadline: None,
        time_source: None,
    };
    let issued = tokio::time::timeout(timeout, issuer.issue(context)).await;
    let issued = issued.unwrap_or_else(|_| {
        let seconds = timeout.as_secs();
        let error = Error::credentials(format!("no token was issued within {seconds} s"));
        Err(IssueError::new(error, Outlook::MaySucceed))
    });
    let mut state = shared.state();
    let retry_after = issued.as_ref().err().and_then(|error| error.retry_after);
    let issued = issued.map_err(|error| error.error).and_then(|pair| {
        // The delegation token may have been replaced during the issue: that in use now goes on.
        let pair = match &state.keys.delegation_token {
            Some(token) => pair.with_delegation_token(token.clone()),
            None => pair,
        };
        other_tenancy(&state.keys, &pair).map_or(Ok(pair), Err)
    });
    match issued {
        Ok(pair) => {
            state.issue_error = None;
            shared.adopt(&mut state, pair, CredentialOrigin::Refresh);
            // Adds what is read from a file besides, such as a delegation token.
            shared.read_files(&mut state, ReadMode::IfChanged);
            shared.notify_events(&mut state);
            Ok(())
        }
        Err(error) => {
            let (message, request) = (error.message.clone(), error.request.clone());
            state.issue_error = Some(error);
            Err(RefreshError::Failed { message, retry_after, request })
        }
    }
}

/// Requests a new token, writes it to the token file and adopts it. Returns without a request if
/// another process has replaced the token meanwhile.
pub(super) async fn refresh_once(
    shared: &SharedState,
    transport: &dyn AuthTransport,
    reason: RefreshReason,
) -> Result<(), RefreshError> {
    let identity = shared.identity();
    let CredentialSource::SecurityToken { token_file, .. } = &identity.credentials else {
        return Err(failed("an API key is not refreshed"));
    };
    let Some(auth) = &identity.auth else { return Err(failed("no auth service is known")) };
    let generation = shared.state().credentials.generation;
    let timeout = shared.state().lifecycle.refresh_timeout(shared.now());
    let lock = lock(shared, generation, timeout.min(LOCK_TIMEOUT)).await;
    let (keys, credentials, date) = {
        // The process that had the lock may have refreshed the token. Any other token ends the
        // attempt: one that replaces a rejected token may expire no later.
        let mut state = shared.state();
        shared.read_files(&mut state, ReadMode::IfChanged);
        if state.credentials.generation != generation {
            shared.notify_events(&mut state);
            return Ok(());
        }
        let date = date(state.lifecycle.clock(shared.now()));
        (state.keys.clone(), state.credentials.clone(), date)
    };
    let Some(old) = &keys.token else { return Err(failed("there is no token")) };
    let request = refresh::request(auth, &credentials, old, &date);
    let token = request_token(shared, transport, request, timeout).await?;
    if !token.matches_key(&keys.key.modulus()) {
        return Err(failed("the new token is bound to another key"));
    }
    if token.secret() == old.secret() {
        return Ok(());
    }
    let refreshed = keys.with_token(token.clone());
    if let Some(error) = other_tenancy(&keys, &refreshed) {
        return Err(failed(&error.message));
    }
    let expires_later = token.expires > old.expires;
    let write_back =
        expires_later.then(|| token_file::write_back(&identity, token_file, &keys, &token));
    drop(lock);
    let mut state = shared.state();
    match write_back {
        None | Some(WriteBack::Written) => {}
        Some(WriteBack::Superseded) => shared.read_files(&mut state, ReadMode::Always),
        Some(WriteBack::Failed(message)) => {
            state.lifecycle.emit_once(TokenEvent::NotWritten { what: message })
        }
    }
    // A token requested because the old one was rejected is adopted even if it expires no later.
    if (expires_later || reason == RefreshReason::Rejected)
        && state.keys.same_key(&refreshed)
        && shared.adopt(&mut state, refreshed, CredentialOrigin::Refresh)
    {
        state.last_read = LastRead { snapshot: FileSnapshot::of(&identity), stable: false };
    }
    shared.notify_events(&mut state);
    Ok(())
}

/// Sends a refresh request and returns the token in the response. Fails if the request cannot be
/// sent, if no response arrives within `timeout`, or if the response holds no token.
async fn request_token(
    shared: &SharedState,
    transport: &dyn AuthTransport,
    request: AuthRequest,
    timeout: Duration,
) -> Result<Token, RefreshError> {
    let auth = request.endpoint.clone();
    let response = tokio::time::timeout(timeout, transport.exchange(request))
        .await
        .map_err(|_| {
            let seconds = timeout.as_secs_f64().ceil();
            failed(&format!("no answer from {auth} within {seconds} s"))
        })?
        .map_err(|error| failed(&error.message_with_hint()))?;
    if let Some(server) = response.date {
        shared.on_server_date(&mut shared.state(), server);
    }
    refresh::token(&response)
}

fn failed(reason: &str) -> RefreshError {
    RefreshError::Failed { message: reason.to_owned(), retry_after: None, request: None }
}

/// Waits for the lock beside the token file. `None` after `timeout`, so that a process that hangs
/// cannot end the session, or as soon as the files hold another token.
async fn lock(shared: &SharedState, generation: u64, timeout: Duration) -> Option<TokenFileLock> {
    let identity = shared.identity();
    let CredentialSource::SecurityToken { token_file, .. } = &identity.credentials else {
        return None;
    };
    let attempts = timeout.as_millis() / LOCK_RETRY_INTERVAL.as_millis();
    for attempt in 0..=attempts {
        if let Some(lock) = TokenFileLock::try_acquire(token_file) {
            return Some(lock);
        }
        if attempt == 0 {
            shared.state().lifecycle.emit(TokenEvent::Locked);
        }
        tokio::time::sleep(LOCK_RETRY_INTERVAL).await;
        let mut state = shared.state();
        shared.read_files(&mut state, ReadMode::IfChanged);
        if state.credentials.generation != generation {
            return None;
        }
    }
    None
}
