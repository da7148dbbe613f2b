//! The rehearsals of `docs/rehearsal.md`: each row of its table, with the real `serve` and the real
//! `put`.
//!
//! Knows the rows by the page only. Invariant: a row holds in all its columns.

#![allow(clippy::unwrap_used)]

mod common;

use std::path::Path;

use common::serve::Serve;
use common::stream::ramp;

const PAGE: &str = include_str!("../docs/rehearsal.md");

const SIZE: usize = 25 << 20;

/// A row of the table.
struct Rehearsal {
    serve: String,
    put: String,
    code: i32,
    stderr: String,
    holds: String,
}

/// The rows, without the back-ticks of their cells.
fn rehearsals() -> Vec<Rehearsal> {
    let rows = PAGE.lines().filter(|line| line.starts_with("| `--"));
    rows.map(|row| {
        let cells = row.trim_matches('|').split('|').map(|cell| cell.trim().trim_matches('`'));
        let [serve, put, code, stderr, holds] = cells.collect::<Vec<_>>()[..] else {
            panic!("{row}")
        };
        let code = code.parse().unwrap();
        let [serve, put, stderr, holds] = [serve, put, stderr, holds].map(str::to_owned);
        Rehearsal { serve, put, code, stderr, holds }
    })
    .collect()
}

/// `put` as the page describes it, into the object `x`.
fn put(serve: &Serve, options: &str) -> common::run::Done {
    let line = format!("put --part-size 10MiB --retry-for 5s {options} oci://backups/x");
    serve.command(&line).stdin(ramp(SIZE)).run()
}

fn has_open_upload(serve: &Serve) -> bool {
    let open = serve.dir().join("uploads");
    std::fs::read_dir(open).is_ok_and(|mut entries| entries.next().is_some())
}

/// What the store holds, in the words of the table. The faults still apply to requests, so this looks
/// into the store's folder.
fn held(serve: &Serve) -> &'static str {
    let objects = std::fs::read_dir(serve.dir().join("buckets/backups/objects"));
    if objects.is_ok_and(|mut entries| entries.next().is_some()) {
        let mut data = std::fs::read_dir(serve.dir().join("buckets/backups/data")).unwrap();
        let bytes = std::fs::read(data.next().unwrap().unwrap().path()).unwrap();
        return if bytes == ramp(SIZE) { "the object" } else { "a damaged object" };
    }
    if has_open_upload(serve) { "nothing, and an open upload" } else { "nothing" }
}

fn rehearse(rehearsal: &Rehearsal) {
    let Rehearsal { serve: options, code, stderr, holds, .. } = rehearsal;
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let words = options.split_whitespace().map(|word| match word.strip_prefix("tests/") {
        Some(_) => root.join(word).into_os_string(),
        None => word.into(),
    });
    let serve = Serve::start(words);
    let done = put(&serve, &rehearsal.put);
    let text = &done.stderr;
    assert_eq!(done.status.code(), Some(*code), "{options}: {text}");
    assert!(text.contains(stderr.as_str()), "{options}: {stderr}: {text}");
    assert_eq!(held(&serve), holds, "{options}: {text}");
    assert_eq!(done.stdout.is_empty(), *code != 0, "{options}: the receipt");
    if holds.contains("open upload") {
        assert!(text.contains("put --resume") && text.contains("uploads abort"), "{text}");
    }
}

#[test]
fn every_rehearsal_of_the_page_ends_as_the_page_describes() {
    let rehearsals = rehearsals();
    assert!(rehearsals.len() >= 13, "the page has {} rows", rehearsals.len());
    std::thread::scope(|scope| {
        for rehearsal in &rehearsals {
            scope.spawn(move || rehearse(rehearsal));
        }
    });
}
