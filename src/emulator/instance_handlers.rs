//! The HTTP of the metadata service and of the federation.
//!
//! Owns headers and the form of the answers; what they contain is decided in `instance`. Invariant: the metadata service answers only requests that carry its fixed
//! authorization and passed no proxy.

use super::auth::{PrincipalKind, PrincipalSubject};
use super::context::{RequestContext, ServerState, blocking};
use super::instance::{InstanceOptions, verify_request};
use super::operation::Operation;
use super::response::{ErrorResponse, HandlerError, Payload, Response, respond};
use super::state_dir::{COMPARTMENT, INSTANCE};
use hyper::HeaderMap;
use serde_json::{Value, json};

/// A GET of the metadata service. Fails with 401 without its authorization, with 400 if a proxy
/// passed the request on, and with 500 if no key can be generated.
pub(crate) async fn metadata(
    state: &ServerState,
    request: RequestContext,
) -> Result<Response, HandlerError> {
    check_headers(&request.headers)?;
    let service = state.metadata.clone();
    let now = state.clock.now();
    let options = service.options();
    let text = |text: &str| plain(text, &options);
    Ok(match request.target.operation {
        Operation::GetMetadataRegion => {
            text(options.region_text.as_deref().unwrap_or(&options.region))
        }
        Operation::GetMetadataCanonicalRegionName => text(&options.region),
        Operation::GetMetadataInstanceId => text(INSTANCE),
        Operation::GetMetadataRegionInfo => respond(200).json(&region_info(&options)),
        Operation::GetMetadataInstance => respond(200).json(&json!({
            "id": INSTANCE,
            "compartmentId": COMPARTMENT,
            "region": options.region_text.as_deref().unwrap_or(&options.region),
            "canonicalRegionName": options.region,
            "regionInfo": region_info(&options),
        })),
        Operation::GetMetadataCertificate => {
            pem(blocking(move || Ok(service.certificate(now)?)).await?)
        }
        Operation::GetMetadataKey => pem(blocking(move || Ok(service.key(now)?)).await?),
        Operation::GetMetadataIntermediate => pem(service.intermediate()),
        _ => return Err(ErrorResponse::not_found("").into()),
    })
}

/// FederateInstance; fails as `verify_request`.
pub(crate) async fn federate(
    state: &ServerState,
    request: RequestContext,
) -> Result<Response, HandlerError> {
    let now = state.clock.now();
    let (head, body) = (request.signed_head(), &request.signed_body);
    let instance = verify_request(&head, body, state.metadata.trust(), now)?;
    let subject = PrincipalSubject {
        kind: PrincipalKind::Instance,
        tenancy: instance.tenancy,
        fingerprint: Some(instance.fingerprint),
    };
    let token = state.authenticator.issue_to(&subject, &instance.key, now)?;
    Ok(respond(200).json(&json!({ "token": token })))
}

fn check_headers(headers: &HeaderMap) -> Result<(), ErrorResponse> {
    let is_of_proxy = |name: &str| name == "forwarded" || name.starts_with("x-forwarded-");
    if headers.keys().any(|name| is_of_proxy(name.as_str())) {
        return Err(ErrorResponse::invalid_parameter("A proxy passed the request on"));
    }
    let authorization = headers.get("authorization").map(|value| value.as_bytes());
    if authorization != Some(b"Bearer Oracle") {
        return Err(ErrorResponse::no_credentials());
    }
    Ok(())
}

fn region_info(options: &InstanceOptions) -> Value {
    json!({
        "realmKey": options.realm_key,
        "realmDomainComponent": options.realm_domain,
        "regionKey": options.region_key,
        "regionIdentifier": options.region,
    })
}

fn plain(text: &str, options: &InstanceOptions) -> Response {
    let end = if options.final_newline { "\n" } else { "" };
    pem(format!("{text}{end}"))
}

fn pem(text: String) -> Response {
    respond(200).header("content-type", "text/plain").body(Payload::bytes(text))
}
