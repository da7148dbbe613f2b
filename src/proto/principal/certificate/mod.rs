//! The certificate of an instance, and those of its issuers.
//!
//! Owns what is read from a certificate in PEM. Must not verify it: only the service can. Parsing is
//! lenient, since real certificates of instances violate X.520 (values over 64 characters) and DER (the
//! members of a SET out of order). Invariant: fingerprints and base64 are of the bytes as they came,
//! never of a new encoding.

mod der;

use std::fmt;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;

use crate::key::Key;

/// The largest PEM text that is parsed, in bytes. A certificate has about 1.5 KiB.
pub const MAX_FILE: usize = 256 * 1024;

const BEGIN: &str = "-----BEGIN CERTIFICATE-----";
const END: &str = "-----END CERTIFICATE-----";

/// The certificate of an instance.
#[derive(Clone, PartialEq, Eq)]
pub struct LeafCertificate {
    /// DER as base64 on one line.
    base64: String,
    der: Vec<u8>,
    /// The OCID of the tenancy that the subject names.
    pub tenancy: String,
    /// The modulus of the public key, big endian, without leading zeros.
    modulus: Vec<u8>,
    /// The first second of the validity, since 1970.
    pub not_before: u64,
    /// The last second of the validity, since 1970.
    pub not_after: u64,
}

/// Why a text is not the certificate of an instance.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CertificateError {
    /// There is no complete PEM block of a certificate.
    NoPem,
    /// The PEM block is not base64, or not a certificate in DER.
    Malformed,
    /// The public key is not an RSA key.
    NotRsa,
    /// The subject names no tenancy.
    NoTenancy,
}

impl LeafCertificate {
    /// Parses the first certificate of a PEM text. Fails if there is none, it is damaged, its key is not
    /// RSA, or its subject names no tenancy.
    pub fn parse(pem: &[u8]) -> Result<LeafCertificate, CertificateError> {
        let (base64, der) = blocks(pem)?.into_iter().next().ok_or(CertificateError::NoPem)?;
        let fields = der::Fields::read(&der)?;
        Ok(LeafCertificate {
            tenancy: tenancy(&fields.subject).ok_or(CertificateError::NoTenancy)?,
            modulus: fields.modulus,
            not_before: fields.not_before,
            not_after: fields.not_after,
            base64,
            der,
        })
    }

    /// The certificate as it came.
    pub fn der(&self) -> &[u8] {
        &self.der
    }

    /// DER as base64 on one line, without armour and white space.
    pub fn one_line(&self) -> &str {
        &self.base64
    }

    /// The SHA-1 of DER in upper-case hex pairs joined by colons, as the Python SDK names a certificate.
    /// The TypeScript SDK uses lower case.
    pub fn sha1(&self) -> String {
        use sha1::Digest;
        hex_pairs(&sha1::Sha1::digest(&self.der))
    }

    /// The SHA-256 of DER in upper-case hex pairs joined by colons, as the Java SDK names a certificate.
    /// The Go SDK uses lower case.
    pub fn sha256(&self) -> String {
        hex_pairs(ring::digest::digest(&ring::digest::SHA256, &self.der).as_ref())
    }

    /// The modulus of the public key, big endian, without leading zeros.
    pub fn modulus(&self) -> &[u8] {
        &self.modulus
    }

    /// Whether the private key is that of this certificate. Both are read one after the other, and the
    /// instance may get new ones in between.
    pub fn matches_key(&self, key: &Key) -> bool {
        self.modulus == key.modulus()
    }
}

impl fmt::Debug for LeafCertificate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("LeafCertificate")
            .field("sha1", &self.sha1())
            .field("tenancy", &self.tenancy)
            .finish_non_exhaustive()
    }
}

impl fmt::Display for CertificateError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            CertificateError::NoPem => "it holds no certificate in PEM",
            CertificateError::Malformed => "its certificate is damaged",
            CertificateError::NotRsa => "its public key is not an RSA key",
            CertificateError::NoTenancy => {
                "its subject names no tenancy (opc-tenant: or opc-identity:)"
            }
        })
    }
}

impl std::error::Error for CertificateError {}

/// Every certificate of a PEM text as base64 on one line: the issuers of the leaf. Fails if there is
/// none, or one is not base64 of a DER sequence.
pub fn issuers(pem: &[u8]) -> Result<Vec<String>, CertificateError> {
    let blocks = blocks(pem)?;
    if blocks.is_empty() {
        return Err(CertificateError::NoPem);
    }
    if !blocks.iter().all(|(_, der)| der::is_sequence(der)) {
        return Err(CertificateError::Malformed);
    }
    Ok(blocks.into_iter().map(|(base64, _)| base64).collect())
}

/// Every certificate of a PEM text, as base64 without white space and as DER. Text outside of blocks is
/// ignored. Fails if a block has no end or is not base64.
fn blocks(pem: &[u8]) -> Result<Vec<(String, Vec<u8>)>, CertificateError> {
    if pem.len() > MAX_FILE {
        return Err(CertificateError::Malformed);
    }
    let text = String::from_utf8_lossy(pem);
    let mut rest = text.as_ref();
    let mut blocks = Vec::new();
    while let Some((_, after)) = rest.split_once(BEGIN) {
        let (body, after) = after.split_once(END).ok_or(CertificateError::NoPem)?;
        let base64: String = body.split_whitespace().collect();
        let der = STANDARD.decode(&base64).map_err(|_| CertificateError::Malformed)?;
        blocks.push((base64, der));
        rest = after;
    }
    Ok(blocks)
}

/// The tenancy that the values of a subject name, `opc-tenant:` before `opc-identity:`. A text that an
/// OCID cannot have counts as none: it becomes part of a header.
fn tenancy(subject: &[String]) -> Option<String> {
    let value = |prefix: &str| subject.iter().find_map(|value| value.strip_prefix(prefix));
    let tenancy = value("opc-tenant:").or_else(|| value("opc-identity:"))?.trim();
    let legal = |byte: u8| byte.is_ascii_alphanumeric() || b"._-".contains(&byte);
    (!tenancy.is_empty() && tenancy.bytes().all(legal)).then(|| tenancy.to_owned())
}

fn hex_pairs(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02X}")).collect::<Vec<_>>().join(":")
}
