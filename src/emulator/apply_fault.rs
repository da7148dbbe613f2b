//! Applies faults before the handler, in place of it, and to its response.
//!
//! The plan is in `fault`; faults of request bodies are in `body`, those of parts and commits in
//! `multipart` and `objects`. Invariant: a request without a fault passes through unchanged.

use super::body::{RequestBody, UnreadBody};
use super::connection::ConnectionControl;
use super::context::{ServerState, blocking};
use super::fault::{Fault, FaultResponse};
use super::operation::Operation;
use super::principals::identity_domain::OauthError;
use super::response::{ErrorResponse, Payload, Response, respond};
use super::route::Target;
use super::signature::Authorization;
use super::state_dir::NAMESPACE;
use super::store::foreign::store_object;
use bytes::Bytes;
use hyper::Method;
use hyper::header::{HeaderMap, HeaderValue};
use hyper::http::request::Parts;
use std::future::pending;
use std::time::Duration;
use tokio::time::{sleep, timeout};

const CHECKSUM_HEADERS: [&str; 8] = [
    "content-md5",
    "opc-content-md5",
    "opc-content-crc32c",
    "opc-content-sha256",
    "opc-content-sha384",
    "opc-multipart-md5",
    "opc-multipart-sha256",
    "opc-multipart-sha384",
];

/// How a request ends before its handler runs, or without the handler's response.
pub(crate) enum Interruption {
    /// With a response of the service, which carries the service's common headers.
    Response(Response),
    /// With the page of a proxy, which carries none of them.
    ProxyPage(Response),
    /// The connection is closed without a response.
    Abort,
}

/// Applies the faults that act before authentication. Returns the body where the request goes on,
/// and fails where the fault ends it.
pub(crate) async fn before(
    state: &ServerState,
    control: &ConnectionControl,
    fault: Option<&Fault>,
    head: &Parts,
    target: &Target,
    body: RequestBody,
) -> Result<RequestBody, Interruption> {
    let method = &head.method;
    let token = || session_token(&head.headers);
    match fault {
        Some(Fault::Delay(ms)) => sleep(Duration::from_millis(*ms)).await,
        Some(Fault::MoveClock(seconds)) => state.clock.advance(*seconds),
        Some(Fault::RevokeToken) => {
            token().inspect(|token| state.authenticator.revoke(token));
        }
        Some(Fault::DistrustToken) => {
            token().inspect(|token| state.authenticator.reject_at_storage(token));
        }
        Some(Fault::DeletePars) => {
            let deleted = state.pars.delete(|par| par.bucket == target.bucket);
            deleted.map_err(|error| disk_error(error.into(), method))?;
        }
        Some(Fault::StoreOther(text)) => {
            let (store, scratch) = (state.store.clone(), state.uploads.scratch());
            let (target, text, now) = (target.clone(), text.clone(), state.now());
            let stored = blocking(move || {
                let (bucket, name) = (&target.bucket, &target.object);
                store_object(&*store, scratch, bucket, name, text.as_bytes(), now).map(drop)
            });
            stored.await.map_err(|error| disk_error(error, method))?;
        }
        Some(Fault::ResetBeforeBody) => {
            control.reset();
            return Err(Interruption::Abort);
        }
        Some(Fault::Early(fault)) => return Err(error_response(fault, target.operation, method)),
        Some(Fault::EarlyReset(fault)) => {
            control.reset();
            return Err(error_response(fault, target.operation, method));
        }
        Some(Fault::Refuse(fault)) => {
            discard(body).await?;
            return Err(error_response(fault, target.operation, method));
        }
        Some(Fault::SpuriousNotFound) => {
            discard(body).await?;
            let error = ErrorResponse::bucket_not_found(&target.bucket, NAMESPACE);
            return Err(Interruption::Response(error.to_response(method)));
        }
        Some(Fault::Html { status }) => {
            discard(body).await?;
            let page = "<html><head><title>Bad Gateway</title></head><body>nginx</body></html>\n";
            let page =
                if *method == Method::HEAD { Payload::empty() } else { Payload::bytes(page) };
            let page = respond(*status).header("content-type", "text/html").body(page);
            return Err(Interruption::ProxyPage(page));
        }
        Some(Fault::Garbage(text)) => {
            discard(body).await?;
            control.replace(Bytes::from(text.clone()));
            return Err(Interruption::Response(respond(200).empty()));
        }
        _ => {}
    }
    Ok(body)
}

/// Applies the faults that act on the handler's response; fails where no response is sent.
pub(crate) async fn after(
    control: &ConnectionControl,
    fault: Option<&Fault>,
    mut response: Response,
    unread: UnreadBody,
) -> Result<Response, Interruption> {
    match fault {
        Some(Fault::LoseAnswer) => {
            control.reset();
            return Err(Interruption::Abort);
        }
        Some(Fault::StallAnswer { ms }) => {
            let until_gone = async {
                unread.discard().await;
                pending::<()>().await;
            };
            match ms {
                Some(ms) => {
                    // The rest of the body is read until the response is sent.
                    let _ = timeout(Duration::from_millis(*ms), until_gone).await;
                }
                None => until_gone.await,
            }
        }
        Some(Fault::Truncate(bytes)) => control.truncate(*bytes),
        Some(Fault::MissingChecksum) => {
            for name in CHECKSUM_HEADERS {
                response.headers_mut().remove(name);
            }
        }
        Some(Fault::WrongChecksum) => {
            for name in CHECKSUM_HEADERS {
                if let Some(value) = response.headers_mut().get_mut(name) {
                    let mut text = value.as_bytes().to_vec();
                    text[0] = if text[0] == b'A' { b'B' } else { b'A' };
                    *value = HeaderValue::from_bytes(&text).unwrap_or(HeaderValue::from_static(""));
                }
            }
        }
        _ => {}
    }
    Ok(response)
}

/// The response to a fault that the disk kept from happening.
fn disk_error(error: ErrorResponse, method: &Method) -> Interruption {
    Interruption::Response(error.to_response(method))
}

/// Reads the body to its end; fails where the connection breaks first.
async fn discard(body: RequestBody) -> Result<(), Interruption> {
    body.discard().await.map_err(|_| Interruption::Abort)
}

fn error_response(fault: &FaultResponse, operation: Operation, method: &Method) -> Interruption {
    let message = fault.message.clone().unwrap_or_else(|| "Refused by the plan of faults".into());
    let mut response = if operation == Operation::ExchangeToken {
        OauthError::new(fault.status, fault.code.clone(), message).to_response()
    } else {
        ErrorResponse::new(fault.status, fault.code_or_default(), message).to_response(method)
    };
    let wait = fault.retry_after.as_ref().and_then(|text| HeaderValue::from_str(text).ok());
    if let Some(wait) = wait {
        response.headers_mut().insert("retry-after", wait);
    }
    Interruption::Response(response)
}

/// The session token that signs a request, if one does.
fn session_token(headers: &HeaderMap) -> Option<String> {
    let text = headers.get("authorization")?.to_str().ok()?;
    let authorization = Authorization::parse(text)?;
    authorization.key_id.strip_prefix("ST$").map(str::to_owned)
}
