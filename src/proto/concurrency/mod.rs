//! How many connections a transfer uses, and how large its parts are.
//!
//! Owns the controller and the sizes that fit into the memory of a transfer. Must not know sockets or
//! clocks. Invariant: the parts in flight and the one that is read fit into the buffers.

mod controller;
#[cfg(test)]
mod exploration;
mod phase;
#[cfg(test)]
pub(crate) mod tests;

pub use controller::{Controller, START, Sample};

/// The size in buffers of a part, so that one for each connection and the one that is read fit into the
/// buffers; at least one, and at most `largest`.
pub fn part_buffers(buffers: usize, connections: u16, largest: usize) -> usize {
    (buffers / (usize::from(connections) + 1)).clamp(1, largest.max(1))
}
