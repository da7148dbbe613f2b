//! Streams against a service that answers 7 % of all requests with a spurious 404, the rate that
//! was measured at the real one.
//!
//! Knows nothing of plans, and injects no other fault. Invariant: the seed of a stream determines
//! which requests get a 404.

use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};

use crate::common::store::Store;
use crate::common::stream::{PART, assert_same, ramp};
use crate::invariants::bucket_never_seen;
use crate::{PARALLEL_RUNS, number};

/// Spurious 404s per 1,000 requests.
const RATE: u16 = 70;
/// Six parts and some bytes.
const LENGTH: usize = 6 * PART + 17;

#[test]
fn at_7_percent_every_stream_of_seven_parts_is_stored_unless_its_first_four_responses_were_spurious()
 {
    let count = number("OCIPIPE_STREAMS").unwrap_or(40);
    let stream = ramp(LENGTH);
    let (next, injected, given_up) = (AtomicU64::new(0), AtomicUsize::new(0), AtomicUsize::new(0));
    std::thread::scope(|scope| {
        for _ in 0..PARALLEL_RUNS {
            scope.spawn(|| {
                loop {
                    let seed = next.fetch_add(1, Ordering::SeqCst);
                    if seed >= count {
                        return;
                    }
                    let store = Store::spurious(RATE, seed);
                    let done = store.put("x").stdin(stream.as_slice()).run();
                    injected.fetch_add(store.server().spurious().injected, Ordering::SeqCst);
                    store.assert_no_open_upload();
                    if bucket_never_seen(&store.requests(), &done) {
                        assert!(store.object("x").is_none(), "seed {seed}: an object appeared");
                        given_up.fetch_add(1, Ordering::SeqCst);
                        continue;
                    }
                    let code = done.status.code();
                    assert_eq!(code, Some(0), "seed {seed}: {}", done.stderr);
                    assert_same(&store.object("x").unwrap(), &stream);
                    assert_eq!(done.receipt()["parts"], 7, "seed {seed}");
                }
            });
        }
    });
    let (injected, given_up) = (injected.into_inner(), given_up.into_inner());
    println!("{count} streams, {injected} spurious 404s, {given_up} streams given up");
    assert!(injected as u64 >= count / 4, "only {injected} spurious 404s");
}
