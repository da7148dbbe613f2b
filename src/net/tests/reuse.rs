//! The connections that are used again, and those that are not.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use tokio::net::TcpStream;
use tokio::sync::Notify;

use super::peer::{OK, exchange, post, read_request, send, serve};
use crate::auth::options::NetworkOptions;
use crate::net::{MAX_IDLE, Transport, TransportFailure, collect_small_body};
use proto::endpoint::Endpoint;
use proto::transport_error::TransportError;

fn transport() -> Transport {
    Transport::new(&NetworkOptions::default(), Duration::from_millis(400)).unwrap()
}

/// Responds with `text` to requests of 3 bytes, and counts the connections.
async fn responding(text: &'static str) -> (Endpoint, Arc<AtomicUsize>) {
    let connections = Arc::new(AtomicUsize::new(0));
    let counter = connections.clone();
    let endpoint = serve(move |_, mut stream: TcpStream| {
        counter.fetch_add(1, Ordering::SeqCst);
        async move {
            while read_request(&mut stream, 3).await {
                send(&mut stream, text).await;
            }
        }
    })
    .await;
    (endpoint, connections)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_sound_connection_is_used_again_every_time() {
    let (endpoint, connections) = responding(OK).await;
    let transport = transport();
    for _ in 0..200 {
        assert_eq!(exchange(&transport, &endpoint, 3).await.unwrap().status, 200);
    }
    assert_eq!(connections.load(Ordering::SeqCst), 1);
}

#[tokio::test]
async fn a_job_for_the_thread_of_a_connection_leaves_that_of_the_caller_free() {
    let (endpoint, connections) = responding(OK).await;
    let transport = transport();
    let connection = transport.connect(&endpoint).await.unwrap();
    let name = || std::thread::current().name().map(str::to_owned);
    assert_eq!(connection.run_on_its_thread(name).await.unwrap().as_deref(), Some("ocipipe-line"));
    let failed = connection.run_on_its_thread(|| panic!("planted")).await;
    assert!(matches!(failed, Err::<(), _>(TransportFailure::Local(_))));
    assert_eq!(connections.load(Ordering::SeqCst), 1);
}

#[tokio::test]
async fn a_connection_that_the_response_closes_is_not_used_again() {
    for text in [
        "HTTP/1.1 200 OK\r\nconnection: close\r\ncontent-length: 0\r\n\r\n",
        "HTTP/1.1 200 OK\r\nConnection: Keep, Close\r\ncontent-length: 0\r\n\r\n",
        "HTTP/1.0 200 OK\r\ncontent-length: 0\r\n\r\n",
    ] {
        let (endpoint, connections) = responding(text).await;
        let transport = transport();
        for count in 1..4 {
            assert_eq!(exchange(&transport, &endpoint, 3).await.unwrap().status, 200);
            assert_eq!(connections.load(Ordering::SeqCst), count, "{text}");
        }
    }
}

/// A server that responds once on each connection and then closes it.
async fn closing() -> Endpoint {
    serve(|_, mut stream| async move {
        read_request(&mut stream, 3).await;
        send(&mut stream, OK).await;
    })
    .await
}

#[tokio::test]
async fn a_connection_that_the_server_closed_while_it_was_idle_is_not_used_again() {
    let endpoint = closing().await;
    let transport = transport();
    for _ in 0..3 {
        assert_eq!(exchange(&transport, &endpoint, 3).await.unwrap().status, 200);
        let open =
            || transport.idle.lock().unwrap().iter().any(|idle| idle.connection.sender.is_ready());
        while open() {
            tokio::task::yield_now().await;
        }
    }
}

#[tokio::test]
async fn a_connection_that_was_idle_for_too_long_is_not_used_again() {
    let (endpoint, connections) = responding(OK).await;
    let transport = transport();
    for count in 1..4 {
        assert_eq!(exchange(&transport, &endpoint, 3).await.unwrap().status, 200);
        assert_eq!(connections.load(Ordering::SeqCst), count);
        for idle in transport.idle.lock().unwrap().iter_mut() {
            idle.since = idle.since.checked_sub(MAX_IDLE).unwrap();
        }
    }
}

#[tokio::test]
async fn a_request_that_was_never_begun_is_known_to_be_so() {
    let close = Arc::new(Notify::new());
    let close_rx = close.clone();
    let endpoint = serve(move |_, mut stream| {
        let close = close_rx.clone();
        async move {
            read_request(&mut stream, 3).await;
            send(&mut stream, OK).await;
            close.notified().await;
        }
    })
    .await;
    let transport = transport();
    exchange(&transport, &endpoint, 3).await.unwrap();
    let connection = transport.connect(&endpoint).await.unwrap();
    assert!(connection.reused);
    close.notify_one();
    while !connection.http1.sender.is_closed() {
        tokio::task::yield_now().await;
    }
    let failure =
        connection.exchange(post(3), collect_small_body(b"abc".to_vec())).await.unwrap_err();
    assert!(
        matches!(failure, TransportFailure::Connection { kind: TransportError::Connect, .. }),
        "{failure:?}"
    );
}

#[tokio::test]
async fn a_connection_that_stalled_or_broke_is_not_used_again() {
    for silent in [false, true] {
        let endpoint = serve(move |number, mut stream| async move {
            read_request(&mut stream, 3).await;
            match number {
                0 if silent => std::future::pending().await,
                0 => send(&mut stream, "HTTP/1.1 200 OK\r\ncontent-length: 9\r\n\r\nhalf").await,
                _ => send(&mut stream, OK).await,
            }
        })
        .await;
        let transport = transport();
        let failure = exchange(&transport, &endpoint, 3).await.unwrap_err();
        let expected = if silent { TransportError::Timeout } else { TransportError::ResponseLost };
        assert!(matches!(failure, TransportFailure::Connection { kind, .. } if kind == expected));
        assert!(transport.idle.lock().unwrap().is_empty());
        assert_eq!(exchange(&transport, &endpoint, 3).await.unwrap().status, 200);
    }
}
