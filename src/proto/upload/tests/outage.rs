//! Outages in virtual time: the stream is saved, and no more of it is held than there are buffers.

use super::*;

/// A world that goes away for a while, and a source that waits for buffers.
struct Outage {
    world: Harness,
    /// Nothing is reached from the one time to the other.
    gone: (Duration, Duration),
    /// So often, with a pause as long as the world is gone for.
    times: u32,
    buffers: usize,
    /// How many parts have been asked of the source, and how many it has given.
    asked: usize,
    given: usize,
    most_held: usize,
}

impl Outage {
    fn new(seed: u64, parts: usize, gone: (Duration, Duration)) -> Outage {
        let mut world = Harness::new(seed, parts, NO_FAULTS);
        // Buffers are counted by part, so no part is cut.
        world.configure(|config| config.tail_split.min_piece = u64::MAX);
        let buffers = world.upload.core.config.parallel + 1;
        Outage { world, gone, times: 1, buffers, asked: 0, given: 0, most_held: 0 }
    }

    fn is_gone(&self) -> bool {
        let (from, to) = self.gone;
        (0..self.times).any(|time| {
            let later = 2 * time * (to - from);
            (from + later..to + later).contains(&self.world.now)
        })
    }

    /// Reads the next part as soon as there is a buffer for it.
    fn read(&mut self) {
        let taken = self.asked - self.world.acknowledged.len();
        let reading = self.asked > self.given;
        if reading || taken >= self.buffers || self.asked == self.world.stream.len() {
            return;
        }
        let part = self.world.stream[self.asked].clone();
        let digest = digest::part(Algorithm::Sha256, &[part]);
        self.asked += 1;
        let read = Duration::from_millis(self.world.rng.u64(..1000));
        self.world.after(read, Due::Event(Event::Part { number: self.asked as u32, digest }));
        if self.asked == 1 {
            self.world.after(read, Due::Event(Event::MultipartNeeded));
        }
        if self.asked == self.world.stream.len() {
            let end = self.world.end();
            self.world.after(read, Due::Event(end));
        }
    }

    fn begin(&mut self, call: ApiCall) {
        if !self.is_gone() {
            return self.world.begin(call);
        }
        self.world.aborts_under_way += u32::from(matches!(call, ApiCall::Abort { .. }));
        let text = "connection refused".to_owned();
        let failure = Failure::Transport { kind: TransportError::Connect, text };
        let event = Event::CallDone { call, result: Err(failure) };
        self.world.after(Duration::from_millis(1), Due::Event(event));
    }

    /// What is on its way when the world goes loses its answer, and arrived or did not.
    fn happen(&mut self, due: Due) {
        self.given += usize::from(matches!(due, Due::Event(Event::Part { .. })));
        let due = match due {
            Due::Lands { sent, answer: true } if self.is_gone() => {
                if self.world.rng.bool() {
                    let _ = self.world.model.perform(&sent, self.world.condition);
                }
                let text = "reset".to_owned();
                let failure = Failure::Transport { kind: TransportError::ResponseLost, text };
                Due::Event(Event::CallDone { call: sent.call, result: Err(failure) })
            }
            due => due,
        };
        self.world.happen(due);
    }

    fn run(&mut self) -> Result<StoredObject, Error> {
        for _ in 0..100_000 {
            while let Some(action) = self.world.upload.poll_action() {
                match action {
                    Action::StartCall(call) => self.begin(call),
                    Action::ReleasePart(number) => drop(self.world.held.remove(&number)),
                    Action::Warn(text) => self.world.notes.push(text),
                    Action::CancelParts
                    | Action::StopReading
                    | Action::Rehash(_)
                    | Action::Transition { .. } => {}
                    Action::SplitTail { .. } => panic!("no part is to be cut"),
                    Action::Finish(result) => return result,
                }
            }
            self.read();
            self.most_held = self.most_held.max(self.world.held.len());
            let timeout = self.world.upload.poll_timeout();
            let due = self.world.due.keys().next().copied();
            match (due, timeout) {
                (Some(key), timeout) if timeout.is_none_or(|at| key.0 <= at) => {
                    let due = self.world.due.remove(&key).expect("it was just seen");
                    self.world.now = key.0;
                    self.happen(due);
                }
                (_, Some(at)) => {
                    self.world.now = self.world.now.max(at);
                    self.world.upload.handle_timeout(self.world.now);
                }
                (_, None) => panic!("nothing is due, and the machine waits for nothing"),
            }
        }
        panic!("no end; waiting for {:?}", self.world.upload.current_activity());
    }
}

#[test]
fn an_outage_of_a_second_a_minute_or_ten_costs_nothing_but_its_time() {
    for length in [SECOND, 60 * SECOND, 600 * SECOND] {
        for seed in 0..200 {
            let from = Duration::from_millis(seed * 97 % 20_000);
            let mut outage = Outage::new(seed, 2 + seed as usize % 30, (from, from + length));
            let result = outage.run();
            let world = &outage.world;
            world.judge(seed, &result);
            let stored = result.unwrap_or_else(|error| panic!("{length:?}, seed {seed}: {error}"));
            assert_eq!(stored.parts as usize, world.stream.len());
            assert!(outage.most_held <= outage.buffers, "{} are held", outage.most_held);
            // The longest pause between two tries, and the stream itself. A commit that was lost asks
            // and pauses several times.
            let after = world.now.saturating_sub(from + length);
            assert!(after < 180 * SECOND, "{length:?}, seed {seed}: {after:?} later");
        }
    }
}

#[test]
fn an_outage_that_outlasts_patience_ends_the_run_at_its_end_and_not_before() {
    for seed in 0..100 {
        let from = Duration::from_millis(seed * 97 % 20_000);
        let gone = (from, from + 3 * 3600 * SECOND);
        let mut outage = Outage::new(seed, 30, gone);
        outage.world.configure(|config| config.retry_for = 600 * SECOND);
        let result = outage.run();
        outage.world.judge(seed, &result);
        let kind = result.unwrap_err().kind;
        assert!(
            [ErrorKind::Service, ErrorKind::OutcomeUnknown].contains(&kind),
            "seed {seed}: {kind:?}"
        );
        let stood = outage.world.now.saturating_sub(from);
        assert!(stood >= 600 * SECOND && stood < 660 * SECOND, "seed {seed}: {stood:?}");
    }
}

#[test]
fn outages_that_together_outlast_patience_cost_nothing_where_parts_arrive_between_them() {
    for seed in 0..100 {
        let from = Duration::from_millis(seed * 97 % 20_000);
        let mut outage = Outage::new(seed, 300, (from, from + 60 * SECOND));
        outage.times = 20;
        outage.world.configure(|config| config.retry_for = 300 * SECOND);
        let result = outage.run();
        outage.world.judge(seed, &result);
        result.unwrap_or_else(|error| panic!("seed {seed}: {error}"));
        let spent = outage.world.now.saturating_sub(from);
        assert!(spent > 300 * SECOND, "seed {seed}: there was only one outage in {spent:?}");
    }
}
