//! Responses that come while the body is still being sent, and other responses out of turn.

use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::io::AsyncReadExt;
use tokio::sync::{mpsc, oneshot};

use super::peer::{OK, exchange, read_head, read_request, send, serve, serve_both};
use crate::auth::options::NetworkOptions;
use crate::net::{Transport, TransportFailure};
use proto::transport_error::TransportError;

const LARGE: usize = 64 << 20;

fn rejection(status: &str) -> String {
    let body = r#"{"code":"Early","message":"not wanted"}"#;
    format!(
        "HTTP/1.1 {status}\r\ncontent-length: {}\r\nconnection: close\r\n\r\n{body}",
        body.len()
    )
}

#[tokio::test(flavor = "multi_thread")]
async fn a_refusal_followed_by_a_reset_is_read_although_writing_fails_first() {
    for tls in [false, true] {
        for (status, text) in [(412, "412 Precondition Failed"), (413, "413 Payload Too Large")] {
            let (endpoint, transport) = serve_both(tls, move |_, mut stream| async move {
                read_head(&mut stream).await;
                send(&mut stream, &rejection(text)).await;
                // The close with an unread body is a reset.
            })
            .await;
            for _ in 0..8 {
                let response = exchange(&transport, &endpoint, 16 << 20)
                    .await
                    .unwrap_or_else(|e| panic!("TLS: {tls}: {e:?}"));
                assert_eq!(response.status, status, "TLS: {tls}");
                assert!(response.body.ends_with(b"not wanted\"}"));
            }
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_reset_without_a_response_is_a_lost_connection_within_seconds() {
    for tls in [false, true] {
        let serving = |_, mut stream| async move { drop(read_head(&mut stream).await) };
        let (endpoint, transport) = serve_both(tls, serving).await;
        let began = Instant::now();
        let failure = exchange(&transport, &endpoint, 16 << 20).await.unwrap_err();
        assert!(
            matches!(
                failure,
                TransportFailure::Connection { kind: TransportError::ResponseLost, .. }
            ),
            "{failure:?}"
        );
        assert!(began.elapsed() < Duration::from_secs(10));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_early_response_ends_the_sending_though_the_server_reads_on() {
    for tls in [false, true] {
        let (count_tx, mut count_rx) = mpsc::unbounded_channel();
        let (go_tx, go_rx) = oneshot::channel::<()>();
        let go_rx = Arc::new(tokio::sync::Mutex::new(Some(go_rx)));
        let (endpoint, transport) = serve_both(tls, move |number, mut stream| {
            let (count_tx, go_rx) = (count_tx.clone(), go_rx.clone());
            async move {
                while number > 0 && read_request(&mut stream, 3).await {
                    send(&mut stream, OK).await;
                }
                let mut read = read_head(&mut stream).await.unwrap_or_default().len();
                let open = "HTTP/1.1 503 Service Unavailable\r\ncontent-length: 0\r\n\r\n";
                send(&mut stream, open).await;
                let _ = go_rx.lock().await.take().unwrap().await;
                let mut piece = vec![0; 1 << 20];
                while let Ok(more @ 1..) = stream.read(&mut piece).await {
                    read += more;
                }
                count_tx.send(read).unwrap();
            }
        })
        .await;
        let response = exchange(&transport, &endpoint, LARGE).await.unwrap();
        assert_eq!(response.status, 503);
        go_tx.send(()).unwrap();
        // The server reads until the client has closed the connection.
        let read = count_rx.recv().await.unwrap();
        assert!(read < LARGE / 2, "TLS: {tls}: {read} bytes were sent for nothing");
        // The rest of that body is owed, so the next request needs another connection.
        assert_eq!(exchange(&transport, &endpoint, 3).await.unwrap().status, 200);
    }
}

#[tokio::test]
async fn interim_responses_that_were_not_requested_are_skipped() {
    let endpoint = serve(|_, mut stream| async move {
        read_head(&mut stream).await;
        send(&mut stream, "HTTP/1.1 100 Continue\r\n\r\n").await;
        send(&mut stream, "HTTP/1.1 103 Early Hints\r\nlink: </x>\r\n\r\n").await;
        send(&mut stream, "HTTP/1.1 100 Continue\r\n\r\n").await;
        send(&mut stream, OK).await;
        stream.read_to_end(&mut Vec::new()).await.ok();
    })
    .await;
    let transport = Transport::new(&NetworkOptions::default(), Duration::from_secs(20)).unwrap();
    let response = exchange(&transport, &endpoint, 100_000).await.unwrap();
    assert_eq!((response.status, &response.body[..]), (200, &b"ok"[..]));
}

#[tokio::test]
async fn a_response_that_is_not_http_is_invalid_and_one_that_ends_early_is_lost() {
    let invalid = TransportError::InvalidResponse;
    for (text, expected) in [
        ("SSH-2.0-OpenSSH_9.9\r\n\r\n", invalid),
        ("\0\u{1}\u{2}\u{3}", invalid),
        ("HTTP/1.1 200 OK\r\ncontent-length: nonsense\r\n\r\n", invalid),
        ("HTTP/1.1 200 OK\r\ncontent-length: 9\r\n\r\nshort", TransportError::ResponseLost),
        ("HTTP/1.1 200 OK\r\ncontent-le", TransportError::ResponseLost),
        ("", TransportError::ResponseLost),
    ] {
        let endpoint = serve(move |_, mut stream| async move {
            read_request(&mut stream, 10).await;
            send(&mut stream, text).await;
        })
        .await;
        let transport =
            Transport::new(&NetworkOptions::default(), Duration::from_secs(20)).unwrap();
        let failure = exchange(&transport, &endpoint, 10).await.unwrap_err();
        let TransportFailure::Connection { kind, .. } = failure else {
            panic!("{text:?}: {failure:?}")
        };
        assert_eq!(kind, expected, "{text:?}");
    }
}
