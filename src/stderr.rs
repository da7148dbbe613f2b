//! The one way to stderr: a thread that writes what others queue.
//!
//! stderr may be open and never read: a pager, a terminal that was stopped, a parent that waits for
//! our end first. Whoever writes there blocks, so that nobody does but this thread. Owns the queue
//! and its bounds; knows nothing of what is said. Invariants: nothing here waits for a reader except
//! `settle`, which waits for so long and no longer; what is queued stays in its order; and nothing
//! that a terminal obeys is said, whoever it came from, only drawn.

use std::collections::VecDeque;
use std::io::{self, Write};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, poll};
use rustix::io::Errno;

use crate::printable;

/// At the end of a run: how long what is queued may still take to be written.
const FAREWELL: Duration = Duration::from_millis(500);

/// How many bytes may be queued, by what is worth keeping: memory is bounded, and progress of long
/// ago is worth nothing.
const PASSING: usize = 64 * 1024;
const LASTING: usize = 256 * 1024;

/// What becomes of a text when nobody reads.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Worth {
    /// The next one says as much.
    Passing,
    /// Kept as long as there is room.
    Lasting,
    /// Always kept, and the last that is taken.
    Last,
}

/// A handle; all clones share one thread, which ends after the last of them.
#[derive(Clone)]
pub struct Stderr {
    shared: Arc<Held>,
}

struct Held(Arc<Shared>);

impl std::ops::Deref for Held {
    type Target = Shared;

    fn deref(&self) -> &Shared {
        &self.0
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        self.locked().left = true;
        self.changed.notify_all();
    }
}

struct Shared {
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Default)]
struct State {
    texts: VecDeque<Vec<u8>>,
    /// Bytes in `texts`, and in what is being written.
    queued: usize,
    closed: bool,
    /// There is no handle any more.
    left: bool,
    /// There is no thread, and nothing is taken any more.
    dead: bool,
}

impl Shared {
    fn locked(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Waits for the next text; there is none when all handles are gone.
    fn next(&self) -> Option<Vec<u8>> {
        let mut state = self.locked();
        loop {
            if let Some(text) = state.texts.pop_front() {
                return Some(text);
            }
            if state.left {
                return None;
            }
            state = self.changed.wait(state).unwrap_or_else(PoisonError::into_inner);
        }
    }
}

static SHARED: OnceLock<Stderr> = OnceLock::new();

/// stderr of this process.
pub fn shared() -> &'static Stderr {
    SHARED.get_or_init(|| Stderr::to(Descriptor))
}

/// At the end of a run: lets what was said of it be written, for a moment.
pub fn farewell() {
    if let Some(stderr) = SHARED.get() {
        stderr.settle(FAREWELL);
    }
}

impl Stderr {
    /// A thread that writes to this.
    pub fn to(mut sink: impl Write + Send + 'static) -> Stderr {
        let shared = Arc::new(Shared { state: Mutex::default(), changed: Condvar::new() });
        let theirs = shared.clone();
        let writing = move || {
            while let Some(text) = theirs.next() {
                // What fails is lost on purpose: there is nobody to tell.
                let _ = sink.write_all(&text).and_then(|()| sink.flush());
                theirs.locked().queued -= text.len();
                theirs.changed.notify_all();
            }
        };
        let thread = std::thread::Builder::new().name("stderr".to_owned());
        if thread.spawn(writing).is_err() {
            shared.locked().dead = true;
        }
        Stderr { shared: Arc::new(Held(shared)) }
    }

    /// Queues a text, which is written in one piece; whether there was room for it. What a terminal
    /// would obey is escaped here, where nobody can forget it.
    pub fn say(&self, text: String, worth: Worth) -> bool {
        self.draw(printable::text(&text).into_owned(), worth)
    }

    /// Queues what a terminal is to obey; it holds no text that was not made printable.
    pub fn draw(&self, text: String, worth: Worth) -> bool {
        let mut state = self.shared.locked();
        let room = match worth {
            Worth::Passing => PASSING,
            Worth::Lasting => LASTING,
            Worth::Last => usize::MAX,
        };
        // A text longer than the room is taken where nothing else waits.
        let fits = state.queued == 0 || state.queued.saturating_add(text.len()) <= room;
        if state.closed || state.dead || !fits {
            return false;
        }
        state.closed = worth == Worth::Last;
        state.queued += text.len();
        state.texts.push_back(text.into_bytes());
        drop(state);
        self.shared.changed.notify_all();
        true
    }

    /// Waits until all is written, but no longer than this; whether it is.
    pub fn settle(&self, limit: Duration) -> bool {
        let until = Instant::now() + limit;
        let mut state = self.shared.locked();
        while state.queued > 0 && !state.dead {
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
struct Descriptor;

impl Write for Descriptor {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        loop {
            match rustix::io::write(rustix::stdio::stderr(), bytes) {
                Ok(n) => return Ok(n),
                // Another process that shares it may have asked for that.
                Err(Errno::AGAIN) => {
                    let stderr = rustix::stdio::stderr();
                    poll(&mut [PollFd::new(&stderr, PollFlags::OUT)], None)?;
                }
                Err(errno) => return Err(errno.into()),
            }
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::mpsc::{Receiver, SyncSender, sync_channel};

    /// A sink whose every write waits for a word.
    struct Gate {
        open: Receiver<()>,
        written: Arc<Mutex<String>>,
    }

    impl Write for Gate {
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
        (Stderr::to(Gate { open, written: written.clone() }), tell, written)
    }

    #[test]
    fn nobody_waits_for_a_reader_and_progress_gives_way_to_warnings() {
        let (stderr, tell, written) = gated();
        let stderr = &stderr;
        let line = |n: i32| format!("{n:099}\n");
        let said = |worth| (0..).take_while(move |n| stderr.say(line(*n), worth));
        let passing = said(Worth::Passing).count();
        assert_eq!(passing, PASSING / 100);
        let lasting = said(Worth::Lasting).count();
        assert_eq!(passing + lasting, LASTING / 100);
        assert!(stderr.say("the last\n".to_owned(), Worth::Last));
        assert!(!stderr.say("after the last\n".to_owned(), Worth::Lasting));
        assert!(!stderr.settle(Duration::from_millis(1)));
        for _ in 0..passing + lasting + 1 {
            tell.send(()).unwrap();
        }
        assert!(stderr.settle(Duration::from_secs(60)));
        let written = written.lock().unwrap();
        assert!(written.ends_with("\nthe last\n"));
        assert_eq!(written.lines().count(), passing + lasting + 1);
    }

    #[test]
    fn there_is_room_again_when_something_was_read() {
        let (stderr, tell, _) = gated();
        while stderr.say("x".repeat(1000), Worth::Lasting) {}
        for _ in 0..LASTING / 1000 {
            tell.send(()).unwrap();
        }
        assert!(stderr.settle(Duration::from_secs(60)));
        assert!(stderr.say("y".repeat(2 * LASTING), Worth::Passing), "nothing else waits");
        assert!(!stderr.say("z".to_owned(), Worth::Passing));
    }

    #[test]
    fn a_sink_that_fails_keeps_nothing_waiting() {
        let (stderr, tell, written) = gated();
        drop(tell);
        stderr.say("lost\n".to_owned(), Worth::Last);
        assert!(stderr.settle(Duration::from_secs(60)));
        assert_eq!(*written.lock().unwrap(), "");
    }
}
