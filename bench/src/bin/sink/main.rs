//! The sink: a fast fake service that counts what arrives and discards it.
//!
//! Accepts TLS 1.3 (and plain HTTP) on one loopback port, and implements the calls of uploading
//! clients: OCI Object Storage, and a minimal S3. Writes its certificate authority to a folder,
//! prints its port on stdout, then one JSON line for every completed object. A line on its stdin asks
//! for the curve of a paced line since the last one. Ends when its stdin ends. It checks no signature and no rule of the service; the emulator does.
//!
//!     sink --dir DIR [--decrypt] [--verify] [--latency 80ms] [--total-rate 20MB/s] [--per-connection-rate R]
//!
//! An object `stored-SIZE-CHECKSUM` exists for downloading clients. Rates count in each direction.
//!
//! By default the records of a body are counted by their lengths and discarded in the kernel, which
//! leaves the cores to the client; checksum headers are noted and echoed. With `--decrypt` every
//! record is read and opened, as other servers do. With `--verify` each checksum that was sent is
//! also computed and compared.

mod check;
mod http;
mod ledger;
mod line;
mod oci;
mod s3;
mod stored;
mod wire;

use std::io::{self, Write};
use std::net::{TcpListener, TcpStream};
use std::path::Path;
use std::sync::Arc;
use std::thread;
use std::time::Duration;

use ocipipe_bench::options::Options;
use rcgen::{BasicConstraints, CertificateParams, DnType, IsCa, Issuer, KeyPair};
use rustls::ServerConfig;
use rustls::pki_types::PrivatePkcs8KeyDer;

use ledger::Ledger;
use line::Line;
use stored::Stored;
use wire::Wire;

const STACK: usize = 256 << 10;
/// How often the curve of a paced line gets a point.
const SAMPLED: Duration = Duration::from_millis(50);

struct Sink {
    tls: Arc<ServerConfig>,
    line: Line,
    ledger: Ledger,
    stored: Stored,
    decrypt: bool,
    verify: bool,
}

fn main() {
    if let Err(error) = run() {
        eprintln!("sink: {error}");
        std::process::exit(1);
    }
}

fn run() -> Result<(), Box<dyn std::error::Error>> {
    let known = ["dir", "latency", "total-rate", "per-connection-rate"];
    let options = Options::parse(&known, &["decrypt", "verify"])?;
    let line = Line::new(
        options.duration("latency")?,
        options.size("total-rate")?,
        options.size("per-connection-rate")?,
    );
    let listener = TcpListener::bind(("127.0.0.1", 0))?;
    if let Some(bytes) = line.window() {
        // Inherited by the connections: a client must not hand megabytes to the kernel and call
        // them sent, and neither must the sink.
        rustix::net::sockopt::set_socket_recv_buffer_size(&listener, bytes)?;
        rustix::net::sockopt::set_socket_send_buffer_size(&listener, bytes)?;
    }
    let tls = Arc::new(certificate(Path::new(options.required("dir")?))?);
    println!("{}", serde_json::json!({ "port": listener.local_addr()?.port() }));
    io::stdout().flush()?;
    let verify = options.is_set("verify");
    let decrypt = verify || options.is_set("decrypt");
    let sink =
        Arc::new(Sink { tls, line, ledger: Ledger::new(), stored: Stored::new(), decrypt, verify });
    let asked = Arc::clone(&sink);
    if sink.line.is_limited() {
        let sink = Arc::clone(&sink);
        thread::spawn(move || {
            loop {
                sink.ledger.sample(sink.line.passed(), sink.line.in_flight());
                thread::sleep(SAMPLED);
            }
        });
    }
    thread::Builder::new().stack_size(STACK).spawn(move || accept(&listener, &sink))?;
    // The end of stdin is the end of the run, so that nothing is left behind by a script that dies.
    for line in io::stdin().lines() {
        line?;
        asked.ledger.report_curve();
    }
    Ok(())
}

fn accept(listener: &TcpListener, sink: &Arc<Sink>) {
    for (number, socket) in listener.incoming().enumerate() {
        let Ok(socket) = socket else { continue };
        let sink = Arc::clone(sink);
        let serving = move || {
            // A connection that breaks shows in what the ledger lacks.
            if let Err(error) = serve(socket, number, &sink)
                && std::env::var_os("SINK_DEBUG").is_some()
            {
                eprintln!("sink: connection {number}: {error}");
            }
        };
        if thread::Builder::new().stack_size(STACK).spawn(serving).is_err() {
            eprintln!("sink: no thread for connection {number}");
        }
    }
}

/// All requests of one connection.
fn serve(socket: TcpStream, number: usize, sink: &Sink) -> io::Result<()> {
    socket.set_nodelay(true)?;
    let mut wire = Wire::accept(socket, sink.tls.clone(), sink.line.connection(), sink.decrypt)?;
    while let Some(head) = http::Head::read(&mut wire)? {
        if std::env::var_os("SINK_DEBUG").is_some() {
            eprintln!("sink: connection {number}: {} {}", head.method, head.target);
        }
        let _in_flight = sink.line.begin_request();
        let began = sink.ledger.now();
        let body = http::Received::read(&mut wire, &head, sink.verify)?;
        let arrival = ledger::Arrival { connection: number, began, ended: sink.ledger.now() };
        sink.line.delay();
        if sink.stored.serve(&mut wire, &head)? {
            continue;
        }
        let answer = match &body.mismatch {
            Some(text) => {
                sink.ledger.mismatch(text);
                http::Answer::error(400, "UnmatchedChecksum", text)
            }
            None if oci::is_ours(&head) => oci::answer(&sink.ledger, &head, &body, arrival),
            None => s3::answer(&sink.ledger, &head, &body, arrival),
        };
        wire.send(&answer.bytes(&head))?;
        if head.header("connection").is_some_and(|v| v.eq_ignore_ascii_case("close")) {
            break;
        }
    }
    Ok(())
}

/// A new authority, written to `ca.pem`, and a server certificate that it has signed.
fn certificate(dir: &Path) -> Result<ServerConfig, Box<dyn std::error::Error>> {
    let authority_key = KeyPair::generate()?;
    let mut params = CertificateParams::new(Vec::new())?;
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    // With one name for both, the leaf would look as if it had signed itself.
    params.distinguished_name.push(DnType::CommonName, "bench authority");
    let authority = params.self_signed(&authority_key)?;
    std::fs::write(dir.join("ca.pem"), authority.pem())?;
    let key = KeyPair::generate()?;
    let names = vec!["localhost".to_owned(), "127.0.0.1".to_owned()];
    let issuer = Issuer::new(params, authority_key);
    let mut leaf = CertificateParams::new(names)?;
    leaf.distinguished_name.push(DnType::CommonName, "bench sink");
    let leaf = leaf.signed_by(&key, &issuer)?;
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let mut config = ServerConfig::builder_with_provider(provider)
        .with_protocol_versions(&[&rustls::version::TLS13])?
        .with_no_client_auth()
        .with_single_cert(
            vec![leaf.der().clone(), authority.der().clone()],
            PrivatePkcs8KeyDer::from(key.serialize_der()).into(),
        )?;
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    config.enable_secret_extraction = true;
    config.send_tls13_tickets = 0;
    Ok(config)
}
