//! Answers that no service sends: each ends in an error of bounded length, and never in a panic.

use crate::common::peer::{Peer, response};
use crate::common::run::{Done, Ocipipe};
use crate::common::store::Store;
use crate::common::stream::{PART, ramp};

const PAGE: &str = "opc-request-id: r\r\n";

/// `ocipipe COMMAND` with the credentials of a store and this peer as the service.
pub fn against(store: &Store, peer: &Peer, command: &str) -> Ocipipe {
    let run = store.ocipipe(command).arg("--endpoint").arg(format!("http://{}", peer.address));
    run.var("OCI_CLI_PROFILE", "API_KEY")
}

/// Asserts an error that a person can read: no panic, no control character, and no flood.
#[track_caller]
fn assert_readable(done: &Done, of: &str) {
    let code = done.status.code();
    assert!(code.is_some_and(|code| (1..=8).contains(&code)), "{of}: {code:?}\n{}", done.stderr);
    assert!(!done.stderr.contains("panicked"), "{of}: {}", done.stderr);
    let is_control = |c: char| c != '\n' && proto::printable::is_terminal_control(c);
    assert!(!done.stderr.contains(is_control), "{of}: {:?}", done.stderr);
    assert!(done.stderr.len() < 8000, "{of}: {} bytes", done.stderr.len());
}

#[test]
fn a_listing_that_leads_in_a_circle_ends_the_run() {
    let store = Store::start();
    let peer = Peer::start(|line| {
        let listing = line.contains("/u?") || line.contains("/u/");
        match (line.starts_with("GET"), listing) {
            (true, true) => {
                response("200 OK", "opc-request-id: r\r\nopc-next-page: again\r\n", "[]")
            }
            _ => response("404 Not Found", PAGE, r#"{"code":"ObjectNotFound","message":"m"}"#),
        }
    });
    let list = against(&store, &peer, "uploads list oci://backups@ns");
    list.run().fails(4).stderr_has(&["pages lead in a circle"]);
    let resume = against(&store, &peer, "put --resume --retry-for 1s oci://backups@ns/x");
    resume.stdin("x").run().fails(4).stderr_has(&["pages lead in a circle"]);
}

#[test]
fn any_answer_ends_in_an_error_that_can_be_read() {
    let long = "y".repeat(60_000);
    let nested = "[".repeat(200_000);
    let controls = "\u{1b}[2J\u{9b}2J\u{202e}\r\n";
    let message = |text: &str| serde_json::json!({ "code": text, "message": text }).to_string();
    let id = format!("opc-request-id: \u{9b}2J{long}\r\n");
    let mut cases = Vec::new();
    for (name, status, headers, body) in [
        ("a long message", "400 Bad", PAGE, message(&long)),
        ("a message with controls", "400 Bad", PAGE, message(controls)),
        ("an id with controls", "400 Bad", id.as_str(), message("m")),
        ("a page with controls", "403 Forbidden", "", format!("<html>{controls}{long}")),
        ("a text where a list belongs", "200 OK", PAGE, format!("{:?}", "y".repeat(1 << 20))),
        ("nested lists", "200 OK", PAGE, nested.clone()),
        ("nested lists in an error", "400 Bad", PAGE, nested),
        ("a large number", "200 OK", PAGE, "[{\"uploadId\":1e999}]".to_owned()),
        ("compression", "200 OK", "content-encoding: gzip\r\n", "\u{1f}\u{8b}\u{8}".to_owned()),
        ("a status of the future", "599 What", PAGE, String::new()),
        ("an empty answer", "200 OK", PAGE, String::new()),
        ("no content", "204 No Content", PAGE, String::new()),
    ] {
        let (status, headers) = (status.to_owned(), headers.to_owned());
        cases.push((name, move |_: &str| response(&status, &headers, &body)));
    }
    std::thread::scope(|scope| {
        for (name, respond) in cases {
            scope.spawn(move || {
                let (peer, store) = (Peer::start(respond), Store::start());
                for command in [
                    "put oci://backups@ns/x --retry-for 1s --debug",
                    "put oci://backups/x --retry-for 1s --log-format json",
                    "get oci://backups@ns/x --retry-for 1s",
                ] {
                    let done = against(&store, &peer, command).stdin("x").run();
                    assert_readable(&done, &format!("{name}: {command}"));
                }
            });
        }
    });
}

#[test]
fn dates_and_delays_of_any_value_are_no_panic() {
    let headers = [
        "date: Thu, 01 Jan 1970 00:00:00 GMT\r\n",
        "date: Fri, 31 Dec 9999 23:59:59 GMT\r\n",
        "date: Mon, 99 Foo 99999 99:99:99 GMT\r\n",
        "retry-after: 18446744073709551615\r\n",
        "retry-after: Fri, 31 Dec 9999 23:59:59 GMT\r\ndate: Thu, 01 Jan 1970 00:00:00 GMT\r\n",
        "retry-after: -1\r\n",
    ];
    std::thread::scope(|scope| {
        for headers in headers {
            scope.spawn(move || {
                for status in ["401 Unauthorized", "503 Unavailable"] {
                    let peer = Peer::start(move |_| {
                        let headers = format!("{PAGE}{headers}");
                        response(status, &headers, r#"{"code":"C","message":"m"}"#)
                    });
                    let store = Store::start();
                    let put = against(&store, &peer, "put oci://backups@ns/x --retry-for 1s");
                    assert_readable(&put.stdin("x").run().within_seconds(100), headers);
                }
            });
        }
    });
}

#[test]
fn an_object_of_any_size_is_read_or_an_error() {
    std::thread::scope(|scope| {
        for length in ["18446744073709551613", "9223372036854775807", "549755813888000", "-1"] {
            scope.spawn(move || read_object_of(length));
        }
    });
}

/// Reads an object of this length and as many parts, which a service claims to have.
fn read_object_of(length: &'static str) {
    let peer = Peer::start(move |line| match line.starts_with("HEAD") {
        true => format!(
            "HTTP/1.1 200 OK\r\netag: e\r\nopc-multipart-md5: AAAA-{length}\r\n{PAGE}\
             content-length: {length}\r\nconnection: close\r\n\r\n"
        ),
        false => response("404 Not Found", PAGE, r#"{"code":"ObjectNotFound","message":"m"}"#),
    });
    let store = Store::start();
    for command in [
        "get oci://backups@ns/x --parallel-download-count 1",
        "verify oci://backups@ns/x",
        "put --identical-ok oci://backups@ns/x",
    ] {
        let run = against(&store, &peer, command).args("--retry-for 1s").stdin(ramp(1000));
        let done = run.wrapped_by_script("sh", "ulimit -v 2000000; exec \"$@\"").run();
        assert_readable(&done, &format!("{length}: {command}"));
    }
}

#[test]
fn parts_that_a_listing_invents_are_neither_a_panic_nor_a_success() {
    let part = |number: u64, size: u64| {
        format!(r#"{{"partNumber":{number},"etag":"e","size":{size},"md5":"m"}}"#)
    };
    for parts in [
        format!("{},{}", part(1, u64::MAX), part(2, u64::MAX)),
        format!("{},{}", part(1, 10 << 20), part(1, 20 << 20)),
        format!("{},{}", part(10_000, 1), part(1, 0)),
        part(5000, u64::MAX),
    ] {
        let list = format!("[{parts}]");
        let peer = Peer::start(move |line| match line {
            _ if line.starts_with("GET") && line.contains("/u?") => {
                response("200 OK", PAGE, r#"[{"object":"x","uploadId":"u"}]"#)
            }
            _ if line.starts_with("GET") && line.contains("/u/") => response("200 OK", PAGE, &list),
            _ if line.starts_with("HEAD") => response("404 Not Found", PAGE, ""),
            _ => response("400 Bad", PAGE, r#"{"code":"C","message":"m"}"#),
        });
        let store = Store::start();
        let put = against(&store, &peer, "put --resume oci://backups@ns/x --retry-for 1s");
        let done = put.stdin(ramp(2 * PART)).run();
        assert_readable(&done, &parts);
    }
}

#[test]
fn an_object_that_is_stored_compressed_is_read_as_it_is() {
    let store = Store::start();
    let stored = [0x1f, 0x8b, 8, 0, 1, 2, 3];
    store.put("x").args("--content-encoding gzip").stdin(stored).run().exits(0);
    let target = store.folder().join("read");
    let get = store.ocipipe("get oci://backups/x").arg("--file").arg(&target);
    get.run().exits(0);
    assert_eq!(std::fs::read(target).unwrap(), stored);
}
