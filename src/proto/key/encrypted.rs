//! `ENCRYPTED PRIVATE KEY`: PKCS#8 with PBES2, or one of the old forms in `pbes1`.
//!
//! Owns the limits of time and memory for a key derivation, which the `pkcs8` crate leaves to its
//! caller. Must not know PEM or what the key is. Invariant: limits are checked before the derivation
//! starts, so that no input takes more than a few seconds and 256 MiB.

use pkcs8::EncryptedPrivateKeyInfoRef;
use pkcs8::der::{Decode, Header, SecretDocument, SliceReader};
use pkcs8::pkcs5::{EncryptionScheme, pbes2};
use pkcs8::spki::AlgorithmIdentifierRef;
use zeroize::Zeroizing;

use super::pbes1::Pbes1;
use super::{KeyError, MAX_ITERATIONS};

/// Bytes. OpenSSL's own default limit is 32 MiB.
const MAX_SCRYPT_MEMORY: u64 = 256 << 20;

/// Bytes that scrypt may process in all lanes together.
const MAX_SCRYPT_WORK: u64 = 1 << 30;

/// Decrypts to PKCS#8 DER. Fails if the encryption is not supported or exceeds the limits, or the pass
/// phrase is missing or wrong.
pub(super) fn decrypt(
    der: &[u8],
    passphrase: Option<&str>,
) -> Result<Zeroizing<Vec<u8>>, KeyError> {
    if let Some(pbes1) = Pbes1::read(der) {
        return pbes1?.decrypt(passphrase);
    }
    let info = EncryptedPrivateKeyInfoRef::try_from(der).map_err(|_| undecodable(der))?;
    let EncryptionScheme::Pbes2(parameters) = &info.encryption_algorithm else {
        return Err(KeyError::Encryption("PBES1".into()));
    };
    check_limits(&parameters.kdf)?;
    let passphrase = passphrase.ok_or(KeyError::NoPassphrase)?;
    let plain: SecretDocument = info.decrypt(passphrase).map_err(|_| KeyError::WrongPassphrase)?;
    Ok(Zeroizing::new(plain.as_bytes().to_vec()))
}

/// Checks the parameters of a key derivation. Fails if they exceed the limits or are not valid.
pub(super) fn check_limits(kdf: &pbes2::Kdf) -> Result<(), KeyError> {
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

/// Why the envelope of an encrypted key could not be parsed: an unknown algorithm, or damage.
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
