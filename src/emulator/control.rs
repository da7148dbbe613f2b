//! The emulator's own paths below `/emulator/`, which the service does not have.
//!
//! Owns their table; what they do is in the modules that they change. Invariant: their requests
//! need no signature, meet no fault, are not counted and leave no record.

use super::context::{ServerState, blocking};
use super::instance::Rotation;
use super::principals::PrincipalServices;
use super::principals::resource_files::FilesAfter;
use super::response::{ErrorResponse, Response, respond};
use super::route::Query;
use hyper::Method;
use serde::de::DeserializeOwned;
use serde_json::Value;
use std::io;
use std::sync::Arc;

/// The response to a request for a path below `/emulator/`; `None` for any other path.
pub(crate) async fn respond_to(
    state: &Arc<ServerState>,
    method: &Method,
    target: &str,
) -> Option<Response> {
    let name = target.strip_prefix("/emulator/")?;
    let done = run(state, method, name).await;
    Some(done.unwrap_or_else(|error| error.to_response(method)))
}

async fn run(
    state: &Arc<ServerState>,
    method: &Method,
    target: &str,
) -> Result<Response, ErrorResponse> {
    let (name, query) = target.split_once('?').unwrap_or((target, ""));
    let query = Query::parse(query)?;
    let now = state.clock.now();
    match (method.as_str(), name) {
        ("GET", "counts") => return Ok(respond(200).json(&state.counters.snapshot())),
        ("POST", "rotate/certificate") => {
            let (service, rotation) = (state.metadata.clone(), rotation(&query)?);
            blocking(move || Ok(service.rotate(rotation, now)?)).await?;
        }
        ("POST", "rotate/resource_principal") => {
            let after = files_after(&query)?;
            replace(state, move |state, services| {
                services.resource_files.replace(&state.authenticator, after, now)
            })
            .await?;
        }
        ("POST", "rotate/resource_principal/finish") => {
            replace(state, |_, services| services.resource_files.finish()).await?;
        }
        ("POST", "rotate/service_account_token") => {
            replace(state, move |_, services| services.oke.service_account.replace(now).map(drop))
                .await?;
        }
        ("POST", "rotate/subject_jwt") => {
            replace(state, move |_, services| services.domain.subject.replace(now).map(drop))
                .await?;
        }
        ("POST", "rotate/client_secret") => {
            replace(state, |_, services| services.domain.replace_secret()).await?;
        }
        ("POST", "rotate/delegation_token") => {
            state.authenticator.rotate_delegation(now)?;
        }
        _ => return Err(ErrorResponse::not_found(target)),
    }
    Ok(respond(204).empty())
}

/// The rotation that the parameters `moment`, `tenancy` and `torn_reads` describe; fails with 400
/// for any other parameter or value.
fn rotation(query: &Query) -> Result<Rotation, ErrorResponse> {
    let mut rotation = Rotation::default();
    for (name, value) in query.pairs() {
        match name {
            "moment" => rotation.moment = named(name, value)?,
            "tenancy" => rotation.tenancy = named(name, value)?,
            "torn_reads" => rotation.torn_reads = query.number(name)?.unwrap_or(0),
            _ => {
                let message = format!("There is no parameter '{name}'");
                return Err(ErrorResponse::invalid_parameter(message));
            }
        }
    }
    Ok(rotation)
}

/// Replaces files of principals on a thread that may block, after which their automatic replacement
/// starts its time anew. Fails with 404 without such files, and where a file cannot be written.
async fn replace(
    state: &Arc<ServerState>,
    replace: impl FnOnce(&ServerState, &PrincipalServices) -> io::Result<()> + Send + 'static,
) -> Result<(), ErrorResponse> {
    let state = state.clone();
    blocking(move || {
        let services = state.principals.as_deref().ok_or_else(|| ErrorResponse::not_found(""))?;
        replace(&state, services)?;
        services.changed.notify_waiters();
        Ok(())
    })
    .await
}

/// What the parameter `leave` names; fails with 400 for any other parameter or value.
fn files_after(query: &Query) -> Result<FilesAfter, ErrorResponse> {
    let mut after = FilesAfter::default();
    for (name, value) in query.pairs() {
        match name {
            "leave" => after = named(name, value)?,
            _ => {
                let message = format!("There is no parameter '{name}'");
                return Err(ErrorResponse::invalid_parameter(message));
            }
        }
    }
    Ok(after)
}

/// The value of this name, as in the file of faults.
fn named<T: DeserializeOwned>(name: &str, value: &str) -> Result<T, ErrorResponse> {
    serde_json::from_value(Value::String(value.to_owned()))
        .map_err(|error| ErrorResponse::invalid_parameter(format!("{name}: {error}")))
}
