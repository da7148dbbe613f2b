//! Puts a renewed token back in its file, and keeps other processes of ours from doing the same
//! at once.
//!
//! Touches the token file and its folder only. Must not decide when. Invariants: the file holds a
//! whole token at every moment, readable by its owner alone, and never one that ends earlier than
//! the one it held.

use std::fs::{self, File, OpenOptions};
use std::io::Write;
use std::os::unix::fs::{MetadataExt, OpenOptionsExt, fchown};
use std::path::{Path, PathBuf};

use super::credential_files::{self, KeyAndToken};
use crate::auth::profile::Identity;
use proto::token::Token;

/// What became of a new token.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum WriteBack {
    Written,
    /// Another process was faster: what the files hold now is to be taken up.
    Superseded,
    /// It could not be written, and why.
    Failed(String),
}

/// An advisory lock beside the token; dropping it unlocks.
pub(super) struct TokenFileLock {
    _file: Option<File>,
}

impl TokenFileLock {
    /// Takes the lock; `None` while another process has it. Where there can be no lock (a folder
    /// that may not be written, a file system without locks) there is nothing to wait for.
    pub(super) fn try_acquire(token_file: &Path) -> Option<TokenFileLock> {
        let mut name = resolved(token_file).into_os_string();
        name.push(".lock");
        let file = OpenOptions::new()
            .create(true)
            .truncate(false)
            .write(true)
            .mode(0o600)
            .open(PathBuf::from(name));
        let Ok(file) = file else { return Some(TokenFileLock { _file: None }) };
        match file.try_lock() {
            Ok(()) => Some(TokenFileLock { _file: Some(file) }),
            Err(fs::TryLockError::WouldBlock) => None,
            Err(fs::TryLockError::Error(_)) => Some(TokenFileLock { _file: None }),
        }
    }
}

/// Replaces the token that `before` was read with by a new one.
pub(super) fn write_back(
    identity: &Identity,
    token_file: &Path,
    before: &KeyAndToken,
    token: &Token,
) -> WriteBack {
    // Replacing a symlink itself would cut off whoever rotates its target.
    let target = resolved(token_file);
    match credential_files::read(identity, Some(before)) {
        Ok(theirs) if theirs.same(before) => {}
        Ok(theirs) => {
            let expires = theirs.token.as_ref().map_or(0, |theirs| theirs.expires);
            if !theirs.same_key(before) || expires >= token.expires {
                return WriteBack::Superseded;
            }
        }
        // A login is being written, or the file is a ruin. Whoever writes it comes first.
        Err(_) => return WriteBack::Superseded,
    }
    match replace(&target, token) {
        Ok(()) => WriteBack::Written,
        // Not the error itself, which names a file that differs each time.
        Err(error) => {
            WriteBack::Failed(format!("{} cannot be replaced: {}", target.display(), error.kind()))
        }
    }
}

fn replace(target: &Path, token: &Token) -> std::io::Result<()> {
    // A file that may not be written is not to be replaced either, though its folder would allow it.
    rustix::fs::access(target, rustix::fs::Access::WRITE_OK)?;
    let folder = target.parent().filter(|folder| !folder.as_os_str().is_empty());
    let mut fresh =
        tempfile::Builder::new().prefix(".token-").tempfile_in(folder.unwrap_or(Path::new(".")))?;
    fresh.write_all(token.secret().as_bytes())?;
    // A file of another user stays theirs, or they could no longer read it.
    let (old, new) = (fs::metadata(target)?, fresh.as_file().metadata()?);
    if (old.uid(), old.gid()) != (new.uid(), new.gid()) {
        fchown(fresh.as_file(), Some(old.uid()), Some(old.gid()))?;
    }
    fresh.as_file().sync_all()?;
    fresh.persist(target)?;
    Ok(())
}

fn resolved(path: &Path) -> PathBuf {
    fs::canonicalize(path).unwrap_or_else(|_| path.to_owned())
}
