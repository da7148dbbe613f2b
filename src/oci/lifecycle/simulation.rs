//! A day of an upload in virtual time: parts are sent, the auth service fails and recovers, other
//! processes rotate the files, the service revokes, the local clock is wrong.
//!
//! What must hold at every moment is asserted where the moment passes.

use std::cmp::Reverse;
use std::collections::BinaryHeap;

use proptest::prelude::*;

use super::*;

const HOUR: u64 = 3600;
/// The local clock at the beginning.
const BEGINNING: u64 = 1_767_225_600;

fn secs(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

/// What the auth service does for a while.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Auth {
    Works,
    Fails,
    SameEnd,
    Hangs,
}

#[derive(Debug, Clone)]
struct Scenario {
    life: u64,
    /// The day of the session; refreshes give no token beyond it.
    session: u64,
    length: u64,
    retry_for: u64,
    can_refresh: bool,
    /// How far the service's clock is ahead.
    skew: i64,
    workers: usize,
    /// How long a part takes.
    part: u64,
    /// From which second on the auth service does what.
    auth: Vec<(u64, Auth)>,
    /// When another process puts a new token in the file.
    rotations: Vec<u64>,
    /// When the service revokes every token given so far.
    revocations: Vec<u64>,
}

impl Scenario {
    fn quiet(life: u64) -> Scenario {
        Scenario {
            life,
            session: 48 * HOUR,
            length: 24 * HOUR,
            retry_for: HOUR,
            can_refresh: true,
            skew: 0,
            workers: 3,
            part: 70,
            auth: vec![(0, Auth::Works)],
            rotations: vec![],
            revocations: vec![],
        }
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Event {
    Attempt {
        worker: usize,
        renewed: bool,
    },
    Answered {
        worker: usize,
        generation: u64,
        signed: u64,
        ok: bool,
    },
    RefreshAnswered {
        token: Option<u64>,
        longer: bool,
    },
    ProbeAnswered {
        generation: u64,
        ok: bool,
    },
    /// The background wakes; of these only the last that was planned counts.
    Wake {
        plan: u64,
    },
    Rotate,
    Revoke,
}

/// What a run came to.
#[derive(Debug, Default)]
struct Tally {
    parts: u64,
    refused: u64,
    refreshes: u64,
    probes: u64,
    waits: u64,
    gave_up: bool,
}

struct World {
    scenario: Scenario,
    lifecycle: Lifecycle,
    events: BinaryHeap<Reverse<(u64, u64, Event)>>,
    order: u64,
    /// In seconds since the beginning.
    time: u64,
    /// Of the token in use, by generation: its end, by the service's clock since 1970.
    ends: Vec<u64>,
    /// Tokens of generations up to this are revoked.
    revoked: u64,
    file: Option<u64>,
    refreshing: bool,
    probing: bool,
    plan: u64,
    last_accepted: u64,
    tally: Tally,
}

impl World {
    fn run(scenario: Scenario) -> Tally {
        let rules = Rules {
            refresh_before: None,
            can_refresh: scenario.can_refresh,
            retry_for: secs(scenario.retry_for),
        };
        let end = World::service(&scenario, 0) + scenario.life;
        let facts = World::facts(&scenario, 1, end);
        let mut lifecycle = Lifecycle::new(World::at(0), rules, facts);
        lifecycle.set_under_way();
        let mut world = World {
            lifecycle,
            events: BinaryHeap::new(),
            order: 0,
            time: 0,
            ends: vec![0, end],
            revoked: 0,
            file: None,
            refreshing: false,
            probing: false,
            plan: 0,
            last_accepted: 0,
            tally: Tally::default(),
            scenario,
        };
        for worker in 0..world.scenario.workers {
            world.after(worker as u64, Event::Attempt { worker, renewed: false });
        }
        for at in world.scenario.rotations.clone() {
            world.after(at, Event::Rotate);
        }
        for at in world.scenario.revocations.clone() {
            world.after(at, Event::Revoke);
        }
        while let Some(Reverse((time, _, event))) = world.events.pop() {
            if time > world.scenario.length || world.tally.gave_up {
                break;
            }
            if matches!(event, Event::Wake { plan } if plan != world.plan) {
                continue;
            }
            world.time = time;
            world.happens(event);
            world.background();
        }
        world.tally
    }

    fn at(time: u64) -> Now {
        Now { wall: secs(BEGINNING + time), steady: secs(time) }
    }

    /// The service's clock.
    fn service(scenario: &Scenario, time: u64) -> u64 {
        (BEGINNING + time).checked_add_signed(scenario.skew).unwrap()
    }

    fn facts(scenario: &Scenario, generation: u64, end: u64) -> Facts {
        Facts {
            generation,
            expires: Some(secs(end)),
            issued: Some(secs(end - scenario.life)),
            session_end: None,
        }
    }

    fn now(&self) -> Now {
        World::at(self.time)
    }

    fn after(&mut self, delay: u64, event: Event) {
        self.order += 1;
        self.events.push(Reverse((self.time + delay, self.order, event)));
    }

    fn generation(&self) -> u64 {
        self.lifecycle.facts().generation
    }

    fn valid(&self, generation: u64, at: u64) -> bool {
        generation > self.revoked && self.ends[generation as usize] > at
    }

    fn adopt(&mut self, end: u64, origin: Origin) {
        self.ends.push(end);
        let facts = World::facts(&self.scenario, self.ends.len() as u64 - 1, end);
        self.lifecycle.adopt(self.now(), facts, origin);
    }

    fn look_at_files(&mut self) {
        if let Some(end) = self.file.take()
            && self.lifecycle.prefers(self.now(), Some(secs(end)), true)
        {
            self.adopt(end, Origin::Files);
        }
    }

    fn happens(&mut self, event: Event) {
        let now = self.now();
        let service = World::service(&self.scenario, self.time);
        match event {
            Event::Attempt { worker, renewed } => {
                self.look_at_files();
                self.attempt(worker, renewed, service);
            }
            Event::Answered { worker, ok: true, .. } => {
                self.tally.parts += 1;
                self.last_accepted = self.time;
                self.lifecycle.accepted();
                self.after(0, Event::Attempt { worker, renewed: false });
            }
            Event::Answered { worker, generation, signed, ok: false } => {
                self.tally.refused += 1;
                let server = Some(secs(service));
                self.lifecycle.refused(now, generation, secs(signed), server);
                self.after(0, Event::Attempt { worker, renewed: false });
            }
            Event::RefreshAnswered { token, longer } => {
                self.refreshing = false;
                if let Some(end) = token
                    && self.lifecycle.prefers(now, Some(secs(end)), true)
                {
                    self.adopt(end, Origin::Refresh);
                }
                let how = match (token, longer) {
                    (Some(_), true) => Refreshed::Longer,
                    (Some(_), false) => Refreshed::NotLonger,
                    (None, _) => Refreshed::Failed("503".into()),
                };
                self.lifecycle.refresh_ended(now, &how);
            }
            Event::ProbeAnswered { generation, ok } => {
                self.probing = false;
                let how = if ok { Probed::Accepted } else { Probed::Refused };
                self.lifecycle.probe_ended(now, generation, how);
            }
            Event::Wake { .. } => self.look_at_files(),
            Event::Rotate => self.file = Some(service + self.scenario.life),
            Event::Revoke => self.revoked = self.ends.len() as u64 - 1,
        }
    }

    fn attempt(&mut self, worker: usize, renewed: bool, service: u64) {
        let now = self.now();
        let transfer = (!renewed).then(|| secs(self.scenario.part));
        match self.lifecycle.judge(now, transfer) {
            Verdict::Use => {
                let generation = self.generation();
                let clock = self.lifecycle.clock(now);
                // Never a request with a token known to be over.
                assert!(clock < secs(self.ends[generation as usize]));
                let signed = clock.as_secs();
                let in_window = signed.abs_diff(service) <= 300;
                let ok = in_window && self.valid(generation, service);
                let delay = if ok { self.scenario.part } else { 1 };
                self.after(delay, Event::Answered { worker, generation, signed, ok });
            }
            Verdict::RenewFirst => self.after(3, Event::Attempt { worker, renewed: true }),
            Verdict::Wait => {
                self.tally.waits += 1;
                self.after(1, Event::Attempt { worker, renewed: false });
            }
            Verdict::GiveUp => {
                // Never before the upload has stood still for as long as it may.
                assert!(self.time - self.last_accepted >= self.scenario.retry_for);
                self.tally.gave_up = true;
            }
        }
    }

    fn background(&mut self) {
        let now = self.now();
        loop {
            match self.lifecycle.step(now) {
                Step::Refresh(reason) => {
                    assert!(!std::mem::replace(&mut self.refreshing, true), "two refreshes");
                    self.tally.refreshes += 1;
                    self.lifecycle.refresh_began(reason);
                    self.send_refresh();
                }
                Step::Probe => {
                    assert!(!std::mem::replace(&mut self.probing, true), "two probes");
                    self.tally.probes += 1;
                    self.lifecycle.probe_began();
                    let generation = self.generation();
                    let service = World::service(&self.scenario, self.time);
                    let ok = self.valid(generation, service);
                    self.after(1, Event::ProbeAnswered { generation, ok });
                }
                Step::Idle(idle) => {
                    assert!(!idle.is_zero(), "idle without end");
                    let seconds = idle.as_millis().div_ceil(1000) as u64;
                    self.plan += 1;
                    return self.after(seconds, Event::Wake { plan: self.plan });
                }
            }
        }
    }

    fn send_refresh(&mut self) {
        let service = World::service(&self.scenario, self.time);
        let patience = self.lifecycle.refresh_patience(self.now()).as_secs();
        let present = self.ends[self.generation() as usize];
        let auth = self.scenario.auth.iter().rev().find(|(from, _)| *from <= self.time);
        // The auth service judges the date and the token as any service does.
        let valid = self.valid(self.generation(), service)
            && self.lifecycle.clock(self.now()).as_secs().abs_diff(service) <= 300;
        let end_of_session = World::service(&self.scenario, 0) + self.scenario.session;
        let fresh = (service + self.scenario.life).min(end_of_session).max(present);
        let (delay, token) = match auth.map_or(Auth::Works, |(_, auth)| *auth) {
            Auth::Works if valid => (1, Some(fresh)),
            Auth::SameEnd if valid => (1, Some(present)),
            Auth::Hangs => (patience, None),
            _ => (1, None),
        };
        let longer = token.is_some_and(|end| end > present);
        self.after(delay, Event::RefreshAnswered { token, longer });
    }
}

#[test]
fn a_quiet_day_passes_without_a_wait_or_a_refusal() {
    for life in [300, 3600] {
        let tally = World::run(Scenario::quiet(life));
        assert_eq!((tally.refused, tally.waits, tally.probes), (0, 0, 0), "{tally:?}");
        assert!(tally.parts >= 3 * 24 * HOUR / 70 - 3, "{tally:?}");
        // One refresh each time two thirds of a life (or all but ten minutes) are over.
        let between = life - 600.min(life / 3);
        assert!(tally.refreshes.abs_diff(24 * HOUR / between) <= 2, "{tally:?}");
    }
}

#[test]
fn refreshes_failing_for_any_interval_that_ends_before_the_token_cost_nothing() {
    for life in [300, 3600] {
        let step = life / 12;
        for from in (0..life).step_by(step as usize) {
            for length in (step..=life).step_by(step as usize) {
                for kind in [Auth::Fails, Auth::SameEnd, Auth::Hangs] {
                    let auth = vec![(0, Auth::Works), (from, kind), (from + length, Auth::Works)];
                    let length = 4 * life;
                    let part = life / 60;
                    let workers = 1;
                    let scenario =
                        Scenario { auth, length, part, workers, ..Scenario::quiet(life) };
                    let end = scenario.auth[2].0;
                    // The token that is in use when the failing begins was last renewed when its
                    // turn came, and lives at least as long as what is left of it then.
                    let turn = life - 600.min(life / 3);
                    let lives_until = if from > turn { turn + life } else { life };
                    let tally = World::run(scenario);
                    if end + life / 8 < lives_until {
                        assert_eq!(tally.waits, 0, "{kind:?} {from} to {end}: {tally:?}");
                        assert_eq!(tally.refused, 0, "{kind:?} {from} to {end}: {tally:?}");
                    }
                }
            }
        }
    }
}

#[test]
fn a_session_that_is_over_waits_and_goes_on_within_seconds_of_a_new_login() {
    for after in [1, 60, 3000] {
        let over = 2 * HOUR;
        let scenario = Scenario {
            session: over,
            length: over + after + 1800,
            rotations: vec![over + after],
            part: 5,
            ..Scenario::quiet(3600)
        };
        let waiting = Scenario { length: over + after + 3, ..scenario.clone() };
        let before = World::run(waiting);
        assert!(before.waits > 0 && !before.gave_up, "{before:?}");
        let tally = World::run(scenario);
        assert!(!tally.gave_up && tally.parts > before.parts + 3 * 1700 / 5, "{tally:?}");
        assert_eq!(tally.waits, before.waits, "the waiting went on");
    }
}

#[test]
fn a_session_that_stays_over_ends_the_upload_after_retry_for_and_not_before() {
    let scenario = Scenario { session: 2 * HOUR, ..Scenario::quiet(3600) };
    let tally = World::run(scenario);
    assert!(tally.gave_up);
    // Three workers look every second for an hour.
    assert!(tally.waits.abs_diff(3 * HOUR) < 10, "{tally:?}");
}

#[test]
fn a_wrong_local_clock_costs_one_refusal_for_each_part_on_its_way() {
    for skew in [-1800, -400, -31, 31, 400, 86_400] {
        let tally = World::run(Scenario { skew, ..Scenario::quiet(3600) });
        assert!(tally.refused <= 3 && tally.waits == 0 && !tally.gave_up, "{skew}: {tally:?}");
    }
}

#[test]
fn a_revoked_token_is_replaced_and_no_part_is_sent_with_it_twice() {
    let scenario = Scenario {
        can_refresh: false,
        revocations: vec![1000],
        rotations: vec![1600],
        length: 3000,
        ..Scenario::quiet(3600)
    };
    let tally = World::run(scenario);
    assert!(!tally.gave_up);
    assert!(tally.refused <= 3, "one a worker: {tally:?}");
    // After a second, then every ten, for the ten minutes until the rotation.
    assert!((50..=62).contains(&tally.probes), "{tally:?}");
}

fn scenario() -> impl Strategy<Value = Scenario> {
    let auth =
        prop_oneof![Just(Auth::Works), Just(Auth::Fails), Just(Auth::SameEnd), Just(Auth::Hangs)];
    let day = 0..24 * HOUR;
    (
        prop_oneof![Just(300u64), Just(3600), 5..10_000u64],
        prop_oneof![HOUR..30 * HOUR, Just(48 * HOUR)],
        prop_oneof![60..600u64, Just(HOUR)],
        any::<bool>(),
        prop_oneof![Just(0i64), -1000..1000i64],
        (1..5usize, 1..900u64),
        prop::collection::vec((day.clone(), auth), 0..12),
        prop::collection::vec(day.clone(), 0..30),
        prop::collection::vec(day, 0..4),
    )
        .prop_map(
            |(life, session, retry_for, can_refresh, skew, work, auth, rotations, revoked)| {
                let mut auth = auth;
                auth.sort_by_key(|(from, _)| *from);
                Scenario {
                    life,
                    session,
                    length: 24 * HOUR,
                    retry_for,
                    can_refresh,
                    skew,
                    workers: work.0,
                    part: work.1,
                    auth,
                    rotations,
                    revocations: revoked,
                }
            },
        )
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]
    #[test]
    fn whatever_a_day_brings_the_invariants_hold(scenario in scenario()) {
        let tally = World::run(scenario.clone());
        // No storm: a refusal of one token costs each worker at most one part, and there are as
        // many tokens as refreshes, rotations and the first.
        let tokens = tally.refreshes + scenario.rotations.len() as u64 + 1 + tally.probes;
        prop_assert!(tally.refused <= tokens * scenario.workers as u64, "{:?}", tally);
        prop_assert!(tally.probes <= 24 * HOUR / 10 + tally.refused, "{:?}", tally);
    }
}
