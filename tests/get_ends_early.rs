//! `get` that ends before the whole object is written.

mod common;

use std::fs::File;
use std::io::Read;

use common::pipes::terminal;
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

#[test]
fn without_quiet_a_line_has_the_number_of_bytes_that_the_reader_took() {
    let store = Store::start();
    store.put("x").stdin(ramp(5_000_000)).run().exits(0);
    let (mut reader, writer) = std::io::pipe().unwrap();
    let run = store.ocipipe("get oci://backups/x").stdout_to(writer).start();
    reader.read_exact(&mut [0; 1000]).unwrap();
    drop(reader);
    let done = run.wait_with_open_stdin().exits(1);
    let line =
        done.stderr.lines().find(|line| line.contains("the reader of stdout closed it after"));
    let words = line.unwrap_or_else(|| panic!("{}", done.stderr)).split_whitespace();
    let count = words.filter_map(|word| word.parse::<u64>().ok()).next().unwrap();
    assert!((1000..5_000_000).contains(&count), "{count}");
}

#[test]
fn a_terminal_gets_no_object_unless_it_is_named() {
    let store = Store::start();
    store.put("x").stdin("words").run().exits(0);
    let get = |options: &str| {
        let (control, stdout) = terminal();
        let run = store.ocipipe("get oci://backups/x").args(options).stdout_to(stdout).start();
        (run.wait_with_open_stdin(), control)
    };
    let (refused, _control) = get("");
    refused.fails(2).stderr_has(&["stdout is a terminal", "--file -"]);
    for options in ["--file -", "-"] {
        let (done, control) = get(options);
        done.exits(0);
        let mut shown = [0; 5];
        File::from(control).read_exact(&mut shown).unwrap();
        assert_eq!(&shown, b"words", "{options}");
    }
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
