//! The decisions of the life cycle, call by call.

mod clock;
mod events;
mod messages;
mod pauses;
mod refresh;
mod rejection;

use super::*;

const WALL: u64 = 1_767_225_600;

fn secs(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

fn at(seconds: u64) -> Clocks {
    Clocks { wall: secs(WALL + seconds), monotonic: secs(seconds) }
}

fn policy(refresh_before: Option<u64>) -> RefreshPolicy {
    let refresh_before = refresh_before.map(secs);
    RefreshPolicy {
        refresh_before,
        renewal: Renewal::Refresh,
        can_query_time: true,
        retry_for: secs(3600),
        seed: None,
    }
}

/// A token of this lifetime that expires `end` seconds after the start.
fn token_info(generation: u64, life: u64, end: u64) -> TokenInfo {
    TokenInfo {
        generation,
        expires: Some(secs(WALL + end)),
        issued: Some(secs(WALL + end - life)),
        session_end: None,
    }
}

/// A life cycle while streaming, with a token that was issued at the start.
fn token(life: u64) -> TokenLifecycle {
    let mut lifecycle = TokenLifecycle::new(at(0), policy(None), token_info(1, life, life));
    lifecycle.set_streaming();
    // The skew is zero.
    lifecycle.on_server_date(at(0), secs(WALL));
    lifecycle
}

fn transfer(transfer_id: u64, seconds: u64) -> SigningRequest {
    SigningRequest::Transfer { transfer_id, estimate: Some(secs(seconds)) }
}

/// The second at which a refresh of a token of this lifetime is due.
fn due(life: u64, refresh_before: Option<u64>) -> u64 {
    let lifecycle = TokenLifecycle::new(at(0), policy(refresh_before), token_info(1, life, life));
    let refresh = BackgroundTask::Refresh(RefreshReason::Due);
    (0..life).find(|&second| lifecycle.next_task(at(second)) == refresh).unwrap()
}

/// An attempt that the token of this generation signed.
fn attempt(generation: u64, date: Duration, took: Duration) -> SignedAttempt {
    SignedAttempt { generation, date, took }
}

/// Rejects the current token at this second, under a valid date.
fn reject(lifecycle: &mut TokenLifecycle, second: u64) -> On401 {
    let generation = lifecycle.token().generation;
    let date = lifecycle.clock(at(second));
    lifecycle.on_unauthorized(at(second), attempt(generation, date, Duration::ZERO), Some(date))
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
fn a_wait_is_reported_after_two_seconds_and_once_and_so_is_its_end() {
    let mut lifecycle = token(60);
    for second in 60..90 {
        assert_eq!(lifecycle.decide(at(second), SigningRequest::Small), TokenDecision::Wait);
        let events = lifecycle.take_events();
        let (since, until) = (secs(WALL + 60), secs(WALL + 60 + 3600));
        let waiting =
            TokenEvent::Waiting { since, until, cause: BlockCause::Expired, hint: String::new() };
        assert_eq!(events, if second == 62 { vec![waiting] } else { vec![] });
    }
    lifecycle.adopt(at(90), token_info(2, 60, 150), CredentialOrigin::Files);
    lifecycle.on_success(at(90));
    assert!(lifecycle.take_events().contains(&TokenEvent::Resumed));
}

#[test]
fn parts_in_flight_that_succeed_after_the_expiry_are_no_end_of_the_wait() {
    let mut lifecycle = token(60);
    let mut events = Vec::new();
    for second in 60..90 {
        assert_eq!(lifecycle.decide(at(second), SigningRequest::Small), TokenDecision::Wait);
        // A part that was signed before the expiry is acknowledged every 3 s.
        if second % 3 == 0 {
            lifecycle.on_success(at(second));
        }
        events.extend(lifecycle.take_events());
    }
    let waits = |event: &TokenEvent| matches!(event, TokenEvent::Waiting { .. });
    assert_eq!(events.iter().filter(|event| waits(event)).count(), 1, "{events:?}");
    assert!(!events.contains(&TokenEvent::Resumed), "{events:?}");
    lifecycle.adopt(at(90), token_info(2, 60, 150), CredentialOrigin::Files);
    lifecycle.on_success(at(90));
    assert!(lifecycle.take_events().contains(&TokenEvent::Resumed));
}

#[test]
fn while_streaming_only_a_block_of_retry_for_times_out_and_a_success_restarts_it() {
    let mut lifecycle = token(60);
    assert_eq!(lifecycle.decide(at(100), SigningRequest::Small), TokenDecision::Wait);
    assert_eq!(lifecycle.decide(at(100 + 3599), SigningRequest::Small), TokenDecision::Wait);
    // A part that was in flight succeeds.
    lifecycle.on_success(at(100 + 3599));
    assert_eq!(lifecycle.decide(at(100 + 3600), SigningRequest::Small), TokenDecision::Wait);
    assert_eq!(lifecycle.decide(at(100 + 3600 + 3599), SigningRequest::Small), TokenDecision::Wait);
    assert_eq!(
        lifecycle.decide(at(100 + 3600 + 3600), SigningRequest::Small),
        TokenDecision::TimedOut
    );
}

#[test]
fn after_the_last_stream_a_request_without_valid_credentials_fails_at_once() {
    let mut lifecycle = token(60);
    assert_eq!(lifecycle.decide(at(100), SigningRequest::Small), TokenDecision::Wait);
    lifecycle.end_streaming();
    lifecycle.set_policy(at(100), policy(None));
    assert_eq!(lifecycle.decide(at(101), SigningRequest::Small), TokenDecision::TimedOut);
}

#[test]
fn an_api_key_does_not_expire_and_is_never_refreshed() {
    let facts = TokenInfo { generation: 1, expires: None, issued: None, session_end: None };
    let mut lifecycle = TokenLifecycle::new(at(0), policy(None), facts);
    assert_eq!(lifecycle.decide(at(1_000_000), transfer(1, 9999)), TokenDecision::Use);
    lifecycle.set_streaming();
    reject(&mut lifecycle, 5);
    assert_eq!(lifecycle.next_task(at(5)), BackgroundTask::Idle(SECOND));
    assert_eq!(lifecycle.next_task(at(6)), BackgroundTask::Probe);
}

#[test]
fn the_later_of_two_tokens_is_better_unless_the_key_differs_or_the_current_one_is_unusable() {
    let mut lifecycle = token(3600);
    let (later, earlier) = (token_info(2, 3600, 3601), token_info(2, 3600, 3000));
    assert!(lifecycle.is_better_than_current(at(0), &later, CandidateKey::Current));
    assert!(!lifecycle.is_better_than_current(at(0), &earlier, CandidateKey::Current));
    assert!(lifecycle.is_better_than_current(at(0), &earlier, CandidateKey::Other));
    assert!(!lifecycle.is_better_than_current(at(3000), &earlier, CandidateKey::Other));
    // Of two that expire together, as at the end of a session, the one issued later.
    assert!(lifecycle.is_better_than_current(
        at(0),
        &token_info(2, 3599, 3600),
        CandidateKey::Current
    ));
    assert!(!lifecycle.is_better_than_current(
        at(0),
        &token_info(2, 3601, 3600),
        CandidateKey::Current
    ));
    reject(&mut lifecycle, 1);
    assert!(lifecycle.is_better_than_current(at(1), &earlier, CandidateKey::Current));
}
