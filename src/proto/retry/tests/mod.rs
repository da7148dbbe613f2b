//! The rows of the table, and the backoff.

mod context;

use super::*;

fn failed_connection() -> Failure {
    Failure::Transport { kind: TransportError::Connect, text: "refused".to_owned() }
}

fn refused(status: u16, code: &str) -> Failure {
    Failure::ErrorResponse(ErrorResponse {
        status,
        code: (!code.is_empty()).then(|| code.to_owned()),
        request_id: Some("iad-1:x".to_owned()),
        ..ErrorResponse::default()
    })
}

#[test]
fn every_row_of_the_table_means_what_the_api_says() {
    use Operation::*;
    let under_way =
        |operation, status, code| classify(operation, RunStage::Streaming, &refused(status, code));
    let again = RetryDecision::Retry { throttled: false };
    let slower = RetryDecision::Retry { throttled: true };
    let refuse = RetryDecision::Fatal(ErrorKind::Service);
    for (operation, status, code, verdict) in [
        (Part, 401, "NotAuthenticated", RetryDecision::RefreshCredentials),
        (Commit, 400, "InvalidUploadPart", RetryDecision::InvalidPart),
        (Part, 400, "UnmatchedContentMD5", RetryDecision::ChecksumMismatch),
        (Part, 400, "InvalidParameter", refuse),
        (Part, 403, "NotAllowed", refuse),
        (Put, 403, "RetentionRuleViolation", RetryDecision::PreconditionFailed),
        (Create, 403, "RetentionRuleViolation", RetryDecision::PreconditionFailed),
        (Commit, 403, "RetentionRuleViolation", RetryDecision::PreconditionFailed),
        (Delete, 403, "RetentionRuleViolation", refuse),
        (Put, 403, "BucketIsReadonly", refuse),
        (Part, 404, "UploadNotFound", RetryDecision::NotFound),
        (ListParts, 404, "UploadNotFound", RetryDecision::NotFound),
        (Abort, 404, "UploadNotFound", RetryDecision::NotFound),
        (Abort, 404, "NotFound", RetryDecision::NotFound),
        (Get, 404, "ObjectNotFound", RetryDecision::NotFound),
        (Delete, 404, "ObjectNotFound", RetryDecision::NotFound),
        (Head, 404, "", RetryDecision::AmbiguousNotFound),
        (Part, 404, "SomethingElse", RetryDecision::AmbiguousNotFound),
        (Part, 408, "", again),
        (Part, 409, "ConcurrentObjectUpdate", again),
        (Part, 409, "IncorrectState", again),
        (Part, 409, "LockConflict", again),
        (Part, 409, "Conflict", refuse),
        (Create, 412, "IfNoneMatchFailed", RetryDecision::PreconditionFailed),
        (Part, 413, "RequestEntityTooLarge", refuse),
        (Part, 429, "TooManyRequests", slower),
        (Commit, 429, "TooManyRequests", slower),
        (Part, 500, "InternalServerError", again),
        (Commit, 500, "InternalServerError", RetryDecision::ResolveOutcome),
        (Put, 502, "", RetryDecision::ResolveOutcome),
        (Create, 504, "", RetryDecision::ResolveOutcome),
        (Part, 501, "MethodNotImplemented", refuse),
        (Part, 503, "ServiceUnavailable", slower),
    ] {
        assert_eq!(under_way(operation, status, code), verdict, "{operation:?} {status} {code}");
    }
}

#[test]
fn html_from_a_proxy_is_final_at_the_start_and_passes_under_way() {
    let html = Failure::ErrorResponse(ErrorResponse { status: 403, ..ErrorResponse::default() });
    assert_eq!(
        classify(Operation::Part, RunStage::Streaming, &html),
        RetryDecision::Retry { throttled: false }
    );
    assert_eq!(
        classify(Operation::Commit, RunStage::Streaming, &html),
        RetryDecision::ResolveOutcome
    );
    assert_eq!(
        classify(Operation::Namespace, RunStage::Preflight, &html),
        RetryDecision::Fatal(ErrorKind::Service)
    );
}

#[test]
fn a_commit_whose_answer_was_lost_is_settled_and_never_repeated_blindly() {
    for how in
        [TransportError::ResponseLost, TransportError::Timeout, TransportError::InvalidResponse]
    {
        let failure = Failure::Transport { kind: how, text: String::new() };
        for operation in [Operation::Commit, Operation::Put, Operation::Create] {
            assert_eq!(
                classify(operation, RunStage::Streaming, &failure),
                RetryDecision::ResolveOutcome
            );
        }
        assert_eq!(
            classify(Operation::Part, RunStage::Streaming, &failure),
            RetryDecision::Retry { throttled: false }
        );
    }
}

#[test]
fn what_was_not_sent_whole_has_left_no_mark() {
    for how in [TransportError::Connect, TransportError::RequestIncomplete] {
        let failure = Failure::Transport { kind: how, text: String::new() };
        for operation in [Operation::Commit, Operation::Put, Operation::Create] {
            let again = RetryDecision::Retry { throttled: false };
            assert_eq!(classify(operation, RunStage::Streaming, &failure), again);
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
            for stage in [RunStage::Preflight, RunStage::Streaming] {
                let verdict = classify(operation, stage, &refused(404, code));
                assert_eq!(verdict, RetryDecision::AmbiguousNotFound, "{operation:?} {code}");
            }
        }
    }
}

#[test]
fn the_404_of_a_page_that_is_not_of_the_service_is_final_at_the_start() {
    let page = Failure::ErrorResponse(ErrorResponse { status: 404, ..ErrorResponse::default() });
    let verdict = classify(Operation::Namespace, RunStage::Preflight, &page);
    assert_eq!(verdict, RetryDecision::Fatal(ErrorKind::Service));
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
            let next = refused(status, code).error(operation, "x").hint.unwrap();
            assert!(next.contains(rights), "{operation:?} {code}: {next}");
        }
    }
}

#[test]
fn a_refusal_by_a_rule_of_the_bucket_says_which() {
    let next = |status, code| refused(status, code).error(Operation::Put, "x").hint.unwrap();
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
        Failure::ErrorResponse(ErrorResponse {
            status,
            code,
            message: message.clone(),
            ..ErrorResponse::default()
        })
    };
    let judged = |code| classify(Operation::Part, RunStage::Preflight, &refusal(code));
    assert_eq!(judged("InvalidParameter"), RetryDecision::Fatal(ErrorKind::Service));
    assert_eq!(judged("UnmatchedContentMD5"), RetryDecision::ChecksumMismatch);
}

#[test]
fn a_proxy_that_does_not_know_who_asks_is_final_at_the_start_and_passes_under_way() {
    let denied = Failure::Transport {
        kind: TransportError::ProxyAuthRequired,
        text: "the proxy".to_owned(),
    };
    for operation in [Operation::Namespace, Operation::Head, Operation::Create] {
        assert_eq!(
            classify(operation, RunStage::Preflight, &denied),
            RetryDecision::Fatal(ErrorKind::Service)
        );
        assert_eq!(
            classify(operation, RunStage::Streaming, &denied),
            RetryDecision::Retry { throttled: false }
        );
    }
    assert!(denied.error(Operation::Head, "HeadObject").to_string().contains("USER:PASSWORD@"));
}
