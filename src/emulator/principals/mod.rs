//! How principals that are no users of the service prove what they are: pods, resources and outside
//! identities, with the files that they find on their host.
//!
//! Owns the services that such a principal asks for a token, and the folders of their files; what a
//! token claims belongs to `auth`. Must not know the server's state or the way of a request.
//! Invariant: each folder has mode 0700 and each file 0600.

pub(crate) mod env_files;
pub(crate) mod identity_domain;
pub(crate) mod oke;
mod options;
pub(crate) mod outside_jwt;
pub(crate) mod resource_exchange;
pub(crate) mod resource_files;
#[cfg(test)]
mod vectors;

use super::auth::{Authenticator, ResourceIdentity};
use super::key_pool;
use super::state_dir::{self, ApiKey};
pub use options::PrincipalOptions;

use env_files::create_private_dir;
use identity_domain::IdentityDomain;
use oke::OkeTokenService;
use outside_jwt::{JwtFile, OutsideIssuer};
use resource_exchange::ResourceExchange;
use resource_files::{FilesAfter, ResourceFiles};
use std::io;
use std::path::Path;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, SystemTime};
use tokio::sync::Notify;

/// How the files of principals are replaced while the server runs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct FileReplacement {
    /// Whether each file is replaced at half the life of the token in it.
    pub automatic: bool,
    /// How long the new token of a resource principal is beside the old key at each automatic
    /// replacement.
    pub torn: Duration,
}

/// The services and files of one server.
pub(crate) struct PrincipalServices {
    pub oke: OkeTokenService,
    pub domain: IdentityDomain,
    pub resource_files: ResourceFiles,
    pub resource_exchange: ResourceExchange,
    replacement: Mutex<FileReplacement>,
    /// Notified when a file was replaced on demand, or a life or the replacement has changed.
    pub changed: Notify,
}

impl PrincipalServices {
    /// Writes the files to folders below `dir` in the form of `options`, and makes the resource
    /// known to `authenticator`. Fails if a file cannot be read or written, or holds no valid key.
    pub(crate) fn open(
        dir: &Path,
        authenticator: &Authenticator,
        options: PrincipalOptions,
        now: SystemTime,
    ) -> io::Result<PrincipalServices> {
        let folder = |name: &str| {
            let path = dir.join(name);
            create_private_dir(&path).map(|()| path)
        };
        let (oke, exchange) = (folder("oke")?, folder("exchange")?);
        let resource = folder("resource_principal")?;
        let open = |path, issuer| {
            let life = Duration::from_secs(options.jwt_life);
            JwtFile::open(path, issuer, life, options.final_newline, now)
        };
        let token = open(oke.join("token"), OutsideIssuer::Cluster)?;
        let subject = open(exchange.join("jwt"), OutsideIssuer::IdentityProvider)?;
        authenticator.set_resource(ResourceIdentity {
            tenancy: state_dir::TENANCY.to_owned(),
            resource: state_dir::RESOURCE.to_owned(),
            key: load_resource_key(&resource.join("resource-key.pem"))?.public,
        });
        let resource_files = ResourceFiles::open(resource, options.form())?;
        resource_files.replace(authenticator, FilesAfter::Complete, now)?;
        Ok(PrincipalServices {
            oke: OkeTokenService::new(token, options.oke_quotes),
            domain: IdentityDomain::open(subject, exchange.join("client-secret"))?,
            resource_files,
            resource_exchange: ResourceExchange::default(),
            replacement: Mutex::new(options.replacement()),
            changed: Notify::new(),
        })
    }

    /// How files are replaced.
    pub(crate) fn replacement(&self) -> FileReplacement {
        *self.replacement.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Sets how files are replaced from now on.
    pub(crate) fn set_replacement(&self, replacement: FileReplacement) {
        *self.replacement.lock().unwrap_or_else(PoisonError::into_inner) = replacement;
        self.changed.notify_waiters();
    }
}

/// The key of the resource of versions 2.1.x: the one in the file, or a new one.
fn load_resource_key(path: &Path) -> io::Result<ApiKey> {
    if let Some(pem) = state_dir::read_if_exists(path)? {
        return ApiKey::from_pem(&String::from_utf8_lossy(&pem));
    }
    let key = key_pool::key(0)?;
    state_dir::write_private(path, key.pem().as_bytes())?;
    Ok(key)
}
