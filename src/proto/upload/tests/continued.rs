//! Tests of the ends of runs with `--resume`: refusals, uploads that are gone, and what HEAD shows.

use super::scripted::{ScriptedRun, abort, both_parts};
use super::*;
use crate::api::{ExpectedProperties, ListedPart, ObjectHeaders, PutOptions};
use crate::upload::UploadCommand;

fn config(continues: bool, held: Vec<ListedPart>, checksum: Algorithm) -> UploadConfig {
    let continued = continues.then(|| ContinuedUpload {
        upload_id: "u".to_owned(),
        parts: held,
        properties: ExpectedProperties::default(),
    });
    let resume = Some(ResumeConfig { continued });
    let mut config = UploadConfig { resume, checksum, ..test_config(1, 2) };
    config.messages.resume_command = Some(UploadCommand::new("RESUME ", ""));
    config
}

fn continuing() -> UploadConfig {
    config(true, Vec::new(), Algorithm::Sha256)
}

fn read_part(run: &mut ScriptedRun, number: u32) {
    let checksum = run.upload.core.config.checksum;
    let digest = digest::part(checksum, &[Bytes::from_static(b"abc")]);
    run.handle_event(Event::Part { number: nth(number), digest });
}

fn acknowledge(run: &mut ScriptedRun, number: u32, etag: &str) {
    let checksum = run.upload.core.config.checksum;
    let digest = digest::part(checksum, &[Bytes::from_static(b"abc")]);
    let mut meta = response_meta(etag, &Bytes::from_static(b"abc"));
    meta.content.sha256 = meta.content.sha256.filter(|_| checksum == Algorithm::Sha256);
    run.succeed(ApiCall::Part(nth(number)), Outcome::Stored { meta, crc32: digest.crc32 });
    if !matches!(checksum, Algorithm::Sha256 | Algorithm::Md5 | Algorithm::None) {
        let md5 = digest::md5_of(&[Bytes::from_static(b"abc")]);
        run.handle_event(Event::Rehashed { number: nth(number), digest, md5 });
    }
}

/// A run that continues an empty upload with two parts, and lists its parts before the commit.
fn listing(config: UploadConfig) -> ScriptedRun {
    let mut run = ScriptedRun::new(config);
    let crc32 =
        digest::part(run.upload.core.config.checksum, &[Bytes::from_static(b"abcabc")]).crc32;
    read_part(&mut run, 1);
    if !run.upload.core.continues() {
        run.handle_event(Event::MultipartNeeded);
        run.succeed(ApiCall::Create, Outcome::Created { upload_id: "u".to_owned() });
    }
    read_part(&mut run, 2);
    run.handle_event(Event::EndOfStream { bytes: 6, crc32 });
    for number in [1, 2] {
        acknowledge(&mut run, number, &format!("e{number}"));
    }
    assert_eq!(run.last_call(), &ApiCall::ListParts);
    run
}

fn committing(config: UploadConfig) -> ScriptedRun {
    let mut run = listing(config);
    run.succeed(ApiCall::ListParts, both_parts());
    assert_eq!(run.last_call(), &ApiCall::Commit);
    run
}

fn listed(number: u32, etag: &str, md5: Option<&str>) -> ListedPart {
    let md5 = md5.map(str::to_owned);
    ListedPart { part_number: nth(number), etag: etag.to_owned(), size: 3, md5 }
}

#[test]
fn an_upload_that_is_gone_at_the_list_or_the_commit_is_exit_6_and_not_called_open() {
    for continues in [true, false] {
        let config = || config(continues, Vec::new(), Algorithm::Sha256);
        let (mut at_list, mut at_commit) = (listing(config()), committing(config()));
        at_list.reject(ApiCall::ListParts, 404, "UploadNotFound");
        at_commit.reject(ApiCall::Commit, 404, "UploadNotFound");
        for run in [at_list, at_commit] {
            let error = run.result().as_ref().unwrap_err();
            assert_eq!(error.kind, ErrorKind::Exists, "{error}");
            assert!(error.to_string().contains("another run has committed or aborted"), "{error}");
            assert!(!error.to_string().contains("RESUME"), "{error}");
            assert!(!run.calls.contains(&abort()));
        }
    }
    // Without `--resume` no other run is expected to end the upload.
    let mut run = ScriptedRun::committing(test_config(1, 2));
    run.reject(ApiCall::Commit, 400, "InvalidUploadPart");
    run.reject(ApiCall::ListParts, 404, "UploadNotFound");
    run.succeed(abort(), Outcome::Removed);
    assert_eq!(run.error_kind(), ErrorKind::Service);
}

#[test]
fn a_service_that_keeps_losing_parts_that_it_acknowledged_ends_the_run() {
    let mut run = listing(continuing());
    for _ in 0..3 {
        assert_eq!(run.last_call(), &ApiCall::ListParts);
        run.succeed(ApiCall::ListParts, Outcome::Parts(vec![listed(1, "e1", None)]));
        assert_eq!(run.last_call(), &ApiCall::Part(nth(2)));
        acknowledge(&mut run, 2, "e2");
    }
    run.succeed(ApiCall::ListParts, Outcome::Parts(vec![listed(1, "e1", None)]));
    let error = run.result().as_ref().unwrap_err();
    assert_eq!(error.kind, ErrorKind::Integrity);
    assert!(error.message.contains("keeps losing parts"), "{error}");
    assert!(!run.calls.contains(&ApiCall::Commit));
    // What it lists in the end is committed.
    let mut run = listing(continuing());
    for _ in 0..3 {
        run.succeed(ApiCall::ListParts, Outcome::Parts(vec![listed(1, "e1", None)]));
        acknowledge(&mut run, 2, "e2");
    }
    run.succeed(ApiCall::ListParts, both_parts());
    assert_eq!(run.last_call(), &ApiCall::Commit);
}

#[test]
fn a_listed_part_counts_as_that_of_the_run_only_by_its_etag_or_its_md5() {
    let md5 = digest::md5_of(&[Bytes::from_static(b"abc")]).base64();
    let other = digest::md5_of(&[Bytes::from_static(b"abd")]).base64();
    for (second, commits) in [
        (listed(2, "e2", None), true),
        (listed(2, "e2", Some(&md5)), true),
        (listed(2, "late", Some(&md5)), true),
        (listed(2, "late", Some(&other)), false),
        (listed(2, "late", None), false),
        (ListedPart { size: 4, ..listed(2, "late", Some(&md5)) }, false),
    ] {
        let mut run = listing(continuing());
        let list = vec![listed(1, "e1", Some(&md5)), second.clone()];
        run.succeed(ApiCall::ListParts, Outcome::Parts(list));
        assert_eq!(run.calls.last() == Some(&ApiCall::Commit), commits, "{second:?}");
        if !commits {
            assert_eq!(run.error_kind(), ErrorKind::Exists, "{second:?}");
        }
    }
}

#[test]
fn a_part_behind_the_stream_is_left_out_only_as_it_was_at_the_start() {
    for (etag, commits) in [("held", true), ("late", false)] {
        let held = vec![listed(3, "held", None)];
        let mut run = listing(config(true, held, Algorithm::Sha256));
        let list = vec![listed(1, "e1", None), listed(2, "e2", None), listed(3, etag, None)];
        run.succeed(ApiCall::ListParts, Outcome::Parts(list));
        assert_eq!(run.calls.last() == Some(&ApiCall::Commit), commits, "{etag}");
        if commits {
            assert_eq!(run.upload.excluded_parts(), [nth(3)]);
        } else {
            assert_eq!(run.error_kind(), ErrorKind::Exists);
        }
    }
}

/// The hint after a part is refused with this status.
fn hint_after(config: UploadConfig, status: u16) -> String {
    let mut run = ScriptedRun::new(config);
    read_part(&mut run, 1);
    if !run.upload.core.continues() {
        run.handle_event(Event::MultipartNeeded);
        run.succeed(ApiCall::Create, Outcome::Created { upload_id: "u".to_owned() });
    }
    run.reject(ApiCall::Part(nth(1)), status, "InvalidParameter");
    run.result().as_ref().unwrap_err().hint.clone().unwrap_or_default()
}

#[test]
fn a_refused_part_hints_at_another_checksum_only_where_that_can_be_the_cause() {
    let case = |continues, checksum| config(continues, Vec::new(), checksum);
    for (config, status, hints) in [
        (case(true, Algorithm::Sha256), 400, true),
        (case(true, Algorithm::Crc32c), 400, true),
        (case(true, Algorithm::Md5), 400, false),
        (case(true, Algorithm::None), 400, false),
        (case(true, Algorithm::Sha256), 403, false),
        (case(false, Algorithm::Sha256), 400, false),
    ] {
        let (checksum, continues) = (config.checksum, config.continued().is_some());
        let hint = hint_after(config, status);
        let what = format!("{checksum:?}, {status}, continues: {continues}: {hint}");
        assert_eq!(hint.contains("another --checksum"), hints, "{what}");
    }
}

#[test]
fn an_upload_that_was_begun_with_other_options_is_no_success() {
    let properties = ExpectedProperties::of(&PutOptions::default());
    for (content_type, kind) in
        [("application/octet-stream", None), ("text/plain", Some(ErrorKind::Integrity))]
    {
        let mut config = continuing();
        config.resume.as_mut().unwrap().continued.as_mut().unwrap().properties = properties.clone();
        let mut run = committing(config);
        let committed = Outcome::Committed(run.commit_meta("new"));
        run.succeed(ApiCall::Commit, committed);
        let headers = ObjectHeaders::of(&[("content-type".to_owned(), content_type.to_owned())]);
        let object = ObjectMeta { headers, ..run.object_meta("new") };
        run.succeed(ApiCall::Head, Outcome::Object(object));
        let error = run.result().as_ref().err();
        assert_eq!(error.map(|error| error.kind), kind, "{content_type}: {error:?}");
        let named = |error: &Error| error.message.contains("was begun with other options");
        assert_eq!(error.is_some_and(named), kind.is_some());
    }
}

#[test]
fn a_continued_object_without_the_chosen_digest_is_stored_with_a_warning() {
    for (continues, checksum, has_own, warns) in [
        (true, Algorithm::Sha256, false, true),
        (true, Algorithm::Sha384, false, true),
        (true, Algorithm::Sha256, true, false),
        (true, Algorithm::Md5, false, false),
        (true, Algorithm::None, false, false),
        (false, Algorithm::Sha256, false, false),
    ] {
        let mut run = committing(config(continues, Vec::new(), checksum));
        let meta = ObjectMeta { etag: Some("new".to_owned()), ..ObjectMeta::default() };
        run.succeed(ApiCall::Commit, Outcome::Committed(meta));
        let md5 = digest::md5_of(&[Bytes::from_static(b"abc")]);
        let md5 = Some(digest::multipart(Algorithm::Md5, &[md5.clone(), md5]));
        let own = run.upload.core.whole_checksum().filter(|_| has_own);
        let multipart = Digests { md5, sha256: own, ..Digests::default() };
        let object = ObjectMeta { multipart, ..scripted::meta_of_size("new", 6) };
        run.succeed(ApiCall::Head, Outcome::Object(object));
        let what = format!("{checksum:?}, continues: {continues}, own: {has_own}");
        let stored = run.result().as_ref().unwrap();
        let evidence = match checksum {
            Algorithm::None => "content-length",
            _ if has_own => "opc-multipart-sha256",
            _ => "opc-multipart-md5",
        };
        assert_eq!(stored.evidence.to_string(), evidence, "{what}");
        let warned = run.warnings.iter().any(|text| text.contains("the object has no SHA"));
        assert_eq!(warned, warns, "{what}: {:?}", run.warnings);
    }
}

#[test]
fn an_upload_that_cannot_be_aborted_can_be_resumed_but_not_that_of_a_probe() {
    let mut run = committing(config(false, Vec::new(), Algorithm::Sha256));
    let committed = Outcome::Committed(run.commit_meta("new"));
    run.succeed(ApiCall::Commit, committed);
    run.reject_heads();
    let probe = ApiCall::ConditionalCreate(ProbeCondition::NoObject);
    run.succeed(probe, Outcome::Created { upload_id: "probe".to_owned() });
    run.reject(abort(), 403, "NotAllowed");
    let hint = run.result().as_ref().unwrap_err().hint.clone().unwrap();
    for command in ["RESUME u", "ABORT u", "ABORT probe"] {
        assert!(hint.contains(command), "{command}: {hint}");
    }
    assert!(!hint.contains("RESUME probe"), "{hint}");
}
