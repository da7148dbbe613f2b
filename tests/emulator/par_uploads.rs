//! Multipart uploads through pre-authenticated requests, with their ends and their faults.

use crate::client::*;
use crate::par::{begin, path_of, send};
use emulator::fault::{Fault, FaultPlan, FaultResponse, FaultRule, Trigger};
use emulator::{
    AbortStatus, NewPar, Operation, ParOptions, ParRefusal, PartListing, Permission, PermissionSet,
    SlashForm,
};
use serde_json::json;

#[tokio::test]
async fn a_multipart_upload_commits_whatever_parts_are_there_in_ascending_order() {
    let store = store().await;
    let path = path_of(&store, NewPar::bucket("demo")) + "dir/x";
    let start = Request::new("PUT", &path)
        .header("opc-multipart", "true")
        .header("opc-meta-host", "db1")
        .header("storage-tier", "InfrequentAccess");
    let started = start.send_unsigned(&store.server).await.is(200).json();
    assert_eq!(
        (&started["object"], &started["storageTier"]),
        (&json!("dir/x"), &json!("InfrequentAccess"))
    );
    let uri = started["accessUri"].as_str().unwrap();
    let id = started["uploadId"].as_str().unwrap();
    assert!(uri.ends_with(&format!("/b/demo/u/dir%2Fx/id/{id}/")), "{uri}");
    assert_ne!(uri.split('/').nth(2), path.split('/').nth(2));
    for (number, body) in [(3, "three"), (1, "first"), (1, "one"), (2, "two")] {
        let reply = send(&store, "PUT", &format!("{uri}{number}"), body.as_bytes()).await.is(200);
        assert!(!reply.header("etag").is_empty() && !reply.header("opc-content-md5").is_empty());
    }
    // A signed caller sees the upload and its parts.
    let signer = Signer::token(&store.server);
    let uploads =
        Request::new("GET", "/n/axlocalstore/b/demo/u").send(&store.server, &signer).await;
    assert_eq!(uploads.is(200).json()[0]["uploadId"], id);
    let target = format!("/n/axlocalstore/b/demo/u/dir%2Fx?uploadId={id}");
    let parts = Request::new("GET", &target).send(&store.server, &signer).await.is(200);
    assert_eq!(parts.json().as_array().unwrap().len(), 3);
    for part in ["0", "10001", "x"] {
        send(&store, "PUT", &format!("{uri}{part}"), b"").await.is(400);
    }
    let done = send(&store, "POST", uri, b"").await.is(200);
    assert!(done.header("opc-multipart-md5").ends_with("-3"), "{done:?}");
    assert_eq!(store.server.object("demo", "dir/x").unwrap().unwrap(), b"onetwothree");
    let head = send(&store, "HEAD", &path, b"").await.is(200);
    assert_eq!((head.header("opc-meta-host"), head.header("etag")), ("db1", done.header("etag")));
    for method in ["POST", "DELETE"] {
        assert_eq!(send(&store, method, uri, b"").await.is(404).code(), "UploadNotFound");
    }
    let marked = |operation| {
        let records = store.server.requests();
        records.into_iter().filter(|record| record.operation == operation && record.par).count()
    };
    assert_eq!(marked(Operation::CreateMultipartUpload), 1);
    assert_eq!(marked(Operation::UploadPart), 7);
    assert_eq!(marked(Operation::CommitMultipartUpload), 2);
    let parts: Vec<_> = store.server.requests().into_iter().filter_map(|r| r.part).collect();
    assert_eq!(parts[..4], [3, 1, 1, 2]);
}

#[tokio::test]
async fn an_upload_is_aborted_by_its_url_and_not_begun_with_a_body_or_committed_without_parts() {
    let store = store().await;
    let path = path_of(&store, NewPar::object("demo", "x"));
    let start = Request::new("PUT", &path).header("opc-multipart", "true").body(b"bytes");
    start.send_unsigned(&store.server).await.is(400);
    let uri = begin(&store, &path).await;
    assert_eq!(send(&store, "POST", &uri, b"").await.is(400).code(), "InvalidUploadPart");
    send(&store, "GET", &uri, b"").await.is(404);
    send(&store, "DELETE", &uri, b"").await.is(204);
    assert!(store.server.open_uploads().is_empty());
    let options = ParOptions {
        abort: AbortStatus::Ok,
        list_parts: PartListing::Listed,
        part_etag: false,
        part_checksums: false,
        forget_ended_uploads: true,
        ..ParOptions::default()
    };
    store.server.set_par_options(options);
    let uri = begin(&store, &path).await;
    let part = send(&store, "PUT", &format!("{uri}1"), b"one").await.is(200);
    assert_eq!((part.header("etag"), part.header("opc-content-md5")), ("", ""));
    assert_eq!(send(&store, "GET", &uri, b"").await.is(200).json()[0]["partNumber"], 1);
    // Without its last slash it is the same.
    send(&store, "DELETE", uri.strip_suffix('/').unwrap(), b"").await.is(200);
    send(&store, "DELETE", &uri, b"").await.is(401);
    let refused = ParOptions { list_parts: PartListing::MethodNotAllowed, ..options };
    store.server.set_par_options(refused);
    let uri = begin(&store, &path).await;
    send(&store, "GET", &uri, b"").await.is(405);
}

#[tokio::test]
async fn an_expired_or_deleted_one_ends_its_uploads_unless_they_outlive_it() {
    for (outlive, refusal, status, code) in [
        (false, ParRefusal::NotAuthenticated, 401, "NotAuthenticated"),
        (false, ParRefusal::BucketNotFound, 404, "BucketNotFound"),
        (false, ParRefusal::NotAuthorizedOrNotFound, 404, "NotAuthorizedOrNotFound"),
        (true, ParRefusal::NotAuthenticated, 200, ""),
    ] {
        let options =
            ParOptions { uploads_outlive: outlive, invalid: refusal, ..ParOptions::default() };
        let store = store_with(|server| server.pars = options).await;
        let path = path_of(&store, NewPar::object("demo", "x"));
        let (first, second) = (begin(&store, &path).await, begin(&store, &path).await);
        let part = async |uri: &str| {
            let reply = send(&store, "PUT", &format!("{uri}1"), b"one").await.is(status);
            if status != 200 {
                assert_eq!(reply.code(), code);
            }
        };
        store.server.set_clock_offset(3_600);
        part(&first).await;
        store.server.set_clock_offset(0);
        send(&store, "PUT", &format!("{first}1"), b"one").await.is(200);
        assert_eq!(store.server.delete_pars("demo", None).unwrap(), 1);
        part(&second).await;
        send(&store, "POST", &first, b"").await.is(status);
        let refused = send(&store, "PUT", &path, b"new").await;
        assert_eq!(refused.code(), format!("{refusal:?}"));
    }
}

#[tokio::test]
async fn the_creators_rights_are_looked_up_at_every_use() {
    let store = store().await;
    let path = path_of(&store, NewPar::object("demo", "x"));
    let uri = begin(&store, &path).await;
    store.server.set_rights(PermissionSet::all().without(Permission::ObjectOverwrite));
    send(&store, "PUT", &format!("{uri}1"), b"one").await.is(404);
    let delete =
        PermissionSet::all().without(Permission::ObjectDelete).without(Permission::ParManage);
    store.server.set_rights(delete);
    send(&store, "PUT", &format!("{uri}1"), b"one").await.is(200);
    send(&store, "DELETE", &uri, b"").await.is(204);
    store.server.set_rights(
        PermissionSet::all().without(Permission::ObjectRead).without(Permission::ObjectInspect),
    );
    send(&store, "HEAD", &path, b"").await.is(404);
}

#[tokio::test]
async fn urls_and_uploads_survive_a_restart() {
    let dir = tempfile::tempdir().unwrap();
    let options = emulator::ServerOptions::new(dir.path(), emulator::StorageLayout::Durable);
    let store = Store { server: emulator::start(options.clone()).await.unwrap(), dir };
    let path = path_of(&store, NewPar::bucket("demo")) + "x";
    let uri = begin(&store, &path).await;
    send(&store, "PUT", &format!("{uri}1"), b"one").await.is(200);
    let Store { server, dir } = store;
    server.stop().await;
    let store = Store { server: emulator::start(options).await.unwrap(), dir };
    send(&store, "PUT", &format!("{uri}2"), b"two").await.is(200);
    send(&store, "POST", &uri, b"").await.is(200);
    assert_eq!(send(&store, "GET", &path, b"").await.is(200).body, b"onetwo");
    let mode = std::fs::metadata(store.server.state_path().join("pars.json")).unwrap();
    assert_eq!(std::os::unix::fs::PermissionsExt::mode(&mode.permissions()) & 0o777, 0o600);
}

#[tokio::test]
async fn slashes_can_be_required_in_one_form() {
    let options = ParOptions { slashes: SlashForm::Raw, ..ParOptions::default() };
    let store = store_with(|server| server.pars = options).await;
    let path = path_of(&store, NewPar::object("demo", "a/x"));
    assert!(path.ends_with("/o/a/x"), "a raw slash in the URL");
    send(&store, "PUT", &path.replace("/o/a/x", "/o/a%2Fx"), b"").await.is(404);
    let uri = begin(&store, &path).await;
    assert!(uri.contains("/u/a/x/id/"));
    send(&store, "PUT", &format!("{uri}1"), b"one").await.is(200);
    send(&store, "POST", &uri, b"").await.is(200);
}

#[tokio::test]
async fn faults_reach_requests_through_one_and_can_delete_it_or_store_another_object() {
    let store = store().await;
    let path = path_of(&store, NewPar::object("demo", "x"));
    let refused = Fault::Refuse(FaultResponse::status(503));
    let plan = FaultPlan::new()
        .with(
            FaultRule::on(Operation::UploadPart, refused).par(true).part(2).when(Trigger::First(1)),
        )
        .with(FaultRule::on(Operation::CommitMultipartUpload, Fault::StoreOther("other".into())))
        .with(FaultRule::on(Operation::HeadObject, Fault::DeletePars));
    store.server.set_faults(plan);
    let uri = begin(&store, &path).await;
    let part =
        async |number: u32| send(&store, "PUT", &format!("{uri}{number}"), b"x").await.status;
    assert_eq!((part(1).await, part(2).await, part(2).await), (200, 503, 200));
    let commit = Request::new("POST", &uri).header("if-none-match", "*");
    commit.send_unsigned(&store.server).await.is(412);
    assert_eq!(store.server.object("demo", "x").unwrap().unwrap(), b"other");
    send(&store, "HEAD", &path, b"").await.is(401);
    send(&store, "GET", &path, b"").await.is(401);
    assert_eq!(store.server.open_uploads().len(), 1);
}

/// A part that arrives after a later one of its number replaces it, and one that arrives after the
/// commit changes nothing.
#[tokio::test]
async fn late_parts_land_through_one_as_through_a_signed_upload() {
    let store = store().await;
    let path = path_of(&store, NewPar::object("demo", "x"));
    let uri = begin(&store, &path).await;
    let late = Fault::LateLanding { after: None };
    let plan =
        FaultPlan::new().with(FaultRule::on(Operation::UploadPart, late).when(Trigger::Attempt(1)));
    store.server.set_faults(plan);
    let mut stream = tokio::net::TcpStream::connect(store.server.address()).await.unwrap();
    let head = format!("PUT {uri}1 HTTP/1.1\r\nhost: x\r\ncontent-length: 3\r\n\r\nold");
    tokio::io::AsyncWriteExt::write_all(&mut stream, head.as_bytes()).await.unwrap();
    assert!(read_reply(&mut stream, "PUT").await.is_err());
    send(&store, "PUT", &format!("{uri}1"), b"new").await.is(200);
    send(&store, "POST", &uri, b"").await.is(200);
    assert_eq!(store.server.object("demo", "x").unwrap().unwrap(), b"old");
}
