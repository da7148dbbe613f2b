//! One small call, asked until it is answered, while nothing is at stake.
//!
//! Owns the patience of look-ups: what may pass is named once and tried again for a while, what is
//! final ends at once. Knows nothing of streams. Invariant: it ends within its patience.

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use crate::error::Error;
use crate::oci::api::{Answer, Request};
use crate::progress::Reporter;
use crate::retry::{self, Failure, Operation, Stage, Tally, Verdict};
use crate::service::Service;

/// The longest that a look-up waits for an endpoint that does not answer.
pub const PATIENCE: Duration = Duration::from_secs(60);
/// A refusal of credentials is looked at again as long as the session finds something to correct:
/// the clock, the files, the token. It ends that itself; this is a bound all the same.
const RENEWALS: u32 = 4;

/// What the look-ups of a run share.
pub struct Ask<'a> {
    service: &'a Service,
    /// Bounds the waiting for a 404 that may be spurious, and anything else unless `PATIENCE` does.
    retry_for: Duration,
    reporter: &'a Reporter,
    /// Whether the bucket has answered anything but that it may not be there.
    bucket_answered: AtomicBool,
    /// Whether such a 404 has been told of, and whether one has been waited for in vain: then the next
    /// is believed at once.
    told: AtomicBool,
    in_vain: AtomicBool,
}

/// A look-up that brought no answer.
pub struct Unanswered {
    pub error: Error,
    /// What the last failure means; nothing where patience ended.
    pub verdict: Option<Verdict>,
    pub failure: Failure,
}

impl Ask<'_> {
    pub fn new<'a>(service: &'a Service, retry_for: Duration, reporter: &'a Reporter) -> Ask<'a> {
        let [bucket_answered, told, in_vain] = [(); 3].map(|()| AtomicBool::new(false));
        Ask { service, retry_for, reporter, bucket_answered, told, in_vain }
    }

    pub fn reporter(&self) -> &Reporter {
        self.reporter
    }

    /// Whether the bucket has answered anything but that it may not be there.
    pub fn bucket_answered(&self) -> bool {
        self.bucket_answered.load(Ordering::Relaxed)
    }

    /// Asks until there is an answer that can be read. A HEAD's 404 has no code, and is not asked
    /// again: whoever needs to know what it means asks otherwise.
    pub async fn ask<T>(
        &self,
        operation: Operation,
        request: Request,
        read: impl Fn(&Answer) -> Result<T, Failure>,
    ) -> Result<T, Unanswered> {
        let began = Instant::now();
        let (mut attempt, mut renewals, mut said) = (0, 0, false);
        let mut tally = Tally::default();
        loop {
            let sent = AtomicBool::new(false);
            let answered = self.service.attempt(request.clone(), Vec::new(), &sent).await;
            let answered = answered.and_then(|done| read(&done.answer));
            let known = match &answered {
                Ok(_) => operation != Operation::Namespace,
                Err(failure) => failure.knows_the_bucket(),
            };
            self.bucket_answered.fetch_or(known, Ordering::Relaxed);
            let failure = match answered {
                Ok(value) => return Ok(value),
                Err(failure) => failure,
            };
            let error = match &failure {
                // Nothing was asked.
                Failure::Credentials(error) => error.clone(),
                _ => failure.error(operation, operation.name()),
            };
            let verdict = retry::judge(operation, Stage::Start, &failure);
            if verdict != Verdict::Hidden {
                tally = Tally::default();
            }
            let mut patience = self.retry_for.min(PATIENCE);
            let pause = match verdict {
                Verdict::Again { .. } | Verdict::Settle => {
                    retry::pause(attempt, fastrand::f64(), &failure)
                }
                Verdict::Renew if renewals < RENEWALS && matches!(failure, Failure::Refused(_)) => {
                    renewals += 1;
                    Duration::ZERO
                }
                Verdict::Hidden if operation != Operation::Head => {
                    let (now, known) = (began.elapsed(), self.bucket_answered());
                    tally.add(now);
                    let in_vain = self.in_vain.load(Ordering::Relaxed);
                    if in_vain || !tally.may_pass(now, known, Duration::ZERO) {
                        self.in_vain.store(true, Ordering::Relaxed);
                        let error = tally.in_vain(error, now, known);
                        return Err(Unanswered { error, verdict: Some(verdict), failure });
                    }
                    self.tell_of_spurious(operation, &error, known);
                    patience = self.retry_for;
                    match known {
                        true => retry::pause(tally.count() - 1, fastrand::f64(), &failure),
                        false => tally.pause(fastrand::f64()),
                    }
                }
                verdict => return Err(Unanswered { error, verdict: Some(verdict), failure }),
            };
            let left = patience.saturating_sub(began.elapsed());
            if left.is_zero() {
                return Err(Unanswered { error, verdict: None, failure });
            }
            if !said && !failure.refuses_credentials() && verdict != Verdict::Hidden {
                said = true;
                let seconds = patience.as_secs();
                let what = &error.what;
                self.reporter.warn(&format!("{what}; trying again for up to {seconds} s"));
            }
            attempt += 1;
            tokio::time::sleep(pause.min(left)).await;
        }
    }

    fn tell_of_spurious(&self, operation: Operation, error: &Error, known: bool) {
        if !self.told.swap(true, Ordering::Relaxed) {
            let words = Tally::words(operation, known);
            self.reporter.warn(&format!("{}; {words}", error.what));
        }
    }

    /// The namespace of the tenancy.
    pub async fn namespace(&self) -> Result<String, Error> {
        let read = |answer: &Answer| {
            crate::oci::api::answer::read_namespace(answer).map_err(crate::service::unreadable)
        };
        let request = crate::oci::api::request::namespace();
        self.ask(Operation::Namespace, request, read).await.map_err(|no| match no {
            Unanswered { error, verdict: Some(Verdict::GiveUp), .. } => error,
            Unanswered { error, .. } => {
                let what = format!("the namespace could not be looked up: {}", error.what);
                Error { what, ..error }
            }
        })
    }
}
