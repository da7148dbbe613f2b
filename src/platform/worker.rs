//! A thread that is started before it is needed, for calls that may block.
//!
//! Owns the thread and its queue. Knows nothing of the jobs. Invariants: the system can refuse the
//! thread at the start only; the jobs run in order, also after one that panicked.

use std::future::Future;
use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::thread;
use std::time::Duration;

use tokio::sync::oneshot;
use tokio::time::Instant;

use proto::error::{Error, ErrorKind};

/// How long the drop of a worker waits for its last job.
const SHUTDOWN_TIMEOUT: Duration = Duration::from_millis(500);
/// How long a thread, a process or memory is requested again while the system refuses it.
pub(crate) const REFUSAL_TIMEOUT: Duration = Duration::from_secs(10);
const RETRY_INTERVAL: Duration = Duration::from_millis(100);

/// The hint where the system refuses a thread or process.
pub(crate) const RAISE_PROCESS_LIMIT: &str =
    "raise the limit of processes: ulimit -u, TasksMax of the unit, or pids.max of the group";

type Job = Box<dyn FnOnce() + Send>;

/// The handle of the thread, which ends after the jobs that were submitted before the drop.
pub(crate) struct Worker {
    jobs: Option<Sender<Job>>,
    /// The channel carries nothing: its end is the end of the thread.
    ended: Receiver<()>,
    join_on_drop: bool,
}

impl Worker {
    /// Starts the thread. Fails where the system refuses it.
    pub(crate) fn start(name: &str) -> io::Result<Worker> {
        let (jobs, queue) = channel::<Job>();
        let (ended_tx, ended) = channel();
        let body = move || {
            while let Ok(job) = queue.recv() {
                // The caller of a job that panics gets no result.
                let _ = catch_unwind(AssertUnwindSafe(job));
            }
            drop(ended_tx);
        };
        thread::Builder::new().name(name.to_owned()).spawn(body)?;
        Ok(Worker { jobs: Some(jobs), ended, join_on_drop: false })
    }

    /// Makes the drop wait for the jobs, for 500 ms at most: a system call cannot be cancelled.
    pub(crate) fn joined_on_drop(mut self) -> Worker {
        self.join_on_drop = true;
        self
    }

    /// Queues a job and does not wait for it.
    pub(crate) fn submit(&self, job: impl FnOnce() + Send + 'static) {
        if let Some(jobs) = &self.jobs {
            // The thread runs for as long as this handle exists.
            let _ = jobs.send(Box::new(job));
        }
    }

    /// Queues a job at once and resolves to its result; `None` if it panicked. The job runs also if
    /// the future is dropped.
    pub(crate) fn call<T: Send + 'static>(
        &self,
        job: impl FnOnce() -> T + Send + 'static,
    ) -> impl Future<Output = Option<T>> + Send + 'static {
        let (result_tx, result_rx) = oneshot::channel();
        self.submit(move || {
            // The receiver is gone if the future was dropped.
            let _ = result_tx.send(job());
        });
        async { result_rx.await.ok() }
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

/// Starts a thread or a process, and retries for up to 10 s while the system refuses it with
/// `WouldBlock`: a host at its limit of processes may be below it again by then. Another error is
/// returned at once.
pub(crate) async fn retry_start<T>(mut start: impl FnMut() -> io::Result<T>) -> io::Result<T> {
    let deadline = Instant::now() + REFUSAL_TIMEOUT;
    loop {
        match start() {
            Err(error)
                if error.kind() == io::ErrorKind::WouldBlock && Instant::now() < deadline =>
            {
                tokio::time::sleep(RETRY_INTERVAL).await;
            }
            result => return result,
        }
    }
}

/// The error of a run whose thread was refused. `what` completes "the system gives no thread".
pub(crate) fn thread_error(what: &str, error: &io::Error) -> Error {
    let refused =
        Error::new(ErrorKind::Internal, format!("the system gives no thread {what}: {error}"));
    match error.kind() {
        io::ErrorKind::WouldBlock => refused.with_hint(RAISE_PROCESS_LIMIT),
        _ => refused,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::Arc;
    use std::sync::atomic::{AtomicU32, Ordering};

    #[tokio::test]
    async fn jobs_run_in_order_also_after_one_that_panicked() {
        let worker = Worker::start("a worker").unwrap();
        let done = Arc::new(AtomicU32::new(0));
        let counter = done.clone();
        // A job runs although its future is dropped.
        drop(worker.call(move || counter.fetch_add(1, Ordering::SeqCst)));
        assert!(worker.call(|| panic!("planted")).await.is_none_or(|()| false));
        let counter = done.clone();
        assert_eq!(worker.call(move || counter.fetch_add(1, Ordering::SeqCst)).await, Some(1));
    }

    #[test]
    fn a_worker_joined_on_drop_waits_for_its_jobs_and_not_for_ever() {
        let (done_tx, done_rx) = channel();
        let worker = Worker::start("a worker").unwrap().joined_on_drop();
        let slow = move || {
            thread::sleep(Duration::from_millis(20));
            done_tx.send(()).unwrap();
        };
        worker.submit(slow);
        drop(worker);
        assert_eq!(done_rx.try_recv(), Ok(()));
        let (_go_tx, go_rx) = channel::<()>();
        let worker = Worker::start("a worker").unwrap().joined_on_drop();
        worker.submit(move || while go_rx.recv().is_ok() {});
        drop(worker);
    }

    #[tokio::test(start_paused = true)]
    async fn a_refused_start_is_retried_for_seconds_and_another_error_is_not() {
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
