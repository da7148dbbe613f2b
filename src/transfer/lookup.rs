//! One small call, asked until it is answered, while nothing is at stake.
//!
//! Owns the patience of look-ups: what may pass is named once and tried again for a while, what is
//! final ends at once. Knows nothing of streams. Invariant: it ends within its patience.

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use crate::term::progress::Reporter;
use crate::transfer::client::Client;
use proto::api::{Request, Response};
use proto::error::Error;
use proto::retry::{self, Failure, NotFoundStreak, Operation, RetryDecision, RunStage};

/// The longest that a look-up waits for an endpoint that does not answer.
pub const LOOKUP_TIMEOUT: Duration = Duration::from_secs(60);
/// A refusal of credentials is looked at again as long as the session finds something to correct:
/// the clock, the files, the token. It ends that itself; this is a bound all the same.
const MAX_CREDENTIAL_REFRESHES: u32 = 4;

/// What the look-ups of a run share.
pub struct Lookup<'a> {
    client: &'a Client,
    /// Bounds the waiting for a 404 that may be spurious, and anything else unless `PATIENCE` does.
    retry_for: Duration,
    reporter: &'a Reporter,
    /// Whether the bucket has answered anything but that it may not be there.
    bucket_answered: AtomicBool,
    /// Whether such a 404 has been told of, and whether one has been waited for in vain: then the next
    /// is believed at once.
    warned: AtomicBool,
    gave_up: AtomicBool,
}

/// A look-up that brought no answer.
pub struct LookupError {
    pub error: Error,
    /// What the last failure means; nothing where patience ended.
    pub decision: Option<RetryDecision>,
    pub failure: Failure,
}

impl Lookup<'_> {
    pub fn new<'a>(client: &'a Client, retry_for: Duration, reporter: &'a Reporter) -> Lookup<'a> {
        let [bucket_answered, warned, gave_up] = [(); 3].map(|()| AtomicBool::new(false));
        Lookup { client, retry_for, reporter, bucket_answered, warned, gave_up }
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
    pub async fn run<T>(
        &self,
        operation: Operation,
        request: Request,
        read: impl Fn(&Response) -> Result<T, Failure>,
    ) -> Result<T, LookupError> {
        let began = Instant::now();
        let (mut attempt, mut renewals, mut said) = (0, 0, false);
        let mut tally = NotFoundStreak::default();
        loop {
            let sent = AtomicBool::new(false);
            let answered = self.client.attempt(request.clone(), Vec::new(), &sent).await;
            let answered = answered.and_then(|done| read(&done.response));
            let known = match &answered {
                Ok(_) => operation != Operation::Namespace,
                Err(failure) => failure.shows_bucket(),
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
            let verdict = retry::classify(operation, RunStage::Preflight, &failure);
            if verdict != RetryDecision::AmbiguousNotFound {
                tally = NotFoundStreak::default();
            }
            let mut patience = self.retry_for.min(LOOKUP_TIMEOUT);
            let pause = match verdict {
                RetryDecision::Retry { .. } | RetryDecision::ResolveOutcome => {
                    retry::retry_delay(attempt, fastrand::f64(), &failure)
                }
                RetryDecision::RefreshCredentials
                    if renewals < MAX_CREDENTIAL_REFRESHES
                        && matches!(failure, Failure::ErrorResponse(_)) =>
                {
                    renewals += 1;
                    Duration::ZERO
                }
                RetryDecision::AmbiguousNotFound if operation != Operation::Head => {
                    let (now, known) = (began.elapsed(), self.bucket_answered());
                    tally.add(now);
                    let in_vain = self.gave_up.load(Ordering::Relaxed);
                    if in_vain || !tally.is_retryable(now, known, Duration::ZERO) {
                        self.gave_up.store(true, Ordering::Relaxed);
                        let error = tally.exhausted_error(error, now, known);
                        return Err(LookupError { error, decision: Some(verdict), failure });
                    }
                    self.warn_of_not_found(operation, &error, known);
                    patience = self.retry_for;
                    match known {
                        true => retry::retry_delay(tally.count() - 1, fastrand::f64(), &failure),
                        false => tally.retry_delay(fastrand::f64()),
                    }
                }
                verdict => return Err(LookupError { error, decision: Some(verdict), failure }),
            };
            let left = patience.saturating_sub(began.elapsed());
            if left.is_zero() {
                return Err(LookupError { error, decision: None, failure });
            }
            if !said && !failure.is_unauthorized() && verdict != RetryDecision::AmbiguousNotFound {
                said = true;
                let seconds = patience.as_secs();
                let what = &error.message;
                self.reporter.warn(&format!("{what}; trying again for up to {seconds} s"));
            }
            attempt += 1;
            tokio::time::sleep(pause.min(left)).await;
        }
    }

    fn warn_of_not_found(&self, operation: Operation, error: &Error, known: bool) {
        if !self.warned.swap(true, Ordering::Relaxed) {
            let words = NotFoundStreak::retry_message(operation, known);
            self.reporter.warn(&format!("{}; {words}", error.message));
        }
    }

    /// The namespace of the tenancy.
    pub async fn namespace(&self) -> Result<String, Error> {
        let read = |answer: &Response| {
            proto::api::response::parse_namespace(answer)
                .map_err(crate::transfer::client::invalid_response)
        };
        let request = proto::api::request::namespace();
        self.run(Operation::Namespace, request, read).await.map_err(|no| match no {
            LookupError { error, decision: Some(RetryDecision::CredentialsTimedOut), .. } => error,
            LookupError { error, .. } => {
                let what = format!("the namespace could not be looked up: {}", error.message);
                Error { message: what, ..error }
            }
        })
    }
}
