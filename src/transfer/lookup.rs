//! Small requests, with their retries, before a stream is read or written.
//!
//! Owns what the look-ups of a run share: the client, the budget and the history of 404s. Decides
//! nothing about retries (`proto::retry`), and must not know the stream. Invariant: a look-up ends
//! within `--retry-for` plus one attempt, besides the time in which it has no valid credentials.

use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant, SystemTime};

use crate::term::progress::Reporter;
use crate::transfer::client::{Client, invalid_response};
use crate::transfer::listing::EndlessListing;
use proto::api::{ErrorResponse, ObjectLocation, Request, Response, request, response};
use proto::error::{Error, ErrorKind};
use proto::request_fields::AttemptName;
use proto::retry::{
    BucketStatus, FailCause, Failure, Next, NotFoundHistory, Operation, RetryContext,
    RetryDecision, RetryError,
};

/// Performs the look-ups of one run.
pub(crate) struct Lookup<'a> {
    client: &'a Client,
    /// How long a look-up is retried.
    retry_for: Duration,
    /// How long transient failures are, if that is less.
    transient_limit: Duration,
    reporter: &'a Reporter,
    history: Mutex<NotFoundHistory>,
}

/// The failure of a look-up.
#[derive(Debug)]
pub(crate) struct LookupError {
    pub error: Error,
    cause: FailCause,
    failure: Failure,
}

impl LookupError {
    /// The object or upload does not exist.
    pub(crate) fn is_not_found(&self) -> bool {
        self.cause == FailCause::Decision(RetryDecision::NotFound)
    }

    /// A 404 that is not about the object or upload, or has no code.
    pub(crate) fn is_ambiguous_not_found(&self) -> bool {
        self.cause == FailCause::Decision(RetryDecision::AmbiguousNotFound)
    }

    /// The session has waited for valid credentials as long as it may.
    pub(crate) fn is_credentials_timeout(&self) -> bool {
        self.cause == FailCause::Decision(RetryDecision::CredentialsTimedOut)
    }

    /// The service rejects the request and does not say that something is missing.
    pub(crate) fn is_rejected(&self) -> bool {
        let FailCause::Decision(decision) = self.cause else { return false };
        matches!(decision, RetryDecision::Fatal(_) | RetryDecision::PreconditionFailed)
    }

    /// The error response of the last attempt, where there was one.
    pub(crate) fn response(&self) -> Option<&ErrorResponse> {
        match &self.failure {
            Failure::ErrorResponse(response) => Some(response),
            _ => None,
        }
    }

    /// The error response that ended the look-up, where it was not the budget that did.
    pub(crate) fn final_response(&self) -> Option<&ErrorResponse> {
        match self.cause {
            FailCause::Decision(_) => self.response(),
            FailCause::BudgetExhausted => None,
        }
    }

    /// The service did not respond, or not otherwise for as long as look-ups are retried.
    pub(crate) fn is_outage(&self) -> bool {
        self.cause == FailCause::BudgetExhausted
            || matches!(self.failure, Failure::Transport { .. })
    }

    /// The service has rejected the credentials of each attempt.
    pub(crate) fn is_unauthorized(&self) -> bool {
        self.response().is_some_and(|response| response.status == 401)
    }

    /// The last failed attempt.
    pub(crate) fn failure(&self) -> &Failure {
        &self.failure
    }
}

impl From<EndlessListing> for LookupError {
    fn from(endless: EndlessListing) -> LookupError {
        let error = Error::service(format!("the service answered with {endless}")).with_hint(
            "nothing was changed. Ask Oracle's support, or list the uploads with another client",
        );
        let cause = FailCause::Decision(RetryDecision::Fatal(ErrorKind::Service));
        LookupError { error, cause, failure: endless.into() }
    }
}

/// Whether the service did not answer, or cannot serve at the moment.
fn is_outage(failure: &Failure) -> bool {
    match failure {
        Failure::Transport { .. } => true,
        Failure::ErrorResponse(response) => matches!(response.status, 429 | 500..=599),
        Failure::Credentials(_) | Failure::Local(_) => false,
    }
}

impl Lookup<'_> {
    pub(crate) fn new<'a>(
        client: &'a Client,
        retry_for: Duration,
        reporter: &'a Reporter,
    ) -> Lookup<'a> {
        Lookup {
            client,
            retry_for,
            transient_limit: retry_for,
            reporter,
            history: Mutex::default(),
        }
    }

    /// Bounds the retries of transient failures.
    pub(crate) fn with_transient_limit(self, transient_limit: Duration) -> Self {
        Lookup { transient_limit, ..self }
    }

    pub(crate) fn reporter(&self) -> &Reporter {
        self.reporter
    }

    /// From now on the session waits for valid credentials instead of failing.
    pub(crate) fn set_streaming(&self) {
        self.client.set_streaming();
    }

    /// The time at the service, as far as its responses have shown it.
    pub(crate) fn service_time(&self) -> SystemTime {
        self.client.access.service_time()
    }

    /// What the responses so far show about the bucket.
    pub(crate) fn bucket(&self) -> BucketStatus {
        self.history().bucket()
    }

    fn history(&self) -> MutexGuard<'_, NotFoundHistory> {
        self.history.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Sends `request` until there is a response that `parse` accepts. Fails where a failure is
    /// final or the budget has ended. The 404 of a HEAD is always final: it has no code, and the
    /// caller finds out its meaning by another request.
    pub(crate) async fn run<T>(
        &self,
        operation: Operation,
        request: Request,
        parse: impl Fn(&Response) -> Result<T, Failure>,
    ) -> Result<T, LookupError> {
        let started_at = Instant::now();
        let mut context = RetryContext::for_lookup(operation, self.retry_for, Duration::ZERO)
            .with_transient_limit(self.transient_limit, Duration::ZERO);
        // A token that expires in an outage is waited for, as the service is.
        let waits = self.transient_limit == self.retry_for;
        let mut waiting = None;
        loop {
            let result = self.client.send(request.clone()).await;
            let failure = match result.and_then(|response| parse(&response)) {
                Ok(value) => {
                    self.history().on_success(operation);
                    return Ok(value);
                }
                Err(failure) => failure,
            };
            let error = match &failure {
                // No request was sent.
                Failure::Credentials(error) => error.clone(),
                _ => {
                    let name = AttemptName::from(operation.name());
                    failure.error(operation, name.with_attempt(context.attempt() + 1))
                }
            };
            let (now, random) = (started_at.elapsed(), fastrand::f64());
            let next = context.on_failure(now, &failure, error, &mut self.history(), random);
            match next {
                Next::Retry(retry) => {
                    // Rejected credentials end the start of a run, also after an outage.
                    if matches!(&failure, Failure::ErrorResponse(response) if response.status == 401)
                    {
                        waiting = None;
                    }
                    if let Some(warning) = retry.warning {
                        self.reporter.warn_of(&warning);
                    }
                    if waits && waiting.is_none() && is_outage(&failure) {
                        waiting = Some(self.client.streaming());
                    }
                    tokio::time::sleep(retry.after).await;
                }
                Next::Fail(RetryError { error, cause }) => {
                    return Err(LookupError { error, cause, failure });
                }
            }
        }
    }

    /// The object of these names. Without a `namespace`, that of the tenancy is looked up.
    pub(crate) async fn locate(
        &self,
        namespace: Option<&str>,
        bucket: &str,
        object: &str,
    ) -> Result<ObjectLocation, Error> {
        let namespace = match namespace {
            Some(namespace) => namespace.to_owned(),
            None => self.namespace().await?,
        };
        Ok(ObjectLocation { namespace, bucket: bucket.to_owned(), object: object.to_owned() })
    }

    async fn namespace(&self) -> Result<String, Error> {
        let parse =
            |response: &Response| response::parse_namespace(response).map_err(invalid_response);
        let result = self.run(Operation::Namespace, request::namespace(), parse).await;
        result.map_err(|failed| {
            let credentials_timeout = failed.is_credentials_timeout();
            let error = failed.error;
            if credentials_timeout {
                return error;
            }
            let message = format!("the namespace could not be looked up: {}", error.message);
            Error { message, ..error }
        })
    }
}
