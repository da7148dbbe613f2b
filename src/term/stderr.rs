//! The one way to stderr: a thread that writes what others queue.
//!
//! stderr may be open and never read: a pager, a terminal that was stopped, a parent that waits for
//! our end first. Whoever writes there blocks, so that nobody does but this thread. Owns the queue
//! and its bounds; knows nothing of what is said. Invariants: nothing here waits for a reader except
//! `settle`, which waits for so long and no longer; what is queued stays in its order; and nothing
//! that a terminal obeys is said, whoever it came from, only drawn.

use std::collections::VecDeque;
use std::io::Write;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::io::Errno;

use proto::printable;

/// At the end of a run: how long what is queued may still take to be written.
const EXIT_FLUSH_TIMEOUT: Duration = Duration::from_millis(500);

/// How many bytes may be queued, by what is worth keeping: memory is bounded, and progress of long
/// ago is worth nothing.
const MAX_DROPPABLE: usize = 64 * 1024;
const MAX_NORMAL: usize = 256 * 1024;

/// What becomes of a text when nobody reads.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Priority {
    /// The next one says as much.
    Droppable,
    /// Kept as long as there is room.
    Normal,
    /// Always kept, and the last that is taken.
    Final,
}

/// A handle; all clones share one thread, which ends after the last of them.
#[derive(Clone)]
pub struct Stderr {
    shared: Arc<StderrHandle>,
}

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
    /// Held by whoever writes.
    sink: Mutex<Box<dyn StderrSink>>,
    spawn: Spawn,
}

#[derive(Default)]
struct StderrState {
    texts: VecDeque<Vec<u8>>,
    /// Bytes in `texts`, and in what is being written.
    queued: usize,
    closed: bool,
    /// There is no handle any more.
    dropped: bool,
    /// There is a thread that writes.
    threaded: bool,
}

/// Starts a thread; whether there is one now.
type Spawn = Box<dyn Fn(Box<dyn FnOnce() + Send>) -> bool + Send + Sync>;

fn spawn(work: Box<dyn FnOnce() + Send>) -> bool {
    std::thread::Builder::new().name("stderr".to_owned()).spawn(work).is_ok()
}

/// Where the bytes go.
trait StderrSink: Send {
    /// Writes the text, waiting until then and no longer where there is such a moment; how much is
    /// done with. What fails is lost on purpose: there is nobody to tell.
    fn write(&mut self, text: &[u8], until: Option<Instant>) -> usize;
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

    /// Waits for the next text; there is none when all handles are gone.
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

    /// The work of the thread.
    fn write_all(&self) {
        while let Some(text) = self.next() {
            let written = self.sink().write(&text, None);
            debug_assert_eq!(written, text.len());
            self.locked().queued -= text.len();
            self.changed.notify_all();
        }
    }

    /// Writes what is queued, here, as far as that goes until then.
    fn write_until(&self, until: Instant) {
        let mut sink = self.sink();
        if self.locked().threaded {
            return;
        }
        loop {
            let Some(mut text) = self.locked().texts.pop_front() else { return };
            let written = sink.write(&text, Some(until));
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

/// stderr of this process.
pub fn shared() -> &'static Stderr {
    SHARED.get_or_init(|| Stderr::by(Box::new(spawn), StderrFd))
}

/// At the end of a run: lets what was said of it be written, for a moment.
pub fn flush_at_exit() {
    if let Some(stderr) = SHARED.get() {
        stderr.flush_timeout(EXIT_FLUSH_TIMEOUT);
    }
}

impl Stderr {
    /// A thread that writes to this.
    pub fn spawn_on(sink: impl Write + Send + 'static) -> Stderr {
        Stderr::by(Box::new(spawn), sink)
    }

    /// A thread that is started in this way, as soon as one can be.
    fn by(spawn: Spawn, sink: impl StderrSink + 'static) -> Stderr {
        let (state, changed) = (Mutex::default(), Condvar::new());
        let shared =
            Arc::new(StderrShared { state, changed, sink: Mutex::new(Box::new(sink)), spawn });
        let stderr = Stderr { shared: Arc::new(StderrHandle(shared)) };
        stderr.has_thread();
        stderr
    }

    /// Whether there is a thread that writes; one is started if it can be.
    fn has_thread(&self) -> bool {
        let mut state = self.shared.locked();
        // While somebody else writes, a thread would write what comes later before it.
        if !state.threaded && self.shared.sink.try_lock().is_ok() {
            let theirs = self.shared.0.clone();
            state.threaded = (self.shared.spawn)(Box::new(move || theirs.write_all()));
        }
        state.threaded
    }

    /// Queues a text, which is written in one piece; whether there was room for it. What a terminal
    /// would obey is escaped here, where nobody can forget it.
    pub fn enqueue(&self, text: String, worth: Priority) -> bool {
        self.draw(printable::text(&text).into_owned(), worth)
    }

    /// Queues what a terminal is to obey; it holds no text that was not made printable.
    pub fn draw(&self, text: String, worth: Priority) -> bool {
        let mut state = self.shared.locked();
        let room = match worth {
            Priority::Droppable => MAX_DROPPABLE,
            Priority::Normal => MAX_NORMAL,
            Priority::Final => usize::MAX,
        };
        // A text longer than the room is taken where nothing else waits.
        let fits = state.queued == 0 || state.queued.saturating_add(text.len()) <= room;
        if state.closed || !fits {
            return false;
        }
        state.closed = worth == Priority::Final;
        state.queued += text.len();
        state.texts.push_back(text.into_bytes());
        drop(state);
        self.shared.changed.notify_all();
        if !self.has_thread() {
            self.shared.write_until(Instant::now());
        }
        true
    }

    /// Waits until all is written, but no longer than this; whether it is.
    pub fn flush_timeout(&self, limit: Duration) -> bool {
        let until = Instant::now() + limit;
        if !self.has_thread() {
            self.shared.write_until(until);
        }
        let mut state = self.shared.locked();
        while state.queued > 0 {
            let left = until.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return false;
            }
            let waited = self.shared.changed.wait_timeout(state, left);
            state = waited.unwrap_or_else(PoisonError::into_inner).0;
        }
        true
    }
}

/// The descriptor itself. The standard library's stderr has a lock, and whoever else wants it, a
/// panic for one, would wait for a write that does not end.
struct StderrFd;

impl StderrSink for StderrFd {
    fn write(&mut self, text: &[u8], until: Option<Instant>) -> usize {
        let stderr = rustix::stdio::stderr();
        let ready = |limit: Option<&Timespec>| {
            let polled = poll(&mut [PollFd::new(&stderr, PollFlags::OUT)], limit);
            !matches!(polled, Ok(0) | Err(Errno::INTR))
        };
        let mut done = 0;
        while done < text.len() {
            let mut piece = &text[done..];
            if let Some(until) = until {
                let left = until.saturating_duration_since(Instant::now());
                if !ready(Timespec::try_from(left).ok().as_ref()) {
                    return done;
                }
                // So much goes into a pipe that is ready without waiting.
                piece = &piece[..piece.len().min(512)];
            }
            match rustix::io::write(stderr, piece) {
                Ok(written) => done += written,
                Err(Errno::INTR) => {}
                // Another process that shares it may have asked for that.
                Err(Errno::AGAIN) if until.is_none() => drop(ready(None)),
                Err(Errno::AGAIN) => return done,
                Err(_) => return text.len(),
            }
        }
        done
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io;
    use std::sync::atomic::{AtomicU32, Ordering};
    use std::sync::mpsc::{Receiver, SyncSender, sync_channel};

    /// A sink whose every write waits for a word.
    struct GatedSink {
        open: Receiver<()>,
        written: Arc<Mutex<String>>,
    }

    impl Write for GatedSink {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.open.recv().map_err(|_| io::Error::from(io::ErrorKind::BrokenPipe))?;
            self.written.lock().unwrap().push_str(&String::from_utf8_lossy(bytes));
            Ok(bytes.len())
        }
        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    fn gated() -> (Stderr, SyncSender<()>, Arc<Mutex<String>>) {
        let (tell, open) = sync_channel(1_000_000);
        let written = Arc::new(Mutex::new(String::new()));
        (Stderr::spawn_on(GatedSink { open, written: written.clone() }), tell, written)
    }

    #[test]
    fn nobody_waits_for_a_reader_and_progress_gives_way_to_warnings() {
        let (stderr, tell, written) = gated();
        let stderr = &stderr;
        let line = |n: i32| format!("{n:099}\n");
        let said = |worth| (0..).take_while(move |n| stderr.enqueue(line(*n), worth));
        let passing = said(Priority::Droppable).count();
        assert_eq!(passing, MAX_DROPPABLE / 100);
        let lasting = said(Priority::Normal).count();
        assert_eq!(passing + lasting, MAX_NORMAL / 100);
        assert!(stderr.enqueue("the last\n".to_owned(), Priority::Final));
        assert!(!stderr.enqueue("after the last\n".to_owned(), Priority::Normal));
        assert!(!stderr.flush_timeout(Duration::from_millis(1)));
        for _ in 0..passing + lasting + 1 {
            tell.send(()).unwrap();
        }
        assert!(stderr.flush_timeout(Duration::from_secs(60)));
        let written = written.lock().unwrap();
        assert!(written.ends_with("\nthe last\n"));
        assert_eq!(written.lines().count(), passing + lasting + 1);
    }

    #[test]
    fn there_is_room_again_when_something_was_read() {
        let (stderr, tell, _) = gated();
        while stderr.enqueue("x".repeat(1000), Priority::Normal) {}
        for _ in 0..MAX_NORMAL / 1000 {
            tell.send(()).unwrap();
        }
        assert!(stderr.flush_timeout(Duration::from_secs(60)));
        assert!(
            stderr.enqueue("y".repeat(2 * MAX_NORMAL), Priority::Droppable),
            "nothing else waits"
        );
        assert!(!stderr.enqueue("z".to_owned(), Priority::Droppable));
    }

    #[test]
    fn a_sink_that_fails_keeps_nothing_waiting() {
        let (stderr, tell, written) = gated();
        drop(tell);
        stderr.enqueue("lost\n".to_owned(), Priority::Final);
        assert!(stderr.flush_timeout(Duration::from_secs(60)));
        assert_eq!(*written.lock().unwrap(), "");
    }

    #[test]
    fn without_a_thread_what_is_said_is_written_all_the_same_and_a_thread_is_taken_when_there_is_one()
     {
        let (tell, open) = sync_channel(1000);
        let written = Arc::new(Mutex::new(String::new()));
        let refusals = Arc::new(AtomicU32::new(3));
        let left = refusals.clone();
        let spawn = move |work: Box<dyn FnOnce() + Send>| {
            if left.load(Ordering::SeqCst) > 0 {
                left.fetch_sub(1, Ordering::SeqCst);
                return false;
            }
            std::thread::spawn(work);
            true
        };
        let stderr = Stderr::by(Box::new(spawn), GatedSink { open, written: written.clone() });
        (0..10).for_each(|_| tell.send(()).unwrap());
        for line in ["one\n", "two\n"] {
            assert!(stderr.enqueue(line.to_owned(), Priority::Normal));
            assert!(written.lock().unwrap().ends_with(line), "nobody else writes it");
        }
        assert!(stderr.enqueue("three\n".to_owned(), Priority::Final));
        assert!(stderr.flush_timeout(Duration::from_secs(60)));
        assert_eq!(*written.lock().unwrap(), "one\ntwo\nthree\n");
        assert!(stderr.shared.locked().threaded);
    }
}
