//! Delegation tokens: what lets an instance act on behalf of the user.
//!
//! Owns their issue, their replacement and the check of the header `opc-obo-token`. Invariant: a
//! request that carries the header is refused unless the signature covers it and the token is one
//! of this server, in date, and not replaced longer ago than the grace.

use super::super::clock;
use super::super::response::ErrorResponse;
use super::super::signature::{Authorization, SignedHead};
use super::super::state_dir;
use super::{AUDIENCE, Authenticator, Caller, ISSUER, PrincipalKind};
use serde::{Deserialize, Serialize};
use std::io;
use std::time::SystemTime;

/// The header with the token.
const HEADER: &str = "opc-obo-token";
/// The claim `ttype`, which no other token has.
const TYPE: &str = "delegation";

/// The claims of a delegation token, which binds no key. Times are in seconds since 1970.
#[derive(Serialize, Deserialize)]
struct DelegationClaims {
    sub: String,
    tenant: String,
    iss: String,
    aud: String,
    jti: String,
    ttype: String,
    iat: u64,
    exp: u64,
}

impl Authenticator {
    /// Issues a delegation token and writes it to its file; the one before it is accepted until the
    /// grace is over. Fails if the file cannot be written.
    pub(crate) fn rotate_delegation(&self, now: SystemTime) -> io::Result<String> {
        let iat = clock::seconds(now);
        let (claims, token) = {
            let mut state = self.state();
            let claims = DelegationClaims {
                sub: state_dir::USER.to_owned(),
                tenant: state_dir::TENANCY.to_owned(),
                iss: ISSUER.to_owned(),
                aud: AUDIENCE.to_owned(),
                jti: state.next_token_id(),
                ttype: TYPE.to_owned(),
                iat,
                exp: iat + state.policy.delegation.as_secs().max(1),
            };
            let token = self.issuer.sign(&claims)?;
            (claims, token)
        };
        self.state_dir.write_delegation_token(&token)?;
        let mut state = self.state();
        let end = now + state.policy.delegation_grace;
        if let Some(replaced) = state.delegation.replace(claims.jti) {
            state.revoked.insert(replaced, end);
        }
        Ok(token)
    }

    /// Refuses every delegation token so far from now on.
    pub(crate) fn revoke_delegation(&self, now: SystemTime) {
        let mut state = self.state();
        let current = state.delegation.clone();
        if let Some(id) = current {
            state.revoked.insert(id, now);
        }
    }

    /// Whether a request of `caller` is on behalf of the user. Fails with 401 if it carries a
    /// delegation token that is not signed or not accepted, or that a user's request carries.
    pub(super) fn check_delegation(
        &self,
        authorization: &Authorization,
        head: &SignedHead<'_>,
        caller: &Caller,
        now: SystemTime,
    ) -> Result<bool, ErrorResponse> {
        let Some(value) = head.headers.get(HEADER) else { return Ok(false) };
        let wrong = ErrorResponse::wrong_credentials;
        let delegates =
            matches!(caller.principal(), PrincipalKind::Instance | PrincipalKind::Resource);
        if !authorization.covers(HEADER) || !delegates {
            return Err(wrong());
        }
        let token = value.to_str().map_err(|_| wrong())?;
        let claims: DelegationClaims = self.issuer.read(token).ok_or_else(wrong)?;
        let state = self.state();
        let revoked = state.revoked.get(&claims.jti).is_some_and(|from| *from <= now);
        let accepted = claims.ttype == TYPE && claims.exp > clock::seconds(now) && !revoked;
        if accepted { Ok(true) } else { Err(wrong()) }
    }
}
