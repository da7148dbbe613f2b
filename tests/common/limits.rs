//! Limits of the system for a run: as another user, and in a control group.
//!
//! Of a store it knows only the folder. Invariant: a limit applies to one run; a test whose limit
//! this machine cannot set is skipped with the reason.

use std::os::unix::fs::chown;
use std::path::{Path, PathBuf};
use std::process::{Child, Command};
use std::sync::atomic::{AtomicU32, Ordering};

use rustix::process::{Pid, Resource, Rlimit, getrlimit, prlimit};

use super::run::{Ocipipe, binary};
use super::store::Store;

/// Prints why a test was not run.
pub fn report_skipped(why: &str) {
    eprintln!("skipped: {why}");
}

/// A user without other processes, so that a limit of processes counts only those of the run.
pub struct User {
    id: u32,
    program: PathBuf,
}

impl User {
    /// A new user that owns the folder of this store; `None` if the tests do not run as root.
    pub fn of(store: &Store) -> Option<User> {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        if !rustix::process::geteuid().is_root() {
            report_skipped("only root can run as another user");
            return None;
        }
        let number = NEXT.fetch_add(1, Ordering::SeqCst);
        let id = 100_000 + std::process::id() % 50_000 * 100 + number;
        // The build folder may be unreadable for other users.
        let program = store.folder().join("ocipipe");
        if !program.exists() && std::fs::hard_link(binary(), &program).is_err() {
            std::fs::copy(binary(), &program).unwrap();
        }
        let user = User { id, program };
        user.take_ownership(store.folder());
        Some(user)
    }

    /// Makes this user the owner of a file, or of a folder with its content.
    fn take_ownership(&self, path: &Path) {
        // The program may be a hard link that other users share.
        if path == self.program {
            return;
        }
        chown(path, Some(self.id), Some(self.id)).unwrap();
        if path.is_dir() {
            std::fs::read_dir(path)
                .unwrap()
                .for_each(|entry| self.take_ownership(&entry.unwrap().path()));
        }
    }

    /// Starts processes of this user that sleep until the result is dropped.
    pub fn occupy(&self, processes: usize) -> OccupiedProcesses {
        let id = self.id;
        let sleep = || {
            let mut command = Command::new("setpriv");
            command.args([format!("--reuid={id}"), format!("--regid={id}")]);
            command.args(["--clear-groups", "sleep", "600"]).spawn().unwrap()
        };
        let occupied = OccupiedProcesses((0..processes).map(|_| sleep()).collect());
        // A process belongs to this user from its exec on.
        let sleeps = |process: &Child| {
            let path = format!("/proc/{}/comm", process.id());
            std::fs::read_to_string(path).unwrap() == "sleep\n"
        };
        while !occupied.0.iter().all(sleeps) {
            std::thread::yield_now();
        }
        occupied
    }

    /// Runs it as this user with a limit of processes and threads.
    pub fn with_processes(&self, run: Ocipipe, processes: u64) -> Ocipipe {
        self.with_limits(run, &format!("--nproc={processes}"))
    }

    /// Runs it as this user under these limits, written as options of `prlimit`.
    pub fn with_limits(&self, run: Ocipipe, limits: &str) -> Ocipipe {
        let id = self.id;
        run.program(&self.program).wrapped_by(&format!(
            "prlimit {limits} setpriv --reuid={id} --regid={id} --clear-groups"
        ))
    }
}

/// Sets the soft limit of a running process; `None` removes it.
pub fn set_soft_limit(pid: Pid, resource: Resource, to: Option<u64>) {
    let hard = getrlimit(resource).maximum;
    let limit = Rlimit { current: to.or(hard), maximum: hard };
    prlimit(Some(pid), resource, limit).unwrap();
}

/// Processes of a user that use up its limit.
pub struct OccupiedProcesses(Vec<Child>);

impl Drop for OccupiedProcesses {
    fn drop(&mut self) {
        for process in &mut self.0 {
            process.kill().unwrap();
            process.wait().unwrap();
        }
    }
}

/// A control group for one run.
pub struct Group {
    folder: PathBuf,
}

impl Group {
    /// A group that has this file: of version 1, or of version 2 if the parent group delegates it.
    pub fn with(controller: &str, file: &str) -> Option<Group> {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let number = NEXT.fetch_add(1, Ordering::SeqCst);
        let name = format!("ocipipe-test-{}-{number}", std::process::id());
        let roots = [Path::new("/sys/fs/cgroup").join(controller), "/sys/fs/cgroup".into()];
        for root in roots {
            let folder = root.join(&name);
            if std::fs::create_dir(&folder).is_ok() {
                let group = Group { folder };
                if group.folder.join(file).exists() {
                    return Some(group);
                }
            }
        }
        report_skipped(&format!("no control group with {file} can be created"));
        None
    }

    pub fn set(&self, file: &str, value: &str) {
        std::fs::write(self.folder.join(file), value).unwrap();
    }

    /// Runs the program in this group.
    pub fn run_in(&self, run: Ocipipe) -> Ocipipe {
        let file = self.folder.join("cgroup.procs");
        run.wrapped_by_script("sh", &format!("echo $$ > {} && exec \"$@\"", file.display()))
    }
}

impl Drop for Group {
    fn drop(&mut self) {
        // The group is empty shortly after its run has ended.
        for _ in 0..100 {
            if std::fs::remove_dir(&self.folder).is_ok() {
                return;
            }
            std::thread::sleep(std::time::Duration::from_millis(10));
        }
    }
}
