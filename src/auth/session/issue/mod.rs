//! The issue of tokens: a new key and a token that is bound to it, from the service of the mode.
//!
//! Owns one attempt of an issue and the meaning of its failure. Must not decide when a token is issued;
//! the life cycle does. Invariant: an attempt returns a key and a token that belong together, or leaves
//! what is in use untouched.

mod exchange;
mod instance;
mod metadata;
mod oke;
mod resource;

use std::sync::Arc;
use std::thread;
use std::time::Duration;

use tokio::sync::oneshot;
use tokio::time::Instant;

use self::exchange::ExchangeIssuer;
use self::instance::InstanceIssuer;
use self::oke::OkeIssuer;
use self::resource::ResourceIssuer;
use super::clock::ServiceClock;
use super::credential_files::{self, ReadError};
use super::key_and_token::KeyAndToken;
use super::service_time::time_call;
use super::transport::{AuthRequest, AuthTransport, ExchangeError, ExchangeFailure, Route};
use crate::auth::profile::{CredentialSource, Identity, ResourcePrincipal};
use proto::endpoint::{Endpoint, ObjectStorage};
use proto::error::{Error, ErrorKind};
use proto::principal::{AuthCall, AuthCallError, AuthFailure, AuthReply, SessionKey};
use proto::token::Token;
use proto::units::DisplayTime;

/// How long one request may take.
const REQUEST_TIMEOUT: Duration = Duration::from_secs(20);
/// How long one request may take at the end of the retry budget of a start.
const LAST_REQUEST_TIMEOUT: Duration = Duration::from_secs(5);

/// Whether a stream is read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Stage {
    /// The run begins: a service of the host that does not answer is an error within seconds.
    Start,
    /// A token is in use, and the life cycle repeats the attempt.
    Running,
}

/// What one attempt needs.
#[derive(Clone, Copy)]
pub(super) struct IssueContext<'a> {
    pub transport: &'a dyn AuthTransport,
    pub clock: &'a dyn ServiceClock,
    pub stage: Stage,
    /// The tenancy of the first token of the run; `None` before.
    pub tenancy: Option<&'a str>,
    /// The end of the retry budget of a start; `None` once a token is in use.
    pub deadline: Option<Instant>,
    /// The Object Storage that shows the time; `None` where it is not known yet, and once a token is in use.
    pub time_source: Option<&'a Endpoint>,
}

/// What a failed attempt means for the next one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Outlook {
    /// The same attempt may succeed later.
    MaySucceed,
    /// Only a change by the user or by another process helps.
    NeedsChange,
}

/// An attempt that brought no token.
#[derive(Debug)]
pub(super) struct IssueError {
    pub error: Error,
    pub outlook: Outlook,
    /// Seconds that the service asks to wait.
    pub retry_after: Option<u64>,
}

impl IssueError {
    pub(super) fn new(error: Error, outlook: Outlook) -> IssueError {
        IssueError { error, outlook, retry_after: None }
    }

    fn needs_change(error: Error) -> IssueError {
        IssueError::new(error, Outlook::NeedsChange)
    }
}

impl From<ReadError> for IssueError {
    fn from(error: ReadError) -> IssueError {
        IssueError::needs_change(error.error)
    }
}

impl From<AuthCallError> for IssueError {
    fn from(error: AuthCallError) -> IssueError {
        let outlook = match error.failure {
            AuthFailure::Temporary => Outlook::MaySucceed,
            AuthFailure::Rejected | AuthFailure::Unusable => Outlook::NeedsChange,
        };
        let retry_after = error.retry_after;
        IssueError { error: error.into_error(), outlook, retry_after }
    }
}

/// What issues the tokens of a run.
pub(super) enum Issuer {
    Instance(InstanceIssuer),
    Resource(ResourceIssuer),
    Oke(OkeIssuer),
    Exchange(ExchangeIssuer),
}

impl Issuer {
    /// The issuer of a mode; `None` for the modes whose tokens are in files.
    pub(super) fn of(identity: &Identity) -> Option<Issuer> {
        Some(match &identity.credentials {
            CredentialSource::ApiKey { .. }
            | CredentialSource::SecurityToken { .. }
            | CredentialSource::ResourcePrincipal(ResourcePrincipal::TokenAndKey { .. }) => {
                return None;
            }
            CredentialSource::InstancePrincipal(instance)
            | CredentialSource::InstanceOboUser { instance, .. } => {
                Issuer::Instance(InstanceIssuer::new(instance, identity))
            }
            CredentialSource::ResourcePrincipal(ResourcePrincipal::ResourceKey(key)) => {
                Issuer::Resource(ResourceIssuer::of_key(key, identity))
            }
            CredentialSource::ResourcePrincipal(ResourcePrincipal::OfInstance {
                instance,
                resource,
                resource_id,
            }) => {
                let instance = InstanceIssuer::new(instance, identity);
                Issuer::Resource(ResourceIssuer::of_instance(
                    instance,
                    resource.clone(),
                    resource_id.clone(),
                    identity,
                ))
            }
            CredentialSource::OkeWorkloadIdentity(oke) => Issuer::Oke(OkeIssuer::new(oke)),
            CredentialSource::TokenExchange(exchange) => {
                Issuer::Exchange(ExchangeIssuer::new(exchange))
            }
        })
    }

    /// One attempt. Fails if a service does not answer or refuses, or a file is unusable.
    pub(super) async fn issue(&self, context: IssueContext<'_>) -> Result<KeyAndToken, IssueError> {
        match self {
            Issuer::Instance(issuer) => issuer.issue(context).await,
            Issuer::Resource(issuer) => issuer.issue(context).await,
            Issuer::Oke(issuer) => issuer.issue(context).await,
            Issuer::Exchange(issuer) => issuer.issue(context).await,
        }
    }

    /// The endpoint of Object Storage in the region of the instance. Fails if the mode has no
    /// instance, or its metadata service does not answer.
    pub(super) async fn object_storage(
        &self,
        context: IssueContext<'_>,
        identity: &Identity,
    ) -> Result<ObjectStorage, IssueError> {
        let instance = match self {
            Issuer::Instance(instance) => instance,
            Issuer::Resource(ResourceIssuer { instance: Some(instance), .. }) => instance,
            _ => {
                return Err(IssueError::needs_change(
                    Error::usage("no region names the Object Storage service")
                        .with_hint("give --region, OCI_CLI_REGION or --endpoint"),
                ));
            }
        };
        let region = instance.region(context).await?;
        region.object_storage(&identity.host_variant).map_err(IssueError::needs_change)
    }
}

impl IssueContext<'_> {
    /// The time at the service as an HTTP date.
    fn date(&self) -> String {
        DisplayTime(self.clock.now()).to_string()
    }

    /// Whether a time since 1970 is past. If it is by a local clock that no response has verified yet,
    /// Object Storage shows the time first.
    async fn is_past(&self, time: Duration) -> bool {
        if time > self.clock.now() {
            return false;
        }
        if let Some(endpoint) = self.time_source.filter(|_| self.clock.is_unverified()) {
            // Without a response the local clock decides.
            let _ = self.exchange(endpoint, Route::Service, time_call(endpoint)).await;
        }
        time <= self.clock.now()
    }

    /// How long the next request may take.
    fn request_timeout(&self) -> Duration {
        let left = self.deadline.map(|end| end.saturating_duration_since(Instant::now()));
        left.map_or(REQUEST_TIMEOUT, |left| left.clamp(LAST_REQUEST_TIMEOUT, REQUEST_TIMEOUT))
    }

    /// Sends one request. `service` names its receiver in the error of an exchange without a response.
    async fn send(
        &self,
        service: &str,
        endpoint: &Endpoint,
        route: Route,
        call: AuthCall,
    ) -> Result<AuthReply, IssueError> {
        let in_cluster = matches!(route, Route::Cluster { .. });
        self.exchange(endpoint, route, call).await.map_err(|error| {
            // What was accepted before is refused for a while only. At the start it is a wrong setting.
            let outlook = match error.kind {
                ExchangeFailure::Local => Outlook::NeedsChange,
                ExchangeFailure::Setting { .. } if self.stage == Stage::Start => {
                    Outlook::NeedsChange
                }
                _ => Outlook::MaySucceed,
            };
            let hint = match error.kind {
                ExchangeFailure::Local | ExchangeFailure::Setting { .. } if in_cluster => {
                    "the only authority that is trusted there is that of the cluster: check \
                     OCI_KUBERNETES_SERVICE_ACCOUNT_CERT_PATH"
                        .to_owned()
                }
                ExchangeFailure::Setting { hint } => hint.to_owned(),
                _ => format!("check that this host can reach {}", endpoint.authority),
            };
            let message = match error.kind {
                ExchangeFailure::Local => format!("{service} is not asked: {error}"),
                _ => format!("{service} gives no answer: {error}"),
            };
            IssueError::new(Error::credentials(message).with_hint(hint), outlook)
        })
    }

    async fn exchange(
        &self,
        endpoint: &Endpoint,
        route: Route,
        call: AuthCall,
    ) -> Result<AuthReply, ExchangeError> {
        // A service of the host or of the cluster may have another clock than the public services.
        let has_their_clock = route == Route::Service;
        let request = AuthRequest { endpoint: endpoint.clone(), route, call };
        let exchange = self.transport.exchange(request);
        let timeout = self.request_timeout();
        let response = tokio::time::timeout(timeout, exchange).await.map_err(|_| {
            let seconds = timeout.as_secs();
            let message = format!("{}: no answer within {seconds} s", endpoint.authority);
            ExchangeError { kind: ExchangeFailure::Broken, message }
        })??;
        if let Some(date) = response.date.filter(|_| has_their_clock) {
            self.clock.on_server_date(date);
        }
        Ok(response.reply)
    }
}

/// A new session key, computed on a thread of its own for about 0.2 s, or here if the system starts no
/// thread.
async fn session_key() -> Result<SessionKey, IssueError> {
    let (sender, receiver) = oneshot::channel();
    let job = move || {
        // The receiver is gone if the attempt was dropped.
        let _ = sender.send(SessionKey::generate());
    };
    let started = thread::Builder::new().name("session-key".to_owned()).spawn(job);
    let key = match started {
        Ok(_) => receiver.await.unwrap_or_else(|_| {
            Err(Error::new(ErrorKind::Internal, "the computation of a session key ended early"))
        }),
        Err(_) => SessionKey::generate(),
    };
    key.map_err(IssueError::needs_change)
}

/// The token with the key that it was issued for.
fn issued(session_key: &SessionKey, token: Token) -> KeyAndToken {
    let modulus = session_key.modulus().into();
    KeyAndToken::issued(Arc::clone(&session_key.key), modulus, token)
}

/// The contents of a file with a secret, as text.
fn secret_text(
    path: &std::path::Path,
    what: &str,
) -> Result<zeroize::Zeroizing<String>, ReadError> {
    let value = crate::auth::profile::TextOrFile::File(path.to_owned());
    credential_files::read_text(&value, what)
}
