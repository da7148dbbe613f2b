//! The session: what every request is signed with, looked at again before each attempt.
//!
//! The driver's use of it:
//!
//! ```text
//! let session = Session::open(identity)?;      // both files read and checked; exit 2 or 3
//! session.keep(Upkeep { transport, .. });      // from here on it is renewed in the background
//! let credentials = session.credentials(transfer).await?;    // immediately before each attempt
//! let date = session.signing_date();           // what the attempt is dated with
//! session.refused(&credentials, date, answer_date);          // after a 401; then ask again
//! session.accepted();                          // after a success
//! session.set_under_way();                     // once a stream is at stake: wait, do not end
//! ```
//!
//! `credentials` is cheap while nothing changes (a stat of each file), and waits where there is
//! nothing valid to sign with; its error is final. No call needs anything that an upload holds.
//!
//! Knows the clock and, through `files` and `store`, the disk; decides nothing, that is
//! `lifecycle`. Must not know what a request is for. Invariant: key and token of `Credentials`
//! belong together, and a token known to be over is never given.

mod files;
mod keeper;
mod refresh;
mod store;
pub mod transport;

use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use tokio::sync::Notify;
use tokio::task::JoinHandle;

use self::files::{Pair, Stamps};
use self::transport::Transport;
use super::key::Key;
use super::lifecycle::notice::Date;
use super::lifecycle::{Facts, Lifecycle, Notice, Now, Origin, Refusal, Rules, Verdict};
use super::profile::{Identity, Source};
use super::sign::KeyId;
use crate::error::Error;

/// How often, and how far apart, files that are being written are read again at the start.
const READINGS: u32 = 4;
const BETWEEN_READINGS: Duration = Duration::from_millis(100);
/// How long files may be unusable before it is worth a word.
const PASSING: Duration = Duration::from_secs(2);
/// How long an attempt waits for a token that outlives it, before it takes the present one.
const RENEWAL: Duration = Duration::from_secs(15);
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
pub struct Upkeep {
    pub transport: Arc<dyn Transport>,
    /// `--retry-for`.
    pub retry_for: Duration,
    /// Where notices go.
    pub tell: Box<dyn Fn(Notice) + Send + Sync>,
}

/// The key and, with a session token, the token that requests are signed with.
pub struct Session {
    core: Arc<Core>,
    keeper: OnceLock<JoinHandle<()>>,
}

impl Drop for Session {
    fn drop(&mut self) {
        if let Some(keeper) = self.keeper.get() {
            keeper.abort();
        }
    }
}

/// What the session and its keeper share.
struct Core {
    identity: Identity,
    began: Instant,
    state: Mutex<State>,
    /// Told when there is something new for those who wait.
    changed: Notify,
    /// Told when there is something to do in the background.
    wake: Notify,
    tell: OnceLock<Box<dyn Fn(Notice) + Send + Sync>>,
}

struct State {
    pair: Arc<Pair>,
    credentials: Arc<Credentials>,
    lifecycle: Lifecycle,
    stamps: Stamps,
    /// Since when the files cannot be used, and whether that has been said.
    unusable: Option<(Instant, bool)>,
    /// A small request that tells whether the credentials are accepted: its method and target.
    probe: (&'static str, String),
}

impl Session {
    /// Reads key and token, and checks that they fit together and that the token is not over.
    pub fn open(identity: Identity) -> Result<Session, Error> {
        let stamps = Stamps::of(&identity);
        let pair = read_settled(&identity)?;
        let began = Instant::now();
        let now = now(began);
        if let Some(token) = &pair.token
            && token.expires <= now.wall.as_secs()
        {
            return Err(expired(&identity, token.expires));
        }
        // Until someone keeps it, a session cannot get better by waiting.
        let rules = Rules {
            refresh_before: identity.refresh_before,
            can_refresh: false,
            retry_for: Duration::ZERO,
        };
        let mut lifecycle = Lifecycle::new(now, rules, facts(&pair, 1));
        if let Some(what) = wrong_fingerprint(&identity, &pair) {
            lifecycle.note(Notice::Fingerprint { what });
        }
        let state = State {
            credentials: Arc::new(credentials(&pair, 1)),
            pair: Arc::new(pair),
            lifecycle,
            stamps,
            unusable: None,
            probe: ("GET", "/n".to_owned()),
        };
        let core = Core {
            identity,
            began,
            state: Mutex::new(state),
            changed: Notify::new(),
            wake: Notify::new(),
            tell: OnceLock::new(),
        };
        Ok(Session { core: Arc::new(core), keeper: OnceLock::new() })
    }

    /// Begins the background work; within a runtime, and once.
    pub fn keep(&self, upkeep: Upkeep) {
        let Upkeep { transport, retry_for, tell } = upkeep;
        let identity = &self.core.identity;
        let can_refresh = !identity.no_refresh && identity.auth.is_some();
        let rules = Rules { refresh_before: identity.refresh_before, can_refresh, retry_for };
        self.core.state().lifecycle.set_rules(rules);
        if self.core.tell.set(tell).is_ok() {
            let keeper = tokio::spawn(keeper::keep(Arc::clone(&self.core), transport));
            let _ = self.keeper.set(keeper);
        }
    }

    /// What to sign the next attempt with. `transfer` is how long the attempt will take, where
    /// that can be told. Waits where there is nothing valid; the error is final.
    pub async fn credentials(
        &self,
        mut transfer: Option<Duration>,
    ) -> Result<Arc<Credentials>, Error> {
        loop {
            let changed = self.core.changed.notified();
            let (verdict, given, refreshes) = {
                let mut state = self.core.state();
                self.core.look_at_files(&mut state, false);
                let verdict = state.lifecycle.judge(self.core.now(), transfer);
                self.core.tell_notices(&mut state);
                let refreshes = state.lifecycle.refreshes_ended();
                (verdict, Arc::clone(&state.credentials), refreshes)
            };
            match verdict {
                Verdict::Use => return Ok(given),
                Verdict::GiveUp => return Err(self.core.gave_up()),
                Verdict::RenewFirst => {
                    transfer = None;
                    self.core.wake.notify_one();
                    let ended = self.core.refresh_ended(refreshes);
                    let _ = tokio::time::timeout(RENEWAL, ended).await;
                }
                Verdict::Wait => {
                    self.core.wake.notify_one();
                    let _ = tokio::time::timeout(SECOND, changed).await;
                }
            }
        }
    }

    /// The date to sign with: that of the service, as far as it is known.
    pub fn signing_date(&self) -> SystemTime {
        UNIX_EPOCH + self.core.state().lifecycle.clock(self.core.now())
    }

    /// A request signed with these credentials and this date was refused (401); `answered` is the
    /// date of the answer. What comes next is known by asking for credentials again.
    pub fn refused(
        &self,
        credentials: &Credentials,
        signed: SystemTime,
        answered: Option<SystemTime>,
    ) {
        let mut state = self.core.state();
        let refusal = state.lifecycle.refused(
            self.core.now(),
            credentials.generation,
            since_1970(signed),
            answered.map(since_1970),
        );
        if refusal == Refusal::LookAtFiles {
            self.core.look_at_files(&mut state, true);
        }
        self.core.tell_notices(&mut state);
        self.core.wake.notify_one();
    }

    /// A request did what it was to do.
    pub fn accepted(&self) {
        let mut state = self.core.state();
        state.lifecycle.accepted();
        self.core.tell_notices(&mut state);
    }

    /// A stream is at stake from now on: waiting for credentials is better than ending.
    pub fn set_under_way(&self) {
        self.core.state().lifecycle.set_under_way();
    }

    /// When the upload will likely end, or `None` where nobody can tell.
    pub fn set_likely_end(&self, likely_end: Option<SystemTime>) {
        let mut state = self.core.state();
        state.lifecycle.set_likely_end(self.core.now(), likely_end.map(since_1970));
        self.core.tell_notices(&mut state);
    }

    /// The small request that finds out whether refused credentials are accepted again. Without
    /// one, the namespace is asked for.
    pub fn set_probe(&self, method: &'static str, target: &str) {
        self.core.state().probe = (method, target.to_owned());
    }

    /// How long the token still lives; `None` for an API key.
    pub fn left(&self) -> Option<Duration> {
        let state = self.core.state();
        let clock = state.lifecycle.clock(self.core.now());
        state.lifecycle.facts().expires.map(|expires| expires.saturating_sub(clock))
    }

    /// How many refreshes by this process gave a new token.
    pub fn refreshes(&self) -> u64 {
        self.core.state().lifecycle.renewals()
    }
}

impl Core {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn now(&self) -> Now {
        now(self.began)
    }

    fn tell_notices(&self, state: &mut State) {
        // Without a keeper there is nobody to tell yet; notices are kept until there is.
        if let Some(tell) = self.tell.get() {
            state.lifecycle.take_notices().into_iter().for_each(tell);
        }
    }

    /// Takes up what the files hold, if they changed (or must be read in any case).
    fn look_at_files(&self, state: &mut State, in_any_case: bool) {
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
    fn take_up(&self, state: &mut State, pair: Pair, origin: Origin) -> bool {
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
    async fn refresh_ended(&self, before: u64) {
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
    fn gave_up(&self) -> Error {
        let mut state = self.state();
        if let Err(trouble) = files::read(&self.identity, Some(&state.pair)) {
            return trouble.error;
        }
        let now = self.now();
        let facts = *state.lifecycle.facts();
        state.lifecycle.take_notices().into_iter().for_each(|notice| {
            if let Some(tell) = self.tell.get() {
                tell(notice);
            }
        });
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

/// Reads the files; what they look like while being written is given a moment to pass.
fn read_settled(identity: &Identity) -> Result<Pair, Error> {
    let mut reading = 1;
    loop {
        match files::read(identity, None) {
            Ok(pair) => return Ok(pair),
            Err(trouble) if trouble.passing && reading < READINGS => {
                std::thread::sleep(BETWEEN_READINGS);
                reading += 1;
            }
            Err(trouble) => return Err(trouble.error),
        }
    }
}

fn credentials(pair: &Pair, generation: u64) -> Credentials {
    Credentials {
        key_id: pair.key_id.clone(),
        key: Arc::clone(&pair.key),
        generation,
        expires: pair.token.as_ref().map(|token| token.expires),
    }
}

fn facts(pair: &Pair, generation: u64) -> Facts {
    let token = pair.token.as_ref();
    Facts {
        generation,
        expires: token.map(|token| Duration::from_secs(token.expires)),
        issued: token.and_then(|token| token.issued).map(Duration::from_secs),
        session_end: token.and_then(|token| token.session_end).map(Duration::from_secs),
    }
}

fn wrong_fingerprint(identity: &Identity, pair: &Pair) -> Option<String> {
    let Source::ApiKey { fingerprint, .. } = &identity.credentials else { return None };
    (fingerprint != pair.key.fingerprint()).then(|| {
        format!(
            "the fingerprint {fingerprint} is not that of {}, which is {}",
            identity.key_file.display(),
            pair.key.fingerprint()
        )
    })
}

fn expired(identity: &Identity, expires: u64) -> Error {
    let file = match &identity.credentials {
        Source::SecurityToken { token_file } => token_file.display(),
        Source::ApiKey { .. } => identity.key_file.display(),
    };
    let date = Date(Duration::from_secs(expires));
    Error::credentials(format!("the session token in {file} expired at {date}"))
        .next(format!("begin a new session with `{}`", identity.login()))
}

fn now(began: Instant) -> Now {
    Now { wall: since_1970(SystemTime::now()), steady: began.elapsed() }
}

fn since_1970(time: SystemTime) -> Duration {
    time.duration_since(UNIX_EPOCH).unwrap_or_default()
}

#[cfg(test)]
mod tests;
