//! `--expect` through the real binary: how a stream ends decides whether there is an object.
//!
//! That every truncation of every sample is seen is asserted in `expect`; here, that a verdict becomes
//! an exit code, and nothing is stored.

#![allow(clippy::unwrap_used)]

mod common;

use std::path::{Path, PathBuf};

use common::store::Store;
use common::stream::assert_same;

/// Formats, and a sample of each that loses something with its last bytes.
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
fn whatever_a_real_tool_has_ended_well_is_stored() {
    let store = Store::start();
    let mut seen = 0;
    for entry in std::fs::read_dir(folder()).unwrap() {
        let path = entry.unwrap().path();
        let Some(format) = format_of(&path) else { continue };
        let (name, bytes) = (path.file_name().unwrap().to_str().unwrap(), sample_at(&path));
        let run = store.put(name).args(&format!("--expect {format}")).stdin(bytes.clone());
        run.run().exits(0).stderr_lacks("warning");
        assert_same(&store.object(name).unwrap(), &bytes);
        seen += 1;
    }
    assert!(seen > 50, "{seen} samples");
    store.assert_no_open_upload();
}

fn sample_at(path: &Path) -> Vec<u8> {
    std::fs::read(path).unwrap()
}

#[test]
fn what_breaks_off_goes_on_with_garbage_or_is_empty_is_not_stored() {
    let store = Store::start();
    for (format, name) in FORMATS {
        let bytes = sample(name);
        let cut = match format {
            // Of zeros at the end two blocks are enough, and of a comment its line.
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
        fails(&bytes[..cut], "").stderr_has(&["the stream is not"]);
        fails(&bytes[..bytes.len() / 3], "");
        fails(&[&bytes[..], b"garbage"].concat(), "");
        fails(b"", "--allow-empty").stderr_has(&["empty"]);
        fails(b"", "");
    }
}

#[test]
fn a_stream_of_many_parts_that_breaks_off_is_not_stored_and_its_upload_aborted() {
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
fn without_the_flag_what_visibly_breaks_off_is_stored_with_a_warning() {
    let store = Store::start();
    for (format, name) in FORMATS.into_iter().filter(|(format, _)| *format != "gzip") {
        let bytes = sample(name);
        let cut = &bytes[..bytes.len() * 3 / 4];
        let done = store.put(name).stdin(cut).run().exits(0);
        done.stderr_has(&["warning: ", &format!("--expect {format}")]);
        assert_same(&store.object(name).unwrap(), cut);
        let whole = format!("whole-{name}");
        store.put(&whole).stdin(bytes).run().exits(0).stderr_lacks("--expect");
    }
}
