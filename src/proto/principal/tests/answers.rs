//! Responses: tokens, failures, and what is not a token.

use super::*;
use crate::api::Response;
use crate::principal::exchange::{CredentialTextError, OauthClient, SubjectToken};
use crate::principal::federation::{self, IdentityError, InstanceIdentity};
use crate::principal::oke::{self, ServiceAccountToken};
use crate::principal::{certificate, exchange, resource};
use crate::region::{Region, RegionSources};
use crate::token::{Token, TokenError};

fn account(vectors: &Value) -> ServiceAccountToken {
    ServiceAccountToken::parse(text(vectors, "oke_workload_identity.service_account_token"))
        .unwrap()
}

fn client() -> OauthClient {
    OauthClient::new("testclientid", "testclientsecret").unwrap()
}

fn subject() -> SubjectToken {
    SubjectToken::parse("TEST.SUBJECT.JWT").unwrap()
}

#[test]
fn each_answer_of_the_vectors_gives_its_token() {
    let vectors = vector_file();
    let session1 = session(&vectors, "session1");
    let tenancy = text(&vectors, "ocids.tenancy");

    let answer = reply(200, text(&vectors, "instance_principal.x509_answer"));
    let token = federation::token(&answer, &leaf(&vectors, "leaf1"), &session1).unwrap();
    assert_eq!(token.secret(), text(&vectors, "instance_principal.token"));
    assert_eq!((token.issued, token.expires), (Some(1_767_225_600), 1_767_226_800));
    assert_eq!(token.tenancy.as_deref(), Some(tenancy));

    let refreshed = text(&vectors, "instance_principal.refresh.token");
    let answer = reply(200, format!("{{\"token\": \"{refreshed}\"}}"));
    let session2 = session(&vectors, "session2");
    let token = federation::token(&answer, &leaf(&vectors, "leaf2"), &session2).unwrap();
    assert_eq!(token.secret(), refreshed);

    for form in ["answer_body", "answer_body_unquoted_variant"] {
        let answer = reply(200, text(&vectors, &format!("oke_workload_identity.{form}")));
        let token = oke::token(&answer, &account(&vectors), &session1).unwrap();
        assert_eq!(token.secret(), text(&vectors, "oke_workload_identity.token"), "{form}");
        assert_eq!(token.tenancy.as_deref(), Some(tenancy), "{form}");
    }

    let answer = reply(200, text(&vectors, "token_exchange.answer_body"));
    let token = exchange::token(&answer, &client(), &subject(), &session1).unwrap();
    assert_eq!(token.secret(), text(&vectors, "token_exchange.token"));
    assert_eq!(token.tenancy.as_deref(), Some(tenancy));
}

#[test]
fn resource_tokens_name_their_tenancy_and_their_key() {
    let vectors = vector_file();
    for (token, key) in [("token", "rp"), ("after_files_replaced_and_401.token", "session1")] {
        let token = text(&vectors, &format!("resource_principal_2_2.{token}"));
        let token = Token::parse(token).unwrap();
        assert_eq!(token.tenancy.as_deref(), Some(text(&vectors, "ocids.tenancy")));
        assert!(token.matches_key(&session(&vectors, key).modulus()));
        // The negative case key_mismatch.
        assert!(!token.matches_key(&session(&vectors, "session2").modulus()));
    }
    let token = text(&vectors, "resource_principal_2_2.token");
    let pair = r#"{"resourcePrincipalToken": "a", "servicePrincipalSessionToken": "b"}"#;
    let tokens = resource::tokens(&reply(200, pair)).unwrap();
    let answer = reply(200, format!("{{\"token\":\"{token}\"}}"));
    let found = resource::session_token(&answer, &tokens, &session(&vectors, "rp")).unwrap();
    assert_eq!(found.secret(), token);
    let region = text(&vectors, "resource_principal_2_2.env.OCI_RESOURCE_PRINCIPAL_REGION");
    let region = Region::find(region, &RegionSources::default()).unwrap();
    assert_eq!(region.name, text(&vectors, "resource_principal_2_2.region_resolved"));
}

#[test]
fn a_workload_token_may_come_without_its_prefix() {
    use base64::Engine;
    let vectors = vector_file();
    let token = text(&vectors, "oke_workload_identity.token");
    let encode = |text: &str| base64::engine::general_purpose::STANDARD.encode(text);
    for inner in [format!("{{\"token\":\"{token}\"}}"), format!("{{\"token\":\"ST${token}\"}}")] {
        for body in [encode(&inner), format!("\"{}\"\n", encode(&inner))] {
            let found =
                oke::token(&reply(200, body), &account(&vectors), &session(&vectors, "session1"));
            assert_eq!(found.unwrap().secret(), token);
        }
    }
}

/// The negative cases `token_not_jwt` and `no_token`, and their kind, for each service.
#[test]
fn a_success_without_a_usable_token_is_unusable_and_not_asked_again() {
    let vectors = vector_file();
    let session1 = session(&vectors, "session1");
    let other_key = text(&vectors, "instance_principal.refresh.token");
    let bodies = [
        r#"{"token":"abc"}"#.to_owned(),
        r#"{"x":1}"#.to_owned(),
        r#"{"token":null}"#.to_owned(),
        r#"{"token":7}"#.to_owned(),
        r#"{"token":""}"#.to_owned(),
        "[]".to_owned(),
        "<html>login</html>".to_owned(),
        String::new(),
        format!("{{\"token\":\"{other_key}\"}}"),
    ];
    for body in bodies {
        let answer = reply(200, &body);
        let tokens = resource::tokens(&reply(
            200,
            r#"{"resourcePrincipalToken":"a","servicePrincipalSessionToken":"b"}"#,
        ));
        let errors = [
            federation::token(&answer, &leaf(&vectors, "leaf1"), &session1).unwrap_err(),
            oke::token(&answer, &account(&vectors), &session1).unwrap_err(),
            exchange::token(&answer, &client(), &subject(), &session1).unwrap_err(),
            resource::session_token(&answer, &tokens.unwrap(), &session1).unwrap_err(),
            resource::tokens(&answer).unwrap_err(),
        ];
        for error in errors {
            assert_eq!((error.failure, error.status), (AuthFailure::Unusable, 200), "{body}");
            assert!(!error.message.contains(&other_key[..30]), "{error}");
        }
    }
}

#[test]
fn a_token_of_another_tenancy_than_the_certificate_is_unusable() {
    let vectors = vector_file();
    let answer = reply(200, text(&vectors, "instance_principal.x509_answer"));
    let other = leaf(&vectors, "leaf_other_tenancy");
    let error = federation::token(&answer, &other, &session(&vectors, "session1")).unwrap_err();
    assert_eq!(error.failure, AuthFailure::Unusable);
    assert!(error.message.contains("another tenancy"), "{error}");
}

#[test]
fn a_status_decides_whether_the_same_request_may_succeed_later() {
    let vectors = vector_file();
    let (leaf1, session1) = (leaf(&vectors, "leaf1"), session(&vectors, "session1"));
    for (status, failure) in [
        (400, AuthFailure::Rejected),
        (401, AuthFailure::Rejected),
        (403, AuthFailure::Rejected),
        (404, AuthFailure::Rejected),
        (302, AuthFailure::Rejected),
        (408, AuthFailure::Temporary),
        (429, AuthFailure::Temporary),
        (500, AuthFailure::Temporary),
        (501, AuthFailure::Temporary),
        (503, AuthFailure::Temporary),
    ] {
        let body = r#"{"code":"NotAuthenticated","message":"The required information"}"#;
        let mut answer = reply(status, body);
        answer.request_id = Some("REQ/1".to_owned());
        answer.retry_after = Some(3);
        let error = federation::token(&answer, &leaf1, &session1).unwrap_err();
        assert_eq!((error.failure, error.status, error.retry_after), (failure, status, Some(3)));
        assert_eq!(
            error.message,
            format!(
                "the auth service answered HTTP {status} NotAuthenticated: The required information \
                 (opc-request-id REQ/1)"
            )
        );
        assert_eq!(error.into_error().kind.exit_code(), 3);
    }
    let hint = |status| federation::token(&reply(status, ""), &leaf1, &session1).unwrap_err().hint;
    assert!(hint(401).unwrap().contains("clock"));
    assert!(hint(307).unwrap().contains("redirects"));
    assert_eq!(hint(503), None);
}

#[test]
fn a_cluster_that_is_not_enhanced_is_named_as_a_reason_for_403() {
    let vectors = vector_file();
    let session1 = session(&vectors, "session1");
    let answer = reply(403, "basic");
    let error = oke::token(&answer, &account(&vectors), &session1).unwrap_err();
    assert!(error.hint.unwrap().contains("enhanced cluster"));
    assert!(error.message.contains("HTTP 403") && error.message.contains("basic"), "{error}");
    let error = oke::token(&reply(401, ""), &account(&vectors), &session1).unwrap_err();
    assert!(error.hint.unwrap().contains("automountServiceAccountToken"));
}

#[test]
fn an_oauth_error_is_shown_with_its_code_and_description_and_without_control_characters() {
    let vectors = vector_file();
    let body = r#"{"error":"invalid_client","error_description":"Client\u001b[2J failed"}"#;
    let session1 = session(&vectors, "session1");
    let error = exchange::token(&reply(401, body), &client(), &subject(), &session1).unwrap_err();
    assert_eq!(
        error.message,
        "the identity domain answered HTTP 401 invalid_client: Client [2J failed"
    );
    assert!(error.hint.unwrap().contains("secret"));
}

#[test]
fn an_error_shows_no_secret_that_a_service_repeats() {
    let vectors = vector_file();
    let session1 = session(&vectors, "session1");
    let secrets =
        ["TEST.SUBJECT.JWT", "testclientsecret", "dGVzdGNsaWVudGlkOnRlc3RjbGllbnRzZWNyZXQ="];
    let token = text(&vectors, "token_exchange.token");
    for secret in secrets.into_iter().chain([token]) {
        for body in [
            serde_json::json!({ "error": secret, "error_description": format!("bad '{secret}'") })
                .to_string(),
            format!("<p>you sent {secret}"),
            format!("{}{secret}", "x ".repeat(90)),
        ] {
            let answer = reply(400, &body);
            let error = exchange::token(&answer, &client(), &subject(), &session1).unwrap_err();
            let shown = format!("{error} {error:?} {answer:?}");
            assert!(!shown.contains(&secret[..10]), "{shown}");
        }
    }
    let account_token = text(&vectors, "oke_workload_identity.service_account_token");
    let error = oke::token(&reply(401, account_token), &account(&vectors), &session1).unwrap_err();
    assert!(!format!("{error:?}").contains(&account_token[..10]));
}

#[test]
fn certificate_and_key_of_two_rotations_are_a_torn_pair() {
    let vectors = vector_file();
    let (leaf1, leaf2) = (leaf(&vectors, "leaf1"), leaf(&vectors, "leaf2"));
    let leaf_key = key(&vectors, "certificates.leaf1.key_pem");
    let torn = InstanceIdentity { leaf: &leaf2, leaf_key: &leaf_key, issuers: &[] };
    assert_eq!(torn.check(Some(&leaf1.tenancy)), Err(IdentityError::TornPair));
}

#[test]
fn a_certificate_of_another_tenancy_is_refused_before_a_request() {
    let vectors = vector_file();
    let (began, other) = (text(&vectors, "ocids.tenancy"), leaf(&vectors, "leaf_other_tenancy"));
    let leaf_key = key(&vectors, "certificates.leaf_other_tenancy.key_pem");
    let identity = InstanceIdentity { leaf: &other, leaf_key: &leaf_key, issuers: &[] };
    assert_eq!(identity.check(None), Ok(()));
    let error = identity.check(Some(began)).unwrap_err();
    let shown = error.to_string();
    assert!(shown.contains(began) && shown.contains(&other.tenancy), "{shown}");
}

#[test]
fn a_text_that_is_no_certificate_is_refused_without_being_shown() {
    let vectors = vector_file();
    let pem = text(&vectors, "certificates.leaf1.cert_pem");
    let key_pem = text(&vectors, "certificates.leaf1.key_pem");
    let damaged = pem.replacen("MIIEVj", "MIIEVk", 1);
    for (given, expected) in [
        ("", CertificateError::NoPem),
        ("<html>", CertificateError::NoPem),
        (key_pem, CertificateError::NoPem),
        (&pem[..pem.len() / 2], CertificateError::NoPem),
        (&pem.replace("MIIE", "MI*E"), CertificateError::Malformed),
        (&damaged, CertificateError::Malformed),
        (text(&vectors, "certificates.intermediate.cert_pem"), CertificateError::NoTenancy),
        (&" ".repeat(certificate::MAX_FILE + 1), CertificateError::Malformed),
    ] {
        let error = LeafCertificate::parse(given.as_bytes()).unwrap_err();
        assert_eq!(error, expected);
        assert!(!error.to_string().is_empty());
    }
    assert_eq!(certificate::issuers(b""), Err(CertificateError::NoPem));
    let no_der = b"-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----";
    assert_eq!(certificate::issuers(no_der), Err(CertificateError::Malformed));
}

#[test]
fn a_service_account_token_is_a_jwt_with_an_expiry() {
    let vectors = vector_file();
    assert_eq!(account(&vectors).expires(), 1_767_229_207);
    assert_eq!(ServiceAccountToken::parse("abc").unwrap_err(), TokenError::Parts(1));
    assert_eq!(ServiceAccountToken::parse(" \n").unwrap_err(), TokenError::Empty);
    // {"alg":"RS256"}.{}
    let unlimited = format!("eyJhbGciOiJSUzI1NiJ9.e30.{}", "A".repeat(342));
    assert_eq!(ServiceAccountToken::parse(&unlimited).unwrap_err(), TokenError::NoExpiry);
}

#[test]
fn an_id_a_secret_and_a_jwt_that_cannot_be_sent_are_refused() {
    let client = |id: &str, secret: &str| OauthClient::new(id, secret).err();
    assert_eq!(client("", "s"), Some(CredentialTextError::Empty));
    assert_eq!(client("i", " \n"), Some(CredentialTextError::Empty));
    assert_eq!(client("i:j", "s"), Some(CredentialTextError::Colon));
    assert_eq!(client("i", "a\nb"), Some(CredentialTextError::Characters));
    assert_eq!(client(" i ", "s:p a\n"), None);
    let subject = |text: &str| SubjectToken::parse(text).err();
    assert_eq!(subject("\n"), Some(CredentialTextError::Empty));
    assert_eq!(subject("a b"), Some(CredentialTextError::Characters));
    assert_eq!(subject("\u{feff}a.b.c\r\n"), None);
    let vectors = vector_file();
    let outside = text(&vectors, "oke_workload_identity.service_account_token");
    assert_eq!(SubjectToken::parse(outside).unwrap().expires(), Some(1_767_229_207));
    assert_eq!(SubjectToken::parse("a.b.c").unwrap().expires(), None);
}

#[test]
fn identifiers_of_the_environment_that_cannot_be_sent_are_refused() {
    assert_eq!(resource::checked_id("V", " ocid1.a.b..c_-1\n"), Ok("ocid1.a.b..c_-1".to_owned()));
    for id in ["", " ", "a\"b", "a/b", "a b", "a\nb", "\u{e4}"] {
        let error = resource::checked_id("V", id).unwrap_err();
        assert_eq!((error.kind.exit_code(), error.message.starts_with("V:")), (2, true));
    }
    assert_eq!(resource::checked_security_context("V", " x y\n").unwrap().as_str(), "x y");
    for context in ["", "hidden\nhidden", "hidden\u{e4}"] {
        let error = resource::checked_security_context("V", context).unwrap_err();
        assert!(!error.to_string().contains("hidden"));
    }
}

#[test]
fn a_response_keeps_its_request_id_and_its_wish_for_a_pause() {
    let header = |name: &str, value: &str| (name.to_owned(), value.to_owned());
    let headers = vec![header("opc-request-id", "id"), header("retry-after", "7")];
    let found = AuthReply::of(Response { status: 429, headers, body: b"x".to_vec() });
    assert_eq!((found.request_id.as_deref(), found.retry_after), (Some("id"), Some(7)));
    assert_eq!((found.status, found.text(), found.is_success()), (429, Some("x"), false));
}
