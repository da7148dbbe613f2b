//! What is asked before the first byte is read.
//!
//! Owns the look-ups of the start: the namespace, and whether the object exists. Knows nothing of
//! the stream. Invariant: while nothing is at stake yet, what is refused ends the run at once, and
//! what may pass is named within a second and tried again for a minute at most.

use std::time::{Duration, Instant};

use crate::error::{Error, Kind};
use crate::oci::api::{Answer, Condition, CustomerKey, Held, Request, Target, answer, request};
use crate::progress::Reporter;
use crate::retry::{self, Failure, Operation, Stage, Verdict};
use crate::service::{Service, unreadable};

/// The longest that the start waits for an endpoint that does not answer.
const PATIENCE: Duration = Duration::from_secs(60);

/// What the start brought.
pub struct Start {
    pub target: Target,
    /// The etag of what stands at the name.
    pub replaced: Option<String>,
}

/// Asks what has to be known before the stream is read.
pub async fn start(
    service: &Service,
    wanted: &crate::destination::Destination,
    condition: &Condition,
    customer_key: &Option<CustomerKey>,
    retry_for: Duration,
    reporter: &Reporter,
) -> Result<Start, Error> {
    let asking = Asking { service, patience: retry_for.min(PATIENCE), reporter };
    let namespace = match &wanted.namespace {
        Some(namespace) => namespace.clone(),
        None => asking.namespace().await?,
    };
    let target =
        Target { namespace, bucket: wanted.bucket.clone(), object: wanted.name.clone() };
    if *condition == Condition::Anything {
        return Ok(Start { target, replaced: None });
    }
    let replaced = asking.object(&target, condition, customer_key).await?;
    Ok(Start { target, replaced })
}

struct Asking<'a> {
    service: &'a Service,
    patience: Duration,
    reporter: &'a Reporter,
}

impl Asking<'_> {
    async fn namespace(&self) -> Result<String, Error> {
        let read = |answer: &Answer| answer::read_namespace(answer).map_err(unreadable);
        match self.ask(Operation::Namespace, request::namespace(), read).await {
            Ok(namespace) => Ok(namespace),
            Err((error, _)) => Err(Error {
                what: format!("the namespace could not be looked up: {}", error.what),
                ..error
            }),
        }
    }

    /// What stands at the name, judged by the condition.
    async fn object(
        &self,
        target: &Target,
        condition: &Condition,
        customer_key: &Option<CustomerKey>,
    ) -> Result<Option<String>, Error> {
        let read = |answer: &Answer| Ok(Held::of_object(answer));
        let head = request::head_object(target, customer_key);
        let name = format!("oci://{}@{}/{}", target.bucket, target.namespace, target.object);
        match (self.ask(Operation::Head, head, read).await, condition) {
            (Ok(held), Condition::Absent) => {
                let etag = held.etag.unwrap_or_default();
                Err(Error::new(Kind::Exists, format!("{name} exists already (etag {etag})"))
                    .next("give another name, or --force to replace it"))
            }
            (Ok(held), Condition::Matches(etag)) if held.etag.as_ref() != Some(etag) => {
                let stands = held.etag.unwrap_or_default();
                Err(Error::new(
                    Kind::Exists,
                    format!("{name} has the etag {stands}, not {etag} as --if-match asks"),
                ))
            }
            (Ok(held), _) => Ok(held.etag),
            // A 404 may as well be a policy that hides the object: the conditions on create and
            // commit decide. The same goes for a HEAD that is forbidden.
            (Err((_, Some(Verdict::Missing))), _) => Ok(None),
            (Err((error, Some(Verdict::Refuse(_)))), _) if error.kind == Kind::Service => {
                self.reporter.debug(&format!("HeadObject is not possible: {}", error.what));
                Ok(None)
            }
            (Err((error, _)), _) => Err(error),
        }
    }

    async fn ask<T>(
        &self,
        operation: Operation,
        request: Request,
        read: impl Fn(&Answer) -> Result<T, Failure>,
    ) -> Result<T, (Error, Option<Verdict>)> {
        let began = Instant::now();
        let mut attempt = 0;
        let mut said = false;
        let mut refused = 0;
        loop {
            let failure = match self.service.attempt(request.clone(), Vec::new()).await {
                Ok(done) => match read(&done.answer) {
                    Ok(value) => return Ok(value),
                    Err(failure) => failure,
                },
                Err(failure) => failure,
            };
            let error = failure.error(operation.name());
            let pause = match retry::judge(operation, Stage::Start, &failure) {
                Verdict::Again { .. } | Verdict::Settle => {
                    retry::backoff(attempt, fastrand::f64(), failure.retry_after())
                }
                // Once more, in case the clock or the files were corrected meanwhile.
                Verdict::Renew if refused < 2 && matches!(failure, Failure::Refused(_)) => {
                    refused += 1;
                    Duration::ZERO
                }
                verdict => return Err((error, Some(verdict))),
            };
            let left = self.patience.saturating_sub(began.elapsed());
            if left.is_zero() {
                return Err((error, None));
            }
            if !said && !pause.is_zero() {
                said = true;
                self.reporter.warn(&format!(
                    "{}; trying again for up to {} s before the stream is read",
                    error.what,
                    self.patience.as_secs()
                ));
            }
            attempt += 1;
            tokio::time::sleep(pause.min(left)).await;
        }
    }
}
