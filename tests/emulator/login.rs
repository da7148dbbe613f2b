//! The login page of a browser session, and the token that it redirects with.

use crate::client::*;
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE;
use emulator::fault::{Fault, FaultPlan, FaultRule, LoginFault};
use emulator::{CallKind, Operation, RefreshMode};
use std::collections::HashMap;
use std::time::Duration;

const NONCE: &str = "00000000-0000-4000-8000-00000000000c";

/// A signer whose key no token binds yet, and the parameter `public_key` for it in the form of the OCI
/// CLI.
fn session_key(store: &Store) -> (Signer, String) {
    let signer = Signer::with(&store.server.key_path(), String::new());
    let jwk =
        format!(r#"{{"kty": "RSA", "n": "{}", "e": "AQAB", "kid": "Ignored"}}"#, signer.modulus());
    let parameter = URL_SAFE.encode(jwk);
    (signer, parameter)
}

fn target(public_key: &str) -> String {
    format!(
        "/v1/oauth2/authorize?action=login&client_id=iaas_console&response_type=token+id_token\
         &nonce={NONCE}&scope=openid&public_key={public_key}&redirect_uri=http%3A%2F%2Flocalhost%3A8181"
    )
}

/// Follows the login page, and returns the address without its fragment and the fragment's parameters.
async fn log_in(store: &Store, target: &str) -> (String, HashMap<String, String>) {
    let reply = Request::new("GET", target).send_unsigned(&store.server).await.is(302);
    let (address, fragment) = reply.header("location").split_once('#').unwrap();
    let decoded = |text: &str| text.replace("%2E", ".").replace("%2D", "-").replace("%5F", "_");
    let pairs = fragment.split('&').map(|pair| pair.split_once('=').unwrap());
    let pairs = pairs.map(|(name, value)| (name.to_owned(), decoded(value))).collect();
    (address.to_owned(), pairs)
}

#[tokio::test]
async fn a_login_redirects_with_a_token_for_the_given_key_that_signs_and_is_refreshed() {
    let store = store_with(|options| options.session = Duration::from_secs(5_400)).await;
    let (mut signer, key) = session_key(&store);
    let (address, fragment) = log_in(&store, &target(&key)).await;
    assert_eq!(address, "http://localhost:8181/");
    assert_eq!(claims(&fragment["id_token"])["nonce"], NONCE);
    let token = claims(&fragment["security_token"]);
    let jwk: serde_json::Value = serde_json::from_str(token["jwk"].as_str().unwrap()).unwrap();
    assert_eq!(jwk["n"], signer.modulus());
    let life = |claims: &serde_json::Value| {
        claims["exp"].as_u64().unwrap() - claims["iat"].as_u64().unwrap()
    };
    assert_eq!(life(&token), 3_600);
    signer.key_id = format!("ST${}", fragment["security_token"]);
    Request::new("GET", "/n").send(&store.server, &signer).await.is(200);
    // A refresh issues another token, up to the end of the session.
    store.server.set_clock_offset(1_800);
    signer.date += Duration::from_secs(1_800);
    let body = format!(r#"{{"currentToken": "{}"}}"#, fragment["security_token"]);
    let refresh = Request::new("POST", "/v1/authentication/refresh").body(body.as_bytes());
    let refreshed = refresh.send(&store.server, &signer).await.is(200).json();
    let refreshed = claims(refreshed["token"].as_str().unwrap());
    assert!(refreshed["jti"] != token["jti"] && life(&refreshed).abs_diff(3_600) <= 1);
    assert_eq!(refreshed["jwk"], token["jwk"]);
    store.server.set_refresh(RefreshMode::Unauthorized);
    refresh.send(&store.server, &signer).await.is(401);
    assert_eq!(store.server.counts().of(CallKind::Login), 1);
}

#[tokio::test]
async fn what_is_no_login_of_the_oci_cli_is_refused() {
    let store = store().await;
    let (_, key) = session_key(&store);
    let valid = target(&key);
    for (from, to) in [
        ("action=login", "action=logout"),
        ("iaas_console", "other"),
        ("token+id_token", "token"),
        ("scope=openid", "scope=all"),
        ("localhost%3A8181", "example.com%3A8181"),
        ("public_key=", "public_key=x"),
        (NONCE, ""),
        ("&nonce=", "&once="),
    ] {
        let wrong = valid.replace(from, to);
        Request::new("GET", &wrong).send_unsigned(&store.server).await.is(400);
    }
    Request::new("POST", &valid).send_unsigned(&store.server).await.is(405);
    let more = format!("{valid}&tenant=acme&provider=oracle");
    log_in(&store, &more.replace("8181", "18181")).await;
}

#[tokio::test]
async fn each_fault_spoils_one_thing_of_the_redirect() {
    let store = store().await;
    let (_, key) = session_key(&store);
    let (signer, target) = (Signer::api_key(&store.server), target(&key));
    store.server.log_in_with_new_key().unwrap();
    let with = async |fault| {
        let rule = FaultRule::on(Operation::AuthorizeLogin, Fault::Login(fault));
        store.server.set_faults(FaultPlan::new().with(rule));
        log_in(&store, &target).await
    };
    let token = |fragment: &HashMap<String, String>| claims(&fragment["security_token"]);
    let (_, other_key) = with(LoginFault::OtherKey).await;
    assert!(!token(&other_key)["jwk"].as_str().unwrap().contains(&signer.modulus()));
    let (_, wrong) = with(LoginFault::WrongJwk).await;
    assert!(token(&wrong)["jwk"].as_str().unwrap().contains('!'));
    assert_eq!(token(&with(LoginFault::NoJwk).await.1)["jwk"], "");
    let expired = token(&with(LoginFault::Expired).await.1);
    assert!(expired["exp"].as_u64() < expired["iat"].as_u64());
    let nonce = |fragment: &HashMap<String, String>| claims(&fragment["id_token"])["nonce"].clone();
    assert_ne!(nonce(&with(LoginFault::OtherNonce).await.1), NONCE);
    assert!(nonce(&with(LoginFault::NoNonce).await.1).is_null());
    assert_eq!(with(LoginFault::OtherHost).await.0, "http://127.0.0.1:8181/");
    assert_eq!(with(LoginFault::Denied).await.1["error"], "access_denied");
    let rule = FaultRule::on(Operation::AuthorizeLogin, Fault::Login(LoginFault::NoRedirect));
    store.server.set_faults(FaultPlan::new().with(rule));
    let page = Request::new("GET", &target).send_unsigned(&store.server).await.is(200);
    assert!(page.header("content-type").starts_with("text/html") && !page.body.is_empty());
}
