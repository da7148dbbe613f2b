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

mod core;
mod files;
mod keeper;
mod refresh;
pub mod report;
mod store;
pub mod transport;

use std::sync::{Arc, Mutex, OnceLock};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use tokio::sync::Notify;
use tokio::task::JoinHandle;

use self::core::{
    Core, Looked, Refused, State, credentials, facts, now, since_1970, wrong_fingerprint,
};
use self::files::{Pair, Stamps};
use self::transport::Transport;
use super::key::Key;
use super::lifecycle::{Attempt, Lifecycle, Notice, Refusal, Rules, Stale, Verdict};
use super::profile::Identity;
use super::sign::KeyId;
use crate::error::Error;

/// How often, and how far apart, files that are being written are read again at the start.
const READINGS: u32 = 4;
const BETWEEN_READINGS: Duration = Duration::from_millis(100);
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

impl Session {
    /// Reads key and token, and checks that they fit together. Whether the token is over is judged
    /// when it is to be used: the local clock may be wrong.
    pub fn open(identity: Identity) -> Result<Session, Error> {
        let stamps = Stamps::of(&identity);
        let pair = read_settled(&identity)?;
        let began = Instant::now();
        let now = now(began);
        // Until someone keeps it, a session cannot get better by waiting.
        let rules = Rules {
            refresh_before: identity.refresh_before,
            can_refresh: false,
            can_ask: false,
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
            looked: Looked { stamps, settled: false },
            refused: Refused::default(),
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
        let refresh_before = identity.refresh_before;
        let rules = Rules { refresh_before, can_refresh, can_ask: true, retry_for };
        self.core.state().lifecycle.set_rules(rules);
        if self.core.tell.set(tell).is_ok() {
            let keeper = tokio::spawn(keeper::keep(Arc::clone(&self.core), transport));
            let _ = self.keeper.set(keeper);
        }
    }

    /// Waits until there is something to sign an attempt with; the error is final.
    pub async fn ready(&self, attempt: Attempt) -> Result<(), Error> {
        self.decide(attempt).await.map(drop)
    }

    /// What to sign the next attempt with. Waits where there is nothing valid; the error is final.
    pub async fn credentials(&self, attempt: Attempt) -> Result<Arc<Credentials>, Error> {
        let given = self.decide(attempt).await?;
        let mut state = self.core.state();
        state.lifecycle.signed(self.core.now(), attempt);
        self.core.tell_notices(&mut state);
        Ok(given)
    }

    async fn decide(&self, attempt: Attempt) -> Result<Arc<Credentials>, Error> {
        loop {
            let changed = self.core.changed.notified();
            let (verdict, given, refreshes) = {
                let mut state = self.core.state();
                self.core.look_at_files(&mut state, false);
                let verdict = state.lifecycle.judge(self.core.now(), attempt);
                self.core.tell_notices(&mut state);
                let refreshes = state.lifecycle.refreshes_ended();
                (verdict, Arc::clone(&state.credentials), refreshes)
            };
            match verdict {
                Verdict::Use => return Ok(given),
                Verdict::GiveUp => return Err(self.core.gave_up()),
                Verdict::RenewFirst => {
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

    /// A request signed with these credentials and this date, at this moment, is refused (401) now;
    /// `answered` is the date of the answer. What comes next is known by asking for credentials again.
    pub fn refused(
        &self,
        credentials: &Credentials,
        (signed, at): (SystemTime, Instant),
        answered: Option<SystemTime>,
    ) {
        let mut state = self.core.state();
        let refusal = state.lifecycle.refused(
            self.core.now(),
            credentials.generation,
            (since_1970(signed), at.elapsed()),
            answered.map(since_1970),
        );
        if matches!(refusal, Refusal::LookAtFiles | Refusal::Again(Stale::Replaced)) {
            state.refused.add(&credentials.key_id);
        }
        if refusal == Refusal::LookAtFiles {
            self.core.look_at_files(&mut state, true);
        }
        self.core.tell_notices(&mut state);
        self.core.wake.notify_one();
    }

    /// A request did what it was to do, or was refused for another reason than its credentials;
    /// `answered` is the date of the answer.
    pub fn accepted(&self, answered: Option<SystemTime>) {
        let mut state = self.core.state();
        if let Some(server) = answered {
            state.lifecycle.agreed(self.core.now(), since_1970(server));
        }
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
        self.core.state().lifecycle.left(self.core.now())
    }

    /// How many refreshes by this process gave a new token.
    pub fn refreshes(&self) -> u64 {
        self.core.state().lifecycle.renewals()
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

#[cfg(test)]
mod tests;
