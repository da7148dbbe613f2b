use std::cell::RefCell;
use std::rc::Rc;

use serde_json::Value;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::task::LocalSet;

use super::*;
use proto::error::ErrorKind;
use proto::principal::SessionKey;

const NONCE: &str = "n";

fn vectors() -> Value {
    serde_json::from_str(include_str!("../../../../tests/data/principal-vectors.json")).unwrap()
}

fn token() -> String {
    let vectors = vectors();
    let line = vectors["browser_login"]["callback_request_line"].as_str().unwrap();
    line.split("security_token=").nth(1).unwrap().split('&').next().unwrap().to_owned()
}

fn pending(port: u16) -> PendingLogin {
    let vectors = vectors();
    let pem = vectors["keys"]["session1"]["private_pem"].as_str().unwrap();
    let key = proto::key::Key::from_pem(pem.as_bytes(), None).unwrap();
    PendingLogin { modulus: SessionKey::of(key.into()).modulus(), nonce: NONCE.into(), port }
}

/// Sends bytes to the listener and returns what it answers until it closes.
async fn send(port: u16, bytes: &[u8]) -> String {
    let mut stream = TcpStream::connect(("127.0.0.1", port)).await.unwrap();
    stream.write_all(bytes).await.unwrap();
    read(&mut stream).await
}

async fn read(stream: &mut TcpStream) -> String {
    let mut answer = Vec::new();
    // A reset ends the answer as well.
    let _ = stream.read_to_end(&mut answer).await;
    String::from_utf8_lossy(&answer).into_owned()
}

fn get(port: u16, target: &str) -> Vec<u8> {
    format!("GET {target} HTTP/1.1\r\nHost: localhost:{port}\r\n\r\n").into_bytes()
}

fn redirect() -> String {
    format!("/token?security_token={}&nonce={NONCE}", token())
}

/// Runs a browser against a listener; returns the outcome of the login and the refusals.
async fn login<B: Future<Output = ()>>(
    outcome: Result<(), Error>,
    browser: impl FnOnce(u16) -> B,
) -> (Result<(), Error>, Vec<Refusal>) {
    let listener = Listener::bind(0).await.unwrap();
    let port = listener.port();
    let refusals = Rc::new(RefCell::new(Vec::new()));
    let seen = Rc::clone(&refusals);
    let wait = listener.wait(
        pending(port),
        move |token| {
            assert_eq!(token.secret(), self::token());
            outcome
        },
        move |refusal| seen.borrow_mut().push(refusal.clone()),
    );
    let both = async { tokio::join!(wait, browser(port)) };
    let (result, ()) = LocalSet::new().run_until(both).await;
    (result, Rc::into_inner(refusals).unwrap_or_default().into_inner())
}

#[tokio::test]
async fn a_browser_gets_the_page_and_then_the_outcome() {
    let (result, refusals) = login(Ok(()), |port| async move {
        let page = send(port, &get(port, "/")).await;
        assert!(page.starts_with("HTTP/1.1 200 OK\r\n"), "{page}");
        for words in ["text/html", "no-store", "content-security-policy: default-src 'none'"] {
            assert!(page.contains(words), "{page}");
        }
        assert!(page.ends_with(page::HTML));
        let done = send(port, &get(port, &redirect())).await;
        assert!(done.starts_with("HTTP/1.1 200 OK\r\n") && done.ends_with(DONE), "{done}");
    })
    .await;
    assert_eq!((result, refusals), (Ok(()), vec![]));
}

#[tokio::test]
async fn the_browser_shows_that_the_session_could_not_be_kept() {
    let failure = Error::new(ErrorKind::Usage, "the disk is full");
    let (result, _) = login(Err(failure.clone()), |port| async move {
        let answer = send(port, &get(port, &redirect())).await;
        assert!(answer.starts_with("HTTP/1.1 500 "), "{answer}");
        assert!(answer.contains("the disk is full"), "{answer}");
    })
    .await;
    assert_eq!(result, Err(failure));
}

#[tokio::test]
async fn what_is_refused_does_not_end_the_login() {
    let (result, refusals) = login(Ok(()), |port| async move {
        let host = |host: &str| format!("GET / HTTP/1.1\r\nHost: {host}\r\n\r\n").into_bytes();
        let long = format!("/token?x={}", "a".repeat(70_000));
        let two = format!("GET / HTTP/1.1\r\nHost: localhost:{port}\r\nHost: x\r\n\r\n");
        for (request, status) in [
            (host("evil.example"), "421"),
            (host("127.0.0.1"), "421"),
            (two.into_bytes(), "421"),
            (b"GET / HTTP/1.0\r\n\r\n".to_vec(), "421"),
            (
                format!("GET http://evil.example/ HTTP/1.1\r\nHost: localhost:{port}\r\n\r\n")
                    .into(),
                "421",
            ),
            (get(port, "/favicon.ico"), "404"),
            (get(port, "/token"), "400"),
            (get(port, "/token?security_token=x"), "400"),
            (get(port, &format!("/token?security_token={}&nonce=other", token())), "403"),
            (format!("POST /token HTTP/1.1\r\nHost: localhost:{port}\r\n\r\n").into(), "405"),
            (get(port, &long), "4"),
            (b"\x16\x03\x01\x00\xff\x01\x00\x00".to_vec(), "4"),
            (b"nonsense\r\n\r\n".to_vec(), "4"),
        ] {
            let answer = send(port, &request).await;
            let shown = String::from_utf8_lossy(&request[..request.len().min(80)]).into_owned();
            let is_refused = answer.starts_with("HTTP/1.") && answer[9..].starts_with(status);
            // A request that is too long or no HTTP may end without an answer.
            assert!(is_refused || answer.is_empty() && status == "4", "{shown}: {answer}");
            assert!(!answer.contains(&token()[..20]), "{answer}");
            let allows = answer.to_ascii_lowercase().contains("\r\nallow: get\r\n");
            assert_eq!(allows, status == "405", "{shown}: {answer}");
        }
        let done = send(port, &get(port, &redirect())).await;
        assert!(done.starts_with("HTTP/1.1 200 OK\r\n"), "{done}");
    })
    .await;
    assert_eq!(result, Ok(()));
    assert_eq!(refusals.len(), 3, "{refusals:?}");
}

#[tokio::test]
async fn connections_that_send_nothing_do_not_keep_the_browser_out() {
    let (result, _) = login(Ok(()), |port| async move {
        let mut idle = Vec::new();
        for _ in 0..3 * MAX_CONNECTIONS {
            let mut stream = TcpStream::connect(("127.0.0.1", port)).await.unwrap();
            stream.write_all(b"GET / HTTP/1.1\r\nHost: ").await.unwrap();
            idle.push(stream);
        }
        let done = send(port, &get(port, &redirect())).await;
        assert!(done.starts_with("HTTP/1.1 200 OK\r\n"), "{done}");
        // The oldest were ended to make room.
        assert_eq!(read(&mut idle[0]).await, "");
    })
    .await;
    assert_eq!(result, Ok(()));
}

#[tokio::test]
async fn a_connection_that_sends_nothing_ends_after_the_timeout() {
    let (client, server) = tokio::join!(
        async {
            let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
            let address = listener.local_addr().unwrap();
            let client = TcpStream::connect(address).await.unwrap();
            (client, listener.accept().await.unwrap().0)
        },
        async {}
    )
    .0;
    let (events, _receiver) = mpsc::channel(1);
    tokio::time::pause();
    let began = tokio::time::Instant::now();
    serve(server, Arc::new(pending(1)), events).await;
    assert!(began.elapsed() <= CONNECTION_TIMEOUT, "{:?}", began.elapsed());
    drop(client);
}

#[tokio::test]
async fn a_port_that_is_taken_is_exit_2_and_named() {
    for address in ["127.0.0.1:0", "0.0.0.0:0", "[::1]:0"] {
        let Ok(taken) = TcpListener::bind(address).await else { continue };
        let port = taken.local_addr().unwrap().port();
        let error = Listener::bind(port).await.err().unwrap();
        assert_eq!(error.kind.exit_code(), 2, "{address}");
        assert!(error.message.contains(&port.to_string()), "{error}");
    }
}

#[tokio::test]
async fn only_loopback_addresses_are_listened_on() {
    let listener = Listener::bind(0).await.unwrap();
    assert!(listener.v4.local_addr().unwrap().ip().is_loopback());
    if let Some(v6) = &listener.v6 {
        let address = v6.local_addr().unwrap();
        assert!(address.ip().is_loopback() && address.port() == listener.port());
    }
}

#[tokio::test]
async fn the_oldest_of_too_many_connections_is_ended_and_those_that_have_ended_do_not_count() {
    let mut connections = Connections::default();
    let mut open = Vec::new();
    for _ in 0..MAX_CONNECTIONS {
        let ended = tokio::spawn(async {});
        connections.add(ended.abort_handle());
        ended.await.unwrap();
        let task = tokio::spawn(std::future::pending::<()>());
        connections.add(task.abort_handle());
        open.push(task);
    }
    tokio::task::yield_now().await;
    assert!(open.iter().all(|task| !task.is_finished()));
    let last = tokio::spawn(std::future::pending::<()>());
    connections.add(last.abort_handle());
    let oldest = tokio::time::timeout(Duration::from_secs(60), open.remove(0)).await;
    assert!(oldest.expect("the oldest is ended").unwrap_err().is_cancelled());
    assert!(open.iter().all(|task| !task.is_finished()) && !last.is_finished());
}
