//! The session: what every request is signed with, looked at again before each attempt.
//!
//! The driver's use of it:
//!
//! ```text
//! let session = Session::open(identity)?;      // both files read and checked; exit 2 or 3
//! session.keep(Upkeep { transport, .. });      // from here on it is renewed in the background
//! session.ready(attempt).await?;               // before connecting: waits until there is anything
//! let credentials = session.credentials(attempt).await?;     // immediately before each attempt
//! let date = session.signing_date();           // what the attempt is dated with
//! session.refused(&credentials, (date, at), answer_date);    // after a 401; then ask again
//! session.accepted(answer_date);               // after a success
//! session.set_under_way();                     // once a stream is at stake: wait, do not end
//! ```
//!
//! `credentials` is cheap while nothing changes (a stat of each file), and waits where there is
//! nothing valid to sign with; its error is final. No call needs anything that an upload holds.
//!
//! Knows the clock and, through `files` and `store`, the disk; decides nothing, that is
//! `lifecycle`. Must not know what a request is for. Invariant: key and token of `Credentials`
//! belong together, and a token known to be over is never given.

mod credential_files;
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

use self::credential_files::{FileSnapshot, KeyAndToken};
use self::state::{
    LastRead, RejectedKeys, SessionState, SharedState, credentials, now, since_1970, token_info,
    wrong_fingerprint,
};
use self::transport::AuthTransport;
use super::profile::Identity;
use proto::error::Error;
use proto::key::Key;
use proto::sign::KeyId;
use proto::token_lifecycle::{
    NotThisToken, On401, RefreshPolicy, SigningRequest, TokenDecision, TokenEvent, TokenLifecycle,
};

/// How often, and how far apart, files that are being written are read again at the start.
const FILE_READ_ATTEMPTS: u32 = 4;
const FILE_READ_INTERVAL: Duration = Duration::from_millis(100);
/// How long an attempt waits for a token that outlives it, before it takes the present one.
const REFRESH_WAIT: Duration = Duration::from_secs(15);
const SECOND: Duration = Duration::from_secs(1);

/// What a request is signed with.
#[derive(Debug, Clone)]
pub struct Credentials {
    pub key_id: KeyId,
    pub key: Arc<Key>,
    /// Counts the pairs of this run; a later one is a newer one.
    pub generation: u64,
    /// When the token ends, in seconds since 1970.
    pub expires: Option<u64>,
}

/// What the background work needs.
pub struct RefreshConfig {
    pub transport: Arc<dyn AuthTransport>,
    /// `--retry-for`.
    pub retry_for: Duration,
    /// Where notices go.
    pub notify: Box<dyn Fn(TokenEvent) + Send + Sync>,
}

/// The key and, with a session token, the token that requests are signed with.
pub struct Session {
    shared: Arc<SharedState>,
    refresher: OnceLock<JoinHandle<()>>,
}

impl Drop for Session {
    fn drop(&mut self) {
        if let Some(keeper) = self.refresher.get() {
            keeper.abort();
        }
    }
}

impl Session {
    /// Reads key and token, and checks that they fit together. Whether the token is over is judged
    /// when it is to be used: the local clock may be wrong.
    pub fn open(identity: Identity) -> Result<Session, Error> {
        let stamps = FileSnapshot::of(&identity);
        let pair = read_stable(&identity)?;
        let began = Instant::now();
        let now = now(began);
        // Until someone keeps it, a session cannot get better by waiting.
        let rules = RefreshPolicy {
            refresh_before: identity.refresh_before,
            can_refresh: false,
            can_query_time: false,
            retry_for: Duration::ZERO,
        };
        let mut lifecycle = TokenLifecycle::new(now, rules, token_info(&pair, 1));
        if let Some(what) = wrong_fingerprint(&identity, &pair) {
            lifecycle.emit(TokenEvent::Fingerprint { what });
        }
        let state = SessionState {
            credentials: Arc::new(credentials(&pair, 1)),
            keys: Arc::new(pair),
            lifecycle,
            last_read: LastRead { snapshot: stamps, stable: false },
            rejected_keys: RejectedKeys::default(),
            unreadable_since: None,
            probe_request: ("GET", "/n".to_owned()),
        };
        let core = SharedState {
            identity,
            started_at: began,
            state: Mutex::new(state),
            changed: Notify::new(),
            refresher_wake: Notify::new(),
            notify: OnceLock::new(),
        };
        Ok(Session { shared: Arc::new(core), refresher: OnceLock::new() })
    }

    /// Begins the background work; within a runtime, and once.
    pub fn start_background_refresh(&self, upkeep: RefreshConfig) {
        let RefreshConfig { transport, retry_for, notify: tell } = upkeep;
        let identity = &self.shared.identity;
        let can_refresh = !identity.no_refresh && identity.auth.is_some();
        let refresh_before = identity.refresh_before;
        let rules = RefreshPolicy { refresh_before, can_refresh, can_query_time: true, retry_for };
        self.shared.state().lifecycle.set_policy(rules);
        if self.shared.notify.set(tell).is_ok() {
            let keeper =
                tokio::spawn(refresher::run_refresher(Arc::clone(&self.shared), transport));
            let _ = self.refresher.set(keeper);
        }
    }

    /// Waits until there is something to sign an attempt with; the error is final.
    pub async fn wait_until_ready(&self, attempt: SigningRequest) -> Result<(), Error> {
        self.decide(attempt).await.map(drop)
    }

    /// What to sign the next attempt with. Waits where there is nothing valid; the error is final.
    pub async fn credentials(&self, attempt: SigningRequest) -> Result<Arc<Credentials>, Error> {
        let given = self.decide(attempt).await?;
        let mut state = self.shared.state();
        state.lifecycle.on_signed(self.shared.now(), attempt);
        self.shared.notify_events(&mut state);
        Ok(given)
    }

    async fn decide(&self, attempt: SigningRequest) -> Result<Arc<Credentials>, Error> {
        loop {
            let changed = self.shared.changed.notified();
            let (verdict, given, refreshes) = {
                let mut state = self.shared.state();
                self.shared.read_files(&mut state, false);
                let verdict = state.lifecycle.decide(self.shared.now(), attempt);
                self.shared.notify_events(&mut state);
                let refreshes = state.lifecycle.refreshes_ended();
                (verdict, Arc::clone(&state.credentials), refreshes)
            };
            match verdict {
                TokenDecision::Use => return Ok(given),
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

    /// The date to sign with: that of the service, as far as it is known.
    pub fn signing_date(&self) -> SystemTime {
        UNIX_EPOCH + self.shared.state().lifecycle.clock(self.shared.now())
    }

    /// A request signed with these credentials and this date, at this moment, is refused (401) now;
    /// `answered` is the date of the answer. What comes next is known by asking for credentials again.
    pub fn on_unauthorized(
        &self,
        credentials: &Credentials,
        (signed, at): (SystemTime, Instant),
        answered: Option<SystemTime>,
    ) {
        let mut state = self.shared.state();
        let refusal = state.lifecycle.on_unauthorized(
            self.shared.now(),
            credentials.generation,
            (since_1970(signed), at.elapsed()),
            answered.map(since_1970),
        );
        if matches!(refusal, On401::RereadFiles | On401::Retry(NotThisToken::Replaced)) {
            state.rejected_keys.add(&credentials.key_id);
        }
        if refusal == On401::RereadFiles {
            self.shared.read_files(&mut state, true);
        }
        self.shared.notify_events(&mut state);
        self.shared.refresher_wake.notify_one();
    }

    /// A request did what it was to do, or was refused for another reason than its credentials;
    /// `answered` is the date of the answer.
    pub fn on_success(&self, answered: Option<SystemTime>) {
        let mut state = self.shared.state();
        if let Some(server) = answered {
            state.lifecycle.on_success_with_date(self.shared.now(), since_1970(server));
        }
        state.lifecycle.on_success();
        self.shared.notify_events(&mut state);
    }

    /// A stream is at stake from now on: waiting for credentials is better than ending.
    pub fn set_streaming(&self) {
        self.shared.state().lifecycle.set_streaming();
    }

    /// When the upload will likely end, or `None` where nobody can tell.
    pub fn set_upload_eta(&self, likely_end: Option<SystemTime>) {
        let mut state = self.shared.state();
        state.lifecycle.set_upload_eta(self.shared.now(), likely_end.map(since_1970));
        self.shared.notify_events(&mut state);
    }

    /// The small request that finds out whether refused credentials are accepted again. Without
    /// one, the namespace is asked for.
    pub fn set_probe_request(&self, method: &'static str, target: &str) {
        self.shared.state().probe_request = (method, target.to_owned());
    }

    /// How long the token still lives; `None` for an API key.
    pub fn remaining(&self) -> Option<Duration> {
        self.shared.state().lifecycle.remaining(self.shared.now())
    }

    /// How many refreshes by this process gave a new token.
    pub fn refreshes(&self) -> u64 {
        self.shared.state().lifecycle.refreshes()
    }
}

/// Reads the files; what they look like while being written is given a moment to pass.
fn read_stable(identity: &Identity) -> Result<KeyAndToken, Error> {
    let mut reading = 1;
    loop {
        match credential_files::read(identity, None) {
            Ok(pair) => return Ok(pair),
            Err(trouble) if trouble.transient && reading < FILE_READ_ATTEMPTS => {
                std::thread::sleep(FILE_READ_INTERVAL);
                reading += 1;
            }
            Err(trouble) => return Err(trouble.error),
        }
    }
}

#[cfg(test)]
mod tests;
