//! The certificate of an instance: any text is refused or gives a certificate whose values can be sent.
//!
//! An input that begins with `-` is PEM; another one is DER, and is put in armour.

#![no_main]

use std::borrow::Cow;

use libfuzzer_sys::fuzz_target;
use proto::principal::LeafCertificate;
use proto::principal::certificate::issuers;

fn pem(input: &[u8]) -> Cow<'_, [u8]> {
    if input.first() == Some(&b'-') {
        return Cow::Borrowed(input);
    }
    let base64 = base64(input);
    Cow::Owned(
        format!("-----BEGIN CERTIFICATE-----\n{base64}\n-----END CERTIFICATE-----").into_bytes(),
    )
}

/// Base64 without a crate of its own.
fn base64(bytes: &[u8]) -> String {
    const ALPHABET: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let mut text = String::with_capacity(bytes.len().div_ceil(3) * 4);
    for group in bytes.chunks(3) {
        let mut number = [0; 4];
        number[1..=group.len()].copy_from_slice(group);
        let number = u32::from_be_bytes(number);
        for place in 0..4 {
            let digit = number >> (18 - 6 * place) & 63;
            let used = place <= group.len();
            text.push(if used { char::from(ALPHABET[digit as usize]) } else { '=' });
        }
    }
    text
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
    let again =
        format!("-----BEGIN CERTIFICATE-----\n{}\n-----END CERTIFICATE-----", base64(leaf.der()));
    assert_eq!(LeafCertificate::parse(again.as_bytes()), Ok(leaf));
});
