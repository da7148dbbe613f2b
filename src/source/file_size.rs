//! Whether the size of a file is the length of its content.
//!
//! Owns the list of file systems whose sizes are unrelated to the content. Must not read the file.
//! Invariant: a size is ignored only where the file system generates the content while it is read,
//! so that the early end of any other file is noticed.

use std::os::fd::OwnedFd;

use rustix::fs::Stat;

/// File systems (by the magic number of `statfs`) that generate content while it is read, and whose
/// sizes are 0 or a page: /proc, /sys and the mounts below them.
#[cfg(target_os = "linux")]
const GENERATED: [(u32, &str); 12] = [
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
/// Some FUSE file systems generate content too; their files then have size 0.
#[cfg(target_os = "linux")]
const FUSE: u32 = 0x6573_5546;

/// Whether a file has as many bytes as its size. Any other file is read to its end.
#[cfg(target_os = "linux")]
pub(super) fn is_reliable(file: &OwnedFd, size: u64) -> bool {
    // A size counts where the file system cannot be determined.
    let Ok(file_system) = rustix::fs::fstatfs(file) else { return true };
    let magic = file_system.f_type as u32;
    !GENERATED.iter().any(|(generated, _)| *generated == magic) && (magic != FUSE || size > 0)
}

#[cfg(not(target_os = "linux"))]
pub(super) fn is_reliable(_file: &OwnedFd, size: u64) -> bool {
    size > 0
}

/// When a file was last written to, in seconds and nanoseconds.
#[allow(clippy::unnecessary_cast)] // The types differ between systems.
pub(super) fn mtime(stat: &Stat) -> (i64, i64) {
    (stat.st_mtime as i64, stat.st_mtime_nsec as i64)
}
