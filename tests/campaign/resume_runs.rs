//! Random runs of `put --resume`: an upload that a first run left open, continued by a second one under
//! faults, and by a third one where the second leaves it open too.
//!
//! Owns the execution of the runs; `resume_plan` derives them from a seed, `resume_invariants` checks the
//! results. Invariant: a seed always gives the same plan, and a failed run prints its seed.

use std::collections::BTreeSet;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::time::Duration;

use emulator::Operation::UploadPart;
use emulator::Record;
use emulator::fault::Fault;
use rustix::process::Signal;
use tokio_util::sync::CancellationToken;

use crate::common::run::{Done, Ocipipe, Running};
use crate::common::store::Store;
use crate::invariants::log_line;
use crate::plan::Moment;
use crate::resume_invariants::{self, Outcome, Rival};
use crate::resume_plan::{FirstEnd, FirstEvent, Plan};
use crate::seeds;

/// The runs of `cargo test`.
const DEFAULT_RUNS: u64 = 14;
/// A first run that does not come so far is ended after this time.
const FIRST_LIMIT: Duration = Duration::from_secs(2);

/// Makes the runs of a seed; returns what happened.
fn run_seed(seed: u64) -> String {
    let plan = Plan::of(seed);
    let store = Store::start();
    let previous = plan.object_exists.then(|| b"the previous object".to_vec());
    if let Some(previous) = &previous {
        store.put("x").stdin(previous.as_slice()).run().exits(0);
    }
    store.server().set_faults(plan.first_faults.clone());
    let first = first_run(&plan, &store);
    store.wait_until_idle(plan.never_idle());
    store.server().set_faults(plan.faults.clone());
    let (open_before, object_before) = (open(&store), store.object("x"));
    let earlier = store.server().arrived();
    let stream = plan.stream();
    let (done, rival) = second_run(&plan, &store, &stream, &open_before, earlier);
    store.wait_until_idle(plan.never_idle());
    let records = store.requests();
    let (first_records, records): (Vec<Record>, Vec<Record>) =
        records.into_iter().partition(|record| record.sequence <= earlier);
    let outcome = Outcome {
        store: &store,
        plan: &plan,
        stream: &stream,
        open_before: &open_before,
        object_before: object_before.as_deref(),
        done: &done,
        rival,
        first_records: &first_records,
        records: &records,
    };
    let checked = catch_unwind(AssertUnwindSafe(|| {
        resume_invariants::check(&outcome);
        store.server().set_faults(Default::default());
        resume_invariants::check_third_run(&outcome, || {
            command(&plan, &store, "--resume", &stream).run()
        });
    }));
    if checked.is_err() || seeds::is_traced() {
        let log = |records: &[Record]| records.iter().map(log_line).collect::<Vec<_>>().join("\n");
        eprintln!(
            "seed {seed}\n{plan:?}\nopen before: {open_before:?}, after: {:?}\nfirst run: {}\n{}{}\nsecond \
             run: {} after {:?}\n{}{}\n{}",
            open(&store),
            first.status,
            first.stderr,
            log(&first_records),
            done.status,
            done.took,
            done.stderr,
            log(&records),
            outcome
                .rival
                .map(|rival| format!("rival: {}\n{}", rival.done.status, rival.done.stderr))
                .unwrap_or_default()
        );
    }
    if let Err(panic) = checked {
        std::panic::resume_unwind(panic);
    }
    format!("{} open: {}", open_before.len(), done.status.code().unwrap_or(-1))
}

/// The ids of the open uploads.
pub fn open(store: &Store) -> BTreeSet<String> {
    store.server().open_uploads().into_iter().map(|(_, _, id)| id).collect()
}

/// Makes the run that leaves an upload open, if it comes so far.
fn first_run(plan: &Plan, store: &Store) -> Done {
    let put = store.ocipipe("put oci://backups/x --content-type a/b --stall-timeout 1s");
    let mut put =
        put.args(&plan.first_options).args(&format!("--part-size {}", plan.first_part_size));
    if plan.object_exists {
        put = put.arg("--force");
    }
    let bytes = plan.first_stream();
    let (put, event, signal) = match plan.first_end {
        FirstEnd::Refused => return put.arg("--resume").stdin(bytes).run(),
        FirstEnd::KilledAfterEnd(event) => (put.stdin(bytes), event, Signal::KILL),
        FirstEnd::Killed(event) => (put.stdin_pipe(), event, Signal::KILL),
        FirstEnd::Stopped(event) => (put.arg("--resume").stdin_pipe(), event, Signal::TERM),
    };
    let earlier = store.server().arrived();
    let mut run = put.start();
    let writer = run.stdin.take().map(|mut stdin| {
        let bytes = plan.first_stream()[..plan.first_length].to_vec();
        std::thread::spawn(move || {
            let _ = std::io::Write::write_all(&mut stdin, &bytes);
            stdin
        })
    });
    store.wait_for_event(&run, earlier, event);
    run.signaller()(signal);
    let done = run.wait_with_open_stdin();
    drop(writer.map(std::thread::JoinHandle::join));
    done
}

/// The command of the second and the third run.
fn command(plan: &Plan, store: &Store, options: &str, stream: &[u8]) -> Ocipipe {
    let put = store.ocipipe("put oci://backups/x --debug").args(options);
    let put = put.args(&format!("--part-size {}", plan.part_size)).args(&plan.options);
    let content_type = if plan.other_content_type { "c/d" } else { "a/b" };
    let put = put.arg("--content-type").arg(content_type);
    let put = if plan.object_exists { put.arg("--force") } else { put };
    put.stdin(stream)
}

/// Makes the run that continues the upload, and its rival.
fn second_run(
    plan: &Plan,
    store: &Store,
    stream: &[u8],
    open_before: &BTreeSet<String>,
    earlier: u64,
) -> (Done, Option<Rival>) {
    let mut options = "--resume".to_owned();
    if open_before.len() > 1 && plan.names_upload {
        options += &format!(" --upload-id {}", open_before.first().unwrap());
    }
    let run = command(plan, store, &options, stream).start();
    let ended = CancellationToken::new();
    std::thread::scope(|scope| {
        if let Some((moment, signal)) = plan.signal {
            let signaller = run.signaller();
            let ended = &ended;
            scope.spawn(move || {
                if store.reached(earlier, moment, ended) {
                    signaller(signal);
                }
            });
        }
        if plan.has(|action| *action == Fault::RevokeToken) {
            scope.spawn(|| store.log_in_after_revocations(&ended));
        }
        let rival = plan.rival.map(|moment| {
            let (ended, options) = (&ended, &options);
            scope.spawn(move || {
                store.reached(earlier, Moment::Arrived(moment), ended);
                let stream: Vec<u8> = stream.iter().map(|byte| !byte).collect();
                let done = command(plan, store, options, &stream).run();
                Rival { stream, done }
            })
        });
        let done = run.wait();
        ended.cancel();
        (done, rival.map(|rival| rival.join().unwrap()))
    })
}

impl Store {
    /// Waits until the event has happened, the run has ended, or the time is over.
    fn wait_for_event(&self, run: &Running, earlier: u64, event: FirstEvent) {
        let (handle, wait) = self.waiting(move |records, arrived| {
            let (arrived, ended) = (arrived - earlier, records.len() as u64 - earlier);
            let part = |record: &&Record| record.operation == UploadPart;
            let stored = |record: &&Record| part(record) && record.status == 200;
            match event {
                FirstEvent::Moment(moment) => moment.reached(arrived, ended),
                FirstEvent::Parts(count) => records.iter().filter(part).count() >= count,
                // The commit has no record while it is held or delayed.
                FirstEvent::Commit { parts } => {
                    records.iter().filter(stored).count() >= parts && arrived > ended
                }
            }
        });
        let exited = run.exited();
        let either = async {
            tokio::select! { () = wait => {}, () = exited => {} }
        };
        let _ = handle.block_on(async { tokio::time::timeout(FIRST_LIMIT, either).await });
    }

    /// Waits until the moment is reached; false if `ended` comes first.
    fn reached(&self, earlier: u64, moment: Moment, ended: &CancellationToken) -> bool {
        let (handle, wait) = self.waiting(move |records, arrived| {
            moment.reached(arrived - earlier, (records.len() as u64).saturating_sub(earlier))
        });
        handle.block_on(async {
            tokio::select! {
                () = wait => true,
                () = ended.cancelled() => false,
            }
        })
    }
}

#[test]
fn whatever_was_left_open_resume_stores_the_stream_or_leaves_all_as_it_is() {
    seeds::run_all("resume_stores", 0..DEFAULT_RUNS, run_seed);
}
