//! What a session and its keeper share: the present pair, the lifecycle, and the look at the files.
//!
//! Owns the one lock over them. Must not wait for anything but the disk. Invariant: pair,
//! credentials and the facts in the lifecycle are of one generation.

use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use tokio::sync::Notify;

use super::files::{self, Pair, Stamps};
use super::{Credentials, SECOND};
use crate::error::Error;
use crate::oci::lifecycle::notice::Date;
use crate::oci::lifecycle::{Facts, Lifecycle, Notice, Now, Origin};
use crate::oci::profile::{Identity, Source};

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
    pub stamps: Stamps,
    /// Since when the files cannot be used, and whether that has been said.
    pub unusable: Option<(Instant, bool)>,
    /// A small request that tells whether the credentials are accepted: its method and target.
    pub probe: (&'static str, String),
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
            if let (Notice::Waiting { login, .. }, Source::SecurityToken { .. }) =
                (&mut notice, &self.identity.credentials)
            {
                *login = self.identity.login();
            }
            tell(notice);
        }
    }

    /// Takes up what the files hold, if they changed (or must be read in any case).
    pub(super) fn look_at_files(&self, state: &mut State, in_any_case: bool) {
        let stamps = Stamps::of(&self.identity);
        if stamps == state.stamps && state.unusable.is_none() && !in_any_case {
            return;
        }
        match files::read(&self.identity, Some(&state.pair)) {
            Ok(pair) => {
                state.unusable = None;
                state.stamps = stamps;
                self.take_up(state, pair, Origin::Files);
            }
            Err(trouble) => {
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
        let expires = pair.token.as_ref().map(|token| Duration::from_secs(token.expires));
        let same_key = pair.same_key(&state.pair);
        if pair.same(&state.pair) || !state.lifecycle.prefers(self.now(), expires, same_key) {
            return false;
        }
        let generation = state.credentials.generation + 1;
        state.lifecycle.adopt(self.now(), facts(&pair, generation), origin);
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
            Source::SecurityToken { .. } => Error::credentials(what)
                .next(format!("begin a new session with `{}`", self.identity.login())),
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
            identity.key_file.display(),
            pair.key.fingerprint()
        )
    })
}

pub(super) fn expired(identity: &Identity, expires: u64) -> Error {
    let file = match &identity.credentials {
        Source::SecurityToken { token_file } => token_file.display(),
        Source::ApiKey { .. } => identity.key_file.display(),
    };
    let date = Date(Duration::from_secs(expires));
    Error::credentials(format!("the session token in {file} expired at {date}"))
        .next(format!("begin a new session with `{}`", identity.login()))
}

pub(super) fn now(began: Instant) -> Now {
    Now { wall: since_1970(SystemTime::now()), steady: began.elapsed() }
}

pub(super) fn since_1970(time: SystemTime) -> Duration {
    time.duration_since(UNIX_EPOCH).unwrap_or_default()
}
