//! Threads for what may block: disk work, and hashing.
//!
//! Owns the threads and the queue to them. Knows nothing of the work. Invariant: work that was taken
//! is done, as long as one thread could be started at the beginning: more are started when all are
//! busy, and where the system refuses one, work waits for those that there are.

use std::collections::VecDeque;
use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::Duration;

use tokio::sync::oneshot;

/// Work that waits for its client occupies a thread; so many clients are served at once.
const MAX_THREADS: usize = 256;
/// A thread that had nothing to do for so long ends, unless it is the last.
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
    // Nothing that could panic runs while it is held.
    STATE.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Sees to it that there is a thread.
pub fn prepare() -> io::Result<()> {
    let mut state = locked();
    if state.threads == 0 { start(&mut state) } else { Ok(()) }
}

/// Has work done; `None` if it panicked, or if there is no thread and none can be had.
pub async fn run<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> Option<T> {
    begin(work).await.ok()
}

/// The same, begun even if nobody waits for it.
pub fn begin<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> oneshot::Receiver<T> {
    let (tell, told) = oneshot::channel();
    let work = move || {
        // Nobody may wait any more.
        let _ = tell.send(work());
    };
    let mut state = locked();
    let enough = state.idle > state.queue.len() || state.threads >= MAX_THREADS;
    if enough || start(&mut state).is_ok() || state.threads > 0 {
        state.queue.push_back(Box::new(work));
        CHANGED.notify_one();
    }
    told
}

fn start(state: &mut ThreadPoolState) -> io::Result<()> {
    thread::Builder::new().name("store".to_owned()).spawn(serve)?;
    state.threads += 1;
    Ok(())
}

fn serve() {
    let mut state = locked();
    loop {
        if let Some(work) = state.queue.pop_front() {
            drop(state);
            // Whoever asked sees that there is no result.
            let _ = catch_unwind(AssertUnwindSafe(work));
            state = locked();
            continue;
        }
        state.idle += 1;
        let (woken, waited) =
            CHANGED.wait_timeout(state, IDLE_TIMEOUT).unwrap_or_else(PoisonError::into_inner);
        state = woken;
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

    #[tokio::test]
    async fn work_that_waits_holds_up_no_other_and_a_panic_ends_no_thread() {
        prepare().unwrap();
        let (go, wait) = channel::<()>();
        let waiting = begin(move || wait.recv());
        for number in 0..20 {
            assert_eq!(run(move || number).await, Some(number));
        }
        assert_eq!(run(|| -> u32 { panic!("planted") }).await, None);
        assert_eq!(run(|| 7).await, Some(7));
        go.send(()).unwrap();
        assert_eq!(waiting.await, Ok(Ok(())));
    }
}
