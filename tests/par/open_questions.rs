//! What was never seen on the wire: each answer that the service could give, one after the other.

use emulator::fault::{Fault, FaultResponse, FaultRule, Trigger};
use emulator::{
    AbortStatus, AccessType, NewPar, Operation, ParConditions, ParOptions, ParRefusal, PartListing,
    SlashForm,
};

use crate::common::store::BUCKET;
use crate::common::stream::{assert_same, ramp};
use crate::host::{Host, LONG, SHORT, read_write, write_only};

fn changed(change: impl FnOnce(&mut ParOptions)) -> ParOptions {
    let mut options = ParOptions::default();
    change(&mut options);
    options
}

/// Every setting that concerns an upload, each alone.
fn each() -> Vec<ParOptions> {
    let refusals = [
        ParRefusal::NotAuthenticated,
        ParRefusal::BucketNotFound,
        ParRefusal::NotAuthorizedOrNotFound,
    ];
    let mut all: Vec<ParOptions> =
        refusals.into_iter().map(|refusal| changed(|o| o.not_allowed = refusal)).collect();
    all.extend([
        changed(|o| o.conditions = ParConditions::Ignored),
        changed(|o| o.conditions = ParConditions::NotAtCommit),
        changed(|o| o.request_checksums = false),
        changed(|o| o.part_etag = false),
        changed(|o| o.part_checksums = false),
        changed(|o| o.object_etag = false),
        changed(|o| o.object_checksums = false),
        changed(|o| o.list_parts = PartListing::MethodNotAllowed),
        changed(|o| o.list_parts = PartListing::Listed),
        changed(|o| o.abort = AbortStatus::Ok),
        changed(|o| o.uploads_outlive = true),
        changed(|o| o.forget_ended_uploads = true),
        changed(|o| o.head_write_only = true),
        changed(|o| {
            o.part_etag = false;
            o.part_checksums = false;
            o.object_etag = false;
            o.object_checksums = false;
        }),
    ]);
    all
}

/// Whether a setting makes a difference to one request with the whole stream.
fn concerns_puts(options: &ParOptions) -> bool {
    !options.object_etag || !options.object_checksums || !options.request_checksums
}

#[test]
fn every_answer_that_the_service_could_give_is_tolerated() {
    for options in each() {
        for (par, reads) in [(write_only(), options.head_write_only), (read_write(), true)] {
            let lengths = if concerns_puts(&options) { &[LONG, SHORT][..] } else { &[LONG] };
            for &length in lengths {
                let host = Host::with(par.clone(), options, []);
                let done = host.store_stream(length, "").exits(0);
                assert_same(&host.store.object("x").unwrap(), &ramp(length));
                host.store.assert_no_open_upload();
                let answered =
                    if length == LONG { options.part_checksums } else { options.object_checksums };
                let evidence = done.receipt()["verified-by"].as_str().unwrap().to_owned();
                let what = format!("{options:?}, {length} bytes, {par:?}: {evidence}");
                let whole = evidence.starts_with("opc-");
                match (reads, answered) {
                    (_, true) => assert!(whole || evidence == "part-md5", "{what}"),
                    (true, false) => assert!(whole, "{what}"),
                    (false, false) => assert!(whole || evidence == "none", "{what}"),
                }
            }
        }
    }
}

#[test]
fn an_abort_is_taken_for_done_by_either_status() {
    for options in [changed(|o| o.abort = AbortStatus::Ok), ParOptions::default()] {
        let host = Host::with(write_only(), options, []);
        let command = host.put().args("-- sh -c").arg(format!("head -c {LONG} /dev/zero; exit 3"));
        host.run(command).fails(5).stderr_lacks("still open");
        host.store.assert_not_stored("x");
        assert_eq!(host.store.requests_of(Operation::AbortMultipartUpload).len(), 1);
    }
}

#[test]
fn slashes_are_sent_raw_and_an_object_s_url_as_it_is() {
    let raw = changed(|o| o.slashes = SlashForm::Raw);
    let host = Host::with(NewPar::bucket(BUCKET), raw, []);
    host.run(host.put().args("--name a/b").stdin(ramp(LONG))).exits(0);
    assert!(host.store.object("a/b").is_some());
    for slashes in [SlashForm::Raw, SlashForm::Encoded, SlashForm::Both] {
        let par = NewPar::object(BUCKET, "a/b").access(AccessType::ObjectWrite);
        let host = Host::with(par, changed(|o| o.slashes = slashes), []);
        host.store_stream(LONG, "").exits(0);
        host.store_stream(SHORT, "--force").exits(0);
    }
}

#[test]
fn a_service_that_refuses_digests_in_headers_gets_none() {
    let refuse = |operation| {
        let invalid = FaultResponse::status(400).code("InvalidParameter");
        FaultRule::on(operation, Fault::Refuse(invalid)).when(Trigger::Request(1))
    };
    for (operation, length) in [
        (Operation::CreateMultipartUpload, LONG),
        (Operation::UploadPart, LONG),
        (Operation::PutObject, SHORT),
    ] {
        let host = Host::failing(write_only(), [refuse(operation)]);
        let done = host.store_stream(length, "").exits(0);
        let done = done.stderr_has(&["takes no digests in headers"]);
        let evidence = done.receipt()["verified-by"].as_str().unwrap().to_owned();
        assert!(evidence == "part-md5" || evidence.starts_with("opc-multipart-"), "{evidence}");
        assert_same(&host.store.object("x").unwrap(), &ramp(length));
    }
    // Where digests are not the reason, the run fails with the answer.
    let invalid = Fault::Refuse(FaultResponse::status(400).code("InvalidParameter"));
    let host = Host::failing(write_only(), [FaultRule::on(Operation::PutObject, invalid)]);
    let done = host.store_stream(SHORT, "").fails(4);
    done.stderr_has(&["HTTP 400 InvalidParameter"]).stderr_lacks("takes no digests");
    host.store.assert_not_stored("x");
}
