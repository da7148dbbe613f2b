//! Tests of the exchange: the published requests are authenticated and answered, and what is
//! refused.

use super::super::vectors::{self, text, value};
use super::*;
use crate::auth::{KeyKind, ResourceIdentity, TargetService};
use crate::clock::Clock;
use crate::signature::SignedHead;

/// A clock at the time of the vectors.
fn clock() -> Clock {
    let now = clock::seconds(SystemTime::now());
    Clock::with_offset(vectors::now() as i64 - now as i64)
}

/// An authenticator that knows the resource of the vectors.
fn authenticator() -> (Authenticator, tempfile::TempDir) {
    let (authenticator, dir) = vectors::authenticator();
    authenticator.set_resource(ResourceIdentity {
        tenancy: text("/ocids/tenancy").to_owned(),
        resource: "ocid1.testresource.oc1..aaaa".to_owned(),
        key: PublicKey::from_text(text("/keys/rp/public_pem")).unwrap(),
    });
    (authenticator, dir)
}

fn authenticate(
    authenticator: &Authenticator,
    pointer: &str,
    target: Option<&str>,
) -> Result<Caller, ErrorResponse> {
    let headers = vectors::signed_headers(pointer);
    let (method, published) = vectors::request_line(pointer);
    let head = SignedHead { method, target: target.unwrap_or(published), headers: &headers };
    authenticator.authenticate(&head, TargetService::Auth, &clock())
}

/// Makes the tokens of the vectors a pair that was granted to this kind of signer.
fn grant_published(exchange: &ResourceExchange, signer: PrincipalKind, exp: u64) {
    let pair = TokenPair {
        resource_principal_token: "TEST.RPT".to_owned(),
        service_principal_session_token: "TEST.SPST".to_owned(),
    };
    exchange.issued().insert(pair, Grant { signer, exp });
}

#[test]
fn the_published_requests_of_each_version_are_accepted() {
    let (authenticator, _dir) = authenticator();
    let now = vectors::at(vectors::now());
    for version in ["2.1", "2.1.1", "2.1.2"] {
        let pointer = |index| format!("/resource_principal_2_1/{version}/{index}");
        let caller = authenticate(&authenticator, &pointer(0), None).unwrap();
        assert_eq!(caller.kind, KeyKind::ResourceKey, "{version}");
        assert_eq!(caller.principal(), PrincipalKind::Resource, "{version}");
        let exchange = ResourceExchange::default();
        let granted = exchange.grant(&authenticator, &caller, now).unwrap();
        let granted: TokenPair = serde_json::from_str(&vectors::body_of(granted)).unwrap();
        assert!(exchange.issued().contains_key(&granted), "{version}");

        let caller = authenticate(&authenticator, &pointer(1), None).unwrap();
        let body = text(&format!("{}/body", pointer(1)));
        grant_published(&exchange, PrincipalKind::Resource, vectors::now() + 1);
        let issued = exchange.issue(&authenticator, &caller, body.as_bytes(), now).unwrap();
        let issued: serde_json::Value = serde_json::from_str(&vectors::body_of(issued)).unwrap();
        let claims = vectors::claims(issued["token"].as_str().unwrap());
        assert_eq!(claims["ptype"], "resource");
        assert_eq!(vectors::modulus(&claims), vectors::modulus_of("rp"));
    }
}

#[test]
fn the_published_requests_of_version_1_1_verify_with_the_key_of_the_instances_token() {
    let key = PublicKey::from_text(text("/keys/session1/public_pem")).unwrap();
    for request in ["rpt_get", "rpst_post"] {
        let pointer = format!("/resource_principal_1_1/{request}");
        let headers = vectors::signed_headers(&pointer);
        let (method, target) = vectors::request_line(&pointer);
        let head = SignedHead { method, target, headers: &headers };
        assert!(vectors::verifies(&key, &head), "{request}");
        assert!(value(&format!("{pointer}/key_id")).as_str().unwrap().starts_with("ST$"));
    }
    let (authenticator, _dir) = authenticator();
    let instance = PrincipalKind::Instance;
    let token = authenticator.issue_principal(instance, &key, vectors::at(vectors::now())).unwrap();
    let claims = authenticator.claims(&token).unwrap();
    let caller = Caller { kind: KeyKind::SecurityToken, token: Some(claims), delegated: false };
    let exchange = ResourceExchange::default();
    grant_published(&exchange, instance, vectors::now() + 1);
    let body = text("/resource_principal_1_1/rpst_post/body").as_bytes();
    let now = vectors::at(vectors::now());
    assert!(exchange.issue(&authenticator, &caller, body, now).is_ok());
    grant_published(&exchange, PrincipalKind::Resource, vectors::now() + 1);
    let refused = exchange.issue(&authenticator, &caller, body, now).err().unwrap();
    assert_eq!(refused.status, 401, "the pair is that of another kind of signer");
}

#[test]
fn a_resource_key_signs_only_the_calls_of_its_version_and_resource() {
    let (authenticator, _dir) = authenticator();
    let refused = |pointer: &str, target: &str| {
        authenticate(&authenticator, pointer, Some(target)).unwrap_err().status
    };
    let first = "/resource_principal_2_1/2.1/0";
    let last = "/resource_principal_2_1/2.1.2/0";
    let id = "ocid1.testresource.oc1..aaaa";
    assert_eq!(refused(first, &format!("/20180711/resourcePrincipalTokenV212/{id}")), 401);
    assert_eq!(refused(last, &format!("/20180711/resourcePrincipalTokenV2/{id}")), 401);
    assert_eq!(refused(first, &format!("/20180711/resourcePrincipalTokenV2/{id}b")), 401);
    assert_eq!(refused(first, "/n"), 401);
    authenticator.set_resource(ResourceIdentity {
        tenancy: text("/ocids/other_tenancy").to_owned(),
        resource: id.to_owned(),
        key: PublicKey::from_text(text("/keys/rp/public_pem")).unwrap(),
    });
    assert!(authenticate(&authenticator, first, None).is_ok(), "its key id names no tenancy");
    assert_eq!(authenticate(&authenticator, last, None).unwrap_err().status, 401);
    authenticator.set_resource(ResourceIdentity {
        tenancy: text("/ocids/tenancy").to_owned(),
        resource: id.to_owned(),
        key: PublicKey::from_text(text("/keys/session1/public_pem")).unwrap(),
    });
    assert_eq!(authenticate(&authenticator, first, None).unwrap_err().status, 401);
}

#[test]
fn an_unknown_or_expired_pair_a_damaged_body_and_other_callers_are_refused() {
    let (authenticator, _dir) = authenticator();
    let exchange = ResourceExchange::default();
    let caller = authenticate(&authenticator, "/resource_principal_2_1/2.1/1", None).unwrap();
    let body = text("/resource_principal_2_1/2.1/1/body");
    let status = |caller: &Caller, body: &str| {
        let now = vectors::at(vectors::now());
        exchange.issue(&authenticator, caller, body.as_bytes(), now).err().unwrap().status
    };
    assert_eq!(status(&caller, body), 401);
    grant_published(&exchange, PrincipalKind::Resource, vectors::now());
    assert_eq!(status(&caller, body), 401, "it has expired");
    grant_published(&exchange, PrincipalKind::Resource, vectors::now() + 1);
    assert_eq!(status(&caller, &body.replace("TEST.SPST", "TEST.OTHER")), 401);
    assert_eq!(status(&caller, &body.replace("MIIB", "MIIC")), 400);
    assert_eq!(status(&caller, "{}"), 400);
    let user = Caller { kind: KeyKind::ApiKey, token: None, delegated: false };
    assert_eq!(status(&user, body), 404);
    let now = vectors::at(vectors::now());
    assert_eq!(exchange.grant(&authenticator, &user, now).err().unwrap().status, 404);
}
