//! Multipart uploads and the rules of the commit.

use crate::client::*;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;

const MIB: usize = 1024 * 1024;

fn bytes(seed: u8, length: usize) -> Vec<u8> {
    (0..length).map(|index| (index % 251) as u8 ^ seed).collect()
}

#[tokio::test]
async fn parts_make_the_object_in_number_order_in_whatever_order_they_arrived() {
    let store = store().await;
    let upload = Upload::create(&store, "x").await;
    let parts: Vec<Vec<u8>> = (0..5).map(|n| bytes(n, MIB + usize::from(n))).collect();
    let mut etags = vec![String::new(); 5];
    for index in [1, 0, 4, 2, 3] {
        etags[index] = upload.part(index as u32 + 1, &parts[index]).await;
    }
    let list: Vec<(u32, &str)> =
        (1..=5).rev().map(|number| (number, etags[number as usize - 1].as_str())).collect();
    let done = upload.commit(&list, &[]).await.is(200);
    assert!(done.header("opc-multipart-md5").ends_with("-5") && done.body.is_empty());
    let object = upload.object().await.is(200);
    assert_eq!(object.header("etag"), done.header("etag"));
    assert!(object.body == parts.concat());
    assert!(store.server.open_uploads().is_empty());
}

#[tokio::test]
async fn numbers_may_have_gaps_and_parts_may_be_excluded_or_sent_again() {
    let store = store().await;
    let upload = Upload::create(&store, "x").await;
    let first = upload.part(1, b"first").await;
    upload.part(2, b"excluded").await;
    let old = upload.part(10_000, b"old").await;
    let last = upload.part(10_000, b"last!").await;
    assert_ne!(old, last);
    upload.commit(&[(1, &first), (10_000, &last)], &[2]).await.is(200);
    assert_eq!(upload.object().await.body, b"firstlast!");
}

#[tokio::test]
async fn the_checksums_of_the_documented_example_come_out() {
    let store = store().await;
    for (algorithm, header, value) in [
        ("CRC32C", "opc-content-crc32c", "Yn9hSg=="),
        ("SHA256", "opc-multipart-sha256", "klO+rIGEBmpS+FYbl0V177NZOk8sR9bZjF+0fMGntig=-2"),
        (
            "SHA384",
            "opc-multipart-sha384",
            "7AIO3qWtrjDg0JBoMYcAd8Sx+0Ak5a/vL0cJXVnavLqE4dHE04LPDNWLObYLLwfY-2",
        ),
    ] {
        let headers = [("opc-checksum-algorithm", algorithm.to_owned())];
        let upload = Upload::create_with(&store, algorithm, &headers).await;
        let (a, b) = (upload.part(1, b"aaaaa").await, upload.part(2, b"bbb").await);
        let done = upload.commit(&[(1, &a), (2, &b)], &[]).await.is(200);
        assert_eq!(done.header(header), value);
        assert_eq!(done.header("opc-multipart-md5"), "ctJ6+sji+9NmKGG51gegLA==-2");
        assert_eq!(upload.object().await.header(header), value);
    }
}

#[tokio::test]
async fn a_part_returns_its_checksums_and_one_with_a_wrong_checksum_is_not_stored() {
    let store = store().await;
    let upload = Upload::create(&store, "x").await;
    let target = format!("{}&uploadPartNum=1", upload.target());
    let crc = STANDARD.encode(crc32c::crc32c(b"aaaaa").to_be_bytes());
    let request = Request::new("PUT", &target)
        .header("opc-checksum-algorithm", "CRC32C")
        .header("opc-content-crc32c", &crc)
        .header("content-md5", "WU+AOzgKQTlu1j3KOVA1Qg==");
    let done = request.body(b"aaaaa").send(&store.server, &upload.signer).await.is(200);
    assert_eq!(done.header("opc-content-crc32c"), crc);
    assert_eq!(done.header("opc-content-md5"), "WU+AOzgKQTlu1j3KOVA1Qg==");
    let before = upload.list_parts().await.body;
    let wrong = Request::new("PUT", &target).header("content-md5", "WU+AOzgKQTlu1j3KOVA1Qg==");
    let error = wrong.body(b"bbb").send(&store.server, &upload.signer).await.is(400);
    assert_eq!(error.code(), "UnmatchedContentMD5");
    assert_eq!(upload.list_parts().await.body, before);
}

/// A commit checks everything before it changes anything.
#[tokio::test]
async fn a_refused_commit_leaves_the_upload_as_it_was() {
    let store = store().await;
    let upload = Upload::create(&store, "x").await;
    let (a, b) = (upload.part(1, b"one").await, upload.part(2, b"two").await);
    let before = upload.list_parts().await.body;
    let refuses = async |parts: &[(u32, &str)], exclude: &[u32], code: &str| {
        let reply = upload.commit(parts, exclude).await.is(400);
        assert_eq!(reply.code(), code, "{parts:?} {exclude:?}");
        assert_eq!(upload.list_parts().await.is(200).body, before);
    };
    refuses(&[(1, &a), (2, "wrong")], &[], "InvalidUploadPart").await;
    refuses(&[(1, &a), (2, &a)], &[], "InvalidUploadPart").await;
    refuses(&[(1, &a), (2, &b), (3, &b)], &[], "InvalidUploadPart").await;
    refuses(&[(1, &a)], &[], "InvalidParameter").await;
    refuses(&[(1, &a), (2, &b)], &[2], "InvalidParameter").await;
    refuses(&[(1, &a), (1, &a), (2, &b)], &[], "InvalidParameter").await;
    refuses(&[], &[1, 2], "InvalidUploadPart").await;
    let put = Request::new("PUT", "/n/axlocalstore/b/demo/o/x").body(b"other");
    put.send(&store.server, &upload.signer).await.is(200);
    let new_only = [("if-none-match", "*".to_owned())];
    let both = [(1, a.as_str()), (2, b.as_str())];
    let reply = upload.commit_with(&both, &[], &new_only).await.unwrap().is(412);
    assert_eq!(reply.code(), "IfNoneMatchFailed");
    let other = [("if-match", "blah".to_owned())];
    upload.commit_with(&both, &[], &other).await.unwrap().is(412);
    assert_eq!(upload.list_parts().await.is(200).body, before);
    assert_eq!(upload.object().await.body, b"other");
    upload.commit(&both, &[]).await.is(200);
    assert_eq!(upload.object().await.body, b"onetwo");
}

#[tokio::test]
async fn conditions_at_create_are_not_remembered_at_commit() {
    let store = store().await;
    let new_only = [("if-none-match", "*".to_owned())];
    let upload = Upload::create_with(&store, "x", &new_only).await;
    let part = upload.part(1, b"mine").await;
    let put = Request::new("PUT", "/n/axlocalstore/b/demo/o/x").body(b"other");
    put.send(&store.server, &upload.signer).await.is(200);
    let again = Request::new("POST", "/n/axlocalstore/b/demo/u")
        .body(br#"{"object": "x"}"#)
        .header("if-none-match", "*");
    again.send(&store.server, &upload.signer).await.is(412);
    upload.commit(&[(1, &part)], &[]).await.is(200);
    assert_eq!(upload.object().await.body, b"mine");
}

#[tokio::test]
async fn what_is_no_upload_or_no_part_is_refused() {
    let store = store().await;
    let upload = Upload::create(&store, "x").await;
    for number in [0, 10_001] {
        assert_eq!(upload.try_part(number, b"x").await.unwrap().is(400).code(), "InvalidParameter");
    }
    let part = upload.part(1, b"x").await;
    upload.commit(&[(1, &part)], &[]).await.is(200);
    let again = upload.commit(&[(1, &part)], &[]).await.is(404);
    assert_eq!(
        (again.code(), again.json()["message"].clone()),
        ("UploadNotFound".into(), "No such upload".into())
    );
    assert_eq!(upload.try_part(2, b"x").await.unwrap().is(404).code(), "UploadNotFound");
    upload.list_parts().await.is(404);
    let target = upload.target();
    let abort = Request::new("DELETE", &target);
    abort.send(&store.server, &upload.signer).await.is(404);
    let other = Upload::create(&store, "y").await;
    for id in ["1", "no-such-upload", "00000000-0000-0000-0000-000000000000", "%20"] {
        let none = Upload {
            store: &store,
            signer: Signer::token(&store.server),
            name: "y",
            id: id.to_owned(),
        };
        assert_eq!(none.try_part(1, b"x").await.unwrap().is(404).code(), "UploadNotFound");
        assert_eq!(none.list_parts().await.is(404).json()["message"], "No such upload");
    }
    let wrong = Upload {
        store: &store,
        signer: Signer::token(&store.server),
        name: "x",
        id: other.id.clone(),
    };
    wrong.list_parts().await.is(404);
    let target = other.target();
    let part = other.part(1, b"x").await;
    Request::new("DELETE", &target).send(&store.server, &other.signer).await.is(204);
    other.list_parts().await.is(404);
    Request::new("DELETE", &target).send(&store.server, &other.signer).await.is(404);
    assert_eq!(other.commit(&[(1, &part)], &[]).await.is(404).code(), "UploadNotFound");
    assert_eq!(other.try_part(1, b"x").await.unwrap().is(404).code(), "UploadNotFound");
}

#[tokio::test]
async fn of_two_commits_at_once_one_succeeds() {
    let store = store().await;
    let upload = Upload::create(&store, "x").await;
    let part = upload.part(1, b"x").await;
    let list = [(1, part.as_str())];
    let (a, b) = tokio::join!(upload.commit(&list, &[]), upload.commit(&list, &[]));
    let mut statuses = [a.status, b.status];
    statuses.sort_unstable();
    assert_eq!(statuses, [200, 404]);
}

#[tokio::test]
async fn the_customer_key_must_come_with_every_part() {
    let store = store().await;
    let key_headers = |key: [u8; 32]| {
        let hash = ring::digest::digest(&ring::digest::SHA256, &key);
        [
            ("opc-sse-customer-algorithm", "AES256".to_owned()),
            ("opc-sse-customer-key", STANDARD.encode(key)),
            ("opc-sse-customer-key-sha256", STANDARD.encode(hash)),
        ]
    };
    let upload = Upload::create_with(&store, "x", &key_headers([7; 32])).await;
    upload.try_part(1, b"x").await.unwrap().is(400);
    let target = format!("{}&uploadPartNum=1", upload.target());
    let mut request = Request::new("PUT", &target).body(b"x");
    request.headers.extend(key_headers([8; 32]));
    request.send(&store.server, &upload.signer).await.is(403);
    request.headers.clear();
    request.headers.extend(key_headers([7; 32]));
    let part = request.send(&store.server, &upload.signer).await.is(200).header("etag").to_owned();
    upload.commit(&[(1, &part)], &[]).await.is(200);
    upload.object().await.is(400);
    let mut other = Request::new("HEAD", "/n/axlocalstore/b/demo/o/x");
    other.headers.extend(key_headers([8; 32]));
    other.send(&store.server, &upload.signer).await.is(403);
    let mut two_keys =
        Request::new("PUT", "/n/axlocalstore/b/demo/o/y").header("opc-sse-kms-key-id", "ocid1.key");
    two_keys.headers.extend(key_headers([7; 32]));
    two_keys.send(&store.server, &upload.signer).await.is(400);
    let mut get = Request::new("GET", "/n/axlocalstore/b/demo/o/x");
    get.headers.extend(key_headers([7; 32]));
    assert_eq!(get.send(&store.server, &upload.signer).await.is(200).body, b"x");
}

/// A page token is not a number, has to be percent-encoded, and gives the same page each time.
#[tokio::test]
async fn lists_of_parts_and_uploads_come_in_pages() {
    let store = store_with(|options| options.page_size = 2).await;
    let upload = Upload::create(&store, "x").await;
    for number in 1..=5 {
        upload.part(number, b"12345").await;
    }
    let get = async |page: &str| {
        let target = format!("{}&limit=1000{page}", upload.target());
        Request::new("GET", &target).send(&store.server, &upload.signer).await
    };
    let (mut numbers, mut page) = (Vec::new(), String::new());
    loop {
        let reply = get(&page).await.is(200);
        let again = get(&page).await.is(200);
        let next = reply.header("opc-next-page");
        assert_eq!((&again.body, again.header("opc-next-page")), (&reply.body, next));
        for part in reply.json().as_array().unwrap() {
            assert_eq!((part["size"].as_u64(), part["md5"].as_str().unwrap().len()), (Some(5), 24));
            numbers.push(part["partNumber"].as_u64().unwrap());
        }
        if next.is_empty() {
            break;
        }
        assert!(next.starts_with("1:") && next.ends_with("=="), "{next}");
        page = format!("&page={}", next.replace(':', "%3A").replace('=', "%3D"));
    }
    assert_eq!(numbers, [1, 2, 3, 4, 5]);
    assert_eq!(get("&page=2").await.is(400).code(), "InvalidParameter");
}

#[tokio::test]
async fn parts_may_be_of_any_size() {
    let store = store().await;
    let upload = Upload::create(&store, "x").await;
    let (a, b) = (upload.part(1, b"abc").await, upload.part(2, b"defghijkl").await);
    let c = upload.part(3, b"mno").await;
    upload.commit(&[(1, &a), (2, &b), (3, &c)], &[]).await.is(200);
    assert_eq!(upload.object().await.body, b"abcdefghijklmno");
}

/// The etag of the object is refused there, whatever the object is.
#[tokio::test]
async fn the_conditions_of_a_part_apply_to_the_part() {
    let store = store().await;
    let put = Request::new("PUT", "/n/axlocalstore/b/demo/o/x").body(b"old");
    let signer = Signer::token(&store.server);
    let object = put.send(&store.server, &signer).await.is(200).header("etag").to_owned();
    let upload = Upload::create(&store, "x").await;
    let target = format!("{}&uploadPartNum=1", upload.target());
    let part = async |name: &'static str, value: &str| {
        let request = Request::new("PUT", &target).body(b"part").header(name, value);
        request.send(&store.server, &upload.signer).await
    };
    assert_eq!(part("if-match", &object).await.is(412).code(), "IfMatchFailed");
    let first = part("if-none-match", "*").await.is(200).header("etag").to_owned();
    assert_eq!(part("if-none-match", "*").await.is(412).code(), "IfNoneMatchFailed");
    assert_eq!(part("if-match", &object).await.is(412).code(), "IfMatchFailed");
    let second = part("if-match", &first).await.is(200).header("etag").to_owned();
    upload.commit(&[(1, &second)], &[]).await.is(200);
}

#[tokio::test]
async fn a_commit_of_nothing_is_refused_before_its_upload_is_looked_up() {
    let store = store().await;
    let upload = Upload::create(&store, "x").await;
    let none =
        Upload { store: &store, signer: Signer::token(&store.server), name: "x", id: "no".into() };
    for upload in [&upload, &none] {
        let error = upload.commit(&[], &[]).await.is(400);
        assert_eq!(error.code(), "InvalidUploadPart");
        assert_eq!(error.json()["message"], "There are no parts to commit");
    }
}

#[tokio::test]
async fn unknown_fields_of_a_commit_are_ignored() {
    let store = store().await;
    let upload = Upload::create(&store, "x").await;
    let part = upload.part(1, b"x").await;
    let body =
        format!(r#"{{"partsToCommit": [{{"partNum": 1, "etag": "{part}", "progress": 7}}]}}"#);
    let target = upload.target();
    let commit = Request::new("POST", &target).body(body.as_bytes());
    commit.send(&store.server, &upload.signer).await.is(200);
}

#[tokio::test]
async fn a_part_whose_connection_breaks_is_not_stored_and_can_be_sent_again() {
    let store = store().await;
    let upload = Upload::create(&store, "x").await;
    let target = format!("{}&uploadPartNum=1", upload.target());
    let body = bytes(1, 3 * MIB);
    let request = Request::new("PUT", &target).body(&body);
    let mut stream = tokio::net::TcpStream::connect(store.server.address()).await.unwrap();
    let head = request.head(&store.server, &upload.signer);
    tokio::io::AsyncWriteExt::write_all(&mut stream, &head).await.unwrap();
    tokio::io::AsyncWriteExt::write_all(&mut stream, &body[..MIB]).await.unwrap();
    drop(stream);
    store.server.wait_for(|seen| seen.iter().any(|r| r.part == Some(1) && r.status == 0)).await;
    assert_eq!(upload.list_parts().await.body, b"[]");
    let part = upload.part(1, &body).await;
    let second = upload.part(2, b"end").await;
    upload.commit(&[(1, &part), (2, &second)], &[]).await.is(200);
    assert!(upload.object().await.body == [body, b"end".to_vec()].concat());
}
