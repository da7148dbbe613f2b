//! Which events are emitted, and how often.

use super::*;
use crate::request_fields::RequestFields;

#[test]
fn the_response_of_a_failed_refresh_is_kept_for_logs() {
    let mut lifecycle = token(3600);
    lifecycle.refresh_started(RefreshReason::Due);
    let request = RequestFields { status: Some(503), ..RequestFields::default() };
    let request = Some(Box::new(request));
    let outcome = RefreshOutcome::Failed { why: "503".into(), retry_after: None, request };
    lifecycle.refresh_finished(at(3000), &outcome);
    let statuses: Vec<_> =
        lifecycle.take_events().iter().map(|event| event.request().map(|r| r.status)).collect();
    assert_eq!(statuses, [None, Some(Some(503))]);
}

#[test]
fn an_event_of_another_component_is_emitted_each_time_or_once_until_another_comes() {
    let (busy, full) = (TokenEvent::Locked, TokenEvent::NotWritten { what: "full".to_owned() });
    let mut lifecycle = token(3600);
    for event in [&busy, &busy] {
        lifecycle.emit(event.clone());
    }
    assert_eq!(lifecycle.take_events(), [busy.clone(), busy.clone()]);
    for event in [&busy, &busy, &full, &full, &busy] {
        lifecycle.emit_once(event.clone());
    }
    assert_eq!(lifecycle.take_events(), [busy.clone(), full, busy]);
}

#[test]
fn an_expiry_while_the_stream_pauses_is_reported_once_for_each_token() {
    let expired = [TokenEvent::ExpiredWhileIdle { hint: String::new() }];
    let mut lifecycle = TokenLifecycle::new(at(0), policy(None), token_info(1, 60, 60));
    // Before the stream is read, the next request reports it.
    lifecycle.report_expiry_while_idle(at(60));
    assert_eq!(lifecycle.take_events(), []);
    lifecycle.set_streaming();
    lifecycle.report_expiry_while_idle(at(30));
    assert_eq!(lifecycle.take_events(), [], "the token has not expired");
    for second in 60..65 {
        lifecycle.report_expiry_while_idle(at(second));
    }
    assert_eq!(lifecycle.take_events(), expired);
    lifecycle.adopt(at(70), token_info(2, 60, 130), CredentialOrigin::Files);
    lifecycle.take_events();
    lifecycle.report_expiry_while_idle(at(71));
    assert_eq!(lifecycle.take_events(), []);
    // A request that waits has a report of its own.
    assert_eq!(lifecycle.decide(at(130), SigningRequest::Small), TokenDecision::Wait);
    lifecycle.report_expiry_while_idle(at(130));
    assert_eq!(lifecycle.take_events(), []);
}

#[test]
fn a_token_that_nothing_renews_ends_for_good_and_is_reported_once() {
    let policy = RefreshPolicy { renewal: Renewal::Never, ..policy(None) };
    let token = TokenInfo { session_end: Some(secs(WALL + 9000)), ..token_info(1, 3600, 3600) };
    let mut lifecycle = TokenLifecycle::new(at(0), policy, token);
    let end = secs(WALL + 3600);
    assert_eq!(lifecycle.take_events(), [TokenEvent::EndsForGood { end }]);
    assert_eq!(lifecycle.credentials_end(), Some(end));
    lifecycle.set_policy(at(1), policy);
    lifecycle.set_upload_eta(at(1), None);
    assert_eq!(lifecycle.take_events(), []);
    // An API key in the environment has no end.
    let key = TokenInfo { expires: None, issued: None, session_end: None, ..token };
    let mut lifecycle = TokenLifecycle::new(at(0), policy, key);
    assert_eq!((lifecycle.credentials_end(), lifecycle.take_events()), (None, vec![]));
}

#[test]
fn the_end_of_the_session_is_reported_with_that_of_its_token_where_this_is_earlier() {
    for (session_end, token_ends) in [(9000, Some(3600)), (3600, None), (3000, None)] {
        let end = secs(WALL + session_end);
        let token = TokenInfo { session_end: Some(end), ..token_info(1, 3600, 3600) };
        let mut lifecycle = TokenLifecycle::new(at(0), policy(None), token);
        let token_ends = token_ends.map(|seconds| secs(WALL + seconds));
        assert_eq!(lifecycle.take_events(), [TokenEvent::SessionEnds { end, token_ends }]);
        assert_eq!(lifecycle.credentials_end(), Some(end));
    }
}
