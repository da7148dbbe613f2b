//! Restore drills: what a real producer wrote comes back through the program that restores it,
//! although the upload was killed at a random moment.

use std::fs::File;
use std::process::{Command, Stdio};

use crate::common::postgres::{Postgres, output};
use crate::common::run::Ocipipe;
use crate::drill::Drill;
use crate::{CONTENT, SUM, by_command, large, piped, tar, toolchain};

fn filled() -> Postgres {
    let postgres = large();
    postgres.sql("source", CONTENT);
    let more = "INSERT INTO filler SELECT n, repeat(md5(n::text), 30)
        FROM generate_series(70001, 110000) AS n";
    postgres.sql("source", more);
    postgres
}

/// Checksums of the filler and of the other tables.
fn content(postgres: &Postgres, database: &str) -> String {
    let filler = "SELECT md5(string_agg(md5(f::text), '' ORDER BY n)), count(*) FROM filler f";
    postgres.sql(database, filler) + &postgres.sql(database, SUM)
}

#[test]
#[ignore = "needs PostgreSQL"]
fn a_dump_whose_upload_was_killed_is_restored_by_pg_restore() {
    let postgres = filled();
    let before = content(&postgres, "source");
    let saved = postgres.folder.path().join("saved.dump");
    let mut dump = postgres.command("pg_dump");
    let dump = dump.args(["-Fc", "-Z0", "source"]).stdout(File::create(&saved).unwrap());
    assert!(dump.status().unwrap().success());
    let size = saved.metadata().unwrap().len();

    // Each put runs a dump of its own, which has another time in its head.
    let mut drill = Drill::start("pg_dump -Fc", size);
    let dumped = |put| by_command(&postgres, put, "pg_dump", "-Fc -Z0 source").start();
    drill.put_is_killed("", dumped);
    postgres.wait_until_no_dump_runs("source");
    let resumed = drill.put_is_resumed("", dumped);
    assert_eq!(resumed.done.receipt()["size"], size);
    resumed.sent_again_at_most(1);

    postgres.run("createdb", &["restored"]);
    drill.get_into(postgres.command("pg_restore").args(["--exit-on-error", "-d", "restored"]));
    assert_eq!(content(&postgres, "restored"), before);
    drill.ends();
}

#[test]
#[ignore = "needs PostgreSQL"]
fn a_base_backup_whose_upload_was_killed_starts_as_a_server() {
    let postgres = filled();
    let folder = postgres.folder.path().join("data");
    let size = output(Command::new("du").args(["-sb", "--exclude=pg_wal"]).arg(&folder));
    let size = size.split_whitespace().next().unwrap().parse::<u64>().unwrap() + (32 << 20);

    let mut drill = Drill::start("pg_basebackup -Ft", size).paced_by_source();
    let options = "-D - -Ft -X fetch --checkpoint=fast";
    drill.put_is_killed("--expect tar", |put| {
        by_command(&postgres, put, "pg_basebackup", options).start()
    });
    // The second backup is of another state: its stream differs from the one that was killed.
    postgres.sql(
        "source",
        "INSERT INTO texts VALUES ('after the kill'); DELETE FROM filler WHERE n = 7",
    );
    let after = content(&postgres, "source");
    let paced = format!("{options} --max-rate={}k", drill.rate() / 1024);
    drill.put_is_resumed("--expect tar", |put| {
        by_command(&postgres, put, "pg_basebackup", &paced).start()
    });

    let copy = Postgres::restored(|data| drill.get_into(data.args(["-x", "-C", "data"])));
    assert_eq!(content(&copy, "source"), after);
    drill.ends();
}

#[test]
#[ignore = "hundreds of MB"]
fn a_tar_whose_upload_was_killed_has_no_difference_for_tar() {
    // The folder of this machine's target: more targets may be installed.
    let root = format!("{}/lib/rustlib/{}-unknown-linux-gnu", toolchain(), std::env::consts::ARCH);
    let mut all = piped(&mut tar(&root));
    let size = std::io::copy(&mut all.stdout.take().unwrap(), &mut std::io::sink()).unwrap();
    assert!(all.wait().unwrap().success());

    let mut drill = Drill::start("tar", size);
    // The pipe is read by the put only, so the tar of a killed put ends.
    let archived = |put: Ocipipe| {
        let mut tar = piped(&mut tar(&root));
        let run = put.stdin_from(tar.stdout.take().unwrap()).start();
        std::thread::spawn(move || tar.wait());
        run
    };
    drill.put_is_killed("--expect tar", archived);
    let resumed = drill.put_is_resumed("--expect tar", archived);
    assert_eq!(resumed.done.receipt()["size"], size);
    resumed.sent_again_at_most(0);

    let mut compare = Command::new("tar");
    drill.get_into(compare.args(["--compare", "--directory", &root]).stdout(Stdio::inherit()));
    drill.ends();
}
