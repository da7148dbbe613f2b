//! Connecting: names, addresses and handshakes that fail, and the attempt after them.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use tokio::net::{TcpListener, TcpSocket, TcpStream};

use super::peer::{OK, TestCa, exchange, exchange_over, read_request, send, serve, serve_on};
use crate::auth::options::NetworkOptions;
use crate::net::connect::Connector;
use crate::net::tcp::Resolver;
use crate::net::{Transport, TransportFailure};
use proto::endpoint::Endpoint;
use proto::transport_error::TransportError;

#[track_caller]
fn failure_text(
    result: Result<proto::api::Response, TransportFailure>,
    expected: TransportError,
) -> String {
    match result.unwrap_err() {
        TransportFailure::Connection { kind, text, .. } if kind == expected => text,
        failure => panic!("{failure:?}"),
    }
}

fn transport() -> Transport {
    Transport::new(&NetworkOptions::default(), Duration::from_secs(5)).unwrap()
}

/// A transport with another resolver.
fn with_resolver(resolver: Resolver) -> Transport {
    let mut transport = transport();
    let connector = Connector::new(&NetworkOptions::default(), Duration::from_secs(5)).unwrap();
    transport.connector = Arc::new(connector.with_resolver(resolver));
    transport
}

async fn responding() -> Endpoint {
    serve(|_, mut stream| async move {
        while read_request(&mut stream, 3).await {
            send(&mut stream, OK).await;
        }
    })
    .await
}

/// The endpoint at the same port, under a name.
fn by_name(endpoint: &Endpoint) -> Endpoint {
    Endpoint::parse("--endpoint", &format!("http://localhost:{}", endpoint.port)).unwrap()
}

#[tokio::test]
async fn a_port_without_a_listener_is_no_connection() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    drop(listener);
    let endpoint = Endpoint::parse("--endpoint", &format!("http://127.0.0.1:{port}")).unwrap();
    let text = failure_text(exchange(&transport(), &endpoint, 3).await, TransportError::Connect);
    assert!(text.contains("refused"), "{text}");
}

#[tokio::test]
async fn a_name_is_looked_up_for_every_connection_and_may_resolve_again() {
    let endpoint = responding().await;
    let address = SocketAddr::from(([127, 0, 0, 1], endpoint.port));
    let lookups = Arc::new(AtomicUsize::new(0));
    let counter = lookups.clone();
    let transport = with_resolver(Arc::new(move |host, port| {
        let count = counter.fetch_add(1, Ordering::SeqCst);
        Box::pin(async move {
            assert_eq!((&host[..], port), ("localhost", address.port()));
            match count {
                0 => Err(io::Error::other("try again")),
                1 => Ok(Vec::new()),
                _ => Ok(vec![address]),
            }
        })
    }));
    let endpoint = by_name(&endpoint);
    let text = failure_text(exchange(&transport, &endpoint, 3).await, TransportError::Connect);
    assert!(text.contains("cannot be resolved"), "{text}");
    let text = failure_text(exchange(&transport, &endpoint, 3).await, TransportError::Connect);
    assert!(text.contains("no address"), "{text}");
    assert_eq!(exchange(&transport, &endpoint, 3).await.unwrap().status, 200);
    transport.idle.lock().unwrap().clear();
    assert_eq!(exchange(&transport, &endpoint, 3).await.unwrap().status, 200);
    assert_eq!(lookups.load(Ordering::SeqCst), 4);
}

/// An address that neither accepts nor refuses, for as long as the second value lives.
async fn silent() -> (SocketAddr, impl Sized) {
    let socket = TcpSocket::new_v4().unwrap();
    socket.bind("127.0.0.1:0".parse().unwrap()).unwrap();
    let listener = socket.listen(1).unwrap();
    let address = listener.local_addr().unwrap();
    let mut queued = Vec::new();
    let limit = Duration::from_millis(200);
    while let Ok(stream) = tokio::time::timeout(limit, TcpStream::connect(address)).await {
        queued.push(stream.unwrap());
    }
    (address, (listener, queued))
}

/// It accepts connections and ends them, as a broken node of a load balancer does.
#[tokio::test]
async fn an_address_that_serves_nothing_is_not_the_first_of_the_next_connection() {
    let endpoint = responding().await;
    let broken = serve(|_, stream| async move { drop(stream) }).await;
    let addresses = [&broken, &endpoint].map(|it| SocketAddr::from(([127, 0, 0, 1], it.port)));
    let transport =
        with_resolver(Arc::new(move |_, _| Box::pin(async move { Ok(addresses.to_vec()) })));
    let endpoint = by_name(&endpoint);
    // Two that are made and fail together count once: of two addresses both would be the broken one again.
    let made = [transport.connect(&endpoint).await, transport.connect(&endpoint).await];
    for connection in made {
        assert!(exchange_over(connection.unwrap(), 3, None).await.is_err());
    }
    assert_eq!(exchange(&transport, &endpoint, 3).await.unwrap().status, 200);
    transport.idle.lock().unwrap().clear();
    assert_eq!(exchange(&transport, &endpoint, 3).await.unwrap().status, 200);
}

#[tokio::test]
async fn a_dead_address_costs_a_moment_where_the_name_has_another() {
    let endpoint = responding().await;
    let (dead, _guard) = silent().await;
    let closed = SocketAddr::from(([127, 0, 0, 1], 1));
    let good = SocketAddr::from(([127, 0, 0, 1], endpoint.port));
    let addresses = vec![dead, closed, good];
    let transport = with_resolver(Arc::new(move |_, _| {
        let addresses = addresses.clone();
        Box::pin(async move { Ok(addresses) })
    }));
    let began = Instant::now();
    assert_eq!(exchange(&transport, &by_name(&endpoint), 3).await.unwrap().status, 200);
    assert!(began.elapsed() < Duration::from_secs(3), "{:?}", began.elapsed());
}

#[tokio::test]
async fn a_handshake_that_fails_is_no_connection_and_the_next_one_may_succeed() {
    let ca = TestCa::new();
    let acceptor = ca.acceptor.clone();
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let endpoint = serve_on(listener, "https", move |number, mut stream| {
        let acceptor = acceptor.clone();
        async move {
            match number {
                0 => stream.set_zero_linger().unwrap(),
                1 => send(&mut stream, "HTTP/1.1 400 Bad Request\r\n\r\n").await,
                _ => {
                    let mut stream = acceptor.accept(stream).await.unwrap();
                    read_request(&mut stream, 3).await;
                    send(&mut stream, OK).await;
                }
            }
        }
    });
    let transport = Transport::new(&ca.network(), Duration::from_secs(20)).unwrap();
    failure_text(exchange(&transport, &endpoint, 3).await, TransportError::Connect);
    failure_text(exchange(&transport, &endpoint, 3).await, TransportError::Connect);
    assert_eq!(exchange(&transport, &endpoint, 3).await.unwrap().status, 200);
}

#[tokio::test]
async fn a_certificate_of_another_authority_is_its_own_failure_in_every_connection() {
    let (trusted, other) = (TestCa::new(), TestCa::new());
    let acceptors = [trusted.acceptor.clone(), other.acceptor.clone(), trusted.acceptor.clone()];
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let endpoint = serve_on(listener, "https", move |number, stream| {
        let acceptor = acceptors[number].clone();
        async move {
            let Ok(mut stream) = acceptor.accept(stream).await else { return };
            read_request(&mut stream, 3).await;
            let text = "HTTP/1.1 200 OK\r\nconnection: close\r\ncontent-length: 0\r\n\r\n";
            send(&mut stream, text).await;
        }
    });
    let transport = Transport::new(&trusted.network(), Duration::from_secs(20)).unwrap();
    assert_eq!(exchange(&transport, &endpoint, 3).await.unwrap().status, 200);
    let text = failure_text(
        exchange(&transport, &endpoint, 3).await,
        TransportError::UntrustedCertificate,
    );
    assert!(text.contains("not trusted"), "{text}");
    assert_eq!(exchange(&transport, &endpoint, 3).await.unwrap().status, 200);
}
