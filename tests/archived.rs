//! `get` of objects in the archive tier: only objects that are not restored are refused.

#![allow(clippy::unwrap_used)]

mod common;

use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use common::run::{Done, Ocipipe, ocipipe};
use common::store::Store;
use rustix::process::Signal;

const BYTES: &str = "what was stored";
const REJECTED: &str = "rejected";

/// A server that answers every request for the object with this archival state.
fn service(state: Option<&'static str>) -> String {
    serve(move |_| state)
}

/// A server whose object has the archival state that `state` returns for each request line. Requests for
/// which that is `REJECTED` get 401.
fn serve(state: impl Fn(&str) -> Option<&'static str> + Send + Sync + 'static) -> String {
    let state = Arc::new(state);
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    // The thread ends with the process of the test.
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let state = state.clone();
            std::thread::spawn(move || respond(stream.unwrap(), &*state));
        }
    });
    format!("http://{address}")
}

fn respond(mut stream: TcpStream, state: &dyn Fn(&str) -> Option<&'static str>) {
    let mut head = Vec::new();
    let mut byte = [0];
    while !head.ends_with(b"\r\n\r\n") && stream.read(&mut byte).unwrap_or(0) == 1 {
        head.push(byte[0]);
    }
    let length = BYTES.len();
    let state = state(String::from_utf8_lossy(&head).lines().next().unwrap_or_default());
    if state == Some(REJECTED) {
        let text = "HTTP/1.1 401 Unauthorized\r\nopc-request-id: r\r\ncontent-length: 0\r\n\
                    connection: close\r\n\r\n";
        let _ = stream.write_all(text.as_bytes());
        return;
    }
    let state = state.map(|state| format!("archival-state: {state}\r\n")).unwrap_or_default();
    let common = format!("etag: e\r\nopc-request-id: r\r\ncontent-length: {length}\r\n{state}");
    let text = if head.starts_with(b"POST ") {
        "HTTP/1.1 200 OK\r\nopc-request-id: r\r\ncontent-length: 0\r\nconnection: close\r\n\r\n"
            .to_owned()
    } else if head.starts_with(b"HEAD ") {
        format!("HTTP/1.1 200 OK\r\n{common}connection: close\r\n\r\n")
    } else {
        format!(
            "HTTP/1.1 206 Partial Content\r\n{common}content-range: bytes 0-{}/{length}\r\n\
             connection: close\r\n\r\n{BYTES}",
            length - 1
        )
    };
    let _ = stream.write_all(text.as_bytes());
}

fn read(state: Option<&'static str>) -> Done {
    read_from(&service(state), "")
}

fn read_from(url: &str, options: &str) -> Done {
    get(&Store::start(), url, options).run()
}

/// `get` with the API key of the store, from the server at `url`.
fn get(store: &Store, url: &str, options: &str) -> Ocipipe {
    ocipipe(["get", "oci://backups@ns/it's here"])
        .args(options)
        .arg("--config-file")
        .arg(store.server().config_path())
        .args(&format!("--endpoint {url} --auth-endpoint {url}"))
}

/// The archival state for each request of a restore of which `rejections` HEADs, from the third on, get 401.
fn rejecting(rejections: usize) -> impl Fn(&str) -> Option<&'static str> {
    let heads = AtomicUsize::new(0);
    move |line| match line.starts_with("HEAD ").then(|| heads.fetch_add(1, Ordering::SeqCst)) {
        Some(0) => Some("Archived"),
        Some(1) => Some("Restoring"),
        Some(head) if head - 2 < rejections => Some(REJECTED),
        // The probe of the credentials, which is no HEAD.
        None if rejections == usize::MAX && line.starts_with("GET ") => Some(REJECTED),
        _ => Some("Restored"),
    }
}

#[test]
fn an_object_that_can_be_read_is_read_whatever_its_archival_state() {
    for state in [None, Some("Available"), Some("AVAILABLE"), Some("Restored"), Some("Unheard")] {
        let done = read(state).exits(0);
        assert_eq!(done.stdout, BYTES, "{state:?}");
    }
}

#[test]
fn an_archived_object_is_refused_with_the_command_that_restores_it() {
    for state in ["Archived", "ARCHIVED"] {
        read(Some(state)).fails(4).stderr_has(&[
            "oci://backups@ns/it's here is archived",
            "`oci os object restore -ns ns -bn backups --name \"it's here\"`",
        ]);
    }
}

#[test]
fn the_command_that_restores_an_object_names_its_version() {
    let done = read_from(&service(Some("Archived")), "--version-id v1").fails(4);
    done.stderr_has(&["--name \"it's here\" --version-id v1`"]);
}

#[test]
fn no_restore_is_suggested_for_an_object_that_is_being_restored() {
    let done = read(Some("Restoring")).fails(4).stderr_has(&["being restored", "try again"]);
    done.stderr_lacks("oci os object restore");
}

#[test]
fn credentials_that_are_refused_once_do_not_end_the_wait_for_a_restore() {
    for profile in ["DEFAULT", "SESSION"] {
        let url = serve(rejecting(1));
        let done = read_from(&url, &format!("--restore --profile {profile}")).exits(0);
        assert_eq!(done.stdout, BYTES, "{profile}");
    }
}

#[test]
fn a_stop_ends_a_wait_for_a_restore_whose_credentials_are_refused() {
    let (store, url) = (Store::start(), serve(rejecting(usize::MAX)));
    let run = get(&store, &url, "--restore --profile DEFAULT").start();
    run.wait_for_stderr("are refused");
    run.signal(Signal::TERM);
    run.wait_with_open_stdin().exits(143).within_seconds(15);
}

/// The service takes a moment to report that a restore has begun, and about an hour for it.
#[test]
fn a_restore_is_asked_for_once_and_waited_for() {
    for (begins_archived, asked) in [(true, 1), (false, 0)] {
        let requests = Arc::new(Mutex::new(Vec::<String>::new()));
        let log = requests.clone();
        let url = serve(move |line| {
            let mut log = log.lock().unwrap();
            let heads = log.iter().filter(|line| line.starts_with("HEAD ")).count();
            log.push(line.to_owned());
            match heads {
                0 | 1 if begins_archived => Some("Archived"),
                0..=2 => Some("Restoring"),
                _ => Some("Restored"),
            }
        });
        let done = read_from(&url, "--restore --hours 5 --retry-for 1s --progress json").exits(0);
        assert_eq!(done.stdout, BYTES);
        let posts = |requests: &[String]| {
            let paths = requests.iter().filter(|line| line.starts_with("POST "));
            paths.filter(|line| line.contains("/actions/restoreObjects")).count()
        };
        assert_eq!(posts(&requests.lock().unwrap()), asked);
        let told = if begins_archived { "restore is asked for" } else { "already" };
        done.stderr_has(&[told, "\"state\":\"restoring\""]);
    }
}
