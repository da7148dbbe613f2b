//! What a 401 means, and how a rejected token is probed.

use super::*;

#[test]
fn a_401_that_took_long_still_concerns_the_token() {
    let mut lifecycle = token(3600);
    // A part that was signed under a valid date and took twenty minutes.
    let (signed, took) = (secs(WALL + 100), secs(1200));
    let server = Some(secs(WALL + 1300));
    let action = lifecycle.on_unauthorized(at(1300), attempt(1, signed, took), server);
    assert_eq!(action, On401::RereadFiles);
    assert_eq!(lifecycle.decide(at(1300), transfer(1, 1200)), TokenDecision::Wait);
}

#[test]
fn an_abort_is_attempted_once_with_a_rejected_token_and_never_with_an_expired_one() {
    let mut lifecycle = token(3600);
    // An abort before the rejection is no attempt with a rejected token, nor is another request.
    lifecycle.on_signed(at(1), SigningRequest::Abort);
    reject(&mut lifecycle, 10);
    lifecycle.on_signed(at(10), SigningRequest::Small);
    assert_eq!(lifecycle.decide(at(3605), SigningRequest::Abort), TokenDecision::Wait);
    for _ in 0..2 {
        // The client asks before connecting, and again before signing.
        assert_eq!(lifecycle.decide(at(20), SigningRequest::Abort), TokenDecision::Use);
    }
    lifecycle.on_signed(at(20), SigningRequest::Abort);
    assert_eq!(lifecycle.decide(at(20), SigningRequest::Abort), TokenDecision::Wait);
    lifecycle.adopt(at(30), token_info(2, 3600, 3630), CredentialOrigin::Files);
    assert_eq!(lifecycle.decide(at(30), SigningRequest::Abort), TokenDecision::Use);
    reject(&mut lifecycle, 31);
    assert_eq!(lifecycle.decide(at(31), SigningRequest::Abort), TokenDecision::Use);
}

#[test]
fn a_401_under_a_date_out_of_the_window_concerns_the_clock_and_not_the_token() {
    let mut lifecycle = token(3600);
    let (local, server) = (secs(WALL), secs(WALL + 400));
    assert_eq!(
        lifecycle.on_unauthorized(at(0), attempt(1, local, Duration::ZERO), Some(server)),
        On401::Retry(NotThisToken::Date)
    );
    assert_eq!(lifecycle.clock(at(1)), secs(WALL + 401));
    assert_eq!(lifecycle.decide(at(1), SigningRequest::Small), TokenDecision::Use);
    let events = lifecycle.take_events();
    assert_eq!(
        events,
        [TokenEvent::Skew { seconds: 400 }, TokenEvent::Stale { stale: NotThisToken::Date }]
    );
}

#[test]
fn a_date_is_in_the_window_up_to_five_minutes_from_the_service_clock() {
    for (server, action) in [(300, On401::RereadFiles), (301, On401::Retry(NotThisToken::Date))] {
        let mut lifecycle = token(3600);
        let attempt = attempt(1, secs(WALL), Duration::ZERO);
        assert_eq!(lifecycle.on_unauthorized(at(0), attempt, Some(secs(WALL + server))), action);
    }
}

#[test]
fn the_401s_of_all_parts_in_flight_are_reported_as_one_rejection() {
    let mut lifecycle = token(3600);
    for _ in 0..4 {
        assert_eq!(reject(&mut lifecycle, 10), On401::RereadFiles);
    }
    assert_eq!(lifecycle.take_events(), [TokenEvent::Rejected]);
}

#[test]
fn a_401_for_an_older_or_expired_token_is_no_rejection_of_the_current_one() {
    let mut lifecycle = token(3600);
    lifecycle.adopt(at(10), token_info(2, 3600, 3610), CredentialOrigin::Files);
    let date = Some(secs(WALL + 11));
    assert_eq!(
        lifecycle.on_unauthorized(at(11), attempt(1, secs(WALL + 11), Duration::ZERO), date),
        On401::Retry(NotThisToken::Replaced)
    );
    assert_eq!(lifecycle.decide(at(11), SigningRequest::Small), TokenDecision::Use);
    assert_eq!(reject(&mut lifecycle, 3611), On401::Retry(NotThisToken::Expired));
}

#[test]
fn a_rejected_token_is_not_used_before_a_probe_passed_and_probes_are_ten_seconds_apart() {
    let mut lifecycle = TokenLifecycle::new(
        at(0),
        RefreshPolicy { renewal: Renewal::FilesOnly, ..policy(None) },
        token_info(1, 3600, 3600),
    );
    lifecycle.set_streaming();
    assert_eq!(reject(&mut lifecycle, 100), On401::RereadFiles);
    let mut probes = Vec::new();
    for second in 100..140 {
        assert_eq!(lifecycle.decide(at(second), SigningRequest::Small), TokenDecision::Wait);
        if lifecycle.next_task(at(second)) == BackgroundTask::Probe {
            probes.push(second);
            lifecycle.probe_started(at(second));
            assert!(
                matches!(lifecycle.next_task(at(second)), BackgroundTask::Idle(_)),
                "two at a time"
            );
            lifecycle.probe_finished(at(second), 1, ProbeResult::Rejected);
        }
    }
    assert_eq!(probes, [101, 111, 121, 131]);
    lifecycle.probe_started(at(141));
    lifecycle.probe_finished(at(141), 1, ProbeResult::Accepted);
    assert_eq!(lifecycle.decide(at(141), SigningRequest::Small), TokenDecision::Use);
    // Rejected again at once: probes pass and parts do not, so the next probe comes after 10 s.
    reject(&mut lifecycle, 142);
    assert!(matches!(lifecycle.next_task(at(150)), BackgroundTask::Idle(_)));
    assert_eq!(lifecycle.next_task(at(152)), BackgroundTask::Probe);
}

#[test]
fn a_late_probe_result_of_an_older_token_does_not_concern_the_current_one() {
    for result in [ProbeResult::Accepted, ProbeResult::Rejected, ProbeResult::Unanswered] {
        let policy = RefreshPolicy { renewal: Renewal::FilesOnly, ..policy(None) };
        let mut lifecycle = TokenLifecycle::new(at(0), policy, token_info(1, 3600, 3600));
        lifecycle.set_streaming();
        reject(&mut lifecycle, 100);
        lifecycle.probe_started(at(101));
        lifecycle.adopt(at(102), token_info(2, 3600, 3702), CredentialOrigin::Files);
        reject(&mut lifecycle, 103);
        lifecycle.probe_finished(at(104), 1, result);
        let decision = lifecycle.decide(at(104), SigningRequest::Small);
        assert_eq!(decision, TokenDecision::Wait, "{result:?}");
        // It neither delays nor ends the probe of the current token.
        assert_eq!(lifecycle.next_task(at(113)), BackgroundTask::Probe, "{result:?}");
        lifecycle.probe_started(at(113));
        lifecycle.probe_finished(at(114), 1, result);
        assert!(
            matches!(lifecycle.next_task(at(130)), BackgroundTask::Idle(_)),
            "two at a time: {result:?}"
        );
        lifecycle.probe_finished(at(131), 2, ProbeResult::Accepted);
        let decision = lifecycle.decide(at(131), SigningRequest::Small);
        assert_eq!(decision, TokenDecision::Use, "{result:?}");
    }
}

#[test]
fn at_the_start_there_is_one_refresh_of_rejected_credentials_and_no_wait() {
    let start = |renewal| {
        let rules = RefreshPolicy { renewal, ..policy(None) };
        TokenLifecycle::new(at(0), rules, token_info(1, 3600, 3600))
    };
    let mut lifecycle = start(Renewal::FilesOnly);
    reject(&mut lifecycle, 1);
    assert_eq!(lifecycle.decide(at(1), SigningRequest::Small), TokenDecision::TimedOut);

    let mut lifecycle = start(Renewal::Refresh);
    reject(&mut lifecycle, 1);
    assert_eq!(lifecycle.decide(at(1), SigningRequest::Small), TokenDecision::Wait);
    assert_eq!(lifecycle.next_task(at(1)), BackgroundTask::Refresh(RefreshReason::Rejected));
    lifecycle.refresh_started(RefreshReason::Rejected);
    assert_eq!(lifecycle.decide(at(2), SigningRequest::Small), TokenDecision::Wait);
    lifecycle.adopt(at(2), token_info(2, 3600, 3602), CredentialOrigin::Refresh);
    lifecycle.refresh_finished(at(2), &RefreshOutcome::Extended);
    assert_eq!(lifecycle.decide(at(2), SigningRequest::Small), TokenDecision::Use);
    reject(&mut lifecycle, 3);
    assert_eq!(lifecycle.decide(at(3), SigningRequest::Small), TokenDecision::TimedOut);
}

#[test]
fn lasting_401s_that_do_not_concern_the_token_are_reported() {
    let mut lifecycle = token(3600);
    for second in 10..75 {
        let attempt = attempt(1, secs(WALL + second + 5000), Duration::ZERO);
        let action = lifecycle.on_unauthorized(at(second), attempt, Some(secs(WALL + second)));
        assert_eq!(action, On401::Retry(NotThisToken::Date));
        assert_eq!(lifecycle.decide(at(second), SigningRequest::Small), TokenDecision::Use);
        let events = lifecycle.take_events();
        let waits = events.iter().any(|event| matches!(event, TokenEvent::Waiting { .. }));
        assert_eq!(waits, second == 70, "after {} s", second - 10);
    }
    lifecycle.on_success(at(75));
    assert_eq!(lifecycle.take_events(), [TokenEvent::Resumed]);
}

#[test]
fn a_wait_for_a_token_that_replaced_a_rejected_one_is_reported() {
    let mut lifecycle = token(3600);
    reject(&mut lifecycle, 10);
    // A part that was signed before the rejection succeeds.
    lifecycle.on_success(at(11));
    lifecycle.adopt(at(12), token_info(2, 60, 20), CredentialOrigin::Files);
    for second in [30, 32] {
        assert_eq!(lifecycle.decide(at(second), SigningRequest::Small), TokenDecision::Wait);
    }
    let events = lifecycle.take_events();
    let waits = |event: &TokenEvent| {
        matches!(event, TokenEvent::Waiting { cause: BlockCause::Expired, .. })
    };
    assert!(events.iter().any(waits), "{events:?}");
}

#[test]
fn hosts_whose_tokens_are_rejected_in_one_second_do_not_probe_them_in_one_second() {
    let mut third = std::collections::BTreeSet::new();
    for seed in 0..100 {
        let policy =
            RefreshPolicy { seed: Some(seed), renewal: Renewal::FilesOnly, ..policy(None) };
        let mut lifecycle = TokenLifecycle::new(at(0), policy, token_info(1, 3600, 3600));
        lifecycle.set_streaming();
        lifecycle.on_unauthorized(at(10), attempt(1, secs(WALL + 10), secs(0)), None);
        let tenths = |tenths: u64| Clocks {
            wall: secs(WALL) + Duration::from_millis(100 * tenths),
            monotonic: Duration::from_millis(100 * tenths),
        };
        let (mut now, mut probes) = (100, Vec::new());
        while probes.len() < 3 {
            now += 1;
            if lifecycle.next_task(tenths(now)) == BackgroundTask::Probe {
                probes.push(now);
                lifecycle.probe_started(tenths(now));
                lifecycle.probe_finished(tenths(now), 1, ProbeResult::Rejected);
            }
        }
        // After 1 s, and not before 10 s nor after 15 s more.
        assert_eq!(probes[0], 110);
        let apart = probes.windows(2).map(|pair| pair[1] - pair[0]);
        assert!(apart.clone().all(|tenths| (100..=151).contains(&tenths)), "{probes:?}");
        third.insert(probes[2]);
    }
    assert!(third.len() > 40, "{third:?}");
}
