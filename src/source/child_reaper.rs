//! Waits for the child processes: the commands that were started here, and orphans.
//!
//! Owns every wait(2) of this process. Must not know the purpose of a command. Invariants: the exit
//! status of a child that was started here is kept until it is read; no orphan stays a zombie,
//! neither where this process is process 1 of a container, nor below a process 1 that reaps
//! nothing, since this process is the subreaper of all that its commands start.

use std::collections::HashMap;
use std::io;
use std::os::fd::OwnedFd;
use std::os::unix::process::ExitStatusExt;
use std::process::{Command, ExitStatus};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use process_wrap::std::{CommandWrap, ProcessSession};
use rustix::io::Errno;
use rustix::process::{Pid, WaitOptions, WaitStatus, getpid, wait};
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::Notify;

use crate::platform::core_dumps;

/// The child processes of this process; clones share them.
#[derive(Clone, Default)]
pub(crate) struct Children {
    shared: Arc<ChildrenShared>,
}

#[derive(Default)]
struct ChildrenShared {
    /// Children that were started here. The lock is held during a start, since a child may exit
    /// before its pid is known.
    started: Mutex<HashMap<Pid, ChildState>>,
    changed: Notify,
    watching: AtomicBool,
}

#[derive(Debug, Clone, Copy)]
enum ChildState {
    Running,
    Exited(ExitStatus),
    /// Other code has taken the status.
    Unknown,
}

/// A child that was started, and its stdout.
pub(crate) struct ChildProcess {
    pub pid: Pid,
    pub stdout: Option<OwnedFd>,
}

impl Children {
    /// Starts the wait where this is process 1, to which every orphan belongs. Fails where SIGCHLD
    /// cannot be handled.
    pub(crate) fn watch_if_first(&self) -> io::Result<()> {
        if getpid().is_init() { self.watch() } else { Ok(()) }
    }

    /// Starts the task that waits for children.
    fn watch(&self) -> io::Result<()> {
        if self.shared.watching.swap(true, Ordering::SeqCst) {
            return Ok(());
        }
        // With a handler the kernel keeps exit statuses also where SIGCHLD was ignored at the
        // start.
        let mut changes = signal(SignalKind::child())?;
        become_subreaper();
        let shared = self.shared.clone();
        tokio::spawn(async move {
            loop {
                shared.reap_children();
                if changes.recv().await.is_none() {
                    return;
                }
            }
        });
        Ok(())
    }

    /// Starts a command in a session of its own: it leads a process group, and has no terminal on
    /// which it could prompt; its limit of core files is that of the start. Fails where the command or its process cannot be started.
    pub(crate) fn start(&self, command: Command) -> io::Result<ChildProcess> {
        self.watch()?;
        let mut started = self.shared.started();
        let mut command = CommandWrap::from(command);
        command.wrap(ProcessSession);
        let mut child = core_dumps::with_inherited_limit(|| command.spawn())?;
        let pid = i32::try_from(child.id()).ok().and_then(Pid::from_raw);
        let pid = pid.ok_or_else(|| io::Error::other("a process without a number"))?;
        started.insert(pid, ChildState::Running);
        Ok(ChildProcess { pid, stdout: child.stdout().take().map(OwnedFd::from) })
    }

    /// Resolves when a child that was started here has exited. Fails where its status is lost.
    pub(crate) async fn exited(&self, pid: Pid) -> io::Result<ExitStatus> {
        loop {
            let changed = self.shared.changed.notified();
            match self.shared.started().get(&pid) {
                Some(ChildState::Running) => {}
                Some(ChildState::Exited(status)) => return Ok(*status),
                Some(ChildState::Unknown) | None => return Err(Errno::CHILD.into()),
            }
            changed.await;
        }
    }
}

impl ChildrenShared {
    fn started(&self) -> MutexGuard<'_, HashMap<Pid, ChildState>> {
        self.started.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Takes every available status.
    fn reap_children(&self) {
        let mut started = self.started();
        loop {
            match wait(WaitOptions::NOHANG) {
                Ok(Some((pid, status))) => record_exit(&mut started, pid, status),
                Err(Errno::INTR) => {}
                Err(Errno::CHILD) => {
                    // There is no child left: a status that is missing was taken by other code.
                    let running = |state: &&mut ChildState| matches!(state, ChildState::Running);
                    started
                        .values_mut()
                        .filter(running)
                        .for_each(|state| *state = ChildState::Unknown);
                    break;
                }
                Ok(None) | Err(_) => break,
            }
        }
        drop(started);
        self.changed.notify_waiters();
    }
}

/// Stores the status of a child that was started here; that of an orphan is dropped.
fn record_exit(started: &mut HashMap<Pid, ChildState>, pid: Pid, status: WaitStatus) {
    if let Some(state) = started.get_mut(&pid) {
        *state = ChildState::Exited(ExitStatus::from_raw(status.as_raw()));
    }
}

/// Makes this process the parent of orphans below it. On other systems than Linux process 1 is.
fn become_subreaper() {
    #[cfg(target_os = "linux")]
    let _ = rustix::process::set_child_subreaper(Some(getpid()));
}
