//! Refreshes: when one is due, and what its outcome means.
//!
//! Owns the reasons for a refresh and their backoff. Must not know how a refresh is sent. Invariant: no
//! refresh is due while one is in flight, nor a refresh that needs the current token after it has expired.

use std::time::Duration;

use super::backoff::Backoff;
use super::{Clocks, RefreshOutcome, RefreshReason, Renewal, SECOND, TokenEvent, TokenLifecycle};

/// The longest wait for the response to a refresh.
const MAX_REFRESH_TIMEOUT: Duration = Duration::from_secs(30);
/// The longest pause that a service can ask for.
const MAX_RETRY_AFTER: Duration = Duration::from_secs(300);

/// The longest jitter of such a pause.
const MAX_ASKED_JITTER: Duration = Duration::from_secs(30);

/// The refreshes of a run.
#[derive(Debug, Clone, Default)]
pub(super) struct RefreshState {
    pub in_flight: Option<RefreshReason>,
    /// Whether a transfer needs a token that outlives it.
    pub wanted: bool,
    pub backoff: Backoff,
    /// The backoff of refreshes that follow a rejection. It is separate, and also grows after a success:
    /// if each new token is rejected at once, refreshes must become rare.
    pub after_401: Backoff,
    /// Whether a refresh that followed a rejection has ended since the last success.
    pub tried: bool,
    /// The number of refreshes that have ended.
    pub finished: u64,
}

impl TokenLifecycle {
    /// Records that a refresh was sent.
    pub fn refresh_started(&mut self, reason: RefreshReason) {
        self.refresh.in_flight = Some(reason);
        self.refresh.wanted = false;
        self.events.push(TokenEvent::Refreshing { reason });
    }

    /// How long a refresh may take: half of the remaining lifetime, 1 s to 30 s. The issue of a token takes
    /// several requests and does not depend on the current token: 30 s.
    pub fn refresh_timeout(&self, now: Clocks) -> Duration {
        if self.policy.renewal == Renewal::Issue {
            return MAX_REFRESH_TIMEOUT;
        }
        let left = self.token.expires.unwrap_or_default().saturating_sub(self.clock(now));
        (left / 2).clamp(SECOND, MAX_REFRESH_TIMEOUT)
    }

    /// Records that the refresh has ended. A token that it gave is adopted before.
    pub fn refresh_finished(&mut self, now: Clocks, outcome: &RefreshOutcome) {
        let reason = self.refresh.in_flight.take();
        self.refresh.finished += 1;
        // Delays are fractions of the lifetime, so that several fit into that of a short token.
        match outcome {
            RefreshOutcome::Extended => {
                self.refresh.backoff.reset();
                // A service may issue tokens most of whose life is over: they must not be renewed one
                // right after the other.
                if self.refresh_due_at() <= self.clock(now) {
                    let left = self.remaining(now).unwrap_or_default();
                    let first = Duration::from_secs(15).min(left / 2);
                    self.refresh.backoff.next_delay(now, first, first, &mut self.jitter);
                }
            }
            RefreshOutcome::NotExtended => {
                let first = Duration::from_secs(15).min(self.lifetime / 20);
                let max = Duration::from_secs(300).min(self.lifetime / 10);
                self.refresh.backoff.next_delay(now, first, max, &mut self.jitter);
                let expires = self.token.expires.unwrap_or_default();
                // A token that takes the place of a rejected one need not last longer.
                let is_replacement = self.policy.renewal == Renewal::Issue
                    && reason == Some(RefreshReason::Rejected);
                if self.reported.not_extended != Some(expires) && !is_replacement {
                    self.reported.not_extended = Some(expires);
                    self.events.push(TokenEvent::NotExtended { expires });
                }
                self.report_session_end(now);
            }
            RefreshOutcome::Failed { why, retry_after, request } => {
                let first = SECOND.min(self.lifetime / 30);
                let max = Duration::from_secs(60).min(self.lifetime / 20);
                self.refresh.backoff.next_delay(now, first, max, &mut self.jitter);
                let asked = self.asked_delay(now, *retry_after);
                let again = self.refresh.backoff.at_least(now, asked);
                let first = self.refresh.backoff.attempts() == 1;
                let (why, request, hint) = (why.clone(), request.clone(), String::new());
                self.events.push(TokenEvent::RefreshFailed { why, again, first, request, hint });
            }
        }
        if reason == Some(RefreshReason::Rejected) {
            self.refresh.tried = true;
            let max = Duration::from_secs(60).min(self.lifetime / 20);
            let first = SECOND.min(self.lifetime / 30);
            self.refresh.after_401.next_delay(now, first, max, &mut self.jitter);
            if let RefreshOutcome::Failed { retry_after, .. } = outcome {
                let asked = self.asked_delay(now, *retry_after);
                self.refresh.after_401.at_least(now, asked);
            }
        }
    }

    /// What is waited because the service asks for it: at most 300 s and up to as long again, or up
    /// to 30 s, and at most half of what is left of the token, so that a token that only a valid one
    /// replaces does not expire meanwhile.
    fn asked_delay(&mut self, now: Clocks, retry_after: Option<Duration>) -> Duration {
        let asked = retry_after.unwrap_or_default().min(MAX_RETRY_AFTER);
        let asked = asked + asked.min(MAX_ASKED_JITTER).mul_f64(self.jitter.share());
        match self.remaining(now) {
            Some(left) if !left.is_zero() => asked.min(left / 2),
            _ => asked,
        }
    }

    /// The reasons for a refresh that apply, the most urgent first, with the time until it is due. Empty
    /// while no refresh can be sent.
    pub(super) fn refresh_waits(
        &self,
        now: Clocks,
    ) -> impl Iterator<Item = (RefreshReason, Duration)> {
        let refresh = &self.refresh;
        let can_send = refresh.in_flight.is_none() && self.can_refresh(now);
        let until_due = self.refresh_due_at().saturating_sub(self.clock(now));
        let backoff = refresh.backoff.remaining(now);
        let reasons = [
            (self.health.is_rejected(), RefreshReason::Rejected, refresh.after_401.remaining(now)),
            (refresh.wanted, RefreshReason::Transfer, backoff),
            (true, RefreshReason::Due, backoff.max(until_due)),
        ];
        reasons
            .into_iter()
            .filter(move |(applies, ..)| can_send && *applies)
            .map(|(_, reason, wait)| (reason, wait))
    }

    /// Whether a service would give another token now.
    fn can_refresh(&self, now: Clocks) -> bool {
        let Some(expires) = self.token.expires else { return false };
        match self.policy.renewal {
            Renewal::Refresh => self.clock(now) < expires,
            Renewal::Issue => true,
            Renewal::FilesOnly | Renewal::Never => false,
        }
    }

    /// Whether a refresh is in flight, or is possible and has not been tried since the rejection.
    pub(super) fn refresh_may_help(&self, now: Clocks) -> bool {
        self.refresh.in_flight.is_some() || self.can_refresh(now) && !self.refresh.tried
    }

    /// The time of the service's clock from which a refresh is due: `refresh_before` before the token
    /// expires, by default 10 minutes or a third of the lifetime, and up to a tenth of the lifetime earlier; at
    /// most half of the lifetime.
    pub(super) fn refresh_due_at(&self) -> Duration {
        let default = Duration::from_secs(600).min(self.lifetime / 3);
        let before = self.policy.refresh_before.unwrap_or(default).saturating_add(self.earlier);
        self.token.expires.unwrap_or(Duration::MAX).saturating_sub(before.min(self.lifetime / 2))
    }

    /// Whether the token expires during a transfer of this length, and a refresh now would give one that
    /// does not.
    pub(super) fn refresh_would_outlive(&self, now: Clocks, estimate: Duration) -> bool {
        let Some(expires) = self.token.expires else { return false };
        let clock = self.clock(now);
        // 25 % of tolerance, since the rate may fall.
        let end = clock + estimate.saturating_mul(5) / 4;
        let newest = (clock + self.lifetime).min(self.token.session_end.unwrap_or(Duration::MAX));
        let possible =
            self.refresh.in_flight.is_some() || self.refresh.backoff.remaining(now).is_zero();
        end > expires
            && newest >= end
            && newest > expires + self.lifetime / 20
            && self.can_refresh(now)
            && possible
    }
}
