//! The seeds of a campaign, run in parallel.
//!
//! Owns which seeds run: a fixed list in `cargo test`, or those that the variables name. Knows nothing of
//! plans. Invariant: a run that fails is reported with its seed and the command that repeats it.

use std::collections::BTreeMap;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Instant;

use crate::{PARALLEL_RUNS, number};

/// Runs `run` for each seed; it returns what happened, for the summary. `test` is a part of the test's name.
pub fn run_all(test: &str, default: impl Iterator<Item = u64>, run: impl Fn(u64) -> String + Sync) {
    let seeds: Vec<u64> = match (number("OCIPIPE_SEED"), number("OCIPIPE_CAMPAIGN")) {
        (None, None) => default.collect(),
        (first, count) => {
            let first = first.unwrap_or_else(|| fastrand::u64(..1 << 40));
            (first..first + count.unwrap_or(1)).collect()
        }
    };
    println!("{test}: {} runs from seed {} on", seeds.len(), seeds[0]);
    let (next, failures) = (AtomicUsize::new(0), Mutex::new(Vec::new()));
    let (results, times) = (Mutex::new(BTreeMap::new()), Mutex::new(Vec::new()));
    std::thread::scope(|scope| {
        for _ in 0..PARALLEL_RUNS {
            scope.spawn(|| {
                while let Some(&seed) = seeds.get(next.fetch_add(1, Ordering::SeqCst)) {
                    let started_at = Instant::now();
                    match catch_unwind(AssertUnwindSafe(|| run(seed))) {
                        Ok(result) => {
                            *results.lock().unwrap().entry(result).or_insert(0) += 1;
                        }
                        Err(_) => failures.lock().unwrap().push(seed),
                    }
                    times.lock().unwrap().push((started_at.elapsed(), seed));
                }
            });
        }
    });
    println!("{test}: {:?}", results.into_inner().unwrap());
    let mut times = times.into_inner().unwrap();
    times.sort_unstable();
    println!("{test}: the longest runs: {:?}", times.iter().rev().take(4).collect::<Vec<_>>());
    let failures = failures.into_inner().unwrap();
    assert!(
        failures.is_empty(),
        "{} runs failed; repeat one with OCIPIPE_SEED={} cargo test --test campaign {test}\nall of them: \
         {failures:?}",
        failures.len(),
        failures[0]
    );
}

/// Whether one seed is run, and prints its trace.
pub fn is_traced() -> bool {
    number("OCIPIPE_SEED").is_some() && number("OCIPIPE_CAMPAIGN").is_none()
}
