//! The way to the service through a proxy of each kind.

use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt, copy_bidirectional};
use tokio::net::{TcpListener, TcpStream};

use super::peer::{Authority, Boxed, OK, ask, request, say, serve_on};
use crate::auth::options::{CertBundle, NetworkOptions, Setting};
use crate::net::Transport;
use crate::net::connect::{Connector, Resolver};
use proto::endpoint::Endpoint;
use proto::retry::{Failure, TransportError};

/// What a proxy was told.
type Told = Arc<Mutex<Vec<String>>>;

/// A service under TLS, and a proxy whose connections are served so; `scheme` and `user` are those of
/// the proxy's URL.
struct Scene {
    service: Endpoint,
    network: NetworkOptions,
    transport: Transport,
    told: Told,
    /// Their files are read again by who makes a dialer of the network.
    _authorities: [Authority; 2],
}

async fn scene<F, S>(scheme: &str, user: &str, serving: F) -> Scene
where
    F: Fn(Boxed, Told) -> S + Send + Sync + 'static,
    S: Future<Output = ()> + Send + 'static,
{
    let (ours, theirs) = (Authority::new(), Authority::new());
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let acceptor = ours.acceptor.clone();
    let service = serve_on(listener, "https", move |_, stream| {
        let acceptor = acceptor.clone();
        async move {
            let Ok(mut stream) = acceptor.accept(stream).await else { return };
            while request(&mut stream, 3).await {
                say(&mut stream, OK).await;
            }
        }
    });
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let told = Told::default();
    let tls = (scheme == "https").then(|| theirs.acceptor.clone());
    let (serving, telling) = (Arc::new(serving), told.clone());
    serve_on(listener, "http", move |_, stream| {
        let (serving, told, tls) = (serving.clone(), telling.clone(), tls.clone());
        async move {
            let stream: Boxed = match tls {
                None => Box::new(stream),
                Some(tls) => match tls.accept(stream).await {
                    Ok(stream) => Box::new(stream),
                    Err(_) => return,
                },
            };
            serving(stream, told).await;
        }
    });
    let proxy = format!("{scheme}://{user}127.0.0.1:{port}");
    let paths = vec![ours.bundle.path().to_owned(), theirs.bundle.path().to_owned()];
    let network = NetworkOptions {
        cert_bundle: Some(CertBundle { paths, origin: "--cert-bundle".to_owned() }),
        proxy: Some(Setting::new(proxy, "HTTPS_PROXY")),
        no_proxy: None,
    };
    let transport = Transport::new(&network, Duration::from_secs(20)).unwrap();
    Scene { service, network, transport, told, _authorities: [ours, theirs] }
}

/// What is said up to the blank line.
async fn head(stream: &mut Boxed) -> String {
    let mut text = String::new();
    while !text.ends_with("\r\n\r\n") {
        text.push(char::from(stream.read_u8().await.unwrap()));
    }
    text
}

async fn joins(mut stream: Boxed, to: &str) {
    let mut service = TcpStream::connect(to).await.unwrap();
    let _ = copy_bidirectional(&mut stream, &mut service).await;
}

/// A proxy of HTTP that does as it is told.
async fn connects(mut stream: Boxed, told: Told) {
    let text = head(&mut stream).await;
    let to = text.split(' ').nth(1).unwrap().to_owned();
    told.lock().unwrap().push(text);
    say(&mut stream, "HTTP/1.1 200 Connection established\r\n\r\n").await;
    joins(stream, &to).await;
}

#[tokio::test]
async fn a_proxy_of_http_is_asked_to_connect_with_its_user_and_password() {
    for scheme in ["http", "https"] {
        let scene = scene(scheme, "me:s3%40cret@", connects).await;
        // The second exchange finds the connection of the first.
        for _ in 0..2 {
            assert_eq!(ask(&scene.transport, &scene.service, 3).await.unwrap().status, 200);
        }
        let told = scene.told.lock().unwrap().clone();
        assert_eq!(told.len(), 1);
        let first = format!("CONNECT {0} HTTP/1.1\r\nhost: {0}\r\n", scene.service.authority);
        assert!(told[0].starts_with(&first), "{}", told[0]);
        // me:s3@cret
        assert!(told[0].contains("proxy-authorization: Basic bWU6czNAY3JldA==\r\n"), "{}", told[0]);
    }
}

#[tokio::test]
async fn nothing_is_said_to_an_https_proxy_before_its_certificate_is_trusted() {
    let told = Told::default();
    let telling = told.clone();
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let untrusted = Authority::new();
    serve_on(listener, "http", move |_, stream| {
        let (acceptor, told) = (untrusted.acceptor.clone(), telling.clone());
        async move {
            let Ok(stream) = acceptor.accept(stream).await else { return };
            connects(Box::new(stream), told).await;
        }
    });
    let trusted = Authority::new();
    let network = NetworkOptions {
        proxy: Some(Setting::new(format!("https://me:hunter2@127.0.0.1:{port}"), "--proxy")),
        ..trusted.network()
    };
    let transport = Transport::new(&network, Duration::from_secs(20)).unwrap();
    let service = Endpoint::of_host("service.invalid");
    match ask(&transport, &service, 3).await {
        Err(Failure::Transport { kind: TransportError::UntrustedCertificate, text }) => {
            assert!(text.contains(&format!("the proxy 127.0.0.1:{port} (--proxy)")), "{text}");
            assert!(!text.contains("hunter2"), "{text}");
        }
        other => panic!("{:?}", other.map(|answer| answer.status)),
    }
    assert_eq!(told.lock().unwrap().len(), 0);
}

#[tokio::test]
async fn a_proxy_that_does_not_know_who_asks_is_told_from_one_that_fails() {
    for (answer, user, how, word) in [
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
        ("403 Forbidden", "", TransportError::Connect, "answered 403"),
        ("503 Busy", "", TransportError::Connect, "answered 503"),
    ] {
        let text = format!("HTTP/1.1 {answer}\r\ncontent-length: 5\r\n\r\nsorry");
        let scene = scene("http", user, move |mut stream, _| {
            let text = text.clone();
            async move {
                head(&mut stream).await;
                say(&mut stream, &text).await;
            }
        });
        let scene = scene.await;
        match ask(&scene.transport, &scene.service, 3).await {
            Err(Failure::Transport { kind: met, text }) => {
                assert_eq!(met, how, "{text}");
                assert!(text.contains(word) && text.contains("(HTTPS_PROXY)"), "{text}");
                assert!(!text.contains("hunter2"), "{text}");
            }
            other => panic!("{:?}", other.map(|answer| answer.status)),
        }
    }
}

#[tokio::test]
async fn a_proxy_that_hangs_up_is_a_failure_to_connect() {
    let scene = scene("http", "", |_, _| async {}).await;
    let failed = ask(&scene.transport, &scene.service, 3).await;
    assert!(matches!(failed, Err(Failure::Transport { kind: TransportError::Connect, .. })));
}

/// A proxy of SOCKS 5 that wants a user and a password, and notes whether it was given a name.
async fn socks(mut stream: Boxed, told: Told) {
    let mut greeting = [0; 3];
    stream.read_exact(&mut greeting).await.unwrap();
    assert_eq!(greeting, [5, 1, 2]);
    stream.write_all(&[5, 2]).await.unwrap();
    let mut user = [0; 12];
    stream.read_exact(&mut user).await.unwrap();
    assert_eq!(&user, b"\x01\x02me\x07hunter2");
    stream.write_all(&[1, 0]).await.unwrap();
    let mut asked = [0; 4];
    stream.read_exact(&mut asked).await.unwrap();
    let name = match asked[3] {
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
    told.lock().unwrap().push(name);
    stream.write_all(&[5, 0, 0, 1, 0, 0, 0, 0, 0, 0]).await.unwrap();
    joins(stream, &format!("127.0.0.1:{port}")).await;
}

#[tokio::test]
async fn a_proxy_of_socks_is_given_a_name_or_an_address_as_its_scheme_says() {
    for (scheme, given) in [("socks5h", "localhost"), ("socks5", "127.0.0.1")] {
        let mut scene = scene(scheme, "me:hunter2@", socks).await;
        let url = format!("https://localhost:{}", scene.service.port);
        let service = Endpoint::parse("--endpoint", &url).unwrap();
        let here: Resolver = Arc::new(|_, port| {
            Box::pin(async move { Ok(vec![SocketAddr::from(([127, 0, 0, 1], port))]) })
        });
        let dialer = Connector::new(&scene.network, Duration::from_secs(20)).unwrap();
        scene.transport.connector = Arc::new(dialer.with_resolver(here));
        assert_eq!(ask(&scene.transport, &service, 3).await.unwrap().status, 200);
        assert_eq!(*scene.told.lock().unwrap(), [given]);
    }
}
