//! The rate from series of counts.

use super::*;
use proptest::prelude::*;

#[test]
fn the_rate_is_that_of_the_last_30_s_and_falls_while_nothing_moves() {
    let mut rate = RateEstimate::default();
    assert_eq!(rate.observe(Duration::ZERO, 0), 0);
    for second in 1..=120 {
        rate.observe(Duration::from_secs(second), second * 100 * MIB);
    }
    for second in 121..=240u64 {
        rate.observe(Duration::from_secs(second), 12_000 * MIB + (second - 120) * 10 * MIB);
    }
    let recent = rate.observe(Duration::from_secs(240), 13_200 * MIB);
    assert_eq!(recent, 10 * MIB, "{recent}");
    let stalled = rate.observe(Duration::from_secs(300), 13_200 * MIB);
    assert!(stalled < 6 * MIB, "{stalled}");
}

#[test]
fn whole_parts_on_a_slow_link_do_not_make_the_rate_jump() {
    let mut rate = RateEstimate::default();
    let mut rates = Vec::new();
    for second in 1..=3000u64 {
        // 128 MiB every 128 s: 1 MiB/s.
        let now = rate.observe(Duration::from_secs(second), second / 128 * 128 * MIB);
        if second > 1500 {
            rates.push(now);
        }
    }
    assert!(*rates.iter().min().unwrap() > MIB * 8 / 10, "{:?}", rates.iter().min());
    assert!(*rates.iter().max().unwrap() < MIB * 12 / 10, "{:?}", rates.iter().max());
}

proptest! {
    #[test]
    fn no_sequence_of_counts_makes_the_rate_panic(
        counts in proptest::collection::vec((any::<u64>(), any::<u64>()), 0..40),
    ) {
        let mut rate = RateEstimate::default();
        for (seconds, bytes) in counts {
            rate.observe(Duration::from_secs(seconds), bytes);
        }
    }
}
