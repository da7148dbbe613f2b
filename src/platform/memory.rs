//! The memory that this process may use.
//!
//! Owns the reading of the machine's size and of the limits on this process: control groups of both
//! versions with all their parents, the limits on data and address space, and the commit limit of a
//! kernel with strict overcommit. Knows nothing of the use of the memory. Invariant: the result is
//! the least of all limits that can be read; one that cannot be read counts as no limit.

use std::path::{Path, PathBuf};

use rustix::process::{Resource, getrlimit};

/// Bytes that the process maps beside its buffers after the start: the stacks of its threads and
/// the heap of its connections. They count under the limits on all that is mapped.
const RESERVED: u64 = 32 << 20;

/// The least of all limits, in bytes; `None` where neither a limit nor the machine's size can be
/// read.
pub(crate) fn available() -> Option<u64> {
    let read = |path: &Path| std::fs::read_to_string(path).ok();
    let status = read(Path::new("/proc/self/status")).unwrap_or_default();
    let rlimits = [(Resource::Data, "VmData:"), (Resource::As, "VmSize:")];
    let rlimits = rlimits.into_iter().filter_map(|(resource, field)| {
        Some(remaining(getrlimit(resource).current?, kilobytes(&status, field)))
    });
    limit_of(read).into_iter().chain(rlimits).min()
}

/// The bytes that a limit on all mapped memory leaves for buffers.
fn remaining(limit: u64, used: Option<u64>) -> u64 {
    limit.saturating_sub(used.unwrap_or(0)).saturating_sub(RESERVED)
}

/// The bytes that the kernel may still commit, under strict overcommit (mode 2).
fn overcommit_limit(read: &impl Fn(&Path) -> Option<String>, meminfo: &str) -> Option<u64> {
    let strict = read(Path::new("/proc/sys/vm/overcommit_memory"))?.trim() == "2";
    let limit = kilobytes(meminfo, "CommitLimit:").filter(|_| strict)?;
    Some(remaining(limit, kilobytes(meminfo, "Committed_AS:")))
}

/// The least limit of the files below `/proc` and of the control groups that they name; `read`
/// returns the text of a file.
fn limit_of(read: impl Fn(&Path) -> Option<String>) -> Option<u64> {
    let meminfo = read(Path::new("/proc/meminfo")).unwrap_or_default();
    let machine =
        kilobytes(&meminfo, "MemTotal:").into_iter().chain(overcommit_limit(&read, &meminfo));
    let groups = read(Path::new("/proc/self/cgroup")).unwrap_or_default();
    let mounts = read(Path::new("/proc/self/mountinfo")).unwrap_or_default();
    let mounts: Vec<Mount> = mounts.lines().filter_map(Mount::parse).collect();
    let files = groups.lines().filter_map(|line| {
        let mut fields = line.splitn(3, ':').skip(1);
        Some((fields.next()?, fields.next()?))
    });
    let limits = files.flat_map(|(controllers, path)| {
        let names: &[&str] = match controllers {
            "" => &["memory.max", "memory.high"],
            _ if controllers.split(',').any(|name| name == "memory") => &["memory.limit_in_bytes"],
            _ => &[],
        };
        let unified = controllers.is_empty();
        let mounted = mounts.iter().filter(move |mount| mount.unified == unified);
        mounted.flat_map(move |mount| mount.folders(path)).flat_map(move |folder| {
            names.iter().map(move |name| folder.join(name)).collect::<Vec<_>>()
        })
    });
    // No limit is "max" in version 2, which is not a number, and a number beyond any machine in
    // version 1.
    limits.filter_map(|file| read(&file)?.trim().parse().ok()).chain(machine).min()
}

/// `MemTotal:       24655332 kB`, in bytes.
fn kilobytes(text: &str, field: &str) -> Option<u64> {
    let line = text.lines().find_map(|line| line.strip_prefix(field))?;
    let kib: u64 = line.trim().strip_suffix("kB")?.trim().parse().ok()?;
    kib.checked_mul(1024)
}

/// A mounted hierarchy of control groups with the memory controller.
struct Mount {
    /// Version 2.
    unified: bool,
    /// The group whose folder is the mount point.
    root: PathBuf,
    point: PathBuf,
}

impl Mount {
    /// `35 25 0:30 / /sys/fs/cgroup rw,nosuid shared:9 - cgroup2 cgroup2 rw`
    fn parse(line: &str) -> Option<Mount> {
        let (mount, file_system) = line.split_once(" - ")?;
        let mut mount = mount.split(' ').skip(3);
        let (root, point) = (mount.next()?.into(), mount.next()?.into());
        let mut file_system = file_system.split(' ');
        let unified = match file_system.next()? {
            "cgroup2" => true,
            "cgroup" if file_system.nth(1)?.split(',').any(|option| option == "memory") => false,
            _ => return None,
        };
        Some(Mount { unified, root, point })
    }

    /// The folders of a group and of those parents that this mount contains.
    fn folders(&self, group: &str) -> Vec<PathBuf> {
        let group = Path::new(group);
        // In a container either path may be the host's: the group's, while the mount begins at the
        // group, or the mount's root, while the group's path begins there.
        let relative = group.strip_prefix(&self.root).or_else(|_| group.strip_prefix("/"));
        let Ok(relative) = relative else { return Vec::new() };
        relative.ancestors().map(|folder| self.point.join(folder)).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::HashMap;

    fn limit(files: &[(&str, &str)]) -> Option<u64> {
        let files: HashMap<_, _> = files.iter().copied().collect();
        limit_of(|path| files.get(path.to_str().unwrap()).map(|text| (*text).to_owned()))
    }

    const MEMINFO: (&str, &str) =
        ("/proc/meminfo", "MemTotal:       1000 kB\nMemFree:         200 kB\n");
    const UNIFIED: (&str, &str) = (
        "/proc/self/mountinfo",
        "25 1 0:22 / /proc rw - proc proc rw\n\
         35 25 0:30 / /sys/fs/cgroup rw,nosuid shared:9 - cgroup2 cgroup2 rw,nsdelegate\n",
    );

    #[test]
    fn without_limits_it_is_the_machine() {
        assert_eq!(limit(&[]), None);
        assert_eq!(limit(&[MEMINFO]), Some(1_024_000));
        let root = ("/proc/self/cgroup", "0::/\n");
        let max = ("/sys/fs/cgroup/memory.max", "max\n");
        assert_eq!(limit(&[MEMINFO, UNIFIED, root, max]), Some(1_024_000));
    }

    #[test]
    fn a_limit_on_a_parent_or_a_soft_one_counts() {
        let group = ("/proc/self/cgroup", "0::/system.slice/backup.service\n");
        let own = ("/sys/fs/cgroup/system.slice/backup.service/memory.max", "600000\n");
        let parent = ("/sys/fs/cgroup/system.slice/memory.max", "500000\n");
        let high = ("/sys/fs/cgroup/system.slice/backup.service/memory.high", "400000\n");
        let other = ("/sys/fs/cgroup/user.slice/memory.max", "1\n");
        assert_eq!(limit(&[MEMINFO, UNIFIED, group, own]), Some(600_000));
        assert_eq!(limit(&[MEMINFO, UNIFIED, group, own, parent]), Some(500_000));
        assert_eq!(limit(&[MEMINFO, UNIFIED, group, own, parent, high, other]), Some(400_000));
    }

    #[test]
    fn version_one_is_read_where_it_is_mounted_also_inside_a_container() {
        let groups = ("/proc/self/cgroup", "4:cpu,cpuacct:/a\n7:memory:/docker/abc\n0::/x\n");
        let host = (
            "/proc/self/mountinfo",
            "40 35 0:35 / /sys/fs/cgroup/memory rw - cgroup cgroup rw,memory\n",
        );
        let container = (
            "/proc/self/mountinfo",
            "40 35 0:35 /docker/abc /sys/fs/cgroup/memory ro - cgroup cgroup rw,memory\n",
        );
        let deep = ("/sys/fs/cgroup/memory/docker/abc/memory.limit_in_bytes", "700000\n");
        let top = ("/sys/fs/cgroup/memory/memory.limit_in_bytes", "9223372036854771712\n");
        assert_eq!(limit(&[MEMINFO, groups, host, deep, top]), Some(700_000));
        let own = ("/sys/fs/cgroup/memory/memory.limit_in_bytes", "650000\n");
        assert_eq!(limit(&[MEMINFO, groups, container, own]), Some(650_000));
    }

    #[test]
    fn used_and_reserved_memory_is_subtracted_from_limits_on_all_that_is_mapped() {
        assert_eq!(remaining(400 << 20, Some(20 << 20)), 348 << 20);
        assert_eq!(remaining(400 << 20, None), 368 << 20);
        assert_eq!(remaining(40 << 20, Some(39 << 20)), 0);
        let status = "VmPeak:\t    4000 kB\nVmSize:\t    3000 kB\nVmData:\t     200 kB\n";
        assert_eq!(kilobytes(status, "VmSize:"), Some(3_072_000));
        assert_eq!(kilobytes(status, "VmData:"), Some(204_800));
        assert_eq!(kilobytes(status, "VmHWM:"), None);
    }

    #[test]
    fn strict_overcommit_leaves_the_rest_of_the_commit_limit() {
        let meminfo = (
            "/proc/meminfo",
            "MemTotal:     8000000 kB\nCommitLimit:  600000 kB\nCommitted_AS: 400000 kB\n",
        );
        let mode = |mode| ("/proc/sys/vm/overcommit_memory", mode);
        let machine = 8_000_000 * 1024;
        assert_eq!(limit(&[meminfo]), Some(machine));
        assert_eq!(limit(&[meminfo, mode("0\n")]), Some(machine));
        assert_eq!(limit(&[meminfo, mode("1\n")]), Some(machine));
        assert_eq!(limit(&[meminfo, mode("2\n")]), Some(200_000 * 1024 - RESERVED));
    }

    #[test]
    fn this_machine_has_a_size() {
        assert!(available().is_some_and(|bytes| bytes > 1 << 20));
    }
}
