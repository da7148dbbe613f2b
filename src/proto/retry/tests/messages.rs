//! The texts and fields of failures.

use super::*;
use crate::request_fields::{AttemptName, RequestFields};

fn through_par(status: u16, code: &str) -> Failure {
    let Failure::ErrorResponse(response) = error_response(status, code) else { unreachable!() };
    Failure::ErrorResponse(response.through_par())
}

fn hint(operation: Operation, failure: &Failure) -> String {
    failure.error(operation, "x").hint.unwrap_or_default()
}

#[test]
fn an_operation_has_its_name_in_the_api_reference() {
    let names = [
        "GetNamespace",
        "HeadObject",
        "CreateMultipartUpload",
        "UploadPart",
        "PutObject",
        "CommitMultipartUpload",
        "AbortMultipartUpload",
        "ListMultipartUploadParts",
        "ListMultipartUploads",
        "DeleteObject",
        "GetObject",
        "RestoreObjects",
    ];
    assert_eq!(ALL.map(Operation::name), names);
}

#[test]
fn an_error_has_the_fields_of_its_attempt_and_of_its_response() {
    let attempt = AttemptName::of_part(7, 3);
    let of_attempt = RequestFields {
        operation: Some("UploadPart"),
        part: Some(7),
        attempt: Some(3),
        ..RequestFields::default()
    };
    let fields = RequestFields {
        status: Some(503),
        code: Some("ServiceUnavailable".to_owned()),
        request_id: Some("iad-1:x".to_owned()),
        ..of_attempt.clone()
    };
    let failure = error_response(503, "ServiceUnavailable");
    let error = failure.error(Operation::Part, &attempt);
    assert_eq!(error.request.as_deref(), Some(&fields));
    assert_eq!(failure.request_fields(Operation::Part, &attempt), fields);
    let of_response = RequestFields { operation: None, part: None, attempt: None, ..fields };
    assert_eq!(failure.response_fields(), of_response);
    // There is no response.
    let error = failed_connection().error(Operation::Part, &attempt);
    assert_eq!(error.request.as_deref(), Some(&of_attempt));
    assert_eq!(failed_connection().response_fields(), RequestFields::default());
}

#[test]
fn a_message_names_the_attempt_and_what_failed() {
    let own = || Error::credentials("the token has expired").with_hint("sign in again");
    for (failure, kind, message, hint) in [
        (
            error_response(500, "InternalServerError"),
            ErrorKind::Service,
            "part 7, attempt 3: HTTP 500 InternalServerError (opc-request-id iad-1:x)",
            None,
        ),
        (failed_connection(), ErrorKind::Service, "part 7, attempt 3: refused", None),
        (
            Failure::Credentials(own()),
            ErrorKind::Credentials,
            "part 7, attempt 3: the token has expired",
            Some("sign in again"),
        ),
        (
            Failure::Local(Error::usage("the name is empty")),
            ErrorKind::Usage,
            "part 7, attempt 3: the name is empty",
            None,
        ),
    ] {
        let error = failure.error(Operation::Part, AttemptName::of_part(7, 3));
        assert_eq!((error.kind, error.message.as_str()), (kind, message));
        assert_eq!(error.hint.as_deref(), hint, "{message}");
    }
}

#[test]
fn an_error_response_is_of_the_kind_of_its_status() {
    for (failure, kind) in [
        (error_response(401, "NotAuthenticated"), ErrorKind::Credentials),
        (through_par(401, "NotAuthenticated"), ErrorKind::Credentials),
        (through_par(404, "BucketNotFound"), ErrorKind::Credentials),
        (through_par(404, "UploadNotFound"), ErrorKind::Service),
        (error_response(404, "BucketNotFound"), ErrorKind::Service),
        (error_response(412, "IfNoneMatchFailed"), ErrorKind::Exists),
        (error_response(403, "NotAllowed"), ErrorKind::Service),
    ] {
        assert_eq!(failure.error(Operation::Part, "x").kind, kind, "{failure:?}");
    }
}

#[test]
fn a_hint_names_what_the_user_can_do_and_there_is_none_where_nothing_helps() {
    use Operation::*;
    let takes = "OBJECT_CREATE, and OBJECT_OVERWRITE to replace an object";
    let missing = |names: &str| {
        format!(
            "check {names}, and the policy: a missing right has the same answer, and this call needs \
             {takes}"
        )
    };
    for (operation, status, code, expected) in [
        (Namespace, 404, "NamespaceNotFound", "check the endpoint and the region"),
        (Namespace, 404, "NotAuthorizedOrNotFound", "check the endpoint and the region"),
        (Namespace, 403, "NotAllowed", "a policy forbids this call"),
        (Put, 404, "NamespaceNotFound", &missing("--namespace (left out, it is looked up)")),
        (Put, 404, "BucketNotFound", &missing("the bucket's name, the namespace and the region")),
        (Put, 403, "NotAllowed", &format!("a policy forbids this call, which needs {takes}")),
        (Part, 404, "UploadNotFound", ""),
        (Get, 404, "ObjectNotFound", ""),
        (Put, 412, "IfMatchFailed", "find out what replaced it before trying again"),
        (Put, 412, "IfNoneMatchFailed", "give --force to replace the existing object"),
        (Part, 429, "TooManyRequests", "the service was throttling; --retry-for allows more time"),
        (
            Part,
            503,
            "ServiceUnavailable",
            "the service was throttling; --retry-for allows more time",
        ),
        (Part, 400, "InvalidParameter", ""),
        (Part, 500, "InternalServerError", ""),
    ] {
        assert_eq!(hint(operation, &error_response(status, code)), expected, "{status} {code}");
    }
}

#[test]
fn a_hint_about_a_pre_authenticated_request_names_what_its_owner_can_do() {
    let refused = "it cannot be renewed: create a new one";
    let right = "the user who created the pre-authenticated request has no right to this call, or the \
                 request does not allow it";
    let digests = "nothing documents digests in headers for pre-authenticated requests: --checksum none \
                   sends none";
    for (status, code, expected) in [
        (401, "NotAuthenticated", refused),
        (404, "BucketNotFound", refused),
        (404, "", refused),
        (404, "UploadNotFound", ""),
        (404, "ObjectNotFound", ""),
        (403, "NotAllowed", right),
        (400, "InvalidParameter", digests),
        (500, "InternalServerError", ""),
    ] {
        let hint = hint(Operation::Part, &through_par(status, code));
        let matches = match expected == refused {
            true => hint.to_lowercase().ends_with(refused),
            false => hint == expected,
        };
        assert!(matches, "{status} {code}: {hint}");
    }
}

#[test]
fn a_failure_knows_whether_it_went_through_a_pre_authenticated_request() {
    assert!(through_par(500, "InternalServerError").is_through_par());
    assert!(!error_response(500, "InternalServerError").is_through_par());
    assert!(!failed_connection().is_through_par());
}

#[test]
fn only_the_code_of_an_object_that_is_missing_means_that_it_is_missing() {
    assert!(error_response(404, "ObjectNotFound").is_object_missing());
    for failure in [
        error_response(404, "BucketNotFound"),
        error_response(404, "UploadNotFound"),
        error_response(404, ""),
        failed_connection(),
    ] {
        assert!(!failure.is_object_missing(), "{failure:?}");
    }
}

#[test]
fn the_codes_about_what_is_in_a_bucket_and_about_its_rules_show_that_it_exists() {
    for code in [
        "UploadNotFound",
        "ObjectNotFound",
        "InvalidUploadPart",
        "IfNoneMatchFailed",
        "IfMatchFailed",
        "NoEtagMatch",
        "RetentionRuleViolation",
        "BucketIsReadonly",
    ] {
        assert!(error_response(400, code).shows_bucket(), "{code}");
    }
    for code in ["BucketNotFound", "NotAuthorizedOrNotFound", "InternalServerError", ""] {
        assert!(!error_response(404, code).shows_bucket(), "{code}");
    }
    assert!(!failed_connection().shows_bucket());
}
