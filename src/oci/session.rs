//! The session: what every request is signed with, looked at again before each attempt.
//!
//! The driver's use of it:
//!
//! ```text
//! let session = Session::open(identity)?;             // both files read and checked; exit 2 or 3
//! let credentials = session.credentials(None).await?; // immediately before each attempt
//! let date = session.signing_date();                  // what the attempt is dated with
//! ```
//!
//! Knows the clock and, through `files`, the disk. Must not know what a request is for. Invariant:
//! key and token of `Credentials` belong together, and a token known to be expired is never given.

mod files;

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use self::files::{Pair, Stamps};
use super::key::Key;
use super::profile::{Identity, Source};
use super::sign::KeyId;
use crate::error::Error;

/// How often, and how far apart, files that are being written are read again at the start.
const READINGS: u32 = 4;
const BETWEEN_READINGS: Duration = Duration::from_millis(100);

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

/// The key and, with a session token, the token that requests are signed with.
pub struct Session {
    identity: Identity,
    state: Mutex<State>,
}

struct State {
    pair: Pair,
    stamps: Stamps,
    credentials: Arc<Credentials>,
}

impl Session {
    /// Reads key and token, and checks that they fit together and that the token is not over.
    pub fn open(identity: Identity) -> Result<Session, Error> {
        let stamps = Stamps::of(&identity);
        let pair = read_settled(&identity)?;
        if let Some(token) = &pair.token
            && token.expires <= seconds(SystemTime::now())
        {
            return Err(expired(&identity, token.expires));
        }
        let credentials = Arc::new(credentials(&pair, 1));
        Ok(Session { identity, state: Mutex::new(State { pair, stamps, credentials }) })
    }

    /// What to sign the next attempt with. `transfer` is how long the attempt will take, where
    /// that can be told.
    pub async fn credentials(
        &self,
        _transfer: Option<Duration>,
    ) -> Result<Arc<Credentials>, Error> {
        let mut state = self.state();
        let stamps = Stamps::of(&self.identity);
        if stamps != state.stamps
            && let Ok(pair) = files::read(&self.identity, Some(&state.pair))
        {
            let generation = state.credentials.generation + 1;
            state.credentials = Arc::new(credentials(&pair, generation));
            (state.pair, state.stamps) = (pair, stamps);
        }
        match state.credentials.expires {
            Some(expires) if expires <= seconds(SystemTime::now()) => {
                Err(expired(&self.identity, expires))
            }
            _ => Ok(Arc::clone(&state.credentials)),
        }
    }

    /// The date to sign with.
    pub fn signing_date(&self) -> SystemTime {
        SystemTime::now()
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
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

fn expired(identity: &Identity, expires: u64) -> Error {
    let file = match &identity.credentials {
        Source::SecurityToken { token_file } => token_file.display(),
        Source::ApiKey { .. } => identity.key_file.display(),
    };
    Error::credentials(format!("the session token in {file} expired at {}", date(expires)))
        .next(format!("begin a new session with `{}`", identity.login()))
}

/// A moment as people read it.
fn date(seconds: u64) -> String {
    httpdate::fmt_http_date(UNIX_EPOCH + Duration::from_secs(seconds))
}

fn seconds(time: SystemTime) -> u64 {
    time.duration_since(UNIX_EPOCH).unwrap_or_default().as_secs()
}

#[cfg(test)]
mod tests;
