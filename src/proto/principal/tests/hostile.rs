//! Any input: no panic, no secret, and what is accepted is consistent.

use std::sync::LazyLock;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use proptest::prelude::*;

use super::*;
use crate::principal::exchange::{OauthClient, SubjectToken};
use crate::principal::metadata::{RegionInfo, RegionText};
use crate::principal::oke::ServiceAccountToken;
use crate::principal::{certificate, exchange, federation, oke, resource};
use crate::region::RegionSources;

static VECTORS: LazyLock<Value> = LazyLock::new(vector_file);
static SESSION: LazyLock<SessionKey> = LazyLock::new(|| session(&VECTORS, "session1"));

fn pem(der: &[u8]) -> String {
    format!("-----BEGIN CERTIFICATE-----\n{}\n-----END CERTIFICATE-----\n", STANDARD.encode(der))
}

fn check_certificate(pem: &[u8]) {
    let _ = certificate::issuers(pem);
    let Ok(leaf) = LeafCertificate::parse(pem) else { return };
    assert!(!leaf.tenancy.is_empty() && leaf.tenancy.bytes().all(|byte| byte.is_ascii_graphic()));
    assert!(!leaf.tenancy.contains(['"', '/', ',']));
    assert_eq!(STANDARD.encode(leaf.der()), leaf.one_line());
    assert_eq!((leaf.sha1().len(), leaf.sha256().len()), (59, 95));
    assert_ne!(leaf.modulus().first(), Some(&0));
}

/// Every parser of a response. An error shows none of the body's long words.
fn check_reply(status: u16, body: &[u8]) {
    let answer = reply(status, body);
    let client = OauthClient::new("id", "hidden-secret").unwrap();
    let subject = SubjectToken::parse("hidden.subject.jwt").unwrap();
    let account = text(&VECTORS, "oke_workload_identity.service_account_token");
    let account = ServiceAccountToken::parse(account).unwrap();
    let tokens =
        r#"{"resourcePrincipalToken":"hidden.rpt","servicePrincipalSessionToken":"hidden.spst"}"#;
    let tokens = resource::tokens(&reply(200, tokens)).unwrap();
    let leaf1 = leaf(&VECTORS, "leaf1");
    let results = [
        federation::token(&answer, &leaf1, &SESSION).map(drop),
        oke::token(&answer, &account, &SESSION).map(drop),
        exchange::token(&answer, &client, &subject, &SESSION).map(drop),
        resource::session_token(&answer, &tokens, &SESSION).map(drop),
        resource::tokens(&answer).map(drop),
    ];
    for error in results.into_iter().filter_map(Result::err) {
        let unusable = error.failure == AuthFailure::Unusable;
        assert_eq!(unusable, (200..300).contains(&status));
        assert!(error.message.len() < 2000, "{error}");
        assert!(!error.message.contains(char::is_control), "{error}");
    }
    let none = RegionSources::default();
    if let Ok(text) = std::str::from_utf8(body) {
        let _ = RegionText::read(text, &none);
        let _ = metadata::instance_id(text);
    }
    let _ = RegionInfo::read(body).map(|info| info.region(&none));
}

proptest! {
    #[test]
    fn any_bytes_are_a_certificate_or_refused(bytes in prop::collection::vec(any::<u8>(), 0..400)) {
        check_certificate(&bytes);
        check_certificate(pem(&bytes).as_bytes());
    }

    #[test]
    fn a_changed_certificate_is_a_certificate_or_refused(
        which in prop::sample::select(vec!["leaf1", "leaf_multi_rdn_unsorted", "leaf_opc_identity"]),
        changes in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..4),
        cut in any::<prop::sample::Index>(),
        shorten in any::<bool>(),
    ) {
        let mut der = leaf(&VECTORS, which).der().to_vec();
        for (index, byte) in changes {
            let index = index.index(der.len());
            der[index] = byte;
        }
        if shorten {
            der.truncate(cut.index(der.len()));
        }
        check_certificate(pem(&der).as_bytes());
    }

    #[test]
    fn any_response_is_a_token_or_an_error(
        status in prop::sample::select(vec![200u16, 204, 302, 400, 401, 429, 503]),
        body in prop::collection::vec(any::<u8>(), 0..200),
        text in ".{0,80}",
    ) {
        check_reply(status, &body);
        check_reply(status, text.as_bytes());
        check_reply(status, &serde_json::to_vec(&serde_json::json!({
            "token": text, "error": text, "error_description": text,
            "realmDomainComponent": text, "regionIdentifier": text,
        })).unwrap());
        check_reply(status, STANDARD.encode(format!("{{\"token\":{text:?}}}")).as_bytes());
    }

    #[test]
    fn a_changed_response_is_a_token_or_an_error(
        which in prop::sample::select(vec![
            "instance_principal.x509_answer",
            "oke_workload_identity.answer_body",
            "token_exchange.answer_body",
        ]),
        changes in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..4),
    ) {
        let mut body = text(&VECTORS, which).as_bytes().to_vec();
        for (index, byte) in changes {
            let index = index.index(body.len());
            body[index] = byte;
        }
        check_reply(200, &body);
        check_reply(401, &body);
    }
}

/// Elements that claim to be longer than they are, nested without end, or of a length that overflows.
#[test]
fn lengths_that_lie_are_refused() {
    let nested = [0x30, 0x80].repeat(5_000);
    let mut longer = leaf(&VECTORS, "leaf1").der().to_vec();
    longer.push(0);
    for der in [
        &[0x30][..],
        &[0x30, 0x84, 0xff, 0xff, 0xff, 0xff],
        &[0x30, 0x89, 1, 1, 1, 1, 1, 1, 1, 1, 1],
        &[0x30, 0x80, 0, 0],
        &[0x3f, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0],
        &nested,
        &longer,
    ] {
        assert_eq!(LeafCertificate::parse(pem(der).as_bytes()), Err(CertificateError::Malformed));
    }
}
