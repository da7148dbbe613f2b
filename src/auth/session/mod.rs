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

mod clock;
mod credential_files;
mod file_snapshot;
mod hints;
mod issue;
mod key_and_token;
mod probe;
mod refresh;
mod refresher;
mod rejected_keys;
pub(crate) mod report;
mod service_time;
mod start;
mod state;
mod token_file;
pub(crate) mod transport;
mod waiting;

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use tokio::task::JoinHandle;

use self::clock::since_1970;
pub(crate) use self::key_and_token::DelegationToken;
use self::start::renewal;
use self::state::{ProbeRequest, ReadMode, SharedState};
use self::transport::AuthTransport;
use self::waiting::WaitingRequests;
use super::options::AuthMode;
use super::profile::{CredentialSource, Identity};
use proto::endpoint::ObjectStorage;
use proto::error::Error;
use proto::key::{Key, KeyError};
use proto::sign::KeyId;
use proto::token_lifecycle::{
    NotThisToken, On401, RefreshPolicy, SignedAttempt, SigningRequest, TokenDecision, TokenEvent,
    TokenName,
};

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

/// What a decision about the credentials is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Purpose {
    /// The connection is opened, and a later decision is for the signature.
    Connect,
    Sign,
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
    waiting: WaitingRequests,
    /// The streams that may end before the session does.
    streams: AtomicUsize,
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
        let session = Session::begin(identity, &config).await?;
        session.start_background_refresh(config);
        Ok(session)
    }

    /// How requests are authenticated.
    pub fn auth_mode(&self) -> AuthMode {
        self.shared.identity().credentials.mode()
    }

    /// Starts the task that refreshes the token and queries the service's clock. Must be called
    /// within a runtime; further calls start no second task.
    pub fn start_background_refresh(&self, config: RefreshConfig) {
        let RefreshConfig { transport, retry_for, notify } = config;
        let identity = self.shared.identity();
        let policy = RefreshPolicy {
            refresh_before: identity.refresh_before,
            renewal: renewal(&identity),
            can_query_time: true,
            retry_for,
            seed: Some(fastrand::u64(..)),
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
        self.decide(request, Purpose::Connect).await.map(drop)
    }

    /// The credentials to sign the next attempt with. Waits while there are none; fails if there
    /// will be none.
    pub async fn credentials(&self, request: SigningRequest) -> Result<Arc<Credentials>, Error> {
        self.decide(request, Purpose::Sign).await
    }

    async fn decide(
        &self,
        request: SigningRequest,
        purpose: Purpose,
    ) -> Result<Arc<Credentials>, Error> {
        let mut waiting = None;
        loop {
            let changed = self.shared.changed.notified();
            let (decision, credentials, refreshes) = {
                let mut state = self.shared.state();
                self.shared.read_files(&mut state, ReadMode::IfChanged);
                let decision = state.lifecycle.decide(self.shared.now(), request);
                // Under the same lock: another token may be adopted right after it.
                if (decision, purpose) == (TokenDecision::Use, Purpose::Sign) {
                    state.lifecycle.on_signed(self.shared.now(), request);
                }
                self.shared.notify_events(&mut state);
                let refreshes = state.lifecycle.refreshes_ended();
                (decision, Arc::clone(&state.credentials), refreshes)
            };
            match decision {
                TokenDecision::Use => return Ok(credentials),
                TokenDecision::TimedOut => return Err(self.shared.timeout_error()),
                TokenDecision::RefreshFirst => {
                    waiting.get_or_insert_with(|| self.waiting.begin());
                    self.shared.refresher_wake.notify_one();
                    let ended = self.shared.refresh_ended(refreshes);
                    let _ = tokio::time::timeout(REFRESH_WAIT, ended).await;
                }
                TokenDecision::Wait => {
                    waiting.get_or_insert_with(|| self.waiting.begin());
                    self.shared.refresher_wake.notify_one();
                    let _ = tokio::time::timeout(SECOND, changed).await;
                }
            }
        }
    }

    /// The error of a key that was read and cannot sign.
    pub fn unusable_key(&self, error: &KeyError) -> Error {
        match &self.shared.identity().credentials {
            CredentialSource::ApiKey { key, .. } => {
                credential_files::unusable_key(&key.source, error)
            }
            _ => Error::credentials(format!("the key: {error}")).with_hint(error.hint()),
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

    /// From now on a stream is being read, until the session ends: `credentials` waits for a new login instead of
    /// failing.
    pub fn set_streaming(&self) {
        self.stream_begins();
    }

    /// As `set_streaming`, until `stream_ends` has been called as often.
    pub(crate) fn stream_begins(&self) {
        let mut state = self.shared.state();
        self.streams.fetch_add(1, Ordering::Relaxed);
        state.lifecycle.set_streaming();
    }

    /// A stream has ended. After the last one requests fail again without valid credentials.
    pub(crate) fn stream_ends(&self) {
        let mut state = self.shared.state();
        if self.streams.fetch_sub(1, Ordering::Relaxed) == 1 {
            state.lifecycle.end_streaming();
        }
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

    /// When the credentials end for good, since 1970; `None` where they are renewed without end, or the
    /// end is not known.
    pub fn credentials_end(&self) -> Option<Duration> {
        self.shared.state().lifecycle.credentials_end()
    }

    /// Whether a request waits for valid credentials.
    pub fn is_awaited(&self) -> bool {
        self.waiting.any()
    }

    /// How the texts of events name the token.
    pub fn token_name(&self) -> TokenName {
        token_name(self.shared.identity().credentials.mode())
    }

    /// How many refreshes of this run returned a new token.
    pub fn refreshes(&self) -> u64 {
        self.shared.state().lifecycle.refreshes()
    }
}

/// How the texts of events name the token of a mode.
pub(crate) fn token_name(mode: AuthMode) -> TokenName {
    match mode {
        AuthMode::ApiKey | AuthMode::SecurityToken => TokenName::Session,
        AuthMode::InstancePrincipal | AuthMode::InstanceOboUser => TokenName::Instance,
        AuthMode::ResourcePrincipal => TokenName::Resource,
        AuthMode::OkeWorkloadIdentity => TokenName::Workload,
        AuthMode::TokenExchange => TokenName::Exchanged,
    }
}

#[cfg(test)]
mod tests;
