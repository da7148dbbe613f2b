//! A test of another project that runs its client against the emulator.
//!
//! Copy the test function into a file of `tests/`, and put your client in the place of `put`. The
//! dev-dependencies are `oci-emulator`, `tempfile`, and `tokio` with the features `macros` and
//! `rt-multi-thread`. `cargo test -p oci-emulator --examples` runs it.

use std::error::Error;
use std::io::{Read, Write};
use std::net::TcpStream;

use oci_emulator::fault::{Fault, FaultPlan, FaultResponse, FaultRule, Trigger};
use oci_emulator::{CallKind, NewPar, Operation, Server};

/// The client under test: stores `body` at an `http` URL and returns the HTTP status. It needs no
/// signature because the URL is that of a pre-authenticated request.
fn put(url: &str, body: &[u8]) -> Result<u16, Box<dyn Error>> {
    let (host, path) = url.trim_start_matches("http://").split_once('/').ok_or("no path")?;
    let mut connection = TcpStream::connect(host)?;
    let length = body.len();
    write!(connection, "PUT /{path} HTTP/1.1\r\nhost: {host}\r\ncontent-length: {length}\r\n")?;
    write!(connection, "connection: close\r\n\r\n")?;
    connection.write_all(body)?;
    let mut response = String::new();
    connection.read_to_string(&mut response)?;
    Ok(response.split(' ').nth(1).ok_or("no status")?.parse()?)
}

/// The client, with a second attempt after a 503.
fn put_with_retry(url: &str, body: &[u8]) -> Result<u16, Box<dyn Error>> {
    match put(url, body)? {
        503 => put(url, body),
        status => Ok(status),
    }
}

// The server runs on the other threads of the runtime while the test blocks.
#[cfg_attr(test, tokio::test(flavor = "multi_thread", worker_threads = 2))]
#[cfg_attr(not(test), tokio::main)]
async fn main() -> Result<(), Box<dyn Error>> {
    // Start it. The folder gets the keys, the token and the objects; nothing else is written.
    let dir = tempfile::tempdir()?;
    let server = Server::builder(dir.path()).start().await?;

    // Point a client at it. This one needs a URL only.
    let url = server.create_par(NewPar::object("demo", "greeting.txt"))?.url;
    assert_eq!(put(&url, b"hello")?, 200);
    assert_eq!(server.object("demo", "greeting.txt")?.as_deref(), Some(&b"hello"[..]));

    // A client that signs finds key, user and region in the config file, and needs the endpoint too.
    // The OCI SDK for Python with the API key:
    //     config = oci.config.from_file(str(server.config_path()), "DEFAULT")
    //     client = oci.object_storage.ObjectStorageClient(config, service_endpoint=server.url())
    // and with the session token, whose file the profile `Server::SESSION` names:
    //     token = open(config["security_token_file"]).read()
    //     key = oci.signer.load_private_key_from_file(config["key_file"])
    //     signer = oci.auth.signers.SecurityTokenSigner(token, key)
    //     client = oci.object_storage.ObjectStorageClient(config, signer=signer, service_endpoint=...)
    assert!(server.config_path().is_file());

    // Make it fail: the first PutObject from now on is throttled.
    let throttled = Fault::Refuse(FaultResponse::status(503).retry_after("1"));
    let rule = FaultRule::on(Operation::PutObject, throttled).when(Trigger::First(1));
    server.set_faults(FaultPlan::new().with(rule));
    assert_eq!(put_with_retry(&url, b"hello again")?, 200);
    assert_eq!(server.object("demo", "greeting.txt")?.as_deref(), Some(&b"hello again"[..]));

    // Look at what arrived.
    let puts: Vec<(u16, u64)> = server.requests().iter().map(|r| (r.status, r.body)).collect();
    assert_eq!(puts, [(200, 5), (503, 11), (200, 11)]);
    assert_eq!(server.counts().of(CallKind::Storage), 3);
    assert!(server.open_uploads().is_empty());

    server.stop().await;
    Ok(())
}
