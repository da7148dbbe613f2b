//! `ENCRYPTED PRIVATE KEY`: PKCS#8 under PBES2, by the `pkcs8` crate, or as of old.
//!
//! Adds what the crate leaves to its caller: the effort a file may ask for is bounded before any
//! of it is spent. Knows nothing of PEM or of what the key is. Invariant: no input costs more than
//! a few seconds and 256 MiB.

use pkcs8::EncryptedPrivateKeyInfoRef;
use pkcs8::der::{Decode, Header, SecretDocument, SliceReader};
use pkcs8::pkcs5::{EncryptionScheme, pbes2};
use pkcs8::spki::AlgorithmIdentifierRef;
use zeroize::Zeroizing;

use super::KeyError;
use super::pbes1::Pbes1;

/// OpenSSL's default is 2048, what is recommended in 2026 about 600,000; ten times that takes
/// some seconds.
pub(super) const MAX_ITERATIONS: u32 = 6_000_000;

/// OpenSSL itself refuses over 32 MiB unless told otherwise.
const MAX_SCRYPT_MEMORY: u64 = 256 << 20;

/// Bytes that scrypt may mix in all its lanes together.
const MAX_SCRYPT_WORK: u64 = 1 << 30;

/// The PKCS#8 DER inside an encrypted one.
pub(super) fn decrypt(
    der: &[u8],
    passphrase: Option<&str>,
) -> Result<Zeroizing<Vec<u8>>, KeyError> {
    if let Some(old) = Pbes1::read(der) {
        return old?.decrypt(passphrase);
    }
    let info = EncryptedPrivateKeyInfoRef::try_from(der).map_err(|_| undecodable(der))?;
    let EncryptionScheme::Pbes2(parameters) = &info.encryption_algorithm else {
        return Err(KeyError::Encryption("PBES1".into()));
    };
    bound(&parameters.kdf)?;
    let passphrase = passphrase.ok_or(KeyError::NoPassphrase)?;
    let plain: SecretDocument = info.decrypt(passphrase).map_err(|_| KeyError::WrongPassphrase)?;
    Ok(Zeroizing::new(plain.as_bytes().to_vec()))
}

/// Refuses parameters that cost too much, or that make no sense.
pub(super) fn bound(kdf: &pbes2::Kdf) -> Result<(), KeyError> {
    match kdf {
        pbes2::Kdf::Pbkdf2(parameters) if parameters.iteration_count > MAX_ITERATIONS => {
            Err(KeyError::Expensive(format!("{} iterations", parameters.iteration_count)))
        }
        pbes2::Kdf::Pbkdf2(_) => Ok(()),
        pbes2::Kdf::Scrypt(parameters) => {
            let cost = parameters.cost_parameter;
            if cost < 2 || !cost.is_power_of_two() {
                return Err(KeyError::Malformed);
            }
            let memory = cost.saturating_mul(128 * u64::from(parameters.block_size));
            let work = memory.saturating_mul(u64::from(parameters.parallelization));
            if memory > MAX_SCRYPT_MEMORY || work > MAX_SCRYPT_WORK {
                return Err(KeyError::Expensive(format!("scrypt over {} MiB", memory >> 20)));
            }
            Ok(())
        }
        _ => Err(KeyError::Encryption("an unknown key derivation".into())),
    }
}

/// Why the outside of an encrypted key could not be read: damaged, or an algorithm of its own.
fn undecodable(der: &[u8]) -> KeyError {
    let algorithm = || {
        let mut reader = SliceReader::new(der).ok()?;
        Header::decode(&mut reader).ok()?;
        AlgorithmIdentifierRef::decode(&mut reader).ok()
    };
    match algorithm() {
        Some(algorithm) => KeyError::Encryption(format!("algorithm {}", algorithm.oid)),
        None => KeyError::Malformed,
    }
}
