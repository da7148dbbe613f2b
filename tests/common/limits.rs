//! Limits of the system on a run: as another user, and as a control group.
//!
//! Knows nothing of stores beyond their folder. Invariant: a limit is that of one run alone, and what
//! cannot be limited on this machine is skipped with the reason.

use std::os::unix::fs::chown;
use std::path::{Path, PathBuf};
use std::process::{Child, Command};
use std::sync::atomic::{AtomicU32, Ordering};

use rustix::process::{Pid, Resource, Rlimit, getrlimit, prlimit};

use super::run::{Ocipipe, binary};
use super::store::Store;

/// Why a test was not run, where nobody overlooks it.
pub fn skipped(why: &str) {
    eprintln!("skipped: {why}");
}

/// A user of one run's own, who has nothing else running: a limit of processes counts only those of
/// the run.
pub struct User {
    id: u32,
    program: PathBuf,
}

impl User {
    /// Somebody to whom the folder of this store belongs; nobody if this is not root's run.
    pub fn of(store: &Store) -> Option<User> {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        if !rustix::process::geteuid().is_root() {
            skipped("only root can run as another user");
            return None;
        }
        let number = NEXT.fetch_add(1, Ordering::SeqCst);
        let id = 100_000 + std::process::id() % 50_000 * 100 + number;
        // What was built may lie where nobody else may look.
        let program = store.folder().join("ocipipe");
        if !program.exists() && std::fs::hard_link(binary(), &program).is_err() {
            std::fs::copy(binary(), &program).unwrap();
        }
        let user = User { id, program };
        user.owns(store.folder());
        Some(user)
    }

    /// Gives away a folder with all that is in it.
    fn owns(&self, path: &Path) {
        // The program may be that of others.
        if path == self.program {
            return;
        }
        chown(path, Some(self.id), Some(self.id)).unwrap();
        if path.is_dir() {
            std::fs::read_dir(path).unwrap().for_each(|entry| self.owns(&entry.unwrap().path()));
        }
    }

    /// So many processes, which sleep as long as this is held.
    pub fn crowd(&self, processes: usize) -> Crowd {
        let id = self.id;
        let sleep = || {
            let mut command = Command::new("setpriv");
            command.args([format!("--reuid={id}"), format!("--regid={id}")]);
            command.args(["--clear-groups", "sleep", "600"]).spawn().unwrap()
        };
        let crowd = Crowd((0..processes).map(|_| sleep()).collect());
        // Each is this user's when it has become it.
        let sleeps = |process: &Child| {
            let path = format!("/proc/{}/comm", process.id());
            std::fs::read_to_string(path).unwrap() == "sleep\n"
        };
        while !crowd.0.iter().all(sleeps) {
            std::thread::yield_now();
        }
        crowd
    }

    /// Runs it as this user, who may have so many processes and threads.
    pub fn runs(&self, run: Ocipipe, processes: u64) -> Ocipipe {
        self.runs_under(run, &format!("--nproc={processes}"))
    }

    /// Runs it as this user under these limits, as `prlimit` takes them.
    pub fn runs_under(&self, run: Ocipipe, limits: &str) -> Ocipipe {
        let id = self.id;
        run.program(&self.program)
            .by(&format!("prlimit {limits} setpriv --reuid={id} --regid={id} --clear-groups"))
    }
}

/// Sets the soft limit of a process of ours that is running, or takes it off again.
pub fn soften(pid: Pid, resource: Resource, to: Option<u64>) {
    let hard = getrlimit(resource).maximum;
    let limit = Rlimit { current: to.or(hard), maximum: hard };
    prlimit(Some(pid), resource, limit).unwrap();
}

/// Other processes of a user, which take up what it may have.
pub struct Crowd(Vec<Child>);

impl Drop for Crowd {
    fn drop(&mut self) {
        for process in &mut self.0 {
            process.kill().unwrap();
            process.wait().unwrap();
        }
    }
}

/// A control group of one run's own.
pub struct Group {
    folder: PathBuf,
}

impl Group {
    /// One in which this file sets a limit: of version 1, or of version 2 where its parent lets it.
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
        skipped(&format!("no control group can be made in which {file} is"));
        None
    }

    pub fn set(&self, file: &str, value: &str) {
        std::fs::write(self.folder.join(file), value).unwrap();
    }

    /// Runs it in this group.
    pub fn runs(&self, run: Ocipipe) -> Ocipipe {
        let file = self.folder.join("cgroup.procs");
        run.by_script("sh", &format!("echo $$ > {} && exec \"$@\"", file.display()))
    }
}

impl Drop for Group {
    fn drop(&mut self) {
        // It is empty when its run is over, or a moment later.
        for _ in 0..100 {
            if std::fs::remove_dir(&self.folder).is_ok() {
                return;
            }
            std::thread::sleep(std::time::Duration::from_millis(10));
        }
    }
}
