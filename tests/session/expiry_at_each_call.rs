//! A token that ends, or is refused, exactly at one of the calls: nothing changes.

use emulator::Operation::{
    self, AbortMultipartUpload, CommitMultipartUpload, CreateMultipartUpload, HeadObject,
    ListMultipartUploadParts, PutObject, UploadPart,
};
use emulator::fault::{Fault, FaultPlan, FaultRule, Trigger};

use crate::common::run::Done;
use crate::common::stream::{PART, assert_same, ramp};
use crate::fixture::Fixture;
use crate::together;

together!(the_moment_at_which_a_token_ends_or_is_refused_makes_no_difference {
    it_ends_at_create: ends_at(CreateMultipartUpload, LONG);
    it_ends_at_a_part: ends_at(UploadPart, LONG);
    it_ends_at_the_commit: ends_at(CommitMultipartUpload, LONG);
    it_ends_at_put: ends_at(PutObject, SHORT);
    it_ends_at_the_list_of_parts: ends_at(ListMultipartUploadParts, LONG);
    it_ends_at_head: ends_at(HeadObject, LONG);
    it_ends_at_the_abort: abort(ends());
    it_is_refused_at_create: is_refused_at(CreateMultipartUpload, LONG);
    it_is_refused_at_a_part: is_refused_at(UploadPart, LONG);
    it_is_refused_at_the_commit: is_refused_at(CommitMultipartUpload, LONG);
    it_is_refused_at_put: is_refused_at(PutObject, SHORT);
    it_is_refused_at_the_list_of_parts: is_refused_at(ListMultipartUploadParts, LONG);
    it_is_refused_at_head: is_refused_at(HeadObject, LONG);
    it_is_refused_at_the_abort: abort(Fault::DistrustToken);
});

const LONG: usize = 2 * PART + 17;
const SHORT: usize = 1234;
/// How long a token lasts. The clock moves further, but not out of what a date may be off by.
const LIFE: u64 = 200;

fn ends() -> Fault {
    Fault::MoveClock(250)
}

/// The action at an operation, and whatever leads to that operation.
fn fixture(operation: Operation, action: Fault) -> Fixture {
    // The first HeadObject is that of the start.
    let attempt = if operation == HeadObject { 2 } else { 1 };
    let mut plan =
        FaultPlan::new().with(FaultRule::on(operation, action).when(Trigger::Request(attempt)));
    match operation {
        // A part that lands late has the commit refused, and the parts listed.
        ListMultipartUploadParts => {
            let late = Fault::LateLanding { after: None };
            plan = plan.with(FaultRule::on(UploadPart, late).part(2).when(Trigger::Attempt(1)));
        }
        // A commit whose answer was lost is asked for.
        HeadObject => {
            let lost = FaultRule::on(CommitMultipartUpload, Fault::LoseAnswer);
            plan = plan.with(lost.when(Trigger::Request(1)));
        }
        _ => {}
    }
    Fixture::with(LIFE, |options| options.faults = plan)
}

#[track_caller]
fn whole(fixture: &Fixture, operation: Operation, length: usize, done: &Done) {
    assert_same(&fixture.store.object("x").unwrap(), &ramp(length));
    fixture.store.assert_no_open_upload();
    let refused = fixture.store.requests_of(operation);
    assert!(refused.iter().any(|record| record.status == 401), "{}", done.stderr);
    fixture.assert_max_401s(1, done);
}

/// The token ends at that moment, and only a new login helps. 401s allowed: one.
fn ends_at(operation: Operation, length: usize) {
    let fixture = fixture(operation, ends());
    // One at a time: parts beside it would be refused as well.
    let run = fixture.put().args("--parallel-upload-count 1 --debug").stdin(ramp(length)).start();
    fixture.wait_for_401s(1);
    fixture.log_in();
    fixture.copy_token();
    whole(&fixture, operation, length, &run.wait().exits(0));
}

/// The token is refused from that moment on, and a refresh helps. 401s allowed: one.
fn is_refused_at(operation: Operation, length: usize) {
    let fixture = fixture(operation, Fault::DistrustToken);
    let run = fixture.put().args("--parallel-upload-count 1 --debug").stdin(ramp(length));
    whole(&fixture, operation, length, &run.run().exits(0));
}

/// 401s allowed: one.
fn abort(action: Fault) {
    let needs_login = matches!(action, Fault::MoveClock(_));
    let fixture = fixture(AbortMultipartUpload, action);
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
