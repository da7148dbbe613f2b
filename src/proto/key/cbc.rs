//! Decryption in CBC mode with any block cipher.
//!
//! Must not know how the key was derived or what the plain text is. Invariant: the plain text is
//! returned only if its padding is right; one wrong key in 256 passes that check.

use cbc::cipher::block_padding::Pkcs7;
use cbc::cipher::{BlockCipherDecrypt, BlockModeDecrypt, InnerIvInit, KeyInit};
use zeroize::Zeroizing;

use super::KeyError;

/// Decrypts `contents` in place. The length of `key` selects the key size of ciphers that have several.
/// Fails if the cipher has no such key or IV size, or the padding is wrong.
pub(super) fn decrypt<C>(
    key: &[u8],
    iv: &[u8],
    mut contents: Zeroizing<Vec<u8>>,
) -> Result<Zeroizing<Vec<u8>>, KeyError>
where
    C: BlockCipherDecrypt + KeyInit,
    cbc::Decryptor<C>: InnerIvInit<Inner = C> + BlockModeDecrypt,
{
    let cipher = C::new_from_slice(key).map_err(|_| KeyError::Malformed)?;
    let decryptor =
        cbc::Decryptor::<C>::inner_iv_slice_init(cipher, iv).map_err(|_| KeyError::Malformed)?;
    let plain = decryptor
        .decrypt_padded::<Pkcs7>(&mut contents)
        .map_err(|_| KeyError::WrongPassphrase)?
        .len();
    contents.truncate(plain);
    Ok(contents)
}
