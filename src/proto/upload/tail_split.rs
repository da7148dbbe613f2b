//! Splits the end of a stream among connections that would idle.
//!
//! Owns one calculation. Must not know parts, clocks or requests. Invariants: the pieces sum to the
//! queued bytes; no piece is smaller than the policy allows; each piece but the last has a whole
//! number of the policy's units, as `part_layout` requires; the result is `None` unless a split saves
//! time.

use std::time::Duration;

use crate::{part_layout, part_plan};

/// When a split is worth it.
#[derive(Debug, Clone, Copy)]
pub struct TailSplitPolicy {
    /// The smallest piece, in bytes.
    pub min_piece: u64,
    /// Each piece but the last is a multiple of this, in bytes: `part_layout::UNIT`, except in tests
    /// with parts of a few bytes.
    pub unit: u64,
    /// The smallest saving.
    pub min_saving: Duration,
    /// The highest part number.
    pub max_part_number: u32,
}

impl TailSplitPolicy {
    /// The policy of a run: pieces are legal parts, and the split saves at least 2 s.
    #[doc(hidden)]
    pub fn of_parts() -> TailSplitPolicy {
        TailSplitPolicy {
            min_piece: part_plan::MIN_PART,
            unit: part_layout::UNIT,
            min_saving: Duration::from_secs(2),
            max_part_number: part_plan::MAX_PARTS,
        }
    }
}

/// What is known of the connections.
#[derive(Debug, Clone)]
pub(super) struct LinkEstimate {
    /// Bytes per second of one connection.
    pub bytes_per_sec: f64,
    /// The unsent bytes of each part in flight.
    pub bytes_in_flight: Vec<u64>,
    pub connections: usize,
}

/// A split of the queued bytes.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct TailSplit {
    /// The sizes of the pieces in bytes, in the order of the stream.
    pub sizes: Vec<u64>,
    /// The time that the split saves.
    pub saves: Duration,
}

/// Splits the queued parts (their sizes in bytes, in order) into at most `max_pieces` pieces, so that
/// all connections end together. `None` if the parts as they are end about as early.
pub(super) fn split(
    queued: &[u64],
    link: &LinkEstimate,
    policy: &TailSplitPolicy,
    max_pieces: usize,
) -> Option<TailSplit> {
    let mut remaining = link.bytes_in_flight.clone();
    remaining.resize(remaining.len().max(link.connections), 0);
    remaining.sort_unstable();
    let sizes = split_evenly(queued.iter().sum(), &remaining, policy, max_pieces);
    let (before, after) = (finish_time(queued, &remaining), finish_time(&sizes, &remaining));
    let saved_bytes = before.saturating_sub(after) as f64;
    let saves = Duration::try_from_secs_f64(saved_bytes / link.bytes_per_sec).ok()?;
    (saves > policy.min_saving).then_some(TailSplit { sizes, saves })
}

/// One piece for each connection that ends before the others, of the size that makes all of them end
/// at the same time. The first piece goes to the connection that is free first. `remaining` has the
/// unsent bytes of each connection, in ascending order.
fn split_evenly(
    total: u64,
    remaining: &[u64],
    policy: &TailSplitPolicy,
    max_pieces: usize,
) -> Vec<u64> {
    for count in (2..=remaining.len().min(max_pieces)).rev() {
        let used = &remaining[..count];
        let level = (total + used.iter().sum::<u64>()) / count as u64;
        let mut sizes: Vec<u64> = used.iter().map(|bytes| level.saturating_sub(*bytes)).collect();
        let missing = total.saturating_sub(sizes.iter().sum());
        sizes[0] += missing;
        round_to_units(&mut sizes, policy.unit);
        let large_enough = sizes.iter().all(|size| *size >= policy.min_piece.max(1));
        if large_enough && sizes.iter().sum::<u64>() == total {
            return sizes;
        }
    }
    vec![total]
}

/// Moves each end of a piece but the last one down to a whole unit. So a piece changes by less than a
/// unit, and what is missing of whole units is in the last one.
fn round_to_units(sizes: &mut [u64], unit: u64) {
    let unit = unit.max(1);
    let (mut end, mut rounded_end) = (0, 0);
    let last = sizes.len().saturating_sub(1);
    for (index, size) in sizes.iter_mut().enumerate() {
        end += *size;
        let rounded = if index == last { end } else { end / unit * unit };
        *size = rounded - rounded_end;
        rounded_end = rounded;
    }
}

/// When the last connection ends, if each piece goes to the connection that is free first; in bytes
/// that one connection sends until then.
fn finish_time(sizes: &[u64], remaining: &[u64]) -> u64 {
    let mut remaining = remaining.to_vec();
    for size in sizes {
        remaining.sort_unstable();
        if let Some(first) = remaining.first_mut() {
            *first += size;
        }
    }
    remaining.into_iter().max().unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const MIB: u64 = 1 << 20;

    fn rule() -> TailSplitPolicy {
        TailSplitPolicy {
            min_piece: 10 * MIB,
            unit: MIB,
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
        assert!(cut.sizes.iter().zip(ends).all(|(size, left)| (size + left).abs_diff(level) < MIB));
        assert_eq!(cut.sizes, [50 * MIB, 47 * MIB, 31 * MIB]);
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
    fn odd_sizes_become_whole_units_and_the_last_piece_has_the_rest() {
        let cut = split(&[128 * MIB, 5], &line(&[3, 1], 7), &rule(), 100).unwrap();
        let (last, whole) = cut.sizes.split_last().unwrap();
        assert!(whole.iter().all(|size| size % MIB == 0), "{:?}", cut.sizes);
        assert_eq!((cut.sizes.len(), last % MIB), (7, 5));
        let (least, most) = (cut.sizes.iter().min().unwrap(), cut.sizes.iter().max().unwrap());
        assert!(most - least < 5 * MIB, "{:?}", cut.sizes);
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
                let whole = &cut.sizes[..cut.sizes.len() - 1];
                prop_assert!(whole.iter().all(|size| size % MIB == 0), "{:?}", cut.sizes);
                prop_assert!(cut.sizes.len() <= 7 && cut.saves > Duration::from_secs(2));
            }
        }
    }
}
