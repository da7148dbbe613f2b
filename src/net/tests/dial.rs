//! Connecting: names, addresses and handshakes that fail, and what becomes of the next attempt.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use tokio::net::{TcpListener, TcpSocket, TcpStream};

use super::peer::{Authority, OK, ask, request, say, serve, serve_on};
use crate::auth::options::NetworkOptions;
use crate::net::Transport;
use crate::net::connect::{Connector, Resolver};
use proto::endpoint::Endpoint;
use proto::retry::{Failure, TransportError};

#[track_caller]
fn breaks(result: Result<proto::api::Response, Failure>, expected: TransportError) -> String {
    match result.unwrap_err() {
        Failure::Transport { kind: how, text } if how == expected => text,
        failure => panic!("{failure:?}"),
    }
}

fn transport() -> Transport {
    Transport::new(&NetworkOptions::default(), Duration::from_secs(5)).unwrap()
}

/// A transport that looks names up in this way.
fn looking_up(lookup: Resolver) -> Transport {
    let mut transport = transport();
    let dialer = Connector::new(&NetworkOptions::default(), Duration::from_secs(5)).unwrap();
    transport.connector = Arc::new(dialer.with_resolver(lookup));
    transport
}

async fn answering() -> Endpoint {
    serve(|_, mut stream| async move {
        while request(&mut stream, 3).await {
            say(&mut stream, OK).await;
        }
    })
    .await
}

/// An endpoint by a name, at the port of another.
fn named(endpoint: &Endpoint) -> Endpoint {
    Endpoint::parse("--endpoint", &format!("http://localhost:{}", endpoint.port)).unwrap()
}

#[tokio::test]
async fn a_port_without_a_listener_is_no_connection() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    drop(listener);
    let endpoint = Endpoint::parse("--endpoint", &format!("http://127.0.0.1:{port}")).unwrap();
    let text = breaks(ask(&transport(), &endpoint, 3).await, TransportError::Connect);
    assert!(text.contains("refused"), "{text}");
}

#[tokio::test]
async fn a_name_is_looked_up_for_every_connection_and_may_come_back() {
    let endpoint = answering().await;
    let address = SocketAddr::from(([127, 0, 0, 1], endpoint.port));
    let asked = Arc::new(AtomicUsize::new(0));
    let counter = asked.clone();
    let transport = looking_up(Arc::new(move |host, port| {
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
    let endpoint = named(&endpoint);
    let text = breaks(ask(&transport, &endpoint, 3).await, TransportError::Connect);
    assert!(text.contains("cannot be resolved"), "{text}");
    let text = breaks(ask(&transport, &endpoint, 3).await, TransportError::Connect);
    assert!(text.contains("no address"), "{text}");
    assert_eq!(ask(&transport, &endpoint, 3).await.unwrap().status, 200);
    transport.idle.lock().unwrap().clear();
    assert_eq!(ask(&transport, &endpoint, 3).await.unwrap().status, 200);
    assert_eq!(asked.load(Ordering::SeqCst), 4);
}

/// An address at which nobody answers, not even with a refusal; good as long as what comes with it.
async fn silent() -> (SocketAddr, impl Sized) {
    let socket = TcpSocket::new_v4().unwrap();
    socket.bind("127.0.0.1:0".parse().unwrap()).unwrap();
    let listener = socket.listen(1).unwrap();
    let address = listener.local_addr().unwrap();
    let mut waiting = Vec::new();
    let moment = Duration::from_millis(200);
    while let Ok(stream) = tokio::time::timeout(moment, TcpStream::connect(address)).await {
        waiting.push(stream.unwrap());
    }
    (address, (listener, waiting))
}

#[tokio::test]
async fn a_dead_address_costs_a_moment_where_the_name_has_another() {
    let endpoint = answering().await;
    let (dead, _held) = silent().await;
    let closed = SocketAddr::from(([127, 0, 0, 1], 1));
    let good = SocketAddr::from(([127, 0, 0, 1], endpoint.port));
    let addresses = vec![dead, closed, good];
    let transport = looking_up(Arc::new(move |_, _| {
        let addresses = addresses.clone();
        Box::pin(async move { Ok(addresses) })
    }));
    let began = Instant::now();
    assert_eq!(ask(&transport, &named(&endpoint), 3).await.unwrap().status, 200);
    assert!(began.elapsed() < Duration::from_secs(3), "{:?}", began.elapsed());
}

#[tokio::test]
async fn a_handshake_that_fails_is_no_connection_and_the_next_one_may_succeed() {
    let authority = Authority::new();
    let acceptor = authority.acceptor.clone();
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let endpoint = serve_on(listener, "https", move |number, mut stream| {
        let acceptor = acceptor.clone();
        async move {
            match number {
                0 => stream.set_zero_linger().unwrap(),
                1 => say(&mut stream, "HTTP/1.1 400 Bad Request\r\n\r\n").await,
                _ => {
                    let mut stream = acceptor.accept(stream).await.unwrap();
                    request(&mut stream, 3).await;
                    say(&mut stream, OK).await;
                }
            }
        }
    });
    let transport = Transport::new(&authority.network(), Duration::from_secs(20)).unwrap();
    breaks(ask(&transport, &endpoint, 3).await, TransportError::Connect);
    breaks(ask(&transport, &endpoint, 3).await, TransportError::Connect);
    assert_eq!(ask(&transport, &endpoint, 3).await.unwrap().status, 200);
}

#[tokio::test]
async fn a_certificate_of_another_authority_is_told_from_other_failures_in_every_connection() {
    let (ours, other) = (Authority::new(), Authority::new());
    let acceptors = [ours.acceptor.clone(), other.acceptor.clone(), ours.acceptor.clone()];
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let endpoint = serve_on(listener, "https", move |number, stream| {
        let acceptor = acceptors[number].clone();
        async move {
            let Ok(mut stream) = acceptor.accept(stream).await else { return };
            request(&mut stream, 3).await;
            let text = "HTTP/1.1 200 OK\r\nconnection: close\r\ncontent-length: 0\r\n\r\n";
            say(&mut stream, text).await;
        }
    });
    let transport = Transport::new(&ours.network(), Duration::from_secs(20)).unwrap();
    assert_eq!(ask(&transport, &endpoint, 3).await.unwrap().status, 200);
    let text = breaks(ask(&transport, &endpoint, 3).await, TransportError::UntrustedCertificate);
    assert!(text.contains("not trusted"), "{text}");
    assert_eq!(ask(&transport, &endpoint, 3).await.unwrap().status, 200);
}
