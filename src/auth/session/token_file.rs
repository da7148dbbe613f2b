//! Writes a refreshed token back to its file, under a lock that other ocipipe processes respect.
//!
//! Owns every write of a refreshed token. Must not decide when to write. Invariants:
//! the file holds a complete token at every moment, readable by its owner only, and never one that
//! expires earlier than the token it replaces.

use std::fs::{self, File, OpenOptions};
use std::io::Write;
use std::os::unix::fs::{MetadataExt, OpenOptionsExt, fchown};
use std::path::{Path, PathBuf};

use rustix::fs::OFlags;

use super::credential_files;
use super::key_and_token::KeyAndToken;
use crate::auth::profile::Identity;
use proto::token::Token;

/// The result of writing a token back.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum WriteBack {
    Written,
    /// Another process has changed the files: read them again.
    Superseded,
    /// The token could not be written; the text is the reason.
    Failed(String),
}

/// An advisory lock on a file beside the token file; dropping it unlocks.
pub(super) struct TokenFileLock {
    _file: Option<File>,
}

impl TokenFileLock {
    /// Takes the lock; `None` while another process holds it. Succeeds without a lock where none is
    /// possible: in a read-only folder, on a file system without locks, and where a link or a pipe is in
    /// the place of the file, which is not opened: another user may have put it there.
    pub(super) fn try_acquire(token_file: &Path) -> Option<TokenFileLock> {
        let mut name = resolved(token_file).into_os_string();
        name.push(".lock");
        let file = OpenOptions::new()
            .create(true)
            .truncate(false)
            .write(true)
            .mode(0o600)
            .custom_flags((OFlags::NOFOLLOW | OFlags::NONBLOCK).bits().cast_signed())
            .open(PathBuf::from(name));
        let Ok(file) = file else { return Some(TokenFileLock { _file: None }) };
        match file.try_lock() {
            Ok(()) => Some(TokenFileLock { _file: Some(file) }),
            Err(fs::TryLockError::WouldBlock) => None,
            Err(fs::TryLockError::Error(_)) => Some(TokenFileLock { _file: None }),
        }
    }
}

/// Replaces the token of `previous` in the file, unless the file has changed since it was read.
pub(super) fn write_back(
    identity: &Identity,
    token_file: &Path,
    previous: &KeyAndToken,
    token: &Token,
) -> WriteBack {
    // Replaces the target of a symlink: another program may write to that target.
    let target = resolved(token_file);
    match credential_files::read(identity, Some(previous)) {
        Ok(current) if current.same(previous) => {}
        Ok(current) => {
            let expires = current.token.as_ref().map_or(0, |token| token.expires);
            if !current.same_key(previous) || expires >= token.expires {
                return WriteBack::Superseded;
            }
        }
        // The file is being written by a login, or is corrupt: do not overwrite it.
        Err(_) => return WriteBack::Superseded,
    }
    match replace(&target, token) {
        Ok(()) => WriteBack::Written,
        // The error itself names a temporary file, so that its text would differ each time.
        Err(error) => {
            WriteBack::Failed(format!("{} cannot be replaced: {}", target.display(), error.kind()))
        }
    }
}

fn replace(target: &Path, token: &Token) -> std::io::Result<()> {
    // A read-only file is not replaced, even though the permissions of its folder allow it.
    rustix::fs::access(target, rustix::fs::Access::WRITE_OK)?;
    let folder = target.parent().filter(|folder| !folder.as_os_str().is_empty());
    let mut temporary =
        tempfile::Builder::new().prefix(".token-").tempfile_in(folder.unwrap_or(Path::new(".")))?;
    temporary.write_all(token.secret().as_bytes())?;
    // The new file keeps the owner of the old one, so that this user can still read it.
    let (old, new) = (fs::metadata(target)?, temporary.as_file().metadata()?);
    if (old.uid(), old.gid()) != (new.uid(), new.gid()) {
        fchown(temporary.as_file(), Some(old.uid()), Some(old.gid()))?;
    }
    temporary.as_file().sync_all()?;
    temporary.persist(target)?;
    Ok(())
}

fn resolved(path: &Path) -> PathBuf {
    fs::canonicalize(path).unwrap_or_else(|_| path.to_owned())
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;

    use super::*;

    #[test]
    fn a_link_or_a_pipe_in_place_of_the_lock_is_not_opened() {
        let folder = tempfile::tempdir().unwrap();
        let token_file = folder.path().join("token");
        let (lock, target) = (folder.path().join("token.lock"), folder.path().join("target"));
        symlink(&target, &lock).unwrap();
        assert!(TokenFileLock::try_acquire(&token_file).is_some());
        assert!(!target.exists());
        fs::remove_file(&lock).unwrap();
        let made = std::process::Command::new("mkfifo").arg(&lock).status().unwrap();
        assert!(made.success());
        // Opening it to write would wait for a reader.
        assert!(TokenFileLock::try_acquire(&token_file).is_some());
    }

    #[test]
    fn a_second_process_waits_for_the_lock() {
        let folder = tempfile::tempdir().unwrap();
        let token_file = folder.path().join("token");
        let first = TokenFileLock::try_acquire(&token_file).unwrap();
        assert!(TokenFileLock::try_acquire(&token_file).is_none());
        drop(first);
        assert!(TokenFileLock::try_acquire(&token_file).is_some());
    }
}
