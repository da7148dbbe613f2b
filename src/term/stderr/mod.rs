//! The queue of stderr and the thread that writes it.
//!
//! stderr may be open and never read: a pager, a stopped terminal, a parent that waits for the exit
//! of this process. A write would block, so that only this thread writes. Owns the queue and its
//! limits. Must not know what the texts mean. Invariants: no call waits for a reader except
//! `flush_timeout`, which waits no longer than its limit; texts are written in the order they were
//! queued; control characters reach the terminal only through `draw`.

use std::collections::VecDeque;
use std::io::Write;
use std::sync::{Arc, OnceLock, PoisonError};
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::io::Errno;

use crate::platform::sync::{Condvar, Mutex, MutexGuard};
use proto::printable;

/// How long the exit of the process waits for the queue to be written.
const EXIT_FLUSH_TIMEOUT: Duration = Duration::from_millis(500);

/// The bytes in the queue beyond which a text of each priority is dropped: memory stays bounded,
/// and old progress is useless.
const MAX_DROPPABLE: usize = 64 * 1024;
const MAX_NORMAL: usize = 256 * 1024;

/// Which texts are dropped while stderr is not read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Priority {
    /// Progress: dropped once 64 KiB are queued, since the next line replaces it.
    Droppable,
    /// Messages: dropped once 256 KiB are queued.
    Normal,
    /// Never dropped; nothing can be queued after it.
    Final,
}

/// A handle of the queue. All clones share one thread, which ends when the last clone is dropped.
#[derive(Clone)]
pub(crate) struct Stderr {
    shared: Arc<StderrHandle>,
}

/// Tells the thread to end when it is dropped.
struct StderrHandle(Arc<StderrShared>);

impl std::ops::Deref for StderrHandle {
    type Target = StderrShared;

    fn deref(&self) -> &StderrShared {
        &self.0
    }
}

impl Drop for StderrHandle {
    fn drop(&mut self) {
        self.locked().dropped = true;
        self.changed.notify_all();
    }
}

struct StderrShared {
    state: Mutex<StderrState>,
    changed: Condvar,
    /// Locked during each write.
    sink: Mutex<Box<dyn StderrSink>>,
    spawn: Spawn,
}

#[derive(Default)]
struct StderrState {
    texts: VecDeque<Vec<u8>>,
    /// Bytes in `texts` and in the text that is being written.
    queued: usize,
    /// Set by the final text; later ones are dropped.
    closed: bool,
    /// Whether the last handle was dropped.
    dropped: bool,
    /// Whether the thread was started.
    threaded: bool,
}

/// Starts a thread; returns whether the system allowed it.
type Spawn = Box<dyn Fn(Box<dyn FnOnce() + Send>) -> bool + Send + Sync>;

fn spawn(work: Box<dyn FnOnce() + Send>) -> bool {
    std::thread::Builder::new().name("stderr".to_owned()).spawn(work).is_ok()
}

/// The destination of the bytes.
trait StderrSink: Send {
    /// Writes the text, up to `deadline` if there is one. Returns how many bytes are done. A failed
    /// write counts as done, since there is nowhere to report it.
    fn write(&mut self, text: &[u8], deadline: Option<Instant>) -> usize;
}

impl<W: Write + Send> StderrSink for W {
    fn write(&mut self, text: &[u8], _: Option<Instant>) -> usize {
        let _ = self.write_all(text).and_then(|()| self.flush());
        text.len()
    }
}

impl StderrShared {
    fn locked(&self) -> MutexGuard<'_, StderrState> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn sink(&self) -> MutexGuard<'_, Box<dyn StderrSink>> {
        self.sink.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Waits for the next text; `None` once all handles are dropped and the queue is empty.
    fn next(&self) -> Option<Vec<u8>> {
        let mut state = self.locked();
        loop {
            if let Some(text) = state.texts.pop_front() {
                return Some(text);
            }
            if state.dropped {
                return None;
            }
            state = self.changed.wait(state).unwrap_or_else(PoisonError::into_inner);
        }
    }

    /// The loop of the thread.
    fn run(&self) {
        while let Some(text) = self.next() {
            let written = self.sink().write(&text, None);
            debug_assert_eq!(written, text.len());
            self.locked().queued -= text.len();
            self.changed.notify_all();
        }
    }

    /// Writes the queue on the calling thread, up to the deadline. Does nothing if there is a
    /// thread.
    fn write_until(&self, deadline: Instant) {
        let mut sink = self.sink();
        if self.locked().threaded {
            return;
        }
        loop {
            let Some(mut text) = self.locked().texts.pop_front() else { return };
            let written = sink.write(&text, Some(deadline));
            let mut state = self.locked();
            state.queued -= written;
            if written < text.len() {
                state.texts.push_front(text.split_off(written));
                return;
            }
        }
    }
}

static SHARED: OnceLock<Stderr> = OnceLock::new();

/// The queue of this process's stderr.
pub(crate) fn shared() -> &'static Stderr {
    SHARED.get_or_init(|| Stderr::with_spawn(Box::new(spawn), StderrFd))
}

/// Waits up to 500 ms for the queue to be written, if it was ever used.
pub(crate) fn flush_at_exit() {
    if let Some(stderr) = SHARED.get() {
        stderr.flush_timeout(EXIT_FLUSH_TIMEOUT);
    }
}

impl Stderr {
    /// A queue and a thread that writes it to `sink`.
    #[cfg(test)]
    pub(crate) fn spawn_on(sink: impl Write + Send + 'static) -> Stderr {
        Stderr::with_spawn(Box::new(spawn), sink)
    }

    /// A queue whose thread `spawn` starts. If that fails, every later call tries again.
    fn with_spawn(spawn: Spawn, sink: impl StderrSink + 'static) -> Stderr {
        let (state, changed) = (Mutex::default(), Condvar::new());
        let shared =
            Arc::new(StderrShared { state, changed, sink: Mutex::new(Box::new(sink)), spawn });
        let stderr = Stderr { shared: Arc::new(StderrHandle(shared)) };
        stderr.ensure_thread();
        stderr
    }

    /// Starts the thread if there is none. Returns whether there is one.
    fn ensure_thread(&self) -> bool {
        let mut state = self.shared.locked();
        // While another thread writes in its place, a new one could write later texts first.
        if !state.threaded && self.shared.sink.try_lock().is_ok() {
            let shared = self.shared.0.clone();
            state.threaded = (self.shared.spawn)(Box::new(move || shared.run()));
        }
        state.threaded
    }

    /// Queues a text, which is written in one piece. Returns whether there was room for it. Control
    /// characters are escaped.
    pub(crate) fn enqueue(&self, text: String, priority: Priority) -> bool {
        self.draw(printable::text(&text).into_owned(), priority)
    }

    /// Queues a text with control characters for the terminal. The caller has escaped every text in
    /// it that is not its own.
    pub(crate) fn draw(&self, text: String, priority: Priority) -> bool {
        let mut state = self.shared.locked();
        let room = match priority {
            Priority::Droppable => MAX_DROPPABLE,
            Priority::Normal => MAX_NORMAL,
            Priority::Final => usize::MAX,
        };
        // A text longer than the limit is accepted if the queue is empty.
        let fits = state.queued == 0 || state.queued.saturating_add(text.len()) <= room;
        if state.closed || !fits {
            return false;
        }
        state.closed = priority == Priority::Final;
        state.queued += text.len();
        state.texts.push_back(text.into_bytes());
        drop(state);
        self.shared.changed.notify_all();
        if !self.ensure_thread() {
            self.shared.write_until(Instant::now());
        }
        true
    }

    /// Waits up to `limit` until the queue is written. Returns whether it is.
    pub(crate) fn flush_timeout(&self, limit: Duration) -> bool {
        let deadline = Instant::now() + limit;
        // Without a thread, this call writes; a signal may end a write before the deadline.
        while !self.ensure_thread() {
            self.shared.write_until(deadline);
            if self.shared.locked().queued == 0 || Instant::now() >= deadline {
                break;
            }
        }
        let mut state = self.shared.locked();
        while state.queued > 0 {
            let left = deadline.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return false;
            }
            let waited = self.shared.changed.wait_timeout(state, left);
            state = waited.unwrap_or_else(PoisonError::into_inner).0;
        }
        true
    }
}

/// Descriptor 2 itself. The standard library's stderr has a lock, on which a panic of another
/// thread would wait for a write that does not end.
struct StderrFd;

impl StderrSink for StderrFd {
    fn write(&mut self, text: &[u8], deadline: Option<Instant>) -> usize {
        let stderr = rustix::stdio::stderr();
        let ready = |limit: Option<&Timespec>| {
            let polled = poll(&mut [PollFd::new(&stderr, PollFlags::OUT)], limit);
            !matches!(polled, Ok(0) | Err(Errno::INTR))
        };
        let mut done = 0;
        while done < text.len() {
            let mut piece = &text[done..];
            if let Some(deadline) = deadline {
                let left = deadline.saturating_duration_since(Instant::now());
                if !ready(Timespec::try_from(left).ok().as_ref()) {
                    return done;
                }
                // A pipe that poll reports as writable accepts 512 bytes without blocking
                // (PIPE_BUF).
                piece = &piece[..piece.len().min(512)];
            }
            match rustix::io::write(stderr, piece) {
                Ok(written) => done += written,
                Err(Errno::INTR) => {}
                // Another process that shares the descriptor may have made it non-blocking.
                Err(Errno::AGAIN) if deadline.is_none() => drop(ready(None)),
                Err(Errno::AGAIN) => return done,
                Err(_) => return text.len(),
            }
        }
        done
    }
}

#[cfg(all(test, shuttle))]
mod sync_models;
#[cfg(test)]
mod tests;
