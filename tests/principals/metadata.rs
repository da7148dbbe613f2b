//! The metadata service of an instance: an outage at the start, hosts that are no instance, proxies.

use std::io::{BufRead, BufReader, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use emulator::fault::{FaultPlan, Trigger};
use emulator::{CallKind, Operation};

use crate::host::{Feed, Host, LONG, refuse, together};

/// Operations of the metadata service that a start with an endpoint needs.
const READS: [Operation; 3] = [
    Operation::GetMetadataCertificate,
    Operation::GetMetadataKey,
    Operation::GetMetadataIntermediate,
];

/// The variable with the address of the service.
const METADATA_URL: &str = "OCI_METADATA_BASE_URL";

#[test]
fn the_bundle_of_certificates_counts_for_an_https_metadata_service() {
    let host = Host::new("instance_principal", LONG);
    let url = host.value(METADATA_URL).replace("http://", "https://");
    let ca = host.store.server().ca_path().to_str().unwrap().to_owned();
    let host = host.var(METADATA_URL, &url);
    host.put("x").arg("--cert-bundle").arg(&ca).stdin("x").run().exits(0);
    host.put("y").stdin("y").run().fails(3).stderr_has(&["the metadata service"]);
}

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

/// A service in the place of the metadata service that answers each path with a text.
fn false_metadata(answer: impl Fn(&str) -> String + Send + 'static) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let mut stream = BufReader::new(stream.unwrap());
            let mut head = String::new();
            while !head.ends_with("\r\n\r\n") && stream.read_line(&mut head).unwrap_or(0) > 0 {}
            let path = head.split(' ').nth(1).unwrap_or_default();
            let body = answer(path);
            let length = body.len();
            let head =
                format!("HTTP/1.1 200 OK\r\ncontent-length: {length}\r\nconnection: close\r\n\r\n");
            let _ = stream.get_mut().write_all((head + &body).as_bytes());
        }
    });
    address
}

/// What a message of another program might repeat of a damaged answer.
const MARKER: &str = "MarkerOfAPrivateKey";

#[test]
fn a_damaged_key_or_certificate_is_an_error_that_shows_nothing_of_it() {
    const KEY: &str = include_str!("../data/keys/rsa-3072.pem");
    fn block(label: &str, body: &str) -> String {
        format!("-----BEGIN {label}-----\n{body}\n-----END {label}-----\n")
    }
    let damaged = |text: &str| text.replacen('\n', &format!("\n{MARKER}\n"), 2);
    let texts = [
        MARKER.to_owned(),
        block("RSA PRIVATE KEY", MARKER),
        block("CERTIFICATE", MARKER),
        block(MARKER, "AAAA"),
        block("RSA PRIVATE KEY", &format!("Proc-Type: 4,ENCRYPTED\nDEK-Info: {MARKER},00\n\nAAAA")),
        format!("-----BEGIN RSA PRIVATE KEY-----{MARKER}"),
        format!("-----BEGIN RSA PRIVATE KEY-----{MARKER}-----END RSA PRIVATE KEY-----"),
        damaged(KEY),
        damaged(KEY).replace("PRIVATE KEY", "CERTIFICATE"),
    ];
    let certificate = {
        let vectors: serde_json::Value =
            serde_json::from_str(include_str!("../data/principal-vectors.json")).unwrap();
        vectors["certificates"]["leaf1"]["cert_pem"].as_str().unwrap().to_owned()
    };
    let cases: Vec<usize> = (0..2 * texts.len()).collect();
    let texts = Arc::new((texts, certificate));
    let threads = cases.into_iter().map(|case| {
        let texts = Arc::clone(&texts);
        std::thread::spawn(move || {
            let (texts, certificate) = (&texts.0, texts.1.clone());
            let text = texts[case / 2].clone();
            // The certificate is whole in every other case, so that the key is read.
            let is_key = case % 2 == 1;
            let shown = text.clone();
            let address = false_metadata(move |path| match path {
                path if path.ends_with("cert.pem") && is_key => certificate.clone(),
                _ => text.clone(),
            });
            let host = Host::new("instance_principal", LONG)
                .var("OCI_METADATA_BASE_URL", &format!("http://{address}/opc/v2"));
            // The default of --retry-for is an hour: a host that is no instance does not wait.
            let done = host.put("x").args("--debug").stdin("x").run().fails(3).within_seconds(20);
            assert!(done.stderr.contains("of the metadata service"), "{}", done.stderr);
            assert!(!done.stderr.contains(MARKER), "{shown}\n{}", done.stderr);
        })
    });
    let failed = threads.collect::<Vec<_>>().into_iter().filter_map(|thread| thread.join().err());
    assert_eq!(failed.count(), 0);
}

#[test]
fn a_region_that_is_none_is_an_error_of_the_metadata_service_and_no_panic() {
    // The text of the region, and regionInfo.
    let cases = [
        ("", ""),
        ("\0\0", ""),
        ("<html>a page of something else</html>", ""),
        ("two words", ""),
        ("../..", ""),
        ("xx-nowhere-1", ""),
        ("xx-nowhere-1", "[]"),
        ("xx-nowhere-1", "{\"regionIdentifier\": 5, \"realmDomainComponent\": {}}"),
        ("xx-nowhere-1", "{\"regionIdentifier\": \"a/b\", \"realmDomainComponent\": \"x y\"}"),
        ("large", ""),
    ];
    together(&cases, |(region, info)| {
        let address = false_metadata(move |path| match path {
            path if path.ends_with("/regionInfo") => info.to_owned(),
            _ if region == "large" => "x".repeat(17 << 20),
            _ => region.to_owned(),
        });
        let host = Host::new("instance_principal", LONG)
            .var("OCI_METADATA_BASE_URL", &format!("http://{address}/opc/v2"))
            .var("OCI_CLI_ENDPOINT", "")
            .var("OCI_CLI_FEDERATION_ENDPOINT", "")
            .var("OCI_SDK_AUTH_CLIENT_REGION_URL", "");
        let done = host.put("x").stdin("x").run().fails(3).within_seconds(20);
        done.stderr_has(&["metadata service"]).stderr_lacks("\0");
    });
}

/// How the metadata service fails for a while.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Outage {
    Status,
    RefusedPort,
}

#[test]
fn an_outage_of_the_metadata_service_that_outlasts_a_token_is_survived() {
    together(&[Outage::Status, Outage::RefusedPort], |outage| {
        let host = Host::new("instance_principal", 6);
        let server = host.store.server();
        let gate = Gate::before(server.address());
        let base = format!("http://{}/opc/v2", gate.address);
        let host = host.var("OCI_METADATA_BASE_URL", &base);
        let mut feed = Feed::start(&host, host.put("x").args("--retry-for 2m"));
        feed.part();
        match outage {
            Outage::Status => {
                let faults = READS.map(|operation| refuse(operation, 503)).to_vec();
                host.store.server().set_faults(FaultPlan { faults });
            }
            Outage::RefusedPort => gate.close(),
        }
        feed.run.wait_for_stderr("the credentials have expired");
        feed.write();
        feed.run.wait_for_stderr("the upload has been waiting since");
        // What brings new credentials.
        feed.run.wait_for_stderr("check that this host reaches its metadata service");
        match outage {
            Outage::Status => host.store.server().set_faults(FaultPlan::default()),
            Outage::RefusedPort => gate.open(),
        }
        feed.run.wait_for_stderr("the upload goes on");
        feed.part();
        let done = feed.finish();
        done.stderr_has(&["the metadata service"]);
        assert_eq!(host.rejected(), 0);
    });
}

/// A port in front of another one that can be closed for a while: connections are refused.
struct Gate {
    address: SocketAddr,
    target: SocketAddr,
    stop: Mutex<Option<Arc<AtomicBool>>>,
    /// What is connected.
    streams: Arc<Mutex<Vec<TcpStream>>>,
}

impl Gate {
    fn before(target: SocketAddr) -> Gate {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let gate = Gate { address, target, stop: Mutex::default(), streams: Arc::default() };
        gate.serve(listener);
        gate
    }

    fn serve(&self, listener: TcpListener) {
        let stop = Arc::new(AtomicBool::new(false));
        *self.stop.lock().unwrap() = Some(Arc::clone(&stop));
        let (target, streams) = (self.target, Arc::clone(&self.streams));
        std::thread::spawn(move || {
            for stream in listener.incoming() {
                if stop.load(Ordering::SeqCst) {
                    return;
                }
                let (client, server) = (stream.unwrap(), TcpStream::connect(target).unwrap());
                streams.lock().unwrap().push(client.try_clone().unwrap());
                for (mut from, mut to) in
                    [(client.try_clone().unwrap(), server.try_clone().unwrap()), (server, client)]
                {
                    std::thread::spawn(move || {
                        let _ = std::io::copy(&mut from, &mut to);
                        let _ = to.shutdown(Shutdown::Both);
                    });
                }
            }
        });
    }

    fn close(&self) {
        let stop = self.stop.lock().unwrap().take().unwrap();
        stop.store(true, Ordering::SeqCst);
        // Ends the wait of the thread for a connection.
        let _ = TcpStream::connect(self.address);
        while TcpStream::connect(self.address).is_ok() {}
        for stream in self.streams.lock().unwrap().drain(..) {
            let _ = stream.shutdown(Shutdown::Both);
        }
    }

    fn open(&self) {
        self.serve(TcpListener::bind(self.address).unwrap());
    }
}
