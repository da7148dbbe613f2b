//! Resolves names to addresses with the system's resolver.
//!
//! Owns the threads that the resolver blocks, and the sharing of a look-up by connections that need
//! the same name at the same time. Knows nothing of connections. Invariant: a name whose server
//! does not respond delays no other name while fewer than 3 names are looked up, and a refused
//! thread is an error only where there is no thread at all.

use std::collections::HashMap;
use std::io::{self, ErrorKind};
use std::net::{IpAddr, SocketAddr, ToSocketAddrs};
use std::sync::{Arc, Mutex, PoisonError};

use tokio::sync::watch;

use crate::platform::worker::Worker;

/// Names that are looked up at the same time, each on a thread of its own: the service, the auth
/// service, a proxy. A thread is kept, so that a later look-up cannot fail for want of one.
const MAX_THREADS: usize = 3;

type HostPort = (String, u16);
type Resolved = Result<Vec<SocketAddr>, (io::ErrorKind, String)>;
/// The look-ups in flight, with the channel of each result.
type InFlightLookups = Arc<Mutex<HashMap<HostPort, watch::Receiver<Option<Resolved>>>>>;

#[derive(Default)]
pub(super) struct SharedResolver {
    in_flight: InFlightLookups,
    threads: Mutex<Vec<ResolverThread>>,
}

struct ResolverThread {
    worker: Worker,
    /// Shared with every look-up that is queued or runs on the thread.
    load: Arc<()>,
}

impl SharedResolver {
    /// The addresses of a name. Fails where the resolver fails, or no thread can be started for it.
    pub(super) async fn look_up(&self, host: String, port: u16) -> io::Result<Vec<SocketAddr>> {
        if let Ok(address) = host.parse::<IpAddr>() {
            return Ok(vec![SocketAddr::new(address, port)]);
        }
        let key = (host, port);
        let mut lookup = {
            let mut in_flight = self.in_flight.lock().unwrap_or_else(PoisonError::into_inner);
            match in_flight.get(&key) {
                Some(lookup) => lookup.clone(),
                None => {
                    let lookup = self.start_lookup(key.clone())?;
                    in_flight.insert(key.clone(), lookup.clone());
                    lookup
                }
            }
        };
        let resolved = match lookup.wait_for(Option::is_some).await {
            Ok(resolved) => resolved.clone(),
            Err(_) => None,
        };
        // A job that panicked leaves its entry.
        self.in_flight.lock().unwrap_or_else(PoisonError::into_inner).remove(&key);
        let resolved = resolved.unwrap_or_else(|| Err((ErrorKind::Other, "no answer".to_owned())));
        resolved.map_err(|(kind, text)| io::Error::new(kind, text))
    }

    /// Queues a look-up on the thread with the fewest; it runs also if its caller is dropped.
    fn start_lookup(&self, key: HostPort) -> io::Result<watch::Receiver<Option<Resolved>>> {
        let (result_tx, result_rx) = watch::channel(None);
        let mut threads = self.threads.lock().unwrap_or_else(PoisonError::into_inner);
        let all_busy = threads.iter().all(|thread| Arc::strong_count(&thread.load) > 1);
        if all_busy && threads.len() < MAX_THREADS {
            match Worker::start("ocipipe-names") {
                Ok(worker) => threads.push(ResolverThread { worker, load: Arc::default() }),
                Err(error) if threads.is_empty() => {
                    let text = format!("the system gives no thread to wait for it: {error}");
                    return Err(io::Error::new(error.kind(), text));
                }
                Err(_) => {}
            }
        }
        if let Some(thread) = threads.iter().min_by_key(|thread| Arc::strong_count(&thread.load)) {
            let (load, in_flight) = (thread.load.clone(), self.in_flight.clone());
            thread.worker.submit(move || {
                let resolved = key.to_socket_addrs().map(Iterator::collect);
                let resolved = resolved.map_err(|error| (error.kind(), error.to_string()));
                in_flight.lock().unwrap_or_else(PoisonError::into_inner).remove(&key);
                drop(load);
                // The receivers are gone if the callers were dropped.
                let _ = result_tx.send(Some(resolved));
            });
        }
        Ok(result_rx)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn an_address_needs_no_resolver_and_a_name_has_its_addresses() {
        let resolver = SharedResolver::default();
        let addresses = resolver.look_up("127.0.0.1".to_owned(), 7).await.unwrap();
        assert_eq!(addresses, ["127.0.0.1:7".parse().unwrap()]);
        let addresses = resolver.look_up("::1".to_owned(), 7).await.unwrap();
        assert_eq!(addresses, ["[::1]:7".parse().unwrap()]);
        assert!(resolver.threads.lock().unwrap().is_empty());
        let addresses = resolver.look_up("localhost".to_owned(), 7).await.unwrap();
        assert!(addresses.iter().all(|address| address.ip().is_loopback() && address.port() == 7));
        assert!(resolver.look_up("no such name".to_owned(), 7).await.is_err());
        assert!(resolver.in_flight.lock().unwrap().is_empty());
        assert_eq!(resolver.threads.lock().unwrap().len(), 1, "the thread is kept");
    }

    #[tokio::test]
    async fn a_name_that_many_need_at_once_is_looked_up_once() {
        let resolver = Arc::new(SharedResolver::default());
        let all = (0..20).map(|_| {
            let resolver = resolver.clone();
            tokio::spawn(async move { resolver.look_up("localhost".to_owned(), 7).await })
        });
        for one in all.collect::<Vec<_>>() {
            assert!(!one.await.unwrap().unwrap().is_empty());
        }
        assert_eq!(resolver.threads.lock().unwrap().len(), 1);
    }
}
