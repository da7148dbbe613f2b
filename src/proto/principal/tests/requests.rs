//! Requests for resources, workloads and token exchanges: each body and header of the vectors.

use super::vectors::{header, parameter};
use super::*;
use crate::endpoint::Endpoint;
use crate::principal::resource::{ResourceSigner, ResourceVersion};
use crate::principal::{exchange, oke, resource};
use crate::sign::KeyId;

#[test]
fn the_requests_for_a_resource_are_those_of_the_python_sdk_in_each_version() {
    let vectors = vector_file();
    let endpoint = format!("http://{}", text(&vectors, "host"));
    let endpoint = Endpoint::parse("RPT_ENDPOINT", &endpoint).unwrap();
    let (resource_id, tenancy) = ("ocid1.testresource.oc1..aaaa", text(&vectors, "ocids.tenancy"));
    let answer =
        r#"{"resourcePrincipalToken":"TEST.RPT","servicePrincipalSessionToken":"TEST.SPST"}"#;
    let tokens = resource::tokens(&reply(200, answer)).unwrap();
    let rp = session(&vectors, "rp");
    let cases = [
        ("2.1", "resource_principal_2_1/2.1", None),
        ("2.1.1", "resource_principal_2_1/2.1.1", None),
        ("2.1.2", "resource_principal_2_1/2.1.2", Some("TEST.SECURITY.CONTEXT")),
        ("1.1", "resource_principal_1_1", None),
    ];
    for (name, path, security_context) in cases {
        let version = ResourceVersion::find(name).unwrap();
        let pair = at(&vectors, path);
        let (get, post) = match pair.as_array() {
            Some(pair) => (&pair[0], &pair[1]),
            None => (&pair["rpt_get"], &pair["rpst_post"]),
        };
        // In version 1.1 the instance signs, and the session key is a new one.
        let (signer_key, session_key, key_id, id) = match version.key_id(tenancy, resource_id) {
            Some(key_id) => (rp.key.clone(), rp.clone(), key_id, resource_id),
            None => {
                let signer = session(&vectors, "session1");
                let body: Value = serde_json::from_str(text(post, "body")).unwrap();
                let is_public = |key: &SessionKey| {
                    body["sessionPublicKey"].as_str() == Some(&key.public_one_line())
                };
                let both = ["session1", "session2"].map(|name| session(&vectors, name));
                let session_key = both.into_iter().find(is_public).unwrap();
                let token = text(get, "key_id").strip_prefix("ST$").unwrap();
                let instance = text(&vectors, "ocids.instance");
                (signer.key, session_key, KeyId::security_token(token), instance)
            }
        };
        let signer =
            ResourceSigner { key_id: &key_id, key: &signer_key, date: DATE, request_id: "1" };
        let path = version.token_path(None, id).unwrap();
        let calls = [
            (get, signer.tokens_call(&endpoint, &path, security_context)),
            (post, signer.session_token_call(&endpoint, &tokens, &session_key)),
        ];
        for (vector, call) in calls {
            assert_eq!(
                format!("{} {} HTTP/1.1", call.method, call.target),
                text(vector, "request_line")
            );
            assert_eq!(call.body.as_slice(), vector["body"].as_str().unwrap_or("").as_bytes());
            let authorization = call.header("authorization").unwrap();
            assert_eq!(parameter(authorization, "keyId"), text(vector, "key_id"), "{name}");
            assert_eq!(parameter(authorization, "signature"), text(vector, "signature"), "{name}");
            assert_eq!(call.header("security-context"), header(vector, "security-context"));
            assert_eq!(call.header("opc-request-id"), Some("1"));
            assert!(call.header("opc-client-info").is_some());
            assert_eq!(call.header("host"), header(vector, "host"));
            assert!(!format!("{call:?} {tokens:?}").contains("TEST."));
        }
    }
}

#[test]
fn a_resource_path_of_the_environment_has_the_id_filled_in_or_appended() {
    use ResourceVersion::{V1_1, V2_1, V2_1_2};
    for (version, path, expected) in [
        (V2_1_2, "/p/{}", "/p/ID"),
        (V2_1_2, "/p", "/p/ID"),
        (V2_1_2, "/p/", "/p/ID"),
        (V2_1, "p/{id}/q", "/p/ID/q"),
        (V2_1, " ", "/20180711/resourcePrincipalTokenV2/ID"),
        (V1_1, "/p/{id}", "/p/ID"),
        (V1_1, "/whole", "/whole"),
        (V1_1, "", "/20180711/resourcePrincipalToken/ID"),
    ] {
        let found = version.token_path(Some(path), "ID").unwrap();
        assert_eq!(found, expected, "{version:?} {path:?}");
    }
    for path in ["/a b/{}", "/a\n{}", "/a\"", "/a/{x}/", "/a#b", "/\u{e4}"] {
        assert!(V2_1.token_path(Some(path), "ID").is_err(), "{path:?}");
    }
    assert_eq!(ResourceVersion::find("2.2"), None);
    assert_eq!(ResourceVersion::find("3.0"), None);
}

#[test]
fn the_request_of_a_workload_is_that_of_the_python_sdk() {
    let vectors = vector_file();
    let vector = at(&vectors, "oke_workload_identity.request");
    let account = text(&vectors, "oke_workload_identity.service_account_token");
    let account = oke::ServiceAccountToken::parse(&format!("{account}\n")).unwrap();
    let endpoint = oke::endpoint("127.0.0.1", oke::PORT).unwrap();
    let call = oke::call(&endpoint, &account, &session(&vectors, "session1"), "a/b/c");
    assert_eq!(format!("{}{}", endpoint.origin(), call.target), text(vector, "url"));
    assert_eq!(call.body.as_slice(), text(vector, "body").as_bytes());
    for name in ["host", "authorization", "content-type", "content-length"] {
        assert_eq!(call.header(name), header(vector, name), "{name}");
    }
    assert_eq!(call.header("opc-request-id"), Some("a/b/c"));
    assert!(!format!("{call:?} {account:?}").contains(&account_text(&vectors)[..40]));
    let go: Value =
        serde_json::from_str(text(&vectors, "oke_workload_identity.request_body_go")).unwrap();
    assert_eq!(go["podKey"], session(&vectors, "session1").public_pem());
}

fn account_text(vectors: &Value) -> &str {
    text(vectors, "oke_workload_identity.service_account_token")
}

#[test]
fn a_workload_request_has_a_random_id_of_three_parts() {
    let mut random = fastrand::Rng::with_seed(1);
    let (one, two) = (oke::request_id(&mut random), oke::request_id(&mut random));
    assert_ne!(one, two);
    let parts: Vec<&str> = one.split('/').collect();
    assert_eq!(parts.len(), 3);
    let lower_hex = |c: char| c.is_ascii_digit() || ('a'..='f').contains(&c);
    assert!(parts.iter().all(|part| part.len() == 32 && part.chars().all(lower_hex)), "{one}");
}

#[test]
fn an_ipv6_host_of_the_cluster_gets_brackets() {
    for (host, expected) in [
        ("10.0.0.1", "10.0.0.1:12250"),
        ("fd00::1", "[fd00::1]:12250"),
        ("[fd00::1]", "[fd00::1]:12250"),
        (" kubernetes.default.svc ", "kubernetes.default.svc:12250"),
    ] {
        assert_eq!(oke::endpoint(host, oke::PORT).unwrap().authority, expected, "{host}");
    }
    for host in ["", "a b", "h:1", "h/p", "u@h", "https://h"] {
        let error = oke::endpoint(host, oke::PORT).unwrap_err();
        assert!(error.message.contains("KUBERNETES_SERVICE_HOST"), "{host:?}: {error}");
    }
}

#[test]
fn the_request_of_a_token_exchange_is_that_of_the_python_sdk() {
    let vectors = vector_file();
    let exchange_vectors = &vectors["token_exchange"];
    let vector = &exchange_vectors["request"];
    let secret = text(exchange_vectors, "client_secret");
    let client =
        exchange::OauthClient::new(text(exchange_vectors, "client_id"), &format!("{secret}\n"))
            .unwrap();
    let subject = text(exchange_vectors, "subject_token");
    let subject = exchange::SubjectToken::parse(&format!("{subject}\n")).unwrap();
    let url = format!("http://{}/", text(&vectors, "host"));
    let domain = exchange::endpoint("--exchange-url", &url).unwrap();
    let call = exchange::call(&domain, &client, &subject, &session(&vectors, "session1"));
    assert_eq!(call.target, "/oauth2/v1/token");
    assert_eq!(call.body.as_slice(), text(vector, "body").as_bytes());
    for name in ["host", "content-type", "authorization", "content-length"] {
        assert_eq!(call.header(name), header(vector, name), "{name}");
    }
    let shown = format!("{call:?} {client:?} {subject:?}");
    assert!(!shown.contains(secret) && !shown.contains("SUBJECT.JWT"), "{shown}");
}

#[test]
fn the_url_of_an_identity_domain_may_have_the_path_of_its_token_service() {
    for url in [
        "https://idcs-1.identity.oraclecloud.com",
        "https://idcs-1.identity.oraclecloud.com:443/",
        "https://idcs-1.identity.oraclecloud.com/oauth2/v1/token",
    ] {
        let endpoint = exchange::endpoint("--exchange-url", url).unwrap();
        assert_eq!(endpoint, Endpoint::of_host("idcs-1.identity.oraclecloud.com"), "{url}");
    }
    let error = exchange::endpoint("--exchange-url", "http://idcs-1.example").unwrap_err();
    assert!(error.hint.unwrap().contains("identity.oraclecloud.com"));
}
