//! Lives through two session tokens: the first is refreshed in time, the service rejects the second,
//! and a login of the user ends the wait.
//!
//! A real caller performs `next_task` in a background task, and asks `decide` before each attempt.
//!
//! `cargo run -p ocipipe-proto --example two_tokens`; `cargo test` runs it too.

use std::time::Duration;

use ocipipe_proto::token_lifecycle::{
    BackgroundTask, Clocks, CredentialOrigin, On401, RefreshOutcome, RefreshPolicy, RefreshReason,
    Renewal, SignedAttempt, SigningRequest, TokenDecision, TokenInfo, TokenLifecycle, TokenName,
};

/// The local time at the start of the run, in seconds since 1970.
const START: u64 = 1_767_225_600;

/// The clocks, this many seconds after the start of the run.
fn at(seconds: u64) -> Clocks {
    Clocks { wall: Duration::from_secs(START + seconds), monotonic: Duration::from_secs(seconds) }
}

/// A token that is issued at one time and expires an hour later.
fn token(generation: u64, issued: u64) -> TokenInfo {
    let time = |seconds| Some(Duration::from_secs(START + seconds));
    TokenInfo {
        generation,
        issued: time(issued),
        expires: time(issued + 3600),
        session_end: time(24 * 3600),
    }
}

#[cfg_attr(test, test)]
fn main() {
    let policy = RefreshPolicy {
        refresh_before: None,
        renewal: Renewal::Refresh,
        can_query_time: false,
        retry_for: Duration::from_secs(1800),
        seed: None,
    };
    let mut life = TokenLifecycle::new(at(0), policy, token(1, 0));
    life.set_streaming();
    let part = SigningRequest::Transfer { transfer_id: 1, estimate: None };

    // The first token signs, and the service accepts it.
    assert_eq!(life.decide(at(1), part), TokenDecision::Use);
    life.on_signed(at(1), part);
    life.on_success(at(2));

    // Before its end, the background task has to refresh it.
    let due = (2..3600)
        .find(|second| life.next_task(at(*second)) == BackgroundTask::Refresh(RefreshReason::Due));
    let Some(due) = due else { panic!("no refresh is due before the token expires") };
    println!("the refresh is due {} s before the expiry", 3600 - due);
    life.refresh_started(RefreshReason::Due);
    // Here the auth service is called. The new token is adopted before the end is reported.
    life.adopt(at(due), token(2, due), CredentialOrigin::Refresh);
    life.refresh_finished(at(due), &RefreshOutcome::Extended);
    assert_eq!((life.token().generation, life.refreshes()), (2, 1));
    assert_eq!(life.decide(at(3601), part), TokenDecision::Use, "the first token has expired");

    // The service rejects the second token. A caller then reads its files again.
    life.on_signed(at(3700), part);
    let attempt =
        SignedAttempt { generation: 2, date: at(3700).wall, took: Duration::from_secs(1) };
    assert_eq!(life.on_unauthorized(at(3701), attempt, None), On401::RereadFiles);
    // The files have nothing new: the upload waits, its parts stay in memory.
    assert_eq!(life.decide(at(3702), part), TokenDecision::Wait);

    // The user logs in; another process writes the token to the file.
    life.adopt(at(3800), token(3, 3800), CredentialOrigin::Files);
    assert_eq!(life.decide(at(3801), part), TokenDecision::Use);
    for event in life.take_events() {
        println!("{}", event.text(TokenName::Session));
    }
}
