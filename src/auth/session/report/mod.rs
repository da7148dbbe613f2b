//! The report of `ocipipe session show`: what signs requests, of which identity, until when, and what
//! renews it.
//!
//! Owns its rows. Must not know where a report is printed. Invariant: a report contains no token, no key
//! and no pass phrase.

mod refresh;
mod table;

use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use self::table::Table;
use super::clock::since_1970;
use super::credential_files::{self, Inspection};
use super::hints::expired;
use super::start::renewal;
use super::state::wrong_fingerprint;
use super::transport::AuthTransport;
use super::{RefreshConfig, Session};
use crate::auth::profile::{
    CredentialSource, Identity, InstancePrincipal, KeySource, PrivateKey, ResourcePrincipal,
};
use proto::error::Error;
use proto::key::Key;
use proto::token::Token;
use proto::token_lifecycle::Renewal;

pub(crate) use self::refresh::refresh;

/// The form of a report.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum ReportFormat {
    Text,
    Json,
}

/// The result of `session show`.
pub(crate) struct SessionReport {
    /// What to print, with or without an error.
    pub text: String,
    /// Why the credentials cannot be used; `None` if they can.
    pub error: Option<Error>,
}

/// Describes the credentials: of which identity they are, whether key and token belong together, when
/// the token expires, and what renews it. A mode whose token a service issues has one issued, over
/// `transport`.
pub(crate) async fn show(
    identity: Identity,
    transport: impl FnOnce() -> Result<Arc<dyn AuthTransport>, Error>,
    clock: fn() -> SystemTime,
    format: ReportFormat,
) -> SessionReport {
    let mut table = Table::at(since_1970(clock()).as_secs());
    let error = match identity.credentials.private_key().cloned() {
        Some(key) => profile_rows(&mut table, &identity, &key),
        None => {
            let session = begin(&identity, transport).await;
            // The issue of a token takes time.
            table.now = since_1970(clock()).as_secs();
            token_rows(&mut table, &identity, session)
        }
    };
    table.yes_no("valid", Some(error.is_none()));
    let text = match format {
        ReportFormat::Text => table.lines(),
        ReportFormat::Json => table.json(),
    };
    SessionReport { text, error }
}

/// A session with the first token of the mode.
async fn begin(
    identity: &Identity,
    transport: impl FnOnce() -> Result<Arc<dyn AuthTransport>, Error>,
) -> Result<Session, Error> {
    let config = RefreshConfig {
        transport: transport()?,
        retry_for: Duration::ZERO,
        notify: Box::new(|_| {}),
    };
    Session::begin(identity.clone(), &config).await
}

/// Adds the rows of a mode whose token does not come from a profile; returns why it cannot be used.
fn token_rows(
    table: &mut Table,
    identity: &Identity,
    session: Result<Session, Error>,
) -> Option<Error> {
    table.text("authentication", Some(identity.credentials.mode().name()));
    table.text("source", Some(&source(&identity.credentials)));
    table.text("renewed-by", Some(&renewed_by(identity)));
    let region = identity.region.clone();
    let (session, error) = match session {
        Ok(session) => (Some(session), None),
        Err(error) => (None, Some(error)),
    };
    let token = session.as_ref().and_then(|session| session.shared.state().keys.token.clone());
    let token = token.as_ref();
    table.text("subject", token.and_then(|token| token.user.as_deref()));
    table.text("tenancy", token.and_then(|token| token.tenancy.as_deref()));
    table.text("region", region.as_deref());
    let storage = session.as_ref().map(|session| session.object_storage().to_string());
    table.text("endpoint", storage.as_deref());
    table.timestamp("issued", token.and_then(|token| token.issued));
    table.timestamp("expires", token.map(|token| token.expires));
    table.timestamp("session-ends", token.and_then(|token| token.session_end));
    let expires = token.map(|token| token.expires).filter(|expires| *expires <= table.now);
    error.or_else(|| expires.map(|expires| expired(identity, expires)))
}

/// Where the identity comes from.
fn source(credentials: &CredentialSource) -> String {
    match credentials {
        CredentialSource::InstancePrincipal(instance)
        | CredentialSource::InstanceOboUser { instance, .. }
        | CredentialSource::ResourcePrincipal(ResourcePrincipal::OfInstance { instance, .. }) => {
            match &instance.metadata {
                Some(metadata) => format!("the metadata service at {metadata}"),
                None => "the metadata service of the instance".to_owned(),
            }
        }
        CredentialSource::ResourcePrincipal(ResourcePrincipal::TokenAndKey { token, .. }) => {
            token.to_string()
        }
        CredentialSource::ResourcePrincipal(ResourcePrincipal::ResourceKey(key)) => {
            format!("the key of the resource {}", key.resource_id)
        }
        CredentialSource::OkeWorkloadIdentity(oke) => {
            format!("the service account in {}", oke.token)
        }
        CredentialSource::TokenExchange(exchange) => {
            format!("the JWT in {}", exchange.jwt_file.display())
        }
        CredentialSource::ApiKey { key, .. } | CredentialSource::SecurityToken { key, .. } => {
            key.source.to_string()
        }
    }
}

/// What replaces the token before it expires.
fn renewed_by(identity: &Identity) -> String {
    match (&identity.credentials, renewal(identity)) {
        (CredentialSource::ApiKey { .. }, _) => "nothing: an API key does not expire".to_owned(),
        (_, Renewal::Never) => "nothing: the environment holds its text".to_owned(),
        (CredentialSource::SecurityToken { .. }, Renewal::Refresh) => {
            let auth = identity.auth.as_ref().map(ToString::to_string).unwrap_or_default();
            format!("the auth service {auth}, until the session ends")
        }
        (CredentialSource::SecurityToken { token_file, .. }, _) => {
            format!("the process that replaces {}", token_file.display())
        }
        (CredentialSource::ResourcePrincipal(ResourcePrincipal::TokenAndKey { token, .. }), _) => {
            format!("the process that replaces {token}")
        }
        (CredentialSource::InstancePrincipal(instance), _) => federation(instance),
        (CredentialSource::InstanceOboUser { instance, delegation_token_file }, _) => format!(
            "{}; the delegation token by the process that replaces {}",
            federation(instance),
            delegation_token_file.display()
        ),
        (CredentialSource::ResourcePrincipal(ResourcePrincipal::ResourceKey(key)), _) => {
            key.service.resource_token.to_string()
        }
        (
            CredentialSource::ResourcePrincipal(ResourcePrincipal::OfInstance { resource, .. }),
            _,
        ) => resource.resource_token.to_string(),
        (CredentialSource::OkeWorkloadIdentity(oke), _) => {
            format!("the token service of the cluster, {}", oke.service)
        }
        (CredentialSource::TokenExchange(exchange), _) => {
            format!("the identity domain {}", exchange.domain)
        }
    }
}

fn federation(instance: &InstancePrincipal) -> String {
    match &instance.federation {
        Some(service) => format!("the auth service {}", service.endpoint),
        None => "the auth service of the instance's region".to_owned(),
    }
}

/// Adds the rows of a profile with an API key or a session; returns why it cannot be used.
fn profile_rows(table: &mut Table, identity: &Identity, private_key: &PrivateKey) -> Option<Error> {
    let Inspection { key, token } = credential_files::inspect(identity, private_key);
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
            check_token(table, identity, key, token.as_ref(), token_file)
        }
        _ => check_api_key(table, identity, key),
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
    table.text("renewed-by", Some(&renewed_by(identity)));
    error
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
