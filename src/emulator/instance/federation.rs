//! The request of an instance for a token: `POST /v1/x509`, signed with the key of its certificate.
//!
//! Pure: takes the server's time and what it trusts as arguments. Written from the documentation of
//! the service's clients, which differ in the form of the key id, the fields of the body and the
//! headers that they sign. Invariant: a request is accepted only if its leaf is in date and chains
//! to the trusted issuer, and the key of that leaf signed the date, the target and the body.

use super::super::auth::check_date;
use super::super::response::{ErrorResponse, parse};
use super::super::signature::{
    Authorization, Coverage, PublicKey, SignedHead, check_coverage, signed_text,
};
use super::authority::TrustedIssuer;
use super::subject;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use rustls::pki_types::CertificateDer;
use serde::Deserialize;
use sha1::Digest;
use std::time::SystemTime;
use webpki::EndEntityCert;

/// The body; fields that are not named here are accepted.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct FederationBody {
    certificate: String,
    public_key: String,
    intermediate_certificates: Option<Vec<String>>,
}

/// What a verified request asks for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct VerifiedInstance {
    pub tenancy: String,
    /// The SHA-1 of the certificate: pairs of upper-case hexadecimal digits.
    pub fingerprint: String,
    /// The key that the token is to bind.
    pub key: PublicKey,
}

/// Verifies a request. Fails with 400 if the body is malformed, else with 401.
pub(crate) fn verify_request(
    head: &SignedHead<'_>,
    body: &[u8],
    trust: &TrustedIssuer,
    now: SystemTime,
) -> Result<VerifiedInstance, ErrorResponse> {
    let header = head.headers.get("authorization").ok_or_else(ErrorResponse::no_credentials)?;
    let authorization = header.to_str().ok().and_then(Authorization::parse);
    let authorization = authorization.ok_or_else(ErrorResponse::wrong_credentials)?;
    check_coverage(&authorization, Coverage::BodyWithoutHost)?;
    check_date(&authorization, head, now)?;
    let claimed = head.headers.get("x-content-sha256").map(|value| value.as_bytes());
    let actual = STANDARD.encode(sha2::Sha256::digest(body));
    if claimed != Some(actual.as_bytes()) {
        return Err(refused("The body does not match x-content-sha256"));
    }
    let body: FederationBody = parse(body)?;
    let leaf = decode(&body.certificate).map(CertificateDer::from);
    let leaf = leaf.ok_or_else(|| ErrorResponse::invalid_parameter("certificate is not base64"))?;
    let intermediates = body.intermediate_certificates.unwrap_or_default();
    let intermediates: Option<Vec<CertificateDer<'_>>> =
        intermediates.iter().map(|text| decode(text).map(CertificateDer::from)).collect();
    let intermediates = intermediates.ok_or_else(|| {
        ErrorResponse::invalid_parameter("intermediateCertificates are not base64")
    })?;
    let certificate = EndEntityCert::try_from(&leaf)
        .map_err(|error| refused(&format!("The certificate cannot be read: {error}")))?;
    trust
        .verify(&certificate, &intermediates, now)
        .map_err(|error| refused(&format!("The certificate is not accepted: {error}")))?;
    let tenancy = subject::tenancy(&in_sequence(certificate.subject()))
        .ok_or_else(|| refused("The subject of the certificate names no tenancy"))?;
    let fingerprint = fingerprint(sha1::Sha1::digest(&leaf).as_slice());
    check_key_id(&authorization.key_id, &tenancy, &fingerprint, &leaf)?;
    let signer = PublicKey::from_der(&certificate.subject_public_key_info())
        .ok_or_else(|| refused("The key of the certificate is not an RSA key"))?;
    let text = signed_text(&authorization.headers, head);
    let text = text.ok_or_else(ErrorResponse::wrong_credentials)?;
    if !signer.verify(&text, &authorization.signature) {
        return Err(refused("Failed to verify the HTTP(S) Signature"));
    }
    let key = PublicKey::from_text(&body.public_key)
        .ok_or_else(|| ErrorResponse::invalid_parameter("publicKey is not an RSA public key"))?;
    Ok(VerifiedInstance { tenancy, fingerprint, key })
}

/// Checks `TENANCY/fed-x509/SHA-1` or `TENANCY/fed-x509-sha256/SHA-256`, digits in either case.
fn check_key_id(
    key_id: &str,
    tenancy: &str,
    sha1: &str,
    leaf: &CertificateDer<'_>,
) -> Result<(), ErrorResponse> {
    let parts: Vec<&str> = key_id.split('/').collect();
    let [named_tenancy, digest, named] = parts.as_slice() else {
        return Err(refused("The keyId is not TENANCY/fed-x509/FINGERPRINT"));
    };
    if *named_tenancy != tenancy {
        return Err(refused("The tenancy of the keyId is not that of the certificate"));
    }
    let expected = match *digest {
        "fed-x509" => sha1.to_owned(),
        "fed-x509-sha256" => fingerprint(sha2::Sha256::digest(leaf).as_slice()),
        _ => return Err(refused("The keyId is not TENANCY/fed-x509/FINGERPRINT")),
    };
    if named.eq_ignore_ascii_case(&expected) {
        Ok(())
    } else {
        Err(refused("The fingerprint of the keyId is not that of the certificate"))
    }
}

/// Pairs of upper-case hexadecimal digits.
fn fingerprint(digest: &[u8]) -> String {
    let pairs: Vec<String> = digest.iter().map(|byte| format!("{byte:02X}")).collect();
    pairs.join(":")
}

/// Base64 with any white space.
fn decode(text: &str) -> Option<Vec<u8>> {
    STANDARD.decode(text.split_ascii_whitespace().collect::<String>()).ok()
}

/// The content of a sequence with its tag and length.
fn in_sequence(content: &[u8]) -> Vec<u8> {
    yasna::construct_der(|writer| writer.write_sequence(|writer| writer.next().write_der(content)))
}

fn refused(message: &str) -> ErrorResponse {
    ErrorResponse::not_authenticated(message)
}

#[cfg(test)]
#[path = "federation_tests.rs"]
mod tests;
