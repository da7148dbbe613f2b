//! What a handler is given: the state of the server, and one request that was accepted.
//!
//! Owns the types that the dispatcher, the handlers and the faults share. Imports no handler and
//! not the dispatcher, so that each of them can import it. Invariant: a `RequestContext` exists
//! only for a request whose head passed authentication and whose signed body matches its hash.

use super::auth::{Authenticator, Caller};
use super::body::RequestBody;
use super::call_counts::CallCounters;
use super::clock::{self, Clock};
use super::conditions::Conditions;
use super::delay::{DelayGate, DelayedRequests};
use super::fault::{Fault, FaultInjector};
use super::instance::MetadataService;
use super::log::Log;
use super::par::access::ParRecord;
use super::par::registry::ParRegistry;
use super::policy::Policy;
use super::principals::PrincipalServices;
use super::response::ErrorResponse;
use super::route::Target;
use super::signature::SignedHead;
use super::state_dir::NAMESPACE;
use super::store::ObjectStore;
use super::store::object::Bucket;
use super::store::uploads::UploadRegistry;
use super::threads;
use bytes::Bytes;
use hyper::Method;
use hyper::header::HeaderMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// The port on which a request arrived.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Port {
    /// Everything but the token service of the cluster.
    Main,
    /// The token service of the cluster, and nothing else.
    Oke,
}

/// What all requests share.
pub(crate) struct ServerState {
    pub clock: Clock,
    pub authenticator: Authenticator,
    pub store: Arc<dyn ObjectStore>,
    pub uploads: Arc<UploadRegistry>,
    pub injector: Mutex<FaultInjector>,
    pub log: Arc<Log>,
    pub counters: CallCounters,
    /// The instance on which a client may believe that it runs.
    pub metadata: Arc<MetadataService>,
    /// Present with `ServerOptions::principals`.
    pub principals: Option<Box<PrincipalServices>>,
    pub pars: Arc<ParRegistry>,
    pub delayed: DelayedRequests,
    pub policy: Mutex<Policy>,
    /// The most items that a list returns in one page.
    pub page_size: Mutex<usize>,
    /// Whether the token of a PutObject or UploadPart is checked a second time when the last byte
    /// of the body has arrived.
    pub recheck_token_after_body: bool,
}

impl ServerState {
    /// The most items that a list returns in one page.
    pub(crate) fn page_size(&self) -> usize {
        *self.page_size.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A copy of the permissions and bucket protections in force.
    pub(crate) fn policy(&self) -> Policy {
        self.policy.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// The fault plan and its counters.
    pub(crate) fn injector(&self) -> MutexGuard<'_, FaultInjector> {
        self.injector.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The server's time in milliseconds since 1970.
    pub(crate) fn now(&self) -> u64 {
        clock::millis(self.clock.now())
    }

    /// Looks a bucket up; fails with 404 `BucketNotFound`, the same for every operation.
    pub(crate) async fn find_bucket(&self, name: &str) -> Result<Bucket, ErrorResponse> {
        let (store, name) = (self.store.clone(), name.to_owned());
        blocking(move || {
            store.bucket(&name)?.ok_or_else(|| ErrorResponse::bucket_not_found(&name, NAMESPACE))
        })
        .await
    }
}

/// A request that was authenticated, or whose handler does so.
pub(crate) struct RequestContext {
    pub target: Target,
    pub method: Method,
    /// The raw request target.
    pub path: String,
    pub headers: HeaderMap,
    /// The caller of an operation for which `Operation::is_signed_by_caller` holds.
    pub caller: Option<Caller>,
    /// What allows the request, if it came through a pre-authenticated request.
    pub par: Option<ParRecord>,
    /// Whether the connection uses TLS.
    pub tls: bool,
    /// The body of a PutObject or UploadPart, which is not read yet.
    pub body: Option<RequestBody>,
    /// The body of any other request, compared with its `x-content-sha256`.
    pub signed_body: Bytes,
    pub fault: Option<Fault>,
    /// Present where a fault delays the work of this request.
    pub gate: Option<DelayGate>,
}

impl RequestContext {
    /// The head of the request, as its signature covers it.
    pub(crate) fn signed_head(&self) -> SignedHead<'_> {
        SignedHead { method: self.method.as_str(), target: &self.path, headers: &self.headers }
    }

    /// The caller; fails with 401 if the operation has none.
    pub(crate) fn caller(&self) -> Result<&Caller, ErrorResponse> {
        self.caller.as_ref().ok_or_else(ErrorResponse::no_credentials)
    }

    /// Checks the token or the pre-authenticated request a second time if the server is configured to;
    /// fails if it expired, was revoked or was deleted while the body arrived.
    pub(crate) fn reauthenticate(&self, state: &ServerState) -> Result<(), ErrorResponse> {
        if self.par.is_some() && state.recheck_token_after_body {
            state.pars.authorize(&self.target, state.now())?;
        }
        match self.caller.as_ref().and_then(|caller| caller.token.as_ref()) {
            Some(claims) if state.recheck_token_after_body => {
                let accepted = state.authenticator.is_accepted(claims, state.clock.now());
                if accepted { Ok(()) } else { Err(ErrorResponse::wrong_credentials()) }
            }
            _ => Ok(()),
        }
    }

    /// The preconditions of a write, with the restrictions of permissions and bucket protection.
    pub(crate) fn conditions(&self, state: &ServerState) -> Conditions {
        let restrictions = state.policy().write_restrictions(&self.target);
        Conditions::of(&self.headers).with_restrictions(restrictions)
    }

    /// Waits until the request that releases this one has been handled, if a fault delays it. Each
    /// handler calls this after it has received the body and before it changes anything.
    pub(crate) async fn wait_if_delayed(&mut self) {
        if let Some(gate) = &mut self.gate {
            gate.wait_until_released().await;
        }
    }
}

/// The error with which hyper closes a connection without a response; `connection` decides between
/// a reset and an orderly close.
#[derive(Debug)]
pub(crate) struct ConnectionAborted;

impl std::fmt::Display for ConnectionAborted {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("cut by the plan of faults")
    }
}

impl std::error::Error for ConnectionAborted {}

/// The `Content-Length` in bytes; `None` if the header is absent or not a number.
pub(crate) fn declared_length(headers: &HeaderMap) -> Option<u64> {
    headers.get("content-length")?.to_str().ok()?.parse().ok()
}

/// Runs disk work on a thread that may block; fails with 500 if the work panics.
pub(crate) async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, ErrorResponse> + Send + 'static,
) -> Result<T, ErrorResponse> {
    let done = threads::run(work).await;
    done.unwrap_or_else(|| Err(ErrorResponse::new(500, "InternalServerError", "The work failed")))
}
