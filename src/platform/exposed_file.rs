//! Whether a file with a secret is open to more users than it has to be.
//!
//! Owns the meaning of a file's mode, owner and group for this process. Must not know what is in the file.
//! Invariant: a file that only its owner may use is never open to others.

use std::fs::Metadata;
use std::os::unix::fs::MetadataExt;

/// Whether the mode of the file gives more than its owner needs, and `chmod` of this user could change that.
///
/// A file of another user that this process can read by its group alone, and that others cannot use, is as
/// closed as it can be: so are the files of a Secret of Kubernetes in a pod with a group of its own.
pub(crate) fn is_too_open(file: &Metadata) -> bool {
    let groups = rustix::process::getgroups().unwrap_or_default();
    let process = ProcessIds {
        user: rustix::process::geteuid().as_raw(),
        groups: groups
            .into_iter()
            .chain([rustix::process::getegid()])
            .map(|group| group.as_raw())
            .collect(),
    };
    is_too_open_for(file.mode(), file.uid(), file.gid(), &process)
}

/// The ids that a process has.
struct ProcessIds {
    user: u32,
    groups: Vec<u32>,
}

fn is_too_open_for(mode: u32, user: u32, group: u32, process: &ProcessIds) -> bool {
    const OWNER_READ_WRITE: u32 = 0o600;
    const GROUP_READ: u32 = 0o040;
    let surplus = mode & 0o777 & !OWNER_READ_WRITE;
    let by_group = user != process.user && process.groups.contains(&group);
    surplus != 0 && !(surplus == GROUP_READ && by_group)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_is_too_open_unless_only_its_owner_or_the_group_of_the_process_reads_it() {
        let process = ProcessIds { user: 65534, groups: vec![65534, 2000] };
        for (mode, user, group, want) in [
            (0o600, 65534, 65534, false),
            (0o400, 65534, 65534, false),
            (0o100_600, 65534, 65534, false),
            // A Secret of Kubernetes: root's, and readable by the group of the pod.
            (0o440, 0, 2000, false),
            (0o640, 0, 65534, false),
            // Its owner can close it.
            (0o440, 65534, 2000, true),
            // Another group, writable, executable, and open to others.
            (0o440, 0, 3000, true),
            (0o460, 0, 2000, true),
            (0o550, 0, 2000, true),
            (0o444, 0, 2000, true),
            (0o644, 0, 2000, true),
            (0o644, 65534, 65534, true),
        ] {
            assert_eq!(
                is_too_open_for(mode, user, group, &process),
                want,
                "{mode:o} {user}:{group}"
            );
        }
    }
}
