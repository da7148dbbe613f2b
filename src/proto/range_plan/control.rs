//! The sizes of a download while it runs: how many ranges are read at once, and how long they are.
//!
//! Owns the controller of the connections and the size of the next range. Must not know requests, tasks
//! or clocks. Invariants: the ranges in flight fit into the buffers, and the buffers and connections
//! into the memory of the plan; a number and a size that the user gave are kept; a download whose
//! writer or bandwidth limit is the slower side gets no connection more.

use std::time::Duration;

use super::{LEAST_SHARED_RANGE, RangePlan};
use crate::concurrency::{Controller, START, Sample};

/// A range takes about this long, in seconds, so that the round trip before it weighs little.
const RANGE_SECONDS: f64 = 4.0;
/// The same before the rate of the first connections is known: more of them are started without delay.
const FIRST_RANGE_SECONDS: f64 = 1.0;
/// The memory beside more connections than at first, by what their ranges need.
const SLACK: f64 = 1.25;
/// A range of the end, which is shared out, takes at least this long, in seconds.
const TAIL_SECONDS: f64 = 0.25;
/// The shortest time over which a rate is measured, in seconds.
const MEASURED: f64 = 0.2;

/// What is observed of a download. Totals since its start.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub struct RangeSample {
    /// The time since the start.
    pub at: Duration,
    /// Bytes that have arrived.
    pub arrived: u64,
    /// How long the writer waited for bytes.
    pub waited: Duration,
    /// The most ranges that were in flight since the last sample.
    pub peak_in_flight: usize,
    /// Ranges in flight.
    pub in_flight: usize,
    /// Ranges in flight whose last response was 429 or 503.
    pub refused: usize,
    /// Whether the bandwidth limit holds bytes back.
    pub limited: bool,
}

/// Chooses the ranges of one download.
#[derive(Debug, Clone)]
pub struct RangeControl {
    plan: RangePlan,
    /// `None` where the number of connections is kept.
    controller: Option<Controller>,
    /// The bytes of a range where the number of connections is kept, and of a small object.
    kept_range: u64,
    /// The bytes of the whole download.
    length: u64,
    /// Ranges that were started.
    started: u64,
    last: RangeSample,
    /// The time that the writer waited for the network.
    network_bound: Duration,
    /// Bytes per second of one connection; 0 before it is known.
    each: f64,
    /// When the rate was measured last, and the bytes that had arrived by then.
    measured: (f64, u64),
    refusal_shown: bool,
}

impl RangeControl {
    /// The ranges of a download of `length` bytes.
    pub fn new(plan: RangePlan, length: u64) -> RangeControl {
        let most = u16::try_from(plan.most).unwrap_or(u16::MAX);
        let may_grow = plan.most > plan.parallel && plan.parallel == usize::from(START);
        RangeControl {
            controller: may_grow.then(|| Controller::new(most)),
            kept_range: plan.range_size(length),
            length,
            started: 0,
            plan,
            last: RangeSample::default(),
            network_bound: Duration::ZERO,
            each: 0.0,
            measured: (0.0, 0),
            refusal_shown: false,
        }
    }

    /// The ranges to read at the same time.
    pub fn connections(&self) -> usize {
        let chosen = self.controller.as_ref().map(|controller| controller.connections());
        chosen.map_or(self.plan.parallel, usize::from)
    }

    /// The buffers that may be in use.
    pub fn buffers(&self) -> usize {
        self.plan.buffers_beside(self.connections())
    }

    /// The buffers that a range of `length` bytes needs.
    pub fn buffers_for(&self, length: u64) -> usize {
        self.plan.buffers_for(length)
    }

    /// The bytes of the next range, where `left` bytes are not requested yet.
    pub fn next_range(&self, left: u64) -> u64 {
        let first = self.plan.parallel as u64;
        let small = self.length < first * self.plan.min_range;
        if self.controller.is_none() || self.plan.range_given || small {
            return self.kept_range.min(left);
        }
        let buffer = self.plan.buffer_size as u64;
        let least = LEAST_SHARED_RANGE.min(self.plan.range);
        if self.started < first {
            // Connections that do not end their ranges at the same time have their round trips one
            // after the other.
            let share = self.plan.min_range * (self.started + 1) / first;
            return (share / buffer * buffer).max(buffer).min(left);
        }
        let connections = self.connections() as u64;
        // Beside more connections than at first, half of the memory is for ranges that have been read
        // and wait for an earlier one.
        let slack = if connections > first { SLACK } else { 1.0 };
        let largest = (self.buffers() as f64 / (slack * connections as f64)) as u64 * buffer;
        let largest = largest.clamp(least, self.plan.range);
        let unknown = self.each <= 0.0;
        let decided = self.controller.as_ref().is_none_or(Controller::has_decided);
        let seconds = if decided { RANGE_SECONDS } else { FIRST_RANGE_SECONDS };
        let wanted = if unknown { self.plan.min_range } else { (self.each * seconds) as u64 };
        let size = wanted.clamp(least, largest);
        let share = left.div_ceil(connections);
        let least_share = if unknown { size } else { (self.each * TAIL_SECONDS) as u64 };
        let size = size.min(share.max(least_share).max(least));
        // Whole buffers, of which no part is unused.
        (size / buffer * buffer).max(size.min(buffer)).min(left)
    }

    /// Counts a range that was started.
    pub fn begin_range(&mut self) {
        self.started += 1;
    }

    /// Takes the bytes that have arrived, which show how long the next range should be.
    pub fn observe(&mut self, at: Duration, arrived: u64, in_flight: usize) {
        let (since, before) = self.measured;
        let seconds = at.as_secs_f64() - since;
        if seconds >= MEASURED && arrived > before {
            self.each = (arrived - before) as f64 / seconds / in_flight.max(1) as f64;
            self.measured = (at.as_secs_f64(), arrived);
        }
    }

    /// Takes a sample; samples come about twice a second. Returns a note for the user where the service
    /// refuses so many ranges at a time, once.
    pub fn handle_sample(&mut self, sample: RangeSample) -> Option<String> {
        let waited = sample.waited.saturating_sub(self.last.waited);
        if !sample.limited {
            self.network_bound += waited;
        }
        self.last = sample;
        let controller = self.controller.as_mut()?;
        let before = controller.connections();
        // Between two ranges a connection is idle for a moment.
        let peak_counts = sample.peak_in_flight <= usize::from(before);
        let in_flight = if peak_counts { sample.peak_in_flight } else { sample.in_flight };
        let count = |number: usize| u16::try_from(number).unwrap_or(u16::MAX);
        controller.handle_sample(Sample {
            at: sample.at,
            sent: sample.arrived,
            waited: self.network_bound,
            in_flight: count(in_flight),
            refused: count(sample.refused),
        });
        let after = controller.connections();
        if !controller.was_refused() || std::mem::replace(&mut self.refusal_shown, true) {
            return None;
        }
        Some(format!("the service refuses {before} ranges at a time: going on with {after}"))
    }
}
