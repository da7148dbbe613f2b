//! `get` into a pipe whose reader closes it before the end, as `head` does.

mod common;

use std::io::Read;

use common::store::Store;
use common::stream::ramp;

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
