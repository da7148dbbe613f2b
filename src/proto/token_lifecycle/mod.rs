//! The life of a session token during an upload, as decisions: use it, renew it, probe, wait, or
//! give up.
//!
//! Pure: the clocks are arguments, what happened comes in as calls, what to do goes out as values.
//! Must not know a file, a socket, or the token itself. Invariants:
//! 1. `Verdict::Use` is never said of a token that is over by the clock as far as it is known, nor
//!    of one that was refused and has not passed a probe since.
//! 2. At most one refresh, one probe and one question for the time are under way.
//! 3. Once the stream is under way, only a standstill of `retry_for` leads to `Verdict::GiveUp`.

mod backoff;
mod clock;
pub mod events;
mod responses;
mod types;

use std::collections::BTreeSet;
use std::time::Duration;

use self::backoff::Backoff;
use self::clock::Clock;
pub use self::events::{CredentialOrigin, TokenEvent};
pub use self::types::{
    BackgroundTask, Clocks, NotThisToken, On401, ProbeResult, RefreshOutcome, RefreshPolicy,
    RefreshReason, SigningRequest, TokenDecision, TokenInfo,
};

const SECOND: Duration = Duration::from_secs(1);
/// How long waiting goes unmentioned: a renewal takes less.
const REPORT_WAIT_AFTER: Duration = Duration::from_secs(2);
/// The longest sleep, so that a clock that jumped is noticed.
const MAX_IDLE: Duration = Duration::from_secs(30);

/// The state of the token's life.
#[derive(Debug)]
pub struct TokenLifecycle {
    policy: RefreshPolicy,
    token: TokenInfo,
    lifetime: Duration,
    clock: Clock,
    /// Whether a stream is under way, so that waiting is better than ending.
    streaming: bool,
    refresh: RefreshState,
    /// Set while the present token counts as refused.
    rejected: Option<RejectedToken>,
    /// Whether a token was refused since the service last did what was asked.
    rejected_since_success: bool,
    /// Since when nothing can be sent or nothing was accepted, by the steady clock and the wall's.
    blocked_since: Option<Clocks>,
    /// Whether the standstill has been mentioned.
    block_reported: bool,
    upload_eta: Option<Option<Duration>>,
    refreshes: u64,
    /// The transfers that a refresh was asked for already.
    refreshed_for: BTreeSet<u64>,
    /// The generation that an abort was attempted with though it was refused.
    aborted_with_generation: Option<u64>,
    reported: events::Reported,
    events: Vec<TokenEvent>,
}

#[derive(Debug, Default)]
struct RefreshState {
    in_flight: Option<RefreshReason>,
    /// Whether an attempt asked for a token that outlives its transfer.
    wanted: bool,
    backoff: Backoff,
    /// Refreshes on account of refusals have a pace of their own: a token refused at once after
    /// each refresh must not become a storm.
    after_401: Backoff,
    /// Whether a refresh has ended since the service began to refuse.
    tried: bool,
    /// How many have ended.
    finished: u64,
}

#[derive(Debug)]
struct RejectedToken {
    probing: bool,
    backoff: Backoff,
}

impl TokenLifecycle {
    pub fn new(now: Clocks, rules: RefreshPolicy, facts: TokenInfo) -> TokenLifecycle {
        let mut lifecycle = TokenLifecycle {
            policy: rules,
            token: facts,
            lifetime: Duration::ZERO,
            clock: Clock::default(),
            streaming: false,
            refresh: RefreshState::default(),
            rejected: None,
            rejected_since_success: false,
            blocked_since: None,
            block_reported: false,
            upload_eta: None,
            refreshes: 0,
            refreshed_for: BTreeSet::new(),
            aborted_with_generation: None,
            reported: events::Reported::default(),
            events: Vec::new(),
        };
        lifecycle.lifetime = lifecycle.lifetime_of(now, &facts);
        lifecycle.report_session_end(now);
        lifecycle
    }

    /// The service's clock, as far as it is known.
    pub fn clock(&self, now: Clocks) -> Duration {
        self.clock.now(now)
    }

    /// Other rules from now on.
    pub fn set_policy(&mut self, rules: RefreshPolicy) {
        self.policy = rules;
    }

    /// Something to tell that was seen elsewhere.
    pub fn emit(&mut self, notice: TokenEvent) {
        self.events.push(notice);
    }

    /// As above, unless it was the last that was told of its kind.
    pub fn emit_once(&mut self, notice: TokenEvent) {
        if self.reported.noted.as_ref() != Some(&notice) {
            self.reported.noted = Some(notice.clone());
            self.events.push(notice);
        }
    }

    /// How many refreshes gave another token.
    pub fn refreshes(&self) -> u64 {
        self.refreshes
    }

    pub fn token(&self) -> &TokenInfo {
        &self.token
    }

    /// How many refreshes have ended; a waiter knows by it that one has.
    pub fn refreshes_ended(&self) -> u64 {
        self.refresh.finished
    }

    /// What there is to tell since the last call.
    pub fn take_events(&mut self) -> Vec<TokenEvent> {
        std::mem::take(&mut self.events)
    }

    /// From now on a stream is at stake, and waiting is better than ending.
    pub fn set_streaming(&mut self) {
        self.streaming = true;
    }

    /// When the upload will likely end; `None` where that cannot be told.
    pub fn set_upload_eta(&mut self, now: Clocks, likely_end: Option<Duration>) {
        self.upload_eta = Some(likely_end);
        self.report_session_end(now);
    }

    /// What an attempt may do that begins now.
    pub fn decide(&mut self, now: Clocks, attempt: SigningRequest) -> TokenDecision {
        if self.usable(now) {
            if let SigningRequest::Transfer { of, takes: Some(takes) } = attempt
                && self.can_outlive(now, takes)
                && self.refreshed_for.insert(of)
            {
                self.refresh.wanted = true;
                self.events.push(TokenEvent::RefreshFirst { takes, left: self.remaining(now) });
                return TokenDecision::RefreshFirst;
            }
            return TokenDecision::Use;
        }
        // Nothing is at stake in an abort any more, and a refusal of parts may be none of it.
        let tried = self.aborted_with_generation == Some(self.token.generation);
        if attempt == SigningRequest::Abort && !self.is_expired(now) && !tried {
            return TokenDecision::Use;
        }
        let since = *self.blocked_since.get_or_insert(now);
        let stood = now.monotonic.saturating_sub(since.monotonic);
        let hopeless = match self.streaming {
            true => stood >= self.policy.retry_for,
            false => !self.refresh_may_help(now) && !self.time_may_help(now),
        };
        if hopeless {
            return TokenDecision::TimedOut;
        }
        self.report_block(now, REPORT_WAIT_AFTER, self.rejected.is_some());
        TokenDecision::Wait
    }

    /// Says that nothing goes on, where that has lasted for so long.
    fn report_block(&mut self, now: Clocks, after: Duration, refused: bool) {
        let since = *self.blocked_since.get_or_insert(now);
        let stood = now.monotonic.saturating_sub(since.monotonic);
        if stood >= after && !std::mem::replace(&mut self.block_reported, true) {
            let until = since.wall + self.policy.retry_for;
            let (since, login) = (since.wall, String::new());
            self.events.push(TokenEvent::Waiting { since, until, refused, login });
        }
    }

    /// Says of a token that has ended while nothing had to be sent that it has.
    pub fn report_expiry_while_idle(&mut self, now: Clocks) {
        let expires = self.token.expires;
        let idle = self.streaming && self.blocked_since.is_none();
        if idle && self.is_expired(now) && self.reported.ended != expires {
            self.reported.ended = expires;
            self.events.push(TokenEvent::Ended { login: String::new() });
        }
    }

    /// An attempt is being signed with the present pair.
    pub fn on_signed(&mut self, now: Clocks, attempt: SigningRequest) {
        let generation = self.token.generation;
        if attempt == SigningRequest::Abort && self.rejected.is_some() {
            self.aborted_with_generation = Some(generation);
        }
        self.events.push(TokenEvent::Using { generation, left: self.remaining(now) });
    }

    /// What to do in the background now.
    pub fn next_task(&self, now: Clocks) -> BackgroundTask {
        let mut idle = MAX_IDLE;
        if self.refresh.in_flight.is_none() && self.refreshable(now) {
            let (refresh, clock) = (&self.refresh, self.clock(now));
            let due = self.is_refresh_due().saturating_sub(clock);
            let reasons = [
                (self.rejected.is_some(), RefreshReason::Refused, refresh.after_401.remaining(now)),
                (refresh.wanted, RefreshReason::Transfer, refresh.backoff.remaining(now)),
                (true, RefreshReason::Due, refresh.backoff.remaining(now).max(due)),
            ];
            for (_, reason, wait) in reasons.into_iter().filter(|(applies, ..)| *applies) {
                if wait.is_zero() {
                    return BackgroundTask::Refresh(reason);
                }
                idle = idle.min(wait);
            }
        }
        if let Some(doubt) = &self.rejected
            && !doubt.probing
            && !self.is_expired(now)
        {
            let wait = doubt.backoff.remaining(now);
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
        if !self.usable(now) {
            idle = idle.min(SECOND);
        }
        BackgroundTask::Idle(idle)
    }

    /// The time has been asked for.
    pub fn time_query_started(&mut self) {
        self.clock.query_started();
        self.events.push(TokenEvent::QueryingTime);
    }

    /// The question for the time has ended; an answer has been told by `dated`.
    pub fn time_query_finished(&mut self, now: Clocks) {
        self.clock.query_finished(now);
    }

    /// A refresh has been sent.
    pub fn refresh_started(&mut self, reason: RefreshReason) {
        self.refresh.in_flight = Some(reason);
        self.refresh.wanted = false;
        self.events.push(TokenEvent::Refreshing { reason });
    }

    /// How long an answer to a refresh is worth waiting for: half of what is left.
    pub fn refresh_timeout(&self, now: Clocks) -> Duration {
        let left = self.token.expires.unwrap_or_default().saturating_sub(self.clock(now));
        (left / 2).clamp(SECOND, Duration::from_secs(30))
    }

    /// The refresh has ended.
    pub fn refresh_finished(&mut self, now: Clocks, how: &RefreshOutcome) {
        let reason = self.refresh.in_flight.take();
        self.refresh.finished += 1;
        // Short tokens need short delays, or none of them would be over before the token is.
        match how {
            RefreshOutcome::Extended => self.refresh.backoff.reset(),
            RefreshOutcome::NotExtended => {
                let first = Duration::from_secs(15).min(self.lifetime / 20);
                let most = Duration::from_secs(300).min(self.lifetime / 10);
                self.refresh.backoff.next_delay(now, first, most);
                let expires = self.token.expires.unwrap_or_default();
                if self.reported.not_longer != Some(expires) {
                    self.reported.not_longer = Some(expires);
                    self.events.push(TokenEvent::NotExtended { expires });
                }
                self.report_session_end(now);
            }
            RefreshOutcome::Failed(why) => {
                let first = SECOND.min(self.lifetime / 30);
                let most = Duration::from_secs(60).min(self.lifetime / 20);
                let again = self.refresh.backoff.next_delay(now, first, most);
                let first = self.refresh.backoff.attempts() == 1;
                self.events.push(TokenEvent::RefreshFailed { why: why.clone(), again, first });
            }
        }
        if reason == Some(RefreshReason::Refused) {
            self.refresh.tried = true;
            let most = Duration::from_secs(60).min(self.lifetime / 20);
            self.refresh.after_401.next_delay(now, SECOND.min(self.lifetime / 30), most);
        }
    }

    /// Whether a pair that the files hold now is better than the present one. A file may hold an
    /// older token of the session where the newer one could not be written back.
    pub fn is_better_than_current(&self, now: Clocks, theirs: &TokenInfo, same_key: bool) -> bool {
        let clock = self.clock(now);
        if theirs.expires.is_some_and(|expires| expires <= clock) {
            return false;
        }
        let age = |facts: &TokenInfo| (facts.expires, facts.issued);
        !same_key || !self.usable(now) || age(theirs) >= age(&self.token)
    }

    /// Another pair takes the place of the present one.
    pub fn adopt(&mut self, now: Clocks, facts: TokenInfo, origin: CredentialOrigin) {
        if facts.expires > self.token.expires {
            self.refresh.backoff.reset();
        }
        self.lifetime = self.lifetime_of(now, &facts);
        self.token = facts;
        self.rejected = None;
        self.refresh.wanted = false;
        self.refreshes += u64::from(origin == CredentialOrigin::Refresh);
        self.events.push(TokenEvent::Adopted { expires: facts.expires, origin });
        self.report_session_end(now);
    }

    /// How long the present token still lives; `None` for an API key.
    pub fn remaining(&self, now: Clocks) -> Option<Duration> {
        self.token.expires.map(|expires| expires.saturating_sub(self.clock(now)))
    }

    fn usable(&self, now: Clocks) -> bool {
        self.rejected.is_none() && !self.is_expired(now)
    }

    /// Whether the token has ended, or will before a request arrives.
    fn is_expired(&self, now: Clocks) -> bool {
        let margin = SECOND.min(self.lifetime / 20);
        self.token.expires.is_some_and(|expires| self.clock(now) + margin >= expires)
    }

    /// Whether the auth service may be asked, which takes a token that is valid.
    fn refreshable(&self, now: Clocks) -> bool {
        let clock = self.clock(now);
        self.policy.can_refresh && self.token.expires.is_some_and(|expires| clock < expires)
    }

    fn refresh_may_help(&self, now: Clocks) -> bool {
        self.refresh.in_flight.is_some() || self.refreshable(now) && !self.refresh.tried
    }

    /// Whether the token has ended by a clock that may be wrong.
    fn time_may_help(&self, now: Clocks) -> bool {
        self.policy.can_query_time && self.rejected.is_none() && self.clock.may_be_corrected(now)
    }

    /// When the token is to be renewed.
    fn is_refresh_due(&self) -> Duration {
        let usual = Duration::from_secs(600).min(self.lifetime / 3);
        let before = self.policy.refresh_before.unwrap_or(usual).min(self.lifetime / 2);
        self.token.expires.unwrap_or(Duration::MAX).saturating_sub(before)
    }

    /// Whether the present token ends during a transfer and a new one would not.
    fn can_outlive(&self, now: Clocks, transfer: Duration) -> bool {
        let Some(expires) = self.token.expires else { return false };
        let clock = self.clock(now);
        // The rate may fall.
        let end = clock + transfer.saturating_mul(5) / 4;
        let newest = (clock + self.lifetime).min(self.token.session_end.unwrap_or(Duration::MAX));
        let possible =
            self.refresh.in_flight.is_some() || self.refresh.backoff.remaining(now).is_zero();
        end > expires
            && newest >= end
            && newest > expires + self.lifetime / 20
            && self.refreshable(now)
            && possible
    }

    fn lifetime_of(&self, now: Clocks, facts: &TokenInfo) -> Duration {
        let expires = facts.expires.unwrap_or_default();
        let from = facts.issued.filter(|issued| *issued < expires).unwrap_or(self.clock(now));
        expires.saturating_sub(from).max(SECOND)
    }
}

#[cfg(test)]
pub(crate) mod simulation;
#[cfg(test)]
mod tests;
