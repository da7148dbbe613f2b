//! Single objects: names, conditions, ranges, headers, lists, bodies.

use crate::client::*;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use emulator::{Operation, ServerOptions, StorageLayout, start};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

async fn put(store: &Store, name: &str, body: &[u8]) -> Reply {
    let target = format!("{NS}/b/demo/o/{name}");
    let signer = Signer::token(&store.server);
    Request::new("PUT", &target).body(body).send(&store.server, &signer).await
}

async fn get(store: &Store, target: &str) -> Reply {
    Request::new("GET", target).send(&store.server, &Signer::token(&store.server)).await
}

#[tokio::test]
async fn an_object_is_returned_with_its_properties() {
    let store = store().await;
    let signer = Signer::token(&store.server);
    let target = format!("{NS}/b/demo/o/a%2Fb");
    let request = Request::new("PUT", &target)
        .body(b"hello")
        .header("content-type", "text/plain")
        .header("content-encoding", "identity")
        .header("opc-meta-host", "db1")
        .header("storage-tier", "infrequentaccess");
    let created = request.send(&store.server, &signer).await.is(200);
    let head =
        Request::new("HEAD", &format!("{NS}/b/demo/o/a/b")).send(&store.server, &signer).await;
    let head = head.is(200);
    assert_eq!(head.header("etag"), created.header("etag"));
    assert_eq!(head.header("content-length"), "5");
    assert_eq!(head.header("content-type"), "text/plain");
    assert_eq!(head.header("content-encoding"), "identity");
    assert_eq!(head.header("opc-meta-host"), "db1");
    assert_eq!(head.header("storage-tier"), "InfrequentAccess");
    assert_eq!(head.header("content-md5"), "XUFAKrxLKna5cZ2REBfFkg==");
    assert_eq!(created.header("opc-content-md5"), "XUFAKrxLKna5cZ2REBfFkg==");
    assert_eq!(get(&store, &target).await.is(200).body, b"hello");
}

#[tokio::test]
async fn a_range_is_a_206_and_an_error_to_a_head_has_no_body() {
    let store = store().await;
    put(&store, "x", b"0123456789").await.is(200);
    let signer = Signer::token(&store.server);
    let target = format!("{NS}/b/demo/o/x");
    let request = Request::new("GET", &target).header("range", "bytes=2-4");
    let reply = request.send(&store.server, &signer).await.is(206);
    assert_eq!(
        (reply.header("content-range"), reply.body.as_slice()),
        ("bytes 2-4/10", &b"234"[..])
    );
    let none = format!("{NS}/b/demo/o/none");
    let head = Request::new("HEAD", &none).send(&store.server, &signer).await.is(404);
    assert!(head.header("content-length").parse().unwrap_or(0) == 0);
    assert_eq!(head.header("content-type"), "");
    let missing = get(&store, &none).await.is(404);
    assert_eq!(missing.code(), "ObjectNotFound");
    assert_eq!(missing.json()["message"], "The object 'none' was not found in the bucket 'demo'");
    let last = Request::new("GET", &target).header("range", "bytes=-4");
    assert_eq!(last.send(&store.server, &signer).await.is(206).body, b"6789");
    let over = Request::new("GET", &target).header("range", "bytes=8-99");
    assert_eq!(over.send(&store.server, &signer).await.is(206).body, b"89");
    let beyond = Request::new("GET", &target).header("range", "bytes=10-");
    assert_eq!(beyond.send(&store.server, &signer).await.is(416).code(), "InvalidRange");
}

#[tokio::test]
async fn a_delete_returns_its_time_and_no_length_and_a_second_one_finds_nothing() {
    let store = store().await;
    put(&store, "x", b"1").await.is(200);
    let signer = Signer::token(&store.server);
    let delete = Request::new("DELETE", "/n/axlocalstore/b/demo/o/x");
    let done = delete.send(&store.server, &signer).await.is(204);
    assert!(httpdate::parse_http_date(done.header("last-modified")).is_ok());
    assert!(!done.headers.contains_key("content-length"));
    let again = delete.send(&store.server, &signer).await.is(404);
    assert_eq!(again.code(), "ObjectNotFound");
    let message = "The object 'x' does not exist in bucket 'demo' with namespace 'axlocalstore'";
    assert_eq!(again.json()["message"], message);
}

#[tokio::test]
async fn a_write_has_a_new_etag_and_version_and_a_response_without_a_body() {
    let store = store().await;
    let first = put(&store, "x", b"same").await.is(200);
    let second = put(&store, "x", b"same").await.is(200);
    assert_eq!(second.header("content-length"), "0");
    assert_ne!(first.header("etag"), second.header("etag"));
    assert_ne!(first.header("version-id"), second.header("version-id"));
    let read = get(&store, "/n/axlocalstore/b/demo/o/x").await.is(200);
    assert_eq!(read.header("version-id"), second.header("version-id"));
    assert!(!read.header("version-id").is_empty());
    let upload = Upload::create(&store, "y").await;
    let part = upload.try_part(1, b"x").await.unwrap().is(200);
    assert_eq!(part.header("content-length"), "0");
}

/// The shortest entries make more headers than servers and clients accept by default.
#[tokio::test]
async fn metadata_may_have_4000_bytes_in_any_number_of_entries() {
    let store = store().await;
    let signer = Signer::token(&store.server);
    let mut names = Vec::new();
    let letters = || ('a'..='z').chain('0'..='9');
    for a in letters() {
        names.push(format!("opc-meta-{a}"));
        names.extend(letters().map(|b| format!("opc-meta-{a}{b}")));
    }
    // With their values 36 of two bytes, 1,296 of three, and ten of four.
    names.extend((0..10).map(|n| format!("opc-meta-aa{n}")));
    let with = |names: &[String]| {
        let mut request = Request::new("PUT", "/n/axlocalstore/b/demo/o/x").body(b"x");
        let names: Vec<&'static str> =
            names.iter().map(|name| &*Box::leak(name.clone().into_boxed_str())).collect();
        request.headers.extend(names.into_iter().map(|name| (name, "v".to_owned())));
        request
    };
    with(&names).send(&store.server, &signer).await.is(200);
    let head = Request::new("HEAD", "/n/axlocalstore/b/demo/o/x");
    let head = head.send(&store.server, &signer).await.is(200);
    assert!(names.iter().all(|name| head.header(name) == "v"));
    names.push("opc-meta-long".to_owned());
    with(&names).send(&store.server, &signer).await.is(400);
}

#[tokio::test]
async fn a_malformed_md5_has_a_code_of_its_own() {
    let store = store().await;
    let signer = Signer::token(&store.server);
    let request = Request::new("PUT", "/n/axlocalstore/b/demo/o/x").body(b"x");
    let error = request.header("content-md5", "abc").send(&store.server, &signer).await.is(400);
    assert_eq!(error.code(), "InvalidContentMD5");
    let message = error.json()["message"].as_str().unwrap().to_owned();
    assert!(message.starts_with("The value of the Content-MD5 header"), "{message}");
}

#[tokio::test]
async fn conditions_are_evaluated_at_put_get_and_delete() {
    let store = store().await;
    let signer = Signer::token(&store.server);
    let target = format!("{NS}/b/demo/o/x");
    let send = async |method: &str, name: &'static str, value: &str| {
        let request = Request::new(method, &target).body(b"2").header(name, value);
        request.send(&store.server, &signer).await
    };
    let etag = send("PUT", "if-none-match", "*").await.is(200).header("etag").to_owned();
    assert_eq!(send("PUT", "if-none-match", "*").await.is(412).code(), "IfNoneMatchFailed");
    assert_eq!(send("PUT", "if-match", "blah").await.is(412).code(), "IfMatchFailed");
    send("GET", "if-none-match", &etag).await.is(304);
    send("GET", "if-match", "blah").await.is(412);
    send("DELETE", "if-match", "blah").await.is(412);
    send("DELETE", "if-match", &etag).await.is(204);
    send("DELETE", "if-match", &etag).await.is(404);
}

#[tokio::test]
async fn a_body_that_is_not_what_its_header_claims_is_not_stored() {
    let store = store().await;
    let signer = Signer::token(&store.server);
    let target = format!("{NS}/b/demo/o/x");
    let wrong = STANDARD.encode([0; 16]);
    let request = Request::new("PUT", &target).body(b"hello").header("content-md5", &wrong);
    let error = request.send(&store.server, &signer).await.is(400);
    assert_eq!(error.code(), "UnmatchedContentMD5");
    let message = format!(
        "The computed MD5 of the request body (XUFAKrxLKna5cZ2REBfFkg==) does not match the Content-MD5 header ({wrong})"
    );
    assert_eq!(error.json()["message"], message.as_str());
    assert_eq!(store.server.object("demo", "x").unwrap(), None);
}

#[tokio::test]
async fn lists_go_on_where_the_last_page_ended() {
    let store = store_with(|options| options.page_size = 2).await;
    for name in ["a/1", "a/2", "b", "c", "d"] {
        put(&store, name, b"x").await.is(200);
    }
    let (mut names, mut start) = (Vec::new(), String::new());
    loop {
        let page =
            get(&store, &format!("{NS}/b/demo/o?fields=size&start={start}")).await.is(200).json();
        for object in page["objects"].as_array().unwrap() {
            assert_eq!(object["size"], 1);
            names.push(object["name"].as_str().unwrap().to_owned());
        }
        match page["nextStartWith"].as_str() {
            Some(next) => start = next.to_owned(),
            None => break,
        }
    }
    assert_eq!(names, ["a/1", "a/2", "b", "c", "d"]);
    let folded = get(&store, &format!("{NS}/b/demo/o?delimiter=/&prefix=a")).await.json();
    assert_eq!(folded["prefixes"], serde_json::json!(["a/"]));
}

#[tokio::test]
async fn a_chunked_body_is_refused_and_leaves_nothing() {
    let store = store().await;
    let signer = Signer::token(&store.server);
    let target = format!("{NS}/b/demo/o/x");
    let head = Request::new("PUT", &target).header("transfer-encoding", "chunked");
    let head = String::from_utf8(head.head(&store.server, &signer)).unwrap();
    let head = head.replace("content-length: 0\r\n", "");
    let mut stream = TcpStream::connect(store.server.address()).await.unwrap();
    stream.write_all(format!("{head}5\r\nhello\r\n0\r\n\r\n").as_bytes()).await.unwrap();
    let reply = read_reply(&mut stream, "PUT").await.unwrap();
    assert!(reply.status >= 400, "{reply:?}");
    assert_eq!(store.server.object("demo", "x").unwrap(), None);
}

#[tokio::test]
async fn a_client_that_expects_100_gets_it_or_an_error_before_its_body() {
    let store = store().await;
    let target = format!("{NS}/b/demo/o/x");
    let request = Request::new("PUT", &target).header("expect", "100-continue").body(b"hello");
    for (signer, first) in [(Signer::token(&store.server), 100), (broken(&store), 401)] {
        let mut stream = TcpStream::connect(store.server.address()).await.unwrap();
        stream.write_all(&request.head(&store.server, &signer)).await.unwrap();
        let reply = read_one(&mut stream, "PUT").await.unwrap().is(first);
        if reply.status == 100 {
            stream.write_all(b"hello").await.unwrap();
            read_one(&mut stream, "PUT").await.unwrap().is(200);
        }
    }
    let error = store.server.requests().pop().unwrap();
    assert_eq!((error.operation, error.status, error.body), (Operation::PutObject, 401, 0));
}

fn broken(store: &Store) -> Signer {
    let mut signer = Signer::token(&store.server);
    signer.list = Some("date host");
    signer
}

#[tokio::test]
async fn unknown_requests_are_errors() {
    let store = store().await;
    let signer = Signer::token(&store.server);
    for (method, target, status, code) in [
        ("GET", "/", 404, "NotFound"),
        ("GET", "/n/axlocalstore/b/demo/l", 404, "NotFound"),
        ("PATCH", "/n/axlocalstore/b/demo", 405, "MethodNotAllowed"),
        ("GET", "/n/elsewhere/b/demo", 404, "NamespaceNotFound"),
        ("GET", "/n/axlocalstore/b/none/o/x", 404, "BucketNotFound"),
    ] {
        let reply = Request::new(method, target).send(&store.server, &signer).await;
        assert_eq!((reply.status, reply.code().as_str()), (status, code), "{method} {target}");
    }
}

#[tokio::test]
async fn objects_uploads_tokens_and_keys_survive_a_restart() {
    let before = store().await;
    put(&before, "kept", b"x").await.is(200);
    let signer = Signer::token(&before.server);
    let upload = Upload::create(&before, "open").await;
    let (first, third) = (upload.part(1, b"one").await, upload.part(3, b"three").await);
    let id = upload.id.clone();
    let Store { server, dir } = before;
    server.stop().await;
    let server = start(ServerOptions::new(dir.path(), StorageLayout::Durable)).await.unwrap();
    let after = Store { server, dir };
    assert_eq!(get(&after, &format!("{NS}/b/demo/o/kept")).await.is(200).body, b"x");
    let upload = Upload { store: &after, signer, name: "open", id };
    let second = upload.part(2, b"two").await;
    upload.commit(&[(1, &first), (2, &second), (3, &third)], &[]).await.is(200);
    assert_eq!(upload.object().await.body, b"onetwothree");
}

#[tokio::test]
async fn a_bucket_has_the_tier_that_it_was_created_with() {
    let store = store().await;
    let signer = Signer::api_key(&store.server);
    let create = async |name: &str, tier: &str| {
        let body = serde_json::json!({"name": name, "storageTier": tier}).to_string();
        Request::new("POST", &format!("{NS}/b"))
            .body(body.as_bytes())
            .send(&store.server, &signer)
            .await
    };
    create("cold", "Archive").await.is(200);
    let shown = get(&store, &format!("{NS}/b/cold")).await.is(200);
    assert_eq!(shown.json()["storageTier"], "Archive");
    // An object may have that tier, a bucket may not.
    for tier in ["InfrequentAccess", "Glacier"] {
        assert_eq!(create("other", tier).await.is(400).code(), "InvalidParameter");
    }
}

#[tokio::test]
async fn a_list_has_the_fields_that_were_asked_for() {
    let store = store().await;
    put(&store, "x", b"hello").await.is(200);
    store.server.store_object("demo", "unknown", b"hello").unwrap();
    let fields = "name,size,etag,md5,timeCreated,timeModified,storageTier,archivalState,other";
    let list = get(&store, &format!("{NS}/b/demo/o?fields={fields}")).await.is(200).json();
    let found = list["objects"].as_array().unwrap();
    let x = found.iter().find(|object| object["name"] == "x").unwrap();
    assert_eq!(x["size"], 5);
    assert_eq!(x["md5"], "XUFAKrxLKna5cZ2REBfFkg==");
    assert_eq!(x["storageTier"], "Standard");
    for time in ["timeCreated", "timeModified"] {
        assert!(x[time].as_str().unwrap().starts_with("20"), "{x}");
    }
    assert!(x["etag"].is_string() && x["archivalState"].is_null() && x.get("other").is_none());
    let short = get(&store, &format!("{NS}/b/demo/o")).await.is(200).json();
    assert_eq!(short["objects"][0].as_object().unwrap().len(), 1, "{short}");
}

#[tokio::test]
async fn a_client_that_is_refused_while_it_sends_gets_the_answer_and_an_end_without_a_reset() {
    let store = store().await;
    let mut stream = TcpStream::connect(store.server.address()).await.unwrap();
    let head = format!(
        "PUT {NS}/b/demo/o/x HTTP/1.1\r\nhost: {}\r\ncontent-length: 400000\r\n\r\n",
        store.server.address()
    );
    stream.write_all(head.as_bytes()).await.unwrap();
    stream.write_all(&vec![0; 200_000]).await.unwrap();
    let reply = read_reply(&mut stream, "PUT").await.unwrap().is(401);
    assert_eq!(reply.code(), "NotAuthenticated");
    // The rest of the body, most of which the server did not read.
    stream.write_all(&vec![0; 200_000]).await.unwrap();
    stream.shutdown().await.unwrap();
    let mut rest = Vec::new();
    stream.read_to_end(&mut rest).await.unwrap();
    assert!(rest.is_empty());
}
