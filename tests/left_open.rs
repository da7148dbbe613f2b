//! What a run finds that a killed one has left: an upload that is open, or a commit that lands late.

#![allow(clippy::unwrap_used)]

mod common;

use common::run::{Done, Ocipipe};
use common::store::{BUCKET, Store};
use common::stream::{PART, assert_same, ramp};
use emulator::Operation::{
    AbortMultipartUpload, CommitMultipartUpload, ListMultipartUploadParts, ListMultipartUploads,
    PutObject, UploadPart,
};
use emulator::Record;
use emulator::fault::{Fault, FaultPlan, FaultResponse, FaultRule, Trigger};
use rustix::process::Signal;

const NOTE: &str = "another upload of this name is open";

/// A store with an open upload of the object `o`, and its id.
fn left_open() -> (Store, String) {
    let store = Store::start();
    store.kill_put(store.put("o"), &ramp(3 * PART), 1);
    let id = store.open_id();
    (store, id)
}

/// The run names the upload, and the command that goes on with it.
#[track_caller]
fn names(done: Done, id: &str) -> Done {
    let command = format!("go on with the same stream: ocipipe put --resume --upload-id {id}");
    let done = done.stderr_has(&[NOTE, &command, "uploads abort"]);
    assert_eq!(done.stderr.matches(NOTE).count(), 1, "{}", done.stderr);
    done
}

#[test]
fn the_list_of_uploads_prints_the_command_that_goes_on() {
    let (store, id) = left_open();
    let list = store.ocipipe("uploads list").arg(format!("oci://{BUCKET}")).run().exits(0);
    let command = list.stderr.split("ocipipe put ").nth(1).unwrap().lines().next().unwrap();
    assert!(command.contains("--resume") && command.contains(&id), "{command}");
    // What was given as an option is given again.
    assert!(command.contains("--config-file ") && command.contains("--endpoint http"), "{command}");
}

#[test]
fn the_commands_for_an_object_that_is_named_as_a_place_holder_are_right() {
    let refused = Fault::Refuse(FaultResponse::status(403));
    let refused = FaultRule::on(AbortMultipartUpload, refused);
    let store = Store::start();
    for name in ["{}", "a{}b {} {id}"] {
        store.server().set_faults(FaultPlan { faults: vec![refused.clone()] });
        let run = store.put(name).args("--part-size 10MiB --min-size 1GiB");
        let done = run.stdin(ramp(3 * PART)).run().fails(5);
        let id = store.open_ids().pop().unwrap_or_else(|| panic!("{}", done.stderr));
        let command = format!("--name '{name}' --upload-id {id}");
        let done = done.stderr_has(&["ocipipe uploads abort", &command]);
        store.server().set_faults(FaultPlan::default());
        let abort = done.stderr.split("ocipipe uploads abort ").nth(1).unwrap();
        let abort = abort.lines().next().unwrap();
        let script = format!("exec \"$@\" {abort}");
        store.ocipipe("uploads abort").wrapped_by_script("sh", &script).run().exits(0);
        assert!(store.open_ids().is_empty());
    }
}

#[test]
fn each_put_to_the_name_mentions_the_open_upload_whether_it_succeeds_or_fails() {
    let (store, id) = left_open();
    let put = |options: &str, bytes: &[u8]| store.put("o").args(options).stdin(bytes).run();
    names(put("", b"").fails(5), &id);
    names(put("--expect gzip", b"no gzip").fails(5), &id);
    names(put("-- false", b"").fails(5), &id);
    names(put("", b"one request").exits(0), &id).stderr_lacks("warning");
    names(put("", b"exists already").fails(6), &id);
    names(put("--if-match other", b"").fails(6), &id);
    // Before anything is looked for: with `--resume` the upload stays open and is named.
    names(put("--resume", b"").fails(6), &id);
    names(put("--force", &ramp(2 * PART)).exits(0), &id);
    assert_eq!(store.open_ids(), [id]);
    store.put("other").stdin("other").run().exits(0).stderr_lacks(NOTE);
    put("--force --quiet", b"quiet").exits(0).stderr_lacks(NOTE);
}

#[test]
fn a_long_stream_is_told_early() {
    let (store, id) = left_open();
    let mut run = store.put("o").stdin_pipe().start();
    run.write(&ramp(2 * PART));
    run.wait_for_stderr(NOTE);
    names(run.wait().exits(0), &id);
}

#[test]
fn a_spurious_404_does_not_hide_the_open_upload() {
    let (store, id) = left_open();
    let rule = FaultRule::on(ListMultipartUploads, Fault::SpuriousNotFound);
    let rule = rule.when(Trigger::Requests(2));
    store.server().set_faults(FaultPlan { faults: vec![rule] });
    names(store.put("o").stdin("small").run().exits(0), &id).stderr_lacks("warning");
}

#[test]
fn a_listing_without_an_answer_delays_the_end_by_a_second_at_most() {
    let (store, _) = left_open();
    for fault in [Fault::StallAnswer { ms: None }, Fault::SpuriousNotFound] {
        let rule = FaultRule::on(ListMultipartUploads, fault);
        store.server().set_faults(FaultPlan { faults: vec![rule] });
        let before = store.requests_of(PutObject).len();
        let mut run = store.put("o").arg("--force").stdin_pipe().start();
        run.write(b"small");
        run.close_stdin();
        store.wait_for_requests(PutObject, before + 1);
        let stored_at = run.age();
        let done = run.wait().exits(0);
        let after = done.took - stored_at;
        assert!(after < std::time::Duration::from_secs(5), "{after:?} after the object was stored");
        done.stderr_lacks(NOTE).stderr_lacks("warning");
    }
}

/// The runs of one object, and which of their requests made it appear.
struct Kills<'a> {
    store: &'a Store,
    name: String,
    stream: &'a [u8],
}

impl Kills<'_> {
    fn put(&self) -> Ocipipe {
        let put = self.store.put(&self.name).args("--resume --bwlimit 200MiB");
        put.stdin(self.stream)
    }

    /// The successful commits among the requests that arrived after `earlier`.
    fn commits(&self, earlier: u64) -> usize {
        let commit = |r: &&Record| r.operation == CommitMultipartUpload && r.status == 200;
        let records = self.store.requests();
        records.iter().filter(|record| record.sequence > earlier).filter(commit).count()
    }

    /// Runs to the end. Exit 6 is right only if the object is there and no request of this run has made
    /// it: the commit of a killed run did.
    fn finish(&self) -> i32 {
        let existed = self.store.object(&self.name).is_some();
        let earlier = self.store.server().arrived();
        let done = self.put().run();
        let code = done.status.code().unwrap();
        let committed = self.commits(earlier);
        let object = self.store.object(&self.name);
        match code {
            0 => assert_eq!((existed, committed), (false, 1), "{}", done.stderr),
            6 => {
                assert_eq!(committed, 0, "exit 6 after a commit of this run:\n{}", done.stderr);
                assert!(object.is_some(), "exit 6 without an object:\n{}", done.stderr);
                // Between the look above and that of the run the commit may land too.
                let exists = done.stderr.contains("exists already");
                let gone = !existed && done.stderr.contains("another run has committed");
                assert!(exists || gone, "{}", done.stderr);
            }
            code => panic!("exit {code}:\n{}", done.stderr),
        }
        assert_same(&object.unwrap(), self.stream);
        self.store.assert_no_open_upload();
        code
    }
}

#[test]
fn runs_that_are_killed_at_random_moments_end_in_the_whole_stream() {
    let mut rng = fastrand::Rng::with_seed(0x5eed);
    let (store, stream) = (Store::start(), ramp(8 * PART + 5));
    for round in 0..4 {
        let kills = Kills { store: &store, name: format!("o{round}"), stream: &stream };
        for _ in 0..6 {
            let put = kills.put().start();
            std::thread::sleep(std::time::Duration::from_millis(rng.u64(30..500)));
            // The run may have ended before.
            put.signaller()(Signal::KILL);
            put.wait();
            if store.object(&kills.name).is_some() {
                break;
            }
            assert!(store.open_ids().len() <= 1, "a run has begun a second upload");
        }
        kills.finish();
    }
}

#[test]
fn a_continued_upload_of_an_object_that_exists_is_named_in_quiet_runs_too() {
    let (store, id) = left_open();
    store.put("o").args("--force").stdin("another").run().exits(0);
    let done = store.put("o").args("--resume --quiet").stdin("stream").run().fails(6);
    names(done, &id);
}

/// Before the first byte is read, while the parts are listed.
#[test]
fn a_signal_before_the_stream_is_read_names_the_upload_that_stays_open() {
    let (store, id) = left_open();
    let slow = FaultRule::on(ListMultipartUploadParts, Fault::StallAnswer { ms: None });
    store.server().set_faults(FaultPlan::new().with(slow));
    let checks = "--expect tar --min-size 1GiB --delete-on-mismatch";
    let run = store.put("o").args("--resume").args(checks).stdin_pipe().start();
    store.wait_until_or_exit(&run, |records, arrived| {
        let listed = records.iter().filter(|r| r.operation == ListMultipartUploads).count() > 1;
        listed && arrived > records.len() as u64
    });
    run.signal(Signal::TERM);
    let done = run.wait_with_open_stdin().fails(143);
    let done =
        done.stderr_has(&[&format!("ocipipe put --resume --upload-id {id}"), "is left open"]);
    // What this run would have refused is refused by the next one too.
    done.stderr_has(&["--expect tar", "--min-size 1073741824B", "--delete-on-mismatch"]);
    assert_eq!(store.open_ids(), [id]);
}

#[test]
fn an_upload_that_is_gone_when_its_parts_are_listed_is_another_runs() {
    let (store, id) = left_open();
    let refused = Fault::Refuse(FaultResponse::status(503));
    let rule = FaultRule::on(ListMultipartUploadParts, refused);
    store.server().set_faults(FaultPlan::new().with(rule));
    let run = store.put("o").arg("--resume").stdin("stream").start();
    run.wait_for_stderr("trying again");
    let abort = store.ocipipe("uploads abort").arg(format!("oci://{BUCKET}/o"));
    abort.args(&format!("--upload-id {id}")).run().exits(0);
    store.server().set_faults(FaultPlan::new());
    let done = run.wait().fails(6).stderr_has(&["has committed or aborted this upload"]);
    done.stderr_lacks("left open");
}

#[test]
fn a_commit_of_a_killed_run_that_lands_before_during_or_never_decides_between_6_and_0() {
    let stream = ramp(2 * PART + 5);
    let late = |after| Fault::SilentLateLanding { after: Some(after) };
    let cases = [
        (Fault::StallAnswer { ms: None }, 6),
        // After this run has found the upload, and before it commits.
        (late(ListMultipartUploadParts), 6),
        (Fault::ResetBeforeBody, 0),
        (late(UploadPart), 0),
    ];
    for (fault, expected) in cases {
        let rule = FaultRule::on(CommitMultipartUpload, fault.clone());
        let store = Store::failing([rule]);
        let kills = Kills { store: &store, name: "o".to_owned(), stream: &stream };
        let run = kills.put().start();
        let landed = fault == Fault::StallAnswer { ms: None };
        store.wait_until_or_exit(&run, move |records, arrived| {
            let parts = records.iter().filter(|r| r.operation == UploadPart && r.status == 200);
            let listed = records.iter().filter(|r| r.operation == ListMultipartUploadParts).count();
            let held = arrived > records.len() as u64;
            let refused = records.iter().any(|r| r.operation == CommitMultipartUpload);
            parts.count() == 3 && listed >= 1 && (held || refused)
        });
        if landed {
            store.wait_for_object("o");
        }
        run.signaller()(Signal::KILL);
        run.wait();
        store.server().set_faults(FaultPlan::new());
        assert_eq!(kills.finish(), expected, "{fault:?}");
    }
}
