//! The sessions of the one user: login, refresh, and tokens for a key that the user names.
//!
//! Owns what a session's token claims and when a refresh is refused; knows no principal but the
//! user. Invariant: no token outlives its session.

use super::super::clock;
use super::super::fault::LoginFault;
use super::super::response::ErrorResponse;
use super::super::signature::PublicKey;
use super::super::state_dir::{self, ApiKey};
use super::super::token::{self, Claims, ResourceClaims, SessionClaims};
use super::{AUDIENCE, AuthState, Authenticator, Caller, ISSUER, RefreshMode, TargetService};
use serde::Serialize;
use std::io;
use std::time::{Duration, SystemTime};

impl Authenticator {
    /// Starts a session with the current key, writes its token to the token file and returns it.
    /// Fails if a file cannot be written.
    pub(crate) fn log_in(&self, now: SystemTime) -> io::Result<String> {
        let token = {
            let mut state = self.state();
            let end = clock::seconds(now + state.policy.session);
            let key = state.key.public.clone();
            let lifetime = state.policy.token;
            self.issue_session(&mut state, &key, now, lifetime, end)?
        };
        self.state_dir.write_config(&self.state().key.fingerprint)?;
        self.state_dir.write_token(&token)?;
        Ok(token)
    }

    /// Replaces the key file by a new key, as the browser login does, then starts a session. The
    /// API keys so far stay accepted. Fails if a file cannot be written.
    pub(crate) fn log_in_with_new_key(&self, now: SystemTime) -> io::Result<String> {
        let key = ApiKey::generate()?;
        self.state_dir.write_key(&key)?;
        {
            let mut state = self.state();
            state.api_keys.push((key.fingerprint.clone(), key.public.clone()));
            state.key = key;
        }
        self.log_in(now)
    }

    /// Starts a session for a key that the browser login names, and returns its token, which a fault
    /// makes useless. Fails if the issuer's key cannot sign.
    pub(crate) fn log_in_with(
        &self,
        key: PublicKey,
        fault: Option<LoginFault>,
        now: SystemTime,
    ) -> io::Result<String> {
        let mut state = self.state();
        let key = if fault == Some(LoginFault::OtherKey) { state.key.public.clone() } else { key };
        let (lifetime, end) = (state.policy.token, clock::seconds(now + state.policy.session));
        let mut claims = self.session_claims(&mut state, &key, now, lifetime, end);
        match fault {
            Some(LoginFault::WrongJwk) => claims.jwk = "{\"kty\":\"RSA\",\"n\":\"!\"}".to_owned(),
            Some(LoginFault::NoJwk) => claims.jwk.clear(),
            Some(LoginFault::Expired) => claims.exp = claims.iat.saturating_sub(1),
            _ => {}
        }
        self.issuer.sign(&claims)
    }

    /// Any claims, signed by the issuer. Fails if its key cannot sign.
    pub(crate) fn sign(&self, claims: &impl Serialize) -> io::Result<String> {
        self.issuer.sign(claims)
    }

    /// Signs a user's token for `key` that ends after `lifetime`, or at `session_end` (seconds since
    /// 1970).
    fn issue_session(
        &self,
        state: &mut AuthState,
        key: &PublicKey,
        now: SystemTime,
        lifetime: Duration,
        session_end: u64,
    ) -> io::Result<String> {
        self.issuer.sign(&self.session_claims(state, key, now, lifetime, session_end))
    }

    fn session_claims(
        &self,
        state: &mut AuthState,
        key: &PublicKey,
        now: SystemTime,
        lifetime: Duration,
        session_end: u64,
    ) -> Claims {
        let iat = clock::seconds(now);
        Claims {
            sub: state_dir::USER.to_owned(),
            tenant: state_dir::TENANCY.to_owned(),
            iss: ISSUER.to_owned(),
            aud: AUDIENCE.to_owned(),
            jti: state.next_token_id(),
            ptype: "user".to_owned(),
            ttype: "login".to_owned(),
            iat,
            exp: iat.saturating_add(lifetime.as_secs().max(1)).min(session_end),
            jwk: token::jwk(key),
            session: Some(SessionClaims {
                sid: format!("{:016x}", fastrand::u64(..)),
                sess_exp: token::session_text(session_end),
                rtok: state.padding(),
            }),
            resource: ResourceClaims::default(),
        }
    }

    /// Exchanges the token `current` for a new one. Fails with 401 if the caller signed with an API
    /// key, if the token is not accepted, belongs to another user or to no session, and as
    /// `RefreshMode` demands.
    pub(crate) fn refresh(
        &self,
        caller: &Caller,
        current: &str,
        now: SystemTime,
    ) -> Result<String, ErrorResponse> {
        let signer = caller.token.as_ref().ok_or_else(ErrorResponse::wrong_credentials)?;
        let claims: Claims =
            self.issuer.read(current).ok_or_else(ErrorResponse::wrong_credentials)?;
        let mut state = self.state();
        let accepted = state.accepts(&claims, now, TargetService::Auth);
        if !accepted || claims.sub != signer.sub || claims.session.is_none() {
            return Err(ErrorResponse::wrong_credentials());
        }
        let iat = clock::seconds(now);
        let lifetime = match state.policy.refresh {
            RefreshMode::Unauthorized => return Err(ErrorResponse::wrong_credentials()),
            RefreshMode::Broken => {
                let message = "An internal server error has occurred.";
                return Err(ErrorResponse::new(500, "InternalServerError", message));
            }
            RefreshMode::SameExpiry => Duration::from_secs(claims.exp.saturating_sub(iat)),
            RefreshMode::Normal | RefreshMode::Slow(_) => state.policy.token,
        };
        let end = claims.session_end().unwrap_or(claims.exp);
        let key = claims.key().ok_or_else(ErrorResponse::wrong_credentials)?;
        if let Some(grace) = state.policy.grace {
            state.revoked.entry(claims.jti).or_insert(now + grace);
        }
        Ok(self.issue_session(&mut state, &key, now, lifetime, end)?)
    }

    /// Issues a token for an RSA public key, with a lifetime of 5 to 60 minutes, which a refresh
    /// does not extend. Fails with 400 if the key cannot be parsed.
    pub(crate) fn generate(
        &self,
        public_pem: &str,
        minutes: u64,
        now: SystemTime,
    ) -> Result<String, ErrorResponse> {
        let key = PublicKey::from_text(public_pem).ok_or_else(|| {
            ErrorResponse::invalid_parameter("publicKey is not an RSA public key")
        })?;
        let lifetime = Duration::from_secs(minutes.clamp(5, 60) * 60);
        let end = clock::seconds(now + lifetime);
        Ok(self.issue_session(&mut self.state(), &key, now, lifetime, end)?)
    }
}
