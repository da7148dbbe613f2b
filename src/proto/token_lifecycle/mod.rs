//! The life cycle of a session token during an upload: whether a request may be signed with it, and when
//! to refresh, probe or wait.
//!
//! Owns these decisions. Must not know files, sockets, or the token itself: the clocks are arguments,
//! calls report what happened, values say what to do. Invariants:
//! 1. `TokenDecision::Use` is never returned for a token that has expired by the known clock, nor, except
//!    once for an abort, for one that was rejected and has not passed a probe since.
//! 2. At most one refresh, one probe of the current token and one time query are in flight.
//! 3. While a stream is read, only a block of `retry_for` leads to `TokenDecision::TimedOut`.
//!
//! # Contract
//!
//! Each attempt of a request makes these calls, in this order:
//!
//! 1. [`TokenLifecycle::decide`], after its connection is open. `Use`: sign now. `Wait` and `RefreshFirst`:
//!    ask again when another token was adopted, a refresh has ended, or a second has passed.
//! 2. [`TokenLifecycle::on_signed`] with the same request.
//! 3. By the response: [`TokenLifecycle::on_success`], with
//!    [`TokenLifecycle::on_success_with_date`] for its `date`; or [`TokenLifecycle::on_unauthorized`] for a
//!    401, whose result says whether to try again or to read the credential files. Other responses and lost
//!    connections are not reported.
//!
//! One background task performs [`TokenLifecycle::next_task`], again after each of these calls and after
//! the time of `Idle`:
//!
//! | Task | Before it | After it |
//! |---|---|---|
//! | `Refresh` | [`refresh_started`](TokenLifecycle::refresh_started) | [`adopt`](TokenLifecycle::adopt) if there is a token, then [`refresh_finished`](TokenLifecycle::refresh_finished) |
//! | `Probe` | [`probe_started`](TokenLifecycle::probe_started) | [`probe_finished`](TokenLifecycle::probe_finished) |
//! | `AskTime` | [`time_query_started`](TokenLifecycle::time_query_started) | [`on_server_date`](TokenLifecycle::on_server_date), then [`time_query_finished`](TokenLifecycle::time_query_finished) |
//!
//! A caller that has credential files compares what it reads there by
//! [`is_better_than_current`](TokenLifecycle::is_better_than_current) and adopts it. Until
//! [`set_streaming`](TokenLifecycle::set_streaming), what cannot be helped ends the run; from then on it waits.
//!
//! # Units and errors
//!
//! [`Clocks`] has both clocks: times of tokens and dates are durations since 1970, and delays are measured by
//! the monotonic clock. No call fails; what a user has to know is an event of
//! [`take_events`](TokenLifecycle::take_events).
//!
//! # Sources
//!
//! A session token is a JWT that the auth service exchanges by `POST /v1/authentication/refresh`
//! ("Token-based Authentication for the CLI",
//! <https://docs.oracle.com/iaas/Content/API/SDKDocs/clitoken.htm>). The service refuses a request whose date is
//! more than five minutes from its clock ("Request Signatures",
//! <https://docs.oracle.com/iaas/Content/API/Concepts/signingrequests.htm>).
//!
//! `examples/two_tokens.rs` lives through a refresh and a rejection.

mod adoption;
mod backoff;
mod clock;
pub mod events;
mod health;
mod jitter;
mod messages;
mod refresh;
mod responses;
mod types;

use std::collections::BTreeSet;
use std::time::Duration;

use self::clock::Clock;
pub use self::events::{CredentialOrigin, TokenEvent, TokenName};
use self::health::{Health, HealthInput};
use self::jitter::Jitter;
use self::refresh::RefreshState;
use self::types::UploadEta;
pub use self::types::{
    BackgroundTask, BlockCause, CandidateKey, Clocks, NotThisToken, On401, ProbeResult,
    RefreshOutcome, RefreshPolicy, RefreshReason, Renewal, SignedAttempt, SigningRequest,
    TokenDecision, TokenInfo,
};

const SECOND: Duration = Duration::from_secs(1);
/// A wait is reported only if it is longer: a refresh takes less.
const REPORT_WAIT_AFTER: Duration = Duration::from_secs(2);
/// A refresh is due up to this share of the lifetime before its latest time: a fleet that was started in one
/// second must not refresh its tokens in one second.
const EARLIER_SHARE: u32 = 10;
/// A probe that follows another is due up to this much later, for the same reason.
const LATER_PROBE: Duration = Duration::from_secs(5);
/// The longest idle time of the background task, so that it notices a clock that jumped.
const MAX_IDLE: Duration = Duration::from_secs(30);

/// The life cycle of one token after the other, of one key and session.
///
/// Before an attempt the caller asks [`decide`](TokenLifecycle::decide) and reports
/// [`on_signed`](TokenLifecycle::on_signed) when it signs. After the response it reports
/// [`on_success`](TokenLifecycle::on_success) or [`on_unauthorized`](TokenLifecycle::on_unauthorized), and
/// dates with [`on_success_with_date`](TokenLifecycle::on_success_with_date). A background task performs
/// [`next_task`](TokenLifecycle::next_task), between its start and end calls. Events for the user
/// accumulate until [`take_events`](TokenLifecycle::take_events).
#[derive(Debug)]
#[cfg_attr(test, derive(Clone))]
pub struct TokenLifecycle {
    policy: RefreshPolicy,
    token: TokenInfo,
    /// From issue to expiry, at least one second.
    lifetime: Duration,
    /// How much earlier than others a refresh of this token is due.
    earlier: Duration,
    jitter: Jitter,
    /// How much later than others the next probe is due.
    later_probe: Duration,
    clock: Clock,
    /// Whether a stream is read, so that the life cycle waits where it would otherwise give up.
    streaming: bool,
    refresh: RefreshState,
    health: Health,
    upload_eta: UploadEta,
    /// The refreshes that gave another token.
    refreshes: u64,
    /// The transfers that have caused a refresh.
    refreshed_for: BTreeSet<u64>,
    /// The generation of the rejected token that has signed an abort.
    aborted_with_generation: Option<u64>,
    reported: events::Reported,
    events: Vec<TokenEvent>,
}

impl TokenLifecycle {
    /// A life cycle that begins with this token.
    pub fn new(now: Clocks, policy: RefreshPolicy, token: TokenInfo) -> TokenLifecycle {
        let mut lifecycle = TokenLifecycle {
            policy,
            token,
            lifetime: Duration::ZERO,
            earlier: Duration::ZERO,
            jitter: Jitter::of(policy.seed),
            later_probe: Duration::ZERO,
            clock: Clock::default(),
            streaming: false,
            refresh: RefreshState::default(),
            health: Health::default(),
            upload_eta: UploadEta::NotEstimated,
            refreshes: 0,
            refreshed_for: BTreeSet::new(),
            aborted_with_generation: None,
            reported: events::Reported::default(),
            events: Vec::new(),
        };
        lifecycle.set_lifetime(now);
        lifecycle.report_session_end(now);
        lifecycle
    }

    /// The time at the service, as far as it is known: the local clock, corrected by dates of responses.
    pub fn clock(&self, now: Clocks) -> Duration {
        self.clock.now(now)
    }

    /// Replaces the policy.
    pub fn set_policy(&mut self, now: Clocks, policy: RefreshPolicy) {
        self.policy = policy;
        self.jitter = Jitter::of(policy.seed);
        self.draw_earlier();
        let most = self.lifetime / 2;
        if let Some(given) = policy.refresh_before.filter(|given| *given > most)
            && matches!(policy.renewal, Renewal::Refresh | Renewal::Issue)
            && self.token.expires.is_some()
        {
            self.events.push(TokenEvent::RefreshBeforeReduced { given, most });
        }
        self.report_session_end(now);
    }

    /// Adds an event of another component.
    pub fn emit(&mut self, event: TokenEvent) {
        self.events.push(event);
    }

    /// Adds an event unless it equals the last event that was added with this function.
    pub fn emit_once(&mut self, event: TokenEvent) {
        if self.reported.last_once.as_ref() != Some(&event) {
            self.reported.last_once = Some(event.clone());
            self.events.push(event);
        }
    }

    /// The number of refreshes that gave another token.
    pub fn refreshes(&self) -> u64 {
        self.refreshes
    }

    /// The current token.
    pub fn token(&self) -> &TokenInfo {
        &self.token
    }

    /// The number of refreshes that have ended in any way. A caller that waits for a refresh watches it.
    pub fn refreshes_ended(&self) -> u64 {
        self.refresh.finished
    }

    /// Removes and returns the events since the last call.
    pub fn take_events(&mut self) -> Vec<TokenEvent> {
        std::mem::take(&mut self.events)
    }

    /// Records that a stream is read from now on, so that [`decide`](TokenLifecycle::decide) waits for up to
    /// `retry_for`.
    pub fn set_streaming(&mut self) {
        self.streaming = true;
    }

    /// No stream is read or written any more: requests fail again without valid credentials.
    pub fn end_streaming(&mut self) {
        self.streaming = false;
    }

    /// Records when the upload will end, since 1970; `None` if the length of the stream is not known. Warns
    /// if the session ends earlier.
    pub fn set_upload_eta(&mut self, now: Clocks, eta: Option<Duration>) {
        self.upload_eta = eta.map_or(UploadEta::Unknown, UploadEta::At);
        self.report_session_end(now);
    }

    /// Whether the current token may sign an attempt at `request` now.
    pub fn decide(&mut self, now: Clocks, request: SigningRequest) -> TokenDecision {
        if self.is_usable(now) {
            if let SigningRequest::Transfer { transfer_id, estimate: Some(estimate) } = request
                && self.refresh_would_outlive(now, estimate)
                && self.refreshed_for.insert(transfer_id)
            {
                self.refresh.wanted = true;
                let left = self.remaining(now);
                self.events.push(TokenEvent::RefreshFirst { takes: estimate, left });
                return TokenDecision::RefreshFirst;
            }
            return TokenDecision::Use;
        }
        // An abort risks no data, and a token rejected for UploadPart may still be accepted for
        // AbortMultipartUpload: it is tried once.
        let tried = self.aborted_with_generation == Some(self.token.generation);
        if request == SigningRequest::Abort && !self.is_expired(now) && !tried {
            return TokenDecision::Use;
        }
        let (_, blocked_for) = self.stall(now);
        let nothing_helps = if self.streaming {
            // Files may change and a rejection may end; a text in the environment does not change.
            self.policy.renewal == Renewal::Never
                && self.is_expired(now)
                && !self.time_query_may_help(now)
        } else {
            !self.refresh_may_help(now) && !self.time_query_may_help(now)
        };
        let timed_out = nothing_helps || blocked_for >= self.policy.retry_for;
        if timed_out {
            return TokenDecision::TimedOut;
        }
        let cause =
            if self.health.is_rejected() { BlockCause::Rejected } else { BlockCause::Expired };
        self.report_block(now, REPORT_WAIT_AFTER, cause);
        TokenDecision::Wait
    }

    /// Records that no request can be sent or accepted. Returns since when, and for how long.
    fn stall(&mut self, now: Clocks) -> (Clocks, Duration) {
        self.health.apply(now, HealthInput::Stalled);
        let since = self.health.block().since.unwrap_or(now);
        (since, now.monotonic.saturating_sub(since.monotonic))
    }

    /// Warns of a block that has lasted for `after`, once.
    fn report_block(&mut self, now: Clocks, after: Duration, cause: BlockCause) {
        let (since, blocked_for) = self.stall(now);
        if blocked_for >= after && !self.health.block().reported {
            self.health.apply(now, HealthInput::Reported);
            let until = since.wall.saturating_add(self.policy.retry_for);
            let (since, hint) = (since.wall, String::new());
            self.events.push(TokenEvent::Waiting { since, until, cause, hint });
        }
    }

    /// Warns, once for each token, that the token has expired while no request was waiting for it.
    pub fn report_expiry_while_idle(&mut self, now: Clocks) {
        let expires = self.token.expires;
        let idle = self.streaming && self.health.block().since.is_none();
        if idle && self.is_expired(now) && self.reported.expired_idle != expires {
            self.reported.expired_idle = expires;
            self.events.push(TokenEvent::ExpiredWhileIdle { hint: String::new() });
        }
    }

    /// Records that the current token signs an attempt at `request`.
    pub fn on_signed(&mut self, now: Clocks, request: SigningRequest) {
        let generation = self.token.generation;
        if request == SigningRequest::Abort && self.health.is_rejected() {
            self.aborted_with_generation = Some(generation);
        }
        self.events.push(TokenEvent::Using { generation, left: self.remaining(now) });
    }

    /// What the background task must do now. Until it has called the function that records the start of a
    /// task, the same task is returned again.
    pub fn next_task(&self, now: Clocks) -> BackgroundTask {
        let mut idle = MAX_IDLE;
        for (reason, wait) in self.refresh_waits(now) {
            if wait.is_zero() {
                return BackgroundTask::Refresh(reason);
            }
            idle = idle.min(wait);
        }
        if let Some(wait) = self.health.probe_wait(now, self.later_probe)
            && !self.is_expired(now)
        {
            if wait.is_zero() {
                return BackgroundTask::Probe;
            }
            idle = idle.min(wait);
        }
        if (self.is_expired(now) && self.clock.is_uncertain(now) || self.clock.jumped(now))
            && let Some(wait) = self.clock.next_query(now)
        {
            if wait.is_zero() {
                return BackgroundTask::AskTime;
            }
            idle = idle.min(wait);
        }
        if !self.is_usable(now) {
            idle = idle.min(SECOND);
        }
        BackgroundTask::Idle(idle)
    }

    /// Records that a time query was sent.
    pub fn time_query_started(&mut self) {
        self.clock.query_started();
        self.events.push(TokenEvent::QueryingTime);
    }

    /// Records that the time query has ended. A date in its response is passed to
    /// [`on_server_date`](TokenLifecycle::on_server_date) before.
    pub fn time_query_finished(&mut self, now: Clocks) {
        self.clock.query_finished(now, &mut self.jitter);
    }

    /// The time until the current token expires; `None` for an API key.
    pub fn remaining(&self, now: Clocks) -> Option<Duration> {
        self.token.expires.map(|expires| expires.saturating_sub(self.clock(now)))
    }

    fn is_usable(&self, now: Clocks) -> bool {
        !self.health.is_rejected() && !self.is_expired(now)
    }

    /// Whether the token has expired, or will before a request arrives: one second, or 5 % of a short
    /// lifetime.
    fn is_expired(&self, now: Clocks) -> bool {
        let margin = SECOND.min(self.lifetime / 20);
        self.token.expires.is_some_and(|expires| self.clock(now) + margin >= expires)
    }

    /// Whether a time query may show that the token has not expired.
    fn time_query_may_help(&self, now: Clocks) -> bool {
        self.policy.can_query_time && !self.health.is_rejected() && self.clock.may_be_corrected(now)
    }
}

#[cfg(test)]
mod exploration;
#[cfg(test)]
mod fingerprint;
#[cfg(test)]
pub(crate) mod simulation;
#[cfg(test)]
mod tests;
