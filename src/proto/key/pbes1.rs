//! `ENCRYPTED PRIVATE KEY` in its old forms: PBES1 of PKCS#5 and the schemes of PKCS#12, the default of
//! OpenSSL before 1.1, written today by `openssl pkcs8 -topk8 -v1 NAME`.
//!
//! Owns the two key derivations; ciphers and digests come from crates. The `pkcs8` crate knows some of
//! these schemes and decrypts none; `pkcs12` has one of the derivations and depends on older versions
//! of the same crates. Must not know what the key is. Invariant: no input takes more than
//! [`MAX_ITERATIONS`] rounds for each 20 bytes of key.

use cbc::cipher::common::KeySizeUser;
use des::{Des, TdesEde2, TdesEde3};
use md5::Md5;
use pkcs8::ObjectIdentifier;
use pkcs8::der::asn1::OctetStringRef;
use pkcs8::der::{Decode, Header, Reader, SliceReader};
use pkcs8::spki::AlgorithmIdentifierRef;
use rc2::Rc2;
use sha1::{Digest, Sha1};
use zeroize::Zeroizing;

use super::cbc::decrypt as cbc;
use super::{KeyError, MAX_ITERATIONS};

/// A key derivation and a cipher.
#[derive(Clone, Copy)]
enum Scheme {
    Md5Des,
    Sha1Des,
    Md5Rc2,
    Sha1Rc2,
    Pkcs12TripleDes,
    Pkcs12DoubleDes,
    Pkcs12Rc2With128,
    Pkcs12Rc2With40,
}

const SCHEMES: [(&str, Scheme); 8] = [
    ("1.2.840.113549.1.5.3", Scheme::Md5Des),
    ("1.2.840.113549.1.5.10", Scheme::Sha1Des),
    ("1.2.840.113549.1.5.6", Scheme::Md5Rc2),
    ("1.2.840.113549.1.5.11", Scheme::Sha1Rc2),
    ("1.2.840.113549.1.12.1.3", Scheme::Pkcs12TripleDes),
    ("1.2.840.113549.1.12.1.4", Scheme::Pkcs12DoubleDes),
    ("1.2.840.113549.1.12.1.5", Scheme::Pkcs12Rc2With128),
    ("1.2.840.113549.1.12.1.6", Scheme::Pkcs12Rc2With40),
];

/// The encrypted key and the parameters of its encryption.
pub(super) struct Pbes1<'a> {
    scheme: Scheme,
    salt: &'a [u8],
    iterations: u32,
    contents: &'a [u8],
}

impl<'a> Pbes1<'a> {
    /// Parses an encrypted key. Returns `None` if it has another encryption or is not an encrypted key, and
    /// an error if its parameters are malformed.
    pub(super) fn read(der: &'a [u8]) -> Option<Result<Pbes1<'a>, KeyError>> {
        let mut reader = SliceReader::new(der).ok()?;
        Header::decode(&mut reader).ok()?;
        let algorithm = AlgorithmIdentifierRef::decode(&mut reader).ok()?;
        let named = |(oid, _): &&(&str, Scheme)| ObjectIdentifier::new(oid) == Ok(algorithm.oid);
        let (_, scheme) = SCHEMES.iter().find(named)?;
        let mut read = || {
            let mut parameters = SliceReader::new(algorithm.parameters?.value()).ok()?;
            let salt = <&OctetStringRef>::decode(&mut parameters).ok()?.as_bytes();
            let iterations = u32::decode(&mut parameters).ok()?;
            let contents = <&OctetStringRef>::decode(&mut reader).ok()?.as_bytes();
            let complete = parameters.is_finished() && reader.is_finished() && iterations > 0;
            complete.then_some(Pbes1 { scheme: *scheme, salt, iterations, contents })
        };
        Some(read().ok_or(KeyError::Malformed))
    }

    /// Decrypts to PKCS#8 DER. Fails if the key derivation takes too much effort, or the pass phrase is
    /// missing or wrong.
    pub(super) fn decrypt(&self, passphrase: Option<&str>) -> Result<Zeroizing<Vec<u8>>, KeyError> {
        if self.iterations > MAX_ITERATIONS {
            return Err(KeyError::Expensive(format!("{} iterations", self.iterations)));
        }
        let passphrase = passphrase.ok_or(KeyError::NoPassphrase)?;
        match self.scheme {
            Scheme::Md5Des => self.pkcs5::<Md5, Des>(passphrase),
            Scheme::Sha1Des => self.pkcs5::<Sha1, Des>(passphrase),
            Scheme::Md5Rc2 => self.pkcs5::<Md5, Rc2>(passphrase),
            Scheme::Sha1Rc2 => self.pkcs5::<Sha1, Rc2>(passphrase),
            Scheme::Pkcs12TripleDes => self.pkcs12::<TdesEde3>(passphrase, TdesEde3::key_size()),
            Scheme::Pkcs12DoubleDes => self.pkcs12::<TdesEde2>(passphrase, TdesEde2::key_size()),
            Scheme::Pkcs12Rc2With128 => self.pkcs12::<Rc2>(passphrase, 16),
            Scheme::Pkcs12Rc2With40 => self.pkcs12::<Rc2>(passphrase, 5),
        }
    }

    /// PBKDF1: the digest of pass phrase and salt, digested repeatedly; 8 bytes of key, 8 of IV.
    fn pkcs5<D, C>(&self, passphrase: &str) -> Result<Zeroizing<Vec<u8>>, KeyError>
    where
        D: Digest,
        C: cbc::cipher::BlockCipherDecrypt + cbc::cipher::KeyInit,
        cbc::Decryptor<C>: cbc::cipher::InnerIvInit<Inner = C> + cbc::cipher::BlockModeDecrypt,
    {
        let first = D::new().chain_update(passphrase).chain_update(self.salt).finalize();
        let mut derived = Zeroizing::new(first.to_vec());
        for _ in 1..self.iterations {
            let digest = D::digest(&*derived);
            derived.copy_from_slice(&digest);
        }
        cbc::<C>(&derived[..8], &derived[8..16], Zeroizing::new(self.contents.to_vec()))
    }

    fn pkcs12<C>(&self, passphrase: &str, key: usize) -> Result<Zeroizing<Vec<u8>>, KeyError>
    where
        C: cbc::cipher::BlockCipherDecrypt + cbc::cipher::KeyInit,
        cbc::Decryptor<C>: cbc::cipher::InnerIvInit<Inner = C> + cbc::cipher::BlockModeDecrypt,
    {
        // A BMPString with its terminator.
        let units = passphrase.encode_utf16().chain([0]);
        let passphrase = Zeroizing::new(units.flat_map(u16::to_be_bytes).collect::<Vec<u8>>());
        let key = pkcs12(KEY, &passphrase, self.salt, self.iterations, key);
        let iv = pkcs12(IV, &passphrase, self.salt, self.iterations, 8);
        cbc::<C>(&key, &iv, Zeroizing::new(self.contents.to_vec()))
    }
}

/// The purpose of a PKCS#12 derivation, called ID in RFC 7292.
const KEY: u8 = 1;
const IV: u8 = 2;

/// The key derivation of RFC 7292, appendix B.2, with SHA-1; `length` is that of the key in bytes.
fn pkcs12(
    purpose: u8,
    passphrase: &[u8],
    salt: &[u8],
    iterations: u32,
    length: usize,
) -> Zeroizing<Vec<u8>> {
    /// The block length of SHA-1, called v in the RFC.
    const BLOCK: usize = 64;
    let filled = |text: &[u8]| {
        let length = text.len().div_ceil(BLOCK) * BLOCK;
        text.iter().copied().cycle().take(length).collect::<Vec<u8>>()
    };
    let mut input = Zeroizing::new([filled(salt), filled(passphrase)].concat());
    let mut derived = Zeroizing::new(Vec::with_capacity(length + 20));
    while derived.len() < length {
        let mut digest =
            Sha1::new().chain_update([purpose; BLOCK]).chain_update(&*input).finalize();
        for _ in 1..iterations {
            digest = Sha1::digest(digest);
        }
        derived.extend_from_slice(&digest);
        // The repeated digest plus one is added to each block of the input.
        for block in input.chunks_exact_mut(BLOCK) {
            let mut carry = 1;
            for (at, byte) in block.iter_mut().enumerate().rev() {
                let sum = u16::from(*byte) + u16::from(digest[at % digest.len()]) + carry;
                *byte = sum as u8;
                carry = sum >> 8;
            }
        }
    }
    derived.truncate(length);
    derived
}
