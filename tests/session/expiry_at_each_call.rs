//! A token that expires, or is rejected, exactly at one of the calls: the result is the same.

use emulator::Operation::{
    self, AbortMultipartUpload, CommitMultipartUpload, CreateMultipartUpload, HeadObject,
    ListMultipartUploadParts, PutObject, UploadPart,
};
use emulator::fault::{Fault, FaultPlan, FaultRule, Trigger};

use crate::common::run::Done;
use crate::common::stream::{PART, assert_same, ramp};
use crate::fixture::Fixture;
use crate::together;

together!(a_token_that_expires_or_is_rejected_at_any_call_changes_nothing {
    it_expires_at_create: expires_at(CreateMultipartUpload, LONG);
    it_expires_at_a_part: expires_at(UploadPart, LONG);
    it_expires_at_the_commit: expires_at(CommitMultipartUpload, LONG);
    it_expires_at_put: expires_at(PutObject, SHORT);
    it_expires_at_the_list_of_parts: expires_at(ListMultipartUploadParts, LONG);
    it_expires_at_head: expires_at(HeadObject, LONG);
    it_expires_at_the_abort: abort(expire());
    it_is_rejected_at_create: is_rejected_at(CreateMultipartUpload, LONG);
    it_is_rejected_at_a_part: is_rejected_at(UploadPart, LONG);
    it_is_rejected_at_the_commit: is_rejected_at(CommitMultipartUpload, LONG);
    it_is_rejected_at_put: is_rejected_at(PutObject, SHORT);
    it_is_rejected_at_the_list_of_parts: is_rejected_at(ListMultipartUploadParts, LONG);
    it_is_rejected_at_head: is_rejected_at(HeadObject, LONG);
    it_is_rejected_at_the_abort: abort(Fault::DistrustToken);
});

const LONG: usize = 2 * PART + 17;
const SHORT: usize = 1234;
/// Lifetime of a token in seconds. The clock moves by more, but by less than the allowed clock
/// skew.
const LIFE: u64 = 200;

fn expire() -> Fault {
    Fault::MoveClock(250)
}

/// A store with `action` at an operation, and with the faults that lead to that operation.
fn fixture_with(operation: Operation, action: Fault) -> Fixture {
    // The first HeadObject is part of the preflight.
    let attempt = if operation == HeadObject { 2 } else { 1 };
    let mut plan =
        FaultPlan::new().with(FaultRule::on(operation, action).when(Trigger::Request(attempt)));
    match operation {
        // A part that takes effect late causes a rejected commit, and then a list of the parts.
        ListMultipartUploadParts => {
            let late = Fault::LateLanding { after: None };
            plan = plan.with(FaultRule::on(UploadPart, late).part(2).when(Trigger::Attempt(1)));
        }
        // A commit whose response was lost causes a HeadObject.
        HeadObject => {
            let lost = FaultRule::on(CommitMultipartUpload, Fault::LoseAnswer);
            plan = plan.with(lost.when(Trigger::Request(1)));
        }
        _ => {}
    }
    Fixture::with(LIFE, |options| options.faults = plan)
}

#[track_caller]
fn assert_stored(fixture: &Fixture, operation: Operation, length: usize, done: &Done) {
    assert_same(&fixture.store.object("x").unwrap(), &ramp(length));
    fixture.store.assert_no_open_upload();
    let requests = fixture.store.requests_of(operation);
    assert!(requests.iter().any(|record| record.status == 401), "{}", done.stderr);
    fixture.assert_max_401s(1, done);
}

/// The token expires at that call, and only a new login helps. 401s allowed: one.
fn expires_at(operation: Operation, length: usize) {
    let fixture = fixture_with(operation, expire());
    // One part at a time, because parallel ones would be rejected too.
    let run = fixture.put().args("--parallel-upload-count 1 --debug").stdin(ramp(length)).start();
    fixture.wait_for_401s(1);
    fixture.log_in();
    fixture.copy_token();
    assert_stored(&fixture, operation, length, &run.wait().exits(0));
}

/// The token is rejected from that call on, and a refresh helps. 401s allowed: one.
fn is_rejected_at(operation: Operation, length: usize) {
    let fixture = fixture_with(operation, Fault::DistrustToken);
    let run = fixture.put().args("--parallel-upload-count 1 --debug").stdin(ramp(length));
    assert_stored(&fixture, operation, length, &run.run().exits(0));
}

/// 401s allowed: one.
fn abort(action: Fault) {
    let needs_login = matches!(action, Fault::MoveClock(_));
    let fixture = fixture_with(AbortMultipartUpload, action);
    let run = fixture.put().args("--min-size 1GiB --debug").stdin(ramp(LONG)).start();
    if needs_login {
        fixture.wait_for_401s(1);
        fixture.log_in();
        fixture.copy_token();
    }
    let done = run.wait().fails(5).stderr_has(&["--min-size"]);
    fixture.store.assert_not_stored("x");
    fixture.assert_max_401s(1, &done);
}
