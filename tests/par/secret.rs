//! The URL is a secret: no log, error, receipt, argument or child has any part of it.

use std::ffi::OsString;

use emulator::Operation;

use crate::common::peer::{Peer, response};
use crate::common::run::ocipipe;
use crate::common::stream::{PART, ramp};
use crate::host::{Host, LONG, SHORT, read_write, secret_of, write_only};

const URL: &str =
    "http://127.0.0.1:1/p/uIDxFsk8j-tP_3qZ0aVbN5cM2eR7yXwLgH4kT9uJ1oQ/n/ax/b/backups/o/x";

#[test]
fn the_debug_log_names_each_request_and_no_secret() {
    for par in [write_only(), read_write()] {
        let host = Host::new(par);
        let done = host.store_stream(LONG, "--debug").exits(0);
        done.stderr_has(&["PUT /p/***/n/", "POST /p/***/n/", "/u/x/id/", "opc-request-id"]);
        host.store_stream(LONG, "--debug --expect gzip --force").fails(5);
        host.store.server().delete_pars("backups", None).unwrap();
        host.store_stream(LONG, "--debug --retry-for 1s --force").fails(3);
    }
}

#[test]
fn no_argument_and_no_child_has_the_url() {
    let host = Host::new(write_only());
    let mut run = ocipipe("put --part-size 10MiB".split(' '))
        .var("OCIPIPE_PAR_URL", &host.par.url)
        .stdin_pipe()
        .start();
    run.write(&ramp(2 * PART));
    host.store.wait_for_requests(Operation::UploadPart, 1);
    let line = std::fs::read_to_string(format!("/proc/{}/cmdline", run.id())).unwrap();
    assert!(!line.contains(host.secret()), "{line}");
    host.assert_hidden(&run.wait().exits(0));
    // The command finds no variable, and its own arguments are its own affair.
    let put = ocipipe(["put", "--force", "--", "sh", "-c", "env; cat /proc/$PPID/cmdline"]);
    host.run(put.var("OCIPIPE_PAR_URL", &host.par.url)).exits(0);
    let shown = String::from_utf8_lossy(&host.store.object("x").unwrap()).into_owned();
    assert!(shown.contains("PATH=") && !shown.contains("OCIPIPE_PAR"), "{shown}");
    assert!(!shown.contains(host.secret()), "{shown}");
}

#[test]
fn a_url_in_an_argument_is_refused_and_not_repeated() {
    let path = URL.split_once(":1").unwrap().1;
    let inline = format!("--par-file={URL}");
    let upload = URL.replace("/o/x", "/u/x/id/1/");
    for words in [
        vec!["put", URL],
        vec!["put", "--par-file", URL],
        vec!["put", &inline],
        vec!["put", "--par-file", path],
        vec!["put", "--endpoint", &upload],
        vec!["put", "oci://b/n", "--", "curl", URL],
        vec!["get", URL],
        vec![URL],
        vec!["help", URL],
    ] {
        let done = ocipipe(words.clone()).run().fails(2);
        assert!(!done.stderr.contains(secret_of(URL)), "{words:?}: {}", done.stderr);
        done.stderr_has(&["delete that request", "--par-file PATH"]);
    }
    use std::os::unix::ffi::OsStringExt;
    let bytes = OsString::from_vec([URL.as_bytes(), b"\xff"].concat());
    let done = ocipipe([OsString::from("put"), bytes]).run().fails(2);
    assert!(!done.stderr.contains(secret_of(URL)));
}

#[test]
fn a_peer_that_repeats_the_url_does_not_bring_it_into_a_message() {
    for (status, code, headers) in [
        ("404 Not Found", 3, "opc-request-id: r\r\n"),
        ("403 Forbidden", 4, ""),
        ("400 Bad Request", 4, ""),
        ("500 Oops", 4, ""),
        ("200 OK", 4, ""),
    ] {
        let peer = Peer::start(move |line| {
            let path = line.split(' ').nth(1).unwrap_or_default();
            let repeated = format!("opc-request-id: {path}\r\n");
            let headers = if headers.is_empty() { "" } else { &repeated };
            response(status, headers, &format!("{{\"code\":\"C\",\"message\":\"{line}\"}}"))
        });
        let host = Host::new(write_only());
        for length in [LONG, SHORT] {
            let url = URL.replace("127.0.0.1:1", &peer.address.to_string());
            let file = host.private_file(&url);
            let put = ocipipe("put --part-size 10MiB --debug --retry-for 1s --par-file".split(' '));
            let done = put.arg(file).stdin(ramp(length)).run();
            assert!(!done.stderr.contains(secret_of(&url)), "{status}: {}", done.stderr);
            // A success without anything of the service is none.
            assert_eq!(done.status.code(), Some(code), "{status}, {length}: {}", done.stderr);
        }
    }
}

#[test]
fn no_redirect_is_followed() {
    let other = Peer::start(|_| response("200 OK", "etag: e\r\n", ""));
    let target = other.address;
    for status in ["301 Moved", "302 Found", "307 Temporary Redirect", "308 Permanent Redirect"] {
        let peer = Peer::start(move |line| {
            let path = line.split(' ').nth(1).unwrap_or_default();
            response(status, &format!("location: http://{target}{path}\r\n"), "")
        });
        let host = Host::new(write_only());
        let file = host.private_file(&URL.replace("127.0.0.1:1", &peer.address.to_string()));
        let put = ocipipe("put --debug --retry-for 1s --par-file".split(' ')).arg(file);
        let done = put.stdin("data").run().fails(4);
        assert!(!done.stderr.contains(secret_of(URL)), "{}", done.stderr);
    }
    assert_eq!(other.connections(), 0);
}

#[test]
fn the_address_of_an_upload_on_another_host_is_not_used() {
    let other = Peer::start(|_| response("200 OK", "etag: e\r\n", ""));
    let target = other.address;
    let peer = Peer::start(move |line| match line.starts_with("PUT") {
        true => response(
            "200 OK",
            "opc-request-id: r\r\n",
            &format!(
                "{{\"uploadId\":\"u1\",\"accessUri\":\"http://{target}/p/OtherSecret/n/ax/b/backups/u/x/id/u1/\"}}"
            ),
        ),
        false => response("404 Not Found", "opc-request-id: r\r\n", ""),
    });
    let host = Host::new(write_only());
    let file = host.private_file(&URL.replace("127.0.0.1:1", &peer.address.to_string()));
    let put = ocipipe("put --debug --part-size 10MiB --par-file".split(' ')).arg(file);
    let done = put.stdin(ramp(LONG)).run().fails(4).within_seconds(60);
    assert!(!done.stderr.contains("OtherSecret"), "{}", done.stderr);
    done.stderr_has(&["it is no path of this host", "upload u1 may be left open", "uploads list"]);
    assert_eq!(other.connections(), 0);
}
