//! Decryption in CBC mode, whichever the cipher.
//!
//! Knows neither how the key was derived nor what comes out. Invariant: nothing but a right key yields
//! more than chance.

use cbc::cipher::block_padding::Pkcs7;
use cbc::cipher::{BlockCipherDecrypt, BlockModeDecrypt, InnerIvInit, KeyInit};
use zeroize::Zeroizing;

use super::KeyError;

/// Decrypts `contents` in place. A cipher with keys of any length takes the length of this one.
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
