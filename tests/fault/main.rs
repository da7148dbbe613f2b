//! Faults of the network and of the service, and the expected result of each: the complete object
//! and exit 0, or no object and the exit code of the cause, and in both cases no open upload.

#![allow(clippy::unwrap_used)]

#[path = "../common/mod.rs"]
mod common;

mod outcomes;

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
