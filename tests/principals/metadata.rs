//! The metadata service of an instance: an outage at the start, hosts that are no instance, proxies.

use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use emulator::fault::Trigger;
use emulator::{CallKind, Operation};

use crate::host::{Host, LONG, refuse, together};

/// Operations of the metadata service that a start with an endpoint needs.
const READS: [Operation; 3] = [
    Operation::GetMetadataCertificate,
    Operation::GetMetadataKey,
    Operation::GetMetadataIntermediate,
];

#[test]
fn a_status_of_maintenance_is_retried_at_the_start() {
    together(&[404, 429, 500, 503], |status| {
        let host = Host::with("instance_principal", LONG, |options| {
            options.faults.faults =
                vec![refuse(Operation::GetMetadataKey, status).when(Trigger::First(2))];
        });
        host.put("x").stdin("x").run().exits(0).within_seconds(30);
        assert_eq!(host.store.object("x").unwrap(), b"x");
    });
}

#[test]
fn a_metadata_service_that_stays_out_of_order_is_told_with_its_status() {
    together(&[404, 429, 500], |status| {
        let host = Host::with("instance_principal", LONG, |options| {
            options.faults.faults = vec![refuse(Operation::GetMetadataCertificate, status)];
        });
        let done = host.put("x").stdin("x").run().fails(3).within_seconds(20);
        done.stderr_has(&["the metadata service", &format!("HTTP {status}")]);
        assert!(host.count(CallKind::MetadataCertificate) <= 5);
    });
}

#[test]
fn a_request_that_the_metadata_service_refuses_is_not_repeated() {
    together(&[400, 401, 403], |status| {
        let host = Host::with("instance_principal", LONG, |options| {
            options.faults.faults = vec![refuse(Operation::GetMetadataCertificate, status)];
        });
        let done = host.put("x").stdin("x").run().fails(3);
        done.stderr_has(&[&format!("HTTP {status}"), "X-Forwarded-For"]);
        assert_eq!(host.count(CallKind::MetadataCertificate), 1);
    });
}

#[test]
fn a_host_that_is_no_instance_learns_that_within_ten_seconds() {
    // A port that nothing listens on, and one whose backlog is full: connecting hangs.
    let refused = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let (_silent, silent, _waiting) = full_backlog();
    for address in [refused, silent] {
        let host = Host::new("instance_principal", LONG)
            .var("OCI_METADATA_BASE_URL", &format!("http://{address}/opc/v2"));
        let done = host.put("x").stdin("x").run().fails(3).within_seconds(15);
        done.stderr_has(&["the metadata service", "cannot be reached", "OCI instance"]);
    }
}

/// A listener that accepts nothing, with connections that fill its queue.
fn full_backlog() -> (TcpListener, SocketAddr, Vec<TcpStream>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    rustix::net::listen(&listener, 0).unwrap();
    let address = listener.local_addr().unwrap();
    let limit = std::time::Duration::from_millis(300);
    let mut waiting = Vec::new();
    while let Ok(stream) = TcpStream::connect_timeout(&address, limit) {
        waiting.push(stream);
    }
    (listener, address, waiting)
}

#[test]
fn the_certificate_and_its_key_are_never_requested_through_a_proxy() {
    let proxy = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}", proxy.local_addr().unwrap());
    let connections = Arc::new(AtomicUsize::new(0));
    let count = Arc::clone(&connections);
    std::thread::spawn(move || {
        for _ in proxy.incoming() {
            count.fetch_add(1, Ordering::SeqCst);
        }
    });
    for mode in ["instance_principal", "oke_workload_identity"] {
        let host = Host::new(mode, LONG);
        let names = ["http_proxy", "HTTP_PROXY", "https_proxy", "HTTPS_PROXY", "ALL_PROXY"];
        let run = host.put("x").stdin("x");
        let run = names.iter().fold(run, |run, name| run.var(name, &url));
        run.run().exits(0);
    }
    assert_eq!(connections.load(Ordering::SeqCst), 0);
}

#[test]
fn the_region_of_an_instance_names_its_services() {
    // The hosts of a region cannot be reached here: their names in the error show the region.
    let of = |region: &str, text: Option<&str>, domain: &str| {
        let text = text.map(str::to_owned);
        let host = Host::with("instance_principal", LONG, |options| {
            options.instance.region = region.to_owned();
            options.instance.region_text = text;
            options.instance.realm_domain = domain.to_owned();
        });
        let host = host
            .var("OCI_CLI_ENDPOINT", "")
            .var("OCI_CLI_FEDERATION_ENDPOINT", "")
            .var("OCI_SDK_AUTH_CLIENT_REGION_URL", "");
        let done = host.put("x").args("--retry-for 1s").stdin("x").run();
        (done.fails(3).stderr, host.count(CallKind::MetadataRegionInfo))
    };
    let (stderr, infos) = of("us-phoenix-1", Some("phx"), "oraclecloud.com");
    assert!(stderr.contains("auth.us-phoenix-1.oraclecloud.com"), "{stderr}");
    assert_eq!(infos, 0);
    let (stderr, infos) = of("xx-nowhere-1", None, "example-realm.test");
    assert!(stderr.contains("auth.xx-nowhere-1.example-realm.test"), "{stderr}");
    assert!(infos > 0);
}

#[test]
fn each_read_of_a_renewal_happens_once() {
    let host = Host::new("instance_principal", LONG);
    host.put("x").stdin("x").run().exits(0);
    for operation in READS {
        assert_eq!(host.store.requests_of(operation).len(), 1, "{operation:?}");
    }
    assert_eq!(host.count(CallKind::Federation), 1);
}
