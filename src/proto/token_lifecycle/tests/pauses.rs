//! How long a refresh may take, and the pauses between refreshes.

use super::*;

/// This many milliseconds after the start.
fn at_millis(millis: u64) -> Clocks {
    let monotonic = Duration::from_millis(millis);
    Clocks { wall: secs(WALL) + monotonic, monotonic }
}

fn failed(retry_after: Option<u64>) -> RefreshOutcome {
    let (why, retry_after) = ("503".to_owned(), retry_after.map(secs));
    RefreshOutcome::Failed { why, retry_after, request: None }
}

/// The pauses after refreshes with this outcome in milliseconds; the first is sent `from` milliseconds after
/// the start.
fn pauses<const N: usize>(
    lifecycle: &mut TokenLifecycle,
    from: u64,
    reason: RefreshReason,
    outcome: &RefreshOutcome,
) -> [u64; N] {
    let mut now = from;
    [(); N].map(|()| {
        assert_eq!(lifecycle.next_task(at_millis(now)), BackgroundTask::Refresh(reason));
        lifecycle.refresh_started(reason);
        lifecycle.refresh_finished(at_millis(now), outcome);
        let began = now;
        while lifecycle.next_task(at_millis(now)) != BackgroundTask::Refresh(reason) {
            now += 10;
        }
        now - began
    })
}

#[test]
fn a_refresh_may_take_half_of_what_is_left_of_the_token_and_the_issue_of_one_30_s() {
    let timeout = |renewal, millis| {
        let policy = RefreshPolicy { renewal, ..policy(None) };
        let lifecycle = TokenLifecycle::new(at(0), policy, token_info(1, 3600, 3600));
        lifecycle.refresh_timeout(at_millis(millis))
    };
    for (left, expected) in [(3_600_000, 30), (60_000, 30), (40_000, 20), (2_000, 1), (500, 1)] {
        assert_eq!(timeout(Renewal::Refresh, 3_600_000 - left), secs(expected), "{left}");
        assert_eq!(timeout(Renewal::Issue, 3_600_000 - left), secs(30));
    }
    assert_eq!(timeout(Renewal::Refresh, 4_000_000), secs(1));
    assert_eq!(timeout(Renewal::Issue, 4_000_000), secs(30));
}

#[test]
fn several_pauses_between_failed_refreshes_fit_into_the_life_of_a_short_token() {
    let mut lifecycle = token(12);
    let pauses = pauses(&mut lifecycle, 8_000, RefreshReason::Due, &failed(None));
    assert_eq!(pauses, [400, 600, 600]);
}

#[test]
fn several_pauses_between_refreshes_after_a_rejection_fit_into_the_life_of_a_short_token() {
    let policy = RefreshPolicy { renewal: Renewal::Issue, ..policy(None) };
    let mut lifecycle = TokenLifecycle::new(at(0), policy, token_info(1, 12, 12));
    reject(&mut lifecycle, 1);
    let pauses = pauses(&mut lifecycle, 1_000, RefreshReason::Rejected, &failed(None));
    assert_eq!(pauses, [400, 600, 600]);
}

#[test]
fn refreshes_that_give_no_more_time_become_rare_by_the_life_of_the_token() {
    let mut lifecycle = token(60);
    let of_short = pauses(&mut lifecycle, 40_000, RefreshReason::Due, &RefreshOutcome::NotExtended);
    assert_eq!(of_short, [3_000, 6_000, 6_000]);
    let mut lifecycle = TokenLifecycle::new(at(0), policy(Some(1800)), token_info(1, 3600, 3600));
    let of_hour =
        pauses(&mut lifecycle, 1_800_000, RefreshReason::Due, &RefreshOutcome::NotExtended);
    assert_eq!(of_hour, [15, 30, 60, 120, 240, 300, 300].map(|seconds| 1_000 * seconds));
}

#[test]
fn a_token_that_is_due_for_renewal_when_it_is_issued_is_renewed_at_half_of_what_is_left() {
    // Of 10 h from issue to expiry this much is left.
    for (left, pause) in [(16, 8), (60, 15)] {
        let mut lifecycle = token(36_000);
        let now = 36_000 - left;
        lifecycle.refresh_started(RefreshReason::Due);
        lifecycle.adopt(at(now), token_info(2, 36_000, 36_000), CredentialOrigin::Refresh);
        lifecycle.refresh_finished(at(now), &RefreshOutcome::Extended);
        let refresh = BackgroundTask::Refresh(RefreshReason::Due);
        let next = (now..36_000).find(|second| lifecycle.next_task(at(*second)) == refresh);
        assert_eq!(next, Some(now + pause), "{left} s are left");
    }
}

#[test]
fn the_pause_that_a_service_asks_for_is_kept_after_the_token_has_expired() {
    let policy = RefreshPolicy { renewal: Renewal::Issue, ..policy(None) };
    let mut lifecycle = TokenLifecycle::new(at(0), policy, token_info(1, 3600, 3600));
    let pauses = pauses(&mut lifecycle, 4_000_000, RefreshReason::Due, &failed(Some(60)));
    assert_eq!(pauses, [60_000]);
}

#[test]
fn refreshes_that_gave_another_token_are_counted_and_so_are_all_that_have_ended() {
    let mut lifecycle = token(3600);
    let counts = |lifecycle: &TokenLifecycle| (lifecycle.refreshes(), lifecycle.refreshes_ended());
    assert_eq!(counts(&lifecycle), (0, 0));
    for ended in 1..3 {
        lifecycle.refresh_started(RefreshReason::Due);
        lifecycle.refresh_finished(at(3000), &failed(None));
        assert_eq!(counts(&lifecycle), (0, ended));
    }
    lifecycle.adopt(at(3100), token_info(2, 3600, 6700), CredentialOrigin::Files);
    assert_eq!(counts(&lifecycle), (0, 2), "a token of the files is none of a refresh");
    for generation in 3..5 {
        lifecycle.refresh_started(RefreshReason::Due);
        lifecycle.adopt(at(6200), token_info(generation, 3600, 9800), CredentialOrigin::Refresh);
        lifecycle.refresh_finished(at(6200), &RefreshOutcome::Extended);
        assert_eq!(counts(&lifecycle), (generation - 2, generation));
    }
}

#[test]
fn the_last_moment_of_a_token_is_a_second_or_five_percent_of_a_short_life() {
    for (life, last) in [(10, 500), (20, 1_000), (3600, 1_000)] {
        let mut lifecycle = token(life);
        let mut decide =
            |millis| lifecycle.decide(at_millis(1_000 * life - millis), SigningRequest::Small);
        assert_eq!(decide(last + 1), TokenDecision::Use, "{life}");
        assert_eq!(decide(last), TokenDecision::Wait, "{life}");
    }
}

#[test]
fn the_life_of_a_token_without_a_usable_time_of_issue_counts_from_its_adoption() {
    for issued in [None, Some(3700), Some(3600)] {
        let issued = issued.map(|seconds| secs(WALL + seconds));
        let token = TokenInfo { issued, ..token_info(1, 3600, 3600) };
        let lifecycle = TokenLifecycle::new(at(2400), policy(None), token);
        // A third of the 1200 s that are left.
        let refresh = BackgroundTask::Refresh(RefreshReason::Due);
        assert!(matches!(lifecycle.next_task(at(3199)), BackgroundTask::Idle(_)), "{issued:?}");
        assert_eq!(lifecycle.next_task(at(3200)), refresh, "{issued:?}");
    }
}

#[test]
fn a_refresh_for_a_transfer_has_to_give_five_percent_of_a_life_more() {
    let first = TokenDecision::RefreshFirst;
    // What a transfer takes is a quarter more than its estimate.
    for (session_end, estimate, decision) in [
        (9000, 1280, TokenDecision::Use),
        (9000, 1281, first),
        (3780, 1360, TokenDecision::Use),
        (3781, 1360, first),
    ] {
        let session_end = Some(secs(WALL + session_end));
        let token = TokenInfo { session_end, ..token_info(1, 3600, 3600) };
        let mut lifecycle = TokenLifecycle::new(at(0), policy(None), token);
        assert_eq!(lifecycle.decide(at(2000), transfer(1, estimate)), decision, "{session_end:?}");
    }
}
