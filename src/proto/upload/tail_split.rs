//! The end of a stream: how to share what has not begun among connections that would idle.
//!
//! Owns one calculation. Knows no part, no clock and no request. Invariant: the pieces sum to what
//! was queued, none is smaller than the service allows, and there are none unless they save time.

use std::time::Duration;

/// When sharing is worth it.
#[derive(Debug, Clone, Copy)]
pub struct TailSplitPolicy {
    /// The smallest piece, in bytes.
    pub min_piece: u64,
    /// What has to be saved at least.
    pub min_saving: Duration,
    /// The highest part number.
    pub max_part_number: u32,
}

/// What is known of the line.
#[derive(Debug, Clone)]
pub struct LinkEstimate {
    /// Bytes per second of one connection.
    pub bytes_per_sec: f64,
    /// What is left to send of each part under way, in bytes.
    pub bytes_in_flight: Vec<u64>,
    pub connections: usize,
}

/// How to cut what is queued, in the order of the stream, and what that saves.
#[derive(Debug, Clone, PartialEq)]
pub struct TailSplit {
    pub sizes: Vec<u64>,
    pub saves: Duration,
}

/// The sizes in which to send what is queued (sizes of parts, in order) so that all connections end
/// together; `None` where parts as they are do as well. At most `most` pieces.
pub fn split(
    queued: &[u64],
    line: &LinkEstimate,
    rule: &TailSplitPolicy,
    most: usize,
) -> Option<TailSplit> {
    let mut lefts = line.bytes_in_flight.clone();
    lefts.resize(lefts.len().max(line.connections), 0);
    lefts.sort_unstable();
    let sizes = split_evenly(queued.iter().sum(), &lefts, rule.min_piece, most);
    let (before, after) = (finish_time(queued, &lefts), finish_time(&sizes, &lefts));
    let saved = before.saturating_sub(after) as f64 / line.bytes_per_sec;
    let saves = Duration::try_from_secs_f64(saved).ok()?;
    (saves > rule.min_saving).then_some(TailSplit { sizes, saves })
}

/// As many pieces as there are connections that end before the others, each as large as makes them
/// end at one level; the first goes to the connection that is free first. (`lefts` ascends.)
fn split_evenly(total: u64, lefts: &[u64], least: u64, most: usize) -> Vec<u64> {
    for count in (2..=lefts.len().min(most)).rev() {
        let used = &lefts[..count];
        let level = (total + used.iter().sum::<u64>()) / count as u64;
        let mut sizes: Vec<u64> = used.iter().map(|left| level.saturating_sub(*left)).collect();
        let short = total.saturating_sub(sizes.iter().sum());
        sizes[0] += short;
        if sizes.iter().all(|size| *size >= least.max(1)) && sizes.iter().sum::<u64>() == total {
            return sizes;
        }
    }
    vec![total]
}

/// When the last connection ends, in bytes of one connection, if each piece goes to the connection
/// that is free first.
fn finish_time(sizes: &[u64], lefts: &[u64]) -> u64 {
    let mut lefts = lefts.to_vec();
    for size in sizes {
        lefts.sort_unstable();
        if let Some(first) = lefts.first_mut() {
            *first += size;
        }
    }
    lefts.into_iter().max().unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const MIB: u64 = 1 << 20;

    fn rule() -> TailSplitPolicy {
        TailSplitPolicy {
            min_piece: 10 * MIB,
            min_saving: Duration::from_secs(2),
            max_part_number: 10_000,
        }
    }

    fn line(busy: &[u64], connections: usize) -> LinkEstimate {
        LinkEstimate {
            bytes_per_sec: 20e6,
            bytes_in_flight: busy.iter().map(|mib| mib * MIB).collect(),
            connections,
        }
    }

    #[test]
    fn one_part_left_is_shared_by_all_connections_that_idle() {
        let cut = split(&[128 * MIB], &line(&[0, 0, 0], 4), &rule(), 100).unwrap();
        assert_eq!(cut.sizes, [32 * MIB; 4]);
        let seconds = cut.saves.as_secs_f64();
        assert!((seconds - 96.0 * MIB as f64 / 20e6).abs() < 0.01, "{seconds}");
    }

    #[test]
    fn a_connection_that_is_busy_for_long_gets_less_or_nothing() {
        let cut = split(&[128 * MIB], &line(&[60, 20, 4], 4), &rule(), 100).unwrap();
        // The level is (128 + 20 + 4) / 3; the one with 60 MiB is above it.
        assert_eq!(cut.sizes.len(), 3);
        let level = (128 + 24) * MIB / 3;
        let ends = [0, 4 * MIB, 20 * MIB];
        assert!(cut.sizes.iter().zip(ends).all(|(size, left)| (size + left).abs_diff(level) < 3));
    }

    #[test]
    fn nothing_is_cut_where_that_saves_little_or_the_pieces_would_be_too_small() {
        // 40 MiB less on one connection are 2.1 s, 30 MiB are 1.6 s.
        assert!(split(&[80 * MIB], &line(&[], 2), &rule(), 100).is_some());
        assert!(split(&[60 * MIB], &line(&[], 2), &rule(), 100).is_none());
        // What is under way takes longer in any case.
        assert!(split(&[100 * MIB], &line(&[128], 2), &rule(), 100).is_none());
        let slow = LinkEstimate { bytes_per_sec: 1e6, ..line(&[], 4) };
        assert_eq!(split(&[19 * MIB], &slow, &rule(), 100), None);
        assert_eq!(split(&[25 * MIB], &slow, &rule(), 100).unwrap().sizes.len(), 2);
    }

    #[test]
    fn there_are_never_more_pieces_than_part_numbers() {
        let cut = split(&[128 * MIB], &line(&[], 4), &rule(), 2).unwrap();
        assert_eq!(cut.sizes, [64 * MIB; 2]);
    }

    proptest! {
        #[test]
        fn pieces_sum_to_what_was_queued_and_end_no_later(
            queued in prop::collection::vec(1..200 * MIB, 1..5),
            busy in prop::collection::vec(0..200u64, 0..9),
            connections in 1..9usize,
            rate in 1e3..1e9,
        ) {
            let line = LinkEstimate { bytes_per_sec: rate, ..line(&busy, connections) };
            if let Some(cut) = split(&queued, &line, &rule(), 7) {
                prop_assert_eq!(cut.sizes.iter().sum::<u64>(), queued.iter().sum::<u64>());
                prop_assert!(cut.sizes.iter().all(|size| *size >= 10 * MIB));
                prop_assert!(cut.sizes.len() <= 7 && cut.saves > Duration::from_secs(2));
            }
        }
    }
}
