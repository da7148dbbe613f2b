//! Reads the files that hold credentials: keys, tokens, pass phrases and delegation tokens.
//!
//! Owns every read of these files for a run that signs requests. Must not compare an expiry with a clock, nor decide what a read error means for the session. Invariant: what a `KeyAndToken` was
//! read from was on disk at the same time, and the token is bound to the key if it names a key.

use std::fmt;
use std::io::{self, Read};
use std::path::Path;
use std::sync::Arc;

use zeroize::Zeroizing;

use super::file_snapshot::FileSnapshot;
use super::key_and_token::{DelegationToken, KeyAndToken};
use crate::auth::profile::{
    CredentialSource, Identity, KeySource, PrivateKey, ResourcePrincipal, TextOrFile,
};
use crate::platform::small_file;
use proto::error::{Error, ErrorKind};
use proto::key::{Key, KeyError, MAX_FILE};
use proto::sign::KeyId;
use proto::token::Token;

/// Bytes; a token has 2 to 4 KiB.
const MAX_TOKEN_FILE: usize = 64 * 1024;

/// Why credentials could not be read.
#[derive(Debug)]
pub(super) struct ReadError {
    /// Whether the cause may be that another process is writing the files.
    pub transient: bool,
    pub error: Error,
}

impl ReadError {
    fn transient(error: Error) -> ReadError {
        ReadError { transient: true, error }
    }

    pub(super) fn permanent(error: Error) -> ReadError {
        ReadError { transient: false, error }
    }
}

/// The key and token that the files hold now, and what else signs a request. `previous` is the value
/// in use: a key is parsed only if it differs from that one, because decrypting a key is slow, and a
/// token that a service issued is taken over from it. Fails if a file cannot be read or parsed, or if
/// the files changed meanwhile.
pub(super) fn read(
    identity: &Identity,
    previous: Option<&KeyAndToken>,
) -> Result<KeyAndToken, ReadError> {
    let snapshot = FileSnapshot::of(identity);
    let pair = match &identity.credentials {
        CredentialSource::ApiKey { key, tenancy, user, fingerprint } => {
            // The first request shows whether the key of the start can sign: nothing signs before. A key
            // that replaces it in a run must be known to sign before it is taken.
            let parse = if previous.is_none() { Key::from_pem_untried } else { Key::from_pem };
            let (key, key_text) = read_key(key, previous, parse)?;
            // The fingerprint in the profile belongs to the key that was in the file at the start
            // of the run. A key that replaces it is sent with its own fingerprint.
            let key_id = match previous {
                Some(previous) if previous.key_text == key_text => previous.key_id.clone(),
                Some(_) => KeyId::api_key(tenancy, user, key.fingerprint()),
                None => KeyId::api_key(tenancy, user, fingerprint),
            };
            KeyAndToken { key, token: None, key_id, key_text, delegation_token: None }
        }
        CredentialSource::SecurityToken { key: private_key, token_file } => {
            let (key, key_text) = read_key(private_key, previous, Key::from_pem)?;
            let token = read_token(identity, token_file)?;
            if !token.matches_key(&key.modulus()) {
                let error = mismatch(identity, &token_file.display(), &private_key.source);
                return Err(ReadError::transient(error));
            }
            KeyAndToken::issued(key, key_text, token)
        }
        CredentialSource::ResourcePrincipal(ResourcePrincipal::TokenAndKey {
            token,
            key,
            passphrase,
        }) => read_resource_principal(token, key, passphrase.as_ref(), previous)?,
        CredentialSource::InstanceOboUser { delegation_token_file, .. } => {
            let token = read_delegation_token(delegation_token_file)?;
            issued_before(previous)?.with_delegation_token(token)
        }
        _ => issued_before(previous)?.clone(),
    };
    if FileSnapshot::of(identity) != snapshot {
        return Err(ReadError::transient(Error::credentials(
            "the files of the credentials changed while they were read",
        )));
    }
    Ok(pair)
}

/// The value that a service issued before.
fn issued_before(previous: Option<&KeyAndToken>) -> Result<&KeyAndToken, ReadError> {
    previous.ok_or_else(|| {
        ReadError::permanent(Error::credentials("no token has been issued for this run yet"))
    })
}

/// The key and the token, read independently, so that the errors of both can be shown.
pub(super) struct Inspection {
    pub key: Result<Arc<Key>, Error>,
    /// An error if the profile has an API key.
    pub token: Result<Token, Error>,
}

/// Reads the key of a profile and the token of its session.
pub(super) fn inspect(identity: &Identity, key: &PrivateKey) -> Inspection {
    let token = match &identity.credentials {
        CredentialSource::SecurityToken { token_file, .. } => read_token(identity, token_file),
        _ => Err(ReadError::permanent(Error::usage("an API key goes without a token"))),
    };
    Inspection {
        key: read_key(key, None, Key::from_pem).map(|(key, _)| key).map_err(|error| error.error),
        token: token.map_err(|error| error.error),
    }
}

/// The key that a profile names, and its text.
fn read_key(
    key: &PrivateKey,
    previous: Option<&KeyAndToken>,
    parse: impl FnOnce(&[u8], Option<&str>) -> Result<Key, KeyError>,
) -> Result<(Arc<Key>, Zeroizing<Vec<u8>>), ReadError> {
    let text = read_key_text(&key.source)?;
    let passphrase = key.passphrase.as_ref().map(|passphrase| passphrase.as_str());
    let key = match previous {
        Some(previous) if previous.key_text == text => Arc::clone(&previous.key),
        _ => parse(&text, passphrase).map(Arc::new).map_err(|error| ReadError {
            transient: matches!(error, KeyError::NoPem | KeyError::Malformed),
            error: unusable_key(&key.source, &error),
        })?,
    };
    Ok((key, text))
}

/// The error of a key of a profile that cannot be parsed or cannot sign.
pub(super) fn unusable_key(source: &KeySource, error: &KeyError) -> Error {
    Error::usage(match source {
        KeySource::File(file) => format!("the key file {}: {error}", file.display()),
        KeySource::Content(_) => format!("{source}: {error}"),
    })
    .with_hint(error.hint())
}

fn parse_key(text: &[u8], passphrase: Option<&str>) -> Result<Arc<Key>, KeyError> {
    Key::from_pem(text, passphrase).map(Arc::new)
}

fn read_key_text(key: &KeySource) -> Result<Zeroizing<Vec<u8>>, ReadError> {
    let path = match key {
        KeySource::File(path) => path,
        KeySource::Content(text) => return Ok(Zeroizing::new(text.as_bytes().to_vec())),
    };
    let display = path.display();
    read_up_to(path, MAX_FILE).map_err(|error| match error.kind() {
        io::ErrorKind::NotFound => ReadError::transient(
            Error::usage(format!("there is no key file {display}"))
                .with_hint("check key_file in the profile and OCI_CLI_KEY_FILE"),
        ),
        _ => ReadError::permanent(
            Error::usage(format!("the key file {display} cannot be read: {error}"))
                .with_hint("let its permissions allow you to read it"),
        ),
    })
}

fn read_token(identity: &Identity, path: &Path) -> Result<Token, ReadError> {
    let display = path.display();
    let login = identity.login_command();
    let text = read_up_to(path, MAX_TOKEN_FILE).map_err(|error| match error.kind() {
        io::ErrorKind::NotFound => ReadError::transient(
            Error::credentials(format!("there is no token file {display}")).with_hint(&login),
        ),
        _ => ReadError::permanent(
            Error::credentials(format!("the token file {display} cannot be read: {error}"))
                .with_hint("let its permissions allow you to read it"),
        ),
    })?;
    let invalid = |reason: String| {
        let message = format!("the token file {display} holds no session token: {reason}");
        ReadError::transient(Error::credentials(message).with_hint(&login))
    };
    let text = std::str::from_utf8(&text).map_err(|_| invalid("it is no text".into()))?;
    Token::parse(text).map_err(|error| invalid(error.to_string()))
}

/// The error for a token that is bound to another key than the profile's.
pub(super) fn mismatch(
    identity: &Identity,
    token_file: &dyn fmt::Display,
    key: &dyn fmt::Display,
) -> Error {
    let message = format!("the session token in {token_file} is bound to another key than {key}");
    Error::credentials(message)
        .with_hint(format!("key and token are made together: {}", identity.login_command()))
}

/// The token and key of a resource principal of version 2.2. Another process replaces its files one
/// after the other, perhaps without a temporary file: a pair that does not match, and an empty or
/// truncated file, is a transient error.
fn read_resource_principal(
    token: &TextOrFile,
    key: &TextOrFile,
    passphrase: Option<&TextOrFile>,
    previous: Option<&KeyAndToken>,
) -> Result<KeyAndToken, ReadError> {
    const HINT: &str = "the service that runs this resource provides the values; check the \
                        variables OCI_RESOURCE_PRINCIPAL_*";
    let failed = |message: String| Error::credentials(message).with_hint(HINT);
    let key_text = read_resource_key_text(key)?;
    let key_value = match previous {
        Some(previous) if previous.key_text == key_text => Arc::clone(&previous.key),
        _ => parse_resource_key(key, &key_text, passphrase)?,
    };
    let text = read_text(token, "token")?;
    let token_value = Token::parse(&text).map_err(|error| {
        ReadError::transient(failed(format!("{token} holds no token of a resource: {error}")))
    })?;
    if !token_value.matches_key(&key_value.modulus()) {
        let message = format!("the token in {token} is bound to another key than {key}");
        return Err(ReadError::transient(failed(message)));
    }
    Ok(KeyAndToken::issued(key_value, key_text, token_value))
}

/// The key of a resource.
pub(super) fn read_resource_key(
    key: &TextOrFile,
    passphrase: Option<&TextOrFile>,
) -> Result<Arc<Key>, ReadError> {
    let text = read_resource_key_text(key)?;
    parse_resource_key(key, &text, passphrase)
}

/// A key that cannot be read is a wrong setting, as that of a profile is.
fn read_resource_key_text(key: &TextOrFile) -> Result<Zeroizing<Vec<u8>>, ReadError> {
    read_value(key, "private key").map_err(|ReadError { transient, error }| {
        let error = Error { kind: ErrorKind::Usage, ..error };
        ReadError { transient, error }
    })
}

fn parse_resource_key(
    key: &TextOrFile,
    text: &[u8],
    passphrase: Option<&TextOrFile>,
) -> Result<Arc<Key>, ReadError> {
    let passphrase = passphrase.map(|value| read_text(value, "pass phrase")).transpose()?;
    let passphrase = passphrase.as_ref().map(|text| text.trim_end_matches(['\r', '\n']));
    parse_key(text, passphrase).map_err(|error| ReadError {
        transient: matches!(error, KeyError::NoPem | KeyError::Malformed),
        error: Error::usage(format!("the private key in {key}: {error}")).with_hint(error.hint()),
    })
}

/// The value of a variable, or the contents of the file that it names.
pub(super) fn read_value(value: &TextOrFile, what: &str) -> Result<Zeroizing<Vec<u8>>, ReadError> {
    let path = match value {
        TextOrFile::Text { text, .. } => return Ok(Zeroizing::new(text.as_bytes().to_vec())),
        TextOrFile::File(path) => path,
    };
    read_up_to(path, MAX_TOKEN_FILE).map_err(|error| {
        let shown = path.display();
        let message = format!("the file with the {what}, {shown}, cannot be read: {error}");
        let error_value = Error::credentials(message)
            .with_hint("check the path, and let its permissions allow you to read it");
        ReadError { transient: error.kind() == io::ErrorKind::NotFound, error: error_value }
    })
}

/// As `read_value`, for a value that is text.
pub(super) fn read_text(value: &TextOrFile, what: &str) -> Result<Zeroizing<String>, ReadError> {
    let bytes = read_value(value, what)?;
    let text = std::str::from_utf8(&bytes).map_err(|_| {
        ReadError::transient(Error::credentials(format!("the {what} in {value} is no text")))
    })?;
    Ok(Zeroizing::new(text.to_owned()))
}

/// The delegation token in a file, without the white space around it. A token that cannot be the
/// value of a header is an error.
pub(super) fn read_delegation_token(path: &Path) -> Result<DelegationToken, ReadError> {
    let value = TextOrFile::File(path.to_owned());
    let text = read_text(&value, "delegation token")?;
    let token = text.trim_start_matches('\u{feff}').trim();
    if token.is_empty() || !token.bytes().all(|byte| byte.is_ascii_graphic()) {
        let message = format!("the file {value} holds no delegation token");
        return Err(ReadError::transient(
            Error::credentials(message).with_hint("Cloud Shell writes the file at its start"),
        ));
    }
    Ok(DelegationToken::new(token))
}

/// Reads a file of at most `limit` bytes. A longer file is an error.
fn read_up_to(path: &Path, limit: usize) -> std::io::Result<Zeroizing<Vec<u8>>> {
    let mut text = Zeroizing::new(Vec::with_capacity(16 * 1024));
    small_file::open_file(path)?.take(limit as u64 + 1).read_to_end(&mut text)?;
    if text.len() > limit {
        return Err(std::io::Error::other(format!("it is longer than {limit} bytes")));
    }
    Ok(text)
}
