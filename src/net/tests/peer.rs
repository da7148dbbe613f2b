//! Servers of raw sockets, and one exchange of a client.
//!
//! Knows nothing of the tests. Invariant: a server runs for as long as the runtime of its test.

use std::io::Write;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use rcgen::{BasicConstraints, CertificateParams, DnType, IsCa, Issuer, KeyPair};
use rustls::ServerConfig;
use rustls::pki_types::PrivatePkcs8KeyDer;
use tempfile::NamedTempFile;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio_rustls::TlsAcceptor;

use crate::auth::options::{CertBundle, NetworkOptions};
use crate::net::{Connection, RequestBody, RequestHead, Throttle, Transport, TransportFailure};
use proto::api::Response;
use proto::digest::BufferCrc;
use proto::endpoint::Endpoint;

pub(super) const OK: &str = "HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok";

/// A connection, with or without TLS.
pub(super) trait Stream: AsyncRead + AsyncWrite + Unpin + Send {}
impl<S: AsyncRead + AsyncWrite + Unpin + Send> Stream for S {}
pub(super) type Boxed = Box<dyn Stream>;

/// Serves each connection, counted from 0, in a task of its own.
pub(super) async fn serve<F, S>(serving: F) -> Endpoint
where
    F: Fn(usize, TcpStream) -> S + Send + 'static,
    S: Future<Output = ()> + Send + 'static,
{
    serve_on(TcpListener::bind("127.0.0.1:0").await.unwrap(), "http", serving)
}

pub(super) fn serve_on<F, S>(listener: TcpListener, scheme: &str, serving: F) -> Endpoint
where
    F: Fn(usize, TcpStream) -> S + Send + 'static,
    S: Future<Output = ()> + Send + 'static,
{
    let port = listener.local_addr().unwrap().port();
    tokio::spawn(async move {
        for number in 0.. {
            let (stream, _) = listener.accept().await.unwrap();
            // Otherwise Nagle's algorithm may delay a response, which a reset then discards.
            stream.set_nodelay(true).unwrap();
            tokio::spawn(serving(number, stream));
        }
    });
    Endpoint::parse("--endpoint", &format!("{scheme}://127.0.0.1:{port}")).unwrap()
}

/// Serves connections with or without TLS in the same way, and makes a transport that trusts them.
pub(super) async fn serve_both<F, S>(tls: bool, serving: F) -> (Endpoint, Transport)
where
    F: Fn(usize, Boxed) -> S + Send + Sync + 'static,
    S: Future<Output = ()> + Send + 'static,
{
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let authority = tls.then(TestCa::new);
    let acceptor = authority.as_ref().map(|authority| authority.acceptor.clone());
    let scheme = if tls { "https" } else { "http" };
    let serving = Arc::new(serving);
    let endpoint = serve_on(listener, scheme, move |number, stream| {
        let (acceptor, serving) = (acceptor.clone(), serving.clone());
        async move {
            let stream: Boxed = match acceptor {
                Some(acceptor) => match acceptor.accept(stream).await {
                    Ok(stream) => Box::new(stream),
                    Err(_) => return,
                },
                None => Box::new(stream),
            };
            serving(number, stream).await;
        }
    });
    let network = authority.as_ref().map(TestCa::network).unwrap_or_default();
    let transport = Transport::new(&network, Duration::from_secs(20)).unwrap();
    (endpoint, transport)
}

/// A certificate authority, as a file, and a TLS server with a certificate of it.
pub(super) struct TestCa {
    pub bundle: NamedTempFile,
    pub acceptor: TlsAcceptor,
}

impl TestCa {
    /// Options by which this authority alone is trusted.
    pub(super) fn network(&self) -> NetworkOptions {
        let paths = vec![self.bundle.path().to_owned()];
        let bundle = Some(CertBundle { paths, origin: "--cert-bundle".to_owned() });
        NetworkOptions { cert_bundle: bundle, ..NetworkOptions::default() }
    }

    pub(super) fn new() -> TestCa {
        let ca_key = KeyPair::generate().unwrap();
        let mut ca = CertificateParams::new(Vec::<String>::new()).unwrap();
        ca.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        ca.distinguished_name.push(DnType::CommonName, "an authority of one test");
        let mut bundle = NamedTempFile::new().unwrap();
        bundle.write_all(ca.self_signed(&ca_key).unwrap().pem().as_bytes()).unwrap();
        let key = KeyPair::generate().unwrap();
        let mut leaf =
            CertificateParams::new(["127.0.0.1".to_owned(), "localhost".to_owned()]).unwrap();
        leaf.distinguished_name.push(DnType::CommonName, "a server of one test");
        let leaf = leaf.signed_by(&key, &Issuer::new(ca, ca_key)).unwrap();
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let config = ServerConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_no_client_auth()
            .with_single_cert(
                vec![leaf.der().clone()],
                PrivatePkcs8KeyDer::from(key.serialize_der()).into(),
            )
            .unwrap();
        TestCa { bundle, acceptor: TlsAcceptor::from(Arc::new(config)) }
    }
}

/// Reads the head of a request. Returns the bytes of its body that came with it.
pub(super) async fn read_head(stream: &mut (impl AsyncRead + Unpin)) -> Option<Vec<u8>> {
    let mut bytes = Vec::new();
    loop {
        if let Some(end) = bytes.windows(4).position(|window| window == b"\r\n\r\n") {
            return Some(bytes.split_off(end + 4));
        }
        if stream.read_buf(&mut bytes).await.unwrap_or(0) == 0 {
            return None;
        }
    }
}

/// Reads a request with a body of `length` bytes. Returns false at the end of the connection.
pub(super) async fn read_request(stream: &mut (impl AsyncRead + Unpin), length: usize) -> bool {
    let Some(mut body) = read_head(stream).await else { return false };
    while body.len() < length {
        if stream.read_buf(&mut body).await.unwrap_or(0) == 0 {
            return false;
        }
    }
    true
}

pub(super) async fn send(stream: &mut (impl AsyncWrite + Unpin), text: &str) {
    // The client may have closed the connection.
    let _ = stream.write_all(text.as_bytes()).await;
    let _ = stream.flush().await;
}

pub(super) fn post(length: usize) -> RequestHead {
    let headers = [("host", "test".to_owned()), ("content-length", length.to_string())];
    let headers = headers.map(|(name, value)| (name.to_owned(), value));
    RequestHead { method: "POST", target: "/".to_owned().into(), headers: headers.into() }
}

/// One exchange with a body of `length` bytes.
pub(super) async fn exchange(
    transport: &Transport,
    endpoint: &Endpoint,
    length: usize,
) -> Result<Response, TransportFailure> {
    exchange_throttled(transport, endpoint, length, None).await
}

pub(super) async fn exchange_throttled(
    transport: &Transport,
    endpoint: &Endpoint,
    length: usize,
    throttle: Option<Arc<Throttle>>,
) -> Result<Response, TransportFailure> {
    exchange_over(transport.connect(endpoint).await?, length, throttle).await
}

/// The same over a connection that is made.
pub(super) async fn exchange_over(
    connection: Connection<'_>,
    length: usize,
    throttle: Option<Arc<Throttle>>,
) -> Result<Response, TransportFailure> {
    let body = RequestBody::new(vec![Bytes::from(vec![7; length])], BufferCrc::Crc32, throttle);
    connection.exchange(post(length), body).await
}
