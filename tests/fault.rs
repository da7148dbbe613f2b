//! Faults of the network and of the service, and the expected result of each: the complete object
//! and exit 0, or no object and the exit code of the cause, and in both cases no open upload.

#![allow(clippy::unwrap_used)]

mod common;

use common::run::Done;
use common::store::Store;
use common::stream::{PART, assert_same, ramp};
use emulator::Operation::{
    self, AbortMultipartUpload, CommitMultipartUpload, CreateMultipartUpload, DeleteObject,
    HeadObject, ListMultipartUploadParts, PutObject, UploadPart,
};
use emulator::fault::{Fault, FaultPlan, FaultResponse, FaultRule, Trigger};

/// A stream of three parts, and one of a single request.
const LONG: usize = 2 * PART + 17;
const SHORT: usize = 1234;

fn refuse(status: u16) -> Fault {
    Fault::Refuse(FaultResponse::status(status))
}

fn once(operation: Operation, action: Fault) -> FaultRule {
    FaultRule::on(operation, action).when(Trigger::Request(1))
}

/// A fault of the first attempt at each part.
fn first(action: Fault) -> FaultRule {
    FaultRule::on(UploadPart, action).when(Trigger::First(1))
}

fn put(store: &Store, length: usize, options: &str) -> Done {
    store.put("x").args(options).stdin(ramp(length)).run()
}

/// Asserts that with these faults the stream is stored.
#[track_caller]
fn survives(
    length: usize,
    options: &str,
    rules: impl IntoIterator<Item = FaultRule>,
) -> (Store, Done) {
    let store = Store::failing(rules);
    let done = put(&store, length, options).exits(0);
    assert_same(&store.object("x").unwrap(), &ramp(length));
    assert_eq!(done.receipt()["size"], length);
    let injected = store.requests().iter().filter(|record| record.fault.is_some()).count();
    assert!(injected > 0, "the fault was not injected");
    (store, done)
}

#[track_caller]
fn survives_cleanly(length: usize, options: &str, rules: impl IntoIterator<Item = FaultRule>) {
    let (store, _) = survives(length, options, rules);
    store.assert_no_open_upload();
}

/// Asserts that these faults end the run with this code, without an object or an open upload.
#[track_caller]
fn fails(
    length: usize,
    options: &str,
    code: i32,
    rules: impl IntoIterator<Item = FaultRule>,
) -> Done {
    let store = Store::failing(rules);
    let done = put(&store, length, options).fails(code);
    store.assert_not_stored("x");
    done
}

/// Asserts exit 7 for a committed object that differs from what was read, and that the etag is
/// named.
#[track_caller]
fn mismatches(length: usize, rules: impl IntoIterator<Item = FaultRule> + Clone) {
    let store = Store::failing(rules.clone());
    let done =
        put(&store, length, "").fails(7).stderr_has(&["was committed", "--delete-on-mismatch"]);
    let etag = store.object_record("x")["etag"].as_str().unwrap().to_owned();
    done.stderr_has(&[&etag]);
    store.assert_no_open_upload();
    let store = Store::failing(rules);
    put(&store, length, "--delete-on-mismatch").fails(7).stderr_has(&["was deleted"]);
    store.assert_not_stored("x");
}

/// The rows of the table: the name of a test, and its body.
macro_rules! rows {
    ($($name:ident: $body:expr;)*) => { $(#[test] fn $name() { $body; })* };
}

rows! {
    parts_refused_for_a_while: survives_cleanly(LONG, "", [
        FaultRule::on(UploadPart, refuse(503)).when(Trigger::First(2))]);
    parts_throttled: survives_cleanly(LONG, "", [
        first(Fault::Refuse(FaultResponse::status(429).retry_after("1")))]);
    parts_with_an_internal_error_of_the_service: survives_cleanly(LONG, "", [first(refuse(500))]);
    a_part_refused_before_its_body_is_read: survives_cleanly(LONG, "", [
        first(Fault::Early(FaultResponse::status(503)))]);
    a_part_refused_and_reset_while_it_is_written: survives_cleanly(LONG, "", [
        first(Fault::EarlyReset(FaultResponse::status(503)))]);
    connections_reset_before_the_body: survives_cleanly(LONG, "", [first(Fault::ResetBeforeBody)]);
    connections_reset_in_the_body: survives_cleanly(LONG, "", [
        first(Fault::ResetInBody(1_000_000))]);
    connections_reset_at_the_last_byte: survives_cleanly(LONG, "", [
        first(Fault::ResetInBody(PART as u64 - 1))]);
    responses_to_parts_lost: survives_cleanly(LONG, "", [first(Fault::LoseAnswer)]);
    responses_to_parts_truncated: survives_cleanly(LONG, "", [first(Fault::Truncate(40))]);
    a_part_that_stalls: survives_cleanly(LONG, "--stall-timeout 1s", [
        first(Fault::StallBody { bytes: 1_000_000, ms: None })]);
    a_response_that_never_arrives: survives_cleanly(LONG, "--stall-timeout 1s", [
        first(Fault::StallAnswer { ms: None })]);
    a_response_that_arrives_late: survives_cleanly(LONG, "", [
        first(Fault::StallAnswer { ms: Some(700) })]);
    garbage_instead_of_http: survives_cleanly(LONG, "", [
        first(Fault::Garbage("\u{0}SSH-2.0-garbage\r\n\r\n".to_owned()))]);
    the_page_of_a_proxy: survives_cleanly(LONG, "", [first(Fault::Html { status: 502 })]);
    the_page_of_a_proxy_that_forbids: survives_cleanly(LONG, "", [
        first(Fault::Html { status: 403 })]);
    the_page_of_a_proxy_as_a_success: survives_cleanly(LONG, "", [first(Fault::Html { status: 200 })]);
    a_spurious_401: survives_cleanly(LONG, "", [
        once(UploadPart, Fault::Refuse(FaultResponse::status(401)))]);
    a_first_attempt_that_takes_effect_after_the_second: survives_cleanly(LONG, "", [
        FaultRule::on(UploadPart, Fault::LateLanding { after: None }).part(2).when(Trigger::Attempt(1))]);
    a_first_attempt_without_a_response_that_takes_effect_after_the_second: survives_cleanly(
        LONG, "--stall-timeout 1s", [FaultRule::on(UploadPart,
            Fault::SilentLateLanding { after: None }).part(2).when(Trigger::Attempt(1))]);
    a_commit_that_takes_effect_after_the_head: survives_cleanly(LONG, "", [
        once(CommitMultipartUpload, Fault::LateLanding { after: Some(HeadObject) })]);
    a_commit_without_a_response_that_takes_effect_after_the_head: survives_cleanly(
        LONG, "--stall-timeout 1s", [once(CommitMultipartUpload,
            Fault::SilentLateLanding { after: Some(HeadObject) })]);
    a_commit_that_takes_effect_after_the_parts_were_listed: survives_cleanly(LONG, "", [
        once(CommitMultipartUpload, Fault::LateLanding { after: Some(ListMultipartUploadParts) })]);
    create_refused: survives_cleanly(LONG, "", [once(CreateMultipartUpload, refuse(503))]);
    create_reset_before_its_body: survives_cleanly(LONG, "", [
        once(CreateMultipartUpload, Fault::ResetBeforeBody)]);
    commit_refused: survives_cleanly(LONG, "", [once(CommitMultipartUpload, refuse(503))]);
    commit_with_an_internal_error: survives_cleanly(LONG, "", [
        once(CommitMultipartUpload, refuse(500))]);
    response_to_commit_lost: survives_cleanly(LONG, "", [
        once(CommitMultipartUpload, Fault::LoseAnswer)]);
    response_to_commit_truncated: survives_cleanly(LONG, "", [
        once(CommitMultipartUpload, Fault::Truncate(60))]);
    response_to_commit_never_arrives: survives_cleanly(LONG, "--stall-timeout 1s", [
        once(CommitMultipartUpload, Fault::StallAnswer { ms: None })]);
    commit_reset_before_its_body: survives_cleanly(LONG, "", [
        once(CommitMultipartUpload, Fault::ResetBeforeBody)]);
    commit_answered_by_a_proxy: survives_cleanly(LONG, "", [
        once(CommitMultipartUpload, Fault::Html { status: 504 })]);
    commit_answered_by_the_page_of_a_proxy_as_a_success: survives_cleanly(LONG, "", [
        once(CommitMultipartUpload, Fault::Html { status: 200 }),
        FaultRule::on(HeadObject, Fault::Html { status: 200 }).when(Trigger::Attempt(2))]);
    commit_answered_by_the_page_of_a_proxy_every_time: drop(fails(LONG, "--retry-for 2s", 4, [
        FaultRule::on(CommitMultipartUpload, Fault::Html { status: 200 })]));
    response_to_commit_lost_and_head_refused_for_a_while: survives_cleanly(LONG, "", [
        once(CommitMultipartUpload, Fault::LoseAnswer),
        FaultRule::on(HeadObject, refuse(503)).when(Trigger::Attempt(2))]);
    put_refused: survives_cleanly(SHORT, "", [once(PutObject, refuse(503))]);
    put_reset: survives_cleanly(SHORT, "", [once(PutObject, Fault::ResetInBody(100))]);
    response_to_put_lost: survives_cleanly(SHORT, "", [once(PutObject, Fault::LoseAnswer)]);
    response_to_put_never_arrives: survives_cleanly(SHORT, "--stall-timeout 1s", [
        once(PutObject, Fault::StallAnswer { ms: None })]);
    a_put_that_takes_effect_after_the_head: survives_cleanly(SHORT, "", [
        once(PutObject, Fault::LateLanding { after: Some(HeadObject) })]);
    put_with_an_internal_error: survives_cleanly(SHORT, "", [once(PutObject, refuse(500))]);

    a_part_damaged_on_the_way_once: survives_cleanly(LONG, "", [
        first(Fault::Refuse(FaultResponse::status(400).code("UnmatchedContentSHA256")))]);
    a_part_damaged_on_the_way_every_time: fails(LONG, "", 7, [FaultRule::on(UploadPart,
        Fault::Refuse(FaultResponse::status(400).code("UnmatchedContentSHA256"))).part(2)]);
    a_bit_flipped_on_the_wire: survives_cleanly(LONG, "", [first(Fault::FlipBit(5))]);
    a_bit_flipped_on_the_wire_under_crc32c: survives_cleanly(LONG, "--checksum crc32c", [
        first(Fault::FlipBit(5_000_000))]);
    a_bit_flipped_on_the_wire_of_a_put: survives_cleanly(SHORT, "--checksum md5", [
        once(PutObject, Fault::FlipBit(SHORT as u64 - 1))]);
    a_bit_flipped_on_the_wire_every_time: fails(LONG, "", 7, [
        FaultRule::on(UploadPart, Fault::FlipBit(1)).part(1)]).stderr_has(&["UnmatchedContentSHA256", "part 1"]);
    a_bit_flipped_on_the_wire_of_a_put_every_time: fails(SHORT, "", 7, [
        FaultRule::on(PutObject, Fault::FlipBit(1))]).stderr_has(&["UnmatchedContentSHA256"]);
    a_wrong_checksum_in_the_response_to_a_part: fails(LONG, "", 7, [
        FaultRule::on(UploadPart, Fault::WrongChecksum).part(2)]);
    a_wrong_checksum_in_the_response_to_a_commit: mismatches(LONG, [
        FaultRule::on(CommitMultipartUpload, Fault::WrongChecksum)]);
    a_wrong_checksum_in_the_response_to_a_put: mismatches(SHORT, [
        FaultRule::on(PutObject, Fault::WrongChecksum)]);
    a_part_corrupted_in_the_store: mismatches(LONG, [
        FaultRule::on(UploadPart, Fault::CorruptPart).part(2)]);
    two_parts_swapped_in_the_store: mismatches(LONG, [
        FaultRule::on(CommitMultipartUpload, Fault::SwapParts(1, 2))]);
    a_part_missing_from_the_object: mismatches(LONG, [
        FaultRule::on(CommitMultipartUpload, Fault::DropPart(2))]);

    a_commit_that_succeeds_and_stores_nothing: fails(LONG, "", 7, [
        FaultRule::on(CommitMultipartUpload, Fault::NothingStored)]).stderr_has(&["not stored", "etag"]);
    a_put_that_succeeds_and_stores_nothing: fails(SHORT, "", 7, [
        FaultRule::on(PutObject, Fault::NothingStored)]).stderr_has(&["not stored", "etag"]);
    a_part_that_the_store_has_lost_by_the_commit: survives_cleanly(LONG, "", [
        once(CommitMultipartUpload, Fault::LosePart(3))]);
    a_part_that_has_become_another_by_the_commit: survives_cleanly(LONG, "", [
        once(CommitMultipartUpload, Fault::AlterPart(3))]);
    an_object_whose_metadata_is_forbidden: survives_cleanly(LONG, "", [
        FaultRule::on(HeadObject, refuse(403))]);
    an_object_that_a_policy_hides: survives_cleanly(LONG, "", [
        FaultRule::on(HeadObject, refuse(404))]);
    a_put_object_that_a_policy_hides: survives_cleanly(SHORT, "", [
        FaultRule::on(HeadObject, refuse(404))]);
    head_refused_for_a_while: survives_cleanly(LONG, "", [
        FaultRule::on(HeadObject, refuse(503)).when(Trigger::Attempt(2))]);

    a_service_that_stays_down: fails(LONG, "--retry-for 2s", 4, [
        FaultRule::on(UploadPart, refuse(503))]).stderr_has(&["503"]);
    a_service_that_stays_down_at_create: fails(LONG, "--retry-for 2s", 4, [
        FaultRule::on(CreateMultipartUpload, refuse(503))]).stderr_has(&["503"]);
    a_service_that_stays_down_at_commit: fails(LONG, "--retry-for 2s", 4, [
        FaultRule::on(CommitMultipartUpload, refuse(503))]).stderr_has(&["503"]);
    a_service_that_stays_down_at_put: fails(SHORT, "--retry-for 2s", 4, [
        FaultRule::on(PutObject, refuse(503))]).stderr_has(&["503"]);
    a_part_that_is_refused_for_good: fails(LONG, "", 4, [
        FaultRule::on(UploadPart, refuse(403)).part(3)]).stderr_has(&["403", "part 3"]);
    a_commit_that_is_refused_for_good: fails(LONG, "", 4, [
        FaultRule::on(CommitMultipartUpload, refuse(403))]).stderr_has(&["403"]);
}

/// The metadata of the previous object cannot be read, and a commit that stores nothing leaves it
/// in place.
#[test]
fn an_older_object_that_may_not_be_looked_at_is_not_taken_for_the_new_one() {
    for status in [403, 404] {
        let hidden = || FaultRule::on(HeadObject, refuse(status));
        for (stores_nothing, by_etag, code) in
            [(true, false, 8), (true, true, 7), (false, false, 0), (false, true, 0)]
        {
            let fault =
                stores_nothing.then(|| FaultRule::on(CommitMultipartUpload, Fault::NothingStored));
            let store = Store::failing([hidden()].into_iter().chain(fault));
            let old = ramp(SHORT / 2);
            let stored = store.put("x").arg("--force").stdin(old.clone()).run().exits(0).receipt();
            let condition = if by_etag {
                format!("--if-match {}", stored["etag"].as_str().unwrap())
            } else {
                "--force".to_owned()
            };
            let done = put(&store, LONG, &condition);
            assert_eq!(done.status.code(), Some(code), "HTTP {status}: {}", done.stderr);
            let expected = if stores_nothing { old } else { ramp(LONG) };
            assert_same(&store.object("x").unwrap(), &expected);
            store.assert_no_open_upload();
        }
    }
}

#[test]
fn checksums_that_the_service_does_not_send_are_no_mismatch() {
    for length in [SHORT, LONG] {
        let without = |operation| FaultRule::on(operation, Fault::MissingChecksum);
        let rules = [UploadPart, CommitMultipartUpload, PutObject, HeadObject].map(without);
        let (store, done) = survives(length, "", rules);
        store.assert_no_open_upload();
        assert_eq!(done.receipt()["verified-by"], "content-length");
    }
}

#[test]
fn a_put_whose_body_never_arrives_is_no_unknown_outcome_even_if_head_fails() {
    let rules = [
        FaultRule::on(PutObject, Fault::StallBody { bytes: 1 << 20, ms: None }),
        FaultRule::on(HeadObject, refuse(503)).when(Trigger::From(2)),
    ];
    let store = Store::failing(rules);
    // Longer than the socket buffers of both sides.
    let options = "put --part-size 64MiB --stall-timeout 1s --retry-for 1s oci://backups/x";
    store.ocipipe(options).stdin(ramp(30 << 20)).run().fails(4).stderr_has(&["no byte moved"]);
    store.assert_not_stored("x");
}

#[test]
fn an_outage_is_reported_once_at_its_start_and_once_at_its_end() {
    let rule = FaultRule::on(UploadPart, refuse(503)).when(Trigger::Requests(4));
    let (_, done) = survives(LONG, "--parallel-upload-count 1", [rule]);
    assert_eq!(done.stderr.matches("503").count(), 1, "{}", done.stderr);
    assert_eq!(done.stderr.matches("goes on").count(), 1, "{}", done.stderr);
    assert_eq!(done.receipt()["retries"], 4);
}

#[test]
fn a_create_whose_answer_was_lost_is_named_and_not_aborted() {
    let (store, done) = survives(LONG, "", [once(CreateMultipartUpload, Fault::LoseAnswer)]);
    let open = store.server().open_uploads();
    assert_eq!(open.len(), 1);
    done.stderr_has(&[&open[0].2, "ocipipe uploads abort"]);
    assert_eq!(store.requests_of(AbortMultipartUpload).len(), 0);
}

#[test]
fn an_upload_that_cannot_be_aborted_is_named_together_with_the_command_that_does_it() {
    let rules = [
        FaultRule::on(UploadPart, refuse(403)).part(3),
        FaultRule::on(AbortMultipartUpload, refuse(503)),
    ];
    let store = Store::failing(rules);
    let done = put(&store, LONG, "").fails(4).within_seconds(30);
    let open = store.server().open_uploads();
    assert_eq!(open.len(), 1);
    let last = done.stderr.trim_end().lines().last().unwrap().to_owned();
    assert!(last.contains(&open[0].2), "{last}");
    let (_, command) = last.split_once("ocipipe ").expect(&last);
    store.server().set_faults(Default::default());
    let words: Vec<&str> = command.split_whitespace().collect();
    store.ocipipe(&words.join(" ")).run().exits(0);
    store.assert_no_open_upload();
}

/// The page of a proxy is no success of a call without a response body, whatever its status.
#[test]
fn an_upload_counts_as_aborted_and_an_object_as_deleted_only_by_a_response_of_the_service() {
    let page = || Fault::Html { status: 200 };
    fails(
        LONG,
        "",
        4,
        [FaultRule::on(UploadPart, refuse(403)).part(3), once(AbortMultipartUpload, page())],
    );
    let store = Store::failing([
        FaultRule::on(UploadPart, refuse(403)).part(3),
        FaultRule::on(AbortMultipartUpload, page()),
    ]);
    let done = put(&store, LONG, "").fails(4);
    let id = store.server().open_uploads()[0].2.clone();
    done.stderr_has(&[&id, "uploads abort"]);
    let abort = "uploads abort --bucket-name backups --all";
    store.server().set_faults(FaultPlan::new().with(once(AbortMultipartUpload, page())));
    store.ocipipe(abort).run().exits(0);
    store.assert_no_open_upload();
    let store = Store::failing([
        FaultRule::on(CommitMultipartUpload, Fault::WrongChecksum),
        once(DeleteObject, page()),
    ]);
    put(&store, LONG, "--delete-on-mismatch").fails(7).stderr_has(&["was deleted"]);
    store.assert_not_stored("x");
}

#[test]
fn an_outcome_that_cannot_be_resolved_is_reported_as_unknown_and_nothing_is_aborted() {
    let rules = [
        once(CommitMultipartUpload, Fault::LoseAnswer),
        FaultRule::on(HeadObject, refuse(503)).when(Trigger::From(2)),
        FaultRule::on(ListMultipartUploadParts, refuse(503)),
    ];
    let store = Store::failing(rules);
    let done = put(&store, LONG, "--retry-for 2s").fails(8);
    done.stderr_has(&["unknown", "oci os object head"]);
    assert_same(&store.object("x").unwrap(), &ramp(LONG));
    assert_eq!(store.requests_of(AbortMultipartUpload).len(), 0);
}

#[test]
fn the_source_is_released_when_the_upload_fails_and_not_only_after_its_abort() {
    let silent = Fault::StallAnswer { ms: None };
    let store = Store::failing([
        FaultRule::on(UploadPart, refuse(403)),
        FaultRule::on(AbortMultipartUpload, silent),
    ]);
    let mut run = store.put("x").stdin_pipe().start();
    let piece = ramp(1 << 16);
    while std::io::Write::write_all(run.stdin.as_mut().unwrap(), &piece).is_ok() {}
    let released = run.age();
    let done = run.wait_with_open_stdin().fails(4).stderr_has(&["uploads abort"]);
    let after = done.took.saturating_sub(released);
    assert!(
        after > std::time::Duration::from_secs(5),
        "the source was released only {after:?} before the end"
    );
}
