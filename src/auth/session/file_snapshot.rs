//! The stamps of the files that hold credentials, which show a change without a read.
//!
//! Owns the list of these files for each mode. Must not read one. Invariant: the files of a snapshot are
//! those of the credentials, always in the same order.

use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use crate::auth::profile::{
    CredentialSource, Identity, KeySource, PrivateKey, ResourcePrincipal, TextOrFile,
};

/// What `stat` reports of a file. A change of it shows that the file changed, without a read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct FileStamp {
    device: u64,
    inode: u64,
    size: u64,
    modified: (i64, i64),
}

/// The stamps of the files; `None` for a file that does not exist.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct FileSnapshot(Vec<Option<FileStamp>>);

impl FileSnapshot {
    pub(super) fn of(identity: &Identity) -> FileSnapshot {
        let config = identity.config_file.as_deref();
        // The config file names the files of a session, and a login may name others there.
        let is_session = matches!(identity.credentials, CredentialSource::SecurityToken { .. });
        let config = config.filter(|_| is_session);
        FileSnapshot(watched(&identity.credentials).into_iter().chain(config).map(stamp).collect())
    }

    /// Whether the credentials are in no file.
    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Whether all files were last changed more than 2 s before `now`, so that the next change gets
    /// another modification time.
    pub(super) fn is_stable(&self, now: SystemTime) -> bool {
        /// The coarsest resolution of modification times among file systems (FAT).
        const MTIME_GRANULARITY: Duration = Duration::from_secs(2);
        let now = now.duration_since(UNIX_EPOCH).unwrap_or_default();
        self.0.iter().flatten().all(|stamp| {
            let seconds = u64::try_from(stamp.modified.0).unwrap_or(0);
            Duration::from_secs(seconds) + MTIME_GRANULARITY < now
        })
    }
}

/// The files whose change replaces the credentials.
fn watched(credentials: &CredentialSource) -> Vec<&Path> {
    fn file(value: &TextOrFile) -> Option<&Path> {
        match value {
            TextOrFile::File(path) => Some(path),
            TextOrFile::Text { .. } => None,
        }
    }
    fn key_file(key: &PrivateKey) -> Option<&Path> {
        match &key.source {
            KeySource::File(path) => Some(path),
            KeySource::Content(_) => None,
        }
    }
    match credentials {
        CredentialSource::ApiKey { key, .. } => key_file(key).into_iter().collect(),
        CredentialSource::SecurityToken { key, token_file } => {
            key_file(key).into_iter().chain([token_file.as_path()]).collect()
        }
        CredentialSource::ResourcePrincipal(ResourcePrincipal::TokenAndKey {
            token,
            key,
            passphrase,
        }) => [Some(token), Some(key), passphrase.as_ref()]
            .into_iter()
            .flatten()
            .filter_map(file)
            .collect(),
        CredentialSource::InstanceOboUser { delegation_token_file, .. } => {
            vec![delegation_token_file]
        }
        _ => Vec::new(),
    }
}

fn stamp(path: &Path) -> Option<FileStamp> {
    let metadata = fs::metadata(path).ok()?;
    Some(FileStamp {
        device: metadata.dev(),
        inode: metadata.ino(),
        size: metadata.size(),
        modified: (metadata.mtime(), metadata.mtime_nsec()),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_snapshot_is_stable_once_a_file_system_of_2_s_would_show_the_next_change() {
        let of = |seconds| {
            let stamp =
                FileStamp { device: 1, inode: 1, size: 1, modified: (seconds, 999_999_999) };
            FileSnapshot(vec![None, Some(stamp)])
        };
        let now = UNIX_EPOCH + Duration::from_secs(100);
        assert!(of(97).is_stable(now));
        assert!(!of(98).is_stable(now) && !of(200).is_stable(now));
        assert!(of(98).is_stable(now + Duration::from_nanos(1)));
        let both = FileSnapshot([of(1).0, of(99).0].concat());
        assert!(!both.is_stable(now), "each file counts");
    }
}
