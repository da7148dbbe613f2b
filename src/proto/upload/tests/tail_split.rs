//! Tests of the tail split, and of streams of one part that are sent as a multipart upload.

use super::scripted::{ScriptedRun, abort};
use super::*;

const PART: usize = 16;

/// A run with parts of 16 bytes on two connections of one byte a second: the first two parts are in
/// flight, and the third and last one is read.
fn last_part_waiting() -> ScriptedRun {
    let mut run = ScriptedRun::new(UploadConfig {
        tail_split: TailRule {
            min_piece: 4,
            unit: 1,
            min_saving: 2 * SECOND,
            max_part_number: 10_000,
        },
        ..test_config(1, 2)
    });
    read_part(&mut run, 1);
    run.handle_event(Event::MultipartNeeded);
    run.succeed(ApiCall::Create, Outcome::Created { upload_id: "u".to_owned() });
    read_part(&mut run, 2);
    run.handle_event(Event::LastPartNext);
    read_part(&mut run, 3);
    assert_eq!(run.calls, [ApiCall::Create, ApiCall::Part(nth(1)), ApiCall::Part(nth(2))]);
    run
}

fn bytes(size: usize) -> Bytes {
    Bytes::from(vec![7; size])
}

fn digest_of(size: usize) -> PartDigest {
    digest::part(Algorithm::Sha256, &[bytes(size)])
}

fn read_part(run: &mut ScriptedRun, number: u32) {
    run.handle_event(Event::Part { number: nth(number), digest: digest_of(PART) });
}

fn acknowledge(run: &mut ScriptedRun, number: u32, size: usize) {
    let meta = response_meta(&format!("e{number}"), &bytes(size));
    let crc32 = crc32fast::hash(&bytes(size));
    run.succeed(ApiCall::Part(nth(number)), Outcome::Stored { meta, crc32 });
}

fn end_stream(run: &mut ScriptedRun) {
    let crc32 = crc32fast::hash(&bytes(3 * PART));
    run.handle_event(Event::EndOfStream { bytes: 3 * PART as u64, crc32 });
}

#[test]
fn the_last_part_is_split_when_a_connection_is_idle() {
    let mut run = last_part_waiting();
    run.now += 14 * SECOND;
    // The second part takes two more seconds.
    acknowledge(&mut run, 1, PART);
    let (first, sizes) = run.tail_split.take().expect("the tail is split");
    assert_eq!((first, sizes.iter().sum::<u64>(), sizes.len()), (3, 16, 2));
    assert_eq!(run.calls.len(), 3, "a part that is being split is not sent");
    end_stream(&mut run);
    let digests = sizes.iter().map(|size| digest_of(*size as usize)).collect();
    run.handle_event(Event::TailSplit { first: nth(first), digests });
    assert_eq!(run.last_call(), &ApiCall::Part(nth(3)));
    acknowledge(&mut run, 2, PART);
    assert_eq!(run.last_call(), &ApiCall::Part(nth(4)));
    acknowledge(&mut run, 3, sizes[0] as usize);
    acknowledge(&mut run, 4, sizes[1] as usize);
    assert_eq!(run.last_call(), &ApiCall::Commit);
    assert_eq!(run.upload.commit_parts().count(), 4);
}

#[test]
fn a_tail_has_no_more_pieces_than_there_are_part_numbers() {
    for (max_part_number, pieces) in [(3, None), (4, Some(2)), (5, Some(2))] {
        let mut run = last_part_waiting();
        run.upload.core.config.tail_split.max_part_number = max_part_number;
        run.now += 14 * SECOND;
        acknowledge(&mut run, 1, PART);
        let split = run.tail_split.take().map(|(_, sizes)| sizes.len());
        assert_eq!(split, pieces, "up to part {max_part_number}");
    }
}

#[test]
fn a_split_tail_is_not_split_again() {
    let mut run = last_part_waiting();
    run.now += 14 * SECOND;
    acknowledge(&mut run, 1, PART);
    let (first, sizes) = run.tail_split.take().unwrap();
    let digests = sizes.iter().map(|size| digest_of(*size as usize)).collect();
    run.handle_event(Event::TailSplit { first: nth(first), digests });
    // By time, the first piece is sent, so the second one could be split.
    run.upload.core.config.tail_split =
        TailRule { min_piece: 1, unit: 1, min_saving: SECOND, max_part_number: 10_000 };
    run.now += 20 * SECOND;
    acknowledge(&mut run, 2, PART);
    assert_eq!((run.last_call(), &run.tail_split), (&ApiCall::Part(nth(4)), &None));
}

#[test]
fn no_part_is_split_before_the_end_of_the_stream_is_known() {
    let mut run = ScriptedRun::new(test_config(1, 2));
    read_part(&mut run, 1);
    run.handle_event(Event::MultipartNeeded);
    run.succeed(ApiCall::Create, Outcome::Created { upload_id: "u".to_owned() });
    read_part(&mut run, 2);
    read_part(&mut run, 3);
    run.now += 16 * SECOND;
    acknowledge(&mut run, 1, PART);
    assert_eq!((run.last_call(), &run.tail_split), (&ApiCall::Part(nth(3)), &None));
}

#[test]
fn split_parts_with_other_bytes_end_the_run() {
    let mut run = last_part_waiting();
    run.now += 14 * SECOND;
    acknowledge(&mut run, 1, PART);
    let (first, _) = run.tail_split.take().unwrap();
    let other = digest::part(Algorithm::Sha256, &[Bytes::from(vec![8; PART])]);
    run.handle_event(Event::TailSplit { first: nth(first), digests: vec![other] });
    run.succeed(abort(), Outcome::Removed);
    assert_eq!(run.error_kind(), ErrorKind::Integrity);
}

#[test]
fn the_tail_is_split_in_many_of_the_random_runs() {
    let mut splits = 0;
    for seed in 0..200 {
        let mut harness = Harness::new(seed, 3 + seed as usize % 6, NO_FAULTS);
        harness.schedule_stream(harness.end_of_stream());
        let result = harness.run();
        harness.check_result(seed, &result);
        assert!(result.is_ok());
        splits += harness.tail_splits;
    }
    assert!(splits > 20, "{splits}");
}

#[test]
fn a_stream_of_one_part_is_a_multipart_upload_if_that_is_configured() {
    let mut run = ScriptedRun::new(UploadConfig { always_multipart: true, ..test_config(1, 2) });
    let body = Bytes::from(vec![7; PART]);
    read_part(&mut run, 1);
    run.handle_event(Event::EndOfStream { bytes: PART as u64, crc32: crc32fast::hash(&body) });
    assert_eq!(run.calls, [ApiCall::Create]);
    run.succeed(ApiCall::Create, Outcome::Created { upload_id: "u".to_owned() });
    acknowledge(&mut run, 1, PART);
    assert_eq!(run.calls, [ApiCall::Create, ApiCall::Part(nth(1)), ApiCall::Commit]);
    let empty = UploadConfig { always_multipart: true, allow_empty: true, ..test_config(1, 2) };
    let mut run = ScriptedRun::new(empty);
    run.handle_event(Event::EndOfStream { bytes: 0, crc32: 0 });
    assert_eq!(run.calls, [], "neither an upload without a part nor headers that are not ASCII");
    assert_eq!(run.error_kind(), ErrorKind::Usage);
}
