//! A buffer in use.
//!
//! Owns the return of its memory to the pool. Must not decide how many buffers exist. Invariant: a buffer
//! returns once, when it and the last slice of its bytes are dropped.

use std::sync::Arc;

use bytes::Bytes;

use super::PoolShared;
use super::mapping::Mapping;

/// One buffer, which the drop returns to the pool.
pub struct Buffer {
    /// `Some` until the drop.
    pub(super) mapping: Option<Mapping>,
    pub(super) shared: Arc<PoolShared>,
}

impl Buffer {
    /// All bytes of the buffer.
    pub fn space(&mut self) -> &mut [u8] {
        self.mapping.as_mut().map(Mapping::bytes_mut).unwrap_or_default()
    }

    /// The first `length` bytes, without a copy. The buffer returns to the pool when the last slice
    /// of them is dropped.
    pub fn freeze(self, length: usize) -> Bytes {
        let length = length.min(self.as_ref().len());
        Bytes::from_owner(self).slice(..length)
    }
}

impl AsRef<[u8]> for Buffer {
    fn as_ref(&self) -> &[u8] {
        self.mapping.as_ref().map(Mapping::bytes).unwrap_or_default()
    }
}

impl Drop for Buffer {
    fn drop(&mut self) {
        let mut state = self.shared.state();
        state.outstanding -= 1;
        let keep = !state.closed && state.outstanding + state.free.len() < state.limit;
        let surplus = match self.mapping.take() {
            Some(mapping) if keep => {
                state.free.push(mapping);
                None
            }
            other => other,
        };
        drop(state);
        // munmap(2) of a large mapping takes time, so the lock is released before.
        drop(surplus);
        // Threads that wait for a buffer and those that wait for a release share the condition variable.
        self.shared.returned.notify_all();
    }
}
