//! An upload through a pre-authenticated request (PAR): what is compared, what a lost response leads to,
//! and when a refusal is final.
//!
//! Owns the scripts of such runs. Invariant: no run lists, probes or deletes anything.

mod ends;

use super::scripted::{ScriptedRun, abort, meta_of_size, response_lost, stop};
use super::*;
use crate::api::ErrorResponse;

const PART: &[u8] = b"abc";

fn config(change: impl FnOnce(&mut ParConfig)) -> UploadConfig {
    let mut par = ParConfig::default();
    change(&mut par);
    let previous_object = PreviousObject::Unknown;
    UploadConfig { par: Some(par), previous_object, ..test_config(1, 2) }
}

fn plain() -> UploadConfig {
    config(|_| ())
}

fn refusal(status: u16, code: &str) -> Failure {
    let Failure::ErrorResponse(response) = Model::rejection(status, code) else { unreachable!() };
    Failure::ErrorResponse(ErrorResponse { through_par: true, ..response })
}

/// The digests in the response to a part.
#[derive(Clone, Copy)]
struct Answered {
    md5: bool,
    sha256: bool,
}

const BOTH: Answered = Answered { md5: true, sha256: true };
const NEITHER: Answered = Answered { md5: false, sha256: false };

impl ScriptedRun {
    /// A run that has read two parts and sends them.
    fn sending(config: UploadConfig) -> ScriptedRun {
        let mut run = ScriptedRun::new(config);
        run.start_create();
        run.succeed(ApiCall::Create, Outcome::Created { upload_id: "u".to_owned() });
        run.handle_event(Event::Part { number: nth(2), digest: part_digest() });
        run.handle_event(Event::EndOfStream { bytes: 6, crc32: crc32fast::hash(b"abcabc") });
        run
    }

    /// The same, after both parts were acknowledged with these digests.
    fn committing_par(config: UploadConfig, answered: Answered) -> ScriptedRun {
        let mut run = ScriptedRun::sending(config);
        run.acknowledge(1, answered);
        run.acknowledge(2, answered);
        assert_eq!(run.last_call(), &ApiCall::Commit);
        run
    }

    fn acknowledge(&mut self, number: u32, answered: Answered) {
        let mut meta = response_meta(&format!("e{number}"), &Bytes::from_static(PART));
        meta.content.md5 = meta.content.md5.filter(|_| answered.md5);
        meta.content.sha256 = meta.content.sha256.filter(|_| answered.sha256);
        let stored = Outcome::Stored { meta, crc32: crc32fast::hash(PART) };
        self.succeed(ApiCall::Part(nth(number)), stored);
        if answered.md5 {
            assert_ne!(self.calls.last(), Some(&ApiCall::Commit), "the MD5 was not compared");
            self.rehash(number);
        }
    }

    fn rehash(&mut self, number: u32) {
        let md5 = digest::md5_of(&[Bytes::from_static(PART)]);
        self.handle_event(Event::Rehashed { number: nth(number), digest: part_digest(), md5 });
    }

    /// Fails the last call until another one starts, which is scheduled or not.
    #[track_caller]
    fn refuse_until_another(&mut self, failure: &Failure) -> u32 {
        let call = self.last_call().clone();
        for attempt in 1..1000 {
            self.fail(call.clone(), failure.clone());
            if self.finish.is_some() || self.calls.last() != Some(&call) {
                return attempt;
            }
            self.wait();
            if self.finish.is_some() || self.calls.last() != Some(&call) {
                return attempt;
            }
        }
        panic!("{call:?} is repeated for ever");
    }

    #[track_caller]
    fn stored(&self) -> (&str, String) {
        let stored = self.result().as_ref().unwrap();
        (stored.meta.etag.as_deref().unwrap_or("none"), stored.evidence.to_string())
    }

    #[track_caller]
    fn assert_lists_nothing(&self) {
        for call in &self.calls {
            let listed = matches!(
                call,
                ApiCall::ListParts
                    | ApiCall::ListUploads
                    | ApiCall::ConditionalCreate(_)
                    | ApiCall::Delete { .. }
            );
            assert!(!listed, "{:?}", self.calls);
        }
    }
}

fn part_digest() -> digest::PartDigest {
    digest::part(Algorithm::Sha256, &[Bytes::from_static(PART)])
}

fn committed(etag: Option<&str>) -> Outcome {
    Outcome::Committed(ObjectMeta { etag: etag.map(str::to_owned), ..ObjectMeta::default() })
}

#[test]
fn a_write_only_par_claims_what_the_parts_were_compared_by_and_says_what_was_hidden() {
    for (answered, evidence, words) in [
        (BOTH, "part-md5", "the MD5 that the service answered"),
        (Answered { md5: true, sha256: false }, "part-md5", "the MD5 that the service answered"),
        (Answered { md5: false, sha256: true }, "part-sha256", "the SHA256 that"),
        (NEITHER, "none", "nothing could be compared"),
    ] {
        for (status, code) in [(404, ""), (401, "NotAuthenticated"), (403, "x"), (405, "x")] {
            let mut run = ScriptedRun::committing_par(plain(), answered);
            run.succeed(ApiCall::Commit, committed(Some("e")));
            assert_eq!(run.last_call(), &ApiCall::Head);
            run.refuse_until_another(&refusal(status, code));
            assert_eq!(run.stored(), ("e", evidence.to_owned()), "{status}");
            let last = run.warnings.last().unwrap();
            assert!(last.contains(words) && last.contains("does not show"), "{last}");
            run.assert_lists_nothing();
        }
    }
}

#[test]
fn a_commit_that_stored_nothing_is_no_success_where_the_par_reads() {
    for previous in [PreviousObject::Unknown, PreviousObject::Nothing] {
        let config = UploadConfig { previous_object: previous, ..plain() };
        let mut run = ScriptedRun::committing_par(config, BOTH);
        run.succeed(ApiCall::Commit, committed(Some("e")));
        run.refuse_until_another(&refusal(404, "ObjectNotFound"));
        run.reject(abort(), 404, "UploadNotFound");
        assert_eq!(run.error_kind(), ErrorKind::Integrity);
        run.assert_lists_nothing();
    }
}

#[test]
fn a_par_that_reads_is_compared_as_any_object_is() {
    let mut run = ScriptedRun::committing_par(plain(), BOTH);
    run.succeed(ApiCall::Commit, committed(None));
    let meta = run.object_meta("e");
    run.succeed(ApiCall::Head, Outcome::Object(meta));
    assert_eq!(run.stored(), ("e", "opc-multipart-sha256".to_owned()));
    // Only the size: what the parts were compared by is better.
    let mut run = ScriptedRun::committing_par(plain(), BOTH);
    run.succeed(ApiCall::Commit, committed(Some("e")));
    run.succeed(ApiCall::Head, Outcome::Object(meta_of_size("e", 6)));
    assert_eq!(run.stored().1, "part-md5");
    for other in [
        meta_of_size("e", 5),
        ObjectMeta {
            multipart: Digests { md5: Some("x-2".to_owned()), ..Digests::default() },
            ..meta_of_size("e", 6)
        },
    ] {
        let mut run = ScriptedRun::committing_par(plain(), BOTH);
        run.succeed(ApiCall::Commit, committed(Some("e")));
        run.succeed(ApiCall::Head, Outcome::Object(other));
        assert_eq!(run.error_kind(), ErrorKind::Integrity);
    }
}

#[test]
fn a_part_that_the_service_stored_otherwise_is_never_committed() {
    let mut run = ScriptedRun::sending(plain());
    let mut meta = response_meta("e1", &Bytes::from_static(PART));
    meta.content.md5 = Some("1B2M2Y8AsgTpgAmY7PhCfg==".to_owned());
    let stored = Outcome::Stored { meta, crc32: crc32fast::hash(PART) };
    run.succeed(ApiCall::Part(nth(1)), stored);
    // Its SHA-256 is right, its MD5 is not.
    run.rehash(1);
    assert_eq!(run.calls.last(), Some(&abort()));
    run.succeed(abort(), Outcome::Removed);
    assert_eq!(run.error_kind(), ErrorKind::Integrity);
    assert!(!run.calls.contains(&ApiCall::Commit));
}

#[test]
fn no_commit_is_sent_while_a_part_beyond_the_end_was_sent() {
    let mut run = ScriptedRun::sending(plain());
    run.acknowledge(1, BOTH);
    run.upload.core.parts.sent = 3;
    run.acknowledge(2, BOTH);
    run.succeed(abort(), Outcome::Removed);
    assert_eq!(run.error_kind(), ErrorKind::Integrity);
    assert!(!run.calls.contains(&ApiCall::Commit));
}

#[test]
fn a_put_is_compared_by_what_its_answer_has() {
    for (answered, evidence) in [
        (BOTH, "part-md5"),
        (Answered { md5: true, sha256: false }, "part-md5"),
        (Answered { md5: false, sha256: true }, "part-sha256"),
        (NEITHER, "none"),
    ] {
        let mut run = ScriptedRun::storing(plain());
        let mut meta = response_meta("e", &Bytes::from_static(PART));
        meta.content.md5 = meta.content.md5.filter(|_| answered.md5);
        meta.content.sha256 = meta.content.sha256.filter(|_| answered.sha256);
        let crc32 = crc32fast::hash(PART);
        run.succeed(ApiCall::Put, Outcome::Stored { meta, crc32 });
        if answered.md5 {
            run.rehash(1);
        }
        assert_eq!(run.last_call(), &ApiCall::Head);
        run.refuse_until_another(&refusal(404, ""));
        assert_eq!(run.stored(), ("e", evidence.to_owned()));
        run.assert_lists_nothing();
    }
}

#[test]
fn a_lost_start_is_repeated_and_what_it_may_have_left_is_told_and_not_listed() {
    let mut run = ScriptedRun::new(plain());
    run.start_create();
    run.fail(ApiCall::Create, response_lost());
    run.wait();
    run.succeed(ApiCall::Create, Outcome::Created { upload_id: "u".to_owned() });
    run.handle_event(stop());
    run.succeed(abort(), Outcome::Removed);
    assert_eq!(run.error_kind(), ErrorKind::Signal(15));
    let named = run.warnings.iter().any(|text| text.contains("ocipipe uploads list"));
    assert!(named, "{:?}", run.warnings);
    run.assert_lists_nothing();
}

#[test]
fn an_older_object_of_the_same_size_is_not_taken_for_a_commit_without_an_etag() {
    let previous_object = PreviousObject::Object("old".to_owned());
    let config = UploadConfig { previous_object, ..plain() };
    let mut run = ScriptedRun::committing_par(config, NEITHER);
    run.succeed(ApiCall::Commit, committed(None));
    run.succeed(ApiCall::Head, Outcome::Object(meta_of_size("old", 6)));
    run.reject(abort(), 404, "UploadNotFound");
    assert_eq!(run.error_kind(), ErrorKind::Integrity);
}

#[test]
fn a_start_that_is_answered_of_no_use_after_the_stream_broke_may_have_left_an_upload_too() {
    let mut run = ScriptedRun::new(plain());
    run.start_create();
    run.handle_event(Event::SourceFailed(Error::source("killed")));
    run.fail(ApiCall::Create, Failure::Local(Error::service("a URL of another host")));
    assert_eq!(run.error_kind(), ErrorKind::Source);
    let named = run.warnings.iter().any(|text| text.contains("ocipipe uploads list"));
    assert!(named, "{:?}", run.warnings);
}

#[test]
fn properties_that_were_not_kept_are_named() {
    let properties = crate::api::ExpectedProperties::of(&crate::par::test_options());
    let mut run = ScriptedRun::committing_par(config(|par| par.properties = properties), BOTH);
    run.succeed(ApiCall::Commit, committed(Some("e")));
    let meta = run.object_meta("e");
    run.succeed(ApiCall::Head, Outcome::Object(meta));
    assert_eq!(run.stored().1, "opc-multipart-sha256");
    let last = run.warnings.last().unwrap();
    assert!(last.contains("content-type") && last.contains("not all that was asked"), "{last}");
}
