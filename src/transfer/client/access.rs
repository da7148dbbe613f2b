//! By what right the requests of a run are sent.
//!
//! Owns what the rest of a transfer asks of the session, and the answers of a run that has none. Must not
//! know requests. Invariant: a run through a pre-authenticated request never needs a session.

use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use super::{Client, ParAccess};
use crate::auth::session::Session;
use proto::api::{Request, Response};

/// The name of a pre-authenticated request among the modes, in the receipt.
const PAR: &str = "par";

/// By what right the requests of a run are sent.
#[derive(Clone)]
pub enum Access {
    /// They are signed.
    Signed(Arc<Session>),
    /// They have the secret of a pre-authenticated request in their path.
    Par(Arc<ParAccess>),
}

impl Access {
    fn session(&self) -> Option<&Session> {
        match self {
            Access::Signed(session) => Some(session),
            Access::Par(_) => None,
        }
    }

    /// The time at the service, as far as its responses have shown it; else the local clock.
    pub(crate) fn service_time(&self) -> SystemTime {
        self.session().map_or_else(SystemTime::now, Session::signing_date)
    }

    /// The time until the token expires; `None` without a token.
    pub fn token_left(&self) -> Option<Duration> {
        self.session()?.remaining()
    }

    /// When the access ends for good, since 1970: the session, or the pre-authenticated request. `None` where
    /// it is renewed without end, or the end is not known.
    pub fn ends(&self) -> Option<Duration> {
        match self {
            Access::Signed(session) => session.credentials_end(),
            Access::Par(par) => par.expires?.duration_since(UNIX_EPOCH).ok(),
        }
    }

    /// Whether a request waits for valid credentials.
    pub fn is_awaited(&self) -> bool {
        self.session().is_some_and(Session::is_awaited)
    }

    /// Records a response that accepted the request. `server_date` is the date of the response.
    pub(super) fn on_success(&self, server_date: Option<SystemTime>) {
        if let Some(session) = self.session() {
            session.on_success(server_date);
        }
    }

    /// The response without the secrets that a service or a proxy may repeat.
    pub(super) fn redacted(&self, response: Response) -> Response {
        match self {
            Access::Signed(_) => response,
            Access::Par(par) => par.redacted(response),
        }
    }
}

/// A stream that is read.
pub(crate) struct Streaming(Option<Arc<Session>>);

impl Drop for Streaming {
    fn drop(&mut self) {
        if let Some(session) = &self.0 {
            session.stream_ends();
        }
    }
}

impl Client {
    /// The pre-authenticated request that the run goes through, where there is one.
    pub fn par(&self) -> Option<&Arc<ParAccess>> {
        match &self.access {
            Access::Signed(_) => None,
            Access::Par(par) => Some(par),
        }
    }

    /// From now on a stream is read or written: the session waits for a new login instead of failing.
    pub fn set_streaming(&self) {
        if let Some(session) = self.access.session() {
            session.set_streaming();
        }
    }

    /// The same until the guard of this stream and those of all others are dropped.
    pub(crate) fn streaming(&self) -> Streaming {
        let session = match &self.access {
            Access::Signed(session) => Some(Arc::clone(session)),
            Access::Par(_) => None,
        };
        if let Some(session) = &session {
            session.stream_begins();
        }
        Streaming(session)
    }

    /// Sets the small request that shows whether rejected credentials are accepted again.
    pub fn set_probe_request(&self, request: &Request) {
        if let Some(session) = self.access.session() {
            session.set_probe_request(request.method, &request.target);
        }
    }

    /// Records when the upload will probably end; `None` if that is unknown. Returns a warning the first
    /// time that a pre-authenticated request expires before.
    pub fn set_upload_eta(&self, eta: Option<SystemTime>) -> Option<String> {
        match &self.access {
            Access::Signed(session) => {
                session.set_upload_eta(eta);
                None
            }
            Access::Par(par) => par.warn_of_eta(eta),
        }
    }

    /// The name of the mode in the receipt.
    pub fn auth_name(&self) -> &'static str {
        self.access.session().map_or(PAR, |session| session.auth_mode().name())
    }

    /// How many refreshes of this run returned a new token.
    pub fn token_refreshes(&self) -> u64 {
        self.access.session().map_or(0, Session::refreshes)
    }
}
