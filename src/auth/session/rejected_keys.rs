//! The credentials that the service rejected.
//!
//! Owns their hashes. Must not know why a service rejects credentials. Invariant: holds no secret, and
//! only as many hashes as it needs.

use std::collections::VecDeque;
use std::hash::{DefaultHasher, Hash, Hasher};

use super::Credentials;
use super::key_and_token::{DelegationToken, KeyAndToken};
use proto::sign::KeyId;

/// Hashes of the credentials that the service rejected most recently. A rejected token that is still
/// in the file must not replace its successor, even if the successor is rejected too.
#[derive(Default)]
pub(super) struct RejectedKeys(VecDeque<u64>);

impl RejectedKeys {
    const HISTORY: usize = 16;

    pub(super) fn add(&mut self, credentials: &Credentials) {
        let hash = RejectedKeys::hash(&credentials.key_id, credentials.delegation_token.as_ref());
        if !self.0.contains(&hash) {
            self.0.push_back(hash);
            self.0.drain(..self.0.len().saturating_sub(RejectedKeys::HISTORY));
        }
    }

    pub(super) fn contains(&self, pair: &KeyAndToken) -> bool {
        self.0.contains(&RejectedKeys::hash(&pair.key_id, pair.delegation_token.as_ref()))
    }

    fn hash(key_id: &KeyId, delegation_token: Option<&DelegationToken>) -> u64 {
        let mut hasher = DefaultHasher::new();
        key_id.as_str().hash(&mut hasher);
        delegation_token.map(DelegationToken::secret).hash(&mut hasher);
        hasher.finish()
    }
}
