//! Answers that come while the body is still being sent, and other answers out of turn.

use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::io::AsyncReadExt;
use tokio::sync::{mpsc, oneshot};

use super::peer::{OK, ask, head, request, say, serve, serve_both};
use crate::auth::options::NetworkOptions;
use crate::net::Transport;
use proto::retry::{Failure, TransportError};

const LARGE: usize = 64 << 20;

fn refusal(status: &str) -> String {
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
                head(&mut stream).await;
                say(&mut stream, &refusal(text)).await;
                // Closed with the body unread: a reset.
            })
            .await;
            for _ in 0..8 {
                let answer = ask(&transport, &endpoint, 16 << 20)
                    .await
                    .unwrap_or_else(|e| panic!("TLS: {tls}: {e:?}"));
                assert_eq!(answer.status, status, "TLS: {tls}");
                assert!(answer.body.ends_with(b"not wanted\"}"));
            }
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_reset_without_a_last_word_is_a_lost_connection_and_told_soon() {
    for tls in [false, true] {
        let serving = |_, mut stream| async move { drop(head(&mut stream).await) };
        let (endpoint, transport) = serve_both(tls, serving).await;
        let began = Instant::now();
        let failure = ask(&transport, &endpoint, 16 << 20).await.unwrap_err();
        assert!(
            matches!(failure, Failure::Transport { kind: TransportError::ResponseLost, .. }),
            "{failure:?}"
        );
        assert!(began.elapsed() < Duration::from_secs(10));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_early_answer_ends_the_sending_though_the_server_reads_on() {
    for tls in [false, true] {
        let (told, mut counted) = mpsc::unbounded_channel();
        let (go, wait) = oneshot::channel::<()>();
        let wait = Arc::new(tokio::sync::Mutex::new(Some(wait)));
        let (endpoint, transport) = serve_both(tls, move |number, mut stream| {
            let (told, wait) = (told.clone(), wait.clone());
            async move {
                while number > 0 && request(&mut stream, 3).await {
                    say(&mut stream, OK).await;
                }
                let mut read = head(&mut stream).await.unwrap_or_default().len();
                let open = "HTTP/1.1 503 Service Unavailable\r\ncontent-length: 0\r\n\r\n";
                say(&mut stream, open).await;
                let _ = wait.lock().await.take().unwrap().await;
                let mut piece = vec![0; 1 << 20];
                while let Ok(more @ 1..) = stream.read(&mut piece).await {
                    read += more;
                }
                told.send(read).unwrap();
            }
        })
        .await;
        let answer = ask(&transport, &endpoint, LARGE).await.unwrap();
        assert_eq!(answer.status, 503);
        go.send(()).unwrap();
        // Ends only because the client has closed.
        let read = counted.recv().await.unwrap();
        assert!(read < LARGE / 2, "TLS: {tls}: {read} bytes were sent for nothing");
        // The rest of that body is owed: what comes next needs another connection.
        assert_eq!(ask(&transport, &endpoint, 3).await.unwrap().status, 200);
    }
}

#[tokio::test]
async fn interim_answers_that_nobody_asked_for_are_passed_over() {
    let endpoint = serve(|_, mut stream| async move {
        head(&mut stream).await;
        say(&mut stream, "HTTP/1.1 100 Continue\r\n\r\n").await;
        say(&mut stream, "HTTP/1.1 103 Early Hints\r\nlink: </x>\r\n\r\n").await;
        say(&mut stream, "HTTP/1.1 100 Continue\r\n\r\n").await;
        say(&mut stream, OK).await;
        stream.read_to_end(&mut Vec::new()).await.ok();
    })
    .await;
    let transport = Transport::new(&NetworkOptions::default(), Duration::from_secs(20)).unwrap();
    let answer = ask(&transport, &endpoint, 100_000).await.unwrap();
    assert_eq!((answer.status, &answer.body[..]), (200, &b"ok"[..]));
}

#[tokio::test]
async fn what_is_not_http_is_garbage_and_what_ends_too_soon_is_lost() {
    let garbage = TransportError::InvalidResponse;
    for (text, expected) in [
        ("SSH-2.0-OpenSSH_9.9\r\n\r\n", garbage),
        ("\0\u{1}\u{2}\u{3}", garbage),
        ("HTTP/1.1 200 OK\r\ncontent-length: nonsense\r\n\r\n", garbage),
        ("HTTP/1.1 200 OK\r\ncontent-length: 9\r\n\r\nshort", TransportError::ResponseLost),
        ("HTTP/1.1 200 OK\r\ncontent-le", TransportError::ResponseLost),
        ("", TransportError::ResponseLost),
    ] {
        let endpoint = serve(move |_, mut stream| async move {
            request(&mut stream, 10).await;
            say(&mut stream, text).await;
        })
        .await;
        let transport =
            Transport::new(&NetworkOptions::default(), Duration::from_secs(20)).unwrap();
        let failure = ask(&transport, &endpoint, 10).await.unwrap_err();
        let Failure::Transport { kind, .. } = failure else { panic!("{text:?}: {failure:?}") };
        assert_eq!(kind, expected, "{text:?}");
    }
}
