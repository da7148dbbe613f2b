//! A bounded number of reusable buffers; holding one is the permission to read.
//!
//! Owns the memory that the stream passes through. Knows nothing of parts, of hashing or of who
//! holds a buffer. Memory is mapped, page-aligned and outside the heap, only when a buffer is taken
//! and none that was used before is free: a stream of one kilobyte touches a page of one buffer.
//! Invariant: never more than `limit` buffers exist outside the free list, nor more than `limit` in
//! all; a buffer is back when the last slice of its bytes is dropped, and not before.

use std::io;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};

use bytes::Bytes;
use memmap2::{MmapMut, MmapOptions};

/// The size of a huge page where Linux offers them on the common machines.
const HUGE: usize = 2 << 20;

/// A bounded set of buffers of one size; clones share it.
#[derive(Clone)]
pub struct Pool {
    shared: Arc<Shared>,
}

struct Shared {
    buffer_size: usize,
    state: Mutex<State>,
    returned: Condvar,
}

struct State {
    limit: usize,
    outstanding: usize,
    /// The last one returned is the first one taken: its pages are the likeliest to be in cache.
    free: Vec<Region>,
    closed: bool,
}

impl Shared {
    fn state(&self) -> MutexGuard<'_, State> {
        // The state is changed in single steps that cannot panic half way: it is whole even so.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Pool {
    /// A pool that hands out at most `limit` buffers of `buffer_size` bytes. Nothing is allocated yet.
    pub fn new(buffer_size: usize, limit: usize) -> Pool {
        let state = State { limit, outstanding: 0, free: Vec::new(), closed: false };
        let shared = Shared { buffer_size, state: Mutex::new(state), returned: Condvar::new() };
        Pool { shared: Arc::new(shared) }
    }

    pub fn buffer_size(&self) -> usize {
        self.shared.buffer_size
    }

    /// Buffers that are taken and have not come back.
    pub fn outstanding(&self) -> usize {
        self.shared.state().outstanding
    }

    /// Buffers that exist, taken or free: what the process pays for.
    pub fn allocated(&self) -> usize {
        let state = self.shared.state();
        state.outstanding + state.free.len()
    }

    /// Changes how many buffers may be out at once. A lower limit takes nothing back from those who
    /// hold buffers; it lets no new one out, and returned ones are given to the system.
    pub fn set_limit(&self, limit: usize) {
        let mut state = self.shared.state();
        state.limit = limit;
        let spare = limit.saturating_sub(state.outstanding).min(state.free.len());
        let surplus = state.free.split_off(spare);
        drop(state);
        drop(surplus);
        self.shared.returned.notify_all();
    }

    /// Waits for a buffer; `None` once the pool is closed. Blocks the calling thread. An error is the
    /// system's refusal to give memory.
    pub fn take(&self) -> io::Result<Option<Buffer>> {
        let mut state = self.shared.state();
        loop {
            if state.closed {
                return Ok(None);
            }
            if state.outstanding < state.limit {
                break;
            }
            state = self.shared.returned.wait(state).unwrap_or_else(PoisonError::into_inner);
        }
        state.outstanding += 1;
        let reused = state.free.pop();
        drop(state);
        let region = match reused {
            Some(region) => region,
            None => Region::map(self.shared.buffer_size).inspect_err(|_| {
                self.shared.state().outstanding -= 1;
                self.shared.returned.notify_one();
            })?,
        };
        Ok(Some(Buffer { region: Some(region), shared: Arc::clone(&self.shared) }))
    }

    /// Lets no buffer out any more, releases everyone who waits for one, and gives the free ones to
    /// the system.
    pub fn close(&self) {
        let mut state = self.shared.state();
        state.closed = true;
        let free = std::mem::take(&mut state.free);
        drop(state);
        drop(free);
        self.shared.returned.notify_all();
    }
}

/// One buffer, held by whoever fills it. Dropped, it is back in the pool.
pub struct Buffer {
    /// Present until the drop.
    region: Option<Region>,
    shared: Arc<Shared>,
}

impl Buffer {
    /// The whole buffer, to be filled from its start.
    pub fn space(&mut self) -> &mut [u8] {
        self.region.as_mut().map(Region::bytes_mut).unwrap_or_default()
    }

    /// The first `length` bytes, shared without a copy: the buffer is back in the pool when the last
    /// slice is dropped.
    pub fn freeze(self, length: usize) -> Bytes {
        let length = length.min(self.shared.buffer_size);
        Bytes::from_owner(self).slice(..length)
    }
}

impl AsRef<[u8]> for Buffer {
    fn as_ref(&self) -> &[u8] {
        self.region.as_ref().map(Region::bytes).unwrap_or_default()
    }
}

impl Drop for Buffer {
    fn drop(&mut self) {
        let mut state = self.shared.state();
        state.outstanding -= 1;
        let keep = !state.closed && state.outstanding + state.free.len() < state.limit;
        let surplus = match self.region.take() {
            Some(region) if keep => {
                state.free.push(region);
                None
            }
            other => other,
        };
        drop(state);
        // Unmapping a large region takes time; nobody should wait for the lock meanwhile.
        drop(surplus);
        self.shared.returned.notify_one();
    }
}

/// Anonymous memory of which `length` bytes from `start` are used.
struct Region {
    map: MmapMut,
    start: usize,
    length: usize,
}

impl Region {
    fn map(length: usize) -> io::Result<Region> {
        // With huge pages in sight, start where one can start; the slack is address space only.
        let slack = if length >= 2 * HUGE { HUGE } else { 0 };
        let map = MmapOptions::new().len((length + slack).max(1)).map_anon()?;
        let start = if slack == 0 { 0 } else { map.as_ptr().align_offset(HUGE).min(slack) };
        let region = Region { map, start, length };
        region.ask_for_huge_pages();
        Ok(region)
    }

    /// The first touch of fresh memory costs as much as sending it; huge pages make it a fifth. The
    /// first two megabytes stay with small pages, so that a short stream touches only what it fills.
    #[cfg(target_os = "linux")]
    fn ask_for_huge_pages(&self) {
        if self.length >= 2 * HUGE {
            // Advice: a kernel without huge pages refuses it, and everything works as well.
            let _ = self.map.advise_range(
                memmap2::Advice::HugePage,
                self.start + HUGE,
                self.length - HUGE,
            );
        }
    }

    #[cfg(not(target_os = "linux"))]
    fn ask_for_huge_pages(&self) {}

    fn bytes(&self) -> &[u8] {
        &self.map[self.start..self.start + self.length]
    }

    fn bytes_mut(&mut self) -> &mut [u8] {
        &mut self.map[self.start..self.start + self.length]
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::mpsc;
    use std::thread;

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
        let pool = Pool::new(4 * HUGE, 1);
        assert_eq!(taken(&pool).space().as_ptr().align_offset(HUGE), 0);
    }

    #[test]
    fn a_refusal_of_memory_is_an_error_and_takes_no_permit() {
        let pool = Pool::new(1 << 60, 1);
        assert!(pool.take().is_err());
        assert_eq!(pool.outstanding(), 0);
    }
}
