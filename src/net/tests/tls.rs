//! TLS streams against rustls' own server, byte by byte.

use std::io;
use std::sync::Arc;

use hyper_util::rt::TokioIo;
use rustls::ProtocolVersion::{TLSv1_2, TLSv1_3};
use rustls::pki_types::ServerName;
use rustls::pki_types::pem::PemObject;
use rustls::{ClientConfig, RootCertStore};
use tokio::io::{AsyncReadExt, AsyncWriteExt, DuplexStream, duplex};
use tokio_rustls::server::TlsStream as ServerStream;

use super::peer::TestCa;
use crate::net::tls_stream::TlsStream;

pub(super) type Client = TokioIo<TlsStream<TokioIo<DuplexStream>>>;

pub(super) const VERSIONS: [&rustls::SupportedProtocolVersion; 2] =
    [&rustls::version::TLS12, &rustls::version::TLS13];

pub(super) fn config(
    authority: &TestCa,
    version: &'static rustls::SupportedProtocolVersion,
) -> ClientConfig {
    let mut roots = RootCertStore::empty();
    let pem = std::fs::read(authority.bundle.path()).unwrap();
    roots.add(rustls::pki_types::CertificateDer::from_pem_slice(&pem).unwrap()).unwrap();
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    ClientConfig::builder_with_provider(provider)
        .with_protocol_versions(&[version])
        .unwrap()
        .with_root_certificates(roots)
        .with_no_client_auth()
}

/// A client and a server that are connected; `buffer` bytes fit between them, tickets among them.
pub(super) async fn pair(
    version: &'static rustls::SupportedProtocolVersion,
    buffer: usize,
) -> (Client, ServerStream<DuplexStream>) {
    let authority = TestCa::new();
    let (near, far) = duplex(buffer);
    let name = ServerName::try_from("127.0.0.1").unwrap();
    let config = Arc::new(config(&authority, version));
    let (client, server) = tokio::join!(
        TlsStream::connect(TokioIo::new(near), config, name),
        authority.acceptor.accept(far),
    );
    (TokioIo::new(client.unwrap()), server.unwrap())
}

pub(super) fn pattern(length: usize) -> Vec<u8> {
    (0..length).map(|i| (i / 253 + i) as u8).collect()
}

#[tokio::test]
async fn bytes_arrive_both_ways_at_once_in_both_versions() {
    for version in VERSIONS {
        for buffer in [2000, 60_000, 1 << 20] {
            let (client, server) = pair(version, buffer).await;
            let expected = if version.version == TLSv1_2 { TLSv1_2 } else { TLSv1_3 };
            assert_eq!(server.get_ref().1.protocol_version(), Some(expected));
            let length = if buffer == 2000 { 100_000 } else { 3_000_000 };
            let (mut client_out, mut server_out) = (pattern(length), pattern(length + 77));
            server_out.reverse();
            client_out.rotate_left(9);
            let (mut client_in, mut client_out_half) = tokio::io::split(client);
            let (mut server_in, mut server_out_half) = tokio::io::split(server);
            let (mut at_client, mut at_server) = (Vec::new(), Vec::new());
            tokio::join!(
                async {
                    client_out_half.write_all(&client_out).await.unwrap();
                    client_out_half.shutdown().await.unwrap();
                },
                async {
                    server_out_half.write_all(&server_out).await.unwrap();
                    server_out_half.shutdown().await.unwrap();
                },
                async { client_in.read_to_end(&mut at_client).await.unwrap() },
                async { server_in.read_to_end(&mut at_server).await.unwrap() },
            );
            assert!(at_client == server_out && at_server == client_out, "{version:?} {buffer}");
        }
    }
}

#[tokio::test]
async fn a_server_may_change_its_keys_in_the_middle() {
    let (mut client, mut server) = pair(&rustls::version::TLS13, 1 << 20).await;
    let sent = pattern(40_000);
    for _ in 0..5 {
        server.write_all(&sent).await.unwrap();
        server.get_mut().1.refresh_traffic_keys().unwrap();
        server.flush().await.unwrap();
        let mut got = vec![0; sent.len()];
        client.read_exact(&mut got).await.unwrap();
        assert!(got == sent);
        client.write_all(&sent).await.unwrap();
        client.flush().await.unwrap();
        server.read_exact(&mut got).await.unwrap();
        assert!(got == sent);
    }
}

#[tokio::test]
async fn an_end_without_that_of_the_session_is_an_error_and_comes_after_the_bytes() {
    for version in VERSIONS {
        let (mut client, mut server) = pair(version, 1 << 20).await;
        server.write_all(b"before").await.unwrap();
        server.flush().await.unwrap();
        drop(server);
        let mut got = Vec::new();
        let error = client.read_to_end(&mut got).await.unwrap_err();
        assert_eq!((got.as_slice(), error.kind()), (&b"before"[..], io::ErrorKind::UnexpectedEof));
    }
}

#[tokio::test]
async fn a_changed_byte_ends_the_session_after_the_records_before_it() {
    for version in VERSIONS {
        let (near, mut near_far) = duplex(1 << 20);
        let (mut relay_far, far) = duplex(1 << 20);
        let authority = TestCa::new();
        let config = Arc::new(config(&authority, version));
        let relay = tokio::spawn(async move {
            // Until the record that the server marks by its length.
            let (mut near_read, mut near_write) = tokio::io::split(&mut near_far);
            let (mut far_read, mut far_write) = tokio::io::split(&mut relay_far);
            let up = tokio::io::copy(&mut near_read, &mut far_write);
            let down = async {
                loop {
                    let mut head = [0; 5];
                    far_read.read_exact(&mut head).await?;
                    let mut record = vec![0; usize::from(u16::from_be_bytes([head[3], head[4]]))];
                    far_read.read_exact(&mut record).await?;
                    if record.len() > 3000 {
                        record[1500] ^= 1;
                    }
                    near_write.write_all(&[&head, record.as_slice()].concat()).await?;
                }
            };
            let _: (_, io::Result<()>) = tokio::join!(up, down);
        });
        let name = ServerName::try_from("127.0.0.1").unwrap();
        let (client, server) = tokio::join!(
            TlsStream::connect(TokioIo::new(near), config, name),
            authority.acceptor.accept(far),
        );
        let (mut client, mut server) = (TokioIo::new(client.unwrap()), server.unwrap());
        server.write_all(b"sound").await.unwrap();
        server.write_all(&[7; 4000]).await.unwrap();
        server.flush().await.unwrap();
        let mut got = Vec::new();
        let error = client.read_to_end(&mut got).await.unwrap_err();
        assert_eq!((got.as_slice(), error.kind()), (&b"sound"[..], io::ErrorKind::InvalidData));
        assert!(client.read_to_end(&mut got).await.is_err() && got == b"sound");
        // The server hears of it.
        let error = server.read_to_end(&mut Vec::new()).await.unwrap_err();
        assert!(error.to_string().contains("BadRecordMac"), "{error}");
        relay.abort();
    }
}

#[tokio::test]
async fn a_certificate_of_another_authority_is_refused_with_an_alert() {
    let (trusted, other) = (TestCa::new(), TestCa::new());
    let (near, far) = duplex(1 << 20);
    let config = Arc::new(config(&trusted, &rustls::version::TLS13));
    let name = ServerName::try_from("127.0.0.1").unwrap();
    let (client, server) = tokio::join!(
        TlsStream::connect(TokioIo::new(near), config, name),
        other.acceptor.accept(far),
    );
    let error = client.err().unwrap();
    let cause = error.get_ref().unwrap().downcast_ref::<rustls::Error>();
    assert!(matches!(cause, Some(rustls::Error::InvalidCertificate(_))), "{error}");
    assert!(server.is_err());
}
