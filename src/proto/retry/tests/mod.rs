//! The rows of the table, and the backoff.

mod context;
mod messages;

use super::*;
use std::time::Duration;

fn failed_connection() -> Failure {
    Failure::Transport { kind: TransportError::Connect, text: "refused".to_owned() }
}

fn error_response(status: u16, code: &str) -> Failure {
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
    let decision_of = |operation, status, code| {
        classify(operation, RunStage::Streaming, &error_response(status, code))
    };
    let retry = RetryDecision::Retry { throttled: false };
    let throttled = RetryDecision::Retry { throttled: true };
    let fatal = RetryDecision::Fatal(ErrorKind::Service);
    for (operation, status, code, decision) in [
        (Part, 401, "NotAuthenticated", RetryDecision::RefreshCredentials),
        (Commit, 400, "InvalidUploadPart", RetryDecision::InvalidPart),
        (Part, 400, "UnmatchedContentMD5", RetryDecision::ChecksumMismatch),
        (Part, 400, "InvalidParameter", fatal),
        (Part, 403, "NotAllowed", fatal),
        (Put, 403, "RetentionRuleViolation", RetryDecision::PreconditionFailed),
        (Create, 403, "RetentionRuleViolation", RetryDecision::PreconditionFailed),
        (Commit, 403, "RetentionRuleViolation", RetryDecision::PreconditionFailed),
        (Delete, 403, "RetentionRuleViolation", fatal),
        (Put, 403, "BucketIsReadonly", fatal),
        (Part, 404, "UploadNotFound", RetryDecision::NotFound),
        (ListParts, 404, "UploadNotFound", RetryDecision::NotFound),
        (Abort, 404, "UploadNotFound", RetryDecision::NotFound),
        (Abort, 404, "NotFound", RetryDecision::NotFound),
        (Get, 404, "ObjectNotFound", RetryDecision::NotFound),
        (Delete, 404, "ObjectNotFound", RetryDecision::NotFound),
        (Head, 404, "", RetryDecision::AmbiguousNotFound),
        (Part, 404, "SomethingElse", RetryDecision::AmbiguousNotFound),
        (Part, 408, "", retry),
        (Part, 409, "ConcurrentObjectUpdate", retry),
        (Part, 409, "IncorrectState", retry),
        (Part, 409, "LockConflict", retry),
        (Part, 409, "Conflict", fatal),
        // The object is not archived, or is being restored.
        (Restore, 409, "IncorrectState", fatal),
        (Head, 200, "", retry),
        (Part, 307, "", retry),
        (Commit, 200, "", RetryDecision::ResolveOutcome),
        (Create, 200, "", RetryDecision::ResolveOutcome),
        (Create, 412, "IfNoneMatchFailed", RetryDecision::PreconditionFailed),
        (Part, 413, "RequestEntityTooLarge", fatal),
        (Part, 429, "TooManyRequests", throttled),
        (Commit, 429, "TooManyRequests", throttled),
        (Part, 500, "InternalServerError", retry),
        (Commit, 500, "InternalServerError", RetryDecision::ResolveOutcome),
        (Put, 502, "", RetryDecision::ResolveOutcome),
        (Create, 504, "", RetryDecision::ResolveOutcome),
        (Part, 501, "MethodNotImplemented", fatal),
        (Part, 503, "ServiceUnavailable", throttled),
    ] {
        assert_eq!(decision_of(operation, status, code), decision, "{operation:?} {status} {code}");
    }
}

#[test]
fn a_page_of_a_proxy_is_final_in_the_preflight_and_retried_while_streaming() {
    let page = Failure::ErrorResponse(ErrorResponse { status: 403, ..ErrorResponse::default() });
    assert_eq!(
        classify(Operation::Part, RunStage::Streaming, &page),
        RetryDecision::Retry { throttled: false }
    );
    assert_eq!(
        classify(Operation::Commit, RunStage::Streaming, &page),
        RetryDecision::ResolveOutcome
    );
    assert_eq!(
        classify(Operation::Namespace, RunStage::Preflight, &page),
        RetryDecision::Fatal(ErrorKind::Service)
    );
}

#[test]
fn a_commit_whose_response_was_lost_is_resolved_and_never_repeated_blindly() {
    for kind in
        [TransportError::ResponseLost, TransportError::Timeout, TransportError::InvalidResponse]
    {
        let failure = Failure::Transport { kind, text: String::new() };
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
fn a_request_that_was_not_sent_whole_had_no_effect() {
    for kind in [TransportError::Connect, TransportError::RequestIncomplete] {
        let failure = Failure::Transport { kind, text: String::new() };
        for operation in [Operation::Commit, Operation::Put, Operation::Create] {
            let retry = RetryDecision::Retry { throttled: false };
            assert_eq!(classify(operation, RunStage::Streaming, &failure), retry);
        }
    }
}

#[test]
fn backoff_is_jittered_bounded_and_never_shorter_than_the_service_asks() {
    assert_eq!(backoff(0, 0.0, None), Duration::ZERO);
    assert_eq!(backoff(0, 1.0, None), Duration::from_millis(500));
    assert_eq!(backoff(40, 1.0, None), Duration::from_secs(30));
    assert!(backoff(0, 0.0, Some(7)) >= Duration::from_secs(7));
    assert_eq!(backoff(40, 1.0, Some(7)), Duration::from_secs(37));
    assert_eq!(backoff(40, 1.0, Some(u64::MAX)), Duration::from_secs(330));
}

#[test]
fn the_delay_after_a_failure_is_at_least_what_its_response_asks_for() {
    let asking = |status| {
        let response = ErrorResponse { status, ..ErrorResponse::default() };
        Failure::ErrorResponse(ErrorResponse { retry_after: Some(7), ..response })
    };
    assert_eq!(asking(429).retry_after(), Some(7));
    assert_eq!(retry_delay(0, 0.0, &asking(429)), Duration::from_secs(7));
    // The session waits for other credentials by itself.
    assert_eq!(retry_delay(0, 0.0, &asking(401)), Duration::from_secs(2));
    assert_eq!(failed_connection().retry_after(), None);
    assert_eq!(retry_delay(1, 1.0, &failed_connection()), Duration::from_secs(1));
}

#[test]
fn hosts_that_are_asked_to_wait_as_long_do_not_come_back_at_once() {
    // The first attempt of each host was refused in the same second.
    let spread = |asked| backoff(0, 1.0, Some(asked)) - backoff(0, 0.0, Some(asked));
    assert_eq!(spread(0), Duration::from_millis(500));
    assert_eq!(spread(10), Duration::from_secs(10));
    assert_eq!(spread(300), Duration::from_secs(30));
}

const ALL: [Operation; 12] = [
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
    Operation::Restore,
];

#[test]
fn a_404_about_the_bucket_is_ambiguous_for_every_operation() {
    for operation in ALL {
        for code in ["BucketNotFound", "NamespaceNotFound", "NotAuthorizedOrNotFound"] {
            for stage in [RunStage::Preflight, RunStage::Streaming] {
                let decision = classify(operation, stage, &error_response(404, code));
                assert_eq!(decision, RetryDecision::AmbiguousNotFound, "{operation:?} {code}");
            }
        }
    }
}

#[test]
fn the_404_of_a_page_of_a_proxy_is_final_in_the_preflight() {
    let page = Failure::ErrorResponse(ErrorResponse { status: 404, ..ErrorResponse::default() });
    let decision = classify(Operation::Namespace, RunStage::Preflight, &page);
    assert_eq!(decision, RetryDecision::Fatal(ErrorKind::Service));
    // The response to a HEAD has no body, so that it may be one of the service.
    let decision = classify(Operation::Head, RunStage::Preflight, &page);
    assert_eq!(decision, RetryDecision::AmbiguousNotFound);
}

#[test]
fn an_error_names_exactly_the_permissions_that_its_call_needs() {
    use Operation::*;
    let create_and_overwrite = "OBJECT_CREATE and OBJECT_OVERWRITE, both also for a new name";
    for (operation, permissions) in [
        (Create, create_and_overwrite),
        (Part, create_and_overwrite),
        (Commit, create_and_overwrite),
        (Put, "OBJECT_CREATE, and OBJECT_OVERWRITE to replace an object"),
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
            let hint = error_response(status, code).error(operation, "x").hint.unwrap();
            // The hint names no other permission.
            let exact = hint.ends_with(&format!(" needs {permissions}"));
            assert!(exact, "{operation:?} {code}: {hint}");
        }
    }
}

#[test]
fn the_message_of_a_refused_cleanup_names_the_missing_permission() {
    for (operation, permission) in [
        (Operation::Abort, "OBJECT_DELETE"),
        (Operation::Delete, "OBJECT_DELETE"),
        (Operation::ListUploads, "BUCKET_READ"),
    ] {
        for (status, code) in
            [(403, "NotAllowed"), (404, "BucketNotFound"), (404, "NotAuthorizedOrNotFound")]
        {
            let message = error_response(status, code).message_with_permissions(operation);
            let named = message.ends_with(&format!(" needs {permission}"));
            assert!(named, "{operation:?} {code}: {message}");
        }
    }
}

#[test]
fn an_answer_without_the_marks_of_the_service_is_reported_as_none_of_object_storage() {
    let service = ErrorResponse {
        request_id: Some("id".to_owned()),
        status: 403,
        ..ErrorResponse::default()
    };
    for operation in ALL {
        for status in [400, 401, 403, 404, 412, 429, 502, 503] {
            let page = Failure::ErrorResponse(ErrorResponse { status, ..ErrorResponse::default() });
            let hint = page.error(operation, "x").hint.unwrap();
            assert!(hint.contains("not from Object Storage"), "{operation:?} {status}: {hint}");
            let cleanup = page.message_with_permissions(operation);
            assert!(!cleanup.contains("polic") && !hint.contains("polic"), "{hint}; {cleanup}");
        }
        let hint = Failure::ErrorResponse(service.clone()).error(operation, "x").hint.unwrap();
        assert!(hint.contains("policy"), "{hint}");
    }
}

#[test]
fn an_error_by_a_rule_of_the_bucket_names_the_rule() {
    let hint_for =
        |status, code| error_response(status, code).error(Operation::Put, "x").hint.unwrap();
    assert!(hint_for(403, "RetentionRuleViolation").contains("retention rule"));
    assert!(hint_for(403, "BucketIsReadonly").contains("replication"));
    assert!(hint_for(401, "NotAuthenticated").contains("subscribed"));
    assert!(hint_for(400, "QuotaExceeded").contains("full"));
}

#[test]
fn nothing_is_decided_by_the_text_of_a_message() {
    let message =
        "The computed MD5 of the request body (A) does not match the header (B)".to_owned();
    let response = |code: &str| {
        let (status, code) = (400, Some(code.to_owned()));
        Failure::ErrorResponse(ErrorResponse {
            status,
            code,
            message: message.clone(),
            ..ErrorResponse::default()
        })
    };
    let decision_of = |code| classify(Operation::Part, RunStage::Preflight, &response(code));
    assert_eq!(decision_of("InvalidParameter"), RetryDecision::Fatal(ErrorKind::Service));
    assert_eq!(decision_of("UnmatchedContentMD5"), RetryDecision::ChecksumMismatch);
}

#[test]
fn a_setting_that_lets_no_connection_be_made_is_final_in_the_preflight_and_retried_while_streaming()
{
    for (kind, option) in [
        (TransportError::UntrustedCertificate, "--cert-bundle"),
        (TransportError::UntrustedProxyCertificate, "authority of the proxy with --cert-bundle"),
        (TransportError::ProxyAuthRequired, "USER:PASSWORD@"),
        (TransportError::ProxyRefused, "NO_PROXY"),
    ] {
        let rejected = Failure::Transport { kind, text: "the proxy".to_owned() };
        for operation in [Operation::Namespace, Operation::Head, Operation::Create] {
            assert_eq!(
                classify(operation, RunStage::Preflight, &rejected),
                RetryDecision::Fatal(ErrorKind::Service)
            );
            assert_eq!(
                classify(operation, RunStage::Streaming, &rejected),
                RetryDecision::Retry { throttled: false }
            );
        }
        let error = rejected.error(Operation::Head, "HeadObject").to_string();
        assert!(error.contains(option), "{error}");
    }
}
