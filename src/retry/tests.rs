//! The rows of the table, and the back-off.

use super::*;

fn refused(status: u16, code: &str) -> Failure {
    Failure::Refused(Refusal {
        status,
        code: (!code.is_empty()).then(|| code.to_owned()),
        request_id: Some("iad-1:x".to_owned()),
        ..Refusal::default()
    })
}

#[test]
fn every_row_of_the_table_means_what_the_api_says() {
    use Operation::*;
    let under_way =
        |operation, status, code| judge(operation, Stage::UnderWay, &refused(status, code));
    let again = Verdict::Again { slower: false };
    let slower = Verdict::Again { slower: true };
    let refuse = Verdict::Refuse(Kind::Service);
    for (operation, status, code, verdict) in [
        (Part, 401, "NotAuthenticated", Verdict::Renew),
        (Commit, 400, "InvalidUploadPart", Verdict::Heal),
        (Part, 400, "UnmatchedContentMD5", Verdict::Damaged),
        (Part, 400, "InvalidParameter", refuse),
        (Part, 403, "NotAllowed", refuse),
        (Put, 403, "RetentionRuleViolation", Verdict::Exists),
        (Create, 403, "RetentionRuleViolation", Verdict::Exists),
        (Commit, 403, "RetentionRuleViolation", Verdict::Exists),
        (Delete, 403, "RetentionRuleViolation", refuse),
        (Put, 403, "BucketIsReadonly", refuse),
        (Part, 404, "UploadNotFound", Verdict::Missing),
        (ListParts, 404, "UploadNotFound", Verdict::Missing),
        (Abort, 404, "UploadNotFound", Verdict::Missing),
        (Abort, 404, "NotFound", Verdict::Missing),
        (Get, 404, "ObjectNotFound", Verdict::Missing),
        (Delete, 404, "ObjectNotFound", Verdict::Missing),
        (Head, 404, "", Verdict::Hidden),
        (Part, 404, "SomethingElse", Verdict::Hidden),
        (Part, 408, "", again),
        (Part, 409, "ConcurrentObjectUpdate", again),
        (Part, 409, "IncorrectState", again),
        (Part, 409, "LockConflict", again),
        (Part, 409, "Conflict", refuse),
        (Create, 412, "IfNoneMatchFailed", Verdict::Exists),
        (Part, 413, "RequestEntityTooLarge", refuse),
        (Part, 429, "TooManyRequests", slower),
        (Commit, 429, "TooManyRequests", slower),
        (Part, 500, "InternalServerError", again),
        (Commit, 500, "InternalServerError", Verdict::Settle),
        (Put, 502, "", Verdict::Settle),
        (Create, 504, "", Verdict::Settle),
        (Part, 501, "MethodNotImplemented", refuse),
        (Part, 503, "ServiceUnavailable", slower),
    ] {
        assert_eq!(under_way(operation, status, code), verdict, "{operation:?} {status} {code}");
    }
}

#[test]
fn html_from_a_proxy_is_final_at_the_start_and_passes_under_way() {
    let html = Failure::Refused(Refusal { status: 403, ..Refusal::default() });
    assert_eq!(judge(Operation::Part, Stage::UnderWay, &html), Verdict::Again { slower: false });
    assert_eq!(judge(Operation::Commit, Stage::UnderWay, &html), Verdict::Settle);
    assert_eq!(judge(Operation::Namespace, Stage::Start, &html), Verdict::Refuse(Kind::Service));
}

#[test]
fn a_commit_whose_answer_was_lost_is_settled_and_never_repeated_blindly() {
    for how in [Break::Lost, Break::Stalled, Break::Garbage] {
        let failure = Failure::Transport { how, text: String::new() };
        for operation in [Operation::Commit, Operation::Put, Operation::Create] {
            assert_eq!(judge(operation, Stage::UnderWay, &failure), Verdict::Settle);
        }
        assert_eq!(
            judge(Operation::Part, Stage::UnderWay, &failure),
            Verdict::Again { slower: false }
        );
    }
}

#[test]
fn what_was_not_sent_whole_has_left_no_mark() {
    for how in [Break::Connect, Break::Unfinished] {
        let failure = Failure::Transport { how, text: String::new() };
        for operation in [Operation::Commit, Operation::Put, Operation::Create] {
            let again = Verdict::Again { slower: false };
            assert_eq!(judge(operation, Stage::UnderWay, &failure), again);
        }
    }
}

#[test]
fn back_off_is_jittered_bounded_and_never_shorter_than_the_service_asks() {
    assert_eq!(backoff(0, 0.0, None), Duration::ZERO);
    assert_eq!(backoff(0, 1.0, None), Duration::from_millis(500));
    assert_eq!(backoff(40, 1.0, None), Duration::from_secs(30));
    assert!(backoff(0, 0.0, Some(7)) >= Duration::from_secs(7));
    assert!(backoff(0, 1.0, Some(u64::MAX)) <= Duration::from_secs(301));
}

const ALL: [Operation; 11] = [
    Operation::Namespace,
    Operation::Head,
    Operation::Create,
    Operation::Part,
    Operation::Put,
    Operation::Commit,
    Operation::Abort,
    Operation::ListParts,
    Operation::ListUploads,
    Operation::Delete,
    Operation::Get,
];

#[test]
fn a_404_that_speaks_of_the_bucket_is_final_for_no_call_and_settles_nothing() {
    for operation in ALL {
        for code in ["BucketNotFound", "NamespaceNotFound", "NotAuthorizedOrNotFound"] {
            for stage in [Stage::Start, Stage::UnderWay] {
                let verdict = judge(operation, stage, &refused(404, code));
                assert_eq!(verdict, Verdict::Hidden, "{operation:?} {code}");
            }
        }
    }
}

#[test]
fn the_404_of_a_page_that_is_not_of_the_service_is_final_at_the_start() {
    let page = Failure::Refused(Refusal { status: 404, ..Refusal::default() });
    let verdict = judge(Operation::Namespace, Stage::Start, &page);
    assert_eq!(verdict, Verdict::Refuse(Kind::Service));
}

#[test]
fn a_refusal_names_the_right_that_may_be_missing() {
    use Operation::*;
    for (operation, rights) in [
        (Create, "OBJECT_CREATE and OBJECT_OVERWRITE"),
        (Part, "OBJECT_CREATE and OBJECT_OVERWRITE"),
        (Commit, "OBJECT_CREATE and OBJECT_OVERWRITE"),
        (Put, "OBJECT_CREATE"),
        (Abort, "OBJECT_DELETE"),
        (Delete, "OBJECT_DELETE"),
        (Head, "OBJECT_READ or OBJECT_INSPECT"),
        (Get, "OBJECT_READ"),
        (ListParts, "OBJECT_INSPECT"),
        (ListUploads, "BUCKET_READ"),
    ] {
        for (status, code) in
            [(404, "BucketNotFound"), (404, "NotAuthorizedOrNotFound"), (403, "NotAllowed")]
        {
            let next = refused(status, code).error(operation, "x").next.unwrap();
            assert!(next.contains(rights), "{operation:?} {code}: {next}");
        }
    }
}

#[test]
fn a_refusal_by_a_rule_of_the_bucket_says_which() {
    let next = |status, code| refused(status, code).error(Operation::Put, "x").next.unwrap();
    assert!(next(403, "RetentionRuleViolation").contains("retention rule"));
    assert!(next(403, "BucketIsReadonly").contains("replication"));
    assert!(next(401, "NotAuthenticated").contains("subscribed"));
}

#[test]
fn nothing_is_decided_by_the_text_of_a_message() {
    let message =
        "The computed MD5 of the request body (A) does not match the header (B)".to_owned();
    let refusal = |code: &str| {
        let (status, code) = (400, Some(code.to_owned()));
        Failure::Refused(Refusal { status, code, message: message.clone(), ..Refusal::default() })
    };
    let judged = |code| judge(Operation::Part, Stage::Start, &refusal(code));
    assert_eq!(judged("InvalidParameter"), Verdict::Refuse(Kind::Service));
    assert_eq!(judged("UnmatchedContentMD5"), Verdict::Damaged);
}

#[test]
fn a_proxy_that_does_not_know_who_asks_is_final_at_the_start_and_passes_under_way() {
    let denied = Failure::Transport { how: Break::Denied, text: "the proxy".to_owned() };
    for operation in [Operation::Namespace, Operation::Head, Operation::Create] {
        assert_eq!(judge(operation, Stage::Start, &denied), Verdict::Refuse(Kind::Service));
        assert_eq!(judge(operation, Stage::UnderWay, &denied), Verdict::Again { slower: false });
    }
    assert!(denied.error(Operation::Head, "HeadObject").to_string().contains("USER:PASSWORD@"));
}
