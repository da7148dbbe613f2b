//! When a refresh is due, and what its outcome means.

use super::*;
use std::collections::BTreeSet;

use crate::token_lifecycle::events::Level;

#[test]
fn a_failed_refresh_waits_as_long_as_the_service_asks_but_not_until_the_token_expires() {
    // The token expires at 3600; the pause of the first failure is 1 s without the wish of the service.
    for (asked, failed_at, expected) in [(60, 3000, 60), (10_000, 2000, 300), (400, 3400, 100)] {
        let mut lifecycle = token(3600);
        lifecycle.refresh_started(RefreshReason::Due);
        let retry_after = Some(Duration::from_secs(asked));
        let outcome = RefreshOutcome::Failed { why: "429".into(), retry_after, request: None };
        lifecycle.refresh_finished(at(failed_at), &outcome);
        let again = lifecycle.take_events().into_iter().find_map(|event| match event {
            TokenEvent::RefreshFailed { again, .. } => Some(again.as_secs()),
            _ => None,
        });
        assert_eq!(again, Some(expected), "{asked} s at {failed_at}");
    }
}

#[test]
fn a_refresh_is_due_ten_minutes_or_a_third_of_the_life_before_the_end() {
    assert_eq!(due(3600, None), 3000);
    assert_eq!(due(1800, None), 1200);
    assert_eq!(due(300, None), 200);
    assert_eq!(due(6, None), 4);
}

#[test]
fn refresh_before_is_that_of_the_user_and_at_most_half_the_lifetime() {
    assert_eq!(due(3600, Some(60)), 3540);
    assert_eq!(due(3600, Some(1200)), 2400);
    assert_eq!(due(3600, Some(7200)), 1800);
    assert_eq!(due(300, Some(600)), 150);
}

#[test]
fn the_wait_until_the_refresh_is_known_and_needs_no_polling() {
    let lifecycle = token(60);
    assert_eq!(lifecycle.next_task(at(25)), BackgroundTask::Idle(secs(15)));
    assert_eq!(lifecycle.next_task(at(5)), BackgroundTask::Idle(MAX_IDLE));
}

#[test]
fn one_refresh_at_a_time_and_failures_back_off_to_a_maximum() {
    let mut lifecycle = token(3600);
    let mut now = 3000;
    let mut delays = Vec::new();
    for _ in 0..8 {
        assert_eq!(lifecycle.next_task(at(now)), BackgroundTask::Refresh(RefreshReason::Due));
        lifecycle.refresh_started(RefreshReason::Due);
        assert!(matches!(lifecycle.next_task(at(now)), BackgroundTask::Idle(_)));
        lifecycle.refresh_finished(
            at(now),
            &RefreshOutcome::Failed { why: "503".into(), retry_after: None, request: None },
        );
        let began = now;
        while lifecycle.next_task(at(now)) != BackgroundTask::Refresh(RefreshReason::Due) {
            now += 1;
        }
        delays.push(now - began);
    }
    assert_eq!(delays, [1, 2, 4, 8, 16, 32, 60, 60]);
    // Only the first failure is a warning.
    let events = lifecycle.take_events();
    let failed = |event: &&TokenEvent| matches!(event, TokenEvent::RefreshFailed { .. });
    let warnings = events.iter().filter(failed).filter(|n| n.level() == Level::Warning);
    assert_eq!(warnings.count(), 1);
}

#[test]
fn a_token_that_expires_later_resets_the_backoff() {
    for (end, resets) in [(3601, true), (3600, false), (3599, false)] {
        let mut lifecycle = token(3600);
        lifecycle.refresh_started(RefreshReason::Due);
        let (why, retry_after) = ("503".to_owned(), Some(secs(200)));
        let outcome = RefreshOutcome::Failed { why, retry_after, request: None };
        lifecycle.refresh_finished(at(3000), &outcome);
        lifecycle.adopt(at(3001), token_info(2, 3600, end), CredentialOrigin::Files);
        let refresh = BackgroundTask::Refresh(RefreshReason::Due);
        assert_eq!(lifecycle.next_task(at(3001)) == refresh, resets, "{end}");
        assert_eq!(lifecycle.next_task(at(3200)), refresh, "{end}");
    }
}

#[test]
fn a_refresh_without_more_time_is_reported_once_with_the_end_of_the_session() {
    let mut lifecycle = token(3600);
    for second in [3000, 3100, 3300] {
        lifecycle.refresh_started(RefreshReason::Due);
        lifecycle.refresh_finished(at(second), &RefreshOutcome::NotExtended);
    }
    let expires = secs(WALL + 3600);
    let events = lifecycle.take_events();
    let count = |wanted: &TokenEvent| events.iter().filter(|event| *event == wanted).count();
    assert_eq!(count(&TokenEvent::NotExtended { expires }), 1);
    assert_eq!(count(&TokenEvent::SessionEnds { end: expires, token_ends: None }), 1);
}

#[test]
fn the_end_of_the_session_is_a_warning_if_the_upload_will_end_later() {
    let day = 24 * 3600;
    let with_end = |session_end: u64, likely: Option<u64>| {
        let facts =
            TokenInfo { session_end: Some(secs(WALL + session_end)), ..token_info(1, 3600, 3600) };
        let mut lifecycle = TokenLifecycle::new(at(0), policy(None), facts);
        for _ in 0..3 {
            lifecycle.set_upload_eta(at(10), likely.map(|likely| secs(WALL + likely)));
        }
        let events = lifecycle.take_events();
        let ends = |event: &&TokenEvent| matches!(event, TokenEvent::SessionEnds { .. });
        assert_eq!(events.iter().filter(ends).count(), 1);
        events.iter().filter(|n| matches!(n, TokenEvent::EndsBeforeUpload { .. })).count()
    };
    assert_eq!(with_end(day, Some(day)), 0);
    assert_eq!(with_end(day, Some(day + 1)), 1);
    // If the end of the upload is not known, a session shorter than two hours is a warning.
    assert_eq!(with_end(2 * 3600 + 10, None), 0);
    assert_eq!(with_end(2 * 3600 + 9, None), 1);
}

#[test]
fn a_transfer_is_started_with_a_token_that_outlives_it_if_there_can_be_one() {
    let mut lifecycle = token(3600);
    assert_eq!(lifecycle.decide(at(2000), transfer(1, 1200)), TokenDecision::Use);
    // 25 % are added, since the rate may fall.
    assert_eq!(lifecycle.decide(at(2000), transfer(1, 1300)), TokenDecision::RefreshFirst);
    assert_eq!(lifecycle.next_task(at(2000)), BackgroundTask::Refresh(RefreshReason::Transfer));
    lifecycle.refresh_started(RefreshReason::Transfer);
    // Other transfers share the refresh in flight; a further attempt at the same one uses the token.
    assert_eq!(lifecycle.decide(at(2000), transfer(2, 1300)), TokenDecision::RefreshFirst);
    assert_eq!(lifecycle.decide(at(2000), transfer(1, 1300)), TokenDecision::Use);
    lifecycle.refresh_finished(
        at(2001),
        &RefreshOutcome::Failed { why: "503".into(), retry_after: None, request: None },
    );
    assert_eq!(lifecycle.decide(at(2001), transfer(3, 1300)), TokenDecision::Use);
}

#[test]
fn all_attempts_at_a_transfer_together_ask_for_one_refresh() {
    let mut lifecycle = token(3600);
    assert_eq!(lifecycle.decide(at(2000), transfer(7, 1800)), TokenDecision::RefreshFirst);
    lifecycle.refresh_started(RefreshReason::Transfer);
    lifecycle.adopt(at(2001), token_info(2, 3600, 5600), CredentialOrigin::Refresh);
    lifecycle.refresh_finished(at(2001), &RefreshOutcome::Extended);
    // The transfer is retried, when the new token would not outlive it either.
    assert_eq!(lifecycle.decide(at(4000), transfer(7, 1800)), TokenDecision::Use);
    assert_eq!(lifecycle.decide(at(4000), transfer(8, 1800)), TokenDecision::RefreshFirst);
}

#[test]
fn no_refresh_is_sent_for_a_transfer_that_no_token_outlives() {
    let mut lifecycle = token(3600);
    assert_eq!(lifecycle.decide(at(2000), transfer(1, 3600)), TokenDecision::Use);
    let end = Some(secs(WALL + 3700));
    lifecycle.adopt(
        at(1),
        TokenInfo { session_end: end, ..token_info(2, 3600, 3600) },
        CredentialOrigin::Files,
    );
    assert_eq!(lifecycle.decide(at(2000), transfer(1, 1500)), TokenDecision::Use);
}

#[test]
fn tokens_that_are_rejected_at_once_after_each_refresh_cause_no_storm() {
    let mut lifecycle = token(3600);
    let mut refreshes = 0;
    for second in 0..600 {
        reject(&mut lifecycle, second);
        if let BackgroundTask::Refresh(reason) = lifecycle.next_task(at(second)) {
            assert_eq!(reason, RefreshReason::Rejected);
            refreshes += 1;
            lifecycle.refresh_started(reason);
            let fresh = token_info(refreshes + 1, 3600, second + 3600);
            lifecycle.adopt(at(second), fresh, CredentialOrigin::Refresh);
            lifecycle.refresh_finished(at(second), &RefreshOutcome::Extended);
        }
    }
    assert!((8..=16).contains(&refreshes), "{refreshes}");
}

#[test]
fn tokens_that_are_due_for_renewal_when_they_are_issued_cause_no_storm() {
    // Each has 10 h from issue to expiry, of which 60 s are left.
    let mut lifecycle = token(36_000);
    let mut refreshes = 0;
    for second in 35_000..36_000 {
        if let BackgroundTask::Refresh(reason) = lifecycle.next_task(at(second)) {
            refreshes += 1;
            lifecycle.refresh_started(reason);
            let fresh = token_info(refreshes + 1, 36_000, (second + 60).max(36_000));
            lifecycle.adopt(at(second), fresh, CredentialOrigin::Refresh);
            lifecycle.refresh_finished(at(second), &RefreshOutcome::Extended);
        }
        assert_eq!(lifecycle.decide(at(second), SigningRequest::Small), TokenDecision::Use);
    }
    assert!((10..=80).contains(&refreshes), "{refreshes}");
}

#[test]
fn a_service_that_issues_tokens_has_no_end_of_a_session() {
    let policy = RefreshPolicy { renewal: Renewal::Issue, ..policy(None) };
    let mut lifecycle = TokenLifecycle::new(at(0), policy, token_info(1, 3600, 3600));
    lifecycle.set_upload_eta(at(0), None);
    lifecycle.refresh_started(RefreshReason::Rejected);
    lifecycle.refresh_finished(at(1), &RefreshOutcome::NotExtended);
    let not_extended = |event: &TokenEvent| matches!(event, TokenEvent::NotExtended { .. });
    assert!(!lifecycle.take_events().iter().any(not_extended));
    lifecycle.refresh_started(RefreshReason::Due);
    lifecycle.refresh_finished(at(3000), &RefreshOutcome::NotExtended);
    let events = lifecycle.take_events();
    assert_eq!(events.iter().filter(|event| not_extended(event)).count(), 1);
    let of_session = |event: &&TokenEvent| {
        matches!(event, TokenEvent::SessionEnds { .. } | TokenEvent::EndsBeforeUpload { .. })
    };
    assert_eq!(events.iter().filter(of_session).count(), 0, "{events:?}");
}

#[test]
fn a_refresh_before_of_more_than_half_of_the_life_is_reduced_with_a_warning() {
    for (given, life, warns) in [(540, 600, true), (300, 600, false), (600, 3600, false)] {
        let mut lifecycle = TokenLifecycle::new(at(0), policy(None), token_info(1, life, life));
        lifecycle.set_policy(at(0), policy(Some(given)));
        let reduced = TokenEvent::RefreshBeforeReduced { given: secs(given), most: secs(life / 2) };
        assert_eq!(lifecycle.take_events().contains(&reduced), warns, "{given}");
        assert_eq!(due(life, Some(given)), life - given.min(life / 2));
    }
}

/// The seconds at which a refresh is due of tokens that were issued in the same second, of hosts with
/// different seeds, and those at which it is repeated after its first five failures.
fn refreshes_of_a_fleet(hosts: u64) -> (BTreeSet<u64>, BTreeSet<u64>) {
    let (mut first, mut sixth) = (BTreeSet::new(), BTreeSet::new());
    for seed in 0..hosts {
        let policy = RefreshPolicy { seed: Some(seed), ..policy(None) };
        let mut lifecycle = TokenLifecycle::new(at(0), policy, token_info(1, 3600, 3600));
        lifecycle.set_streaming();
        let due = |lifecycle: &TokenLifecycle, from: u64| {
            let refresh = BackgroundTask::Refresh(RefreshReason::Due);
            (from..3600).find(|second| lifecycle.next_task(at(*second)) == refresh).unwrap()
        };
        let mut now = due(&lifecycle, 0);
        assert!((2640..=3000).contains(&now), "{now}");
        first.insert(now);
        // All of them fail at once, as in an outage.
        now = now.max(3000);
        for _ in 0..6 {
            lifecycle.refresh_started(RefreshReason::Due);
            let why = "503".to_owned();
            let outcome = RefreshOutcome::Failed { why, retry_after: Some(secs(5)), request: None };
            lifecycle.refresh_finished(at(now), &outcome);
            now = due(&lifecycle, now);
        }
        sixth.insert(now);
    }
    (first, sixth)
}

#[test]
fn a_fleet_that_was_started_in_one_second_does_not_refresh_its_tokens_in_one_second() {
    let (first, sixth) = refreshes_of_a_fleet(100);
    assert!(first.len() > 60, "{first:?}");
    assert!(sixth.len() > 25, "{sixth:?}");
}
