use std::sync::Arc;

use serde_json::{Value, json};

use super::callback::{CallbackAnswer, CallbackRequest, PendingLogin, Refusal};
use super::*;
use crate::key::Key;
use crate::region::{Region, RegionSources};
use crate::token::Token;

const NONCE: &str = "00000000-0000-4000-8000-00000000000c";

fn vectors() -> Value {
    serde_json::from_str(include_str!("../../../tests/data/principal-vectors.json")).unwrap()
}

fn key(vectors: &Value, name: &str) -> SessionKey {
    let pem = vectors["keys"][name]["private_pem"].as_str().unwrap();
    SessionKey::of(Arc::new(Key::from_pem(pem.as_bytes(), None).unwrap()))
}

fn login() -> PendingLogin {
    let modulus = key(&vectors(), "session1").modulus();
    PendingLogin { modulus, nonce: NONCE.into(), port: PORT }
}

/// The token of the vector, which names the key `session1`.
fn token(vectors: &Value) -> String {
    let line = vectors["browser_login"]["callback_request_line"].as_str().unwrap();
    line.split("security_token=").nth(1).unwrap().split('&').next().unwrap().to_owned()
}

/// A token with other claims, and the signature of the vector, which no client checks.
fn altered(vectors: &Value, change: impl FnOnce(&mut Map)) -> String {
    let text = token(vectors);
    let parts: Vec<&str> = text.split('.').collect();
    let mut claims = crate::token::payload(&text).unwrap();
    change(&mut claims);
    let claims = URL_SAFE_NO_PAD.encode(Value::Object(claims).to_string());
    format!("{}.{claims}.{}", parts[0], parts[2])
}

type Map = serde_json::Map<String, Value>;

fn jwt(claims: Value) -> String {
    format!("e30.{}.c2ln", URL_SAFE_NO_PAD.encode(claims.to_string()))
}

fn get<'a>(path: &'a str, query: &'a str) -> CallbackRequest<'a> {
    CallbackRequest { method: "GET", authority: None, host: Some("localhost:8181"), path, query }
}

fn query(token: &str, nonce: &str) -> String {
    format!("security_token={token}&id_token={}", jwt(json!({ "nonce": nonce })))
}

fn refusal(query: &str) -> Refusal {
    match login().answer(get("/token", query)) {
        CallbackAnswer::Refused(refusal) => refusal,
        answer => panic!("{answer:?}"),
    }
}

#[test]
fn the_address_is_that_of_the_oci_cli_byte_for_byte() {
    let vectors = vectors();
    let key = key(&vectors, "session1");
    let region = Region::find("us-ashburn-1", &RegionSources::default()).unwrap();
    let endpoint = region.login(None).unwrap();
    let request = AuthorizeRequest {
        endpoint: &endpoint,
        key: &key,
        nonce: NONCE,
        tenancy: None,
        provider: None,
    };
    let url = request.url();
    assert_eq!(url, vectors["browser_login"]["url"].as_str().unwrap());
    let more = AuthorizeRequest { tenancy: Some("my tenancy"), provider: Some("a&b"), ..request };
    assert_eq!(more.url(), format!("{url}&tenant=my+tenancy&provider=a%26b"));
}

#[test]
fn the_login_page_is_in_the_realm_of_the_region() {
    let host = |region: &str, dual_stack: Option<&str>| {
        let region = Region::find(region, &RegionSources::default()).unwrap();
        region.login(dual_stack).map(|endpoint| endpoint.host)
    };
    assert_eq!(host("fra", None).unwrap(), "login.eu-frankfurt-1.oraclecloud.com");
    assert_eq!(host("us-langley-1", None).unwrap(), "login.us-langley-1.oraclegovcloud.com");
    let dual = host("fra", Some("--enable-dual-stack")).unwrap();
    assert_eq!(dual, "login.eu-frankfurt-1.ds.oci.oraclecloud.com");
    let error = host("us-langley-1", Some("--enable-dual-stack")).unwrap_err();
    assert_eq!((error.kind.exit_code(), error.message.contains("--enable-dual-stack")), (2, true));
}

#[test]
fn a_nonce_is_a_random_uuid() {
    let (one, other) = (new_nonce().unwrap(), new_nonce().unwrap());
    assert_ne!(one, other);
    for nonce in [one, other] {
        let groups: Vec<usize> = nonce.split('-').map(str::len).collect();
        assert_eq!(groups, [8, 4, 4, 4, 12], "{nonce}");
        assert_eq!(&nonce[14..15], "4", "{nonce}");
        assert!("89ab".contains(&nonce[19..20]), "{nonce}");
    }
}

#[test]
fn a_profile_name_never_leaves_the_folder_of_sessions() {
    for name in ["DEFAULT", "a.b_c-d@e", "..."] {
        assert!(is_profile_name(name), "{name}");
    }
    for name in ["", ".", "..", "a/b", "../x", "a b", "a\\b", "caf\u{e9}", "a]", "a\nb"] {
        assert!(!is_profile_name(name), "{name}");
    }
}

#[test]
fn the_token_of_this_login_is_accepted_wherever_its_nonce_is() {
    let vectors = vectors();
    let text = token(&vectors);
    let with_nonce = altered(&vectors, |claims| {
        claims.insert("nonce".into(), NONCE.into());
    });
    for (query, expected) in [
        (query(&text, NONCE), &text),
        (format!("security_token={with_nonce}&id_token=x"), &with_nonce),
        (format!("id_token=x&nonce={NONCE}&security_token={text}"), &text),
    ] {
        match login().answer(get("/token", &query)) {
            CallbackAnswer::Accepted(token) => assert_eq!(token.secret(), expected),
            answer => panic!("{answer:?}"),
        }
    }
}

#[test]
fn a_token_of_another_login_is_refused() {
    let vectors = vectors();
    let text = token(&vectors);
    let other = key(&vectors, "session2");
    let jwk = vectors["keys"]["session2"]["jwk_claim_text"].clone();
    let other_key = altered(&vectors, |claims| {
        claims.insert("jwk".into(), jwk);
    });
    assert!(Token::parse(&other_key).unwrap().matches_key(&other.modulus()));
    assert_eq!(refusal(&query(&other_key, NONCE)), Refusal::OtherKey);
    let no_key = altered(&vectors, |claims| {
        claims.remove("jwk");
    });
    assert_eq!(refusal(&query(&no_key, NONCE)), Refusal::NoKey);
    assert_eq!(refusal(&query(&text, "x")), Refusal::OtherNonce);
    assert_eq!(refusal(&query(&text, "")), Refusal::OtherNonce);
    assert_eq!(refusal(&format!("{}&nonce=x", query(&text, NONCE))), Refusal::OtherNonce);
    assert_eq!(refusal(&format!("security_token={text}&id_token=x")), Refusal::NoNonce);
    let no_text = jwt(json!({ "nonce": 1 }));
    let number = format!("security_token={text}&id_token={no_text}&nonce={NONCE}");
    assert_eq!(refusal(&number), Refusal::OtherNonce);
    let no_tenancy = altered(&vectors, |claims| {
        claims.remove("tenant");
    });
    assert_eq!(refusal(&query(&no_tenancy, NONCE)), Refusal::NoTenancy);
}

#[test]
fn a_redirect_without_a_token_is_refused_with_the_reason() {
    let text = token(&vectors());
    assert_eq!(refusal(""), Refusal::NoToken);
    assert_eq!(refusal("id_token=x"), Refusal::NoToken);
    assert_eq!(
        refusal(&format!("security_token=x&{}", query(&text, NONCE))),
        Refusal::SeveralTokens
    );
    assert!(matches!(refusal("security_token=x"), Refusal::Malformed(_)));
    let error = refusal("error=access_denied&error_description=You+said+no%21");
    assert_eq!(error.to_string(), "the login page reports: access_denied: You said no!");
}

#[test]
fn the_error_of_a_page_is_one_short_line() {
    let query =
        format!("error=x%0Aocipipe:%20run%0D%1b%5bmthis&error_description={}", "y".repeat(60_000));
    let shown = refusal(&query).to_string();
    assert!(shown.contains("x ocipipe: run"), "{shown}");
    assert!(!shown.contains(char::is_control) && shown.len() < 400, "{shown}");
}

#[test]
fn only_get_to_this_host_is_answered() {
    let text = token(&vectors());
    let query = query(&text, NONCE);
    let good = get("/token", &query);
    let refused = |request: CallbackRequest<'_>| match login().answer(request) {
        CallbackAnswer::Refused(refusal) => refusal,
        answer => panic!("{answer:?}"),
    };
    for host in
        [None, Some("localhost"), Some("127.0.0.1:8181"), Some("evil.example:8181"), Some("")]
    {
        assert_eq!(refused(CallbackRequest { host, ..good }), Refusal::Host);
        assert_eq!(refused(CallbackRequest { host, ..get("/", "") }), Refusal::Host);
    }
    let authority = Some("evil.example");
    assert_eq!(refused(CallbackRequest { authority, ..good }), Refusal::Host);
    for method in ["POST", "HEAD", "OPTIONS", "get"] {
        assert_eq!(refused(CallbackRequest { method, ..good }), Refusal::Method);
    }
    for path in ["/token/", "/Token", "/favicon.ico", "//token", "*"] {
        assert_eq!(refused(CallbackRequest { path, ..good }), Refusal::Path);
    }
    assert_eq!(login().answer(get("/", "x=1")), CallbackAnswer::Page);
    let host = Some("LOCALHOST:8181");
    assert_eq!(login().answer(CallbackRequest { host, ..get("/", "") }), CallbackAnswer::Page);
}

#[test]
fn no_refusal_is_a_success_or_shows_the_token() {
    let text = token(&vectors());
    for query in [
        format!("security_token={}", &text[..text.len() - 4]),
        format!("security_token={text}"),
        query(&text, "x"),
    ] {
        let refusal = refusal(&query);
        assert!((400..500).contains(&refusal.status()), "{refusal:?}");
        assert!(!format!("{refusal} {refusal:?}").contains(&text[..20]), "{refusal:?}");
    }
}

#[test]
fn the_policy_of_the_page_allows_its_script_and_nothing_else() {
    let script = page::HTML.split("<script>").nth(1).unwrap().split("</script>").next().unwrap();
    let digest = ring::digest::digest(&ring::digest::SHA256, script.as_bytes());
    let hash = base64::engine::general_purpose::STANDARD.encode(digest);
    assert!(page::POLICY.contains(&format!("script-src 'sha256-{hash}'")), "{hash}");
    assert!(page::POLICY.starts_with("default-src 'none'"));
    assert!(script.contains("\"/token?\" + fragment"));
}
