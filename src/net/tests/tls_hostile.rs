//! TLS streams against servers that cut, stop, flood and refuse, and against tasks that give up.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use hyper_util::rt::TokioIo;
use rustls::ServerConnection;
use rustls::pki_types::ServerName;
use tokio::io::{AsyncReadExt, AsyncWriteExt, DuplexStream, duplex};

use super::peer::TestCa;
use super::tls::{VERSIONS, config, pair, pattern};
use crate::net::tls_stream::TlsStream;

/// What the handshake ends with against a server that writes `bytes`, and closes or stays open.
async fn refused(bytes: Vec<u8>, stays_open: bool) -> io::Error {
    let authority = TestCa::new();
    let (near, mut far) = duplex(1 << 20);
    let server = tokio::spawn(async move {
        let _ = far.read(&mut [0; 4096]).await;
        // The client may end the connection within this.
        let _ = far.write_all(&bytes).await;
        if stays_open {
            let _ = far.read_to_end(&mut Vec::new()).await;
        }
    });
    let name = ServerName::try_from("127.0.0.1").unwrap();
    let config = Arc::new(config(&authority, &rustls::version::TLS13));
    let client = TlsStream::connect(TokioIo::new(near), config, name).await;
    server.abort();
    client.err().unwrap()
}

#[tokio::test]
async fn a_server_that_speaks_something_else_or_too_much_is_refused() {
    let plain = b"HTTP/1.1 400 Bad Request\r\nconnection: close\r\n\r\n".to_vec();
    assert_eq!(refused(plain, true).await.kind(), io::ErrorKind::InvalidData);
    assert_eq!(refused(vec![0; 3 << 20], true).await.kind(), io::ErrorKind::InvalidData);
    // A message of the handshake that is announced with 16 MiB, in records of 16 KiB.
    let record = [&[22, 3, 3, 0x40, 0][..], &[0; 16384]].concat();
    let mut message = record.repeat(1000);
    message[5..9].copy_from_slice(&[2, 0xff, 0xff, 0xff]);
    assert_eq!(refused(message, true).await.kind(), io::ErrorKind::InvalidData);
    // The connection ends before a byte, within a record, and with an alert.
    assert_eq!(refused(Vec::new(), false).await.kind(), io::ErrorKind::UnexpectedEof);
    assert_eq!(refused(vec![22, 3, 3, 1, 0, 2], false).await.kind(), io::ErrorKind::UnexpectedEof);
    let alert = refused(vec![21, 3, 3, 0, 2, 2, 40], true).await;
    assert!(alert.to_string().contains("HandshakeFailure"), "{alert}");
}

/// Sends `parts` with new keys after each; the client has to update its own, too.
async fn send_with_new_keys(
    server: &mut tokio_rustls::server::TlsStream<DuplexStream>,
    parts: std::slice::Chunks<'_, u8>,
) {
    for part in parts {
        server.write_all(part).await.unwrap();
        let connection: &mut ServerConnection = server.get_mut().1;
        connection.refresh_traffic_keys().unwrap();
    }
    server.flush().await.unwrap();
}

#[tokio::test]
async fn keys_change_within_a_large_body_while_the_client_is_silent_and_while_it_sends() {
    let sent = pattern(3_000_000);
    let (mut client, mut server) = pair(&rustls::version::TLS13, 50_000).await;
    let mut got = vec![0; sent.len()];
    tokio::join!(send_with_new_keys(&mut server, sent.chunks(70_001)), async {
        client.read_exact(&mut got).await.unwrap();
    });
    assert!(got == sent);
    let (mut client_in, mut client_out) = tokio::io::split(client);
    let (mut again, mut at_server) = (vec![0; sent.len()], vec![0; 100_000]);
    let serving = async {
        send_with_new_keys(&mut server, sent.chunks(70_001)).await;
        server.read_exact(&mut at_server).await.unwrap();
    };
    tokio::join!(serving, async { client_in.read_exact(&mut again).await.unwrap() }, async {
        client_out.write_all(&sent[..100_000]).await.unwrap();
        client_out.flush().await.unwrap();
    },);
    assert!(again == sent && at_server == sent[..100_000]);
}

#[tokio::test]
async fn reads_that_are_given_up_lose_no_byte_on_a_connection_of_a_few_bytes() {
    for version in VERSIONS {
        for buffer in [1, 7, 5000] {
            let authority = TestCa::new();
            let (near, far) = duplex(buffer);
            let sent = pattern(20_000);
            let (to_client, to_server) = (sent.clone(), sent.clone());
            let acceptor = authority.acceptor.clone();
            let server = tokio::spawn(async move {
                let mut server = acceptor.accept(far).await.unwrap();
                for part in to_client.chunks(3001) {
                    server.write_all(part).await.unwrap();
                    server.flush().await.unwrap();
                }
                let mut got = vec![0; to_server.len()];
                server.read_exact(&mut got).await.unwrap();
                server.shutdown().await.unwrap();
                got
            });
            let name = ServerName::try_from("127.0.0.1").unwrap();
            let config = Arc::new(config(&authority, version));
            let client = TlsStream::connect(TokioIo::new(near), config, name).await.unwrap();
            let mut client = TokioIo::new(client);
            let (mut got, mut given_up) = (Vec::new(), 0);
            while got.len() < sent.len() {
                let mut bytes = [0; 1000];
                tokio::select! {
                    biased;
                    read = client.read(&mut bytes) => {
                        let read = read.unwrap();
                        assert_ne!(read, 0);
                        got.extend_from_slice(&bytes[..read]);
                    }
                    () = std::future::ready(()) => {
                        given_up += 1;
                        tokio::task::yield_now().await;
                    }
                }
            }
            assert!(got == sent && given_up > 0, "{given_up}");
            client.write_all(&sent).await.unwrap();
            client.flush().await.unwrap();
            assert_eq!(client.read(&mut [0; 10]).await.unwrap(), 0);
            assert!(server.await.unwrap() == sent);
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn tasks_that_read_and_write_on_their_own_wake_each_other() {
    for version in VERSIONS {
        let (client, server) = pair(version, 4000).await;
        let (mut client_in, mut client_out) = tokio::io::split(client);
        let (mut server_in, mut server_out) = tokio::io::split(server);
        let bytes = Arc::new(pattern(1_000_000));
        let (up, down) = (bytes.clone(), bytes.clone());
        let tasks = [
            tokio::spawn(async move {
                client_out.write_all(&up).await.unwrap();
                client_out.shutdown().await.unwrap();
                Vec::new()
            }),
            tokio::spawn(async move {
                server_out.write_all(&down).await.unwrap();
                server_out.shutdown().await.unwrap();
                Vec::new()
            }),
            tokio::spawn(async move {
                let mut got = Vec::new();
                client_in.read_to_end(&mut got).await.unwrap();
                got
            }),
            tokio::spawn(async move {
                let mut got = Vec::new();
                server_in.read_to_end(&mut got).await.unwrap();
                got
            }),
        ];
        for (number, task) in tasks.into_iter().enumerate() {
            let done = tokio::time::timeout(Duration::from_secs(60), task).await;
            let got = done.expect("a task waits forever").unwrap();
            assert!(number < 2 || got == *bytes);
        }
    }
}
