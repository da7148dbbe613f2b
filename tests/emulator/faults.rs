//! Each fault of a plan, seen by a client.

use crate::client::*;
use emulator::Operation::{CommitMultipartUpload, HeadObject, PutObject, UploadPart};
use emulator::SpuriousCounts;
use emulator::fault::{Fault, FaultPlan, FaultResponse, FaultRule, Trigger};
use std::io;
use std::time::Duration;
use tokio::time::timeout;

const BODY: &[u8] = &[7; 300_000];

async fn faulty(rule: FaultRule) -> Store {
    store_with(|options| options.faults = FaultPlan::new().with(rule)).await
}

/// A PutObject; fails if the connection breaks.
async fn put(store: &Store) -> io::Result<Reply> {
    let request = Request::new("PUT", "/n/axlocalstore/b/demo/o/x").body(BODY);
    request.try_send(&store.server, &Signer::token(&store.server)).await
}

fn first(action: Fault) -> FaultRule {
    FaultRule::on(PutObject, action).when(Trigger::First(1))
}

fn is_stored(store: &Store) -> bool {
    store.server.object("demo", "x").unwrap().is_some()
}

#[tokio::test]
async fn error_responses_have_a_code_and_retry_after_and_no_effect() {
    for action in [
        Fault::Refuse(FaultResponse::status(429).retry_after("7")),
        Fault::Early(FaultResponse::status(429).retry_after("7")),
    ] {
        let store = faulty(first(action)).await;
        let reply = put(&store).await.unwrap().is(429);
        assert_eq!((reply.header("retry-after"), reply.code().as_str()), ("7", "TooManyRequests"));
        assert!(!is_stored(&store));
        put(&store).await.unwrap().is(200);
        assert!(is_stored(&store));
    }
}

#[tokio::test]
async fn a_spurious_404_names_the_bucket_has_no_effect_and_is_counted() {
    let store =
        store_with(|options| options.faults = FaultPlan::new().with(FaultRule::spurious(1000, 1)))
            .await;
    let error = put(&store).await.unwrap().is(404);
    assert_eq!(error.code(), "BucketNotFound");
    assert_eq!(
        error.json()["message"],
        "Either the bucket named 'demo' does not exist in the namespace 'axlocalstore' or you are not authorized to access it"
    );
    let signer = Signer::token(&store.server);
    let head = Request::new("HEAD", "/n/axlocalstore/b/demo/o/x");
    let reply = head.send(&store.server, &signer).await.is(404);
    assert_eq!(reply.header("content-type"), "");
    Request::new("GET", "/n").send(&store.server, &signer).await.is(200);
    assert!(!is_stored(&store));
    store.server.set_faults(FaultPlan::new());
    put(&store).await.unwrap().is(200);
    assert_eq!(store.server.spurious(), SpuriousCounts { injected: 2, at_first: 2 });
    store
        .server
        .set_faults(FaultPlan::new().with(FaultRule::on(PutObject, Fault::SpuriousNotFound)));
    put(&store).await.unwrap().is(404);
    assert_eq!(store.server.spurious(), SpuriousCounts { injected: 3, at_first: 2 });
}

#[tokio::test]
async fn a_client_that_goes_away_is_noticed_while_an_answer_stalls_whose_request_was_not_read() {
    let store = faulty(FaultRule::on(PutObject, Fault::StallAnswer { ms: None })).await;
    // The first one stores the object, so that the second is refused before its body is read, which no
    // buffer holds.
    let body = vec![7; 4_000_000];
    for _ in 0..2 {
        let request = Request::new("PUT", "/n/axlocalstore/b/demo/o/x").body(&body);
        let request = request.header("if-none-match", "*");
        let signer = Signer::token(&store.server);
        let sending = request.try_send(&store.server, &signer);
        assert!(timeout(Duration::from_secs(1), sending).await.is_err(), "it was answered");
    }
    let noticed = async {
        while store.server.requests().len() < 2 {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    timeout(Duration::from_secs(10), noticed).await.expect("a client that has gone is not noticed");
}

#[tokio::test]
async fn an_early_response_leaves_the_body_unread() {
    let store = faulty(first(Fault::Early(FaultResponse::status(401)))).await;
    put(&store).await.unwrap().is(401);
    assert_eq!(store.server.requests()[0].body, 0);
}

#[tokio::test]
async fn broken_connections_are_errors_and_only_a_lost_response_has_an_effect() {
    for (action, handled) in [
        (Fault::ResetBeforeBody, false),
        (Fault::ResetInBody(100_000), false),
        (Fault::LoseAnswer, true),
        (Fault::Truncate(20), true),
        (Fault::Garbage("<html>".to_owned()), false),
    ] {
        let store = faulty(first(action.clone())).await;
        assert!(put(&store).await.is_err(), "{action:?}");
        store.server.wait_for(|requests| !requests.is_empty()).await;
        assert_eq!(is_stored(&store), handled, "{action:?}");
    }
}

#[tokio::test]
async fn a_proxy_page_is_no_json() {
    let store = faulty(first(Fault::Html { status: 502 })).await;
    let reply = put(&store).await.unwrap().is(502);
    assert!(reply.body.starts_with(b"<html>") && reply.header("content-type") == "text/html");
}

#[tokio::test]
async fn stalls_stop_the_body_or_the_response() {
    for (action, handled) in [
        (Fault::StallBody { bytes: 1000, ms: None }, false),
        (Fault::StallAnswer { ms: None }, true),
    ] {
        let store = faulty(first(action)).await;
        assert!(timeout(Duration::from_millis(300), put(&store)).await.is_err());
        assert_eq!(is_stored(&store), handled);
    }
    for action in [
        Fault::StallBody { bytes: 1000, ms: Some(1) },
        Fault::StallAnswer { ms: Some(1) },
        Fault::Delay(1),
    ] {
        put(&faulty(first(action)).await).await.unwrap().is(200);
    }
}

#[tokio::test]
async fn the_checksums_of_a_response_can_be_wrong_or_missing() {
    let store = faulty(first(Fault::WrongChecksum)).await;
    let wrong = put(&store).await.unwrap().is(200).header("opc-content-md5").to_owned();
    let right = put(&store).await.unwrap().is(200).header("opc-content-md5").to_owned();
    assert!(wrong != right && wrong.len() == right.len());
    let store = faulty(first(Fault::MissingChecksum)).await;
    assert_eq!(put(&store).await.unwrap().is(200).header("opc-content-md5"), "");
}

#[tokio::test]
async fn a_token_can_be_revoked_or_outlived_at_a_chosen_request() {
    let store = faulty(first(Fault::RevokeToken)).await;
    put(&store).await.unwrap().is(401);
    put(&store).await.unwrap().is(401);
    let store = faulty(first(Fault::MoveClock(4000))).await;
    put(&store).await.unwrap().is(401);
}

/// Commits the parts `one` and `two2` under a fault; returns the response to the commit and the
/// object.
async fn committed(rule: FaultRule) -> (Reply, Option<Vec<u8>>) {
    let store = faulty(rule).await;
    let upload = Upload::create(&store, "x").await;
    let (a, b) = (upload.part(1, b"one").await, upload.part(2, b"two2").await);
    let reply = upload.commit(&[(1, &a), (2, &b)], &[]).await.is(200);
    let object = store.server.object("demo", "x").unwrap();
    (reply, object)
}

#[tokio::test]
async fn a_damaged_object_shows_only_in_its_checksum() {
    let harmless = FaultRule::on(CommitMultipartUpload, Fault::Delay(0));
    let (right, object) = committed(harmless).await;
    let right = right.header("opc-multipart-md5").to_owned();
    assert_eq!(object.unwrap(), b"onetwo2");
    for (rule, object) in [
        (FaultRule::on(CommitMultipartUpload, Fault::SwapParts(1, 2)), Some(b"two2one".to_vec())),
        (FaultRule::on(CommitMultipartUpload, Fault::DropPart(1)), Some(b"two2".to_vec())),
        (FaultRule::on(UploadPart, Fault::CorruptPart).part(2), Some(b"onetwn2".to_vec())),
        (FaultRule::on(CommitMultipartUpload, Fault::WrongChecksum), Some(b"onetwo2".to_vec())),
    ] {
        let (reply, stored) = committed(rule.clone()).await;
        assert_ne!(reply.header("opc-multipart-md5"), right, "{rule:?}");
        assert_eq!(stored, object, "{rule:?}");
    }
    let (reply, stored) =
        committed(FaultRule::on(CommitMultipartUpload, Fault::NothingStored)).await;
    assert_eq!((reply.header("opc-multipart-md5"), stored), (right.as_str(), None));
}

#[tokio::test]
async fn a_delayed_part_replaces_its_retry() {
    let delayed = Fault::LateLanding { after: None };
    let store = faulty(FaultRule::on(UploadPart, delayed).part(1).when(Trigger::Attempt(1))).await;
    let upload = Upload::create(&store, "x").await;
    assert!(upload.try_part(1, BODY).await.is_err());
    assert_eq!(upload.list_parts().await.body, b"[]");
    let retry = upload.part(1, BODY).await;
    let error = upload.commit(&[(1, &retry)], &[]).await.is(400);
    assert_eq!(error.code(), "InvalidUploadPart");
    let now = upload.list_parts().await.json()[0]["etag"].as_str().unwrap().to_owned();
    assert_ne!(now, retry);
    upload.commit(&[(1, &now)], &[]).await.is(200);
    assert_eq!(upload.object().await.body, BODY);
}

#[tokio::test]
async fn a_part_and_a_commit_without_a_response_can_be_delayed_too() {
    let part = Fault::SilentLateLanding { after: None };
    let commit = Fault::SilentLateLanding { after: Some(HeadObject) };
    let plan = FaultPlan::new()
        .with(FaultRule::on(UploadPart, part).when(Trigger::Attempt(1)))
        .with(FaultRule::on(CommitMultipartUpload, commit).when(Trigger::Attempt(1)));
    let store = store_with(|options| options.faults = plan).await;
    let upload = Upload::create(&store, "x").await;
    let short = Duration::from_millis(300);
    assert!(timeout(short, upload.try_part(1, b"one")).await.is_err());
    let retry = upload.part(1, b"one").await;
    let now = upload.list_parts().await.json()[0]["etag"].as_str().unwrap().to_owned();
    assert_ne!(now, retry);
    assert!(timeout(short, upload.commit(&[(1, &now)], &[])).await.is_err());
    let head = Request::new("HEAD", "/n/axlocalstore/b/demo/o/x");
    head.send(&store.server, &upload.signer).await.is(404);
    head.send(&store.server, &upload.signer).await.is(200);
}

#[tokio::test]
async fn a_commit_can_be_handled_after_the_client_looked_for_the_object() {
    let delayed = Fault::LateLanding { after: Some(HeadObject) };
    let store = faulty(FaultRule::on(CommitMultipartUpload, delayed)).await;
    let upload = Upload::create(&store, "x").await;
    let part = upload.part(1, b"one").await;
    assert!(upload.commit_with(&[(1, &part)], &[], &[]).await.is_err());
    let head = Request::new("HEAD", "/n/axlocalstore/b/demo/o/x");
    head.send(&store.server, &upload.signer).await.is(404);
    head.send(&store.server, &upload.signer).await.is(200);
}

#[tokio::test]
async fn the_log_has_the_fault_and_the_number_of_bytes() {
    let store = faulty(first(Fault::ResetInBody(100_000))).await;
    let _ = put(&store).await;
    put(&store).await.unwrap().is(200);
    let requests = store.server.requests();
    assert_eq!((requests[0].operation, requests[0].status), (PutObject, 0));
    assert!(requests[0].body >= 100_000);
    assert_eq!(requests[0].fault, Some(Fault::ResetInBody(100_000)));
    assert_eq!(
        (requests[1].status, requests[1].body, &requests[1].fault),
        (200, BODY.len() as u64, &None)
    );
}
