//! Trying again, and for how long.
//!
//! Owns the clock of `--retry-for`: it starts at the first failure after the last progress, and any
//! acknowledgement stops it. Knows nothing of what is tried. Invariant: the last attempt is made
//! when patience ends, and nothing is given up before.

use super::ending::ABORT_PAUSE;
use super::{Action, Call, Now, Upload};
use crate::error::Error;
use crate::retry::{self, Failure};

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
        if let Some(error) = self.troubled(now, failure, doing) {
            return self.fail(now, error);
        }
        let attempt = self.parts.attempt(number);
        let at = self.next_attempt(now, attempt, failure);
        self.parts.retry_at(number, at);
        self.retries += 1;
    }

    /// Schedules another attempt of the one call besides parts.
    pub(super) fn again(&mut self, now: Now, call: Call, failure: &Failure) {
        match self.troubled(now, failure, &self.doing(&call)) {
            Some(error) => self.give_up(now, error),
            None => self.later(now, call, failure),
        }
    }

    /// What an attempt is called in messages.
    pub(super) fn doing(&self, call: &Call) -> String {
        format!("{}, attempt {}", call.operation().name(), self.attempt + 1)
    }

    pub(super) fn later(&mut self, now: Now, call: Call, failure: &Failure) {
        let at = self.next_attempt(now, self.attempt, failure);
        self.attempt += 1;
        self.retries += 1;
        self.waiting = Some((at, call));
    }

    pub(super) fn next_attempt(&mut self, now: Now, attempt: u32, failure: &Failure) -> Now {
        let mut pause = retry::pause(attempt, self.random.f64(), failure);
        if self.stop_by.is_some() {
            pause = pause.min(ABORT_PAUSE);
        }
        // The last attempt is made when patience ends, not before.
        (now + pause).min(self.patience_ends(now))
    }

    /// Notes that something failed; the error to end with if that has gone on for too long.
    pub(super) fn troubled(&mut self, now: Now, failure: &Failure, doing: &str) -> Option<Error> {
        let retry_for = self.settings.retry_for;
        let what = failure.error(doing).what;
        let seconds = retry_for.as_secs();
        let text = format!("{what}; trying again for up to {seconds} s, what was read is kept");
        match &mut self.trouble {
            None => {
                let told = if failure.refuses_credentials() {
                    Told::Elsewhere
                } else {
                    Told::NotYet(text)
                };
                self.trouble = Some(Trouble { since: now, told });
                self.mention_trouble(now);
                None
            }
            Some(trouble) if now < trouble.since + retry_for => {
                if trouble.told == Told::Elsewhere && !failure.refuses_credentials() {
                    trouble.told = Told::NotYet(text);
                    self.mention_trouble(now);
                }
                None
            }
            Some(trouble) => {
                let stood = (now - trouble.since).as_secs();
                let what = format!("{what} (no progress for {stood} s)");
                Some(Error { what, ..failure.error(doing) })
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
        Some(trouble.since + if calm { Now::ZERO } else { STANDSTILL })
    }

    pub(super) fn mention_trouble(&mut self, now: Now) {
        if self.mention_at().is_some_and(|at| now >= at)
            && let Some(trouble) = &mut self.trouble
            && let Told::NotYet(text) = std::mem::replace(&mut trouble.told, Told::Yes)
        {
            self.actions.push_back(Action::Note(text));
        }
    }

    /// Something was acknowledged: the clock of `--retry-for` starts anew.
    pub(super) fn went_forward(&mut self, now: Now) {
        let Some(trouble) = self.trouble.take() else { return };
        if trouble.told != Told::Elsewhere {
            self.calm_since = Some(now);
        }
        if trouble.told == Told::Yes {
            self.actions.push_back(Action::Note("the upload goes on".to_owned()));
        }
    }
}
