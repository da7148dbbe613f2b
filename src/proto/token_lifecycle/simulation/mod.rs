//! A day of parts that are sent one after another, in virtual time.
//!
//! What must hold at every moment is asserted in `surroundings`, where the moment passes.

use std::cmp::Reverse;
use std::collections::BinaryHeap;

use proptest::prelude::*;

pub mod environment;

use self::environment::{Auth, HOUR, Scenario, Signed, SimEnvironment, Tally, secs};
use super::*;

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Event {
    Attempt { worker: usize, part: u64 },
    Answered { worker: usize, part: u64, signed: Signed, took: u64 },
    Around(environment::Event),
}

struct World {
    around: SimEnvironment,
    events: BinaryHeap<Reverse<(u64, u64, Event)>>,
    order: u64,
    next_part: u64,
}

impl World {
    fn run(scenario: Scenario) -> Tally {
        let workers = scenario.workers;
        let mut world = World {
            around: SimEnvironment::new(scenario),
            events: BinaryHeap::new(),
            order: 0,
            next_part: workers as u64,
        };
        for worker in 0..workers {
            world.after(worker as u64, Event::Attempt { worker, part: worker as u64 });
        }
        world.plan();
        while let Some(Reverse((time, _, event))) = world.events.pop() {
            if time > world.around.scenario.length || world.around.tally.gave_up {
                break;
            }
            match event {
                Event::Around(event) if !world.around.counts(event) => continue,
                _ => world.around.time = time,
            }
            world.happens(event);
            world.around.background();
            world.plan();
        }
        world.around.tally
    }

    fn plan(&mut self) {
        for (delay, event) in std::mem::take(&mut self.around.later) {
            self.after(delay, Event::Around(event));
        }
    }

    fn after(&mut self, delay: u64, event: Event) {
        self.order += 1;
        self.events.push(Reverse((self.around.time + delay, self.order, event)));
    }

    fn happens(&mut self, event: Event) {
        match event {
            Event::Around(event) => self.around.happens(event),
            Event::Attempt { worker, part } => self.attempt(worker, part),
            Event::Answered { worker, part, signed, took } => {
                self.around.answered(signed, took);
                let mut part = part;
                if signed.ok {
                    self.around.tally.parts += 1;
                    self.next_part += 1;
                    part = self.next_part;
                }
                self.after(0, Event::Attempt { worker, part });
            }
        }
    }

    fn attempt(&mut self, worker: usize, part: u64) {
        let takes = self.around.scenario.part;
        let attempt = SigningRequest::Transfer { of: part, takes: Some(secs(takes)) };
        match self.around.judge(attempt) {
            (_, Some(signed)) => {
                let took = if signed.ok { takes } else { 1 };
                self.after(took, Event::Answered { worker, part, signed, took });
            }
            (TokenDecision::RefreshFirst, _) => self.after(3, Event::Attempt { worker, part }),
            (TokenDecision::Wait, _) => self.after(1, Event::Attempt { worker, part }),
            _ => {}
        }
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
        for from in (0..life).step_by(life as usize / 20) {
            for length in intervals(life).filter(|length| *length <= life) {
                for kind in [Auth::Fails, Auth::SameEnd, Auth::Hangs, Auth::Refuses] {
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

/// Lengths from a second to more than two lives.
fn intervals(life: u64) -> impl Iterator<Item = u64> {
    let short = [1, 2, 3, 5, 8, 13, 21, 34, 55].into_iter();
    let long = (1..=27).map(move |twelfths| life * twelfths / 12);
    short.chain(long)
}

/// A day of 24 hours for each length and kind, in which the auth service fails for so long again and
/// again, each time beginning a bit later in the life of a token. Where it failed for longer than the
/// token lasted, only a new login helps, and somebody makes one soon after.
#[test]
fn refreshes_failing_for_every_interval_of_a_day_never_lose_the_upload() {
    for life in [300, 3600] {
        for length in intervals(life) {
            for kind in [Auth::Fails, Auth::SameEnd, Auth::Hangs, Auth::Refuses] {
                for phase in [0, life / 2] {
                    let between = length + 2 * life + life / 17;
                    let begins = (phase + 7..24 * HOUR).step_by(between as usize);
                    let mut auth = vec![(0, Auth::Works)];
                    let mut rotations = Vec::new();
                    for from in begins {
                        auth.extend([(from, kind), (from + length, Auth::Works)]);
                        if length > life / 8 {
                            rotations.push(from + length + 60);
                        }
                    }
                    let retry_for = length + 120;
                    let scenario = Scenario {
                        auth,
                        rotations,
                        retry_for,
                        workers: 1,
                        part: (life / 5).min(240),
                        ..Scenario::quiet(life)
                    };
                    let tally = World::run(scenario);
                    let case = format!("{kind:?} for {length} s in lives of {life}: {tally:?}");
                    assert!(!tally.gave_up, "{case}");
                    assert_eq!(tally.refused, 0, "{case}");
                    if length <= life / 8 {
                        assert_eq!(tally.waits, 0, "{case}");
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

/// Whatever the clock does, the token is as good as it was; the question for the time says so.
#[test]
fn a_local_clock_that_is_set_under_way_costs_a_question_and_no_wait_for_a_login() {
    for jump in [-86_400, -4000, -100, 100, 2000, 4000, 86_400] {
        for at in [90, 1000, 20_000] {
            let jumps = vec![(at, jump)];
            let tally = World::run(Scenario { jumps, ..Scenario::quiet(3600) });
            let case = format!("{jump} at {at}: {tally:?}");
            assert!(tally.refused <= 3 && !tally.gave_up, "{case}");
            // Three workers that look every second.
            assert!(tally.waits <= 3 * 2 && tally.questions <= 2, "{case}");
            assert!(tally.parts >= 3 * 24 * HOUR / 70 - 12, "{case}");
        }
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

pub fn scenario() -> impl Strategy<Value = Scenario> {
    let auth = prop_oneof![
        Just(Auth::Works),
        Just(Auth::Fails),
        Just(Auth::SameEnd),
        Just(Auth::Hangs),
        Just(Auth::Refuses),
    ];
    let day = 0..24 * HOUR;
    (
        prop_oneof![3 => Just(300u64), 3 => Just(3600), 1 => 5..10_000u64],
        prop_oneof![HOUR..30 * HOUR, Just(48 * HOUR)],
        prop_oneof![60..600u64, Just(HOUR)],
        any::<bool>(),
        prop_oneof![Just(0i64), -1000..1000i64],
        (1..5usize, 1..900u64),
        prop::collection::vec((day.clone(), auth), 0..12),
        prop::collection::vec(day.clone(), 0..30),
        (
            prop::collection::vec(day.clone(), 0..4),
            prop::collection::vec((day, -20_000..20_000i64), 0..3),
        ),
    )
        .prop_map(
            |(life, session, retry_for, can_refresh, skew, work, auth, rotations, trouble)| {
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
                    revocations: trouble.0,
                    jumps: trouble.1,
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
        let tokens = tokens + scenario.jumps.len() as u64;
        prop_assert!(tally.refused <= tokens * scenario.workers as u64, "{:?}", tally);
        prop_assert!(tally.probes <= 24 * HOUR / 10 + tally.refused, "{:?}", tally);
    }
}
