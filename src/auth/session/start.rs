//! The start of a session: its first credentials, from files or from the service of the mode.
//!
//! Owns the retries of the first issue, which no life cycle decides since there is no token yet. Must
//! not renew a token. Invariant: a session that was started has a key and, unless it is an API key, a
//! token.

use std::sync::atomic::AtomicUsize;
use std::sync::{Arc, OnceLock};
use std::time::{Duration, Instant};

use tokio::sync::Notify;

use super::clock::{StartClock, now};
use super::credential_files;
use super::file_snapshot::FileSnapshot;
use super::issue::{IssueContext, IssueError, Issuer, Outlook, Stage};
use super::key_and_token::KeyAndToken;
use super::rejected_keys::RejectedKeys;
use super::state::{
    LastRead, ProbeRequest, SessionState, SharedState, credentials, token_info, wrong_fingerprint,
};
use super::waiting::WaitingRequests;
use super::{RefreshConfig, Session};
use crate::auth::profile::{CredentialSource, Identity, ResourcePrincipal, TextOrFile};
use crate::platform::sync::Mutex;
use proto::endpoint::ObjectStorage;
use proto::error::Error;
use proto::retry::backoff;
use proto::token_lifecycle::{RefreshPolicy, Renewal, TokenEvent, TokenLifecycle};

/// Until the first token is issued, a failure is reported this often.
const REPORT_INTERVAL: Duration = Duration::from_secs(30);
/// At the start, files that another process may be writing are read up to 4 times, 100 ms apart.
const FILE_READ_ATTEMPTS: u32 = 4;
pub(super) const FILE_READ_INTERVAL: Duration = Duration::from_millis(100);

impl Session {
    /// As `start`, without the task.
    pub(super) async fn begin(
        identity: Identity,
        config: &RefreshConfig,
    ) -> Result<Session, Error> {
        match Issuer::of(&identity) {
            None => Session::open(identity),
            Some(issuer) => Session::issue_first(identity, issuer, config).await,
        }
    }

    /// Reads key and token of a mode that has them in files, and checks that they belong together.
    /// Fails if a file cannot be read or parsed.
    pub fn open(identity: Identity) -> Result<Session, Error> {
        let Some(object_storage) = identity.object_storage.clone() else {
            return Err(Error::usage("no region names the Object Storage service")
                .with_hint("give --region, OCI_CLI_REGION or --endpoint"));
        };
        let snapshot = FileSnapshot::of(&identity);
        let pair = read_stable(&identity, None)?;
        Ok(Session::of(SessionParts { identity, object_storage, issuer: None, snapshot, pair }))
    }

    /// Has the first token issued, repeatedly for up to `retry_for` if the service is out of order.
    async fn issue_first(
        identity: Identity,
        issuer: Issuer,
        config: &RefreshConfig,
    ) -> Result<Session, Error> {
        if identity.no_refresh {
            let mode = identity.credentials.mode().name();
            let message = format!("--no-refresh: the token of {mode} is in no file");
            return Err(Error::usage(message)
                .with_hint("leave the option out: a service issues the token of this mode"));
        }
        let clock = StartClock::new();
        let started_at = tokio::time::Instant::now();
        let context = IssueContext {
            transport: config.transport.as_ref(),
            clock: &clock,
            stage: Stage::Start,
            tenancy: None,
            deadline: Some(started_at + config.retry_for),
            time_source: identity.object_storage.as_ref().map(|storage| &storage.general),
        };
        let mut failures = 0;
        let mut reported_at = None;
        let mut unanswered: Option<String> = None;
        let (pair, object_storage) = loop {
            let attempt = async {
                let object_storage = match &identity.object_storage {
                    Some(object_storage) => object_storage.clone(),
                    None => issuer.object_storage(context, &identity).await?,
                };
                Ok::<_, IssueError>((issuer.issue(context).await?, object_storage))
            };
            let IssueError { error, outlook, retry_after } = match attempt.await {
                Ok(result) => break result,
                Err(error) => error,
            };
            if outlook == Outlook::NeedsChange {
                // What the token or file has come to meanwhile may follow from the first cause.
                let Some(before) = unanswered else { return Err(error) };
                let message = format!("{}; before that: {before}", error.message);
                return Err(Error { message, ..error });
            }
            let again = backoff(failures, fastrand::f64(), retry_after);
            if started_at.elapsed() + again > config.retry_for {
                return Err(error);
            }
            let (why, request) = (error.message, error.request);
            unanswered = Some(why.clone());
            let now = started_at.elapsed();
            let first = reported_at.is_none_or(|at| now >= at + REPORT_INTERVAL);
            if first {
                reported_at = Some(now);
            }
            let hint = String::new();
            (config.notify)(TokenEvent::RefreshFailed { why, again, first, request, hint });
            failures += 1;
            tokio::time::sleep(again).await;
        };
        let snapshot = FileSnapshot::of(&identity);
        // Adds what is read from a file besides, such as a delegation token.
        let pair = read_stable(&identity, Some(&pair))?;
        let issuer = Some(issuer);
        let parts = SessionParts { identity, object_storage, issuer, snapshot, pair };
        let session = Session::of(parts);
        if let Some(date) = clock.server_date() {
            let shared = &session.shared;
            shared.on_server_date(&mut shared.state(), date);
        }
        Ok(session)
    }

    fn of(parts: SessionParts) -> Session {
        let SessionParts { identity, object_storage, issuer, snapshot, pair } = parts;
        let started_at = Instant::now();
        let now = now(started_at);
        // Without a refresher, waiting cannot bring a new token.
        let policy = RefreshPolicy {
            refresh_before: identity.refresh_before,
            renewal: Renewal::FilesOnly,
            can_query_time: false,
            retry_for: Duration::ZERO,
            seed: None,
        };
        let mut lifecycle = TokenLifecycle::new(now, policy, token_info(&pair, 1));
        if let Some(message) = wrong_fingerprint(&identity, &pair.key) {
            lifecycle.emit(TokenEvent::Fingerprint { what: message });
        }
        let state = SessionState {
            credentials: Arc::new(credentials(&pair, 1)),
            keys: Arc::new(pair),
            lifecycle,
            last_read: LastRead { snapshot, stable: false },
            rejected_keys: RejectedKeys::default(),
            earlier_key: None,
            unreadable: None,
            issue_error: None,
            refresh_error: None,
            probe_request: ProbeRequest { method: "GET", target: "/n".to_owned() },
        };
        let shared = SharedState {
            identity: Mutex::new(Arc::new(identity)),
            object_storage,
            issuer,
            started_at,
            state: Mutex::new(state),
            changed: Notify::new(),
            refresher_wake: Notify::new(),
            notify: OnceLock::new(),
        };
        Session {
            shared: Arc::new(shared),
            refresher: OnceLock::new(),
            waiting: WaitingRequests::default(),
            streams: AtomicUsize::new(0),
        }
    }
}

/// What a session begins with.
struct SessionParts {
    identity: Identity,
    object_storage: ObjectStorage,
    issuer: Option<Issuer>,
    /// Taken before the files were read.
    snapshot: FileSnapshot,
    pair: KeyAndToken,
}

/// What replaces the token of an identity, besides its files.
pub(super) fn renewal(identity: &Identity) -> Renewal {
    match &identity.credentials {
        CredentialSource::ApiKey { .. } => Renewal::FilesOnly,
        CredentialSource::SecurityToken { .. } => {
            let can_refresh = !identity.no_refresh && identity.auth.is_some();
            if can_refresh { Renewal::Refresh } else { Renewal::FilesOnly }
        }
        CredentialSource::ResourcePrincipal(ResourcePrincipal::TokenAndKey { token, .. }) => {
            match token {
                TextOrFile::Text { .. } => Renewal::Never,
                TextOrFile::File(_) => Renewal::FilesOnly,
            }
        }
        _ => Renewal::Issue,
    }
}

/// Reads the files; repeats reads that may fail because another process is writing a file.
fn read_stable(identity: &Identity, previous: Option<&KeyAndToken>) -> Result<KeyAndToken, Error> {
    let mut attempt = 1;
    loop {
        match credential_files::read(identity, previous) {
            Ok(pair) => return Ok(pair),
            Err(error) if error.transient && attempt < FILE_READ_ATTEMPTS => {
                std::thread::sleep(FILE_READ_INTERVAL);
                attempt += 1;
            }
            Err(error) => return Err(error.error),
        }
    }
}
