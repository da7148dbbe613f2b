//! What a session and its keeper share: the present pair, the lifecycle, and the look at the files.
//!
//! Owns the one lock over them. Must not wait for anything but the disk. Invariant: pair,
//! credentials and the facts in the lifecycle are of one generation.

use std::collections::VecDeque;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use tokio::sync::Notify;

use super::credential_files::{self, FileSnapshot, KeyAndToken};
use super::{Credentials, SECOND};
use crate::auth::profile::{CredentialSource, Identity};
use proto::error::Error;
use proto::sign::KeyId;
use proto::token_lifecycle::events::{DisplayTime, FileState};
use proto::token_lifecycle::{Clocks, CredentialOrigin, TokenEvent, TokenInfo, TokenLifecycle};

/// How long files may be unusable before it is worth a word.
const REPORT_UNREADABLE_AFTER: Duration = Duration::from_secs(2);

/// What the session and its keeper share.
pub(super) struct SharedState {
    pub identity: Identity,
    pub started_at: Instant,
    pub state: Mutex<SessionState>,
    /// Told when there is something new for those who wait.
    pub changed: Notify,
    /// Told when there is something to do in the background.
    pub refresher_wake: Notify,
    pub notify: OnceLock<Box<dyn Fn(TokenEvent) + Send + Sync>>,
}

pub(super) struct SessionState {
    pub keys: Arc<KeyAndToken>,
    pub credentials: Arc<Credentials>,
    pub lifecycle: TokenLifecycle,
    pub last_read: LastRead,
    pub rejected_keys: RejectedKeys,
    /// Since when the files cannot be used, and whether that has been said.
    pub unreadable_since: Option<(Instant, bool)>,
    /// A small request that tells whether the credentials are accepted: its method and target.
    pub probe_request: (&'static str, String),
}

/// The last pairs that the service refused, by a hash of what they are known by. One that still lies
/// in the file is not taken up in the place of its successor, should that be refused as well.
#[derive(Default)]
pub(super) struct RejectedKeys(VecDeque<u64>);

impl RejectedKeys {
    const HISTORY: usize = 16;

    pub(super) fn add(&mut self, key_id: &KeyId) {
        if !self.contains(key_id) {
            self.0.push_back(RejectedKeys::hash(key_id));
            self.0.drain(..self.0.len().saturating_sub(RejectedKeys::HISTORY));
        }
    }

    fn contains(&self, key_id: &KeyId) -> bool {
        self.0.contains(&RejectedKeys::hash(key_id))
    }

    fn hash(key_id: &KeyId) -> u64 {
        let mut hasher = DefaultHasher::new();
        key_id.as_str().hash(&mut hasher);
        hasher.finish()
    }
}

/// How the files looked when they were read last.
pub(super) struct LastRead {
    pub snapshot: FileSnapshot,
    /// Whether they had been unchanged for so long by then that a later change shows. File systems
    /// keep times coarsely: of two changes in a moment, the second may leave no trace.
    pub stable: bool,
}

impl SharedState {
    pub(super) fn state(&self) -> MutexGuard<'_, SessionState> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn now(&self) -> Clocks {
        now(self.started_at)
    }

    pub(super) fn notify_events(&self, state: &mut SessionState) {
        // Without a keeper there is nobody to tell yet; notices are kept until there is.
        let Some(tell) = self.notify.get() else { return };
        for mut notice in state.lifecycle.take_events() {
            if let (
                TokenEvent::Waiting { login, .. } | TokenEvent::Ended { login },
                CredentialSource::SecurityToken { .. },
            ) = (&mut notice, &self.identity.credentials)
            {
                *login = self.identity.login_command();
            }
            tell(notice);
        }
    }

    /// An answer carried this date.
    pub(super) fn on_server_date(&self, state: &mut SessionState, server: SystemTime) {
        // What the files hold may have been found to be over by a wrong clock.
        if state.lifecycle.on_server_date(self.now(), since_1970(server)) {
            self.read_files(state, true);
            self.changed.notify_waiters();
        }
    }

    /// Takes up what the files hold, if they changed (or must be read in any case).
    pub(super) fn read_files(&self, state: &mut SessionState, in_any_case: bool) {
        let stamps = FileSnapshot::of(&self.identity);
        let unchanged = stamps == state.last_read.snapshot;
        if unchanged && state.last_read.stable && state.unreadable_since.is_none() && !in_any_case {
            return;
        }
        let settled = stamps.is_stable(SystemTime::now());
        match credential_files::read(&self.identity, Some(&state.keys)) {
            Ok(pair) => {
                let was_unusable = state.unreadable_since.take().is_some();
                state.last_read = LastRead { snapshot: stamps, stable: settled };
                let same = pair.same(&state.keys);
                let found = match self.adopt(state, pair, CredentialOrigin::Files) {
                    true => FileState::Better,
                    false if same => FileState::Same,
                    false => FileState::Worse,
                };
                if !unchanged || was_unusable || in_any_case || found == FileState::Better {
                    state.lifecycle.emit(TokenEvent::FilesRead { found });
                }
            }
            Err(trouble) => {
                if state.unreadable_since.is_none() {
                    let found = FileState::Unusable(trouble.error.message.clone());
                    state.lifecycle.emit(TokenEvent::FilesRead { found });
                }
                let (since, said) = state.unreadable_since.get_or_insert((Instant::now(), false));
                if since.elapsed() >= REPORT_UNREADABLE_AFTER && !std::mem::replace(said, true) {
                    let what = trouble.error.message;
                    state.lifecycle.emit(TokenEvent::FilesUnusable { what });
                }
            }
        }
    }

    /// Puts a pair in the place of the present one, if it is better; says whether it did.
    pub(super) fn adopt(
        &self,
        state: &mut SessionState,
        pair: KeyAndToken,
        origin: CredentialOrigin,
    ) -> bool {
        let generation = state.credentials.generation + 1;
        let facts = token_info(&pair, generation);
        let same_key = pair.same_key(&state.keys);
        if pair.same(&state.keys)
            || state.rejected_keys.contains(&pair.key_id)
            || !state.lifecycle.is_better_than_current(self.now(), &facts, same_key)
        {
            return false;
        }
        state.lifecycle.adopt(self.now(), facts, origin);
        state.credentials = Arc::new(credentials(&pair, generation));
        state.keys = Arc::new(pair);
        self.changed.notify_waiters();
        true
    }

    /// Waits until another refresh than so many has ended.
    pub(super) async fn refresh_ended(&self, before: u64) {
        loop {
            let changed = self.changed.notified();
            if self.state().lifecycle.refreshes_ended() != before {
                return;
            }
            // Told within a second even if the notice came between the two lines above.
            let _ = tokio::time::timeout(SECOND, changed).await;
        }
    }

    /// Why there will be no credentials.
    pub(super) fn timeout_error(&self) -> Error {
        let mut state = self.state();
        if let Err(trouble) = credential_files::read(&self.identity, Some(&state.keys)) {
            return trouble.error;
        }
        let now = self.now();
        let facts = *state.lifecycle.token();
        self.notify_events(&mut state);
        if let Some(expires) = facts.expires
            && expires <= state.lifecycle.clock(now) + SECOND
        {
            return expired(&self.identity, expires.as_secs());
        }
        let what = "the service refuses the credentials (401)";
        match &self.identity.credentials {
            CredentialSource::SecurityToken { .. } => {
                Error::credentials(what).with_hint(self.identity.login_command())
            }
            CredentialSource::ApiKey { fingerprint, .. } => {
                Error::credentials(what).with_hint(format!(
                    "check that the key {fingerprint} stands among the API keys of the user {}",
                    self.identity.user.as_deref().unwrap_or_default()
                ))
            }
        }
    }
}

pub(super) fn credentials(pair: &KeyAndToken, generation: u64) -> Credentials {
    Credentials {
        key_id: pair.key_id.clone(),
        key: Arc::clone(&pair.key),
        generation,
        expires: pair.token.as_ref().map(|token| token.expires),
    }
}

pub(super) fn token_info(pair: &KeyAndToken, generation: u64) -> TokenInfo {
    let token = pair.token.as_ref();
    TokenInfo {
        generation,
        expires: token.map(|token| Duration::from_secs(token.expires)),
        issued: token.and_then(|token| token.issued).map(Duration::from_secs),
        session_end: token.and_then(|token| token.session_end).map(Duration::from_secs),
    }
}

pub(super) fn wrong_fingerprint(identity: &Identity, pair: &KeyAndToken) -> Option<String> {
    let CredentialSource::ApiKey { fingerprint, .. } = &identity.credentials else { return None };
    (fingerprint != pair.key.fingerprint()).then(|| {
        format!(
            "the fingerprint {fingerprint} is not that of {}, which is {}",
            identity.key,
            pair.key.fingerprint()
        )
    })
}

pub(super) fn expired(identity: &Identity, expires: u64) -> Error {
    let file = match &identity.credentials {
        CredentialSource::SecurityToken { token_file } => token_file.display().to_string(),
        CredentialSource::ApiKey { .. } => identity.key.to_string(),
    };
    let date = DisplayTime(Duration::from_secs(expires));
    Error::credentials(format!("the session token in {file} expired at {date}"))
        .with_hint(identity.login_command())
}

pub(super) fn now(began: Instant) -> Clocks {
    Clocks { wall: since_1970(SystemTime::now()), monotonic: began.elapsed() }
}

pub(super) fn since_1970(time: SystemTime) -> Duration {
    time.duration_since(UNIX_EPOCH).unwrap_or_default()
}
