//! Connections through a proxy of each kind.

use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt, copy_bidirectional};
use tokio::net::{TcpListener, TcpStream};

use super::peer::{Boxed, OK, TestCa, exchange, read_request, send, serve_on};
use crate::auth::options::{CertBundle, NetworkOptions, Setting};
use crate::net::connect::Connector;
use crate::net::tcp::Resolver;
use crate::net::{Transport, TransportFailure};
use proto::endpoint::Endpoint;
use proto::transport_error::TransportError;

/// The requests that a proxy received.
type Received = Arc<Mutex<Vec<String>>>;

/// A service with TLS, and a proxy whose connections `serving` serves. `scheme` and `user` are
/// those of the proxy's URL.
struct Scene {
    service: Endpoint,
    network: NetworkOptions,
    transport: Transport,
    received: Received,
    /// Keeps the files that `network` names.
    _authorities: [TestCa; 2],
}

async fn scene<F, S>(scheme: &str, user: &str, serving: F) -> Scene
where
    F: Fn(Boxed, Received) -> S + Send + Sync + 'static,
    S: Future<Output = ()> + Send + 'static,
{
    let (service_ca, proxy_ca) = (TestCa::new(), TestCa::new());
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let acceptor = service_ca.acceptor.clone();
    let service = serve_on(listener, "https", move |_, stream| {
        let acceptor = acceptor.clone();
        async move {
            let Ok(mut stream) = acceptor.accept(stream).await else { return };
            while read_request(&mut stream, 3).await {
                send(&mut stream, OK).await;
            }
        }
    });
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let received = Received::default();
    let tls = (scheme == "https").then(|| proxy_ca.acceptor.clone());
    let (serving, recorder) = (Arc::new(serving), received.clone());
    serve_on(listener, "http", move |_, stream| {
        let (serving, received, tls) = (serving.clone(), recorder.clone(), tls.clone());
        async move {
            let stream: Boxed = match tls {
                None => Box::new(stream),
                Some(tls) => match tls.accept(stream).await {
                    Ok(stream) => Box::new(stream),
                    Err(_) => return,
                },
            };
            serving(stream, received).await;
        }
    });
    let proxy = format!("{scheme}://{user}127.0.0.1:{port}");
    let paths = vec![service_ca.bundle.path().to_owned(), proxy_ca.bundle.path().to_owned()];
    let network = NetworkOptions {
        cert_bundle: Some(CertBundle { paths, origin: "--cert-bundle".to_owned() }),
        proxy: Some(Setting::new(proxy, "HTTPS_PROXY")),
        no_proxy: None,
        ..NetworkOptions::default()
    };
    let transport = Transport::new(&network, Duration::from_secs(20)).unwrap();
    Scene { service, network, transport, received, _authorities: [service_ca, proxy_ca] }
}

/// Reads a request up to the blank line.
async fn read_head(stream: &mut Boxed) -> String {
    let mut text = String::new();
    while !text.ends_with("\r\n\r\n") {
        text.push(char::from(stream.read_u8().await.unwrap()));
    }
    text
}

async fn relay(mut stream: Boxed, to: &str) {
    let mut service = TcpStream::connect(to).await.unwrap();
    let _ = copy_bidirectional(&mut stream, &mut service).await;
}

/// An HTTP proxy that performs each CONNECT.
async fn http_proxy(mut stream: Boxed, received: Received) {
    let text = read_head(&mut stream).await;
    let to = text.split(' ').nth(1).unwrap().to_owned();
    received.lock().unwrap().push(text);
    send(&mut stream, "HTTP/1.1 200 Connection established\r\n\r\n").await;
    relay(stream, &to).await;
}

#[tokio::test]
async fn an_http_proxy_gets_connect_with_its_user_and_password() {
    for scheme in ["http", "https"] {
        let scene = scene(scheme, "me:s3%40cret@", http_proxy).await;
        // The second exchange uses the connection of the first.
        for _ in 0..2 {
            assert_eq!(exchange(&scene.transport, &scene.service, 3).await.unwrap().status, 200);
        }
        let received = scene.received.lock().unwrap().clone();
        assert_eq!(received.len(), 1);
        let first = format!("CONNECT {0} HTTP/1.1\r\nhost: {0}\r\n", scene.service.authority);
        assert!(received[0].starts_with(&first), "{}", received[0]);
        // me:s3@cret
        assert!(
            received[0].contains("proxy-authorization: Basic bWU6czNAY3JldA==\r\n"),
            "{}",
            received[0]
        );
    }
}

#[tokio::test]
async fn connections_without_a_proxy_trust_the_same_certificates() {
    let scene = scene("http", "", http_proxy).await;
    let direct = scene.transport.without_proxy(Duration::from_secs(20));
    assert_eq!(exchange(&direct, &scene.service, 3).await.unwrap().status, 200);
    assert!(scene.received.lock().unwrap().is_empty());
}

#[tokio::test]
async fn nothing_is_sent_to_an_https_proxy_before_its_certificate_is_trusted() {
    let received = Received::default();
    let recorder = received.clone();
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let untrusted = TestCa::new();
    serve_on(listener, "http", move |_, stream| {
        let (acceptor, received) = (untrusted.acceptor.clone(), recorder.clone());
        async move {
            let Ok(stream) = acceptor.accept(stream).await else { return };
            http_proxy(Box::new(stream), received).await;
        }
    });
    let trusted = TestCa::new();
    let network = NetworkOptions {
        proxy: Some(Setting::new(format!("https://me:hunter2@127.0.0.1:{port}"), "--proxy")),
        ..trusted.network()
    };
    let transport = Transport::new(&network, Duration::from_secs(20)).unwrap();
    let service = Endpoint::of_host("service.invalid");
    match exchange(&transport, &service, 3).await {
        Err(TransportFailure::Connection {
            kind: TransportError::UntrustedProxyCertificate,
            text,
            ..
        }) => {
            let named = format!("the certificate of the proxy 127.0.0.1:{port} (--proxy)");
            assert!(text.contains(&named), "{text}");
            assert!(!text.contains("hunter2"), "{text}");
        }
        other => panic!("{:?}", other.map(|response| response.status)),
    }
    assert_eq!(received.lock().unwrap().len(), 0);
}

#[tokio::test]
async fn a_proxy_that_requires_a_user_or_refuses_is_another_failure_than_one_that_fails() {
    for (status, user, expected, words) in [
        (
            "407 Proxy Authentication Required",
            "",
            TransportError::ProxyAuthRequired,
            "wants a user",
        ),
        (
            "407 No",
            "me:hunter2@",
            TransportError::ProxyAuthRequired,
            "refuses user and password (407)",
        ),
        ("403 Forbidden", "", TransportError::ProxyRefused, "forbids the connection to 127.0.0.1:"),
        ("403 Forbidden", "me:hunter2@", TransportError::ProxyRefused, "(403)"),
        ("400 Bad Request", "", TransportError::ProxyRefused, "(400)"),
        ("405 Not Allowed", "", TransportError::ProxyRefused, "(405)"),
        ("408 Timeout", "", TransportError::Connect, "made no connection and answered 408"),
        ("429 Busy", "", TransportError::Connect, "answered 429"),
        ("502 Bad Gateway", "", TransportError::Connect, "answered 502"),
        ("503 Busy", "", TransportError::Connect, "answered 503"),
        ("504 Timeout", "", TransportError::Connect, "answered 504"),
    ] {
        let text = format!("HTTP/1.1 {status}\r\ncontent-length: 5\r\n\r\nsorry");
        let scene = scene("http", user, move |mut stream, _| {
            let text = text.clone();
            async move {
                read_head(&mut stream).await;
                send(&mut stream, &text).await;
            }
        });
        let scene = scene.await;
        match exchange(&scene.transport, &scene.service, 3).await {
            Err(TransportFailure::Connection { kind, text, .. }) => {
                assert_eq!(kind, expected, "{text}");
                assert!(text.contains(words) && text.contains("(HTTPS_PROXY)"), "{text}");
                assert!(!text.contains("hunter2"), "{text}");
            }
            other => panic!("{:?}", other.map(|response| response.status)),
        }
    }
}

#[tokio::test]
async fn a_proxy_that_hangs_up_is_a_failure_to_connect() {
    let scene = scene("http", "", |_, _| async {}).await;
    let failed = exchange(&scene.transport, &scene.service, 3).await;
    assert!(matches!(
        failed,
        Err(TransportFailure::Connection { kind: TransportError::Connect, .. })
    ));
}

/// A SOCKS 5 proxy that requires a user and a password, and records the host of each request.
async fn socks_proxy(mut stream: Boxed, received: Received) {
    let mut greeting = [0; 3];
    stream.read_exact(&mut greeting).await.unwrap();
    assert_eq!(greeting, [5, 1, 2]);
    stream.write_all(&[5, 2]).await.unwrap();
    let mut user = [0; 12];
    stream.read_exact(&mut user).await.unwrap();
    assert_eq!(&user, b"\x01\x02me\x07hunter2");
    stream.write_all(&[1, 0]).await.unwrap();
    let mut request = [0; 4];
    stream.read_exact(&mut request).await.unwrap();
    let host = match request[3] {
        1 => {
            let mut address = [0; 4];
            stream.read_exact(&mut address).await.unwrap();
            address.map(|part| part.to_string()).join(".")
        }
        _ => {
            let mut name = vec![0; usize::from(stream.read_u8().await.unwrap())];
            stream.read_exact(&mut name).await.unwrap();
            String::from_utf8(name).unwrap()
        }
    };
    let port = stream.read_u16().await.unwrap();
    received.lock().unwrap().push(host);
    stream.write_all(&[5, 0, 0, 1, 0, 0, 0, 0, 0, 0]).await.unwrap();
    relay(stream, &format!("127.0.0.1:{port}")).await;
}

#[tokio::test]
async fn a_socks_proxy_gets_a_name_or_an_address_by_its_scheme() {
    for (scheme, host) in [("socks5h", "localhost"), ("socks5", "127.0.0.1")] {
        let mut scene = scene(scheme, "me:hunter2@", socks_proxy).await;
        let url = format!("https://localhost:{}", scene.service.port);
        let service = Endpoint::parse("--endpoint", &url).unwrap();
        let resolver: Resolver = Arc::new(|_, port| {
            Box::pin(async move { Ok(vec![SocketAddr::from(([127, 0, 0, 1], port))]) })
        });
        let connector = Connector::new(&scene.network, Duration::from_secs(20)).unwrap();
        scene.transport.connector = Arc::new(connector.with_resolver(resolver));
        assert_eq!(exchange(&scene.transport, &service, 3).await.unwrap().status, 200);
        assert_eq!(*scene.received.lock().unwrap(), [host]);
    }
}

#[tokio::test]
async fn a_client_warns_of_its_proxy_settings_and_of_nothing_else() {
    let scene = scene("http", "", http_proxy).await;
    assert!(scene.transport.warnings().is_empty(), "{:?}", scene.transport.warnings());
    let no_proxy = Some(Setting::new("a.example,10.*", "NO_PROXY"));
    let network = NetworkOptions { no_proxy, ..scene.network };
    let transport = Transport::new(&network, Duration::from_secs(20)).unwrap();
    let [warning] = transport.warnings() else { panic!("{:?}", transport.warnings()) };
    assert!(warning.starts_with("NO_PROXY: \"10.*\" is neither"), "{warning}");
}
