//! The emulator's own paths below `/emulator/`, which the service does not have.
//!
//! Owns their table; what they do is in the modules that they change. Invariant: their requests
//! need no signature, meet no fault, are not counted and leave no record.

use super::context::ServerState;
use super::response::{ErrorResponse, Response, respond};
use hyper::Method;

/// The response to a request for a path below `/emulator/`; `None` for any other path.
pub fn respond_to(state: &ServerState, method: &Method, path: &str) -> Option<Response> {
    let name = path.strip_prefix("/emulator/")?;
    Some(match (method.as_str(), name) {
        ("GET", "counts") => respond(200).json(&state.counters.snapshot()),
        _ => ErrorResponse::not_found(path).to_response(method),
    })
}
