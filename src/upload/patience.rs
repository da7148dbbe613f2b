//! Trying again, and for how long.
//!
//! Owns the clock of `--retry-for`: it starts at the first failure after the last progress, and any
//! acknowledgement stops it. Knows nothing of what is tried. Invariant: the last attempt is made
//! when patience ends, and nothing is given up before.

use super::ending::ABORT_PAUSE;
use super::{Action, Call, Now, Upload};
use crate::error::Error;
use crate::retry::{self, Failure, Operation, Tally, Verdict};

/// Trouble that follows an earlier one within this is one with it: single parts that fail among good
/// ones would make a line each otherwise.
const CALM: Now = Now::from_secs(60);
/// It is mentioned all the same where nothing has gone forward for so long.
const STANDSTILL: Now = Now::from_secs(10);

/// Since when nothing went forward.
#[derive(Debug, Clone)]
pub(super) struct Trouble {
    pub since: Now,
    told: Told,
    /// It began with a 404 that may be spurious.
    hidden: bool,
}

/// Whether trouble has been told of.
#[derive(Debug, Clone, PartialEq)]
enum Told {
    /// What is to be said.
    NotYet(String),
    Yes,
    /// Credentials were refused, and nothing else: of that the session tells.
    Elsewhere,
}

impl Upload {
    pub(super) fn part_again(&mut self, now: Now, number: u32, failure: &Failure, doing: &str) {
        if let Some(error) = self.troubled(now, failure, Operation::Part, doing) {
            return self.fail(now, error);
        }
        let attempt = self.parts.attempt(number);
        let tally = self.parts.tally(number).map(|tally| *tally);
        let at = self.next_attempt(now, (attempt, tally), failure);
        self.parts.retry_at(number, at);
        self.retries += 1;
    }

    /// Schedules another attempt of the one call besides parts.
    pub(super) fn again(&mut self, now: Now, call: Call, failure: &Failure) {
        match self.troubled(now, failure, call.operation(), &self.doing(&call)) {
            Some(error) => self.give_up(now, error),
            None => self.later(now, call, failure),
        }
    }

    /// What an attempt is called in messages.
    pub(super) fn doing(&self, call: &Call) -> String {
        format!("{}, attempt {}", call.operation().name(), self.attempt + 1)
    }

    pub(super) fn later(&mut self, now: Now, call: Call, failure: &Failure) {
        let tally = self.tally.map(|(_, tally)| tally);
        let at = self.next_attempt(now, (self.attempt, tally), failure);
        self.attempt += 1;
        self.retries += 1;
        self.waiting = Some((at, call));
    }

    /// After so many attempts, and so many 404s of the last of them.
    fn next_attempt(
        &mut self,
        now: Now,
        (attempt, tally): (u32, Option<Tally>),
        failure: &Failure,
    ) -> Now {
        let random = self.random.f64();
        let mut pause = match tally.filter(|tally| tally.count() > 0) {
            None => retry::pause(attempt, random, failure),
            // They pass one by one and not with time, as an outage does.
            Some(tally) if self.bucket_answered => retry::pause(tally.count() - 1, random, failure),
            Some(tally) => tally.pause(random),
        };
        if self.stop_by.is_some() {
            pause = pause.min(ABORT_PAUSE);
        }
        // The last attempt is made when patience ends, not before.
        (now + pause).min(self.patience_ends(now))
    }

    /// Notes that something failed; the error to end with if that has gone on for too long.
    pub(super) fn troubled(
        &mut self,
        now: Now,
        failure: &Failure,
        operation: Operation,
        doing: &str,
    ) -> Option<Error> {
        let retry_for = self.settings.retry_for;
        let what = failure.what(doing);
        let hidden = retry::judge(operation, self.stage(), failure) == Verdict::Hidden;
        let text = match hidden {
            true => {
                let words = Tally::words(operation, self.bucket_answered);
                format!("{what}; {words}, what was read is kept")
            }
            false => {
                let seconds = retry_for.as_secs();
                format!("{what}; trying again for up to {seconds} s, what was read is kept")
            }
        };
        match &mut self.trouble {
            None => {
                let told = match failure.refuses_credentials() {
                    true => Told::Elsewhere,
                    false => Told::NotYet(text),
                };
                self.trouble = Some(Trouble { since: now, told, hidden });
                self.mention_trouble(now);
                None
            }
            Some(trouble) if now < trouble.since + retry_for => {
                let untold = trouble.told == Told::Elsewhere
                    || trouble.hidden && !hidden && trouble.told != Told::Yes;
                if untold && !failure.refuses_credentials() {
                    (trouble.told, trouble.hidden) = (Told::NotYet(text), hidden);
                    self.mention_trouble(now);
                }
                None
            }
            Some(trouble) => {
                let stood = (now - trouble.since).as_secs();
                let what = format!("{what} (no progress for {stood} s)");
                Some(Error { what, ..failure.error(operation, doing) })
            }
        }
    }

    pub(super) fn patience_ends(&self, now: Now) -> Now {
        self.trouble.as_ref().map_or(now, |trouble| trouble.since) + self.settings.retry_for
    }

    /// When trouble that was left unmentioned is to be mentioned.
    pub(super) fn mention_at(&self) -> Option<Now> {
        let trouble = self.trouble.as_ref().filter(|t| matches!(t.told, Told::NotYet(_)))?;
        let calm = self.calm_since.is_none_or(|calm| trouble.since >= calm + CALM);
        // That requests are declined by mistake is no news the second time.
        let news = calm && !(trouble.hidden && self.spurious_told);
        Some(trouble.since + if news { Now::ZERO } else { STANDSTILL })
    }

    pub(super) fn mention_trouble(&mut self, now: Now) {
        if self.mention_at().is_some_and(|at| now >= at)
            && let Some(trouble) = &mut self.trouble
            && let Told::NotYet(text) = std::mem::replace(&mut trouble.told, Told::Yes)
        {
            self.spurious_told |= trouble.hidden;
            self.actions.push_back(Action::Note(text));
        }
    }

    /// A question was answered for good: what is asked next has the whole of `--retry-for`.
    pub(super) fn answered(&mut self, now: Now) {
        self.forward_at = now;
        if let Some(trouble) = &mut self.trouble {
            trouble.since = now;
        }
    }

    /// Something was acknowledged: the clock of `--retry-for` starts anew.
    pub(super) fn went_forward(&mut self, now: Now) {
        self.forward_at = now;
        let Some(trouble) = self.trouble.take() else { return };
        if trouble.told != Told::Elsewhere {
            self.calm_since = Some(now);
        }
        if trouble.told == Told::Yes {
            self.actions.push_back(Action::Note("the upload goes on".to_owned()));
        }
    }
}
