//! The ports: accepts connections on loopback, distinguishes TLS from plain HTTP, serves each
//! connection.
//!
//! Knows connections and no request. Invariant: it listens on loopback and nowhere else, and no
//! connection is open after `run` has returned.

use super::connection::Connection;
use super::context::{Port, ServerState};
use super::dispatch;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use std::io;
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;
use tokio_rustls::TlsAcceptor;
use tokio_util::sync::CancellationToken;

/// The first byte of a TLS connection.
const TLS_HANDSHAKE: u8 = 0x16;

/// Bytes that hyper buffers: more than the longest Authorization header, and enough for fast
/// bodies.
const MAX_BUFFER: usize = 512 * 1024;

/// Header lines of one request: 4,000 bytes of metadata are at most 2,025 entries; the rest is for
/// the other headers.
const MAX_HEADER_LINES: usize = 2500;

/// How long open connections may take to finish when the server stops.
const SHUTDOWN_TIMEOUT: Duration = Duration::from_millis(500);

/// Listens on 127.0.0.1; port 0 takes any free port. Fails if the port is in use.
pub(crate) async fn bind(port: u16) -> io::Result<(TcpListener, SocketAddr)> {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, port)).await?;
    let address = listener.local_addr()?;
    Ok((listener, address))
}

/// How often any free port is tried that is free on both addresses.
const PORT_ATTEMPTS: usize = 20;

/// Listens on 127.0.0.1 and, where IPv6 exists, on the same port of ::1; port 0 takes any port that
/// is free on both. Fails if the port is in use on one of them.
pub(crate) async fn bind_both(port: u16) -> io::Result<(Vec<TcpListener>, u16)> {
    for attempt in 1.. {
        let (first, address) = bind(port).await?;
        match TcpListener::bind((Ipv6Addr::LOCALHOST, address.port())).await {
            Ok(second) => return Ok((vec![first, second], address.port())),
            Err(error) if error.kind() == io::ErrorKind::AddrInUse => {
                if port != 0 || attempt == PORT_ATTEMPTS {
                    return Err(error);
                }
            }
            // The system has no IPv6, or none on loopback.
            Err(_) => return Ok((vec![first], address.port())),
        }
    }
    Err(io::ErrorKind::AddrInUse.into())
}

/// Accepts connections until `stop`, then waits for the open ones for at most `SHUTDOWN_TIMEOUT`.
pub(crate) async fn run(
    listener: TcpListener,
    port: Port,
    tls: TlsAcceptor,
    state: Arc<ServerState>,
    stop: CancellationToken,
) {
    let mut connections = JoinSet::new();
    loop {
        tokio::select! {
            () = stop.cancelled() => break,
            Some(_) = connections.join_next() => {}
            accepted = listener.accept() => match accepted {
                Ok((stream, _)) => {
                    let (tls, state, stop) = (tls.clone(), state.clone(), stop.clone());
                    connections.spawn(serve_connection(stream, port, tls, state, stop));
                }
                // The process is out of file descriptors, or the client closed the connection at
                // once.
                Err(_) => tokio::time::sleep(Duration::from_millis(10)).await,
            },
        }
    }
    drop(listener);
    let all = async { while connections.join_next().await.is_some() {} };
    let _ = tokio::time::timeout(SHUTDOWN_TIMEOUT, all).await;
    connections.shutdown().await;
}

async fn serve_connection(
    stream: TcpStream,
    port: Port,
    tls: TlsAcceptor,
    state: Arc<ServerState>,
    stop: CancellationToken,
) {
    // Small responses follow small requests, so waiting to fill packets only costs time.
    let _ = stream.set_nodelay(true);
    let mut first = [0];
    let connection = match stream.peek(&mut first).await {
        Ok(1) if first[0] == TLS_HANDSHAKE => match tls.accept(stream).await {
            Ok(stream) => Connection::tls(stream),
            // A client that does not trust the certificate closes the connection.
            Err(_) => return,
        },
        // The token service of a cluster has no plain HTTP.
        Ok(1) if port == Port::Main => Connection::plain(stream),
        _ => return,
    };
    let (control, tls) = (connection.control(), connection.is_tls());
    let service =
        service_fn(|request| dispatch::serve(state.clone(), control.clone(), port, tls, request));
    let serving = http1::Builder::new()
        .timer(TokioTimer::new())
        .max_buf_size(MAX_BUFFER)
        .max_headers(MAX_HEADER_LINES)
        .serve_connection(TokioIo::new(connection), service);
    tokio::pin!(serving);
    // A connection may end in an error: the client closes it, or a fault breaks it.
    let _ = tokio::select! {
        ended = serving.as_mut() => ended,
        () = stop.cancelled() => {
            serving.as_mut().graceful_shutdown();
            serving.await
        }
    };
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_server_of_both_addresses_has_one_port_and_fails_where_one_is_in_use() {
        let (listeners, port) = bind_both(0).await.unwrap();
        assert_ne!(port, 0);
        for listener in &listeners {
            assert_eq!(listener.local_addr().unwrap().port(), port);
        }
        assert_eq!(bind_both(port).await.unwrap_err().kind(), io::ErrorKind::AddrInUse);
        drop(listeners);
        // A system without IPv6 has the first address only.
        if let Ok(second) = TcpListener::bind((Ipv6Addr::LOCALHOST, 0)).await {
            let port = second.local_addr().unwrap().port();
            assert_eq!(bind_both(port).await.unwrap_err().kind(), io::ErrorKind::AddrInUse);
            drop(second);
            let (both, found) = bind_both(port).await.unwrap();
            assert_eq!((both.len(), found), (2, port));
        }
    }
}
