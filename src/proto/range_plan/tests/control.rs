//! What downloads carry on modelled lines.

use std::time::Duration;

use super::super::{RangeControl, RangePlan, RangePlanInput, RangeSample, plan};
use super::model::{Download, Limits, Model};
use crate::concurrency::tests::line::{LineKind, MB, Rates, Scenario};
use crate::units::MIB;

const FAST: Limits = Limits { writer: 2000.0 * MB, bandwidth: None };

fn line(connection: f64, shared: f64) -> Scenario {
    Scenario {
        kind: LineKind::Both,
        rates: Rates { shared: shared * MB, connection: connection * MB },
        change: None,
        round_trip: 0.02,
        service_time: 0.01,
        bytes_per_break: None,
        most_requests: None,
        producer: f64::INFINITY,
        stream: 40.0 * shared * MB,
        length_known: true,
    }
}

fn planned(parallel: Option<u16>) -> RangePlan {
    plan(&RangePlanInput { parallel, ..RangePlanInput::default() }).unwrap()
}

fn read(scenario: &Scenario, parallel: Option<u16>, limits: Limits) -> Download {
    Model::run(scenario, planned(parallel), scenario.stream as u64, limits)
}

/// The share of the line from the tenth second on.
fn filled(scenario: &Scenario, download: &Download) -> f64 {
    download.after_ten_seconds / (scenario.rates.shared * (download.seconds - 10.0))
}

#[test]
fn lines_that_limit_each_connection_are_filled_from_the_tenth_second_on() {
    for (connection, shared) in [(20.0, 320.0), (5.0, 80.0), (55.0, 880.0)] {
        let scenario = line(connection, shared);
        let download = read(&scenario, None, FAST);
        let share = filled(&scenario, &download);
        println!("{connection} of {shared} MB/s: {share:.3}, {download:?}");
        assert!(share >= 0.9, "{connection} of {shared} MB/s: {share:.3}, {download:?}");
        assert!(download.peak_memory <= 256 * MIB);
    }
}

#[test]
fn a_shared_line_is_read_as_fast_as_by_four_and_by_no_more_than_eight() {
    let scenario = line(f64::INFINITY, 20.0);
    let (auto, four) = (read(&scenario, None, FAST), read(&scenario, Some(4), FAST));
    assert!(auto.seconds <= 1.01 * four.seconds, "{auto:?}, {four:?}");
    assert!(auto.peak <= 8, "{auto:?}");
}

#[test]
fn a_slow_writer_and_a_bandwidth_limit_cost_no_connection_more() {
    let scenario = line(20.0, 320.0);
    for limits in [
        Limits { writer: 30.0 * MB, bandwidth: None },
        Limits { writer: 75.0 * MB, bandwidth: None },
        Limits { writer: 2000.0 * MB, bandwidth: Some(30.0 * MB) },
    ] {
        let scenario = Scenario { stream: 30.0 * 60.0 * MB, ..scenario.clone() };
        let download = read(&scenario, None, limits);
        assert_eq!(download.peak, 4, "{limits:?}: {download:?}");
    }
}

#[test]
fn a_service_that_refuses_many_ranges_gets_fewer_and_the_user_one_note() {
    let scenario = Scenario { most_requests: Some(11), ..line(20.0, 320.0) };
    let download = read(&scenario, None, FAST);
    assert_eq!(download.notes.len(), 1, "{download:?}");
    assert!((8..=12).contains(&download.last_connections), "{download:?}");
}

#[test]
fn a_number_and_a_size_of_the_user_are_kept() {
    let scenario = Scenario { stream: 20.0 * 320.0 * MB, ..line(20.0, 320.0) };
    assert_eq!(read(&scenario, Some(6), FAST).peak, 6);
    let input = RangePlanInput { part_size: Some(8 * MIB), ..RangePlanInput::default() };
    let given = Model::run(&scenario, plan(&input).unwrap(), scenario.stream as u64, FAST);
    assert_eq!(given.ranges, (scenario.stream / (8 * MIB) as f64).ceil() as usize);
    assert!(given.peak > 16 && given.peak_memory <= 256 * MIB, "{given:?}");
}

#[test]
fn a_fast_line_is_read_in_ranges_as_long_as_those_of_four() {
    let scenario = Scenario { stream: 1.8e9, ..line(f64::INFINITY, 1000.0) };
    let (auto, four) = (read(&scenario, None, FAST), read(&scenario, Some(4), FAST));
    assert!(auto.ranges <= four.ranges + 12, "{auto:?}, {four:?}");
    assert!(auto.seconds <= 1.02 * four.seconds, "{auto:?}, {four:?}");
}

/// `OCIPIPE_LINES` is the number of seeds.
#[test]
fn a_download_carries_what_four_connections_do_on_any_line() {
    let lines = std::env::var("OCIPIPE_LINES").map_or(20, |text| text.parse().expect("a number"));
    let mut gains = vec![];
    for seed in 0..lines {
        let mut scenario = Scenario::of_seed(seed);
        let usable = scenario.rates.shared.min(16.0 * scenario.rates.connection);
        scenario.stream = scenario.stream.min(100.0 * usable.min(scenario.producer));
        let limits = Limits { writer: scenario.producer.min(2000.0 * MB), bandwidth: None };
        let four = read(&scenario, Some(4), limits);
        let auto = read(&scenario, None, limits);
        let gain = four.seconds / auto.seconds;
        if gain < 0.97 {
            println!("seed {seed}: {gain:.3}: {scenario:?}\n  {four:?}\n  {auto:?}");
        }
        gains.push(gain);
    }
    let lost = gains.iter().filter(|gain| **gain < 0.97).count();
    gains.sort_by(f64::total_cmp);
    println!("of four: least {:.3}, median {:.3}, {lost} lost", gains[0], gains[gains.len() / 2]);
    assert!(lost as f64 <= 0.05 * gains.len() as f64, "{lost} of {}", gains.len());
}

#[test]
fn refusals_count_where_a_range_has_ended_and_the_next_has_begun_since_the_last_sample() {
    for peak in [3, 4, 5] {
        let mut control = RangeControl::new(planned(None), 4096 * MIB);
        let notes: Vec<String> = (1..240)
            .filter_map(|tick| {
                control.handle_sample(RangeSample {
                    at: Duration::from_millis(500 * tick),
                    arrived: tick * 8 * MIB,
                    waited: Duration::from_millis(500 * tick),
                    peak_in_flight: peak,
                    in_flight: peak.min(control.connections()),
                    refused: 2,
                    limited: false,
                })
            })
            .collect();
        assert_eq!(notes.len(), 1, "{peak}: {notes:?}");
        assert!(control.connections() < 4, "{peak}: {}", control.connections());
    }
}
