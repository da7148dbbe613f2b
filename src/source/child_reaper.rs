//! The processes that are ours to wait for: what was started here, and what is left to us.
//!
//! Owns every wait of this process. Knows nothing of what a command is for. Invariants: the status of a
//! child that was started here reaches whoever asks for it, and no process that was left to us stays
//! behind as a zombie: neither where we are process 1 of a container, nor below a process 1 that reaps
//! nothing, since what a command leaves behind is left to us and not to it.

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

#[derive(Clone, Default)]
pub struct Children {
    shared: Arc<ChildrenShared>,
}

#[derive(Default)]
struct ChildrenShared {
    /// Those that were started here. Locked while one is started: a child may end before its number is
    /// known.
    started: Mutex<HashMap<Pid, ChildState>>,
    ended: Notify,
    watching: AtomicBool,
}

#[derive(Debug, Clone, Copy)]
enum ChildState {
    Running,
    Ended(ExitStatus),
    /// Somebody else has waited for it.
    Unknown,
}

/// A child that was started, and its stdout.
pub struct ChildProcess {
    pub pid: Pid,
    pub stdout: Option<OwnedFd>,
}

impl Children {
    /// Begins to wait, where this is process 1: then every orphan is ours.
    pub fn watch_if_first(&self) -> io::Result<()> {
        if getpid().is_init() { self.watch() } else { Ok(()) }
    }

    /// Begins to wait for whatever is ours and ends.
    fn watch(&self) -> io::Result<()> {
        if self.shared.watching.swap(true, Ordering::SeqCst) {
            return Ok(());
        }
        // With a handler the system keeps the statuses even where SIGCHLD was ignored at the start.
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

    /// Starts a command in a session of its own: it leads a process group, and has no terminal on which
    /// it could ask and wait.
    pub fn start(&self, command: Command) -> io::Result<ChildProcess> {
        self.watch()?;
        let mut started = self.shared.started();
        let mut child = CommandWrap::from(command).wrap(ProcessSession).spawn()?;
        let pid = i32::try_from(child.id()).ok().and_then(Pid::from_raw);
        let pid = pid.ok_or_else(|| io::Error::other("a process without a number"))?;
        started.insert(pid, ChildState::Running);
        Ok(ChildProcess { pid, stdout: child.stdout().take().map(OwnedFd::from) })
    }

    /// Resolves when a child that was started here has ended.
    pub async fn exited(&self, pid: Pid) -> io::Result<ExitStatus> {
        loop {
            let ended = self.shared.ended.notified();
            match self.shared.started().get(&pid) {
                Some(ChildState::Running) => {}
                Some(ChildState::Ended(status)) => return Ok(*status),
                Some(ChildState::Unknown) | None => return Err(Errno::CHILD.into()),
            }
            ended.await;
        }
    }
}

impl ChildrenShared {
    fn started(&self) -> MutexGuard<'_, HashMap<Pid, ChildState>> {
        self.started.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Takes every status that is there.
    fn reap_children(&self) {
        let mut started = self.started();
        loop {
            match wait(WaitOptions::NOHANG) {
                Ok(Some((pid, status))) => record_exit(&mut started, pid, status),
                Err(Errno::INTR) => {}
                Err(Errno::CHILD) => {
                    let runs = |state: &&mut ChildState| matches!(state, ChildState::Running);
                    started
                        .values_mut()
                        .filter(runs)
                        .for_each(|state| *state = ChildState::Unknown);
                    break;
                }
                Ok(None) | Err(_) => break,
            }
        }
        drop(started);
        self.ended.notify_waiters();
    }
}

/// Of an orphan nobody wants the status.
fn record_exit(started: &mut HashMap<Pid, ChildState>, pid: Pid, status: WaitStatus) {
    if let Some(state) = started.get_mut(&pid) {
        *state = ChildState::Ended(ExitStatus::from_raw(status.as_raw()));
    }
}

/// What the children leave behind is left to us. Elsewhere than on Linux it is left to process 1.
fn become_subreaper() {
    #[cfg(target_os = "linux")]
    let _ = rustix::process::set_child_subreaper(Some(getpid()));
}
