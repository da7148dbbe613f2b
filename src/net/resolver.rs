//! Resolves names to addresses with the system's resolver.
//!
//! Owns the threads that the resolver blocks, and the sharing of a look-up by connections that need
//! the same name at the same time. Knows nothing of connections. Invariant: a name whose server
//! does not respond delays no other name while fewer than 3 names are looked up, and a refused
//! thread is an error only where there is no thread at all; a name that was resolved once has addresses for the
//! rest of the run.

use std::collections::HashMap;
use std::io::{self, ErrorKind};
use std::net::{IpAddr, SocketAddr, ToSocketAddrs};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::watch;

use crate::platform::worker::Worker;

/// Names that are looked up at the same time, each on a thread of its own: the service, the auth
/// service, a proxy. A thread is kept, so that a later look-up cannot fail for want of one.
const MAX_THREADS: usize = 3;

type HostPort = (String, u16);
type Resolved = Result<Vec<SocketAddr>, (io::ErrorKind, String)>;
/// How long a look-up may take of a name whose addresses are known. It leaves time to connect, also to the
/// metadata service, which has 2 s for both.
const KNOWN_TIMEOUT: Duration = Duration::from_secs(1);

/// The last addresses of each name.
type KnownAddresses = Arc<Mutex<HashMap<HostPort, Vec<SocketAddr>>>>;
/// The look-ups in flight, with the channel of each result.
type InFlightLookups = Arc<Mutex<HashMap<HostPort, watch::Receiver<Option<Resolved>>>>>;

#[derive(Default)]
pub(super) struct SharedResolver {
    in_flight: InFlightLookups,
    known: KnownAddresses,
    threads: Mutex<Vec<ResolverThread>>,
}

struct ResolverThread {
    worker: Worker,
    /// Shared with every look-up that is queued or runs on the thread.
    load: Arc<()>,
}

impl SharedResolver {
    /// The addresses of a name; where the resolver fails or takes long, those of its last answer. Fails where
    /// there was none, or no thread can be started for it.
    pub(super) async fn look_up(&self, host: String, port: u16) -> io::Result<Vec<SocketAddr>> {
        if let Ok(address) = host.parse::<IpAddr>() {
            return Ok(vec![SocketAddr::new(address, port)]);
        }
        let key = (host, port);
        let mut lookup = {
            let mut in_flight = lock(&self.in_flight);
            match in_flight.get(&key) {
                Some(lookup) => lookup.clone(),
                None => {
                    let lookup = self.start_lookup(key.clone())?;
                    in_flight.insert(key.clone(), lookup.clone());
                    lookup
                }
            }
        };
        let known = lock(&self.known).get(&key).cloned();
        let answered = lookup.wait_for(Option::is_some);
        let resolved = match &known {
            None => answered.await.ok().and_then(|resolved| resolved.clone()),
            Some(known) => match tokio::time::timeout(KNOWN_TIMEOUT, answered).await {
                Ok(resolved) => resolved.ok().and_then(|resolved| resolved.clone()),
                // The look-up goes on.
                Err(_) => return Ok(known.clone()),
            },
        };
        // A job that panicked leaves its entry.
        lock(&self.in_flight).remove(&key);
        let resolved = resolved.unwrap_or_else(|| Err((ErrorKind::Other, "no answer".to_owned())));
        match (resolved, known) {
            (Ok(addresses), _) => Ok(addresses),
            (Err(_), Some(known)) => Ok(known),
            (Err((kind, text)), None) => Err(io::Error::new(kind, text)),
        }
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
            let known = self.known.clone();
            thread.worker.submit(move || {
                let resolved = key.to_socket_addrs().map(Iterator::collect::<Vec<_>>);
                let resolved = resolved.map_err(|error| (error.kind(), error.to_string()));
                if let Ok(addresses) = &resolved {
                    lock(&known).insert(key.clone(), addresses.clone());
                }
                lock(&in_flight).remove(&key);
                drop(load);
                // The receivers are gone if the callers were dropped.
                let _ = result_tx.send(Some(resolved));
            });
        }
        Ok(result_rx)
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
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
    async fn a_name_that_cannot_be_resolved_any_more_has_the_addresses_of_its_last_answer() {
        let resolver = SharedResolver::default();
        let key = ("no such name".to_owned(), 7);
        let last = vec!["127.0.0.1:7".parse().unwrap()];
        lock(&resolver.known).insert(key.clone(), last.clone());
        assert_eq!(resolver.look_up(key.0.clone(), key.1).await.unwrap(), last);
        // An answer replaces them.
        let key = ("localhost".to_owned(), 7);
        lock(&resolver.known).insert(key.clone(), vec!["192.0.2.1:7".parse().unwrap()]);
        let found = resolver.look_up(key.0.clone(), key.1).await.unwrap();
        assert!(found.iter().all(|address| address.ip().is_loopback()));
        assert_eq!(lock(&resolver.known)[&key], found);
    }

    #[tokio::test(start_paused = true)]
    async fn a_look_up_without_an_answer_delays_a_known_name_for_a_moment_only() {
        let resolver = SharedResolver::default();
        let key = ("localhost".to_owned(), 7);
        let (_answer, unanswered) = watch::channel(None);
        lock(&resolver.in_flight).insert(key.clone(), unanswered);
        let last = vec!["127.0.0.1:7".parse().unwrap()];
        lock(&resolver.known).insert(key.clone(), last.clone());
        let began_at = tokio::time::Instant::now();
        assert_eq!(resolver.look_up(key.0, key.1).await.unwrap(), last);
        assert_eq!(began_at.elapsed(), KNOWN_TIMEOUT);
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
