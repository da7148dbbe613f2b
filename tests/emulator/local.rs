//! The store of `put --local`: objects as plain files, and nothing outside the folder.

use crate::client::*;
use emulator::check_writable;
use emulator::{Server, ServerOptions, StorageLayout, start};
use std::fs;
use std::os::unix::fs::symlink;
use std::path::Path;

async fn plain(dir: &Path) -> Server {
    start(ServerOptions::new(dir, StorageLayout::PlainFiles)).await.unwrap()
}

async fn put(server: &Server, path: &str, body: &[u8]) -> Reply {
    let target = format!("{NS}/b/{path}");
    Request::new("PUT", &target).body(body).send(server, &Signer::token(server)).await
}

/// Stores an object unless one of this name exists.
async fn put_new(server: &Server, path: &str, body: &[u8]) -> Reply {
    let target = format!("{NS}/b/{path}");
    let request = Request::new("PUT", &target).body(body).header("if-none-match", "*");
    request.send(server, &Signer::token(server)).await
}

#[tokio::test]
async fn an_object_is_a_plain_file_and_nothing_else_remains_after_the_run() {
    let dir = tempfile::tempdir().unwrap();
    let server = plain(dir.path()).await;
    assert!(server.state_path().starts_with(dir.path().canonicalize().unwrap().join(".ocipipe")));
    put_new(&server, "new/o/a%2Fb/c.txt", b"hello").await.is(200);
    server.stop().await;
    assert_eq!(fs::read(dir.path().join("new/a/b/c.txt")).unwrap(), b"hello");
    let remaining: Vec<_> =
        fs::read_dir(dir.path()).unwrap().map(|e| e.unwrap().file_name()).collect();
    assert_eq!(remaining, ["new"]);
}

#[tokio::test]
async fn a_multipart_upload_appears_only_when_it_is_committed() {
    let dir = tempfile::tempdir().unwrap();
    let server = plain(dir.path()).await;
    let store = Store { server, dir: tempfile::tempdir().unwrap() };
    let upload = Upload::create(&store, "x").await;
    let (a, b) = (upload.part(1, &[1; 100_000]).await, upload.part(2, b"end").await);
    assert!(!dir.path().join("demo").exists());
    upload.commit(&[(1, &a), (2, &b)], &[]).await.is(200);
    let file = fs::read(dir.path().join("demo/x")).unwrap();
    assert!(file == [vec![1; 100_000], b"end".to_vec()].concat());
}

#[tokio::test]
async fn the_etag_of_a_file_is_the_same_in_the_next_run() {
    let dir = tempfile::tempdir().unwrap();
    let server = plain(dir.path()).await;
    let etag = put_new(&server, "b/o/x", b"1").await.is(200).header("etag").to_owned();
    server.stop().await;
    let server = plain(dir.path()).await;
    assert_eq!(put_new(&server, "b/o/x", b"2").await.is(412).code(), "IfNoneMatchFailed");
    let head = Request::new("HEAD", "/n/axlocalstore/b/b/o/x");
    let signer = Signer::token(&server);
    assert_eq!(head.send(&server, &signer).await.is(200).header("etag"), etag);
    let replace = Request::new("PUT", "/n/axlocalstore/b/b/o/x").body(b"22");
    replace.header("if-match", &etag).send(&server, &signer).await.is(200);
    assert_ne!(head.send(&server, &signer).await.header("etag"), etag);
}

/// Both `check_writable` and the store have to refuse each of these names.
#[tokio::test]
async fn what_cannot_be_a_path_below_the_bucket_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    let outside = tempfile::tempdir().unwrap();
    fs::create_dir_all(dir.path().join("b/folder")).unwrap();
    fs::write(dir.path().join("b/file"), "x").unwrap();
    fs::write(outside.path().join("victim"), "x").unwrap();
    symlink(outside.path(), dir.path().join("b/link")).unwrap();
    symlink(outside.path().join("victim"), dir.path().join("b/filelink")).unwrap();
    symlink(outside.path(), dir.path().join("linked")).unwrap();
    let server = plain(dir.path()).await;
    let long = "x".repeat(256);
    for (bucket, name) in [
        ("b", ".."),
        ("b", "../x"),
        ("b", "a/../../x"),
        ("b", "."),
        ("b", "a/./x"),
        ("b", "/x"),
        ("b", "a//x"),
        ("b", "a/"),
        ("b", long.as_str()),
        ("b", "file/x"),
        ("b", "folder"),
        ("b", "link/x"),
        ("b", "filelink"),
        ("linked", "x"),
        (".ocipipe", "x"),
        ("..", "x"),
    ] {
        assert!(check_writable(dir.path(), bucket, name).is_err(), "{bucket} {name}");
        let encoded = name.replace('/', "%2F").replace('.', "%2E");
        let path = format!("{}/o/{encoded}", bucket.replace('.', "%2E"));
        let status = put(&server, &path, b"x").await.status;
        assert!((400..500).contains(&status), "{bucket} {name}: {status}");
        let body = format!(r#"{{"object": "{name}"}}"#);
        let target = format!("{NS}/b/{}/u", bucket.replace('.', "%2E"));
        let create = Request::new("POST", &target).body(body.as_bytes());
        let status = create.send(&server, &Signer::token(&server)).await.status;
        assert!((400..500).contains(&status), "{bucket} {name}: {status}");
    }
    assert!(server.open_uploads().is_empty());
    assert_eq!(fs::read_dir(outside.path()).unwrap().count(), 1);
    assert_eq!(fs::read(outside.path().join("victim")).unwrap(), b"x");
    for (bucket, name) in [("b", "new/x"), ("b", "file"), ("n", "...x"), ("b", &long[1..])] {
        assert_eq!(check_writable(dir.path(), bucket, name), Ok(()), "{bucket} {name}");
    }
    assert_eq!(check_writable(&dir.path().join("none"), "b", "x"), Ok(()));
    assert!(check_writable(&dir.path().join("b/file"), "b", "x").is_err());
}

#[tokio::test]
async fn a_link_that_appears_during_the_upload_is_not_followed() {
    let dir = tempfile::tempdir().unwrap();
    let outside = tempfile::tempdir().unwrap();
    let store = Store { server: plain(dir.path()).await, dir: tempfile::tempdir().unwrap() };
    let upload = Upload::create(&store, "x").await;
    let part = upload.part(1, b"secret").await;
    symlink(outside.path(), dir.path().join("demo")).unwrap();
    upload.commit(&[(1, &part)], &[]).await.is(400);
    assert_eq!(fs::read_dir(outside.path()).unwrap().count(), 0);
    fs::remove_file(dir.path().join("demo")).unwrap();
    upload.commit(&[(1, &part)], &[]).await.is(200);
    assert_eq!(fs::read(dir.path().join("demo/x")).unwrap(), b"secret");
}

#[tokio::test]
async fn files_are_listed_as_objects_and_deleted() {
    let dir = tempfile::tempdir().unwrap();
    let server = plain(dir.path()).await;
    let signer = Signer::token(&server);
    for name in ["b/2", "a", "b/1"] {
        put(&server, &format!("new/o/{name}"), b"x").await.is(200);
    }
    symlink("/etc", dir.path().join("new/link")).unwrap();
    let names = async || {
        let target = format!("{NS}/b/new/o");
        let list = Request::new("GET", &target).send(&server, &signer).await.is(200).json();
        let objects = list["objects"].as_array().unwrap().clone();
        objects.iter().map(|one| one["name"].as_str().unwrap().to_owned()).collect::<Vec<_>>()
    };
    assert_eq!(names().await, ["a", "b/1", "b/2"]);
    let delete = async |name: &str, etag: &str| {
        let target = format!("{NS}/b/new/o/{name}");
        Request::new("DELETE", &target).header("if-match", etag).send(&server, &signer).await
    };
    delete("a", "other").await.is(412);
    delete("a", "*").await.is(204);
    delete("a", "*").await.is(404);
    assert_eq!(names().await, ["b/1", "b/2"]);
    assert!(!dir.path().join("new/a").exists());
}
