//! A TCP proxy between the program and its store that breaks single connections, or answers them
//! with another certificate.
//!
//! Knows nothing of HTTP. Invariant: bytes that it forwards are unchanged.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use rcgen::{CertificateParams, KeyPair};
use rustls::ServerConfig;
use rustls::pki_types::PrivatePkcs8KeyDer;
use tokio::io::{AsyncReadExt, copy_bidirectional};
use tokio::net::{TcpListener, TcpStream};
use tokio::runtime::Runtime;
use tokio_rustls::TlsAcceptor;

/// What goes wrong with a connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ConnectionFault {
    /// It is forwarded to the store.
    None,
    /// It is reset when its first bytes have arrived.
    ResetAtFirstByte,
    /// It is forwarded to the store, and reset after this many bytes towards the store.
    ResetAfter(u64),
    /// A server with another certificate answers it.
    OtherCertificate,
}

/// A running proxy; it ends when this is dropped.
pub struct FlakyProxy {
    address: SocketAddr,
    faults: Arc<AtomicUsize>,
    _runtime: Runtime,
}

impl FlakyProxy {
    /// Forwards to the store; `fault` gives the fault of each connection by its number, from 0.
    pub fn start(
        store: SocketAddr,
        fault: impl Fn(usize) -> ConnectionFault + Send + 'static,
    ) -> FlakyProxy {
        let mut builder = tokio::runtime::Builder::new_multi_thread();
        let runtime = builder.worker_threads(1).enable_all().build().unwrap();
        let listener = runtime.block_on(TcpListener::bind("127.0.0.1:0")).unwrap();
        let address = listener.local_addr().unwrap();
        let faults = Arc::new(AtomicUsize::new(0));
        let (other, counter) = (other_certificate(), faults.clone());
        runtime.spawn(async move {
            for number in 0.. {
                let (stream, _) = listener.accept().await.unwrap();
                let fault = fault(number);
                if fault != ConnectionFault::None {
                    counter.fetch_add(1, Ordering::SeqCst);
                }
                tokio::spawn(handle(stream, store, fault, other.clone()));
            }
        });
        FlakyProxy { address, faults, _runtime: runtime }
    }

    pub fn https_url(&self) -> String {
        format!("https://127.0.0.1:{}", self.address.port())
    }

    /// The number of connections that had a fault so far.
    pub fn faults(&self) -> usize {
        self.faults.load(Ordering::SeqCst)
    }
}

/// Handles one connection. Errors of it are what the program under test must handle.
async fn handle(
    mut stream: TcpStream,
    store: SocketAddr,
    fault: ConnectionFault,
    other: TlsAcceptor,
) {
    match fault {
        ConnectionFault::OtherCertificate => drop(other.accept(stream).await),
        ConnectionFault::ResetAtFirstByte => {
            let _ = stream.read(&mut [0; 16]).await;
            stream.set_zero_linger().unwrap();
        }
        ConnectionFault::None => {
            let mut upstream = TcpStream::connect(store).await.unwrap();
            let _ = copy_bidirectional(&mut stream, &mut upstream).await;
        }
        ConnectionFault::ResetAfter(bytes) => {
            let upstream = TcpStream::connect(store).await.unwrap();
            stream.set_zero_linger().unwrap();
            upstream.set_zero_linger().unwrap();
            let (mut from, mut back) = stream.split();
            let (mut responses, mut to) = upstream.into_split();
            tokio::select! {
                _ = async {
                    tokio::io::copy(&mut (&mut from).take(bytes), &mut to).await
                } => {}
                _ = tokio::io::copy(&mut responses, &mut back) => {}
            }
        }
    }
}

/// A TLS server with a self-signed certificate.
fn other_certificate() -> TlsAcceptor {
    let key = KeyPair::generate().unwrap();
    let params = CertificateParams::new(vec!["127.0.0.1".to_owned()]).unwrap();
    let certificate = params.self_signed(&key).unwrap();
    let key = PrivatePkcs8KeyDer::from(key.serialize_der());
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(vec![certificate.der().clone()], key.into())
        .unwrap();
    TlsAcceptor::from(Arc::new(config))
}
