//! The private key that signs requests: parsed from PEM in each encoding that the OCI CLI accepts.
//!
//! Owns decoding, decryption and signing. Must not know files. Invariants: a [`Key`] is an RSA key that
//! `ring` has signed with, so that signing cannot fail later, unless it was read untried; no input takes
//! more than a few seconds or 256 MiB; no error contains a byte of the key.

mod cbc;
mod encrypted;
mod legacy;
mod pbes1;

use std::fmt;

use pkcs8::der::{Decode, Encode, Header, SliceReader, asn1::UintRef};
use pkcs8::spki::{AlgorithmIdentifierRef, SubjectPublicKeyInfoRef};
use pkcs8::{ObjectIdentifier, PrivateKeyInfoRef};
use ring::rand::SystemRandom;
use ring::rsa::PublicKeyComponents;
use ring::signature::{RSA_PKCS1_SHA256, RsaKeyPair};
use zeroize::Zeroizing;

/// The most rounds of a key derivation. OpenSSL's default is 2048, the recommendation of 2026 about
/// 600,000; ten times that takes a few seconds.
const MAX_ITERATIONS: u32 = 6_000_000;

const RSA: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.113549.1.1.1");

/// The largest text that is parsed, in bytes. An RSA key of 16384 bits has 13 KiB in PEM.
pub const MAX_FILE: usize = 256 * 1024;

/// An RSA private key that can sign.
pub struct Key {
    pair: RsaKeyPair,
    random: SystemRandom,
    public_info: Vec<u8>,
    fingerprint: String,
}

/// Why a text is not a private key that can sign.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum KeyError {
    /// There is no PEM block.
    NoPem,
    /// There are PEM blocks, but none is a key. The label of the first one.
    OtherPem(String),
    /// A PEM block cannot be decoded.
    Malformed,
    /// A private key in the format of OpenSSH.
    OpenSsh,
    /// A public key.
    PublicKey,
    /// A private key of another kind than RSA.
    NotRsa,
    /// The key is encrypted and there is no pass phrase.
    NoPassphrase,
    /// The pass phrase does not decrypt the key.
    WrongPassphrase,
    /// The encryption with this name is not supported.
    Encryption(String),
    /// The key derivation would take too much time or memory: the requested effort.
    Expensive(String),
    /// The number of bits, which must be 2048 to 4096 and a multiple of 512.
    Size(usize),
    /// The public exponent is below 65537, even, or over 33 bits.
    Exponent,
    /// The numbers do not form an RSA key.
    Inconsistent,
}

impl Key {
    /// Parses the first private key of a PEM text. A pass phrase is ignored if the key is not encrypted.
    /// Fails if there is no RSA key of a supported size and encryption, or the pass phrase is missing
    /// or wrong.
    pub fn from_pem(text: &[u8], passphrase: Option<&str>) -> Result<Key, KeyError> {
        Key::from_pem_untried(text, passphrase)?.tried()
    }

    /// As [`Key::from_pem`], without the signature that shows whether the key can sign, which takes as long
    /// as that of a request: the first request is signed by [`Key::try_sign`]. Fails as `from_pem` does.
    #[doc(hidden)]
    pub fn from_pem_untried(text: &[u8], passphrase: Option<&str>) -> Result<Key, KeyError> {
        if text.len() > MAX_FILE {
            return Err(KeyError::Malformed);
        }
        let PemBlock { tag, dek_info, contents } = private_block(text)?;
        match tag.as_str() {
            "PRIVATE KEY" => Key::from_pkcs8(&contents),
            "ENCRYPTED PRIVATE KEY" => {
                let plain = encrypted::decrypt(&contents, passphrase)?;
                // One wrong pass phrase in 256 passes the check of the padding.
                Key::from_pkcs8(&plain).map_err(KeyError::after_decryption)
            }
            "RSA PRIVATE KEY" => match dek_info {
                Some(dek_info) => {
                    let plain = legacy::decrypt(&dek_info, contents, passphrase)?;
                    Key::from_pkcs1_untried(&plain).map_err(KeyError::after_decryption)
                }
                None => Key::from_pkcs1_untried(&contents),
            },
            "OPENSSH PRIVATE KEY" => Err(KeyError::OpenSsh),
            _ => Err(KeyError::NotRsa),
        }
    }

    fn from_pkcs8(der: &[u8]) -> Result<Key, KeyError> {
        let info = PrivateKeyInfoRef::try_from(der).map_err(|_| KeyError::Malformed)?;
        if info.algorithm.oid != RSA {
            return Err(KeyError::NotRsa);
        }
        Key::from_pkcs1_untried(info.private_key.as_bytes())
    }

    /// Reads a private key in PKCS#1 DER. Fails as [`Key::from_pem`] does.
    pub(crate) fn from_pkcs1(der: &[u8]) -> Result<Key, KeyError> {
        Key::from_pkcs1_untried(der)?.tried()
    }

    fn from_pkcs1_untried(der: &[u8]) -> Result<Key, KeyError> {
        let (bits, exponent) = modulus_and_exponent(der).ok_or(KeyError::Malformed)?;
        // `ring` rejects these with one error for all; the checks here give a reason.
        if !(2048..=4096).contains(&bits) || bits % 512 != 0 {
            return Err(KeyError::Size(bits));
        }
        if exponent < 65537 || exponent % 2 == 0 || exponent >= 1 << 33 {
            return Err(KeyError::Exponent);
        }
        let pair = RsaKeyPair::from_der(der).map_err(|_| KeyError::Inconsistent)?;
        let public_info = public_info(pair.public().as_ref()).ok_or(KeyError::Inconsistent)?;
        let fingerprint = fingerprint(&public_info);
        Ok(Key { pair, random: SystemRandom::new(), public_info, fingerprint })
    }

    /// `ring` accepts a key with wrong exponents for the Chinese remainder theorem, and fails when it
    /// checks its signature. A signature here makes that an error before the upload.
    fn tried(self) -> Result<Key, KeyError> {
        self.try_sign(b"").map(|_| self)
    }

    /// The RSASSA-PKCS1-v1_5 signature with SHA-256 over `message`. That of a key which was read untried
    /// and cannot sign is empty, and no service accepts it.
    pub fn sign(&self, message: &[u8]) -> Vec<u8> {
        self.try_sign(message).unwrap_or_default()
    }

    /// As [`Key::sign`]. Fails if the numbers of the key make no signature.
    #[doc(hidden)]
    pub fn try_sign(&self, message: &[u8]) -> Result<Vec<u8>, KeyError> {
        let mut signature = vec![0; self.pair.public().modulus_len()];
        let signed = self.pair.sign(&RSA_PKCS1_SHA256, &self.random, message, &mut signature);
        signed.map(|()| signature).map_err(|_| KeyError::Inconsistent)
    }

    /// The public modulus, big endian, without leading zeros: `n` in the claim `jwk` of a token.
    pub fn modulus(&self) -> Vec<u8> {
        PublicKeyComponents::<Vec<u8>>::from(self.pair.public()).n
    }

    /// The MD5 of the public key in hex pairs joined by colons, as the OCI console shows it.
    pub fn fingerprint(&self) -> &str {
        &self.fingerprint
    }

    /// The public key as PKCS#1 DER, the form that `ring` verifies with.
    pub fn public_key(&self) -> &[u8] {
        self.pair.public().as_ref()
    }

    /// The public key as SubjectPublicKeyInfo DER, the form in which the auth service takes it.
    pub(crate) fn public_key_info(&self) -> &[u8] {
        &self.public_info
    }
}

impl fmt::Debug for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Key").field("fingerprint", &self.fingerprint).finish_non_exhaustive()
    }
}

impl KeyError {
    /// Plain text that cannot be decoded means that the pass phrase was wrong.
    fn after_decryption(self) -> KeyError {
        match self {
            KeyError::Malformed => KeyError::WrongPassphrase,
            other => other,
        }
    }

    /// What the user can do, for the hint of an error message.
    pub fn hint(&self) -> &'static str {
        match self {
            KeyError::NoPem | KeyError::Malformed | KeyError::OtherPem(_) => {
                "key_file must name the private key in PEM, as `oci setup keys` or \
                 `oci session authenticate` wrote it"
            }
            KeyError::OpenSsh => "convert a copy of it with `ssh-keygen -p -m PEM -f COPY`",
            KeyError::PublicKey => "let key_file name the private key of the pair",
            KeyError::NotRsa => "the service takes RSA keys only; `oci setup keys` makes one",
            KeyError::NoPassphrase => {
                "give its pass phrase as pass_phrase in the profile or in OCI_CLI_PASSPHRASE"
            }
            KeyError::WrongPassphrase => "check pass_phrase in the profile and OCI_CLI_PASSPHRASE",
            KeyError::Encryption(_) | KeyError::Expensive(_) => {
                "encrypt it anew with `openssl pkcs8 -topk8 -v2 aes-256-cbc -in OLD -out NEW`"
            }
            KeyError::Size(_) | KeyError::Exponent | KeyError::Inconsistent => {
                "make a new key with `oci setup keys` and upload its public half"
            }
        }
    }
}

impl fmt::Display for KeyError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            KeyError::NoPem => f.write_str("it holds no PEM block (no -----BEGIN line)"),
            KeyError::OtherPem(label) => write!(f, "it holds a {label}, and no private key"),
            KeyError::Malformed => f.write_str("its PEM block is damaged"),
            KeyError::OpenSsh => {
                f.write_str("it is an OpenSSH key, which the service does not use")
            }
            KeyError::PublicKey => f.write_str("it is a public key, and signing needs the private"),
            KeyError::NotRsa => f.write_str("it is not an RSA key"),
            KeyError::NoPassphrase => f.write_str("it is encrypted, and no pass phrase was given"),
            KeyError::WrongPassphrase => f.write_str("the pass phrase is wrong"),
            KeyError::Encryption(what) => write!(f, "its encryption is not supported: {what}"),
            KeyError::Expensive(what) => {
                write!(f, "its key derivation asks for an unreasonable effort: {what}")
            }
            KeyError::Size(bits) => {
                write!(f, "it has {bits} bits; it must have 2048, 2560, 3072, 3584 or 4096")
            }
            KeyError::Exponent => f.write_str("its public exponent is not one that can be used"),
            KeyError::Inconsistent => f.write_str("its numbers do not make an RSA key"),
        }
    }
}

impl std::error::Error for KeyError {}

/// A PEM block.
struct PemBlock {
    tag: String,
    /// The header `DEK-Info`, if the header `Proc-Type` is present.
    dek_info: Option<String>,
    contents: Zeroizing<Vec<u8>>,
}

/// The first private key in a PEM text.
fn private_block(text: &[u8]) -> Result<PemBlock, KeyError> {
    // `pem` searches for the end of the headers before the end of the block, and takes a blank line
    // before END for it. Blank lines that do not end headers are therefore removed.
    let text = Zeroizing::new(without_stray_blank_lines(text));
    let blocks = pem::parse_many(text.as_slice()).map_err(|_| KeyError::Malformed)?;
    let mut public = false;
    let mut other = None;
    for block in blocks {
        let tag = block.tag().to_owned();
        if tag.ends_with("PRIVATE KEY") {
            let headers = block.headers();
            let encrypted = headers.get("Proc-Type").is_some();
            let dek_info =
                encrypted.then(|| headers.get("DEK-Info").unwrap_or_default().to_owned());
            let contents = Zeroizing::new(block.into_contents());
            return Ok(PemBlock { tag, dek_info, contents });
        }
        public |= tag.ends_with("PUBLIC KEY");
        other.get_or_insert(tag);
    }
    match other {
        _ if public => Err(KeyError::PublicKey),
        Some(label) => {
            let label = if_name(&label).unwrap_or("PEM block with an unknown label");
            Err(KeyError::OtherPem(label.to_owned()))
        }
        None if contains(&text, b"-----BEGIN ") => Err(KeyError::Malformed),
        None => Err(KeyError::NoPem),
    }
}

/// A label or the name of a cipher from the text of a key, if it has the form of one. In a damaged file a
/// part of the key may be in its place, which no message may show.
fn if_name(text: &str) -> Option<&str> {
    let in_name =
        |byte: u8| byte.is_ascii_uppercase() || byte.is_ascii_digit() || b" -".contains(&byte);
    (text.len() <= 40 && text.bytes().all(in_name)).then_some(text)
}

/// The text with LF line ends, and without blank lines except those that end the headers of a block.
fn without_stray_blank_lines(text: &[u8]) -> Vec<u8> {
    let mut lines = Vec::with_capacity(text.len() + 1);
    let mut in_headers = false;
    for line in text.split(|&byte| byte == b'\n') {
        let line = line.trim_ascii();
        if !line.is_empty() {
            in_headers = !line.starts_with(b"-----") && line.contains(&b':');
        } else if !std::mem::take(&mut in_headers) {
            continue;
        }
        lines.extend_from_slice(line);
        lines.push(b'\n');
    }
    lines
}

fn contains(text: &[u8], pattern: &[u8]) -> bool {
    text.windows(pattern.len()).any(|window| window == pattern)
}

/// The length of the modulus in bits and the public exponent (saturating) of a PKCS#1 private key.
fn modulus_and_exponent(der: &[u8]) -> Option<(usize, u64)> {
    let mut reader = SliceReader::new(der).ok()?;
    Header::decode(&mut reader).ok()?;
    u8::decode(&mut reader).ok()?;
    let modulus = UintRef::decode(&mut reader).ok()?.as_bytes();
    let exponent = UintRef::decode(&mut reader).ok()?.as_bytes();
    let bits = modulus.len() * 8 - modulus.first()?.leading_zeros() as usize;
    let exponent = match exponent.len() {
        0..=8 => exponent.iter().fold(0, |value, &byte| value << 8 | u64::from(byte)),
        _ => u64::MAX,
    };
    Some((bits, exponent))
}

/// The SubjectPublicKeyInfo of a PKCS#1 public key.
fn public_info(public: &[u8]) -> Option<Vec<u8>> {
    let info = SubjectPublicKeyInfoRef {
        algorithm: AlgorithmIdentifierRef {
            oid: RSA,
            parameters: Some(pkcs8::der::asn1::Null.into()),
        },
        subject_public_key: pkcs8::der::asn1::BitStringRef::from_bytes(public).ok()?,
    };
    info.to_der().ok()
}

/// The MD5 in hex pairs joined by colons.
fn fingerprint(public_info: &[u8]) -> String {
    use md5::Digest;
    let digest = md5::Md5::digest(public_info);
    digest.iter().map(|byte| format!("{byte:02x}")).collect::<Vec<_>>().join(":")
}

#[cfg(test)]
mod tests;
