//! What tests and `serve` can do with the pre-authenticated requests of a running server.
//!
//! Owns this part of `Server`. Invariant: a URL leaves the server only to the caller that made its
//! pre-authenticated request.

use super::clock;
use super::par::access::{AccessType, ListingAction, ParRecord};
use super::par::options::ParOptions;
use super::par_handlers::access_path;
use super::par_secret::SecretHash;
use super::server::Server;
use super::state_dir::write_private;
use super::store::foreign::store_object;
use std::io;
use std::path::PathBuf;
use std::time::Duration;

/// The file with the URL of a pre-authenticated request, and the name of that request.
const FILE: &str = "par.url";

/// A pre-authenticated request to be created.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewPar {
    /// The name that lists show; no object's name.
    pub name: String,
    /// The bucket that it gives access to.
    pub bucket: String,
    /// The object, or the prefix; `None` for a whole bucket.
    pub object_name: Option<String>,
    /// What it allows.
    pub access: AccessType,
    /// Whether it allows listing.
    pub listing: ListingAction,
    /// The time until it expires.
    pub life: Duration,
}

impl NewPar {
    /// One that may do everything with one object of a bucket for an hour.
    pub fn object(bucket: &str, name: &str) -> NewPar {
        NewPar {
            name: "object".to_owned(),
            bucket: bucket.to_owned(),
            object_name: Some(name.to_owned()),
            access: AccessType::ObjectReadWrite,
            listing: ListingAction::Deny,
            life: Duration::from_secs(3600),
        }
    }

    /// One that may do everything, listing included, with the objects of a bucket for an hour.
    pub fn bucket(bucket: &str) -> NewPar {
        NewPar {
            name: "bucket".to_owned(),
            object_name: None,
            access: AccessType::AnyObjectReadWrite,
            listing: ListingAction::ListObjects,
            ..NewPar::object(bucket, "")
        }
    }

    /// As `bucket`, for the objects whose names begin with the prefix.
    pub fn prefix(bucket: &str, prefix: &str) -> NewPar {
        NewPar { object_name: Some(prefix.to_owned()), ..NewPar::bucket(bucket) }
    }

    /// Sets what it allows.
    pub fn access(mut self, access: AccessType) -> NewPar {
        self.access = access;
        self
    }

    /// Sets how long it is valid, from its creation.
    pub fn life(mut self, life: Duration) -> NewPar {
        self.life = life;
        self
    }
}

/// A pre-authenticated request that was created.
#[derive(Clone, PartialEq, Eq)]
pub struct CreatedPar {
    /// The id by which it is listed and deleted.
    pub id: String,
    /// The URL with its secret; one for a bucket or a prefix ends in `/o/`.
    pub url: String,
    /// When it expires, in RFC 3339.
    pub expires: String,
}

impl std::fmt::Debug for CreatedPar {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let CreatedPar { id, expires, .. } = self;
        f.debug_struct("CreatedPar").field("id", id).field("expires", expires).finish()
    }
}

/// Pre-authenticated requests, and an object of another client.
impl Server {
    /// Creates a pre-authenticated request, with a URL of plain HTTP. Fails if the bucket does not
    /// exist or the state folder cannot be written.
    pub fn create_par(&self, new: NewPar) -> io::Result<CreatedPar> {
        let state = self.state();
        if state.store.bucket(&new.bucket)?.is_none() {
            let message = format!("there is no bucket '{}'", new.bucket);
            return Err(io::Error::new(io::ErrorKind::NotFound, message));
        }
        let now = state.now();
        let life = u64::try_from(new.life.as_millis()).unwrap_or(u64::MAX);
        let record = ParRecord {
            id: String::new(),
            name: new.name,
            bucket: new.bucket,
            object_name: new.object_name,
            access: new.access,
            listing: Some(new.listing),
            created: now,
            expires: now.saturating_add(life),
            secret: SecretHash::of(""),
        };
        let (par, secret) = state.pars.add(record)?;
        let path = access_path(&par, &secret, state.pars.options().slashes);
        let url = format!("{}{path}", self.url());
        Ok(CreatedPar { id: par.id, url, expires: clock::iso(par.expires) })
    }

    /// Creates a pre-authenticated request in place of the one before, and writes its URL and its
    /// expiry to the file `par.url` of the state folder, whose path it returns. Fails if the bucket does
    /// not exist or a file cannot be written.
    #[doc(hidden)]
    pub fn write_par_file(&self, new: NewPar) -> io::Result<PathBuf> {
        let new = NewPar { name: FILE.to_owned(), ..new };
        let created = self.create_par(new)?;
        self.state().pars.delete(|par| par.name == FILE && par.id != created.id)?;
        let path = self.state_path().join(FILE);
        let text = format!("# expires: {}\n{}\n", created.expires, created.url);
        write_private(&path, text.as_bytes())?;
        Ok(path)
    }

    /// Deletes the pre-authenticated requests of a bucket that have this name, or all of the bucket,
    /// and returns how many there were. Fails if the state folder cannot be written.
    pub fn delete_pars(&self, bucket: &str, name: Option<&str>) -> io::Result<usize> {
        let named = |par: &ParRecord| name.is_none_or(|name| par.name == name);
        self.state().pars.delete(|par| par.bucket == bucket && named(par))
    }

    /// Sets how the server treats what the documentation leaves open.
    #[doc(hidden)]
    pub fn set_par_options(&self, options: ParOptions) {
        self.state().pars.set_options(options);
    }

    /// Stores an object as if another client had done so; replaces one of this name. Blocks. Fails if
    /// the bucket does not exist or the disk refuses it.
    pub fn store_object(&self, bucket: &str, name: &str, bytes: &[u8]) -> io::Result<()> {
        let state = self.state();
        let (scratch, now) = (state.uploads.scratch(), state.now());
        store_object(&*state.store, scratch, bucket, name, bytes, now)
            .map(drop)
            .map_err(|error| io::Error::other(error.message))
    }
}
