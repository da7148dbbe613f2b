//! Credentials: read from options, environment and files, and refreshed in the background.
//!
//! Owns the config file, the key file, the session token file, the refresh and the login. Must not know
//! uploads or the command line. Invariant: no message contains a secret.

pub(crate) mod environment;
pub(crate) mod login;
pub(crate) mod options;
pub(crate) mod profile;
pub(crate) mod session;
