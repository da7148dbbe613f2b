//! What a session and its keeper share: the present pair, the lifecycle, and the look at the files.
//!
//! Owns the one lock over them. Must not wait for anything but the disk. Invariant: pair,
//! credentials and the facts in the lifecycle are of one generation.

use std::collections::VecDeque;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use tokio::sync::Notify;

use super::files::{self, Pair, Stamps};
use super::{Credentials, SECOND};
use crate::error::Error;
use crate::oci::lifecycle::notice::{Date, Found};
use crate::oci::lifecycle::{Facts, Lifecycle, Notice, Now, Origin};
use crate::oci::profile::{Identity, Source};
use crate::oci::sign::KeyId;

/// How long files may be unusable before it is worth a word.
const PASSING: Duration = Duration::from_secs(2);

/// What the session and its keeper share.
pub(super) struct Core {
    pub identity: Identity,
    pub began: Instant,
    pub state: Mutex<State>,
    /// Told when there is something new for those who wait.
    pub changed: Notify,
    /// Told when there is something to do in the background.
    pub wake: Notify,
    pub tell: OnceLock<Box<dyn Fn(Notice) + Send + Sync>>,
}

pub(super) struct State {
    pub pair: Arc<Pair>,
    pub credentials: Arc<Credentials>,
    pub lifecycle: Lifecycle,
    pub looked: Looked,
    pub refused: Refused,
    /// Since when the files cannot be used, and whether that has been said.
    pub unusable: Option<(Instant, bool)>,
    /// A small request that tells whether the credentials are accepted: its method and target.
    pub probe: (&'static str, String),
}

/// The last pairs that the service refused, by a hash of what they are known by. One that still lies
/// in the file is not taken up in the place of its successor, should that be refused as well.
#[derive(Default)]
pub(super) struct Refused(VecDeque<u64>);

impl Refused {
    const KEPT: usize = 16;

    pub(super) fn add(&mut self, key_id: &KeyId) {
        if !self.holds(key_id) {
            self.0.push_back(Refused::hash(key_id));
            self.0.drain(..self.0.len().saturating_sub(Refused::KEPT));
        }
    }

    fn holds(&self, key_id: &KeyId) -> bool {
        self.0.contains(&Refused::hash(key_id))
    }

    fn hash(key_id: &KeyId) -> u64 {
        let mut hasher = DefaultHasher::new();
        key_id.as_str().hash(&mut hasher);
        hasher.finish()
    }
}

/// How the files looked when they were read last.
pub(super) struct Looked {
    pub stamps: Stamps,
    /// Whether they had been unchanged for so long by then that a later change shows. File systems
    /// keep times coarsely: of two changes in a moment, the second may leave no trace.
    pub settled: bool,
}

impl Core {
    pub(super) fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn now(&self) -> Now {
        now(self.began)
    }

    pub(super) fn tell_notices(&self, state: &mut State) {
        // Without a keeper there is nobody to tell yet; notices are kept until there is.
        let Some(tell) = self.tell.get() else { return };
        for mut notice in state.lifecycle.take_notices() {
            if let (
                Notice::Waiting { login, .. } | Notice::Ended { login },
                Source::SecurityToken { .. },
            ) = (&mut notice, &self.identity.credentials)
            {
                *login = self.identity.login();
            }
            tell(notice);
        }
    }

    /// An answer carried this date.
    pub(super) fn dated(&self, state: &mut State, server: SystemTime) {
        // What the files hold may have been found to be over by a wrong clock.
        if state.lifecycle.dated(self.now(), since_1970(server)) {
            self.look_at_files(state, true);
            self.changed.notify_waiters();
        }
    }

    /// Takes up what the files hold, if they changed (or must be read in any case).
    pub(super) fn look_at_files(&self, state: &mut State, in_any_case: bool) {
        let stamps = Stamps::of(&self.identity);
        let unchanged = stamps == state.looked.stamps;
        if unchanged && state.looked.settled && state.unusable.is_none() && !in_any_case {
            return;
        }
        let settled = stamps.settled(SystemTime::now());
        match files::read(&self.identity, Some(&state.pair)) {
            Ok(pair) => {
                let was_unusable = state.unusable.take().is_some();
                state.looked = Looked { stamps, settled };
                let same = pair.same(&state.pair);
                let found = match self.take_up(state, pair, Origin::Files) {
                    true => Found::Better,
                    false if same => Found::Same,
                    false => Found::Worse,
                };
                if !unchanged || was_unusable || in_any_case || found == Found::Better {
                    state.lifecycle.note(Notice::Looked { found });
                }
            }
            Err(trouble) => {
                if state.unusable.is_none() {
                    let found = Found::Unusable(trouble.error.what.clone());
                    state.lifecycle.note(Notice::Looked { found });
                }
                let (since, said) = state.unusable.get_or_insert((Instant::now(), false));
                if since.elapsed() >= PASSING && !std::mem::replace(said, true) {
                    let what = trouble.error.what;
                    state.lifecycle.note(Notice::FilesUnusable { what });
                }
            }
        }
    }

    /// Puts a pair in the place of the present one, if it is better; says whether it did.
    pub(super) fn take_up(&self, state: &mut State, pair: Pair, origin: Origin) -> bool {
        let generation = state.credentials.generation + 1;
        let facts = facts(&pair, generation);
        let same_key = pair.same_key(&state.pair);
        if pair.same(&state.pair)
            || state.refused.holds(&pair.key_id)
            || !state.lifecycle.prefers(self.now(), &facts, same_key)
        {
            return false;
        }
        state.lifecycle.adopt(self.now(), facts, origin);
        state.credentials = Arc::new(credentials(&pair, generation));
        state.pair = Arc::new(pair);
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
    pub(super) fn gave_up(&self) -> Error {
        let mut state = self.state();
        if let Err(trouble) = files::read(&self.identity, Some(&state.pair)) {
            return trouble.error;
        }
        let now = self.now();
        let facts = *state.lifecycle.facts();
        self.tell_notices(&mut state);
        if let Some(expires) = facts.expires
            && expires <= state.lifecycle.clock(now) + SECOND
        {
            return expired(&self.identity, expires.as_secs());
        }
        let what = "the service refuses the credentials (401)";
        match &self.identity.credentials {
            Source::SecurityToken { .. } => Error::credentials(what).next(self.identity.login()),
            Source::ApiKey { fingerprint, .. } => Error::credentials(what).next(format!(
                "check that the key {fingerprint} stands among the API keys of the user {}",
                self.identity.user.as_deref().unwrap_or_default()
            )),
        }
    }
}

pub(super) fn credentials(pair: &Pair, generation: u64) -> Credentials {
    Credentials {
        key_id: pair.key_id.clone(),
        key: Arc::clone(&pair.key),
        generation,
        expires: pair.token.as_ref().map(|token| token.expires),
    }
}

pub(super) fn facts(pair: &Pair, generation: u64) -> Facts {
    let token = pair.token.as_ref();
    Facts {
        generation,
        expires: token.map(|token| Duration::from_secs(token.expires)),
        issued: token.and_then(|token| token.issued).map(Duration::from_secs),
        session_end: token.and_then(|token| token.session_end).map(Duration::from_secs),
    }
}

pub(super) fn wrong_fingerprint(identity: &Identity, pair: &Pair) -> Option<String> {
    let Source::ApiKey { fingerprint, .. } = &identity.credentials else { return None };
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
        Source::SecurityToken { token_file } => token_file.display().to_string(),
        Source::ApiKey { .. } => identity.key.to_string(),
    };
    let date = Date(Duration::from_secs(expires));
    Error::credentials(format!("the session token in {file} expired at {date}"))
        .next(identity.login())
}

pub(super) fn now(began: Instant) -> Now {
    Now { wall: since_1970(SystemTime::now()), steady: began.elapsed() }
}

pub(super) fn since_1970(time: SystemTime) -> Duration {
    time.duration_since(UNIX_EPOCH).unwrap_or_default()
}
