//! What an answer says of the token and of the clock.
//!
//! Owns the meaning of refusals, acceptances, dates and probes. Pure. Must not decide what to do next.
//! Invariant: a refusal counts against the present token only if its request was signed with it, under
//! a date that the service takes, before its end.

use std::time::Duration;

use super::pace::Pace;
use super::{Doubt, Lifecycle, Notice, Now, Probed, Refusal, SECOND, Stale};

/// A date further away than this is refused by the service.
const WINDOW: Duration = Duration::from_secs(300);
/// A probe of a refused token follows the refusal after a second, and the probe before after this.
const BETWEEN_PROBES: Duration = Duration::from_secs(10);
/// How long requests may be sent again for reasons that pass before it is worth a word: a part on a
/// slow line takes its time, and is no news.
const SENT_AGAIN: Duration = Duration::from_secs(60);

impl Lifecycle {
    /// A request of this generation, dated `signed` by the service's clock, was refused (401) when
    /// it had taken so long; `server` is the date of the answer.
    pub fn refused(
        &mut self,
        now: Now,
        generation: u64,
        (signed, took): (Duration, Duration),
        server: Option<Duration>,
    ) -> Refusal {
        let stale = self.stale(now, generation, (signed, took), server);
        if let Some(server) = server {
            self.dated(now, server);
        }
        if let Some(stale) = stale.or_else(|| self.over(now).then_some(Stale::Ended)) {
            self.notices.push(Notice::Stale { stale });
            self.mention(now, SENT_AGAIN, !self.over(now));
            return Refusal::Again(stale);
        }
        self.standstill.get_or_insert(now);
        if self.refused.is_none() {
            // Where probes pass and parts are refused all the same, there is no hurry.
            let delay = if self.doubted { BETWEEN_PROBES } else { SECOND };
            self.doubted = true;
            self.refused = Some(Doubt { probing: false, pace: Pace::beginning(now, delay) });
            self.notices.push(Notice::Refused);
        }
        Refusal::LookAtFiles
    }

    fn stale(
        &self,
        now: Now,
        generation: u64,
        (signed, took): (Duration, Duration),
        server: Option<Duration>,
    ) -> Option<Stale> {
        // A part takes many minutes on a slow line: what counts is the service's clock when the
        // request was signed, not when it was answered.
        let then = server.map(|server| server.saturating_sub(took));
        if then.is_some_and(|then| then.abs_diff(signed) > WINDOW) {
            return Some(Stale::Date);
        }
        if generation != self.facts.generation {
            return Some(Stale::Replaced);
        }
        self.over(now).then_some(Stale::Ended)
    }

    /// An answer to a request that was not refused carried this date. The service has taken the date
    /// of the request, so its own cannot be far from it, or is not that of who judges.
    pub fn agreed(&mut self, now: Now, server: Duration) {
        if self.clock(now).abs_diff(server) <= WINDOW {
            self.dated(now, server);
        }
    }

    /// An answer of a service carried this date; says whether it corrected the clock.
    pub fn dated(&mut self, now: Now, server: Duration) -> bool {
        let Some(seconds) = self.clock.dated(now, server) else { return false };
        if !std::mem::replace(&mut self.said.skew, true) {
            self.notices.push(Notice::Skew { seconds });
        }
        true
    }

    /// The service did what a request asked for.
    pub fn accepted(&mut self) {
        self.standstill = None;
        if self.refused.is_none() {
            self.doubted = false;
            self.refresh.tried = false;
            self.refresh.after_refusal.reset();
            if std::mem::take(&mut self.mentioned) {
                self.notices.push(Notice::Resumed);
            }
        }
    }

    /// A probe has been sent.
    pub fn probe_began(&mut self) {
        if let Some(doubt) = &mut self.refused {
            doubt.probing = true;
            self.notices.push(Notice::Probing);
        }
    }

    /// The probe has been answered.
    pub fn probe_ended(&mut self, now: Now, generation: u64, how: Probed) {
        if generation != self.facts.generation {
            return;
        }
        let Some(doubt) = &mut self.refused else { return };
        self.notices.push(Notice::Probed { how });
        doubt.probing = false;
        match how {
            Probed::Accepted => self.refused = None,
            Probed::Refused | Probed::Unanswered => {
                doubt.pace = Pace::beginning(now, BETWEEN_PROBES);
            }
        }
    }
}
