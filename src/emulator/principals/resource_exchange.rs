//! The two calls by which a resource of versions 2.1.x and 1.1 gets its token.
//!
//! Owns their bodies and the first of the two tokens; who signed is decided in `auth`. Invariant:
//! the second call gets a token only for the pair of tokens that the first call gave to the same
//! kind of signer, and only before the pair expires.

use super::super::auth::{Authenticator, Caller, PrincipalKind};
use super::super::clock;
use super::super::response::{ErrorResponse, Response, parse, respond};
use super::super::signature::PublicKey;
use serde::{Deserialize, Serialize};
use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::SystemTime;

/// The pairs of tokens that the first call has given.
#[derive(Default)]
pub(crate) struct ResourceExchange {
    issued: Mutex<HashMap<TokenPair, Grant>>,
}

/// The answer of the first call, which is also part of the second request.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
struct TokenPair {
    resource_principal_token: String,
    service_principal_session_token: String,
}

/// To whom a pair was given.
struct Grant {
    signer: PrincipalKind,
    /// Seconds since 1970.
    exp: u64,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct SessionRequest {
    #[serde(flatten)]
    pair: TokenPair,
    session_public_key: String,
}

impl ResourceExchange {
    fn issued(&self) -> MutexGuard<'_, HashMap<TokenPair, Grant>> {
        self.issued.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The first call: the pair of tokens for a resource or an instance. Fails with 404 for any
    /// other caller.
    pub(crate) fn grant(
        &self,
        authenticator: &Authenticator,
        caller: &Caller,
        now: SystemTime,
    ) -> Result<Response, ErrorResponse> {
        let signer = signer(caller)?;
        let now = clock::seconds(now);
        let random = || std::iter::repeat_with(fastrand::alphanumeric).take(64).collect::<String>();
        let pair = TokenPair {
            resource_principal_token: format!("rpt.{}.x", random()),
            service_principal_session_token: format!("spst.{}.x", random()),
        };
        let exp = now + authenticator.policy().principal.as_secs().max(1);
        let mut issued = self.issued();
        issued.retain(|_, grant| grant.exp > now);
        issued.insert(pair.clone(), Grant { signer, exp });
        Ok(respond(200).json(&pair))
    }

    /// The second call: the token of the resource for the key in `body`. Fails with 400 if the body
    /// is malformed, 401 if the pair is unknown, expired or of another kind of signer, and 404 for a
    /// caller that is no resource and no instance.
    pub(crate) fn issue(
        &self,
        authenticator: &Authenticator,
        caller: &Caller,
        body: &[u8],
        now: SystemTime,
    ) -> Result<Response, ErrorResponse> {
        let signer = signer(caller)?;
        let request: SessionRequest = parse(body)?;
        let key = PublicKey::from_one_line(&request.session_public_key).ok_or_else(|| {
            ErrorResponse::invalid_parameter("sessionPublicKey is not an RSA public key")
        })?;
        let granted = self
            .issued()
            .get(&request.pair)
            .is_some_and(|grant| grant.signer == signer && grant.exp > clock::seconds(now));
        if !granted {
            return Err(ErrorResponse::wrong_credentials());
        }
        let token = authenticator.issue_principal(PrincipalKind::Resource, &key, now)?;
        Ok(respond(200).json(&serde_json::json!({ "token": token })))
    }
}

/// The kind of a caller that may exchange tokens; fails with 404 for any other.
fn signer(caller: &Caller) -> Result<PrincipalKind, ErrorResponse> {
    match caller.principal() {
        kind @ (PrincipalKind::Resource | PrincipalKind::Instance) => Ok(kind),
        _ => {
            let message = "Authorization failed or requested resource not found.";
            Err(ErrorResponse::new(404, "NotAuthorizedOrNotFound", message))
        }
    }
}

#[cfg(test)]
#[path = "resource_exchange_tests.rs"]
mod tests;
