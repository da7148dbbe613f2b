//! `Proc-Type: 4,ENCRYPTED`: the PEM encryption from before PKCS#8, as `openssl rsa -aes128` and old
//! versions of `openssl genrsa` write it.
//!
//! Owns OpenSSL's key derivation (EVP_BytesToKey: MD5, one round), for which there is no small crate;
//! the ciphers come from crates. Must not know what the key is. Invariant: the plain text is returned
//! only if its padding is right; one wrong pass phrase in 256 passes that check.

use aes::{Aes128, Aes192, Aes256};
use cbc::cipher::{BlockCipherDecrypt, BlockModeDecrypt, InnerIvInit, KeyInit};
use des::TdesEde3;
use md5::{Digest, Md5};
use zeroize::Zeroizing;

use super::KeyError;

/// Decrypts `contents` with the cipher and IV of its header `DEK-Info: CIPHER,IV`. Fails if the header is
/// malformed, the cipher is not supported, or the pass phrase is missing or wrong.
pub(super) fn decrypt(
    dek_info: &str,
    contents: Zeroizing<Vec<u8>>,
    passphrase: Option<&str>,
) -> Result<Zeroizing<Vec<u8>>, KeyError> {
    let (cipher, iv) = dek_info.split_once(',').ok_or(KeyError::Malformed)?;
    let iv = hex(iv.trim()).ok_or(KeyError::Malformed)?;
    let decrypt = match cipher.trim() {
        "AES-128-CBC" => cbc::<Aes128>,
        "AES-192-CBC" => cbc::<Aes192>,
        "AES-256-CBC" => cbc::<Aes256>,
        "DES-EDE3-CBC" => cbc::<TdesEde3>,
        other => {
            let name = super::if_name(other).unwrap_or("an unknown cipher");
            return Err(KeyError::Encryption(name.to_owned()));
        }
    };
    let passphrase = passphrase.ok_or(KeyError::NoPassphrase)?;
    decrypt(passphrase.as_bytes(), &iv, contents)
}

fn cbc<C>(
    passphrase: &[u8],
    iv: &[u8],
    contents: Zeroizing<Vec<u8>>,
) -> Result<Zeroizing<Vec<u8>>, KeyError>
where
    C: BlockCipherDecrypt + KeyInit,
    cbc::Decryptor<C>: InnerIvInit<Inner = C> + BlockModeDecrypt,
{
    let salt = iv.first_chunk::<8>().ok_or(KeyError::Malformed)?;
    let key = derive(passphrase, salt, C::key_size());
    super::cbc::decrypt::<C>(&key, iv, contents)
}

/// EVP_BytesToKey: D(i) = MD5(D(i-1) || pass phrase || salt), concatenated up to the length of the key.
fn derive(passphrase: &[u8], salt: &[u8; 8], length: usize) -> Zeroizing<Vec<u8>> {
    let mut key = Zeroizing::new(Vec::with_capacity(length + 16));
    while key.len() < length {
        let last = key.len().saturating_sub(16);
        let digest =
            Md5::new().chain_update(&key[last..]).chain_update(passphrase).chain_update(salt);
        key.extend_from_slice(&digest.finalize());
    }
    key.truncate(length);
    key
}

fn hex(text: &str) -> Option<Vec<u8>> {
    if !text.is_ascii() || !text.len().is_multiple_of(2) {
        return None;
    }
    let pair = |at| u8::from_str_radix(text.get(at..at + 2)?, 16).ok();
    (0..text.len()).step_by(2).map(pair).collect()
}
