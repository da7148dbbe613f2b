//! The authenticated caller of a request.
//!
//! Pure: values and no check. Invariant: a principal follows from the claims of the token that
//! signed, and from nothing else in the request.

use super::super::state_dir::TENANCY;
use super::super::token::Claims;
pub use super::super::token::PrincipalKind;
use serde::Serialize;

/// The kind of key that signed a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub enum KeyKind {
    /// An API key of the user.
    #[serde(rename = "api_key")]
    ApiKey,
    /// The key of a session token.
    #[serde(rename = "security_token")]
    SecurityToken,
    /// The key of a resource, which gets a token by it.
    #[serde(rename = "resource_key")]
    ResourceKey,
}

/// The authenticated caller of a request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Caller {
    /// The kind of key that signed the request.
    pub kind: KeyKind,
    /// The claims of the token; `None` for an API key and for the key of a resource.
    pub token: Option<Claims>,
    /// Whether the caller acts on behalf of the user, by a signed delegation token.
    pub delegated: bool,
}

impl Caller {
    /// The OCID of the caller's tenancy.
    pub(crate) fn tenancy(&self) -> &str {
        self.token.as_ref().map_or(TENANCY, |claims| &claims.tenant)
    }

    /// The principal that signed.
    pub(crate) fn principal(&self) -> PrincipalKind {
        match &self.token {
            Some(claims) => claims.principal(),
            None if self.kind == KeyKind::ResourceKey => PrincipalKind::Resource,
            None => PrincipalKind::User,
        }
    }
}
