//! Reads the key file and the token file together.
//!
//! Owns every read of the two files. Must not compare an expiry with a clock, nor decide what a
//! read error means for the session. Invariant: the key and the token of a `KeyAndToken` were on
//! disk at the same time, and the token is bound to the key if the token names a key.

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

/// What `stat` reports of a file. A change of it shows that the file changed, without a read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct FileStamp {
    device: u64,
    inode: u64,
    size: u64,
    modified: (i64, i64),
}

/// The stamps of both files; `None` for a file that does not exist or is not used.
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

    /// Whether both files were last changed more than 2 s before `now`, so that the next change
    /// gets another modification time.
    pub(super) fn is_stable(&self, now: SystemTime) -> bool {
        /// The coarsest resolution of modification times among file systems (FAT).
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

/// A key and, with a session token, the token that is bound to it.
pub(super) struct KeyAndToken {
    pub key: Arc<Key>,
    pub token: Option<Token>,
    pub key_id: KeyId,
    /// The contents of the key file; two keys are the same if their files are.
    key_text: Zeroizing<Vec<u8>>,
}

impl KeyAndToken {
    /// The same key with another token of the same session.
    pub(super) fn with_token(&self, token: Token) -> KeyAndToken {
        KeyAndToken {
            key: Arc::clone(&self.key),
            key_id: KeyId::security_token(token.secret()),
            token: Some(token),
            key_text: self.key_text.clone(),
        }
    }

    /// Whether key and token are both those of `other`.
    pub(super) fn same(&self, other: &KeyAndToken) -> bool {
        self.key_id == other.key_id && self.key_text == other.key_text
    }

    /// Whether the key is that of `other`.
    pub(super) fn same_key(&self, other: &KeyAndToken) -> bool {
        self.key_text == other.key_text
    }
}

/// Why key and token could not be read.
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

    fn permanent(error: Error) -> ReadError {
        ReadError { transient: false, error }
    }
}

/// Reads the files of an identity. The key is parsed only if it differs from that of `previous`,
/// because decrypting a key is slow.
pub(super) fn read(
    identity: &Identity,
    previous: Option<&KeyAndToken>,
) -> Result<KeyAndToken, ReadError> {
    let snapshot = FileSnapshot::of(identity);
    let key_text = read_key(&identity.key)?;
    let key = match previous {
        Some(previous) if previous.key_text == key_text => Arc::clone(&previous.key),
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
            // The fingerprint in the profile belongs to the key that was in the file at the start
            // of the run. A key that replaces it is sent with its own fingerprint.
            let key_id = match previous {
                Some(previous) if previous.key_text == key_text => previous.key_id.clone(),
                Some(_) => KeyId::api_key(tenancy, user, key.fingerprint()),
                None => KeyId::api_key(tenancy, user, fingerprint),
            };
            (None, key_id)
        }
    };
    if FileSnapshot::of(identity) != snapshot {
        return Err(ReadError::transient(mismatch(identity, &identity.key)));
    }
    Ok(KeyAndToken { key, token, key_id, key_text })
}

/// The key and the token, read independently, so that the errors of both can be shown.
pub(super) struct Inspection {
    pub key: Result<Arc<Key>, Error>,
    /// An error if the profile has an API key.
    pub token: Result<Token, Error>,
}

pub(super) fn inspect(identity: &Identity) -> Inspection {
    let key = read_key(&identity.key).and_then(|text| parse_key(identity, &text));
    let token = match &identity.credentials {
        CredentialSource::SecurityToken { token_file } => read_token(identity, token_file),
        CredentialSource::ApiKey { .. } => {
            Err(ReadError::permanent(Error::usage("an API key goes without a token")))
        }
    };
    Inspection { key: key.map_err(|error| error.error), token: token.map_err(|error| error.error) }
}

fn read_key(key: &KeySource) -> Result<Zeroizing<Vec<u8>>, ReadError> {
    let path = match key {
        KeySource::File(path) => path,
        KeySource::Content(text) => return Ok(Zeroizing::new(text.as_bytes().to_vec())),
    };
    let display = path.display();
    read_up_to(path, MAX_FILE).map_err(|error| match error.kind() {
        ErrorKind::NotFound => ReadError::transient(
            Error::usage(format!("there is no key file {display}"))
                .with_hint("check key_file in the profile and OCI_CLI_KEY_FILE"),
        ),
        _ => ReadError::permanent(
            Error::usage(format!("the key file {display} cannot be read: {error}"))
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
        .with_hint(error.hint()),
    })
}

fn read_token(identity: &Identity, path: &Path) -> Result<Token, ReadError> {
    /// Bytes; a token has 2 to 4 KiB.
    const MAX_TOKEN_FILE: usize = 64 * 1024;
    let display = path.display();
    let login = identity.login_command();
    let text = read_up_to(path, MAX_TOKEN_FILE).map_err(|error| match error.kind() {
        ErrorKind::NotFound => ReadError::transient(
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

/// The error for a token that is bound to another key than the identity's.
pub(super) fn mismatch(identity: &Identity, token_file: &dyn fmt::Display) -> Error {
    let message =
        format!("the session token in {token_file} is bound to another key than {}", identity.key);
    Error::credentials(message)
        .with_hint(format!("key and token are made together: {}", identity.login_command()))
}

/// Reads a file of at most `limit` bytes. A longer file is an error.
fn read_up_to(path: &Path, limit: usize) -> std::io::Result<Zeroizing<Vec<u8>>> {
    let mut text = Zeroizing::new(Vec::with_capacity(16 * 1024));
    File::open(path)?.take(limit as u64 + 1).read_to_end(&mut text)?;
    if text.len() > limit {
        return Err(std::io::Error::other(format!("it is longer than {limit} bytes")));
    }
    Ok(text)
}
