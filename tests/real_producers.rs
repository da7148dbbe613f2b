//! Streams of real producers, with the release build.
//!
//! These tests need other programs and are ignored by default. `.ci/run` runs them:
//! `OCIPIPE_BIN=target/release/ocipipe cargo test --test real_producers -- --ignored`. A missing
//! program is a failure then.

#![allow(clippy::unwrap_used)]

mod common;

use std::fs::File;
use std::io::Read;
use std::process::{Child, Command, Stdio};

use common::postgres::{Postgres, output};
use common::run::{Ocipipe, binary, ocipipe};
use common::store::Store;
use emulator::Operation::UploadPart;
use emulator::fault::{Fault, FaultRule, Trigger};
use ring::digest::{Context, SHA256};

/// The SHA-256 and the length of a stream.
fn digest(mut stream: impl Read) -> (String, u64) {
    let mut context = Context::new(&SHA256);
    let mut piece = vec![0; 1 << 20];
    let mut length = 0;
    loop {
        let n = stream.read(&mut piece).unwrap();
        if n == 0 {
            let hex = context.finish().as_ref().iter().map(|byte| format!("{byte:02x}")).collect();
            return (hex, length);
        }
        context.update(&piece[..n]);
        length += n as u64;
    }
}

/// `tar` of the installed Rust toolchain: hundreds of MB, many small files.
fn tar() -> Command {
    let root = output(Command::new("rustc").args(["--print", "sysroot"]));
    let mut tar = Command::new("tar");
    // The folder is read twice and must give the same bytes.
    tar.args(["--sort=name", "--create", "--directory", root.trim(), "."]);
    tar
}

fn piped(command: &mut Command) -> Child {
    command.stdout(Stdio::piped()).spawn().unwrap()
}

#[test]
#[ignore = "hundreds of MB"]
fn a_tar_of_the_rust_toolchain_is_stored_bit_by_bit() {
    let mut direct = piped(&mut tar());
    let (sent, length) = digest(direct.stdout.take().unwrap());
    assert!(direct.wait().unwrap().success());
    assert!(length > 300_000_000, "{length} bytes are too few");

    let folder = tempfile::tempdir().unwrap();
    let mut producer = piped(&mut tar());
    let run = ocipipe(["put", "--local", "store", "--expect", "tar", "oci://demo/toolchain.tar"])
        .within(folder.path())
        .stdin_from(producer.stdout.take().unwrap());
    let receipt = run.run().exits(0).receipt();
    assert!(producer.wait().unwrap().success());
    assert_eq!(receipt["size"], length);
    let stored = File::open(folder.path().join("store/demo/toolchain.tar")).unwrap();
    assert_eq!(digest(stored), (sent.clone(), length));

    // The same in small parts, over TLS, to an emulator, with tar as the command of ocipipe.
    let store = Store::start();
    let tar = tar();
    let run = ocipipe(["put", "--part-size", "16", "--checksum", "crc32c", "oci://backups/t.tar"])
        .arg("--config-file")
        .arg(store.server().config_path())
        .arg("--endpoint")
        .arg(store.server().https_url())
        .arg("--cert-bundle")
        .arg(store.server().ca_path())
        .arg("--")
        .arg(tar.get_program());
    let run = tar.get_args().fold(run, |run, word| run.arg(word));
    let receipt = run.run().exits(0).receipt();
    assert_eq!(receipt["parts"], length.div_ceil(16 << 20));
    let stored = store.object("t.tar").unwrap();
    assert_eq!(digest(stored.as_slice()), (sent, length));
}

/// Tables with much data, large values, special characters, an index and a sequence.
const CONTENT: &str = "
    CREATE TABLE events (id bigserial PRIMARY KEY, at timestamptz NOT NULL, note text, body bytea);
    INSERT INTO events (at, note, body)
        SELECT timestamptz '2026-01-01' + n * interval '1 minute',
               CASE WHEN n % 7 = 0 THEN NULL ELSE repeat(md5(n::text), 1 + n % 9) END,
               decode(md5(n::text) || md5((n * 3)::text), 'hex')
        FROM generate_series(1, 120000) AS n;
    CREATE INDEX ON events (at);
    CREATE TABLE texts (t text);
    INSERT INTO texts VALUES (E'tab\\t, new\\nline, quote '' and \\\\. and \u{fc}');";

/// Checksums of the content of all tables.
const SUM: &str = "
    SELECT md5(string_agg(md5(e::text), '' ORDER BY id)) FROM events e
    UNION ALL SELECT md5(string_agg(t, '')) FROM texts
    UNION ALL SELECT last_value::text FROM events_id_seq";

#[test]
#[ignore = "needs PostgreSQL"]
fn a_pg_dump_is_restored_from_the_object_as_it_was() {
    let postgres = Postgres::start();
    postgres.run("createdb", &["source"]);
    postgres.sql("source", CONTENT);
    let content = postgres.sql("source", SUM);
    assert_eq!(content.lines().count(), 3);

    // A plain pipe into the local store.
    let mut dump = piped(postgres.command("pg_dump").args(["-Fc", "-Z0", "source"]));
    let run = ocipipe(["put", "--local", "store", "--part-size", "10", "oci://backups/db.dump"])
        .args("--expect pgdump")
        .within(postgres.folder.path())
        .stdin_from(dump.stdout.take().unwrap());
    let receipt = run.run().exits(0).receipt();
    assert!(dump.wait().unwrap().success());
    assert!(receipt["parts"].as_u64().unwrap() > 1, "the dump is too small to prove anything");
    let piped = postgres.folder.path().join("store/backups/db.dump");

    // As the command of ocipipe, to an emulator, and read back.
    let store = Store::start();
    let command = postgres.command("pg_dump");
    let run = store.put("db.dump").args("--expect pgdump --").arg(command.get_program());
    let run = command.get_args().fold(run, |run, word| run.arg(word)).args("-Fc source");
    run.var("PGHOST", postgres.folder.path()).var("PGUSER", "owner").run().exits(0);
    let fetched = postgres.folder.path().join("fetched.dump");
    std::fs::write(&fetched, store.object("db.dump").unwrap()).unwrap();

    for (dump, database) in [(piped, "from_pipe"), (fetched, "from_command")] {
        let dump = dump.to_str().unwrap();
        postgres.run("createdb", &[database]);
        postgres.run("pg_restore", &["--exit-on-error", "-d", database, dump]);
        assert_eq!(postgres.sql(database, SUM), content, "{database}");
    }
}

/// More data than two part buffers and a pipe hold, so that its dump waits for a reader.
const FILLER: &str = "
    CREATE TABLE filler AS SELECT n, repeat(md5(n::text), 30) AS text
        FROM generate_series(1, 70000) AS n";

fn large() -> Postgres {
    let postgres = Postgres::start();
    postgres.run("createdb", &["source"]);
    postgres.sql("source", FILLER);
    postgres
}

/// `pg_dump` as the command of a run.
fn by_command(postgres: &Postgres, run: Ocipipe, options: &str) -> Ocipipe {
    let command = postgres.command("pg_dump");
    let run = run.arg("--").arg(command.get_program());
    let run = command.get_args().fold(run, |run, word| run.arg(word)).args(options);
    run.var("PGHOST", postgres.folder.path()).var("PGUSER", "owner")
}

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
    let abort = FaultRule::on(emulator::Operation::AbortMultipartUpload, silent);
    let store = Store::failing([first, abort]);
    let run =
        by_command(&postgres, store.put("db.dump").args(SHORT_TIMEOUTS), "-Fc -Z0 source").start();
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
fn killed_in_a_pipe(
    postgres: &Postgres,
    store: &Store,
    format: &str,
    run: Ocipipe,
) -> common::run::Done {
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
    let run = by_command(&postgres, store.put("db").args(ONE), "-Fc -Z0 source").start();
    store.wait_for_requests(UploadPart, 1);
    assert!(postgres.dumping("source") > 0, "the dump has already ended");
    let [dump] = run.children()[..] else { panic!("there are several children") };
    rustix::process::kill_process(dump, rustix::process::Signal::KILL).unwrap();
    run.wait_with_open_stdin().fails(5).stderr_has(&["was killed by signal 9"]);
    store.assert_not_stored("db");
    postgres.wait_until_no_dump_runs("source");
}

#[test]
#[ignore = "for the release build"]
fn the_program_under_test_is_the_release_build() {
    let path = binary();
    assert!(path.to_string_lossy().contains("release"), "{} is under test", path.display());
}
