//! Fleets of hosts in virtual time: the real upload machine, the real life cycle of tokens and the real
//! controller of connections of thousands of hosts, against a model of the services.
//!
//! Owns the command, the table and the bars; a scenario that misses a bar is exit code 1. Invariant: no host
//! of any scenario gives up.
//!
//! `cargo run --release -p ocipipe-proto --example fleet -- [--seed N] [--scale N] [--series FILE] [NAME]`.
//! `cargo test` runs all scenarios with a twentieth of the hosts.

mod host;
mod measure;
mod reader;
mod report;
mod scenario;
mod service;
mod store;
mod tokens;
mod world;

use std::fmt::Write as _;
use std::process::ExitCode;

use report::Report;

/// What the command line asks for.
struct Options {
    seed: u64,
    scale: u64,
    /// Where the requests per second are written, as lines of scenario, second and number.
    series: Option<String>,
    /// A part of the names of the scenarios to run.
    name: String,
}

impl Options {
    fn parse(mut args: impl Iterator<Item = String>) -> Result<Options, String> {
        let mut options = Options { seed: 1, scale: 1, series: None, name: String::new() };
        while let Some(arg) = args.next() {
            let mut value = || args.next().ok_or(format!("{arg} needs a value"));
            let number = |text: String| text.parse().map_err(|_| format!("{text} is no number"));
            match arg.as_str() {
                "--seed" => options.seed = number(value()?)?,
                "--scale" => options.scale = number(value()?)?,
                "--series" => options.series = Some(value()?),
                name if !name.starts_with('-') => options.name = name.to_owned(),
                other => return Err(format!("{other} is no option")),
            }
        }
        Ok(options)
    }
}

fn run(options: &Options) -> Result<bool, String> {
    println!("{}", Report::HEADING);
    let (mut met, mut series) = (true, String::new());
    for scenario in scenario::all(options.scale) {
        if !scenario.name.contains(&options.name) {
            continue;
        }
        let report = Report::of(&scenario, options.seed).map_err(|error| error.to_string())?;
        println!("{}", report.row());
        for missed in report.missed() {
            println!("    MISSED: {missed}");
            met = false;
        }
        for (second, requests, tokens) in report.series() {
            let _ = writeln!(series, "{}\t{second}\t{requests}\t{tokens}", scenario.name);
        }
    }
    if let Some(path) = &options.series {
        std::fs::write(path, series).map_err(|error| format!("{path}: {error}"))?;
    }
    Ok(met)
}

fn main() -> ExitCode {
    let result = Options::parse(std::env::args().skip(1)).and_then(|options| run(&options));
    match result {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(message) => {
            eprintln!("fleet: {message}");
            ExitCode::from(2)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    use scenario::Scenario;

    /// The share of the hosts that `cargo test` runs.
    const SCALE: u64 = 20;

    fn missed(scenario: &Scenario) -> Vec<String> {
        let report = Report::of(scenario, 1).unwrap();
        println!("{}", report.row());
        report.missed()
    }

    fn named(name: &str) -> Scenario {
        scenario::all(SCALE).into_iter().find(|scenario| scenario.name.contains(name)).unwrap()
    }

    #[test]
    fn no_host_of_any_scenario_gives_up_and_all_bars_are_met() {
        println!("{}", Report::HEADING);
        for scenario in scenario::all(SCALE) {
            let missed = missed(&scenario);
            assert!(missed.is_empty(), "{}: {missed:?}", scenario.name);
        }
    }

    #[test]
    fn hosts_that_draw_the_same_random_numbers_miss_the_bar_of_the_spread() {
        let starts_within = Duration::ZERO;
        let scenario = Scenario { same_seed: true, starts_within, ..named("outage, refused") };
        assert!(missed(&scenario).iter().any(|text| text.contains("in one second")));
    }

    #[test]
    fn a_retry_budget_below_the_outage_misses_the_bar_of_hosts_that_give_up() {
        let retry_for = Duration::from_secs(35 * 60);
        let scenario = Scenario { retry_for, ..named("outage, silent") };
        assert!(missed(&scenario).iter().any(|text| text.contains("gave up")));
    }

    #[test]
    fn tokens_that_are_refreshed_at_their_end_miss_the_bar_of_waits() {
        let refresh_before = Some(Duration::ZERO);
        let scenario = Scenario { refresh_before, ..named("24 h") };
        assert!(missed(&scenario).iter().any(|text| text.contains("waited for a token")));
    }
}
