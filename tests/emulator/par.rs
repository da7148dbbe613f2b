//! Pre-authenticated requests: managing them, and what their URLs allow.

use crate::client::*;
use emulator::{
    AccessType, NewPar, Operation, ParConditions, ParOptions, Permission, PermissionSet,
};
use serde_json::{Value, json};
use std::os::unix::fs::PermissionsExt;

const PARS: &str = "/n/axlocalstore/b/demo/p/";

/// The path of the URL of a new pre-authenticated request.
pub fn path_of(store: &Store, new: NewPar) -> String {
    let url = store.server.create_par(new).unwrap().url;
    url.strip_prefix(&store.server.url()).unwrap().to_owned()
}

pub async fn send(store: &Store, method: &str, target: &str, body: &[u8]) -> Reply {
    Request::new(method, target).body(body).send_unsigned(&store.server).await
}

/// Begins an upload through a PAR's path and returns the `accessUri`.
pub async fn begin(store: &Store, path: &str) -> String {
    let request = Request::new("PUT", path).header("opc-multipart", "true");
    let reply = request.send_unsigned(&store.server).await.is(200);
    reply.json()["accessUri"].as_str().unwrap().to_owned()
}

async fn create(store: &Store, body: Value) -> Reply {
    let (signer, body) = (Signer::api_key(&store.server), body.to_string());
    Request::new("POST", PARS).body(body.as_bytes()).send(&store.server, &signer).await
}

#[tokio::test]
async fn one_is_created_listed_shown_and_deleted_and_its_secret_is_in_one_answer_only() {
    let store = store().await;
    let signer = Signer::api_key(&store.server);
    let body = json!({"name": "db", "accessType": "ObjectWrite", "objectName": "a/b c",
        "timeExpires": "2099-01-01T01:00:00+01:00"});
    let created = create(&store, body).await.is(200).json();
    let uri = created["accessUri"].as_str().unwrap();
    let secret = uri.split('/').nth(2).unwrap();
    assert_eq!(uri, format!("/p/{secret}/n/axlocalstore/b/demo/o/a%2Fb%20c"));
    assert_eq!(created["fullPath"], format!("{}{uri}", store.server.url()));
    assert_eq!(created["timeExpires"], "2099-01-01T00:00:00.000Z");
    assert!(created["bucketListingAction"].is_null());
    let id = created["id"].as_str().unwrap().to_owned();
    assert!(id.ends_with(":a/b c"), "{id}");
    let list = Request::new("GET", PARS).send(&store.server, &signer).await.is(200);
    assert_eq!(
        (list.json()[0]["id"].as_str(), list.json().as_array().unwrap().len()),
        (Some(id.as_str()), 1)
    );
    // The SDKs send the slashes of an id as they are.
    let target = format!("{PARS}{}", id.replace(' ', "%20").replace('+', "%2B"));
    let shown = Request::new("GET", &target).send(&store.server, &signer).await.is(200);
    assert_eq!(
        (&shown.json()["accessType"], &shown.json()["objectName"]),
        (&json!("ObjectWrite"), &json!("a/b c"))
    );
    for reply in [&list, &shown] {
        assert!(!String::from_utf8_lossy(&reply.body).contains(secret));
    }
    send(&store, "PUT", uri, b"bytes").await.is(200);
    Request::new("DELETE", &target).send(&store.server, &signer).await.is(204);
    Request::new("GET", &target).send(&store.server, &signer).await.is(404);
    assert_eq!(send(&store, "PUT", uri, b"later").await.is(401).code(), "NotAuthenticated");
    assert_eq!(store.server.object("demo", "a/b c").unwrap().unwrap(), b"bytes");
    assert!(store.server.requests().iter().all(|record| !record.path.contains(secret)));
    let puts = store.server.requests().into_iter().filter(|r| r.operation == Operation::PutObject);
    assert!(puts.clone().count() == 2 && puts.into_iter().all(|record| record.par));
}

#[tokio::test]
async fn what_contradicts_itself_or_gives_away_a_missing_right_is_not_created() {
    let store = store().await;
    let valid = json!({"name": "n", "accessType": "AnyObjectReadWrite", "timeExpires": "2099-01-01T00:00:00Z"});
    for (field, value) in [
        ("timeExpires", json!("2020-01-01T00:00:00Z")),
        ("timeExpires", json!("tomorrow")),
        ("accessType", json!("ObjectRead")),
        ("accessType", json!("Everything")),
        ("name", json!("")),
    ] {
        let mut body = valid.clone();
        body[field] = value.clone();
        create(&store, body).await.is(400);
    }
    create(&store, valid.clone()).await.is(200);
    for missing in [
        Permission::ParManage,
        Permission::ObjectCreate,
        Permission::ObjectOverwrite,
        Permission::ObjectRead,
    ] {
        store.server.set_rights(PermissionSet::all().without(missing));
        create(&store, valid.clone()).await.is(404);
    }
    store.server.set_rights(PermissionSet::all());
    let signer = Signer::api_key(&store.server);
    let bucket = Request::new("DELETE", "/n/axlocalstore/b/demo");
    assert_eq!(bucket.send(&store.server, &signer).await.is(409).code(), "BucketNotEmpty");
}

#[tokio::test]
async fn each_access_type_allows_its_own_requests_only() {
    let store = store().await;
    store.server.store_object("demo", "a/x", b"there").unwrap();
    for access in [
        AccessType::ObjectRead,
        AccessType::ObjectWrite,
        AccessType::ObjectReadWrite,
        AccessType::AnyObjectRead,
        AccessType::AnyObjectWrite,
        AccessType::AnyObjectReadWrite,
    ] {
        let one = access.is_for_one_object();
        let new = if one { NewPar::object("demo", "a/x") } else { NewPar::prefix("demo", "a/") };
        let path = path_of(&store, new.access(access));
        let base = path.split_once("/o/").unwrap().0;
        let at = |name: &str| format!("{base}/o/{name}");
        let status =
            async |method: &str, target: &str| send(&store, method, target, b"").await.status;
        let (reads, writes) =
            (if access.reads() { 200 } else { 404 }, if access.writes() { 200 } else { 404 });
        for form in ["a/x", "a%2Fx"] {
            assert_eq!(status("GET", &at(form)).await, reads, "{access:?}");
            assert_eq!(status("HEAD", &at(form)).await, reads, "{access:?}");
            assert_eq!(status("PUT", &at(form)).await, writes, "{access:?}");
        }
        assert_eq!(status("PUT", &at("b/x")).await, 404, "{access:?}");
        assert_eq!(status("PUT", &at("a/y")).await, if one { 404 } else { writes }, "{access:?}");
        assert_eq!(status("DELETE", &at("a/x")).await, 404, "{access:?}");
        assert_eq!(status("GET", &at("")).await, if one { 404 } else { 200 }, "{access:?}");
        assert_eq!(status("GET", base).await, 404);
        let elsewhere = at("a/x").replace("/b/demo/", "/b/backups/");
        assert_eq!(status("PUT", &elsewhere).await, 404, "{access:?}");
    }
    // A request without a secret is refused as ever.
    send(&store, "GET", "/n/axlocalstore/b/demo/o/a%2Fx", b"").await.is(401);
}

#[tokio::test]
async fn a_list_shows_what_has_the_prefix_and_needs_the_listing_action() {
    let store = store().await;
    for name in ["a/1", "a/2", "b/1"] {
        store.server.store_object("demo", name, b"x").unwrap();
    }
    let path = path_of(&store, NewPar::prefix("demo", "a/"));
    let names = async |query: &str| {
        let reply = send(&store, "GET", &format!("{path}{query}"), b"").await.is(200);
        let objects = reply.json()["objects"].as_array().unwrap().clone();
        objects.iter().map(|object| object["name"].as_str().unwrap().to_owned()).collect::<Vec<_>>()
    };
    assert_eq!(names("").await, ["a/1", "a/2"]);
    assert_eq!(names("?prefix=a").await, ["a/1", "a/2"]);
    assert_eq!(names("?prefix=a/2&fields=size").await, ["a/2"]);
    send(&store, "GET", &format!("{path}?prefix=b"), b"").await.is(404);
    let silent = NewPar { listing: emulator::ListingAction::Deny, ..NewPar::bucket("demo") };
    let silent = path_of(&store, silent);
    send(&store, "GET", &silent, b"").await.is(404);
}

#[tokio::test]
async fn a_put_keeps_its_headers_and_a_get_takes_ranges_and_replaces_headers() {
    let store = store().await;
    let path = path_of(&store, NewPar::object("demo", "x"));
    let put = Request::new("PUT", &path)
        .header("content-type", "application/x-tar")
        .header("opc-meta-host", "db1")
        .body(b"0123456789");
    let done = put.send_unsigned(&store.server).await.is(200);
    assert_eq!(done.header("opc-content-md5"), "eB5eJF1ptWaXm4bijSPyxw==");
    let head = send(&store, "HEAD", &path, b"").await.is(200);
    assert_eq!((head.header("opc-meta-host"), head.header("x-api-id")), ("db1", "native"));
    assert_eq!(head.header("etag"), done.header("etag"));
    let range = Request::new("GET", &path).header("range", "bytes=2-4");
    assert_eq!(range.send_unsigned(&store.server).await.is(206).body, b"234");
    let target = format!("{path}?httpResponseContentType=text/plain");
    assert_eq!(
        send(&store, "GET", &target, b"").await.is(200).header("content-type"),
        "text/plain"
    );
    let new_only = Request::new("PUT", &path).header("if-none-match", "*").body(b"new");
    assert_eq!(new_only.send_unsigned(&store.server).await.is(412).code(), "IfNoneMatchFailed");
    let wrong = Request::new("PUT", &path).header("content-md5", "AAAAAAAAAAAAAAAAAAAAAA==");
    wrong.body(b"new").send_unsigned(&store.server).await.is(400);
    let lenient = ParOptions {
        conditions: ParConditions::Ignored,
        request_checksums: false,
        object_etag: false,
        object_checksums: false,
        ..ParOptions::default()
    };
    store.server.set_par_options(lenient);
    let new_only = Request::new("PUT", &path)
        .header("if-none-match", "*")
        .header("content-md5", "AAAAAAAAAAAAAAAAAAAAAA==");
    let done = new_only.body(b"new").send_unsigned(&store.server).await.is(200);
    assert_eq!((done.header("etag"), done.header("opc-content-md5")), ("", ""));
    assert_eq!(store.server.object("demo", "x").unwrap().unwrap(), b"new");
}

#[test]
fn the_file_of_a_url_is_private_and_replaces_only_the_request_that_it_named() {
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let store = runtime.block_on(store());
    store.server.create_par(NewPar::object("demo", "other")).unwrap();
    let read = || {
        let path = store.server.write_par_file(NewPar::bucket("demo")).unwrap();
        assert_eq!(std::fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
        assert!(path.starts_with(store.server.state_path()));
        let text = std::fs::read_to_string(path).unwrap();
        let (expires, url) = text.trim_end().split_once('\n').unwrap();
        assert!(expires.starts_with("# expires: 20"), "{expires}");
        url.strip_prefix(&store.server.url()).unwrap().to_owned()
    };
    let (first, second) = (read(), read());
    let status = |path: &str| runtime.block_on(send(&store, "GET", path, b"")).status;
    assert_eq!((status(&first), status(&second)), (401, 200));
    assert_eq!(store.server.delete_pars("demo", Some("object")).unwrap(), 1);
}
