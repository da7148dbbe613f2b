//! Promises of the library, against the embedded store.

use std::future::pending;
use std::io;
use std::time::Duration;

use emulator::fault::{Fault, FaultPlan, FaultResponse, FaultRule, Trigger};
use emulator::{Operation, Server};
use tempfile::TempDir;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::sync::oneshot;

use super::*;
use proto::error::ErrorKind;

const MIB: u64 = 1 << 20;

struct Store {
    server: Server,
    client: StorageClient,
    _dir: TempDir,
}

async fn store() -> Store {
    let dir = tempfile::tempdir().unwrap();
    let server = Server::builder(dir.path()).without_principals().start().await.unwrap();
    let config = ClientConfig::new()
        .config_file(server.config_path())
        .profile(Server::SESSION)
        .auth("security_token")
        .endpoint(server.url())
        .auth_endpoint(server.url());
    let client = StorageClient::open(config).await.unwrap();
    Store { server, client, _dir: dir }
}

fn put(name: &str) -> PutRequest {
    PutRequest::new("backups", name).part_size(10 * MIB)
}

#[tokio::test]
async fn a_stream_is_stored_as_it_was_read_and_its_retries_are_counted() {
    let store = store().await;
    let busy = Fault::Refuse(FaultResponse::status(503));
    let rule = FaultRule::on(Operation::UploadPart, busy).part(2).when(Trigger::First(1));
    store.server.set_faults(FaultPlan::new().with(rule));
    let bytes: Vec<u8> = (0..25 * MIB + 7).map(|i| (i % 251) as u8).collect();
    let receipt =
        put("x").metadata("host", "db1").run(&store.client, &bytes[..], pending(), |_| ());
    let receipt = receipt.await.unwrap();
    assert_eq!((receipt.size, receipt.parts, receipt.retries), (25 * MIB + 7, 3, 1));
    assert!(store.server.object("backups", "x").unwrap().unwrap() == bytes);
    // The object exists now: nothing of the stream is sent.
    let again = put("x").run(&store.client, &bytes[..], pending(), |_| ()).await.unwrap_err();
    assert_eq!(again.kind(), ErrorKind::Exists);
    let short = put("x").overwrite().run(&store.client, &b"new"[..], pending(), |_| ());
    assert_eq!(short.await.unwrap().parts, 1);
    assert_eq!(store.server.object("backups", "x").unwrap().unwrap(), b"new");
}

#[tokio::test]
async fn metadata_that_no_header_carries_is_stored_with_a_short_stream() {
    let store = store().await;
    let request = put("x").metadata("town", "K\u{f6}ln");
    request.run(&store.client, &b"bytes"[..], pending(), |_| ()).await.unwrap();
    let begun = || {
        let requests = store.server.requests();
        requests.iter().filter(|one| one.operation == Operation::CreateMultipartUpload).count()
    };
    assert_eq!(begun(), 1);
    assert_eq!(store.server.object("backups", "x").unwrap().unwrap(), b"bytes");
    put("y").run(&store.client, &b"bytes"[..], pending(), |_| ()).await.unwrap();
    assert_eq!(begun(), 1);
}

#[tokio::test]
async fn a_reader_that_fails_stores_nothing_and_stays_the_cause() {
    let store = store().await;
    // Within the first part, and behind it.
    for length in [3, 15 * MIB] {
        let (mut producer, reader) = tokio::io::duplex(1 << 16);
        let write = tokio::spawn(async move {
            let mut bytes = tokio::io::repeat(1).take(length);
            tokio::io::copy(&mut bytes, &mut producer).await.unwrap();
            producer.flush().await.unwrap();
        });
        let failing = reader.chain(failing_reader());
        let error = put("x").run(&store.client, failing, pending(), |_| ()).await.unwrap_err();
        write.await.unwrap();
        assert_eq!(error.kind(), ErrorKind::Source);
        let cause = std::error::Error::source(&error).unwrap();
        let cause: &io::Error = cause.downcast_ref().unwrap();
        assert_eq!(cause.kind(), io::ErrorKind::TimedOut);
        assert_eq!(store.server.object("backups", "x").unwrap(), None);
        assert!(store.server.open_uploads().is_empty());
    }
}

/// A reader that fails at once.
fn failing_reader() -> impl tokio::io::AsyncRead + Unpin {
    struct Failing;
    impl tokio::io::AsyncRead for Failing {
        fn poll_read(
            self: std::pin::Pin<&mut Self>,
            _: &mut std::task::Context<'_>,
            _: &mut tokio::io::ReadBuf<'_>,
        ) -> std::task::Poll<io::Result<()>> {
            std::task::Poll::Ready(Err(io::ErrorKind::TimedOut.into()))
        }
    }
    Failing
}

#[tokio::test]
async fn a_cancelled_upload_is_aborted_also_while_the_reader_gives_nothing() {
    let store = store().await;
    let (mut producer, reader) = tokio::io::duplex(1 << 20);
    let (cancel, cancelled) = oneshot::channel::<()>();
    let (seen, acknowledged) = std::sync::mpsc::channel();
    let cancelled = async {
        let _ = cancelled.await;
    };
    let progress = move |progress| {
        if let Progress::Transferred { stored, .. } = progress
            && stored > 0
        {
            let _ = seen.send(());
        }
    };
    // The producer stays open: only the cancellation ends the run.
    let feed = async {
        let mut bytes = tokio::io::repeat(1).take(25 * MIB);
        tokio::io::copy(&mut bytes, &mut producer).await.unwrap();
        while acknowledged.try_recv().is_err() {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        cancel.send(()).unwrap();
    };
    let run = put("x").run(&store.client, reader, cancelled, progress);
    let (result, ()) = tokio::join!(run, feed);
    assert_eq!(result.unwrap_err().kind(), ErrorKind::Cancelled);
    assert_eq!(store.server.object("backups", "x").unwrap(), None);
    assert!(store.server.open_uploads().is_empty(), "the upload was aborted");
    drop(producer);
}

#[tokio::test]
async fn a_setting_or_a_name_that_is_not_understood_is_an_error() {
    let wrong = ClientConfig::new().auth("kerberos");
    assert_eq!(StorageClient::open(wrong).await.unwrap_err().kind(), ErrorKind::Usage);
    let store = store().await;
    for request in
        [PutRequest::new("", "x"), PutRequest::new("backups", ""), put(&"x".repeat(1025))]
    {
        let error = request.run(&store.client, &b"x"[..], pending(), |_| ()).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Usage);
    }
    assert!(store.server.requests().is_empty());
}

/// The default of SIGPIPE ends a process that writes to a pipe without a reader.
#[tokio::test]
async fn the_pipe_of_a_run_that_has_ended_has_a_reader() {
    let (source, feed) = super::feed::pair().unwrap();
    drop(source);
    let never = feed.run(&[7; 3 << 20][..]);
    let waited = tokio::time::timeout(Duration::from_millis(200), never).await;
    assert!(waited.is_err(), "the feed waits to be dropped");
}

#[tokio::test]
async fn durations_without_end_are_taken() {
    let store = store().await;
    let config = || {
        ClientConfig::new()
            .config_file(store.server.config_path())
            .profile(Server::SESSION)
            .endpoint(store.server.url())
            .auth_endpoint(store.server.url())
            .retry_for(Duration::MAX)
            .stall_timeout(Duration::MAX)
    };
    let client = StorageClient::open(config()).await.unwrap();
    assert_eq!(client.retry_for, Duration::from_secs(36_500 * 86_400));
    let receipt = put("x").run(&client, &b"stream"[..], pending(), |_| ()).await.unwrap();
    assert_eq!(receipt.size, 6);
}

/// Without a stream at stake, rejected credentials end a run at once.
#[tokio::test]
async fn a_second_run_whose_credentials_are_rejected_fails_at_its_start_as_the_first_would() {
    let store = store().await;
    put("x").run(&store.client, &b"stream"[..], pending(), |_| ()).await.unwrap();
    let token = std::fs::read_to_string(store.server.token_path()).unwrap();
    store.server.revoke(token.trim());
    store.server.set_refresh(emulator::RefreshMode::Unauthorized);
    let second = put("y").run(&store.client, &b"stream"[..], pending(), |_| ());
    let second = tokio::time::timeout(Duration::from_secs(60), second).await;
    let error = second.expect("the run ends").unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Credentials);
}

fn sent(store: &Store, operation: Operation) -> usize {
    store.server.requests().iter().filter(|record| record.operation == operation).count()
}

/// Only what the first look has found of an older object decides whether the object is new.
#[tokio::test]
async fn a_commit_whose_answer_is_lost_is_found_by_one_look_at_the_object() {
    let store = store().await;
    let rule = FaultRule::on(Operation::CommitMultipartUpload, Fault::LoseAnswer);
    store.server.set_faults(FaultPlan::new().with(rule.when(Trigger::First(1))));
    let bytes = vec![7; 20 * MIB as usize];
    put("x").run(&store.client, &bytes[..], pending(), |_| ()).await.unwrap();
    assert_eq!(sent(&store, Operation::CommitMultipartUpload), 1);
    assert_eq!(sent(&store, Operation::ListMultipartUploadParts), 0);
}

/// An equal object that is older shows nothing of the commit.
#[tokio::test]
async fn an_older_object_of_the_same_bytes_is_not_taken_for_the_one_that_replaces_it() {
    let store = store().await;
    let bytes = vec![7; 20 * MIB as usize];
    put("x").run(&store.client, &bytes[..], pending(), |_| ()).await.unwrap();
    let failed = Fault::Refuse(FaultResponse::status(500));
    let rule = FaultRule::on(Operation::CommitMultipartUpload, failed).when(Trigger::First(1));
    store.server.set_faults(FaultPlan::new().with(rule));
    put("x").overwrite().run(&store.client, &bytes[..], pending(), |_| ()).await.unwrap();
    assert_eq!(sent(&store, Operation::CommitMultipartUpload), 3);
    assert!(store.server.open_uploads().is_empty());
}

#[tokio::test]
async fn an_upload_that_cannot_be_aborted_is_named_with_the_command_that_does() {
    let store = store().await;
    let forbidden = |operation| FaultRule::on(operation, Fault::Refuse(FaultResponse::status(403)));
    let plan = FaultPlan::new()
        .with(forbidden(Operation::CommitMultipartUpload))
        .with(forbidden(Operation::AbortMultipartUpload));
    store.server.set_faults(plan);
    let bytes = vec![7; 20 * MIB as usize];
    let error = put("x").run(&store.client, &bytes[..], pending(), |_| ()).await.unwrap_err();
    let id = &store.server.open_uploads()[0].2;
    let hint = error.hint().unwrap_or_default();
    let command = "ocipipe uploads abort --namespace ";
    assert!(hint.contains(command) && hint.contains(id.as_str()), "{error:?}");
}
