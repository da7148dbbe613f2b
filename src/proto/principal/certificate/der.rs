//! The few fields of an X.509 certificate that are needed, from its DER.
//!
//! Owns the path through the nested elements. Must not know PEM or what a value means. It reads one
//! element after the other and checks neither the order of a SET nor the length of a string. Invariant:
//! no input causes a panic, and no element is read twice.

use pkcs8::ObjectIdentifier;
use pkcs8::der::asn1::{AnyRef, GeneralizedTime, UintRef, UtcTime};
use pkcs8::der::{Class, Decode, Reader, SliceReader, Tag, Tagged};

use super::CertificateError;

const RSA: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.113549.1.1.1");

/// What is read from a certificate.
pub(super) struct Fields {
    /// The values of the subject in their order, whatever their types.
    pub subject: Vec<String>,
    /// Big endian, without leading zeros.
    pub modulus: Vec<u8>,
    /// Seconds since 1970.
    pub not_before: u64,
    /// Seconds since 1970.
    pub not_after: u64,
}

impl Fields {
    /// Reads a certificate. Fails if it is not one, or has something behind it, or its key is not RSA.
    pub(super) fn read(der: &[u8]) -> Result<Fields, CertificateError> {
        let (validity, subject, key_info) = parts(der).ok_or(CertificateError::Malformed)?;
        let (not_before, not_after) = times(validity).ok_or(CertificateError::Malformed)?;
        Ok(Fields {
            subject: values(subject).ok_or(CertificateError::Malformed)?,
            modulus: modulus(key_info)?,
            not_before,
            not_after,
        })
    }
}

/// Whether the bytes are one SEQUENCE and nothing else.
pub(super) fn is_sequence(der: &[u8]) -> bool {
    sequence(der).is_some()
}

/// The elements of a constructed element, or of a list of elements.
struct Elements<'a>(SliceReader<'a>);

impl<'a> Elements<'a> {
    fn of(bytes: &'a [u8]) -> Option<Elements<'a>> {
        Some(Elements(SliceReader::new(bytes).ok()?))
    }

    /// The next element; `None` at the end or if it is damaged.
    fn next(&mut self) -> Option<AnyRef<'a>> {
        AnyRef::decode(&mut self.0).ok()
    }

    /// The contents of the next element, which must have this tag.
    fn contents(&mut self, tag: Tag) -> Option<&'a [u8]> {
        self.next().filter(|element| element.tag() == tag).map(|element| element.value())
    }

    fn at_end(&self) -> bool {
        self.0.is_finished()
    }
}

/// The elements of a SEQUENCE with nothing behind it.
fn sequence(der: &[u8]) -> Option<Elements<'_>> {
    let mut outer = Elements::of(der)?;
    let contents = outer.contents(Tag::Sequence)?;
    if outer.at_end() { Elements::of(contents) } else { None }
}

/// The contents of validity, subject and public key.
fn parts(der: &[u8]) -> Option<(&[u8], &[u8], &[u8])> {
    let mut certificate = Elements::of(sequence(der)?.contents(Tag::Sequence)?)?;
    let first = certificate.next()?;
    // The version is optional; the serial number is not.
    if first.tag().class() == Class::ContextSpecific {
        certificate.next()?;
    }
    let _signature_algorithm = certificate.contents(Tag::Sequence)?;
    let _issuer = certificate.contents(Tag::Sequence)?;
    let validity = certificate.contents(Tag::Sequence)?;
    let subject = certificate.contents(Tag::Sequence)?;
    Some((validity, subject, certificate.contents(Tag::Sequence)?))
}

/// Both ends of the validity, in seconds since 1970.
fn times(validity: &[u8]) -> Option<(u64, u64)> {
    let mut ends = Elements::of(validity)?;
    Some((seconds(ends.next()?)?, seconds(ends.next()?)?))
}

fn seconds(time: AnyRef<'_>) -> Option<u64> {
    let since_1970 = match time.tag() {
        Tag::UtcTime => time.decode_as::<UtcTime>().ok()?.to_unix_duration(),
        _ => time.decode_as::<GeneralizedTime>().ok()?.to_unix_duration(),
    };
    Some(since_1970.as_secs())
}

/// The values of a subject: a SEQUENCE of SETs of SEQUENCEs of type and value. A value that is not text
/// is left out.
fn values(subject: &[u8]) -> Option<Vec<String>> {
    let mut values = Vec::new();
    let mut names = Elements::of(subject)?;
    while !names.at_end() {
        let mut set = Elements::of(names.contents(Tag::Set)?)?;
        while !set.at_end() {
            let mut attribute = Elements::of(set.contents(Tag::Sequence)?)?;
            let _type = attribute.next()?;
            let value = attribute.next()?;
            values.extend(std::str::from_utf8(value.value()).map(str::to_owned));
        }
    }
    Some(values)
}

/// The modulus of a SubjectPublicKeyInfo.
fn modulus(key_info: &[u8]) -> Result<Vec<u8>, CertificateError> {
    let (algorithm, key) = algorithm_and_key(key_info).ok_or(CertificateError::Malformed)?;
    if algorithm != RSA {
        return Err(CertificateError::NotRsa);
    }
    let mut numbers = sequence(key).ok_or(CertificateError::Malformed)?;
    let modulus = numbers
        .next()
        .and_then(|number| Some(number.decode_as::<UintRef<'_>>().ok()?.as_bytes().to_vec()));
    modulus.filter(|modulus| !modulus.is_empty()).ok_or(CertificateError::Malformed)
}

/// The algorithm and the contents of the BIT STRING, which has no unused bits.
fn algorithm_and_key(key_info: &[u8]) -> Option<(ObjectIdentifier, &[u8])> {
    let mut info = Elements::of(key_info)?;
    let mut algorithm = Elements::of(info.contents(Tag::Sequence)?)?;
    let algorithm = algorithm.next()?.decode_as::<ObjectIdentifier>().ok()?;
    Some((algorithm, info.contents(Tag::BitString)?.strip_prefix(&[0])?))
}
