mod fixed;
mod fleet;
mod judge;
pub mod line;
mod transfer;

use std::collections::BTreeMap;
use std::time::Duration;

use super::{Controller, Sample};
use judge::Verdict;

/// The least median of what the controller carries of the best fixed number in hindsight.
const LEAST_MEDIAN: f64 = 0.9;
/// A line on which the controller carries less of what four connections do counts as lost.
const LEAST_OF_FOUR: f64 = 0.97;
/// The largest share of lost lines.
const MOST_LOST: f64 = 0.005;

/// What all seeds show together.
struct Summary {
    median: f64,
    lost: f64,
}

impl Summary {
    fn of(verdicts: &[Verdict]) -> Summary {
        let mut of_best: Vec<_> = verdicts.iter().map(Verdict::of_best).collect();
        let lost = verdicts.iter().filter(|verdict| verdict.of_four() < LEAST_OF_FOUR).count();
        Summary { median: median(&mut of_best), lost: lost as f64 / verdicts.len() as f64 }
    }

    fn passes(&self) -> bool {
        self.median >= LEAST_MEDIAN && self.lost <= MOST_LOST
    }
}

/// `OCIPIPE_LINES` is the number of seeds, `OCIPIPE_SEED` the first.
fn seeds(default: u64) -> impl Iterator<Item = u64> {
    let number = |name| std::env::var(name).ok().map(|text| text.parse().expect("a number"));
    let first = number("OCIPIPE_SEED").unwrap_or(0);
    first..first + number("OCIPIPE_LINES").unwrap_or(default)
}

fn median(values: &mut [f64]) -> f64 {
    values.sort_by(f64::total_cmp);
    values[values.len() / 2]
}

#[test]
fn the_controller_carries_what_the_best_fixed_number_does() {
    let mut verdicts: Vec<_> = seeds(40).map(Verdict::of).collect();
    let summary = Summary::of(&verdicts);
    print_table(&verdicts);
    verdicts.sort_by(|left, right| left.of_four().total_cmp(&right.of_four()));
    print_worst("four connections", &verdicts);
    verdicts.sort_by(|left, right| left.of_best().total_cmp(&right.of_best()));
    print_worst("the best fixed number", &verdicts);
    assert!(summary.passes(), "median {:.3}, lost {:.4}", summary.median, summary.lost);
}

#[test]
fn a_number_that_never_changes_does_not_pass() {
    for number in [4, 64] {
        let verdicts: Vec<_> = seeds(40).map(|seed| Verdict::of_stuck(seed, number)).collect();
        let Summary { median, lost } = Summary::of(&verdicts);
        println!("stuck at {number}: median {median:.3}, lost {lost:.4}");
        assert!(!Summary { median, lost }.passes(), "{number}");
    }
}

#[test]
fn a_slower_producer_costs_no_connection_and_no_buffer_more() {
    for seed in seeds(400) {
        let scenario = line::Scenario::of_seed(seed);
        let four = fixed::four(&scenario);
        // Where four connections carry the stream as fast as it is written.
        if scenario.stream / four.seconds > 0.98 * scenario.producer {
            let auto = Verdict::of(seed).auto;
            // While a part is sent again whose connection broke, the stream waits for the network.
            let waited = scenario.bytes_per_break.is_some() && auto.seconds <= four.seconds;
            assert!(auto.peak_connections <= 4 || waited, "seed {seed}: {auto:?}");
        }
    }
}

/// The connections after each tick of half a second on a line that carries `rate(tick, connections)` MB/s, while the
/// reader waits for the network.
fn connections_on(ticks: u32, rate: impl Fn(u32, f64) -> f64) -> Vec<u16> {
    let (mut controller, mut sent) = (Controller::new(64), 0.0);
    let mut numbers = Vec::new();
    for tick in 1..=ticks {
        let connections = controller.connections();
        sent += 0.5 * line::MB * rate(tick, f64::from(connections));
        let at = Duration::from_millis(500) * tick;
        let sent = sent as u64;
        controller.handle_sample(Sample {
            at,
            sent,
            waited: at,
            in_flight: connections,
            refused: 0,
        });
        numbers.push(connections);
    }
    numbers
}

#[test]
fn connections_that_bring_nothing_any_more_are_given_back_and_those_that_do_are_kept() {
    for (later, expected) in [(40.0_f64, 4..=8), (320.0, 16..=24)] {
        let shared = |tick: u32| -> f64 { if tick > 3600 { later } else { 320.0 } };
        let numbers =
            connections_on(7200, |tick, connections| shared(tick).min(20.0 * connections));
        assert!((16..=24).contains(&numbers[3599]), "{}", numbers[3599]);
        assert!(expected.contains(&numbers[7199]), "{later}: {}", numbers[7199]);
    }
}

#[test]
fn connections_that_bring_less_than_five_hundredths_are_not_kept() {
    let numbers =
        connections_on(1200, |_, connections| 400.0 * (0.91 + 0.045 * connections.log2()));
    let more = numbers.iter().filter(|number| **number > 4).count();
    // Those of the trials.
    assert!((1..400).contains(&more), "{more}");
}

#[test]
fn a_fleet_behind_one_limit_shares_it_fairly() {
    let hosts = 200;
    for (most, connection) in [(400, 20.0), (1600, 40.0)] {
        let host = fleet::host(most, connection * line::MB);
        let shares = fleet::shares(&host, hosts, 600.0);
        let mean = shares.iter().sum::<f64>() / hosts as f64;
        let least = shares.iter().copied().fold(f64::MAX, f64::min) / mean;
        let jain = fleet::jain(&shares);
        println!(
            "{most} requests for {hosts} hosts: Jain's index {jain:.4}, the least share {least:.3}"
        );
        assert!(jain >= 0.96, "{jain}");
        assert!(least >= 0.25, "{least}");
    }
}

fn print_table(verdicts: &[Verdict]) {
    let mut kinds = BTreeMap::<_, Vec<&Verdict>>::new();
    for verdict in verdicts {
        kinds.entry(verdict.scenario.kind).or_default().push(verdict);
    }
    println!("line       seeds  of the best: median  5 %    of four: least  lost");
    for (kind, verdicts) in kinds {
        let mut best: Vec<_> = verdicts.iter().map(|verdict| verdict.of_best()).collect();
        let median = median(&mut best);
        let four = verdicts.iter().map(|verdict| verdict.of_four()).fold(f64::MAX, f64::min);
        let lost = verdicts.iter().filter(|verdict| verdict.of_four() < LEAST_OF_FOUR).count();
        println!(
            "{:10} {:5}  {median:19.3}  {:.3}  {four:14.3}  {lost}",
            format!("{kind:?}"),
            verdicts.len(),
            best[best.len() / 20],
        );
    }
    let Summary { median, lost } = Summary::of(verdicts);
    println!("all: median {median:.3} of the best, {lost:.4} lost");
}

/// Prints the worst ten seeds with the numbers of connections over time.
fn print_worst(than: &str, verdicts: &[Verdict]) {
    println!("the worst seeds against {than}:");
    for verdict in verdicts.iter().take(10) {
        let Verdict { seed, scenario, auto, four, best, best_number, trace } = verdict;
        println!("  seed {seed}: {scenario:?}");
        println!("    {:.1} s; four: {:.1} s", auto.seconds, four.seconds);
        println!("    best: {:.1} s with {best_number}", best.seconds);
        let numbers: Vec<_> =
            trace.iter().take(16).map(|(at, number, _)| format!("{number} at {at:.0} s")).collect();
        println!("    {}", numbers.join(", "));
    }
}
