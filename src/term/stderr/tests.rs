//! The queue of stderr with sinks that block, fail or have no thread.

use super::*;
use std::io;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};

/// A sink in which every write waits for a message.
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
    let (allow, open) = sync_channel(1_000_000);
    let written = Arc::new(Mutex::new(String::new()));
    (Stderr::spawn_on(GatedSink { open, written: written.clone() }), allow, written)
}

#[test]
fn no_call_waits_for_a_reader_and_progress_is_dropped_before_warnings() {
    let (stderr, allow, written) = gated();
    let stderr = &stderr;
    let line = |n: i32| format!("{n:099}\n");
    let queued = |priority| (0..).take_while(move |n| stderr.enqueue(line(*n), priority));
    let droppable = queued(Priority::Droppable).count();
    assert_eq!(droppable, MAX_DROPPABLE / 100);
    let normal = queued(Priority::Normal).count();
    assert_eq!(droppable + normal, MAX_NORMAL / 100);
    assert!(stderr.enqueue("the last\n".to_owned(), Priority::Final));
    assert!(!stderr.enqueue("after the last\n".to_owned(), Priority::Normal));
    assert!(!stderr.flush_timeout(Duration::from_millis(1)));
    for _ in 0..droppable + normal + 1 {
        allow.send(()).unwrap();
    }
    assert!(stderr.flush_timeout(Duration::from_secs(60)));
    let written = written.lock().unwrap();
    assert!(written.ends_with("\nthe last\n"));
    assert_eq!(written.lines().count(), droppable + normal + 1);
}

#[test]
fn there_is_room_again_after_a_read() {
    let (stderr, allow, _) = gated();
    while stderr.enqueue("x".repeat(1000), Priority::Normal) {}
    for _ in 0..MAX_NORMAL / 1000 {
        allow.send(()).unwrap();
    }
    assert!(stderr.flush_timeout(Duration::from_secs(60)));
    assert!(stderr.enqueue("y".repeat(2 * MAX_NORMAL), Priority::Droppable), "nothing else waits");
    assert!(!stderr.enqueue("z".to_owned(), Priority::Droppable));
}

#[test]
fn a_sink_that_fails_leaves_nothing_queued() {
    let (stderr, allow, written) = gated();
    drop(allow);
    stderr.enqueue("lost\n".to_owned(), Priority::Final);
    assert!(stderr.flush_timeout(Duration::from_secs(60)));
    assert_eq!(*written.lock().unwrap(), "");
}

#[test]
fn without_a_thread_the_caller_writes_and_a_thread_is_started_once_it_can_be() {
    let (allow, open) = sync_channel(1000);
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
    let stderr = Stderr::with_spawn(Box::new(spawn), GatedSink { open, written: written.clone() });
    (0..10).for_each(|_| allow.send(()).unwrap());
    for line in ["one\n", "two\n"] {
        assert!(stderr.enqueue(line.to_owned(), Priority::Normal));
        assert!(written.lock().unwrap().ends_with(line), "nobody else writes it");
    }
    assert!(stderr.enqueue("three\n".to_owned(), Priority::Final));
    assert!(stderr.flush_timeout(Duration::from_secs(60)));
    assert_eq!(*written.lock().unwrap(), "one\ntwo\nthree\n");
    assert!(stderr.shared.locked().threaded);
}
