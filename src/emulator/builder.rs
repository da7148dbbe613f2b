//! The builder of a server: the options that most tests need, as a chain of calls.
//!
//! Owns no option of its own: `ServerOptions` has them all. Invariant: a server that is built without
//! further calls has no faults and grants all permissions.

use super::fault::FaultPlan;
use super::policy::{BucketProtection, PermissionSet};
use super::server::{Server, start};
use super::server_options::{ServerOptions, StorageLayout};
use std::io;
use std::path::PathBuf;
use std::time::Duration;

/// Builds a [`Server`]; made by [`Server::builder`].
#[derive(Debug, Clone)]
#[must_use = "a server starts with `start`"]
pub struct ServerBuilder {
    options: ServerOptions,
}

impl Server {
    /// A server that writes below `dir` only, on any free port of 127.0.0.1, with the buckets `demo`
    /// and `backups`. The folder is created if it does not exist; what it holds is kept, so that a
    /// second server of the same folder has the objects, uploads and keys of the first.
    pub fn builder(dir: impl Into<PathBuf>) -> ServerBuilder {
        ServerBuilder { options: ServerOptions::new(dir, StorageLayout::Durable) }
    }
}

impl ServerBuilder {
    /// Takes this TCP port in place of any free one.
    pub fn port(mut self, port: u16) -> ServerBuilder {
        self.options.port = port;
        self
    }

    /// Lets requests fail by this plan.
    pub fn faults(mut self, plan: FaultPlan) -> ServerBuilder {
        self.options.faults = plan;
        self
    }

    /// Gives the principal these permissions in place of all.
    pub fn rights(mut self, rights: PermissionSet) -> ServerBuilder {
        self.options.rights = rights;
        self
    }

    /// Protects a bucket.
    pub fn protect(mut self, bucket: &str, protection: BucketProtection) -> ServerBuilder {
        self.options.buckets.insert(bucket.to_owned(), protection);
        self
    }

    /// Sets the lifetime of session tokens in place of one hour: whole seconds, at least one.
    pub fn token_ttl(mut self, ttl: Duration) -> ServerBuilder {
        self.options.token_ttl = ttl;
        self
    }

    /// Leaves out the services of pods, resources and outside identities, with their port and files.
    pub fn without_principals(mut self) -> ServerBuilder {
        self.options.principals = false;
        self
    }

    /// Changes any other option.
    #[doc(hidden)]
    pub fn options(mut self, change: impl FnOnce(&mut ServerOptions)) -> ServerBuilder {
        change(&mut self.options);
        self
    }

    /// Starts the server on the current tokio runtime; it accepts connections when this returns.
    ///
    /// # Errors
    ///
    /// Fails if the port is in use, the folder cannot be written, or a file in it is damaged.
    pub async fn start(self) -> io::Result<Server> {
        start(self.options).await
    }
}
