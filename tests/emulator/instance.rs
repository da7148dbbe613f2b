//! The metadata service, the federation of instances, and delegation tokens.

use crate::client::*;
use base64::Engine;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use emulator::fault::{Fault, FaultPlan, FaultResponse, FaultRule, Trigger};
use emulator::{
    CallKind, KeyEncoding, LeafTenancy, Operation, PrincipalKind, Rotation, RotationMoment,
    SubjectShape,
};
use serde_json::{Value, json};
use std::time::Duration;

const IDENTITY: &str = "/opc/v2/identity/";

async fn get(store: &Store, target: &str) -> Reply {
    let request = Request::new("GET", target).header("authorization", "Bearer Oracle");
    request.send_unsigned(&store.server).await
}

async fn text(store: &Store, target: &str) -> String {
    String::from_utf8(get(store, target).await.is(200).body).unwrap()
}

/// What an instance has read from its metadata service.
struct Identity {
    certificate: String,
    key: String,
    intermediate: String,
}

async fn identity(store: &Store) -> Identity {
    Identity {
        certificate: text(store, &format!("{IDENTITY}cert.pem")).await,
        key: text(store, &format!("{IDENTITY}key.pem")).await,
        intermediate: text(store, &format!("{IDENTITY}intermediate.pem")).await,
    }
}

fn without_armour(pem: &str) -> String {
    pem.lines().filter(|line| !line.starts_with("-----")).collect()
}

impl Identity {
    fn fingerprint(&self) -> String {
        let der = STANDARD.decode(without_armour(&self.certificate)).unwrap();
        let digest = ring::digest::digest(&ring::digest::SHA256, &der);
        let pairs: Vec<String> = digest.as_ref().iter().map(|b| format!("{b:02x}")).collect();
        pairs.join(":")
    }

    /// The reply of the federation to a request for a token for the key of `session`.
    async fn federate(&self, store: &Store, tenancy: &str, session: &Signer) -> Reply {
        let key_id = format!("{tenancy}/fed-x509-sha256/{}", self.fingerprint());
        let mut signer = Signer::of_pem(&self.key, key_id);
        signer.list = Some("date (request-target) content-length content-type x-content-sha256");
        let body = json!({
            "certificate": without_armour(&self.certificate),
            "publicKey": session.public_key(),
            "intermediateCertificates": [without_armour(&self.intermediate)],
        });
        let body = body.to_string();
        let request = Request::new("POST", "/v1/x509").body(body.as_bytes());
        request.send(&store.server, &signer).await
    }
}

const TENANCY: &str = "ocid1.tenancy.oc1..aaaaaaaalocalstoretenancy";
const OTHER: &str = "ocid1.tenancy.oc1..aaaaaaaaanothertenancy";

/// A signer whose key no token binds yet.
fn session_key(store: &Store) -> Signer {
    Signer::with(&store.server.key_path(), String::new())
}

/// A signer with the token that the instance gets now.
async fn instance(store: &Store) -> Signer {
    let mut session = session_key(store);
    let reply = identity(store).await.federate(store, TENANCY, &session).await.is(200);
    session.key_id = format!("ST${}", reply.json()["token"].as_str().unwrap());
    session
}

fn claims(signer: &Signer) -> Value {
    let token = signer.key_id.strip_prefix("ST$").unwrap();
    let body = URL_SAFE_NO_PAD.decode(token.split('.').nth(1).unwrap()).unwrap();
    serde_json::from_slice(&body).unwrap()
}

#[tokio::test]
async fn an_instance_gets_a_token_for_its_certificate_and_signs_with_it() {
    for subject in
        [SubjectShape::SingleValued, SubjectShape::MultiValued, SubjectShape::OpcIdentity]
    {
        for key_encoding in [KeyEncoding::Pkcs1, KeyEncoding::Pkcs8] {
            let store = store_with(|options| {
                options.instance.subject = subject;
                options.instance.key_encoding = key_encoding;
            })
            .await;
            let signer = instance(&store).await;
            Request::new("GET", "/n").send(&store.server, &signer).await.is(200);
            let put = Request::new("PUT", "/n/axlocalstore/b/demo/o/x").body(b"x");
            put.send(&store.server, &signer).await.is(200);
            let claims = claims(&signer);
            assert_eq!(claims["ptype"], "instance");
            assert_eq!(claims["exp"].as_u64().unwrap() - claims["iat"].as_u64().unwrap(), 1200);
            let record = store.server.requests().pop().unwrap();
            assert_eq!(record.principal, Some(PrincipalKind::Instance));
            assert!(!record.delegated && record.generation.is_some());
            let counts = store.server.counts();
            for kind in [
                CallKind::MetadataCertificate,
                CallKind::MetadataKey,
                CallKind::MetadataIntermediate,
                CallKind::Federation,
            ] {
                assert_eq!(counts.of(kind), 1, "{kind:?}");
            }
            assert_eq!((counts.metadata(), counts.of(CallKind::Storage)), (3, 2));
        }
    }
}

#[tokio::test]
async fn the_metadata_service_describes_the_region_and_realm_that_it_is_given() {
    let store = store_with(|options| {
        options.instance.region = "eu-nowhere-1".into();
        options.instance.region_text = Some("now".into());
        options.instance.region_key = "NOW".into();
        options.instance.realm_key = "oc99".into();
        options.instance.realm_domain = "example.invalid".into();
    })
    .await;
    assert_eq!(text(&store, "/opc/v2/instance/region").await, "now");
    assert_eq!(text(&store, "/opc/v2//instance//canonicalRegionName").await, "eu-nowhere-1");
    let id = text(&store, "/opc/v2/instance/id").await;
    let info = get(&store, "/opc/v2/instance/regionInfo").await.is(200).json();
    let expected = json!({
        "realmKey": "oc99",
        "realmDomainComponent": "example.invalid",
        "regionKey": "NOW",
        "regionIdentifier": "eu-nowhere-1",
    });
    assert_eq!(info, expected);
    let all = get(&store, "/opc/v2/instance/").await.is(200).json();
    assert_eq!((&all["id"], &all["regionInfo"]), (&json!(id), &expected));
    store.server.set_instance(|instance| instance.final_newline = true);
    assert_eq!(text(&store, "/opc/v2/instance/region").await, "now\n");
    assert!(text(&store, "/opc/v2/identity/key.pem").await.ends_with("-----\n"));
    store.server.set_instance(|instance| instance.final_newline = false);
    assert!(text(&store, "/opc/v2/identity/cert.pem").await.ends_with("-----"));
}

#[tokio::test]
async fn the_metadata_service_refuses_requests_without_its_header_or_through_a_proxy() {
    let store = store().await;
    let target = "/opc/v2/identity/key.pem";
    Request::new("GET", target).send_unsigned(&store.server).await.is(401);
    let wrong = Request::new("GET", target).header("authorization", "Bearer other");
    wrong.send_unsigned(&store.server).await.is(401);
    for name in ["Forwarded", "X-Forwarded-For", "x-forwarded-host"] {
        let request = Request::new("GET", target).header("authorization", "Bearer Oracle");
        request.header(name, "192.0.2.1").send_unsigned(&store.server).await.is(400);
    }
    get(&store, "/opc/v1/identity/key.pem").await.is(404);
    get(&store, "http://169.254.169.254/opc/v2/identity/key.pem").await.is(404);
    assert_eq!(store.server.counts().of(CallKind::MetadataKey), 5);
}

#[tokio::test]
async fn a_replaced_certificate_has_another_key_and_both_are_accepted_while_in_date() {
    let store = store().await;
    let session = session_key(&store);
    let before = identity(&store).await;
    store.server.rotate_certificate(Rotation::default()).unwrap();
    let after = identity(&store).await;
    assert!(before.certificate != after.certificate && before.key != after.key);
    assert_eq!(before.intermediate, after.intermediate);
    for identity in [&before, &after] {
        identity.federate(&store, TENANCY, &session).await.is(200);
    }
    store.server.set_clock_offset(5 * 3600);
    let mut late = session_key(&store);
    late.date += Duration::from_secs(5 * 3600);
    let reply = before.federate(&store, TENANCY, &late).await.is(401);
    assert_eq!(reply.code(), "NotAuthenticated");
    let renewed = identity(&store).await;
    assert_ne!(renewed.certificate, after.certificate);
}

#[tokio::test]
async fn a_torn_replacement_is_refused_until_its_reads_are_over() {
    let store = store().await;
    let session = session_key(&store);
    let torn = Rotation { torn_reads: 2, ..Rotation::default() };
    store.server.rotate_certificate(torn).unwrap();
    for status in [401, 401, 200] {
        identity(&store).await.federate(&store, TENANCY, &session).await.is(status);
    }
    let moment = RotationMoment::AfterNextCertificateRead;
    let between = Rotation { moment, ..Rotation::default() };
    store.server.rotate_certificate(between).unwrap();
    for status in [401, 200] {
        identity(&store).await.federate(&store, TENANCY, &session).await.is(status);
    }
}

#[tokio::test]
async fn certificates_are_replaced_every_so_many_reads_and_at_half_their_life() {
    let store = store_with(|options| options.instance.rotate_every = Some(2)).await;
    let mut seen = Vec::new();
    for _ in 0..4 {
        seen.push(identity(&store).await.certificate);
    }
    let changed: Vec<bool> = seen.windows(2).map(|pair| pair[0] != pair[1]).collect();
    assert_eq!(changed, [true, false, true]);
    store.server.set_instance(|instance| {
        instance.rotate_every = None;
        instance.certificate_life = 100;
    });
    store.server.rotate_certificate(Rotation::default()).unwrap();
    let first = identity(&store).await.certificate;
    store.server.set_clock_offset(40);
    assert_eq!(identity(&store).await.certificate, first);
    store.server.set_clock_offset(60);
    assert_ne!(identity(&store).await.certificate, first);
}

#[tokio::test]
async fn a_certificate_of_another_tenancy_gives_a_token_without_rights_here() {
    let store = store().await;
    let rotation = Rotation { tenancy: LeafTenancy::Other, ..Rotation::default() };
    store.server.rotate_certificate(rotation).unwrap();
    let other = identity(&store).await;
    let mut session = session_key(&store);
    other.federate(&store, TENANCY, &session).await.is(401);
    let reply = other.federate(&store, OTHER, &session).await.is(200);
    session.key_id = format!("ST${}", reply.json()["token"].as_str().unwrap());
    assert_eq!(claims(&session)["tenant"], OTHER);
    let namespace = Request::new("GET", "/n").send(&store.server, &session).await.is(200);
    assert_eq!(namespace.json(), "axanothertenancy");
    Request::new("GET", "/n/axlocalstore/b/demo").send(&store.server, &session).await.is(404);
    Request::new("GET", "/n/axanothertenancy/b/demo").send(&store.server, &session).await.is(404);
}

#[tokio::test]
async fn a_certificate_of_another_server_is_refused() {
    let (store, other) = (store().await, store().await);
    let foreign = identity(&other).await;
    let reply = foreign.federate(&store, TENANCY, &session_key(&store)).await.is(401);
    assert!(reply.json()["message"].as_str().unwrap().contains("certificate is not accepted"));
}

#[tokio::test]
async fn faults_meet_the_metadata_service_and_the_federation_by_their_names() {
    let store = store().await;
    let refuse = |status| Fault::Refuse(FaultResponse::status(status));
    let first = Trigger::Requests(1);
    store.server.set_faults(
        FaultPlan::new()
            .with(FaultRule::on(Operation::GetMetadataRegion, refuse(404)).when(first))
            .with(FaultRule::on(Operation::GetMetadataKey, refuse(429)).when(first))
            .with(FaultRule::on(Operation::FederateInstance, refuse(500)).when(first)),
    );
    get(&store, "/opc/v2/instance/region").await.is(404);
    get(&store, "/opc/v2/instance/region").await.is(200);
    get(&store, "/opc/v2/identity/key.pem").await.is(429);
    let identity = identity(&store).await;
    let session = session_key(&store);
    for status in [500, 200] {
        identity.federate(&store, TENANCY, &session).await.is(status);
    }
    assert_eq!(store.server.counts().of(CallKind::Federation), 2);
}

/// A request on behalf of the user.
async fn delegated(store: &Store, signer: &mut Signer, token: &str, signed: bool) -> Reply {
    let list = if signed {
        "date (request-target) host opc-obo-token"
    } else {
        "date (request-target) host"
    };
    signer.list = Some(list);
    let request = Request::new("GET", "/n").header("opc-obo-token", token);
    request.send(&store.server, signer).await
}

#[tokio::test]
async fn a_delegation_token_must_be_signed_issued_and_in_date() {
    let store = store_with(|options| {
        options.instance.delegation_life = 60;
        options.instance.delegation_grace = 20;
    })
    .await;
    let mut signer = instance(&store).await;
    let path = store.server.delegation_token_path();
    let read = || std::fs::read_to_string(&path).unwrap();
    let first = read();
    delegated(&store, &mut signer, &first, true).await.is(200);
    let record = store.server.requests().pop().unwrap();
    assert_eq!((record.principal, record.delegated), (Some(PrincipalKind::Instance), true));
    delegated(&store, &mut signer, &first, false).await.is(401);
    delegated(&store, &mut signer, "TEST.DELEGATION.TOKEN", true).await.is(401);
    let own = signer.key_id.strip_prefix("ST$").unwrap().to_owned();
    delegated(&store, &mut signer, &own, true).await.is(401);
    let mut user = Signer::token(&store.server);
    delegated(&store, &mut user, &first, true).await.is(401);
    let mut as_key = Signer::with(&store.server.key_path(), format!("ST${first}"));
    delegated(&store, &mut as_key, &first, true).await.is(401);

    let second = store.server.rotate_delegation_token().unwrap();
    assert_eq!(read(), second);
    for token in [&first, &second] {
        delegated(&store, &mut signer, token, true).await.is(200);
    }
    store.server.set_clock_offset(21);
    delegated(&store, &mut signer, &first, true).await.is(401);
    delegated(&store, &mut signer, &second, true).await.is(200);
    store.server.set_clock_offset(61);
    delegated(&store, &mut signer, &second, true).await.is(401);
    signer.list = None;
    Request::new("GET", "/n").send(&store.server, &signer).await.is(200);
    let third = store.server.rotate_delegation_token().unwrap();
    store.server.revoke_delegation_token();
    delegated(&store, &mut signer, &third, true).await.is(401);
}

#[tokio::test]
async fn rotations_and_counts_can_be_asked_for_over_http() {
    let store = store().await;
    let certificate = text(&store, "/opc/v2/identity/cert.pem").await;
    let delegation = std::fs::read_to_string(store.server.delegation_token_path()).unwrap();
    let post = async |target: &str| Request::new("POST", target).send_unsigned(&store.server).await;
    post("/emulator/rotate/certificate?torn_reads=1&tenancy=other&moment=now").await.is(204);
    post("/emulator/rotate/delegation_token").await.is(204);
    assert_ne!(text(&store, "/opc/v2/identity/cert.pem").await, certificate);
    let path = store.server.delegation_token_path();
    assert_ne!(std::fs::read_to_string(path).unwrap(), delegation);
    for wrong in ["certificate?torn_reads=x", "certificate?tenancy=mine", "certificate?torn=1"] {
        post(&format!("/emulator/rotate/{wrong}")).await.is(400);
    }
    post("/emulator/rotate/all").await.is(404);
    let counts = Request::new("GET", "/emulator/counts").send_unsigned(&store.server).await;
    assert_eq!(counts.is(200).json(), json!({"metadata_certificate": 2}));
    assert_eq!(store.server.requests().len(), 2);
}
