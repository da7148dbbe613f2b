//! The threads that drive connections: TLS, checksums and system calls of bodies run there.
//!
//! Owns the threads, each with a runtime of its own, and the choice of one for a new connection.
//! Knows nothing of connections. Invariant: a refused thread fails nothing. A thread is started for
//! a connection while all are in use; where the system refuses it, the connection shares one that
//! exists, and the caller's where none does.

use std::io;
use std::sync::mpsc;
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;
use std::time::Duration;

use tokio::runtime::{Builder, Handle, Runtime};
use tokio::sync::oneshot;

/// One thread encrypts about as fast as the reading thread reads and hashes, so two keep up with
/// it.
const MAX_THREADS: usize = 2;
/// How long the drop waits for connections to be closed. They close at once, unless their thread is
/// in a system call that does not return.
const CLOSE_TIMEOUT: Duration = Duration::from_millis(500);

/// The threads that were started so far.
#[derive(Default)]
pub(super) struct ConnectionThreads {
    threads: Mutex<Vec<ConnectionThread>>,
}

struct ConnectionThread {
    handle: Handle,
    /// Shared with every connection on it.
    load: Arc<()>,
    stop: Option<oneshot::Sender<()>>,
    stopped: mpsc::Receiver<()>,
}

/// The thread of one connection.
pub(super) struct ThreadLease {
    pub handle: Handle,
    /// Held for as long as the connection is open; `None` on the caller's thread.
    pub load: Option<Arc<()>>,
}

impl ConnectionThreads {
    /// The thread with the fewest connections, for one more connection.
    pub(super) fn lease(&self) -> ThreadLease {
        let mut threads = self.threads.lock().unwrap_or_else(PoisonError::into_inner);
        let all_busy = threads.iter().all(|thread| Arc::strong_count(&thread.load) > 1);
        if all_busy
            && threads.len() < MAX_THREADS
            && let Ok(thread) = ConnectionThread::start()
        {
            threads.push(thread);
        }
        match threads.iter().min_by_key(|thread| Arc::strong_count(&thread.load)) {
            Some(thread) => {
                ThreadLease { handle: thread.handle.clone(), load: Some(thread.load.clone()) }
            }
            None => ThreadLease { handle: Handle::current(), load: None },
        }
    }
}

impl ConnectionThread {
    fn start() -> io::Result<ConnectionThread> {
        let runtime = Builder::new_current_thread().enable_all().build()?;
        let handle = runtime.handle().clone();
        let (stop_tx, stop_rx) = oneshot::channel();
        let (stopped_tx, stopped) = mpsc::channel();
        let (runtime_tx, runtime_rx) = mpsc::channel::<Runtime>();
        let body = move || {
            if let Ok(runtime) = runtime_rx.recv() {
                // A dropped sender is a stop, too.
                let _ = runtime.block_on(stop_rx);
                runtime.shutdown_background();
            }
            drop(stopped_tx);
        };
        let thread = thread::Builder::new().name("ocipipe-line".to_owned());
        // The runtime is sent once the thread exists: a closure that is dropped with it, where the
        // thread is refused, would drop it within another runtime, and that panics.
        let sent = match thread.spawn(body) {
            Ok(_) => runtime_tx.send(runtime).map_err(|mpsc::SendError(runtime)| {
                (runtime, io::Error::other("the thread ended at once"))
            }),
            Err(error) => Err((runtime, error)),
        };
        match sent {
            Ok(()) => {
                Ok(ConnectionThread { handle, load: Arc::new(()), stop: Some(stop_tx), stopped })
            }
            Err((runtime, error)) => {
                runtime.shutdown_background();
                Err(error)
            }
        }
    }
}

impl Drop for ConnectionThreads {
    /// Closes the connections before it returns, so that the kernel does not send the rest of an
    /// abandoned exchange while the process ends.
    fn drop(&mut self) {
        let threads = self.threads.get_mut().unwrap_or_else(PoisonError::into_inner);
        threads.iter_mut().for_each(|thread| drop(thread.stop.take()));
        for thread in threads {
            // The channel carries nothing: its end is the end of the thread.
            let _ = thread.stopped.recv_timeout(CLOSE_TIMEOUT);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn connections_are_spread_over_threads_of_their_own() {
        let pool = ConnectionThreads::default();
        let name = || thread::current().name().map(str::to_owned);
        let here = thread::current().id();
        let (one, two, three) = (pool.lease(), pool.lease(), pool.lease());
        let mut threads = Vec::new();
        for lease in [&one, &two, &three] {
            let ran = lease.handle.spawn(async move { (thread::current().id(), name()) });
            let (thread, name) = ran.await.unwrap();
            assert_eq!(name.as_deref(), Some("ocipipe-line"));
            assert_ne!(thread, here);
            threads.push(thread);
        }
        assert_ne!(threads[0], threads[1]);
        assert_eq!(pool.threads.lock().unwrap().len(), MAX_THREADS);
        drop(two);
        let next = pool.lease();
        let ran = next.handle.spawn(async { thread::current().id() });
        assert_eq!(ran.await.unwrap(), threads[1], "the one that is idle is taken");
    }

    #[tokio::test]
    async fn what_is_under_way_is_dropped_before_the_threads_are_gone() {
        let pool = ConnectionThreads::default();
        let (guard, dropped_rx) = mpsc::channel::<()>();
        let (begun_tx, begun_rx) = oneshot::channel();
        pool.lease().handle.spawn(async move {
            let _guard = guard;
            begun_tx.send(()).unwrap();
            std::future::pending::<()>().await;
        });
        begun_rx.await.unwrap();
        drop(pool);
        assert_eq!(dropped_rx.try_recv(), Err(mpsc::TryRecvError::Disconnected));
    }
}
