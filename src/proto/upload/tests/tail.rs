//! The end of a stream, shared among connections, and the end of one that is short.

use super::story::Story;
use super::*;

const PART: usize = 16;

/// Parts of 16 bytes on two connections that carry a byte a second, the first two on their way, the
/// third read and the last.
fn story() -> Story {
    let mut story = Story::new(UploadConfig {
        tail_split: TailRule { min_piece: 4, min_saving: 2 * SECOND, max_part_number: 10_000 },
        ..settings(1, 2)
    });
    read(&mut story, 1);
    story.tell(Event::MultipartNeeded);
    story.ok(ApiCall::Create, Outcome::Created { upload_id: "u".to_owned() });
    read(&mut story, 2);
    story.tell(Event::LastPartNext);
    read(&mut story, 3);
    assert_eq!(story.calls, [ApiCall::Create, ApiCall::Part(1), ApiCall::Part(2)]);
    story
}

fn bytes(length: usize) -> Bytes {
    Bytes::from(vec![7; length])
}

fn digest_of(length: usize) -> PartDigest {
    digest::part(Algorithm::Sha256, &[bytes(length)])
}

fn read(story: &mut Story, number: u32) {
    story.tell(Event::Part { number, digest: digest_of(PART) });
}

fn acknowledge(story: &mut Story, number: u32, length: usize) {
    let held = held(&format!("e{number}"), &bytes(length), false);
    let crc32 = crc32fast::hash(&bytes(length));
    story.ok(ApiCall::Part(number), Outcome::Stored { held, crc32 });
}

fn end(story: &mut Story) {
    let crc32 = crc32fast::hash(&bytes(3 * PART));
    story.tell(Event::EndOfStream { bytes: 3 * PART as u64, crc32 });
}

#[test]
fn the_last_part_is_shared_when_a_connection_is_free_for_it() {
    let mut story = story();
    story.now += 14 * SECOND;
    // The second part will take two more seconds.
    acknowledge(&mut story, 1, PART);
    let (first, sizes) = story.cut.take().expect("nothing was cut");
    assert_eq!((first, sizes.iter().sum::<u64>(), sizes.len()), (3, 16, 2));
    assert_eq!(story.calls.len(), 3, "what is being cut is not sent");
    end(&mut story);
    let digests = sizes.iter().map(|size| digest_of(*size as usize)).collect();
    story.tell(Event::TailSplit { first, digests });
    assert_eq!(story.last(), &ApiCall::Part(3));
    acknowledge(&mut story, 2, PART);
    assert_eq!(story.last(), &ApiCall::Part(4));
    acknowledge(&mut story, 3, sizes[0] as usize);
    acknowledge(&mut story, 4, sizes[1] as usize);
    assert_eq!(story.last(), &ApiCall::Commit);
    assert_eq!(story.upload.commit_parts().count(), 4);
}

#[test]
fn what_was_cut_is_not_cut_again() {
    let mut story = story();
    story.now += 14 * SECOND;
    acknowledge(&mut story, 1, PART);
    let (first, sizes) = story.cut.take().unwrap();
    let digests = sizes.iter().map(|size| digest_of(*size as usize)).collect();
    story.tell(Event::TailSplit { first, digests });
    // The first piece seems to be done, and the second could be halved.
    story.upload.config.tail_split =
        TailRule { min_piece: 1, min_saving: SECOND, max_part_number: 10_000 };
    story.now += 20 * SECOND;
    acknowledge(&mut story, 2, PART);
    assert_eq!((story.last(), &story.cut), (&ApiCall::Part(4), &None));
}

#[test]
fn nothing_is_cut_before_the_end_of_the_stream_is_known() {
    let mut story = Story::new(UploadConfig { ..settings(1, 2) });
    read(&mut story, 1);
    story.tell(Event::MultipartNeeded);
    story.ok(ApiCall::Create, Outcome::Created { upload_id: "u".to_owned() });
    read(&mut story, 2);
    read(&mut story, 3);
    story.now += 16 * SECOND;
    acknowledge(&mut story, 1, PART);
    assert_eq!((story.last(), &story.cut), (&ApiCall::Part(3), &None));
}

#[test]
fn other_bytes_in_the_place_of_those_that_were_cut_end_the_run() {
    let mut story = story();
    story.now += 14 * SECOND;
    acknowledge(&mut story, 1, PART);
    let (first, _) = story.cut.take().unwrap();
    let other = digest::part(Algorithm::Sha256, &[Bytes::from(vec![8; PART])]);
    story.tell(Event::TailSplit { first, digests: vec![other] });
    story.ok(ApiCall::Abort, Outcome::Removed);
    assert_eq!(story.kind(), ErrorKind::Integrity);
}

#[test]
fn the_end_is_cut_in_many_of_the_random_runs() {
    let mut cuts = 0;
    for seed in 0..200 {
        let mut world = World::new(seed, 3 + seed as usize % 6, CALM);
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
    let mut story = Story::new(UploadConfig { always_multipart: true, ..settings(1, 2) });
    let body = Bytes::from(vec![7; PART]);
    read(&mut story, 1);
    story.tell(Event::EndOfStream { bytes: PART as u64, crc32: crc32fast::hash(&body) });
    assert_eq!(story.calls, [ApiCall::Create]);
    story.ok(ApiCall::Create, Outcome::Created { upload_id: "u".to_owned() });
    acknowledge(&mut story, 1, PART);
    assert_eq!(story.calls, [ApiCall::Create, ApiCall::Part(1), ApiCall::Commit]);
    let empty = UploadConfig { always_multipart: true, allow_empty: true, ..settings(1, 2) };
    let mut story = Story::new(empty);
    story.tell(Event::EndOfStream { bytes: 0, crc32: 0 });
    assert_eq!(
        story.calls,
        [ApiCall::Put],
        "a part of no bytes is nothing the service is known to take"
    );
}
