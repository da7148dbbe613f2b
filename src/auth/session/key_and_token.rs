//! A private key and the token that is bound to it, as one value.
//!
//! Owns the comparison of two such values. Must not know where they come from. Invariant: key, token
//! and key id belong together, and are replaced together.

use std::fmt;
use std::sync::Arc;

use zeroize::Zeroizing;

use proto::key::Key;
use proto::sign::KeyId;
use proto::token::Token;

/// A delegation token, which is sent and signed with each request. It is a secret.
#[derive(Clone, PartialEq, Eq)]
pub struct DelegationToken(Arc<Zeroizing<String>>);

impl DelegationToken {
    pub(super) fn new(text: &str) -> DelegationToken {
        DelegationToken(Arc::new(Zeroizing::new(text.to_owned())))
    }

    /// The value of the header `opc-obo-token`.
    pub fn secret(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for DelegationToken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("DelegationToken(..)")
    }
}

/// A key and, except for an API key, the token that is bound to it.
#[derive(Clone)]
pub(super) struct KeyAndToken {
    pub key: Arc<Key>,
    pub token: Option<Token>,
    pub key_id: KeyId,
    /// The contents of the key file, or the text of a key that was generated; two keys are the same
    /// if their texts are.
    pub key_text: Zeroizing<Vec<u8>>,
    /// The token of the user on whose behalf an instance acts.
    pub delegation_token: Option<DelegationToken>,
}

impl KeyAndToken {
    /// A key that was generated, and the token that was issued for it.
    pub(super) fn issued(key: Arc<Key>, key_text: Zeroizing<Vec<u8>>, token: Token) -> KeyAndToken {
        let key_id = KeyId::security_token(token.secret());
        KeyAndToken { key, token: Some(token), key_id, key_text, delegation_token: None }
    }

    /// The same key with another token of the same session.
    pub(super) fn with_token(&self, token: Token) -> KeyAndToken {
        let key_id = KeyId::security_token(token.secret());
        KeyAndToken { key_id, token: Some(token), ..self.clone() }
    }

    /// The same key and token with another delegation token.
    pub(super) fn with_delegation_token(&self, token: DelegationToken) -> KeyAndToken {
        KeyAndToken { delegation_token: Some(token), ..self.clone() }
    }

    /// Whether everything that signs a request is that of `other`.
    pub(super) fn same(&self, other: &KeyAndToken) -> bool {
        self.key_id == other.key_id
            && self.key_text == other.key_text
            && self.delegation_token == other.delegation_token
    }

    /// Whether the key is that of `other`.
    pub(super) fn same_key(&self, other: &KeyAndToken) -> bool {
        self.key_text == other.key_text
    }

    /// The OCID of the tenancy that the token names.
    pub(super) fn tenancy(&self) -> Option<&str> {
        self.token.as_ref()?.tenancy.as_deref()
    }
}
