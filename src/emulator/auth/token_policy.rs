//! The lifetimes of tokens and the behaviour of the refresh.
//!
//! Pure: values and no clock. Invariant: a change applies to tokens issued from then on.

use serde::{Deserialize, Serialize};
use std::time::Duration;

/// How `POST /v1/authentication/refresh` behaves. In every mode a token ends no later than its
/// session, so a short `ServerOptions::session` shortens the last tokens.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum RefreshMode {
    /// A new token with the full lifetime.
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
pub(crate) struct TokenPolicy {
    /// The lifetime of a session token.
    pub token: Duration,
    /// The lifetime of the token of an instance, a resource, a workload or a federated user.
    pub principal: Duration,
    /// The lifetime of a delegation token.
    pub delegation: Duration,
    /// How long a delegation token is accepted after another replaced it.
    pub delegation_grace: Duration,
    /// The lifetime of a session, which a refresh does not extend.
    pub session: Duration,
    pub refresh: RefreshMode,
    /// How long a token is accepted after a refresh replaced it; `None` until it expires.
    pub grace: Option<Duration>,
    /// Extra bytes in each token.
    pub padding: usize,
}
