//! Exchanges that stall, and exchanges that are only slow.

use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use tokio::io::AsyncReadExt;
use tokio::net::{TcpListener, TcpSocket};
use tokio::sync::oneshot;

use super::peer::{
    OK, exchange, exchange_throttled, read_head, read_request, send, serve, serve_on,
};
use crate::auth::options::NetworkOptions;
use crate::net::{Throttle, Transport, TransportFailure};
use proto::transport_error::TransportError;

const TIMEOUT: Duration = Duration::from_millis(400);
/// Bytes of a body that fits into the kernel's send buffer.
const BODY: usize = 1 << 20;

/// A listener whose connections have a receive buffer of 32 KiB.
pub(super) fn narrow() -> TcpListener {
    let socket = TcpSocket::new_v4().unwrap();
    socket.set_recv_buffer_size(32 << 10).unwrap();
    socket.bind("127.0.0.1:0".parse().unwrap()).unwrap();
    socket.listen(16).unwrap()
}

#[tokio::test]
async fn bytes_that_the_kernel_sends_later_are_progress() {
    let endpoint = serve_on(narrow(), "http", |_, mut stream| async move {
        let mut read = read_head(&mut stream).await.unwrap().len();
        let mut piece = vec![0; 16 << 10];
        while read < BODY {
            tokio::time::sleep(Duration::from_millis(30)).await;
            read += stream.read(&mut piece).await.unwrap();
        }
        send(&mut stream, OK).await;
    });
    let transport = Transport::new(&NetworkOptions::default(), TIMEOUT).unwrap();
    let began = Instant::now();
    let response = exchange(&transport, &endpoint, BODY).await;
    let took = began.elapsed();
    assert_eq!(response.unwrap().status, 200, "after {took:?}");
    assert!(took > 3 * TIMEOUT, "it took {took:?}, so nothing was proved");
}

#[tokio::test]
async fn a_server_that_stops_reading_is_a_stall_when_the_timeout_is_over() {
    for reads in [0, 200 << 10] {
        let endpoint = serve_on(narrow(), "http", move |_, mut stream| async move {
            read_head(&mut stream).await;
            stream.read_exact(&mut vec![0; reads]).await.unwrap();
            std::future::pending().await
        });
        let transport = Transport::new(&NetworkOptions::default(), TIMEOUT).unwrap();
        let began = Instant::now();
        let failure = exchange(&transport, &endpoint, 4 * BODY).await.unwrap_err();
        let took = began.elapsed();
        assert!(
            matches!(failure, TransportFailure::Connection { kind: TransportError::Timeout, .. }),
            "{failure:?}"
        );
        assert!((TIMEOUT..4 * TIMEOUT).contains(&took), "{took:?}");
    }
}

#[tokio::test]
async fn a_response_that_does_not_come_is_a_stall_when_the_timeout_is_over() {
    let endpoint = serve(|_, mut stream| async move {
        read_request(&mut stream, BODY).await;
        std::future::pending().await
    })
    .await;
    let transport = Transport::new(&NetworkOptions::default(), TIMEOUT).unwrap();
    let began = Instant::now();
    let failure = exchange(&transport, &endpoint, BODY).await.unwrap_err();
    let took = began.elapsed();
    assert!(
        matches!(failure, TransportFailure::Connection { kind: TransportError::Timeout, .. }),
        "{failure:?}"
    );
    assert!((TIMEOUT..4 * TIMEOUT).contains(&took), "{took:?}");
}

#[tokio::test]
async fn a_body_that_waits_for_its_share_of_the_bandwidth_is_no_stall() {
    const SHARE: usize = 5_000;
    let serving = |_, mut stream| async move {
        read_request(&mut stream, SHARE).await;
        send(&mut stream, OK).await;
    };
    let endpoint = Arc::new(serve(serving).await);
    let transport = Arc::new(Transport::new(&NetworkOptions::default(), TIMEOUT).unwrap());
    let throttle = Arc::new(Throttle::new(20_000));
    let began = Instant::now();
    let all = (0..8).map(|_| {
        let (transport, endpoint) = (transport.clone(), endpoint.clone());
        let throttle = Some(throttle.clone());
        tokio::spawn(
            async move { exchange_throttled(&transport, &endpoint, SHARE, throttle).await },
        )
    });
    for one in all.collect::<Vec<_>>() {
        assert_eq!(one.await.unwrap().unwrap().status, 200);
    }
    let took = began.elapsed();
    assert!(took > 3 * TIMEOUT, "it took {took:?}, so nothing was proved");
}

#[tokio::test]
async fn an_abandoned_body_is_not_sent_any_more() {
    let (begun_tx, begun_rx) = oneshot::channel();
    let (go_tx, go_rx) = oneshot::channel::<()>();
    let (end_tx, end_rx) = oneshot::channel();
    let channels = Mutex::new(Some((begun_tx, go_rx, end_tx)));
    let endpoint = serve_on(narrow(), "http", move |_, mut stream| {
        let (begun_tx, go_rx, end_tx) = channels.lock().unwrap().take().unwrap();
        async move {
            read_head(&mut stream).await;
            begun_tx.send(()).unwrap();
            let _ = go_rx.await;
            let mut rest = Vec::new();
            end_tx.send((stream.read_to_end(&mut rest).await.is_err(), rest.len())).unwrap();
        }
    });
    let transport = Transport::new(&NetworkOptions::default(), Duration::from_secs(20)).unwrap();
    tokio::select! {
        response = exchange(&transport, &endpoint, BODY) => panic!("{response:?}"),
        begun = begun_rx => begun.unwrap(),
    }
    // The thread of the connection closes it, and ends with the transport.
    drop(transport);
    go_tx.send(()).unwrap();
    let (reset, read) = end_rx.await.unwrap();
    assert!(reset && read < BODY / 2, "{read} bytes came, reset: {reset}");
}
