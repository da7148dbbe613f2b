//! Bounds that hold under many faults: memory, bandwidth, and the cost of an outage.

#![allow(clippy::unwrap_used)]

mod common;

use std::time::Duration;

use common::store::Store;
use common::stream::{PART, Ramp, assert_same, ramp};
use emulator::Operation::UploadPart;
use emulator::fault::{Fault, FaultResponse, FaultRule, Trigger};

const MIB: u64 = 1024 * 1024;
/// Memory of the program besides its buffers, in bytes.
const PROGRAM: u64 = 24 * MIB;

/// A different fault for each part, for some of them twice.
fn part_faults() -> Vec<FaultRule> {
    let refuse = |status| Fault::Refuse(FaultResponse::status(status));
    let half = PART as u64 / 2;
    let actions = [
        refuse(503),
        Fault::ResetInBody(half),
        Fault::Refuse(FaultResponse::status(429).retry_after("1")),
        Fault::LoseAnswer,
        Fault::EarlyReset(FaultResponse::status(503)),
        Fault::Refuse(FaultResponse::status(400).code("UnmatchedContentSHA256")),
        Fault::Early(FaultResponse::status(500)),
        Fault::ResetBeforeBody,
        Fault::Truncate(30),
        Fault::Html { status: 502 },
    ];
    let rules = actions.into_iter().enumerate();
    rules
        .map(|(index, action)| {
            let attempts = 1 + index as u64 % 2;
            FaultRule::on(UploadPart, action).part(index as u32 + 1).when(Trigger::First(attempts))
        })
        .collect()
}

fn stalls() -> Vec<FaultRule> {
    let stall = |part, action| FaultRule::on(UploadPart, action).part(part).when(Trigger::First(1));
    vec![
        stall(11, Fault::StallBody { bytes: 1 << 20, ms: None }),
        stall(12, Fault::StallAnswer { ms: None }),
        stall(13, Fault::StallBody { bytes: PART as u64 - 1, ms: Some(1500) }),
    ]
}

#[test]
fn memory_stays_below_its_bound_while_parts_are_refused_reset_stalled_and_throttled() {
    let slow = FaultRule::on(UploadPart, Fault::StallAnswer { ms: Some(400) });
    let store = Store::failing(part_faults().into_iter().chain(stalls()).chain([slow]));
    let options = "--stall-timeout 1s --parallel-upload-count 5 --max-memory 64MiB";
    let mut run = store.put("x").args(options).stdin_pipe().start();
    let mut source = Ramp::default();
    for _ in 0..16 {
        run.write(&source.take(PART));
    }
    let done = run.wait().exits(0);
    assert_eq!(done.receipt()["parts"], 16);
    assert!(done.receipt()["retries"].as_u64().unwrap() > 14, "{}", done.stdout);
    assert!(done.peak < 64 * MIB + PROGRAM, "{} MiB", done.peak / MIB);
    assert_same(&store.object("x").unwrap(), &ramp(16 * PART));
}

#[test]
fn the_bandwidth_limit_holds_while_parts_are_sent_again_and_again() {
    let rate = 32 * MIB;
    let store = Store::failing(part_faults());
    let options = "--parallel-upload-count 4 --bwlimit 32MiB";
    let done = store.put("x").args(options).stdin(ramp(10 * PART)).run().exits(0);
    let received: u64 = store.requests_of(UploadPart).iter().map(|record| record.body).sum();
    assert!(received > 12 * PART as u64, "{received} bytes: nothing was sent again");
    // The burst allowance is 0.2 s, and each request starts with one frame.
    let requests = store.requests_of(UploadPart).len() as u64;
    let burst = rate / 5 + requests * rate / 64;
    let allowed = (rate as f64 * done.took.as_secs_f64()) as u64 + burst;
    assert!(received <= allowed, "{received} bytes in {:?}, {allowed} are allowed", done.took);
}

#[test]
fn a_service_that_refuses_connections_for_a_second_costs_nothing_but_time() {
    let mut store = Store::start();
    let options = "--parallel-upload-count 2 --max-memory 40MiB";
    let mut run = store.put("x").args(options).stdin_pipe().start();
    let mut source = Ramp::default();
    run.write(&source.take(2 * PART + 1));
    store.wait_for_requests(UploadPart, 1);
    store.stop();
    let mut stdin = run.stdin.take().unwrap();
    let rest = source.take(6 * PART);
    let producer = std::thread::spawn(move || std::io::Write::write_all(&mut stdin, &rest));
    run.wait_for_stderr("trying again");
    // The outage.
    std::thread::sleep(Duration::from_secs(1));
    store.restart();
    let done = run.wait_with_open_stdin().exits(0).stderr_has(&["goes on"]);
    producer.join().unwrap().unwrap();
    assert!(done.peak < 40 * MIB + PROGRAM, "{} MiB", done.peak / MIB);
    assert_same(&store.object("x").unwrap(), &ramp(8 * PART + 1));
    store.assert_no_open_upload();
}
