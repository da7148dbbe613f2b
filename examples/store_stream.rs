//! Stores an `AsyncRead` as one object, with progress and cancellation.
//!
//! So that it runs anywhere, it starts the emulator in place of the service. With an account, the client is
//! `Client::open(ClientConfig::new())`, which reads `~/.oci/config`.
//!
//! `cargo run --example store_stream`; `cargo test` runs it too.

use std::error::Error;
use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};

use emulator::Server;
use ocipipe::{Client, ClientConfig, ErrorKind, Progress, PutRequest};
use tokio::io::{AsyncRead, AsyncReadExt, ReadBuf};
use tokio_util::sync::CancellationToken;

const MIB: u64 = 1 << 20;

/// A producer that fails after some of its bytes.
struct BrokenProducer;

impl AsyncRead for BrokenProducer {
    fn poll_read(
        self: Pin<&mut Self>,
        _: &mut Context<'_>,
        _: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Poll::Ready(Err(io::Error::other("the database went away")))
    }
}

fn show(progress: Progress) {
    match progress {
        Progress::Transferred { read, stored, .. } => {
            println!("{read} bytes read, {stored} stored")
        }
        Progress::Warning { text, .. } => println!("warning: {text}"),
        _ => {}
    }
}

#[cfg_attr(test, tokio::test)]
#[cfg_attr(not(test), tokio::main(flavor = "current_thread"))]
async fn main() -> Result<(), Box<dyn Error>> {
    let dir = tempfile::tempdir()?;
    let service = Server::builder(dir.path()).without_principals().start().await?;
    let config = ClientConfig::new()
        .config_file(service.config_path())
        .profile(Server::SESSION)
        .auth("security_token")
        .endpoint(service.url())
        .auth_endpoint(service.url())
        .on_warning(|text| println!("warning: {text}"));
    let client = Client::open(config).await?;

    // A stream that exists once, of a length that nothing knows before its end. `stop.cancel()` from
    // another task, such as that of a signal, would abort the upload.
    let stop = CancellationToken::new();
    let stream = tokio::io::repeat(7).take(25 * MIB);
    let receipt = PutRequest::new("backups", "db/2026-01-01.dump")
        .content_type("application/x-tar")
        .metadata("host", "db1")
        .part_size(10 * MIB)
        .run(&client, stream, stop.clone().cancelled_owned(), show)
        .await?;
    println!("{} bytes as {}, compared by {}", receipt.size, receipt.etag, receipt.verified_by);
    assert_eq!((receipt.size, receipt.parts), (25 * MIB, 3));

    // A stream that is not whole is never stored, and the error keeps its cause.
    let broken = tokio::io::repeat(7).take(15 * MIB).chain(BrokenProducer);
    let error = PutRequest::new("backups", "db/broken.dump")
        .part_size(10 * MIB)
        .run(&client, broken, stop.cancelled_owned(), show)
        .await
        .err()
        .ok_or("a broken stream was stored")?;
    println!("not stored: {error}");
    assert_eq!(error.kind(), ErrorKind::Source);
    assert_eq!(error.source().map(ToString::to_string).as_deref(), Some("the database went away"));
    assert_eq!(service.object("backups", "db/broken.dump")?, None);
    assert!(service.open_uploads().is_empty(), "the upload was aborted");
    service.stop().await;
    Ok(())
}
