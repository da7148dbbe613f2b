//! What can be read and changed of the instance that a running server plays.
//!
//! Owns the part of `Server` that concerns certificates, delegation and principals' tokens; knows
//! no request. Invariant: a change applies to requests that arrive after it.

use super::instance::{InstanceOptions, Rotation};
use super::server::Server;
use super::state_dir::DELEGATION_TOKEN;
use std::io;
use std::path::PathBuf;

#[doc(hidden)]
impl Server {
    /// The file with the current delegation token.
    pub fn delegation_token_path(&self) -> PathBuf {
        self.state_path().join(DELEGATION_TOKEN)
    }

    /// Replaces certificate and key of the instance. Blocks while a key is generated; fails if it
    /// cannot be.
    pub fn rotate_certificate(&self, rotation: Rotation) -> io::Result<()> {
        self.metadata().rotate(rotation, self.now())
    }

    /// Changes the instance for certificates and tokens issued and texts read from now on.
    pub fn set_instance(&self, change: impl FnOnce(&mut InstanceOptions)) {
        let options = self.metadata().set_options(change);
        self.authenticator().set_policy(|policy| {
            policy.delegation = options.delegation_life();
            policy.delegation_grace = options.delegation_grace();
        });
    }

    /// Replaces the delegation token in its file and returns it; the one before is accepted until
    /// the grace is over. Fails if the file cannot be written.
    pub fn rotate_delegation_token(&self) -> io::Result<String> {
        self.authenticator().rotate_delegation(self.now())
    }

    /// Refuses the delegation token in the file from now on.
    pub fn revoke_delegation_token(&self) {
        self.authenticator().revoke_delegation(self.now());
    }
}
