//! Who gets a buffer, when, and what becomes of it; also where the system gives no memory.

use super::*;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc;
use std::thread;

use proptest::prelude::*;

fn taken(pool: &Pool) -> Buffer {
    pool.take().unwrap().unwrap()
}

/// Takes a buffer on another thread; what comes out of the channel tells when it got one.
fn taker(pool: &Pool) -> mpsc::Receiver<Option<Buffer>> {
    let (sender, receiver) = mpsc::channel();
    let pool = pool.clone();
    thread::spawn(move || sender.send(pool.take().unwrap()));
    receiver
}

#[test]
fn nothing_is_allocated_before_it_is_taken_and_a_returned_buffer_is_taken_first() {
    let pool = Pool::new(1 << 16, 5);
    assert_eq!((pool.outstanding(), pool.allocated()), (0, 0));
    let mut buffer = taken(&pool);
    assert_eq!((pool.outstanding(), pool.allocated()), (1, 1));
    buffer.space()[0] = 7;
    drop(buffer);
    assert_eq!((pool.outstanding(), pool.allocated()), (0, 1));
    assert_eq!(taken(&pool).space()[0], 7, "the used buffer is used again");
    assert_eq!(pool.allocated(), 1);
}

#[test]
fn the_limit_holds_until_the_last_slice_of_a_buffer_is_dropped() {
    let pool = Pool::new(4096, 2);
    let mut first = taken(&pool);
    first.space()[..4].copy_from_slice(b"abcd");
    let bytes = first.freeze(4);
    let slice = bytes.slice(1..3);
    let second = taken(&pool);
    let third = taker(&pool);
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
                    let held = taken(&pool);
                    assert!(pool.outstanding() <= 3 && pool.allocated() <= 3);
                    drop(held);
                }
            });
        }
    });
    assert_eq!(pool.outstanding(), 0);
}

#[test]
fn closing_releases_who_waits_and_gives_the_memory_back() {
    let pool = Pool::new(4096, 1);
    let held = taken(&pool);
    let waiting = taker(&pool);
    pool.close();
    assert!(waiting.recv().unwrap().is_none());
    drop(held);
    assert_eq!((pool.outstanding(), pool.allocated()), (0, 0));
    assert!(pool.take().unwrap().is_none());
}

#[test]
fn a_higher_limit_lets_waiters_through_and_a_lower_one_shrinks_the_pool() {
    let pool = Pool::new(4096, 1);
    let first = taken(&pool);
    let second = taker(&pool);
    pool.set_limit(2);
    let second = second.recv().unwrap().unwrap();
    pool.set_limit(1);
    drop(second);
    assert_eq!(pool.allocated(), 1, "what is over the limit is not kept");
    drop(first);
    pool.set_limit(0);
    assert_eq!(pool.allocated(), 0);
}

#[test]
fn buffers_are_aligned_and_whole() {
    for size in [1, 4096, 3 << 20, (8 << 20) + 4096] {
        let pool = Pool::new(size, 1);
        let mut buffer = taken(&pool);
        assert_eq!(buffer.space().len(), size);
        assert_eq!(buffer.space().as_ptr().align_offset(4096), 0);
        buffer.space().fill(0xa5);
        let bytes = buffer.freeze(size);
        assert!(bytes.iter().all(|byte| *byte == 0xa5));
    }
    let pool = Pool::new(4 * HUGE_PAGE, 1);
    assert_eq!(taken(&pool).space().as_ptr().align_offset(HUGE_PAGE), 0);
}

#[test]
fn a_refusal_of_memory_is_an_error_and_takes_no_permit() {
    let pool = Pool::new(1 << 60, 1);
    assert!(pool.take().is_err());
    assert_eq!(pool.outstanding(), 0);
}

/// A gate that is open for the first so many mappings, and the number of those that it has seen.
fn open_for(mappings: usize) -> (impl Fn(usize) -> bool + Send + Sync, Arc<AtomicUsize>) {
    let seen = Arc::new(AtomicUsize::new(0));
    let counter = seen.clone();
    (move |_| counter.fetch_add(1, Ordering::SeqCst) < mappings, seen)
}

#[test]
fn refused_memory_is_waited_for_as_long_as_buffers_are_out_with_others() {
    let (gate, seen) = open_for(2);
    let pool = Pool::new(4096, 5).with_refusal_hook(gate);
    let (first, second) = (taken(&pool), taken(&pool));
    let third = taker(&pool);
    while seen.load(Ordering::SeqCst) < 3 {
        thread::yield_now();
    }
    assert!(third.try_recv().is_err());
    drop(first);
    assert!(third.recv().unwrap().is_some());
    assert!(pool.refusal().is_some() && pool.refusal().is_none(), "it is said once");
    assert_eq!(pool.allocated(), 2);
    drop(second);
}

#[test]
fn memory_that_is_there_again_is_used() {
    let (closed, seen) = (Arc::new(AtomicUsize::new(1)), Arc::new(AtomicUsize::new(0)));
    let (door, counter) = (closed.clone(), seen.clone());
    let pool = Pool::new(4096, 5).with_refusal_hook(move |_| {
        counter.fetch_add(1, Ordering::SeqCst);
        door.load(Ordering::SeqCst) == 0
    });
    closed.store(0, Ordering::SeqCst);
    let first = taken(&pool);
    closed.store(1, Ordering::SeqCst);
    let second = taker(&pool);
    while seen.load(Ordering::SeqCst) < 2 {
        thread::yield_now();
    }
    closed.store(0, Ordering::SeqCst);
    assert!(second.recv().unwrap().is_some(), "nothing came back, and yet there is one");
    drop(first);
}

#[test]
fn who_holds_all_that_is_out_is_told_at_once() {
    let scarcity = MemoryPressure { min_buffer: 4096, timeout: Duration::from_secs(3600) };
    let pool = Pool::under(scarcity, 4096, 5).with_refusal_hook(open_for(2).0);
    let mine = (taken(&pool), taken(&pool));
    assert!(pool.try_take_extra(2).is_err());
    assert_eq!(pool.outstanding(), 2);
    drop(mine);
    assert!(pool.try_take_extra(0).unwrap().is_some());
}

#[test]
fn where_nothing_is_out_smaller_buffers_are_tried_and_the_rest_is_waited_out() {
    let scarcity = MemoryPressure { min_buffer: 10_000, timeout: Duration::from_secs(3600) };
    let most = Arc::new(AtomicUsize::new(30_000));
    let door = most.clone();
    let pool = Pool::under(scarcity, 100_000, 5)
        .with_refusal_hook(move |size| size <= door.load(Ordering::SeqCst));
    let mut small = taken(&pool);
    assert!((10_000..=30_000).contains(&small.space().len()), "{}", small.space().len());
    assert_eq!(small.freeze(100_000).len() % 4096, 0);
    // What is there is kept, until there is something better.
    most.store(0, Ordering::SeqCst);
    assert!((10_000..=30_000).contains(&taken(&pool).space().len()));
    most.store(100_000, Ordering::SeqCst);
    assert_eq!(taken(&pool).space().len(), 100_000);
    assert_eq!(pool.allocated(), 1);

    // Refused a dozen times, then given.
    let (gate, seen) = (AtomicUsize::new(0), Arc::new(AtomicUsize::new(0)));
    let counter = seen.clone();
    let pool = Pool::under(scarcity, 10_000, 5).with_refusal_hook(move |_| {
        counter.fetch_add(1, Ordering::SeqCst);
        gate.fetch_add(1, Ordering::SeqCst) >= 5
    });
    assert_eq!(taken(&pool).space().len(), 10_000);
    assert_eq!(seen.load(Ordering::SeqCst), 6);
}

#[test]
fn closing_releases_who_waits_for_memory() {
    let pool = Pool::new(4096, 5).with_refusal_hook(open_for(1).0);
    let _held = taken(&pool);
    let waiting = taker(&pool);
    pool.close();
    assert!(waiting.recv().unwrap().is_none());
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]

    /// Somebody takes buffers for parts of several, somebody else gives them back in any order; memory
    /// is refused at any moment, but for the first. Every part comes to be, none of them is empty, and
    /// there is never more than the limit.
    #[test]
    fn whatever_is_refused_and_when_parts_go_on_being_filled(
        refusals in prop::collection::vec(any::<bool>(), 1..200),
        limit in 2..8usize,
        wanted in 1..5usize,
        order in prop::collection::vec(any::<u8>(), 40),
    ) {
        let wanted = wanted.min(limit - 1);
        let at = AtomicUsize::new(0);
        let pool = Pool::new(4096, limit).with_refusal_hook(move |_| {
            let at = at.fetch_add(1, Ordering::SeqCst);
            at == 0 || !refusals[at % refusals.len()]
        });
        let (give, given) = mpsc::channel::<Vec<Buffer>>();
        let parts = order.len();
        let giver = thread::spawn(move || {
            let mut flying: Vec<Vec<Buffer>> = Vec::new();
            for choice in order.iter().cycle() {
                if flying.is_empty() {
                    let Ok(part) = given.recv() else { return };
                    flying.push(part);
                }
                flying.extend(given.try_iter());
                flying.swap_remove(usize::from(*choice) % flying.len());
                if choice % 3 == 0 {
                    flying.clear();
                }
            }
        });
        for _ in 0..parts {
            let mut part = Vec::new();
            while part.len() < wanted {
                match pool.try_take_extra(part.len()) {
                    Ok(Some(buffer)) => part.push(buffer),
                    Ok(None) => panic!("nobody closed it"),
                    Err(error) if part.is_empty() => panic!("{error} with nothing in hand"),
                    Err(_) => break,
                }
                assert!(pool.outstanding() <= limit && pool.allocated() <= limit);
            }
            give.send(part).unwrap();
        }
        drop(give);
        giver.join().unwrap();
        prop_assert_eq!(pool.outstanding(), 0);
    }
}
