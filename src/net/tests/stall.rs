//! What is a stall, and what only looks like one.

use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use tokio::io::AsyncReadExt;
use tokio::net::{TcpListener, TcpSocket};
use tokio::sync::oneshot;

use super::peer::{OK, ask, ask_throttled, head, request, say, serve, serve_on};
use crate::auth::options::NetworkOptions;
use crate::net::{Throttle, Transport};
use proto::retry::{Failure, TransportError};

const TIMEOUT: Duration = Duration::from_millis(400);
/// All of it fits into the kernel's buffer of the sending side.
const BODY: usize = 1 << 20;

/// A listener whose connections hold little that was not read.
fn narrow() -> TcpListener {
    let socket = TcpSocket::new_v4().unwrap();
    socket.set_recv_buffer_size(32 << 10).unwrap();
    socket.bind("127.0.0.1:0".parse().unwrap()).unwrap();
    socket.listen(16).unwrap()
}

#[tokio::test]
async fn what_the_kernel_sends_after_us_moves_too() {
    let endpoint = serve_on(narrow(), "http", |_, mut stream| async move {
        let mut read = head(&mut stream).await.unwrap().len();
        let mut piece = vec![0; 16 << 10];
        while read < BODY {
            tokio::time::sleep(Duration::from_millis(30)).await;
            read += stream.read(&mut piece).await.unwrap();
        }
        say(&mut stream, OK).await;
    });
    let transport = Transport::new(&NetworkOptions::default(), TIMEOUT).unwrap();
    let began = Instant::now();
    let answer = ask(&transport, &endpoint, BODY).await;
    let took = began.elapsed();
    assert_eq!(answer.unwrap().status, 200, "after {took:?}");
    assert!(took > 3 * TIMEOUT, "it took {took:?}, so nothing was proved");
}

#[tokio::test]
async fn a_server_that_stops_reading_is_a_stall_when_the_timeout_is_over() {
    for reads in [0, 200 << 10] {
        let endpoint = serve_on(narrow(), "http", move |_, mut stream| async move {
            head(&mut stream).await;
            stream.read_exact(&mut vec![0; reads]).await.unwrap();
            std::future::pending().await
        });
        let transport = Transport::new(&NetworkOptions::default(), TIMEOUT).unwrap();
        let began = Instant::now();
        let failure = ask(&transport, &endpoint, 4 * BODY).await.unwrap_err();
        let took = began.elapsed();
        assert!(
            matches!(failure, Failure::Transport { kind: TransportError::Timeout, .. }),
            "{failure:?}"
        );
        assert!((TIMEOUT..4 * TIMEOUT).contains(&took), "{took:?}");
    }
}

#[tokio::test]
async fn an_answer_that_does_not_come_is_a_stall_when_the_timeout_is_over() {
    let endpoint = serve(|_, mut stream| async move {
        request(&mut stream, BODY).await;
        std::future::pending().await
    })
    .await;
    let transport = Transport::new(&NetworkOptions::default(), TIMEOUT).unwrap();
    let began = Instant::now();
    let failure = ask(&transport, &endpoint, BODY).await.unwrap_err();
    let took = began.elapsed();
    assert!(
        matches!(failure, Failure::Transport { kind: TransportError::Timeout, .. }),
        "{failure:?}"
    );
    assert!((TIMEOUT..4 * TIMEOUT).contains(&took), "{took:?}");
}

#[tokio::test]
async fn a_body_that_waits_for_its_share_of_the_bandwidth_is_no_stall() {
    const SHARE: usize = 5_000;
    let serving = |_, mut stream| async move {
        request(&mut stream, SHARE).await;
        say(&mut stream, OK).await;
    };
    let endpoint = Arc::new(serve(serving).await);
    let transport = Arc::new(Transport::new(&NetworkOptions::default(), TIMEOUT).unwrap());
    let throttle = Arc::new(Throttle::new(20_000));
    let began = Instant::now();
    let all = (0..8).map(|_| {
        let (transport, endpoint) = (transport.clone(), endpoint.clone());
        let throttle = Some(throttle.clone());
        tokio::spawn(async move { ask_throttled(&transport, &endpoint, SHARE, throttle).await })
    });
    for one in all.collect::<Vec<_>>() {
        assert_eq!(one.await.unwrap().unwrap().status, 200);
    }
    let took = began.elapsed();
    assert!(took > 3 * TIMEOUT, "it took {took:?}, so nothing was proved");
}

#[tokio::test]
async fn what_was_given_up_is_not_sent_any_more() {
    let (told, begun) = oneshot::channel();
    let (go, wait) = oneshot::channel::<()>();
    let (tell, ended) = oneshot::channel();
    let channels = Mutex::new(Some((told, wait, tell)));
    let endpoint = serve_on(narrow(), "http", move |_, mut stream| {
        let (told, wait, tell) = channels.lock().unwrap().take().unwrap();
        async move {
            head(&mut stream).await;
            told.send(()).unwrap();
            let _ = wait.await;
            let mut rest = Vec::new();
            tell.send((stream.read_to_end(&mut rest).await.is_err(), rest.len())).unwrap();
        }
    });
    let transport = Transport::new(&NetworkOptions::default(), Duration::from_secs(20)).unwrap();
    tokio::select! {
        answer = ask(&transport, &endpoint, BODY) => panic!("{answer:?}"),
        begun = begun => begun.unwrap(),
    }
    // The connection is closed by its own thread, which is gone with the transport.
    drop(transport);
    go.send(()).unwrap();
    let (reset, read) = ended.await.unwrap();
    assert!(reset && read < BODY / 2, "{read} bytes came, reset: {reset}");
}
