//! X.509 certificates, written in DER and signed with ECDSA.
//!
//! Pure but for the random numbers of a signature. Owns the encoding; knows nothing of instances.
//! Invariant: the attributes of a name are written in the order given, also where DER demands
//! another, since certificates of the service do not keep it.

use ring::rand::SystemRandom;
use ring::signature::{ECDSA_P256_SHA256_ASN1_SIGNING, EcdsaKeyPair, KeyPair};
use std::io;
use std::time::SystemTime;
use yasna::models::ObjectIdentifier;
use yasna::tags::{TAG_GENERALIZEDTIME, TAG_SET, TAG_UTCTIME};
use yasna::{DERWriter, Tag};

const EC_PUBLIC_KEY: [u64; 6] = [1, 2, 840, 10045, 2, 1];
const P256: [u64; 7] = [1, 2, 840, 10045, 3, 1, 7];
const ECDSA_WITH_SHA256: [u64; 7] = [1, 2, 840, 10045, 4, 3, 2];
const BASIC_CONSTRAINTS: [u64; 4] = [2, 5, 29, 19];

/// The beginning of the year 2050, in seconds since 1970.
const YEAR_2050: i64 = 2_524_608_000;

/// The type of an attribute of a name.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Attribute {
    CommonName,
    Organization,
    OrganizationalUnit,
}

impl Attribute {
    fn oid(self) -> ObjectIdentifier {
        let last = match self {
            Attribute::CommonName => 3,
            Attribute::Organization => 10,
            Attribute::OrganizationalUnit => 11,
        };
        ObjectIdentifier::from_slice(&[2, 5, 4, last])
    }
}

/// A name: relative names, each of one or several attributes.
pub(super) type Name = Vec<Vec<(Attribute, String)>>;

/// What a certificate certifies.
pub(super) struct CertificateFields<'a> {
    pub serial: u64,
    pub issuer: &'a Name,
    pub subject: &'a Name,
    pub not_before: SystemTime,
    pub not_after: SystemTime,
    /// The SubjectPublicKeyInfo in DER.
    pub public_key: &'a [u8],
    /// Whether the subject may issue certificates.
    pub is_authority: bool,
}

/// A key that signs certificates.
pub(super) struct SigningKey {
    pair: EcdsaKeyPair,
    random: SystemRandom,
}

impl SigningKey {
    /// A new key. Fails if the system provides no randomness.
    pub(super) fn generate() -> io::Result<SigningKey> {
        let failed = |_| io::Error::other("the system gave no randomness for an authority's key");
        let random = SystemRandom::new();
        let algorithm = &ECDSA_P256_SHA256_ASN1_SIGNING;
        let pkcs8 = EcdsaKeyPair::generate_pkcs8(algorithm, &random).map_err(failed)?;
        let pair = EcdsaKeyPair::from_pkcs8(algorithm, pkcs8.as_ref(), &random)
            .map_err(|error| io::Error::other(error.to_string()))?;
        Ok(SigningKey { pair, random })
    }

    /// The SubjectPublicKeyInfo in DER.
    pub(super) fn public_key(&self) -> Vec<u8> {
        let point = self.pair.public_key().as_ref();
        yasna::construct_der(|writer| {
            writer.write_sequence(|writer| {
                writer.next().write_sequence(|writer| {
                    writer.next().write_oid(&ObjectIdentifier::from_slice(&EC_PUBLIC_KEY));
                    writer.next().write_oid(&ObjectIdentifier::from_slice(&P256));
                });
                writer.next().write_bitvec_bytes(point, point.len() * 8);
            });
        })
    }

    /// The certificate with these fields, signed with this key, in DER. Fails if the system
    /// provides no randomness.
    pub(super) fn certify(&self, fields: &CertificateFields<'_>) -> io::Result<Vec<u8>> {
        let certified = yasna::construct_der(|writer| write_fields(writer, fields));
        let signature = self
            .pair
            .sign(&self.random, &certified)
            .map_err(|_| io::Error::other("the key of an authority cannot sign"))?;
        let signature = signature.as_ref();
        Ok(yasna::construct_der(|writer| {
            writer.write_sequence(|writer| {
                writer.next().write_der(&certified);
                write_algorithm(writer.next());
                writer.next().write_bitvec_bytes(signature, signature.len() * 8);
            });
        }))
    }
}

fn write_fields(writer: DERWriter<'_>, fields: &CertificateFields<'_>) {
    writer.write_sequence(|writer| {
        // Version 3 is written as 2.
        writer.next().write_tagged(Tag::context(0), |writer| writer.write_u64(2));
        writer.next().write_u64(fields.serial);
        write_algorithm(writer.next());
        write_name(writer.next(), fields.issuer);
        writer.next().write_sequence(|writer| {
            write_time(writer.next(), fields.not_before);
            write_time(writer.next(), fields.not_after);
        });
        write_name(writer.next(), fields.subject);
        writer.next().write_der(fields.public_key);
        if fields.is_authority {
            writer.next().write_tagged(Tag::context(3), |writer| {
                writer.write_sequence(|writer| write_authority(writer.next()));
            });
        }
    });
}

fn write_algorithm(writer: DERWriter<'_>) {
    writer.write_sequence(|writer| {
        writer.next().write_oid(&ObjectIdentifier::from_slice(&ECDSA_WITH_SHA256));
    });
}

fn write_name(writer: DERWriter<'_>, name: &Name) {
    writer.write_sequence(|writer| {
        for attributes in name {
            // A sequence with the tag of a set: a set would be sorted.
            writer.next().write_tagged_implicit(TAG_SET, |writer| {
                writer.write_sequence(|writer| {
                    for (attribute, text) in attributes {
                        writer.next().write_sequence(|writer| {
                            writer.next().write_oid(&attribute.oid());
                            writer.next().write_printable_string(text);
                        });
                    }
                });
            });
        }
    });
}

fn write_time(writer: DERWriter<'_>, time: SystemTime) {
    let time = jiff::Timestamp::try_from(time).unwrap_or_default();
    // Years from 2050 on do not fit the two digits of a UTCTime.
    let (tag, format) = if time.as_second() < YEAR_2050 {
        (TAG_UTCTIME, "%y%m%d%H%M%SZ")
    } else {
        (TAG_GENERALIZEDTIME, "%Y%m%d%H%M%SZ")
    };
    let text = time.strftime(format).to_string();
    writer.write_tagged_implicit(tag, |writer| writer.write_bytes(text.as_bytes()));
}

fn write_authority(writer: DERWriter<'_>) {
    let constraints = yasna::construct_der(|writer| {
        writer.write_sequence(|writer| writer.next().write_bool(true));
    });
    writer.write_sequence(|writer| {
        writer.next().write_oid(&ObjectIdentifier::from_slice(&BASIC_CONSTRAINTS));
        writer.next().write_bool(true);
        writer.next().write_bytes(&constraints);
    });
}
