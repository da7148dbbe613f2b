//! `put --file`, and a file as stdin: what is stored if the file changes.

#![allow(clippy::unwrap_used)]

mod common;

use std::fs::File;
use std::io::{Seek, SeekFrom, Write};
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};

use common::run::Done;
use common::store::Store;
use common::stream::{PART, assert_same, ramp};

/// Calls `run` while a file grows.
fn while_it_grows(path: &Path, run: impl FnOnce() -> Done) -> Done {
    let ended = AtomicBool::new(false);
    std::thread::scope(|scope| {
        scope.spawn(|| {
            let mut file = File::options().append(true).open(path).unwrap();
            let piece = vec![b'x'; 1 << 20];
            // Limited, so that a failing test does not fill the disk.
            for _ in 0..400 {
                if ended.load(Ordering::Relaxed) {
                    return;
                }
                file.write_all(&piece).unwrap();
                std::thread::sleep(std::time::Duration::from_millis(5));
            }
        });
        let done = run();
        ended.store(true, Ordering::Relaxed);
        done
    })
}

#[test]
fn a_file_that_grows_during_the_upload_is_stored_up_to_its_size_at_the_start() {
    for length in [PART + 1000, 5000] {
        let store = Store::start();
        let file = store.file("log", ramp(length));
        let run = store.put("x").args("--bwlimit 20MiB --file").arg(&file);
        let done = while_it_grows(&file, || run.run().exits(0));
        // The size at the open is not known exactly here.
        let size = done.receipt()["size"].as_u64().unwrap() as usize;
        assert!((length..length + 100 * (1 << 20)).contains(&size), "{size}");
        done.stderr_has(&["grew while it was read"]);
        assert_eq!(store.object("x").unwrap().len(), size);
        assert_same(&store.object("x").unwrap()[..length], &ramp(length));
    }
}

#[test]
fn a_file_as_stdin_is_stored_from_its_position_up_to_its_size_at_the_start() {
    let store = Store::start();
    let path = store.file("log", ramp(PART));
    let mut file = File::open(&path).unwrap();
    file.seek(SeekFrom::Start(1000)).unwrap();
    let run = store.put("x").args("--bwlimit 20MiB").stdin_from(file);
    let done = while_it_grows(&path, || run.run().exits(0));
    let size = done.receipt()["size"].as_u64().unwrap() as usize;
    assert!((PART - 1000..100 * (1 << 20)).contains(&size), "{size}");
    done.stderr_has(&["grew while it was read"]);
    assert_same(&store.object("x").unwrap()[..PART - 1000], &ramp(PART)[1000..]);
}

#[test]
fn a_file_that_shrinks_stores_nothing() {
    let store = Store::start();
    let path = store.file("log", ramp(8 * PART));
    // With two buffers the program cannot have read the whole file yet.
    let run = store.put("x").args("--bwlimit 20MiB --max-memory 20MiB --file").arg(&path).start();
    store.wait_for_requests(emulator::Operation::HeadObject, 1);
    File::options().write(true).open(&path).unwrap().set_len(1 << 20).unwrap();
    run.wait_with_open_stdin().fails(5).stderr_has(&["shrank"]);
    store.assert_not_stored("x");
}

#[test]
fn a_file_that_reports_no_size_is_stored_to_its_end() {
    let store = Store::start();
    for (name, path) in [("proc", "/proc/version"), ("sys", "/sys/kernel/mm/ksm/run")] {
        let Ok(content) = std::fs::read(path) else {
            eprintln!("skipped: this system has no {path}");
            continue;
        };
        store.put(name).args("--file").arg(path).run().exits(0);
        assert_same(&store.object(name).unwrap(), &content);
    }
}
