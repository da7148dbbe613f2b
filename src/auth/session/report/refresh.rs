//! The report of `ocipipe session refresh`.
//!
//! Owns the order of the steps of a refresh on demand, and its texts. Must not know where a report is
//! printed. Invariant: a report contains no token.

use std::sync::Arc;
use std::time::Duration;

use super::super::clock::since_1970;
use super::super::hints::{expired, other_auth_service};
use super::super::probe;
use super::super::refresh::RefreshError;
use super::super::refresher;
use super::super::transport::AuthTransport;
use super::super::{SECOND, Session};
use super::table::date;
use crate::auth::options::AuthMode;
use crate::auth::profile::{CredentialSource, Identity};
use proto::error::Error;
use proto::token_lifecycle::{RefreshReason, TokenEvent};
use proto::units::DisplayDuration;

/// Refreshes the session's token now, writes it to its file and describes the result. Fails if the
/// profile has no session, the session has ended, the auth service returns no token, or the token
/// cannot be written.
pub(crate) async fn refresh(
    identity: Identity,
    transport: Arc<dyn AuthTransport>,
) -> Result<String, Error> {
    let CredentialSource::SecurityToken { .. } = identity.credentials else {
        let message = match identity.credentials.mode() {
            AuthMode::ApiKey => {
                format!("the profile {} has an API key, and no session", identity.profile)
            }
            mode => format!("the mode {} has no session: each run gets its token", mode.name()),
        };
        return Err(Error::usage(message).with_hint("name the profile of a session with --profile"));
    };
    if identity.auth.is_none() {
        return Err(Error::usage("no region says where the auth service is")
            .with_hint("give --region or --auth-endpoint"));
    }
    let session = Session::open(identity)?;
    let shared = &session.shared;
    let expires = || shared.state().credentials.expires.unwrap_or_default();
    let is_expired = || expires() <= since_1970(session.signing_date()).as_secs();
    // The local clock may be wrong: only the service's clock decides.
    if is_expired() {
        probe::query_time(shared, transport.as_ref()).await;
    }
    if is_expired() {
        return Err(expired(&shared.identity(), expires()));
    }
    let before = expires();
    let result = refresh_with_corrected_clock(&session, transport.as_ref()).await;
    let after = expires();
    result.map_err(|error| refresh_failed(&shared.identity(), error, after))?;
    for event in shared.state().lifecycle.take_events() {
        if let TokenEvent::NotWritten { what } = event {
            return Err(Error::usage(format!("the refreshed token cannot be kept: {what}"))
                .with_hint("make the folder of the token file writable"));
        }
    }
    let now = since_1970(session.signing_date()).as_secs();
    let left = DisplayDuration::prose(Duration::from_secs(after.saturating_sub(now)));
    Ok(if after > before {
        format!("the session token was refreshed: valid until {} (in {left})", date(after))
    } else {
        let login = shared.identity().login_command();
        format!(
            "the service gave the session no more time: its token ends at {} (in {left})\n  {login}",
            date(after)
        )
    })
}

/// Refreshes, and repeats a refresh that was denied if the response corrected a wrong local clock.
async fn refresh_with_corrected_clock(
    session: &Session,
    transport: &dyn AuthTransport,
) -> Result<(), RefreshError> {
    let shared = &session.shared;
    let clock = session.signing_date();
    let result = refresher::refresh_once(shared, transport, RefreshReason::Due).await;
    let corrected = session
        .signing_date()
        .duration_since(clock)
        .map_or(true, |passed| passed > shared.started_at.elapsed() + SECOND);
    if result == Err(RefreshError::Denied) && corrected {
        return refresher::refresh_once(shared, transport, RefreshReason::Due).await;
    }
    result
}

fn refresh_failed(identity: &Identity, error: RefreshError, expires: u64) -> Error {
    match error {
        RefreshError::Denied => {
            let message = format!(
                "the session cannot be prolonged (HTTP 401); its token ends at {}",
                date(expires)
            );
            Error::credentials(message).with_hint(identity.login_command())
        }
        RefreshError::Failed { message, .. } => {
            let message = format!("the session token could not be refreshed: {message}");
            let again = "try again; the present token is unchanged";
            Error::service(message).with_hint(match other_auth_service(identity) {
                Some(hint) => format!("{hint}\n  {again}"),
                None => again.to_owned(),
            })
        }
    }
}
