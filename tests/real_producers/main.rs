//! Streams of real producers, with the release build: stored, cut off, killed and restored.
//!
//! These tests need other programs and are ignored by default. `.ci/run` runs them:
//! `OCIPIPE_BIN=target/release/ocipipe cargo test --test real_producers -- --ignored`. A missing
//! program is a failure then.

#![allow(clippy::unwrap_used)]

#[path = "../common/mod.rs"]
mod common;

mod drill;
mod interrupted;
mod restored;
mod stored;

use std::process::{Child, Command, Stdio};

use common::postgres::{Postgres, output};
use common::run::{Ocipipe, binary};

/// The folder of the installed Rust toolchain.
fn toolchain() -> String {
    output(Command::new("rustc").args(["--print", "sysroot"])).trim().to_owned()
}

/// `tar` of a folder, with the same bytes each time it runs.
fn tar(folder: &str) -> Command {
    let mut tar = Command::new("tar");
    tar.args(["--sort=name", "--create", "--directory", folder, "."]);
    tar
}

fn piped(command: &mut Command) -> Child {
    command.stdout(Stdio::piped()).spawn().unwrap()
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

/// A program of PostgreSQL as the command of a run.
fn by_command(postgres: &Postgres, run: Ocipipe, program: &str, options: &str) -> Ocipipe {
    let command = postgres.command(program);
    let run = run.arg("--").arg(command.get_program());
    let run = command.get_args().fold(run, |run, word| run.arg(word)).args(options);
    run.var("PGHOST", postgres.folder.path()).var("PGUSER", "owner")
}

#[test]
#[ignore = "for the release build"]
fn the_program_under_test_is_the_release_build() {
    let path = binary();
    assert!(path.to_string_lossy().contains("release"), "{} is under test", path.display());
}
