//! `get` into a pipe whose reader leaves before the end, as `head` does.

mod common;

use std::io::Read;

use common::store::Store;
use common::stream::ramp;

#[test]
fn a_reader_that_has_seen_enough_is_told_nothing_and_the_exit_code_is_not_0() {
    let store = Store::start();
    // More than a pipe holds.
    let sent = ramp(5_000_000);
    store.put("x").stdin(sent.clone()).run().exits(0);
    let (mut reader, writer) = std::io::pipe().unwrap();
    let run = store.ocipipe("get --quiet oci://backups/x").stdout_to(writer).start();
    let mut seen = vec![0; 1000];
    reader.read_exact(&mut seen).unwrap();
    drop(reader);
    let done = run.wait_with_open_stdin().exits(1);
    assert_eq!(done.stderr, "");
    assert_eq!(seen, sent[..1000]);
}
