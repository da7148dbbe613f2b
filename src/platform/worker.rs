//! A thread that is there before it is needed, for what may block.
//!
//! Owns the thread and the queue to it. Knows nothing of the work. Invariant: a refusal of the thread
//! is an error at the start, never later; what is asked of a worker is done in order, each piece
//! whatever became of the one before.

use std::future::Future;
use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::thread;
use std::time::Duration;

use tokio::sync::oneshot;
use tokio::time::Instant;

use proto::error::{Error, ErrorKind};

/// How long the last piece of work may still take to come back where it is waited for.
const SHUTDOWN_TIMEOUT: Duration = Duration::from_millis(500);
/// How long a refusal of a thread, a process or memory is waited out where nothing goes without it.
pub const THREAD_TIMEOUT: Duration = Duration::from_secs(10);
const RETRY_INTERVAL: Duration = Duration::from_millis(100);

/// What to do where there are no more threads or processes.
pub const RAISE: &str =
    "raise the limit of processes: ulimit -u, TasksMax of the unit, or pids.max of the group";

type Job = Box<dyn FnOnce() + Send>;

/// A handle; the thread ends with the work that was asked for before this is dropped.
pub struct Worker {
    jobs: Option<Sender<Job>>,
    /// Nothing is ever sent: the end of the channel is the end of the thread.
    ended: Receiver<()>,
    join_on_drop: bool,
}

impl Worker {
    pub fn start(name: &str) -> io::Result<Worker> {
        let (jobs, queue) = channel::<Job>();
        let (end, ended) = channel();
        let working = move || {
            while let Ok(job) = queue.recv() {
                // Whoever asked sees that there is no result.
                let _ = catch_unwind(AssertUnwindSafe(job));
            }
            drop(end);
        };
        thread::Builder::new().name(name.to_owned()).spawn(working)?;
        Ok(Worker { jobs: Some(jobs), ended, join_on_drop: false })
    }

    /// Dropping it waits for its work, but not for long: a system call cannot be called off.
    pub fn joined_on_drop(mut self) -> Worker {
        self.join_on_drop = true;
        self
    }

    /// Asks for a piece of work and does not wait for it.
    pub fn submit(&self, work: impl FnOnce() + Send + 'static) {
        if let Some(jobs) = &self.jobs {
            // There is a thread as long as there is a handle.
            let _ = jobs.send(Box::new(work));
        }
    }

    /// Asks for a piece of work, begun even if nobody waits; `None` if it panicked.
    pub fn call<T: Send + 'static>(
        &self,
        work: impl FnOnce() -> T + Send + 'static,
    ) -> impl Future<Output = Option<T>> + Send + 'static {
        let (tell, told) = oneshot::channel();
        self.submit(move || {
            // Nobody may wait any more.
            let _ = tell.send(work());
        });
        async { told.await.ok() }
    }
}

impl Drop for Worker {
    fn drop(&mut self) {
        self.jobs = None;
        if self.join_on_drop {
            let _ = self.ended.recv_timeout(SHUTDOWN_TIMEOUT);
        }
    }
}

/// Starts a thread or a process. A host that has reached its limit of them may be below it again in a
/// moment: a refusal is waited out for some seconds.
pub async fn retry_start<T>(mut start: impl FnMut() -> io::Result<T>) -> io::Result<T> {
    let until = Instant::now() + THREAD_TIMEOUT;
    loop {
        match start() {
            Err(error) if error.kind() == io::ErrorKind::WouldBlock && Instant::now() < until => {
                tokio::time::sleep(RETRY_INTERVAL).await;
            }
            result => return result,
        }
    }
}

/// The error where a thread that a run cannot do without was refused.
pub fn thread_error(what: &str, error: &io::Error) -> Error {
    let refused =
        Error::new(ErrorKind::Internal, format!("the system gives no thread {what}: {error}"));
    match error.kind() {
        io::ErrorKind::WouldBlock => refused.with_hint(RAISE),
        _ => refused,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::Arc;
    use std::sync::atomic::{AtomicU32, Ordering};

    #[tokio::test]
    async fn work_is_done_in_order_whatever_became_of_the_work_before() {
        let worker = Worker::start("a worker").unwrap();
        let done = Arc::new(AtomicU32::new(0));
        let counter = done.clone();
        // Not waited for, and done all the same.
        drop(worker.call(move || counter.fetch_add(1, Ordering::SeqCst)));
        assert!(worker.call(|| panic!("planted")).await.is_none_or(|()| false));
        let counter = done.clone();
        assert_eq!(worker.call(move || counter.fetch_add(1, Ordering::SeqCst)).await, Some(1));
    }

    #[test]
    fn dropping_a_worker_that_is_waited_for_waits_for_its_work_and_not_for_ever() {
        let (done, was_done) = channel();
        let worker = Worker::start("a worker").unwrap().joined_on_drop();
        let slow = move || {
            thread::sleep(Duration::from_millis(20));
            done.send(()).unwrap();
        };
        worker.submit(slow);
        drop(worker);
        assert_eq!(was_done.try_recv(), Ok(()));
        let (_go, wait) = channel::<()>();
        let worker = Worker::start("a worker").unwrap().joined_on_drop();
        worker.submit(move || while wait.recv().is_ok() {});
        drop(worker);
    }

    #[tokio::test(start_paused = true)]
    async fn a_refusal_is_waited_out_for_seconds_and_another_error_is_not() {
        let began = Instant::now();
        let refusing = |times: u32, kind: io::ErrorKind| {
            let mut left = times;
            move || match left {
                0 => Ok(7),
                _ => {
                    left -= 1;
                    Err(io::Error::from(kind))
                }
            }
        };
        assert_eq!(retry_start(refusing(80, io::ErrorKind::WouldBlock)).await.unwrap(), 7);
        assert!(began.elapsed() >= Duration::from_secs(8));
        let error = retry_start(refusing(u32::MAX, io::ErrorKind::WouldBlock)).await.unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::WouldBlock);
        assert!(began.elapsed() < Duration::from_secs(20));
        let error = retry_start(refusing(1, io::ErrorKind::NotFound)).await.unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::NotFound);
    }
}
