//! The authority of instance certificates: a root and an intermediate that issues leaves, and the
//! check of a chain.
//!
//! Owns the keys of both, which are never written; knows no instance. Invariant: `verify` accepts
//! only a leaf that is in date and that a certificate under the trusted root issued. The authority
//! signs with ECDSA where the service uses RSA: clients pass its certificates on unread, and a
//! P-256 key is generated in less than a millisecond.

use super::certificate::{Attribute, CertificateFields, Name, SigningKey};
use rustls::pki_types::{CertificateDer, TrustAnchor, UnixTime};
use std::io;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, SystemTime, UNIX_EPOCH};
use webpki::{EndEntityCert, KeyUsage};

/// How long before and after the start of the server the authority's own certificates are valid.
const TEN_YEARS: Duration = Duration::from_secs(10 * 365 * 86_400);

/// A root and an intermediate certificate with their keys.
pub(super) struct CertificateAuthority {
    intermediate_name: Name,
    intermediate_key: SigningKey,
    intermediate: Vec<u8>,
    trust: TrustedIssuer,
    next_serial: AtomicU64,
}

impl CertificateAuthority {
    /// A new authority. Fails if the system provides no randomness.
    pub(super) fn generate(now: SystemTime) -> io::Result<CertificateAuthority> {
        let (root_key, intermediate_key) = (SigningKey::generate()?, SigningKey::generate()?);
        let root_name = common_name("ocipipe serve, root of instances");
        let intermediate_name = common_name("ocipipe serve, intermediate of instances");
        let not_before = now.checked_sub(TEN_YEARS).unwrap_or(UNIX_EPOCH);
        let not_after = now + TEN_YEARS;
        let authority = |serial, subject, public_key: &[u8]| {
            root_key.certify(&CertificateFields {
                serial,
                issuer: &root_name,
                subject,
                not_before,
                not_after,
                public_key,
                is_authority: true,
            })
        };
        let root = authority(1, &root_name, &root_key.public_key())?;
        let intermediate = authority(2, &intermediate_name, &intermediate_key.public_key())?;
        Ok(CertificateAuthority {
            intermediate_name,
            intermediate_key,
            intermediate,
            trust: TrustedIssuer::new(&root)?,
            next_serial: AtomicU64::new(3),
        })
    }

    /// The intermediate certificate in DER.
    pub(super) fn intermediate(&self) -> &[u8] {
        &self.intermediate
    }

    /// The root, as what verifies chains.
    pub(super) fn trust(&self) -> &TrustedIssuer {
        &self.trust
    }

    /// A leaf certificate in DER. Fails if the system provides no randomness.
    pub(super) fn issue(
        &self,
        subject: &Name,
        public_key: &[u8],
        not_before: SystemTime,
        not_after: SystemTime,
    ) -> io::Result<Vec<u8>> {
        self.intermediate_key.certify(&CertificateFields {
            serial: self.next_serial.fetch_add(1, Ordering::SeqCst),
            issuer: &self.intermediate_name,
            subject,
            not_before,
            not_after,
            public_key,
            is_authority: false,
        })
    }
}

fn common_name(text: &str) -> Name {
    vec![vec![(Attribute::CommonName, text.to_owned())]]
}

/// A certificate whose issues are trusted.
pub(crate) struct TrustedIssuer(TrustAnchor<'static>);

impl TrustedIssuer {
    /// Trusts this certificate, given in DER; fails if it cannot be parsed.
    pub(crate) fn new(certificate: &[u8]) -> io::Result<TrustedIssuer> {
        let certificate = CertificateDer::from(certificate);
        webpki::anchor_from_trusted_cert(&certificate)
            .map(|anchor| TrustedIssuer(anchor.to_owned()))
            .map_err(|error| io::Error::new(io::ErrorKind::InvalidData, error.to_string()))
    }

    /// Checks that a leaf is in date and that this issuer or one of the intermediates under it
    /// issued it. Fails with what is wrong.
    pub(crate) fn verify(
        &self,
        leaf: &EndEntityCert<'_>,
        intermediates: &[CertificateDer<'_>],
        now: SystemTime,
    ) -> Result<(), webpki::Error> {
        let algorithms: &[&dyn rustls::pki_types::SignatureVerificationAlgorithm] = &[
            webpki::ring::RSA_PKCS1_2048_8192_SHA256,
            webpki::ring::RSA_PKCS1_2048_8192_SHA384,
            webpki::ring::RSA_PKCS1_2048_8192_SHA512,
            webpki::ring::ECDSA_P256_SHA256,
        ];
        let since_1970 = now.duration_since(UNIX_EPOCH).unwrap_or_default();
        let time = UnixTime::since_unix_epoch(since_1970);
        let usage = KeyUsage::client_auth();
        let anchors = std::slice::from_ref(&self.0);
        leaf.verify_for_usage(algorithms, anchors, intermediates, time, usage, None, None)?;
        Ok(())
    }
}
