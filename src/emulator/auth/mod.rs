//! Authentication: one user, by API key or by session token, other principals by their tokens, and
//! the issue of tokens.
//!
//! Owns the tokens' state and checks signatures, tokens and dates against the server's clock; knows
//! no operation. Invariant: a request is accepted only if a key bound to its key id signed every
//! required header, its date is within five minutes of the server's clock, and its token is neither
//! expired nor revoked.

mod caller;
mod date;
mod delegation;
mod principal;
mod resource_key;
mod session;
mod token_policy;

pub(crate) use caller::Caller;
pub use caller::{KeyKind, PrincipalKind};
pub(crate) use date::check_date;
pub(crate) use principal::PrincipalSubject;
pub(crate) use resource_key::ResourceIdentity;
pub use token_policy::RefreshMode;
pub(crate) use token_policy::TokenPolicy;

use super::clock::{self, Clock};
use super::response::ErrorResponse;
use super::signature::{self, Authorization, Coverage, PublicKey, SignedHead};
use super::state_dir::{self, ApiKey, StateDir};
use super::token::{Claims, Issuer};
use std::collections::{HashMap, HashSet};
use std::io;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{SystemTime, UNIX_EPOCH};

/// The claims `iss` and `aud` of every token.
const ISSUER: &str = "authService.oracle.com";
const AUDIENCE: &str = "oci";

/// The service that a request is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum TargetService {
    Auth,
    Storage,
}

/// Issues the tokens of one user and authenticates requests.
pub(crate) struct Authenticator {
    issuer: Issuer,
    state_dir: StateDir,
    state: Mutex<AuthState>,
}

struct AuthState {
    policy: TokenPolicy,
    key: ApiKey,
    /// The accepted API keys with their fingerprints.
    api_keys: Vec<(String, PublicKey)>,
    /// The time from which a token is refused, by the token's id.
    revoked: HashMap<String, SystemTime>,
    /// The id of the delegation token in force.
    delegation: Option<String>,
    /// The ids of tokens that Object Storage refuses and the auth service accepts.
    storage_rejected: HashSet<String>,
    /// The resource whose key signs without a token.
    resource: Option<ResourceIdentity>,
    /// The number of tokens issued so far.
    issued: u64,
}

impl AuthState {
    fn accepts(&self, claims: &Claims, now: SystemTime, audience: TargetService) -> bool {
        let revoked = self.revoked.get(&claims.jti).is_some_and(|from| *from <= now);
        let rejected =
            audience == TargetService::Storage && self.storage_rejected.contains(&claims.jti);
        claims.exp > clock::seconds(now) && !revoked && !rejected
    }

    /// The id of the next token, which begins with its number in the order of issue.
    fn next_token_id(&mut self) -> String {
        self.issued += 1;
        format!("{}-{:016x}", self.issued, fastrand::u64(..))
    }

    /// Random text of the length that the policy adds to each token.
    fn padding(&self) -> String {
        std::iter::repeat_with(fastrand::alphanumeric).take(self.policy.padding).collect()
    }
}

impl Authenticator {
    /// Opens the state folder, logs the user in and writes the files that a client needs. Fails if
    /// a file cannot be read or written, or holds no valid key.
    pub(crate) fn open(
        state_dir: StateDir,
        policy: TokenPolicy,
        now: SystemTime,
    ) -> io::Result<Authenticator> {
        let issuer = state_dir.load_issuer()?;
        let key = state_dir.load_key()?;
        let api_keys = vec![(key.fingerprint.clone(), key.public.clone())];
        let state = AuthState {
            policy,
            key,
            api_keys,
            revoked: HashMap::new(),
            delegation: None,
            storage_rejected: HashSet::new(),
            resource: None,
            issued: 0,
        };
        let authenticator = Authenticator { issuer, state_dir, state: Mutex::new(state) };
        authenticator.log_in(now)?;
        authenticator.rotate_delegation(now)?;
        Ok(authenticator)
    }

    fn state(&self) -> MutexGuard<'_, AuthState> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Changes the policy for tokens issued from now on.
    pub(crate) fn set_policy(&self, change: impl FnOnce(&mut TokenPolicy)) {
        change(&mut self.state().policy);
    }

    /// A copy of the policy in force.
    pub(crate) fn policy(&self) -> TokenPolicy {
        self.state().policy
    }

    /// Refuses this token from now on, whatever its `exp`.
    pub(crate) fn revoke(&self, token: &str) {
        if let Some(claims) = self.issuer.read::<Claims>(token.trim()) {
            self.state().revoked.insert(claims.jti, UNIX_EPOCH);
        }
    }

    /// Makes Object Storage refuse this token from now on; the auth service still accepts it.
    pub(crate) fn reject_at_storage(&self, token: &str) {
        if let Some(claims) = self.issuer.read::<Claims>(token.trim()) {
            self.state().storage_rejected.insert(claims.jti);
        }
    }

    /// Refuses every API key but the current one from now on.
    pub(crate) fn forget_older_keys(&self) {
        let mut state = self.state();
        let current = state.key.fingerprint.clone();
        state.api_keys.retain(|(fingerprint, _)| *fingerprint == current);
    }

    /// The number, in the order of issue, of the token in an `Authorization` header, whether or not
    /// the token is accepted; `None` if the header holds no token of this server.
    pub(crate) fn presented_generation(&self, authorization: &str) -> Option<u64> {
        let authorization = Authorization::parse(authorization)?;
        self.issuer.read::<Claims>(authorization.key_id.strip_prefix("ST$")?)?.generation()
    }

    /// The claims of a token.
    #[cfg(test)]
    pub(crate) fn claims(&self, token: &str) -> Option<Claims> {
        self.issuer.read(token)
    }

    /// Whether Object Storage accepts a token now.
    pub(crate) fn is_accepted(&self, claims: &Claims, now: SystemTime) -> bool {
        self.state().accepts(claims, now, TargetService::Storage)
    }

    /// Authenticates the head of a request; the caller compares a signed body with its hash. The
    /// signature of a POST covers its body. Fails with 401.
    pub(crate) fn authenticate(
        &self,
        head: &SignedHead<'_>,
        audience: TargetService,
        clock: &Clock,
    ) -> Result<Caller, ErrorResponse> {
        let header = head.headers.get("authorization").ok_or_else(ErrorResponse::no_credentials)?;
        let wrong = ErrorResponse::wrong_credentials;
        let text = header.to_str().map_err(|_| wrong())?;
        let authorization = Authorization::parse(text).ok_or_else(wrong)?;
        let coverage =
            if head.method == "POST" { Coverage::HeadAndBody } else { Coverage::HeadOnly };
        signature::check_coverage(&authorization, coverage)?;
        check_date(&authorization, head, clock.now())?;
        let key_id = &authorization.key_id;
        let identified = if key_id.starts_with("resource/") {
            self.identify_resource(key_id, head.target)
        } else {
            self.identify_caller(key_id, audience, clock.now())
        };
        let (key, mut caller) = identified.ok_or_else(wrong)?;
        caller.delegated = self.check_delegation(&authorization, head, &caller, clock.now())?;
        let text = signature::signed_text(&authorization.headers, head).ok_or_else(wrong)?;
        let unverified =
            || ErrorResponse::not_authenticated("Failed to verify the HTTP(S) Signature");
        key.verify(&text, &authorization.signature).then_some(caller).ok_or_else(unverified)
    }

    /// The key that a key id names, and its owner; `None` for an unknown key or a token that
    /// `audience` does not accept.
    fn identify_caller(
        &self,
        key_id: &str,
        audience: TargetService,
        now: SystemTime,
    ) -> Option<(PublicKey, Caller)> {
        if let Some(token) = key_id.strip_prefix("ST$") {
            let claims: Claims = self.issuer.read(token)?;
            if !self.state().accepts(&claims, now, audience) {
                return None;
            }
            let caller = Caller {
                kind: KeyKind::SecurityToken,
                token: Some(claims.clone()),
                delegated: false,
            };
            return Some((claims.key()?, caller));
        }
        let prefix = format!("{}/{}/", state_dir::TENANCY, state_dir::USER);
        let fingerprint = key_id.strip_prefix(&prefix)?;
        let state = self.state();
        let (_, key) = state.api_keys.iter().find(|(known, _)| known == fingerprint)?;
        Some((key.clone(), Caller { kind: KeyKind::ApiKey, token: None, delegated: false }))
    }
}
