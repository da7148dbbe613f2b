//! The clock of the service, and time queries.

use super::*;

#[test]
fn at_the_start_a_token_that_has_expired_by_the_local_clock_costs_one_time_query() {
    let start = || TokenLifecycle::new(at(0), policy(None), token_info(1, 3600, 0));
    // The token has expired.
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
    // The time query fails: the local clock counts.
    let mut lifecycle = start();
    lifecycle.time_query_started();
    lifecycle.time_query_finished(at(10));
    assert_eq!(lifecycle.decide(at(10), SigningRequest::Small), TokenDecision::TimedOut);
}

#[test]
fn while_streaming_time_queries_are_repeated_until_one_succeeds() {
    let mut lifecycle = token(3600);
    let jumped = |second| Clocks { wall: secs(WALL + 50_000 + second), ..at(second) };
    let mut queries = Vec::new();
    for second in 10..200 {
        assert_eq!(lifecycle.decide(jumped(second), SigningRequest::Small), TokenDecision::Wait);
        if lifecycle.next_task(jumped(second)) == BackgroundTask::AskTime {
            queries.push(second);
            lifecycle.time_query_started();
            lifecycle.time_query_finished(jumped(second));
        }
    }
    assert_eq!(queries, [10, 11, 13, 17, 25, 41, 73, 133, 193]);
    lifecycle.on_server_date(jumped(200), secs(WALL + 200));
    assert_eq!(lifecycle.decide(jumped(200), SigningRequest::Small), TokenDecision::Use);
}

#[test]
fn a_date_far_from_the_accepted_one_is_not_that_of_the_service() {
    let mut lifecycle = token(3600);
    lifecycle.on_success_with_date(at(10), secs(WALL + 5000));
    assert_eq!(lifecycle.clock(at(10)), secs(WALL + 10));
    lifecycle.on_success_with_date(at(10), secs(WALL + 210));
    assert_eq!(lifecycle.clock(at(10)), secs(WALL + 210));
}

#[test]
fn a_clock_that_jumps_forward_ends_no_wait() {
    let mut lifecycle = token(60);
    assert_eq!(lifecycle.decide(at(61), SigningRequest::Small), TokenDecision::Wait);
    let jumped = Clocks { wall: secs(WALL + 100_000), ..at(62) };
    assert_eq!(lifecycle.decide(jumped, SigningRequest::Small), TokenDecision::Wait);
}

#[test]
fn a_difference_of_the_clocks_counts_from_thirty_seconds_on() {
    for (ahead, corrects) in [(29, false), (30, true), (-29, false), (-30, true)] {
        let mut lifecycle = TokenLifecycle::new(at(0), policy(None), token_info(1, 3600, 3600));
        let server = secs((WALL + 100).saturating_add_signed(ahead));
        assert_eq!(lifecycle.on_server_date(at(100), server), corrects, "{ahead}");
        let expected = if corrects { server } else { secs(WALL + 100) };
        assert_eq!(lifecycle.clock(at(100)), expected, "{ahead}");
    }
}

#[test]
fn at_the_start_a_time_query_is_waited_for_only_where_it_may_help() {
    let start = |can_query_time, renewal| {
        let policy = RefreshPolicy { can_query_time, renewal, ..policy(None) };
        TokenLifecycle::new(at(0), policy, token_info(1, 3600, 3600))
    };
    let mut lifecycle = start(true, Renewal::FilesOnly);
    assert_eq!(lifecycle.decide(at(4000), SigningRequest::Small), TokenDecision::Wait);
    // Without a task that sends it.
    let mut lifecycle = start(false, Renewal::FilesOnly);
    assert_eq!(lifecycle.decide(at(4000), SigningRequest::Small), TokenDecision::TimedOut);
    // A token was rejected by a response without a date.
    let mut lifecycle = start(true, Renewal::FilesOnly);
    lifecycle.on_unauthorized(at(1), attempt(1, secs(WALL + 1), Duration::ZERO), None);
    assert_eq!(lifecycle.decide(at(1), SigningRequest::Small), TokenDecision::TimedOut);
}
