//! Provisional.
use super::{key::Key, profile::{Identity, Source}, sign::KeyId, token::Token};
use crate::error::Error;
use std::sync::Arc;
use std::time::{Duration, SystemTime};
pub struct Credentials { pub key_id: KeyId, pub key: Arc<Key> }
pub struct Session { credentials: Arc<Credentials> }
impl Session {
    pub fn open(identity: Identity) -> Result<Session, Error> {
        let pem = std::fs::read(&identity.key_file).map_err(|e| Error::usage(format!("{e}")))?;
        let key = Key::from_pem(&pem, identity.passphrase.as_ref().map(|p| p.as_str())).map_err(|e| Error::usage(format!("{e}")))?;
        let key_id = match &identity.credentials {
            Source::ApiKey { tenancy, user, fingerprint } => KeyId::api_key(tenancy, user, fingerprint),
            Source::SecurityToken { token_file } => {
                let text = std::fs::read_to_string(token_file).map_err(|e| Error::credentials(format!("{e}")))?;
                let token = Token::parse(&text).map_err(|e| Error::credentials(format!("{e}")))?;
                KeyId::security_token(token.secret())
            }
        };
        Ok(Session { credentials: Arc::new(Credentials { key_id, key: Arc::new(key) }) })
    }
    pub async fn credentials(&self, _: Duration) -> Result<Arc<Credentials>, Error> { Ok(self.credentials.clone()) }
    pub fn signing_date(&self) -> SystemTime { SystemTime::now() }
    pub fn accepted(&self, _: &Credentials) {}
    pub fn refused(&self, _: &Credentials, _: Option<SystemTime>, _: SystemTime) {}
    pub fn refreshes(&self) -> u64 { 0 }
    pub fn token_left(&self) -> Option<Duration> { None }
}
