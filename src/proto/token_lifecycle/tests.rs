use super::*;

const WALL: u64 = 1_767_225_600;

fn secs(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

fn at(seconds: u64) -> Clocks {
    Clocks { wall: secs(WALL + seconds), monotonic: secs(seconds) }
}

fn rules(refresh_before: Option<u64>) -> RefreshPolicy {
    let refresh_before = refresh_before.map(secs);
    RefreshPolicy { refresh_before, can_refresh: true, can_query_time: true, retry_for: secs(3600) }
}

/// A token that ends so many seconds from the beginning.
fn facts(generation: u64, life: u64, end: u64) -> TokenInfo {
    TokenInfo {
        generation,
        expires: Some(secs(WALL + end)),
        issued: Some(secs(WALL + end - life)),
        session_end: None,
    }
}

fn token(life: u64) -> TokenLifecycle {
    let mut lifecycle = TokenLifecycle::new(at(0), rules(None), facts(1, life, life));
    lifecycle.set_streaming();
    // The local clock is right.
    lifecycle.on_server_date(at(0), secs(WALL));
    lifecycle
}

fn transfer(of: u64, seconds: u64) -> SigningRequest {
    SigningRequest::Transfer { of, takes: Some(secs(seconds)) }
}

/// When a refresh is due of a token of this life, asked every second.
fn due(life: u64, refresh_before: Option<u64>) -> u64 {
    let lifecycle = TokenLifecycle::new(at(0), rules(refresh_before), facts(1, life, life));
    let refresh = BackgroundTask::Refresh(RefreshReason::Due);
    (0..life).find(|&second| lifecycle.next_task(at(second)) == refresh).unwrap()
}

/// Refuses the present token at a second, under a good date.
fn refuse(lifecycle: &mut TokenLifecycle, second: u64) -> On401 {
    let generation = lifecycle.token().generation;
    let date = lifecycle.clock(at(second));
    lifecycle.on_unauthorized(at(second), generation, (date, Duration::ZERO), Some(date))
}

#[test]
fn a_refresh_is_due_ten_minutes_or_a_third_of_the_life_before_the_end() {
    assert_eq!(due(3600, None), 3000);
    assert_eq!(due(1800, None), 1200);
    assert_eq!(due(300, None), 200);
    assert_eq!(due(6, None), 4);
}

#[test]
fn refresh_before_is_what_the_user_says_and_never_more_than_half_the_life() {
    assert_eq!(due(3600, Some(60)), 3540);
    assert_eq!(due(3600, Some(1200)), 2400);
    assert_eq!(due(3600, Some(7200)), 1800);
    assert_eq!(due(300, Some(600)), 150);
}

#[test]
fn the_wait_until_the_refresh_is_known_so_that_nobody_needs_to_ask_every_second() {
    let lifecycle = token(60);
    assert_eq!(lifecycle.next_task(at(25)), BackgroundTask::Idle(secs(15)));
    assert_eq!(lifecycle.next_task(at(5)), BackgroundTask::Idle(MAX_IDLE));
}

#[test]
fn one_refresh_at_a_time_and_failures_slow_down_to_a_bound() {
    let mut lifecycle = token(3600);
    let mut now = 3000;
    let mut delays = Vec::new();
    for _ in 0..8 {
        assert_eq!(lifecycle.next_task(at(now)), BackgroundTask::Refresh(RefreshReason::Due));
        lifecycle.refresh_started(RefreshReason::Due);
        assert!(matches!(lifecycle.next_task(at(now)), BackgroundTask::Idle(_)));
        lifecycle.refresh_finished(at(now), &RefreshOutcome::Failed("503".into()));
        let began = now;
        while lifecycle.next_task(at(now)) != BackgroundTask::Refresh(RefreshReason::Due) {
            now += 1;
        }
        delays.push(now - began);
    }
    assert_eq!(delays, [1, 2, 4, 8, 16, 32, 60, 60]);
    // Said once as a warning, and never the whole series.
    let notices = lifecycle.take_events();
    let failed = |notice: &&TokenEvent| matches!(notice, TokenEvent::RefreshFailed { .. });
    let warnings = notices.iter().filter(failed).filter(|n| n.level() == events::Level::Warning);
    assert_eq!(warnings.count(), 1);
}

#[test]
fn after_a_longer_token_the_pace_begins_anew() {
    let mut lifecycle = token(3600);
    lifecycle.refresh_started(RefreshReason::Due);
    lifecycle.refresh_finished(at(3000), &RefreshOutcome::Failed("503".into()));
    lifecycle.adopt(at(3001), facts(2, 3600, 3001 + 3600), CredentialOrigin::Files);
    assert_eq!(lifecycle.next_task(at(6001)), BackgroundTask::Refresh(RefreshReason::Due));
}

#[test]
fn a_token_is_not_used_in_its_last_moment_and_an_expired_one_not_refreshed() {
    let mut lifecycle = token(3600);
    assert_eq!(lifecycle.decide(at(3598), SigningRequest::Small), TokenDecision::Use);
    assert_eq!(lifecycle.decide(at(3599), SigningRequest::Small), TokenDecision::Wait);
    assert_eq!(lifecycle.next_task(at(3599)), BackgroundTask::Refresh(RefreshReason::Due));
    assert_eq!(lifecycle.next_task(at(3600)), BackgroundTask::Idle(SECOND));
}

#[test]
fn an_answer_without_more_time_is_said_once_and_tells_the_end_of_the_session() {
    let mut lifecycle = token(3600);
    for second in [3000, 3100, 3300] {
        lifecycle.refresh_started(RefreshReason::Due);
        lifecycle.refresh_finished(at(second), &RefreshOutcome::NotExtended);
    }
    let expires = secs(WALL + 3600);
    let said = lifecycle.take_events();
    let count = |wanted: &TokenEvent| said.iter().filter(|notice| *notice == wanted).count();
    assert_eq!(count(&TokenEvent::NotExtended { expires }), 1);
    assert_eq!(count(&TokenEvent::SessionEnds { end: expires }), 1);
}

#[test]
fn the_end_of_the_session_is_a_warning_where_the_upload_likely_ends_later() {
    let day = 24 * 3600;
    let with_end = |session_end: u64, likely: Option<u64>| {
        let facts =
            TokenInfo { session_end: Some(secs(WALL + session_end)), ..facts(1, 3600, 3600) };
        let mut lifecycle = TokenLifecycle::new(at(0), rules(None), facts);
        for _ in 0..3 {
            lifecycle.set_upload_eta(at(10), likely.map(|likely| secs(WALL + likely)));
        }
        let said = lifecycle.take_events();
        let ends = |notice: &&TokenEvent| matches!(notice, TokenEvent::SessionEnds { .. });
        assert_eq!(said.iter().filter(ends).count(), 1);
        said.iter().filter(|n| matches!(n, TokenEvent::EndsBeforeUpload { .. })).count()
    };
    assert_eq!(with_end(day, Some(day - 1)), 0);
    assert_eq!(with_end(day, Some(day + 1)), 1);
    // Where no end is known, two hours are the measure.
    assert_eq!(with_end(2 * 3600 + 11, None), 0);
    assert_eq!(with_end(2 * 3600 + 9, None), 1);
}

#[test]
fn a_transfer_is_begun_with_a_token_that_outlives_it_where_there_can_be_one() {
    let mut lifecycle = token(3600);
    assert_eq!(lifecycle.decide(at(2000), transfer(1, 1200)), TokenDecision::Use);
    // A quarter is added, since the rate may fall.
    assert_eq!(lifecycle.decide(at(2000), transfer(1, 1300)), TokenDecision::RefreshFirst);
    assert_eq!(lifecycle.next_task(at(2000)), BackgroundTask::Refresh(RefreshReason::Transfer));
    lifecycle.refresh_started(RefreshReason::Transfer);
    // Others share the refresh under way, and an attempt that asks again goes on as it can.
    assert_eq!(lifecycle.decide(at(2000), transfer(2, 1300)), TokenDecision::RefreshFirst);
    assert_eq!(lifecycle.decide(at(2000), transfer(1, 1300)), TokenDecision::Use);
    lifecycle.refresh_finished(at(2001), &RefreshOutcome::Failed("503".into()));
    assert_eq!(lifecycle.decide(at(2001), transfer(3, 1300)), TokenDecision::Use);
}

#[test]
fn all_attempts_at_a_transfer_together_ask_for_one_refresh() {
    let mut lifecycle = token(3600);
    assert_eq!(lifecycle.decide(at(2000), transfer(7, 1800)), TokenDecision::RefreshFirst);
    lifecycle.refresh_started(RefreshReason::Transfer);
    lifecycle.adopt(at(2001), facts(2, 3600, 5600), CredentialOrigin::Refresh);
    lifecycle.refresh_finished(at(2001), &RefreshOutcome::Extended);
    // It failed on the way and is sent again, when the new token would not outlive it either.
    assert_eq!(lifecycle.decide(at(4000), transfer(7, 1800)), TokenDecision::Use);
    assert_eq!(lifecycle.decide(at(4000), transfer(8, 1800)), TokenDecision::RefreshFirst);
}

#[test]
fn a_refusal_that_took_long_to_come_speaks_of_the_token_all_the_same() {
    let mut lifecycle = token(3600);
    // A part that was signed under a good date and took twenty minutes.
    let (signed, took) = (secs(WALL + 100), secs(1200));
    let answered = Some(secs(WALL + 1300));
    let refusal = lifecycle.on_unauthorized(at(1300), 1, (signed, took), answered);
    assert_eq!(refusal, On401::RereadFiles);
    assert_eq!(lifecycle.decide(at(1300), transfer(1, 1200)), TokenDecision::Wait);
}

#[test]
fn an_abort_is_attempted_once_with_a_refused_token_and_never_with_one_that_is_over() {
    let mut lifecycle = token(3600);
    refuse(&mut lifecycle, 10);
    assert_eq!(lifecycle.decide(at(3605), SigningRequest::Abort), TokenDecision::Wait);
    for _ in 0..2 {
        // Looked at before connecting, and once more before signing.
        assert_eq!(lifecycle.decide(at(20), SigningRequest::Abort), TokenDecision::Use);
    }
    lifecycle.on_signed(at(20), SigningRequest::Abort);
    assert_eq!(lifecycle.decide(at(20), SigningRequest::Abort), TokenDecision::Wait);
    lifecycle.adopt(at(30), facts(2, 3600, 3630), CredentialOrigin::Files);
    assert_eq!(lifecycle.decide(at(30), SigningRequest::Abort), TokenDecision::Use);
    refuse(&mut lifecycle, 31);
    assert_eq!(lifecycle.decide(at(31), SigningRequest::Abort), TokenDecision::Use);
}

#[test]
fn no_refresh_is_spent_on_a_transfer_that_no_token_outlives() {
    let mut lifecycle = token(3600);
    assert_eq!(lifecycle.decide(at(2000), transfer(1, 3600)), TokenDecision::Use);
    let end = Some(secs(WALL + 3700));
    lifecycle.adopt(
        at(1),
        TokenInfo { session_end: end, ..facts(2, 3600, 3600) },
        CredentialOrigin::Files,
    );
    assert_eq!(lifecycle.decide(at(2000), transfer(1, 1500)), TokenDecision::Use);
}

#[test]
fn a_refusal_under_a_date_out_of_the_window_speaks_of_the_clock_and_not_of_the_token() {
    let mut lifecycle = token(3600);
    let (mine, theirs) = (secs(WALL), secs(WALL + 400));
    assert_eq!(
        lifecycle.on_unauthorized(at(0), 1, (mine, Duration::ZERO), Some(theirs)),
        On401::Retry(NotThisToken::Date)
    );
    assert_eq!(lifecycle.clock(at(1)), secs(WALL + 401));
    assert_eq!(lifecycle.decide(at(1), SigningRequest::Small), TokenDecision::Use);
    let told = lifecycle.take_events();
    assert_eq!(
        told,
        [TokenEvent::Skew { seconds: 400 }, TokenEvent::Stale { stale: NotThisToken::Date }]
    );
}

#[test]
fn a_refusal_of_an_older_token_or_after_its_end_is_no_refusal_of_the_present_one() {
    let mut lifecycle = token(3600);
    lifecycle.adopt(at(10), facts(2, 3600, 3610), CredentialOrigin::Files);
    let date = Some(secs(WALL + 11));
    assert_eq!(
        lifecycle.on_unauthorized(at(11), 1, (secs(WALL + 11), Duration::ZERO), date),
        On401::Retry(NotThisToken::Replaced)
    );
    assert_eq!(lifecycle.decide(at(11), SigningRequest::Small), TokenDecision::Use);
    assert_eq!(refuse(&mut lifecycle, 3611), On401::Retry(NotThisToken::Ended));
}

#[test]
fn a_refused_token_is_not_used_before_a_probe_passed_and_probes_keep_their_distance() {
    let mut lifecycle = TokenLifecycle::new(
        at(0),
        RefreshPolicy { can_refresh: false, ..rules(None) },
        facts(1, 3600, 3600),
    );
    lifecycle.set_streaming();
    assert_eq!(refuse(&mut lifecycle, 100), On401::RereadFiles);
    let mut probes = Vec::new();
    for second in 100..140 {
        assert_eq!(lifecycle.decide(at(second), SigningRequest::Small), TokenDecision::Wait);
        if lifecycle.next_task(at(second)) == BackgroundTask::Probe {
            probes.push(second);
            lifecycle.probe_started();
            assert!(
                matches!(lifecycle.next_task(at(second)), BackgroundTask::Idle(_)),
                "two at a time"
            );
            lifecycle.probe_finished(at(second), 1, ProbeResult::Refused);
        }
    }
    assert_eq!(probes, [101, 111, 121, 131]);
    lifecycle.probe_started();
    lifecycle.probe_finished(at(141), 1, ProbeResult::Accepted);
    assert_eq!(lifecycle.decide(at(141), SigningRequest::Small), TokenDecision::Use);
    // Refused again at once: parts and probes are judged differently, and that is no hurry.
    refuse(&mut lifecycle, 142);
    assert!(matches!(lifecycle.next_task(at(150)), BackgroundTask::Idle(_)));
    assert_eq!(lifecycle.next_task(at(152)), BackgroundTask::Probe);
}

#[test]
fn a_token_that_is_refused_at_once_after_each_refresh_makes_no_storm() {
    let mut lifecycle = token(3600);
    let mut refreshes = 0;
    for second in 0..600 {
        refuse(&mut lifecycle, second);
        if let BackgroundTask::Refresh(reason) = lifecycle.next_task(at(second)) {
            assert_eq!(reason, RefreshReason::Refused);
            refreshes += 1;
            lifecycle.refresh_started(reason);
            let fresh = facts(refreshes + 1, 3600, second + 3600);
            lifecycle.adopt(at(second), fresh, CredentialOrigin::Refresh);
            lifecycle.refresh_finished(at(second), &RefreshOutcome::Extended);
        }
    }
    assert!((8..=16).contains(&refreshes), "{refreshes}");
}

#[test]
fn waiting_is_mentioned_after_two_seconds_and_once_and_so_is_its_end() {
    let mut lifecycle = token(60);
    for second in 60..90 {
        assert_eq!(lifecycle.decide(at(second), SigningRequest::Small), TokenDecision::Wait);
        let notices = lifecycle.take_events();
        let (since, until) = (secs(WALL + 60), secs(WALL + 60 + 3600));
        let waiting = TokenEvent::Waiting { since, until, refused: false, login: String::new() };
        assert_eq!(notices, if second == 62 { vec![waiting] } else { vec![] });
    }
    lifecycle.adopt(at(90), facts(2, 60, 150), CredentialOrigin::Files);
    lifecycle.on_success();
    assert!(lifecycle.take_events().contains(&TokenEvent::Resumed));
}

#[test]
fn under_way_only_a_standstill_of_retry_for_ends_it_and_a_success_begins_it_anew() {
    let mut lifecycle = token(60);
    assert_eq!(lifecycle.decide(at(100), SigningRequest::Small), TokenDecision::Wait);
    assert_eq!(lifecycle.decide(at(100 + 3599), SigningRequest::Small), TokenDecision::Wait);
    // A part that was on its way arrives.
    lifecycle.on_success();
    assert_eq!(lifecycle.decide(at(100 + 3600), SigningRequest::Small), TokenDecision::Wait);
    assert_eq!(lifecycle.decide(at(100 + 3600 + 3599), SigningRequest::Small), TokenDecision::Wait);
    assert_eq!(
        lifecycle.decide(at(100 + 3600 + 3600), SigningRequest::Small),
        TokenDecision::TimedOut
    );
}

#[test]
fn at_the_start_there_is_one_refresh_of_refused_credentials_and_no_waiting() {
    let start = |can_refresh| {
        let rules = RefreshPolicy { can_refresh, ..rules(None) };
        TokenLifecycle::new(at(0), rules, facts(1, 3600, 3600))
    };
    let mut lifecycle = start(false);
    refuse(&mut lifecycle, 1);
    assert_eq!(lifecycle.decide(at(1), SigningRequest::Small), TokenDecision::TimedOut);

    let mut lifecycle = start(true);
    refuse(&mut lifecycle, 1);
    assert_eq!(lifecycle.decide(at(1), SigningRequest::Small), TokenDecision::Wait);
    assert_eq!(lifecycle.next_task(at(1)), BackgroundTask::Refresh(RefreshReason::Refused));
    lifecycle.refresh_started(RefreshReason::Refused);
    assert_eq!(lifecycle.decide(at(2), SigningRequest::Small), TokenDecision::Wait);
    lifecycle.adopt(at(2), facts(2, 3600, 3602), CredentialOrigin::Refresh);
    lifecycle.refresh_finished(at(2), &RefreshOutcome::Extended);
    assert_eq!(lifecycle.decide(at(2), SigningRequest::Small), TokenDecision::Use);
    refuse(&mut lifecycle, 3);
    assert_eq!(lifecycle.decide(at(3), SigningRequest::Small), TokenDecision::TimedOut);
}

#[test]
fn at_the_start_a_token_that_is_over_by_the_local_clock_costs_one_question_for_the_time() {
    let start = || TokenLifecycle::new(at(0), rules(None), facts(1, 3600, 0));
    // Over indeed.
    let mut lifecycle = start();
    assert_eq!(lifecycle.decide(at(0), SigningRequest::Small), TokenDecision::Wait);
    assert_eq!(lifecycle.next_task(at(0)), BackgroundTask::AskTime);
    lifecycle.time_query_started();
    assert!(matches!(lifecycle.next_task(at(0)), BackgroundTask::Idle(_)));
    assert_eq!(lifecycle.decide(at(1), SigningRequest::Small), TokenDecision::Wait);
    lifecycle.on_server_date(at(1), secs(WALL + 1));
    lifecycle.time_query_finished(at(1));
    assert_eq!(lifecycle.decide(at(1), SigningRequest::Small), TokenDecision::TimedOut);
    assert!(matches!(lifecycle.next_task(at(1)), BackgroundTask::Idle(_)));
    // The local clock is an hour ahead.
    let mut lifecycle = start();
    lifecycle.time_query_started();
    lifecycle.on_server_date(at(1), secs(WALL - 3599));
    lifecycle.time_query_finished(at(1));
    assert_eq!(lifecycle.decide(at(1), SigningRequest::Small), TokenDecision::Use);
    // Nobody tells the time: the local clock is what there is.
    let mut lifecycle = start();
    lifecycle.time_query_started();
    lifecycle.time_query_finished(at(10));
    assert_eq!(lifecycle.decide(at(10), SigningRequest::Small), TokenDecision::TimedOut);
}

#[test]
fn under_way_the_time_is_asked_for_again_until_it_is_told() {
    let mut lifecycle = token(3600);
    let jumped = |second| Clocks { wall: secs(WALL + 50_000 + second), ..at(second) };
    let mut questions = Vec::new();
    for second in 10..200 {
        assert_eq!(lifecycle.decide(jumped(second), SigningRequest::Small), TokenDecision::Wait);
        if lifecycle.next_task(jumped(second)) == BackgroundTask::AskTime {
            questions.push(second);
            lifecycle.time_query_started();
            lifecycle.time_query_finished(jumped(second));
        }
    }
    assert_eq!(questions, [10, 11, 13, 17, 25, 41, 73, 133, 193]);
    lifecycle.on_server_date(jumped(200), secs(WALL + 200));
    assert_eq!(lifecycle.decide(jumped(200), SigningRequest::Small), TokenDecision::Use);
}

#[test]
fn a_date_far_from_the_one_that_was_accepted_is_not_that_of_who_judges() {
    let mut lifecycle = token(3600);
    lifecycle.on_success_with_date(at(10), secs(WALL + 5000));
    assert_eq!(lifecycle.clock(at(10)), secs(WALL + 10));
    lifecycle.on_success_with_date(at(10), secs(WALL + 210));
    assert_eq!(lifecycle.clock(at(10)), secs(WALL + 210));
}

#[test]
fn refusals_that_say_nothing_of_the_token_are_mentioned_when_they_do_not_end() {
    let mut lifecycle = token(3600);
    for second in 10..75 {
        let dated = (secs(WALL + second + 5000), Duration::ZERO);
        let refusal = lifecycle.on_unauthorized(at(second), 1, dated, Some(secs(WALL + second)));
        assert_eq!(refusal, On401::Retry(NotThisToken::Date));
        assert_eq!(lifecycle.decide(at(second), SigningRequest::Small), TokenDecision::Use);
        let notices = lifecycle.take_events();
        let waits = notices.iter().any(|notice| matches!(notice, TokenEvent::Waiting { .. }));
        assert_eq!(waits, second == 70, "after {} s", second - 10);
    }
    lifecycle.on_success();
    assert_eq!(lifecycle.take_events(), [TokenEvent::Resumed]);
}

#[test]
fn an_api_key_has_no_end_and_is_never_refreshed() {
    let facts = TokenInfo { generation: 1, expires: None, issued: None, session_end: None };
    let mut lifecycle = TokenLifecycle::new(at(0), rules(None), facts);
    assert_eq!(lifecycle.decide(at(1_000_000), transfer(1, 9999)), TokenDecision::Use);
    lifecycle.set_streaming();
    refuse(&mut lifecycle, 5);
    assert_eq!(lifecycle.next_task(at(5)), BackgroundTask::Idle(SECOND));
    assert_eq!(lifecycle.next_task(at(6)), BackgroundTask::Probe);
}

#[test]
fn of_two_tokens_the_later_is_preferred_unless_the_key_is_another_or_the_present_is_no_use() {
    let mut lifecycle = token(3600);
    let (later, earlier) = (facts(2, 3600, 3601), facts(2, 3600, 3000));
    assert!(lifecycle.is_better_than_current(at(0), &later, true));
    assert!(!lifecycle.is_better_than_current(at(0), &earlier, true));
    assert!(lifecycle.is_better_than_current(at(0), &earlier, false));
    assert!(!lifecycle.is_better_than_current(at(3000), &earlier, false));
    // Of two that end together, as at the end of a session, the younger.
    assert!(lifecycle.is_better_than_current(at(0), &facts(2, 3599, 3600), true));
    assert!(!lifecycle.is_better_than_current(at(0), &facts(2, 3601, 3600), true));
    refuse(&mut lifecycle, 1);
    assert!(lifecycle.is_better_than_current(at(1), &earlier, true));
}

#[test]
fn a_clock_that_jumps_forward_ends_no_wait() {
    let mut lifecycle = token(60);
    assert_eq!(lifecycle.decide(at(61), SigningRequest::Small), TokenDecision::Wait);
    let jumped = Clocks { wall: secs(WALL + 100_000), ..at(62) };
    assert_eq!(lifecycle.decide(jumped, SigningRequest::Small), TokenDecision::Wait);
}

#[test]
fn durations_read_well() {
    let span = |seconds| events::DisplayDuration(secs(seconds)).to_string();
    assert_eq!(
        [span(0), span(59), span(60), span(3599), span(3600), span(90_061)],
        ["0 s", "59 s", "1 min 0 s", "59 min 59 s", "1 h 0 min", "25 h 1 min"]
    );
}
