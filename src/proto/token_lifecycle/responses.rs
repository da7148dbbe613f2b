//! What a response means for the token and for the clock.
//!
//! Owns the meaning of 401s, successes, dates and probes. Must not decide what to do next. Invariant: a
//! 401 counts as a rejection of the current token only if that token signed the request, under a date
//! that the service accepts, and has not expired since.

use std::time::Duration;

use super::health::HealthInput;
use super::{
    BlockCause, Clocks, LATER_PROBE, NotThisToken, On401, ProbeResult, SignedAttempt, TokenEvent,
    TokenLifecycle,
};

/// The service rejects requests whose date differs more from its clock.
const MAX_CLOCK_SKEW: Duration = Duration::from_secs(300);
/// 401s that do not concern the token are reported only if no request has succeeded for this long; a part
/// on a slow connection takes as long.
const REPORT_RETRIES_AFTER: Duration = Duration::from_secs(60);

impl TokenLifecycle {
    /// Records that an attempt got a 401 with the date `server`. Returns what the attempt must do.
    pub fn on_unauthorized(
        &mut self,
        now: Clocks,
        attempt: SignedAttempt,
        server: Option<Duration>,
    ) -> On401 {
        let not_this_token = self.not_this_token(now, attempt, server);
        if let Some(server) = server {
            self.on_server_date(now, server);
        }
        // The date of the response may have shown that the token has expired.
        let expired = self.is_expired(now).then_some(NotThisToken::Expired);
        if let Some(stale) = not_this_token.or(expired) {
            self.events.push(TokenEvent::Stale { stale });
            let cause = expired.map_or(BlockCause::Rejected, |_| BlockCause::Expired);
            self.report_block(now, REPORT_RETRIES_AFTER, cause);
            return On401::Retry(stale);
        }
        if !self.health.is_rejected() {
            self.events.push(TokenEvent::Rejected);
        }
        self.health.apply(now, HealthInput::Rejection);
        On401::RereadFiles
    }

    /// Why a 401 does not concern the current token; `None` if it does.
    fn not_this_token(
        &self,
        now: Clocks,
        attempt: SignedAttempt,
        server: Option<Duration>,
    ) -> Option<NotThisToken> {
        // A part takes many minutes on a slow connection: the date is compared with the service's clock
        // at the time of signing, not of the response.
        let then = server.map(|server| server.saturating_sub(attempt.took));
        if then.is_some_and(|then| then.abs_diff(attempt.date) > MAX_CLOCK_SKEW) {
            return Some(NotThisToken::Date);
        }
        if attempt.generation != self.token.generation {
            return Some(NotThisToken::Replaced);
        }
        self.is_expired(now).then_some(NotThisToken::Expired)
    }

    /// Records the date of a response other than a 401, since 1970. The service has accepted the date of the
    /// request, so that a date far from it is not that of the service, and is ignored.
    pub fn on_success_with_date(&mut self, now: Clocks, server: Duration) {
        if self.clock(now).abs_diff(server) <= MAX_CLOCK_SKEW {
            self.on_server_date(now, server);
        }
    }

    /// Records the date of a response of the service, since 1970. Returns whether it corrected the clock.
    pub fn on_server_date(&mut self, now: Clocks, server: Duration) -> bool {
        let Some(seconds) = self.clock.set_server_date(now, server) else { return false };
        if !std::mem::replace(&mut self.reported.skew, true) {
            self.events.push(TokenEvent::Skew { seconds });
        }
        true
    }

    /// Records that the service did what a request asked for.
    pub fn on_success(&mut self, now: Clocks) {
        let was_reported = self.health.block().reported;
        if self.is_expired(now) {
            // A request that was in flight at the expiry: the next one waits all the same.
            self.health.apply(now, HealthInput::SucceededLate);
            return;
        }
        self.health.apply(now, HealthInput::Succeeded);
        if !self.health.is_rejected() {
            self.refresh.tried = false;
            self.refresh.after_401.reset();
            if was_reported {
                self.events.push(TokenEvent::Resumed);
            }
        }
    }

    /// Records that a probe was sent.
    pub fn probe_started(&mut self, now: Clocks) {
        if self.health.is_rejected() {
            self.health.apply(now, HealthInput::ProbeSent);
            self.events.push(TokenEvent::Probing);
        }
    }

    /// Records the result of a probe that was signed by the token of `generation`. It is ignored if another
    /// token has taken its place.
    pub fn probe_finished(&mut self, now: Clocks, generation: u64, result: ProbeResult) {
        if generation != self.token.generation || !self.health.is_rejected() {
            return;
        }
        self.events.push(TokenEvent::Probed { how: result });
        self.later_probe = LATER_PROBE.mul_f64(self.jitter.share());
        let input = match result {
            ProbeResult::Accepted => HealthInput::ProbeAccepted,
            ProbeResult::Rejected | ProbeResult::Unanswered => HealthInput::ProbeFailed,
        };
        self.health.apply(now, input);
    }
}
