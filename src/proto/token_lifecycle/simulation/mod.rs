//! Simulation of a day of parts that are sent one after the other, in virtual time.
//!
//! Owns the workers that send parts. The invariants of the life cycle are asserted in `environment`.

use std::cmp::Reverse;
use std::collections::BinaryHeap;

use proptest::prelude::*;
use proptest::strategy::ValueTree;
use proptest::test_runner::{RngAlgorithm, TestRng, TestRunner};

pub(crate) mod environment;
pub(crate) mod scenario;

use self::environment::{Signed, SimEnvironment, Tally};
use self::scenario::{Auth, HOUR, Scenario, any_day, days_of_rejections, secs};
use super::health::coverage;
use super::*;

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum SimEvent {
    Attempt { worker: usize, part: u64 },
    Response { worker: usize, part: u64, signed: Signed, took: u64 },
    Environment(environment::EnvironmentEvent),
}

struct DaySim {
    environment: SimEnvironment,
    /// By time in seconds, then by the order in which they were scheduled.
    events: BinaryHeap<Reverse<(u64, u64, SimEvent)>>,
    order: u64,
    next_part: u64,
}

impl DaySim {
    fn run(scenario: Scenario) -> Tally {
        let workers = scenario.workers;
        let mut sim = DaySim {
            environment: SimEnvironment::new(scenario),
            events: BinaryHeap::new(),
            order: 0,
            next_part: workers as u64,
        };
        for worker in 0..workers {
            sim.after(worker as u64, SimEvent::Attempt { worker, part: worker as u64 });
        }
        sim.schedule_environment();
        while let Some(Reverse((time, _, event))) = sim.events.pop() {
            if time > sim.environment.scenario.length || sim.environment.tally.gave_up {
                break;
            }
            match event {
                SimEvent::Environment(event) if !sim.environment.is_current(event) => continue,
                _ => sim.environment.time = time,
            }
            sim.handle(event);
            sim.environment.run_background();
            sim.schedule_environment();
        }
        sim.environment.tally
    }

    fn schedule_environment(&mut self) {
        for (delay, event) in std::mem::take(&mut self.environment.scheduled) {
            self.after(delay, SimEvent::Environment(event));
        }
    }

    fn after(&mut self, delay: u64, event: SimEvent) {
        self.order += 1;
        self.events.push(Reverse((self.environment.time + delay, self.order, event)));
    }

    fn handle(&mut self, event: SimEvent) {
        match event {
            SimEvent::Environment(event) => self.environment.handle(event),
            SimEvent::Attempt { worker, part } => self.attempt(worker, part),
            SimEvent::Response { worker, part, signed, took } => {
                self.environment.on_response(signed, took);
                let mut part = part;
                if signed.ok {
                    self.environment.tally.parts += 1;
                    self.next_part += 1;
                    part = self.next_part;
                }
                self.after(0, SimEvent::Attempt { worker, part });
            }
        }
    }

    fn attempt(&mut self, worker: usize, part: u64) {
        let estimate = self.environment.scenario.part;
        let request =
            SigningRequest::Transfer { transfer_id: part, estimate: Some(secs(estimate)) };
        match self.environment.decide(request) {
            (_, Some(signed)) => {
                let took = if signed.ok { estimate } else { 1 };
                self.after(took, SimEvent::Response { worker, part, signed, took });
            }
            (TokenDecision::RefreshFirst, _) => self.after(3, SimEvent::Attempt { worker, part }),
            (TokenDecision::Wait, _) => self.after(1, SimEvent::Attempt { worker, part }),
            _ => {}
        }
    }
}

/// A refresh is due after two thirds of each lifetime, or ten minutes before its end, and up to a tenth of it
/// earlier.
fn refreshes_of_a_day(life: u64) -> std::ops::RangeInclusive<u64> {
    let between = life - 600.min(life / 3);
    (24 * HOUR / between).saturating_sub(2)..=24 * HOUR / (between - life / 10) + 2
}

#[test]
fn a_quiet_day_passes_without_a_wait_or_a_401() {
    for life in [300, 3600] {
        let tally = DaySim::run(Scenario::quiet(life));
        assert_eq!((tally.rejected, tally.waits, tally.probes), (0, 0, 0), "{tally:?}");
        assert!(tally.parts >= 3 * 24 * HOUR / 70 - 3, "{tally:?}");
        assert!(refreshes_of_a_day(life).contains(&tally.refreshes), "{tally:?}");
    }
}

/// The lives of the tokens that are issued to instances, resources, pods and exchanged tokens.
#[test]
fn a_day_of_issued_tokens_has_one_renewal_for_each_life_and_no_wait() {
    for life in [60, 300, 1200, 3600, 6 * HOUR] {
        let tally = DaySim::run(Scenario {
            renewal: Renewal::Issue,
            part: (life / 20).clamp(1, 300),
            ..Scenario::quiet(life)
        });
        assert_eq!((tally.rejected, tally.waits, tally.probes), (0, 0, 0), "{tally:?}");
        assert!(refreshes_of_a_day(life).contains(&tally.refreshes), "{life}: {tally:?}");
    }
}

/// An outage of the issuing service that outlasts the token: the token is issued after the expiry.
#[test]
fn an_issuing_service_that_fails_longer_than_the_token_lives_delays_the_upload_and_never_ends_it() {
    for life in [300, 1200, 3600] {
        for kind in [Auth::Fails, Auth::Hangs, Auth::Rejects] {
            let outage = 3 * life;
            let auth = vec![(0, Auth::Works), (life, kind), (life + outage, Auth::Works)];
            let tally = DaySim::run(Scenario {
                renewal: Renewal::Issue,
                auth,
                retry_for: outage + 60,
                length: 8 * life,
                part: life / 20,
                ..Scenario::quiet(life)
            });
            assert!(!tally.gave_up && tally.waits > 0 && tally.rejected == 0, "{tally:?}");
            // The parts of the time before and after the outage, with at most 60 s until a token is issued.
            let parts = 3 * (8 * life - outage - 90) / (life / 20);
            assert!(tally.parts >= parts - 9, "{kind:?} {life}: {parts} {tally:?}");
        }
    }
}

#[test]
fn a_token_that_nothing_renews_ends_the_upload_at_its_expiry_and_not_before() {
    let tally = DaySim::run(Scenario { renewal: Renewal::Never, ..Scenario::quiet(3600) });
    assert!(tally.gave_up && tally.rejected == 0 && tally.refreshes == 0, "{tally:?}");
    assert!(tally.parts >= 3 * (3600 - 70) / 70 - 3, "{tally:?}");
    // Three workers, one time query of the clock.
    assert!(tally.waits <= 9, "{tally:?}");
}

/// Another process replaces token and key in the last minute of each life, as for a function.
#[test]
fn a_day_of_files_that_another_process_replaces_passes_without_a_wait() {
    let life = 900;
    let tally = DaySim::run(Scenario {
        renewal: Renewal::FilesOnly,
        rotations: (840..24 * HOUR).step_by(840).collect(),
        ..Scenario::quiet(life)
    });
    assert_eq!((tally.rejected, tally.waits, tally.refreshes), (0, 0, 0), "{tally:?}");
}

#[test]
fn refreshes_failing_for_any_interval_that_ends_before_the_token_cost_nothing() {
    for life in [300, 3600] {
        for from in (0..life).step_by(life as usize / 20) {
            for length in intervals(life).filter(|length| *length <= life) {
                for kind in [Auth::Fails, Auth::SameEnd, Auth::Hangs, Auth::Rejects] {
                    let auth = vec![(0, Auth::Works), (from, kind), (from + length, Auth::Works)];
                    let length = 4 * life;
                    let part = life / 60;
                    let workers = 1;
                    let scenario =
                        Scenario { auth, length, part, workers, ..Scenario::quiet(life) };
                    let end = scenario.auth[2].0;
                    // The token in use when the failures begin was refreshed when that was due.
                    let due = life - 600.min(life / 3);
                    let expires = if from > due { due + life } else { life };
                    let tally = DaySim::run(scenario);
                    if end + life / 8 < expires {
                        assert_eq!(tally.waits, 0, "{kind:?} {from} to {end}: {tally:?}");
                        assert_eq!(tally.rejected, 0, "{kind:?} {from} to {end}: {tally:?}");
                    }
                }
            }
        }
    }
}

/// Lengths from one second to more than two lifetimes.
fn intervals(life: u64) -> impl Iterator<Item = u64> {
    let short = [1, 2, 3, 5, 8, 13, 21, 34, 55].into_iter();
    let long = (1..=27).map(move |twelfths| life * twelfths / 12);
    short.chain(long)
}

/// A day of 24 hours for each length and kind of failure. The auth service fails repeatedly for this
/// length, each time a bit later in the lifetime of a token. If a failure may outlast the token, only a
/// new login helps, and the scenario has one a minute later.
#[test]
fn refreshes_failing_for_every_interval_of_a_day_never_lose_the_upload() {
    for life in [300, 3600] {
        for length in intervals(life) {
            for kind in [Auth::Fails, Auth::SameEnd, Auth::Hangs, Auth::Rejects] {
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
                    let tally = DaySim::run(scenario);
                    let case = format!("{kind:?} for {length} s in lives of {life}: {tally:?}");
                    assert!(!tally.gave_up, "{case}");
                    assert_eq!(tally.rejected, 0, "{case}");
                    if length <= life / 8 {
                        assert_eq!(tally.waits, 0, "{case}");
                    }
                }
            }
        }
    }
}

#[test]
fn an_expired_session_waits_and_resumes_within_seconds_of_a_new_login() {
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
        let before = DaySim::run(waiting);
        assert!(before.waits > 0 && !before.gave_up, "{before:?}");
        let tally = DaySim::run(scenario);
        assert!(!tally.gave_up && tally.parts > before.parts + 3 * 1700 / 5, "{tally:?}");
        assert_eq!(tally.waits, before.waits, "the wait continued");
    }
}

#[test]
fn an_expired_session_without_a_login_ends_the_upload_after_retry_for_and_not_before() {
    let scenario = Scenario { session: 2 * HOUR, ..Scenario::quiet(3600) };
    let tally = DaySim::run(scenario);
    assert!(tally.gave_up);
    // Three workers ask every second for an hour.
    assert!(tally.waits.abs_diff(3 * HOUR) < 10, "{tally:?}");
}

#[test]
fn a_wrong_local_clock_costs_one_401_for_each_part_in_flight() {
    for skew in [-1800, -400, -31, 31, 400, 86_400] {
        let tally = DaySim::run(Scenario { skew, ..Scenario::quiet(3600) });
        assert!(tally.rejected <= 3 && tally.waits == 0 && !tally.gave_up, "{skew}: {tally:?}");
    }
}

/// A jump of the local clock does not change the token; a time query shows that.
#[test]
fn a_local_clock_that_is_set_during_a_run_costs_a_time_query_and_no_wait_for_a_login() {
    for jump in [-86_400, -4000, -100, 100, 2000, 4000, 86_400] {
        for at in [90, 1000, 20_000] {
            let jumps = vec![(at, jump)];
            let tally = DaySim::run(Scenario { jumps, ..Scenario::quiet(3600) });
            let case = format!("{jump} at {at}: {tally:?}");
            assert!(tally.rejected <= 3 && !tally.gave_up, "{case}");
            // Three workers that ask every second.
            assert!(tally.waits <= 3 * 2 && tally.time_queries <= 2, "{case}");
            assert!(tally.parts >= 3 * 24 * HOUR / 70 - 12, "{case}");
        }
    }
}

#[test]
fn a_revoked_token_is_replaced_and_no_part_is_sent_with_it_twice() {
    let scenario = Scenario {
        renewal: Renewal::FilesOnly,
        revocations: vec![1000],
        rotations: vec![1600],
        length: 3000,
        ..Scenario::quiet(3600)
    };
    let tally = DaySim::run(scenario);
    assert!(!tally.gave_up);
    assert!(tally.rejected <= 3, "one for each worker: {tally:?}");
    // After one second, then every ten to fifteen, for the ten minutes until the rotation.
    assert!((40..=62).contains(&tally.probes), "{tally:?}");
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]
    #[test]
    fn the_invariants_hold_on_any_day(scenario in any_day()) {
        let tally = DaySim::run(scenario.clone());
        // No storm: a rejected token costs each worker at most one part, and there are as many tokens as
        // refreshes, rotations and the first one.
        let tokens = tally.refreshes + scenario.rotations.len() as u64 + 1 + tally.probes;
        let tokens = tokens + scenario.jumps.len() as u64;
        prop_assert!(tally.rejected <= tokens * scenario.workers as u64, "{:?}", tally);
        prop_assert!(tally.probes <= 24 * HOUR / 10 + tally.rejected, "{:?}", tally);
    }
}

#[test]
fn the_simulation_takes_every_transition_of_the_health_of_a_token() {
    let rng = TestRng::deterministic_rng(RngAlgorithm::ChaCha);
    let mut runner = TestRunner::new_with_rng(ProptestConfig::default(), rng);
    for _ in 0..80 {
        DaySim::run(any_day().new_tree(&mut runner).unwrap().current());
        DaySim::run(days_of_rejections().new_tree(&mut runner).unwrap().current());
    }
    assert_eq!(coverage::never_taken(), []);
}
