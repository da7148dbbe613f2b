//! Tests of the token exchange: the published request, and what is refused.

use super::super::outside_jwt::OutsideIssuer;
use super::super::vectors::{self, text};
use super::*;
use std::time::Duration;

struct Fixture {
    domain: IdentityDomain,
    authenticator: Authenticator,
    _dir: tempfile::TempDir,
}

/// A domain that trusts the subject token of the vectors for an hour.
fn fixture() -> Fixture {
    let (authenticator, dir) = vectors::authenticator();
    let (path, hour) = (dir.path().join("jwt"), Duration::from_secs(3600));
    let now = vectors::at(vectors::now());
    let subject = JwtFile::open(path, OutsideIssuer::IdentityProvider, hour, false, now).unwrap();
    subject.trust(text("/token_exchange/subject_token"), vectors::now() + 3600);
    let domain = IdentityDomain::open(subject, dir.path().join("secret")).unwrap();
    Fixture { domain, authenticator, _dir: dir }
}

/// The headers of the vector, with this OAuth client.
fn headers(id: &str, secret: &str) -> HeaderMap {
    let mut headers = vectors::headers("/token_exchange/request/headers_in_order");
    let basic = format!("Basic {}", STANDARD.encode(format!("{id}:{secret}")));
    headers.insert("authorization", basic.parse().unwrap());
    headers
}

impl Fixture {
    fn secret(&self) -> String {
        std::fs::read_to_string(self.domain.secret_path()).unwrap()
    }

    fn exchange(&self, headers: &HeaderMap, body: &str, now: u64) -> Result<String, OauthError> {
        let now = vectors::at(now);
        let done = self.domain.exchange(&self.authenticator, headers, body.as_bytes(), now)?;
        let body: serde_json::Value = serde_json::from_str(&vectors::body_of(done)).unwrap();
        Ok(body["token"].as_str().unwrap().to_owned())
    }
}

#[test]
fn the_published_request_gets_a_user_token_for_its_key() {
    let fixture = fixture();
    let body = text("/token_exchange/request/body");
    let headers = headers(CLIENT_ID, &fixture.secret());
    let token = fixture.exchange(&headers, body, vectors::now()).unwrap();
    let claims = vectors::claims(&token);
    assert_eq!(vectors::modulus(&claims), vectors::modulus_of("session1"));
    assert_eq!(claims["ptype"], "user");
}

#[test]
fn the_published_client_is_accepted_where_its_secret_is_the_domains() {
    let fixture = fixture();
    *fixture.domain.secret() = text("/token_exchange/client_secret").to_owned();
    let published = vectors::headers("/token_exchange/request/headers_in_order");
    let sent = headers(text("/token_exchange/client_id"), text("/token_exchange/client_secret"));
    assert_eq!(published["authorization"], sent["authorization"]);
    assert_eq!(fixture.domain.check_client(&published), Err(OauthError::invalid_client()));
    let same = headers(CLIENT_ID, text("/token_exchange/client_secret"));
    assert_eq!(fixture.domain.check_client(&same), Ok(()));
}

#[test]
fn a_resource_token_needs_the_type_of_the_resource() {
    let fixture = fixture();
    let headers = headers(CLIENT_ID, &fixture.secret());
    let body = text("/token_exchange/request/body").replace("oci-upst", "oci-rpst");
    let refused = fixture.exchange(&headers, &body, vectors::now()).unwrap_err();
    assert_eq!((refused.status, &*refused.error), (400, "invalid_request"));
    let body = format!("{body}&res_type=backup&rpst_exp=3600");
    let token = fixture.exchange(&headers, &body, vectors::now()).unwrap();
    assert_eq!(vectors::claims(&token)["ptype"], "resource");
}

#[test]
fn a_wrong_client_an_expired_token_and_a_damaged_form_have_their_oauth_errors() {
    let fixture = fixture();
    let good = headers(CLIENT_ID, &fixture.secret());
    let body = text("/token_exchange/request/body");
    let now = vectors::now();
    let refused = |headers: &HeaderMap, body: &str, now| {
        let error = fixture.exchange(headers, body, now).unwrap_err();
        (error.status, error.error.into_owned())
    };
    assert_eq!(refused(&headers(CLIENT_ID, "x"), body, now), (401, "invalid_client".to_owned()));
    assert_eq!(
        refused(&headers("x", &fixture.secret()), body, now),
        (401, "invalid_client".to_owned())
    );
    assert_eq!(refused(&HeaderMap::new(), body, now), (401, "invalid_client".to_owned()));
    assert_eq!(refused(&good, body, now + 3600), (400, "invalid_grant".to_owned()));
    let other = body.replace("TEST.SUBJECT.JWT", "TEST.OTHER.JWT");
    assert_eq!(refused(&good, &other, now), (400, "invalid_grant".to_owned()));
    for (from, to) in [
        ("token-exchange", "token-ex"),
        ("oci-upst", "oci-x"),
        ("=jwt", "=spnego"),
        ("public_key", "key"),
        // A plus that was not encoded is a blank in a form.
        ("%2B", "+"),
        ("subject_token=", "subject_token=x&subject_token="),
    ] {
        let body = body.replacen(from, to, 1);
        let error = refused(&good, &body, now);
        let expected = if to == "token-ex" { "unsupported_grant_type" } else { "invalid_request" };
        assert_eq!(error, (400, expected.to_owned()), "{to}");
    }
    let mut json = good.clone();
    json.insert("content-type", "application/json".parse().unwrap());
    assert_eq!(refused(&json, body, now), (400, "invalid_request".to_owned()));
}

#[test]
fn a_replaced_client_secret_is_refused_and_the_secret_survives_a_restart() {
    let fixture = fixture();
    let old = headers(CLIENT_ID, &fixture.secret());
    fixture.domain.replace_secret().unwrap();
    assert_eq!(fixture.domain.check_client(&old), Err(OauthError::invalid_client()));
    let path = fixture.domain.secret_path().to_owned();
    let secret = fixture.secret();
    let again = IdentityDomain::open(fixture.domain.subject, path).unwrap();
    assert_eq!(again.check_client(&headers(CLIENT_ID, &secret)), Ok(()));
}

#[test]
fn an_error_is_sent_in_the_form_of_oauth() {
    let response = OauthError::invalid_client().to_response();
    assert_eq!(response.status(), 401);
    assert!(response.headers().contains_key("www-authenticate"));
    let body: serde_json::Value = serde_json::from_str(&vectors::body_of(response)).unwrap();
    assert_eq!(body["error"], "invalid_client");
    assert!(body["error_description"].is_string());
}
