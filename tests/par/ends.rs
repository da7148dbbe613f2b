//! Runs that something ends, and answers that are lost: nothing false is reported, and what is left open
//! is named.

use emulator::fault::{Fault, FaultRule, Trigger};
use emulator::{AccessType, NewPar, Operation, ParOptions, ParRefusal};
use rustix::process::Signal;

use crate::common::store::BUCKET;
use crate::common::stream::{PART, assert_same, ramp};
use crate::host::{Host, LONG, SHORT, read_write, write_only};

fn once(operation: Operation, fault: Fault) -> FaultRule {
    FaultRule::on(operation, fault).when(Trigger::Request(1))
}

#[test]
fn a_par_that_ends_in_the_middle_is_exit_3_and_the_open_upload_is_named() {
    let refusals = [
        ParRefusal::NotAuthenticated,
        ParRefusal::BucketNotFound,
        ParRefusal::NotAuthorizedOrNotFound,
    ];
    let ends = [Fault::DeletePars, Fault::MoveClock(7200), Fault::DeletePars];
    for (invalid, end) in refusals.into_iter().zip(ends) {
        let options = ParOptions { invalid, ..ParOptions::default() };
        let rule = FaultRule::on(Operation::UploadPart, end).part(2).when(Trigger::Attempt(1));
        let host = Host::with(write_only(), options, [rule]);
        let done = host.store_stream(LONG, "--retry-for 2s").fails(3);
        let open = host.store.server().open_uploads();
        let [(_, _, id)] = &open[..] else { panic!("{open:?}") };
        let abort = format!("--upload-id {id}");
        done.stderr_has(&[
            "has expired or was deleted",
            "create a new one",
            "ocipipe uploads abort --namespace",
            "a host with credentials aborts it",
            &abort,
        ])
        .stderr_lacks("--resume");
        assert!(host.store.object("x").is_none());
    }
}

#[test]
fn a_par_that_lets_nothing_in_is_exit_3() {
    for (par, invalid) in [
        (NewPar::object(BUCKET, "x").access(AccessType::ObjectRead), ParRefusal::BucketNotFound),
        (write_only().life(std::time::Duration::ZERO), ParRefusal::NotAuthenticated),
        (write_only().life(std::time::Duration::ZERO), ParRefusal::BucketNotFound),
    ] {
        for length in [LONG, SHORT] {
            let host = Host::with(par.clone(), ParOptions { invalid, ..ParOptions::default() }, []);
            let done = host.store_stream(length, "").fails(3).within_seconds(60);
            done.stderr_has(&["has expired or was deleted", "for reading only"]);
            host.store.assert_not_stored("x");
        }
    }
}

#[test]
fn single_refusals_in_the_middle_do_not_end_an_upload() {
    use emulator::fault::FaultResponse;
    for (status, code) in [(401, "NotAuthenticated"), (404, "BucketNotFound")] {
        let refused = || Fault::Refuse(FaultResponse::status(status).code(code));
        let rules = [
            FaultRule::on(Operation::UploadPart, refused()).part(2).when(Trigger::First(2)),
            once(Operation::CommitMultipartUpload, refused()),
        ];
        let host = Host::failing(write_only(), rules);
        let done = host.store_stream(LONG, "").exits(0);
        done.stderr_has(&["may have expired or been deleted, and the service sometimes"]);
        assert_same(&host.store.object("x").unwrap(), &ramp(LONG));
    }
}

#[test]
fn spurious_404s_end_no_upload() {
    for seed in 1..=4 {
        for par in [write_only(), read_write()] {
            let host = Host::failing(par, [FaultRule::spurious(70, seed)]);
            host.store_stream(LONG, "").exits(0);
            assert_same(&host.store.object("x").unwrap(), &ramp(LONG));
        }
    }
}

#[test]
fn a_lost_commit_answer_is_settled_where_the_par_reads_and_else_unknown() {
    let lost = || once(Operation::CommitMultipartUpload, Fault::LoseAnswer);
    let host = Host::failing(read_write(), [lost()]);
    let done = host.store_stream(LONG, "").exits(0);
    assert_eq!(done.receipt()["verified-by"], "opc-multipart-sha256");
    for forget_ended_uploads in [false, true] {
        let options = ParOptions { forget_ended_uploads, ..ParOptions::default() };
        let host = Host::with(write_only(), options, [lost()]);
        let done = host.store_stream(LONG, "--retry-for 5s").fails(8);
        done.stderr_has(&["whether", "is unknown", "oci os object head", "ocipipe uploads abort"]);
        assert_same(&host.store.object("x").unwrap(), &ramp(LONG));
        assert_eq!(host.store.requests_of(Operation::AbortMultipartUpload).len(), 0);
    }
    // A commit that did not arrive is sent again.
    let host = Host::failing(
        write_only(),
        [once(Operation::CommitMultipartUpload, Fault::ResetBeforeBody)],
    );
    host.store_stream(LONG, "").exits(0);
    assert_same(&host.store.object("x").unwrap(), &ramp(LONG));
}

#[test]
fn a_lost_put_answer_is_no_false_success() {
    let lost = || once(Operation::PutObject, Fault::LoseAnswer);
    let host = Host::failing(read_write(), [lost()]);
    host.store_stream(SHORT, "").exits(0);
    let host = Host::failing(write_only(), [lost()]);
    host.store_stream(SHORT, "").fails(8).stderr_has(&["is unknown"]);
    let host = Host::failing(write_only(), [lost()]);
    host.store_stream(SHORT, "--force").exits(0);
}

#[test]
fn a_lost_start_is_repeated_and_told() {
    let host =
        Host::failing(write_only(), [once(Operation::CreateMultipartUpload, Fault::LoseAnswer)]);
    let done = host.store_stream(LONG, "").exits(0);
    done.stderr_has(&["without parts may be open", "`ocipipe uploads list`"]);
    assert_same(&host.store.object("x").unwrap(), &ramp(LONG));
}

#[test]
fn a_part_whose_answer_is_lost_or_that_arrives_late_is_sent_again() {
    for fault in [
        Fault::LoseAnswer,
        Fault::ResetInBody(1000),
        Fault::LateLanding { after: None },
        Fault::LateLanding { after: Some(Operation::CommitMultipartUpload) },
        Fault::FlipBit(77),
        Fault::WrongChecksum,
    ] {
        let rule = FaultRule::on(Operation::UploadPart, fault.clone()).when(Trigger::First(1));
        let host = Host::failing(write_only(), [rule]);
        let done = host.store_stream(LONG, "");
        if fault == Fault::WrongChecksum {
            done.fails(7);
            host.store.assert_not_stored("x");
        } else {
            done.exits(0);
            assert_same(&host.store.object("x").unwrap(), &ramp(LONG));
        }
    }
}

#[test]
fn what_the_service_did_not_store_or_stored_otherwise_is_no_success_where_the_par_reads() {
    for fault in [Fault::NothingStored, Fault::SwapParts(1, 2), Fault::DropPart(2)] {
        let host = Host::failing(read_write(), [once(Operation::CommitMultipartUpload, fault)]);
        host.store_stream(LONG, "").fails(7);
    }
    let host = Host::failing(read_write(), [once(Operation::PutObject, Fault::NothingStored)]);
    host.store_stream(SHORT, "").fails(7);
}

#[test]
fn a_signal_aborts_the_upload() {
    let host = Host::new(write_only());
    let mut run = host.put().stdin_pipe().start();
    run.write(&ramp(2 * PART));
    host.store.wait_for_requests(Operation::UploadPart, 1);
    run.signal(Signal::TERM);
    let done = run.wait_with_open_stdin();
    host.assert_hidden(&done);
    done.fails(143);
    host.store.assert_not_stored("x");
}

#[test]
fn two_uploads_through_one_par_do_not_mix() {
    let host = Host::new(NewPar::bucket(BUCKET).access(AccessType::AnyObjectWrite));
    let starts: Vec<_> = (0..2u8)
        .map(|n| host.put().args("--force --name same").stdin(vec![n; LONG]).start())
        .collect();
    for run in starts {
        run.wait().exits(0);
    }
    let stored = host.store.object("same").unwrap();
    assert!(stored.len() == LONG && stored.iter().all(|byte| *byte == stored[0]));
}
