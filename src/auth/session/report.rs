//! `ocipipe session show` and `ocipipe session refresh`: what a session is, and more time for it.
//!
//! Owns their words. Invariant: what is printed holds no token, no key and no pass phrase.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use serde_json::{Map, Value};

use super::Session;
use super::credential_files;
use super::refresh::RefreshError;
use super::refresher;
use super::state::{expired, since_1970};
use super::transport::AuthTransport;
use crate::auth::options::AuthMode;
use crate::auth::profile::{CredentialSource, Identity, KeySource};
use proto::error::Error;
use proto::key::Key;
use proto::token_lifecycle::events::{DisplayDuration, DisplayTime};
use proto::token_lifecycle::{RefreshReason, TokenEvent};

/// What `session show` found.
pub struct SessionReport {
    /// To be printed whatever was found.
    pub text: String,
    /// Why nothing can be done with it.
    pub error: Option<Error>,
}

/// Tells what the profile's key and token are and how long they last.
pub fn show(identity: &Identity, now: SystemTime, json: bool) -> SessionReport {
    let now = since_1970(now).as_secs();
    let (key, token) = credential_files::inspect(identity);
    let mut rows = Table::default();
    rows.text("profile", Some(&identity.profile));
    let token_file = match &identity.credentials {
        CredentialSource::ApiKey { fingerprint, .. } => {
            rows.text("authentication", Some(AuthMode::ApiKey.name()));
            rows.text("fingerprint", Some(fingerprint));
            None
        }
        CredentialSource::SecurityToken { token_file } => {
            rows.text("authentication", Some(AuthMode::SecurityToken.name()));
            Some(token_file)
        }
    };
    let of_token = token.as_ref().ok();
    let user = of_token.and_then(|token| token.user.as_ref()).or(identity.user.as_ref());
    let tenancy = of_token.and_then(|token| token.tenancy.as_ref()).or(identity.tenancy.as_ref());
    rows.text("user", user.map(String::as_str));
    rows.text("tenancy", tenancy.map(String::as_str));
    rows.text("region", identity.region.as_deref());
    let mut trouble = key.as_ref().err().cloned();
    if let CredentialSource::ApiKey { fingerprint, .. } = &identity.credentials {
        let fits = key.as_ref().ok().map(|key| key.fingerprint() == fingerprint);
        rows.yes_no("key-match", fits);
        if let (Some(false), Ok(key)) = (fits, &key) {
            trouble = Some(wrong_fingerprint(identity, fingerprint, key));
        }
    }
    if let Some(token_file) = token_file {
        match &token {
            Ok(token) => {
                rows.timestamp("issued", token.issued, now);
                rows.timestamp("expires", Some(token.expires), now);
                rows.timestamp("session-ends", token.session_end, now);
                let fits = token
                    .modulus
                    .as_ref()
                    .and(key.as_ref().ok())
                    .map(|key| token.matches_key(&key.modulus()));
                rows.yes_no("key-match", fits);
                if fits == Some(false) {
                    trouble = trouble
                        .or(Some(credential_files::mismatch(identity, &token_file.display())));
                }
                if token.expires <= now {
                    trouble = Some(expired(identity, token.expires));
                }
            }
            Err(error) => trouble = trouble.or(Some(error.clone())),
        }
    }
    rows.file("config-file", identity.config_file.as_deref());
    match &identity.key {
        KeySource::File(file) => rows.file("key-file", Some(file)),
        KeySource::Content(_) => rows.text("key-from", Some(&identity.key.to_string())),
    }
    rows.file("token-file", token_file.map(|file| file.as_path()));
    rows.yes_no("valid", Some(trouble.is_none()));
    SessionReport { text: if json { rows.json() } else { rows.lines() }, error: trouble }
}

/// The service knows a key by its fingerprint, and checks a signature by the key it finds.
fn wrong_fingerprint(identity: &Identity, fingerprint: &str, key: &Key) -> Error {
    let own = key.fingerprint();
    let what =
        format!("the fingerprint {fingerprint} is not that of {}, which is {own}", identity.key);
    Error::credentials(what)
        .with_hint("let the profile have the fingerprint and the key of one and the same API key")
}

/// Names and values, in the order they are shown.
#[derive(Default)]
struct Table {
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
        let word = match value {
            Some(true) => "yes",
            Some(false) => "no",
            None => "unknown",
        };
        self.lines.push((name, word.to_owned()));
    }

    fn timestamp(&mut self, name: &'static str, at: Option<u64>, now: u64) {
        self.json.insert(name.to_owned(), at.map(|at| date(at).to_string()).into());
        let left = at.map(|at| at.cast_signed().saturating_sub(now.cast_signed()));
        self.json.insert(format!("{name}-in-seconds"), left.into());
        if let (Some(at), Some(left)) = (at, left) {
            let span = DisplayDuration(Duration::from_secs(left.unsigned_abs()));
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

/// Asks for more time, writes the new token back, and says how much it gave.
pub async fn refresh(
    identity: Identity,
    transport: Arc<dyn AuthTransport>,
) -> Result<String, Error> {
    if let CredentialSource::ApiKey { .. } = identity.credentials {
        let what = format!("the profile {} has an API key, and no session", identity.profile);
        return Err(Error::usage(what).with_hint("name the profile of a session with --profile"));
    }
    if identity.auth.is_none() {
        return Err(Error::usage("no region says where the auth service is")
            .with_hint("give --region or --auth-endpoint"));
    }
    let session = Session::open(identity)?;
    let core = &session.shared;
    let expires = || core.state().credentials.expires.unwrap_or_default();
    let is_over = || expires() <= since_1970(session.signing_date()).as_secs();
    // By the service's clock, where it tells: the local one may be wrong.
    if is_over() {
        refresher::query_time(core, transport.as_ref()).await;
    }
    if is_over() {
        return Err(expired(&core.identity, expires()));
    }
    let (before, clock) = (expires(), session.signing_date());
    let mut outcome = refresher::refresh_once(core, transport.as_ref(), RefreshReason::Due).await;
    // A wrong local clock is corrected by the date of the refusal.
    let corrected = session
        .signing_date()
        .duration_since(clock)
        .map_or(true, |passed| passed > core.started_at.elapsed() + super::SECOND);
    if outcome == Err(RefreshError::Denied) && corrected {
        outcome = refresher::refresh_once(core, transport.as_ref(), RefreshReason::Due).await;
    }
    let after = expires();
    let login = core.identity.login_command();
    match outcome {
        Err(RefreshError::Denied) => {
            let what = format!(
                "the session cannot be prolonged (HTTP 401); its token ends at {}",
                date(after)
            );
            return Err(Error::credentials(what).with_hint(login));
        }
        Err(RefreshError::Failed(why)) => {
            let what = format!("the session token could not be refreshed: {why}");
            return Err(Error::service(what).with_hint("try again; the present token is unchanged"));
        }
        Ok(()) => {}
    }
    for notice in core.state().lifecycle.take_events() {
        if let TokenEvent::NotWritten { what } = notice {
            return Err(Error::usage(format!("the refreshed token cannot be kept: {what}"))
                .with_hint("make the folder of the token file writable"));
        }
    }
    let now = since_1970(session.signing_date()).as_secs();
    let left = DisplayDuration(Duration::from_secs(after.saturating_sub(now)));
    Ok(match after > before {
        true => format!("the session token was refreshed: valid until {} (in {left})", date(after)),
        false => format!(
            "the service gave the session no more time: its token ends at {} (in {left})\n  {login}",
            date(after)
        ),
    })
}

fn date(seconds: u64) -> DisplayTime {
    DisplayTime(Duration::from_secs(seconds))
}
