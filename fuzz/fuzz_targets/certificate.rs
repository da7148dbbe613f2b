//! The certificate of an instance: any text is refused or gives a certificate whose values can be sent.
//!
//! An input that begins with `-` is PEM; another one is DER, and is put in armour.

#![no_main]

use std::borrow::Cow;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use libfuzzer_sys::fuzz_target;
use proto::principal::LeafCertificate;
use proto::principal::certificate::issuers;

fn pem(input: &[u8]) -> Cow<'_, [u8]> {
    if input.first() == Some(&b'-') {
        return Cow::Borrowed(input);
    }
    let base64 = STANDARD.encode(input);
    Cow::Owned(
        format!("-----BEGIN CERTIFICATE-----\n{base64}\n-----END CERTIFICATE-----").into_bytes(),
    )
}

fuzz_target!(|input: &[u8]| {
    let pem = pem(input);
    let issuers = issuers(&pem);
    let Ok(leaf) = LeafCertificate::parse(&pem) else { return };
    // A leaf has the form of an issuer; more blocks behind it may have not.
    if let Ok(issuers) = issuers {
        assert_eq!(issuers[0], leaf.one_line());
    }
    assert!(!leaf.tenancy.is_empty());
    assert!(leaf.tenancy.bytes().all(|byte| byte.is_ascii_graphic() && byte != b'"'));
    assert_eq!((leaf.sha1().len(), leaf.sha256().len()), (59, 95));
    let again = format!(
        "-----BEGIN CERTIFICATE-----\n{}\n-----END CERTIFICATE-----",
        STANDARD.encode(leaf.der())
    );
    assert_eq!(LeafCertificate::parse(again.as_bytes()), Ok(leaf));
});
