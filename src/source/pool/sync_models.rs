//! The pool in many orders of the threads that share it, chosen by the checker `shuttle`.
//!
//! `RUSTFLAGS="--cfg shuttle" cargo test -p ocipipe --lib sync_models`. A thread that waits for ever is a failure.

use std::collections::HashSet;
use std::sync::Arc;

use shuttle::sync::mpsc;
use shuttle::thread;

use super::*;
use crate::platform::sync::check_orders;

const RUNS: usize = 4_000;
const BUFFER: usize = 4096;

/// A pool whose mappings have no reserve and always succeed.
fn pool(limit: usize) -> Pool {
    Pool::new(BUFFER, limit)
}

#[test]
fn a_buffer_has_one_owner_at_a_time_and_none_is_lost() {
    check_orders(RUNS, || {
        let pool = pool(2);
        let (sender, receiver) = mpsc::channel::<(u8, bytes::Bytes)>();
        let receiver = Arc::new(Mutex::new(receiver));
        let senders: Vec<_> = (0..2)
            .map(|_| {
                let receiver = Arc::clone(&receiver);
                thread::spawn(move || {
                    let mut addresses = HashSet::new();
                    loop {
                        let received = receiver.lock().unwrap().recv();
                        let Ok((tag, bytes)) = received else { return addresses };
                        addresses.insert(bytes.as_ptr() as usize);
                        thread::yield_now();
                        assert!(bytes.iter().all(|byte| *byte == tag), "two owners");
                    }
                })
            })
            .collect();
        for tag in 1..=5 {
            let mut buffer = pool.take().unwrap().unwrap();
            assert!(pool.outstanding() <= 2, "more than the limit");
            buffer.space()[..64].fill(tag);
            sender.send((tag, buffer.freeze(64))).unwrap();
        }
        drop(sender);
        let used = senders.into_iter().flat_map(|thread| thread.join().unwrap());
        assert!(used.collect::<HashSet<_>>().len() <= 2, "a buffer was mapped anew");
        assert_eq!(pool.outstanding(), 0);
        assert!(pool.allocated() <= 2);
    });
}

#[test]
fn all_takers_get_a_buffer_in_the_end() {
    check_orders(RUNS, || {
        let pool = pool(1);
        let takers: Vec<_> = (0..3)
            .map(|_| {
                let pool = pool.clone();
                thread::spawn(move || drop(pool.take().unwrap().unwrap()))
            })
            .collect();
        for taker in takers {
            taker.join().unwrap();
        }
        assert_eq!((pool.outstanding(), pool.allocated()), (0, 1));
    });
}

#[test]
fn a_stop_wakes_a_reader_that_waits_for_a_buffer() {
    check_orders(RUNS, || {
        let pool = pool(1);
        let held = pool.take().unwrap().unwrap();
        let reader = {
            let pool = pool.clone();
            thread::spawn(move || pool.take().unwrap().is_none())
        };
        let stop = {
            let pool = pool.clone();
            thread::spawn(move || pool.close())
        };
        stop.join().unwrap();
        assert!(reader.join().unwrap(), "a buffer of a closed pool");
        drop(held);
        assert_eq!((pool.outstanding(), pool.allocated()), (0, 0));
    });
}

#[test]
fn a_stop_wakes_a_reader_that_waits_for_the_upload_and_for_a_buffer() {
    check_orders(RUNS, || {
        let pool = pool(1);
        pool.hold();
        let held = pool.take().unwrap().unwrap();
        let reader = {
            let pool = pool.clone();
            thread::spawn(move || {
                for _ in 0..2 {
                    if !pool.wait_for_release() || pool.take().unwrap().is_none() {
                        return;
                    }
                }
            })
        };
        let upload = {
            let pool = pool.clone();
            thread::spawn(move || {
                pool.release();
                drop(held);
            })
        };
        pool.close();
        upload.join().unwrap();
        reader.join().unwrap();
        assert_eq!(pool.outstanding(), 0);
    });
}

#[test]
fn a_buffer_that_returns_wakes_a_taker_though_another_thread_waits_for_the_upload() {
    check_orders(RUNS, || {
        let pool = pool(1);
        pool.hold();
        let held = pool.take().unwrap().unwrap();
        let waiting = {
            let pool = pool.clone();
            thread::spawn(move || pool.wait_for_release())
        };
        let taker = {
            let pool = pool.clone();
            thread::spawn(move || pool.take().unwrap().is_some())
        };
        drop(held);
        assert!(taker.join().unwrap());
        pool.release();
        assert!(waiting.join().unwrap());
    });
}

#[test]
fn a_wake_ends_the_wait_of_this_moment_or_the_next() {
    check_orders(RUNS, || {
        let pool = pool(1);
        let held = pool.take().unwrap().unwrap();
        let reader = {
            let pool = pool.clone();
            thread::spawn(move || matches!(pool.take_unless_woken(0).unwrap(), Taken::Woken))
        };
        pool.wake();
        assert!(reader.join().unwrap());
        drop(held);
    });
}

#[test]
fn a_higher_limit_wakes_a_reader_and_a_lower_one_lets_no_more_out() {
    check_orders(RUNS, || {
        let pool = pool(1);
        let held = pool.take().unwrap().unwrap();
        let reader = {
            let pool = pool.clone();
            thread::spawn(move || drop(pool.take().unwrap().unwrap()))
        };
        pool.set_limit(2);
        reader.join().unwrap();
        pool.set_limit(1);
        assert!(pool.try_take().unwrap().is_none());
        drop(held);
        assert!(pool.allocated() <= 1);
    });
}

#[test]
fn refused_memory_is_waited_for_while_another_thread_owns_a_buffer() {
    check_orders(RUNS, || {
        let pool = Pool::new(BUFFER, 2);
        let mapped = std::sync::atomic::AtomicBool::new(false);
        let pool = pool
            .with_mapping_hook(move |_| !mapped.swap(true, std::sync::atomic::Ordering::Relaxed));
        let held = pool.take().unwrap().unwrap();
        let owner = thread::spawn(move || drop(held));
        // The second mapping is refused; the buffer of the owner returns.
        drop(pool.take().unwrap().unwrap());
        owner.join().unwrap();
        assert_eq!((pool.outstanding(), pool.allocated()), (0, 1));
    });
}
