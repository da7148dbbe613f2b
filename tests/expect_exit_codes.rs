//! `--expect` in the real program: the exit code, and whether an object is stored.
//!
//! The tests in `validate` check every truncation of every sample.

#![allow(clippy::unwrap_used)]

mod common;

use std::path::{Path, PathBuf};

use common::store::Store;
use common::stream::assert_same;

/// Formats, and a sample of each whose last bytes are significant.
const FORMATS: [(&str, &str); 8] = [
    ("tar", "one-block.tar"),
    ("gzip", "one.gz"),
    ("zstd", "check.zst"),
    ("xz", "crc64.xz"),
    ("bzip2", "one.bz2"),
    ("zip", "plain.zip"),
    ("pgdump", "pipe.pgdump"),
    ("sql", "pg_dump.sql"),
];

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data/expect")
}

fn sample(name: &str) -> Vec<u8> {
    std::fs::read(folder().join(name)).unwrap()
}

fn format_of(path: &Path) -> Option<&'static str> {
    Some(match path.extension()?.to_str()? {
        "tar" => "tar",
        "gz" => "gzip",
        "zst" => "zstd",
        "xz" => "xz",
        "bz2" => "bzip2",
        "zip" => "zip",
        "pgdump" => "pgdump",
        "sql" => "sql",
        _ => return None,
    })
}

#[test]
fn a_complete_stream_of_a_real_tool_is_stored() {
    let store = Store::start();
    let mut count = 0;
    for entry in std::fs::read_dir(folder()).unwrap() {
        let path = entry.unwrap().path();
        let Some(format) = format_of(&path) else { continue };
        let (name, bytes) = (path.file_name().unwrap().to_str().unwrap(), sample_at(&path));
        let run = store.put(name).args(&format!("--expect {format}")).stdin(bytes.clone());
        run.run().exits(0).stderr_lacks("warning");
        assert_same(&store.object(name).unwrap(), &bytes);
        count += 1;
    }
    assert!(count > 50, "{count} samples");
    store.assert_no_open_upload();
}

fn sample_at(path: &Path) -> Vec<u8> {
    std::fs::read(path).unwrap()
}

#[test]
fn a_stream_that_is_truncated_empty_or_followed_by_garbage_is_not_stored() {
    let store = Store::start();
    for (format, name) in FORMATS {
        let bytes = sample(name);
        let end = match format {
            // A tar needs only two blocks of zeros at its end, and SQL only the line of the last
            // comment.
            "tar" => bytes.len() - 600,
            "sql" => bytes.len() / 2,
            _ => bytes.len() - 1,
        };
        let fails = |bytes: &[u8], options: &str| {
            let run = store.put("x").args(&format!("--expect {format} {options}"));
            let done = run.stdin(bytes).run().fails(5);
            store.assert_not_stored("x");
            done
        };
        fails(&bytes[..end], "").stderr_has(&["the stream is not"]);
        fails(&bytes[..bytes.len() / 3], "");
        fails(&[&bytes[..], b"garbage"].concat(), "");
        fails(b"", "--allow-empty").stderr_has(&["empty"]);
        fails(b"", "");
    }
}

#[test]
fn a_truncated_stream_of_many_parts_is_not_stored_and_its_upload_is_aborted() {
    let store = Store::start();
    let size = 2 * common::stream::PART + 17;
    let folder = store.folder();
    std::fs::create_dir(folder.join("files")).unwrap();
    std::fs::write(folder.join("files/big"), common::stream::ramp(size)).unwrap();
    let tar = |ending: &str| format!("tar c files | {ending}");
    let run = |ending: &str| store.put("x").args("--expect tar -- sh -c").arg(tar(ending)).run();
    run(&format!("head -c {size}")).fails(5).stderr_has(&["tar"]);
    store.assert_not_stored("x");
    run("cat").exits(0);
}

#[test]
fn the_failure_of_the_command_is_the_cause_and_what_its_stream_lacks_the_consequence() {
    let store = Store::start();
    let run = |script: &str| {
        let run = store.put("x").args("--expect pgdump -- sh -c").arg(script).run().fails(5);
        store.assert_not_stored("x");
        run
    };
    let words = ["\"sh\" exited with 3", "not a pg_dump archive", "it is empty"];
    run("exit 3").stderr_has(&words);
    // The end of the stream comes first.
    run("exec >&-; sleep 0.3; exit 3").stderr_has(&words);
    run("exit 0").stderr_has(&["it is empty"]).stderr_lacks("exited with");
}

#[test]
fn a_stream_of_another_format_is_named_with_its_option() {
    let store = Store::start();
    for (format, name) in FORMATS {
        let other = if format == "tar" { "pgdump" } else { "tar" };
        let run = store.put("x").args(&format!("--expect {other}")).stdin(sample(name));
        run.run().fails(5).stderr_has(&["it begins like ", &format!("give --expect {format}, or")]);
    }
    let dump = store.put("x").args("--expect pgdump").stdin(sample("pg_dump.sql")).run().fails(5);
    dump.stderr_has(&["it begins like an SQL dump", "--expect sql", "pg_dump -Fc"]);
    store.assert_not_stored("x");
}

#[test]
fn without_the_option_a_visibly_truncated_stream_is_stored_with_a_warning() {
    let store = Store::start();
    for (format, name) in FORMATS.into_iter().filter(|(format, _)| *format != "gzip") {
        let bytes = sample(name);
        let end = &bytes[..bytes.len() * 3 / 4];
        let done = store.put(name).stdin(end).run().exits(0);
        done.stderr_has(&["warning: ", &format!("--expect {format}")]);
        assert_same(&store.object(name).unwrap(), end);
        let complete = format!("complete-{name}");
        store.put(&complete).stdin(bytes).run().exits(0).stderr_lacks("--expect");
    }
}
