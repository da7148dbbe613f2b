//! The progress of an object or a stream that is read, for `get` and `verify`.
//!
//! Owns the counts, and the ticks at which they are shown also while no byte moves. Must not know how
//! progress is written. Invariant: the work that is watched is polled until it ends, and only by its
//! caller.

use std::cell::Cell;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use tokio::time::MissedTickBehavior;

use super::range_sink::RangeCounts;
use crate::term::progress::activity::{Blocked, Observation, TransferStage};
use crate::term::progress::{ProgressSnapshot, Reporter, Transfer};
use crate::transfer::client::Access;

/// How often progress is shown; the reporter decides what is written of it, and when.
const INTERVAL: Duration = Duration::from_millis(250);

/// Runs `work` to its end, and calls `tick` every 250 ms until then.
pub(super) async fn ticking<T>(work: impl Future<Output = T>, mut tick: impl FnMut()) -> T {
    let mut ticks = tokio::time::interval(INTERVAL);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Skip);
    let mut work = std::pin::pin!(work);
    loop {
        tokio::select! {
            biased;
            result = &mut work => return result,
            _ = ticks.tick() => tick(),
        }
    }
}

/// The progress of one pass over the bytes.
pub(crate) struct ReadProgress<'a> {
    reporter: &'a Reporter,
    transfer: Transfer,
    /// Bytes; `None` where the end is not known.
    total: Option<u64>,
    /// Bytes that were done before the pass.
    already: u64,
    access: Access,
    ranges: Option<RangeCounts>,
    started_at: Instant,
    done: Arc<AtomicU64>,
    blocked: Cell<Blocked>,
    stage: Cell<TransferStage>,
}

impl<'a> ReadProgress<'a> {
    /// A pass that begins now. `already` bytes of `total` are done.
    pub(crate) fn new(
        reporter: &'a Reporter,
        access: &Access,
        transfer: Transfer,
        total: Option<u64>,
        already: u64,
    ) -> ReadProgress<'a> {
        ReadProgress {
            reporter,
            transfer,
            total,
            already,
            access: access.clone(),
            ranges: None,
            started_at: Instant::now(),
            done: Arc::new(AtomicU64::new(already)),
            blocked: Cell::default(),
            stage: Cell::default(),
        }
    }

    /// The bytes come in ranges, whose counts are shown too.
    pub(super) fn with_ranges(self, ranges: RangeCounts) -> ReadProgress<'a> {
        ReadProgress { ranges: Some(ranges), ..self }
    }

    /// Sets the number of bytes that are done.
    pub(crate) fn set_done(&self, bytes: u64) {
        self.done.store(bytes, Ordering::Relaxed);
    }

    /// The number of bytes that are done, for a thread that sets it.
    pub(crate) fn done(&self) -> Arc<AtomicU64> {
        self.done.clone()
    }

    pub(crate) fn set_stage(&self, stage: TransferStage) {
        self.stage.set(stage);
        self.show();
    }

    /// Awaits work, during which the transfer is blocked by `cause`.
    pub(crate) async fn blocked<T>(&self, cause: Blocked, work: impl Future<Output = T>) -> T {
        self.blocked.set(cause);
        let result = work.await;
        self.blocked.set(Blocked::No);
        result
    }

    /// Runs the whole of the work, and shows the progress every 250 ms and at its end.
    pub(crate) async fn shown_during<T>(&self, work: impl Future<Output = T>) -> T {
        let result = ticking(work, || self.show()).await;
        self.show();
        result
    }

    fn show(&self) {
        let done = self.done.load(Ordering::Relaxed);
        let counts = self.ranges.as_ref();
        self.reporter.update(&ProgressSnapshot {
            transfer: self.transfer,
            read: counts.map_or(done, |counts| self.already + counts.arrived()).max(done),
            done,
            already: self.already,
            in_flight: counts.map_or(0, RangeCounts::in_flight),
            retries: counts.map_or(0, RangeCounts::failures),
            token_left: self.access.token_left(),
            expected: self.total,
            elapsed: self.started_at.elapsed(),
            seen: Observation {
                stage: self.stage.get(),
                blocked: self.blocked.get(),
                outage: counts.is_some_and(RangeCounts::is_stalled),
                awaits_token: self.access.is_awaited(),
            },
            ..ProgressSnapshot::default()
        });
    }
}
