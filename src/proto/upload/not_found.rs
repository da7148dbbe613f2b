//! The ambiguous 404s of the current call: how many there were in a row, and whether they may still end.
//!
//! Owns the count. Must not know what the call is for. Invariant: the count starts anew with another
//! operation.

use super::ApiCall;
use super::core::Core;
use crate::error::Error;
use crate::retry::{Failure, NotFoundStreak};

impl Core {
    /// Counts an ambiguous 404 of a call; the count starts anew with another operation.
    pub(super) fn count_not_found(&mut self, call: &ApiCall) -> NotFoundStreak {
        let operation = call.operation();
        let mut streak = match self.call.streak {
            Some((counted, streak)) if counted == operation => streak,
            _ => NotFoundStreak::default(),
        };
        match self.call.par_rejected {
            true => streak.add_rejection(self.now),
            false => streak.add(self.now),
        }
        self.call.streak = Some((operation, streak));
        streak
    }

    pub(super) fn forget_not_found(&mut self) {
        self.call.streak = None;
    }

    /// Whether the 404s of the current call or of a part may still end.
    pub(super) fn is_not_found_retryable(&self, streak: &NotFoundStreak) -> bool {
        !self.is_par_expired()
            && streak.is_retryable(self.now, self.outage.bucket, self.outage.last_progress())
    }

    /// The error to end with after the 404s of the current call.
    pub(super) fn not_found_error(&self, call: &ApiCall, failure: &Failure) -> Error {
        let error = failure.error(call.operation(), self.attempt_label(call));
        let streak = self.call.streak.map(|(_, streak)| streak).unwrap_or_default();
        streak.exhausted_error(error, self.now, self.outage.bucket)
    }
}
