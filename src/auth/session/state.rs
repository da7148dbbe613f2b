//! The state that a session and its background refresh share: key, token, lifecycle and file
//! stamps.
//!
//! Owns the one lock over that state and the adoption of key and token from the files. Must not
//! wait for anything but the disk while it has the lock. Invariant: `keys`, `credentials` and the
//! token in `lifecycle` are of one generation.

use std::sync::{Arc, OnceLock, PoisonError};
use std::time::{Duration, Instant, SystemTime};

use tokio::sync::Notify;

use super::clock::{ServiceClock, now, since_1970};
use super::credential_files::{self, ReadError};
use super::file_snapshot::FileSnapshot;
use super::hints;
use super::issue::Issuer;
use super::key_and_token::KeyAndToken;
use super::rejected_keys::RejectedKeys;
use super::{Credentials, SECOND};
use crate::auth::profile::{CredentialSource, Identity};
use crate::platform::sync::{Mutex, MutexGuard};
use proto::endpoint::ObjectStorage;
use proto::error::Error;
use proto::key::Key;
use proto::token_lifecycle::events::FileState;
use proto::token_lifecycle::{
    CandidateKey, Clocks, CredentialOrigin, TokenEvent, TokenInfo, TokenLifecycle,
};

/// Unreadable files are reported only after this long; a login writes them in less.
const REPORT_UNREADABLE_AFTER: Duration = Duration::from_secs(2);

/// What the session and its refresher share.
pub(super) struct SharedState {
    /// Replaced when the config file names other files for the session.
    pub identity: Mutex<Arc<Identity>>,
    pub object_storage: ObjectStorage,
    /// What issues tokens, in the modes whose token is in no file.
    pub issuer: Option<Issuer>,
    /// The origin of the monotonic clock.
    pub started_at: Instant,
    pub state: Mutex<SessionState>,
    /// Notified when a task that waits for credentials or for the end of a refresh should look
    /// again.
    pub changed: Notify,
    /// Notified when the refresher should look for its next task.
    pub refresher_wake: Notify,
    /// Receives the events; unset until the refresher is started.
    pub notify: OnceLock<Box<dyn Fn(TokenEvent) + Send + Sync>>,
}

/// What the lock protects.
pub(super) struct SessionState {
    pub keys: Arc<KeyAndToken>,
    pub credentials: Arc<Credentials>,
    pub lifecycle: TokenLifecycle,
    pub last_read: LastRead,
    pub rejected_keys: RejectedKeys,
    /// The API key before that in `keys`. A new key is accepted only once it is known in the region,
    /// and the service may accept this one until then.
    pub earlier_key: Option<Arc<KeyAndToken>>,
    /// Set while the files cannot be read.
    pub unreadable: Option<Unreadable>,
    /// Why the last issue failed; `None` after one that succeeded.
    pub issue_error: Option<Error>,
    /// Why the last refresh of a session's token failed; `None` after one that did not fail.
    pub refresh_error: Option<String>,
    pub probe_request: ProbeRequest,
}

/// Since when the files cannot be read.
pub(super) struct Unreadable {
    since: Instant,
    /// Whether a warning was emitted.
    reported: bool,
}

/// A small request whose response shows whether the credentials are accepted.
#[derive(Clone)]
pub(super) struct ProbeRequest {
    pub method: &'static str,
    /// Path and query.
    pub target: String,
}

/// Whether files that look unchanged are read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum ReadMode {
    IfChanged,
    Always,
}

/// The stamps of the files at the last successful read.
pub(super) struct LastRead {
    pub snapshot: FileSnapshot,
    /// Whether the stamps were old enough at that time for a later change to alter them. File
    /// systems store times coarsely: two changes within 2 s may leave the same stamp.
    pub stable: bool,
}

impl SharedState {
    pub(super) fn state(&self) -> MutexGuard<'_, SessionState> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn identity(&self) -> Arc<Identity> {
        Arc::clone(&self.identity.lock().unwrap_or_else(PoisonError::into_inner))
    }

    pub(super) fn now(&self) -> Clocks {
        now(self.started_at)
    }

    /// Passes the lifecycle's events on. Before the refresher is started they stay queued.
    pub(super) fn notify_events(&self, state: &mut SessionState) {
        let Some(notify) = self.notify.get() else { return };
        for mut event in state.lifecycle.take_events() {
            match &mut event {
                TokenEvent::Waiting { hint, .. } | TokenEvent::ExpiredWhileIdle { hint } => {
                    *hint = hints::new_credentials(&self.identity());
                }
                TokenEvent::RefreshFailed { hint, .. } => {
                    *hint = hints::other_auth_service(&self.identity()).unwrap_or_default();
                }
                _ => {}
            }
            notify(event);
        }
    }

    /// Records the date of a response.
    pub(super) fn on_server_date(&self, state: &mut SessionState, server: SystemTime) {
        // A corrected clock may show that a token taken for expired is valid.
        if state.lifecycle.on_server_date(self.now(), since_1970(server)) {
            self.read_files(state, ReadMode::Always);
            self.changed.notify_waiters();
        }
    }

    /// Reads the files and adopts what they hold, if it is better than the current credentials.
    pub(super) fn read_files(&self, state: &mut SessionState, mode: ReadMode) {
        let mut identity = self.identity();
        let mut snapshot = FileSnapshot::of(&identity);
        if snapshot.is_empty() {
            return;
        }
        let unchanged = snapshot == state.last_read.snapshot;
        let readable = state.unreadable.is_none();
        if unchanged && state.last_read.stable && readable && mode == ReadMode::IfChanged {
            return;
        }
        let moved = identity.moved().map(Arc::new);
        if let Some(moved) = &moved {
            identity = Arc::clone(moved);
            snapshot = FileSnapshot::of(&identity);
        }
        let stable = snapshot.is_stable(SystemTime::now());
        let read = credential_files::read(&identity, Some(&state.keys));
        let read = read.and_then(|pair| match other_tenancy(&state.keys, &pair) {
            Some(error) => Err(ReadError::permanent(error)),
            None => Ok(pair),
        });
        match read {
            Ok(pair) => {
                if let Some(moved) = moved {
                    *self.identity.lock().unwrap_or_else(PoisonError::into_inner) = moved;
                }
                let was_unreadable = state.unreadable.take().is_some();
                state.last_read = LastRead { snapshot, stable };
                let same = pair.same(&state.keys);
                let found = if self.adopt(state, pair, CredentialOrigin::Files) {
                    FileState::Better
                } else if same {
                    FileState::Same
                } else {
                    FileState::Worse
                };
                let always = mode == ReadMode::Always;
                if !unchanged || was_unreadable || always || found == FileState::Better {
                    state.lifecycle.emit(TokenEvent::FilesRead { found });
                }
            }
            Err(error) => self.on_unreadable(state, error),
        }
    }

    /// Emits a debug event at the first failed read, and a warning if reads fail for 2 s.
    fn on_unreadable(&self, state: &mut SessionState, error: ReadError) {
        let message = error.error.message;
        if state.unreadable.is_none() {
            let found = FileState::Unusable(message.clone());
            state.lifecycle.emit(TokenEvent::FilesRead { found });
        }
        let first = Unreadable { since: Instant::now(), reported: false };
        let unreadable = state.unreadable.get_or_insert(first);
        if unreadable.since.elapsed() >= REPORT_UNREADABLE_AFTER && !unreadable.reported {
            unreadable.reported = true;
            state.lifecycle.emit(TokenEvent::FilesUnusable { what: message });
        }
    }

    /// Makes a pair the current one, unless the current one is as good. Returns whether it did.
    pub(super) fn adopt(
        &self,
        state: &mut SessionState,
        pair: KeyAndToken,
        origin: CredentialOrigin,
    ) -> bool {
        let generation = state.credentials.generation + 1;
        let token = token_info(&pair, generation);
        // A key that this process made is no sign of a new login: of two such tokens the later is better.
        let is_login = origin == CredentialOrigin::Files && !pair.same_key(&state.keys);
        let key = if is_login { CandidateKey::Other } else { CandidateKey::Current };
        if pair.same(&state.keys)
            || state.rejected_keys.contains(&pair)
            || !state.lifecycle.is_better_than_current(self.now(), &token, key)
        {
            return false;
        }
        self.replace(state, Arc::new(pair), token, origin);
        true
    }

    /// Makes the earlier API key the current one again; the key in use becomes the earlier one.
    pub(super) fn restore_earlier_key(&self, state: &mut SessionState) {
        let Some(pair) = state.earlier_key.take() else { return };
        let token = token_info(&pair, state.credentials.generation + 1);
        self.replace(state, pair, token, CredentialOrigin::EarlierKey);
    }

    fn replace(
        &self,
        state: &mut SessionState,
        pair: Arc<KeyAndToken>,
        token: TokenInfo,
        origin: CredentialOrigin,
    ) {
        state.lifecycle.adopt(self.now(), token, origin);
        state.credentials = Arc::new(credentials(&pair, token.generation));
        let before = std::mem::replace(&mut state.keys, pair);
        // A key that was never accepted does not take the place of one that was.
        let never_accepted = origin == CredentialOrigin::Files
            && state.earlier_key.is_some()
            && state.rejected_keys.contains(&before);
        if before.token.is_none() && !never_accepted {
            state.earlier_key = Some(before);
        }
        self.changed.notify_waiters();
    }

    /// Waits until the number of finished refreshes differs from `before`.
    pub(super) async fn refresh_ended(&self, before: u64) {
        loop {
            let changed = self.changed.notified();
            if self.state().lifecycle.refreshes_ended() != before {
                return;
            }
            // Looks again after 1 s at the latest, even without a notification.
            let _ = tokio::time::timeout(SECOND, changed).await;
        }
    }

    /// The error of a run that has no valid credentials and waits no longer.
    pub(super) fn timeout_error(&self) -> Error {
        let mut state = self.state();
        let identity = self.identity();
        if let Err(error) = credential_files::read(&identity, Some(&state.keys)) {
            return error.error;
        }
        let now = self.now();
        let token = *state.lifecycle.token();
        self.notify_events(&mut state);
        if let Some(expires) = token.expires
            && expires <= state.lifecycle.clock(now) + SECOND
        {
            // Why the token was not renewed comes first: that it has expired follows from it. The
            // error stays for the other requests that wait.
            if let Some(error) = state.issue_error.clone() {
                return error;
            }
            let error = hints::expired(&identity, expires.as_secs());
            return match &state.refresh_error {
                Some(reason) => hints::not_refreshed(&identity, error, reason),
                None => error,
            };
        }
        hints::refused(&identity)
    }
}

/// The error for a token of another tenancy than that of the token in use, if that names one: the
/// namespace and the bucket of the run belong to it. A token that names none may be of any tenancy. A key
/// without a token names its tenancy in its key id, which the service checks.
pub(super) fn other_tenancy(current: &KeyAndToken, new: &KeyAndToken) -> Option<Error> {
    let current = current.tenancy()?;
    let message = match (&new.token, new.tenancy()) {
        (None, _) => return None,
        (_, Some(new)) if new == current => return None,
        (_, Some(new)) => {
            format!("the new token belongs to the tenancy {new}, and the one in use to {current}")
        }
        (_, None) => {
            format!("the new token names no tenancy, and the one in use belongs to {current}")
        }
    };
    Some(
        Error::credentials(message)
            .with_hint("a run has one tenancy: start another run for the other one"),
    )
}

/// The credentials that a pair signs with.
pub(super) fn credentials(pair: &KeyAndToken, generation: u64) -> Credentials {
    Credentials {
        key_id: pair.key_id.clone(),
        key: Arc::clone(&pair.key),
        delegation_token: pair.delegation_token.clone(),
        generation,
        expires: pair.token.as_ref().map(|token| token.expires),
    }
}

/// What the lifecycle knows of a pair.
pub(super) fn token_info(pair: &KeyAndToken, generation: u64) -> TokenInfo {
    let token = pair.token.as_ref();
    TokenInfo {
        generation,
        expires: token.map(|token| Duration::from_secs(token.expires)),
        issued: token.and_then(|token| token.issued).map(Duration::from_secs),
        session_end: token.and_then(|token| token.session_end).map(Duration::from_secs),
    }
}

/// A message if the profile's fingerprint is not that of its API key.
pub(super) fn wrong_fingerprint(identity: &Identity, key: &Key) -> Option<String> {
    let CredentialSource::ApiKey { key: private_key, fingerprint, .. } = &identity.credentials
    else {
        return None;
    };
    (fingerprint != key.fingerprint()).then(|| {
        format!(
            "the fingerprint {fingerprint} is not that of {}, which is {}",
            private_key.source,
            key.fingerprint()
        )
    })
}

impl ServiceClock for SharedState {
    fn now(&self) -> Duration {
        self.state().lifecycle.clock(SharedState::now(self))
    }

    fn on_server_date(&self, date: SystemTime) {
        SharedState::on_server_date(self, &mut self.state(), date);
    }

    /// The life cycle queries the time itself.
    fn is_unverified(&self) -> bool {
        false
    }
}
