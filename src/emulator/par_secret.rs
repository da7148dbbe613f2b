//! The secret in the URL of a pre-authenticated request: made, hashed, and masked in paths.
//!
//! Pure but for randomness. Knows no bucket and no file. Invariant: only the holder of the URL has
//! the secret; the server keeps its hash, and a masked path holds neither.

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use ring::rand::{SecureRandom, SystemRandom};
use serde::{Deserialize, Serialize};
use std::borrow::Cow;
use std::io;

/// Random bytes in a secret, which are 48 characters of text.
const SECRET_BYTES: usize = 36;

/// What the path of a request begins with if it goes through a pre-authenticated request.
const START: &str = "/p/";

/// The base64 SHA-256 of a secret.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(transparent)]
pub struct SecretHash(String);

impl SecretHash {
    /// The hash of a secret as it is in a path.
    pub fn of(secret: &str) -> SecretHash {
        let hash = ring::digest::digest(&ring::digest::SHA256, secret.as_bytes());
        SecretHash(URL_SAFE_NO_PAD.encode(hash))
    }
}

/// A new secret. Fails if the system gives no randomness.
pub(crate) fn new_secret() -> io::Result<String> {
    let mut bytes = [0; SECRET_BYTES];
    let filled = SystemRandom::new().fill(&mut bytes);
    filled.map_err(|_| io::Error::other("the system gave no randomness for a secret"))?;
    Ok(URL_SAFE_NO_PAD.encode(bytes))
}

/// The secret and the rest of a path below `/p/`; the rest begins with its slash and is empty if
/// there is none. `None` for any other path.
pub(crate) fn split(path: &str) -> Option<(&str, &str)> {
    let rest = path.strip_prefix(START)?;
    Some(rest.split_at(rest.find(['/', '?']).unwrap_or(rest.len())))
}

/// A request target without its secret, for logs and messages. A target in absolute form is masked
/// too.
pub(crate) fn masked(target: &str) -> Cow<'_, str> {
    let path_at = match target.find("://") {
        Some(scheme) => target[scheme + 3..].find('/').map(|slash| scheme + 3 + slash),
        None => Some(0),
    };
    let Some(path_at) = path_at else { return Cow::Borrowed(target) };
    let (authority, path) = target.split_at(path_at);
    match split(path) {
        Some((_, rest)) => Cow::Owned(format!("{authority}{START}-{rest}")),
        None => Cow::Borrowed(target),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_secret_is_url_safe_text_and_only_its_hash_names_it() {
        let (one, other) = (new_secret().unwrap(), new_secret().unwrap());
        assert_eq!(one.len(), 48);
        assert!(one.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-' || b == b'_'));
        assert_ne!(SecretHash::of(&one), SecretHash::of(&other));
        assert_eq!(SecretHash::of(&one), SecretHash::of(&one));
    }

    #[test]
    fn a_masked_target_has_no_secret_in_any_form() {
        for (target, expected) in [
            ("/p/SECRET/n/ns/b/bk/o/x", "/p/-/n/ns/b/bk/o/x"),
            ("/p/SECRET", "/p/-"),
            ("/p/SECRET?x=/y", "/p/-?x=/y"),
            ("http://127.0.0.1:1/p/SECRET/n", "http://127.0.0.1:1/p/-/n"),
            ("/n/ns/b/bk/o/p/x", "/n/ns/b/bk/o/p/x"),
            ("/n/ns/b/bk/p/id", "/n/ns/b/bk/p/id"),
        ] {
            assert_eq!(masked(target), expected);
        }
    }
}
