//! Credentials: read from options, environment and files, and refreshed in the background.
//!
//! Owns the config file, the key file, the session token file, the refresh and the login. Must not know
//! uploads or the command line. Invariant: no message contains a secret.

pub mod environment;
pub mod login;
pub mod options;
pub mod profile;
pub mod session;
