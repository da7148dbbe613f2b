//! A small file for other programs that is replaced as a whole: its readers see the former text or the
//! new one.
//!
//! Owns the temporary file and the rename. Must not know what the text means. Invariants: no link at the
//! path is followed, nothing but a regular file is opened for long or replaced, and the new file has the mode
//! 0644 whatever the umask.

use std::ffi::OsStr;
use std::fs::File;
use std::io::{self, Read, Write};
use std::os::fd::OwnedFd;
use std::path::Path;
use std::time::Duration;

use rustix::fs::{AtFlags, CWD, FileType, FlockOperation, Mode, OFlags};
use rustix::io::Errno;

/// Bytes of the former file; a longer one is refused.
const MAX_SIZE: u64 = 64 * 1024;
/// For how long another process may hold the folder before the file is replaced all the same.
const LOCK_ATTEMPTS: u32 = 20;
const LOCK_PAUSE: Duration = Duration::from_millis(50);

/// Replaces the file by what `update` makes of its former text, which is empty where there is no file. Two
/// processes that do so at the same time follow each other. Fails with the reason where the file, its folder
/// or its text is refused; the former file is unchanged then.
pub(crate) fn replace(
    path: &Path,
    update: impl FnOnce(&str) -> Result<String, &'static str>,
) -> Result<(), String> {
    let name = path.file_name().ok_or("the path has no file name")?;
    let parent = path.parent().filter(|parent| !parent.as_os_str().is_empty());
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
    let folder = rustix::fs::openat(CWD, parent.unwrap_or(Path::new(".")), flags, Mode::empty())
        .map_err(|error| format!("its folder: {}", io::Error::from(error)))?;
    lock(&folder);
    let text = update(&read(&folder, name)?)?;
    write(&folder, name, &text).map_err(|error| error.to_string())
}

/// Locks the folder until it is closed, if no other process does for longer than 1 s.
fn lock(folder: &OwnedFd) {
    for _ in 0..LOCK_ATTEMPTS {
        match rustix::fs::flock(folder, FlockOperation::NonBlockingLockExclusive) {
            Err(Errno::WOULDBLOCK) => std::thread::sleep(LOCK_PAUSE),
            // File systems without locks exist.
            Ok(()) | Err(_) => return,
        }
    }
}

fn read(folder: &OwnedFd, name: &OsStr) -> Result<String, String> {
    let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::NOCTTY;
    let file = match rustix::fs::openat(folder, name, flags | OFlags::CLOEXEC, Mode::empty()) {
        Ok(file) => file,
        Err(Errno::NOENT) => return Ok(String::new()),
        Err(Errno::LOOP) => return Err("it is a link".to_owned()),
        Err(error) => return Err(io::Error::from(error).to_string()),
    };
    let stat = rustix::fs::fstat(&file).map_err(|error| io::Error::from(error).to_string())?;
    if FileType::from_raw_mode(stat.st_mode) != FileType::RegularFile {
        return Err("it is no regular file".to_owned());
    }
    let mut bytes = Vec::new();
    let mut file = File::from(file).take(MAX_SIZE + 1);
    file.read_to_end(&mut bytes).map_err(|error| error.to_string())?;
    if bytes.len() as u64 > MAX_SIZE {
        return Err(format!("it is longer than {} KiB", MAX_SIZE / 1024));
    }
    String::from_utf8(bytes).map_err(|_| "it is not UTF-8 text".to_owned())
}

fn write(folder: &OwnedFd, name: &OsStr, text: &str) -> io::Result<()> {
    let temporary = format!(".ocipipe-{}-{:016x}.tmp", std::process::id(), fastrand::u64(..));
    let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let file = rustix::fs::openat(folder, &*temporary, flags, Mode::RUSR | Mode::WUSR)?;
    let mut file = File::from(file);
    let written = (|| {
        file.write_all(text.as_bytes())?;
        rustix::fs::fchmod(&file, Mode::RUSR | Mode::WUSR | Mode::RGRP | Mode::ROTH)?;
        file.sync_data()?;
        Ok(rustix::fs::renameat(folder, &*temporary, folder, name)?)
    })();
    if written.is_err() {
        // The error of the write matters more than one of this.
        let _ = rustix::fs::unlinkat(folder, &*temporary, AtFlags::empty());
    }
    written
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::{MetadataExt, PermissionsExt, symlink};

    use super::*;

    fn names(folder: &Path) -> Vec<String> {
        let entries = std::fs::read_dir(folder).unwrap();
        let mut names: Vec<String> =
            entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
        names.sort();
        names
    }

    #[test]
    fn a_file_is_replaced_as_a_whole_and_readable_for_all() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("f.prom");
        for (former, text) in [("", "one"), ("one", "two\n")] {
            replace(&path, |seen| {
                assert_eq!(seen, former);
                Ok(text.to_owned())
            })
            .unwrap();
            assert_eq!(std::fs::read_to_string(&path).unwrap(), text);
            assert_eq!(path.metadata().unwrap().permissions().mode() & 0o7777, 0o644);
        }
        let open = File::open(&path).unwrap();
        replace(&path, |_| Ok("three".to_owned())).unwrap();
        assert_ne!(open.metadata().unwrap().ino(), path.metadata().unwrap().ino());
        assert_eq!(names(folder.path()), ["f.prom"]);
    }

    #[test]
    fn a_former_file_has_at_most_64_kib() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("f.prom");
        let longest = "x".repeat(64 << 10);
        std::fs::write(&path, &longest).unwrap();
        replace(&path, |former| Ok(format!("{former}y"))).unwrap();
        assert_eq!(std::fs::read_to_string(&path).unwrap(), longest + "y");
        assert!(replace(&path, |_| Ok(String::new())).unwrap_err().contains("longer than 64 KiB"));
    }

    #[test]
    fn a_refused_text_changes_nothing() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("f.prom");
        std::fs::write(&path, "foreign").unwrap();
        assert_eq!(replace(&path, |_| Err("not ours")), Err("not ours".to_owned()));
        assert_eq!(std::fs::read_to_string(&path).unwrap(), "foreign");
        assert_eq!(names(folder.path()), ["f.prom"]);
    }

    #[test]
    fn links_devices_pipes_folders_and_long_files_are_left_alone() {
        let folder = tempfile::tempdir().unwrap();
        let at = |name: &str| folder.path().join(name);
        std::fs::write(at("target"), "kept").unwrap();
        symlink(at("target"), at("link")).unwrap();
        symlink(at("missing"), at("dangling")).unwrap();
        std::fs::create_dir(at("folder")).unwrap();
        std::fs::write(at("long"), vec![b'x'; 65537]).unwrap();
        std::fs::write(at("bytes"), b"\xff").unwrap();
        let fifo = std::process::Command::new("mkfifo").arg(at("pipe")).status().unwrap();
        assert!(fifo.success());
        let before = names(folder.path());
        for (path, reason) in [
            (at("link"), "it is a link"),
            (at("dangling"), "it is a link"),
            (at("folder"), "it is no regular file"),
            (at("pipe"), "it is no regular file"),
            ("/dev/null".into(), "it is no regular file"),
            (at("long"), "it is longer than 64 KiB"),
            (at("bytes"), "it is not UTF-8 text"),
            ("/".into(), "the path has no file name"),
            (at("none").join("f"), "its folder: No such file or directory (os error 2)"),
        ] {
            let result = replace(&path, |_| Ok("new".to_owned()));
            assert_eq!(result, Err(reason.to_owned()), "{}", path.display());
        }
        assert_eq!(names(folder.path()), before);
        assert_eq!(std::fs::read_to_string(at("target")).unwrap(), "kept");
        assert!(!at("missing").exists());
    }

    #[test]
    fn runs_that_end_together_follow_each_other() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("count");
        std::thread::scope(|scope| {
            for _ in 0..8 {
                scope.spawn(|| {
                    replace(&path, |seen| {
                        let count: u32 = seen.parse().unwrap_or(0);
                        Ok((count + 1).to_string())
                    })
                    .unwrap();
                });
            }
        });
        assert_eq!(std::fs::read_to_string(&path).unwrap(), "8");
    }
}
