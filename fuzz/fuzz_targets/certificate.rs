//! The certificate of an instance: any text is refused or gives a certificate whose values can be sent.
//!
//! An input that begins with `-` is PEM, one that begins with `=` the values of a subject, one a line, in a
//! certificate that is whole; another one is DER. Both are put in armour.

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
    let base64 = match input.strip_prefix(b"=") {
        Some(values) => STANDARD.encode(certificate(values)),
        None => STANDARD.encode(input),
    };
    Cow::Owned(
        format!("-----BEGIN CERTIFICATE-----\n{base64}\n-----END CERTIFICATE-----").into_bytes(),
    )
}

/// An element of DER of up to 65,535 bytes.
fn element(tag: u8, contents: &[&[u8]]) -> Vec<u8> {
    let contents = contents.concat();
    let [high, low] = u16::try_from(contents.len()).unwrap_or(u16::MAX).to_be_bytes();
    let head = match (high, low) {
        (0, 0..128) => vec![tag, low],
        (0, _) => vec![tag, 0x81, low],
        _ => vec![tag, 0x82, high, low],
    };
    [head, contents].concat()
}

/// A certificate whose subject has these values, each in a set of its own.
fn certificate(values: &[u8]) -> Vec<u8> {
    const SEQUENCE: u8 = 0x30;
    let name = |value: &[u8]| {
        let pair = element(SEQUENCE, &[&element(6, &[&[85, 4, 11]]), &element(12, &[value])]);
        element(0x31, &[&pair])
    };
    let names: Vec<u8> = values.split(|byte| *byte == b'\n').flat_map(name).collect();
    let time = element(0x17, &[b"260101000000Z"]);
    let rsa = element(6, &[&[42, 134, 72, 134, 247, 13, 1, 1, 1]]);
    let algorithm = element(SEQUENCE, &[&rsa, &[5, 0]]);
    let modulus = element(2, &[&[0], &[0xc1; 256]]);
    let key = element(SEQUENCE, &[&modulus, &element(2, &[&[1, 0, 1]])]);
    let key_info = element(SEQUENCE, &[&algorithm, &element(3, &[&[0], &key])]);
    let (serial, validity) = (element(2, &[&[1]]), element(SEQUENCE, &[&time, &time]));
    let subject = element(SEQUENCE, &[&names]);
    let to_sign =
        [&serial[..], &algorithm, &element(SEQUENCE, &[]), &validity, &subject, &key_info];
    element(SEQUENCE, &[&element(SEQUENCE, &to_sign)])
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
