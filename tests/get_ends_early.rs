//! `get` that ends before the whole object is written.

mod common;

use std::io::Read;

use common::store::Store;
use common::stream::ramp;
use emulator::Operation::GetObject;
use emulator::fault::{Fault, FaultPlan, FaultResponse, FaultRule, Trigger};

/// stdout is a pipe whose reader closes it before the end, as `head` does.
#[test]
fn a_closed_stdout_ends_get_without_a_message_and_not_with_exit_0() {
    let store = Store::start();
    // Longer than the buffer of a pipe.
    let sent = ramp(5_000_000);
    store.put("x").stdin(sent.clone()).run().exits(0);
    let (mut reader, writer) = std::io::pipe().unwrap();
    let run = store.ocipipe("get --quiet oci://backups/x").stdout_to(writer).start();
    let mut received = vec![0; 1000];
    reader.read_exact(&mut received).unwrap();
    drop(reader);
    let done = run.wait_with_open_stdin().exits(1);
    assert_eq!(done.stderr, "");
    assert_eq!(received, sent[..1000]);
}

/// The first range is refused while the others never get a response.
#[test]
fn a_range_that_fails_ends_get_without_waiting_for_the_other_ranges() {
    let refused = Fault::Refuse(FaultResponse::status(403));
    let silent = Fault::StallAnswer { ms: None };
    let plan = FaultPlan::new()
        .with(FaultRule::on(GetObject, refused).when(Trigger::Request(1)))
        .with(FaultRule::on(GetObject, silent).when(Trigger::Requests(3)));
    // The ranges may arrive in another order; then the first range is retried, and a new run is made.
    for _ in 0..20 {
        let store = Store::with(|options| options.faults = plan.clone());
        store.put("x").stdin(ramp(40_000_000)).run().exits(0);
        let get = "get --quiet --stall-timeout 2s oci://backups/x --file /dev/null";
        let done = store.ocipipe(get).run().exits(4).stderr_has(&["HTTP 403"]);
        if done.stderr.contains("reading bytes 0 to ") {
            let ranges = store.requests().iter().filter(|r| r.operation == GetObject).count();
            assert!(ranges <= 3, "a silent range was tried again: {ranges} requests");
            return;
        }
    }
    panic!("the first range never arrived first");
}
