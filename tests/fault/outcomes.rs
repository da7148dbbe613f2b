//! Outcomes of faults that need more than a row of the table.

use super::*;

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
