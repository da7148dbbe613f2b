//! Pre-authenticated requests: URLs that allow some requests without a signature.
//!
//! `access` has what one allows, `options` what the documentation leaves open, `registry` all of a
//! server with the uploads that they began. Knows no HTTP but the error responses. Invariant: a
//! secret is known by its hash only.

pub(crate) mod access;
pub(crate) mod options;
pub(crate) mod registry;
