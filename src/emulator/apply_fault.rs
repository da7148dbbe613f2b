//! Faults carried out: what happens before the work, instead of it, or to its answer.
//!
//! The plan is in `fault`; faults of bodies are in `body`, those of parts and commits in `multipart`.
//! Invariant: a request without a fault passes through unchanged.

use super::body::RequestBody;
use super::connection::ConnectionControl;
use super::dispatch::ServerState;
use super::fault::{Fault, FaultResponse};
use super::response::{ErrorResponse, Payload, Response, answer};
use super::route::Target;
use super::signature::Authorization;
use super::state_dir::NAMESPACE;
use bytes::Bytes;
use hyper::header::{HeaderMap, HeaderValue};
use std::future::pending;
use std::time::Duration;
use tokio::time::sleep;

const CHECKSUMS: [&str; 8] = [
    "content-md5",
    "opc-content-md5",
    "opc-content-crc32c",
    "opc-content-sha256",
    "opc-content-sha384",
    "opc-multipart-md5",
    "opc-multipart-sha256",
    "opc-multipart-sha384",
];

/// The faults that come before the work: an answer instead of it, or nothing at all. `asked` is what the
/// request is for, and whether it is a HEAD.
pub async fn before(
    core: &ServerState,
    orders: &ConnectionControl,
    fault: Option<&Fault>,
    headers: &HeaderMap,
    asked: (&Target, bool),
    body: RequestBody,
) -> Result<RequestBody, Option<Response>> {
    let (target, head) = asked;
    match fault {
        Some(Fault::Delay(ms)) => sleep(Duration::from_millis(*ms)).await,
        Some(Fault::MoveClock(seconds)) => core.clock.advance(*seconds),
        Some(Fault::RevokeToken) => with_token(headers, |token| core.authority.revoke(token)),
        Some(Fault::DistrustToken) => {
            with_token(headers, |token| core.authority.reject_keys(token))
        }
        Some(Fault::ResetBeforeBody) => {
            orders.reset();
            return Err(None);
        }
        Some(Fault::Early(reply)) => return Err(Some(error(reply, head))),
        Some(Fault::EarlyReset(reply)) => {
            orders.reset();
            return Err(Some(error(reply, head)));
        }
        Some(Fault::Refuse(reply)) => {
            return Err(body.discard().await.ok().map(|()| error(reply, head)));
        }
        Some(Fault::SpuriousNotFound) => {
            let refused = ErrorResponse::bucket_not_found(&target.bucket, NAMESPACE);
            return Err(body.discard().await.ok().map(|()| refused.answer(head)));
        }
        Some(Fault::Html { status }) => {
            let page = "<html><head><title>Bad Gateway</title></head><body>nginx</body></html>\n";
            body.discard().await.map_err(|_| None)?;
            let page = if head { Payload::empty() } else { Payload::bytes(page) };
            return Err(Some(answer(*status).header("content-type", "text/html").body(page)));
        }
        Some(Fault::Garbage(bytes)) => {
            body.discard().await.map_err(|_| None)?;
            orders.replace(Bytes::from(bytes.clone()));
            return Err(Some(answer(200).empty()));
        }
        _ => {}
    }
    Ok(body)
}

/// The faults that come after the work; nothing means that the connection is cut.
pub async fn after(
    orders: &ConnectionControl,
    fault: Option<&Fault>,
    mut answered: Response,
) -> Option<Response> {
    match fault {
        Some(Fault::LoseAnswer) => {
            orders.reset();
            return None;
        }
        Some(Fault::StallAnswer { ms: Some(ms) }) => sleep(Duration::from_millis(*ms)).await,
        Some(Fault::StallAnswer { ms: None }) => pending().await,
        Some(Fault::Truncate(bytes)) => orders.truncate(*bytes),
        Some(Fault::MissingChecksum) => {
            for name in CHECKSUMS {
                answered.headers_mut().remove(name);
            }
        }
        Some(Fault::WrongChecksum) => {
            for name in CHECKSUMS {
                if let Some(value) = answered.headers_mut().get_mut(name) {
                    let mut text = value.as_bytes().to_vec();
                    text[0] = if text[0] == b'A' { b'B' } else { b'A' };
                    *value = HeaderValue::from_bytes(&text).unwrap_or(HeaderValue::from_static(""));
                }
            }
        }
        _ => {}
    }
    Some(answered)
}

fn error(reply: &FaultResponse, head: bool) -> Response {
    let message = reply.message.clone().unwrap_or_else(|| "Refused by the plan of faults".into());
    let mut answered =
        ErrorResponse::new(reply.status, reply.code_or_usual(), message).answer(head);
    let wait = reply.retry_after.as_ref().and_then(|text| HeaderValue::from_str(text).ok());
    if let Some(wait) = wait {
        answered.headers_mut().insert("retry-after", wait);
    }
    answered
}

fn with_token(headers: &HeaderMap, change: impl FnOnce(&str)) {
    let text = headers.get("authorization").and_then(|value| value.to_str().ok());
    let given = text.and_then(Authorization::parse);
    if let Some(token) = given.as_ref().and_then(|given| given.key_id.strip_prefix("ST$")) {
        change(token);
    }
}
