//! Dumps whose reader, service or process fails half way: nothing is stored, and no dump stays behind.

use emulator::Operation::{AbortMultipartUpload, UploadPart};
use emulator::fault::{Fault, FaultRule, Trigger};

use crate::common::postgres::Postgres;
use crate::common::run::{Done, Ocipipe};
use crate::common::store::Store;
use crate::{by_command, large, piped};

const SHORT_TIMEOUTS: &str = "--parallel-upload-count 1 --stall-timeout 1s --retry-for 3s";

#[test]
#[ignore = "needs PostgreSQL"]
fn a_service_that_reads_nothing_ends_the_dump_and_its_transaction_in_a_pipe() {
    let postgres = large();
    // The service never reads the parts and sends no response.
    let swallow = Fault::StallBody { bytes: 0, ms: None };
    let store = Store::failing([FaultRule::on(UploadPart, swallow)]);
    let mut dump = piped(postgres.command("pg_dump").args(["-Fc", "-Z0", "source"]));
    let stdin = dump.stdout.take().unwrap();
    let run = store.put("db.dump").args(SHORT_TIMEOUTS).stdin_from(stdin).start();
    run.wait_for_stderr("trying again");
    assert!(postgres.dumping("source") > 0, "the dump has already ended");
    let done = run.wait_with_open_stdin().fails(4).within_seconds(30);
    assert!(!dump.wait().unwrap().success(), "pg_dump exited with 0");
    postgres.wait_until_no_dump_runs("source");
    store.assert_not_stored("db.dump");
    done.stderr_has(&["no byte moved"]);
}

#[test]
#[ignore = "needs PostgreSQL"]
fn a_service_that_never_answers_ends_the_dump_and_its_transaction_in_command_mode() {
    let postgres = large();
    // The service sends no response to parts and to the abort.
    let silent = Fault::StallAnswer { ms: None };
    let first = FaultRule::on(UploadPart, silent.clone());
    let abort = FaultRule::on(AbortMultipartUpload, silent);
    let store = Store::failing([first, abort]);
    let run = by_command(
        &postgres,
        store.put("db.dump").args(SHORT_TIMEOUTS),
        "pg_dump",
        "-Fc -Z0 source",
    )
    .start();
    run.wait_for_stderr("trying again");
    assert!(postgres.dumping("source") > 0, "the dump has already ended");
    let done = run.wait_with_open_stdin().fails(4).within_seconds(30);
    postgres.wait_until_no_dump_runs("source");
    assert!(store.object("db.dump").is_none());
    // The service has performed the abort.
    store.assert_no_open_upload();
    done.stderr_has(&["uploads abort"]);
}

/// Kills a dump that waits for the reader in the middle.
fn killed_in_a_pipe(postgres: &Postgres, store: &Store, format: &str, run: Ocipipe) -> Done {
    let mut dump = piped(postgres.command("pg_dump").args([format, "-Z0", "source"]));
    let run = run.stdin_from(dump.stdout.take().unwrap()).start();
    store.wait_for_requests(UploadPart, 1);
    assert!(postgres.dumping("source") > 0, "the dump has already ended");
    dump.kill().unwrap();
    dump.wait().unwrap();
    run.wait_with_open_stdin()
}

/// A store that delays each part, so that the dump still runs when the first part is stored.
fn slow_store() -> Store {
    let slow = FaultRule::on(UploadPart, Fault::Delay(1000)).when(Trigger::First(1));
    Store::failing([slow])
}

#[test]
#[ignore = "needs PostgreSQL"]
fn a_pg_dump_that_is_killed_half_way_stores_nothing() {
    let postgres = large();
    const ONE: &str = "--parallel-upload-count 1";
    for (format, expect) in [("-Fp", "sql"), ("-Fc", "pgdump")] {
        let store = slow_store();
        let run = store.put("db").args(ONE).args(&format!("--expect {expect}"));
        killed_in_a_pipe(&postgres, &store, format, run).fails(5);
        store.assert_not_stored("db");
    }
    // Without the option the exit code is 0, and a warning reports the truncation.
    let store = slow_store();
    let done = killed_in_a_pipe(&postgres, &store, "-Fp", store.put("db").args(ONE)).exits(0);
    done.stderr_has(&["warning", "--expect sql"]);

    let store = slow_store();
    let run = by_command(&postgres, store.put("db").args(ONE), "pg_dump", "-Fc -Z0 source").start();
    store.wait_for_requests(UploadPart, 1);
    assert!(postgres.dumping("source") > 0, "the dump has already ended");
    let [dump] = run.children()[..] else { panic!("there are several children") };
    rustix::process::kill_process(dump, rustix::process::Signal::KILL).unwrap();
    run.wait_with_open_stdin().fails(5).stderr_has(&["was killed by signal 9"]);
    store.assert_not_stored("db");
    postgres.wait_until_no_dump_runs("source");
}
