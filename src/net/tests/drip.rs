//! Peers that send a little at a time, or without an end.

use std::time::{Duration, Instant};

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::task::JoinSet;

use super::peer::{OK, exchange, read_head, read_request, send, serve, serve_on};
use super::stall::narrow;
use crate::auth::options::{NetworkOptions, Setting};
use crate::net::{BodySink, BodyUse, RequestHead, Transport, TransportFailure};
use proto::api::Response;
use proto::endpoint::Endpoint;
use proto::transport_error::TransportError;

const TIMEOUT: Duration = Duration::from_millis(400);
/// Between two pieces: none of them is late for the watchdog.
const PAUSE: Duration = Duration::from_millis(100);
/// A machine is rarely so busy that a timeout takes longer; a drip has no end.
pub(super) const LONG: Duration = Duration::from_secs(60);

fn transport() -> Transport {
    Transport::new(&NetworkOptions::default(), TIMEOUT).unwrap()
}

fn kind<T: std::fmt::Debug>(result: Result<T, TransportFailure>) -> TransportError {
    match result {
        Err(TransportFailure::Connection { kind, .. }) => kind,
        other => panic!("{other:?}"),
    }
}

/// Sends `first`, and then `piece` after each pause until the client closes the connection.
async fn drip(mut stream: TcpStream, first: &str, piece: &[u8]) {
    send(&mut stream, first).await;
    loop {
        tokio::time::sleep(PAUSE).await;
        if stream.write_all(piece).await.is_err() {
            return;
        }
    }
}

/// A server that drips the answer to each request.
async fn dripping(first: &'static str, piece: &'static [u8]) -> Endpoint {
    serve(move |_, mut stream| async move {
        read_request(&mut stream, 0).await;
        drip(stream, first, piece).await;
    })
    .await
}

#[tokio::test]
async fn an_answer_that_drips_is_a_timeout_after_five_stall_timeouts() {
    let mut all = JoinSet::new();
    for (first, piece) in [
        ("HTTP/1.1 200 OK\r\nx: ", &b"y"[..]),
        ("", &b"HTTP/1.1 102 Processing\r\n\r\n"[..]),
        ("HTTP/1.1 200 OK\r\ncontent-length: 9000\r\n\r\n", &b"y"[..]),
        ("HTTP/1.1 503 Oops\r\ncontent-length: 9000\r\n\r\n", &b"y"[..]),
        ("HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n", &b"1\r\ny\r\n"[..]),
        ("HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n1;", &b"y"[..]),
        ("HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n0\r\nx: ", &b"y"[..]),
    ] {
        all.spawn(async move {
            let endpoint = dripping(first, piece).await;
            let began = Instant::now();
            let result = tokio::time::timeout(LONG, exchange(&transport(), &endpoint, 0)).await;
            let result = result.unwrap_or_else(|_| panic!("{first:?} is not ended"));
            assert_eq!(kind(result), TransportError::Timeout, "{first:?}");
            let took = began.elapsed();
            assert!(took >= 3 * TIMEOUT, "{first:?}: {took:?}");
        });
    }
    all.join_all().await;
}

#[tokio::test]
async fn what_a_server_sends_while_it_reads_nothing_is_no_progress() {
    let endpoint = serve_on(narrow(), "http", |_, mut stream| async move {
        read_head(&mut stream).await;
        drip(stream, "", b"HTTP/1.1 100 Continue\r\n\r\n").await;
    });
    let transport = transport();
    let result = tokio::time::timeout(LONG, exchange(&transport, &endpoint, 16 << 20)).await;
    assert_eq!(kind(result.unwrap()), TransportError::Timeout);
}

#[tokio::test]
async fn a_request_that_a_slow_line_holds_is_no_slow_answer() {
    const BODY: usize = 1 << 20;
    let endpoint = serve_on(narrow(), "http", |_, mut stream| async move {
        let mut read = read_head(&mut stream).await.unwrap().len();
        let mut piece = vec![0; 16 << 10];
        while read < BODY {
            tokio::time::sleep(PAUSE / 2).await;
            read += stream.read(&mut piece).await.unwrap();
        }
        send(&mut stream, OK).await;
    });
    let began = Instant::now();
    assert_eq!(exchange(&transport(), &endpoint, BODY).await.unwrap().status, 200);
    let took = began.elapsed();
    assert!(took > 6 * TIMEOUT, "it took {took:?}, so nothing was proved");
}

#[tokio::test]
async fn heads_chunks_and_trailers_without_an_end_are_refused() {
    for (first, piece) in [
        ("HTTP/1.1 200 OK\r\n", "x: 0123456789\r\n"),
        ("HTTP/1.1 200 OK\r\nx: ", "0123456789abcdef"),
        ("HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n1;", "0123456789abcdef"),
        ("HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n0\r\n", "x: 0123456789\r\n"),
    ] {
        let endpoint = serve(move |_, mut stream| async move {
            read_request(&mut stream, 0).await;
            send(&mut stream, first).await;
            let flood = piece.repeat(4096);
            while stream.write_all(flood.as_bytes()).await.is_ok() {}
        })
        .await;
        // A flood is refused by its size; the time is that of a busy machine.
        let transport = Transport::new(&NetworkOptions::default(), 100 * TIMEOUT).unwrap();
        let result = exchange(&transport, &endpoint, 0).await;
        let refused = [TransportError::InvalidResponse, TransportError::ResponseLost];
        let kind = kind(result);
        assert!(refused.contains(&kind), "{first:?}: {kind:?}");
    }
}

/// A response with a body of this many bytes.
async fn long_answer(status: &'static str, length: usize) -> Endpoint {
    serve(move |_, mut stream| async move {
        read_request(&mut stream, 0).await;
        send(&mut stream, &format!("HTTP/1.1 {status}\r\ncontent-length: {length}\r\n\r\n")).await;
        let _ = stream.write_all(&vec![b'y'; length]).await;
        std::future::pending().await
    })
    .await
}

#[tokio::test]
async fn of_an_answer_no_more_is_kept_than_the_request_can_have() {
    let transport = Transport::new(&NetworkOptions::default(), 100 * TIMEOUT).unwrap();
    let of = |status, length| async move { long_answer(status, length).await };
    let error = exchange(&transport, &of("500 Oops", 1 << 20).await, 0).await.unwrap();
    assert_eq!((error.status, error.body.len()), (500, 64 << 10));
    let short = exchange(&transport, &of("500 Oops", 100).await, 0).await.unwrap();
    assert_eq!(short.body.len(), 100);
    let token = exchange(&transport, &of("200 OK", 256 << 10).await, 0).await.unwrap();
    assert_eq!(token.body.len(), 256 << 10);
    let result = exchange(&transport, &of("200 OK", (256 << 10) + 1).await, 0).await;
    assert_eq!(kind(result), TransportError::InvalidResponse);
}

/// Takes one byte after another.
struct Object(Vec<u8>);

impl BodySink for Object {
    fn accept(&mut self, _: &Response) -> BodyUse {
        BodyUse::Accepted
    }

    fn space(&mut self) -> &mut [u8] {
        self.0.push(0);
        self.0.last_mut().map(std::slice::from_mut).unwrap_or_default()
    }

    fn filled(&mut self, _: usize) {}
}

#[tokio::test]
async fn the_body_of_an_object_may_take_any_time() {
    let endpoint = serve(|_, mut stream| async move {
        read_request(&mut stream, 0).await;
        send(&mut stream, "HTTP/1.1 200 OK\r\ncontent-length: 30\r\n\r\n").await;
        for _ in 0..30 {
            tokio::time::sleep(PAUSE).await;
            send(&mut stream, "y").await;
        }
        std::future::pending().await
    })
    .await;
    let transport = transport();
    let connection = transport.connect(&endpoint).await.unwrap();
    let headers = vec![("host".to_owned(), "test".to_owned())];
    let head = RequestHead { method: "GET", target: "/".to_owned().into(), headers };
    let began = Instant::now();
    let (sink, result) = connection.exchange_into(head, Object(Vec::new()), None).await;
    assert_eq!((result.unwrap().status, sink.unwrap().0.len()), (200, 30));
    assert!(began.elapsed() > 6 * TIMEOUT, "nothing was proved");
}

#[tokio::test]
async fn a_handshake_or_a_tunnel_that_drips_is_a_failure_to_connect() {
    // A record of TLS that is announced with 16 KiB, and the answer to CONNECT.
    let record: &[u8] = &[22, 3, 3, 0x40, 0];
    for (first, proxied) in [(record, false), (&b"HTTP/1.1 200 OK\r\nx: "[..], true)] {
        let endpoint = serve_on(
            tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap(),
            "https",
            move |_, mut stream| async move {
                stream.write_all(first).await.unwrap();
                drip(stream, "", b"y").await;
            },
        );
        let proxy = proxied.then(|| format!("http://{}", endpoint.authority));
        let network = NetworkOptions {
            connect_timeout: Some(TIMEOUT),
            proxy: proxy.map(|url| Setting::new(url, "--proxy")),
            ..NetworkOptions::default()
        };
        let transport = Transport::new(&network, Duration::from_secs(60)).unwrap();
        let service = Endpoint::parse("--endpoint", "https://service.invalid").unwrap();
        let target = if proxied { &service } else { &endpoint };
        let result = tokio::time::timeout(LONG, transport.connect(target)).await;
        assert_eq!(kind(result.unwrap().map(|_| ())), TransportError::Connect);
    }
}
