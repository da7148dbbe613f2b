//! The temporary folder of one run of `put --local`: `DIR/.ocipipe/run-...`.
//!
//! Owns its creation, its lock and its removal; knows nothing of its content. Invariant: a folder
//! is removed by the run that created it or, if that run was killed, by a later run that can take
//! its lock, and never while it is in use.

use super::confined_path::RESERVED_DIR;
use rustix::fs::{FlockOperation, Mode, OFlags};
use rustix::io::Errno;
use std::fs;
use std::io;
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};

/// The folder of one run, which is removed when this value is dropped.
#[derive(Debug)]
pub(crate) struct RunDir {
    path: PathBuf,
    /// `DIR/.ocipipe`.
    parent: PathBuf,
    /// The exclusive lock on the folder shows other runs that it is in use.
    _lock: OwnedFd,
}

impl RunDir {
    /// Creates the folder below `dir`, and `dir` if it does not exist. Fails if the system refuses
    /// that, or if `DIR/.ocipipe` is not a folder.
    pub(crate) fn create(dir: &Path) -> io::Result<RunDir> {
        fs::create_dir_all(dir)?;
        let dir = dir.canonicalize()?;
        let parent = dir.join(RESERVED_DIR);
        // Another run that ends may remove the common folder between two steps.
        for _ in 0..100 {
            match RunDir::try_create(&dir, &parent) {
                Err(error) if error.kind() == io::ErrorKind::NotFound => {}
                done => return done,
            }
        }
        Err(io::Error::other(format!("{} keeps disappearing", parent.display())))
    }

    fn try_create(dir: &Path, parent: &Path) -> io::Result<RunDir> {
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let root = rustix::fs::open(dir, flags, Mode::empty())?;
        let private = Mode::from_bits_truncate(0o700);
        match rustix::fs::mkdirat(&root, RESERVED_DIR, private) {
            Ok(()) | Err(Errno::EXIST) => {}
            Err(error) => return Err(error.into()),
        }
        let common =
            rustix::fs::openat(&root, RESERVED_DIR, flags | OFlags::NOFOLLOW, Mode::empty())
                .map_err(|error| match error {
                    Errno::LOOP | Errno::NOTDIR => {
                        io::Error::other(format!("{} is not a folder", parent.display()))
                    }
                    error => error.into(),
                })?;
        // Under this lock no other run creates or removes a folder.
        rustix::fs::flock(&common, FlockOperation::LockExclusive)?;
        remove_abandoned(&common, parent)?;
        let name = format!("run-{}-{:08x}", std::process::id(), fastrand::u32(..));
        rustix::fs::mkdirat(&common, &*name, private)?;
        let lock = rustix::fs::openat(&common, &*name, flags | OFlags::NOFOLLOW, Mode::empty())?;
        rustix::fs::flock(&lock, FlockOperation::NonBlockingLockExclusive)?;
        Ok(RunDir { path: parent.join(name), parent: parent.to_owned(), _lock: lock })
    }

    pub(crate) fn path(&self) -> &Path {
        &self.path
    }
}

impl Drop for RunDir {
    fn drop(&mut self) {
        // A later run removes what cannot be removed now.
        let _ = fs::remove_dir_all(&self.path);
        let _ = fs::remove_dir(&self.parent);
    }
}

/// Removes the folders of runs that were killed.
fn remove_abandoned(common: &OwnedFd, parent: &Path) -> io::Result<()> {
    for entry in rustix::fs::Dir::read_from(common)? {
        let entry = entry?;
        let Some(name) = entry.file_name().to_str().ok().filter(|name| name.starts_with("run-"))
        else {
            continue;
        };
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        // Only folders are created here, so anything else is left alone.
        let Ok(folder) = rustix::fs::openat(common, name, flags, Mode::empty()) else { continue };
        if rustix::fs::flock(&folder, FlockOperation::NonBlockingLockExclusive).is_ok() {
            let _ = fs::remove_dir_all(parent.join(name));
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_run_removes_its_folder_and_those_of_killed_runs_only() {
        let dir = tempfile::tempdir().unwrap();
        let target = dir.path().join("new/target");
        let first = RunDir::create(&target).unwrap();
        let dead = target.join(RESERVED_DIR).join("run-1-dead");
        fs::create_dir(&dead).unwrap();
        let second = RunDir::create(&target).unwrap();
        assert!(first.path().is_dir() && second.path().is_dir() && !dead.exists());
        drop(first);
        drop(second);
        assert_eq!(fs::read_dir(&target).unwrap().count(), 0);
    }

    #[test]
    fn runs_that_begin_while_others_end_get_a_folder_of_their_own() {
        let dir = tempfile::tempdir().unwrap();
        std::thread::scope(|scope| {
            for _ in 0..4 {
                scope.spawn(|| {
                    for _ in 0..300 {
                        assert!(RunDir::create(dir.path()).unwrap().path().is_dir());
                    }
                });
            }
        });
        assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 0);
    }

    #[test]
    fn a_link_in_place_of_the_reserved_folder_is_refused() {
        let dir = tempfile::tempdir().unwrap();
        let elsewhere = tempfile::tempdir().unwrap();
        std::os::unix::fs::symlink(elsewhere.path(), dir.path().join(RESERVED_DIR)).unwrap();
        let error = RunDir::create(dir.path()).map(drop).unwrap_err().to_string();
        assert!(error.ends_with(".ocipipe is not a folder"), "{error}");
        assert_eq!(fs::read_dir(elsewhere.path()).unwrap().count(), 0);
    }
}
