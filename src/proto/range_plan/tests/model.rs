//! A download over a modelled line, in virtual time.
//!
//! Owns the ranges in flight, the buffers, the writer and the service of the model. Must not know how
//! the ranges are chosen. Invariant: the writer takes the bytes in the order of the object.

use std::collections::VecDeque;
use std::time::Duration;

use crate::concurrency::tests::line::Scenario;
use crate::range_plan::{RangeControl, RangePlan, RangeSample};

/// Seconds of one step.
const STEP: f64 = 0.01;
/// Steps between two samples.
const SAMPLED: u64 = 50;
/// Seconds before a refused request is sent again.
const BACKOFF: f64 = 0.4;

struct ModelRange {
    length: f64,
    arrived: f64,
    written: f64,
    buffers: usize,
    /// When the first byte arrives.
    begins_at: f64,
    refused: bool,
}

/// The result of one download.
#[derive(Debug, Default)]
pub struct Download {
    pub seconds: f64,
    /// Bytes that arrived from the tenth second on.
    pub after_ten_seconds: f64,
    /// The most ranges in flight at a time.
    pub peak: usize,
    /// The ranges in flight at the end, and the connections that were chosen by then.
    pub last_connections: usize,
    /// The most bytes at a time in buffers, and 1 MiB for each connection after the fourth.
    pub peak_memory: u64,
    pub ranges: usize,
    pub notes: Vec<String>,
}

/// What limits a download besides its line.
#[derive(Debug, Clone, Copy)]
pub struct Limits {
    /// Bytes per second that the writer takes.
    pub writer: f64,
    /// Bytes per second of `--bwlimit`.
    pub bandwidth: Option<f64>,
}

pub struct Model<'a> {
    scenario: &'a Scenario,
    limits: Limits,
    plan: RangePlan,
    control: RangeControl,
    ranges: VecDeque<ModelRange>,
    left: u64,
    steps: u64,
    arrived: f64,
    waited: f64,
    peak: usize,
    outcome: Download,
}

impl<'a> Model<'a> {
    /// Reads `length` bytes.
    pub fn run(scenario: &'a Scenario, plan: RangePlan, length: u64, limits: Limits) -> Download {
        let mut model = Model {
            scenario,
            limits,
            control: RangeControl::new(plan.clone(), length),
            plan,
            ranges: VecDeque::new(),
            left: length,
            steps: 0,
            arrived: 0.0,
            waited: 0.0,
            peak: 0,
            outcome: Download::default(),
        };
        while model.left > 0 || !model.ranges.is_empty() {
            model.step();
        }
        model.outcome.seconds = model.now();
        model.outcome.last_connections = model.control.connections();
        model.outcome
    }

    fn now(&self) -> f64 {
        self.steps as f64 * STEP
    }

    fn in_flight(&self) -> usize {
        self.ranges.iter().filter(|range| range.arrived < range.length).count()
    }

    /// The buffers that are out: those of a range return one by one as they are written.
    fn outstanding(&self) -> usize {
        let buffer = self.plan.buffer_size as f64;
        let left = |range: &ModelRange| range.buffers - (range.written / buffer) as usize;
        self.ranges.iter().map(left).sum()
    }

    fn step(&mut self) {
        self.start_ranges();
        self.steps += 1;
        self.receive();
        self.write();
        if self.steps.is_multiple_of(SAMPLED) {
            self.sample();
        }
    }

    fn start_ranges(&mut self) {
        let now = self.now();
        while self.left > 0 && self.in_flight() < self.control.connections() {
            let at = Duration::from_secs_f64(now);
            self.control.observe(at, self.arrived as u64, self.in_flight());
            let length = self.control.next_range(self.left);
            assert!(length > 0 && length <= self.left);
            let buffers = self.control.buffers_for(length);
            let free = self.control.buffers().saturating_sub(self.outstanding());
            if free < buffers && !self.ranges.is_empty() {
                break;
            }
            self.left -= length;
            self.control.begin_range();
            self.outcome.ranges += 1;
            let begins_at = now + self.scenario.round_trip + self.scenario.service_time;
            self.ranges.push_back(ModelRange {
                length: length as f64,
                arrived: 0.0,
                written: 0.0,
                buffers,
                begins_at,
                refused: false,
            });
        }
        let in_flight = self.in_flight();
        self.peak = self.peak.max(in_flight);
        self.outcome.peak = self.outcome.peak.max(in_flight);
        let beside = (in_flight.saturating_sub(4) as u64) << 20;
        let memory = (self.outstanding() * self.plan.buffer_size) as u64 + beside;
        self.outcome.peak_memory = self.outcome.peak_memory.max(memory);
    }

    fn receive(&mut self) {
        let now = self.now();
        let most = self.scenario.most_requests.unwrap_or(usize::MAX);
        let sending = |range: &&mut ModelRange| range.arrived < range.length;
        let mut accepted = self.ranges.iter_mut().filter(|range| range.arrived > 0.0);
        let mut accepted = accepted.by_ref().filter(sending).count();
        for range in self.ranges.iter_mut().filter(|range| range.arrived == 0.0) {
            if now < range.begins_at {
                continue;
            }
            range.refused = accepted >= most;
            if range.refused {
                range.begins_at = now + BACKOFF;
            } else {
                accepted += 1;
            }
        }
        let mut each = self.scenario.rates_at(now).each(accepted);
        if let Some(bandwidth) = self.limits.bandwidth {
            each = each.min(bandwidth / accepted.max(1) as f64);
        }
        for range in &mut self.ranges {
            if now >= range.begins_at && !range.refused {
                let bytes = (each * STEP).min(range.length - range.arrived);
                range.arrived += bytes;
                self.arrived += bytes;
                if now >= 10.0 {
                    self.outcome.after_ten_seconds += bytes;
                }
            }
        }
    }

    fn write(&mut self) {
        let most = self.limits.writer * STEP;
        let mut left = most;
        while let Some(front) = self.ranges.front_mut() {
            let bytes = left.min(front.arrived - front.written);
            front.written += bytes;
            left -= bytes;
            if front.written < front.length {
                break;
            }
            self.ranges.pop_front();
        }
        self.waited += STEP * left / most;
    }

    fn sample(&mut self) {
        let in_flight = self.in_flight();
        let peak = std::mem::replace(&mut self.peak, in_flight).max(in_flight);
        let each = self.scenario.rates_at(self.now()).each(in_flight);
        let carried = each * in_flight as f64;
        self.outcome.notes.extend(self.control.handle_sample(RangeSample {
            at: Duration::from_secs_f64(self.now()),
            arrived: self.arrived as u64,
            waited: Duration::from_secs_f64(self.waited),
            peak_in_flight: peak,
            in_flight,
            refused: self.ranges.iter().filter(|range| range.refused).count(),
            limited: self.limits.bandwidth.is_some_and(|bandwidth| bandwidth < carried),
        }));
    }
}
