//! A bounded number of reusable buffers; owning one is the permit to read.
//!
//! Owns the memory of the stream. Knows nothing of parts or digests. Memory is mapped, page-aligned
//! and outside the heap, only when a buffer is taken and no used one is free: a stream of 1 KB
//! touches one page of one buffer. Invariants: a buffer is let out only while fewer than `limit`
//! are out, and a free one is kept only while no more than `limit` exist; a buffer returns when the
//! last slice of its bytes is dropped. Memory that the system refuses makes the pool smaller while
//! it is refused; it is an error only where no buffer is out that could return.

mod buffer;
mod mapping;

use std::io;
use std::sync::{Arc, PoisonError};
use std::time::{Duration, Instant};

use memmap2::MmapOptions;

use crate::platform::sync::{Condvar, Mutex, MutexGuard};

pub(crate) use buffer::Buffer;
use mapping::Mapping;

const PAGE: usize = 4096;

/// Bytes that must still be free after a buffer was mapped: the heap and the stacks of threads are
/// under the same limits, and a refusal there ends the process.
const RESERVE: usize = 16 << 20;
/// The pause before refused memory is requested again, unless a buffer returns before.
const RETRY_INTERVAL: Duration = Duration::from_millis(100);

/// The behaviour where the system refuses memory and no buffer is out that could return.
#[derive(Debug, Clone, Copy)]
pub struct MemoryPressure {
    /// Bytes of the smallest buffer that is tried instead.
    pub min_buffer: usize,
    /// A smaller buffer has a whole number of these, in bytes: the part that it becomes may end
    /// with it.
    pub unit: usize,
    /// How long memory is requested again.
    pub timeout: Duration,
}

/// A bounded set of buffers of one size; clones share it.
#[derive(Clone)]
pub struct Pool {
    shared: Arc<PoolShared>,
}

struct PoolShared {
    buffer_size: usize,
    pressure: MemoryPressure,
    state: Mutex<PoolState>,
    returned: Condvar,
    #[cfg(test)]
    mapping_hook: Option<MappingHook>,
}

/// The end of a wait for a buffer.
pub enum Taken {
    Buffer(Buffer),
    /// The pool is closed.
    Closed,
    /// `wake` was called while no buffer was free.
    Woken,
}

/// Returns whether a mapping of this many bytes succeeds, for tests in which memory is refused.
#[cfg(test)]
pub(crate) type MappingHook = Box<dyn Fn(usize) -> bool + Send + Sync>;

struct PoolState {
    limit: usize,
    outstanding: usize,
    /// The last buffer that returned is taken first, since its pages are the likeliest to be in the
    /// cache.
    free: Vec<Mapping>,
    closed: bool,
    /// The text of the last refusal of memory, until `take_refusal`.
    refusal_message: Option<String>,
    /// `hold` was called, and `release` was not.
    held: bool,
    /// `wake` was called, and no thread has returned for it.
    woken: bool,
}

impl PoolShared {
    fn state(&self) -> MutexGuard<'_, PoolState> {
        // A panic leaves the state valid, since each change of it is one step that cannot panic.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn map(&self, size: usize) -> io::Result<Mapping> {
        #[cfg(test)]
        if self.mapping_hook.as_ref().is_some_and(|permits| !permits(size)) {
            return Err(io::ErrorKind::OutOfMemory.into());
        }
        let reserve = MmapOptions::new().len(RESERVE).map_anon()?;
        let mapping = Mapping::new(size)?;
        drop(reserve);
        Ok(mapping)
    }
}

impl Pool {
    /// A pool of at most `limit` buffers of `buffer_size` bytes. No memory is mapped yet.
    pub fn new(buffer_size: usize, limit: usize) -> Pool {
        let pressure =
            MemoryPressure { min_buffer: buffer_size, unit: PAGE, timeout: Duration::ZERO };
        Pool::with_pressure(pressure, buffer_size, limit)
    }

    /// A pool as of `new`, with a behaviour for refused memory.
    pub fn with_pressure(pressure: MemoryPressure, buffer_size: usize, limit: usize) -> Pool {
        let state = PoolState {
            limit,
            outstanding: 0,
            free: Vec::new(),
            closed: false,
            refusal_message: None,
            held: false,
            woken: false,
        };
        let shared = PoolShared {
            buffer_size,
            pressure,
            state: Mutex::new(state),
            returned: Condvar::new(),
            #[cfg(test)]
            mapping_hook: None,
        };
        Pool { shared: Arc::new(shared) }
    }

    /// Maps memory only where `permits` returns true for the size.
    #[cfg(test)]
    pub fn with_mapping_hook(
        mut self,
        permits: impl Fn(usize) -> bool + Send + Sync + 'static,
    ) -> Pool {
        Arc::get_mut(&mut self.shared).unwrap().mapping_hook = Some(Box::new(permits));
        self
    }

    /// Bytes of one buffer.
    pub fn buffer_size(&self) -> usize {
        self.shared.buffer_size
    }

    /// The number of buffers that are out.
    pub fn outstanding(&self) -> usize {
        self.shared.state().outstanding
    }

    /// The number of buffers that exist, out or free.
    pub fn allocated(&self) -> usize {
        let state = self.shared.state();
        state.outstanding + state.free.len()
    }

    /// Changes the number of buffers that may be out. A lower limit takes no buffer back; until
    /// enough have returned, none is let out, and those above the limit are unmapped.
    pub fn set_limit(&self, limit: usize) {
        let mut state = self.shared.state();
        state.limit = limit;
        let kept = limit.saturating_sub(state.outstanding).min(state.free.len());
        let surplus = state.free.split_off(kept);
        drop(state);
        drop(surplus);
        self.shared.returned.notify_all();
    }

    /// Waits for a buffer and blocks the thread; `None` once the pool is closed. Fails where the
    /// system refuses memory and no buffer is out.
    pub fn take(&self) -> io::Result<Option<Buffer>> {
        self.take_extra(0)
    }

    /// Ends the wait of `take_unless_woken`, now or at its next call.
    pub fn wake(&self) {
        self.shared.state().woken = true;
        self.shared.returned.notify_all();
    }

    /// Waits as `take` does, for a caller that owns `own` buffers and drops none of them meanwhile.
    /// While others own buffers, which will return, refused memory is waited for and is not an
    /// error.
    pub fn take_extra(&self, own: usize) -> io::Result<Option<Buffer>> {
        loop {
            match self.take_unless_woken(own)? {
                Taken::Buffer(buffer) => return Ok(Some(buffer)),
                Taken::Closed => return Ok(None),
                Taken::Woken => {}
            }
        }
    }

    /// Waits as `take_extra` does, and no longer than until `wake`.
    pub fn take_unless_woken(&self, own: usize) -> io::Result<Taken> {
        let deadline = Instant::now() + self.shared.pressure.timeout;
        let mut state = self.shared.state();
        loop {
            if state.closed {
                return Ok(Taken::Closed);
            }
            if state.outstanding >= state.limit {
                if std::mem::take(&mut state.woken) {
                    return Ok(Taken::Woken);
                }
                state = self.shared.returned.wait(state).unwrap_or_else(PoisonError::into_inner);
                continue;
            }
            state.outstanding += 1;
            if let Some(mapping) = state.free.pop() {
                drop(state);
                return Ok(Taken::Buffer(self.lend(self.full_size(mapping))));
            }
            let may_shrink = own == 0 && state.outstanding == 1;
            drop(state);
            let mapped = if may_shrink { self.map_shrinking() } else { self.map_full_size() };
            let error = match mapped {
                Ok(mapping) => return Ok(Taken::Buffer(self.lend(mapping))),
                Err(error) => error,
            };
            state = self.shared.state();
            state.outstanding -= 1;
            state.refusal_message = Some(error.to_string());
            // Another thread may wait for the permit that was not used.
            self.shared.returned.notify_all();
            if state.closed || !state.free.is_empty() {
                continue;
            }
            if state.outstanding <= own && (own > 0 || Instant::now() >= deadline) {
                return Err(error);
            }
            let waited = self.shared.returned.wait_timeout(state, RETRY_INTERVAL);
            state = waited.unwrap_or_else(PoisonError::into_inner).0;
        }
    }

    /// A buffer without waiting; `None` where as many as the limit allows are out, and once the pool
    /// is closed. The first buffer that is out may be smaller than the others. Fails where the system
    /// refuses memory.
    pub fn try_take(&self) -> io::Result<Option<Buffer>> {
        let mut state = self.shared.state();
        if state.closed || state.outstanding >= state.limit {
            return Ok(None);
        }
        state.outstanding += 1;
        let free = state.free.pop();
        let may_shrink = state.outstanding == 1;
        drop(state);
        let mapped = match free {
            Some(mapping) => Ok(self.full_size(mapping)),
            None if may_shrink => self.map_shrinking(),
            None => self.map_full_size(),
        };
        match mapped {
            Ok(mapping) => Ok(Some(self.lend(mapping))),
            Err(error) => {
                self.shared.state().outstanding -= 1;
                self.shared.returned.notify_all();
                Err(error)
            }
        }
    }

    /// Replaces a small mapping by one of the full size, if there is memory again.
    fn full_size(&self, mapping: Mapping) -> Mapping {
        if mapping.len() < self.shared.buffer_size {
            self.map_full_size().unwrap_or(mapping)
        } else {
            mapping
        }
    }

    fn lend(&self, mapping: Mapping) -> Buffer {
        Buffer { mapping: Some(mapping), shared: Arc::clone(&self.shared) }
    }

    /// Memory for one buffer of the full size.
    fn map_full_size(&self) -> io::Result<Mapping> {
        self.shared.map(self.shared.buffer_size)
    }

    /// Memory for one buffer, whose size is halved while the system refuses it, down to
    /// `min_buffer`.
    fn map_shrinking(&self) -> io::Result<Mapping> {
        let PoolShared { buffer_size, pressure, .. } = &*self.shared;
        let mut size = *buffer_size;
        loop {
            let error = match self.shared.map(size) {
                Ok(mapping) => return Ok(mapping),
                Err(error) => error,
            };
            let half = (size / 2).next_multiple_of(pressure.unit).max(pressure.min_buffer);
            if half >= size {
                return Err(error);
            }
            size = half;
        }
    }

    /// The text of the last refusal of memory, once.
    pub fn take_refusal(&self) -> Option<String> {
        self.shared.state().refusal_message.take()
    }

    /// Makes `wait_for_release` wait until `release`.
    pub fn hold(&self) {
        self.shared.state().held = true;
    }

    /// Ends `hold`.
    pub fn release(&self) {
        self.shared.state().held = false;
        self.shared.returned.notify_all();
    }

    /// Waits until the pool is not held and blocks the thread; false once the pool is closed.
    pub fn wait_for_release(&self) -> bool {
        let mut state = self.shared.state();
        while state.held && !state.closed {
            state = self.shared.returned.wait(state).unwrap_or_else(PoisonError::into_inner);
        }
        !state.closed
    }

    /// Lets no buffer out any more, wakes all threads that wait, and unmaps the free buffers.
    pub fn close(&self) {
        let mut state = self.shared.state();
        state.closed = true;
        let free = std::mem::take(&mut state.free);
        drop(state);
        drop(free);
        self.shared.returned.notify_all();
    }
}

#[cfg(all(test, shuttle))]
mod sync_models;
#[cfg(test)]
mod tests;
