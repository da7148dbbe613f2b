//! `put --resume`: an upload that another run has left open becomes the whole stream.

#![allow(clippy::unwrap_used)]

mod common;

use common::run::{Done, Ocipipe};
use common::store::Store;
use common::stream::{PART, assert_same, part_sizes, ramp};
use emulator::Operation::{self, CommitMultipartUpload, UploadPart};
use emulator::fault::{Fault, FaultPlan, FaultResponse, FaultRule};
use rustix::process::Signal;

const PARTS: usize = 8;

fn stream() -> Vec<u8> {
    ramp(PARTS * PART + 5)
}

fn count(store: &Store, operation: Operation) -> usize {
    store.requests_of(operation).iter().filter(|record| record.status == 200).count()
}

/// Leaves an upload of this name open that holds at least `parts` parts.
fn killed(store: &Store, name: &str, options: &str, bytes: &[u8], parts: usize) {
    store.kill_put(store.put(name).args(options), bytes, parts);
}

#[track_caller]
fn resumed(store: &Store, name: &str, options: &str, bytes: &[u8]) -> Done {
    let done = store.put(name).arg("--resume").args(options).stdin(bytes).run().exits(0);
    assert_same(&store.object(name).unwrap(), bytes);
    assert_eq!(done.receipt()["size"], bytes.len());
    done
}

#[test]
fn a_killed_upload_goes_on_without_sending_its_parts_again() {
    for parts in [1, 3, 6] {
        let store = Store::start();
        killed(&store, "o", "", &stream()[..7 * PART + 1], parts);
        let id = store.open_id();
        let held = count(&store, UploadPart);
        let done =
            resumed(&store, "o", "", &stream()).stderr_has(&["resuming the open upload", &id]);
        assert_eq!(done.receipt()["upload-id"], *id);
        assert!(
            done.receipt()["verified-by"].as_str().unwrap().contains("sha256"),
            "{}",
            done.stdout
        );
        let sent = count(&store, UploadPart) - held;
        assert!(sent <= PARTS + 1 - parts, "{sent} parts were sent again");
        store.assert_no_open_upload();
    }
}

#[test]
fn parts_that_are_held_already_count_in_no_rate() {
    let store = Store::start();
    killed(&store, "o", "", &stream()[..7 * PART + 1], 6);
    // Each part that is sent takes longer than all the others.
    let slow = FaultRule::on(UploadPart, Fault::Delay(1000));
    store.server().set_faults(FaultPlan { faults: vec![slow] });
    let done = resumed(&store, "o", "--progress json --parallel-upload-count 1", &stream());
    let mut objects = done.stderr.lines().map(|line| serde_json::from_str(line).unwrap());
    let is_progress = |object: &serde_json::Value| object["event"] == "progress";
    let last = objects.rfind(is_progress).unwrap();
    assert_eq!(last["acknowledged"], PARTS * PART + 5, "{last}");
    for rate in ["bytes-per-second", "bytes-per-second-average"] {
        // At most four parts of 10 MiB were sent, 1 s each.
        assert!(last[rate].as_u64().unwrap() < 11 << 20, "{last}");
    }
}

#[test]
fn another_host_with_other_credentials_and_another_part_size_continues_the_upload() {
    let store = Store::start();
    let [first, second] = ["first", "second"].map(|host| {
        let home = store.folder().join(host);
        std::fs::create_dir(&home).unwrap();
        home
    });
    let host = |home: &std::path::Path, put: Ocipipe| {
        let variables = ["HOME", "TMPDIR", "XDG_CACHE_HOME", "XDG_STATE_HOME"];
        variables.iter().fold(put.within(home), |put, name| put.var(name, home))
    };
    let put = host(&first, store.put("o").args("--part-size 11MiB"));
    store.kill_put(put, &stream()[..5 * 11 * PART / 10], 4);
    // What the second host needs is in the service alone.
    assert_eq!(std::fs::read_dir(&first).unwrap().count(), 0, "the killed run has left a file");
    std::fs::remove_dir(&first).unwrap();
    let held = count(&store, UploadPart);
    let put = store.put("o").args("--resume --profile DEFAULT --part-size 20MiB");
    let done = host(&second, put).stdin(stream()).run().exits(0);
    assert_same(&store.object("o").unwrap(), &stream());
    assert_eq!(std::fs::read_dir(&second).unwrap().count(), 0);
    assert_eq!(done.receipt()["auth"], "api_key");
    let sizes = part_sizes(&done.receipt());
    assert_eq!(sizes[..2], [11 << 20; 2], "{sizes:?}");
    assert!(count(&store, UploadPart) - held < sizes.len());
}

#[test]
fn shorter_longer_and_other_streams_are_stored_as_they_are() {
    let mut other = stream();
    other.iter_mut().skip(2 * PART + 17).for_each(|byte| *byte ^= 1);
    for (bytes, least) in [(&stream()[..PART + 3], 1), (&stream()[..], 4), (&other[..], 2)] {
        let store = Store::start();
        killed(&store, "o", "--parallel-upload-count 1", &stream()[..5 * PART + 1], 4);
        let held = count(&store, UploadPart);
        let done = resumed(&store, "o", "", bytes);
        let parts = done.receipt()["parts"].as_u64().unwrap() as usize;
        assert!(count(&store, UploadPart) - held <= parts - least, "{}", done.stdout);
    }
}

#[test]
fn without_an_open_upload_one_is_begun() {
    let store = Store::start();
    let done = resumed(&store, "o", "", &stream());
    assert_eq!(done.receipt()["parts"], PARTS + 1);
    resumed(&store, "small", "", b"abc");
}

#[test]
fn several_open_uploads_are_not_guessed_among() {
    let store = Store::start();
    for _ in 0..2 {
        killed(&store, "o", "", &stream()[..3 * PART], 1);
    }
    let ids = store.open_ids();
    let put = |options: &str| store.put("o").args(options).stdin(stream());
    put("--resume").run().fails(2).stderr_has(&[&ids[0], &ids[1], "--upload-id"]);
    put("--resume --upload-id nothing").run().fails(2).stderr_has(&["nothing"]);
    let second = format!("--upload-id {}", ids[1]);
    resumed(&store, "o", &second, &stream());
    assert_eq!(store.open_ids(), ids[..1]);
}

#[test]
fn options_that_contradict_each_other_are_refused() {
    let store = Store::start();
    store.put("o").args("--upload-id x").run().fails(2).stderr_has(&["--resume"]);
    let kms = store.put("o").args("--resume --opc-sse-kms-key-id ocid1.key.oc1..a");
    kms.run().fails(2).stderr_has(&["--upload-id"]);
    let folder = store.folder().join("local");
    let local = common::run::ocipipe(["put", "--resume", "--local"]).arg(folder).arg("oci://b/o");
    local.run().fails(2).stderr_has(&["--resume"]);
}

#[test]
fn after_a_signal_and_a_refusal_the_upload_stays_open_and_its_command_goes_on() {
    let store = Store::start();
    let mut run = store.put("o").args("--resume --content-type a/b").stdin_pipe().start();
    run.write(&stream()[..3 * PART]);
    store.wait_for_requests(UploadPart, 2);
    run.signal(Signal::TERM);
    let done = run.wait_with_open_stdin().fails(143);
    let id = store.open_id();
    let command = done.stderr.split("go on with the same stream: ocipipe ").nth(1).unwrap();
    let command = command.lines().next().unwrap();
    assert!(command.contains(&id) && command.contains("--content-type a/b"), "{command}");
    store.ocipipe(command).stdin(stream()).run().exits(0);
    assert_same(&store.object("o").unwrap(), &stream());

    let refused = Fault::Refuse(FaultResponse::status(400));
    let store = Store::failing([FaultRule::on(CommitMultipartUpload, refused)]);
    store.put("o").arg("--resume").stdin(stream()).run().fails(4).stderr_has(&["--resume"]);
    assert_eq!(store.open_ids().len(), 1);
}

#[test]
fn a_failed_command_aborts_the_upload_that_its_run_began_and_no_other() {
    let store = Store::start();
    let script = format!("head -c {} /dev/zero; exit 3", 3 * PART);
    let failing = |name: &str| {
        let put = store.put(name).args("--resume --").args("sh -c").arg(script.clone());
        put.run().fails(5)
    };
    failing("began");
    store.assert_not_stored("began");
    killed(&store, "o", "", &stream()[..3 * PART], 1);
    failing("o").stderr_has(&["go on with the same stream", &store.open_id()]);
}

#[test]
fn what_the_upload_was_begun_with_is_compared() {
    let store = Store::start();
    killed(&store, "o", "--metadata {\"host\":\"db1\"}", &stream()[..3 * PART], 1);
    let put = |options: &str| store.put("o").arg("--resume").args(options).stdin(stream()).run();
    put("--storage-tier Archive").fails(2).stderr_has(&["Standard", "Archive"]);
    put("").fails(7).stderr_has(&["metadata \"host\"", "etag"]);
    assert!(store.object("o").is_some());

    killed(&store, "c", "--checksum crc32c", &stream()[..3 * PART], 1);
    let done = resumed(&store, "c", "", &stream()).stderr_has(&["verified by the MD5"]);
    assert_eq!(done.receipt()["verified-by"], "opc-multipart-md5");
    killed(&store, "d", "--checksum crc32c", &stream()[..3 * PART], 1);
    let done = resumed(&store, "d", "--checksum crc32c", &stream());
    assert_eq!(done.receipt()["verified-by"], "opc-content-crc32c");
}

/// How the service answers a part with another algorithm than that of its upload is not documented.
#[test]
fn a_part_that_is_refused_names_the_checksum_that_the_upload_may_have() {
    let store = Store::start();
    killed(&store, "o", "--checksum crc32c", &stream()[..3 * PART], 1);
    let refused = Fault::Refuse(FaultResponse::status(400));
    store.server().set_faults(FaultPlan::new().with(FaultRule::on(UploadPart, refused)));
    let put = |options: &str| store.put("o").arg("--resume").args(options).stdin(stream()).run();
    put("").fails(4).stderr_has(&["--checksum md5", "go on with the same stream"]);
    put("--checksum md5").fails(4).stderr_lacks("--checksum md5, which");
    store.server().set_faults(FaultPlan::new());
    put("--checksum md5").exits(0);
    assert_same(&store.object("o").unwrap(), &stream());
}

#[test]
fn an_existing_object_is_left_alone() {
    let store = Store::start();
    killed(&store, "o", "", &stream()[..3 * PART], 1);
    store.put("o").stdin("other").run().exits(0);
    store.put("o").arg("--resume").stdin(stream()).run().fails(6);
    assert_eq!(store.object("o").unwrap(), b"other");
    assert_eq!(store.open_ids().len(), 1);
}

#[test]
fn of_two_runs_at_once_one_stores_its_stream_and_the_other_ends_with_6() {
    let store = Store::start();
    let mut other = stream();
    other.iter_mut().for_each(|byte| *byte ^= 1);
    killed(&store, "o", "", &stream()[..3 * PART], 1);
    let mut first = store.put("o").arg("--resume").stdin_pipe().start();
    first.write(&stream()[..4 * PART]);
    first.wait_for_stderr("resuming");
    let second = store.put("o").arg("--resume").stdin(other.clone()).run();
    let mut stdin = first.stdin.take().unwrap();
    let _ = std::io::Write::write_all(&mut stdin, &stream()[4 * PART..]);
    drop(stdin);
    let first = first.wait_with_open_stdin();
    let codes = [first.status.code().unwrap(), second.status.code().unwrap()];
    assert!(codes.contains(&6), "{codes:?}\n{}\n{}", first.stderr, second.stderr);
    match store.object("o") {
        Some(object) if codes[0] == 0 => assert_same(&object, &stream()),
        Some(object) => assert_same(&object, &other),
        None => assert_eq!(codes, [6, 6]),
    }
}

/// Every part is held, so that no request shows the missing key before the commit.
#[test]
fn an_object_whose_encryption_hides_it_from_head_is_no_success() {
    let store = Store::start();
    let key = store.file("key", "MDEyMzQ1Njc4OTAxMjM0NTY3ODkwMTIzNDU2Nzg5MDE=");
    let options = format!("--encryption-key-file {}", key.display());
    killed(&store, "o", &options, &stream()[..3 * PART + 1], 3);
    let run = store.put("o").args("--resume --upload-id").arg(store.open_id());
    let done = run.stdin(&stream()[..3 * PART]).run().fails(8);
    done.stderr_has(&["was committed", "could not be verified", "HEAD"]);
}
