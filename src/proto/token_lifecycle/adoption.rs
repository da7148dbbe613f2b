//! Another token in place of the current one.
//!
//! Owns which token is better, and what follows from taking it up. Must not know files or services.
//! Invariant: a token that has expired by the known clock is never better.

use super::health::HealthInput;
use super::{
    CandidateKey, Clocks, CredentialOrigin, EARLIER_SHARE, SECOND, TokenEvent, TokenInfo,
    TokenLifecycle,
};

impl TokenLifecycle {
    /// Whether to adopt the key and token that the files have now. The files may have an older token of the
    /// session if a newer one could not be written back.
    pub fn is_better_than_current(
        &self,
        now: Clocks,
        candidate: &TokenInfo,
        key: CandidateKey,
    ) -> bool {
        let clock = self.clock(now);
        if candidate.expires.is_some_and(|expires| expires <= clock) {
            return false;
        }
        let age = |token: &TokenInfo| (token.expires, token.issued);
        key == CandidateKey::Other || !self.is_usable(now) || age(candidate) >= age(&self.token)
    }

    /// Replaces the current token.
    pub fn adopt(&mut self, now: Clocks, token: TokenInfo, origin: CredentialOrigin) {
        if token.expires > self.token.expires {
            self.refresh.backoff.reset();
        }
        self.token = token;
        self.set_lifetime(now);
        self.health.apply(now, HealthInput::Replaced);
        self.refresh.wanted = false;
        self.refreshes += u64::from(origin == CredentialOrigin::Refresh);
        self.events.push(TokenEvent::Adopted { expires: token.expires, origin });
        self.report_session_end(now);
    }

    /// Sets what follows from the lifetime of the current token.
    pub(super) fn set_lifetime(&mut self, now: Clocks) {
        let expires = self.token.expires.unwrap_or_default();
        let from = self.token.issued.filter(|issued| *issued < expires).unwrap_or(self.clock(now));
        self.lifetime = expires.saturating_sub(from).max(SECOND);
        self.draw_earlier();
    }

    /// Draws how much earlier than others a refresh of the current token is due.
    pub(super) fn draw_earlier(&mut self) {
        self.earlier = (self.lifetime / EARLIER_SHARE).mul_f64(self.jitter.share());
    }
}
