//! The pre-authenticated requests of a server and the uploads that were begun through them.
//!
//! Owns the file `pars.json` of the state folder. Invariant: a secret allows a request only while its
//! pre-authenticated request exists and has not expired on the server's clock, and what the file
//! holds is what is in memory.

use super::super::operation::Operation;
use super::super::par_secret::{SecretHash, new_secret};
use super::super::response::ErrorResponse;
use super::super::route::Target;
use super::super::state_dir::{read_if_exists, write_private};
use super::access::ParRecord;
use super::options::{ParConditions, ParOptions, SlashForm};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard, PoisonError};

/// The file of the state folder.
const FILE: &str = "pars.json";

/// The pre-authenticated requests of a server.
pub(crate) struct ParRegistry {
    path: PathBuf,
    state: Mutex<ParState>,
}

struct ParState {
    options: ParOptions,
    stored: StoredPars,
}

/// What is in the file.
#[derive(Debug, Default, Clone, Serialize, Deserialize)]
struct StoredPars {
    /// In the order of their creation.
    pars: Vec<ParRecord>,
    /// The uploads that they began, by the hash of the secret in the upload's URL.
    uploads: BTreeMap<SecretHash, ParUpload>,
}

/// An upload that was begun through a pre-authenticated request, which is kept because the upload
/// may outlive it.
#[derive(Debug, Clone, Serialize, Deserialize)]
struct ParUpload {
    par: ParRecord,
    upload: String,
    object: String,
    /// Whether it was committed or aborted.
    #[serde(default)]
    ended: bool,
}

impl ParRegistry {
    /// Reads the file of the state folder; uploads for which `is_open` does not hold are dropped.
    /// Fails if the file cannot be read or parsed.
    pub(crate) fn open(
        dir: &Path,
        options: ParOptions,
        is_open: impl Fn(&str) -> bool,
    ) -> io::Result<ParRegistry> {
        let path = dir.join(FILE);
        let mut stored: StoredPars = match read_if_exists(&path)? {
            Some(bytes) => serde_json::from_slice(&bytes)?,
            None => StoredPars::default(),
        };
        stored.uploads.retain(|_, upload| is_open(&upload.upload));
        Ok(ParRegistry { path, state: Mutex::new(ParState { options, stored }) })
    }

    fn state(&self) -> MutexGuard<'_, ParState> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Changes what is stored, in the file first; fails if the file cannot be written.
    fn store<T>(&self, change: impl FnOnce(&mut StoredPars) -> T) -> io::Result<T> {
        let mut state = self.state();
        let mut stored = state.stored.clone();
        let done = change(&mut stored);
        write_private(&self.path, &serde_json::to_vec(&stored)?)?;
        state.stored = stored;
        Ok(done)
    }

    pub(crate) fn options(&self) -> ParOptions {
        self.state().options
    }

    pub(crate) fn set_options(&self, options: ParOptions) {
        self.state().options = options;
    }

    /// Adds a pre-authenticated request, sets its id and the hash of its secret, and returns it with
    /// the secret. Fails if the file cannot be written.
    pub(crate) fn add(&self, mut record: ParRecord) -> io::Result<(ParRecord, String)> {
        let secret = new_secret()?;
        record.secret = SecretHash::of(&secret);
        record.id = new_id(&record)?;
        let added = record.clone();
        self.store(|stored| stored.pars.push(added))?;
        Ok((record, secret))
    }

    /// Deletes the pre-authenticated requests for which `chosen` holds, and returns how many there
    /// were. Fails if the file cannot be written.
    pub(crate) fn delete(&self, chosen: impl Fn(&ParRecord) -> bool) -> io::Result<usize> {
        self.store(|stored| {
            let before = stored.pars.len();
            stored.pars.retain(|par| !chosen(par));
            before - stored.pars.len()
        })
    }

    /// The pre-authenticated requests of a bucket, in the order of their creation.
    pub(crate) fn list(&self, bucket: &str) -> Vec<ParRecord> {
        let state = self.state();
        state.stored.pars.iter().filter(|par| par.bucket == bucket).cloned().collect()
    }

    /// Registers an upload that was begun through this pre-authenticated request, and returns the
    /// secret of its URL. Fails if the file cannot be written.
    pub(crate) fn add_upload(
        &self,
        par: &ParRecord,
        upload: &str,
        object: &str,
    ) -> io::Result<String> {
        let secret = new_secret()?;
        let new = ParUpload {
            par: par.clone(),
            upload: upload.to_owned(),
            object: object.to_owned(),
            ended: false,
        };
        self.store(|stored| stored.uploads.insert(SecretHash::of(&secret), new))?;
        Ok(secret)
    }

    /// Notes that an upload was committed or aborted. Fails if the file cannot be written.
    pub(crate) fn end_upload(&self, upload: &str) -> io::Result<()> {
        self.store(|stored| {
            for found in stored.uploads.values_mut().filter(|found| found.upload == upload) {
                found.ended = true;
            }
        })
    }

    /// The pre-authenticated request that allows a request at this time (milliseconds since 1970).
    /// Fails with the response to an invalid secret, or to what is not allowed.
    pub(crate) fn authorize(&self, target: &Target, now: u64) -> Result<ParRecord, ErrorResponse> {
        let state = self.state();
        let ParState { options, stored } = &*state;
        let invalid = || options.invalid.response(&target.bucket);
        let used = target.par.as_ref().ok_or_else(invalid)?;
        let lives = |par: &ParRecord| {
            let exists = stored.pars.iter().any(|known| known.id == par.id);
            exists && now < par.expires
        };
        let par = if used.names_upload {
            let upload = stored.uploads.get(&used.secret).ok_or_else(invalid)?;
            let id = target.query.value("uploadId").unwrap_or_default();
            let named = upload.upload == id && upload.object == target.object;
            let known = !(upload.ended && options.forget_ended_uploads);
            if !named || !known || !(options.uploads_outlive || lives(&upload.par)) {
                return Err(invalid());
            }
            &upload.par
        } else {
            let found = stored.pars.iter().find(|par| par.secret == used.secret);
            found.filter(|par| lives(par)).ok_or_else(invalid)?
        };
        let slashes = match options.slashes {
            SlashForm::Both => true,
            SlashForm::Raw => !used.encoded_slash,
            SlashForm::Encoded => !used.raw_slash,
        };
        let allowed = par.allows(target.operation, &target.bucket, &target.object, options);
        if slashes && allowed {
            return Ok(par.clone());
        }
        Err(options.not_allowed.response(&target.bucket))
    }

    /// Whether an operation evaluates preconditions.
    pub(crate) fn evaluates_conditions(&self, operation: Operation) -> bool {
        match self.options().conditions {
            ParConditions::Honoured => true,
            ParConditions::NotAtCommit => operation != Operation::CommitMultipartUpload,
            ParConditions::Ignored => false,
        }
    }
}

/// A new id. The service's ids are base64 with a `/` and, for one object, end in its name.
fn new_id(record: &ParRecord) -> io::Result<String> {
    let random = STANDARD.encode(new_secret()?);
    let (start, end) = random.split_at(12);
    let name = record.object_name.as_deref().filter(|_| record.access.is_for_one_object());
    Ok(match name {
        Some(name) => format!("{start}/{end}=:{name}"),
        None => format!("{start}/{end}="),
    })
}

#[cfg(test)]
mod tests {
    use super::super::super::route::route;
    use super::super::access::AccessType;
    use super::*;

    fn record(access: AccessType, object: &str) -> ParRecord {
        ParRecord {
            id: String::new(),
            name: "n".to_owned(),
            bucket: "demo".to_owned(),
            object_name: Some(object.to_owned()),
            access,
            listing: None,
            created: 0,
            expires: 1_000,
            secret: SecretHash::of(""),
        }
    }

    fn put(secret: &str, name: &str) -> Target {
        route("PUT", &format!("/p/{secret}/n/axlocalstore/b/demo/o/{name}")).unwrap()
    }

    #[test]
    fn a_secret_is_valid_until_its_expiry_or_its_deletion_and_survives_a_restart() {
        let dir = tempfile::tempdir().unwrap();
        let open = || ParRegistry::open(dir.path(), ParOptions::default(), |_| true).unwrap();
        let (par, secret) = open().add(record(AccessType::ObjectWrite, "x")).unwrap();
        assert!(par.id.contains('/') && par.id.ends_with(":x"));
        let registry = open();
        let status = |target: &Target, now| {
            registry.authorize(target, now).map(drop).map_err(|error| error.status)
        };
        assert_eq!(status(&put(&secret, "x"), 999), Ok(()));
        assert_eq!(status(&put(&secret, "x"), 1_000), Err(401));
        assert_eq!(status(&put(&secret, "y"), 0), Err(404));
        assert_eq!(status(&put("wrong", "x"), 0), Err(401));
        let text = std::fs::read_to_string(dir.path().join(FILE)).unwrap();
        assert!(!text.contains(&secret));
        assert_eq!(registry.delete(|known| known.id == par.id).unwrap(), 1);
        assert_eq!(status(&put(&secret, "x"), 0), Err(401));
    }

    #[test]
    fn an_upload_ends_with_its_par_unless_the_setting_lets_it_outlive_it() {
        let dir = tempfile::tempdir().unwrap();
        let registry = ParRegistry::open(dir.path(), ParOptions::default(), |_| true).unwrap();
        let (par, _) = registry.add(record(AccessType::AnyObjectWrite, "a/")).unwrap();
        let secret = registry.add_upload(&par, "u-1", "a/x").unwrap();
        let part = |id: &str, name: &str| {
            let path = format!("/p/{secret}/n/axlocalstore/b/demo/u/{name}/id/{id}/3");
            registry.authorize(&route("PUT", &path).unwrap(), 0).map(drop).map_err(|e| e.status)
        };
        assert_eq!(part("u-1", "a%2Fx"), Ok(()));
        assert_eq!(part("u-1", "a/x"), Ok(()));
        assert_eq!(part("u-2", "a/x"), Err(401));
        assert_eq!(part("u-1", "a/y"), Err(401));
        registry.delete(|_| true).unwrap();
        assert_eq!(part("u-1", "a/x"), Err(401));
        let outlive = ParOptions { uploads_outlive: true, ..ParOptions::default() };
        registry.set_options(outlive);
        assert_eq!(part("u-1", "a/x"), Ok(()));
        registry.end_upload("u-1").unwrap();
        assert_eq!(part("u-1", "a/x"), Ok(()));
        registry.set_options(ParOptions { forget_ended_uploads: true, ..outlive });
        assert_eq!(part("u-1", "a/x"), Err(401));
    }

    #[test]
    fn slashes_can_be_required_in_one_form() {
        let dir = tempfile::tempdir().unwrap();
        let registry = ParRegistry::open(dir.path(), ParOptions::default(), |_| true).unwrap();
        let (_, secret) = registry.add(record(AccessType::AnyObjectWrite, "")).unwrap();
        for (slashes, raw, encoded) in [
            (SlashForm::Both, true, true),
            (SlashForm::Raw, true, false),
            (SlashForm::Encoded, false, true),
        ] {
            registry.set_options(ParOptions { slashes, ..ParOptions::default() });
            let allows = |name| registry.authorize(&put(&secret, name), 0).is_ok();
            assert_eq!((allows("a/b"), allows("a%2fb"), allows("ab")), (raw, encoded, true));
        }
    }
}
