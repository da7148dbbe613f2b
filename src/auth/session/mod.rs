//! The session: the credentials that every request is signed with, checked before each attempt.
//!
//! How a caller uses it:
//!
//! ```text
//! let session = Session::start(identity, config).await?;   // has credentials; exit code 2 or 3
//! session.wait_until_ready(request).await?;        // before connecting: waits for valid credentials
//! let credentials = session.credentials(request).await?;   // right before each attempt
//! let date = session.signing_date();               // the date that the attempt is signed with
//! session.on_unauthorized(&credentials, signed_at, server_date);   // after a 401
//! session.on_success(server_date);                 // after a success
//! session.set_streaming();                         // once a stream is read: wait, do not fail
//! ```
//!
//! `credentials` costs one `stat` per file while nothing changes, and waits if there is no valid
//! token; its error is final. No call waits for a buffer or a connection of an upload.
//!
//! Owns the clock and, through `credential_files` and `token_file`, the disk; `issue` has the
//! requests of the modes whose token a service issues. Makes no decision about a token; `proto::token_lifecycle` makes them. Must not know what a request is for.
//! Invariant: key and token of `Credentials` belong together, and a token known to be expired is
//! never returned.

mod credential_files;
mod issue;
mod key_and_token;
mod refresh;
mod refresher;
pub mod report;
mod state;
mod token_file;
pub mod transport;

use std::sync::{Arc, Mutex, OnceLock};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use tokio::sync::Notify;
use tokio::task::JoinHandle;

use self::credential_files::FileSnapshot;
use self::issue::{IssueContext, IssueError, Issuer, Outlook, Stage, StartClock};
pub use self::key_and_token::DelegationToken;
use self::key_and_token::KeyAndToken;
use self::state::{
    LastRead, ProbeRequest, ReadMode, RejectedKeys, SessionState, SharedState, credentials, now,
    since_1970, token_info, wrong_fingerprint,
};
use self::transport::AuthTransport;
use super::options::AuthMode;
use super::profile::{CredentialSource, Identity, ResourcePrincipal, TextOrFile};
use proto::endpoint::ObjectStorage;
use proto::error::Error;
use proto::key::Key;
use proto::retry::backoff;
use proto::sign::KeyId;
use proto::token_lifecycle::{
    NotThisToken, On401, RefreshPolicy, Renewal, SignedAttempt, SigningRequest, TokenDecision,
    TokenEvent, TokenLifecycle, TokenName,
};

/// At the start, files that another process may be writing are read up to 4 times, 100 ms apart.
const FILE_READ_ATTEMPTS: u32 = 4;
const FILE_READ_INTERVAL: Duration = Duration::from_millis(100);
/// How long a transfer waits for a token that outlives it before it uses the current one.
const REFRESH_WAIT: Duration = Duration::from_secs(15);
const SECOND: Duration = Duration::from_secs(1);

/// What a request is signed with.
#[derive(Debug, Clone)]
pub struct Credentials {
    pub key_id: KeyId,
    pub key: Arc<Key>,
    /// The token of the user on whose behalf an instance acts: a signed header of each request.
    pub delegation_token: Option<DelegationToken>,
    /// Numbers the pairs of key and token of this run in the order they were adopted, from 1.
    pub generation: u64,
    /// When the token expires, in seconds since 1970; `None` for an API key.
    pub expires: Option<u64>,
}

/// When a request was signed.
#[derive(Debug, Clone, Copy)]
pub struct SignedAt {
    /// The date in the request, by the service's clock.
    pub date: SystemTime,
    /// The same moment by the monotonic clock.
    pub at: Instant,
}

/// What the background refresh needs.
pub struct RefreshConfig {
    pub transport: Arc<dyn AuthTransport>,
    /// `--retry-for`: how long an upload waits for valid credentials.
    pub retry_for: Duration,
    /// Receives every event, under the session's lock: it must not call the session.
    pub notify: Box<dyn Fn(TokenEvent) + Send + Sync>,
}

/// The key and, with a session token, the token that requests are signed with.
pub struct Session {
    shared: Arc<SharedState>,
    refresher: OnceLock<JoinHandle<()>>,
}

impl Drop for Session {
    fn drop(&mut self) {
        if let Some(refresher) = self.refresher.get() {
            refresher.abort();
        }
    }
}

impl Session {
    /// Obtains the first credentials, and starts the task that refreshes the token and queries the
    /// service's clock. Must be called within a runtime. Fails if a file cannot be read or parsed, or
    /// if the service that issues the tokens refuses, or does not answer for `retry_for`. An expired
    /// token in a file is no error here: the local clock may be wrong.
    pub async fn start(identity: Identity, config: RefreshConfig) -> Result<Session, Error> {
        let session = match Issuer::of(&identity) {
            None => Session::open(identity)?,
            Some(issuer) => Session::issue_first(identity, issuer, &config).await?,
        };
        session.start_background_refresh(config);
        Ok(session)
    }

    /// Reads key and token of a mode that has them in files, and checks that they belong together.
    /// Fails if a file cannot be read or parsed.
    pub fn open(identity: Identity) -> Result<Session, Error> {
        let Some(object_storage) = identity.object_storage.clone() else {
            return Err(Error::usage("no region names the Object Storage service")
                .with_hint("give --region, OCI_CLI_REGION or --endpoint"));
        };
        let snapshot = FileSnapshot::of(&identity);
        let pair = read_stable(&identity)?;
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
        let context = IssueContext {
            transport: config.transport.as_ref(),
            clock: &clock,
            stage: Stage::Start,
            tenancy: None,
        };
        let started_at = tokio::time::Instant::now();
        let mut failures = 0;
        let (pair, object_storage) = loop {
            let attempt = async {
                let object_storage = match &identity.object_storage {
                    Some(object_storage) => object_storage.clone(),
                    None => issuer.object_storage(context, &identity).await?,
                };
                Ok::<_, IssueError>((issuer.issue(context).await?, object_storage))
            };
            let error = match attempt.await {
                Ok(result) => break result,
                Err(IssueError { error, outlook: Outlook::NeedsChange }) => return Err(error),
                Err(IssueError { error, outlook: Outlook::MaySucceed }) => error,
            };
            let again = backoff(failures, fastrand::f64(), None);
            if started_at.elapsed() + again > config.retry_for {
                return Err(error);
            }
            let why = error.message;
            (config.notify)(TokenEvent::RefreshFailed { why, again, first: failures == 0 });
            failures += 1;
            tokio::time::sleep(again).await;
        };
        let snapshot = FileSnapshot::of(&identity);
        // Adds what is read from a file besides, such as a delegation token.
        let pair = credential_files::read(&identity, Some(&pair)).map_err(|error| error.error)?;
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
            unreadable: None,
            issue_error: None,
            probe_request: ProbeRequest { method: "GET", target: "/n".to_owned() },
        };
        let shared = SharedState {
            identity,
            object_storage,
            issuer,
            started_at,
            state: Mutex::new(state),
            changed: Notify::new(),
            refresher_wake: Notify::new(),
            notify: OnceLock::new(),
        };
        Session { shared: Arc::new(shared), refresher: OnceLock::new() }
    }

    /// How requests are authenticated.
    pub fn auth_mode(&self) -> AuthMode {
        self.shared.identity.credentials.mode()
    }

    /// Starts the task that refreshes the token and queries the service's clock. Must be called
    /// within a runtime; further calls start no second task.
    pub fn start_background_refresh(&self, config: RefreshConfig) {
        let RefreshConfig { transport, retry_for, notify } = config;
        let identity = &self.shared.identity;
        let policy = RefreshPolicy {
            refresh_before: identity.refresh_before,
            renewal: renewal(identity),
            can_query_time: true,
            retry_for,
        };
        self.shared.state().lifecycle.set_policy(self.shared.now(), policy);
        if self.shared.notify.set(notify).is_ok() {
            let refresher =
                tokio::spawn(refresher::run_refresher(Arc::clone(&self.shared), transport));
            let _ = self.refresher.set(refresher);
        }
    }

    /// Waits until there are valid credentials. Fails if there will be none.
    pub async fn wait_until_ready(&self, request: SigningRequest) -> Result<(), Error> {
        self.decide(request).await.map(drop)
    }

    /// The credentials to sign the next attempt with. Waits while there are none; fails if there
    /// will be none.
    pub async fn credentials(&self, request: SigningRequest) -> Result<Arc<Credentials>, Error> {
        let credentials = self.decide(request).await?;
        let mut state = self.shared.state();
        state.lifecycle.on_signed(self.shared.now(), request);
        self.shared.notify_events(&mut state);
        Ok(credentials)
    }

    async fn decide(&self, request: SigningRequest) -> Result<Arc<Credentials>, Error> {
        loop {
            let changed = self.shared.changed.notified();
            let (decision, credentials, refreshes) = {
                let mut state = self.shared.state();
                self.shared.read_files(&mut state, ReadMode::IfChanged);
                let decision = state.lifecycle.decide(self.shared.now(), request);
                self.shared.notify_events(&mut state);
                let refreshes = state.lifecycle.refreshes_ended();
                (decision, Arc::clone(&state.credentials), refreshes)
            };
            match decision {
                TokenDecision::Use => return Ok(credentials),
                TokenDecision::TimedOut => return Err(self.shared.timeout_error()),
                TokenDecision::RefreshFirst => {
                    self.shared.refresher_wake.notify_one();
                    let ended = self.shared.refresh_ended(refreshes);
                    let _ = tokio::time::timeout(REFRESH_WAIT, ended).await;
                }
                TokenDecision::Wait => {
                    self.shared.refresher_wake.notify_one();
                    let _ = tokio::time::timeout(SECOND, changed).await;
                }
            }
        }
    }

    /// The date to sign with: the local clock, corrected by the measured skew of the service's.
    pub fn signing_date(&self) -> SystemTime {
        UNIX_EPOCH + self.shared.state().lifecycle.clock(self.shared.now())
    }

    /// Records that a request got a 401. `server_date` is the date of the response. The next call
    /// of `credentials` returns what to sign the next attempt with.
    pub fn on_unauthorized(
        &self,
        credentials: &Credentials,
        signed: SignedAt,
        server_date: Option<SystemTime>,
    ) {
        let mut state = self.shared.state();
        let response = state.lifecycle.on_unauthorized(
            self.shared.now(),
            SignedAttempt {
                generation: credentials.generation,
                date: since_1970(signed.date),
                took: signed.at.elapsed(),
            },
            server_date.map(since_1970),
        );
        if matches!(response, On401::RereadFiles | On401::Retry(NotThisToken::Replaced)) {
            state.rejected_keys.add(credentials);
        }
        if response == On401::RereadFiles {
            self.shared.read_files(&mut state, ReadMode::Always);
        }
        self.shared.notify_events(&mut state);
        self.shared.refresher_wake.notify_one();
    }

    /// Records a response that accepted the credentials: a success, or an error other than 401.
    /// `server_date` is the date of the response.
    pub fn on_success(&self, server_date: Option<SystemTime>) {
        let mut state = self.shared.state();
        if let Some(server) = server_date {
            state.lifecycle.on_success_with_date(self.shared.now(), since_1970(server));
        }
        state.lifecycle.on_success(self.shared.now());
        self.shared.notify_events(&mut state);
    }

    /// From now on a stream is being read: `credentials` waits for a new login instead of failing.
    pub fn set_streaming(&self) {
        self.shared.state().lifecycle.set_streaming();
    }

    /// Records when the upload will probably end; `None` if that is unknown.
    pub fn set_upload_eta(&self, eta: Option<SystemTime>) {
        let mut state = self.shared.state();
        state.lifecycle.set_upload_eta(self.shared.now(), eta.map(since_1970));
        self.shared.notify_events(&mut state);
    }

    /// Sets the small request that shows whether rejected credentials are accepted again. Before
    /// the first call it is a look-up of the namespace.
    pub fn set_probe_request(&self, method: &'static str, target: &str) {
        self.shared.state().probe_request = ProbeRequest { method, target: target.to_owned() };
    }

    /// The endpoint of Object Storage.
    pub fn object_storage(&self) -> &ObjectStorage {
        &self.shared.object_storage
    }

    /// The time until the token expires; `None` for an API key.
    pub fn remaining(&self) -> Option<Duration> {
        self.shared.state().lifecycle.remaining(self.shared.now())
    }

    /// How the texts of events name the token.
    pub fn token_name(&self) -> TokenName {
        token_name(self.shared.identity.credentials.mode())
    }

    /// How many refreshes of this run returned a new token.
    pub fn refreshes(&self) -> u64 {
        self.shared.state().lifecycle.refreshes()
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

/// How the texts of events name the token of a mode.
pub fn token_name(mode: AuthMode) -> TokenName {
    match mode {
        AuthMode::ApiKey | AuthMode::SecurityToken => TokenName::Session,
        AuthMode::InstancePrincipal | AuthMode::InstanceOboUser => TokenName::Instance,
        AuthMode::ResourcePrincipal => TokenName::Resource,
        AuthMode::OkeWorkloadIdentity => TokenName::Workload,
        AuthMode::TokenExchange => TokenName::Exchanged,
    }
}

/// What replaces the token of an identity, besides its files.
fn renewal(identity: &Identity) -> Renewal {
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
fn read_stable(identity: &Identity) -> Result<KeyAndToken, Error> {
    let mut attempt = 1;
    loop {
        match credential_files::read(identity, None) {
            Ok(pair) => return Ok(pair),
            Err(error) if error.transient && attempt < FILE_READ_ATTEMPTS => {
                std::thread::sleep(FILE_READ_INTERVAL);
                attempt += 1;
            }
            Err(error) => return Err(error.error),
        }
    }
}

#[cfg(test)]
mod tests;
