//! One request from its arrival to its answer: route, fault, signature, work, headers, record.
//!
//! Owns the order of these steps and the state they share; what an operation does is in `buckets`,
//! `objects`, `multipart` and `session`. Invariant: no work is done for a request that is not signed as
//! it must be, and every request leaves a record.

use super::auth::{Authenticator, Caller, TargetService};
use super::body::{HandlerError, RequestBody};
use super::clock::{self, Clock};
use super::conditions::Conditions;
use super::connection::ConnectionControl;
use super::delay::{DelayGate, DelayedRequests};
use super::fault::{Fault, FaultInjector};
use super::log::{Log, LogEntry};
use super::policy::Policy;
use super::response::{ErrorResponse, Response, answer};
use super::route::{self, Operation, Target};
use super::signature::SignedHead;
use super::store::ObjectStore;
use super::store::uploads::UploadRegistry;
use super::{apply_fault, auth_handlers, buckets, multipart, objects, state_dir};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use hyper::body::Incoming;
use hyper::header::{HeaderMap, HeaderValue};
use hyper::{Method, Request};
use std::future::pending;
use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex, PoisonError};

/// The longest body of a request that is signed with its body.
const SIGNED_BODY: u64 = 8 * 1024 * 1024;

/// The longest id that a client may give; how long the service's is, is not public.
const LONGEST_CLIENT_ID: usize = 98;

/// What all requests share.
pub struct ServerState {
    pub clock: Clock,
    pub authority: Authenticator,
    pub store: Arc<dyn ObjectStore>,
    pub uploads: Arc<UploadRegistry>,
    pub desk: Mutex<FaultInjector>,
    pub log: Arc<Log>,
    pub late: DelayedRequests,
    pub policy: Mutex<Policy>,
    pub page_size: Mutex<usize>,
    /// Whether the token of a request with a long body must be good when its last byte arrives, too.
    pub judges_at_the_end: bool,
}

impl ServerState {
    pub fn page_size(&self) -> usize {
        *self.page_size.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub fn policy(&self) -> Policy {
        self.policy.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    pub fn now(&self) -> u64 {
        clock::millis(self.clock.now())
    }
}

/// A request that may be done.
pub struct RequestContext {
    pub target: Target,
    pub headers: HeaderMap,
    pub caller: Caller,
    /// The body of a streaming request.
    pub body: Option<RequestBody>,
    /// The body of any other, checked against its hash.
    pub signed: Bytes,
    pub fault: Option<Fault>,
    gate: Option<DelayGate>,
}

impl RequestContext {
    /// Judges the token again, where this server does that when the last byte has arrived.
    pub fn reauthenticate(&self, core: &ServerState) -> Result<(), ErrorResponse> {
        match &self.caller.token {
            Some(claims) if core.judges_at_the_end => {
                let taken = core.authority.is_accepted(claims, core.clock.now());
                if taken { Ok(()) } else { Err(ErrorResponse::wrong_credentials()) }
            }
            _ => Ok(()),
        }
    }

    /// The conditions that a write has to meet, those of rights and bucket included.
    pub fn conditions(&self, core: &ServerState) -> Conditions {
        Conditions::of(&self.headers).within(core.policy().limits(&self.target))
    }

    /// To be called between receiving and doing: some faults wait here.
    pub async fn received(&mut self) {
        if let Some(gate) = &mut self.gate {
            gate.wait_until_released().await;
        }
    }
}

/// The connection is to be cut; `line` knows how.
#[derive(Debug)]
pub struct ConnectionAborted;

impl std::fmt::Display for ConnectionAborted {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("cut by the plan of faults")
    }
}

impl std::error::Error for ConnectionAborted {}

/// Serves one request.
pub async fn serve(
    core: Arc<ServerState>,
    orders: ConnectionControl,
    tls: bool,
    request: Request<Incoming>,
) -> Result<Response, ConnectionAborted> {
    let (parts, incoming) = request.into_parts();
    let path = parts.uri.path_and_query().map_or("/", |path| path.as_str()).to_owned();
    let path = if parts.uri.scheme().is_some() { parts.uri.to_string() } else { path };
    let mut entry = core.log.arrival(parts.method.as_str(), &path, tls);
    let head = parts.method == Method::HEAD;
    let finish = |mut answered: Response, entry: &mut LogEntry| {
        common_headers(&mut answered, &parts.headers, &core);
        entry.note(|record| record.status = answered.status().as_u16());
        answered
    };
    // A body that is not read to its end ends the connection, so say so.
    let received = entry.received();
    let refuse = |failure: &ErrorResponse| {
        let mut refused = failure.answer(head);
        let length = declared_length(&parts.headers).unwrap_or(0);
        let chunked = parts.headers.contains_key("transfer-encoding");
        if chunked || received.load(Ordering::SeqCst) < length {
            refused.headers_mut().insert("connection", HeaderValue::from_static("close"));
        }
        refused
    };

    let target = match route::route(parts.method.as_str(), &path) {
        Ok(target) => target,
        Err(failure) => return Ok(finish(refuse(&failure), &mut entry)),
    };
    let (operation, part) = (target.operation, target.part());
    let authorization = parts.headers.get("authorization").and_then(|value| value.to_str().ok());
    entry.note(|record| {
        record.presented = authorization.and_then(|text| core.authority.mark_used(text));
    });
    let fault = {
        let mut desk = core.desk.lock().unwrap_or_else(PoisonError::into_inner);
        desk.next_fault(operation, part)
    };
    entry.note(|record| {
        record.operation = operation;
        record.part = part;
        record.upload = target.query.value("uploadId").map(str::to_owned);
        record.fault = fault.as_ref().map(|fault| format!("{fault:?}"));
    });
    let body = RequestBody::new(incoming, entry.received(), orders.clone(), fault.as_ref());
    let asked = (&target, head);
    let body = match apply_fault::before(
        &core,
        &orders,
        fault.as_ref(),
        &parts.headers,
        asked,
        body,
    )
    .await
    {
        Ok(body) => body,
        // A proxy knows nothing of request ids and the like.
        Err(Some(answered)) if matches!(fault, Some(Fault::Html { .. })) => {
            entry.note(|record| record.status = answered.status().as_u16());
            return Ok(answered);
        }
        Err(Some(answered)) => return Ok(finish(answered, &mut entry)),
        Err(None) => return Err(ConnectionAborted),
    };

    let signed =
        SignedHead { method: parts.method.as_str(), target: &path, headers: &parts.headers };
    let caller = match admit(&core, &signed, &target) {
        Ok(caller) => caller,
        Err(failure) => return Ok(finish(refuse(&failure), &mut entry)),
    };
    entry.note(|record| {
        record.key = Some(caller.kind);
        record.token = caller.token.as_ref().map(|token| token.jti.clone());
        record.generation = caller.token.as_ref().and_then(|token| token.generation());
    });
    let (mut body, mut whole) = (Some(body), Bytes::new());
    if let Some(body) = body.take_if(|_| !operation.streams_its_body()) {
        match signed_body(body, &parts.headers).await {
            Ok(bytes) => whole = bytes,
            Err(HandlerError::Refused(failure)) => return Ok(finish(refuse(&failure), &mut entry)),
            Err(HandlerError::Cut) => return Err(ConnectionAborted),
        }
    }
    let headers = parts.headers.clone();
    let mut call = RequestContext {
        target,
        headers,
        caller,
        body,
        signed: whole,
        fault: fault.clone(),
        gate: None,
    };
    if let Some(Fault::LateLanding { after } | Fault::SilentLateLanding { after }) = &fault {
        let (gate, received) = core.late.hold(operation, part, *after);
        call.gate = Some(gate);
        tokio::spawn(work(core.clone(), call));
        // The sender is dropped when all was received.
        let _ = received.await;
        if matches!(fault, Some(Fault::SilentLateLanding { .. })) {
            // Dropped with its connection.
            return pending().await;
        }
        orders.reset();
        return Err(ConnectionAborted);
    }
    let outcome = work(core.clone(), call).await;
    let answered = match outcome {
        Ok(answered) => answered,
        Err(HandlerError::Refused(failure)) => refuse(&failure),
        Err(HandlerError::Cut) => return Err(ConnectionAborted),
    };
    core.late.release(operation, part, answered.status().is_success()).await;
    match apply_fault::after(&orders, fault.as_ref(), answered).await {
        Some(answered) => Ok(finish(answered, &mut entry)),
        None => Err(ConnectionAborted),
    }
}

/// Signature, namespace and the form of the request, before anything of the body is read.
fn admit(
    core: &ServerState,
    signed: &SignedHead<'_>,
    target: &Target,
) -> Result<Caller, ErrorResponse> {
    let body_signed = signed.method == "POST";
    let audience = match target.operation {
        Operation::RefreshToken | Operation::GenerateToken => TargetService::Auth,
        _ => TargetService::Storage,
    };
    let caller = core.authority.authenticate(signed, body_signed, audience, &core.clock)?;
    if !target.namespace.is_empty() && target.namespace != state_dir::NAMESPACE {
        return Err(ErrorResponse::namespace_not_found(&target.namespace));
    }
    core.policy().admit(target)?;
    if signed.headers.contains_key("transfer-encoding") {
        let message = "Chunked transfer encoding is not supported";
        return Err(ErrorResponse::new(501, "MethodNotImplemented", message));
    }
    let client_id = signed.headers.get("opc-client-request-id");
    if client_id.is_some_and(|id| id.len() > LONGEST_CLIENT_ID) {
        let message = "The opc-client-request-id header is too long";
        return Err(ErrorResponse::invalid_parameter(message));
    }
    let has_body = matches!(signed.method, "PUT" | "POST");
    if has_body && declared_length(signed.headers).is_none() {
        let message = "The Content-Length header is required";
        return Err(ErrorResponse::new(411, "MissingContentLength", message));
    }
    Ok(caller)
}

/// The declared length of the body; nothing where it is not declared or chunked.
pub fn declared_length(headers: &HeaderMap) -> Option<u64> {
    headers.get("content-length")?.to_str().ok()?.parse().ok()
}

async fn signed_body(body: RequestBody, headers: &HeaderMap) -> Result<Bytes, HandlerError> {
    let bytes = body.collect(SIGNED_BODY).await?;
    if let Some(claimed) = headers.get("x-content-sha256") {
        let actual = STANDARD.encode(ring::digest::digest(&ring::digest::SHA256, &bytes));
        if claimed.as_bytes() != actual.as_bytes() {
            return Err(ErrorResponse::wrong_credentials().into());
        }
    }
    Ok(bytes)
}

async fn work(core: Arc<ServerState>, call: RequestContext) -> Result<Response, HandlerError> {
    use Operation::*;
    match call.target.operation {
        GetNamespace => Ok(answer(200).json(&state_dir::NAMESPACE)),
        ListBuckets => buckets::list(&core).await,
        CreateBucket => buckets::create(&core, call).await,
        GetBucket => buckets::read(&core, call).await,
        HeadBucket => buckets::head(&core, call).await,
        DeleteBucket => buckets::delete(&core, call).await,
        ListObjects => objects::list(&core, call).await,
        PutObject => objects::put(&core, call).await,
        GetObject => objects::read(&core, call, true).await,
        HeadObject => objects::read(&core, call, false).await,
        DeleteObject => objects::delete(&core, call).await,
        RestoreObjects => objects::restore(&core, call).await,
        CreateMultipartUpload => multipart::create(&core, call).await,
        ListMultipartUploads => multipart::list(&core, call).await,
        UploadPart => multipart::part(&core, call).await,
        ListMultipartUploadParts => multipart::parts(&core, call).await,
        CommitMultipartUpload => multipart::commit(&core, call).await,
        AbortMultipartUpload => multipart::abort(&core, call).await,
        RefreshToken => auth_handlers::refresh(&core, call).await,
        GenerateToken => auth_handlers::generate(&core, call).await,
        Unknown => Err(ErrorResponse::not_found("").into()),
    }
}

/// What every answer carries.
fn common_headers(answered: &mut Response, asked: &HeaderMap, core: &ServerState) {
    let id: String = std::iter::repeat_with(|| match fastrand::alphanumeric() {
        // The service's ids hold the two extra characters of URL-safe base64 as well.
        'A' => '-',
        'B' => '_',
        other => other,
    })
    .take(64)
    .collect();
    let headers = answered.headers_mut();
    let mut set = |name: &'static str, value: &str| {
        if let Ok(value) = HeaderValue::from_str(value) {
            headers.insert(name, value);
        }
    };
    set("date", &clock::http(core.clock.now()));
    set("opc-request-id", &format!("loc-1:{id}"));
    set("x-api-id", "native");
    set("strict-transport-security", "max-age=31536000; includeSubDomains");
    set("x-content-type-options", "nosniff");
    if let Some(echo) = asked.get("opc-client-request-id") {
        headers.insert("opc-client-request-id", echo.clone());
    }
}
