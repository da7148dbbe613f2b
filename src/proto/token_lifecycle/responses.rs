//! What an answer says of the token and of the clock.
//!
//! Owns the meaning of refusals, acceptances, dates and probes. Pure. Must not decide what to do next.
//! Invariant: a refusal counts against the present token only if its request was signed with it, under
//! a date that the service takes, before its end.

use std::time::Duration;

use super::backoff::Backoff;
use super::{
    Clocks, NotThisToken, On401, ProbeResult, RejectedToken, SECOND, TokenEvent, TokenLifecycle,
};

/// A date further away than this is refused by the service.
const MAX_CLOCK_SKEW: Duration = Duration::from_secs(300);
/// A probe of a refused token follows the refusal after a second, and the probe before after this.
const PROBE_INTERVAL: Duration = Duration::from_secs(10);
/// How long requests may be sent again for reasons that pass before it is worth a word: a part on a
/// slow line takes its time, and is no news.
const REPORT_RETRIES_AFTER: Duration = Duration::from_secs(60);

impl TokenLifecycle {
    /// A request of this generation, dated `signed` by the service's clock, was refused (401) when
    /// it had taken so long; `server` is the date of the answer.
    pub fn on_unauthorized(
        &mut self,
        now: Clocks,
        generation: u64,
        (signed, took): (Duration, Duration),
        server: Option<Duration>,
    ) -> On401 {
        let stale = self.stale(now, generation, (signed, took), server);
        if let Some(server) = server {
            self.on_server_date(now, server);
        }
        if let Some(stale) = stale.or_else(|| self.is_expired(now).then_some(NotThisToken::Ended)) {
            self.events.push(TokenEvent::Stale { stale });
            self.report_block(now, REPORT_RETRIES_AFTER, !self.is_expired(now));
            return On401::Retry(stale);
        }
        self.blocked_since.get_or_insert(now);
        if self.rejected.is_none() {
            // Where probes pass and parts are refused all the same, there is no hurry.
            let delay = if self.rejected_since_success { PROBE_INTERVAL } else { SECOND };
            self.rejected_since_success = true;
            self.rejected =
                Some(RejectedToken { probing: false, backoff: Backoff::starting(now, delay) });
            self.events.push(TokenEvent::Refused);
        }
        On401::RereadFiles
    }

    fn stale(
        &self,
        now: Clocks,
        generation: u64,
        (signed, took): (Duration, Duration),
        server: Option<Duration>,
    ) -> Option<NotThisToken> {
        // A part takes many minutes on a slow line: what counts is the service's clock when the
        // request was signed, not when it was answered.
        let then = server.map(|server| server.saturating_sub(took));
        if then.is_some_and(|then| then.abs_diff(signed) > MAX_CLOCK_SKEW) {
            return Some(NotThisToken::Date);
        }
        if generation != self.token.generation {
            return Some(NotThisToken::Replaced);
        }
        self.is_expired(now).then_some(NotThisToken::Ended)
    }

    /// An answer to a request that was not refused carried this date. The service has taken the date
    /// of the request, so its own cannot be far from it, or is not that of who judges.
    pub fn on_success_with_date(&mut self, now: Clocks, server: Duration) {
        if self.clock(now).abs_diff(server) <= MAX_CLOCK_SKEW {
            self.on_server_date(now, server);
        }
    }

    /// An answer of a service carried this date; says whether it corrected the clock.
    pub fn on_server_date(&mut self, now: Clocks, server: Duration) -> bool {
        let Some(seconds) = self.clock.set_server_date(now, server) else { return false };
        if !std::mem::replace(&mut self.reported.skew, true) {
            self.events.push(TokenEvent::Skew { seconds });
        }
        true
    }

    /// The service did what a request asked for.
    pub fn on_success(&mut self) {
        self.blocked_since = None;
        if self.rejected.is_none() {
            self.rejected_since_success = false;
            self.refresh.tried = false;
            self.refresh.after_401.reset();
            if std::mem::take(&mut self.block_reported) {
                self.events.push(TokenEvent::Resumed);
            }
        }
    }

    /// A probe has been sent.
    pub fn probe_started(&mut self) {
        if let Some(doubt) = &mut self.rejected {
            doubt.probing = true;
            self.events.push(TokenEvent::Probing);
        }
    }

    /// The probe has been answered.
    pub fn probe_finished(&mut self, now: Clocks, generation: u64, how: ProbeResult) {
        if generation != self.token.generation {
            return;
        }
        let Some(doubt) = &mut self.rejected else { return };
        self.events.push(TokenEvent::Probed { how });
        doubt.probing = false;
        match how {
            ProbeResult::Accepted => self.rejected = None,
            ProbeResult::Refused | ProbeResult::Unanswered => {
                doubt.backoff = Backoff::starting(now, PROBE_INTERVAL);
            }
        }
    }
}
