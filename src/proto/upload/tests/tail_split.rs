//! The end of a stream, shared among connections, and the end of one that is short.

use super::scripted::{ScriptedRun, abort};
use super::*;

const PART: usize = 16;

/// Parts of 16 bytes on two connections that carry a byte a second, the first two on their way, the
/// third read and the last.
fn run() -> ScriptedRun {
    let mut run = ScriptedRun::new(UploadConfig {
        tail_split: TailRule { min_piece: 4, min_saving: 2 * SECOND, max_part_number: 10_000 },
        ..settings(1, 2)
    });
    read(&mut run, 1);
    run.tell(Event::MultipartNeeded);
    run.ok(ApiCall::Create, Outcome::Created { upload_id: "u".to_owned() });
    read(&mut run, 2);
    run.tell(Event::LastPartNext);
    read(&mut run, 3);
    assert_eq!(run.calls, [ApiCall::Create, ApiCall::Part(1), ApiCall::Part(2)]);
    run
}

fn bytes(length: usize) -> Bytes {
    Bytes::from(vec![7; length])
}

fn digest_of(length: usize) -> PartDigest {
    digest::part(Algorithm::Sha256, &[bytes(length)])
}

fn read(run: &mut ScriptedRun, number: u32) {
    run.tell(Event::Part { number, digest: digest_of(PART) });
}

fn acknowledge(run: &mut ScriptedRun, number: u32, length: usize) {
    let held = held(&format!("e{number}"), &bytes(length), false);
    let crc32 = crc32fast::hash(&bytes(length));
    run.ok(ApiCall::Part(number), Outcome::Stored { meta: held, crc32 });
}

fn end(run: &mut ScriptedRun) {
    let crc32 = crc32fast::hash(&bytes(3 * PART));
    run.tell(Event::EndOfStream { bytes: 3 * PART as u64, crc32 });
}

#[test]
fn the_last_part_is_shared_when_a_connection_is_free_for_it() {
    let mut run = run();
    run.now += 14 * SECOND;
    // The second part will take two more seconds.
    acknowledge(&mut run, 1, PART);
    let (first, sizes) = run.cut.take().expect("nothing was cut");
    assert_eq!((first, sizes.iter().sum::<u64>(), sizes.len()), (3, 16, 2));
    assert_eq!(run.calls.len(), 3, "what is being cut is not sent");
    end(&mut run);
    let digests = sizes.iter().map(|size| digest_of(*size as usize)).collect();
    run.tell(Event::TailSplit { first, digests });
    assert_eq!(run.last(), &ApiCall::Part(3));
    acknowledge(&mut run, 2, PART);
    assert_eq!(run.last(), &ApiCall::Part(4));
    acknowledge(&mut run, 3, sizes[0] as usize);
    acknowledge(&mut run, 4, sizes[1] as usize);
    assert_eq!(run.last(), &ApiCall::Commit);
    assert_eq!(run.upload.commit_parts().count(), 4);
}

#[test]
fn what_was_cut_is_not_cut_again() {
    let mut run = run();
    run.now += 14 * SECOND;
    acknowledge(&mut run, 1, PART);
    let (first, sizes) = run.cut.take().unwrap();
    let digests = sizes.iter().map(|size| digest_of(*size as usize)).collect();
    run.tell(Event::TailSplit { first, digests });
    // The first piece seems to be done, and the second could be halved.
    run.upload.core.config.tail_split =
        TailRule { min_piece: 1, min_saving: SECOND, max_part_number: 10_000 };
    run.now += 20 * SECOND;
    acknowledge(&mut run, 2, PART);
    assert_eq!((run.last(), &run.cut), (&ApiCall::Part(4), &None));
}

#[test]
fn nothing_is_cut_before_the_end_of_the_stream_is_known() {
    let mut run = ScriptedRun::new(UploadConfig { ..settings(1, 2) });
    read(&mut run, 1);
    run.tell(Event::MultipartNeeded);
    run.ok(ApiCall::Create, Outcome::Created { upload_id: "u".to_owned() });
    read(&mut run, 2);
    read(&mut run, 3);
    run.now += 16 * SECOND;
    acknowledge(&mut run, 1, PART);
    assert_eq!((run.last(), &run.cut), (&ApiCall::Part(3), &None));
}

#[test]
fn other_bytes_in_the_place_of_those_that_were_cut_end_the_run() {
    let mut run = run();
    run.now += 14 * SECOND;
    acknowledge(&mut run, 1, PART);
    let (first, _) = run.cut.take().unwrap();
    let other = digest::part(Algorithm::Sha256, &[Bytes::from(vec![8; PART])]);
    run.tell(Event::TailSplit { first, digests: vec![other] });
    run.ok(abort(), Outcome::Removed);
    assert_eq!(run.kind(), ErrorKind::Integrity);
}

#[test]
fn the_end_is_cut_in_many_of_the_random_runs() {
    let mut cuts = 0;
    for seed in 0..200 {
        let mut world = Harness::new(seed, 3 + seed as usize % 6, NO_FAULTS);
        world.read(world.end());
        let result = world.run();
        world.judge(seed, &result);
        assert!(result.is_ok());
        cuts += world.cuts;
    }
    assert!(cuts > 20, "{cuts}");
}

#[test]
fn what_fits_no_header_is_sent_as_a_multipart_upload_however_short_the_stream() {
    let mut run = ScriptedRun::new(UploadConfig { always_multipart: true, ..settings(1, 2) });
    let body = Bytes::from(vec![7; PART]);
    read(&mut run, 1);
    run.tell(Event::EndOfStream { bytes: PART as u64, crc32: crc32fast::hash(&body) });
    assert_eq!(run.calls, [ApiCall::Create]);
    run.ok(ApiCall::Create, Outcome::Created { upload_id: "u".to_owned() });
    acknowledge(&mut run, 1, PART);
    assert_eq!(run.calls, [ApiCall::Create, ApiCall::Part(1), ApiCall::Commit]);
    let empty = UploadConfig { always_multipart: true, allow_empty: true, ..settings(1, 2) };
    let mut run = ScriptedRun::new(empty);
    run.tell(Event::EndOfStream { bytes: 0, crc32: 0 });
    assert_eq!(
        run.calls,
        [ApiCall::Put],
        "a part of no bytes is nothing the service is known to take"
    );
}
