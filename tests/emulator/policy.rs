//! Missing rights, retention rules and read-only buckets, seen by a client.

use crate::client::*;
use emulator::{BucketProtection, Permission, PermissionSet, Retention};

const X: &str = "/n/axlocalstore/b/demo/o/x";

async fn with_rights(permissions: impl IntoIterator<Item = Permission>) -> Store {
    let rights = PermissionSet::of(permissions);
    store_with(|options| options.rights = rights).await
}

async fn send(store: &Store, request: Request<'_>) -> Reply {
    request.send(&store.server, &Signer::token(&store.server)).await
}

async fn put(store: &Store) -> Reply {
    send(store, Request::new("PUT", X).body(b"x")).await
}

/// Stores an object unless one of this name exists.
async fn put_new(store: &Store) -> Reply {
    send(store, Request::new("PUT", X).body(b"x").header("if-none-match", "*")).await
}

fn create() -> Request<'static> {
    Request::new("POST", "/n/axlocalstore/b/demo/u").body(br#"{"object": "x"}"#)
}

#[tokio::test]
async fn the_right_to_create_is_enough_for_one_new_object_and_for_no_multipart_upload() {
    let store = with_rights([Permission::ObjectCreate]).await;
    put_new(&store).await.is(200);
    assert_eq!(put_new(&store).await.is(412).code(), "IfNoneMatchFailed");
    assert_eq!(put(&store).await.is(404).code(), "BucketNotFound");
    assert_eq!(send(&store, create()).await.is(404).code(), "BucketNotFound");
    send(&store, Request::new("HEAD", X)).await.is(404);
    send(&store, Request::new("GET", "/n")).await.is(200);
}

#[tokio::test]
async fn an_upload_needs_two_rights_and_its_abort_a_third() {
    let store = with_rights([Permission::ObjectCreate, Permission::ObjectOverwrite]).await;
    let upload = Upload::create(&store, "x").await;
    let part = upload.part(1, b"one").await;
    let target = upload.target();
    let abort = send(&store, Request::new("DELETE", &target)).await.is(404);
    assert_eq!(abort.code(), "BucketNotFound");
    upload.list_parts().await.is(404);
    send(&store, Request::new("GET", "/n/axlocalstore/b/demo/u")).await.is(404);
    store.server.set_rights(PermissionSet::all().without(Permission::ObjectOverwrite));
    assert_eq!(upload.try_part(2, b"two").await.unwrap().is(404).code(), "BucketNotFound");
    upload.commit(&[(1, &part)], &[]).await.is(404);
    store.server.set_rights(PermissionSet::all());
    upload.commit(&[(1, &part)], &[]).await.is(200);
}

#[tokio::test]
async fn a_head_needs_one_of_two_rights_and_a_get_one_right() {
    let store = store().await;
    put_new(&store).await.is(200);
    for (rights, head, get) in [
        (PermissionSet::of([Permission::ObjectInspect]), 200, 404),
        (PermissionSet::of([Permission::ObjectRead]), 200, 200),
        (PermissionSet::of([]), 404, 404),
    ] {
        store.server.set_rights(rights);
        send(&store, Request::new("HEAD", X)).await.is(head);
        send(&store, Request::new("GET", X)).await.is(get);
    }
    store.server.set_rights(PermissionSet::all().without(Permission::ObjectDelete));
    send(&store, Request::new("DELETE", X)).await.is(404);
}

#[tokio::test]
async fn a_retention_rule_protects_existing_objects_and_allows_new_ones() {
    let store = store().await;
    for from in [Retention::FromCreate, Retention::FromCommit] {
        store.server.protect("demo", BucketProtection::default());
        send(&store, Request::new("DELETE", X)).await;
        store.server.protect("demo", BucketProtection::retention(from));
        put_new(&store).await.is(200);
        for error in [put_new(&store).await, put(&store).await] {
            assert_eq!(error.is(403).code(), "RetentionRuleViolation");
        }
        assert_eq!(
            send(&store, Request::new("DELETE", X)).await.is(403).code(),
            "RetentionRuleViolation"
        );
    }
}

#[tokio::test]
async fn a_retention_rule_applies_to_an_upload_when_it_is_created_or_committed() {
    let store = store().await;
    put_new(&store).await.is(200);
    store.server.protect("demo", BucketProtection::retention(Retention::FromCreate));
    assert_eq!(send(&store, create()).await.is(403).code(), "RetentionRuleViolation");
    store.server.protect("demo", BucketProtection::retention(Retention::FromCommit));
    let upload = Upload::create(&store, "x").await;
    let part = upload.part(1, b"one").await;
    let error = upload.commit(&[(1, &part)], &[]).await.is(403);
    assert_eq!(error.code(), "RetentionRuleViolation");
    let target = upload.target();
    send(&store, Request::new("DELETE", &target)).await.is(204);
    assert_eq!(upload.object().await.body, b"x");
}

#[tokio::test]
async fn a_read_only_bucket_refuses_every_write_and_is_reported_as_read_only() {
    let store = store().await;
    put_new(&store).await.is(200);
    let upload = Upload::create(&store, "y").await;
    store.server.protect("demo", BucketProtection::read_only());
    let target = upload.target();
    for request in [
        Request::new("PUT", X).body(b"x"),
        Request::new("DELETE", X),
        Request::new("DELETE", &target),
        create(),
    ] {
        assert_eq!(send(&store, request).await.is(403).code(), "BucketIsReadonly");
    }
    upload.try_part(1, b"x").await.unwrap().is(403);
    send(&store, Request::new("GET", X)).await.is(200);
    let bucket = send(&store, Request::new("GET", "/n/axlocalstore/b/demo")).await.is(200).json();
    assert_eq!(bucket["isReadOnly"], true);
    put_elsewhere(&store).await.is(200);
}

async fn put_elsewhere(store: &Store) -> Reply {
    send(store, Request::new("PUT", "/n/axlocalstore/b/backups/o/x").body(b"x")).await
}
