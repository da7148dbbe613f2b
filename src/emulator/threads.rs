//! The thread pool for disk work and hashing, which block.
//!
//! Owns the threads and their queue; knows nothing of the jobs. Invariant: a queued job runs as
//! long as `prepare` succeeded once. A thread is started when all are busy; if the system refuses
//! one, the job waits for an existing thread.

use std::collections::VecDeque;
use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::Duration;

use tokio::sync::oneshot;

/// A job that waits for its client occupies a thread, so this is also the number of clients that
/// are served at once.
const MAX_THREADS: usize = 256;
/// An idle thread ends after this time, unless it is the last one.
const IDLE_TIMEOUT: Duration = Duration::from_secs(10);

type ThreadJob = Box<dyn FnOnce() + Send>;

#[derive(Default)]
struct ThreadPoolState {
    queue: VecDeque<ThreadJob>,
    threads: usize,
    idle: usize,
}

static STATE: Mutex<ThreadPoolState> =
    Mutex::new(ThreadPoolState { queue: VecDeque::new(), threads: 0, idle: 0 });
static CHANGED: Condvar = Condvar::new();

fn locked() -> MutexGuard<'static, ThreadPoolState> {
    // No code that can panic runs under this lock.
    STATE.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Starts a thread if there is none; fails if the system refuses one.
pub(crate) fn prepare() -> io::Result<()> {
    let mut state = locked();
    if state.threads == 0 { start(&mut state) } else { Ok(()) }
}

/// Runs a job and returns its result; `None` if it panics, or if there is no thread and none can be
/// started.
pub(crate) async fn run<T: Send + 'static>(job: impl FnOnce() -> T + Send + 'static) -> Option<T> {
    spawn(job).await.ok()
}

/// Queues a job, which runs even if the receiver is dropped. The receiver fails if the job panics,
/// or if there is no thread and none can be started.
pub(crate) fn spawn<T: Send + 'static>(
    job: impl FnOnce() -> T + Send + 'static,
) -> oneshot::Receiver<T> {
    let (sender, receiver) = oneshot::channel();
    let job = move || {
        // An error means that the receiver was dropped.
        let _ = sender.send(job());
    };
    let mut state = locked();
    let enough = state.idle > state.queue.len() || state.threads >= MAX_THREADS;
    if enough || start(&mut state).is_ok() || state.threads > 0 {
        state.queue.push_back(Box::new(job));
        CHANGED.notify_one();
    }
    receiver
}

fn start(state: &mut ThreadPoolState) -> io::Result<()> {
    thread::Builder::new().name("store".to_owned()).spawn(run_jobs)?;
    state.threads += 1;
    Ok(())
}

fn run_jobs() {
    let mut state = locked();
    loop {
        if let Some(job) = state.queue.pop_front() {
            drop(state);
            // After a panic the job's sender is dropped, and its receiver fails.
            let _ = catch_unwind(AssertUnwindSafe(job));
            state = locked();
            continue;
        }
        state.idle += 1;
        let (locked, waited) =
            CHANGED.wait_timeout(state, IDLE_TIMEOUT).unwrap_or_else(PoisonError::into_inner);
        state = locked;
        state.idle -= 1;
        if waited.timed_out() && state.queue.is_empty() && state.threads > 1 {
            state.threads -= 1;
            return;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::mpsc::channel;
    use std::sync::{Arc, Barrier};

    #[tokio::test]
    async fn jobs_that_wait_for_each_other_all_run() {
        prepare().unwrap();
        const JOBS: usize = 40;
        let all = Arc::new(Barrier::new(JOBS));
        let mut jobs = Vec::new();
        for _ in 0..JOBS {
            let (all, (started, began)) = (all.clone(), channel());
            jobs.push(spawn(move || {
                started.send(()).unwrap();
                all.wait();
            }));
            // No thread is idle that another test has not left.
            began.recv_timeout(Duration::from_secs(60)).expect("each job has a thread");
        }
        for job in jobs {
            job.await.unwrap();
        }
    }

    #[tokio::test]
    async fn work_that_waits_holds_up_no_other_and_a_panic_ends_no_thread() {
        prepare().unwrap();
        let (go, wait) = channel::<()>();
        let waiting = spawn(move || wait.recv());
        for number in 0..20 {
            assert_eq!(run(move || number).await, Some(number));
        }
        assert_eq!(run(|| -> u32 { panic!("planted") }).await, None);
        assert_eq!(run(|| 7).await, Some(7));
        go.send(()).unwrap();
        assert_eq!(waiting.await, Ok(Ok(())));
    }
}
