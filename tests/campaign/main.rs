//! Random campaigns with the real binary: many faults at once, signals, producers that fail.
//!
//! Each run is made of a seed. Owns how runs are carried out; what a run is stands in `plan`, what
//! must come of it in `invariants`. Invariant: a seed always makes the same run, as far as the machine
//! allows, and a run that fails tells its seed.
//!
//! `OCIPIPE_CAMPAIGN=500` makes so many runs, from a new seed on; `OCIPIPE_SEED=17` makes the run of
//! that seed, or begins with it. `OCIPIPE_STREAMS=1000` makes so many streams for the test in `declined`.

#![allow(clippy::unwrap_used, clippy::expect_used)]

#[path = "../common/mod.rs"]
mod common;
mod declined;
mod invariants;
mod plan;

use std::collections::BTreeSet;
use std::io::Write;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;
use std::process::ChildStdin;
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use common::limits::User;
use common::run::Ocipipe;
use common::store::Store;
use common::stream::ramp;
use emulator::Record;
use emulator::fault::Fault;
use tokio_util::sync::CancellationToken;

use invariants::{Before, Outcome};
use plan::{Condition, Plan, Producer, Times};

/// A short slice for every day, always the same: chosen so that each kind of fault is met, each exit
/// code of the contract occurs, and no run takes long (seed 15 takes a minute). The last row holds
/// what is rare among seeds: parts that change places, are left out or are damaged at rest, an object
/// that was never kept, and an upload that is open after exit 8.
#[rustfmt::skip]
const SLICE: [u64; 51] = [
    1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 16, 17, 18, 19, 20, 21, 22, 23, 24,
    99, 123, 126, 131, 151, 156, 184, 198, 218, 229, 241, 252, 269, 277, 288, 290, 291, 307, 312,
    317, 332, 337, 399,
    324, 17545, 20849, 43498, 47775,
];
const AT_ONCE: usize = 4;

pub fn number(variable: &str) -> Option<u64> {
    let text = std::env::var(variable).ok()?;
    Some(text.parse().unwrap_or_else(|_| panic!("{variable}={text} is no number")))
}

#[test]
fn whatever_happens_the_object_is_whole_or_absent_and_the_exit_code_says_which() {
    let seeds: Vec<u64> = match (number("OCIPIPE_SEED"), number("OCIPIPE_CAMPAIGN")) {
        (None, None) => SLICE.to_vec(),
        (first, count) => {
            let first = first.unwrap_or_else(|| fastrand::u64(..1 << 40));
            (first..first + count.unwrap_or(1)).collect()
        }
    };
    let count = seeds.len();
    println!("{count} runs from seed {} on", seeds[0]);
    let next = AtomicUsize::new(0);
    let times = Mutex::new(Vec::new());
    let (failures, tally) = (Mutex::new(Vec::new()), Mutex::new(Vec::new()));
    let met = Mutex::new(BTreeSet::new());
    std::thread::scope(|scope| {
        for _ in 0..AT_ONCE {
            scope.spawn(|| {
                loop {
                    let Some(&seed) = seeds.get(next.fetch_add(1, Ordering::SeqCst)) else {
                        return;
                    };
                    let began = std::time::Instant::now();
                    let result = catch_unwind(AssertUnwindSafe(|| one(seed)));
                    times.lock().unwrap().push((began.elapsed(), seed));
                    match result {
                        Ok((code, faults)) => {
                            tally.lock().unwrap().push((code, seed));
                            met.lock().unwrap().extend(faults);
                        }
                        Err(_) => failures.lock().unwrap().push(seed),
                    }
                }
            });
        }
    });
    let mut tally = tally.into_inner().unwrap();
    tally.sort_unstable();
    for runs in tally.chunk_by(|a, b| a.0 == b.0) {
        let seeds: Vec<u64> = runs.iter().map(|(_, seed)| *seed).collect();
        println!("exit {}: {} runs, {seeds:?}", runs[0].0, runs.len());
    }
    println!("the faults that were met: {:?}", met.into_inner().unwrap());
    let mut times = times.into_inner().unwrap();
    times.sort_unstable();
    println!("the longest: {:?}", times.iter().rev().take(6).collect::<Vec<_>>());
    let failures = failures.into_inner().unwrap();
    assert!(
        failures.is_empty(),
        "{} of {count} runs failed; run one again with OCIPIPE_SEED={} cargo test --test campaign\n\
         all of them: {failures:?}",
        failures.len(),
        failures[0]
    );
}

/// The run of a seed; its exit code, and the faults that its requests met.
fn one(seed: u64) -> (i32, BTreeSet<String>) {
    let plan = Plan::of(seed);
    let store = Store::with(|options| options.faults = Default::default());
    let before = standing(&store, &plan);
    store.server().set_faults(plan.faults.clone());
    store.server().set_rights(plan.rights());
    // What the making of the old object has asked is not counted.
    let earlier = store.server().arrived();
    let stream = ramp(plan.length);
    let mut run = command(&store, &plan, &before, &stream).start();
    let signaller = run.signaller();
    let watches: Vec<_> = plan
        .signals
        .iter()
        .map(|(moment, signal)| {
            let (signal, signaller) = (*signal, signaller.clone());
            store.watches(earlier, *moment, move || signaller(signal))
        })
        .collect();
    let over = CancellationToken::new();
    let mut stopped = None;
    let done = std::thread::scope(|scope| {
        let stopping = plan.stopped.map(|(gap, signal)| {
            let pipe = run.stdin.take();
            let (store, over, stream, signaller) = (&store, &over, &stream, signaller.clone());
            scope.spawn(move || {
                // Before that it may not have come so far as to handle signals.
                store.has_asked(earlier, over);
                stop_after_the_end(pipe?, stream, || {
                    std::thread::sleep(gap);
                    signaller(signal);
                })
            })
        });
        if plan.has(|action| *action == Fault::RevokeToken) {
            scope.spawn(|| store.logs_in_again(&over));
        }
        let done = run.wait();
        over.cancel();
        stopped = stopping.and_then(|stopping| stopping.join().unwrap());
        done
    });
    let signalled = watches.into_iter().filter(|watch| watch.is_finished()).count();
    store.is_quiet(plan.never_quiet());
    let code = done.status.code();
    let outcome = Outcome {
        store: &store,
        plan: &plan,
        before: &before,
        stream: &stream,
        done: &done,
        signalled,
        stopped,
        records: store.requests().into_iter().filter(|r| r.sequence > earlier).collect(),
    };
    let verdict = catch_unwind(AssertUnwindSafe(|| invariants::judge(&outcome)));
    if verdict.is_err() || std::env::var_os("OCIPIPE_SEED").is_some() {
        let log: Vec<String> = outcome.records.iter().map(invariants::shown).collect();
        eprintln!(
            "seed {seed}\n{}\nexit {code:?} after {:?}\nstderr:\n{}stdout: {}\n\
             requests in the order of their ends:\n{}\nrun it again: OCIPIPE_SEED={seed} cargo test \
             --test campaign\n",
            plan.shown(),
            done.took,
            done.stderr,
            done.stdout,
            log.join("\n")
        );
    }
    if let Err(panic) = verdict {
        std::panic::resume_unwind(panic);
    }
    let stop = stopped.map(|_| "a stop of the producer".to_owned());
    let faults = outcome.records.iter().filter_map(met).chain(stop).collect();
    (code.unwrap_or(-1), faults)
}

/// Writes a stream to its end, and stops the program as whoever stops a job would; how long after the
/// end that was, if all was written.
fn stop_after_the_end(
    mut pipe: ChildStdin,
    stream: &[u8],
    stop: impl FnOnce(),
) -> Option<Duration> {
    let written = pipe.write_all(stream);
    let ended = Instant::now();
    drop(pipe);
    stop();
    written.is_ok().then(|| ended.elapsed())
}

/// The fault that a request met, without its numbers.
fn met(record: &Record) -> Option<String> {
    let fault = record.fault.as_deref()?;
    Some(fault.split([' ', '(', '{']).next().unwrap_or_default().to_owned())
}

/// What stands at the name before the run.
fn standing(store: &Store, plan: &Plan) -> Before {
    if !plan.stands {
        return Before { object: None, etag: String::new() };
    }
    let object = b"what stood there before".to_vec();
    store.put("x").stdin(object.clone()).run().exits(0);
    let etag = store.object_record("x")["etag"].as_str().unwrap().to_owned();
    Before { object: Some(object), etag }
}

fn command(store: &Store, plan: &Plan, before: &Before, stream: &[u8]) -> Ocipipe {
    let mut run = store.ocipipe("put oci://backups/x --debug").args(&plan.options);
    match plan.condition {
        Condition::Absent => {}
        Condition::Force => run = run.arg("--force"),
        Condition::Match => run = run.arg("--if-match").arg(&before.etag),
        Condition::Mismatch => run = run.arg("--if-match").arg("no-such-etag"),
    }
    let script = |file: &Path, ending: String| format!("cat {}; {ending}", file.display());
    let run = match plan.producer {
        Producer::Pipe if plan.stopped.is_some() => run.stdin_pipe(),
        Producer::Pipe => run.stdin(stream),
        Producer::File => run.arg("--file").arg(store.file("stream", stream)),
        Producer::Exits(code) => {
            let file = store.file("stream", stream);
            run.args("-- sh -c").arg(script(&file, format!("exit {code}")))
        }
        Producer::Killed => {
            let file = store.file("stream", stream);
            run.args("-- sh -c").arg(script(&file, "kill -9 $$".to_owned()))
        }
    };
    limited(run, store, plan)
}

/// The run under the limits of its plan, as far as this machine can set them.
fn limited(run: Ocipipe, store: &Store, plan: &Plan) -> Ocipipe {
    let mut limits = Vec::new();
    if let Some(mebibytes) = plan.limits.data {
        limits.push(format!("--data={}", mebibytes << 20));
    }
    if let Some(mebibytes) = plan.limits.mapped {
        limits.push(format!("--as={}", mebibytes << 20));
    }
    // Where somebody logs in again, the new token would not be that user's.
    let user = plan.limits.processes.filter(|_| !plan.has(|action| *action == Fault::RevokeToken));
    if let Some(processes) = user
        && let Some(user) = User::of(store)
    {
        limits.push(format!("--nproc={processes}"));
        return user.with_limits(run, &limits.join(" "));
    }
    if limits.is_empty() { run } else { run.wrapped_by(&format!("prlimit {}", limits.join(" "))) }
}

impl Times {
    fn reached(self, arrived: u64, ended: u64) -> bool {
        match self {
            Times::Arrived(n) => arrived >= n,
            Times::Ended(n) => ended >= n,
        }
    }
}

impl Store {
    /// Does something as soon as a moment has come, counted from the request `earlier` on.
    fn watches(
        &self,
        earlier: u64,
        moment: Times,
        act: impl FnOnce() + Send + 'static,
    ) -> tokio::task::JoinHandle<()> {
        let (handle, wait) = self.waiting(move |records, arrived| {
            moment.reached(arrived - earlier, records.len() as u64 - earlier)
        });
        handle.spawn(async move {
            wait.await;
            act();
        })
    }

    /// Waits until a request after `earlier` has arrived, or the run is over.
    fn has_asked(&self, earlier: u64, over: &CancellationToken) {
        let (handle, wait) = self.waiting(move |_, arrived| arrived > earlier);
        handle.block_on(async {
            tokio::select! {
                () = wait => {}
                () = over.cancelled() => {}
            }
        });
    }

    /// Begins a new session whenever a token has been revoked, as a person would.
    fn logs_in_again(&self, over: &CancellationToken) {
        let revoked = |records: &[Record]| {
            let revokes = |r: &&Record| r.fault.as_deref() == Some("RevokeToken");
            records.iter().filter(revokes).count()
        };
        let mut seen = 0;
        loop {
            let (handle, wait) = self.waiting(move |records, _| revoked(records) > seen);
            let ended = handle.block_on(async {
                tokio::select! {
                    () = wait => false,
                    () = over.cancelled() => true,
                }
            });
            if ended {
                return;
            }
            seen = revoked(&self.requests());
            self.server().log_in().unwrap();
        }
    }

    /// Waits until every request that has arrived is over: what a run has set going may still be
    /// under way when it has ended.
    fn is_quiet(&self, never: bool) {
        let (handle, wait) = self.waiting(|records, arrived| records.len() as u64 == arrived);
        let limit = std::time::Duration::from_secs(if never { 1 } else { 20 });
        let quiet = handle.block_on(async { tokio::time::timeout(limit, wait).await });
        assert!(never || quiet.is_ok(), "the store is still at work");
    }
}
