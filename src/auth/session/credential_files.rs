//! The key file and the token file, read together.
//!
//! The only place that reads them. Must not judge time, nor decide what to do about trouble.
//! Invariant: a `Pair` was on disk at one moment, and its token is bound to its key wherever the
//! token says to which.

use std::fmt;
use std::fs::{self, File};
use std::io::{ErrorKind, Read};
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use zeroize::Zeroizing;

use crate::auth::profile::{CredentialSource, Identity, KeySource};
use proto::error::Error;
use proto::key::{Key, KeyError, MAX_FILE};
use proto::sign::KeyId;
use proto::token::Token;

/// How a file looked: by these a change is noticed without reading it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct FileStamp {
    device: u64,
    inode: u64,
    size: u64,
    modified: (i64, i64),
}

/// How both files looked; `None` for one that is not there, or is no file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct FileSnapshot {
    key: Option<FileStamp>,
    token: Option<FileStamp>,
}

impl FileSnapshot {
    pub(super) fn of(identity: &Identity) -> FileSnapshot {
        let token = match &identity.credentials {
            CredentialSource::SecurityToken { token_file } => stamp(token_file),
            CredentialSource::ApiKey { .. } => None,
        };
        let key = match &identity.key {
            KeySource::File(file) => stamp(file),
            KeySource::Content(_) => None,
        };
        FileSnapshot { key, token }
    }

    /// Whether the last change is so long ago that the next one cannot bear the same time.
    pub(super) fn is_stable(&self, now: SystemTime) -> bool {
        /// The coarsest that file systems keep times.
        const MTIME_GRANULARITY: Duration = Duration::from_secs(2);
        let now = now.duration_since(UNIX_EPOCH).unwrap_or_default();
        [self.key, self.token].into_iter().flatten().all(|stamp| {
            let seconds = u64::try_from(stamp.modified.0).unwrap_or(0);
            Duration::from_secs(seconds) + MTIME_GRANULARITY < now
        })
    }
}

fn stamp(path: &Path) -> Option<FileStamp> {
    let metadata = fs::metadata(path).ok()?;
    Some(FileStamp {
        device: metadata.dev(),
        inode: metadata.ino(),
        size: metadata.size(),
        modified: (metadata.mtime(), metadata.mtime_nsec()),
    })
}

/// A key and, in a session, the token that is bound to it.
pub(super) struct KeyAndToken {
    pub key: Arc<Key>,
    pub token: Option<Token>,
    pub key_id: KeyId,
    /// The file of the key, by which a change of it is told.
    key_text: Zeroizing<Vec<u8>>,
}

impl KeyAndToken {
    /// The same key with another token of its session.
    pub(super) fn with_token(&self, token: Token) -> KeyAndToken {
        KeyAndToken {
            key: Arc::clone(&self.key),
            key_id: KeyId::security_token(token.secret()),
            token: Some(token),
            key_text: self.key_text.clone(),
        }
    }

    /// Whether this is the other pair read again.
    pub(super) fn same(&self, other: &KeyAndToken) -> bool {
        self.key_id == other.key_id && self.key_text == other.key_text
    }

    pub(super) fn same_key(&self, other: &KeyAndToken) -> bool {
        self.key_text == other.key_text
    }
}

/// Why no pair could be read.
#[derive(Debug)]
pub(super) struct ReadError {
    /// Whether it is what a file looks like while another process writes it.
    pub transient: bool,
    pub error: Error,
}

impl ReadError {
    fn transient(error: Error) -> ReadError {
        ReadError { transient: true, error }
    }

    fn permanent(error: Error) -> ReadError {
        ReadError { transient: false, error }
    }
}

/// Reads the files of an identity. The key is parsed only where it differs from that of `before`,
/// for an encrypted one takes long.
pub(super) fn read(
    identity: &Identity,
    before: Option<&KeyAndToken>,
) -> Result<KeyAndToken, ReadError> {
    let stamps = FileSnapshot::of(identity);
    let key_text = read_key(&identity.key)?;
    let key = match before {
        Some(before) if before.key_text == key_text => Arc::clone(&before.key),
        _ => parse_key(identity, &key_text)?,
    };
    let (token, key_id) = match &identity.credentials {
        CredentialSource::SecurityToken { token_file } => {
            let token = read_token(identity, token_file)?;
            if !token.matches_key(&key.modulus()) {
                return Err(ReadError::transient(mismatch(identity, &token_file.display())));
            }
            let key_id = KeyId::security_token(token.secret());
            (Some(token), key_id)
        }
        CredentialSource::ApiKey { tenancy, user, fingerprint } => {
            // The fingerprint in the profile is that of the key it was written for. A key that
            // took its place is known to the service by its own, now and when it is read again.
            let key_id = match before {
                Some(before) if before.key_text == key_text => before.key_id.clone(),
                Some(_) => KeyId::api_key(tenancy, user, key.fingerprint()),
                None => KeyId::api_key(tenancy, user, fingerprint),
            };
            (None, key_id)
        }
    };
    if FileSnapshot::of(identity) != stamps {
        return Err(ReadError::transient(mismatch(identity, &identity.key)));
    }
    Ok(KeyAndToken { key, token, key_id, key_text })
}

/// The key and the token, each for itself: for telling what is wrong with which.
pub(super) fn inspect(identity: &Identity) -> (Result<Arc<Key>, Error>, Result<Token, Error>) {
    let key = read_key(&identity.key).and_then(|text| parse_key(identity, &text));
    let token = match &identity.credentials {
        CredentialSource::SecurityToken { token_file } => read_token(identity, token_file),
        CredentialSource::ApiKey { .. } => {
            Err(ReadError::permanent(Error::usage("an API key goes without a token")))
        }
    };
    (key.map_err(|trouble| trouble.error), token.map_err(|trouble| trouble.error))
}

fn read_key(key: &KeySource) -> Result<Zeroizing<Vec<u8>>, ReadError> {
    let path = match key {
        KeySource::File(path) => path,
        KeySource::Content(text) => return Ok(Zeroizing::new(text.as_bytes().to_vec())),
    };
    let shown = path.display();
    read_up_to(path, MAX_FILE).map_err(|error| match error.kind() {
        ErrorKind::NotFound => ReadError::transient(
            Error::usage(format!("there is no key file {shown}"))
                .with_hint("check key_file in the profile and OCI_CLI_KEY_FILE"),
        ),
        _ => ReadError::permanent(
            Error::usage(format!("the key file {shown} cannot be read: {error}"))
                .with_hint("let its permissions allow you to read it"),
        ),
    })
}

fn parse_key(identity: &Identity, text: &[u8]) -> Result<Arc<Key>, ReadError> {
    let passphrase = identity.passphrase.as_ref().map(|passphrase| passphrase.as_str());
    Key::from_pem(text, passphrase).map(Arc::new).map_err(|error| ReadError {
        transient: matches!(error, KeyError::NoPem | KeyError::Malformed),
        error: Error::usage(match &identity.key {
            KeySource::File(file) => format!("the key file {}: {error}", file.display()),
            KeySource::Content(_) => format!("{}: {error}", identity.key),
        })
        .with_hint(error.next()),
    })
}

fn read_token(identity: &Identity, path: &Path) -> Result<Token, ReadError> {
    /// A token is 2 to 4 KiB.
    const MAX_TOKEN_FILE: usize = 64 * 1024;
    let shown = path.display();
    let login = identity.login_command();
    let text = read_up_to(path, MAX_TOKEN_FILE).map_err(|error| match error.kind() {
        ErrorKind::NotFound => ReadError::transient(
            Error::credentials(format!("there is no token file {shown}")).with_hint(&login),
        ),
        _ => ReadError::permanent(
            Error::credentials(format!("the token file {shown} cannot be read: {error}"))
                .with_hint("let its permissions allow you to read it"),
        ),
    })?;
    let refuse = |why: String| {
        let what = format!("the token file {shown} holds no session token: {why}");
        ReadError::transient(Error::credentials(what).with_hint(&login))
    };
    let text = std::str::from_utf8(&text).map_err(|_| refuse("it is no text".into()))?;
    Token::parse(text).map_err(|error| refuse(error.to_string()))
}

pub(super) fn mismatch(identity: &Identity, token_file: &dyn fmt::Display) -> Error {
    let what =
        format!("the session token in {token_file} is bound to another key than {}", identity.key);
    Error::credentials(what)
        .with_hint(format!("key and token are made together: {}", identity.login_command()))
}

/// A file whole, or an error where it is longer than it could be.
fn read_up_to(path: &Path, limit: usize) -> std::io::Result<Zeroizing<Vec<u8>>> {
    let mut text = Zeroizing::new(Vec::with_capacity(16 * 1024));
    File::open(path)?.take(limit as u64 + 1).read_to_end(&mut text)?;
    if text.len() > limit {
        return Err(std::io::Error::other(format!("it is longer than {limit} bytes")));
    }
    Ok(text)
}
