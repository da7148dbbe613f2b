//! The reports of `ocipipe session show` and `ocipipe session refresh`.
//!
//! Owns the texts of both and the order of the steps of a refresh on demand. Must not know where a
//! report is printed. Invariant: a report contains no token, no key and no pass phrase.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use serde_json::{Map, Value};

use super::Session;
use super::credential_files::{self, Inspection};
use super::refresh::RefreshError;
use super::refresher;
use super::state::{expired, since_1970, wrong_fingerprint};
use super::transport::AuthTransport;
use crate::auth::profile::{CredentialSource, Identity, KeySource};
use proto::error::Error;
use proto::key::Key;
use proto::token::Token;
use proto::token_lifecycle::{RefreshReason, TokenEvent};
use proto::units::{DisplayDuration, DisplayTime};

/// The form of a report.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ReportFormat {
    Text,
    Json,
}

/// The result of `session show`.
pub struct SessionReport {
    /// What to print, with or without an error.
    pub text: String,
    /// Why the credentials cannot be used; `None` if they can.
    pub error: Option<Error>,
}

/// Describes the profile's key and token: their files, whether they belong together, and when the
/// token expires.
pub fn show(identity: &Identity, now: SystemTime, format: ReportFormat) -> SessionReport {
    let Some(private_key) = identity.credentials.private_key() else {
        let error = Error::usage("this mode has no profile");
        return SessionReport { text: String::new(), error: Some(error) };
    };
    let Inspection { key, token } = credential_files::inspect(identity, private_key);
    let mut table = Table { now: since_1970(now).as_secs(), ..Table::default() };
    table.text("profile", Some(&identity.profile));
    table.text("authentication", Some(identity.credentials.mode().name()));
    if let CredentialSource::ApiKey { fingerprint, .. } = &identity.credentials {
        table.text("fingerprint", Some(fingerprint));
    }
    let parsed = token.as_ref().ok();
    let user = parsed.and_then(|token| token.user.as_ref()).or(identity.user.as_ref());
    let tenancy = parsed.and_then(|token| token.tenancy.as_ref()).or(identity.tenancy.as_ref());
    table.text("user", user.map(String::as_str));
    table.text("tenancy", tenancy.map(String::as_str));
    table.text("region", identity.region.as_deref());
    let key = key.as_deref();
    let error = match &identity.credentials {
        CredentialSource::SecurityToken { token_file, .. } => {
            check_token(&mut table, identity, key, token.as_ref(), token_file)
        }
        _ => check_api_key(&mut table, identity, key),
    };
    table.file("config-file", identity.config_file.as_deref());
    match &private_key.source {
        KeySource::File(file) => table.file("key-file", Some(file)),
        source => table.text("key-from", Some(&source.to_string())),
    }
    let token_file = match &identity.credentials {
        CredentialSource::SecurityToken { token_file, .. } => Some(token_file.as_path()),
        _ => None,
    };
    table.file("token-file", token_file);
    table.yes_no("valid", Some(error.is_none()));
    let text = match format {
        ReportFormat::Text => table.lines(),
        ReportFormat::Json => table.json(),
    };
    SessionReport { text, error }
}

/// Adds whether the key has the profile's fingerprint; returns why it cannot be used.
fn check_api_key(
    table: &mut Table,
    identity: &Identity,
    key: Result<&Key, &Error>,
) -> Option<Error> {
    let mismatch = key.ok().map(|key| wrong_fingerprint(identity, key));
    table.yes_no("key-match", mismatch.as_ref().map(Option::is_none));
    let error = |message: String| {
        Error::credentials(message).with_hint(
            "let the profile have the fingerprint and the key of one and the same API key",
        )
    };
    key.err().cloned().or_else(|| mismatch.flatten().map(error))
}

/// Adds the times of the token and whether it is bound to the key; returns why it cannot be used.
/// An expired token comes before an error of the key, since a new login replaces both.
fn check_token(
    table: &mut Table,
    identity: &Identity,
    key: Result<&Key, &Error>,
    token: Result<&Token, &Error>,
    token_file: &Path,
) -> Option<Error> {
    let key_error = key.err().cloned();
    let token = match token {
        Ok(token) => token,
        Err(error) => return key_error.or(Some(error.clone())),
    };
    table.timestamp("issued", token.issued);
    table.timestamp("expires", Some(token.expires));
    table.timestamp("session-ends", token.session_end);
    let modulus = token.modulus.as_ref();
    let matches = modulus.and(key.ok()).map(|key| token.matches_key(&key.modulus()));
    table.yes_no("key-match", matches);
    if token.expires <= table.now {
        return Some(expired(identity, token.expires));
    }
    let key_source = identity.credentials.private_key().map(|key| &key.source);
    let mismatch = || {
        let key = key_source.map(ToString::to_string).unwrap_or_default();
        credential_files::mismatch(identity, &token_file.display(), &key)
    };
    key_error.or_else(|| (matches == Some(false)).then(mismatch))
}

/// Names and values in the order in which they are shown, in both forms.
#[derive(Default)]
struct Table {
    /// The current time in seconds since 1970.
    now: u64,
    lines: Vec<(&'static str, String)>,
    json: Map<String, Value>,
}

impl Table {
    fn text(&mut self, name: &'static str, value: Option<&str>) {
        self.json.insert(name.to_owned(), value.into());
        if let Some(value) = value {
            self.lines.push((name, value.to_owned()));
        }
    }

    fn yes_no(&mut self, name: &'static str, value: Option<bool>) {
        self.json.insert(name.to_owned(), value.into());
        let text = match value {
            Some(true) => "yes",
            Some(false) => "no",
            None => "unknown",
        };
        self.lines.push((name, text.to_owned()));
    }

    /// `at` is in seconds since 1970.
    fn timestamp(&mut self, name: &'static str, at: Option<u64>) {
        self.json.insert(name.to_owned(), at.map(|at| date(at).to_string()).into());
        let left = at.map(|at| at.cast_signed().saturating_sub(self.now.cast_signed()));
        self.json.insert(format!("{name}-in-seconds"), left.into());
        if let (Some(at), Some(left)) = (at, left) {
            let span = DisplayDuration::prose(Duration::from_secs(left.unsigned_abs()));
            let relative = if left < 0 { format!("{span} ago") } else { format!("in {span}") };
            self.lines.push((name, format!("{} ({relative})", date(at))));
        }
    }

    fn file(&mut self, name: &'static str, path: Option<&Path>) {
        let mode = path.and_then(|path| fs::metadata(path).ok());
        let mode = mode.map(|metadata| format!("{:03o}", metadata.permissions().mode() & 0o777));
        self.json.insert(name.to_owned(), path.map(|path| path.display().to_string()).into());
        self.json.insert(format!("{name}-mode"), mode.clone().into());
        if let Some(path) = path {
            let mode = mode.map_or("missing".to_owned(), |mode| format!("mode {mode}"));
            self.lines.push((name, format!("{} ({mode})", path.display())));
        }
    }

    fn lines(&self) -> String {
        let line =
            |(name, value): &(&str, String)| format!("{:<15} {value}", name.replace('-', " "));
        self.lines.iter().map(line).collect::<Vec<_>>().join("\n")
    }

    fn json(self) -> String {
        format!("{:#}", Value::Object(self.json))
    }
}

/// Refreshes the session's token now, writes it to its file and describes the result. Fails if the
/// profile has no session, the session has ended, the auth service returns no token, or the token
/// cannot be written.
pub async fn refresh(
    identity: Identity,
    transport: Arc<dyn AuthTransport>,
) -> Result<String, Error> {
    if let CredentialSource::ApiKey { .. } = identity.credentials {
        let message = format!("the profile {} has an API key, and no session", identity.profile);
        return Err(Error::usage(message).with_hint("name the profile of a session with --profile"));
    }
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
        refresher::query_time(shared, transport.as_ref()).await;
    }
    if is_expired() {
        return Err(expired(&shared.identity, expires()));
    }
    let before = expires();
    let result = refresh_with_corrected_clock(&session, transport.as_ref()).await;
    let after = expires();
    result.map_err(|error| refresh_failed(&shared.identity, error, after))?;
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
        let login = shared.identity.login_command();
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
        .map_or(true, |passed| passed > shared.started_at.elapsed() + super::SECOND);
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
        RefreshError::Failed(reason) => {
            let message = format!("the session token could not be refreshed: {reason}");
            Error::service(message).with_hint("try again; the present token is unchanged")
        }
    }
}

/// `seconds` since 1970.
fn date(seconds: u64) -> DisplayTime {
    DisplayTime(Duration::from_secs(seconds))
}
