//! Streams against a service that declines 7 % of all requests, as it has been measured of the real one.
//!
//! Knows nothing of plans: nothing else goes wrong here. Invariant: the choice of what is declined is
//! that of the stream's seed.

use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};

use crate::common::store::Store;
use crate::common::stream::{PART, assert_same, ramp};
use crate::invariants::never_shown;
use crate::{AT_ONCE, number};

/// Declined of 1,000 requests.
const RATE: u16 = 70;
/// Six parts and a bit.
const LENGTH: usize = 6 * PART + 17;

#[test]
fn at_7_percent_every_stream_of_seven_parts_arrives_unless_its_first_four_answers_were_declined() {
    let count = number("OCIPIPE_STREAMS").unwrap_or(40);
    let stream = ramp(LENGTH);
    let (next, declined, given_up) = (AtomicU64::new(0), AtomicUsize::new(0), AtomicUsize::new(0));
    std::thread::scope(|scope| {
        for _ in 0..AT_ONCE {
            scope.spawn(|| {
                loop {
                    let seed = next.fetch_add(1, Ordering::SeqCst);
                    if seed >= count {
                        return;
                    }
                    let store = Store::spurious(RATE, seed);
                    let done = store.put("x").stdin(stream.as_slice()).run();
                    declined.fetch_add(store.server().spurious().injected, Ordering::SeqCst);
                    store.assert_no_open_upload();
                    if never_shown(&store.requests(), &done) {
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
    let (declined, given_up) = (declined.into_inner(), given_up.into_inner());
    println!("{count} streams, {declined} declined requests, {given_up} streams given up");
    assert!(declined as u64 >= count / 4, "only {declined} requests were declined");
}
