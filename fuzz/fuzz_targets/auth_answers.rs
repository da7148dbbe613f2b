//! A response of a service that issues tokens, or of the metadata service: it is parsed or refused, and
//! no message shows a secret of the request or a control character.
//!
//! The first two bytes are the status, the rest is the body.

#![no_main]

use std::sync::{Arc, LazyLock};

use libfuzzer_sys::fuzz_target;
use proto::api::Response;
use proto::key::Key;
use proto::principal::LeafCertificate;
use proto::principal::exchange::{self, OauthClient, SubjectToken};
use proto::principal::federation;
use proto::principal::metadata::{self, RegionInfo, RegionText};
use proto::principal::oke::{self, ServiceAccountToken};
use proto::principal::resource::{self, ResourceTokens};
use proto::principal::{AuthCallError, AuthFailure, AuthReply, SessionKey};
use proto::region::RegionSources;
use proto::token::Token;

/// Header and claims `{"exp":5}`, and a signature of one byte.
const ACCOUNT: &str = "e30.eyJleHAiOjV9.QQ";

struct Given {
    leaf: LeafCertificate,
    session_key: SessionKey,
    client: OauthClient,
    subject: SubjectToken,
    account: ServiceAccountToken,
    tokens: ResourceTokens,
}

static GIVEN: LazyLock<Given> = LazyLock::new(|| {
    let pem = include_bytes!("../../src/emulator/testkey.pem");
    let tokens =
        r#"{"resourcePrincipalToken":"SECRET-RPT","servicePrincipalSessionToken":"SECRET-RPT"}"#;
    let leaf = include_bytes!("../seeds/certificate/pem");
    Given {
        leaf: LeafCertificate::parse(leaf).expect("a good certificate"),
        session_key: SessionKey::of(Arc::new(Key::from_pem(pem, None).expect("a good key"))),
        client: OauthClient::new("id", "SECRET-CLIENT").expect("a good client"),
        subject: SubjectToken::parse("SECRET-JWT").expect("a good token"),
        account: ServiceAccountToken::parse(ACCOUNT).expect("a good token"),
        tokens: resource::tokens(&reply(200, tokens.as_bytes())).expect("good tokens"),
    }
});

fn reply(status: u16, body: &[u8]) -> AuthReply {
    AuthReply::of(Response { status, headers: Vec::new(), body: body.to_vec() })
}

/// Checks a result; `secrets` are those of the request.
fn check(status: u16, result: Result<Token, AuthCallError>, secrets: &[&str]) {
    let success = (200..300).contains(&status);
    match result {
        Ok(token) => assert!(success && !token.secret().is_empty()),
        Err(error) => {
            assert_eq!(error.failure == AuthFailure::Unusable, success);
            assert!(!error.message.contains(char::is_control), "{error}");
            assert!(!secrets.iter().any(|secret| error.message.contains(secret)), "{error}");
        }
    }
}

fuzz_target!(|input: (u16, &[u8])| {
    let (number, body) = input;
    let status = if number % 2 == 0 { 200 } else { 100 + number % 500 };
    let Given { leaf, session_key, client, subject, account, tokens } = &*GIVEN;
    let answer = reply(status, body);
    check(status, federation::token(&answer, leaf, session_key), &[]);
    check(status, oke::token(&answer, account, session_key), &[ACCOUNT]);
    let exchanged = exchange::token(&answer, client, subject, session_key);
    check(status, exchanged, &["SECRET-JWT", "SECRET-CLIENT"]);
    check(status, resource::session_token(&answer, tokens, session_key), &["SECRET-RPT"]);
    if let Err(error) = resource::tokens(&answer) {
        check(status, Err(error), &[]);
    }
    let none = RegionSources::default();
    let _ = RegionInfo::read(body).map(|info| info.region(&none));
    if let Ok(text) = std::str::from_utf8(body) {
        let _ = RegionText::read(text, &none);
        assert!(metadata::instance_id(text).is_none_or(|id| id.starts_with("ocid1.")));
    }
});
