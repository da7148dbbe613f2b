//! Tests of the parts alone: their order, and what `auto` does with the queue and with refused parts.
//!
//! Owns parts of a few bytes, whose digests do not matter. Must not know requests. Invariant: each number of
//! connections comes from samples, as in a real run.

use std::time::Duration;

use super::*;
use crate::upload::AutoConfig;

const SECOND: Duration = Duration::from_secs(1);
const UNCHECKED: PartChecks = PartChecks { algorithm: Algorithm::None, always_md5: false };

fn nth(number: u32) -> PartNumber {
    PartNumber::new(number).unwrap()
}

fn auto() -> AutoConfig {
    AutoConfig {
        most: 64,
        min_piece: 10,
        unit: 1,
        split_until: 100,
        split_numbers: 100,
        memory: 1 << 40,
    }
}

impl Parts {
    fn with_auto(config: AutoConfig) -> Parts {
        let mut parts = Parts::continuing(1, Vec::new());
        parts.choose_connections(config);
        parts
    }

    fn read(&mut self, sizes: &[u64]) {
        for size in sizes {
            let digest = PartDigest { size: *size, crc32: 0, value: None };
            self.add(nth(self.count() + 1), digest);
        }
    }

    fn send(&mut self, now: Now) -> Vec<u32> {
        std::iter::from_fn(|| self.next_to_send(now)).map(PartNumber::get).collect()
    }

    fn accept(&mut self, now: Now, number: u32) {
        self.on_response(now, nth(number), ObjectMeta::default(), 0, UNCHECKED).unwrap();
    }

    fn refuse(&mut self, number: u32, early: bool, retry: Now) {
        self.on_throttled(retry, nth(number), early);
        self.retry_at(nth(number), retry);
    }

    fn sample(&mut self, now: Now, sent: u64) -> Option<(u16, u16)> {
        self.on_sample(now, sent, now).map(|change| (change.from, change.to))
    }

    /// The first trial, with twice the four connections of the start.
    fn rise(&mut self) {
        assert_eq!(self.sample(2 * SECOND, 0), Some((4, 8)));
    }

    /// As `rise`, with parts of these sizes, of which eight are in flight since 2 s.
    fn risen(config: AutoConfig, sizes: &[u64]) -> Parts {
        let mut parts = Parts::with_auto(config);
        parts.read(sizes);
        parts.rise();
        assert_eq!(parts.send(2 * SECOND).len(), 8.min(sizes.len()));
        parts
    }

    /// As `risen`, after the service refused two of eight parts for a second.
    fn refused() -> Parts {
        let mut parts = Parts::risen(auto(), &[100; 8]);
        assert_eq!(parts.sample(2500 * MS, 0), None);
        parts.refuse(7, false, 60 * SECOND);
        parts.refuse(8, false, 60 * SECOND);
        for half_seconds in 6..8 {
            assert_eq!(parts.sample(half_seconds * 500 * MS, 0), None);
        }
        parts
    }
}

const MS: Duration = Duration::from_millis(1);

fn split(parts: &Parts) -> Option<(u32, Vec<u64>)> {
    parts.queue_split().map(|(first, sizes)| (first.get(), sizes))
}

#[test]
fn the_parts_that_the_service_accepts_at_once_become_the_number_of_connections() {
    let mut parts = Parts::refused();
    let change = parts.on_sample(4 * SECOND, 0, 4 * SECOND).unwrap();
    assert_eq!((change.from, change.to, change.first_refusal), (8, 6, true));
}

#[test]
fn a_refused_part_keeps_its_place_until_it_was_in_flight_for_a_second() {
    for (after, waiting) in [(500 * MS, 1), (999 * MS, 1), (1000 * MS, 0), (1500 * MS, 0)] {
        let mut parts = Parts::with_auto(auto());
        parts.read(&[100; 4]);
        parts.send(SECOND);
        parts.refuse(1, true, 2 * SECOND);
        assert_eq!(parts.refused_in_backoff(), 1);
        parts.release_due_retries(2 * SECOND);
        assert_eq!(parts.send(2 * SECOND), [1]);
        // A sample without a wait changes no number.
        assert!(parts.on_sample(2 * SECOND + after, 0, Duration::ZERO).is_none());
        // Its credentials are rejected, which is no refusal.
        parts.retry_at(nth(1), 60 * SECOND);
        assert_eq!(parts.refused_in_backoff(), waiting, "in flight for {after:?}");
    }
}

#[test]
fn a_part_that_fails_otherwise_gives_its_place_to_another() {
    let mut parts = Parts::with_auto(auto());
    parts.read(&[100; 5]);
    assert_eq!(parts.send(SECOND), [1, 2, 3, 4]);
    parts.refuse(1, true, 9 * SECOND);
    assert_eq!(parts.send(SECOND), [0; 0], "a refused part keeps its place");
    parts.forget_refusal(nth(1));
    assert_eq!(parts.send(SECOND), [5]);
}

#[test]
fn an_accepted_part_makes_room_for_a_refused_one_unless_the_service_asked_for_a_pause() {
    let mut parts = Parts::with_auto(auto());
    parts.read(&[100; 4]);
    parts.send(SECOND);
    parts.refuse(1, false, 8 * SECOND);
    parts.refuse(2, true, 9 * SECOND);
    assert_eq!(parts.send(SECOND), [0; 0]);
    parts.accept(SECOND, 3);
    assert_eq!(parts.send(SECOND), [2]);
    parts.accept(SECOND, 2);
    parts.accept(SECOND, 4);
    assert_eq!(parts.send(SECOND), [0; 0], "the service asked for a pause");
    parts.release_due_retries(8 * SECOND);
    assert_eq!(parts.send(8 * SECOND), [1]);
}

#[test]
fn connections_are_idle_that_neither_a_part_in_flight_nor_a_refused_or_queued_one_has() {
    let mut parts = Parts::risen(auto(), &[100; 4]);
    parts.refuse(4, true, 60 * SECOND);
    parts.read(&[100; 2]);
    // Three in flight, one refused, two queued, of eight.
    assert_eq!(parts.idle_connections(), 2);
    // There are none to feed at the start, where the number is fixed, and while the service refuses requests.
    assert_eq!(Parts::with_auto(auto()).idle_connections(), 0);
    assert_eq!(Parts::continuing(8, Vec::new()).idle_connections(), 0);
    let mut parts = Parts::refused();
    parts.sample(4 * SECOND, 0);
    for number in 1..=3 {
        parts.accept(4 * SECOND, number);
    }
    assert_eq!((parts.in_flight(), parts.window, parts.idle_connections()), (3, 6, 0));
}

#[test]
fn the_queue_is_cut_for_the_connections_that_are_left_after_repeated_parts() {
    let mut parts = Parts::risen(auto(), &[100; 5]);
    parts.refuse(1, false, 60 * SECOND);
    for number in [2, 3] {
        parts.retry_at(nth(number), 3 * SECOND);
    }
    parts.release_due_retries(3 * SECOND);
    assert_eq!(split(&parts), None, "nothing is left to cut");
    parts.read(&[100]);
    // Two in flight, one refused, two repeated, of eight.
    assert_eq!(split(&parts), Some((6, vec![33, 33, 34])));
}

#[test]
fn the_queue_is_cut_only_as_far_as_part_numbers_are_set_aside_for_it() {
    let queue = |config| {
        let mut parts = Parts::risen(config, &[100; 4]);
        parts.read(&[100]);
        split(&parts)
    };
    let even = |pieces: u64| Some((5, vec![100 / pieces; pieces as usize]));
    assert_eq!(queue(auto()), even(4));
    assert_eq!(queue(AutoConfig { split_numbers: 1, ..auto() }), even(2));
    assert_eq!(queue(AutoConfig { split_numbers: 0, ..auto() }), None);
    assert_eq!(queue(AutoConfig { split_until: 5, ..auto() }), even(4));
    assert_eq!(queue(AutoConfig { split_until: 4, ..auto() }), None);
    // No piece is smaller than the smallest.
    assert_eq!(queue(AutoConfig { min_piece: 50, ..auto() }), even(2));
}

/// Replaces the parts from `first` on, as a driver does that cuts them.
fn cut(parts: &mut Parts, first: u32, sizes: &[u64]) {
    parts.start_queue_split(nth(first), sizes.len());
    assert_eq!(split(parts), None, "the queue is being cut already");
    let digests = sizes.iter().map(|size| PartDigest { size: *size, crc32: 0, value: None });
    parts.replace_tail(nth(first), digests.collect(), Algorithm::None.buffer_crc()).unwrap();
}

#[test]
fn the_queue_is_cut_once_for_each_rise_and_the_numbers_that_it_adds_are_counted() {
    let mut parts = Parts::risen(AutoConfig { split_numbers: 3, ..auto() }, &[100; 6]);
    parts.read(&[90, 90]);
    assert_eq!(split(&parts), None, "there are as many parts as connections");
    parts.accept(2 * SECOND, 1);
    assert_eq!(split(&parts), Some((7, vec![60; 3])));
    cut(&mut parts, 7, &[60; 3]);
    assert_eq!(parts.send(2 * SECOND), [7, 8, 9]);
    // Without another rise the next part stays whole.
    assert_eq!(parts.sample(2500 * MS, 0), None);
    parts.accept(3 * SECOND, 2);
    parts.accept(3 * SECOND, 3);
    parts.read(&[90]);
    assert_eq!(split(&parts), None);
    // After one, two of the three numbers are left.
    assert_eq!(parts.sample(5 * SECOND, 1_000_000_000), Some((8, 16)));
    assert_eq!(split(&parts), Some((10, vec![30; 3])));
}

#[test]
fn the_queue_stays_whole_once_the_first_four_connections_are_back() {
    let mut parts = Parts::risen(auto(), &[100; 8]);
    assert_eq!(parts.sample(2500 * MS, 0), None);
    for number in 3..=8 {
        parts.accept(3 * SECOND, number);
    }
    parts.read(&[100]);
    assert!(split(&parts).is_some());
    // Eight connections carry no more than four.
    assert_eq!(parts.sample(5 * SECOND, 0), Some((8, 4)));
    assert_eq!(split(&parts), None);
}

const RISE: ConnectionChange = ConnectionChange { from: 8, to: 16, first_refusal: false };

/// Eight parts of 100 bytes, of which each connection sends one byte a second.
fn recall(config: AutoConfig, change: ConnectionChange) -> Option<u32> {
    let mut parts = Parts::risen(config, &[100; 8]);
    parts.start_recall(10 * SECOND, 80, change).map(PartNumber::get)
}

#[test]
fn parts_are_recalled_from_the_first_that_leaves_too_little_memory_for_the_others() {
    // Three parts and 14 pieces of 10 bytes: 16 connections send one each, and one is read.
    for (memory, first) in [
        (440, Some(4)),
        (439, Some(3)),
        (260, Some(2)),
        (259, Some(1)),
        (889, Some(8)),
        (890, None),
    ] {
        assert_eq!(recall(AutoConfig { memory, ..auto() }, RISE), first, "{memory} bytes");
    }
}

#[test]
fn parts_are_recalled_only_for_more_than_the_first_rise_and_where_numbers_are_left() {
    let config = AutoConfig { memory: 440, ..auto() };
    let change = |from, to| ConnectionChange { from, to, ..RISE };
    assert_eq!(recall(config, RISE), Some(4));
    for (from, to) in [(8, 6), (8, 8), (4, 8)] {
        assert_eq!(recall(config, change(from, to)), None, "from {from} to {to}");
    }
    assert_eq!(recall(AutoConfig { split_until: 8, ..config }, RISE), Some(4));
    assert_eq!(recall(AutoConfig { split_until: 9, ..config }, RISE), Some(4));
    assert_eq!(recall(AutoConfig { split_until: 7, ..config }, RISE), None);
    assert_eq!(recall(AutoConfig { split_numbers: 0, ..config }, RISE), None);
    // While the queue is cut, and a second time.
    let mut parts = Parts::risen(config, &[100; 9]);
    parts.start_queue_split(nth(9), 2);
    assert_eq!(parts.start_recall(10 * SECOND, 80, RISE), None);
    let mut parts = Parts::risen(config, &[100; 8]);
    assert!(parts.start_recall(10 * SECOND, 80, RISE).is_some());
    parts.on_recalled(None);
    assert_eq!(parts.start_recall(20 * SECOND, 160, RISE), None);
}

#[test]
fn parts_that_end_within_ten_seconds_are_waited_for() {
    // Two bytes a second and connection, since 2 s: after 50 s each part has sent 96 bytes.
    for (size, recalled) in [(117, Some(4)), (116, None), (100, None)] {
        let config = AutoConfig { memory: 3 * size + 140, ..auto() };
        let mut parts = Parts::risen(config, &[size; 8]);
        let first = parts.start_recall(50 * SECOND, 800, RISE);
        assert_eq!(first.map(PartNumber::get), recalled, "{size} bytes");
    }
}

#[test]
fn a_held_part_of_other_bytes_is_sent_before_those_behind_it() {
    let held = |md5: Option<&str>| ListedPart {
        part_number: nth(1),
        etag: "e".to_owned(),
        size: 100,
        md5: md5.map(str::to_owned),
    };
    let mut parts = Parts::continuing(1, vec![held(Some("other"))]);
    parts.read(&[100, 100, 100, 100]);
    assert_eq!(parts.send(SECOND), [2]);
    let digest = parts.digest(nth(1)).cloned().unwrap();
    let md5 = crate::digest::md5_of(&[]);
    assert_eq!(parts.rehashed(nth(1), &digest, &md5).unwrap(), RehashResult::NotHeld);
    for (accepted, next) in [(2, 1), (1, 3), (3, 4)] {
        parts.accept(SECOND, accepted);
        assert_eq!(parts.send(SECOND), [next]);
    }
    // Without an MD5 or with another size, nothing shows that the service holds it.
    for (held, size) in [(held(None), 100), (held(Some("other")), 99)] {
        let mut parts = Parts::continuing(1, vec![held]);
        let digest = PartDigest { size, crc32: 0, value: None };
        assert!(!parts.add(nth(1), digest), "no MD5 is needed");
        assert_eq!(parts.send(SECOND), [1]);
    }
}

#[test]
fn a_tail_of_another_size_ends_the_run_though_its_crc_is_the_same() {
    let replace = |sizes: &[u64]| {
        let mut parts = Parts::continuing(1, Vec::new());
        parts.read(&[100, 100]);
        let digest = |size: &u64| PartDigest { size: *size, crc32: 0, value: None };
        let digests = sizes.iter().map(digest).collect();
        parts.replace_tail(nth(2), digests, Algorithm::None.buffer_crc())
    };
    // Zeros of any length can have the CRC 0 in this test.
    assert!(replace(&[40, 60]).is_ok());
    assert!(replace(&[40, 61]).unwrap_err().to_string().contains("changed in memory"));
}
