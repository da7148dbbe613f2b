//! One request from its arrival to its response: route, fault, signature, handler, headers, record.
//!
//! Owns the order of these steps; what an operation does is behind `handlers`. Invariant: a request
//! is signed by its caller or comes through a pre-authenticated request, or its handler checks what it
//! proves itself by; every request but those of `control` leaves a record.

use super::apply_fault::{self, Interruption};
use super::auth::{Caller, TargetService};
use super::body::RequestBody;
use super::clock;
use super::connection::ConnectionControl;
use super::context::{ConnectionAborted, Port, RequestContext, ServerState, declared_length};
use super::fault::Fault;
use super::log::LogEntry;
use super::operation::Operation;
use super::par::access::ParRecord;
use super::response::{ErrorResponse, HandlerError, Response};
use super::route::{self, Target};
use super::signature::SignedHead;
use super::{control, handlers, par_route, state_dir};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use hyper::Request;
use hyper::body::Incoming;
use hyper::header::{HeaderMap, HeaderValue};
use hyper::http::request::Parts;
use std::future::pending;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

/// The longest body, in bytes, of a request whose signature covers its body.
const MAX_SIGNED_BODY: u64 = 8 * 1024 * 1024;

/// The longest `opc-client-request-id` in bytes; the service's own limit is not documented.
const MAX_CLIENT_REQUEST_ID: usize = 98;

/// Serves one request; fails if the connection is to be closed without a response.
pub(crate) async fn serve(
    state: Arc<ServerState>,
    control: ConnectionControl,
    port: Port,
    tls: bool,
    request: Request<Incoming>,
) -> Result<Response, ConnectionAborted> {
    let (head, incoming) = request.into_parts();
    let path = head.uri.path_and_query().map_or("/", |path| path.as_str()).to_owned();
    let path = if head.uri.scheme().is_some() { head.uri.to_string() } else { path };
    if let Some(response) = control::respond_to(&state, &head.method, &path).await {
        return Ok(response);
    }
    let mut entry = state.log.arrival(head.method.as_str(), &path);
    entry.note(|record| record.tls = tls);
    let received = entry.received();
    let exchange = Exchange { state, control, port, tls, head, path, received };
    let response = match exchange.run(incoming, &mut entry).await {
        Ok(response) | Err(Interruption::Response(response)) => exchange.finish(response),
        Err(Interruption::ProxyPage(page)) => page,
        Err(Interruption::Abort) => return Err(ConnectionAborted),
    };
    entry.note(|record| record.status = response.status().as_u16());
    Ok(response)
}

/// One request and what its response depends on.
struct Exchange {
    state: Arc<ServerState>,
    control: ConnectionControl,
    port: Port,
    tls: bool,
    head: Parts,
    /// The raw request target.
    path: String,
    /// Bytes of the body that were received so far.
    received: Arc<AtomicU64>,
}

impl Exchange {
    async fn run(
        &self,
        incoming: Incoming,
        entry: &mut LogEntry,
    ) -> Result<Response, Interruption> {
        let (state, control) = (&self.state, &self.control);
        let routed = route::route(self.head.method.as_str(), &self.path);
        let target = routed.and_then(|target| {
            let here =
                (target.operation == Operation::GetWorkloadToken) == (self.port == Port::Oke);
            if here { Ok(target) } else { Err(ErrorResponse::not_found(&self.path)) }
        });
        let mut target = target.map_err(|error| self.refuse(&error))?;
        if target.par.is_some() {
            target.operation = par_route::operation(target.operation, &self.head.headers);
        }
        let fault = self.next_fault(&target, entry);
        let fault = fault.as_ref();
        let body = RequestBody::new(incoming, self.received.clone(), control.clone(), fault);
        let unread = body.unread();
        let body = apply_fault::before(state, control, fault, &self.head, &target, body).await?;
        let (caller, par) = self.check_head(&target).map_err(|error| self.refuse(&error))?;
        entry.note(|record| {
            let Some(caller) = &caller else { return };
            record.key = Some(caller.kind);
            record.principal = Some(caller.principal());
            record.delegated = caller.delegated;
            record.token = caller.token.as_ref().map(|token| token.jti.clone());
            record.generation = caller.token.as_ref().and_then(|token| token.generation());
        });
        let (operation, part) = (target.operation, target.part());
        let (body, signed_body) = if operation.streams_its_body() {
            (Some(body), Bytes::new())
        } else {
            let signed_body = read_signed_body(body, &self.head.headers).await;
            (None, signed_body.map_err(|error| self.interrupt(error))?)
        };
        let request = RequestContext {
            target,
            method: self.head.method.clone(),
            path: self.path.clone(),
            headers: self.head.headers.clone(),
            caller,
            par,
            tls: self.tls,
            body,
            signed_body,
            fault: fault.cloned(),
            gate: None,
        };
        if let Some(Fault::LateLanding { after } | Fault::SilentLateLanding { after }) = fault {
            return Err(self.run_delayed(request, *after).await);
        }
        let response = match handlers::handle(state, request).await {
            Ok(response) => response,
            Err(HandlerError::ErrorResponse(error)) => self.error_response(&error),
            Err(HandlerError::Aborted) => return Err(Interruption::Abort),
        };
        state.delayed.release(operation, part, response.status()).await;
        apply_fault::after(control, fault, response, unread).await
    }

    /// Counts the request and finds the fault that it meets.
    fn next_fault(&self, target: &Target, entry: &mut LogEntry) -> Option<Fault> {
        let (operation, part, par) = (target.operation, target.part(), target.par.is_some());
        let authorization = self.head.headers.get("authorization");
        let authorization = authorization.and_then(|value| value.to_str().ok());
        let presented =
            authorization.and_then(|text| self.state.authenticator.presented_generation(text));
        self.state.counters.count(operation);
        let fault = self.state.injector().next_fault(operation, part, par);
        entry.note(|record| {
            record.presented = presented;
            record.operation = operation;
            record.part = part;
            record.par = par;
            record.upload = target.query.value("uploadId").map(str::to_owned);
            record.fault = fault.clone();
        });
        fault
    }

    /// Receives the request, leaves its work to a task that waits for a later request, and ends
    /// this exchange without a response.
    async fn run_delayed(
        &self,
        mut request: RequestContext,
        after: Option<Operation>,
    ) -> Interruption {
        let (operation, part) = (request.target.operation, request.target.part());
        let silent = matches!(request.fault, Some(Fault::SilentLateLanding { .. }));
        let (gate, received) = self.state.delayed.hold(operation, part, after);
        request.gate = Some(gate);
        let state = self.state.clone();
        tokio::spawn(async move { handlers::handle(&state, request).await });
        // The gate drops the sender when the whole body was received, so an error is the expected
        // result.
        let _ = received.await;
        if silent {
            // hyper drops this future when the client closes the connection.
            return pending().await;
        }
        self.control.reset();
        Interruption::Abort
    }

    /// Checks signature, namespace, permission and the form of the request, before any of the body
    /// is read. Returns the caller, or the pre-authenticated request; neither for an operation whose
    /// handler checks what the request proves itself by.
    fn check_head(
        &self,
        target: &Target,
    ) -> Result<(Option<Caller>, Option<ParRecord>), ErrorResponse> {
        let state = &self.state;
        let headers = &self.head.headers;
        let method = self.head.method.as_str();
        let par = match &target.par {
            Some(_) => Some(state.pars.authorize(target, state.now())?),
            None => None,
        };
        let caller = if par.is_none() && target.operation.is_signed_by_caller() {
            let signed = SignedHead { method, target: &self.path, headers };
            let storage = target.operation.is_of_storage();
            let audience = if storage { TargetService::Storage } else { TargetService::Auth };
            Some(state.authenticator.authenticate(&signed, audience, &state.clock)?)
        } else {
            None
        };
        let caller_namespace = caller.as_ref().map_or(state_dir::NAMESPACE, handlers::namespace_of);
        let is_local = caller_namespace == state_dir::NAMESPACE;
        let is_served = is_local && target.namespace == state_dir::NAMESPACE;
        if !target.namespace.is_empty() && !is_served {
            return Err(ErrorResponse::namespace_not_found(&target.namespace));
        }
        state.policy().check_request(target)?;
        if headers.contains_key("transfer-encoding") {
            let message = "Chunked transfer encoding is not supported";
            return Err(ErrorResponse::new(501, "MethodNotImplemented", message));
        }
        let client_id = headers.get("opc-client-request-id");
        if client_id.is_some_and(|id| id.len() > MAX_CLIENT_REQUEST_ID) {
            let message = "The opc-client-request-id header is too long";
            return Err(ErrorResponse::invalid_parameter(message));
        }
        let has_body = matches!(method, "PUT" | "POST");
        if has_body && declared_length(headers).is_none() {
            let message = "The Content-Length header is required";
            return Err(ErrorResponse::new(411, "MissingContentLength", message));
        }
        Ok((caller, par))
    }

    /// The response to a refused request. A body that was not read to its end makes the connection
    /// unusable, so the response announces its end.
    fn error_response(&self, error: &ErrorResponse) -> Response {
        let headers = &self.head.headers;
        let mut response = error.to_response(&self.head.method);
        let length = declared_length(headers).unwrap_or(0);
        let chunked = headers.contains_key("transfer-encoding");
        if chunked || self.received.load(Ordering::SeqCst) < length {
            response.headers_mut().insert("connection", HeaderValue::from_static("close"));
        }
        response
    }

    fn refuse(&self, error: &ErrorResponse) -> Interruption {
        Interruption::Response(self.error_response(error))
    }

    fn interrupt(&self, error: HandlerError) -> Interruption {
        match error {
            HandlerError::ErrorResponse(error) => self.refuse(&error),
            HandlerError::Aborted => Interruption::Abort,
        }
    }

    /// Adds the headers that every response of the service carries.
    fn finish(&self, mut response: Response) -> Response {
        let headers = response.headers_mut();
        let mut set = |name: &'static str, value: &str| {
            if let Ok(value) = HeaderValue::from_str(value) {
                headers.insert(name, value);
            }
        };
        set("date", &clock::http(self.state.clock.now()));
        set("opc-request-id", &request_id());
        set("x-api-id", "native");
        set("strict-transport-security", "max-age=31536000; includeSubDomains");
        set("x-content-type-options", "nosniff");
        if let Some(echo) = self.head.headers.get("opc-client-request-id") {
            headers.insert("opc-client-request-id", echo.clone());
        }
        response
    }
}

/// A random request id. The service's ids use the alphabet of URL-safe base64.
fn request_id() -> String {
    let random = std::iter::repeat_with(|| match fastrand::alphanumeric() {
        'A' => '-',
        'B' => '_',
        other => other,
    });
    format!("loc-1:{}", random.take(64).collect::<String>())
}

/// Reads a body that the signature covers; fails with 401 if it does not match `x-content-sha256`.
async fn read_signed_body(body: RequestBody, headers: &HeaderMap) -> Result<Bytes, HandlerError> {
    let bytes = body.collect(MAX_SIGNED_BODY).await?;
    if let Some(claimed) = headers.get("x-content-sha256") {
        let actual = STANDARD.encode(ring::digest::digest(&ring::digest::SHA256, &bytes));
        if claimed.as_bytes() != actual.as_bytes() {
            return Err(ErrorResponse::wrong_credentials().into());
        }
    }
    Ok(bytes)
}
