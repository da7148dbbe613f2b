//! `Proc-Type: 4,ENCRYPTED`: the encryption of PEM from before PKCS#8, as `openssl rsa -aes128`
//! and old `openssl genrsa` write it.
//!
//! No small crate decrypts just this, so the ciphers come from crates and only OpenSSL's
//! derivation of the key (EVP_BytesToKey: MD5, one round) is written out. Knows nothing of what
//! the key is. Invariant: nothing but a right pass phrase yields more than chance.

use aes::{Aes128, Aes192, Aes256};
use cbc::cipher::{BlockCipherDecrypt, BlockModeDecrypt, InnerIvInit, KeyInit};
use des::TdesEde3;
use md5::{Digest, Md5};
use zeroize::Zeroizing;

use super::KeyError;

/// Decrypts `contents` as its `DEK-Info: CIPHER,IV` says.
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
            let name = other.chars().filter(|c| c.is_ascii_graphic()).take(40).collect();
            return Err(KeyError::Encryption(name));
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

/// EVP_BytesToKey: D(i) = MD5(D(i-1) || pass phrase || salt), as many of them as the key is long.
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
