//! The threads that carry connections: TLS, checksums and system calls of bodies run there.
//!
//! Owns the threads, each with a runtime of its own, and which one a new connection goes to. Knows
//! nothing of what a connection is. Invariant: nothing fails for want of a thread. A thread is started
//! when a connection could use one; where the system refuses it, the connection shares a thread that
//! there is, at worst the caller's.

use std::io;
use std::sync::mpsc;
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;
use std::time::Duration;

use tokio::runtime::{Builder, Handle, Runtime};
use tokio::sync::oneshot;

/// One thread encrypts about as fast as another one reads and hashes.
const MAX_THREADS: usize = 2;
/// At the end: how long connections may take to be closed. It is done at once, unless a thread is in
/// a system call that does not come back.
const CLOSE_TIMEOUT: Duration = Duration::from_millis(500);

/// The threads so far.
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

/// Where a connection is to live.
pub(super) struct ThreadLease {
    pub handle: Handle,
    /// To be held as long as the connection.
    pub load: Option<Arc<()>>,
}

impl ConnectionThreads {
    /// The place for one more connection.
    pub fn lease(&self) -> ThreadLease {
        let mut started = self.threads.lock().unwrap_or_else(PoisonError::into_inner);
        let all_busy = started.iter().all(|line| Arc::strong_count(&line.load) > 1);
        if all_busy
            && started.len() < MAX_THREADS
            && let Ok(line) = ConnectionThread::start()
        {
            started.push(line);
        }
        match started.iter().min_by_key(|line| Arc::strong_count(&line.load)) {
            Some(line) => {
                ThreadLease { handle: line.handle.clone(), load: Some(line.load.clone()) }
            }
            None => ThreadLease { handle: Handle::current(), load: None },
        }
    }
}

impl ConnectionThread {
    fn start() -> io::Result<ConnectionThread> {
        let runtime = Builder::new_current_thread().enable_all().build()?;
        let handle = runtime.handle().clone();
        let (stop, stopping) = oneshot::channel();
        let (tell, stopped) = mpsc::channel();
        let (hand, handed) = mpsc::channel::<Runtime>();
        let running = move || {
            if let Ok(runtime) = handed.recv() {
                // Nobody can be told of a sender that is gone: that is to stop, too.
                let _ = runtime.block_on(stopping);
                runtime.shutdown_background();
            }
            drop(tell);
        };
        let thread = thread::Builder::new().name("ocipipe-line".to_owned());
        // Handed over only now: a runtime must not be dropped here, in the middle of another one.
        let handed = match thread.spawn(running) {
            Ok(_) => hand.send(runtime).map_err(|mpsc::SendError(runtime)| {
                (runtime, io::Error::other("the thread ended at once"))
            }),
            Err(error) => Err((runtime, error)),
        };
        match handed {
            Ok(()) => {
                Ok(ConnectionThread { handle, load: Arc::new(()), stop: Some(stop), stopped })
            }
            Err((runtime, error)) => {
                runtime.shutdown_background();
                Err(error)
            }
        }
    }
}

impl Drop for ConnectionThreads {
    /// Connections are closed before this returns: what was given up must not be sent by the kernel
    /// while the process ends.
    fn drop(&mut self) {
        let started = self.threads.get_mut().unwrap_or_else(PoisonError::into_inner);
        started.iter_mut().for_each(|line| drop(line.stop.take()));
        for line in started {
            // The end of the channel is the end of the thread; nothing is ever sent.
            let _ = line.stopped.recv_timeout(CLOSE_TIMEOUT);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn connections_are_spread_over_threads_of_their_own() {
        let lines = ConnectionThreads::default();
        let name = || thread::current().name().map(str::to_owned);
        let here = thread::current().id();
        let (one, two, three) = (lines.lease(), lines.lease(), lines.lease());
        let mut threads = Vec::new();
        for place in [&one, &two, &three] {
            let ran = place.handle.spawn(async move { (thread::current().id(), name()) });
            let (thread, name) = ran.await.unwrap();
            assert_eq!(name.as_deref(), Some("ocipipe-line"));
            assert_ne!(thread, here);
            threads.push(thread);
        }
        assert_ne!(threads[0], threads[1]);
        assert_eq!(lines.threads.lock().unwrap().len(), MAX_THREADS);
        drop(two);
        let next = lines.lease();
        let ran = next.handle.spawn(async { thread::current().id() });
        assert_eq!(ran.await.unwrap(), threads[1], "the one that is idle is taken");
    }

    #[tokio::test]
    async fn what_is_under_way_is_dropped_before_the_threads_are_gone() {
        let lines = ConnectionThreads::default();
        let (held, dropped) = mpsc::channel::<()>();
        let (told, begun) = oneshot::channel();
        lines.lease().handle.spawn(async move {
            let _held = held;
            told.send(()).unwrap();
            std::future::pending::<()>().await;
        });
        begun.await.unwrap();
        drop(lines);
        assert_eq!(dropped.try_recv(), Err(mpsc::TryRecvError::Disconnected));
    }
}
