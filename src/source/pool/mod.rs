//! A bounded number of reusable buffers; holding one is the permission to read.
//!
//! Owns the memory that the stream passes through. Knows nothing of parts, of hashing or of who
//! holds a buffer. Memory is mapped, page-aligned and outside the heap, only when a buffer is taken
//! and none that was used before is free: a stream of one kilobyte touches a page of one buffer.
//! Invariant: never more than `limit` buffers exist outside the free list, nor more than `limit` in
//! all; a buffer is back when the last slice of its bytes is dropped, and not before. Memory that the
//! system refuses makes the pool smaller for as long as it refuses; it is an error only for who could
//! wait for nothing.

use std::io;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use bytes::Bytes;
use memmap2::{MmapMut, MmapOptions};

/// The size of a huge page where Linux offers them on the common machines.
const HUGE_PAGE: usize = 2 << 20;
const PAGE: usize = 4096;

/// What must be left when a buffer was mapped: the heap and the stacks of threads live under the same
/// limits, and for them a refusal is the end of the process.
const RESERVE: usize = 16 << 20;
/// Memory that was refused is asked for again after so long, if no buffer comes back before.
const RETRY_INTERVAL: Duration = Duration::from_millis(100);

/// What is done where the system gives no memory and no buffer is out that would come back.
#[derive(Debug, Clone, Copy)]
pub struct MemoryPressure {
    /// Smaller buffers are tried, down to this size.
    pub min_buffer: usize,
    /// So long memory is asked for again.
    pub timeout: Duration,
}

/// A bounded set of buffers of one size; clones share it.
#[derive(Clone)]
pub struct Pool {
    shared: Arc<PoolShared>,
}

struct PoolShared {
    buffer_size: usize,
    scarcity: MemoryPressure,
    state: Mutex<PoolState>,
    returned: Condvar,
    #[cfg(test)]
    gate: Option<RefusalHook>,
}

/// Asked before memory is mapped, for tests in which it is refused.
#[cfg(test)]
pub type RefusalHook = Box<dyn Fn(usize) -> bool + Send + Sync>;

struct PoolState {
    limit: usize,
    outstanding: usize,
    /// The last one returned is the first one taken: its pages are the likeliest to be in cache.
    free: Vec<Mapping>,
    closed: bool,
    /// The last refusal of memory that nobody has asked about.
    refusal_message: Option<String>,
    reserved: bool,
}

impl PoolShared {
    fn state(&self) -> MutexGuard<'_, PoolState> {
        // The state is changed in single steps that cannot panic half way: it is whole even so.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl PoolShared {
    fn map(&self, size: usize) -> io::Result<Mapping> {
        #[cfg(test)]
        if self.gate.as_ref().is_some_and(|gate| !gate(size)) {
            return Err(io::ErrorKind::OutOfMemory.into());
        }
        let reserve = MmapOptions::new().len(RESERVE).map_anon()?;
        let region = Mapping::map(size)?;
        drop(reserve);
        Ok(region)
    }
}

impl Pool {
    /// A pool that hands out at most `limit` buffers of `buffer_size` bytes. Nothing is allocated yet.
    pub fn new(buffer_size: usize, limit: usize) -> Pool {
        let scarcity = MemoryPressure { min_buffer: buffer_size, timeout: Duration::ZERO };
        Pool::under(scarcity, buffer_size, limit)
    }

    /// The same, with a word on what to do where there is hardly any memory.
    pub fn under(scarcity: MemoryPressure, buffer_size: usize, limit: usize) -> Pool {
        let state = PoolState {
            limit,
            outstanding: 0,
            free: Vec::new(),
            closed: false,
            refusal_message: None,
            reserved: false,
        };
        let shared = PoolShared {
            buffer_size,
            scarcity,
            state: Mutex::new(state),
            returned: Condvar::new(),
            #[cfg(test)]
            gate: None,
        };
        Pool { shared: Arc::new(shared) }
    }

    /// A pool to which memory is given only where the gate is open.
    #[cfg(test)]
    pub fn with_refusal_hook(
        mut self,
        gate: impl Fn(usize) -> bool + Send + Sync + 'static,
    ) -> Pool {
        Arc::get_mut(&mut self.shared).unwrap().gate = Some(Box::new(gate));
        self
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
        self.try_take_extra(0)
    }

    /// The same for who holds so many buffers already, and will let go of none before it has another.
    /// Memory that is refused is waited for as long as buffers are out with others: they come back.
    pub fn try_take_extra(&self, own: usize) -> io::Result<Option<Buffer>> {
        let until = Instant::now() + self.shared.scarcity.timeout;
        let mut state = self.shared.state();
        loop {
            if state.closed {
                return Ok(None);
            }
            if state.outstanding >= state.limit {
                state = self.shared.returned.wait(state).unwrap_or_else(PoisonError::into_inner);
                continue;
            }
            state.outstanding += 1;
            if let Some(region) = state.free.pop() {
                drop(state);
                return Ok(Some(self.lend(self.whole(region))));
            }
            let alone = state.outstanding == own + 1;
            drop(state);
            let error = match self.map(alone && own == 0) {
                Ok(region) => return Ok(Some(self.lend(region))),
                Err(error) => error,
            };
            state = self.shared.state();
            state.outstanding -= 1;
            state.refusal_message = Some(error.to_string());
            // Somebody else may have been kept waiting by the permission that was not used.
            self.shared.returned.notify_one();
            if state.closed || !state.free.is_empty() {
                continue;
            }
            if state.outstanding <= own && (own > 0 || Instant::now() >= until) {
                return Err(error);
            }
            let waited = self.shared.returned.wait_timeout(state, RETRY_INTERVAL);
            state = waited.unwrap_or_else(PoisonError::into_inner).0;
        }
    }

    /// A region as it is, or in the place of a small one a whole one, if there is memory again.
    fn whole(&self, region: Mapping) -> Mapping {
        let size = self.shared.buffer_size;
        if region.length < size { self.shared.map(size).unwrap_or(region) } else { region }
    }

    fn lend(&self, region: Mapping) -> Buffer {
        Buffer { region: Some(region), shared: Arc::clone(&self.shared) }
    }

    /// Memory for one buffer; a smaller one where only that can be had and it is wanted.
    fn map(&self, smaller: bool) -> io::Result<Mapping> {
        let PoolShared { buffer_size, scarcity, .. } = &*self.shared;
        let mut size = *buffer_size;
        loop {
            let refused = match self.shared.map(size) {
                Ok(region) => return Ok(region),
                Err(error) => error,
            };
            let half = (size / 2).next_multiple_of(PAGE).max(scarcity.min_buffer);
            if !smaller || half >= size {
                return Err(refused);
            }
            size = half;
        }
    }

    /// The system's last word on a refusal of memory, said once.
    pub fn refusal(&self) -> Option<String> {
        self.shared.state().refusal_message.take()
    }

    /// From here on `passes` waits, until `release`.
    pub fn hold(&self) {
        self.shared.state().reserved = true;
    }

    pub fn release(&self) {
        self.shared.state().reserved = false;
        self.shared.returned.notify_all();
    }

    /// Waits until the pool is not held; false once it is closed. Blocks the calling thread.
    pub fn may_map(&self) -> bool {
        let mut state = self.shared.state();
        while state.reserved && !state.closed {
            state = self.shared.returned.wait(state).unwrap_or_else(PoisonError::into_inner);
        }
        !state.closed
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
    region: Option<Mapping>,
    shared: Arc<PoolShared>,
}

impl Buffer {
    /// The whole buffer, to be filled from its start.
    pub fn space(&mut self) -> &mut [u8] {
        self.region.as_mut().map(Mapping::bytes_mut).unwrap_or_default()
    }

    /// The first `length` bytes, shared without a copy: the buffer is back in the pool when the last
    /// slice is dropped.
    pub fn freeze(self, length: usize) -> Bytes {
        let length = length.min(self.as_ref().len());
        Bytes::from_owner(self).slice(..length)
    }
}

impl AsRef<[u8]> for Buffer {
    fn as_ref(&self) -> &[u8] {
        self.region.as_ref().map(Mapping::bytes).unwrap_or_default()
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
struct Mapping {
    map: MmapMut,
    start: usize,
    length: usize,
}

impl Mapping {
    fn map(length: usize) -> io::Result<Mapping> {
        // With huge pages in sight, start where one can start; the slack is address space only.
        let slack = if length >= 2 * HUGE_PAGE { HUGE_PAGE } else { 0 };
        let map = MmapOptions::new().len((length + slack).max(1)).map_anon()?;
        let start = if slack == 0 { 0 } else { map.as_ptr().align_offset(HUGE_PAGE).min(slack) };
        let region = Mapping { map, start, length };
        region.ask_for_huge_pages();
        Ok(region)
    }

    /// The first touch of fresh memory costs as much as sending it; huge pages make it a fifth. The
    /// first two megabytes stay with small pages, so that a short stream touches only what it fills.
    #[cfg(target_os = "linux")]
    fn ask_for_huge_pages(&self) {
        if self.length >= 2 * HUGE_PAGE {
            // Advice: a kernel without huge pages refuses it, and everything works as well.
            let _ = self.map.advise_range(
                memmap2::Advice::HugePage,
                self.start + HUGE_PAGE,
                self.length - HUGE_PAGE,
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
mod tests;
