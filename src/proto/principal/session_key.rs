//! The key pair that a token is requested for, and that signs with the token.
//!
//! Owns its generation and the forms of its halves. Must not know where they go.
//! Invariant: the private half exists only within the [`Key`] and, for a session in files, in one text
//! that zeroizes itself; each copy made on the way is zeroized.

use std::fmt;
use std::sync::Arc;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use getrandom::SysRng;
use rsa::PrivateKey;
use rsa::pkcs1::EncodeRsaPrivateKey;
use rsa::pkcs8::{EncodePrivateKey, LineEnding};
use zeroize::Zeroizing;

use crate::error::{Error, ErrorKind};
use crate::key::Key;

/// Bits of the modulus, as in Oracle's SDKs.
const BITS: usize = 2048;

/// An RSA key for one token.
#[derive(Clone)]
pub struct SessionKey {
    /// The pair, which signs.
    pub key: Arc<Key>,
}

impl SessionKey {
    /// A new key of 2048 bits with the exponent 65537. Takes about 0.2 s of computing, 1 s at worst, so
    /// it belongs on a thread that may block. Fails if the operating system gives no random bytes.
    pub fn generate() -> Result<SessionKey, Error> {
        SessionKey::of_private(&new_private()?)
    }

    /// As [`SessionKey::generate`], with the private key as PKCS#8 PEM, for a session that is kept in
    /// files.
    pub fn generate_for_file() -> Result<(SessionKey, Zeroizing<String>), Error> {
        let private = new_private()?;
        let text = private.to_pkcs8_pem(LineEnding::LF).map_err(|_| not_made())?;
        Ok((SessionKey::of_private(&private)?, text))
    }

    fn of_private(private: &PrivateKey) -> Result<SessionKey, Error> {
        let der = private.to_pkcs1_der().map_err(|_| not_made())?;
        let key = Key::from_pkcs1(der.as_bytes()).map_err(|_| not_made())?;
        Ok(SessionKey { key: Arc::new(key) })
    }

    /// An existing key: that of a resource is its session key.
    pub fn of(key: Arc<Key>) -> SessionKey {
        SessionKey { key }
    }

    /// The public key (SubjectPublicKeyInfo) as base64 on one line.
    pub fn public_one_line(&self) -> String {
        STANDARD.encode(self.key.public_key_info())
    }

    /// The public key (SubjectPublicKeyInfo) as PEM with lines of 64 characters.
    pub fn public_pem(&self) -> String {
        let config = pem::EncodeConfig::new().set_line_ending(pem::LineEnding::LF);
        pem::encode_config(&pem::Pem::new("PUBLIC KEY", self.key.public_key_info()), config)
    }

    /// The public modulus, big endian, without leading zeros.
    pub fn modulus(&self) -> Vec<u8> {
        self.key.modulus()
    }
}

/// A private key, which zeroizes itself when it is dropped, as its DER does.
fn new_private() -> Result<PrivateKey, Error> {
    PrivateKey::new(&mut SysRng, BITS).map_err(|error| {
        Error::new(ErrorKind::Internal, format!("a session key cannot be made: {error}"))
            .with_hint("the random bytes are those of the system call getrandom or of /dev/urandom")
    })
}

fn not_made() -> Error {
    Error::new(ErrorKind::Internal, "a session key cannot be made")
}

impl fmt::Debug for SessionKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.key.fmt(f)
    }
}
