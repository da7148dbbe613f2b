//! Bodies that go into the memory of a sink, with and without TLS.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};

use super::peer::{Boxed, OK, exchange, read_request, send, serve, serve_both};
use crate::auth::options::NetworkOptions;
use crate::net::{BodySink, BodyUse, RequestHead, Transport, TransportFailure};
use proto::api::Response;
use proto::endpoint::Endpoint;
use proto::transport_error::TransportError;

/// Takes up to `limit` bytes of each successful response, in pieces of at most 40,000.
struct Memory {
    bytes: Vec<u8>,
    filled: usize,
    limit: usize,
}

impl BodySink for Memory {
    fn accept(&mut self, head: &Response) -> BodyUse {
        if head.status == 200 { BodyUse::Accepted } else { BodyUse::Collected { limit: 100 } }
    }

    fn space(&mut self) -> &mut [u8] {
        let end = self.limit.min(self.filled + 40_000);
        &mut self.bytes[self.filled..end]
    }

    fn filled(&mut self, length: usize) {
        self.filled += length;
    }
}

/// The bytes of the sink after one exchange, and how it ended.
async fn read(
    transport: &Transport,
    endpoint: &Endpoint,
    limit: usize,
) -> (Vec<u8>, Result<Response, TransportFailure>) {
    let connection = transport.connect(endpoint).await.unwrap();
    let headers = vec![("host".to_owned(), "test".to_owned())];
    let head = RequestHead { method: "GET", target: "/".to_owned().into(), headers };
    let sink = Memory { bytes: vec![0; limit], filled: 0, limit };
    let (sink, result) = connection.exchange_into(head, sink, None).await;
    let sink = sink.unwrap();
    (sink.bytes[..sink.filled].to_vec(), result)
}

fn kind(result: Result<Response, TransportFailure>) -> TransportError {
    match result {
        Err(TransportFailure::Connection { kind, .. }) => kind,
        other => panic!("{other:?}"),
    }
}

fn pattern(length: usize) -> Vec<u8> {
    (0..length).map(|i| (i / 251 + i) as u8).collect()
}

/// Responds to each request with `response`, in pieces of `piece` bytes, and counts connections.
async fn serving(
    tls: bool,
    response: Vec<u8>,
    piece: usize,
) -> (Endpoint, Transport, Arc<AtomicUsize>) {
    let connections = Arc::new(AtomicUsize::new(0));
    let (counter, response) = (connections.clone(), Arc::new(response));
    let (endpoint, transport) = serve_both(tls, move |_, mut stream: Boxed| {
        counter.fetch_add(1, Ordering::SeqCst);
        let response = response.clone();
        async move {
            while read_request(&mut stream, 0).await {
                for bytes in response.chunks(piece) {
                    if stream.write_all(bytes).await.is_err() || stream.flush().await.is_err() {
                        return;
                    }
                    tokio::task::yield_now().await;
                }
            }
        }
    })
    .await;
    (endpoint, transport, connections)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_body_arrives_whole_however_it_is_cut_and_its_connection_is_used_again() {
    for tls in [false, true] {
        for (length, piece) in [(1, 1), (300, 7), (70_000, 4099), (3_000_000, usize::MAX)] {
            let body = pattern(length);
            let head = format!("HTTP/1.1 200 OK\r\ncontent-length: {length}\r\n\r\n");
            let response = [head.as_bytes(), &body].concat();
            let (endpoint, transport, connections) = serving(tls, response, piece).await;
            for _ in 0..3 {
                let (bytes, result) = read(&transport, &endpoint, length).await;
                assert_eq!(result.unwrap().status, 200);
                assert!(bytes == body, "{length} bytes in pieces of {piece}, TLS: {tls}");
            }
            assert_eq!(connections.load(Ordering::SeqCst), 1);
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_body_in_chunks_and_one_that_ends_with_its_connection_arrive_through_hyper() {
    let body = pattern(100_000);
    let mut chunked = b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n".to_vec();
    for chunk in body.chunks(9000) {
        chunked.extend_from_slice(format!("{:x}\r\n", chunk.len()).as_bytes());
        chunked.extend_from_slice(chunk);
        chunked.extend_from_slice(b"\r\n");
    }
    chunked.extend_from_slice(b"0\r\n\r\n");
    for tls in [false, true] {
        let (endpoint, transport, connections) = serving(tls, chunked.clone(), 5000).await;
        for _ in 0..2 {
            let (bytes, result) = read(&transport, &endpoint, body.len()).await;
            result.unwrap();
            assert!(bytes == body);
        }
        assert_eq!(connections.load(Ordering::SeqCst), 1);
        let sent = body.clone();
        let (endpoint, transport) = serve_both(tls, move |_, mut stream: Boxed| {
            let sent = sent.clone();
            async move {
                read_request(&mut stream, 0).await;
                send(&mut stream, "HTTP/1.1 200 OK\r\nconnection: close\r\n\r\n").await;
                stream.write_all(&sent).await.unwrap();
                stream.shutdown().await.unwrap();
            }
        })
        .await;
        let (bytes, result) = read(&transport, &endpoint, body.len()).await;
        result.unwrap();
        assert!(bytes == body);
    }
}

#[tokio::test]
async fn a_connection_whose_body_was_not_the_end_is_not_used_again() {
    for head in [
        "HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nokHTTP/1.1 200 OK\r\ncontent-le",
        "HTTP/1.1 200 OK\r\nconnection: close\r\ncontent-length: 2\r\n\r\nok",
        "HTTP/1.1 200 OK\r\nconnection: keep-alive, close\r\ncontent-length: 2\r\n\r\nok",
        "HTTP/1.0 200 OK\r\ncontent-length: 2\r\n\r\nok",
    ] {
        let (endpoint, transport, connections) =
            serving(false, head.as_bytes().to_vec(), usize::MAX).await;
        for count in 1..4 {
            let (bytes, result) = read(&transport, &endpoint, 2).await;
            result.unwrap();
            assert_eq!((bytes.as_slice(), connections.load(Ordering::SeqCst)), (&b"ok"[..], count));
        }
    }
    let kept = "HTTP/1.1 200 OK\r\nConnection: Keep-Alive\r\ncontent-length: 2\r\n\r\nok";
    let (endpoint, transport, connections) = serving(false, kept.as_bytes().to_vec(), 9).await;
    for _ in 0..3 {
        read(&transport, &endpoint, 2).await.1.unwrap();
    }
    assert_eq!(connections.load(Ordering::SeqCst), 1);
}

#[tokio::test]
async fn a_body_longer_than_the_sink_is_invalid_and_fills_it() {
    for (length, piece) in [(50, usize::MAX), (100_000, usize::MAX), (100_000, 3000)] {
        let body = pattern(length);
        let head = format!("HTTP/1.1 200 OK\r\ncontent-length: {length}\r\n\r\n");
        let response = [head.as_bytes(), &body].concat();
        let (endpoint, transport, _) = serving(true, response, piece).await;
        let (bytes, result) = read(&transport, &endpoint, length - 1).await;
        assert_eq!(kind(result), TransportError::InvalidResponse);
        assert!(bytes == body[..length - 1]);
        assert!(transport.idle.lock().unwrap().is_empty());
    }
}

#[tokio::test]
async fn a_body_that_ends_early_leaves_its_bytes_in_the_sink_and_is_lost() {
    let sent = pattern(60_000);
    for (tls, polite) in [(false, true), (true, false), (true, true)] {
        let bytes = sent.clone();
        let (endpoint, transport) = serve_both(tls, move |_, mut stream: Boxed| {
            let bytes = bytes.clone();
            async move {
                read_request(&mut stream, 0).await;
                send(&mut stream, "HTTP/1.1 200 OK\r\ncontent-length: 60001\r\n\r\n").await;
                stream.write_all(&bytes).await.unwrap();
                stream.flush().await.unwrap();
                if polite {
                    stream.shutdown().await.unwrap();
                    stream.read_to_end(&mut Vec::new()).await.ok();
                }
            }
        })
        .await;
        let (bytes, result) = read(&transport, &endpoint, 60_001).await;
        assert_eq!(kind(result), TransportError::ResponseLost, "TLS: {tls}, polite: {polite}");
        assert!(bytes == sent);
        assert!(transport.idle.lock().unwrap().is_empty());
    }
}

#[tokio::test]
async fn a_body_that_ends_with_its_connection_is_lost_where_the_session_was_not_ended() {
    let sent = pattern(60_000);
    for polite in [false, true] {
        let bytes = sent.clone();
        let (endpoint, transport) = serve_both(true, move |_, mut stream: Boxed| {
            let bytes = bytes.clone();
            async move {
                read_request(&mut stream, 0).await;
                send(&mut stream, "HTTP/1.1 200 OK\r\n\r\n").await;
                stream.write_all(&bytes).await.unwrap();
                stream.flush().await.unwrap();
                if polite {
                    stream.shutdown().await.unwrap();
                }
            }
        })
        .await;
        let (bytes, result) = read(&transport, &endpoint, 60_001).await;
        assert!(bytes == sent);
        let collected = exchange(&transport, &endpoint, 0).await;
        match polite {
            true => assert!(result.is_ok() && collected.unwrap().body == sent),
            false => {
                assert_eq!(kind(result), TransportError::ResponseLost);
                assert_eq!(kind(collected), TransportError::ResponseLost);
            }
        }
    }
}

#[tokio::test]
async fn a_body_that_stops_is_a_stall_and_its_bytes_are_kept() {
    let endpoint = serve(|number, mut stream| async move {
        read_request(&mut stream, 0).await;
        match number {
            0 => send(&mut stream, "HTTP/1.1 200 OK\r\ncontent-length: 9\r\n\r\nhalf").await,
            _ => send(&mut stream, OK).await,
        }
        std::future::pending().await
    })
    .await;
    let timeout = Duration::from_millis(400);
    let transport = Transport::new(&NetworkOptions::default(), timeout).unwrap();
    let (bytes, result) = read(&transport, &endpoint, 9).await;
    assert_eq!(kind(result), TransportError::Timeout);
    assert_eq!(bytes, b"half");
    assert_eq!(read(&transport, &endpoint, 2).await.0, b"ok");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_body_that_is_given_up_closes_its_connection() {
    let (closed_tx, closed_rx) = tokio::sync::oneshot::channel();
    let (begun_tx, begun_rx) = tokio::sync::oneshot::channel();
    let channels = std::sync::Mutex::new(Some((begun_tx, closed_tx)));
    let (endpoint, transport) = serve_both(true, move |_, mut stream: Boxed| {
        let (begun_tx, closed_tx) = channels.lock().unwrap().take().unwrap();
        async move {
            read_request(&mut stream, 0).await;
            send(&mut stream, "HTTP/1.1 200 OK\r\ncontent-length: 99\r\n\r\nhalf").await;
            begun_tx.send(()).unwrap();
            let _ = stream.read_to_end(&mut Vec::new()).await;
            closed_tx.send(()).unwrap();
        }
    })
    .await;
    tokio::select! {
        (_, result) = read(&transport, &endpoint, 99) => panic!("{result:?}"),
        begun = begun_rx => begun.unwrap(),
    }
    closed_rx.await.unwrap();
}
