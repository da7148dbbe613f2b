//! Streams that arrive whole: what is stored is what the producer wrote.

use std::fs::File;
use std::io::Read;

use ring::digest::{Context, SHA256};

use crate::common::postgres::Postgres;
use crate::common::run::ocipipe;
use crate::common::store::Store;
use crate::{CONTENT, SUM, by_command, piped, tar, toolchain};

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

#[test]
#[ignore = "hundreds of MB"]
fn a_tar_of_the_rust_toolchain_is_stored_bit_by_bit() {
    let mut direct = piped(&mut tar(&toolchain()));
    let (sent, length) = digest(direct.stdout.take().unwrap());
    assert!(direct.wait().unwrap().success());
    assert!(length > 300_000_000, "{length} bytes are too few");

    let folder = tempfile::tempdir().unwrap();
    let mut producer = piped(&mut tar(&toolchain()));
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
    let tar = tar(&toolchain());
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
    let put = store.put("db.dump").args("--expect pgdump");
    by_command(&postgres, put, "pg_dump", "-Fc source").run().exits(0);
    let fetched = postgres.folder.path().join("fetched.dump");
    std::fs::write(&fetched, store.object("db.dump").unwrap()).unwrap();

    for (dump, database) in [(piped, "from_pipe"), (fetched, "from_command")] {
        let dump = dump.to_str().unwrap();
        postgres.run("createdb", &[database]);
        postgres.run("pg_restore", &["--exit-on-error", "-d", database, dump]);
        assert_eq!(postgres.sql(database, SUM), content, "{database}");
    }
}
