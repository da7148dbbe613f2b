//! One small call, asked until it is answered, while nothing is at stake.
//!
//! Owns the patience of look-ups: what may pass is named once and tried again for a while, what is
//! final ends at once. Knows nothing of streams. Invariant: it ends within its patience.

use std::sync::atomic::AtomicBool;
use std::time::{Duration, Instant};

use crate::error::Error;
use crate::oci::api::{Answer, Request};
use crate::progress::Reporter;
use crate::retry::{self, Failure, Operation, Stage, Verdict};
use crate::service::Service;

/// The longest that a look-up waits for an endpoint that does not answer.
pub const PATIENCE: Duration = Duration::from_secs(60);
/// A refusal of credentials is looked at again as long as the session finds something to correct:
/// the clock, the files, the token. It ends that itself; this is a bound all the same.
const RENEWALS: u32 = 4;

pub struct Ask<'a> {
    pub service: &'a Service,
    pub patience: Duration,
    pub reporter: &'a Reporter,
}

impl Ask<'_> {
    /// Asks until there is an answer that can be read. The verdict is missing where patience ended.
    pub async fn ask<T>(
        &self,
        operation: Operation,
        request: Request,
        read: impl Fn(&Answer) -> Result<T, Failure>,
    ) -> Result<T, (Error, Option<Verdict>)> {
        let began = Instant::now();
        let (mut attempt, mut renewals, mut said) = (0, 0, false);
        loop {
            let sent = AtomicBool::new(false);
            let answered = self.service.attempt(request.clone(), Vec::new(), &sent).await;
            let failure = match answered.and_then(|done| read(&done.answer)) {
                Ok(value) => return Ok(value),
                Err(failure) => failure,
            };
            let error = match &failure {
                // Nothing was asked.
                Failure::Credentials(error) => error.clone(),
                _ => failure.error(operation.name()),
            };
            let pause = match retry::judge(operation, Stage::Start, &failure) {
                Verdict::Again { .. } | Verdict::Settle => {
                    retry::pause(attempt, fastrand::f64(), &failure)
                }
                Verdict::Renew if renewals < RENEWALS && matches!(failure, Failure::Refused(_)) => {
                    renewals += 1;
                    Duration::ZERO
                }
                verdict => return Err((error, Some(verdict))),
            };
            let left = self.patience.saturating_sub(began.elapsed());
            if left.is_zero() {
                return Err((error, None));
            }
            if !said && !failure.refuses_credentials() {
                said = true;
                let seconds = self.patience.as_secs();
                let what = &error.what;
                self.reporter.warn(&format!("{what}; trying again for up to {seconds} s"));
            }
            attempt += 1;
            tokio::time::sleep(pause.min(left)).await;
        }
    }

    /// The namespace of the tenancy.
    pub async fn namespace(&self) -> Result<String, Error> {
        let read = |answer: &Answer| {
            crate::oci::api::answer::read_namespace(answer).map_err(crate::service::unreadable)
        };
        let request = crate::oci::api::request::namespace();
        self.ask(Operation::Namespace, request, read).await.map_err(|asked| match asked {
            (error, Some(Verdict::GiveUp)) => error,
            (error, _) => {
                let what = format!("the namespace could not be looked up: {}", error.what);
                Error { what, ..error }
            }
        })
    }
}
