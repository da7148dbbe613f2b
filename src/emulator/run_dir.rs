//! The temporary folder of one run of `put --local`: `DIR/.ocipipe/run-...`.
//!
//! Owns its making, its lock and its end. Invariant: a folder is removed by the run that made it, or,
//! where that run was killed, by a later one that finds its lock free; never while it is in use.

use super::confined_path::RESERVED_DIR;
use rustix::fs::{FlockOperation, Mode, OFlags};
use rustix::io::Errno;
use std::fs;
use std::io;
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};

/// A folder that is there as long as this value.
#[derive(Debug)]
pub struct RunDir {
    path: PathBuf,
    ours: PathBuf,
    /// An exclusive lock on the folder says that its run is alive.
    _lock: OwnedFd,
}

impl RunDir {
    /// Makes the folder below `dir`, which is created if need be.
    pub fn start(dir: &Path) -> io::Result<RunDir> {
        fs::create_dir_all(dir)?;
        let dir = dir.canonicalize()?;
        let ours = dir.join(RESERVED_DIR);
        // Another run that ends may remove the common folder between our steps.
        for _ in 0..100 {
            match RunDir::try_start(&dir, &ours) {
                Err(error) if error.kind() == io::ErrorKind::NotFound => {}
                done => return done,
            }
        }
        Err(io::Error::other(format!("{} keeps disappearing", ours.display())))
    }

    fn try_start(dir: &Path, ours: &Path) -> io::Result<RunDir> {
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
                        io::Error::other(format!("{} is not a folder", ours.display()))
                    }
                    error => error.into(),
                })?;
        // Nobody else makes or sweeps while we do.
        rustix::fs::flock(&common, FlockOperation::LockExclusive)?;
        sweep(&common, ours)?;
        let name = format!("run-{}-{:08x}", std::process::id(), fastrand::u32(..));
        rustix::fs::mkdirat(&common, &*name, private)?;
        let lock = rustix::fs::openat(&common, &*name, flags | OFlags::NOFOLLOW, Mode::empty())?;
        rustix::fs::flock(&lock, FlockOperation::NonBlockingLockExclusive)?;
        Ok(RunDir { path: ours.join(name), ours: ours.to_owned(), _lock: lock })
    }

    pub fn path(&self) -> &Path {
        &self.path
    }
}

impl Drop for RunDir {
    fn drop(&mut self) {
        // What is left, a later run sweeps.
        let _ = fs::remove_dir_all(&self.path);
        let _ = fs::remove_dir(&self.ours);
    }
}

/// Removes the folders of runs that are no more.
fn sweep(common: &OwnedFd, ours: &Path) -> io::Result<()> {
    for entry in rustix::fs::Dir::read_from(common)? {
        let entry = entry?;
        let Some(name) = entry.file_name().to_str().ok().filter(|name| name.starts_with("run-"))
        else {
            continue;
        };
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        // What is no folder is not ours, whatever its name.
        let Ok(folder) = rustix::fs::openat(common, name, flags, Mode::empty()) else { continue };
        if rustix::fs::flock(&folder, FlockOperation::NonBlockingLockExclusive).is_ok() {
            let _ = fs::remove_dir_all(ours.join(name));
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_run_leaves_nothing_behind_and_spares_the_living() {
        let dir = tempfile::tempdir().unwrap();
        let target = dir.path().join("new/target");
        let first = RunDir::start(&target).unwrap();
        let dead = target.join(RESERVED_DIR).join("run-1-dead");
        fs::create_dir(&dead).unwrap();
        let second = RunDir::start(&target).unwrap();
        assert!(first.path().is_dir() && second.path().is_dir() && !dead.exists());
        drop(first);
        drop(second);
        assert_eq!(fs::read_dir(&target).unwrap().count(), 0);
    }

    #[test]
    fn a_link_in_the_place_of_our_folder_is_refused() {
        let dir = tempfile::tempdir().unwrap();
        let elsewhere = tempfile::tempdir().unwrap();
        std::os::unix::fs::symlink(elsewhere.path(), dir.path().join(RESERVED_DIR)).unwrap();
        assert!(RunDir::start(dir.path()).is_err());
        assert_eq!(fs::read_dir(elsewhere.path()).unwrap().count(), 0);
    }
}
