//! What the upload sets for the reading thread, and the time that this thread waited.
//!
//! Owns the number of connections as the reading thread sees it, and the clock of its waits. Must not know
//! why the number changes. Invariant: the time of waits never decreases.

use std::sync::atomic::{AtomicU16, AtomicU32, AtomicUsize, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

/// What the sizes of later parts depend on.
#[derive(Debug)]
pub(super) struct CutControl {
    connections: AtomicU16,
    /// Part numbers that were taken by parts that were cut again.
    added_numbers: AtomicU32,
    /// The connections that have no part to send.
    idle: AtomicUsize,
}

impl CutControl {
    pub(super) fn new(connections: u16) -> CutControl {
        CutControl {
            connections: AtomicU16::new(connections),
            added_numbers: AtomicU32::new(0),
            idle: AtomicUsize::new(0),
        }
    }

    /// The connections that the upload uses now.
    pub(super) fn connections(&self) -> u16 {
        self.connections.load(Ordering::Relaxed)
    }

    pub(super) fn set_connections(&self, connections: u16) {
        self.connections.store(connections, Ordering::Relaxed);
    }

    /// The connections that have no part to send.
    pub(super) fn idle(&self) -> usize {
        self.idle.load(Ordering::Relaxed)
    }

    /// Returns whether that has changed.
    pub(super) fn set_idle(&self, idle: usize) -> bool {
        self.idle.swap(idle, Ordering::Relaxed) != idle
    }

    /// How much higher the numbers of later parts are than their place among the parts that were read.
    pub(super) fn added_numbers(&self) -> u32 {
        self.added_numbers.load(Ordering::Relaxed)
    }

    pub(super) fn add_numbers(&self, count: u32) {
        self.added_numbers.fetch_add(count, Ordering::Relaxed);
    }
}

/// The time that a thread has waited, the wait of this moment included.
#[derive(Debug, Default)]
pub(super) struct WaitClock {
    state: Mutex<(Duration, Option<Instant>)>,
}

impl WaitClock {
    pub(super) fn begin(&self) {
        self.state.lock().unwrap_or_else(PoisonError::into_inner).1 = Some(Instant::now());
    }

    pub(super) fn end(&self) {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        let waited = state.1.take().map_or(Duration::ZERO, |since| since.elapsed());
        state.0 += waited;
    }

    /// All waits until now.
    pub(super) fn total(&self) -> Duration {
        let state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        state.0 + state.1.map_or(Duration::ZERO, |since| since.elapsed())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_reader_sees_the_number_of_connections_that_the_upload_has_set() {
        let control = CutControl::new(4);
        assert_eq!(control.connections(), 4);
        control.set_connections(9);
        assert_eq!(control.connections(), 9);
    }

    #[test]
    fn a_wait_counts_while_it_lasts_and_after_it_and_time_between_waits_does_not() {
        let clock = WaitClock::default();
        assert_eq!(clock.total(), Duration::ZERO);
        clock.begin();
        let mut before = clock.total();
        while before == Duration::ZERO {
            before = clock.total();
        }
        clock.end();
        let total = clock.total();
        assert!(total >= before);
        assert_eq!(clock.total(), total);
    }
}
