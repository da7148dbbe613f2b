use super::*;

const WALL: u64 = 1_767_225_600;

fn secs(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

fn at(seconds: u64) -> Now {
    Now { wall: secs(WALL + seconds), steady: secs(seconds) }
}

fn rules(refresh_before: Option<u64>) -> Rules {
    let refresh_before = refresh_before.map(secs);
    Rules { refresh_before, can_refresh: true, can_ask: true, retry_for: secs(3600) }
}

/// A token that ends so many seconds from the beginning.
fn facts(generation: u64, life: u64, end: u64) -> Facts {
    Facts {
        generation,
        expires: Some(secs(WALL + end)),
        issued: Some(secs(WALL + end - life)),
        session_end: None,
    }
}

fn token(life: u64) -> Lifecycle {
    let mut lifecycle = Lifecycle::new(at(0), rules(None), facts(1, life, life));
    lifecycle.set_under_way();
    // The local clock is right.
    lifecycle.dated(at(0), secs(WALL));
    lifecycle
}

fn transfer(of: u64, seconds: u64) -> Attempt {
    Attempt::Transfer { of, takes: Some(secs(seconds)) }
}

/// When a refresh is due of a token of this life, asked every second.
fn due(life: u64, refresh_before: Option<u64>) -> u64 {
    let lifecycle = Lifecycle::new(at(0), rules(refresh_before), facts(1, life, life));
    let refresh = Step::Refresh(Reason::Due);
    (0..life).find(|&second| lifecycle.step(at(second)) == refresh).unwrap()
}

/// Refuses the present token at a second, under a good date.
fn refuse(lifecycle: &mut Lifecycle, second: u64) -> Refusal {
    let generation = lifecycle.facts().generation;
    let date = lifecycle.clock(at(second));
    lifecycle.refused(at(second), generation, (date, Duration::ZERO), Some(date))
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
    assert_eq!(lifecycle.step(at(25)), Step::Idle(secs(15)));
    assert_eq!(lifecycle.step(at(5)), Step::Idle(LONGEST_IDLE));
}

#[test]
fn one_refresh_at_a_time_and_failures_slow_down_to_a_bound() {
    let mut lifecycle = token(3600);
    let mut now = 3000;
    let mut delays = Vec::new();
    for _ in 0..8 {
        assert_eq!(lifecycle.step(at(now)), Step::Refresh(Reason::Due));
        lifecycle.refresh_began(Reason::Due);
        assert!(matches!(lifecycle.step(at(now)), Step::Idle(_)));
        lifecycle.refresh_ended(at(now), &Refreshed::Failed("503".into()));
        let began = now;
        while lifecycle.step(at(now)) != Step::Refresh(Reason::Due) {
            now += 1;
        }
        delays.push(now - began);
    }
    assert_eq!(delays, [1, 2, 4, 8, 16, 32, 60, 60]);
    // Said once as a warning, and never the whole series.
    let notices = lifecycle.take_notices();
    let failed = |notice: &&Notice| matches!(notice, Notice::RefreshFailed { .. });
    let warnings = notices.iter().filter(failed).filter(|n| n.level() == notice::Level::Warning);
    assert_eq!(warnings.count(), 1);
}

#[test]
fn after_a_longer_token_the_pace_begins_anew() {
    let mut lifecycle = token(3600);
    lifecycle.refresh_began(Reason::Due);
    lifecycle.refresh_ended(at(3000), &Refreshed::Failed("503".into()));
    lifecycle.adopt(at(3001), facts(2, 3600, 3001 + 3600), Origin::Files);
    assert_eq!(lifecycle.step(at(6001)), Step::Refresh(Reason::Due));
}

#[test]
fn a_token_is_not_used_in_its_last_moment_and_an_expired_one_not_refreshed() {
    let mut lifecycle = token(3600);
    assert_eq!(lifecycle.judge(at(3598), Attempt::Small), Verdict::Use);
    assert_eq!(lifecycle.judge(at(3599), Attempt::Small), Verdict::Wait);
    assert_eq!(lifecycle.step(at(3599)), Step::Refresh(Reason::Due));
    assert_eq!(lifecycle.step(at(3600)), Step::Idle(SECOND));
}

#[test]
fn an_answer_without_more_time_is_said_once_and_tells_the_end_of_the_session() {
    let mut lifecycle = token(3600);
    for second in [3000, 3100, 3300] {
        lifecycle.refresh_began(Reason::Due);
        lifecycle.refresh_ended(at(second), &Refreshed::NotLonger);
    }
    let expires = secs(WALL + 3600);
    let said = lifecycle.take_notices();
    let count = |wanted: &Notice| said.iter().filter(|notice| *notice == wanted).count();
    assert_eq!(count(&Notice::NotLonger { expires }), 1);
    assert_eq!(count(&Notice::SessionEnds { end: expires }), 1);
}

#[test]
fn the_end_of_the_session_is_a_warning_where_the_upload_likely_ends_later() {
    let day = 24 * 3600;
    let with_end = |session_end: u64, likely: Option<u64>| {
        let facts = Facts { session_end: Some(secs(WALL + session_end)), ..facts(1, 3600, 3600) };
        let mut lifecycle = Lifecycle::new(at(0), rules(None), facts);
        for _ in 0..3 {
            lifecycle.set_likely_end(at(10), likely.map(|likely| secs(WALL + likely)));
        }
        let said = lifecycle.take_notices();
        let ends = |notice: &&Notice| matches!(notice, Notice::SessionEnds { .. });
        assert_eq!(said.iter().filter(ends).count(), 1);
        said.iter().filter(|n| matches!(n, Notice::EndsBeforeUpload { .. })).count()
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
    assert_eq!(lifecycle.judge(at(2000), transfer(1, 1200)), Verdict::Use);
    // A quarter is added, since the rate may fall.
    assert_eq!(lifecycle.judge(at(2000), transfer(1, 1300)), Verdict::RenewFirst);
    assert_eq!(lifecycle.step(at(2000)), Step::Refresh(Reason::Transfer));
    lifecycle.refresh_began(Reason::Transfer);
    // Others share the refresh under way, and an attempt that asks again goes on as it can.
    assert_eq!(lifecycle.judge(at(2000), transfer(2, 1300)), Verdict::RenewFirst);
    assert_eq!(lifecycle.judge(at(2000), transfer(1, 1300)), Verdict::Use);
    lifecycle.refresh_ended(at(2001), &Refreshed::Failed("503".into()));
    assert_eq!(lifecycle.judge(at(2001), transfer(3, 1300)), Verdict::Use);
}

#[test]
fn all_attempts_at_a_transfer_together_ask_for_one_refresh() {
    let mut lifecycle = token(3600);
    assert_eq!(lifecycle.judge(at(2000), transfer(7, 1800)), Verdict::RenewFirst);
    lifecycle.refresh_began(Reason::Transfer);
    lifecycle.adopt(at(2001), facts(2, 3600, 5600), Origin::Refresh);
    lifecycle.refresh_ended(at(2001), &Refreshed::Longer);
    // It failed on the way and is sent again, when the new token would not outlive it either.
    assert_eq!(lifecycle.judge(at(4000), transfer(7, 1800)), Verdict::Use);
    assert_eq!(lifecycle.judge(at(4000), transfer(8, 1800)), Verdict::RenewFirst);
}

#[test]
fn a_refusal_that_took_long_to_come_speaks_of_the_token_all_the_same() {
    let mut lifecycle = token(3600);
    // A part that was signed under a good date and took twenty minutes.
    let (signed, took) = (secs(WALL + 100), secs(1200));
    let answered = Some(secs(WALL + 1300));
    let refusal = lifecycle.refused(at(1300), 1, (signed, took), answered);
    assert_eq!(refusal, Refusal::LookAtFiles);
    assert_eq!(lifecycle.judge(at(1300), transfer(1, 1200)), Verdict::Wait);
}

#[test]
fn an_abort_is_attempted_once_with_a_refused_token_and_never_with_one_that_is_over() {
    let mut lifecycle = token(3600);
    refuse(&mut lifecycle, 10);
    assert_eq!(lifecycle.judge(at(3605), Attempt::Abort), Verdict::Wait);
    for _ in 0..2 {
        // Looked at before connecting, and once more before signing.
        assert_eq!(lifecycle.judge(at(20), Attempt::Abort), Verdict::Use);
    }
    lifecycle.signed(at(20), Attempt::Abort);
    assert_eq!(lifecycle.judge(at(20), Attempt::Abort), Verdict::Wait);
    lifecycle.adopt(at(30), facts(2, 3600, 3630), Origin::Files);
    assert_eq!(lifecycle.judge(at(30), Attempt::Abort), Verdict::Use);
    refuse(&mut lifecycle, 31);
    assert_eq!(lifecycle.judge(at(31), Attempt::Abort), Verdict::Use);
}

#[test]
fn no_refresh_is_spent_on_a_transfer_that_no_token_outlives() {
    let mut lifecycle = token(3600);
    assert_eq!(lifecycle.judge(at(2000), transfer(1, 3600)), Verdict::Use);
    let end = Some(secs(WALL + 3700));
    lifecycle.adopt(at(1), Facts { session_end: end, ..facts(2, 3600, 3600) }, Origin::Files);
    assert_eq!(lifecycle.judge(at(2000), transfer(1, 1500)), Verdict::Use);
}

#[test]
fn a_refusal_under_a_date_out_of_the_window_speaks_of_the_clock_and_not_of_the_token() {
    let mut lifecycle = token(3600);
    let (mine, theirs) = (secs(WALL), secs(WALL + 400));
    assert_eq!(
        lifecycle.refused(at(0), 1, (mine, Duration::ZERO), Some(theirs)),
        Refusal::Again(Stale::Date)
    );
    assert_eq!(lifecycle.clock(at(1)), secs(WALL + 401));
    assert_eq!(lifecycle.judge(at(1), Attempt::Small), Verdict::Use);
    let told = lifecycle.take_notices();
    assert_eq!(told, [Notice::Skew { seconds: 400 }, Notice::Stale { stale: Stale::Date }]);
}

#[test]
fn a_refusal_of_an_older_token_or_after_its_end_is_no_refusal_of_the_present_one() {
    let mut lifecycle = token(3600);
    lifecycle.adopt(at(10), facts(2, 3600, 3610), Origin::Files);
    let date = Some(secs(WALL + 11));
    assert_eq!(
        lifecycle.refused(at(11), 1, (secs(WALL + 11), Duration::ZERO), date),
        Refusal::Again(Stale::Replaced)
    );
    assert_eq!(lifecycle.judge(at(11), Attempt::Small), Verdict::Use);
    assert_eq!(refuse(&mut lifecycle, 3611), Refusal::Again(Stale::Ended));
}

#[test]
fn a_refused_token_is_not_used_before_a_probe_passed_and_probes_keep_their_distance() {
    let mut lifecycle =
        Lifecycle::new(at(0), Rules { can_refresh: false, ..rules(None) }, facts(1, 3600, 3600));
    lifecycle.set_under_way();
    assert_eq!(refuse(&mut lifecycle, 100), Refusal::LookAtFiles);
    let mut probes = Vec::new();
    for second in 100..140 {
        assert_eq!(lifecycle.judge(at(second), Attempt::Small), Verdict::Wait);
        if lifecycle.step(at(second)) == Step::Probe {
            probes.push(second);
            lifecycle.probe_began();
            assert!(matches!(lifecycle.step(at(second)), Step::Idle(_)), "two at a time");
            lifecycle.probe_ended(at(second), 1, Probed::Refused);
        }
    }
    assert_eq!(probes, [101, 111, 121, 131]);
    lifecycle.probe_began();
    lifecycle.probe_ended(at(141), 1, Probed::Accepted);
    assert_eq!(lifecycle.judge(at(141), Attempt::Small), Verdict::Use);
    // Refused again at once: parts and probes are judged differently, and that is no hurry.
    refuse(&mut lifecycle, 142);
    assert!(matches!(lifecycle.step(at(150)), Step::Idle(_)));
    assert_eq!(lifecycle.step(at(152)), Step::Probe);
}

#[test]
fn a_token_that_is_refused_at_once_after_each_refresh_makes_no_storm() {
    let mut lifecycle = token(3600);
    let mut refreshes = 0;
    for second in 0..600 {
        refuse(&mut lifecycle, second);
        if let Step::Refresh(reason) = lifecycle.step(at(second)) {
            assert_eq!(reason, Reason::Refused);
            refreshes += 1;
            lifecycle.refresh_began(reason);
            let fresh = facts(refreshes + 1, 3600, second + 3600);
            lifecycle.adopt(at(second), fresh, Origin::Refresh);
            lifecycle.refresh_ended(at(second), &Refreshed::Longer);
        }
    }
    assert!((8..=16).contains(&refreshes), "{refreshes}");
}

#[test]
fn waiting_is_mentioned_after_two_seconds_and_once_and_so_is_its_end() {
    let mut lifecycle = token(60);
    for second in 60..90 {
        assert_eq!(lifecycle.judge(at(second), Attempt::Small), Verdict::Wait);
        let notices = lifecycle.take_notices();
        let (since, until) = (secs(WALL + 60), secs(WALL + 60 + 3600));
        let waiting = Notice::Waiting { since, until, refused: false, login: String::new() };
        assert_eq!(notices, if second == 62 { vec![waiting] } else { vec![] });
    }
    lifecycle.adopt(at(90), facts(2, 60, 150), Origin::Files);
    lifecycle.accepted();
    assert!(lifecycle.take_notices().contains(&Notice::Resumed));
}

#[test]
fn under_way_only_a_standstill_of_retry_for_ends_it_and_a_success_begins_it_anew() {
    let mut lifecycle = token(60);
    assert_eq!(lifecycle.judge(at(100), Attempt::Small), Verdict::Wait);
    assert_eq!(lifecycle.judge(at(100 + 3599), Attempt::Small), Verdict::Wait);
    // A part that was on its way arrives.
    lifecycle.accepted();
    assert_eq!(lifecycle.judge(at(100 + 3600), Attempt::Small), Verdict::Wait);
    assert_eq!(lifecycle.judge(at(100 + 3600 + 3599), Attempt::Small), Verdict::Wait);
    assert_eq!(lifecycle.judge(at(100 + 3600 + 3600), Attempt::Small), Verdict::GiveUp);
}

#[test]
fn at_the_start_there_is_one_refresh_of_refused_credentials_and_no_waiting() {
    let start = |can_refresh| {
        let rules = Rules { can_refresh, ..rules(None) };
        Lifecycle::new(at(0), rules, facts(1, 3600, 3600))
    };
    let mut lifecycle = start(false);
    refuse(&mut lifecycle, 1);
    assert_eq!(lifecycle.judge(at(1), Attempt::Small), Verdict::GiveUp);

    let mut lifecycle = start(true);
    refuse(&mut lifecycle, 1);
    assert_eq!(lifecycle.judge(at(1), Attempt::Small), Verdict::Wait);
    assert_eq!(lifecycle.step(at(1)), Step::Refresh(Reason::Refused));
    lifecycle.refresh_began(Reason::Refused);
    assert_eq!(lifecycle.judge(at(2), Attempt::Small), Verdict::Wait);
    lifecycle.adopt(at(2), facts(2, 3600, 3602), Origin::Refresh);
    lifecycle.refresh_ended(at(2), &Refreshed::Longer);
    assert_eq!(lifecycle.judge(at(2), Attempt::Small), Verdict::Use);
    refuse(&mut lifecycle, 3);
    assert_eq!(lifecycle.judge(at(3), Attempt::Small), Verdict::GiveUp);
}

#[test]
fn at_the_start_a_token_that_is_over_by_the_local_clock_costs_one_question_for_the_time() {
    let start = || Lifecycle::new(at(0), rules(None), facts(1, 3600, 0));
    // Over indeed.
    let mut lifecycle = start();
    assert_eq!(lifecycle.judge(at(0), Attempt::Small), Verdict::Wait);
    assert_eq!(lifecycle.step(at(0)), Step::AskTime);
    lifecycle.ask_began();
    assert!(matches!(lifecycle.step(at(0)), Step::Idle(_)));
    assert_eq!(lifecycle.judge(at(1), Attempt::Small), Verdict::Wait);
    lifecycle.dated(at(1), secs(WALL + 1));
    lifecycle.ask_ended(at(1));
    assert_eq!(lifecycle.judge(at(1), Attempt::Small), Verdict::GiveUp);
    assert!(matches!(lifecycle.step(at(1)), Step::Idle(_)));
    // The local clock is an hour ahead.
    let mut lifecycle = start();
    lifecycle.ask_began();
    lifecycle.dated(at(1), secs(WALL - 3599));
    lifecycle.ask_ended(at(1));
    assert_eq!(lifecycle.judge(at(1), Attempt::Small), Verdict::Use);
    // Nobody tells the time: the local clock is what there is.
    let mut lifecycle = start();
    lifecycle.ask_began();
    lifecycle.ask_ended(at(10));
    assert_eq!(lifecycle.judge(at(10), Attempt::Small), Verdict::GiveUp);
}

#[test]
fn under_way_the_time_is_asked_for_again_until_it_is_told() {
    let mut lifecycle = token(3600);
    let jumped = |second| Now { wall: secs(WALL + 50_000 + second), ..at(second) };
    let mut questions = Vec::new();
    for second in 10..200 {
        assert_eq!(lifecycle.judge(jumped(second), Attempt::Small), Verdict::Wait);
        if lifecycle.step(jumped(second)) == Step::AskTime {
            questions.push(second);
            lifecycle.ask_began();
            lifecycle.ask_ended(jumped(second));
        }
    }
    assert_eq!(questions, [10, 11, 13, 17, 25, 41, 73, 133, 193]);
    lifecycle.dated(jumped(200), secs(WALL + 200));
    assert_eq!(lifecycle.judge(jumped(200), Attempt::Small), Verdict::Use);
}

#[test]
fn a_date_far_from_the_one_that_was_accepted_is_not_that_of_who_judges() {
    let mut lifecycle = token(3600);
    lifecycle.agreed(at(10), secs(WALL + 5000));
    assert_eq!(lifecycle.clock(at(10)), secs(WALL + 10));
    lifecycle.agreed(at(10), secs(WALL + 210));
    assert_eq!(lifecycle.clock(at(10)), secs(WALL + 210));
}

#[test]
fn refusals_that_say_nothing_of_the_token_are_mentioned_when_they_do_not_end() {
    let mut lifecycle = token(3600);
    for second in 10..75 {
        let dated = (secs(WALL + second + 5000), Duration::ZERO);
        let refusal = lifecycle.refused(at(second), 1, dated, Some(secs(WALL + second)));
        assert_eq!(refusal, Refusal::Again(Stale::Date));
        assert_eq!(lifecycle.judge(at(second), Attempt::Small), Verdict::Use);
        let notices = lifecycle.take_notices();
        let waits = notices.iter().any(|notice| matches!(notice, Notice::Waiting { .. }));
        assert_eq!(waits, second == 70, "after {} s", second - 10);
    }
    lifecycle.accepted();
    assert_eq!(lifecycle.take_notices(), [Notice::Resumed]);
}

#[test]
fn an_api_key_has_no_end_and_is_never_refreshed() {
    let facts = Facts { generation: 1, expires: None, issued: None, session_end: None };
    let mut lifecycle = Lifecycle::new(at(0), rules(None), facts);
    assert_eq!(lifecycle.judge(at(1_000_000), transfer(1, 9999)), Verdict::Use);
    lifecycle.set_under_way();
    refuse(&mut lifecycle, 5);
    assert_eq!(lifecycle.step(at(5)), Step::Idle(SECOND));
    assert_eq!(lifecycle.step(at(6)), Step::Probe);
}

#[test]
fn of_two_tokens_the_later_is_preferred_unless_the_key_is_another_or_the_present_is_no_use() {
    let mut lifecycle = token(3600);
    let (later, earlier) = (facts(2, 3600, 3601), facts(2, 3600, 3000));
    assert!(lifecycle.prefers(at(0), &later, true));
    assert!(!lifecycle.prefers(at(0), &earlier, true));
    assert!(lifecycle.prefers(at(0), &earlier, false));
    assert!(!lifecycle.prefers(at(3000), &earlier, false));
    // Of two that end together, as at the end of a session, the younger.
    assert!(lifecycle.prefers(at(0), &facts(2, 3599, 3600), true));
    assert!(!lifecycle.prefers(at(0), &facts(2, 3601, 3600), true));
    refuse(&mut lifecycle, 1);
    assert!(lifecycle.prefers(at(1), &earlier, true));
}

#[test]
fn a_clock_that_jumps_forward_ends_no_wait() {
    let mut lifecycle = token(60);
    assert_eq!(lifecycle.judge(at(61), Attempt::Small), Verdict::Wait);
    let jumped = Now { wall: secs(WALL + 100_000), ..at(62) };
    assert_eq!(lifecycle.judge(jumped, Attempt::Small), Verdict::Wait);
}

#[test]
fn durations_read_well() {
    let span = |seconds| notice::Span(secs(seconds)).to_string();
    assert_eq!(
        [span(0), span(59), span(60), span(3599), span(3600), span(90_061)],
        ["0 s", "59 s", "1 min 0 s", "59 min 59 s", "1 h 0 min", "25 h 1 min"]
    );
}
