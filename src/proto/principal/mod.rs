//! The wire forms of the principals: instances, resources, workloads, delegations, outside identities.
//!
//! Owns the requests that bring a token and a session key, and the reading of their responses. Must not
//! know a connection, a clock, a file or the environment, nor when a token is renewed. Invariants: no
//! bytes from the network cause a panic; no error and no debug output contains a token, a key, a
//! certificate's key, a client secret or an outside identity's token.
//!
//! Each kind of principal is a source of a [`Token`](crate::token::Token) and the key that it belongs to:
//!
//! | Module | Kind | What it sends |
//! |---|---|---|
//! | [`metadata`] | instance | reads certificate, key and region from the metadata service |
//! | [`certificate`], [`federation`] | instance | trades the certificate for a token |
//! | [`resource`] | resource 1.1 and 2.1.x | trades a resource's token for a session token |
//! | [`oke`] | workload in OKE | trades the service account's token |
//! | [`exchange`] | outside identity | trades an outside JWT |

pub mod call;
pub mod certificate;
pub mod exchange;
pub mod federation;
pub mod metadata;
pub mod oke;
pub mod resource;
pub mod session_key;

pub use call::{AuthCall, AuthCallError, AuthFailure, AuthReply};
pub use certificate::{CertificateError, LeafCertificate};
pub use session_key::SessionKey;

#[cfg(test)]
mod tests;
