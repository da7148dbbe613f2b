//! The token service of a cluster, the token exchange of an identity domain, and resource
//! principals.

use crate::client::*;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use emulator::fault::{Fault, FaultPlan, FaultResponse, FaultRule, Trigger};
use emulator::{CallKind, FileReplacement, FilesAfter, Operation, PrincipalKind, Server};
use rustls::pki_types::{CertificateDer, ServerName};
use serde_json::json;
use std::fs::read_to_string;
use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;
use tokio::io::AsyncWriteExt;
use tokio::net::TcpStream;

const OKE_PATH: &str = "/resourcePrincipalSessionTokens";

/// A signer for a token that binds the key of the resource principal.
fn session_key(server: &Server) -> Signer {
    Signer::with(&server.resource_exchange_key_path(), String::new())
}

/// Sends a request to the OKE token service over TLS, trusting the certificates in `ca`.
async fn oke(server: &Server, ip: IpAddr, ca: &[u8], request: &str) -> io::Result<Reply> {
    let mut roots = rustls::RootCertStore::empty();
    roots.add(CertificateDer::from(pem::parse(ca).unwrap().into_contents())).unwrap();
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = rustls::ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_root_certificates(roots)
        .with_no_client_auth();
    let address = SocketAddr::new(ip, server.oke_port().unwrap());
    let stream = TcpStream::connect(address).await?;
    let connector = tokio_rustls::TlsConnector::from(Arc::new(config));
    let mut stream = connector.connect(ServerName::from(ip), stream).await?;
    stream.write_all(request.as_bytes()).await?;
    read_reply(&mut stream, "POST").await
}

fn oke_request(bearer: &str, body: &str) -> String {
    format!(
        "POST {OKE_PATH} HTTP/1.1\r\nhost: x\r\nauthorization: Bearer {bearer}\r\n\
         content-type: application/json\r\ncontent-length: {}\r\n\r\n{body}",
        body.len()
    )
}

/// The token in an answer of the OKE token service.
fn oke_token(reply: Reply) -> String {
    let text: String = serde_json::from_slice(&reply.is(200).body).unwrap();
    let inner = STANDARD.decode(text).unwrap();
    let inner: serde_json::Value = serde_json::from_slice(&inner).unwrap();
    inner["token"].as_str().unwrap().strip_prefix("ST$").unwrap().to_owned()
}

/// Signs a call of Object Storage with this token, and returns the principal that the server saw.
async fn use_token(store: &Store, mut signer: Signer, token: &str) -> Option<PrincipalKind> {
    signer.key_id = format!("ST${token}");
    Request::new("GET", "/n").send(&store.server, &signer).await.is(200);
    store.server.requests().last().unwrap().principal
}

const V4: IpAddr = IpAddr::V4(Ipv4Addr::LOCALHOST);

#[tokio::test]
async fn a_pod_gets_a_token_over_tls_on_a_port_of_its_own() {
    let store = store().await;
    let server = &store.server;
    let ca = std::fs::read(server.oke_ca_path()).unwrap();
    let bearer = read_to_string(server.service_account_token_path()).unwrap();
    let body = json!({ "podKey": session_key(server).public_key() }).to_string();
    let request = oke_request(&bearer, &body);
    let token = oke_token(oke(server, V4, &ca, &request).await.unwrap());
    let seen = use_token(&store, session_key(server), &token).await;
    assert_eq!(seen, Some(PrincipalKind::Workload));
    let v6 = tokio::net::TcpListener::bind((Ipv6Addr::LOCALHOST, 0)).await.is_ok();
    if v6 {
        oke_token(oke(server, IpAddr::V6(Ipv6Addr::LOCALHOST), &ca, &request).await.unwrap());
    }
    let other = std::fs::read(server.ca_path()).unwrap();
    assert!(oke(server, V4, &other, &request).await.is_err(), "another authority is trusted");
    let mut plain = TcpStream::connect((V4, server.oke_port().unwrap())).await.unwrap();
    plain.write_all(request.as_bytes()).await.unwrap();
    assert!(read_reply(&mut plain, "POST").await.is_err(), "plain HTTP is answered");
    let elsewhere = Request::new("POST", OKE_PATH).header("authorization", "Bearer x");
    elsewhere.send_unsigned(server).await.is(404);
    let storage = oke_request(&bearer, &body).replace(OKE_PATH, "/oauth2/v1/token");
    oke(server, V4, &ca, &storage).await.unwrap().is(404);
    assert_eq!(server.counts().of(CallKind::Oke), 1 + u64::from(v6));
}

#[tokio::test]
async fn an_expired_service_account_token_is_refused_and_a_new_one_accepted() {
    let store = store().await;
    let server = &store.server;
    let ca = std::fs::read(server.oke_ca_path()).unwrap();
    let body = json!({ "podKey": session_key(server).public_key() }).to_string();
    let old = read_to_string(server.service_account_token_path()).unwrap();
    server.set_clock_offset(3601);
    oke(server, V4, &ca, &oke_request(&old, &body)).await.unwrap().is(401);
    let new = server.replace_service_account_token().unwrap();
    oke_token(oke(server, V4, &ca, &oke_request(&new, &body)).await.unwrap());
}

#[tokio::test]
async fn faults_of_the_token_service_are_rules_and_its_quotes_a_setting() {
    let faults = [401, 403, 500].iter().zip(1..).fold(FaultPlan::new(), |plan, (status, n)| {
        let refuse = Fault::Refuse(FaultResponse::status(*status));
        plan.with(FaultRule::on(Operation::GetWorkloadToken, refuse).when(Trigger::Attempt(n)))
    });
    let store = store_with(|options| options.faults = faults).await;
    let server = &store.server;
    let ca = std::fs::read(server.oke_ca_path()).unwrap();
    let bearer = read_to_string(server.service_account_token_path()).unwrap();
    let body = json!({ "podKey": session_key(server).public_key() }).to_string();
    let request = oke_request(&bearer, &body);
    for status in [401, 403, 500] {
        oke(server, V4, &ca, &request).await.unwrap().is(status);
    }
    server.set_oke_quoted(false).unwrap();
    let unquoted = oke(server, V4, &ca, &request).await.unwrap().is(200).body;
    assert!(STANDARD.decode(unquoted).is_ok());
}

fn form(server: &Server, jwt: &str) -> String {
    let key = session_key(server).public_key();
    let key = key.replace('+', "%2B").replace('/', "%2F").replace('=', "%3D");
    format!(
        "grant_type=urn%3Aietf%3Aparams%3Aoauth%3Agrant-type%3Atoken-exchange\
         &requested_token_type=urn%3Aoci%3Atoken-type%3Aoci-upst&subject_token={jwt}\
         &subject_token_type=jwt&public_key={key}"
    )
}

async fn exchange(server: &Server, secret: &str, form: &str) -> Reply {
    let client = STANDARD.encode(format!("{}:{secret}", server.client_id()));
    Request::new("POST", "/oauth2/v1/token")
        .header("authorization", format!("Basic {client}"))
        .header("content-type", "application/x-www-form-urlencoded")
        .body(form.as_bytes())
        .send_unsigned(server)
        .await
}

#[tokio::test]
async fn an_outside_token_is_exchanged_and_refusals_and_faults_have_the_form_of_oauth() {
    let refuse = Fault::Refuse(FaultResponse::status(400).code("invalid_grant"));
    let rule = FaultRule::on(Operation::ExchangeToken, refuse).when(Trigger::Attempt(2));
    let store = store_with(|options| options.faults = FaultPlan::new().with(rule)).await;
    let server = &store.server;
    let jwt = read_to_string(server.subject_jwt_path()).unwrap();
    let secret = read_to_string(server.client_secret_path()).unwrap();
    let form = form(server, &jwt);
    let reply = exchange(server, &secret, &form).await.is(200).json();
    let token = reply["token"].as_str().unwrap();
    let seen = use_token(&store, session_key(server), token).await;
    assert_eq!(seen, Some(PrincipalKind::FederatedUser));
    let error = |reply: Reply| reply.json()["error"].as_str().unwrap().to_owned();
    assert_eq!(error(exchange(server, &secret, &form).await.is(400)), "invalid_grant");
    assert_eq!(error(exchange(server, "wrong", &form).await.is(401)), "invalid_client");
    server.replace_client_secret().unwrap();
    assert_eq!(error(exchange(server, &secret, &form).await.is(401)), "invalid_client");
    let secret = read_to_string(server.client_secret_path()).unwrap();
    server.set_clock_offset(3601);
    assert_eq!(error(exchange(server, &secret, &form).await.is(400)), "invalid_grant");
    assert_eq!(server.counts().of(CallKind::Exchange), 5);
}

/// A signer with the files of the resource principal, as they are now.
fn resource(server: &Server) -> Signer {
    let token = read_to_string(server.resource_token_path()).unwrap();
    Signer::with(&server.resource_key_path(), format!("ST${token}"))
}

#[tokio::test]
async fn the_files_of_a_resource_principal_sign_and_a_torn_pair_does_not() {
    let store = store().await;
    let server = &store.server;
    let status =
        async |signer: Signer| Request::new("GET", "/n").send(server, &signer).await.status;
    assert_eq!(status(resource(server)).await, 200);
    assert_eq!(server.requests().last().unwrap().principal, Some(PrincipalKind::Resource));
    for after in [FilesAfter::TokenOnly, FilesAfter::KeyOnly] {
        server.replace_resource_principal(after).unwrap();
        assert_eq!(status(resource(server)).await, 401, "{after:?}");
        server.finish_resource_principal().unwrap();
        assert_eq!(status(resource(server)).await, 200, "{after:?}");
    }
    let post = async |target: &str| Request::new("POST", target).send_unsigned(server).await;
    post("/emulator/rotate/resource_principal?leave=empty_token").await.is(204);
    assert_eq!(read_to_string(server.resource_token_path()).unwrap(), "");
    post("/emulator/rotate/resource_principal/finish").await.is(204);
    assert_eq!(status(resource(server)).await, 200);
    post("/emulator/rotate/resource_principal?leave=nothing").await.is(400);
    post("/emulator/rotate/resource_principal?left=complete").await.is(400);
    for (name, path) in [
        ("service_account_token", server.service_account_token_path()),
        ("subject_jwt", server.subject_jwt_path()),
        ("client_secret", server.client_secret_path()),
    ] {
        let before = read_to_string(&path).unwrap();
        post(&format!("/emulator/rotate/{name}")).await.is(204);
        assert_ne!(read_to_string(&path).unwrap(), before, "{name}");
    }
}

#[tokio::test]
async fn a_resource_with_a_key_of_its_own_gets_its_token_in_two_calls() {
    let store = store().await;
    let server = &store.server;
    let variables =
        read_to_string(server.env_dir().unwrap().join("resource_principal_2.1.1")).unwrap();
    let value = |name: &str| {
        let line = variables.lines().find_map(|line| line.strip_prefix(name)).unwrap();
        line.trim_start_matches('=').to_owned()
    };
    let id = value("OCI_RESOURCE_PRINCIPAL_RESOURCE_ID");
    let tenancy = value("OCI_RESOURCE_PRINCIPAL_TENANCY_ID");
    let key = server.resource_exchange_key_path();
    let signer = Signer::with(&key, format!("resource/v2.1.1/{tenancy}/{id}"));
    let target = format!("/20180711/resourcePrincipalTokenV2/{id}");
    let mut pair = Request::new("GET", &target).send(server, &signer).await.is(200).json();
    pair["sessionPublicKey"] = json!(signer.public_key());
    let body = pair.to_string();
    let request = Request::new("POST", "/v1/resourcePrincipalSessionToken").body(body.as_bytes());
    let reply = request.send(server, &signer).await.is(200).json();
    let seen = use_token(&store, session_key(server), reply["token"].as_str().unwrap()).await;
    assert_eq!(seen, Some(PrincipalKind::Resource));
    Request::new("GET", "/n").send(server, &signer).await.is(401);
    Request::new("GET", &target).send_unsigned(server).await.is(401);
    let user = Signer::api_key(server);
    Request::new("GET", &target).send(server, &user).await.is(404);
    assert_eq!(server.counts().of(CallKind::ResourceSessionToken), 1);
}

#[tokio::test]
async fn a_shorter_life_begins_the_time_to_the_next_replacement_anew() {
    let store = store().await;
    let server = &store.server;
    // The timers run before a request is answered.
    Request::new("GET", "/n").send_unsigned(server).await.is(401);
    let token = read_to_string(server.resource_token_path()).unwrap();
    server.set_principal_token_ttl(Duration::from_secs(1));
    changed(&server.resource_token_path(), &token).await;
    server.set_outside_jwt_ttl(Duration::from_secs(1)).unwrap();
    let jwt = read_to_string(server.subject_jwt_path()).unwrap();
    changed(&server.subject_jwt_path(), &jwt).await;
}

#[tokio::test]
async fn files_can_end_with_a_newline_and_the_key_can_be_encrypted_from_the_start() {
    let store = store_with(|options| {
        options.principal_options.final_newline = true;
        options.principal_options.encrypted_key = true;
        options.principal_options.oke_quotes = false;
    })
    .await;
    let server = &store.server;
    for path in [
        server.service_account_token_path(),
        server.subject_jwt_path(),
        server.resource_token_path(),
    ] {
        assert!(read_to_string(path).unwrap().ends_with('\n'));
    }
    let key = read_to_string(server.resource_key_path()).unwrap();
    assert!(key.starts_with("-----BEGIN ENCRYPTED PRIVATE KEY-----"), "{key}");
    let variables = read_to_string(server.env_dir().unwrap().join("resource_principal")).unwrap();
    let path = server.resource_pass_phrase_path();
    assert!(variables.contains(&format!("_PASSPHRASE={}\n", path.display())), "{variables}");
    let bearer = read_to_string(server.service_account_token_path()).unwrap();
    let body = json!({ "podKey": session_key(server).public_key() }).to_string();
    let ca = std::fs::read(server.oke_ca_path()).unwrap();
    let request = oke_request(bearer.trim(), &body);
    let answer = oke(server, V4, &ca, &request).await.unwrap().is(200).body;
    assert!(STANDARD.decode(answer).is_ok());
}

/// Waits until the file holds something else than `before`.
async fn changed(path: &std::path::Path, before: &str) -> String {
    loop {
        let now = read_to_string(path).unwrap();
        if now != before {
            return now;
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

#[tokio::test]
async fn each_file_is_replaced_at_half_the_life_of_its_token_until_that_is_switched_off() {
    let store = store_with(|options| {
        options.principal_token_ttl = Duration::from_secs(1);
        options.principal_options.jwt_life = 1;
    })
    .await;
    let server = &store.server;
    let paths = [
        server.service_account_token_path(),
        server.subject_jwt_path(),
        server.resource_token_path(),
        server.resource_key_path(),
    ];
    for path in &paths {
        let before = read_to_string(path).unwrap();
        changed(path, &before).await;
    }
    let torn = FileReplacement { automatic: true, torn: Duration::from_secs(3600) };
    server.set_file_replacement(torn).unwrap();
    while Request::new("GET", "/n").send(server, &resource(server)).await.status != 401 {
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    let off = FileReplacement { automatic: false, torn: Duration::ZERO };
    server.set_file_replacement(off).unwrap();
    let jwt = server.replace_subject_jwt().unwrap();
    tokio::time::sleep(Duration::from_millis(1100)).await;
    assert_eq!(read_to_string(server.subject_jwt_path()).unwrap(), jwt);
}

#[tokio::test]
async fn the_modes_have_variables_and_a_store_of_plain_files_has_none_of_this() {
    let store = store().await;
    let folder = store.server.env_dir().unwrap();
    let text = read_to_string(folder.join("oke_workload_identity")).unwrap();
    let port = store.server.oke_port().unwrap();
    assert!(text.contains(&format!("\nKUBERNETES_SERVICE_PORT_PROXYMUX={port}\n")), "{text}");
    for entry in std::fs::read_dir(&folder).unwrap() {
        let text = read_to_string(entry.unwrap().path()).unwrap();
        let paths = text.lines().filter_map(|line| line.split_once("=/"));
        for (_, path) in paths {
            assert!(std::path::Path::new(&format!("/{path}")).is_file(), "{path}");
        }
        for secret in [
            read_to_string(store.server.client_secret_path()).unwrap(),
            read_to_string(store.server.subject_jwt_path()).unwrap(),
            read_to_string(store.server.service_account_token_path()).unwrap(),
            read_to_string(store.server.resource_token_path()).unwrap(),
        ] {
            assert!(!text.contains(&secret));
        }
    }
    let none = store_with(|options| options.principals = false).await;
    assert_eq!((none.server.oke_port(), none.server.env_dir()), (None, None));
    assert!(none.server.replace_subject_jwt().is_err());
    exchange(&none.server, "x", "").await.is(404);
}
