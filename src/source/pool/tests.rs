//! When a buffer is let out and returned, also where the system refuses memory.

use super::mapping::HUGE_PAGE;
use super::*;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::mpsc;
use std::thread;

use proptest::prelude::*;

fn take(pool: &Pool) -> Buffer {
    pool.take().unwrap().unwrap()
}

/// Takes a buffer on another thread and sends it through the channel.
fn take_on_thread(pool: &Pool) -> mpsc::Receiver<Option<Buffer>> {
    let (sender, receiver) = mpsc::channel();
    let pool = pool.clone();
    thread::spawn(move || sender.send(pool.take().unwrap()));
    receiver
}

#[test]
fn nothing_is_allocated_before_it_is_taken_and_a_returned_buffer_is_taken_first() {
    let pool = Pool::new(1 << 16, 5);
    assert_eq!((pool.outstanding(), pool.allocated()), (0, 0));
    let mut buffer = take(&pool);
    assert_eq!((pool.outstanding(), pool.allocated()), (1, 1));
    buffer.space()[0] = 7;
    drop(buffer);
    assert_eq!((pool.outstanding(), pool.allocated()), (0, 1));
    assert_eq!(take(&pool).space()[0], 7, "the used buffer is used again");
    assert_eq!(pool.allocated(), 1);
}

#[test]
fn the_limit_holds_until_the_last_slice_of_a_buffer_is_dropped() {
    let pool = Pool::new(4096, 2);
    let mut first = take(&pool);
    first.space()[..4].copy_from_slice(b"abcd");
    let bytes = first.freeze(4);
    let slice = bytes.slice(1..3);
    let second = take(&pool);
    let third = take_on_thread(&pool);
    drop(bytes);
    assert_eq!(pool.outstanding(), 2, "a slice still holds the first buffer");
    assert!(third.try_recv().is_err());
    assert_eq!(&slice[..], b"bc");
    drop(slice);
    let third = third.recv().unwrap();
    assert!(third.is_some());
    assert_eq!((pool.outstanding(), pool.allocated()), (2, 2));
    drop((second, third));
    assert_eq!(pool.outstanding(), 0);
}

#[test]
fn no_number_of_takers_gets_more_than_the_limit() {
    let pool = Pool::new(4096, 3);
    thread::scope(|scope| {
        for _ in 0..6 {
            scope.spawn(|| {
                for _ in 0..2000 {
                    let buffer = take(&pool);
                    assert!(pool.outstanding() <= 3 && pool.allocated() <= 3);
                    drop(buffer);
                }
            });
        }
    });
    assert_eq!(pool.outstanding(), 0);
}

#[test]
fn a_wake_ends_the_wait_of_its_moment_or_the_next_one() {
    let pool = Pool::new(4096, 1);
    let buffer = take(&pool);
    pool.wake();
    assert!(matches!(pool.take_unless_woken(0).unwrap(), Taken::Woken));
    thread::scope(|scope| {
        let waiting = scope.spawn(|| matches!(pool.take_unless_woken(0).unwrap(), Taken::Woken));
        pool.wake();
        assert!(waiting.join().unwrap());
    });
    drop(buffer);
    assert!(matches!(pool.take_unless_woken(0).unwrap(), Taken::Buffer(_)));
}

#[test]
fn closing_wakes_waiting_threads_and_unmaps_the_memory() {
    let pool = Pool::new(4096, 1);
    let buffer = take(&pool);
    let waiting = take_on_thread(&pool);
    pool.close();
    assert!(waiting.recv().unwrap().is_none());
    drop(buffer);
    assert_eq!((pool.outstanding(), pool.allocated()), (0, 0));
    assert!(pool.take().unwrap().is_none());
}

#[test]
fn a_higher_limit_lets_waiters_through_and_a_lower_one_shrinks_the_pool() {
    let pool = Pool::new(4096, 1);
    let first = take(&pool);
    let second = take_on_thread(&pool);
    pool.set_limit(2);
    let second = second.recv().unwrap().unwrap();
    pool.set_limit(1);
    drop(second);
    assert_eq!(pool.allocated(), 1, "a buffer above the limit is not kept");
    drop(first);
    pool.set_limit(0);
    assert_eq!(pool.allocated(), 0);
}

#[test]
fn buffers_are_aligned_and_of_full_size() {
    for size in [1, 4096, 3 << 20, (8 << 20) + 4096] {
        let pool = Pool::new(size, 1);
        let mut buffer = take(&pool);
        assert_eq!(buffer.space().len(), size);
        assert_eq!(buffer.space().as_ptr().align_offset(4096), 0);
        buffer.space().fill(0xa5);
        let bytes = buffer.freeze(size);
        assert!(bytes.iter().all(|byte| *byte == 0xa5));
    }
    let pool = Pool::new(4 * HUGE_PAGE, 1);
    assert_eq!(take(&pool).space().as_ptr().align_offset(HUGE_PAGE), 0);
}

#[test]
fn a_refusal_of_memory_is_an_error_and_takes_no_permit() {
    let pool = Pool::new(1 << 60, 1);
    assert!(pool.take().is_err());
    assert_eq!(pool.outstanding(), 0);
}

/// A hook that permits the first `mappings` mappings, and the number of all that were tried.
fn permit_first(mappings: usize) -> (impl Fn(usize) -> bool + Send + Sync, Arc<AtomicUsize>) {
    let tried = Arc::new(AtomicUsize::new(0));
    let counter = tried.clone();
    (move |_| counter.fetch_add(1, Ordering::SeqCst) < mappings, tried)
}

#[test]
fn refused_memory_is_waited_for_as_long_as_buffers_are_out_with_others() {
    let (permits, tried) = permit_first(2);
    let pool = Pool::new(4096, 5).with_mapping_hook(permits);
    let (first, second) = (take(&pool), take(&pool));
    let third = take_on_thread(&pool);
    while tried.load(Ordering::SeqCst) < 3 {
        thread::yield_now();
    }
    assert!(third.try_recv().is_err());
    drop(first);
    assert!(third.recv().unwrap().is_some());
    assert!(pool.take_refusal().is_some() && pool.take_refusal().is_none());
    assert_eq!(pool.allocated(), 2);
    drop(second);
}

#[test]
fn memory_is_used_as_soon_as_the_system_permits_it_again() {
    let (permitted, tried) = (Arc::new(AtomicBool::new(true)), Arc::new(AtomicUsize::new(0)));
    let (hook_permitted, counter) = (permitted.clone(), tried.clone());
    let pool = Pool::new(4096, 5).with_mapping_hook(move |_| {
        counter.fetch_add(1, Ordering::SeqCst);
        hook_permitted.load(Ordering::SeqCst)
    });
    let first = take(&pool);
    permitted.store(false, Ordering::SeqCst);
    let second = take_on_thread(&pool);
    while tried.load(Ordering::SeqCst) < 2 {
        thread::yield_now();
    }
    permitted.store(true, Ordering::SeqCst);
    assert!(second.recv().unwrap().is_some(), "no buffer returned, and yet there is one");
    drop(first);
}

#[test]
fn a_caller_that_owns_all_buffers_gets_the_error_at_once() {
    let pressure =
        MemoryPressure { min_buffer: 4096, unit: 4096, timeout: Duration::from_secs(3600) };
    let pool = Pool::with_pressure(pressure, 4096, 5).with_mapping_hook(permit_first(2).0);
    let own = (take(&pool), take(&pool));
    assert!(pool.take_extra(2).is_err());
    assert_eq!(pool.outstanding(), 2);
    drop(own);
    assert!(pool.take_extra(0).unwrap().is_some());
}

#[test]
fn while_no_buffer_is_out_smaller_ones_are_tried_and_memory_is_waited_for() {
    let pressure =
        MemoryPressure { min_buffer: 10_000, unit: 4096, timeout: Duration::from_secs(3600) };
    let max_size = Arc::new(AtomicUsize::new(30_000));
    let hook_max = max_size.clone();
    let pool = Pool::with_pressure(pressure, 100_000, 5)
        .with_mapping_hook(move |size| size <= hook_max.load(Ordering::SeqCst));
    let mut small = take(&pool);
    assert!((10_000..=30_000).contains(&small.space().len()), "{}", small.space().len());
    assert_eq!(small.freeze(100_000).len() % 4096, 0);
    // A small buffer is kept until a larger one can be mapped.
    max_size.store(0, Ordering::SeqCst);
    assert!((10_000..=30_000).contains(&take(&pool).space().len()));
    max_size.store(100_000, Ordering::SeqCst);
    assert_eq!(take(&pool).space().len(), 100_000);
    assert_eq!(pool.allocated(), 1);

    // Memory is refused 5 times, then permitted.
    let tried = Arc::new(AtomicUsize::new(0));
    let counter = tried.clone();
    let pool = Pool::with_pressure(pressure, 10_000, 5)
        .with_mapping_hook(move |_| counter.fetch_add(1, Ordering::SeqCst) >= 5);
    assert_eq!(take(&pool).space().len(), 10_000);
    assert_eq!(tried.load(Ordering::SeqCst), 6);
}

#[test]
fn closing_wakes_a_thread_that_waits_for_memory() {
    let pool = Pool::new(4096, 5).with_mapping_hook(permit_first(1).0);
    let _buffer = take(&pool);
    let waiting = take_on_thread(&pool);
    pool.close();
    assert!(waiting.recv().unwrap().is_none());
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]

    /// One thread takes buffers for parts of several, another returns them in any order; memory is
    /// refused at any moment but the first. Every part is filled, none is empty, and the limit
    /// holds.
    #[test]
    fn parts_are_filled_whenever_memory_is_refused(
        refusals in prop::collection::vec(any::<bool>(), 1..200),
        limit in 2..8usize,
        wanted in 1..5usize,
        order in prop::collection::vec(any::<u8>(), 40),
    ) {
        let wanted = wanted.min(limit - 1);
        let tried = AtomicUsize::new(0);
        let pool = Pool::new(4096, limit).with_mapping_hook(move |_| {
            let index = tried.fetch_add(1, Ordering::SeqCst);
            index == 0 || !refusals[index % refusals.len()]
        });
        let (part_tx, part_rx) = mpsc::channel::<Vec<Buffer>>();
        let parts = order.len();
        let returning = thread::spawn(move || {
            let mut in_flight: Vec<Vec<Buffer>> = Vec::new();
            for choice in order.iter().cycle() {
                if in_flight.is_empty() {
                    let Ok(part) = part_rx.recv() else { return };
                    in_flight.push(part);
                }
                in_flight.extend(part_rx.try_iter());
                in_flight.swap_remove(usize::from(*choice) % in_flight.len());
                if choice % 3 == 0 {
                    in_flight.clear();
                }
            }
        });
        for _ in 0..parts {
            let mut part = Vec::new();
            while part.len() < wanted {
                match pool.take_extra(part.len()) {
                    Ok(Some(buffer)) => part.push(buffer),
                    Ok(None) => panic!("the pool is closed"),
                    Err(error) if part.is_empty() => panic!("{error} without a buffer"),
                    Err(_) => break,
                }
                assert!(pool.outstanding() <= limit && pool.allocated() <= limit);
            }
            part_tx.send(part).unwrap();
        }
        drop(part_tx);
        returning.join().unwrap();
        prop_assert_eq!(pool.outstanding(), 0);
    }
}
