//! Who may call: one user, by API key or by session token, and how tokens come and go.
//!
//! Judges signatures, tokens and dates against the server's clock; knows no operation beyond whether
//! its body is signed. Invariant: a request is accepted only if a key bound to its key id signed every
//! header that must be signed, within five minutes of now, by a token neither expired nor revoked.

use super::clock::{self, Clock};
use super::response::ErrorResponse;
use super::signature::{self, Authorization, PublicKey, SignedHead};
use super::state_dir::{self, ApiKey, StateDir};
use super::token::{self, Claims, Issuer};
use serde::{Deserialize, Serialize};
use std::collections::{HashMap, HashSet};
use std::io;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

const SKEW: Duration = Duration::from_secs(300);

/// What kind of key signed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub enum KeyKind {
    #[serde(rename = "api_key")]
    ApiKey,
    #[serde(rename = "security_token")]
    SecurityToken,
}

/// Whom a request turned out to come from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Caller {
    pub kind: KeyKind,
    /// The claims of the token, where there was one.
    pub token: Option<Claims>,
}

/// How `POST /v1/authentication/refresh` behaves. Whatever the mode, no token outlives its session,
/// so a short `Options::session` gives tokens that are cut at its end.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum RefreshMode {
    #[default]
    Normal,
    /// 200, with a new token that ends when the old one does.
    SameExpiry,
    Unauthorized,
    Broken,
    /// Normal, after so many milliseconds.
    Slow(u64),
}

/// How long what is issued lasts.
#[derive(Debug, Clone, Copy)]
pub struct TokenPolicy {
    pub token: Duration,
    pub session: Duration,
    pub refresh: RefreshMode,
    /// How long a token is taken after it was exchanged for another; as long as it lasts, if nothing.
    pub grace: Option<Duration>,
    /// Bytes of ballast in each token.
    pub padding: usize,
}

/// Which of the two services a request is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TargetService {
    Auth,
    Storage,
}

pub struct Authenticator {
    issuer: Issuer,
    folder: StateDir,
    state: Mutex<AuthState>,
}

struct AuthState {
    terms: TokenPolicy,
    key: ApiKey,
    /// Keys that API key ids may name, by fingerprint.
    api_keys: Vec<(String, PublicKey)>,
    /// Tokens that are refused from a moment on, by their id.
    revoked: HashMap<String, SystemTime>,
    /// Tokens that only the auth service still takes.
    distrusted: HashSet<String>,
    issued: u64,
}

impl AuthState {
    fn takes(&self, claims: &Claims, now: SystemTime, audience: TargetService) -> bool {
        let revoked = self.revoked.get(&claims.jti).is_some_and(|from| *from <= now);
        let distrusted =
            audience == TargetService::Storage && self.distrusted.contains(&claims.jti);
        claims.exp > clock::seconds(now) && !revoked && !distrusted
    }
}

impl Authenticator {
    /// Opens the state folder, logs the user in and writes everything a client needs.
    pub fn open(
        folder: StateDir,
        terms: TokenPolicy,
        now: SystemTime,
    ) -> io::Result<Authenticator> {
        let issuer = folder.load_issuer()?;
        let key = folder.load_key()?;
        let api_keys = vec![(key.fingerprint.clone(), key.public.clone())];
        let state = AuthState {
            terms,
            key,
            api_keys,
            revoked: HashMap::new(),
            distrusted: HashSet::new(),
            issued: 0,
        };
        let authority = Authenticator { issuer, folder, state: Mutex::new(state) };
        authority.log_in(now)?;
        Ok(authority)
    }

    fn state(&self) -> MutexGuard<'_, AuthState> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub fn set_terms(&self, change: impl FnOnce(&mut TokenPolicy)) {
        change(&mut self.state().terms);
    }

    pub fn terms(&self) -> TokenPolicy {
        self.state().terms
    }

    /// A new login with the present key: a new session, its token in the token file.
    pub fn log_in(&self, now: SystemTime) -> io::Result<String> {
        let token = {
            let mut state = self.state();
            let end = clock::seconds(now + state.terms.session);
            let key = state.key.public.clone();
            let lifetime = state.terms.token;
            self.issue(&mut state, &key, now, lifetime, end)?
        };
        self.folder.write_config(&self.state().key.fingerprint)?;
        self.folder.write_token(&token)?;
        Ok(token)
    }

    /// A new login that replaces the key pair as well, as the browser flow does.
    pub fn log_in_with_new_key(&self, now: SystemTime) -> io::Result<String> {
        let key = ApiKey::generate()?;
        self.folder.write_key(&key)?;
        {
            let mut state = self.state();
            state.api_keys.push((key.fingerprint.clone(), key.public.clone()));
            state.key = key;
        }
        self.log_in(now)
    }

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
                .take(state.terms.padding)
                .collect(),
        };
        self.issuer.sign(&claims)
    }

    /// No longer accepts this token, whatever its `exp`.
    pub fn revoke(&self, token: &str) {
        if let Some(claims) = self.issuer.read(token.trim()) {
            self.state().revoked.insert(claims.jti, UNIX_EPOCH);
        }
    }

    /// Object Storage no longer takes this token; the auth service still exchanges it.
    pub fn reject_keys(&self, token: &str) {
        if let Some(claims) = self.issuer.read(token.trim()) {
            self.state().distrusted.insert(claims.jti);
        }
    }

    /// Only the present key may sign as an API key from now on.
    pub fn forget_older_keys(&self) {
        let mut state = self.state();
        let present = state.key.fingerprint.clone();
        state.api_keys.retain(|(fingerprint, _)| *fingerprint == present);
    }

    /// The count of the token that a request presents, whether it is taken or not.
    pub fn mark_used(&self, authorization: &str) -> Option<u64> {
        let given = Authorization::parse(authorization)?;
        self.issuer.read(given.key_id.strip_prefix("ST$")?)?.generation()
    }

    /// Whether a token that was taken is taken still.
    pub fn is_accepted(&self, claims: &Claims, now: SystemTime) -> bool {
        self.state().takes(claims, now, TargetService::Storage)
    }

    /// Judges everything but the body; the caller checks the hash of a signed body.
    pub fn authenticate(
        &self,
        head: &SignedHead<'_>,
        body_signed: bool,
        audience: TargetService,
        clock: &Clock,
    ) -> Result<Caller, ErrorResponse> {
        let header = head.headers.get("authorization").ok_or_else(ErrorResponse::no_credentials)?;
        let wrong = ErrorResponse::wrong_credentials;
        let text = header.to_str().map_err(|_| wrong())?;
        let given = Authorization::parse(text).ok_or_else(wrong)?;
        signature::complete(&given, body_signed)?;
        check_date(&given, head, clock.now())?;
        let (key, caller) =
            self.identify_caller(&given.key_id, audience, clock.now()).ok_or_else(wrong)?;
        let text = signature::signed_text(&given.headers, head).ok_or_else(wrong)?;
        let unverified =
            || ErrorResponse::not_authenticated("Failed to verify the HTTP(S) Signature");
        key.verify(&text, &given.signature).then_some(caller).ok_or_else(unverified)
    }

    fn identify_caller(
        &self,
        key_id: &str,
        audience: TargetService,
        now: SystemTime,
    ) -> Option<(PublicKey, Caller)> {
        if let Some(token) = key_id.strip_prefix("ST$") {
            let claims = self.issuer.read(token)?;
            if !self.state().takes(&claims, now, audience) {
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

    /// The answer to a refresh by `caller` that names `current`.
    pub fn refresh(
        &self,
        caller: &Caller,
        current: &str,
        now: SystemTime,
    ) -> Result<String, ErrorResponse> {
        let signer = caller.token.as_ref().ok_or_else(ErrorResponse::wrong_credentials)?;
        let claims = self.issuer.read(current).ok_or_else(ErrorResponse::wrong_credentials)?;
        let mut state = self.state();
        if !state.takes(&claims, now, TargetService::Auth) || claims.sub != signer.sub {
            return Err(ErrorResponse::wrong_credentials());
        }
        let iat = clock::seconds(now);
        let lifetime = match state.terms.refresh {
            RefreshMode::Unauthorized => return Err(ErrorResponse::wrong_credentials()),
            RefreshMode::Broken => {
                let message = "An internal server error has occurred.";
                return Err(ErrorResponse::new(500, "InternalServerError", message));
            }
            RefreshMode::SameExpiry => Duration::from_secs(claims.exp.saturating_sub(iat)),
            RefreshMode::Normal | RefreshMode::Slow(_) => state.terms.token,
        };
        let end = claims.session_end().unwrap_or(claims.exp);
        let key = claims.key().ok_or_else(ErrorResponse::wrong_credentials)?;
        if let Some(grace) = state.terms.grace {
            state.revoked.entry(claims.jti).or_insert(now + grace);
        }
        Ok(self.issue(&mut state, &key, now, lifetime, end)?)
    }

    /// A token for a key of the caller's own; such a session cannot be extended.
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

fn check_date(
    given: &Authorization,
    head: &SignedHead<'_>,
    now: SystemTime,
) -> Result<(), ErrorResponse> {
    let name = if given.headers.iter().any(|name| name == "x-date") { "x-date" } else { "date" };
    let text = head.headers.get(name).and_then(|value| value.to_str().ok());
    let date = text.and_then(|text| httpdate::parse_http_date(text).ok());
    let date = date.ok_or_else(ErrorResponse::wrong_credentials)?;
    let skew = date.duration_since(now).or_else(|_| now.duration_since(date)).unwrap_or_default();
    if skew <= SKEW {
        return Ok(());
    }
    Err(ErrorResponse::not_authenticated(format!(
        "Date '{}' is not within allowed clock skew. Current '{}', valid datetime range: ['{}', '{}']",
        clock::utc(date),
        clock::utc(now),
        clock::utc(now - SKEW),
        clock::utc(now + SKEW + Duration::from_secs(1)),
    )))
}
