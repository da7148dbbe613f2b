//! The life of a session token during an upload, as decisions: use it, renew it, probe, wait, or
//! give up.
//!
//! Pure: the clocks are arguments, what happened comes in as calls, what to do goes out as values.
//! Must not know a file, a socket, or the token itself. Invariants:
//! 1. `Verdict::Use` is never said of a token that is over by the clock as far as it is known, nor
//!    of one that was refused and has not passed a probe since.
//! 2. At most one refresh, one probe and one question for the time are under way.
//! 3. Once the stream is under way, only a standstill of `retry_for` leads to `Verdict::GiveUp`.

mod answers;
mod clock;
pub mod notice;
mod pace;
mod terms;

use std::collections::BTreeSet;
use std::time::Duration;

use self::clock::Clock;
pub use self::notice::{Notice, Origin};
use self::pace::Pace;
pub use self::terms::{
    Attempt, Facts, Now, Probed, Reason, Refreshed, Refusal, Rules, Stale, Step, Verdict,
};

const SECOND: Duration = Duration::from_secs(1);
/// How long waiting goes unmentioned: a renewal takes less.
const UNMENTIONED: Duration = Duration::from_secs(2);
/// The longest sleep, so that a clock that jumped is noticed.
const LONGEST_IDLE: Duration = Duration::from_secs(30);

/// The state of the token's life.
#[derive(Debug)]
pub struct Lifecycle {
    rules: Rules,
    facts: Facts,
    life: Duration,
    clock: Clock,
    /// Whether a stream is under way, so that waiting is better than ending.
    under_way: bool,
    refresh: Refresh,
    /// Set while the present token counts as refused.
    refused: Option<Doubt>,
    /// Whether a token was refused since the service last did what was asked.
    doubted: bool,
    /// Since when nothing can be sent or nothing was accepted, by the steady clock and the wall's.
    standstill: Option<Now>,
    /// Whether the standstill has been mentioned.
    mentioned: bool,
    likely_end: Option<Option<Duration>>,
    renewals: u64,
    /// The transfers that a refresh was asked for already.
    renewed_for: BTreeSet<u64>,
    /// The generation that an abort was attempted with though it was refused.
    parted: Option<u64>,
    said: notice::Said,
    notices: Vec<Notice>,
}

#[derive(Debug, Default)]
struct Refresh {
    under_way: Option<Reason>,
    /// Whether an attempt asked for a token that outlives its transfer.
    wanted: bool,
    pace: Pace,
    /// Refreshes on account of refusals have a pace of their own: a token refused at once after
    /// each refresh must not become a storm.
    after_refusal: Pace,
    /// Whether a refresh has ended since the service began to refuse.
    tried: bool,
    /// How many have ended.
    ended: u64,
}

#[derive(Debug)]
struct Doubt {
    probing: bool,
    pace: Pace,
}

impl Lifecycle {
    pub fn new(now: Now, rules: Rules, facts: Facts) -> Lifecycle {
        let mut lifecycle = Lifecycle {
            rules,
            facts,
            life: Duration::ZERO,
            clock: Clock::default(),
            under_way: false,
            refresh: Refresh::default(),
            refused: None,
            doubted: false,
            standstill: None,
            mentioned: false,
            likely_end: None,
            renewals: 0,
            renewed_for: BTreeSet::new(),
            parted: None,
            said: notice::Said::default(),
            notices: Vec::new(),
        };
        lifecycle.life = lifecycle.life_of(now, &facts);
        lifecycle.outlook(now);
        lifecycle
    }

    /// The service's clock, as far as it is known.
    pub fn clock(&self, now: Now) -> Duration {
        self.clock.now(now)
    }

    /// Other rules from now on.
    pub fn set_rules(&mut self, rules: Rules) {
        self.rules = rules;
    }

    /// Something to tell that was seen elsewhere.
    pub fn note(&mut self, notice: Notice) {
        self.notices.push(notice);
    }

    /// As above, unless it was the last that was told of its kind.
    pub fn note_once(&mut self, notice: Notice) {
        if self.said.noted.as_ref() != Some(&notice) {
            self.said.noted = Some(notice.clone());
            self.notices.push(notice);
        }
    }

    /// How many refreshes gave another token.
    pub fn renewals(&self) -> u64 {
        self.renewals
    }

    pub fn facts(&self) -> &Facts {
        &self.facts
    }

    /// How many refreshes have ended; a waiter knows by it that one has.
    pub fn refreshes_ended(&self) -> u64 {
        self.refresh.ended
    }

    /// What there is to tell since the last call.
    pub fn take_notices(&mut self) -> Vec<Notice> {
        std::mem::take(&mut self.notices)
    }

    /// From now on a stream is at stake, and waiting is better than ending.
    pub fn set_under_way(&mut self) {
        self.under_way = true;
    }

    /// When the upload will likely end; `None` where that cannot be told.
    pub fn set_likely_end(&mut self, now: Now, likely_end: Option<Duration>) {
        self.likely_end = Some(likely_end);
        self.outlook(now);
    }

    /// What an attempt may do that begins now.
    pub fn judge(&mut self, now: Now, attempt: Attempt) -> Verdict {
        if self.usable(now) {
            if let Attempt::Transfer { of, takes: Some(takes) } = attempt
                && self.could_outlive(now, takes)
                && self.renewed_for.insert(of)
            {
                self.refresh.wanted = true;
                self.notices.push(Notice::RenewFirst { takes, left: self.left(now) });
                return Verdict::RenewFirst;
            }
            return Verdict::Use;
        }
        // Nothing is at stake in an abort any more, and a refusal of parts may be none of it.
        let tried = self.parted == Some(self.facts.generation);
        if attempt == Attempt::Abort && !self.over(now) && !tried {
            return Verdict::Use;
        }
        let since = *self.standstill.get_or_insert(now);
        let stood = now.steady.saturating_sub(since.steady);
        let hopeless = match self.under_way {
            true => stood >= self.rules.retry_for,
            false => !self.refresh_may_help(now) && !self.time_may_help(now),
        };
        if hopeless {
            return Verdict::GiveUp;
        }
        self.mention(now, UNMENTIONED, self.refused.is_some());
        Verdict::Wait
    }

    /// Says that nothing goes on, where that has lasted for so long.
    fn mention(&mut self, now: Now, after: Duration, refused: bool) {
        let since = *self.standstill.get_or_insert(now);
        let stood = now.steady.saturating_sub(since.steady);
        if stood >= after && !std::mem::replace(&mut self.mentioned, true) {
            let until = since.wall + self.rules.retry_for;
            let (since, login) = (since.wall, String::new());
            self.notices.push(Notice::Waiting { since, until, refused, login });
        }
    }

    /// Says of a token that has ended while nothing had to be sent that it has.
    pub fn announce(&mut self, now: Now) {
        let expires = self.facts.expires;
        let idle = self.under_way && self.standstill.is_none();
        if idle && self.over(now) && self.said.ended != expires {
            self.said.ended = expires;
            self.notices.push(Notice::Ended { login: String::new() });
        }
    }

    /// An attempt is being signed with the present pair.
    pub fn signed(&mut self, now: Now, attempt: Attempt) {
        let generation = self.facts.generation;
        if attempt == Attempt::Abort && self.refused.is_some() {
            self.parted = Some(generation);
        }
        self.notices.push(Notice::Using { generation, left: self.left(now) });
    }

    /// What to do in the background now.
    pub fn step(&self, now: Now) -> Step {
        let mut idle = LONGEST_IDLE;
        if self.refresh.under_way.is_none() && self.refreshable(now) {
            let (refresh, clock) = (&self.refresh, self.clock(now));
            let due = self.due().saturating_sub(clock);
            let reasons = [
                (self.refused.is_some(), Reason::Refused, refresh.after_refusal.wait(now)),
                (refresh.wanted, Reason::Transfer, refresh.pace.wait(now)),
                (true, Reason::Due, refresh.pace.wait(now).max(due)),
            ];
            for (_, reason, wait) in reasons.into_iter().filter(|(applies, ..)| *applies) {
                if wait.is_zero() {
                    return Step::Refresh(reason);
                }
                idle = idle.min(wait);
            }
        }
        if let Some(doubt) = &self.refused
            && !doubt.probing
            && !self.over(now)
        {
            let wait = doubt.pace.wait(now);
            if wait.is_zero() {
                return Step::Probe;
            }
            idle = idle.min(wait);
        }
        if (self.over(now) && self.clock.doubtful(now) || self.clock.jumped(now))
            && let Some(wait) = self.clock.question(now)
        {
            if wait.is_zero() {
                return Step::AskTime;
            }
            idle = idle.min(wait);
        }
        if !self.usable(now) {
            idle = idle.min(SECOND);
        }
        Step::Idle(idle)
    }

    /// The time has been asked for.
    pub fn ask_began(&mut self) {
        self.clock.asks();
        self.notices.push(Notice::AskingTime);
    }

    /// The question for the time has ended; an answer has been told by `dated`.
    pub fn ask_ended(&mut self, now: Now) {
        self.clock.asked(now);
    }

    /// A refresh has been sent.
    pub fn refresh_began(&mut self, reason: Reason) {
        self.refresh.under_way = Some(reason);
        self.refresh.wanted = false;
        self.notices.push(Notice::Refreshing { reason });
    }

    /// How long an answer to a refresh is worth waiting for: half of what is left.
    pub fn refresh_patience(&self, now: Now) -> Duration {
        let left = self.facts.expires.unwrap_or_default().saturating_sub(self.clock(now));
        (left / 2).clamp(SECOND, Duration::from_secs(30))
    }

    /// The refresh has ended.
    pub fn refresh_ended(&mut self, now: Now, how: &Refreshed) {
        let reason = self.refresh.under_way.take();
        self.refresh.ended += 1;
        // Short tokens need short delays, or none of them would be over before the token is.
        match how {
            Refreshed::Longer => self.refresh.pace.reset(),
            Refreshed::NotLonger => {
                let first = Duration::from_secs(15).min(self.life / 20);
                let most = Duration::from_secs(300).min(self.life / 10);
                self.refresh.pace.slow_down(now, first, most);
                let expires = self.facts.expires.unwrap_or_default();
                if self.said.not_longer != Some(expires) {
                    self.said.not_longer = Some(expires);
                    self.notices.push(Notice::NotLonger { expires });
                }
                self.outlook(now);
            }
            Refreshed::Failed(why) => {
                let first = SECOND.min(self.life / 30);
                let most = Duration::from_secs(60).min(self.life / 20);
                let again = self.refresh.pace.slow_down(now, first, most);
                let first = self.refresh.pace.delays() == 1;
                self.notices.push(Notice::RefreshFailed { why: why.clone(), again, first });
            }
        }
        if reason == Some(Reason::Refused) {
            self.refresh.tried = true;
            let most = Duration::from_secs(60).min(self.life / 20);
            self.refresh.after_refusal.slow_down(now, SECOND.min(self.life / 30), most);
        }
    }

    /// Whether a pair that the files hold now is better than the present one. A file may hold an
    /// older token of the session where the newer one could not be written back.
    pub fn prefers(&self, now: Now, theirs: &Facts, same_key: bool) -> bool {
        let clock = self.clock(now);
        if theirs.expires.is_some_and(|expires| expires <= clock) {
            return false;
        }
        let age = |facts: &Facts| (facts.expires, facts.issued);
        !same_key || !self.usable(now) || age(theirs) >= age(&self.facts)
    }

    /// Another pair takes the place of the present one.
    pub fn adopt(&mut self, now: Now, facts: Facts, origin: Origin) {
        if facts.expires > self.facts.expires {
            self.refresh.pace.reset();
        }
        self.life = self.life_of(now, &facts);
        self.facts = facts;
        self.refused = None;
        self.refresh.wanted = false;
        self.renewals += u64::from(origin == Origin::Refresh);
        self.notices.push(Notice::Adopted { expires: facts.expires, origin });
        self.outlook(now);
    }

    /// How long the present token still lives; `None` for an API key.
    pub fn left(&self, now: Now) -> Option<Duration> {
        self.facts.expires.map(|expires| expires.saturating_sub(self.clock(now)))
    }

    fn usable(&self, now: Now) -> bool {
        self.refused.is_none() && !self.over(now)
    }

    /// Whether the token has ended, or will before a request arrives.
    fn over(&self, now: Now) -> bool {
        let margin = SECOND.min(self.life / 20);
        self.facts.expires.is_some_and(|expires| self.clock(now) + margin >= expires)
    }

    /// Whether the auth service may be asked, which takes a token that is valid.
    fn refreshable(&self, now: Now) -> bool {
        let clock = self.clock(now);
        self.rules.can_refresh && self.facts.expires.is_some_and(|expires| clock < expires)
    }

    fn refresh_may_help(&self, now: Now) -> bool {
        self.refresh.under_way.is_some() || self.refreshable(now) && !self.refresh.tried
    }

    /// Whether the token has ended by a clock that may be wrong.
    fn time_may_help(&self, now: Now) -> bool {
        self.rules.can_ask && self.refused.is_none() && self.clock.may_be_corrected(now)
    }

    /// When the token is to be renewed.
    fn due(&self) -> Duration {
        let usual = Duration::from_secs(600).min(self.life / 3);
        let before = self.rules.refresh_before.unwrap_or(usual).min(self.life / 2);
        self.facts.expires.unwrap_or(Duration::MAX).saturating_sub(before)
    }

    /// Whether the present token ends during a transfer and a new one would not.
    fn could_outlive(&self, now: Now, transfer: Duration) -> bool {
        let Some(expires) = self.facts.expires else { return false };
        let clock = self.clock(now);
        // The rate may fall.
        let end = clock + transfer.saturating_mul(5) / 4;
        let newest = (clock + self.life).min(self.facts.session_end.unwrap_or(Duration::MAX));
        let possible = self.refresh.under_way.is_some() || self.refresh.pace.wait(now).is_zero();
        end > expires
            && newest >= end
            && newest > expires + self.life / 20
            && self.refreshable(now)
            && possible
    }

    fn life_of(&self, now: Now, facts: &Facts) -> Duration {
        let expires = facts.expires.unwrap_or_default();
        let from = facts.issued.filter(|issued| *issued < expires).unwrap_or(self.clock(now));
        expires.saturating_sub(from).max(SECOND)
    }
}

#[cfg(test)]
pub(crate) mod simulation;
#[cfg(test)]
mod tests;
