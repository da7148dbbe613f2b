//! The port: accepts connections on loopback, tells plain HTTP from TLS, serves each until it ends.
//!
//! Knows connections, not requests. Invariant: it listens on 127.0.0.1 and nowhere else, and when it is
//! told to stop, no task of it goes on.

use super::connection::Connection;
use super::dispatch::{self, ServerState};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;
use tokio_rustls::TlsAcceptor;
use tokio_util::sync::CancellationToken;

/// The first byte of a TLS connection.
const HANDSHAKE: u8 = 0x16;

/// More than the longest Authorization header, and enough for fast bodies.
const BUFFER: usize = 512 * 1024;

/// Header lines of one request: the 2,025 entries that 4,000 bytes of metadata can be, and the rest.
const HEADER_LINES: usize = 2500;

/// How long open connections may take to finish when the server stops.
const FAREWELL: Duration = Duration::from_millis(500);

pub async fn bind(port: u16) -> io::Result<(TcpListener, SocketAddr)> {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, port)).await?;
    let address = listener.local_addr()?;
    Ok((listener, address))
}

/// Accepts until `stop`, then gives open connections a moment.
pub async fn run(
    listener: TcpListener,
    tls: TlsAcceptor,
    core: Arc<ServerState>,
    stop: CancellationToken,
) {
    let mut connections = JoinSet::new();
    loop {
        tokio::select! {
            () = stop.cancelled() => break,
            Some(_) = connections.join_next() => {}
            accepted = listener.accept() => match accepted {
                Ok((stream, _)) => {
                    let (tls, core, stop) = (tls.clone(), core.clone(), stop.clone());
                    connections.spawn(connection(stream, tls, core, stop));
                }
                // Out of file descriptors, or a connection that was gone at once.
                Err(_) => tokio::time::sleep(Duration::from_millis(10)).await,
            },
        }
    }
    drop(listener);
    let all = async { while connections.join_next().await.is_some() {} };
    let _ = tokio::time::timeout(FAREWELL, all).await;
    connections.shutdown().await;
}

async fn connection(
    stream: TcpStream,
    tls: TlsAcceptor,
    core: Arc<ServerState>,
    stop: CancellationToken,
) {
    // Small answers follow small requests; waiting to fill packets only costs time.
    let _ = stream.set_nodelay(true);
    let mut first = [0];
    let line = match stream.peek(&mut first).await {
        Ok(1) if first[0] == HANDSHAKE => match tls.accept(stream).await {
            Ok(stream) => Connection::tls(stream),
            // A client that does not trust us says so by hanging up.
            Err(_) => return,
        },
        Ok(1) => Connection::plain(stream),
        _ => return,
    };
    let (orders, is_tls) = (line.orders(), line.is_tls());
    let service =
        service_fn(|request| dispatch::serve(core.clone(), orders.clone(), is_tls, request));
    let serving = http1::Builder::new()
        .timer(TokioTimer::new())
        .max_buf_size(BUFFER)
        .max_headers(HEADER_LINES)
        .serve_connection(TokioIo::new(line), service);
    tokio::pin!(serving);
    // How a connection ends is the client's affair, or the plan's.
    let _ = tokio::select! {
        ended = serving.as_mut() => ended,
        () = stop.cancelled() => {
            serving.as_mut().graceful_shutdown();
            serving.await
        }
    };
}
