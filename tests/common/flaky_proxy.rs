//! Something between the program and its store that spoils single connections, or swaps what the
//! program meets there.
//!
//! Knows nothing of HTTP. Invariant: what it lets pass is passed on unchanged.

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

/// What happens to a connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fate {
    /// It is led to the store.
    Passes,
    /// It is reset when the first bytes have come.
    ResetAtOnce,
    /// It is led to the store, and reset after so many bytes towards it.
    ResetAfter(u64),
    /// A server with another certificate answers.
    OtherCertificate,
}

/// The way through the front; it is gone when this is dropped.
pub struct Front {
    address: SocketAddr,
    met: Arc<AtomicUsize>,
    _runtime: Runtime,
}

impl Front {
    /// Leads to the store; the fate of each connection is told by its number, from 0.
    pub fn before(store: SocketAddr, fate: impl Fn(usize) -> Fate + Send + 'static) -> Front {
        let mut builder = tokio::runtime::Builder::new_multi_thread();
        let runtime = builder.worker_threads(1).enable_all().build().unwrap();
        let listener = runtime.block_on(TcpListener::bind("127.0.0.1:0")).unwrap();
        let address = listener.local_addr().unwrap();
        let met = Arc::new(AtomicUsize::new(0));
        let (other, counter) = (other_certificate(), met.clone());
        runtime.spawn(async move {
            for number in 0.. {
                let (stream, _) = listener.accept().await.unwrap();
                let fate = fate(number);
                if fate != Fate::Passes {
                    counter.fetch_add(1, Ordering::SeqCst);
                }
                tokio::spawn(meet(stream, store, fate, other.clone()));
            }
        });
        Front { address, met, _runtime: runtime }
    }

    pub fn https_url(&self) -> String {
        format!("https://127.0.0.1:{}", self.address.port())
    }

    /// How many connections did not just pass.
    pub fn met(&self) -> usize {
        self.met.load(Ordering::SeqCst)
    }
}

/// How a connection ends is for the program to cope with.
async fn meet(mut stream: TcpStream, store: SocketAddr, fate: Fate, other: TlsAcceptor) {
    match fate {
        Fate::OtherCertificate => drop(other.accept(stream).await),
        Fate::ResetAtOnce => {
            let _ = stream.read(&mut [0; 16]).await;
            stream.set_zero_linger().unwrap();
        }
        Fate::Passes => {
            let mut there = TcpStream::connect(store).await.unwrap();
            let _ = copy_bidirectional(&mut stream, &mut there).await;
        }
        Fate::ResetAfter(bytes) => {
            let there = TcpStream::connect(store).await.unwrap();
            stream.set_zero_linger().unwrap();
            there.set_zero_linger().unwrap();
            let (mut from, mut back) = stream.split();
            let (mut answers, mut to) = there.into_split();
            tokio::select! {
                _ = async {
                    tokio::io::copy(&mut (&mut from).take(bytes), &mut to).await
                } => {}
                _ = tokio::io::copy(&mut answers, &mut back) => {}
            }
        }
    }
}

/// A server that has signed its certificate itself.
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
