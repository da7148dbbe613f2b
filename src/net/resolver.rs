//! From names to addresses, by the system's resolver.
//!
//! Owns the threads that wait for it, since it can only be waited for, and what several connections
//! ask at the same time, which is asked once. Knows nothing of connections. Invariant: a name that no
//! server answers for does not keep another one waiting while there can be a thread for it, and a
//! refusal of threads is an error only where there is none at all.

use std::collections::HashMap;
use std::io::{self, ErrorKind};
use std::net::{IpAddr, SocketAddr, ToSocketAddrs};
use std::sync::{Arc, Mutex, PoisonError};

use tokio::sync::watch;

use crate::platform::worker::Worker;

/// Names that are waited for at the same time, each on a thread of its own: the service, the service
/// of tokens, a proxy. The thread stays, and with it the certainty that the name can be looked up
/// again.
const MAX_THREADS: usize = 3;

type HostPort = (String, u16);
type Resolved = Result<Vec<SocketAddr>, (io::ErrorKind, String)>;
/// What is being looked up, and where the answer will be.
type InFlightLookups = Arc<Mutex<HashMap<HostPort, watch::Receiver<Option<Resolved>>>>>;

#[derive(Default)]
pub(super) struct SharedResolver {
    in_flight: InFlightLookups,
    threads: Mutex<Vec<ResolverThread>>,
}

struct ResolverThread {
    worker: Worker,
    /// Shared with every look-up that it has to do.
    load: Arc<()>,
}

impl SharedResolver {
    pub async fn look_up(&self, host: String, port: u16) -> io::Result<Vec<SocketAddr>> {
        if let Ok(address) = host.parse::<IpAddr>() {
            return Ok(vec![SocketAddr::new(address, port)]);
        }
        let key = (host, port);
        let mut answer = {
            let mut under_way = self.in_flight.lock().unwrap_or_else(PoisonError::into_inner);
            match under_way.get(&key) {
                Some(answer) => answer.clone(),
                None => {
                    let answer = self.start_lookup(key.clone())?;
                    under_way.insert(key.clone(), answer.clone());
                    answer
                }
            }
        };
        let found = match answer.wait_for(Option::is_some).await {
            Ok(found) => found.clone(),
            Err(_) => None,
        };
        // Of a thread that panicked, an entry would be left.
        self.in_flight.lock().unwrap_or_else(PoisonError::into_inner).remove(&key);
        let found = found.unwrap_or_else(|| Err((ErrorKind::Other, "no answer".to_owned())));
        found.map_err(|(kind, text)| io::Error::new(kind, text))
    }

    /// Has it asked by a thread, whoever still waits for it then.
    fn start_lookup(&self, key: HostPort) -> io::Result<watch::Receiver<Option<Resolved>>> {
        let (tell, answer) = watch::channel(None);
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
            let (load, under_way) = (thread.load.clone(), self.in_flight.clone());
            thread.worker.submit(move || {
                let found = key.to_socket_addrs().map(Iterator::collect);
                let found = found.map_err(|error| (error.kind(), error.to_string()));
                under_way.lock().unwrap_or_else(PoisonError::into_inner).remove(&key);
                drop(load);
                // Those who waited may have given up.
                let _ = tell.send(Some(found));
            });
        }
        Ok(answer)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn an_address_needs_no_resolver_and_a_name_has_its_addresses() {
        let names = SharedResolver::default();
        let found = names.look_up("127.0.0.1".to_owned(), 7).await.unwrap();
        assert_eq!(found, ["127.0.0.1:7".parse().unwrap()]);
        let found = names.look_up("::1".to_owned(), 7).await.unwrap();
        assert_eq!(found, ["[::1]:7".parse().unwrap()]);
        assert!(names.threads.lock().unwrap().is_empty());
        let found = names.look_up("localhost".to_owned(), 7).await.unwrap();
        assert!(found.iter().all(|address| address.ip().is_loopback() && address.port() == 7));
        assert!(names.look_up("no such name".to_owned(), 7).await.is_err());
        assert!(names.in_flight.lock().unwrap().is_empty());
        assert_eq!(names.threads.lock().unwrap().len(), 1, "the thread is kept");
    }

    #[tokio::test]
    async fn what_is_asked_by_many_at_once_is_asked_once() {
        let names = Arc::new(SharedResolver::default());
        let all = (0..20).map(|_| {
            let names = names.clone();
            tokio::spawn(async move { names.look_up("localhost".to_owned(), 7).await })
        });
        for one in all.collect::<Vec<_>>() {
            assert!(!one.await.unwrap().unwrap().is_empty());
        }
        assert_eq!(names.threads.lock().unwrap().len(), 1);
    }
}
