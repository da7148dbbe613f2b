//! Real streams of real producers, through the binary that is shipped.
//!
//! They need programs that not every machine has, so they run only when asked for, as `.ci/run` does:
//! `OCIPIPE_BIN=target/release/ocipipe cargo test --test real -- --ignored`. Then a missing program
//! is a failure.

#![allow(clippy::unwrap_used)]

mod common;

use std::fs::File;
use std::io::Read;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use common::run::{binary, ocipipe};
use common::store::Store;
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

/// Runs a program that has to succeed; its stdout.
#[track_caller]
fn output(command: &mut Command) -> String {
    let output =
        command.stdin(Stdio::null()).output().unwrap_or_else(|e| panic!("{command:?}: {e}"));
    assert!(output.status.success(), "{command:?}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap()
}

/// `tar` of the installed Rust toolchain: hundreds of MB, many small files.
fn tar() -> Command {
    let root = output(Command::new("rustc").args(["--print", "sysroot"]));
    let mut tar = Command::new("tar");
    // The folder is read twice, and has to come out the same.
    tar.args(["--sort=name", "--create", "--directory", root.trim(), "."]);
    tar
}

fn piped(command: &mut Command) -> std::process::Child {
    command.stdout(Stdio::piped()).spawn().unwrap()
}

#[test]
#[ignore = "hundreds of MB"]
fn a_tar_of_the_rust_toolchain_arrives_bit_by_bit() {
    let mut direct = piped(&mut tar());
    let (sent, length) = digest(direct.stdout.take().unwrap());
    assert!(direct.wait().unwrap().success());
    assert!(length > 300_000_000, "{length} bytes are no real input");

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

    // The same in small parts, over TLS, to a server of its own, by ocipipe running tar itself.
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

/// A PostgreSQL server of this test's own, reached by a socket in its folder.
struct Postgres {
    folder: tempfile::TempDir,
    programs: PathBuf,
}

impl Postgres {
    fn start() -> Postgres {
        let folder = tempfile::tempdir().unwrap();
        // The server refuses to run as root, so its folder is another user's then.
        std::fs::set_permissions(folder.path(), PermissionsExt::from_mode(0o777)).unwrap();
        let postgres = Postgres { programs: newest_programs(), folder };
        postgres.run("initdb", &["-D", "data", "-A", "trust", "-U", "owner", "-E", "UTF8", "-N"]);
        let options = format!("-k {} -c listen_addresses= -F", postgres.folder.path().display());
        let start = ["-D", "data", "-o", &options, "-l", "log", "-w", "start"];
        postgres.run("pg_ctl", &start);
        postgres
    }

    /// One of its programs, as a user that may run it.
    fn command(&self, program: &str) -> Command {
        let path = self.programs.join(program);
        let mut command = if rustix::process::getuid().is_root() {
            let mut command = Command::new("setpriv");
            command.args(["--reuid=postgres", "--regid=postgres", "--clear-groups"]).arg(path);
            command
        } else {
            Command::new(path)
        };
        command.current_dir(self.folder.path()).env("PGHOST", self.folder.path());
        command.env("PGUSER", "owner");
        command
    }

    #[track_caller]
    fn run(&self, program: &str, args: &[&str]) -> String {
        // The server keeps what it inherits, so nobody waits for the end of its stdout.
        if program == "pg_ctl" {
            let status = self.command(program).args(args).stdout(Stdio::null()).status().unwrap();
            assert!(status.success(), "{program}");
            return String::new();
        }
        output(self.command(program).args(args))
    }

    #[track_caller]
    fn sql(&self, database: &str, text: &str) -> String {
        self.run("psql", &["-X", "-A", "-t", "-v", "ON_ERROR_STOP=1", "-d", database, "-c", text])
    }
}

impl Drop for Postgres {
    fn drop(&mut self) {
        // Immediate: what it holds is thrown away with its folder.
        let stop = ["-D", "data", "-m", "immediate", "-w", "stop"];
        let _ = self.command("pg_ctl").args(stop).stdout(Stdio::null()).status();
    }
}

/// The folder of the server's programs, where Debian puts them or on the path.
fn newest_programs() -> PathBuf {
    let debian = Path::new("/usr/lib/postgresql");
    let versions = std::fs::read_dir(debian).into_iter().flatten().flatten();
    let folders = versions.map(|entry| entry.path().join("bin"));
    let newest = folders.filter(|bin| bin.join("initdb").exists()).max();
    newest.unwrap_or_else(|| {
        let found = output(Command::new("sh").args(["-c", "command -v initdb"]));
        Path::new(found.trim()).parent().unwrap().to_owned()
    })
}

/// Tables with what is hard to carry: much data, large values, odd bytes, an index, a sequence.
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

/// Everything in the tables, as one number.
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

    // A plain pipe into the embedded store.
    let mut dump = piped(postgres.command("pg_dump").args(["-Fc", "-Z0", "source"]));
    let run = ocipipe(["put", "--local", "store", "--part-size", "10", "oci://backups/db.dump"])
        .args("--expect pgdump")
        .within(postgres.folder.path())
        .stdin_from(dump.stdout.take().unwrap());
    let receipt = run.run().exits(0).receipt();
    assert!(dump.wait().unwrap().success());
    assert!(receipt["parts"].as_u64().unwrap() > 1, "the dump is too small to prove anything");
    let piped = postgres.folder.path().join("store/backups/db.dump");

    // The command run by ocipipe, to a server of its own, read back by ocipipe.
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

#[test]
#[ignore = "needs PostgreSQL"]
fn a_pg_dump_that_is_killed_stores_nothing() {
    let postgres = Postgres::start();
    postgres.run("createdb", &["source"]);
    postgres.sql("source", CONTENT);
    let store = Store::start();
    // In a pipe nobody tells of the death, but the end of the stream does.
    postgres.run("pg_dump", &["-Fc", "-Z0", "-f", "dump", "source"]);
    let cut = &std::fs::read(postgres.folder.path().join("dump")).unwrap()[..15_000_000];
    store.put("db.dump").args("--expect pgdump").stdin(cut).run().fails(5);
    store.has_nothing_of("db.dump");
    let script = "pg_dump -Fc -Z0 -d source | head -c 15000000; kill -9 $$";
    let run = store.put("db.dump").args("-- sh -c").arg(script);
    let run = run.var("PGHOST", postgres.folder.path()).var("PGUSER", "owner");
    run.run().fails(5).says(&["9"]);
    store.has_nothing_of("db.dump");
}

#[test]
#[ignore = "for the binary that is shipped"]
fn the_binary_under_test_is_the_one_that_is_shipped() {
    let path = binary();
    assert!(path.to_string_lossy().contains("release"), "{} is under test", path.display());
}
