//! Signatures, dates, tokens and their refresh.

use crate::client::*;
use emulator::{KeyKind, RefreshMode};
use std::time::{Duration, SystemTime};

async fn namespace(store: &Store, signer: &Signer) -> Reply {
    Request::new("GET", "/n").send(&store.server, signer).await
}

#[tokio::test]
async fn both_kinds_of_key_are_accepted_and_distinguished() {
    let store = store().await;
    assert_eq!(
        namespace(&store, &Signer::token(&store.server)).await.is(200).body,
        br#""axlocalstore""#
    );
    namespace(&store, &Signer::api_key(&store.server)).await.is(200);
    let requests = store.server.requests();
    assert_eq!(requests[0].key, Some(KeyKind::SecurityToken));
    assert_eq!(requests[0].generation, Some(1));
    assert_eq!((requests[1].key, requests[1].generation), (Some(KeyKind::ApiKey), None));
}

#[tokio::test]
async fn every_response_carries_the_common_headers() {
    let store = store().await;
    let signer = Signer::token(&store.server);
    let request =
        Request::new("GET", "/n/axlocalstore/b/none").header("opc-client-request-id", "mine");
    let reply = request.send(&store.server, &signer).await.is(404);
    assert_eq!(reply.header("opc-client-request-id"), "mine");
    assert_eq!(reply.header("x-api-id"), "native");
    assert!(reply.header("opc-request-id").starts_with("loc-1:"));
    assert_eq!(reply.header("opc-request-id").len(), 6 + 64);
    assert!(httpdate::parse_http_date(reply.header("date")).is_ok());
    let secure = "max-age=31536000; includeSubDomains";
    assert_eq!(reply.header("strict-transport-security"), secure);
    assert_eq!(reply.header("x-content-type-options"), "nosniff");
    assert!(!reply.headers.contains_key("connection"));
    assert_eq!(
        reply.json()["message"],
        "Either the bucket named 'none' does not exist in the namespace 'axlocalstore' or you are not authorized to access it"
    );
}

#[tokio::test]
async fn an_unsigned_or_wrongly_signed_request_is_refused() {
    let store = store().await;
    let mut signer = Signer::token(&store.server);
    for list in ["date (request-target)", "date host", "(request-target) host"] {
        signer.list = Some(list);
        assert_eq!(namespace(&store, &signer).await.is(401).code(), "NotAuthenticated");
    }
    signer.list = Some("host (request-target) date");
    namespace(&store, &signer).await.is(200);
    let post = Request::new("POST", "/n/axlocalstore/b/demo/u").body(br#"{"object": "x"}"#);
    post.send(&store.server, &signer).await.is(401);
    signer.list = None;
    post.send(&store.server, &signer).await.is(200);
    signer.key_id.push('x');
    namespace(&store, &signer).await.is(401);
}

/// The TypeScript SDK writes the list like this.
#[tokio::test]
async fn the_list_of_signed_headers_may_mix_cases_and_hold_x_date() {
    let store = store().await;
    let mut signer = Signer::token(&store.server);
    let date = httpdate::fmt_http_date(signer.date);
    let post = Request::new("POST", "/n/axlocalstore/b/demo/u").body(br#"{"object": "x"}"#);
    let post = post.header("x-date", &date);
    signer.list = Some("x-date (request-target) host Content-Type Content-Length x-content-sha256");
    post.send(&store.server, &signer).await.is(200);
    signer.list = Some("x-date (request-target) Host");
    Request::new("GET", "/n").header("x-date", &date).send(&store.server, &signer).await.is(200);
}

#[tokio::test]
async fn a_content_type_that_was_signed_must_be_the_one_that_is_sent() {
    let store = store().await;
    let mut signer = Signer::token(&store.server);
    signer.list = Some("date (request-target) host content-type");
    let put =
        Request::new("PUT", "/n/axlocalstore/b/demo/o/x").header("content-type", "text/plain");
    put.send(&store.server, &signer).await.is(200);
    let head = String::from_utf8(put.head(&store.server, &signer)).unwrap();
    let head = head.replace("content-type: text/plain", "content-type: text/html");
    let mut stream = tokio::net::TcpStream::connect(store.server.address()).await.unwrap();
    tokio::io::AsyncWriteExt::write_all(&mut stream, head.as_bytes()).await.unwrap();
    let error = read_reply(&mut stream, "PUT").await.unwrap().is(401);
    assert_eq!(error.code(), "NotAuthenticated");
    assert!(error.json()["message"].as_str().unwrap().contains("verify"));
}

#[tokio::test]
async fn an_id_of_the_client_that_is_too_long_is_refused() {
    let store = store().await;
    let signer = Signer::token(&store.server);
    for (length, status) in [(98, 200), (99, 400)] {
        let request = Request::new("GET", "/n").header("opc-client-request-id", "x".repeat(length));
        request.send(&store.server, &signer).await.is(status);
    }
}

#[tokio::test]
async fn a_signed_body_must_be_the_one_that_is_sent() {
    let store = store().await;
    let signer = Signer::token(&store.server);
    let post = Request::new("POST", "/n/axlocalstore/b/demo/u").body(br#"{"object": "x"}"#);
    let mut bytes = post.head(&store.server, &signer);
    bytes.extend_from_slice(br#"{"object": "y"}"#);
    let mut stream = tokio::net::TcpStream::connect(store.server.address()).await.unwrap();
    tokio::io::AsyncWriteExt::write_all(&mut stream, &bytes).await.unwrap();
    read_reply(&mut stream, "PUT").await.unwrap().is(401);
    assert!(store.server.open_uploads().is_empty());
}

#[tokio::test]
async fn a_date_out_of_range_is_refused_with_the_range() {
    let store = store_with(|options| options.clock_offset = 400).await;
    let mut signer = Signer::token(&store.server);
    let reply = namespace(&store, &signer).await.is(401);
    assert_eq!(reply.code(), "NotAuthenticated");
    let now = httpdate::parse_http_date(reply.header("date")).unwrap();
    let utc = |time: SystemTime| httpdate::fmt_http_date(time).replace("GMT", "UTC");
    let expected = format!(
        "Date '{}' is not within allowed clock skew. Current '{}', valid datetime range: ['{}', '{}']",
        utc(signer.date),
        utc(now),
        utc(now - Duration::from_secs(300)),
        utc(now + Duration::from_secs(301)),
    );
    assert_eq!(reply.json()["message"], expected.as_str());
    signer.date += Duration::from_secs(200);
    namespace(&store, &signer).await.is(200);
}

#[tokio::test]
async fn a_token_is_good_until_it_expires_or_is_revoked() {
    let store = store_with(|options| options.token_ttl = Duration::from_secs(100)).await;
    let first = Signer::token(&store.server);
    namespace(&store, &first).await.is(200);
    store.server.set_clock_offset(101);
    namespace(&store, &first).await.is(401);
    let second = store.server.log_in().unwrap();
    let signer = Signer::token(&store.server);
    namespace(&store, &signer).await.is(200);
    store.server.revoke(&second);
    namespace(&store, &signer).await.is(401);
    namespace(&store, &Signer::api_key(&store.server)).await.is(200);
}

#[tokio::test]
async fn a_login_with_a_new_key_leaves_the_old_pair_good() {
    let store = store().await;
    let old = Signer::token(&store.server);
    store.server.log_in_with_new_key().unwrap();
    let new = Signer::token(&store.server);
    let mixed = Signer::with(&store.server.key_path(), old.key_id.clone());
    namespace(&store, &old).await.is(200);
    namespace(&store, &new).await.is(200);
    namespace(&store, &mixed).await.is(401);
}

#[tokio::test]
async fn an_authorization_line_of_16_kib_works() {
    let store = store_with(|options| options.token_padding = 12 * 1024).await;
    let signer = Signer::token(&store.server);
    assert!(signer.key_id.len() > 16 * 1024, "{}", signer.key_id.len());
    namespace(&store, &signer).await.is(200);
}

async fn refresh(store: &Store, signer: &Signer) -> Reply {
    let token = signer.key_id.trim_start_matches("ST$");
    let body = serde_json::json!({ "currentToken": token }).to_string();
    let request = Request::new("POST", "/v1/authentication/refresh").body(body.as_bytes());
    request.send(&store.server, signer).await
}

fn refreshed(store: &Store, reply: Reply) -> (Signer, serde_json::Value) {
    let token = reply.is(200).json()["token"].as_str().unwrap().to_owned();
    let claims = claims(&token);
    (Signer::with(&store.server.key_path(), format!("ST${token}")), claims)
}

#[tokio::test]
async fn a_refresh_gives_a_later_token_for_the_same_key_and_leaves_the_old_one() {
    let store = store_with(|options| options.token_ttl = Duration::from_secs(100)).await;
    let old = Signer::token(&store.server);
    let old_claims = claims(&old.key_id);
    store.server.set_clock_offset(50);
    let (new, new_claims) = refreshed(&store, refresh(&store, &old).await);
    assert!(new_claims["exp"].as_u64() > old_claims["exp"].as_u64());
    assert_eq!(new_claims["jwk"], old_claims["jwk"]);
    namespace(&store, &new).await.is(200);
    namespace(&store, &old).await.is(200);
    store.server.set_clock_offset(101);
    namespace(&store, &old).await.is(401);
    refresh(&store, &old).await.is(401);
    namespace(&store, &new).await.is(200);
}

#[tokio::test]
async fn a_refresh_can_keep_the_expiry_end_with_the_session_fail_or_be_slow() {
    let store = store_with(|options| {
        options.token_ttl = Duration::from_secs(100);
        options.session = Duration::from_secs(120);
    })
    .await;
    let old = Signer::token(&store.server);
    let exp = claims(&old.key_id)["exp"].as_u64().unwrap();
    store.server.set_clock_offset(50);
    store.server.set_refresh(RefreshMode::SameExpiry);
    let (_, same) = refreshed(&store, refresh(&store, &old).await);
    assert_eq!(same["exp"], exp);
    store.server.set_refresh(RefreshMode::Slow(1));
    let (_, shortened) = refreshed(&store, refresh(&store, &old).await);
    assert_eq!(shortened["exp"].as_u64().unwrap(), exp + 20);
    store.server.set_refresh(RefreshMode::Unauthorized);
    assert_eq!(refresh(&store, &old).await.is(401).code(), "NotAuthenticated");
    store.server.set_refresh(RefreshMode::Broken);
    refresh(&store, &old).await.is(500);
}

#[tokio::test]
async fn an_api_key_makes_a_token_but_cannot_refresh_one() {
    let store = store().await;
    let signer = Signer::api_key(&store.server);
    refresh(&store, &signer).await.is(401);
    // A public key that is not valid.
    let pem = "-----BEGIN PUBLIC KEY-----\nMFwwDQYJKoZIhvcNAQEBBQADSwAwSAJBAKrbeqkuRk8VcRmWFmtP+LviMB3+6diz\n-----END PUBLIC KEY-----";
    let body =
        serde_json::json!({ "publicKey": pem, "sessionExpirationInMinutes": "5" }).to_string();
    let request = Request::new("POST", "/v1/token/upst/actions/GenerateUpst").body(body.as_bytes());
    assert_eq!(request.send(&store.server, &signer).await.is(400).code(), "InvalidParameter");
}
