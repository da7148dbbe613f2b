//! Credentials: from options, environment and files to a signature, and their refresh.
//!
//! Owns the config file, the session token file and the background refresh. Must not know uploads or
//! the command line. Invariant: no secret reaches a message.

pub mod environment;
pub mod options;
pub mod profile;
pub mod session;
