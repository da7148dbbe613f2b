//! No redirect of any service is followed, so that no signature reaches another host.

use std::net::SocketAddr;

use emulator::Server;

use crate::answers::against;
use crate::common::peer::{Peer, response};
use crate::common::run::ocipipe;
use crate::common::store::Store;

/// A peer that sends every request to `other`.
fn redirecting(status: &'static str, target: SocketAddr) -> Peer {
    Peer::start(move |line| {
        let path = line.split(' ').nth(1).unwrap_or_default().to_owned();
        let id = "opc-request-id: r\r\n";
        response(status, &format!("{id}location: http://{target}{path}\r\n"), "")
    })
}

/// Runs `call` against a peer that redirects, with each status, all at once, and asserts that the peer was
/// asked and that nothing reached the host that it names.
#[track_caller]
fn not_followed(call: impl Fn(&Peer) + Sync) {
    let other = Peer::start(|_| response("200 OK", "etag: e\r\n", "{\"token\":\"t\"}"));
    let target = other.address;
    let call = &call;
    std::thread::scope(|scope| {
        for status in ["302 Found", "307 Temporary Redirect", "308 Permanent Redirect"] {
            scope.spawn(move || {
                let peer = redirecting(status, target);
                call(&peer);
                assert!(peer.connections() > 0, "{status}: nothing was asked");
            });
        }
    });
    assert_eq!(other.connections(), 0);
}

#[test]
fn no_redirect_of_object_storage_is_followed() {
    not_followed(|peer| {
        let store = Store::start();
        for command in ["put oci://backups@ns/x", "put oci://backups/x", "get oci://backups@ns/x"] {
            let run = against(&store, peer, command).args("--retry-for 1s");
            run.stdin("data").run().fails(4);
        }
    });
}

#[test]
fn no_redirect_of_the_auth_service_is_followed() {
    not_followed(|peer| {
        let store = Store::start();
        let refresh =
            ocipipe(["session", "refresh", "--profile", Server::SESSION, "--config-file"]);
        let refresh = refresh.arg(store.server().config_path()).arg("--auth-endpoint");
        let done = refresh.arg(format!("http://{}", peer.address)).run();
        assert_ne!(done.status.code(), Some(0));
    });
}

#[test]
fn no_redirect_of_the_metadata_service_is_followed() {
    not_followed(|peer| {
        let put = ocipipe("put --auth instance_principal --retry-for 1s oci://b@n/x".split(' '));
        let put = put.var("OCI_METADATA_BASE_URL", format!("http://{}/opc/v2", peer.address));
        put.stdin("data").run().fails(3);
    });
}
