//! Outages in virtual time, with a source that reads a part only if a buffer is free for it.
//!
//! Owns the times at which the service cannot be reached. Must not know the states of the upload.
//! Invariant: the parts in memory never exceed the buffers.

use std::ops::Range;

use super::*;

/// A harness whose service cannot be reached for a while.
struct OutageRun {
    harness: Harness,
    /// The time of the first outage.
    outage: Range<Duration>,
    /// The number of outages. Between two of them, the service works for the length of an outage.
    outages: u32,
    /// The number of parts that fit into memory.
    buffers: usize,
    /// The number of parts whose reading has started.
    started: usize,
    /// The number of parts that were read.
    read: usize,
    /// The largest number of parts that were in memory.
    max_in_memory: usize,
}

impl OutageRun {
    fn new(seed: u64, parts: usize, outage: Range<Duration>) -> OutageRun {
        let mut harness = Harness::new(seed, parts, NO_FAULTS);
        // The buffers are counted by part, so the tail is not split.
        harness.configure(|config| config.tail_split.min_piece = u64::MAX);
        let buffers = harness.upload.core.config.parallel + 1;
        OutageRun { harness, outage, outages: 1, buffers, started: 0, read: 0, max_in_memory: 0 }
    }

    fn is_unreachable(&self) -> bool {
        let (start, end) = (self.outage.start, self.outage.end);
        (0..self.outages).any(|index| {
            let offset = 2 * index * (end - start);
            (start + offset..end + offset).contains(&self.harness.now)
        })
    }

    /// Starts to read the next part if a buffer is free for it.
    fn start_reading(&mut self) {
        let occupied = self.started - self.harness.acknowledged.len();
        let is_reading = self.started > self.read;
        if is_reading || occupied >= self.buffers || self.started == self.harness.stream.len() {
            return;
        }
        let part = self.harness.stream[self.started].clone();
        let digest = digest::part(Algorithm::Sha256, &[part]);
        self.started += 1;
        let duration = Duration::from_millis(self.harness.rng.u64(..1000));
        let part = Event::Part { number: nth(self.started as u32), digest };
        self.harness.schedule(duration, Scheduled::Event(part));
        if self.started == 1 {
            self.harness.schedule(duration, Scheduled::Event(Event::MultipartNeeded));
        }
        if self.started == self.harness.stream.len() {
            let end = self.harness.end_of_stream();
            self.harness.schedule(duration, Scheduled::Event(end));
        }
    }

    fn start_call(&mut self, call: ApiCall) {
        if !self.is_unreachable() {
            return self.harness.start_call(call);
        }
        self.harness.aborts_in_flight += u32::from(matches!(call, ApiCall::Abort { .. }));
        let failure = transport_failure(TransportError::Connect, "connection refused");
        self.harness.schedule_failure(Duration::from_millis(1), call, failure);
    }

    /// A request that is in flight when an outage starts loses its response. The service has
    /// performed it or not.
    fn process(&mut self, scheduled: Scheduled) {
        self.read += usize::from(matches!(scheduled, Scheduled::Event(Event::Part { .. })));
        let scheduled = match scheduled {
            Scheduled::Request(request) if self.is_unreachable() => {
                if self.harness.rng.bool() {
                    let _ = self.harness.model.perform(&request, &self.harness.precondition);
                }
                let failure = transport_failure(TransportError::ResponseLost, "reset");
                Scheduled::Event(Event::CallDone { call: request.call, result: Err(failure) })
            }
            scheduled => scheduled,
        };
        self.harness.process(scheduled);
    }

    fn run(&mut self) -> Result<StoredObject, Error> {
        for _ in 0..100_000 {
            while let Some(action) = self.harness.upload.poll_action() {
                match action {
                    Action::StartCall(call) => self.start_call(call),
                    Action::ReleasePart(number) => drop(self.harness.buffers.remove(&number)),
                    Action::ReadOn => {}
                    Action::Warn(warning) => self.harness.warnings.push(warning.text),
                    Action::CancelParts
                    | Action::StopReading
                    | Action::Rehash(_)
                    | Action::Transition { .. } => {}
                    Action::SplitTail { .. } | Action::SplitQueue { .. } => {
                        panic!("parts are split")
                    }
                    Action::SetConnections { .. } | Action::RecallParts(_) => {
                        panic!("the number is fixed")
                    }
                    Action::Finish(result) => return result,
                }
            }
            self.start_reading();
            self.max_in_memory = self.max_in_memory.max(self.harness.buffers.len());
            let timeout = self.harness.upload.poll_timeout();
            let next = self.harness.queue.keys().next().copied();
            match (next, timeout) {
                (Some(key), timeout) if timeout.is_none_or(|at| key.0 <= at) => {
                    let scheduled =
                        self.harness.queue.remove(&key).expect("the key is in the queue");
                    self.harness.now = key.0;
                    self.process(scheduled);
                }
                (_, Some(at)) => {
                    self.harness.now = self.harness.now.max(at);
                    self.harness.upload.handle_timeout(self.harness.now);
                }
                (_, None) => panic!("the queue is empty, and no timer runs"),
            }
        }
        let activity = self.harness.upload.current_activity();
        panic!("the run does not end; it waits for {activity:?}");
    }
}

#[test]
fn an_outage_of_a_second_a_minute_or_ten_minutes_costs_only_its_time() {
    for length in [SECOND, 60 * SECOND, 600 * SECOND] {
        for seed in 0..200 {
            let start = Duration::from_millis(seed * 97 % 20_000);
            let mut run = OutageRun::new(seed, 2 + seed as usize % 30, start..start + length);
            let result = run.run();
            let harness = &run.harness;
            harness.check_result(seed, &result);
            let stored = result.unwrap_or_else(|error| panic!("{length:?}, seed {seed}: {error}"));
            assert_eq!(stored.parts as usize, harness.stream.len());
            assert!(run.max_in_memory <= run.buffers, "{} parts were in memory", run.max_in_memory);
            // The longest backoff and the time of the stream itself. Resolving a commit whose
            // response was lost takes several calls, each with its own backoff.
            let after = harness.now.saturating_sub(start + length);
            assert!(
                after < 180 * SECOND,
                "{length:?}, seed {seed}: {after:?} after the end of the outage"
            );
        }
    }
}

#[test]
fn an_outage_longer_than_the_retry_budget_ends_the_run_when_the_budget_is_exhausted() {
    for seed in 0..100 {
        let start = Duration::from_millis(seed * 97 % 20_000);
        let mut run = OutageRun::new(seed, 30, start..start + 3 * 3600 * SECOND);
        run.harness.configure(|config| config.retry_for = 600 * SECOND);
        let result = run.run();
        run.harness.check_result(seed, &result);
        let kind = result.unwrap_err().kind;
        assert!(
            [ErrorKind::Service, ErrorKind::OutcomeUnknown].contains(&kind),
            "seed {seed}: {kind:?}"
        );
        let elapsed = run.harness.now.saturating_sub(start);
        assert!(
            elapsed >= 600 * SECOND && elapsed < 660 * SECOND,
            "seed {seed}: the run ended {elapsed:?} after the start of the outage"
        );
    }
}

#[test]
fn outages_that_sum_to_more_than_the_retry_budget_are_survived_with_progress_between_them() {
    for seed in 0..100 {
        let start = Duration::from_millis(seed * 97 % 20_000);
        let mut run = OutageRun::new(seed, 300, start..start + 60 * SECOND);
        run.outages = 20;
        run.harness.configure(|config| config.retry_for = 300 * SECOND);
        let result = run.run();
        run.harness.check_result(seed, &result);
        result.unwrap_or_else(|error| panic!("seed {seed}: {error}"));
        let elapsed = run.harness.now.saturating_sub(start);
        assert!(elapsed > 300 * SECOND, "seed {seed}: only {elapsed:?} with outages");
    }
}
