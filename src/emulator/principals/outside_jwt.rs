//! A file with a short-lived JWT that a system outside of the service issues: the token of a
//! Kubernetes service account, or that of an outside identity provider.
//!
//! Owns the file, its replacement and the tokens issued so far; knows no request. Invariant: a token
//! is accepted only if it was issued here and its `exp` is in the future, and the file has mode 0600
//! and is replaced by a rename.

use super::super::clock;
use super::super::state_dir;
use super::super::token::Issuer;
use serde_json::{Value, json};
use std::collections::HashMap;
use std::io;
#[cfg(test)]
use std::path::Path;
use std::path::PathBuf;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, SystemTime};

/// The system that issues a JWT.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum OutsideIssuer {
    /// A Kubernetes cluster, for a service account.
    Cluster,
    /// An identity provider that an identity domain trusts.
    IdentityProvider,
}

/// The file with the current JWT.
pub(crate) struct JwtFile {
    path: PathBuf,
    issuer: OutsideIssuer,
    signer: Issuer,
    state: Mutex<JwtState>,
}

struct JwtState {
    life: Duration,
    /// The `exp` of each token that was issued and has not expired, by its text.
    issued: HashMap<String, u64>,
    /// Whether a line end follows the token in the file.
    trailing_newline: bool,
}

impl JwtFile {
    /// Writes the first token, which lives for `life`, with a line end behind it if
    /// `trailing_newline`. Fails if the file cannot be written.
    pub(crate) fn open(
        path: PathBuf,
        issuer: OutsideIssuer,
        life: Duration,
        trailing_newline: bool,
        now: SystemTime,
    ) -> io::Result<JwtFile> {
        let signer = Issuer::load(&Issuer::generate()?)?;
        let state = JwtState { life, issued: HashMap::new(), trailing_newline };
        let file = JwtFile { path, issuer, signer, state: Mutex::new(state) };
        file.replace(now)?;
        Ok(file)
    }

    fn state(&self) -> MutexGuard<'_, JwtState> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    #[cfg(test)]
    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    /// The lifetime of a token.
    pub(crate) fn life(&self) -> Duration {
        self.state().life
    }

    /// Sets the lifetime of tokens issued from now on.
    pub(crate) fn set_life(&self, life: Duration) {
        self.state().life = life;
    }

    /// Writes a new token to the file and returns it; the tokens before it are accepted until they
    /// expire. Fails if the file cannot be written.
    pub(crate) fn replace(&self, now: SystemTime) -> io::Result<String> {
        let iat = clock::seconds(now);
        let mut state = self.state();
        let exp = iat + state.life.as_secs().max(1);
        let token = self.signer.sign(&self.issuer.claims(iat, exp))?;
        state.issued.retain(|_, exp| *exp > iat);
        state.issued.insert(token.clone(), exp);
        let end = if state.trailing_newline { "\n" } else { "" };
        state_dir::write_private(&self.path, format!("{token}{end}").as_bytes())?;
        Ok(token)
    }

    /// Whether the token was issued here and has not expired.
    pub(crate) fn accepts(&self, token: &str, now: SystemTime) -> bool {
        self.state().issued.get(token).is_some_and(|exp| *exp > clock::seconds(now))
    }

    /// Accepts a token of another issuer until `exp`, in seconds since 1970.
    #[cfg(test)]
    pub(crate) fn trust(&self, token: &str, exp: u64) {
        self.state().issued.insert(token.to_owned(), exp);
    }
}

impl OutsideIssuer {
    /// The claims of a token, with times in seconds since 1970.
    fn claims(self, iat: u64, exp: u64) -> Value {
        let jti = format!("{:032x}", fastrand::u128(..));
        match self {
            OutsideIssuer::Cluster => json!({
                "aud": ["https://kubernetes.default.svc"],
                "exp": exp,
                "iat": iat,
                "nbf": iat,
                "iss": "https://kubernetes.default.svc.cluster.local",
                "jti": jti,
                "kubernetes.io": {
                    "namespace": "backup",
                    "serviceaccount": { "name": "ocipipe", "uid": "local-store" },
                },
                "sub": "system:serviceaccount:backup:ocipipe",
            }),
            OutsideIssuer::IdentityProvider => json!({
                "aud": "https://cloud.oracle.com",
                "exp": exp,
                "iat": iat,
                "nbf": iat,
                "iss": "https://issuer.local-test-1.localhost",
                "jti": jti,
                "sub": "repo:example/backup:ref:refs/heads/main",
            }),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use base64::Engine;
    use base64::engine::general_purpose::URL_SAFE_NO_PAD;
    use std::os::unix::fs::PermissionsExt;
    use std::time::UNIX_EPOCH;

    fn at(seconds: u64) -> SystemTime {
        UNIX_EPOCH + Duration::from_secs(seconds)
    }

    #[test]
    fn a_replaced_token_is_accepted_until_it_expires_and_no_other_ever() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("token");
        let life = Duration::from_secs(60);
        let file =
            JwtFile::open(path.clone(), OutsideIssuer::Cluster, life, false, at(1000)).unwrap();
        let first = std::fs::read_to_string(&path).unwrap();
        let second = file.replace(at(1030)).unwrap();
        assert_eq!(std::fs::read_to_string(&path).unwrap(), second);
        assert_ne!(first, second);
        assert!(file.accepts(&first, at(1059)) && !file.accepts(&first, at(1060)));
        assert!(file.accepts(&second, at(1089)) && !file.accepts(&second, at(1090)));
        assert!(!file.accepts(&format!("{second}x"), at(1030)) && !file.accepts("", at(1030)));
        assert_eq!(std::fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
    }

    #[test]
    fn the_token_is_a_jwt_with_the_claims_of_its_issuer() {
        let dir = tempfile::tempdir().unwrap();
        for (issuer, subject) in [
            (OutsideIssuer::Cluster, "system:serviceaccount:backup:ocipipe"),
            (OutsideIssuer::IdentityProvider, "repo:example/backup:ref:refs/heads/main"),
        ] {
            let path = dir.path().join("jwt");
            let life = Duration::from_secs(60);
            let file = JwtFile::open(path.clone(), issuer, life, true, at(0)).unwrap();
            let token = file.replace(at(1000)).unwrap();
            assert_eq!(std::fs::read_to_string(&path).unwrap(), format!("{token}\n"));
            let parts: Vec<&str> = token.split('.').collect();
            assert_eq!(parts.len(), 3);
            let claims = URL_SAFE_NO_PAD.decode(parts[1]).unwrap();
            let claims: Value = serde_json::from_slice(&claims).unwrap();
            assert_eq!((&claims["sub"], &claims["exp"]), (&json!(subject), &json!(1060)));
        }
    }
}
