//! The queue of stderr in many orders of the threads that share it, chosen by the checker `shuttle`.
//!
//! `RUSTFLAGS="--cfg shuttle" cargo test -p ocipipe --lib sync_models`. A thread that waits for ever is a failure.

use super::*;
use shuttle::rand::{Rng, thread_rng};
use shuttle::thread;

use crate::platform::sync::check_orders;

const RUNS: usize = 4_000;

/// What a sink has got.
type Written = Arc<Mutex<Vec<u8>>>;

/// A sink whose writes are interrupted by other threads.
struct SlowSink(Written);

impl StderrSink for SlowSink {
    fn write(&mut self, text: &[u8], deadline: Option<Instant>) -> usize {
        let length = match deadline {
            // A reader that is slow accepts a piece.
            Some(_) if thread_rng().gen_bool(0.3) => text.len() / 2,
            _ => text.len(),
        };
        for piece in text[..length].chunks(3) {
            self.0.lock().unwrap().extend_from_slice(piece);
            thread::yield_now();
        }
        length
    }
}

/// A sink that accepts nothing until the gate is open.
struct BlockedSink {
    gate: Arc<(Mutex<bool>, Condvar)>,
    written: Written,
}

impl StderrSink for BlockedSink {
    fn write(&mut self, text: &[u8], _: Option<Instant>) -> usize {
        let (open, changed) = &*self.gate;
        let mut is_open = open.lock().unwrap();
        while !*is_open {
            is_open = changed.wait(is_open).unwrap();
        }
        self.written.lock().unwrap().extend_from_slice(text);
        text.len()
    }
}

fn spawn_checked(work: Box<dyn FnOnce() + Send>) -> bool {
    thread::spawn(work);
    true
}

/// Queues lines on two threads, and the last line after them.
fn queue_lines(stderr: &Stderr) {
    let threads: Vec<_> = ["a", "b"]
        .map(|name| {
            let stderr = stderr.clone();
            thread::spawn(move || {
                for number in 0..3 {
                    assert!(stderr.enqueue(format!("{name}{number}\n"), Priority::Normal));
                }
            })
        })
        .into_iter()
        .collect();
    for thread in threads {
        thread.join().unwrap();
    }
    assert!(stderr.enqueue("last\n".to_owned(), Priority::Final));
}

/// Asserts that each line is there once and whole, in the order of its thread, and the last one last.
fn assert_whole(written: &Written) {
    let text = String::from_utf8(written.lock().unwrap().clone()).unwrap();
    for name in ["a", "b"] {
        let lines: Vec<_> = text.lines().filter(|line| line.starts_with(name)).collect();
        assert_eq!(lines, [format!("{name}0"), format!("{name}1"), format!("{name}2")], "{text}");
    }
    assert_eq!(text.lines().count(), 7, "{text}");
    assert!(text.ends_with("last\n"), "{text}");
}

/// Waits as the exit of the process does, as often as it takes.
fn flush(stderr: &Stderr) {
    while !stderr.flush_timeout(Duration::from_secs(3600)) {
        thread::yield_now();
    }
}

#[test]
fn no_line_is_lost_at_the_exit_and_none_is_torn() {
    check_orders(RUNS, || {
        let written = Written::default();
        let sink = SlowSink(written.clone());
        let stderr = Stderr::with_spawn(Box::new(spawn_checked), sink);
        queue_lines(&stderr);
        flush(&stderr);
        assert_whole(&written);
    });
}

#[test]
fn the_thread_writes_everything_and_ends_when_the_last_handle_is_dropped() {
    check_orders(RUNS, || {
        let written = Written::default();
        let thread = Arc::new(Mutex::new(None));
        let started = thread.clone();
        let spawn = move |work: Box<dyn FnOnce() + Send>| {
            *started.lock().unwrap() = Some(thread::spawn(work));
            true
        };
        let stderr = Stderr::with_spawn(Box::new(spawn), SlowSink(written.clone()));
        queue_lines(&stderr);
        drop(stderr);
        let handle = thread.lock().unwrap().take().unwrap();
        handle.join().unwrap();
        assert_whole(&written);
    });
}

#[test]
fn no_line_is_lost_or_torn_where_the_system_starts_a_thread_at_times() {
    check_orders(RUNS, || {
        let written = Written::default();
        let spawn = |work: Box<dyn FnOnce() + Send>| {
            let starts = thread_rng().gen_bool(0.3);
            if starts {
                thread::spawn(work);
            }
            starts
        };
        let stderr = Stderr::with_spawn(Box::new(spawn), SlowSink(written.clone()));
        queue_lines(&stderr);
        flush(&stderr);
        assert_whole(&written);
    });
}

#[test]
fn no_call_waits_while_stderr_is_blocked_and_all_is_written_once_it_is_read() {
    check_orders(RUNS, || {
        let (written, gate) = (Written::default(), Arc::new((Mutex::new(false), Condvar::new())));
        let sink = BlockedSink { gate: gate.clone(), written: written.clone() };
        let stderr = Stderr::with_spawn(Box::new(spawn_checked), sink);
        queue_lines(&stderr);
        assert!(!stderr.flush_timeout(Duration::ZERO), "a blocked stderr was written");
        *gate.0.lock().unwrap() = true;
        gate.1.notify_all();
        flush(&stderr);
        assert_whole(&written);
    });
}
