//! Authentication: one user, by API key or by session token, and the issue of tokens.
//!
//! Owns the tokens' state and checks signatures, tokens and dates against the server's clock; knows
//! no operation. Invariant: a request is accepted only if a key bound to its key id signed every
//! required header, its date is within five minutes of the server's clock, and its token is neither
//! expired nor revoked.

use super::clock::{self, Clock};
use super::response::ErrorResponse;
use super::signature::{self, Authorization, Coverage, PublicKey, SignedHead};
use super::state_dir::{self, ApiKey, StateDir};
use super::token::{self, Claims, Issuer};
use serde::{Deserialize, Serialize};
use std::collections::{HashMap, HashSet};
use std::io;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// How far the date of a request may be from the server's clock.
const MAX_SKEW: Duration = Duration::from_secs(300);

/// The kind of key that signed a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub enum KeyKind {
    #[serde(rename = "api_key")]
    ApiKey,
    #[serde(rename = "security_token")]
    SecurityToken,
}

/// The authenticated caller of a request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Caller {
    /// The kind of key that signed the request.
    pub kind: KeyKind,
    /// The claims of the session token; `None` for an API key.
    pub token: Option<Claims>,
}

/// How `POST /v1/authentication/refresh` behaves. In every mode a token ends no later than its
/// session, so a short `ServerOptions::session` shortens the last tokens.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum RefreshMode {
    #[default]
    Normal,
    /// 200, with a new token that ends when the old one does.
    SameExpiry,
    /// 401.
    Unauthorized,
    /// 500.
    Broken,
    /// As `Normal`, after this many milliseconds.
    Slow(u64),
}

/// The lifetimes of tokens and the behaviour of the refresh.
#[derive(Debug, Clone, Copy)]
pub struct TokenPolicy {
    /// The lifetime of a token.
    pub token: Duration,
    /// The lifetime of a session, which a refresh does not extend.
    pub session: Duration,
    pub refresh: RefreshMode,
    /// How long a token is accepted after a refresh replaced it; `None` until it expires.
    pub grace: Option<Duration>,
    /// Extra bytes in each token.
    pub padding: usize,
}

/// The service that a request is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TargetService {
    Auth,
    Storage,
}

/// Issues the tokens of one user and authenticates requests.
pub struct Authenticator {
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
    /// The ids of tokens that Object Storage refuses and the auth service accepts.
    storage_rejected: HashSet<String>,
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
}

impl Authenticator {
    /// Opens the state folder, logs the user in and writes the files that a client needs. Fails if
    /// a file cannot be read or written, or holds no valid key.
    pub fn open(
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
            storage_rejected: HashSet::new(),
            issued: 0,
        };
        let authenticator = Authenticator { issuer, state_dir, state: Mutex::new(state) };
        authenticator.log_in(now)?;
        Ok(authenticator)
    }

    fn state(&self) -> MutexGuard<'_, AuthState> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Changes the policy for tokens issued from now on.
    pub fn set_policy(&self, change: impl FnOnce(&mut TokenPolicy)) {
        change(&mut self.state().policy);
    }

    /// A copy of the policy in force.
    pub fn policy(&self) -> TokenPolicy {
        self.state().policy
    }

    /// Starts a session with the current key, writes its token to the token file and returns it.
    /// Fails if a file cannot be written.
    pub fn log_in(&self, now: SystemTime) -> io::Result<String> {
        let token = {
            let mut state = self.state();
            let end = clock::seconds(now + state.policy.session);
            let key = state.key.public.clone();
            let lifetime = state.policy.token;
            self.issue(&mut state, &key, now, lifetime, end)?
        };
        self.state_dir.write_config(&self.state().key.fingerprint)?;
        self.state_dir.write_token(&token)?;
        Ok(token)
    }

    /// Replaces the key file by a new key, as the browser login does, then starts a session. The
    /// API keys so far stay accepted. Fails if a file cannot be written.
    pub fn log_in_with_new_key(&self, now: SystemTime) -> io::Result<String> {
        let key = ApiKey::generate()?;
        self.state_dir.write_key(&key)?;
        {
            let mut state = self.state();
            state.api_keys.push((key.fingerprint.clone(), key.public.clone()));
            state.key = key;
        }
        self.log_in(now)
    }

    /// Signs a token for `key` that ends after `lifetime`, or at `session_end` (seconds since
    /// 1970).
    fn issue(
        &self,
        state: &mut AuthState,
        key: &PublicKey,
        now: SystemTime,
        lifetime: Duration,
        session_end: u64,
    ) -> io::Result<String> {
        state.issued += 1;
        let iat = clock::seconds(now);
        let claims = Claims {
            sub: state_dir::USER.to_owned(),
            tenant: state_dir::TENANCY.to_owned(),
            iss: "authService.oracle.com".to_owned(),
            aud: "oci".to_owned(),
            jti: format!("{}-{:016x}", state.issued, fastrand::u64(..)),
            sid: format!("{:016x}", fastrand::u64(..)),
            ptype: "user".to_owned(),
            ttype: "login".to_owned(),
            iat,
            exp: (iat + lifetime.as_secs().max(1)).min(session_end),
            sess_exp: token::session_text(session_end),
            jwk: token::jwk(key),
            rtok: std::iter::repeat_with(fastrand::alphanumeric)
                .take(state.policy.padding)
                .collect(),
        };
        self.issuer.sign(&claims)
    }

    /// Refuses this token from now on, whatever its `exp`.
    pub fn revoke(&self, token: &str) {
        if let Some(claims) = self.issuer.read(token.trim()) {
            self.state().revoked.insert(claims.jti, UNIX_EPOCH);
        }
    }

    /// Makes Object Storage refuse this token from now on; the auth service still accepts it.
    pub fn reject_at_storage(&self, token: &str) {
        if let Some(claims) = self.issuer.read(token.trim()) {
            self.state().storage_rejected.insert(claims.jti);
        }
    }

    /// Refuses every API key but the current one from now on.
    pub fn forget_older_keys(&self) {
        let mut state = self.state();
        let current = state.key.fingerprint.clone();
        state.api_keys.retain(|(fingerprint, _)| *fingerprint == current);
    }

    /// The number, in the order of issue, of the token in an `Authorization` header, whether or not
    /// the token is accepted; `None` if the header holds no token of this server.
    pub fn presented_generation(&self, authorization: &str) -> Option<u64> {
        let authorization = Authorization::parse(authorization)?;
        self.issuer.read(authorization.key_id.strip_prefix("ST$")?)?.generation()
    }

    /// Whether Object Storage accepts a token now.
    pub fn is_accepted(&self, claims: &Claims, now: SystemTime) -> bool {
        self.state().accepts(claims, now, TargetService::Storage)
    }

    /// Authenticates the head of a request; the caller compares a signed body with its hash. The
    /// signature of a POST covers its body. Fails with 401.
    pub fn authenticate(
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
        let (key, caller) =
            self.identify_caller(&authorization.key_id, audience, clock.now()).ok_or_else(wrong)?;
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
            let claims = self.issuer.read(token)?;
            if !self.state().accepts(&claims, now, audience) {
                return None;
            }
            let caller = Caller { kind: KeyKind::SecurityToken, token: Some(claims.clone()) };
            return Some((claims.key()?, caller));
        }
        let prefix = format!("{}/{}/", state_dir::TENANCY, state_dir::USER);
        let fingerprint = key_id.strip_prefix(&prefix)?;
        let state = self.state();
        let (_, key) = state.api_keys.iter().find(|(known, _)| known == fingerprint)?;
        Some((key.clone(), Caller { kind: KeyKind::ApiKey, token: None }))
    }

    /// Exchanges the token `current` for a new one. Fails with 401 if the caller signed with an API
    /// key, if the token is not accepted or belongs to another user, and as `RefreshMode` demands.
    pub fn refresh(
        &self,
        caller: &Caller,
        current: &str,
        now: SystemTime,
    ) -> Result<String, ErrorResponse> {
        let signer = caller.token.as_ref().ok_or_else(ErrorResponse::wrong_credentials)?;
        let claims = self.issuer.read(current).ok_or_else(ErrorResponse::wrong_credentials)?;
        let mut state = self.state();
        if !state.accepts(&claims, now, TargetService::Auth) || claims.sub != signer.sub {
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
        Ok(self.issue(&mut state, &key, now, lifetime, end)?)
    }

    /// Issues a token for an RSA public key, with a lifetime of 5 to 60 minutes, which a refresh
    /// does not extend. Fails with 400 if the key cannot be parsed.
    pub fn generate(
        &self,
        public_pem: &str,
        minutes: u64,
        now: SystemTime,
    ) -> Result<String, ErrorResponse> {
        let key = parse_public(public_pem).ok_or_else(|| {
            ErrorResponse::invalid_parameter("publicKey is not an RSA public key")
        })?;
        let lifetime = Duration::from_secs(minutes.clamp(5, 60) * 60);
        let end = clock::seconds(now + lifetime);
        Ok(self.issue(&mut self.state(), &key, now, lifetime, end)?)
    }
}

fn parse_public(pem: &str) -> Option<PublicKey> {
    use rsa::pkcs8::DecodePublicKey;
    use rsa::traits::PublicKeyParts;
    let key = rsa::PublicKey::from_public_key_pem(pem.trim()).ok()?;
    Some(PublicKey { n: key.n_bytes().to_vec(), e: key.e_bytes().to_vec() })
}

/// Checks the signed date; fails with 401 if it is missing, malformed or more than `MAX_SKEW` off.
fn check_date(
    authorization: &Authorization,
    head: &SignedHead<'_>,
    now: SystemTime,
) -> Result<(), ErrorResponse> {
    let headers = &authorization.headers;
    let name = if headers.iter().any(|name| name == "x-date") { "x-date" } else { "date" };
    let text = head.headers.get(name).and_then(|value| value.to_str().ok());
    let date = text.and_then(|text| httpdate::parse_http_date(text).ok());
    let date = date.ok_or_else(ErrorResponse::wrong_credentials)?;
    let skew = date.duration_since(now).or_else(|_| now.duration_since(date)).unwrap_or_default();
    if skew <= MAX_SKEW {
        return Ok(());
    }
    Err(ErrorResponse::not_authenticated(format!(
        "Date '{}' is not within allowed clock skew. Current '{}', valid datetime range: ['{}', '{}']",
        clock::utc(date),
        clock::utc(now),
        clock::utc(now - MAX_SKEW),
        clock::utc(now + MAX_SKEW + Duration::from_secs(1)),
    )))
}
