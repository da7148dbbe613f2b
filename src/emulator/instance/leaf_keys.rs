//! The RSA keys of leaf certificates, which all servers of a process share.
//!
//! Owns their generation and encodings; knows no certificate. Invariant: neighbours in the row of
//! keys differ, so a replaced certificate always has another key.

use rsa::Generate;
use rsa::pkcs1::EncodeRsaPrivateKey;
use rsa::pkcs8::{EncodePrivateKey, EncodePublicKey, LineEnding};
use std::io;
use std::sync::{Arc, Mutex, PoisonError};

/// The number of keys; generating one takes most of a second, so that they are used in turn.
const KEYS: usize = 6;

/// The key pair of a leaf certificate; the private key is held only as PEM text.
pub struct LeafKey {
    pub pkcs1: String,
    pub pkcs8: String,
    /// The SubjectPublicKeyInfo in DER.
    pub public: Vec<u8>,
}

impl LeafKey {
    fn generate() -> io::Result<LeafKey> {
        let key = rsa::PrivateKey::generate();
        let failed = |error: &dyn std::fmt::Display| io::Error::other(error.to_string());
        Ok(LeafKey {
            pkcs1: key.to_pkcs1_pem(LineEnding::LF).map_err(|e| failed(&e))?.to_string(),
            pkcs8: key.to_pkcs8_pem(LineEnding::LF).map_err(|e| failed(&e))?.to_string(),
            public: key.to_public_key().to_public_key_der().map_err(|e| failed(&e))?.into_vec(),
        })
    }
}

/// The key of this place in the row. Blocks while it is generated; fails if it cannot be encoded.
pub fn key(place: usize) -> io::Result<Arc<LeafKey>> {
    static KEYS_SO_FAR: Mutex<Vec<Arc<LeafKey>>> = Mutex::new(Vec::new());
    let place = place % KEYS;
    let mut keys = KEYS_SO_FAR.lock().unwrap_or_else(PoisonError::into_inner);
    while keys.len() <= place {
        keys.push(Arc::new(LeafKey::generate()?));
    }
    Ok(keys[place].clone())
}
