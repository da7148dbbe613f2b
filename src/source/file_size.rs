//! Whether the size that a file has is how long it is.
//!
//! Owns the file systems whose sizes say nothing. Reads nothing. Invariant: a size is doubted only where
//! the system makes the content up while it is read, so that no other file can end early unnoticed.

use std::os::fd::OwnedFd;

use rustix::fs::Stat;

/// Of these (`statfs` calls them by magic numbers) the content is made up while it is read, and the size
/// is 0 or that of a page: /proc, /sys and what is mounted below them.
#[cfg(target_os = "linux")]
const MADE_UP: [(u32, &str); 12] = [
    (0x9fa0, "proc"),
    (0x6265_6572, "sysfs"),
    (0x6462_6720, "debugfs"),
    (0x7472_6163, "tracefs"),
    (0x7363_6673, "securityfs"),
    (0x6265_6570, "configfs"),
    (0x0027_e0eb, "cgroup"),
    (0x6367_7270, "cgroup2"),
    (0xcafe_4a11, "bpf"),
    (0x6165_676c, "pstore"),
    (0xf97c_ff8c, "selinuxfs"),
    (0x4249_4e4d, "binfmt_misc"),
];
/// Some of its file systems make content up as well; theirs has no size then.
#[cfg(target_os = "linux")]
const FUSE: u32 = 0x6573_5546;

/// Whether a file ends where its size says. One that is not is read to its end.
#[cfg(target_os = "linux")]
pub(super) fn is_true(file: &OwnedFd, size: u64) -> bool {
    // Where it cannot be told, what a file says of itself is believed.
    let Ok(system) = rustix::fs::fstatfs(file) else { return true };
    let magic = system.f_type as u32;
    !MADE_UP.iter().any(|(made_up, _)| *made_up == magic) && (magic != FUSE || size > 0)
}

#[cfg(not(target_os = "linux"))]
pub(super) fn is_true(_file: &OwnedFd, size: u64) -> bool {
    size > 0
}

/// When a file was last written to.
#[allow(clippy::unnecessary_cast)] // The types differ between systems.
pub(super) fn last_written(stat: &Stat) -> (i64, i64) {
    (stat.st_mtime as i64, stat.st_mtime_nsec as i64)
}
