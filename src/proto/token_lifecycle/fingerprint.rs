//! What of a token life cycle counts for the exploration of states.
//!
//! Owns the choice. Must not know the services. Invariant: each field is named, so that a new one is
//! decided about.

use super::health::{Block, Health, Probe};
use super::refresh::RefreshState;
use super::{Clocks, REPORT_WAIT_AFTER, SECOND, TokenLifecycle};
use crate::state_space::Fingerprint;

impl TokenLifecycle {
    /// Adds all that decisions depend on. The number of the token counts only in comparisons, and what was
    /// reported only for the user. Without a seed the jitter has no state.
    pub(super) fn add_to(&self, fingerprint: &mut Fingerprint, now: Clocks) {
        let TokenLifecycle {
            policy,
            token,
            lifetime,
            earlier: _,
            jitter: _,
            later_probe,
            clock,
            streaming,
            refresh,
            health,
            upload_eta: _,
            refreshes: _,
            refreshed_for: _,
            aborted_with_generation,
            reported: _,
            events: _,
        } = self;
        let ahead = |at: std::time::Duration| at.saturating_sub(self.clock(now));
        let margin = SECOND.min(*lifetime / 20);
        fingerprint.time(token.expires.map(|expires| ahead(expires).saturating_sub(margin)));
        fingerprint.time(token.expires.map(|_| ahead(self.refresh_due_at())));
        fingerprint.add((lifetime, streaming, *aborted_with_generation == Some(token.generation)));
        clock.add_to(fingerprint, now);
        let RefreshState { in_flight, wanted, backoff, after_401, tried, finished: _ } = refresh;
        fingerprint.add(in_flight.map(|reason| reason as u8));
        fingerprint.add((wanted, tried));
        backoff.add_to(fingerprint, now);
        after_401.add_to(fingerprint, now);
        fingerprint.add(health.state() as u8);
        if let Health::Rejected { probe, .. } = health {
            fingerprint.add(*probe == Probe::InFlight);
        }
        fingerprint.time(health.probe_wait(now, *later_probe));
        let Block { since, reported } = health.block();
        fingerprint.add(reported);
        let blocked_until =
            |limit| since.map(|since| (since.monotonic + limit).saturating_sub(now.monotonic));
        fingerprint.time(blocked_until(policy.retry_for));
        fingerprint.time(blocked_until(REPORT_WAIT_AFTER).filter(|_| !reported));
    }
}
