//! What an upload that chooses its number of connections promises, in virtual time.

mod line;
mod queue;
mod run;

use proptest::prelude::*;

use crate::part_plan::PlanInput;
use line::{FREE, Line};
use run::AutoRun;

const GIB: u64 = 1 << 30;
const MB: f64 = 1e6;

fn after(line: Line, stream: u64, seconds: f64) -> AutoRun {
    let mut run = AutoRun::new(line, stream, &PlanInput::default());
    run.run(seconds);
    run
}

fn peak(run: &AutoRun) -> u16 {
    run.changes.iter().map(|(_, number)| *number).max().unwrap_or(4)
}

#[test]
fn a_line_that_limits_each_connection_is_filled_by_more_within_the_memory_of_four() {
    for (connection, shared) in [(20.0, 320.0), (5.0, 80.0), (40.0, 1000.0)] {
        let line = Line { connection: connection * MB, shared: shared * MB, ..FREE };
        let input = PlanInput { expected_size: Some(100 * GIB), ..PlanInput::default() };
        let mut run = AutoRun::new(line, 200 * GIB, &input);
        run.run(90.0);
        let rates: Vec<_> = [10, 20, 30, 40, 60, 80]
            .map(|from| run.rate(from, from + 10) / MB)
            .map(|rate| rate.round())
            .into();
        println!("{connection} and {shared} MB/s: {rates:?} MB/s, {:?}", run.changes);
        println!("{:?}, recalled at {:?}", &run.sizes()[..40.min(run.sizes().len())], run.recalled);
        assert!(run.rate(10, 90) >= 0.9 * shared * MB, "{:?}", run.changes);
        // The first parts are large, those of four connections: on the slowest line they are recalled.
        assert_eq!(run.recalled.len(), usize::from(connection < 10.0), "{:?}", run.recalled);
        assert!(run.rate(10, 20) >= 0.9 * shared * MB, "{rates:?}, {:?}", run.changes);
        assert!(run.most_buffers <= 40, "{}", run.most_buffers);
    }
}

#[test]
fn a_slower_producer_never_gets_a_fifth_connection_and_keeps_the_parts_of_the_plan() {
    for rate in [1.0, 50.0, 78.0] {
        let line = Line { connection: 20.0 * MB, producer: rate * MB, ..FREE };
        let run = after(line, 20 * GIB, 60.0);
        assert_eq!(run.changes, [], "{rate}");
        assert!(run.sizes().iter().all(|size| *size == 128), "{:?}", run.sizes());
    }
}

#[test]
fn a_shared_line_of_20_mb_goes_back_to_four() {
    let line = Line { shared: 20.0 * MB, ..FREE };
    let run = after(line, 20 * GIB, 300.0);
    println!("{:?}", run.changes);
    assert!(peak(&run) <= 8);
    assert!(run.rate(10, 300) >= 0.98 * 20.0 * MB);
}

#[test]
fn refused_requests_take_connections_back_with_one_warning_and_the_upload_ends() {
    for most_requests in [2, 6, 10] {
        let line = Line { connection: 40.0 * MB, shared: 1000.0 * MB, most_requests, ..FREE };
        let run = after(line, 12 * GIB, 1000.0);
        println!("{most_requests}: {:.1} s, {:?} {:?}", run.now, run.changes, run.warnings);
        assert!(run.ended);
        let refusals = run.warnings.iter().filter(|text| text.contains("429")).count();
        assert_eq!(refusals, 1, "{:?}", run.warnings);
        assert_eq!(run.warnings.len(), 1, "{:?}", run.warnings);
        let best = 12.0 * 1.073741824e9 / (40.0 * MB * most_requests as f64);
        assert!(run.now < 1.3 * best + 10.0, "{} s, at best {best} s", run.now);
    }
}

#[test]
fn a_part_size_that_the_user_gave_is_kept() {
    let input = PlanInput { part_size: Some(32 << 20), ..PlanInput::default() };
    let line = Line { connection: 10.0 * MB, shared: 500.0 * MB, ..FREE };
    let mut run = AutoRun::new(line, 20 * GIB, &input);
    run.run(60.0);
    assert!(run.sizes().iter().all(|size| *size == 32), "{:?}", run.sizes());
    assert!(peak(&run) == 19 && run.most_buffers == 20, "{:?}", run.changes);
    // The memory of 128 MiB parts is used up by four of them.
    let input = PlanInput { part_size: Some(128 << 20), ..input };
    let mut run = AutoRun::new(line, 20 * GIB, &input);
    run.run(60.0);
    assert_eq!((run.changes.len(), run.most_buffers), (0, 5));
}

#[test]
fn a_part_whose_earlier_attempt_may_take_effect_is_not_recalled() {
    let line = Line { connection: 5.0 * MB, shared: 80.0 * MB, ..FREE };
    let mut run = after(line, 12 * GIB, 3.0);
    run.lose_response(4);
    run.run(60.0);
    assert!(peak(&run) > 8, "{:?}", run.changes);
    assert_eq!((&run.recalled[..], &run.sizes()[..4]), (&[][..], &[128; 4][..]));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(12))]

    #[test]
    fn every_line_gets_the_whole_stream_within_the_memory(
        connection in 5.0..200.0, shared in 20.0..2000.0, producer in 20.0..4000.0,
        most_requests in 1..50usize, gib in 1..24u64, known in any::<bool>(), odd in 0..1_000_000u64,
    ) {
        let line = Line {
            connection: connection * MB, shared: shared * MB, producer: producer * MB, most_requests,
        };
        let stream = gib * GIB + odd;
        let input = PlanInput { expected_size: known.then_some(stream), ..PlanInput::default() };
        let mut run = AutoRun::new(line, stream, &input);
        run.run(1e5);
        prop_assert!(run.ended);
        prop_assert!(run.most_buffers <= 40);
        let (last, others) = run.sizes().split_last().map(|(l, o)| (*l, o.to_vec())).unwrap();
        prop_assert!(others.iter().all(|size| *size >= 10), "{others:?} {last}");
    }
}

#[test]
fn a_recall_is_asked_for_once_and_costs_no_part_and_no_attempt() {
    // A driver that calls off nothing, and one that calls off all but the part that it sends first.
    for recalls in [false, true] {
        let line = Line { connection: 5.0 * MB, shared: 80.0 * MB, ..FREE };
        let mut run = AutoRun::new(line, 12 * GIB, &PlanInput::default());
        run.recalls = recalls;
        run.run(1000.0);
        assert!(run.ended, "{:?}", run.changes);
        assert_eq!(run.recalled.len(), usize::from(recalls));
        assert_eq!(run.upload.core.retries, 0);
        assert_eq!(run.sizes().iter().sum::<u64>(), 12 * 1024);
    }
}
